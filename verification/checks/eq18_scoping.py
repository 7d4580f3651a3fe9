"""Schedules: scoping of tau, (18), and the steps of Algorithms 3 and 5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from verification.checks._check import check
from verification.checks._kit import RUNNING, closed
from verification.evidence.comparison import Finding, agree
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import closed_forms as cf

LONG = (0, 1, 2, 10, 500, 503)


def _schedule(
    label: str, tau0: float, tau1: float, updates: tuple[int, ...] = LONG
) -> Problem:
    return Problem(label, None, more={"parameters": (tau0, tau1), "updates": updates})


@check(
    "EQ18-01",
    paper="(18), E8, E13, E14",
    claim="tau(k) = tau0/(1+tau1)^k with tau(0) = tau0; tau1 < 0 makes it grow",
    truth="the power in 40 digits, at k from 0 to 503",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T17", "T18"),
    needs=("scoping",),
    cases=(
        _schedule("1.5 to 0.0104 in 500 updates", 1.5, 0.01),
        _schedule("halving", 1.5, 1.0, (0, 1, 2, 10, 100)),
        _schedule("growing, reverse annealing", 0.01, -0.00997),
    ),
)
def scoping(w: Witness, p: Problem) -> Iterator[Finding]:
    origin = int(w.conventions["scoping.origin"])
    tau0, tau1 = p.more["parameters"]
    for k in p.more["updates"]:
        truth = closed(cf.scoping, tau0, tau1, k)
        value = w.scoping(tau0, tau1, k + origin)
        yield agree(f"tau({k + origin})", value, truth.value, truth.tolerance(w))


def _steps(label: str, kind: str, *parameters: float) -> Problem:
    return Problem(label, None, more={"kind": kind, "parameters": parameters})


@check(
    "ALG5-S",
    paper="Algorithms 3 and 5, Figure 4, E7",
    claim="epsilon_j = 1/(c + j) and a_j = c j^-alpha for j = 1, 2, ...",
    truth="the formulas in 40 digits at j = 1, 2, 3 and 10",
    route="CF",
    tolerance=RUNNING,
    mistakes=("H05",),
    needs=("step_schedule",),
    cases=(
        _steps("harmonic, c = 1000", "harmonic", 1000.0),
        _steps("power, c = 0.1, alpha = 0.7", "power", 0.1, 0.7),
        _steps("power, c = 0.5, alpha = 1", "power", 0.5, 1.0),
    ),
)
def step_schedules(w: Witness, p: Problem) -> Iterator[Finding]:
    steps = w.step_schedule(p.more["kind"], p.more["parameters"], 10)
    for j in (1, 2, 3, 10):
        truth = closed(_step, p.more["kind"], p.more["parameters"], j)
        slack = truth.tolerance(w)
        yield agree(f"step {j}", float(steps[j - 1]), truth.value, slack)


def _step(ctx: Any, kind: str, parameters: tuple[float, ...], j: int) -> Any:
    c = ctx.number(parameters[0])
    if kind == "harmonic":
        return 1 / (c + j)
    return c * ctx.exp(-(ctx.number(parameters[1]) * ctx.log(ctx.number(j))))
