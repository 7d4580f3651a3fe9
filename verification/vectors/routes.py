"""The second derivations, which share no formula with `verification.truth`.

*Completing the square.*  A Gaussian component, a well, and with a complex linear term a
wave, times the Gaussian of the regularisation is exp(-y'Py/2 + h'y + c), whose
integral, mean and covariance follow from precisions alone; `closed_forms` convolves.
*Cubature.*  Polynomials up to degree 5 are averaged exactly by three nodes an axis.
*One dimension.*  Where a loss has no closed form, the trapezoidal rule and panels of
Gauss-Legendre nodes in 50 digits.
*Roots.*  Proximal points by Newton's method on differences of the averaged gradient.
*Square roots.*  Powers from the binary digits of the exponent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from verification.truth import closed_forms as cf
from verification.truth.carriers import MP, context
from verification.truth.landscape import Problem, survey

CTX = MP(60)
mp = CTX.mp

#: Relative difference of two levels of a rule that ends its refinement.
SETTLED = 1e-44
ORDER = 48


# --- completing the square ------------------------------------------------------------


@dataclass(frozen=True)
class Bell:
    """exp(-y'Py/2 + h'y + c) integrated: log of the integral, mean, covariance."""

    log: Any
    mean: Any
    covariance: Any


def completed(P: Any, h: Any, c: Any) -> Bell:
    """The bell of precision P (d, d), linear term h (d, 1) and constant c."""
    covariance = P**-1
    mean = covariance * h
    half = (h.T * mean)[0] / 2
    log = c + half + (P.rows * mp.log(2 * mp.pi) - mp.log(mp.det(P))) / 2
    return Bell(log, mean, covariance)


def _gaussian_terms(x: Any, tau: Any) -> tuple[Any, Any, Any]:
    """P, h and c of the density N(x, tau I)."""
    d = x.rows
    c = -(x.T * x)[0] / (2 * tau) - d * mp.log(2 * mp.pi * tau) / 2
    return mp.eye(d) / tau, x / tau, c


def _column(x: Sequence[Any]) -> Any:
    return mp.matrix([mp.mpf(v) for v in x])


def _matrix(rows: Any) -> Any:
    return mp.matrix([[mp.mpf(float(v)) for v in row] for row in np.array(rows)])


def _polynomial_terms(loss: Any) -> tuple[Any, Any, Any]:
    """P, h and c of e^-f for a loss with a constant hessian."""
    d = loss.d
    if loss.kind == "constant":
        return mp.zeros(d), mp.zeros(d, 1), -mp.mpf(loss.c)
    if loss.kind == "linear":
        return mp.zeros(d), -_column(loss.g), -mp.mpf(loss.c)
    if loss.kind == "least_squares":
        A, b, N = _matrix(loss.A), _column(loss.b), len(loss.b)
        return A.T * A / N, A.T * b / N, -(b.T * b)[0] / (2 * N)
    H = loss.H if np.ndim(loss.H) == 2 else loss.H * np.eye(d)
    P, m = _matrix(H), _column(loss.m)
    return P, P * m, -(m.T * P * m)[0] / 2 - mp.mpf(loss.c)


def _bell_terms(loss: Any) -> list[tuple[Any, Any, Any]]:
    """P, h and c of every component of a mixture, or of every well's shape."""
    terms = []
    mixed = loss.kind == "gaussian_mixture"
    for k, (m, S) in enumerate(zip(loss.means, loss.covariances, strict=True)):
        P, centre = _matrix(S) ** -1, _column(m)
        c = -(centre.T * P * centre)[0] / 2
        if mixed:
            c += mp.log(mp.mpf(loss.weights[k])) + mp.log(mp.det(P)) / 2
            c -= loss.d * mp.log(2 * mp.pi) / 2
        terms.append((P, P * centre, c))
    return terms


def _product_bells(loss: Any, x: Sequence[Any], tau: Any) -> list[Bell]:
    """Every Gaussian part of e^-f, or every well, times N(x, tau I)."""
    bells = loss.kind in ("gaussian_mixture", "gaussian_wells")
    parts = _bell_terms(loss) if bells else [_polynomial_terms(loss)]
    own = _gaussian_terms(_column(x), mp.mpf(tau))
    return [
        completed(*(a + b for a, b in zip(own, part, strict=True))) for part in parts
    ]


@dataclass(frozen=True)
class Moments:
    """F (number), E_q X (list) and Cov_q X (nested list)."""

    entropy: Any
    mean: list[Any]
    covariance: list[list[Any]]


def moments(loss: Any, x: Sequence[Any], tau: Any) -> Moments:
    """F_tau(x) and the moments of q: in one dimension by integrals, else by bells."""
    if loss.d == 1 and loss.kind not in cf.QUADRATIC:
        return integrated_moments(loss, tuple(x), tau, trapezoid)
    bells = _product_bells(loss, x, tau)
    top = max(bell.log for bell in bells)
    odds = [mp.exp(bell.log - top) for bell in bells]
    total = sum(odds)
    mean = mp.zeros(loss.d, 1)
    second = mp.zeros(loss.d)
    for odd, bell in zip(odds, bells, strict=True):
        mean += odd / total * bell.mean
        second += odd / total * (bell.covariance + bell.mean * bell.mean.T)
    covariance = second - mean * mean.T
    return Moments(-(top + mp.log(total)), list(mean), covariance.tolist())


def entropy_gradient(loss: Any, x: Sequence[Any], tau: Any) -> list[Any]:
    """grad F = (x - E_q X)/tau."""
    mean = moments(loss, x, tau).mean
    return [(mp.mpf(a) - m) / mp.mpf(float(tau)) for a, m in zip(x, mean, strict=True)]


# --- heat -----------------------------------------------------------------------------


def heat(loss: Any, x: Sequence[Any], tau: Any) -> tuple[Any, list[Any]]:
    """F^H_tau(x) and its gradient, E f(Y) and E f(Y)(Y - x)/tau (Stein)."""
    kind = loss.kind
    if loss.d == 1 and kind not in (*cf.QUADRATIC, "quartic"):
        return integrated_heat(loss, tuple(x), tau, trapezoid)
    if kind in (*cf.QUADRATIC, "quartic"):
        return cubature(loss, x, tau)
    if kind == "gaussian_wells":
        scaled = [-mp.mpf(a) for a in loss.depths]
        value, slope = _stein(scaled, _product_bells(loss, x, tau), x, tau)
        return value + mp.mpf(loss.c), slope
    return _waves(loss, x, tau)


def _stein(
    factors: list[Any], bells: list[Bell], x: Sequence[Any], tau: Any
) -> tuple[Any, list[Any]]:
    """Sum and gradient of factors times bells, whose logs and means may be complex."""
    heights = [a * mp.exp(bell.log) for a, bell in zip(factors, bells, strict=True)]
    slope = mp.zeros(len(x), 1)
    for height, bell in zip(heights, bells, strict=True):
        pulled = height * (bell.mean - _column(x)) / mp.mpf(tau)
        slope += pulled.apply(mp.re)
    return mp.re(sum(heights)), list(slope)


def _waves(loss: Any, x: Sequence[Any], tau: Any) -> tuple[Any, list[Any]]:
    """Waves as bells of a complex linear term, and the quadratic by cubature."""
    P, h, c = _gaussian_terms(_column(x), mp.mpf(tau))
    bells = [
        completed(P, h + mp.mpc(0, 1) * _column(omega), c + mp.mpc(0, float(phase)))
        for omega, phase in zip(loss.frequency, loss.phase, strict=True)
    ]
    value, slope = _stein([mp.mpf(a) for a in loss.amplitude], bells, x, tau)
    base, tilt = cubature(_without_waves(loss), x, tau)
    return value + base, [a + b for a, b in zip(slope, tilt, strict=True)]


@lru_cache(maxsize=64)
def _without_waves(loss: Any) -> Any:
    from verification.losses import Quadratic

    return Quadratic(loss.H, loss.m, loss.c)


def cubature(loss: Any, x: Sequence[Any], tau: Any) -> tuple[Any, list[Any]]:
    """Value and gradient by three nodes an axis, exact up to degree 5."""
    root = mp.sqrt(3 * mp.mpf(tau))
    nodes = [(mp.zero, mp.mpf(2) / 3), (root, mp.one / 6), (-root, mp.one / 6)]
    values, slopes = [], []
    for chosen in product(nodes, repeat=len(x)):
        y = [mp.mpf(v) + z for v, (z, _) in zip(x, chosen, strict=True)]
        weight = mp.one
        for _, w in chosen:
            weight *= w
        values.append(weight * cf.value(CTX, loss, y))
        slopes.append([weight * g for g in cf.gradient(CTX, loss, y)])
    return mp.fsum(values), [mp.fsum(column) for column in zip(*slopes, strict=True)]


# --- one dimension --------------------------------------------------------------------

Integrand = Callable[[Any], list[Any]]
Rule = Callable[[Integrand, float, float, float], list[Any]]


def _box(loss: Any, x: float, tau: float, sign: int) -> tuple[float, float, float]:
    """Ends of the range and the smallest length, as offsets from x.

    A quarter wider than where the integrand has fallen by 80 nats: by 120 and more.
    """
    land = survey(Problem(loss, sign, (x,), ((tau,),)))
    low, high = float(land.lower[0]), float(land.upper[0])
    more = (high - low) / 8
    return low - more, high + more, float(land.smallest[0])


def trapezoid(integrand: Integrand, low: float, high: float, length: float) -> Any:
    """Equidistant sums, with steps a quarter of the length and 2/3 of that and so on.

    Raises
    ------
    ArithmeticError
        If eight levels do not settle it.
    """
    previous: list[Any] = []
    for level in range(8):
        step = mp.mpf(length) / 4 * (mp.mpf(2) / 3) ** level
        count = int((high - low) / float(step)) + 2
        rows = [integrand(mp.mpf(low) + k * step) for k in range(count)]
        sums = [mp.fsum(column) * step for column in zip(*rows, strict=True)]
        sizes = [
            mp.fsum(column, absolute=True) * step for column in zip(*rows, strict=True)
        ]
        if previous and all(
            abs(a - b) <= SETTLED * size
            for a, b, size in zip(sums, previous, sizes, strict=True)
        ):
            return sums
        previous = sums
    raise ArithmeticError("the trapezoidal rule has not settled")


def panels(integrand: Integrand, low: float, high: float, length: float) -> Any:
    """Gauss-Legendre panels no wider than twice the length."""
    count = int((high - low) / (2 * length)) + 1
    half = (mp.mpf(high) - mp.mpf(low)) / (2 * count)
    rows = []
    for k in range(count):
        middle = mp.mpf(low) + (2 * k + 1) * half
        for node, weight in _legendre(ORDER):
            values = integrand(middle + half * node)
            rows.append([weight * value for value in values])
    return [mp.fsum(column) * half for column in zip(*rows, strict=True)]


@lru_cache(maxsize=2)
def _legendre(order: int) -> tuple[tuple[Any, Any], ...]:
    """Nodes and weights on [-1, 1] by Newton's method from doubles."""
    own, pairs = context(CTX.dps + 10), []
    for start in np.polynomial.legendre.leggauss(order)[0]:
        t = own.mpf(float(start))
        for _ in range(4):
            before, value = own.one, t
            for n in range(2, order + 1):
                before, value = value, ((2 * n - 1) * t * value - (n - 1) * before) / n
            slope = order * (t * value - before) / (t * t - 1)
            t -= value / slope
        pairs.append((mp.mpf(t), mp.mpf(2 / ((1 - t * t) * slope**2))))
    return tuple(pairs)


@lru_cache(maxsize=256)
def integrated_moments(loss: Any, x: tuple[Any, ...], tau: Any, rule: Rule) -> Moments:
    """F and the moments of q in one dimension."""
    centre, t = mp.mpf(x[0]), mp.mpf(float(tau))
    low, high, length = _box(loss, float(centre), float(tau), 1)
    peak = cf.value(CTX, loss, [centre])

    def integrand(s: Any) -> list[Any]:
        height = peak - cf.value(CTX, loss, [centre + s]) - s * s / (2 * t)
        mass = mp.exp(height)
        return [mass, mass * s, mass * s * s]

    mass, first, second = rule(integrand, low, high, length)
    shift = first / mass
    entropy = peak - mp.log(mass) + mp.log(2 * mp.pi * t) / 2
    return Moments(entropy, [centre + shift], [[second / mass - shift**2]])


@lru_cache(maxsize=256)
def integrated_heat(
    loss: Any, x: tuple[Any, ...], tau: Any, rule: Rule
) -> tuple[Any, list[Any]]:
    """F^H and its gradient in one dimension, E f and E f' under N(x, tau)."""
    centre, t = mp.mpf(x[0]), mp.mpf(float(tau))
    low, high, length = _box(loss, float(centre), float(tau), 0)

    def integrand(s: Any) -> list[Any]:
        mass = mp.exp(-s * s / (2 * t)) / mp.sqrt(2 * mp.pi * t)
        jet = cf._jet(CTX, loss, [centre + s], order=1)
        return [mass * jet.value, mass * jet.gradient[0]]

    value, slope = rule(integrand, low, high, length)
    return value, [slope]


# --- divergence, majorisers -----------------------------------------------------------


def divergence(mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> Any:
    """KL of Gaussians as the mean of log p - log q, exact on 2d points.

    The points are mean0 +- sqrt(d) times the columns of a Cholesky factor: they have
    the mean and the covariance of p, which is all that a quadratic sees.
    """
    centre, d = _column(mean0), len(mean0)
    factor = mp.cholesky(_exactly(cov0)) * mp.sqrt(d)
    terms = []
    for i, sign in product(range(d), (1, -1)):
        point = centre + sign * factor[:, i]
        surprise = _log_density(point, mean0, cov0) - _log_density(point, mean1, cov1)
        terms.append(surprise / (2 * d))
    return mp.fsum(terms)


def _log_density(y: Any, mean: Any, cov: Any) -> Any:
    C, r = _exactly(cov), y - _column(mean)
    return -((r.T * C**-1 * r)[0] + mp.log(mp.det(2 * mp.pi * C))) / 2


def _exactly(rows: Any) -> Any:
    return mp.matrix([[mp.mpf(v) for v in row] for row in rows])


def majoriser(loss: Any, x: Sequence[Any], y: Sequence[Any], tau: Any) -> Any:
    """A(x, y) = F(y) + (x - y)' grad F(y) + |x - y|^2/(2 tau)."""
    value, slope = moments(loss, y, tau).entropy, entropy_gradient(loss, y, tau)
    gap = [mp.mpf(a) - mp.mpf(b) for a, b in zip(x, y, strict=True)]
    tilt = mp.fsum(s * g for s, g in zip(slope, gap, strict=True))
    return value + tilt + mp.fsum(g * g for g in gap) / (2 * mp.mpf(tau))


def heat_majoriser(loss: Any, x: Sequence[Any], y: Sequence[Any], tau: Any) -> Any:
    """A^H(x, y) = E f + KL of the Gaussians around x and y, E under the first."""
    wide = [
        [float(tau) if i == j else 0.0 for j in range(len(x))] for i in range(len(x))
    ]
    return heat(loss, x, tau)[0] + divergence(x, wide, y, wide)


# --- roots, powers --------------------------------------------------------------------


def proximal_point(loss: Any, x: Sequence[Any], tau: Any, near: Sequence[Any]) -> Any:
    """The root of h(y) = y - x + tau grad F^H(y) that Newton's method finds from near.

    Its matrix is that of differences of h over 1e-25, so that every step gains as
    many digits.

    Raises
    ------
    ArithmeticError
        If it has not converged after a dozen of them.
    """
    t, step = mp.mpf(float(tau)), mp.mpf(10) ** -25

    def h(y: Any) -> Any:
        slope = heat(loss, list(y), tau)[1]
        return y - _column(x) + t * _column(slope)

    y = _column([float(v) * (1 + 2.0**-30) + 2.0**-40 for v in near])
    for _ in range(12):
        at = h(y)
        jacobian = mp.zeros(len(near))
        for i in range(len(near)):
            moved = y.copy()
            moved[i] += step
            jacobian[:, i] = (h(moved) - at) / step
        change = mp.lu_solve(jacobian, at)
        y = y - change
        if mp.norm(change) < mp.mpf(10) ** -44:
            return list(y)
    raise ArithmeticError("Newton's method has not converged")


def power(base: int, exponent: float) -> Any:
    """base^exponent from the binary digits of the exponent, by square roots."""
    numerator, denominator = float(exponent).as_integer_ratio()
    whole, rest = divmod(numerator, denominator)
    result, root = mp.mpf(base) ** whole, mp.mpf(base)
    while rest:
        root, rest = mp.sqrt(root), 2 * rest
        if rest >= denominator:
            result, rest = result * root, rest - denominator
    return result
