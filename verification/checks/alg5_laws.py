"""Algorithm 5 with the subject's own randomness."""

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
    descent_law,
    designed,
    step_sizes,
    whitened,
)
from verification.checks._trial import Trial
from verification.evidence.comparison import Finding
from verification.evidence.designs import ROBBINS_MONRO
from verification.evidence.sequential import judge_bounded, judge_normal
from verification.losses import Trigonometric
from verification.problems import Problem, at
from verification.subject import Witness


def _asked(w: Witness, p: Problem, method: str = "robbins_monro") -> Callable[..., Any]:
    def ask(n: int, seed: int) -> Any:
        given = (p.loss, p.x, p.tau, step_sizes(p), p.more["inner_samples"])
        return getattr(w, method)(*given, n=n, seed=seed)

    return ask


@check(
    "ALG5-L1",
    paper="Algorithm 5, (17)",
    claim="on a quadratic the output is Gaussian with the exact mean and covariance",
    truth="forward recursion; agrees with the joint covariance of all draws",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=tuple(f"H{k:02d}" for k in range(1, 26)),
    needs=("robbins_monro",),
    cases=(designed(ROBBINS_MONRO),),
)
def descent(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    draw = whitened(_asked(w, p), descent_law(w, p).whiten, t)
    yield judge_normal("whitened outputs", draw, t.plan)


@check(
    "ALG5-L2",
    paper="Algorithm 5, (17)",
    claim="the same in one and three dimensions, and on least squares",
    truth="forward recursion; agrees with the joint covariance of all draws",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "H01",
        "H10",
        "H17",
        "H24",
    ),
    needs=("robbins_monro",),
    cases=(
        at(
            "quadratic d=1",
            P.QUADRATIC_1,
            0.75,
            step_sizes=(0.5, 0.375, 0.25, 0.1875),
            inner_samples=4,
        ),
        at(
            "indefinite quadratic d=3",
            P.INDEFINITE_3,
            0.5,
            step_sizes=(0.75, 0.4375, 0.3125),
            inner_samples=3,
        ),
        at(
            "least squares d=2",
            P.LEAST_SQUARES_2,
            0.75,
            step_sizes=(0.625, 0.375, 0.25, 0.125),
            inner_samples=2,
        ),
    ),
)
def descents(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    draw = whitened(_asked(w, p), descent_law(w, p).whiten, t)
    yield judge_normal("whitened outputs", draw, t.plan)


WAVY_1 = Trigonometric([1.25, 0.5], [[1.5], [2.75]], [0.5, -1.0], 0.0, [0.0])
WAVY_2 = Trigonometric(
    [0.75, 1.5], [[1.5, -0.75], [0.5, 1.25]], [0.25, -0.625], 0.0, [0.0, 0.0]
)


def _average_slope(loss: Trigonometric, y: Array, tau: float) -> Array:
    """The gradient of heat of a trigonometric loss at y (n, d)."""
    damped = loss.amplitude * np.exp(-0.5 * tau * (loss.frequency**2).sum(axis=1))
    return -np.sin(y @ loss.frequency.T + loss.phase) * damped @ loss.frequency


@check(
    "ALG5-T",
    paper="Algorithm 5, (17)",
    claim="for any loss a move's sample gradient has the mean grad F^H at the current "
    "state, given the past",
    truth="heat of a trigonometric loss in closed form, at the subject's own states",
    route="LAW CF",
    tolerance=ERRORS,
    level="T",
    mistakes=("H01", "H02", "H03", "H04", "H07", "H17", "H18", "H19", "H20", "H21"),
    needs=("robbins_monro_trace",),
    cases=(
        at(
            "waves d=1, M=1",
            WAVY_1,
            0.5,
            step_sizes=[0.75, 0.5, 0.5, 0.375] * 4,
            inner_samples=1,
        ),
        at(
            "waves d=2, M=3",
            WAVY_2,
            0.375,
            step_sizes=[0.75, 0.5, 0.5, 0.375] * 4,
            inner_samples=3,
        ),
    ),
)
def gradients(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    a = step_sizes(p)
    if w.conventions["robbins_monro.moves"] == "J-1":
        a = a[:-1]
    reach = 2 * np.abs(p.loss.amplitude) @ np.abs(p.loss.frequency)  # per coordinate
    ask, seeds = _asked(w, p, "robbins_monro_trace"), t.seeds()

    def draw(count: int) -> Array:
        traces = ask(n=-(-count // len(a)), seed=next(seeds))[:, : len(a) + 1]
        old, new = traces[:, :-1], traces[:, 1:]
        bracket = (old - new) / a[:, None] - (old - np.array(p.x))
        excess = bracket / p.tau - _average_slope(p.loss, old, p.tau)
        return (excess / reach).reshape(-1, p.d)[:count]

    # the range is wide: a small part of it is all of the smoothing
    plan = replace(t.plan, bounded=t.plan.bounded / 4, budget=4 * t.plan.budget)
    yield judge_bounded("gradients less their mean, over their range", draw, plan)
