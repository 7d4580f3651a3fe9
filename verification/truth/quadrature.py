"""Certified integrals in one to three dimensions, by two rules that share no nodes.

``trapezoid``: equidistant nodes over the box with the step h ≤ ℓ/4 on every axis (in
the variable z = (y−x)/√τ: √τ·h ≤ ℓ/4), refined to 2h/3, 4h/9, … until two levels agree.
The grids are not nested, so that an aliasing error cannot repeat itself.  The error for
an integrand analytic in a strip of half-width a is of order e^{−2πa/h}.
``gauss-legendre``: panels with breakpoints at means and wells, whose widths are at most
4ℓ near them and grow geometrically away from them, with 20, 28, 40, 56 nodes each.

Box and lengths are those of `landscape`.  Nodes and integrands are double-double
numbers; their arithmetic is charged `ARITHMETIC` in every certified error.  Beyond the
budget of nodes the rules raise `Unresolved`: they never answer without resolving f.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth.carriers import MP, Number, context
from verification.truth.double_double import DD, DoubleDouble, from_mp
from verification.truth.landscape import (
    DROP,
    Infinite,
    Landscape,
    Problem,
    Unresolved,
    survey,
)

__all__ = ["Certified", "Infinite", "Unresolved"]

RULES = ("trapezoid", "gauss-legendre")
BUDGET = 4_000_000
TARGET = 1e-26
ARITHMETIC = 1e-28
ORDERS = (20, 28, 40, 56)
_CHUNK = 8192
_CTX = DoubleDouble()
_MP = MP(40)


@dataclass(frozen=True)
class Certified:
    """A value (number, list or nested list of mp numbers) and a bound of its error."""

    value: Any
    error: float


# --- public truths --------------------------------------------------------------------


def local_entropy(
    loss: Any, x: Sequence[float], tau: float, rule: str = "trapezoid"
) -> Certified:
    """Return F_τ(x) = −log ∫ e^{−f} φ_{x,τ}, equation (2).

    Raises
    ------
    Unresolved
        If the loss is too fine for the budget of nodes.
    Infinite
        If e^{−f}φ is not integrable.
    """
    return _local_entropy(loss, _tuple(x), float(tau), rule)


def posterior_moments(
    loss: Any, x: Sequence[float], tau: float, rule: str = "trapezoid"
) -> tuple[Certified, Certified, Certified]:
    """Return E_q X (d,), Cov_q X (d, d) and E_q ∇f (d,) for q ∝ e^{−f} φ_{x,τ}."""
    return _posterior_moments(loss, _tuple(x), float(tau), rule)


def heat(
    loss: Any, x: Sequence[float], tau: float, rule: str = "trapezoid"
) -> Certified:
    """Return F^H_τ(x) = ∫ f φ_{x,τ}."""
    return _heat(loss, _tuple(x), float(tau), rule)


def heat_gradient(
    loss: Any, x: Sequence[float], tau: float, rule: str = "trapezoid"
) -> Certified:
    """Return ∇F^H_τ(x) = E_φ ∇f, a list of d numbers."""
    return _heat_gradient(loss, _tuple(x), float(tau), rule)


def heat_jet(
    loss: Any, x: Sequence[float], tau: float, rule: str = "trapezoid"
) -> cf.Jet:
    """Return F^H_τ(x), E_φ ∇f and E_φ ∇²f in one pass."""
    return _heat_jet(loss, _tuple(x), float(tau), rule)


def heat_on_arrays(loss: Any, x: Sequence[float], tau: float) -> Callable[[Any], Any]:
    """Return F^H_τ of a mixture near x in double precision, (n, d) -> (n,).

    A trapezoidal rule over 7.5 standard deviations with steps ℓ/2.5: some 1e-11.
    """
    land = survey(_isotropic(loss, 0, _tuple(x), tau))
    reach = 7.5 * np.sqrt(tau)
    axes = [np.arange(-reach, reach, step / 2.5) for step in land.smallest]
    s = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=-1)
    if s.size > BUDGET:
        raise Unresolved(f"the heat needs more than {BUDGET} nodes for every point")
    weight = np.exp(-np.sum(s * s, axis=-1) / (2 * tau))
    weight /= weight.sum()

    def smooth(y: Any) -> Any:
        return np.array([_float_mixture(loss, point + s) @ weight for point in y])

    return smooth


def normaliser_6(
    loss: Any, x: Sequence[float], tau: float, rule: str = "gauss-legendre"
) -> Certified:
    """Return log Z of (6): log ∫ exp(−f(y) − |x−y|²/2τ) dy, no Gaussian normaliser."""
    return _normaliser_6(loss, _tuple(x), float(tau), rule)


def log_mean_exp(
    loss: Any,
    mean: Sequence[float],
    cov: Sequence[Sequence[float]],
    rule: str = "trapezoid",
) -> Certified | None:
    """Return log ∫ e^f dN(mean, cov), or None where it is infinite."""
    rows = tuple(_tuple(row) for row in cov)
    return _log_mean_exp(loss, _tuple(mean), rows, rule)


def gaussian_mean(
    loss: Any,
    mean: Sequence[float],
    cov: Sequence[Sequence[float]],
    rule: str = "trapezoid",
) -> Certified:
    """Return ∫ f dN(mean, cov) for a full covariance."""
    rows = tuple(_tuple(row) for row in cov)
    return _gaussian_mean(Problem(loss, 0, _tuple(mean), rows), rule)


def expectation(
    function: Callable[[list[Number]], Any],
    mean: Sequence[float],
    cov: Sequence[Sequence[float]],
    feature: float,
    *,
    reach: float = 12.5,
    budget: int = 200_000,
) -> Certified:
    """Return E g(Y), Y ~ N(mean, cov), for a function of mp numbers.

    Parameters
    ----------
    function : callable
        Maps a list of d mp numbers to one mp number; not to grow beyond e^{|y|²/4}.
    mean, cov : sequences of shape (d,) and (d, d)
    feature : float
        The smallest length on which `function` changes; the trapezoidal rule takes
        steps of at most a quarter of it.
    reach : float
        The box is |z_i| ≤ reach in whitened variables.
    """
    ctx = _MP
    factors = la.ldlt(ctx, la.matrix(ctx, cov))
    centre, d = la.vector(ctx, mean), len(mean)
    widest = max(float(p) for p in factors.pivots) ** 0.5
    growth = 1 + sum(abs(float(v)) for row in factors.lower for v in row)
    coarse = min(0.4, feature / (4 * widest * growth))
    results = []
    for step in (coarse, coarse / 1.5):
        if (2 * reach / step + 1) ** d > budget:
            raise Unresolved(f"feature {feature} needs more than {budget} nodes")
        results.append(_whitened_sum(ctx, function, centre, factors, step, reach))
    error = abs(results[1] - results[0])
    return Certified(results[1], float(error) + 1e-35 * abs(float(results[1])))


# --- memoised bodies ------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _local_entropy(loss: Any, x: tuple[float, ...], tau: float, rule: str) -> Certified:
    problem = _isotropic(loss, 1, x, tau)
    d, mp = len(x), _MP.mp

    def finish(integrals: list[Number], land: Landscape) -> list[Number]:
        log_scale = mp.log(2 * mp.pi * mp.mpf(tau)) * d / 2
        return [mp.mpf(land.shift) - mp.log(integrals[0]) + log_scale]

    values, error = _certify(problem, rule, _nothing, finish)
    return Certified(values[0], error)


@lru_cache(maxsize=4096)
def _normaliser_6(loss: Any, x: tuple[float, ...], tau: float, rule: str) -> Certified:
    problem, mp = _isotropic(loss, 1, x, tau), _MP.mp

    def finish(integrals: list[Number], land: Landscape) -> list[Number]:
        return [mp.log(integrals[0]) - mp.mpf(land.shift)]

    values, error = _certify(problem, rule, _nothing, finish)
    return Certified(values[0], error)


@lru_cache(maxsize=4096)
def _log_mean_exp(
    loss: Any,
    mean: tuple[float, ...],
    cov: tuple[tuple[float, ...], ...],
    rule: str,
) -> Certified | None:
    problem, mp = Problem(loss, -1, mean, cov), _MP.mp

    def finish(integrals: list[Number], land: Landscape) -> list[Number]:
        return [
            mp.log(integrals[0]) - mp.mpf(land.shift) - _log_gaussian_volume(problem)
        ]

    try:
        values, error = _certify(problem, rule, _nothing, finish)
    except Infinite:
        return None
    return Certified(values[0], error)


@lru_cache(maxsize=4096)
def _posterior_moments(
    loss: Any, x: tuple[float, ...], tau: float, rule: str
) -> tuple[Certified, Certified, Certified]:
    problem, d, mp = _isotropic(loss, 1, x, tau), len(x), _MP.mp
    centre = _mass_centre(problem)
    pairs = [(i, j) for i in range(d) for j in range(i, d)]

    def integrands(s: list[DD], y: list[DD]) -> list[DD]:
        u = [s[i] - float(centre[i]) for i in range(d)]
        return [*u, *(u[i] * u[j] for i, j in pairs), *cf.gradient(_CTX, loss, y)]

    def finish(integrals: list[Number], _: Landscape) -> list[Number]:
        means = [integral / integrals[0] for integral in integrals[1:]]
        first, second = means[:d], means[d : d + len(pairs)]
        mean = [mp.mpf(x[i]) + mp.mpf(float(centre[i])) + first[i] for i in range(d)]
        central = [
            moment - first[i] * first[j]
            for (i, j), moment in zip(pairs, second, strict=True)
        ]
        return [*mean, *central, *means[d + len(pairs) :]]

    values, errors = _certify_all(problem, rule, integrands, finish)
    cut = d + len(pairs)
    covariance = [[mp.mpf(0)] * d for _ in range(d)]
    for (i, j), entry in zip(pairs, values[d:cut], strict=True):
        covariance[i][j] = covariance[j][i] = entry
    return (
        Certified(values[:d], max(errors[:d])),
        Certified(covariance, max(errors[d:cut])),
        Certified(values[cut:], max(errors[cut:])),
    )


@lru_cache(maxsize=4096)
def _heat(loss: Any, x: tuple[float, ...], tau: float, rule: str) -> Certified:
    return _gaussian_mean(_isotropic(loss, 0, x, tau), rule)


@lru_cache(maxsize=4096)
def _gaussian_mean(problem: Problem, rule: str) -> Certified:
    values, error = _certify(
        problem,
        rule,
        lambda _, y: [cf.value(_CTX, problem.loss, y)],
        _averages(problem),
    )
    return Certified(values[0], error)


@lru_cache(maxsize=4096)
def _heat_gradient(loss: Any, x: tuple[float, ...], tau: float, rule: str) -> Certified:
    problem = _isotropic(loss, 0, x, tau)
    values, error = _certify(
        problem, rule, lambda _, y: cf.gradient(_CTX, loss, y), _averages(problem)
    )
    return Certified(values, error)


@lru_cache(maxsize=4096)
def _heat_jet(loss: Any, x: tuple[float, ...], tau: float, rule: str) -> cf.Jet:
    problem, d = _isotropic(loss, 0, x, tau), len(x)

    def integrands(_: list[DD], y: list[DD]) -> list[DD]:
        jet = cf._jet(_CTX, loss, y)
        return [jet.value, *jet.gradient, *(b for row in jet.hessian for b in row)]

    values, _ = _certify(problem, rule, integrands, _averages(problem))
    cut = d + 1
    hessian = [values[cut + d * i : cut + d * (i + 1)] for i in range(d)]
    return cf.Jet(values[0], values[1:cut], hessian)


def _float_mixture(loss: Any, y: Any) -> Any:
    """Return −log Σ w_i N(y; m_i, S_i) in double precision: (n, d) -> (n,)."""
    logs = []
    for weight, mean, S in zip(loss.weights, loss.means, loss.covariances, strict=True):
        r = y - mean
        form = np.sum(r @ np.linalg.inv(S) * r, axis=-1)
        logs.append(np.log(weight) - 0.5 * (form + np.linalg.slogdet(2 * np.pi * S)[1]))
    return -np.logaddexp.reduce(logs)


# --- certification --------------------------------------------------------------------

Integrands = Callable[[list[DD], list[DD]], list[DD]]
Finish = Callable[[list[Number], Landscape], list[Number]]


def _nothing(*_: list[DD]) -> list[DD]:
    """Return no integrand besides the density itself."""
    return []


def _certify(
    problem: Problem, rule: str, integrands: Integrands, finish: Finish
) -> tuple[list[Number], float]:
    """Return the finished values and one bound of all their errors."""
    values, errors = _certify_all(problem, rule, integrands, finish)
    return values, max(errors)


def _certify_all(
    problem: Problem, rule: str, integrands: Integrands, finish: Finish
) -> tuple[list[Number], list[float]]:
    """Refine until every integral is stable relative to the integral of its modulus.

    The errors are the differences of the last two levels plus the effect of a relative
    change `ARITHMETIC` of every integral's modulus.
    """
    land = survey(problem)
    previous: list[Number] = []
    for level in range(len(ORDERS)):
        axes = _axes(rule, land, level)
        count = float(np.prod([float(nodes.hi.size) for nodes, _ in axes]))
        integrals, sizes = _integrate(problem, land, axes, integrands)
        if previous and all(
            abs(a - b) <= TARGET * size
            for a, b, size in zip(integrals, previous, sizes, strict=True)
        ):
            return _finish(finish, land, integrals, previous, sizes)
        previous = integrals
    raise Unresolved(f"{rule} has not settled with {count:.0f} nodes")


def _finish(
    finish: Finish,
    land: Landscape,
    integrals: list[Number],
    previous: list[Number],
    sizes: list[float],
) -> tuple[list[Number], list[float]]:
    """Finish the values and bound their errors by finite perturbations."""
    values = finish(integrals, land)
    errors = [
        abs(float(a - b)) for a, b in zip(values, finish(previous, land), strict=True)
    ]
    relative = ARITHMETIC * max(1.0, abs(land.shift) / DROP)
    for k, size in enumerate(sizes):
        moved = list(integrals)
        moved[k] += relative * size
        for i, value in enumerate(finish(moved, land)):
            errors[i] += abs(float(value - values[i]))
    return values, errors


def _averages(problem: Problem) -> Finish:
    """Return the finish that divides by the volume of the Gaussian, known exactly."""

    def finish(integrals: list[Number], _: Landscape) -> list[Number]:
        volume = _MP.mp.exp(_log_gaussian_volume(problem))
        return [integral / volume for integral in integrals[1:]]

    return finish


def _log_gaussian_volume(problem: Problem) -> Number:
    """Return log ∫ exp(−½ sᵀC⁻¹s) ds = ½ log det(2πC)."""
    factors = la.ldlt(_MP, la.matrix(_MP, problem.cov))
    return (la.log_det(_MP, factors) + problem.d * _MP.log(2 * _MP.pi)) / 2


def _mass_centre(problem: Problem) -> Any:
    """Return a float estimate of E_q X − x, about which moments do not cancel."""
    land = survey(problem)
    axes = _axes("trapezoid", land, 0)
    integrals, _ = _integrate(problem, land, axes, lambda s, _: list(s))
    return np.array([float(m / integrals[0]) for m in integrals[1:]])


def _isotropic(loss: Any, sign: int, x: tuple[float, ...], tau: float) -> Problem:
    if not tau > 0:
        raise ValueError(f"tau is a variance and must be positive, got {tau!r}")
    rows = np.diag(np.full(len(x), tau)).tolist()
    return Problem(loss, sign, x, tuple(map(tuple, rows)))


def _tuple(x: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in x)


# --- sums over tensor grids -----------------------------------------------------------

Axis = tuple[DD, DD]


def _integrate(
    problem: Problem, land: Landscape, axes: list[Axis], integrands: Integrands
) -> tuple[list[Number], list[float]]:
    """Return ∫ e^{shift−E} and ∫ g_k e^{shift−E}, and the integrals of the moduli."""
    factors = la.ldlt(_CTX, la.matrix(_CTX, problem.cov))
    totals: list[Any] = []
    for s, weight in _chunks(axes):
        y = [float(a) + b for a, b in zip(problem.x, s, strict=True)]
        energy = la.inverse_form(_CTX, factors, s) / 2
        if problem.sign:
            f = cf.value(_CTX, problem.loss, y)
            energy = energy + (f if problem.sign > 0 else -f) - land.shift
        density = weight * _CTX.exp(-energy)
        terms = [density, *(density * g for g in integrands(s, y))]
        part = [(term.total(), float(np.sum(np.abs(term.hi)))) for term in terms]
        totals = (
            [(a + c, b + e) for (a, b), (c, e) in zip(totals, part, strict=True)]
            if totals
            else part
        )
    return [_MP.number(a) for a, _ in totals], [b for _, b in totals]


def _chunks(axes: list[Axis]) -> Iterator[tuple[list[DD], DD]]:
    """Yield the nodes and weights of the tensor grid, some thousands at a time."""
    shape = [nodes.hi.size for nodes, _ in axes]
    total = int(np.prod(shape))
    for start in range(0, total, _CHUNK):
        flat = np.arange(start, min(start + _CHUNK, total))
        indices = np.unravel_index(flat, shape)
        parts = [(n[i], w[i]) for (n, w), i in zip(axes, indices, strict=True)]
        weight = parts[0][1]
        for _, w in parts[1:]:
            weight = weight * w
        yield [node for node, _ in parts], weight


def _axes(rule: str, land: Landscape, level: int) -> list[Axis]:
    """Return nodes and weights on every axis, in offsets from x."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    make = _equidistant if rule == "trapezoid" else _panels
    with np.errstate(over="ignore"):
        counts = (land.upper - land.lower) / land.smallest
    if rule == "trapezoid" and np.prod(counts * 4 * 1.5**level) > BUDGET:
        raise Unresolved(
            f"steps of a quarter of {land.smallest} need more than {BUDGET} nodes"
        )
    axes = [make(land, j, level) for j in range(land.lower.size)]
    if np.prod([float(nodes.hi.size) for nodes, _ in axes]) > BUDGET:
        raise Unresolved(f"{rule} needs more than {BUDGET} nodes")
    return axes


def _equidistant(land: Landscape, j: int, level: int) -> Axis:
    """Return nodes lower + k h with h ≤ ℓ/4 · (2/3)^level."""
    step = float(land.smallest[j]) / 4 / 1.5**level
    count = int((land.upper[j] - land.lower[j]) / step) + 2
    k = DD(np.arange(count, dtype=np.float64), np.zeros(count))
    return k * step + float(land.lower[j]), DD(np.full(count, step), np.zeros(count))


def _panels(land: Landscape, j: int, level: int) -> Axis:
    """Return composite Gauss–Legendre nodes; the panels are those of `_edges`."""
    edges = _edges(land, j)
    nodes, weights = _legendre(ORDERS[level])
    left, right = edges[:-1, None], edges[1:, None]
    middle = (DD(left, 0 * left) + right).scaled(0.5)
    half = (DD(right, 0 * right) - left).scaled(0.5)
    y, w = middle + half * nodes, half * weights
    return DD(y.hi.ravel(), y.lo.ravel()), DD(w.hi.ravel(), w.lo.ravel())


def _edges(land: Landscape, j: int) -> Any:
    """Return panel edges on axis j.

    A panel is at most 4ℓ wide near a feature and at most as wide as its distance from
    it, so that the ellipse on which Gauss–Legendre converges like 4^{−2n} stays in the
    cone |Im(y−m)| < |Re(y−m)| where a Gaussian well is bounded.
    """
    lows = [float(f.centre[j] - f.spread[j]) for f in land.features]
    highs = [float(f.centre[j] + f.spread[j]) for f in land.features]
    lengths = [4 * float(f.length[j]) for f in land.features]
    a, end = float(land.lower[j]), float(land.upper[j])
    stops = sorted(v for v in {*lows, *highs, end} if a < v <= end)
    edges = [a]
    for stop in stops:
        while a < stop:
            width = 4 * float(land.length[j])
            for low, high, length in zip(lows, highs, lengths, strict=True):
                distance = (low - a) / 2 if a < low else max(a - high, 0.0)
                width = min(width, max(length, distance))
            a = stop if a + 1.2 * width >= stop else a + width
            edges.append(a)
            if len(edges) > BUDGET // ORDERS[0]:
                raise Unresolved(f"axis {j} needs too many panels")
    return np.array(edges)


@cache
def _legendre(order: int) -> tuple[DD, DD]:
    """Return Gauss–Legendre nodes and weights on [−1, 1] in double-double."""
    mp = context(45)
    nodes, weights = [], []
    for guess in np.polynomial.legendre.leggauss(order)[0]:
        t = mp.mpf(float(guess))
        for _ in range(3):
            p, slope = _legendre_value(mp, order, t)
            t -= p / slope
        nodes.append(t)
        slope = _legendre_value(mp, order, t)[1]
        weights.append(2 / ((1 - t * t) * slope**2))
    return from_mp(nodes), from_mp(weights)


def _legendre_value(mp: Any, n: int, t: Number) -> tuple[Number, Number]:
    """Return P_n(t) and its derivative by the three-term recurrence."""
    last, value = mp.mpf(1), t
    for k in range(2, n + 1):
        last, value = value, ((2 * k - 1) * t * value - (k - 1) * last) / k
    return value, n * (t * value - last) / (t * t - 1)


def _whitened_sum(
    ctx: MP,
    function: Callable[[list[Number]], Any],
    centre: list[Number],
    factors: la.Factors,
    step: float,
    reach: float,
) -> Number:
    """Return the trapezoidal sum in z, y = centre + L √D z."""
    d, h = len(centre), ctx.number(step)
    count = int(reach / step) + 1
    z = [h * k for k in range(-count, count + 1)]
    phi = [h * ctx.exp(-t * t / 2) / ctx.sqrt(2 * ctx.pi) for t in z]
    roots = [ctx.sqrt(p) for p in factors.pivots]
    terms = []
    for index in np.ndindex(*[len(z)] * d):
        v = [roots[i] * z[k] for i, k in enumerate(index)]
        y = [
            centre[i] + v[i] + (ctx.dot(row, v[:i]) if row else 0)
            for i, row in enumerate(factors.lower)
        ]
        weight = phi[index[0]]
        for k in index[1:]:
            weight *= phi[k]
        terms.append(weight * function(y))
    return ctx.sum(terms)
