"""The gradient identity (12) and the Hessian identity that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import (
    EXACT,
    RUNNING,
    TEN_DIGITS,
    Truth,
    closed,
    integrated,
    size,
)
from verification.evidence.comparison import Finding, agree
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import quadrature


def _derivatives(p: Problem) -> list[Any]:
    """Numerical partial derivatives of the closed form of F, 40 digits."""
    mp = EXACT.mp

    def along(i: int) -> Any:
        def moved(t: Any) -> Any:
            x = [mp.mpf(v) + (t if j == i else 0) for j, v in enumerate(p.x)]
            return cf.local_entropy(EXACT, p.loss, x, p.tau)

        return mp.diff(moved, 0)

    return [along(i) for i in range(p.d)]


def _mean_and_slope(p: Problem) -> tuple[Truth, Truth, Any]:
    """E_q X, grad F, and grad F by a further route."""
    if p.loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
        mean = closed(cf.posterior_mean, p.loss, p.x, p.tau)
        slope = closed(cf.local_entropy_gradient, p.loss, p.x, p.tau)
        # a subject may evaluate either side of (12)
        printed = (mean.scale + size(p.x)) / p.tau
        slope = Truth(slope.value, max(slope.scale, printed))
        return mean, slope, _derivatives(p)
    moments = quadrature.posterior_moments(p.loss, p.x, p.tau)
    reach = size(p.x) + size(moments[0].value) + p.tau**0.5
    mean = integrated(moments[0], reach)
    slope = integrated(moments[2], reach / p.tau)
    other = [
        (EXACT.number(v) - EXACT.number(m)) / EXACT.number(p.tau)
        for v, m in zip(p.x, moments[0].value, strict=True)
    ]
    return mean, slope, other


@check(
    "EQ12-01",
    paper="(12), (15)",
    claim="grad F = (x - E_q X)/tau = E_q grad f",
    truth="closed forms; numerical derivative of F; both sides by quadrature",
    route="CF MP2 ID",
    tolerance=RUNNING + "; without closed form " + TEN_DIGITS,
    mistakes=("T03", "T04", "T05", "T06", "T10", "T12"),
    any_of=("local_entropy_gradient", "posterior_mean"),
    cases=(*P.CONJUGATE, *P.PLAIN),
)
def gradient(w: Witness, p: Problem) -> Iterator[Finding]:
    mean, slope, other = _mean_and_slope(p)
    if w.provides("local_entropy_gradient"):
        measured = w.local_entropy_gradient(p.loss, p.x, p.tau)
        yield agree("grad F", measured, slope.value, slope.tolerance(w))
        extra = slope.tolerance(w) + 1e-15
        yield agree("grad F against the derivative of F", measured, other, extra)
    if not w.provides("posterior_mean"):
        return
    centre = w.posterior_mean(p.loss, p.x, p.tau)
    yield agree("E_q X", centre, mean.value, mean.tolerance(w))
    scale = mean.scale + size(p.x) + size(mean.value)
    identity = Truth(slope.value, scale / p.tau, mean.numerical / p.tau)
    pulled = (np.array(p.x) - centre) / p.tau
    yield agree("(x - E_q X)/tau", pulled, slope.value, identity.tolerance(w))


@check(
    "EQ12-02",
    paper="(12) differentiated",
    claim="the Hessian of F is (I - Cov_q/tau)/tau",
    truth="Hessian of F in closed form, not through the covariance; E_q by quadrature",
    route="CF MP2 ID",
    tolerance=RUNNING + "; without closed form " + TEN_DIGITS,
    mistakes=("T03", "T19"),
    needs=("posterior_covariance",),
    cases=(*P.CONJUGATE, *P.PLAIN),
)
def hessian(w: Witness, p: Problem) -> Iterator[Finding]:
    measured = w.posterior_covariance(p.loss, p.x, p.tau)
    if p.loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
        covariance = closed(cf.posterior_covariance, p.loss, p.x, p.tau)
        bend = cf.local_entropy_hessian(EXACT, p.loss, p.x, p.tau)
        scale = (covariance.scale / p.tau + p.d + size(covariance.value)) / p.tau
        curved = (np.eye(p.d) - measured / p.tau) / p.tau
        identity = Truth(bend, scale)
        yield agree("(I - Cov_q/tau)/tau", curved, bend, identity.tolerance(w))
    else:
        certified = quadrature.posterior_moments(p.loss, p.x, p.tau)[1]
        reach = size(certified.value) + p.tau
        covariance = integrated(certified, reach)
    yield agree("Cov_q", measured, covariance.value, covariance.tolerance(w))
