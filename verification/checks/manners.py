"""What every implementation owes its caller, whatever it computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.errors import NotRun
from verification.evidence.comparison import Finding, agree
from verification.problems import Problem
from verification.subject import Witness


@check(
    "MAN-01",
    paper="none: the protocol",
    claim="inputs are never changed, and a call repeated gives the same bits",
    truth="the first answer, and the arguments as they were handed over",
    route="MET",
    tolerance="none: a deterministic function of the same arguments has one answer",
    mistakes=("M09", "M10"),
    cases=(P.QUADRATICS[1], P.MIXTURES[0]),
)
def repeatable(w: Witness, p: Problem) -> Iterator[Finding]:
    other = tuple(v + 0.25 for v in p.x)
    calls: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("local_entropy", (p.loss, p.x, p.tau)),
        ("local_entropy_gradient", (p.loss, p.x, p.tau)),
        ("posterior_mean", (p.loss, p.x, p.tau)),
        ("posterior_covariance", (p.loss, p.x, p.tau)),
        ("heat", (p.loss, p.x, p.tau)),
        ("heat_gradient", (p.loss, p.x, p.tau)),
        ("heat_proximal_point", (p.loss, p.x, p.tau)),
        ("majoriser", (p.loss, other, p.x, p.tau)),
        ("heat_majoriser", (p.loss, other, p.x, p.tau)),
        ("minimise_local_entropy", (p.loss, p.x, p.tau, 3)),
        ("minimise_heat", (p.loss, p.x, p.tau, 2)),
        ("scoping", (1.5, 0.01, 7)),
        ("step_schedule", ("harmonic", (1000.0,), 5)),
        ("kl_gaussian", (p.x, _round(p, 0.5), other, _round(p, 0.75))),
    )
    reasons = []
    for name, arguments in calls:
        ask = getattr(w, name)
        try:
            first, second = ask(*arguments), ask(*arguments)
        except NotRun as reason:
            reasons.append(str(reason))
            continue
        yield agree(f"{name}, again", second, first, 0.0)
    if len(reasons) == len(calls):
        raise NotRun(reasons[0])


def _round(p: Problem, variance: float) -> Any:
    return variance * np.eye(p.d)
