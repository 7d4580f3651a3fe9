"""The truths agree with each other by routes that share no formula."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from verification import losses as data
from verification.evidence.running_error import EF, UNIT, RunningError, tolerance
from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import proximal
from verification.truth import quadrature as quad
from verification.truth.carriers import MP, Double, Rational
from verification.truth.double_double import DD, DoubleDouble

CTX = MP(40)
X = (0.75, -0.5)
TAU = 0.375
FULL = [[0.125, 0.03125], [0.03125, 0.25]]


def catalogue() -> list[data.LossData]:
    """Return every kind of loss in one and in two dimensions."""
    S1, S2 = [[0.5]], [[0.25]]
    T1, T2 = [[1, 0.25], [0.25, 0.5]], [[0.5, 0], [0, 2]]
    return [
        data.Constant(1.25, 1),
        data.Constant(-0.5, 2),
        data.Linear([2.0], 0.5),
        data.Linear([1.0, -2.0], 0.5),
        data.Quadratic(2.0, [0.25], 1.5),
        data.Quadratic([2.0, 0.5], [0.25, -1.0], 1.5),
        data.Quadratic([[2, 0.5], [0.5, -0.25]], [0.25, -0.75], 1.5),
        data.Quartic([0.5], [0.25], [-1.5]),
        data.Quartic([0.5, 0.25], [0.25, -0.5], [1.0, -1.5], 0.375),
        data.Trigonometric([1, 0.5], [[3], [0.5]], [0.125, 0.25], 0.5, [0.5], 0.25),
        data.Trigonometric(
            [1, 0.5], [[1, 2], [0.5, -1]], [0.125, 0.25], [0.5, 1], [0.5, 1], 0.25
        ),
        data.GaussianMixture([0.25, 0.75], [[0.5], [-1]], [S1, S2]),
        data.GaussianMixture([0.25, 0.75], [[0.5, 1], [-1, 0.25]], [T1, T2]),
        data.GaussianWells([1, 2], [[0.5], [-1]], [S1, S2], 1.0),
        data.GaussianWells([1, 0.5], [[0.5, 1], [-1, 0.25]], [T1, T2], 1.0),
        data.LeastSquares([[1], [3], [0.5]], [1, 0, 2]),
        data.LeastSquares([[1, 2], [0.5, -1], [1, 0.25]], [1, 0, 2]),
    ]


LOSSES = catalogue()
NAMES = [f"{loss.kind}-{loss.d}-{i}" for i, loss in enumerate(LOSSES)]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
every_rule = pytest.mark.parametrize("rule", quad.RULES)


def every_loss_and_rule(*planes: str) -> Any:
    """Every loss by every rule; panels in a plane, which cost most, on these alone."""
    return pytest.mark.parametrize(
        ("loss", "rule"),
        [
            pytest.param(
                loss,
                rule,
                id=f"{name}-{rule}",
                marks=pytest.mark.slow
                if loss.d == 2 and rule == "gauss-legendre" and name not in planes
                else (),
            )
            for loss, name in zip(LOSSES, NAMES, strict=True)
            for rule in quad.RULES
        ],
    )


def flat(value: Any) -> list[Any]:
    """Return the numbers of a number, a vector or a matrix."""
    if not isinstance(value, list):
        return [value]
    return [number for entry in value for number in flat(entry)]


def assert_close(found: Any, truth: Any, digits: float = 25) -> None:
    """Compare to `digits` digits, relative to the largest entry but at least to 1."""
    found, truth = flat(found), flat(truth)
    assert len(found) == len(truth)
    scale = max(1.0, *(abs(float(t)) for t in truth))
    gaps = [abs(a - b) for a, b in zip(found, truth, strict=True)]
    assert max(gaps) <= scale * 10.0**-digits, (found, truth)


# --- closed forms against quadrature --------------------------------------------------


@every_loss_and_rule("quadratic-2-6", "gaussian_mixture-2-12")
def test_local_entropy_and_moments_by_closed_form_and_quadrature(
    loss: Any, rule: str
) -> None:
    x = X[: loss.d]
    if loss.kind not in cf.LOCAL_ENTROPY:
        with pytest.raises(cf.NoClosedForm):
            cf.local_entropy(CTX, loss, x, TAU)
        return
    F = quad.local_entropy(loss, x, TAU, rule)
    assert F.error < 1e-25
    assert_close(F.value, cf.local_entropy(CTX, loss, x, TAU))
    mean, covariance, slope = quad.posterior_moments(loss, x, TAU, rule)
    assert_close(mean.value, cf.posterior_mean(CTX, loss, x, TAU))
    assert_close(covariance.value, cf.posterior_covariance(CTX, loss, x, TAU))
    assert_close(slope.value, cf.local_entropy_gradient(CTX, loss, x, TAU))


@every_loss
def test_two_rules_agree_where_there_is_no_closed_form(loss: Any) -> None:
    x = X[: loss.d]
    if loss.kind in cf.LOCAL_ENTROPY:
        return
    first, second = (quad.local_entropy(loss, x, TAU, rule) for rule in quad.RULES)
    assert_close(first.value, second.value)
    moments = [quad.posterior_moments(loss, x, TAU, rule) for rule in quad.RULES]
    for one, other in zip(*moments, strict=True):
        assert_close(one.value, other.value)
    mean, _, slope = moments[0]
    pull = [(a - b) / CTX.number(TAU) for a, b in zip(x, mean.value, strict=True)]
    assert_close(pull, slope.value)  # (12), both forms


@every_loss_and_rule("quadratic-2-6", "quartic-2-8")
def test_heat_by_closed_form_and_quadrature(loss: Any, rule: str) -> None:
    x = X[: loss.d]
    if loss.kind not in cf.HEAT:
        with pytest.raises(cf.NoClosedForm):
            cf.heat(CTX, loss, x, TAU)
        return
    assert_close(quad.heat(loss, x, TAU, rule).value, cf.heat(CTX, loss, x, TAU))
    slope = quad.heat_gradient(loss, x, TAU, rule)
    assert_close(slope.value, cf.heat_gradient(CTX, loss, x, TAU))
    cov = [row[: loss.d] for row in FULL[: loss.d]]
    mean = quad.gaussian_mean(loss, x, cov, rule)
    assert_close(mean.value, cf.gaussian_mean(CTX, loss, x, cov))


def test_heat_of_a_mixture_by_two_rules_and_by_mpmath() -> None:
    loss = LOSSES[11]
    first, second = (quad.heat(loss, X[:1], TAU, rule) for rule in quad.RULES)
    assert_close(first.value, second.value)
    third = quad.expectation(lambda y: cf.value(CTX, loss, y), X[:1], [[TAU]], 0.25)
    assert_close(first.value, third.value)
    assert_close(
        quad.heat_gradient(loss, X[:1], TAU).value,
        quad.heat_jet(loss, X[:1], TAU).gradient,
    )


@every_loss
def test_log_mean_exp(loss: Any) -> None:
    x, cov = X[: loss.d], [row[: loss.d] for row in FULL[: loss.d]]
    if loss.kind == "quartic":
        assert quad.log_mean_exp(loss, x, cov) is None
        return
    if loss.kind == "gaussian_mixture" and loss.d == 2:
        return
    first, second = (quad.log_mean_exp(loss, x, cov, rule) for rule in quad.RULES)
    truth = (
        None if loss.kind not in cf.QUADRATIC else cf.log_mean_exp(CTX, loss, x, cov)
    )
    if first is None or second is None:
        assert first is second is truth is None
        return
    assert_close(first.value, second.value)
    if loss.kind in cf.QUADRATIC:
        assert_close(first.value, truth)


def test_log_mean_exp_is_infinite_where_the_gaussian_is_too_wide() -> None:
    loss = data.Quadratic(2.0, [0.25], 1.5)
    assert cf.log_mean_exp(CTX, loss, [0.0], [[0.5]]) is None
    assert quad.log_mean_exp(loss, [0.0], [[0.625]]) is None
    with pytest.raises(ValueError, match="positive definite"):
        cf.local_entropy(CTX, data.Quadratic(-2.0, [0.0]), [0.0], 0.5)
    with pytest.raises(quad.Infinite):
        quad.local_entropy(data.Quadratic(-2.0, [0.0]), [0.0], 0.625)


@pytest.mark.parametrize("loss", [LOSSES[7], LOSSES[13], LOSSES[14]])
def test_normaliser_of_equation_6(loss: Any) -> None:
    log_Z = quad.normaliser_6(loss, X[: loss.d], TAU).value
    constant = CTX.log(2 * CTX.pi * CTX.number(TAU)) * loss.d / 2
    F = quad.local_entropy(loss, X[: loss.d], TAU).value
    assert_close(F, constant - log_Z)


# --- derivatives ----------------------------------------------------------------------


@every_loss
def test_derivatives_by_differences(loss: Any) -> None:
    x, functions = X[: loss.d], [(cf.value, cf.gradient, cf.hessian)]
    if loss.kind in cf.LOCAL_ENTROPY:
        functions.append(
            (cf.local_entropy, cf.local_entropy_gradient, cf.local_entropy_hessian)
        )
    if loss.kind in cf.HEAT:
        functions.append((cf.heat, cf.heat_gradient, cf.heat_hessian))
    for value, gradient, hessian in functions:
        more = () if value is cf.value else (TAU,)
        f, g, H = (
            lambda y, h=h, more=more: h(MP(60), loss, y, *more)
            for h in (value, gradient, hessian)
        )
        assert_close(g(x), [difference(f, x, j) for j in range(loss.d)], 24)
        columns = [difference(g, x, j) for j in range(loss.d)]
        assert_close(H(x), la.transpose(columns), 24)


def difference(function: Any, x: tuple[float, ...], j: int) -> Any:
    """Return ∂/∂x_j to h⁴ with h = 1e-8, on numbers or vectors of 60 digits."""
    ctx = MP(60)
    h = ctx.number(Fraction(1, 10**8))

    def at(k: int) -> list[Any]:
        y = la.vector(ctx, x)
        y[j] += k * h
        return flat(function(y))

    points = zip(at(1), at(-1), at(2), at(-2), strict=True)
    slopes = [(8 * (a - b) - (c - d)) / (12 * h) for a, b, c, d in points]
    return slopes if isinstance(function(x), list) else slopes[0]


@every_loss
def test_hessian_of_local_entropy_from_the_covariance(loss: Any) -> None:
    if loss.kind not in cf.LOCAL_ENTROPY:
        return
    x, tau = X[: loss.d], CTX.number(TAU)
    covariance = cf.posterior_covariance(CTX, loss, x, TAU)
    bend = la.matrix_add(
        la.identity(CTX, loss.d), la.matrix_scale(-1 / tau, covariance)
    )
    assert_close(
        la.matrix_scale(1 / tau, bend), cf.local_entropy_hessian(CTX, loss, x, TAU)
    )


# --- planted traps --------------------------------------------------------------------


def one_well_series(depth: float, width: float, x: float, tau: float) -> Any:
    """Return F_τ of one well at 0: E e^{a g} = Σ a^k/k! E g^k, every term Gaussian."""
    w2, t, total = CTX.number(width) ** 2, CTX.number(tau), CTX.number(0)
    term = CTX.number(1)
    for k in range(80):
        shrink = CTX.sqrt(w2 / (w2 + k * t))
        bump = CTX.exp(-k * CTX.number(x) ** 2 / (2 * (w2 + k * t)))
        total += term * shrink * bump
        term = term * CTX.number(depth) / (k + 1)
    return -CTX.log(total)


@every_rule
@pytest.mark.parametrize("width", [0.005, 0.5])
@pytest.mark.parametrize("depth", [1.0, 6.0])
def test_sharp_well_is_resolved(rule: str, width: float, depth: float) -> None:
    loss = data.GaussianWells([depth], [[0.0]], [[[width**2]]])
    truth = one_well_series(depth, float(loss.covariances[0, 0, 0]) ** 0.5, 0.25, 1.0)
    assert_close(quad.local_entropy(loss, (0.25,), 1.0, rule).value, truth, 15)
    exact = data.GaussianWells([depth], [[0.0]], [[[2.0**-16]]])
    truth = one_well_series(depth, 2.0**-8, 0.25, 1.0)
    assert_close(quad.local_entropy(exact, (0.25,), 1.0, rule).value, truth)


@pytest.mark.parametrize("tau", [1e-10, 1e-3, 1e3, 1e5])
def test_double_well_at_extreme_tau(tau: float) -> None:
    loss = data.Quartic([1.0], [0.125], [-4.0])
    first, second = (quad.local_entropy(loss, (3.0,), tau, r) for r in quad.RULES)
    assert_close(first.value, second.value)
    mean, _, slope = quad.posterior_moments(loss, (3.0,), tau)
    assert_close(
        (3 - mean.value[0]) / CTX.number(tau), slope.value[0], 20 if tau > 1 else 14
    )


def test_beyond_the_budget_nothing_is_answered() -> None:
    sharp = data.GaussianWells([1.0], [[0.0, 0.0]], [[[1e-8, 0], [0, 1e-8]]])
    with pytest.raises(quad.Unresolved):
        quad.local_entropy(sharp, (0.0, 0.0), 1.0)
    with pytest.raises(quad.Unresolved):
        quad.expectation(lambda y: y[0], (0.0,), [[1.0]], 1e-6)


# --- proximal points ------------------------------------------------------------------


def test_proximal_points_are_set_valued() -> None:
    loss = data.Quartic([1.0], [0.0], [-4.0])
    result = proximal.proximal_points(loss, (0.0,), 0.5)  # y⁴/4 − y²/4 + const
    root = CTX.sqrt(CTX.number(1) / 2)
    assert_close(result.points, [[-root], [root]])


@every_loss
def test_proximal_points_are_stationary_and_minimal(loss: Any) -> None:
    if loss.kind == "gaussian_mixture" and loss.d == 2:
        return
    x, rng = X[: loss.d], np.random.default_rng(1)
    result = proximal.proximal_points(loss, x, TAU)
    for point in result.points:
        assert_close(proximal.stationarity(loss, x, point, TAU), [0] * loss.d)
    if loss.kind == "gaussian_mixture":
        return
    for y in rng.normal(scale=2, size=(50, loss.d)).tolist():
        pull = CTX.sum([(CTX.number(a) - b) ** 2 for a, b in zip(y, x, strict=True)])
        G = cf.heat(CTX, loss, y, TAU) + pull / (2 * CTX.number(TAU))
        assert result.minimum < G


# --- exact arithmetic -----------------------------------------------------------------


def test_fractions_and_mp_agree() -> None:
    Q = Rational()
    for loss in LOSSES:
        x = X[: loss.d]
        functions = []
        if loss.kind in (*cf.QUADRATIC, "quartic"):
            functions += [cf.heat, cf.heat_gradient, cf.heat_hessian]
        if loss.kind in cf.QUADRATIC:
            functions += [cf.proximal_point, cf.posterior_mean]
            functions += [cf.posterior_covariance, cf.local_entropy_gradient]
        for function in functions:
            exact = flat(function(Q, loss, x, TAU))
            assert all(isinstance(q, Fraction) for q in exact)
            rounded = [CTX.number(q) for q in exact]
            assert_close(function(CTX, loss, x, TAU), rounded, 38)
    with pytest.raises(TypeError):
        cf.local_entropy(Q, LOSSES[4], X[:1], TAU)
    assert cf.scoping(Q, 1.5, 0.5, 2) == Fraction(2, 3)


def test_factors_solve_exactly() -> None:
    Q, rng = Rational(), np.random.default_rng(3)
    B = rng.integers(-4, 5, size=(4, 4)).astype(float)
    A = la.matrix(Q, (B @ B.T + np.eye(4)).tolist())
    b = la.vector(Q, [1, -2, 3, 0.5])
    factors = la.ldlt(Q, A)
    x = la.solve(Q, factors, b)
    assert la.matvec(Q, A, x) == b
    assert la.inverse_form(Q, factors, b) == la.dot(Q, b, x)
    assert la.solve_matrix(Q, factors, A) == la.identity(Q, 4)
    logs = la.log_det(CTX, la.ldlt(CTX, la.matrix(CTX, A)))
    assert_close(logs, np.linalg.slogdet(B @ B.T + np.eye(4))[1], 13)
    assert not la.is_positive_definite(Q, la.matrix(Q, [[1, 2], [2, 1]]))


def test_kl_of_gaussians_by_quadrature() -> None:
    mean0, cov0 = [0.5, -1.0], [[1.0, 0.25], [0.25, 0.5]]
    mean1, cov1 = [-0.25, 0.75], [[2.0, -0.5], [-0.5, 1.0]]

    def log_ratio(y: list[Any]) -> Any:
        logs = []
        for mean, cov in ((mean0, cov0), (mean1, cov1)):
            factors = la.ldlt(CTX, la.matrix(CTX, cov))
            r = la.subtract(y, la.vector(CTX, mean))
            logs.append(la.inverse_form(CTX, factors, r) + la.log_det(CTX, factors))
        return (logs[1] - logs[0]) / 2

    truth = quad.expectation(log_ratio, mean0, cov0, 4.0, reach=11.0).value
    assert_close(cf.kl_gaussian(CTX, mean0, cov0, mean1, cov1), truth)
    assert_close(cf.kl_gaussian(CTX, mean0, cov0, mean0, cov0), 0)
    reverse = cf.kl_gaussian(CTX, mean1, cov1, mean0, cov0)
    assert abs(float(reverse - truth)) > 0.5


def test_double_double_functions() -> None:
    ctx, mp, rng = DoubleDouble(), MP(60).mp, np.random.default_rng(5)
    hi = rng.uniform(-30, 30, 200)
    lo = hi * 2.0**-54 * rng.uniform(-1, 1, 200)
    exact = [mp.mpf(a) + mp.mpf(b) for a, b in zip(hi, lo, strict=True)]
    cases = [(ctx.exp, mp.exp), (ctx.cos, mp.cos), (ctx.sin, mp.sin)]
    for function, truth in [
        *cases,
        (lambda a: ctx.log(a * a), lambda a: mp.log(a * a)),
    ]:
        found = function(DD(hi, lo))
        for k, a in enumerate(exact):
            value = mp.mpf(found.hi[k]) + mp.mpf(found.lo[k])
            assert abs(value - truth(a)) <= 1e-29 * max(1, abs(truth(a)))


# --- running error --------------------------------------------------------------------


def random_problems(count: int) -> list[tuple[Any, list[float], float]]:
    """Return random losses, points and variances over five decades."""
    rng = np.random.default_rng(7)
    problems: list[tuple[Any, list[float], float]] = []
    for _, d in zip(range(count), itertools.cycle((1, 2, 3)), strict=False):
        A = rng.normal(size=(2, d, d))
        S = A @ np.swapaxes(A, 1, 2) + 0.25 * np.eye(d)
        S = (S + np.swapaxes(S, 1, 2)) / 2
        m, w = rng.normal(size=(2, d)), rng.uniform(0.2, 1, 2)
        made = [
            data.Quadratic(S[0], m[0], rng.normal()),
            data.LeastSquares(rng.normal(size=(5, d)), rng.normal(size=5)),
            data.GaussianMixture([0.25, 0.75], m, S),
            data.GaussianWells(w, m, S, rng.normal()),
            data.Trigonometric(w, 2 * m, w, S[0], m[1]),
            data.Quartic(w[0] + 0 * m[0], m[0], m[1], rng.normal()),
        ]
        x = rng.normal(scale=2, size=d).tolist()
        problems += [(loss, x, 10 ** rng.uniform(-3, 2)) for loss in made]
    return problems


def test_running_error_bounds_the_error() -> None:
    ratios = []
    for loss, x, tau in random_problems(30):
        functions = [cf.heat, cf.heat_gradient] if loss.kind in cf.HEAT else []
        if loss.kind in cf.LOCAL_ENTROPY:
            functions += [cf.local_entropy, cf.local_entropy_gradient]
            functions += [cf.posterior_mean, cf.posterior_covariance]
        for function in functions:
            found = flat(function(Double(), loss, x, tau))
            truth = flat(function(CTX, loss, x, tau))
            bounds = flat(function(RunningError(), loss, x, tau))
            for a, t, ef in zip(found, truth, bounds, strict=True):
                error = abs(float(CTX.number(a) - t))
                assert error <= ef.err * UNIT * (1 + 1e-9)
                assert abs(float(CTX.number(ef.value) - t)) <= ef.err * UNIT * (
                    1 + 1e-9
                )
                ratios += [error / (ef.err * UNIT)] if ef.err else []
    assert len(ratios) > 500
    assert np.median(ratios) > 1e-4


def test_tolerance_is_four_bounds() -> None:
    assert tolerance(EF(1.0, 2.0), 0.5, 0.125) == 4 * 2.0 * 0.125 + 0.5
