"""Chains of local entropies at different temperatures, and Gaussian laws of levels.

With the reference w_k ~ N(w_{k−1}, τ_k I), w_0 = x, and an energy of w_d alone,

    V_d = f,    V_{k−1}(x) = −λ_k log ∫ e^{−V_k/λ_k} φ_{x,τ_k},    ρ_k = τ_k/λ_k.

On a quadratic loss with gradient g and Hessian H, two routes: *telescoped*, where all
levels are summed up at once,

    V_0 = f − (s_0/2) gᵀ(I+s_0H)⁻¹g + Σ_k (λ_k/2) log det(I+s_{k−1}H)/(I+s_kH),

s_k = Σ_{j>k} ρ_j, with gradient (I+s_0H)⁻¹g; and *continued fractions*, level by level,
1/h_{k−1} = ρ_k + 1/h_k.  On a line, for any loss, *quadrature*: trapezoidal sums on one
grid for all levels, in double-double numbers.

For a quadratic energy and a Gaussian reference of any covariance P* is Gaussian: by
*tilting* it from the coarse side, which needs no partition function, and by *blocks*,
integrating out level after level from the fine side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth.algebra import Matrix, Vector
from verification.truth.carriers import MP, Carrier, Number
from verification.truth.double_double import DD, DoubleDouble, words
from verification.truth.quadrature import Certified

__all__ = [
    "GaussianLaw",
    "by_blocks",
    "by_tilting",
    "continued",
    "on_a_line",
    "telescoped",
]

# --- quadratic losses -----------------------------------------------------------------


def telescoped(
    ctx: Carrier, loss: Any, x: Sequence[Any], taus: Any, temperatures: Any
) -> tuple[Number, Vector]:
    """Return V_0(x) and its gradient for a quadratic loss, all levels at once.

    Raises
    ------
    ValueError
        If I + s_0 H is not positive definite: the value is −∞.
    """
    at = la.vector(ctx, x)
    lam = la.vector(ctx, temperatures)
    rho = [t / v for t, v in zip(la.vector(ctx, taus), lam, strict=True)]
    s = [ctx.number(0)]
    for r in reversed(rho):
        s.insert(0, s[0] + r)
    H, g = cf.hessian(ctx, loss, at), cf.gradient(ctx, loss, at)
    factors = [_grown(ctx, H, time) for time in s]
    logs = [la.log_det(ctx, of) for of in factors]
    widths = [v * (a - b) / 2 for v, (a, b) in zip(lam, pairwise(logs), strict=True)]
    slope = la.solve(ctx, factors[0], g)
    energy = _energy(ctx, loss, at, g, slope, s[0])
    return ctx.sum([energy, *widths]), slope


def _grown(ctx: Carrier, H: Matrix, time: Number) -> la.Factors:
    eye = la.identity(ctx, len(H))
    return la.ldlt(ctx, la.matrix_add(eye, la.matrix_scale(time, H)))


def _energy(
    ctx: Carrier, loss: Any, at: Vector, g: Vector, slope: Vector, time: Number
) -> Number:
    """Return min_y f(y) + |y − x|²/(2 time), where the slope is known."""
    if loss.kind == "quadratic":  # no difference of large numbers
        away = la.subtract(at, la.vector(ctx, loss.m))
        return ctx.number(loss.c) + la.dot(ctx, away, slope) / 2
    return cf.value(ctx, loss, at) - time * la.dot(ctx, g, slope) / 2


def continued(
    ctx: Carrier, loss: Any, x: Sequence[Any], taus: Any, temperatures: Any
) -> tuple[Number, Vector]:
    """Return V_0(x) and its gradient for a quadratic loss, from level to level."""
    at = la.vector(ctx, x)
    value = cf.value(ctx, loss, at)
    g, H = cf.gradient(ctx, loss, at), cf.hessian(ctx, loss, at)
    for tau, scale in reversed(list(zip(taus, temperatures, strict=True))):
        level = ctx.number(scale)
        rho = ctx.number(tau) / level
        factors = _grown(ctx, H, rho)
        down = la.solve(ctx, factors, g)
        drop = rho * la.dot(ctx, g, down) / 2
        value = value - drop + level * la.log_det(ctx, factors) / 2
        g, H = down, la.solve_matrix(ctx, factors, H)
    return value, g


# --- any loss on a line ---------------------------------------------------------------

Triple = tuple[Number, Number, Number]

_CTX = DoubleDouble()
_MP = MP(40)
STEPS = (16, 24, 32, 48)
"""Nodes in a unit of length; a multiple of 1/8 lies on all of these grids."""

REACH = 11.0  # standard deviations to each side; beyond them is 1e-27 of the kernel
SETTLED = 1e-14
CUT = 600.0  # energies above the least, in temperatures, weigh nothing


@lru_cache(maxsize=256)
def on_a_line(
    loss: Any,
    x: tuple[float, ...],
    taus: tuple[float, ...],
    temperatures: tuple[float, ...],
) -> list[tuple[Certified, Certified]]:
    """Return V_0 and V_0' at each of the points, for a loss of one parameter.

    The error is the difference of two grids, and of the slope as (x - E w_1) λ_1/τ_1
    from the average of V_1'.

    Parameters
    ----------
    x : tuple of float
        Multiples of 1/8.
    taus, temperatures : tuple of float
        Coarse level first.

    Raises
    ------
    ValueError
        If a point is between the nodes, or no two grids agree to 1e-14.
    """
    if any(8 * v != round(8 * v) for v in x):
        raise ValueError(f"the points must be multiples of 1/8, got {x}")
    coarse = _on_grid(loss, x, taus, temperatures, STEPS[0])
    for per_unit in STEPS[1:]:
        fine = _on_grid(loss, x, taus, temperatures, per_unit)
        pairs = zip(coarse, fine, strict=True)
        found = [_compared(before, after) for before, after in pairs]
        if all(_settled(*both) for both in found):
            return found
        coarse = fine
    raise ValueError(f"the grids differ by {max(V.error for V, _ in found):.1e}")


def _compared(before: Triple, after: Triple) -> tuple[Certified, Certified]:
    """Return value and slope with what two grids and two slopes differ by."""
    value, slope, other = after
    gaps = [abs(float(a - b)) for a, b in zip(before, after, strict=True)]
    error = max(*gaps, abs(float(slope - other)))
    return Certified(value, error), Certified(slope, error)


def _settled(value: Certified, slope: Certified) -> bool:
    size = 1 + abs(float(value.value)) + abs(float(slope.value))
    return value.error <= SETTLED * size


def _number(of: DD) -> Number:
    return _MP.number(float(of.hi)) + _MP.number(float(of.lo))


def _on_grid(
    loss: Any, x: Sequence[float], taus: Any, temperatures: Any, per_unit: int
) -> list[Triple]:
    """Return V_0, its slope by the mean of w_1, and by the average of V_1', at x."""
    counts = [int(REACH * sqrt(tau) * per_unit) + 1 for tau in taus]
    places = np.rint(np.array(x) * per_unit).astype(int)
    first = places.min() - sum(counts)
    y = _whole(first, places.max() + sum(counts)) / float(per_unit)
    V, slope = cf.value(_CTX, loss, [y]), cf.gradient(_CTX, loss, [y])[0]
    means = y
    levels = list(zip(taus, temperatures, counts, strict=True))
    for tau, scale, count in reversed(levels):
        V, slope, means = _smoothed(V, slope, y, tau, scale, count, per_unit)
        y = y[count:-count]
    pull = (y - means) * float(temperatures[0]) / float(taus[0])
    at = places - places.min()
    parts = [of[at] for of in (V, pull, slope)]
    return [
        (_number(parts[0][i]), _number(parts[1][i]), _number(parts[2][i]))
        for i in range(len(x))
    ]


def _whole(first: int, last: int) -> DD:
    """Return first, ..., last."""
    values = np.arange(first, last + 1, dtype=np.float64)
    return DD(values, 0 * values)


def _smoothed(
    V: DD, slope: DD, y: DD, tau: float, scale: float, count: int, per_unit: int
) -> tuple[DD, DD, DD]:
    """Return V_{k−1}, the averages of V_k' and of w_k at the nodes between."""
    least = float(V.hi.min())
    weight = _CTX.exp(_capped((V - least) / float(scale)))
    m = _whole(-count, count) / float(per_unit)
    kernel = _CTX.exp(-(m * m / (2 * float(tau))))
    sums = [_convolved(kernel, of) for of in (weight, weight * slope, weight * y)]
    width = DD(*words(_MP.sqrt(2 * _MP.pi * _MP.number(tau)) * per_unit, 2))
    lowered = _CTX.log(sums[0] / width) * float(-scale) + least
    return lowered, sums[1] / sums[0], sums[2] / sums[0]


def _capped(energy: DD) -> DD:
    """Return minus the energy, at least −CUT."""
    far = energy.hi > CUT
    return -DD(np.where(far, CUT, energy.hi), np.where(far, 0.0, energy.lo))


def _convolved(kernel: DD, values: DD) -> DD:
    """Return the sums of kernel times values over all windows of the kernel's size."""
    size = values.hi.size - kernel.hi.size + 1
    total = DD(np.zeros(size), np.zeros(size))
    for i in range(kernel.hi.size):
        total = total + kernel[i] * values[i : i + size]
    return total


# --- Gaussian references --------------------------------------------------------------


@dataclass(frozen=True)
class GaussianLaw:
    """V_0, and mean (n,) and covariance (n, n) of P*."""

    value: Number
    mean: Vector
    covariance: Matrix


@dataclass(frozen=True)
class _Gaussian:
    """exp(−½ wᵀAw + bᵀw) over n coordinates, A positive definite."""

    precision: Matrix
    shift: Vector

    def moments(self, ctx: Carrier) -> tuple[Vector, Matrix]:
        factors = la.ldlt(ctx, self.precision)
        eye = la.identity(ctx, len(self.shift))
        return la.solve(ctx, factors, self.shift), la.solve_matrix(ctx, factors, eye)


def _of_moments(ctx: Carrier, mean: Vector, covariance: Matrix) -> _Gaussian:
    factors = la.ldlt(ctx, covariance)
    precision = la.solve_matrix(ctx, factors, la.identity(ctx, len(mean)))
    return _Gaussian(precision, la.matvec(ctx, precision, mean))


def _head(of: Any, n: int) -> Any:
    """Return the part of a vector or a matrix in the first n coordinates."""
    return [row[:n] if isinstance(row, list) else row for row in of[:n]]


def _taylor(ctx: Carrier, loss: Any, n: int) -> tuple[Number, Vector, Matrix]:
    zero = [ctx.number(0)] * n
    return (
        cf.value(ctx, loss, zero),
        cf.gradient(ctx, loss, zero),
        cf.hessian(ctx, loss, zero),
    )


def by_tilting(
    ctx: Carrier, loss: Any, mean: Any, covariance: Any, sizes: Any, temperatures: Any
) -> GaussianLaw:
    """Return the multi-scale law of a quadratic loss, by marginalising and tilting.

    Its value is J there: the mean of f, and σ-weighted divergences of marginals.

    Parameters
    ----------
    mean, covariance : (n,) and (n, n)
        Of the reference, jointly over all levels.
    sizes : sequence of int
        Dimensions of the levels, coarse first.
    """
    lam = la.vector(ctx, temperatures)
    centre, spread = la.vector(ctx, mean), la.matrix(ctx, covariance)
    value, g, H = _taylor(ctx, loss, len(centre))
    prior = _of_moments(ctx, centre, spread)
    R = _Gaussian(
        la.matrix_add(prior.precision, la.matrix_scale(1 / lam[-1], H)),
        la.subtract(prior.shift, la.scale(1 / lam[-1], g)),
    )
    ends = np.cumsum(sizes).tolist()
    pieces: list[tuple[Vector, Matrix]] = []
    for k in range(len(lam) - 1, -1, -1):
        pieces.insert(0, R.moments(ctx))
        if k:
            n = ends[k - 1]
            above = _of_moments(ctx, *(_head(of, n) for of in pieces[0]))
            base = _of_moments(ctx, _head(centre, n), _head(spread, n))
            R = _blended(above, base, lam[k] / lam[k - 1])
    found, width = _chained(ctx, pieces, ends)
    energy = value + la.dot(ctx, g, found) + la.quadratic_form(ctx, H, found) / 2
    energy = energy + la.trace(ctx, la.matmul(ctx, H, width)) / 2
    sigma = [a - b for a, b in pairwise([*lam, ctx.number(0)])]
    terms = [
        weight
        * _divergence(ctx, *(_head(of, n) for of in (found, width, centre, spread)))
        for weight, n in zip(sigma, ends, strict=True)
    ]
    return GaussianLaw(ctx.sum([energy, *terms]), found, width)


def _blended(one: _Gaussian, other: _Gaussian, theta: Number) -> _Gaussian:
    """Return one^θ other^{1−θ}."""
    return _Gaussian(
        la.matrix_add(
            la.matrix_scale(theta, one.precision),
            la.matrix_scale(1 - theta, other.precision),
        ),
        la.add(la.scale(theta, one.shift), la.scale(1 - theta, other.shift)),
    )


def _chained(
    ctx: Carrier, pieces: list[tuple[Vector, Matrix]], ends: list[int]
) -> tuple[Vector, Matrix]:
    """Return the moments of the law whose level k has the conditional of piece k."""
    mean, width = pieces[0]
    for n, (of_mean, of_width) in zip(ends[:-1], pieces[1:], strict=True):
        S = _head(of_width, n)
        cross = [row[n:] for row in of_width[:n]]
        B = la.transpose(la.solve_matrix(ctx, la.ldlt(ctx, S), cross))
        left = [row[n:] for row in of_width[n:]]
        rest = _minus(left, la.matmul(ctx, B, cross))
        ahead = la.matvec(ctx, B, la.subtract(mean, of_mean[:n]))
        BW = la.matmul(ctx, B, width)
        corner = la.matrix_add(rest, la.matmul(ctx, BW, la.transpose(B)))
        top = [row + extra for row, extra in zip(width, la.transpose(BW), strict=True)]
        mean = mean + la.add(of_mean[n:], ahead)
        width = top + [row + extra for row, extra in zip(BW, corner, strict=True)]
    return mean, width


def _minus(A: Matrix, B: Matrix) -> Matrix:
    return [la.subtract(p, q) for p, q in zip(A, B, strict=True)]


def _divergence(ctx: Carrier, m0: Vector, S0: Matrix, m1: Vector, S1: Matrix) -> Number:
    """Return KL(N(m0, S0) ‖ N(m1, S1))."""
    base = la.ldlt(ctx, S1)
    spread = la.trace(ctx, la.solve_matrix(ctx, base, S0))
    logs = la.log_det(ctx, base) - la.log_det(ctx, la.ldlt(ctx, S0))
    away = la.inverse_form(ctx, base, la.subtract(m0, m1))
    return (spread - len(m0) + logs + away) / 2


def by_blocks(
    ctx: Carrier, loss: Any, mean: Any, covariance: Any, sizes: Any, temperatures: Any
) -> GaussianLaw:
    """Return the same, integrating out one level after the other, fine ones first."""
    lam = la.vector(ctx, temperatures)
    centre, spread = la.vector(ctx, mean), la.matrix(ctx, covariance)
    value, g, H = _taylor(ctx, loss, len(centre))
    ends = [0, *np.cumsum(sizes).tolist()]
    rules: list[tuple[Matrix, Vector, Matrix]] = []
    for k in range(len(lam) - 1, -1, -1):
        prior = _conditional(ctx, centre, spread, ends[k], ends[k + 1])
        value, g, H, rule = _integrated(ctx, value, g, H, prior, lam[k])
        rules.insert(0, rule)
    found: Vector = []
    width: Matrix = []
    for B, b, S in rules:
        found, width = _joined(ctx, found, width, B, b, S)
    return GaussianLaw(value, found, width)


def _conditional(
    ctx: Carrier, mean: Vector, covariance: Matrix, n: int, end: int
) -> tuple[Matrix, Vector, Matrix]:
    """Return B (v, u), b (v,) and S (v, v) of N(Bu + b, S), u the first n."""
    corner = [row[n:end] for row in covariance[n:end]]
    if n == 0:
        return [[] for _ in corner], mean[:end], corner
    cross = [row[n:end] for row in covariance[:n]]
    factors = la.ldlt(ctx, _head(covariance, n))
    B = la.transpose(la.solve_matrix(ctx, factors, cross))
    b = la.subtract(mean[n:end], la.matvec(ctx, B, mean[:n]))
    return B, b, _minus(corner, la.matmul(ctx, B, cross))


def _integrated(
    ctx: Carrier,
    value: Number,
    g: Vector,
    H: Matrix,
    prior: tuple[Matrix, Vector, Matrix],
    scale: Number,
) -> tuple[Number, Vector, Matrix, tuple[Matrix, Vector, Matrix]]:
    """Return the energy of the levels above, and the conditional of the last one.

    The energy is value + gᵀw + ½wᵀHw.  The last level is v = Bu + b + e, e ~ N(0, S):
    in terms of u and e the energy is integrated over e alone.
    """
    B, b, S = prior
    v, n = len(b), len(g) - len(b)
    zero, eye = ctx.number(0), la.identity(ctx, v)
    shift = [zero] * n + b
    value = value + la.dot(ctx, g, shift) + la.quadratic_form(ctx, H, shift) / 2
    g = la.add(g, la.matvec(ctx, H, shift))
    # w = shift + T (u, e), T the unit matrix with B below
    T = la.identity(ctx, n + v)
    for i in range(v):
        T[n + i][:n] = B[i]
    columns = la.transpose(T)
    g = la.matvec(ctx, columns, g)
    H = la.matmul(ctx, columns, la.matmul(ctx, H, T))
    lower, corner = [row[:n] for row in H[n:]], [row[n:] for row in H[n:]]
    roots = la.ldlt(ctx, S)
    precision = la.matrix_scale(scale, la.solve_matrix(ctx, roots, eye))
    bent = la.ldlt(ctx, la.matrix_add(precision, corner))
    pulled = la.solve(ctx, bent, g[n:])
    grown = la.log_det(ctx, bent) + la.log_det(ctx, roots) - v * ctx.log(scale)
    value = value - la.dot(ctx, g[n:], pulled) / 2 + scale * grown / 2
    spread = la.matrix_scale(scale, la.solve_matrix(ctx, bent, eye))
    if not n:
        return value, [], [], (B, la.subtract(b, pulled), spread)
    followed = la.solve_matrix(ctx, bent, lower)
    back = la.transpose(lower)
    g_above = la.subtract(g[:n], la.matvec(ctx, back, pulled))
    H_above = _minus(_head(H, n), la.matmul(ctx, back, followed))
    rule = (_minus(B, followed), la.subtract(b, pulled), spread)
    return value, g_above, H_above, rule


def _joined(
    ctx: Carrier, mean: Vector, width: Matrix, B: Matrix, b: Vector, S: Matrix
) -> tuple[Vector, Matrix]:
    """Return the moments with one level N(Bu + b, S) more."""
    if not mean:
        return b, S
    BW = la.matmul(ctx, B, width)
    corner = la.matrix_add(S, la.matmul(ctx, BW, la.transpose(B)))
    top = [row + extra for row, extra in zip(width, la.transpose(BW), strict=True)]
    lower = [row + extra for row, extra in zip(BW, corner, strict=True)]
    return mean + la.add(la.matvec(ctx, B, mean), b), top + lower
