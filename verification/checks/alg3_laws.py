"""Algorithm 3 with the subject's own randomness: the law of its outputs and states.

On a quadratic the output is exactly Gaussian, also for few and unstable steps, so the
designs are those in which the known mistakes change the law most, not those of the
paper's experiments, in which they hardly show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._laws import (
    ERRORS,
    Array,
    chain_law,
    designed,
    step_sizes,
    whitened,
)
from verification.checks._trial import Trial
from verification.evidence.comparison import Finding, not_above
from verification.evidence.designs import NOISE_PROBE, SGLD_4, SGLD_5
from verification.evidence.sequential import judge_normal
from verification.losses import GaussianWells, LeastSquares, Trigonometric
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import output_laws as laws


def _asked(w: Witness, p: Problem, method: str = "sgld_mean") -> Callable[..., Any]:
    def ask(n: int, seed: int) -> Any:
        keywords = {"start": p.more["start"]} if "start" in p.more else {}
        given = (p.loss, p.x, p.tau, step_sizes(p))
        return getattr(w, method)(*given, n=n, seed=seed, **keywords)

    return ask


def _output(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    draw = whitened(_asked(w, p), chain_law(w, p).whiten, t)
    yield judge_normal("whitened outputs", draw, t.plan)


@check(
    "ALG3-L1",
    paper="Algorithm 3",
    claim="on a quadratic the output is Gaussian with the exact mean and covariance",
    truth="adjoint recursion; agrees with the joint covariance of all draws",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(*(f"S{k:02d}" for k in range(1, 38)), "X01", "X05", "X10"),
    needs=("sgld_mean",),
    cases=(designed(SGLD_4),),
)
def short_chain(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    yield from _output(w, p, t)


@check(
    "ALG3-L2",
    paper="Algorithm 3",
    claim="the same for a longer chain and another variance tau",
    truth="adjoint recursion; agrees with the joint covariance of all draws",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "S03",
        "S05",
        "S06",
        "S07",
        "S18",
        "S27",
        "S33",
    ),
    needs=("sgld_mean",),
    cases=(designed(SGLD_5),),
)
def long_chain(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    yield from _output(w, p, t)


UNEVEN = (0.5625, 0.25, 1.0, 0.140625, 0.390625)
WARM = (0.25, 0.5, -0.75, 1.25, -0.375)


@check(
    "ALG3-L3",
    paper="Algorithm 3, section 5.1.1",
    claim="the same in one and five dimensions, on least squares, from another start",
    truth="adjoint recursion; agrees with the joint covariance of all draws",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "S21",
        "S29",
        "S30",
        "X09",
    ),
    needs=("sgld_mean",),
    cases=(
        at("quadratic d=1", P.QUADRATIC_1, 0.75, step_sizes=UNEVEN, start=WARM[:1]),
        at("quadratic d=5", P.QUADRATIC_5, 0.625, step_sizes=UNEVEN, start=WARM),
        at(
            "least squares d=2",
            P.LEAST_SQUARES_2,
            0.375,
            step_sizes=UNEVEN,
            start=WARM[:2],
        ),
    ),
)
def warm_chain(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    yield from _output(w, p, t)


PROBE = 50_000
"""Outputs, enough to see noise that is cut off at two deviations."""

BINS = (8, 16, 64)
TIES = 3
"""Repeated outputs: more of them betray few digits, or a copy."""


@check(
    "ALG3-N",
    paper="Algorithm 3",
    claim="the noise of one move is normal: its shape, not only mean and variance",
    truth="adjoint recursion; equiprobable bins of the standard normal",
    route="LAW",
    tolerance=ERRORS + "; the shape is judged on a fixed number of outputs",
    level="S",
    mistakes=(
        "S38",
        "S39",
        "S40",
    ),
    needs=("sgld_mean",),
    cases=(designed(NOISE_PROBE),),
)
def noise(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    law, kept = chain_law(w, p), [np.empty((0, p.d))]

    def score(outputs: Array) -> Array:
        kept.append(outputs)
        return law.whiten(outputs)

    plan = replace(t.plan, budget=max(t.plan.budget, PROBE))
    draw = whitened(_asked(w, p), score, t)
    yield judge_normal("whitened outputs", draw, plan, bins=BINS, at_least=PROBE)
    if w.dtype == "float64":
        first = np.concatenate(kept)[:, 0]
        again = len(first) - len(np.unique(first))
        note = "an output in float64 repeats another with probability 1e-7"
        yield not_above("outputs that repeat another", again, TIES, 0, note)


@check(
    "ALG3-S",
    paper="Algorithm 3, section 5.1.1",
    claim="with a constant step the chain settles at variance "
    "1/(beta (1 - eps beta/4)), beta = lambda + 1/tau, not at that of q",
    truth="adjoint recursion for the last of many states",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "S02",
        "S03",
        "S04",
        "S34",
    ),
    needs=("sgld_trace",),
    cases=(
        at(
            "quadratic d=2, constant step", P.QUADRATIC_2, 0.25, step_sizes=[0.375] * 12
        ),
        at("quadratic d=1, constant step", P.QUADRATIC_1, 0.75, step_sizes=[0.5] * 12),
    ),
)
def stationary(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    law = laws.sgld_state(
        p.loss,
        p.x,
        p.tau,
        step_sizes(p),
        len(step_sizes(p)),
        chain=w.conventions["sgld.chain"],
    )

    def score(traces: Array) -> Array:
        return law.whiten(traces[:, -1])

    draw = whitened(_asked(w, p, "sgld_trace"), score, t)
    yield judge_normal("whitened last states", draw, t.plan)


def _innovations(w: Witness, p: Problem, traces: Array) -> tuple[Array, Array]:
    """The noise that moved the chains, and how a wrong coefficient would bend it.

    Given the state, noise and state are independent, so that the rows, in the order of
    the moves, are independent standard normals whatever the loss.  The directions are
    what the gradient and the pull contribute, so that an error in one of the two
    coefficients shifts the mean along one of them by its relative size.
    """
    eps = step_sizes(p)
    if w.conventions["sgld.chain"] == "new-states":
        first = np.broadcast_to(p.more["start"], traces[:, :1].shape)
        traces = np.concatenate([first, traces], axis=1)
    else:
        eps = eps[:-1]
    old, new = traces[:, :-1], traces[:, 1:]
    slope, pull = p.loss.gradient(old), (np.array(p.x) - old) / p.tau
    root = np.sqrt(eps)[:, None]
    noise = (new - old + 0.5 * root**2 * (slope - pull)) / root
    towards = 0.5 * root[..., None] * np.stack([slope, pull], axis=2)
    return noise.reshape(-1, p.d), towards.reshape(-1, 2, p.d)


STEPS = np.array([1.0, 0.5625, 1.25, 0.25, 1.0, 0.75, 1.5, 0.375, 1.0])

# Steep enough, with steps long enough, for the gradient and the pull to bend the noise
# by half a standard deviation each in a typical move; on the quartic short enough that
# six deviations do not throw the chain to where it diverges.
STEEP_WELLS = GaussianWells([5.0, 7.5], [[-1.0], [1.25]], [[[0.25]], [[0.75]]], 0.5)
STEEP_WAVES = Trigonometric(
    [2.5, 1.75],
    [[1.5, -0.75], [0.5, 2.25]],
    [0.25, -0.625],
    [[0.75, 0.25], [0.25, 1.125]],
    [0.5, -0.25],
)
STEEP_SQUARES = LeastSquares(2 * P.LEAST_SQUARES_3.A, P.LEAST_SQUARES_3.b)


@check(
    "ALG3-T",
    paper="Algorithm 3",
    claim="for any loss the moves less their drift, over sqrt(eps), are independent "
    "standard normals, and neither term of the drift is off by a fifth",
    truth="the drift of the box at the subject's own states",
    route="LAW",
    tolerance=ERRORS,
    level="T",
    mistakes=(
        "S01",
        "S02",
        "S03",
        "S04",
        "S05",
        "S06",
        "S07",
        "S08",
        "S23",
        "S24",
        "S25",
        "S28",
        "S31",
        "S34",
        "S35",
    ),
    needs=("sgld_trace",),
    cases=[
        at(label, loss, tau, step_sizes=scale * STEPS, start=WARM[: loss.d])
        for label, loss, tau, scale in (
            ("double wells d=2", P.DOUBLE_WELL_2, 0.25, 0.109375),
            ("mixture d=3", P.MIXTURE_3, 0.25, 0.5),
            ("waves d=2", STEEP_WAVES, 0.375, 0.40625),
            ("wells d=1", STEEP_WELLS, 0.25, 0.40625),
            ("least squares d=3", STEEP_SQUARES, 0.375, 0.40625),
        )
    ],
)
def innovations(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    ask, seeds = _asked(w, p, "sgld_trace"), t.seeds()

    def draw(count: int) -> tuple[Array, Array]:
        chains = -(-count // (len(STEPS) - 1))
        noise, towards = _innovations(w, p, ask(n=chains, seed=next(seeds)))
        return noise[:count], towards[:count]

    plan = replace(t.plan, budget=2 * t.plan.budget)
    yield judge_normal("innovations", draw, plan)


MOVES, BLOCK = 50, 128
"""Of the chain on a network; rows of scores to a move, a lag that is looked at."""


def _paper_sized() -> list[Problem]:
    """Softmax of 784 inputs: 7,850 parameters, 20 images, steps and tau as printed."""
    sizes, label = (784, 10), "softmax d=7850"
    plain = P.examples(label, sizes, 20)
    images = np.abs(plain.images) / 4
    loss = replace(plain, images=images)
    x = P.weights(label, loss.d, 2.0**-4)
    # a literal chain makes one move fewer than it has steps
    steps = [1 / (1000 + j) for j in range(1, MOVES + 2)]
    settings = {"step_sizes": steps, "start": x}
    every = at(f"{label}, every entry", loss, 2.0**-7, x, columns=1, **settings)
    some = at(f"{label}, by moves", loss, 2.0**-7, x, columns=8, **settings)
    return [every, some]


@check(
    "ALG3-T2",
    paper="Algorithm 3, sections 5.1.1 and 6",
    claim="the same at the size of the paper's softmax network, in one chain of fifty "
    "moves of steps 1/(1000 + j): noise that is one per cent too large shows, and "
    "noise that depends on that of the move before; the gradient, far below the noise, "
    "does not",
    truth="the drift of the box at the subject's own states",
    route="LAW",
    tolerance=ERRORS,
    level="T",
    mistakes=("S01", "S03", "S05", "S07", "S21", "S24", "S32", "X30"),
    needs=("sgld_trace",),
    cases=_paper_sized,
)
def network_innovations(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    trace = _asked(w, p, "sgld_trace")(n=1, seed=next(t.seeds()))
    noise, towards = _innovations(w, p, trace)
    columns = p.more["columns"]
    if columns == 1:  # along the pull alone: no gradient could be certified
        pull = towards[:, 1].reshape(-1, 1)
        scores: tuple[Array, ...] = (noise.reshape(-1, 1), pull)
    else:
        scores = (noise[:, : BLOCK * columns].reshape(-1, columns),)
    rows = len(scores[0])
    plan = replace(t.plan, budget=rows)
    yield judge_normal("innovations", _in_turn(*scores), plan, at_least=rows)


def _in_turn(*arrays: Array) -> Callable[[int], tuple[Array, ...]]:
    """Further rows of the arrays at every call."""
    served = 0

    def draw(count: int) -> tuple[Array, ...]:
        nonlocal served
        rows = slice(served, served + count)
        served += count
        return tuple(array[rows] for array in arrays)

    return draw
