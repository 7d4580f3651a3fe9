"""Heat regularization, section 2.2: values, gradients, flow and semigroup."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import (
    EXACT,
    NUMERICAL,
    RUNNING,
    TEN_DIGITS,
    Truth,
    closed,
    integrated,
    offered,
    size,
)
from verification.evidence.comparison import Finding, agree
from verification.losses import GaussianMixture, GaussianWells, Quadratic, Quartic
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import quadrature
from verification.truth.carriers import Rational


def _value_and_gradient(w: Witness, p: Problem) -> Iterator[Finding]:
    for name, formula, ask in offered(w, heat=cf.heat, heat_gradient=cf.heat_gradient):
        truth = closed(formula, p.loss, p.x, p.tau)
        value = ask(p.loss, p.x, p.tau)
        yield agree(name, value, truth.value, truth.tolerance(w))


@check(
    "HEAT-01",
    paper="section 2.2",
    claim="heat raises a quadratic by tau tr(H)/2 and leaves its gradient",
    truth="f + tau tr(H)/2",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T08", "T08H", "T20"),
    any_of=("heat", "heat_gradient"),
    cases=P.QUADRATICS,
)
def quadratic(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _value_and_gradient(w, p)


@check(
    "HEAT-02",
    paper="section 2.2",
    claim="heat of a quartic, from exact Gaussian moments",
    truth="Fractions",
    route="RAT",
    tolerance=RUNNING,
    mistakes=("T08", "T13", "T14", "T20"),
    any_of=("heat", "heat_gradient"),
    cases=P.PLAIN[:2],
)
def quartic(w: Witness, p: Problem) -> Iterator[Finding]:
    for name, formula, ask in offered(w, heat=cf.heat, heat_gradient=cf.heat_gradient):
        exact = formula(Rational(), p.loss, p.x, p.tau)
        slack = closed(formula, p.loss, p.x, p.tau).tolerance(w)
        yield agree(name, ask(p.loss, p.x, p.tau), exact, slack)


@check(
    "HEAT-03",
    paper="section 2.2",
    claim="heat damps cos(w.x + b) by exp(-tau |w|^2 / 2)",
    truth="closed form",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T08", "T13", "T14", "T20"),
    any_of=("heat", "heat_gradient"),
    cases=P.PLAIN[2:4],
)
def waves(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _value_and_gradient(w, p)


@check(
    "HEAT-04",
    paper="section 2.2",
    claim="heat widens a Gaussian well and keeps its volume",
    truth="closed form",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T08", "T13", "T14", "T20"),
    any_of=("heat", "heat_gradient"),
    cases=P.PLAIN[4:],
)
def wells(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _value_and_gradient(w, p)


def _half_laplacian(p: Problem, tau: Any) -> Any:
    """Laplacian of F^H_tau over 2 in many digits."""
    bend = cf.heat_hessian(EXACT, p.loss, p.x, tau)
    return la.trace(EXACT, bend) / 2


@check(
    "HEAT-05",
    paper="section 2.2, [4]",
    claim="the heat equation: F^H at two times differs by the integral of LF^H/2",
    truth="the Laplacian's closed form, integrated over tau (mixture: smoothed f's)",
    route="ID",
    tolerance=RUNNING + " of both values; ten digits for the mixture",
    mistakes=("T08", "T20"),
    needs=("heat",),
    cases=(
        *P.QUADRATICS[1:3],
        *P.PLAIN,
        at("mixture d=1", P.MIXTURE_1, 0.75),
    ),
)
def heat_equation(w: Witness, p: Problem) -> Iterator[Finding]:
    early, late = p.tau, 1.5 * p.tau
    rise = w.heat(p.loss, p.x, late) - w.heat(p.loss, p.x, early)
    if p.loss.kind == "gaussian_mixture":
        truth, slack = _smoothed_rise(p, early, late)
    else:
        mp = EXACT.mp
        ends = [mp.mpf(early), mp.mpf(late)]
        truth = mp.quad(lambda t: _half_laplacian(p, t), ends)
        slack = sum(closed(cf.heat, p.loss, p.x, t).tolerance(w) for t in (early, late))
    yield agree("F^H(1.5 tau) - F^H(tau)", rise, truth, slack + 1e-15)


def _smoothed_rise(p: Problem, early: float, late: float) -> tuple[Any, float]:
    """Half the Laplacian by quadrature in y, at Gauss-Legendre nodes in tau."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(12)
    times = early + (late - early) * (nodes + 1) / 2
    jets = [quadrature.heat_jet(p.loss, p.x, float(t)) for t in times]
    bends = [float(la.trace(EXACT, jet.hessian)) / 2 for jet in jets]
    rise = (late - early) / 2 * float(weights @ np.array(bends))
    return rise, 4 * NUMERICAL * (1 + abs(rise))


def _two_stage_cases() -> tuple[Problem, ...]:
    """Losses whose heat at the first stage is in the family with exact data."""
    wells = at(
        "wells d=2",
        GaussianWells(
            [1.25, 0.5],
            [[-0.75, 0.5], [1.0, -0.25]],
            [[[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 3.0]]],
            0.25,
        ),
        0.375,
        first=1.0,
        rise=0.0,
        stage=GaussianWells(
            [0.625, 0.375],
            [[-0.75, 0.5], [1.0, -0.25]],
            [[[2.0, 0.0], [0.0, 2.0]], [[4.0, 0.0], [0.0, 4.0]]],
            0.25,
        ),
    )
    quartic = at(
        "quartic d=2",
        Quartic([1.0, 0.5], [0.0, 0.0], [-1.5, 0.75], 0.375),
        0.75,
        first=0.5,
        rise=0.75 * 1.5 * 0.25 + 0.5 * 0.5 * -0.75,
        stage=Quartic([1.0, 0.5], [0.0, 0.0], [0.0, 1.5], 0.375),
    )
    narrow = at(
        "quartic d=1",
        Quartic([1.0], [0.0], [-1.5]),
        0.625,
        first=0.5,
        rise=0.75 * 0.25 + 0.5 * 0.5 * -1.5,
        stage=Quartic([1.0], [0.0], [0.0]),
    )
    H, m = [[2.0, 0.625], [0.625, 0.875]], [0.3125, -0.8125]
    bowl = at(
        "quadratic d=2",
        Quadratic(H, m, 0.375),
        0.25,
        first=0.5,
        rise=0.25 * 2.875,
        stage=Quadratic(H, m, 0.375),
    )
    return bowl, narrow, quartic, wells


@check(
    "HEAT-06",
    paper="section 2.2",
    claim="heat of heat: tau1 then tau2 is tau1 + tau2",
    truth="closed form at tau1 + tau2",
    route="ID",
    tolerance=RUNNING,
    mistakes=("T08", "T20"),
    needs=("heat",),
    cases=_two_stage_cases,
)
def semigroup(w: Witness, p: Problem) -> Iterator[Finding]:
    first, loss, rise = (p.more[k] for k in ("first", "stage", "rise"))
    truth = closed(cf.heat, p.loss, p.x, first + p.tau)
    second = closed(cf.heat, loss, p.x, p.tau)
    lifted = Truth(truth.value - EXACT.number(Fraction(rise)), second.scale)
    value = w.heat(loss, p.x, p.tau)
    yield agree("two stages", value, lifted.value, lifted.tolerance(w))
    value = w.heat(p.loss, p.x, first + p.tau)
    yield agree("one stage", value, truth.value, truth.tolerance(w))


@check(
    "HEAT-07",
    paper="section 2.2",
    claim="heat and its gradient of a Gaussian mixture, which have no closed form",
    truth="trapezoidal rule that resolves the odds; Gauss-Legendre panels",
    route="MP2",
    tolerance=TEN_DIGITS,
    mistakes=("T08", "T13", "T14", "T20"),
    any_of=("heat", "heat_gradient"),
    cases=(
        at("mixture d=1", P.MIXTURE_1, 0.75),
        at("bimodal mixture d=1", P.BIMODAL_1, 0.375),
        at("mixture d=2", P.MIXTURE_2, 0.25),
    ),
)
def mixture(w: Witness, p: Problem) -> Iterator[Finding]:
    for name, formula, ask in offered(
        w, heat=quadrature.heat, heat_gradient=quadrature.heat_gradient
    ):
        certified = formula(p.loss, p.x, p.tau)
        truth = integrated(certified, 1 + size(certified.value))
        value = ask(p.loss, p.x, p.tau)
        yield agree(name, value, truth.value, truth.tolerance(w))


EQUAL_3 = GaussianMixture(
    [0.375, 0.625],
    [[-0.75, 0.5, 0.25], [0.5, -0.25, 0.0]],
    [[[0.75, 0.25, -0.125], [0.25, 0.5, 0.125], [-0.125, 0.125, 0.625]]] * 2,
)


@check(
    "HEAT-08",
    paper="section 2.2",
    claim="heat and its gradient of a mixture of two equal covariances, d = 3",
    truth="the log-odds are linear, so one Gaussian and a one-dimensional integral of "
    "log(1 + e^l) remain",
    route="MP2",
    tolerance=TEN_DIGITS,
    mistakes=("T08", "T13", "T14", "T20"),
    any_of=("heat", "heat_gradient"),
    cases=(
        at("mixture d=3, equal covariances", EQUAL_3, 0.25),
        at("the same, other x", EQUAL_3, 0.0625, (0.25, -0.5, 0.125)),
    ),
)
def equal_covariances(w: Witness, p: Problem) -> Iterator[Finding]:
    value, slope = _reduced(p)
    for name, truth, ask in offered(w, heat=value, heat_gradient=slope):
        measured = ask(p.loss, p.x, p.tau)
        yield agree(name, measured, truth.value, truth.tolerance(w))


@cache
def _reduced(p: Problem) -> tuple[Truth, Truth]:
    """Heat and its gradient: -log(w_1 N_1) averaged, less E log(1 + e^l)."""
    mp, loss = EXACT.mp, p.loss
    tau = mp.mpf(p.tau)
    factors = la.ldlt(EXACT, la.matrix(EXACT, loss.covariances[0]))
    first, second = (la.vector(EXACT, m) for m in loss.means)
    direction = la.solve(EXACT, factors, la.subtract(second, first))
    x = la.vector(EXACT, p.x)
    pull = la.solve(EXACT, factors, la.subtract(x, first))
    middle = la.scale(mp.mpf(1) / 2, la.add(first, second))
    odds = mp.log(mp.mpf(loss.weights[1]) / mp.mpf(loss.weights[0]))
    odds += la.dot(EXACT, direction, la.subtract(x, middle))
    spread = tau * la.dot(EXACT, direction, direction)
    at_ = ([odds], [[spread]], 1.0)
    soft = quadrature.expectation(lambda v: mp.log1p(mp.exp(v[0])), *at_)
    chance = quadrature.expectation(lambda v: 1 / (1 + mp.exp(-v[0])), *at_)
    unit = la.identity(EXACT, p.d)
    trace = la.trace(EXACT, la.solve_matrix(EXACT, factors, unit))
    gaussian = p.d * mp.log(2 * mp.pi) + la.log_det(EXACT, factors) + tau * trace
    gaussian += la.dot(EXACT, pull, la.subtract(x, first))
    height = gaussian / 2 - mp.log(mp.mpf(loss.weights[0])) - soft.value
    slope = la.subtract(pull, la.scale(chance.value, direction))
    value = quadrature.Certified(height, soft.error)
    tilt = quadrature.Certified(slope, chance.error)
    return integrated(value, 1 + size(height)), integrated(tilt, 1 + size(slope))
