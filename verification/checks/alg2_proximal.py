"""Algorithm 2 as the proximal-point iteration of heat, and Theorem 4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import (
    EXACT,
    NUMERICAL,
    RUNNING,
    Truth,
    closed,
    integrated,
    mean_of_q,
    size,
)
from verification.evidence.comparison import Finding, agree, differs, not_below
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import proximal, quadrature
from verification.truth.carriers import Rational

CONDITIONED = (
    "4 u (|x| + |y| + tau B) / lambda_min(I + tau Hess F^H), the condition of the "
    "root of h; ten digits where heat has no closed form"
)


def _slope(p: Problem, y: tuple[float, ...]) -> Truth:
    """grad F^H at y."""
    if p.loss.kind in cf.HEAT:
        return closed(cf.heat_gradient, p.loss, y, p.tau)
    value = quadrature.heat_gradient(p.loss, y, p.tau)
    return integrated(value, 1 + size(value.value))


def _curvatures(p: Problem, y: tuple[float, ...]) -> Any:
    """The eigenvalues of I + tau Hess F^H at y, ascending.

    The reciprocal of the least is the condition of the root of h; the largest is what
    a rounding of y does to h.
    """
    if p.loss.kind in cf.HEAT:
        bend = cf.heat_hessian(EXACT, p.loss, y, p.tau)
    else:
        bend = quadrature.heat_jet(p.loss, y, p.tau).hessian
    matrix = np.eye(p.d) + p.tau * np.array([[float(v) for v in row] for row in bend])
    return np.linalg.eigvalsh(matrix)


def _minimisers(p: Problem) -> list[list[Any]]:
    if p.loss.kind in cf.QUADRATIC:
        return [cf.proximal_point(Rational(), p.loss, p.x, p.tau)]
    return proximal.proximal_points(p.loss, p.x, p.tau).points


def _point_slack(w: Witness, p: Problem, y: tuple[float, ...]) -> float:
    slope = _slope(p, y)
    terms = size(p.x) + size(y) + p.tau * slope.scale
    slack = 4 * w.unit_roundoff * terms + p.tau * slope.numerical
    return slack * max(1.0, 1 / float(_curvatures(p, y)[0]))


def _chosen(w: Witness, p: Problem, measured: Any) -> tuple[Any, float]:
    """The certified minimiser nearest to a point, and the tolerance there."""
    minimisers = _minimisers(p)
    points = [[float(v) for v in m] for m in minimisers]
    gaps = [size(list(np.subtract(m, measured))) for m in points]
    best = int(np.argmin(gaps))
    return minimisers[best], _point_slack(w, p, tuple(points[best]))


def _nearest(w: Witness, p: Problem) -> tuple[Any, Any, float]:
    """The subject's proximal point, the certified minimiser nearest, the tolerance."""
    measured = w.heat_proximal_point(p.loss, p.x, p.tau)
    return measured, *_chosen(w, p, measured)


@check(
    "ALG2-01",
    paper="Algorithm 2, (14)",
    claim="step 2 is a global minimiser of F^H(y) + |y-x|^2/2tau; any of them where "
    "several tie",
    truth="Fractions on quadratics; otherwise a grid that resolves F^H and Newton's "
    "method in 40 digits",
    route="RAT MP2",
    tolerance=CONDITIONED,
    mistakes=("T06", "T15", "T16"),
    needs=("heat_proximal_point",),
    cases=(
        *P.QUADRATICS,
        *P.PLAIN,
        at("double well d=1, two minimisers", P.DOUBLE_WELL_1, 0.5, (0,)),
        at("double well d=1, one minimiser", P.DOUBLE_WELL_1, 0.5, (0.125,)),
        at("double well d=1, near tie", P.DOUBLE_WELL_1, 0.5, (2.0**-10,)),
        at("wells d=1, from the wrong side", P.WELLS_1, 0.5, (0.125,)),
        at("deep well d=1, from afar", P.DEEP_WELL_1, 0.125, (18,)),
        at("waves d=1, from a crest", P.WAVES_1, 1.5, (2.5,)),
        at("mixture d=1", P.MIXTURE_1, 0.75),
        at("bimodal mixture d=1", P.BIMODAL_1, 0.5, (0.125,)),
    ),
)
def proximal_point(w: Witness, p: Problem) -> Iterator[Finding]:
    measured, chosen, slack = _nearest(w, p)
    yield agree("x_1", measured, chosen, slack)


@check(
    "ALG2-02",
    paper="Algorithms 1 and 2, section 5, E4",
    claim="on a bimodal q mean seeking and mode seeking part by more than 0.5: each "
    "scheme gives its own",
    truth="E_q X in closed form or by quadrature; certified proximal points",
    route="CF MP2",
    tolerance=RUNNING + "; " + CONDITIONED,
    mistakes=("T06", "T16"),
    needs=("posterior_mean", "heat_proximal_point"),
    cases=(
        at("bimodal mixture d=1", P.BIMODAL_1, 0.5, (0.125,)),
        at("bimodal mixture d=1, other side", P.BIMODAL_1, 0.375, (0.0625,)),
        at("double well d=2", P.DOUBLE_WELL_2, 0.375, (0.125, 0.0625)),
    ),
)
def swap_detector(w: Witness, p: Problem) -> Iterator[Finding]:
    truth = mean_of_q(p.loss, p.x, p.tau)
    mean = w.posterior_mean(p.loss, p.x, p.tau)
    yield agree("mean seeking: E_q X", mean, truth.value, truth.tolerance(w))
    measured, chosen, slack = _nearest(w, p)
    yield agree("mode seeking: proximal point", measured, chosen, slack)
    yield differs("the two", mean, measured, 0.5)


@check(
    "EL-01",
    paper="section 5.2",
    claim="the proximal point is a root of h(y) = y - x + tau E_phi_y grad f",
    truth="h at the subject's point, in many digits; h of the subject's own gradient",
    route="MP2 ID",
    tolerance="4 u (|x| + |y| + tau B), and the rounding of y itself",
    mistakes=("T08", "T15"),
    needs=("heat_proximal_point",),
    cases=(
        *P.QUADRATICS[:3],
        *P.PLAIN,
        at("mixture d=1", P.MIXTURE_1, 0.75),
    ),
)
def euler_lagrange(w: Witness, p: Problem) -> Iterator[Finding]:
    measured, _, slack = _nearest(w, p)
    y = tuple(float(v) for v in measured)
    slope = _slope(p, y)
    gaps = [EXACT.number(a) - EXACT.number(b) for a, b in zip(y, p.x, strict=True)]
    t = EXACT.number(p.tau)
    h = [g + t * EXACT.number(s) for g, s in zip(gaps, slope.value, strict=True)]
    stretch = slack * max(1.0, float(np.abs(_curvatures(p, y)).max()))
    yield agree("h at the proximal point", [float(v) for v in h], [0.0] * p.d, stretch)
    if not w.provides("heat_gradient"):
        return
    own = np.subtract(y, p.x) + p.tau * w.heat_gradient(p.loss, y, p.tau)
    slack = stretch + p.tau * slope.tolerance(w)
    yield agree("h by the subject's gradient", own, [0.0] * p.d, slack)


UPDATES = 6


@check(
    "ALG2-03",
    paper="Algorithm 2",
    claim="every step is a proximal point of the subject's own iterate",
    truth="certified proximal points started at each iterate: errors do not compound",
    route="RAT MP2",
    tolerance=CONDITIONED,
    mistakes=("T06", "T15", "T16", "T24"),
    needs=("minimise_heat",),
    cases=(
        *P.QUADRATICS[:3],
        *P.PLAIN,
        at("mixture d=1", P.MIXTURE_1, 0.75),
        at("deep well d=1, from afar", P.DEEP_WELL_1, 0.125, (18,)),
        at("stiff quadratic d=2", P.STIFF_2, 0.5, (1.5, -2.0)),
    ),
)
def step_by_step(w: Witness, p: Problem) -> Iterator[Finding]:
    path = w.minimise_heat(p.loss, p.x, p.tau, 3)
    for k in range(3):
        here = Problem(p.label, p.loss, tuple(float(v) for v in path[k]), p.tau)
        chosen, slack = _chosen(w, here, path[k + 1])
        yield agree(f"step from x_{k}", path[k + 1], chosen, slack)


@check(
    "TH4-01",
    paper="Theorem 4",
    claim="F^H(x_k+1) + |x_k+1 - x_k|^2/2tau <= F^H(x_k) along Algorithm 2",
    truth="heat in 40 digits (mixture: by quadrature) at the subject's own iterates",
    route="ID",
    tolerance="8 u times the sum of the terms' magnitudes; ten digits for the mixture",
    mistakes=("T15",),
    needs=("minimise_heat",),
    cases=(
        *P.QUADRATICS[:3],
        *P.PLAIN,
        at("stiff quadratic d=2", P.STIFF_2, 1.0, (1.5, -2.0)),
        at("mixture d=1", P.MIXTURE_1, 0.75),
    ),
)
def monotone(w: Witness, p: Problem) -> Iterator[Finding]:
    path = w.minimise_heat(p.loss, p.x, p.tau, UPDATES)
    yield agree("x_0", path[0], list(p.x), 0.0)
    heats = [_heat(p, x) for x in path]
    numerical = 0.0 if p.loss.kind in cf.HEAT else NUMERICAL
    for k in range(UPDATES):
        step = path[k + 1] - path[k]
        required = float(step @ step) / (2 * p.tau)
        terms = abs(heats[k]) + abs(heats[k + 1]) + required
        terms += size(list(step)) * (size(list(path[k])) + size(list(path[k + 1])))
        slack = (8 * w.unit_roundoff + numerical) * terms
        fall = heats[k] - heats[k + 1]
        yield not_below(
            f"fall of F^H less its bound, update {k}",
            fall,
            required,
            slack,
        )


def _heat(p: Problem, x: Any) -> float:
    point = tuple(float(v) for v in x)
    if p.loss.kind in cf.HEAT:
        return float(cf.heat(EXACT, p.loss, point, p.tau))
    return float(quadrature.heat(p.loss, point, p.tau).value)
