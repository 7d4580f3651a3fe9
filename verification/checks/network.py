"""Dense networks: the mean cross-entropy and its whole gradient.

The parameters are flat, layer by layer, W (inputs x outputs, row-major) and then b;
hidden units are ReLU, the last layer is softmax.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import EXACT, ROUNDED, RUNNING, Truth, norm, size
from verification.checks._replay import confirm, fractions
from verification.evidence.comparison import Finding, agree, differs
from verification.losses import Network
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import network as truth
from verification.truth.carriers import MP

METHOD = ("network_loss_and_gradient",)
BY_TWO = (
    "unit by unit in 40 digits, confirmed by matrices and, for the gradient, by "
    "central differences of a step of 1e-20 in 60 digits"
)
OTHER = MP(truth.DIGITS)


@cache
def _truths(p: Problem, reading: int, confirmed: bool) -> tuple[Truth, Truth]:
    value = truth.value(EXACT, p.loss, p.x)
    slope = truth.gradient(EXACT, p.loss, p.x, reading)
    if confirmed:
        confirm(value, truth.value_by_matrices(OTHER, p.loss, p.x))
        confirm(slope, truth.gradient_by_differences(p.loss, p.x))
    rounded = truth.value(ROUNDED, p.loss, p.x)
    bounds = truth.gradient(ROUNDED, p.loss, p.x, reading)
    return (
        Truth(value, rounded.err + abs(rounded.value)),
        Truth(slope, norm(entry.err for entry in bounds) + size(slope)),
    )


def _expected(
    w: Witness, p: Problem, confirmed: bool = True, reading: int | None = None
) -> tuple[Truth, Truth]:
    """Loss and gradient (d,) of a case as the subject reads (1) and ReLU at 0.

    Parameters
    ----------
    confirmed : bool
        Whether by the second route too: it has no answer where a ReLU is at 0.
    reading : {0, 1}, optional
        Of the derivative of ReLU at 0; as declared by default.
    """
    if reading is None:
        reading = int(w.conventions["network.relu_at_zero"])
    value, slope = _truths(p, reading, confirmed)
    N = _factor(w, p)
    return (
        Truth(N * value.value, N * value.scale),
        Truth([N * entry for entry in slope.value], N * slope.scale),
    )


def _factor(w: Witness, p: Problem) -> int:
    """What a subject that declares sums over examples has in place of their mean."""
    loss: Any = p.loss
    return len(loss.labels) if w.conventions["loss.reduction"] == "sum" else 1


def _ask(w: Witness, p: Problem) -> tuple[float, Any]:
    loss: Any = p.loss
    data = (loss.images, loss.labels)
    answer: tuple[float, Any] = w.network_loss_and_gradient(
        loss.sizes, np.array(p.x), *data
    )
    return answer


def _judged(w: Witness, p: Problem, confirmed: bool = True) -> Iterator[Finding]:
    value, slope = _expected(w, p, confirmed)
    measured = _ask(w, p)
    yield agree("loss", measured[0], value.value, value.tolerance(w))
    yield agree("gradient", measured[1], slope.value, slope.tolerance(w))


# --- parameters of which many are zero ------------------------------------------------


def _biases_only(
    label: str,
    sizes: tuple[int, ...],
    N: int,
    hidden: Sequence[float],
    last: Sequence[float] = (0.0,),
) -> Problem:
    """All weights zero; the biases of the hidden layers, and of the last, by turns."""
    x: list[float] = []
    for inputs, outputs in pairwise(sizes):
        biases = (
            hidden if len(x) + (inputs + 1) * outputs < truth.count(sizes) else last
        )
        x += [0.0] * (inputs * outputs)
        x += [biases[j % len(biases)] for j in range(outputs)]
    return P.network(label, sizes, N, x)


def _features(p: Problem) -> Any:
    """What the last layer sees where all weights before it are zero: (N, inputs)."""
    loss: Any = p.loss
    if len(loss.sizes) == 2:
        return loss.images
    *_, inputs, outputs = loss.sizes
    rest = (inputs + 1) * outputs
    hidden = np.maximum(p.x[len(p.x) - rest - inputs : len(p.x) - rest], 0.0)
    return np.tile(hidden, (len(loss.labels), 1))


@cache
def _last_layer(p: Problem) -> Problem:
    """The last layer as a network of its own, fed with what it sees."""
    loss: Any = p.loss
    sizes = loss.sizes[-2:]
    top = Network(sizes, _features(p), loss.labels)
    return Problem(p.label, top, p.x[len(p.x) - top.d :])


@check(
    "NET-01",
    paper="section 6.1",
    claim="784 inputs and 10 classes make 7,850 parameters, with 200 hidden units "
    "159,010; the last of them is the bias of the last class",
    truth="the count; the last layer unit by unit in 40 digits, fed with what biases "
    "alone make of the hidden units; 0 for all parameters before it",
    route="CF",
    tolerance=RUNNING + "; none for what is 0",
    mistakes=("M01", "M21", "M25"),
    needs=METHOD,
    cases=[
        _biases_only("the paper's", sizes, 2, (1.0, 0.625, 1.25), (-1.0, 0.75, 0.5))
        for sizes in ((784, 10), (784, 200, 10))
    ],
)
def parameter_counts(w: Witness, p: Problem) -> Iterator[Finding]:
    loss: Any = p.loss
    top = _last_layer(p)
    value, slope = _expected(w, top, confirmed=False)
    measured, gradient = _ask(w, p)
    yield agree("parameters", len(gradient), truth.count(loss.sizes), 0)
    yield agree("loss", measured, value.value, value.tolerance(w))
    before, after = np.split(gradient, [len(p.x) - top.d])
    yield agree("gradient of the last layer", after, slope.value, slope.tolerance(w))
    if before.size:
        yield agree("largest gradient before it", np.abs(before).max(), 0, 0.0)


def _even_odds(p: Problem) -> list[Fraction]:
    """The gradient where all logits are zero: of every class 1/C less its share."""
    top: Any = _last_layer(p).loss
    classes, rows = top.sizes[-1], fractions(top.images)
    misses = [
        [Fraction(1, classes) - (k == c) for k in range(classes)]
        for c in top.labels.tolist()
    ]
    seen = np.hstack([rows, fractions(np.ones((len(rows), 1)))])
    slopes = seen.T @ np.array(misses) / len(rows)
    return [Fraction(0)] * (len(p.x) - top.d) + list(slopes.ravel())


@check(
    "NET-02",
    paper="section 6.1, (1)",
    claim="with all weights zero the loss is log C, log 10 for ten classes, and the "
    "gradient is the features times 1/C less the share of the class",
    truth="log C; the gradient in exact rationals",
    route="CF RAT",
    tolerance=RUNNING,
    mistakes=("M01", "M03", "M07", "M22", "M28"),
    needs=METHOD,
    cases=[
        _biases_only(label, sizes, N, (-0.25, 0.0, 0.25, 0.5, 0.75))
        for label, sizes, N in (
            ("softmax", (3, 10), 4),
            ("one hidden layer", (4, 6, 10), 5),
            ("three classes", (5, 4, 3), 4),
            ("three hidden layers", (2, 3, 5, 4, 10), 3),
            ("one example", (7, 2, 10), 1),
        )
    ],
)
def zero_weights(w: Witness, p: Problem) -> Iterator[Finding]:
    loss: Any = p.loss
    value, slope = _expected(w, p, confirmed=False)
    measured, gradient = _ask(w, p)
    N = _factor(w, p)
    top = N * EXACT.log(EXACT.number(loss.sizes[-1]))
    yield agree("loss", measured, top, value.tolerance(w))
    expected = [N * entry for entry in _even_odds(p)]
    yield agree("gradient", gradient, expected, slope.tolerance(w))


# --- networks of all shapes -----------------------------------------------------------

SHAPES = (
    *((1, 2), (3, 2), (2, 5), (4, 3), (2, 10)),
    *((1, 1, 2), (3, 2, 2), (2, 4, 3), (4, 3, 2), (2, 3, 10), (3, 3, 3)),
    *((2, 3, 2, 3), (3, 2, 4, 2), (2, 3, 3, 2), (1, 4, 2, 3), (4, 2, 3, 5)),
    *((2, 3, 3, 2, 2), (3, 2, 2, 2, 3), (2, 2, 4, 3, 2), (1, 3, 3, 3, 4)),
)


def _with_biases(
    p: Problem, label: str, level: int, values: Sequence[float]
) -> Problem:
    """The first units of one hidden layer with other biases."""
    loss: Any = p.loss
    widths = list(pairwise(loss.sizes))[: level + 1]
    at = sum((m + 1) * n for m, n in widths) - widths[-1][1]
    x = (*p.x[:at], *values, *p.x[at + len(values) :])
    return replace(p, label=f"{p.label}, {label}", x=x)


def _rows(p: Problem, label: str, rows: Sequence[int]) -> Problem:
    loss: Any = p.loss
    return replace(p, label=f"{p.label}, {label}", loss=loss.subset(rows))


def _all_shapes() -> list[Problem]:
    plain = [P.network("net", s, 2 + i % 3) for i, s in enumerate(SHAPES)]
    base, deep = P.network("net", (3, 4, 2), 4), P.network("net", (2, 3, 3, 3), 3)
    return [
        *plain,
        _with_biases(base, "a dead unit", 0, [-32.0]),
        _with_biases(base, "a dead layer", 0, [-32.0, -40.0, -48.0, -36.0]),
        _with_biases(deep, "dead units in the second layer", 1, [-32.0, -24.0]),
        _with_biases(base, "all units alive", 0, [32.0, 24.0, 40.0, 28.0]),
        _rows(base, "one example", [2]),
        _rows(base, "repeated examples", [1, 0, 1, 1, 3]),
    ]


@check(
    "NET-03",
    paper="section 6.1, (1)",
    claim="loss and gradient of networks with none to three hidden layers, also with "
    "dead units, one example, and examples that are repeated",
    truth=BY_TWO,
    route="MP2",
    tolerance=RUNNING,
    mistakes=(
        *("M01", "M03", "M05", "M06", "M06G", "M07", "M08", "M11N", "M12"),
        *("M21", "M22", "M25", "M28", "M29", "M30"),
    ),
    needs=METHOD,
    cases=_all_shapes,
)
def shapes(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _judged(w, p)


#: So short that no ReLU passes through 0 on the way.
LENGTHS = (2.0**-8, 2.0**-10, 2.0**-12)


def _straight(label: str, sizes: tuple[int, ...], N: int) -> Problem:
    """A case: a network and a direction of entries of a half and of one."""
    p = P.network(label, sizes, N)
    z = P.draws(f"{p.label}, direction", p.d)
    towards = tuple((np.sign(z + 1 / 256) * np.where(abs(z) > 0.5, 1, 0.5)).tolist())
    return replace(p, more={"towards": towards})


@cache
def _moved(p: Problem, length: float) -> Problem:
    steps = [length * v for v in p.more["towards"]]
    return replace(p, x=tuple(a + b for a, b in zip(p.x, steps, strict=True)))


@cache
def _slope_along(p: Problem) -> Any:
    """The derivative in the direction: a central difference in 60 digits."""
    h = OTHER.mp.mpf(10) ** truth.STEP
    ends = [
        [
            OTHER.number(a) + sign * h * v
            for a, v in zip(p.x, p.more["towards"], strict=True)
        ]
        for sign in (1, -1)
    ]
    right, left = (truth.value_by_matrices(OTHER, p.loss, end) for end in ends)
    return (right - left) / (2 * h)


@check(
    "NET-04",
    paper="section 6.1",
    claim="the gradient is that of the loss: along a line f(y + h v) - f(y) - h v.grad "
    "f(y) is as it must be, of second order in h, in networks of up to 210 parameters",
    truth="f by two routes at both ends; its derivative along the line from a central "
    "difference in 60 digits",
    route="MP2",
    tolerance=RUNNING + ", of both values and of h |v| times the gradient",
    mistakes=("M01", "M05", "M22", "M28", "M29"),
    needs=METHOD,
    cases=(
        _straight("line", (20, 10), 3),
        _straight("line", (12, 9, 6), 3),
        _straight("line", (9, 7, 6, 4), 4),
        _straight("line", (6, 5, 5, 4, 3), 3),
    ),
)
def taylor(w: Witness, p: Problem) -> Iterator[Finding]:
    value, slope = _expected(w, p, confirmed=False)
    base, gradient = _ask(w, p)
    v, reach = fractions(p.more["towards"]), size(p.more["towards"])
    along, true = fractions(gradient) @ v, _factor(w, p) * _slope_along(p)
    yield agree("v . gradient", along, true, reach * slope.tolerance(w))
    for h in LENGTHS:
        end = _expected(w, _moved(p, h), confirmed=False)[0]
        found = fractions([_ask(w, _moved(p, h))[0], base])
        rest = found[0] - found[1] - Fraction(h) * along
        expected = end.value - value.value - OTHER.number(h) * true
        slack = value.tolerance(w) + end.tolerance(w) + h * reach * slope.tolerance(w)
        yield agree(f"remainder at h = {h:g}", rest, expected, slack)


# --- what changes nothing -------------------------------------------------------------


def _reordered(sizes: Sequence[int], level: int, order: Any) -> Any:
    """Indices of the parameters after the units of a level are put in another order."""
    at, parts = 0, []
    for below, (inputs, outputs) in enumerate(pairwise(sizes)):
        W = at + np.arange(inputs * outputs).reshape(inputs, outputs)
        b = at + inputs * outputs + np.arange(outputs)
        if below == level:
            W = W[order]
        if below + 1 == level:
            W, b = W[:, order], b[order]
        parts += [W.ravel(), b]
        at += (inputs + 1) * outputs
    return np.concatenate(parts)


def _changed(
    p: Problem, label: str, order: Any = None, x: Any = None, **fields: Any
) -> Problem:
    """A case: a problem and, under "changed", one of the same loss."""
    kept = np.arange(p.d) if order is None else order
    moved = np.array(p.x)[kept] if x is None else x
    loss: Any = p.loss
    other = Problem(p.label, replace(loss, **fields), tuple(moved.tolist()))
    more = {"changed": other, "order": kept}
    return replace(p, label=f"{p.label}, {label}", more=more)


def _shifted(p: Problem, shift: float) -> Problem:
    loss: Any = p.loss
    x = np.array(p.x)
    x[len(x) - loss.sizes[-1] :] += shift
    return _changed(p, f"logits {shift:+g}", x=x)


def _turned(p: Problem, level: int) -> Problem:
    """The units of one level, from inputs to classes, in another order.

    Each moves by one place; but two classes change places, as labels off by one would
    turn with the others.
    """
    loss: Any = p.loss
    units, last = loss.sizes[level], len(loss.sizes) - 1
    turn = np.roll(np.arange(units), 1)
    fields: dict[str, Any] = {}
    if level == 0:
        fields["images"] = loss.images[:, turn]
    if level == last:
        turn = np.array([1, 0, *range(2, units)])
        fields["labels"] = turn[loss.labels]
    names = {0: "inputs", last: "classes"}
    said = f"{names.get(level, f'layer {level}')} in another order"
    return _changed(p, said, _reordered(loss.sizes, level, turn), **fields)


def _dealt(p: Problem) -> Problem:
    loss: Any = p.loss
    rows = np.roll(np.arange(len(loss.labels))[::-1], 1)
    fields = {"images": loss.images[rows], "labels": loss.labels[rows]}
    return _changed(p, "examples in another order", **fields)


def _invariances() -> list[Problem]:
    flat, one = P.network("net", (3, 4), 4), P.network("net", (4, 5, 3), 5)
    two = P.network("net", (3, 4, 3, 4), 4)
    return [
        *(_shifted(p, shift) for p in (flat, one) for shift in (900.0, -900.0)),
        *(_turned(one, level) for level in range(3)),
        *(_turned(two, level) for level in (1, 2)),
        *(_dealt(p) for p in (flat, one, two)),
    ]


@check(
    "NET-05",
    paper="section 6.1, (1)",
    claim="neither 900 on all logits nor the order of examples changes anything; "
    "hidden units, inputs and classes in another order take their gradient with them",
    truth="the subject's own answers to the base problem",
    route="MET",
    tolerance=RUNNING + ", of both sides",
    mistakes=("M02", "M06", "M07", "M09", "M10"),
    needs=METHOD,
    cases=_invariances,
)
def invariances(w: Witness, p: Problem) -> Iterator[Finding]:
    changed, order = p.more["changed"], p.more["order"]
    pairs = zip(
        _expected(w, p, confirmed=False),
        _expected(w, changed, confirmed=False),
        strict=True,
    )
    loose, loose_slope = (a.tolerance(w) + b.tolerance(w) for a, b in pairs)
    before, after = _ask(w, p), _ask(w, changed)
    yield agree("loss", after[0], before[0], loose)
    yield agree("gradient", after[1], before[1][order], loose_slope)


# --- extreme logits, ReLU at 0, the order of the parameters ---------------------------


def _extreme(sizes: tuple[int, ...], labels: Sequence[int]) -> Problem:
    """Logits (0, 900, -900) for every example."""
    logits = (0.0, 900.0, -900.0)
    p = _biases_only(f"labels {labels}", sizes, len(labels), (0.5,), logits)
    loss: Any = p.loss
    return replace(p, loss=replace(loss, labels=labels))


@check(
    "NET-06",
    paper="section 6.1",
    claim="logits (0, 900, -900) neither overflow nor lose the loss: 900, 0 and 1800 "
    "for the three labels",
    truth=BY_TWO,
    route="MP2",
    tolerance=RUNNING,
    mistakes=("M02", "M08", "M27"),
    needs=METHOD,
    cases=(
        _extreme((2, 3), [0]),
        _extreme((4, 3), [1]),
        _extreme((2, 4, 3), [2]),
        _extreme((3, 2, 3), [2, 0, 1, 2]),
    ),
)
def extreme_logits(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _judged(w, p)


def _on_the_kink(label: str, sizes: Any, images: Any, labels: Any, *x: Any) -> Problem:
    """A case: x layer by layer, W and b."""
    parts = [np.ravel(part) for part in x]
    data = Network(sizes, images, labels)
    return Problem(label, data, tuple(np.concatenate(parts).tolist()))


KINKS = (
    _on_the_kink(
        "both units at 0",
        (2, 2, 2),
        [[1.0, 0.5]],
        [1],
        [[0.5, -0.75], [-1.0, 1.5]],
        [0.0, 0.0],
        [[1.5, -0.5], [0.25, 0.75]],
        [0.125, -0.25],
    ),
    _on_the_kink(
        "one of three at 0, by its bias",
        (1, 3, 2),
        [[1.5], [-0.75]],
        [0, 1],
        [[0.5, 1.0, -1.25]],
        [-0.75, 0.25, 0.5],
        [[1.0, -0.75], [0.5, 0.25], [-1.5, 0.625]],
        [0.375, -0.125],
    ),
    _on_the_kink(
        "a unit of the second layer at 0",
        (2, 2, 2, 3),
        [[0.5, 1.0]],
        [2],
        [[1.0, 0.5], [0.5, -0.25]],
        [0.5, 1.0],
        [[0.5, 1.0], [-0.75, 0.5]],
        [0.0, 0.25],
        [[1.0, -0.5, 0.75], [0.25, 1.25, -0.75]],
        [0.125, 0.5, -0.25],
    ),
)


@check(
    "NET-07",
    paper="section 6.1",
    claim="where a ReLU is at exactly 0 its derivative is as declared: 0, or 1",
    truth="unit by unit in 40 digits with the declared derivative; all sums of the "
    "kinks are exact",
    route="CF",
    tolerance=RUNNING,
    mistakes=("M26",),
    needs=METHOD,
    cases=KINKS,
)
def relu_at_zero(w: Witness, p: Problem) -> Iterator[Finding]:
    value, slope = _expected(w, p, confirmed=False)
    measured, gradient = _ask(w, p)
    yield agree("loss", measured, value.value, value.tolerance(w))
    declared = int(w.conventions["network.relu_at_zero"])
    other = _expected(w, p, confirmed=False, reading=1 - declared)[1]
    elsewhere = agree("gradient", gradient, other.value, other.tolerance(w))
    note = f"network.relu_at_zero = {1 - declared} gives this" if elsewhere.ok else ""
    yield agree("gradient", gradient, slope.value, slope.tolerance(w), note)


def _column_major(sizes: Sequence[int]) -> Any:
    """Indices of the parameters if every W is stored column by column."""
    at, parts = 0, []
    for inputs, outputs in pairwise(sizes):
        W = at + np.arange(inputs * outputs).reshape(inputs, outputs)
        at += (inputs + 1) * outputs
        parts += [W.T.ravel(), np.arange(at - outputs, at)]
    return np.concatenate(parts)


@check(
    "NET-08",
    paper="none: the protocol",
    claim="the parameters and the gradient are flat in the same order: layer by layer, "
    "W (inputs x outputs) row by row, then b",
    truth=BY_TWO + "; W column by column as negative control, at half its distance",
    route="MP2",
    tolerance=RUNNING,
    mistakes=("M06", "M06G", "M25"),
    needs=METHOD,
    cases=(
        P.network("order", (3, 5), 3),
        P.network("order", (2, 5, 3), 3),
        P.network("order", (4, 3, 2, 3), 3),
    ),
)
def flat_order(w: Witness, p: Problem) -> Iterator[Finding]:
    loss: Any = p.loss
    value, slope = _expected(w, p)
    measured, gradient = _ask(w, p)
    yield agree("loss", measured, value.value, value.tolerance(w))
    yield agree("gradient", gradient, slope.value, slope.tolerance(w))
    order = _column_major(loss.sizes)
    misread = Problem(p.label, loss, tuple(np.array(p.x)[np.argsort(order)].tolist()))
    wrong = _factor(w, p) * truth.value(EXACT, loss, misread.x)
    gap = abs(wrong - value.value) / 2
    yield differs("loss against W column by column", measured, wrong, gap)
    columns = [slope.value[i] for i in order]
    gap = size(np.subtract(columns, slope.value).tolist()) / 2
    yield differs("gradient against W column by column", gradient, columns, gap)
