"""Losses that see part of the parameter space only, with the subject's own randomness.

A network with one minibatch fixed sees its first layer through the directions that its
images, and the ones of the biases, span.  Where it sees nothing the noise of
Algorithms 3, 4 and 5 has an exact law whatever the network: a subject that draws it
apart, to save time, is judged by that law, and every other subject too.  In the
directions that are seen, and jointly, the law is exact for wide least squares, for a
single move and for a single sample; and along a single direction, see `span_seen`.

Where a replicate gives several rows of scores, each row counts as a replicate: an error
that all of them have shows that much sooner, and one that only a single row has is
diluted by their number, in each mean, variance and correlation that is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import chdtr, chdtrc, ndtri_exp

from verification import problems as P
from verification.checks._check import check
from verification.checks._laws import (
    ERRORS,
    Array,
    chain_law,
    descent_law,
    require_batches,
    step_sizes,
    whitened,
)
from verification.checks._trial import Trial
from verification.evidence.comparison import Finding, agree
from verification.evidence.sequential import Plan, judge_normal
from verification.losses import Constant, LeastSquares, Linear, Network
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import output_laws as laws

# --- the losses -----------------------------------------------------------------------

#: Three rows in five dimensions, one of them twice; and two in four, one the half of
#: the other: both see two directions less than they have rows and columns.
REPEATED = LeastSquares(
    [
        [1.5, -0.75, 0.5, 0.25, 1.0],
        [0.25, 1.25, -1.0, 0.75, -0.5],
        [1.5, -0.75, 0.5, 0.25, 1.0],
    ],
    [2.5, -3.0, 1.75],
)
HALVED = LeastSquares([[2.0, -1.0, 0.5, 1.5], [1.0, -0.5, 0.25, 0.75]], [3.5, -2.25])
#: Six rows in eight dimensions, of which a minibatch takes two.
WIDE = LeastSquares(P.draws("wide, rows", 6, 8), P.draws("wide, targets", 6))

PIXELS = 9  # and as many hidden units: both layers are matrices of PIXELS + 1 rows
CLASSES = 3


def _photographs(label: str, activation: str, scale: float, more: int = 0) -> Network:
    """Images with a dead pixel and a bright one, of which one is black, one twice.

    With the ones of the biases they span three directions of ten, and one more for each
    further image.
    """
    images = scale * P.draws(f"{label}, photographs", 4 + more, PIXELS)
    images[:, 2], images[:, 5] = 0.0, scale
    images[2] = images[0]
    images[3] = 0.0
    labels = (0, 2, 1, 1, 0, 2)[: 4 + more]
    return Network((PIXELS, PIXELS, CLASSES), images, labels, activation)


RELU = _photographs("relu", "relu", 1.0)
TANH = _photographs("tanh", "tanh", 0.25)
DEALT = _photographs("dealt", "relu", 1.0, more=2)
BATCHES = np.array([[0, 1, 2], [3, 4, 0], [2, 5, 1]])


def _of_network(label: str, loss: Network, tau: float, **more: Any) -> Problem:
    said = f"{loss.activation} {'-'.join(map(str, loss.sizes))}, {label}"
    return at(said, loss, tau, _weights(said, loss), **more)


def _weights(label: str, loss: Network) -> tuple[float, ...]:
    """Parameters that bend no unit to its limits and make the first layer matter."""
    first = (PIXELS + 1) * PIXELS
    z = P.weights(label, loss.d, 1.0)
    return (*(0.25 * v for v in z[:first]), *(4.0 * v for v in z[first:]))


def _basis(loss: Any) -> tuple[Array, int]:
    """Orthonormal rows (10, 10), those that the images and the ones span first."""
    seen = np.hstack([loss.images, np.ones((len(loss.images), 1))])
    _, singular, rows = np.linalg.svd(seen)
    return rows, int(np.sum(singular > 1e-9 * singular[0]))


def _by_unit(loss: Any, scores: Array) -> Array:
    """Scores (..., d) by unit, (..., units, 10), the first layer's in the basis.

    Rows are the 9 hidden units and the 3 classes, columns their incoming weights.
    """
    rows, _ = _basis(loss)
    cut = (PIXELS + 1) * PIXELS
    shape = (*scores.shape[:-1], PIXELS + 1)
    first = rows @ scores[..., :cut].reshape(*shape, PIXELS)
    last = scores[..., cut:].reshape(*shape, CLASSES)
    return np.swapaxes(np.concatenate([first, last], axis=-1), -1, -2)


def _unseen(loss: Any, scores: Array) -> Array:
    """Those of the directions that no image shows: (..., hidden units, directions)."""
    _, rank = _basis(loss)
    return _by_unit(loss, scores)[..., :PIXELS, rank:]


def _hidden_directions(loss: Any) -> Array:
    """The same directions as rows of the parameter space, unit by unit: (m, d)."""
    return np.moveaxis(_unseen(loss, np.eye(loss.d)), 0, -1).reshape(-1, loss.d)


def _rows(ask: Callable[[int], Array], each: int) -> Callable[[int], Any]:
    """Draws of rows where a replicate gives several, independent in a right subject."""

    def draw(n: int) -> Any:
        return ask(-(-n // each))[:n]

    return draw


def _closely(plan: Plan, parts: int) -> Plan:
    """Differences that much smaller: rows are many, a replicate gives dozens."""
    return replace(
        plan,
        mean=plan.mean / parts,
        log_variance=plan.log_variance / parts,
        correlation=plan.correlation / parts,
        budget=parts**2 * plan.budget,
    )


def _by_rows(count: int, what: str) -> str:
    """What rows in place of replicates mean for an error that few of them have."""
    return (
        f"; a replicate gives {count} rows, one for each {what}, which are independent "
        f"in a right subject: an error confined to one of the {count} is diluted "
        f"{count} times in what is judged"
    )


HIDDEN, UNITS = PIXELS, PIXELS + CLASSES

# --- Algorithm 3 ----------------------------------------------------------------------

STEPS = (0.5625, 1.0, 0.390625, 0.765625)
START = (0.75, -0.5, 1.25, 0.25, -1.0)


@check(
    "SPAN-01",
    paper="Algorithm 3, section 6.1",
    claim="on least squares of fewer directions than parameters the output is Gaussian "
    "with the exact law in all of them, from any start",
    truth="adjoint recursion; agrees with the joint covariance of all draws",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=("R01", "R02", "R03", "R08", "R09", "R10"),
    needs=("sgld_mean",),
    cases=(
        at(
            "least squares d=5, a row twice",
            REPEATED,
            0.375,
            step_sizes=STEPS,
            start=START,
        ),
        at(
            "least squares d=4, rank 1",
            HALVED,
            0.625,
            step_sizes=STEPS[:3],
            start=START[1:],
        ),
    ),
)
def wide_squares(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    draw = whitened(chains(w, p), chain_law(w, p).whiten, t)
    yield judge_normal("whitened outputs", draw, t.plan)


def chains(w: Witness, p: Problem) -> Callable[..., Any]:
    """Outputs of Algorithm 3 on a case: ``ask(n, seed)`` gives (n, d)."""

    def ask(n: int, seed: int) -> Any:
        started = {"start": p.more["start"]} if "start" in p.more else {}
        given = (p.loss, p.x, p.tau, step_sizes(p))
        return w.sgld_mean(*given, n=n, seed=seed, **started)

    return ask


def _of_run(w: Witness, p: Problem, losses: list[Any], x: Any) -> laws.Gaussian:
    """The joint law of x_1, ..., x_K for these losses, in the subject's reading."""
    chain, output = w.conventions["sgld.chain"], w.conventions["sgld.output"]
    taus, steps = p.more["taus"], step_sizes(p)
    return laws.sgld_run(losses, x, taus, steps, chain=chain, output=output)


def _runs(w: Witness, p: Problem, t: Trial) -> Callable[[int], Array]:
    """Iterates x_1, ..., x_K of so many runs, (n, K, d)."""
    record = {"tau": list(p.more["taus"]), "start": "previous"}
    record["step_sizes"] = list(p.more["step_sizes"])
    seeds, batches = t.seeds(), p.more["batches"]

    def run() -> Any:
        keywords = {"batches": batches, "seed": next(seeds)}
        return w.train(p.loss, p.x, "sgld", record, **keywords)[1:]

    return lambda n: np.array([run() for _ in range(n)])


@check(
    "SPAN-02",
    paper="Algorithm 3, sections 5.1.1 and 6.2",
    claim="in a run with warm starts, each update with a minibatch that sees other "
    "directions, x_1, ..., x_K are jointly Gaussian with the exact law: it counts in "
    "full where a chain ended, together with its output",
    truth="moments carried from update to update; agree with the loadings of all draws",
    route="LAW",
    tolerance=ERRORS + _by_rows(8, "parameter"),
    level="S",
    mistakes=("R01", "R02", "R05", "R06", "R09", "R10"),
    needs=("train",),
    cases=(
        at(
            "least squares d=8, two rows at a time",
            WIDE,
            0.5,
            taus=(0.5, 0.75, 0.375),
            step_sizes=STEPS[:3],
            batches=np.array([[0, 3], [4, 1], [5, 2]]),
        ),
    ),
)
def wide_runs(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    require_batches(w)
    losses = [laws.restricted(p.loss, rows) for rows in p.more["batches"]]
    law, ask = _of_run(w, p, losses, p.x), _runs(w, p, t)

    def rows(n: int) -> Array:
        scores = law.whiten(ask(n).reshape(n, -1)).reshape(n, len(losses), p.d)
        return np.swapaxes(scores, 1, 2).reshape(-1, len(losses))

    yield judge_normal("whitened iterates", _rows(rows, p.d), t.plan)


COEFFICIENT = 0.5
"""Of the gradient in a single direction, which may be a small part of it."""


@check(
    "SPAN-03",
    paper="Algorithm 3, section 6.1",
    claim="the first move of a network's chain is Gaussian with the mean of its "
    "gradient and the same noise everywhere: images, biases, other layers, and where "
    "the images show nothing",
    truth="adjoint recursion for the linear loss of the same slope",
    route="LAW",
    tolerance=ERRORS + _by_rows(UNITS, "unit"),
    level="S",
    mistakes=("R02", "R07", "R08", "R09", "R10"),
    needs=("sgld_mean",),
    cases=(
        _of_network("first move", RELU, 0.75, step_sizes=(9.0, 4.0)),
        _of_network(
            "first move from another start",
            TANH,
            0.375,
            step_sizes=(16.0, 6.25),
            start=_weights("another start", TANH),
        ),
    ),
)
def first_moves(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    if w.conventions["sgld.chain"] == "new-states":
        p = replace(p, more={**p.more, "step_sizes": p.more["step_sizes"][:1]})
    slope = p.loss.gradient(np.array(p.more.get("start", p.x)))
    law = chain_law(w, p, loss=Linear(slope, 0.0))
    flat = chain_law(w, p, loss=Constant(0.0, p.d))
    towards = _by_part(p.loss, flat.whiten(law.mean[None])[0])
    asked = whitened(chains(w, p), law.whiten, t)
    units = len(towards)

    def draw(n: int) -> tuple[Array, Array]:
        runs = -(-n // units)
        scores = _by_unit(p.loss, asked(runs)).reshape(-1, PIXELS + 1)
        return scores[:n], np.tile(towards, (runs, 1, 1))[:n]

    plan = replace(t.plan, direction=COEFFICIENT, budget=4 * t.plan.budget)
    yield judge_normal("whitened outputs", draw, plan)


def _by_part(loss: Any, shift: Array) -> Array:
    """A shift (d,) by unit and in parts, (units, R, 10).

    They are the directions that the images show, one by one, and the last layer.
    """
    _, rank = _basis(loss)
    of_units = _by_unit(loss, shift)
    parts = np.zeros((len(of_units), rank + 1, PIXELS + 1))
    for k in range(rank):
        parts[:PIXELS, k, k] = of_units[:PIXELS, k]
    parts[PIXELS:, rank] = of_units[PIXELS:]
    return parts


@check(
    "SPAN-04",
    paper="Algorithm 3, section 6.1",
    claim="where a network's images show nothing the output is Gaussian with the mean "
    "and the variance of the average of a free chain, for any J",
    truth="adjoint recursion for a constant loss",
    route="LAW",
    tolerance=ERRORS + ", of the 63 coordinates' mean and of their squares' sum: an "
    "error confined to one of the 63 is diluted 8 times in the one, 63 times in the "
    "other",
    level="S",
    mistakes=("R01", "R03", "R04"),
    needs=("sgld_mean",),
    cases=(
        _of_network("J = 4", RELU, 0.625, step_sizes=STEPS),
        _of_network(
            "J = 7 from another start",
            TANH,
            0.375,
            step_sizes=(0.25, 0.5625, 0.140625, 0.390625, 0.25, 0.0625, 0.5625),
            start=_weights("another start", TANH),
        ),
    ),
)
def unseen_chains(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    law = chain_law(w, p, loss=Constant(0.0, p.d))

    def score(outputs: Array) -> Array:
        unseen = _unseen(p.loss, law.whiten(outputs))
        return _mean_and_spread(unseen.reshape(len(outputs), -1))

    draw = whitened(chains(w, p), score, t)
    yield judge_normal("normal scores of mean and spread", draw, t.plan)


def _mean_and_spread(u: Array) -> Array:
    """Two independent standard normals from each of m, (n, m) to (n, 2).

    The normalised sum, and the normal score of the squares about the mean, chi^2 with
    m - 1 degrees: it sees a common factor of the variance that no coordinate shows.
    """
    mean, m = u.mean(axis=1), u.shape[1]
    squares = ((u - mean[:, None]) ** 2).sum(axis=1)
    with np.errstate(divide="ignore"):
        below, above = np.log(chdtr(m - 1, squares)), np.log(chdtrc(m - 1, squares))
    # the smaller tail has the digits
    spread = np.where(below < above, ndtri_exp(below), -ndtri_exp(above))
    return np.column_stack([np.sqrt(m) * mean, spread])


@check(
    "SPAN-05",
    paper="Algorithm 3, sections 5.1.1 and 6.2",
    claim="in a network's run with warm starts x_1, ..., x_K are jointly Gaussian with "
    "the exact law in the directions that no minibatch shows",
    truth="moments carried from update to update; agree with the loadings of all draws",
    route="LAW",
    tolerance=ERRORS + _by_rows(45, "hidden unit and unseen direction"),
    level="S",
    mistakes=("R01", "R03", "R05", "R06"),
    needs=("train",),
    cases=(
        _of_network(
            "three minibatches",
            DEALT,
            0.5,
            taus=(0.5, 0.75, 0.375),
            step_sizes=STEPS[:3],
            batches=BATCHES,
        ),
    ),
)
def unseen_runs(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    require_batches(w)
    K = len(p.more["taus"])
    law = _of_run(w, p, [Constant(0.0, 1)] * K, [0.0])  # of the distance from x_0
    ask = _runs(w, p, t)

    def rows(n: int) -> Array:
        unseen = _unseen(p.loss, ask(n) - np.array(p.x))
        return law.whiten(np.moveaxis(unseen, 1, -1).reshape(-1, K))

    each = PIXELS * (PIXELS + 1 - _basis(p.loss)[1])
    yield judge_normal("whitened iterates", _rows(rows, each), _closely(t.plan, 2))


# --- Algorithm 4 ----------------------------------------------------------------------


def samples(w: Witness, p: Problem, method: str) -> Callable[..., Any]:
    """What a method makes of the samples of a case: ``ask(n, seed)``."""

    def ask(n: int, seed: int) -> Any:
        given = (p.loss, p.x, p.tau, p.more["samples"])
        return getattr(w, method)(*given, n=n, seed=seed)

    return ask


@check(
    "SPAN-06",
    paper="Algorithm 4, (16), section 6.1",
    claim="where a network's images show nothing the output less x is normal with "
    "variance tau sum w^2, w the weights it was made with",
    truth="given the weights the output is a sum of normals",
    route="LAW",
    tolerance=ERRORS + _by_rows(HIDDEN, "hidden unit"),
    level="S",
    mistakes=("R01", "R11"),
    needs=("importance_mean", "importance_weights"),
    cases=(
        _of_network("J = 12", RELU, 0.625, samples=12),
        _of_network("J = 5", TANH, 1.5, samples=5),
    ),
)
def unseen_samples(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    along, seeds = _hidden_directions(p.loss), t.seeds()
    outputs, weights = (
        samples(w, p, name) for name in ("importance_mean", "importance_weights")
    )

    def rows(n: int) -> Array:
        seed = next(seeds)
        mean, shares = outputs(n=n, seed=seed), weights(n=n, seed=seed)
        scores = laws.flat_scores(p.x, p.tau, mean, shares, along)
        return scores.reshape(-1, len(along) // PIXELS)

    yield judge_normal("normal scores", _rows(rows, PIXELS), t.plan)


@check(
    "SPAN-07",
    paper="Algorithm 4, (16), section 6.1",
    claim="a network's output from one sample is N(x, tau I); that of least squares "
    "whose rows are zero, where all weights are equal, is N(x, tau/J I)",
    truth="the law of a mean of normals",
    route="LAW",
    tolerance=ERRORS + _by_rows(UNITS, "unit") + ", for the network",
    level="S",
    mistakes=("R01", "R02", "R14", "R21", "R22"),
    needs=("importance_mean",),
    cases=(
        _of_network("J = 1", RELU, 0.625, samples=1),
        at(
            "least squares d=3, zero rows, J = 6",
            LeastSquares(np.zeros((2, 3)), [0.5, -1.25]),
            0.75,
            samples=6,
        ),
    ),
)
def equal_weights(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    law = laws.importance(Constant(0.0, p.d), p.x, p.tau, p.more["samples"])
    asked = whitened(samples(w, p, "importance_mean"), law.whiten, t)

    def by_unit(n: int) -> Array:
        return _by_unit(p.loss, asked(n)).reshape(-1, PIXELS + 1)

    network = p.loss.kind == "network"
    draw = _rows(by_unit, PIXELS + CLASSES) if network else asked
    yield judge_normal("whitened outputs", draw, t.plan)


# --- Algorithm 5 ----------------------------------------------------------------------


def descents(w: Witness, p: Problem) -> Callable[..., Any]:
    """Outputs of Algorithm 5 on a case: ``ask(n, seed)`` gives (n, d)."""

    def ask(n: int, seed: int) -> Any:
        given = (p.loss, p.x, p.tau, step_sizes(p), p.more["inner_samples"])
        return w.robbins_monro(*given, n=n, seed=seed)

    return ask


DEVIATIONS = 10
"""No sample is farther out, but for one in 1e23."""


def stays(w: Witness, p: Problem, along: Array, outputs: Array) -> Finding:
    """Where f shows nothing the output is x, to rounding.

    Every move adds M gradients of a bounded size; sums of so many products, and of d
    more where the directions are changed, are rounded as often, at numbers no larger
    than the centre and what the moves may add to it.
    """
    a, M = step_sizes(p), p.more["inner_samples"]
    reach = np.abs(p.x).max() + p.tau * a.sum() * _steepest(p)
    roundings = 4 * len(a) * (M + 2 * p.d)
    tolerance = roundings * w.unit_roundoff * reach * np.sqrt(len(outputs) * len(along))
    moved = (outputs - np.array(p.x)) @ along.T
    note = "the noise acts through grad f alone"
    return agree("unseen part", moved, np.zeros_like(moved), float(tolerance), note)


def _steepest(p: Problem) -> float:
    """A bound of the entries of grad f, and of the terms they are the sums of."""
    far = np.abs(p.x).max() + DEVIATIONS * np.sqrt(p.tau)
    loss: Any = p.loss
    if loss.kind == "network":
        return float(np.abs(loss.images).max(initial=1.0) * CLASSES * far)
    A = np.abs(loss.A)
    return float((A.T @ (A.sum(axis=1) * far + np.abs(loss.b))).max() / len(loss.b))


@check(
    "SPAN-08",
    paper="Algorithm 5, (17), section 6.1",
    claim="on least squares of fewer directions than parameters the output is Gaussian "
    "with the exact law in these directions, and x itself across",
    truth="forward recursion; agrees with the joint covariance of all draws; x",
    route="LAW CF",
    tolerance=ERRORS + "; rounding alone across",
    level="S",
    mistakes=("R12", "R18", "R19", "R20"),
    needs=("robbins_monro",),
    cases=(
        at(
            "least squares d=5, a row twice",
            REPEATED,
            0.625,
            step_sizes=(0.375, 0.25, 0.1875),
            inner_samples=2,
        ),
        at(
            "least squares d=4, rank 1",
            HALVED,
            0.75,
            step_sizes=(0.25, 0.1875, 0.125, 0.125),
            inner_samples=3,
        ),
    ),
)
def wide_descents(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    loss: Any = p.loss
    _, singular, rows = np.linalg.svd(loss.A)
    rank = int(np.sum(singular > 1e-9 * singular[0]))
    seen, across = rows[:rank], rows[rank:]
    whole, kept = descent_law(w, p), []
    law = laws.Gaussian(seen @ whole.mean, seen @ whole.covariance @ seen.T)

    def score(outputs: Array) -> Array:
        kept.append(outputs)
        return law.whiten(outputs @ seen.T)

    draw = whitened(descents(w, p), score, t)
    yield judge_normal("whitened outputs", draw, t.plan)
    yield stays(w, p, across, np.concatenate(kept))


@check(
    "SPAN-09",
    paper="Algorithm 5, (17), section 6.1",
    claim="where a network's images show nothing the output is x itself",
    truth="x",
    route="CF",
    tolerance="rounding alone, of numbers as large as samples within ten deviations "
    "make them",
    level="R",
    mistakes=("R12",),
    needs=("robbins_monro",),
    cases=(
        _of_network(
            "descent", RELU, 0.75, step_sizes=(0.5, 0.3125, 0.25), inner_samples=3
        ),
        _of_network("descent", TANH, 0.375, step_sizes=(0.75, 0.375), inner_samples=2),
    ),
)
def unseen_descents(w: Witness, p: Problem) -> Iterator[Finding]:
    outputs = descents(w, p)(n=4, seed=1)
    yield stays(w, p, _hidden_directions(p.loss), outputs)
    moved = np.abs(outputs - np.array(p.x)).max(axis=1)
    yield agree("outputs that are x itself", int((moved == 0).sum()), 0, 0)
