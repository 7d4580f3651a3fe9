"""Algorithm 4 with its draws given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import EXACT, size
from verification.checks._replay import (
    CYCLE_3,
    OUTPUT,
    REPLAYED,
    ROTATION_2,
    ROTATION_3,
    SHIFT_2,
    WITHIN,
    ask_samples,
    by_fives,
    fractions,
    joined,
    moved,
    numbered,
    raised,
    samples,
)
from verification.evidence.comparison import Finding, agree, not_below
from verification.losses import LossData, from_json
from verification.problems import Problem, sample
from verification.subject import Witness

BY_TWO = "the box in 40 digits, confirmed without its maximum, sample by sample"


def _shared(label: str, loss: LossData, tau: float, J: int, **more: Any) -> Any:
    """A problem for one, three and four workers, as far as there are samples."""
    numbers = [workers for workers in (1, 3, 4) if workers <= J]
    return [sample(label, loss, tau, J, workers=L, **more) for L in numbers]


def _weighed(w: Witness, p: Problem) -> Iterator[Finding]:
    runs = samples(p)
    for method, part in (("importance_mean", OUTPUT), ("importance_weights", WITHIN)):
        if w.provides(method):
            truth = joined(runs, part)
            measured = ask_samples(w, method, p)
            yield agree(method, measured, truth.value, truth.tolerance(w))


@check(
    "ALG4-R1",
    paper="Algorithm 4, (16)",
    claim="given its draws, the output and the weights on quadratics of all kinds, for "
    "one worker, three, four and five",
    truth=BY_TWO,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=(*numbered("I", *range(1, 6), *range(7, 22)), "X22", "X24"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        *_shared("quadratic d=1", P.QUADRATIC_1, 0.75, 1),
        *_shared("constant d=3", P.CONSTANT_3, 0.375, 5),
        *_shared("linear d=2", P.LINEAR_2, 0.5625, 5, n=3),
        *_shared("quadratic d=2", P.QUADRATIC_2, 0.25, 9),
        *_shared("indefinite quadratic d=3", P.INDEFINITE_3, 0.625, 13),
        *_shared("least squares d=3", P.LEAST_SQUARES_3, 1.5625, 5, n=3),
        *_shared("quadratic d=5", P.QUADRATIC_5, 0.25, 2, n=3),
        *_shared("quadratic d=2", P.STIFF_2, P.TINY, 9, n=3),
        sample("quadratic d=1", P.QUADRATIC_1, 0.75, 40, workers=3),
        sample("least squares d=2", P.LEAST_SQUARES_2, 0.5625, 40, workers=5),
    ),
)
def quadratics(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _weighed(w, p)


@check(
    "ALG4-R2",
    paper="Algorithm 4, (16)",
    claim="given its draws, the output and the weights on mixtures, for one worker, "
    "three, four and five",
    truth=BY_TWO,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=("I02", "I05", "I10", "I13", "I15", "I16", "I20", "I21", "X22"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        *_shared("mixture d=1", P.MIXTURE_1, 0.75, 2),
        *_shared("mixture d=2", P.MIXTURE_2, 0.25, 9, n=3),
        *_shared("mixture d=3", P.MIXTURE_3, 1.25, 13),
        *_shared("mixture d=1, rare component", P.RARE_1, 0.5625, 5, n=3),
        sample("mixture d=2", P.MIXTURE_2, 0.75, 41, workers=5),
        sample("mixture d=3", P.MIXTURE_3, P.TINY, 5),
    ),
)
def mixtures(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _weighed(w, p)


@check(
    "ALG4-R3",
    paper="Algorithm 4, (16)",
    claim="given its draws, the output and the weights on quartics, for one worker, "
    "three and four",
    truth=BY_TWO,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=("I01", "I03", "I04", "I09", "I14", "I18", "I19"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        *_shared("quartic d=1", P.QUARTIC_1, 0.75, 5),
        *_shared("quartic d=2", P.QUARTIC_2, 0.375, 13, n=3),
        *_shared("quartic d=3", P.QUARTIC_3, 0.5625, 9),
    ),
)
def quartics(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _weighed(w, p)


@check(
    "ALG4-R4",
    paper="Algorithm 4, (16)",
    claim="given its draws, the output and the weights on waves and wells, for one "
    "worker, three and four",
    truth=BY_TWO,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=("I07", "I08", "I11", "I12", "M17", "M18"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        *_shared("waves d=1", P.WAVES_1, 0.625, 2, n=3),
        *_shared("waves d=2", P.WAVES_2, 0.75, 9),
        *_shared("wells d=2", P.WELLS_2, 0.375, 5, n=3),
        *_shared("wells d=3", P.WELLS_3, 1.25, 13),
    ),
)
def waves_and_wells(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _weighed(w, p)


@check(
    "ALG4-R5",
    paper="Algorithm 4, (16), section 6.1",
    claim="given its draws, the output and the weights on the mean cross-entropy of "
    "networks, of one example and of several, for one worker, three and four",
    truth=BY_TWO,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=("I01", "I02", "I03", "I04", "I10", "I15"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        *_shared("softmax d=8", P.SOFTMAX_8, 0.75, 5, n=3),
        *_shared("relu d=14", P.RELU_14, 0.25, 9),
        *_shared("tanh d=14", P.TANH_14, 1.25, 5),
        *_shared("sigmoid d=17", P.SIGMOID_17, 0.5625, 9),
        *_shared("one example d=14", P.ONE_EXAMPLE_14, 0.375, 5),
    ),
)
def networks(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _weighed(w, p)


def _steep(loss: LossData) -> LossData:
    """The same loss times 400."""
    linear = {"c", "c2", "c3", "c4", "coupling", "H", "amplitude", "depths"}
    roots = {"A", "b"}  # least squares: f is quadratic in them
    data = loss.to_json()
    for name, value in data.items():
        factor = 400 if name in linear else 20 if name in roots else None
        if factor is not None:
            data[name] = (factor * np.array(value)).tolist()
    return from_json(data)


def _raised(p: Problem, rise: float) -> Problem:
    return raised(p, rise).more["changed"]


@check(
    "ALG4-U",
    paper="Algorithm 4, section 5.1.2",
    claim="neither overflow nor underflow: f + 800 and f - 800, 400 f (log-weights "
    "that differ by more than 700), centres far out",
    truth=BY_TWO,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=("I06", "I16", "I17"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        _raised(sample("quadratic d=2, f + 800", P.QUADRATIC_2, 0.25, 9), 800),
        _raised(sample("waves d=2, f - 800", P.WAVES_2, 0.75, 5, n=3), -800),
        _raised(sample("wells d=2, f + 800", P.WELLS_2, 0.375, 13, workers=4), 800),
        sample("400 times quartic d=1", _steep(P.QUARTIC_1), 0.75, 9),
        sample("400 times indefinite d=3", _steep(P.INDEFINITE_3), 1.25, 13, n=3),
        sample("400 times waves d=2", _steep(P.WAVES_2), 0.5625, 13, workers=3),
        sample(
            "400 times least squares d=2", _steep(P.LEAST_SQUARES_2), 0.75, 5, workers=4
        ),
        sample("mixture d=2, far out", P.MIXTURE_2, 0.25, 9, x=(60.0, -45.0)),
        sample(
            "mixture d=3, far out", P.MIXTURE_3, 1.25, 9, n=3, x=(-75.0, 40.0, 60.0)
        ),
    ),
)
def extreme(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _weighed(w, p)


@check(
    "ALG4-W",
    paper="Algorithm 4, (16)",
    claim="the normalised weights are exp(-f) over its sum; none is negative, their "
    "sum is 1, and the samples' mean under them is the output",
    truth=BY_TWO + "; 1; the subject's own output",
    route="MP2 ID",
    tolerance=REPLAYED
    + "; of the sum 4 J u, J - 1 roundings of it and one of a weight",
    mistakes=("I01", "I03", "I17"),
    needs=("importance_weights",),
    level="R",
    cases=(
        sample("constant d=3", P.CONSTANT_3, 0.375, 7, n=3),
        sample("quadratic d=1", P.QUADRATIC_1, 0.75, 1),
        sample("least squares d=2", P.LEAST_SQUARES_2, 0.25, 9, workers=3),
        sample("mixture d=3", P.MIXTURE_3, 1.25, 13, n=3, workers=4),
        sample("quartic d=2", P.QUARTIC_2, 0.5625, 5, n=3),
        sample("400 times wells d=2", _steep(P.WELLS_2), 0.375, 13),
    ),
)
def weights(w: Witness, p: Problem) -> Iterator[Finding]:
    runs = samples(p)
    truth = joined(runs, WITHIN)
    measured = ask_samples(w, "importance_weights", p)
    yield agree("weights", measured, truth.value, truth.tolerance(w))
    yield not_below("smallest weight", measured.min(), 0.0, 0.0)
    sums = fractions(measured).sum(axis=1)
    J, n = p.more["samples"], len(measured)
    slack = 4 * w.unit_roundoff * J * n**0.5
    yield agree("sum of the weights", sums, [1] * n, slack)
    if w.provides("importance_mean"):
        points = _points(p)
        mean = np.array(
            [v @ y for v, y in zip(fractions(measured), points, strict=True)]
        )
        # |sum of dw_j x^j| <= |dw| |x|, by Cauchy and Schwarz
        slack = joined(runs, OUTPUT).tolerance(w)
        slack += truth.tolerance(w) * size(points.tolist())
        output = ask_samples(w, "importance_mean", p)
        yield agree("mean under the weights", output, mean, slack)


def _points(p: Problem) -> Any:
    """The samples x + sqrt(tau) z as fractions, to 40 digits: (n, J, d)."""
    sd = EXACT.mp.sqrt(p.tau)
    root = Fraction(int(EXACT.mp.floor(sd * 2**120)), 2**120)
    return fractions(p.x) + root * fractions(p.more["draws"])


def _permuted(p: Problem) -> Problem:
    """A case: a problem and, under "changed", itself with its samples reordered."""
    order = [(5 * j + 2) % p.more["samples"] for j in range(p.more["samples"])]
    other = replace(p, more={**p.more, "draws": p.more["draws"][:, order]})
    more = {**p.more, "changed": other, "order": order, "move": None}
    return Problem(f"{p.label}, permuted", p.loss, p.x, p.tau, more)


_MOVES = (
    ("moved", SHIFT_2, sample("waves d=2", P.WAVES_2, 0.625, 9, workers=3)),
    ("turned", CYCLE_3, sample("indefinite d=3", P.INDEFINITE_3, 1.25, 9, n=3)),
    ("rotated", ROTATION_2, by_fives(sample("wells d=2", P.WELLS_2, 0.375, 13))),
    ("rotated", ROTATION_3, by_fives(sample("mixture d=3", P.MIXTURE_3, 0.75, 9, n=3))),
)


@check(
    "ALG4-M",
    paper="Algorithm 4",
    claim="f + c and the order of the samples, whoever has them, change nothing; the "
    "output moves and turns with f, x and the draws, and no weight does",
    truth="the subject's own answers to the base problem",
    route="MET",
    tolerance=REPLAYED + ", of both sides",
    mistakes=("I06", "I08", "I09", "I12", "I18", "M18"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        raised(sample("quadratic d=2", P.QUADRATIC_2, 0.25, 9, n=3), 800),
        raised(sample("wells d=2", P.WELLS_2, 0.375, 5, workers=3), -800),
        _permuted(sample("quartic d=2", P.QUARTIC_2, 0.5625, 13, n=3)),
        _permuted(sample("mixture d=1", P.MIXTURE_1, 0.75, 9, workers=4)),
        _permuted(sample("least squares d=3", P.LEAST_SQUARES_3, 0.25, 7, workers=3)),
        *(moved(p, name, move) for name, move, p in _MOVES),
    ),
)
def metamorphic(w: Witness, p: Problem) -> Iterator[Finding]:
    changed, move = p.more["changed"], p.more["move"]
    order = p.more.get("order", slice(None))
    before, after = samples(p), samples(changed)
    for method, part in (("importance_mean", OUTPUT), ("importance_weights", WITHIN)):
        if not w.provides(method):
            continue
        slack = joined(before, part).tolerance(w) + joined(after, part).tolerance(w)
        base = ask_samples(w, method, p)
        if part == WITHIN:
            base = base[:, order]
        elif move is not None:
            base = move(base)
        yield agree(method, ask_samples(w, method, changed), base, slack)
