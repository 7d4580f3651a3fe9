"""Closed forms of local entropy, heat and their derivatives, over any carrier.

Every function takes the carrier first.  `x` is a sequence of d floats and `tau` a
float, a variance; both are converted exactly, and numbers of the carrier pass
unchanged.  Vectors are lists of d numbers and matrices lists of rows.

Routes.  A quadratic loss (constant, linear, quadratic, least_squares) is its Taylor
polynomial: with g = ∇f(x), H = ∇²f and K = (I+τH)⁻¹

    F_τ = f(x) − (τ/2) gᵀK g + ½ log det(I+τH),   ∇F_τ = K g,   ∇²F_τ = K H,

and q_{x,τ} is the Gaussian with precision H + I/τ.  A mixture is convolved: e^{−F_τ} is
the mixture with covariances S_i + τI.  Heat is one Gaussian mean per kind: moments by
integration by parts, E cos = e^{−½ωᵀCω} cos, and the convolution of two Gaussians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from verification.truth import algebra as la
from verification.truth import network
from verification.truth.algebra import Factors, Matrix, Vector
from verification.truth.carriers import Carrier, Number
from verification.truth.moments import Monomial, Polynomial, derivative, polynomial_mean

QUADRATIC = ("constant", "linear", "quadratic", "least_squares")
LOCAL_ENTROPY = (*QUADRATIC, "gaussian_mixture")
HEAT = (*QUADRATIC, "quartic", "trigonometric", "gaussian_wells")


class NoClosedForm(Exception):
    """The quantity has no closed form for this kind of loss."""


@dataclass(frozen=True)
class Jet:
    """A function's value, gradient (d,) and hessian (d, d) at one point.

    A jet of order 0 has no gradient, one of order 1 has no hessian: empty lists.
    """

    value: Number
    gradient: Vector = field(default_factory=list)
    hessian: Matrix = field(default_factory=list)

    def plus(self, other: Jet) -> Jet:
        return Jet(
            self.value + other.value,
            la.add(self.gradient, other.gradient),
            la.matrix_add(self.hessian, other.hessian),
        )


# --- the loss itself ------------------------------------------------------------------


def value(ctx: Carrier, loss: Any, x: Sequence[Any]) -> Number:
    """Return f(x)."""
    return _jet(ctx, loss, la.vector(ctx, x), order=0).value


def gradient(ctx: Carrier, loss: Any, x: Sequence[Any]) -> Vector:
    """Return ∇f(x)."""
    return _jet(ctx, loss, la.vector(ctx, x), order=1).gradient


def hessian(ctx: Carrier, loss: Any, x: Sequence[Any]) -> Matrix:
    """Return ∇²f(x)."""
    return _jet(ctx, loss, la.vector(ctx, x)).hessian


# --- local entropy (2), its gradient (12), and the moments of q_{x,τ} -----------------


def local_entropy(ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any) -> Number:
    """Return F_τ(x) = −log ∫ e^{−f} φ_{x,τ}, equation (2).

    Raises
    ------
    NoClosedForm
        If the loss is neither quadratic nor a Gaussian mixture.
    ValueError
        If I + τH is not positive definite: F_τ(x) = −∞.
    """
    x, tau = la.vector(ctx, x), ctx.number(tau)
    if loss.kind == "gaussian_mixture":
        return _mixture_jet(ctx, loss, x, tau, 0).value
    jet, factors = _quadratic(ctx, loss, x, tau)
    half_log_det = la.log_det(ctx, factors) / 2
    if loss.kind == "quadratic":  # ½ rᵀHK r: no difference of large numbers
        r = la.subtract(x, la.vector(ctx, loss.m))
        energy = la.dot(ctx, r, la.solve(ctx, factors, jet.gradient)) / 2
        return ctx.sum([ctx.number(loss.c), energy, half_log_det])
    drop = tau * la.inverse_form(ctx, factors, jet.gradient) / 2
    return jet.value - drop + half_log_det


def local_entropy_gradient(
    ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any
) -> Vector:
    """Return ∇F_τ(x): K ∇f(x), or Σ r_i (S_i+τI)⁻¹(x − m_i) for a mixture."""
    x, tau = la.vector(ctx, x), ctx.number(tau)
    if loss.kind == "gaussian_mixture":
        return _mixture_jet(ctx, loss, x, tau, 1).gradient
    jet, factors = _quadratic(ctx, loss, x, tau)
    return la.solve(ctx, factors, jet.gradient)


def local_entropy_hessian(
    ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any
) -> Matrix:
    """Return ∇²F_τ(x): K H, or the hessian of the convolved mixture."""
    x, tau = la.vector(ctx, x), ctx.number(tau)
    if loss.kind == "gaussian_mixture":
        return _mixture_jet(ctx, loss, x, tau).hessian
    jet, factors = _quadratic(ctx, loss, x, tau)
    return la.solve_matrix(ctx, factors, jet.hessian)


def posterior_mean(ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any) -> Vector:
    """Return E_q X, (15): q is conjugate, or a mixture of conjugate components."""
    x, tau = la.vector(ctx, x), ctx.number(tau)
    if loss.kind == "gaussian_mixture":
        odds, means, _ = posterior_components(ctx, loss, x, tau)
        return [ctx.dot(odds, list(column)) for column in zip(*means, strict=True)]
    jet, factors = _quadratic(ctx, loss, x, tau)
    if loss.kind == "quadratic":
        m = la.vector(ctx, loss.m)
        return la.add(m, la.solve(ctx, factors, la.subtract(x, m)))
    if loss.kind == "least_squares":  # (I + τAᵀA/N) μ = x + τAᵀb/N
        A, b = la.transpose(la.matrix(ctx, loss.A)), la.vector(ctx, loss.b)
        pull = [tau * p / len(b) for p in la.matvec(ctx, A, b)]
        return la.solve(ctx, factors, la.add(x, pull))
    return la.subtract(x, la.scale(tau, jet.gradient))


def posterior_covariance(ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any) -> Matrix:
    """Return Cov_q X: τK, or within plus between components for a mixture."""
    x, tau = la.vector(ctx, x), ctx.number(tau)
    if loss.kind != "gaussian_mixture":
        _, factors = _quadratic(ctx, loss, x, tau)
        return la.solve_matrix(ctx, factors, la.identity(ctx, len(x), tau))
    odds, means, covariances = posterior_components(ctx, loss, x, tau)
    mean = [ctx.dot(odds, list(column)) for column in zip(*means, strict=True)]
    gaps = [la.subtract(mu, mean) for mu in means]
    spreads = [
        la.matrix_add(V, la.outer(gap, gap))
        for V, gap in zip(covariances, gaps, strict=True)
    ]
    return _mix(ctx, odds, spreads)


# --- heat -----------------------------------------------------------------------------


def heat(ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any) -> Number:
    """Return F^H_τ(x) = ∫ f φ_{x,τ}."""
    return heat_jet(ctx, loss, x, tau, order=0).value


def heat_gradient(ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any) -> Vector:
    """Return ∇F^H_τ(x) = E_φ ∇f."""
    return heat_jet(ctx, loss, x, tau, order=1).gradient


def heat_hessian(ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any) -> Matrix:
    """Return ∇²F^H_τ(x) = E_φ ∇²f."""
    return heat_jet(ctx, loss, x, tau).hessian


def heat_jet(
    ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any, order: int = 2
) -> Jet:
    """Return the derivatives of F^H_τ at x up to `order` together."""
    x = la.vector(ctx, x)
    return _jet(ctx, loss, x, la.identity(ctx, len(x), tau), order)


def gaussian_mean(
    ctx: Carrier, loss: Any, mean: Sequence[Any], cov: Sequence[Sequence[Any]]
) -> Number:
    """Return ∫ f dN(mean, cov) for a full covariance (d, d)."""
    return _jet(ctx, loss, la.vector(ctx, mean), la.matrix(ctx, cov), 0).value


def proximal_point(ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any) -> Vector:
    """Return argmin_y F^H_τ(y) + |y−x|²/2τ, step 2 of Algorithm 2.

    For a quadratic loss the heat is f plus a constant, and stationarity reads
    (I + τH)(y − x) = −τ∇f(x).
    """
    x, tau = la.vector(ctx, x), ctx.number(tau)
    jet, factors = _quadratic(ctx, loss, x, tau)
    return la.subtract(x, la.scale(tau, la.solve(ctx, factors, jet.gradient)))


def log_mean_exp(
    ctx: Carrier, loss: Any, mean: Sequence[Any], cov: Sequence[Sequence[Any]]
) -> Number | None:
    """Return log ∫ e^f dN(mean, cov), or None where the integral is infinite.

    For a quadratic loss it is finite iff P = cov⁻¹ − H is positive definite, and then
    f(mean) + ½ gᵀP⁻¹g − ½ log det cov − ½ log det P.
    """
    centre = la.vector(ctx, mean)
    if loss.kind not in QUADRATIC:
        raise NoClosedForm(f"log ∫ e^f has no closed form for {loss.kind}")
    jet = _jet(ctx, loss, centre)
    factors = la.ldlt(ctx, la.matrix(ctx, cov))
    inverse = la.solve_matrix(ctx, factors, la.identity(ctx, len(centre)))
    precision = la.matrix_add(inverse, la.matrix_scale(-1, jet.hessian))
    try:
        tilted = la.ldlt(ctx, precision)
    except ValueError:
        return None
    gain = la.inverse_form(ctx, tilted, jet.gradient)
    shrink = la.log_det(ctx, factors) + la.log_det(ctx, tilted)
    return jet.value + (gain - shrink) / 2


def kl_gaussian(
    ctx: Carrier,
    mean0: Sequence[Any],
    cov0: Sequence[Sequence[Any]],
    mean1: Sequence[Any],
    cov1: Sequence[Sequence[Any]],
) -> Number:
    """Return KL(N(mean0, cov0) ‖ N(mean1, cov1)), equation (7)."""
    first, second = la.matrix(ctx, cov0), la.matrix(ctx, cov1)
    gap = la.subtract(la.vector(ctx, mean0), la.vector(ctx, mean1))
    F0, F1 = la.ldlt(ctx, first), la.ldlt(ctx, second)
    terms = [
        la.trace(ctx, la.solve_matrix(ctx, F1, first)),
        la.inverse_form(ctx, F1, gap),
        ctx.number(-len(gap)),
        la.log_det(ctx, F1),
        -la.log_det(ctx, F0),
    ]
    return ctx.sum(terms) / 2


def scoping(ctx: Carrier, tau0: Any, tau1: Any, k: int) -> Number:
    """Return τ(k) = τ_0 / (1+τ_1)^k, equation (18) with τ(0) = τ_0."""
    return ctx.number(tau0) / (1 + ctx.number(tau1)) ** k


# --- one jet per kind: f smoothed by N(0, cov), or f itself without cov ---------------


def _jet(
    ctx: Carrier, loss: Any, x: Vector, cov: Matrix | None = None, order: int = 2
) -> Jet:
    """Return the derivatives of y ↦ E f(y + N(0, cov)) at x up to `order`."""
    match loss.kind:
        case "constant" | "linear" | "quadratic" | "least_squares":
            return _quadratic_jet(ctx, loss, x, cov)
        case "quartic":
            return _quartic_jet(ctx, loss, x, cov, order)
        case "trigonometric":
            jet = _quadratic_jet(ctx, loss, x, cov)
            return jet.plus(_waves_jet(ctx, loss, x, cov))
        case "gaussian_wells":
            return _wells_jet(ctx, loss, x, cov, order)
        case "gaussian_mixture" if cov is None:
            return _mixture_jet(ctx, loss, x, ctx.number(0), order)
        case "network" if cov is None and order < 2:
            slopes = network.gradient(ctx, loss, x) if order else []
            return Jet(network.value(ctx, loss, x), slopes)
    raise NoClosedForm(f"heat has no closed form for {loss.kind}")


def _curvature(ctx: Carrier, H: Any, d: int) -> Matrix:
    """Return a scalar, diagonal or full H as a full matrix."""
    rows = H.tolist() if hasattr(H, "tolist") else H
    if not isinstance(rows, list):
        return la.identity(ctx, d, rows)
    if isinstance(rows[0], list):
        return la.matrix(ctx, rows)
    zero = ctx.number(0)
    return [
        [ctx.number(rows[i]) if i == j else zero for j in range(d)] for i in range(d)
    ]


def _quadratic_jet(ctx: Carrier, loss: Any, x: Vector, cov: Matrix | None) -> Jet:
    """Smoothing adds ½ tr(H cov) to the value and nothing to the derivatives."""
    d, zero = len(x), ctx.number(0)
    H: Matrix = [[zero] * d for _ in range(d)]
    if loss.kind == "constant":
        return Jet(ctx.number(loss.c), [zero] * d, H)
    if loss.kind == "linear":
        g = la.vector(ctx, loss.g)
        return Jet(la.dot(ctx, g, x) + ctx.number(loss.c), g, H)
    if loss.kind == "least_squares":
        A, count = la.matrix(ctx, loss.A), len(loss.b)
        r = la.subtract(la.matvec(ctx, A, x), la.vector(ctx, loss.b))
        columns = la.transpose(A)
        slopes = [p / count for p in la.matvec(ctx, columns, r)]
        H = [[ctx.dot(p, q) / count for q in columns] for p in columns]
        jet = Jet(la.dot(ctx, r, r) / (2 * count), slopes, H)
    else:
        H = _curvature(ctx, loss.H, d)
        r = la.subtract(x, la.vector(ctx, loss.m))
        slopes = la.matvec(ctx, H, r)
        jet = Jet(la.dot(ctx, r, slopes) / 2 + ctx.number(loss.c), slopes, H)
    if cov is None:
        return jet
    spread = la.trace(ctx, la.matmul(ctx, H, cov)) / 2
    return Jet(jet.value + spread, jet.gradient, jet.hessian)


def _quartic_jet(
    ctx: Carrier, loss: Any, x: Vector, cov: Matrix | None, order: int
) -> Jet:
    """Every entry is the Gaussian mean of a derivative of the polynomial."""
    d = len(x)
    polynomial: dict[Monomial, Number] = {}
    for i in range(d):
        polynomial[(i,) * 4] = ctx.number(loss.c4[i]) / 4
        polynomial[(i,) * 3] = ctx.number(loss.c3[i]) / 3
        polynomial[(i,) * 2] = ctx.number(loss.c2[i]) / 2
    for i in range(d - 1):
        polynomial[i, i + 1] = ctx.number(loss.coupling)

    def mean(p: Polynomial) -> Number:
        return polynomial_mean(ctx, p, x, cov)

    slopes = [derivative(polynomial, i) for i in range(d)] if order else []
    bends = [[derivative(p, j) for j in range(d)] for p in slopes if order > 1]
    return Jet(
        mean(polynomial),
        [mean(p) for p in slopes],
        [[mean(p) for p in row] for row in bends],
    )


def _waves_jet(ctx: Carrier, loss: Any, x: Vector, cov: Matrix | None) -> Jet:
    """E cos(ωᵀY + b) = e^{−½ωᵀCω} cos(ωᵀμ + b)."""
    values, slopes, curvatures = [], [], []
    omegas = la.matrix(ctx, loss.frequency)
    for a, omega, b in zip(loss.amplitude, omegas, loss.phase, strict=True):
        amplitude = ctx.number(a)
        if cov is not None:
            decay = la.quadratic_form(ctx, cov, omega) / 2
            amplitude = amplitude * ctx.exp(-decay)
        angle = la.dot(ctx, omega, x) + ctx.number(b)
        values.append(amplitude * ctx.cos(angle))
        slopes.append(-(amplitude * ctx.sin(angle)))
        curvatures.append(la.outer(omega, omega))
    columns = la.transpose(omegas)
    return Jet(
        ctx.sum(values),
        [ctx.dot(slopes, column) for column in columns],
        _mix(ctx, [-v for v in values], curvatures),
    )


def _wells_jet(
    ctx: Carrier, loss: Any, x: Vector, cov: Matrix | None, order: int
) -> Jet:
    """A well convolved with N(0, C): S becomes S+C, the volume stays."""
    heights, factors, residuals = [], [], []
    wells = zip(loss.depths, loss.means, loss.covariances, strict=True)
    for depth, mean, covariance in wells:
        S = la.matrix(ctx, covariance)
        F = la.ldlt(ctx, S if cov is None else la.matrix_add(S, cov))
        r = la.subtract(x, la.vector(ctx, mean))
        exponent = -(la.inverse_form(ctx, F, r) / 2)
        if cov is not None:
            log_volume = la.log_det(ctx, la.ldlt(ctx, S))
            exponent = exponent + (log_volume - la.log_det(ctx, F)) / 2
        heights.append(ctx.number(depth) * ctx.exp(exponent))
        factors.append(F)
        residuals.append(r)
    height = ctx.number(loss.c) - ctx.sum(heights)
    if order == 0:
        return Jet(height)
    scores = _scores(ctx, factors, residuals)
    slope = [ctx.dot(heights, column) for column in la.transpose(scores)]
    if order == 1:
        return Jet(height, slope)
    return Jet(height, slope, _mix(ctx, heights, _bends(ctx, factors, scores)))


# --- pieces ---------------------------------------------------------------------------


def _mix(ctx: Carrier, weights: Vector, matrices: Sequence[Matrix]) -> Matrix:
    """Return Σ_i w_i M_i."""
    d = len(matrices[0])
    return [
        [ctx.dot(weights, [M[i][j] for M in matrices]) for j in range(d)]
        for i in range(d)
    ]


def _quadratic(ctx: Carrier, loss: Any, x: Vector, tau: Number) -> tuple[Jet, Factors]:
    """Return the jet of a quadratic loss at x and the factors of I + τH."""
    if loss.kind not in QUADRATIC:
        raise NoClosedForm(f"there is no closed form for {loss.kind}")
    jet = _quadratic_jet(ctx, loss, x, None)
    shifted = la.matrix_add(la.identity(ctx, len(x)), la.matrix_scale(tau, jet.hessian))
    try:
        return jet, la.ldlt(ctx, shifted)
    except ValueError as error:
        raise ValueError(
            f"I + tau H must be positive definite: tau = {tau}, H = {jet.hessian}"
        ) from error


def _scores(ctx: Carrier, factors: list[Factors], residuals: list[Vector]) -> Matrix:
    """Return S_i⁻¹(x − m_i) for every component."""
    return [la.solve(ctx, F, r) for F, r in zip(factors, residuals, strict=True)]


def _bends(ctx: Carrier, factors: list[Factors], slopes: Matrix) -> list[Matrix]:
    """Return S_i⁻¹ − s_i s_iᵀ for every component."""
    unit = la.identity(ctx, len(slopes[0]))
    return [
        la.matrix_add(
            la.solve_matrix(ctx, F, unit), la.matrix_scale(-1, la.outer(s, s))
        )
        for F, s in zip(factors, slopes, strict=True)
    ]


@dataclass(frozen=True)
class _Components:
    """Log-weights w_i N(x; m_i, S_i+τI), their odds, and the parts."""

    shift: Number
    total: Number
    odds: Vector
    factors: list[Factors]
    residuals: list[Vector]


def _components(ctx: Carrier, loss: Any, x: Vector, tau: Number) -> _Components:
    logs, factors, residuals = [], [], []
    constant = len(x) * ctx.log(2 * ctx.pi)
    noise = la.identity(ctx, len(x), tau)
    parts = zip(loss.weights, loss.means, loss.covariances, strict=True)
    for weight, mean, covariance in parts:
        F = la.ldlt(ctx, la.matrix_add(la.matrix(ctx, covariance), noise))
        r = la.subtract(x, la.vector(ctx, mean))
        energy = ctx.sum([constant, la.log_det(ctx, F), la.inverse_form(ctx, F, r)])
        logs.append(ctx.log(ctx.number(weight)) - energy / 2)
        factors.append(F)
        residuals.append(r)
    shift = ctx.maximum(logs)
    scaled = [ctx.exp(log - shift) for log in logs]
    total = ctx.sum(scaled)
    return _Components(shift, total, [s / total for s in scaled], factors, residuals)


def _mixture_jet(
    ctx: Carrier, loss: Any, x: Vector, tau: Number, order: int = 2
) -> Jet:
    """Return the jet of −log Σ w_i N(x; m_i, S_i+τI) at x."""
    parts = _components(ctx, loss, x, tau)
    height = -(parts.shift + ctx.log(parts.total))
    if order == 0:
        return Jet(height)
    scores = _scores(ctx, parts.factors, parts.residuals)
    slope = [ctx.dot(parts.odds, column) for column in la.transpose(scores)]
    if order == 1:
        return Jet(height, slope)
    gaps = [la.subtract(score, slope) for score in scores]
    bends = _bends(ctx, parts.factors, gaps)
    return Jet(height, slope, _mix(ctx, parts.odds, bends))


def posterior_components(
    ctx: Carrier, loss: Any, x: Sequence[Any], tau: Any
) -> tuple[Vector, list[Vector], list[Matrix]]:
    """Return r_i, μ_i = x − τ(S_i+τI)⁻¹(x−m_i) and τ(S_i+τI)⁻¹S_i, a mixture's q."""
    x, tau = la.vector(ctx, x), ctx.number(tau)
    parts = _components(ctx, loss, x, tau)
    means, covariances = [], []
    triples = zip(parts.factors, parts.residuals, loss.covariances, strict=True)
    for F, r, covariance in triples:
        means.append(la.subtract(x, la.scale(tau, la.solve(ctx, F, r))))
        S = la.matrix(ctx, covariance)
        covariances.append(la.matrix_scale(tau, la.solve_matrix(ctx, F, S)))
    return parts.odds, means, covariances
