"""Local entropy (2): values, limits, tails, metamorphic relations, flow, semigroup."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

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
from verification.errors import NotRun, SubjectFault
from verification.evidence.comparison import Finding, agree, not_above, not_below
from verification.losses import GaussianMixture, Quadratic, from_json
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import quadrature


def _value(w: Witness, p: Problem, truth: Truth, what: str = "F_tau") -> Finding:
    measured = w.local_entropy(p.loss, p.x, p.tau)
    return agree(what, measured, truth.value, truth.tolerance(w))


@check(
    "EQ2-01",
    paper="(2)",
    claim="local entropy of a quadratic, indefinite ones among them",
    truth="c + (x-m)'HK(x-m)/2 + log det(I+tau H)/2, K = (I+tau H)^-1",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T01", "T02", "T03"),
    needs=("local_entropy",),
    cases=P.QUADRATICS,
)
def quadratic(w: Witness, p: Problem) -> Iterator[Finding]:
    yield _value(w, p, closed(cf.local_entropy, p.loss, p.x, p.tau))


@check(
    "EQ2-02",
    paper="(2)",
    claim="local entropy of a Gaussian mixture",
    truth="-log sum w_k N(x; m_k, S_k + tau I)",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T01", "T02", "T03"),
    needs=("local_entropy",),
    cases=P.MIXTURES,
)
def mixture(w: Witness, p: Problem) -> Iterator[Finding]:
    yield _value(w, p, closed(cf.local_entropy, p.loss, p.x, p.tau))


@check(
    "EQ2-03",
    paper="(2)",
    claim="local entropy of double wells, waves and Gaussian wells",
    truth="trapezoidal rule that resolves the loss, two steps; Gauss-Legendre panels",
    route="MP2",
    tolerance=TEN_DIGITS,
    mistakes=("T01", "T02", "T03", "T13", "T14"),
    needs=("local_entropy",),
    cases=(
        *P.PLAIN,
        at("quartic d=1", P.QUARTIC_1, 2.0**-20),
        at("waves d=2", P.WAVES_2, 2.0**-12),
        at("wells d=2", P.WELLS_2, 2.0**-12),
    ),
)
def no_closed_form(w: Witness, p: Problem) -> Iterator[Finding]:
    truth = quadrature.local_entropy(p.loss, p.x, p.tau)
    yield _value(w, p, integrated(truth, 1 + abs(float(truth.value))))


def _expansion(ctx: Any, loss: Any, x: Any, tau: float) -> Any:
    """f + tau (laplacian f - |grad f|^2) / 2."""
    slope = cf.gradient(ctx, loss, x)
    bend = la.trace(ctx, cf.hessian(ctx, loss, x))
    curvature = bend - ctx.dot(slope, slope)
    return cf.value(ctx, loss, x) + ctx.number(tau) * curvature / 2


def _rest(loss: Any, x: Any, tau: float) -> Any:
    """F less its expansion, in many digits."""
    exact = cf.local_entropy(EXACT, loss, x, tau)
    return exact - _expansion(EXACT, loss, x, tau)


@check(
    "EQ2-04",
    paper="section 2.1, E3",
    claim="F = f + tau (Lf - |grad f|^2)/2 + O(tau^2) as tau -> 0; as tau -> inf its "
    "gradient vanishes although F itself may grow like (d/2) log tau",
    truth="what is left of the closed form: its order in tau is 2 up to O(tau); "
    "|grad F| <= (|x| + |E_q X|) / tau",
    route="CF",
    tolerance=RUNNING + " of F and the rounding of |x|^2/tau, relative to what is left",
    mistakes=("T03", "T05"),
    needs=("local_entropy", "local_entropy_gradient"),
    cases=(
        at("quadratic d=2", P.QUADRATIC_2, 2.0**-5),
        at("mixture d=1", P.MIXTURE_1, 2.0**-5),
        at("mixture d=2", P.MIXTURE_2, 2.0**-5),
    ),
)
def limits(w: Witness, p: Problem) -> Iterator[Finding]:
    measured, expected, slack = [], [], 0.0
    for tau in (p.tau, p.tau / 2):
        value = w.local_entropy(p.loss, p.x, tau)
        start = float(_expansion(EXACT, p.loss, p.x, tau))
        rest = float(_rest(p.loss, p.x, tau))
        measured.append(abs(value - start))
        expected.append(abs(rest))
        truth = closed(cf.local_entropy, p.loss, p.x, tau)
        # completing the square in natural parameters has terms of size |x|^2 / tau
        terms = abs(start) + size(p.x) ** 2 / tau
        slack += (truth.tolerance(w) + 4 * w.unit_roundoff * terms) / abs(rest)
    order = math.log2(expected[0] / expected[1])
    if abs(order - 2) > 0.2:
        raise AssertionError(f"the truth itself has order {order}")
    found = math.log2(measured[0] / measured[1]) if all(measured) else 0.0
    yield agree("order of F less its expansion", found, order, 2 * slack)
    for tau in (2.0**20, 2.0**40):
        truth = closed(cf.local_entropy_gradient, p.loss, p.x, tau)
        slope = w.local_entropy_gradient(p.loss, p.x, tau)
        scale = size(p.x) + size(cf.posterior_mean(EXACT, p.loss, p.x, tau))
        slack = truth.tolerance(w) + 4 * w.unit_roundoff * scale / tau
        yield agree(f"grad F at tau = {tau:.0e}", slope, truth.value, slack)
        reach = tau * size(list(slope))
        yield not_above("tau |grad F|", reach, scale, tau * slack)


EXTREMES = (
    *(
        at(label, loss, tau)
        for tau in (2.0**-33, 2.0**-20, 2.0**20, 2.0**40)
        for label, loss in (
            ("quadratic d=2", P.QUADRATIC_2),
            ("quadratic d=5", P.QUADRATIC_5),
            ("least squares d=3", P.LEAST_SQUARES_3),
            ("mixture d=1", P.MIXTURE_1),
            ("mixture d=3", P.MIXTURE_3),
        )
    ),
    # one dimension: `_steepness`
    at("wells d=1", P.WELLS_1, 2.0**-33),
    at("waves d=1", P.WAVES_1, 2.0**-20),
    at("waves d=1", P.WAVES_1, 2.0**27),
    at("quartic d=1", P.QUARTIC_1, 2.0**-33),
    at("quartic d=1", P.QUARTIC_1, 2.0**20),
    at("quartic d=1", P.QUARTIC_1, 2.0**27),
)


@check(
    "EQ2-10",
    paper="(2), (12), (15)",
    claim="F, its gradient and E_q X hold from tau = 1e-10 to 1e12 on losses with a "
    "closed form, from 1e-10 to 1e8 on some without; the gradient to the digits that "
    "the less accurate side of (12) keeps",
    truth="closed forms in 40 digits; trapezoidal rule where the mass is",
    route="CF MP2",
    tolerance=RUNNING + "; also the rounding of (x - E_q X)/tau, the form (12) prints, "
    "and of x - tau grad F; without closed form the rounding of the worse of "
    "(x - E_q X)/tau and E_q grad f, and ten digits of F, of E_q |y - x| and of "
    "E_q |grad f|",
    mistakes=("T02", "T03", "T05"),
    any_of=("local_entropy", "local_entropy_gradient", "posterior_mean"),
    cases=EXTREMES,
)
def extreme_tau(w: Witness, p: Problem) -> Iterator[Finding]:
    for name, formula, ask in offered(
        w,
        local_entropy=cf.local_entropy,
        local_entropy_gradient=cf.local_entropy_gradient,
        posterior_mean=cf.posterior_mean,
    ):
        if name == "local_entropy":
            truth = _truth_of(name, formula, p)
        elif p.loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
            truth = _either_side(name, formula, p)
        else:
            truth = _either_side_integrated(name, p)
        measured = ask(p.loss, p.x, p.tau)
        yield agree(name, measured, truth.value, truth.tolerance(w))


def _either_side(name: str, formula: Any, p: Problem) -> Truth:
    """E_q X or grad F, for a subject that finds one of them from the other."""
    truth = closed(formula, p.loss, p.x, p.tau)
    reach = size(p.x) + size(cf.posterior_mean(EXACT, p.loss, p.x, p.tau))
    rounding = reach / p.tau if name == "local_entropy_gradient" else reach
    return Truth(truth.value, truth.scale + rounding)


def _either_side_integrated(name: str, p: Problem) -> Truth:
    """E_q X or grad F, for a subject that integrates one side of (12) or the other.

    The nodes of its E_q X are those of its normaliser: what its quadrature loses is a
    part of E_q |y - x|, not of |x|.
    """
    mean, covariance, slope = quadrature.posterior_moments(p.loss, p.x, p.tau)
    sd = size(covariance.value) ** 0.5
    reach = size(p.x) + size(mean.value) + sd
    moved = sd + p.tau * size(slope.value)
    if name == "posterior_mean":
        return Truth(mean.value, reach, NUMERICAL * moved + mean.error)
    steep = _steepness(p, float(mean.value[0]), sd)
    numerical = NUMERICAL * max(moved / p.tau, steep)
    return Truth(slope.value, max(reach / p.tau, steep), numerical + slope.error)


def _steepness(p: Problem, mean: float, sd: float) -> float:
    """E_q |grad f| on a line, to the few digits that a tolerance needs."""
    y = mean + sd * np.linspace(-12, 12, 2401)[:, None]
    logs = -p.loss(y) - (y[:, 0] - p.x[0]) ** 2 / (2 * p.tau)
    odds = np.exp(logs - logs.max())
    return float(odds @ np.abs(p.loss.gradient(y)[:, 0]) / odds.sum())


@check(
    "EQ2-11",
    paper="(2)",
    claim="where I + tau H is not positive definite F is infinite: no finite answer",
    truth="the smallest eigenvalue of I + tau H, which is negative",
    route="CF",
    tolerance="none: an exception, or an answer that is not finite",
    mistakes=("T23",),
    needs=("local_entropy",),
    cases=(
        at("indefinite quadratic d=3", P.INDEFINITE_3, 4.0),
        at("quadratic d=1, concave", Quadratic([[-1.5]], [0.5], 0.25), 0.75),
    ),
)
def infinite(w: Witness, p: Problem) -> Iterator[Finding]:
    try:
        value = w.local_entropy(p.loss, p.x, p.tau)
    except (NotRun, SubjectFault):
        yield agree("F is not finite", 1.0, 1.0, 0.0, "refused, as it should be")
        return
    yield agree(
        "F is not finite",
        value,
        -math.inf,
        0.0,
        "an exception, or an answer that is not finite, is right here",
    )


@check(
    "EQ2-05",
    paper="(2), (12), (15)",
    claim="nothing under- or overflows in the far tail x = (60, -45)",
    truth="closed forms in 40 digits; trapezoidal rule where the mass is",
    route="CF MP2",
    tolerance=RUNNING + "; without closed form " + TEN_DIGITS,
    mistakes=("T11",),
    any_of=(
        "local_entropy",
        "local_entropy_gradient",
        "posterior_mean",
        "posterior_covariance",
    ),
    cases=(
        at("quadratic d=2", P.QUADRATIC_2, 0.25, (60, -45)),
        at("mixture d=2", P.MIXTURE_2, 0.25, (60, -45)),
        at("mixture d=1", P.MIXTURE_1, 0.125, (-60,)),
        at("quartic d=1", P.QUARTIC_1, 0.375, (-60,)),
        at("waves d=1", P.WAVES_1, 0.375, (60,)),
        at("wells d=1", P.WELLS_1, 0.375, (6,)),
    ),
)
def far_tail(w: Witness, p: Problem) -> Iterator[Finding]:
    for name, formula, ask in offered(
        w,
        local_entropy=cf.local_entropy,
        local_entropy_gradient=cf.local_entropy_gradient,
        posterior_mean=cf.posterior_mean,
        posterior_covariance=cf.posterior_covariance,
    ):
        truth = _truth_of(name, formula, p)
        measured = ask(p.loss, p.x, p.tau)
        yield agree(name, measured, truth.value, truth.tolerance(w))


def _truth_of(name: str, formula: Any, p: Problem) -> Truth:
    """By closed form, or by quadrature with ten digits of the magnitudes."""
    if p.loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
        return closed(formula, p.loss, p.x, p.tau)
    if name == "local_entropy":
        value = quadrature.local_entropy(p.loss, p.x, p.tau)
        return integrated(value, 1 + abs(float(value.value)))
    moments = quadrature.posterior_moments(p.loss, p.x, p.tau)
    reach = size(p.x) + size(moments[0].value) + p.tau**0.5
    if name == "posterior_mean":
        return integrated(moments[0], reach)
    if name == "posterior_covariance":
        return integrated(moments[1], p.tau + size(moments[1].value))
    return integrated(moments[2], reach / p.tau)


def _metamorphic_cases() -> tuple[Problem, ...]:
    """A base problem and a changed one whose local entropy is the same plus `rise`."""
    base = at("quadratic d=2", P.QUADRATIC_2, 0.75)
    mixed = at("mixture d=3", P.MIXTURE_3, 1.25)
    constant = at("constant d=3", P.CONSTANT_3, 0.75)
    cases = [Problem("constant d=3", constant.loss, constant.x, 0.75, {"base": None})]
    for rise in (800.0, -800.0):
        raised = from_json({**base.loss.to_json(), "c": 0.375 + rise})
        more = {"base": base, "rise": rise}
        cases.append(
            Problem(f"quadratic d=2, f {rise:+g}", raised, base.x, base.tau, more)
        )
    for problem in (base, mixed):
        more = {"base": problem, "rise": 0.0}
        for name, change in (("moved", _moved), ("turned", _turned)):
            loss, x = change(problem)
            label = f"{problem.label}, {name}"
            cases.append(Problem(label, loss, x, problem.tau, more))
    return tuple(cases)


def _moved(p: Problem) -> tuple[Any, tuple[float, ...]]:
    shift = np.array([2.0, -0.5, 1.75])[: p.d]
    data: Any = p.loss
    x = tuple(np.array(p.x) + shift)
    if data.kind == "quadratic":
        return Quadratic(data.H, data.m + shift, data.c), x
    return GaussianMixture(data.weights, data.means + shift, data.covariances), x


def _turned(p: Problem) -> tuple[Any, tuple[float, ...]]:
    """A cyclic permutation of the axes with a reflection: exact in floating point."""
    turn = np.roll(np.eye(p.d), 1, axis=0)
    turn[0] *= -1
    data: Any = p.loss
    x = tuple(turn @ np.array(p.x))
    if data.kind == "quadratic":
        return Quadratic(turn @ data.H @ turn.T, turn @ data.m, data.c), x
    covariances = turn @ data.covariances @ turn.T
    return GaussianMixture(data.weights, data.means @ turn.T, covariances), x


@check(
    "EQ2-06",
    paper="(2)",
    claim="f = c gives F = c; F moves, turns and rises (by +-800) with f",
    truth="the base problem's closed form",
    route="MET CF",
    tolerance=RUNNING + " of the changed problem",
    mistakes=("T02",),
    needs=("local_entropy",),
    cases=_metamorphic_cases,
)
def metamorphic(w: Witness, p: Problem) -> Iterator[Finding]:
    changed = closed(cf.local_entropy, p.loss, p.x, p.tau)
    base = p.more["base"]
    if base is None:
        yield _value(w, p, Truth(p.loss.c, changed.scale), "F of a constant")
        return
    expected = cf.local_entropy(EXACT, base.loss, base.x, base.tau)
    yield _value(w, p, Truth(expected + EXACT.number(p.more["rise"]), changed.scale))


def _flow(ctx: Any, loss: Any, x: Any, tau: float) -> Any:
    """(laplacian F - |grad F|^2) / 2, from Cov_q and the gradient."""
    covariance = cf.posterior_covariance(ctx, loss, x, tau)
    slope = cf.local_entropy_gradient(ctx, loss, x, tau)
    t = ctx.number(tau)
    spread = la.trace(ctx, covariance)
    return ((len(x) - spread / t) / t - ctx.dot(slope, slope)) / 2


def _derivative_in_tau(formula: Any, p: Problem) -> Any:
    mp = EXACT.mp
    return mp.diff(lambda t: formula(EXACT, p.loss, p.x, t), mp.mpf(p.tau))


@check(
    "EQ2-07",
    paper="section 2.2, [4]",
    claim="dF/dtau = (LF - |grad F|^2)/2, the viscous Hamilton-Jacobi flow",
    truth="numerical derivative of the closed form in tau, 40 digits",
    route="ID",
    tolerance=RUNNING + " of the right-hand side",
    mistakes=("T05", "T19"),
    needs=("local_entropy_gradient", "posterior_covariance"),
    cases=P.CONJUGATE,
)
def hamilton_jacobi(w: Witness, p: Problem) -> Iterator[Finding]:
    slope = w.local_entropy_gradient(p.loss, p.x, p.tau)
    covariance = w.posterior_covariance(p.loss, p.x, p.tau)
    laplacian = (p.d - np.trace(covariance) / p.tau) / p.tau
    right = closed(_flow, p.loss, p.x, p.tau)
    yield agree(
        "(LF - |grad F|^2)/2",
        0.5 * (laplacian - slope @ slope),
        _derivative_in_tau(cf.local_entropy, p),
        right.tolerance(w) + 1e-15,
        "mp.diff is good to some twenty digits",
    )


def _semigroup_cases() -> tuple[Problem, ...]:
    """Losses that stay in their family, with data still exact after the first stage."""
    mixed = at("mixture d=2", P.MIXTURE_2, 0.75)
    data: Any = mixed.loss
    wide = GaussianMixture(data.weights, data.means, data.covariances + 0.5 * np.eye(2))
    rounded = Quadratic([1.5, 0.5, -0.25], [0.25, -0.5, 1.125], -0.25)
    flatter = Quadratic([0.375, 0.25, -0.5], [0.25, -0.5, 1.125], -0.25)
    bowl = at("diagonal quadratic d=3", rounded, 0.625)
    mixed.more.update(first=0.5, loss=wide, log_det=(1,))
    bowl.more.update(first=2.0, loss=flatter, log_det=(4, 2, 0.5))
    return mixed, bowl


@check(
    "EQ2-08",
    paper="section 2.2, [4]",
    claim="local entropy of local entropy: tau1 then tau2 is tau1 + tau2",
    truth="closed form at tau1 + tau2",
    route="ID",
    tolerance=RUNNING,
    mistakes=("T03",),
    needs=("local_entropy",),
    cases=_semigroup_cases,
)
def semigroup(w: Witness, p: Problem) -> Iterator[Finding]:
    first, loss = p.more["first"], p.more["loss"]
    truth = closed(cf.local_entropy, p.loss, p.x, first + p.tau)
    lift = sum(EXACT.log(EXACT.number(g)) for g in p.more["log_det"]) / 2
    second = closed(cf.local_entropy, loss, p.x, p.tau)
    value = w.local_entropy(loss, p.x, p.tau)
    yield agree("two stages", value, truth.value - lift, second.tolerance(w))
    value = w.local_entropy(p.loss, p.x, first + p.tau)
    yield agree("one stage", value, truth.value, truth.tolerance(w))


@check(
    "EQ2-09",
    paper="(2), (8), (13)",
    claim="min f <= F <= F^H; on quadratics F^H - F = KL(phi || q)",
    truth="KL of Gaussians in closed form; the height of the mixture's density",
    route="ID",
    tolerance=RUNNING + " of both",
    mistakes=("T01", "T02", "T08"),
    needs=("local_entropy", "heat"),
    cases=(*P.QUADRATICS[:2], *P.QUADRATICS[3:6], P.MIXTURES[0], P.MIXTURES[1]),
)
def jensen(w: Witness, p: Problem) -> Iterator[Finding]:
    low, high = w.local_entropy(p.loss, p.x, p.tau), w.heat(p.loss, p.x, p.tau)
    entropy = closed(cf.local_entropy, p.loss, p.x, p.tau)
    loss: Any = p.loss
    if loss.kind == "gaussian_mixture":
        certified = quadrature.heat(loss, p.x, p.tau)
        heat = integrated(certified, 1 + abs(float(certified.value)))
        floor = -math.log(
            sum(
                weight / math.sqrt(np.linalg.det(2 * math.pi * S))
                for weight, S in zip(loss.weights, loss.covariances, strict=True)
            )
        )
    else:
        heat = closed(cf.heat, loss, p.x, p.tau)
        gap = _gap(p)
        slack = entropy.tolerance(w) + heat.tolerance(w)
        yield agree("F^H - F", high - low, gap, slack)
        minimum = getattr(loss, "m", None)
        if minimum is None:
            minimum = np.linalg.lstsq(loss.A, loss.b)[0]
        floor = float(loss(minimum))
    slack = entropy.tolerance(w) + heat.tolerance(w)
    yield not_below("F^H - F", high - low, 0.0, slack)
    yield not_below("F - min f", low, floor, slack + 1e-14 * abs(floor))


def _gap(p: Problem) -> Any:
    mean = cf.posterior_mean(EXACT, p.loss, p.x, p.tau)
    covariance = cf.posterior_covariance(EXACT, p.loss, p.x, p.tau)
    round_ = la.identity(EXACT, p.d, EXACT.number(p.tau))
    return cf.kl_gaussian(EXACT, p.x, round_, mean, covariance)
