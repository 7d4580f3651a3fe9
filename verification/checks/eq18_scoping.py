"""Scoping of tau, (18)."""

from __future__ import annotations

from collections.abc import Iterator

from verification.checks._check import check
from verification.checks._kit import RUNNING, closed
from verification.evidence.comparison import Finding, agree
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import closed_forms as cf


def _schedule(label: str, tau0: float, tau1: float) -> Problem:
    return Problem(label, None, more={"parameters": (tau0, tau1)})


@check(
    "EQ18-01",
    paper="(18), E8, E13, E14",
    claim="tau(k) = tau0/(1+tau1)^k with tau(0) = tau0; tau1 < 0 makes it grow",
    truth="the power in 40 digits, at k = 0, 1, 2, 10, 500 and 503",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T17", "T18"),
    needs=("scoping",),
    cases=(
        _schedule("1.5 to 0.0104 in 500 updates", 1.5, 0.01),
        _schedule("halving", 1.5, 1.0),
        _schedule("growing, reverse annealing", 0.01, -0.00997),
    ),
)
def scoping(w: Witness, p: Problem) -> Iterator[Finding]:
    origin = int(w.conventions["scoping.origin"])
    tau0, tau1 = p.more["parameters"]
    for k in (0, 1, 2, 10, 500, 503):
        truth = closed(cf.scoping, tau0, tau1, k)
        value = w.scoping(tau0, tau1, k + origin)
        yield agree(f"tau({k + origin})", value, truth.value, truth.tolerance(w))
