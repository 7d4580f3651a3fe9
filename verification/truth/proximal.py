"""Certified minimisers of G(y) = F^H_τ(y) + |y−x|²/2τ: step 2 of Algorithm 2.

*The region.*  Heat has a lower envelope (a constant for wells and mixtures, a quadratic
for waves, separable polynomials for quartics); where envelope plus |y−x|²/2τ exceeds a
known value of G there is no global minimiser.
*The grid.*  Let M bound the largest eigenvalue of ∇²G on the region.  At a global
minimiser the gradient vanishes, so the centre of its cell of side h satisfies
G(centre) ≤ min G + ½ M d (h/2)².  Cells that do not are discarded, the others halved,
until the slack is 1e-10: no global minimiser is lost, no feature hides between nodes.
*Newton's method* in mpmath starts in every cluster of surviving cells.  Minimisers
whose values agree to 1e-20 are all returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import quadrature as quad
from verification.truth.carriers import MP, Double, Number
from verification.truth.landscape import Unresolved, real_roots

Array = npt.NDArray[np.float64]
_CTX = MP(40)
TIE = 1e-20
BUDGET = 100_000


@dataclass(frozen=True)
class Minimisers:
    """All global minimisers (a list of lists of d mp numbers) and the minimum of G."""

    points: list[list[Number]]
    minimum: Number


def proximal_points(loss: Any, x: Sequence[float], tau: float) -> Minimisers:
    """Return argmin_y F^H_τ(y) + |y−x|²/2τ, for d = 1 or 2 (quadratics: any d).

    Raises
    ------
    Unresolved
        If the cells are beyond the budget, or Newton's method fails.
    ValueError
        If G is unbounded below.
    """
    return _proximal_points(loss, tuple(float(v) for v in x), float(tau))


def stationarity(
    loss: Any, x_k: Sequence[float], x: Sequence[Any], tau: float
) -> list[Number]:
    """Return h(x) = x − x_k + τ E_{φ_x} ∇f, section 5.2; x may hold mp numbers."""
    y, centre = la.vector(_CTX, x), la.vector(_CTX, x_k)
    slope = _jet(loss, y, float(tau)).gradient
    return la.add(la.subtract(y, centre), la.scale(_CTX.number(tau), slope))


@lru_cache(maxsize=1024)
def _proximal_points(loss: Any, x: tuple[float, ...], tau: float) -> Minimisers:
    if loss.kind in cf.QUADRATIC:
        only = cf.proximal_point(_CTX, loss, x, tau)
        return Minimisers([only], _objective(loss, x, tau, only).value)
    if len(x) > 2:
        raise Unresolved("global minimisers are certified for one or two parameters")
    found: list[tuple[Number, list[Number]]] = []
    for start in _starts(loss, x, tau):
        point = _newton(loss, x, tau, start.tolist())
        if point and all(_distance(point, other) > 1e-12 for _, other in found):
            found.append((_objective(loss, x, tau, point).value, point))
    if not found:
        raise Unresolved("Newton's method found no minimiser")
    lowest = min(value for value, _ in found)
    slack = TIE * (1 + abs(lowest))
    best = sorted(point for value, point in found if value - lowest <= slack)
    return Minimisers(best, lowest)


# --- Newton's method in mpmath --------------------------------------------------------


def _jet(loss: Any, y: list[Number], tau: float) -> cf.Jet:
    """Return F^H_τ(y), its gradient and its hessian, in mp numbers.

    Quadrature knows them at doubles; the rest of y is a Taylor step of 1e-16.
    """
    if loss.kind != "gaussian_mixture":
        return cf.heat_jet(_CTX, loss, y, tau)
    near = tuple(float(v) for v in y)
    jet = quad.heat_jet(loss, near, tau)
    s = la.subtract(y, la.vector(_CTX, near))
    bend = la.matvec(_CTX, jet.hessian, s)
    rise = la.dot(_CTX, s, jet.gradient) + la.dot(_CTX, s, bend) / 2
    return cf.Jet(jet.value + rise, la.add(jet.gradient, bend), jet.hessian)


def _objective(loss: Any, x: tuple[float, ...], tau: float, y: list[Number]) -> cf.Jet:
    """Return G(y), its gradient and its hessian."""
    s, rate = la.subtract(y, la.vector(_CTX, x)), 1 / _CTX.number(tau)
    pull = la.dot(_CTX, s, s) * rate / 2
    spring = cf.Jet(pull, la.scale(rate, s), la.identity(_CTX, len(x), rate))
    return _jet(loss, y, tau).plus(spring)


def _distance(a: list[Number], b: list[Number]) -> float:
    return max(abs(float(p - q)) for p, q in zip(a, b, strict=True))


def _newton(
    loss: Any, x: tuple[float, ...], tau: float, start: Sequence[float]
) -> list[Number] | None:
    """Return the minimiser that Newton's method reaches, or None for no minimum."""
    y = la.vector(_CTX, start)
    for _ in range(40):
        jet = _objective(loss, x, tau, y)
        try:
            factors = la.ldlt(_CTX, jet.hessian)
        except ValueError:
            return None
        step = la.solve(_CTX, factors, jet.gradient)
        y = la.subtract(y, step)
        if max(abs(s) for s in step) <= 1e-14 * max(1, *(abs(v) for v in y)):
            jet = _objective(loss, x, tau, y)
            return la.subtract(y, la.solve(_CTX, factors, jet.gradient))
    return None


# --- branch and bound in double precision ---------------------------------------------


def _starts(loss: Any, x: tuple[float, ...], tau: float) -> list[Array]:
    """Return one point of every cluster of cells that may hold a global minimiser."""
    lower, upper = _region(loss, x, tau)
    G, M, d = _objective_on_arrays(loss, x, tau), 1 / tau, len(x)
    M += _bend(loss, tau, np.maximum(np.abs(lower), np.abs(upper)))
    side = (upper - lower) / 16
    axes = [a + s * (np.arange(16) + 0.5) for a, s in zip(lower, side, strict=True)]
    cells = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=-1)
    quarters = np.array(list(product((-0.25, 0.25), repeat=d)))
    while True:
        values = G(cells)
        scale = 1e-10 * (1 + abs(float(values.min())))
        slack = 0.125 * M * float(side @ side)
        kept = values <= values.min() + slack + scale
        cells, values = cells[kept], values[kept]
        if slack <= scale:
            return _representatives(cells, values, 4 * side)
        if len(cells) * 2**d > BUDGET:
            raise Unresolved(f"more than {BUDGET} cells may hold a minimiser")
        cells = (cells[:, None] + quarters * side).reshape(-1, d)
        side = side / 2


def _representatives(cells: Array, values: Array, radius: Array) -> list[Array]:
    """Return the best cell of every cluster, at most 64 of them."""
    chosen: list[Array] = []
    for index in np.argsort(values):
        cell = cells[index]
        if all(np.any(np.abs(cell - other) > radius) for other in chosen):
            chosen.append(cell)
        if len(chosen) == 64:
            break
    return chosen


def _region(loss: Any, x: tuple[float, ...], tau: float) -> tuple[Array, Array]:
    """Return the corners of a box that holds every global minimiser."""
    centre, d = np.array(x), len(x)
    if loss.kind == "quartic":
        return _quartic_region(loss, centre, tau)
    H: Array = np.zeros((d, d))
    slope: Array = np.zeros(d)
    if loss.kind == "gaussian_wells":
        floor = loss.c - float(np.maximum(loss.depths, 0).sum())
    elif loss.kind == "gaussian_mixture":  # Σ w_i N_i is at most the largest peak
        floor = 0.5 * min(np.linalg.slogdet(2 * np.pi * S)[1] for S in loss.covariances)
    else:
        cov = la.identity(Double(), d, tau)
        jet = cf._quadratic_jet(Double(), loss, list(x), cov)
        H = np.array(jet.hessian, dtype=np.float64)
        slope = np.array(jet.gradient, dtype=np.float64)
        floor = float(jet.value) - float(np.abs(loss.amplitude).sum())
    P = H + np.eye(d) / tau
    if not np.all(np.linalg.eigvalsh(P) > 0):
        raise ValueError("G is unbounded below: I + tau H is not positive definite")
    V = np.linalg.inv(P)
    middle, floor = centre - V @ slope, floor - 0.5 * float(slope @ V @ slope)
    candidates = np.array([centre, middle, *getattr(loss, "means", [])])
    known = float(_objective_on_arrays(loss, x, tau)(candidates).min())
    half = np.sqrt(2 * max(known - floor, 0.0) * np.diag(V)) * 1.001 + 1e-9
    return middle - half, middle + half


def _quartic_region(loss: Any, x: Array, tau: float) -> tuple[Array, Array]:
    """Bound G below by separable polynomials: |y_i y_{i+1}| ≤ (y_i² + y_{i+1}²)/2."""
    if not np.all(loss.c4 > 0):
        raise ValueError("G is certified for quartics with positive c4 only")
    d = x.size
    neighbours = np.array([(i > 0) + (i < d - 1) for i in range(d)])
    c2 = loss.c2 + 3 * tau * loss.c4 - abs(loss.coupling) * neighbours + 1 / tau
    rows = np.array(
        [loss.c4 / 4, loss.c3 / 3, c2 / 2, tau * loss.c3 - x / tau, 0 * x]
    ).T
    turns = [real_roots(np.polyder(row)) for row in rows]
    lows = [np.polyval(row, t).min() for row, t in zip(rows, turns, strict=True)]
    floors = np.array(lows)
    spread = 0.75 * tau**2 * loss.c4.sum() + 0.5 * tau * loss.c2.sum()
    constant = spread + x @ x / (2 * tau)
    candidates = np.array([x, *product(*turns)])
    G = _objective_on_arrays(loss, tuple(x.tolist()), tau)
    known = float(G(candidates).min()) - constant
    edges = []
    for i, row in enumerate(rows):
        rest = floors.sum() - floors[i]
        level = max(known - rest, floors[i]) + 1e-9 * (1 + abs(known) + abs(rest))
        edges.append(real_roots([*row[:4], -level]))
    lower = np.array([e.min() for e in edges])
    upper = np.array([e.max() for e in edges])
    margin = 1e-3 * (upper - lower) + 1e-9
    return lower - margin, upper + margin


def _bend(loss: Any, tau: float, reach: Array) -> float:
    """Return a bound of the largest eigenvalue of ∇²F^H_τ where |y_i| ≤ reach_i."""
    if loss.kind == "quartic":
        bends = np.abs(loss.c2) + 2 * np.abs(loss.c3) * reach
        bends += 3 * loss.c4 * (reach**2 + tau)
        return float(bends.max()) + 2 * abs(loss.coupling)
    if loss.kind == "gaussian_mixture":  # ∇²f = Σ r_i S_i⁻¹ − Cov_r ≤ max S_i⁻¹
        return max(1 / float(np.linalg.eigvalsh(S)[0]) for S in loss.covariances)
    if loss.kind == "gaussian_wells":
        total = 0.0
        for depth, S in zip(loss.depths, loss.covariances, strict=True):
            size = np.linalg.eigvalsh(S)
            shrink = float(np.sqrt(np.prod(size / (size + tau))))
            total += abs(float(depth)) * shrink / (float(size[0]) + tau)
        return total
    square = np.sum(loss.frequency**2, axis=1)
    waves = float(np.sum(np.abs(loss.amplitude) * np.exp(-tau * square / 2) * square))
    H: Array = np.array(cf._curvature(Double(), loss.H, loss.d), dtype=np.float64)
    return waves + max(float(np.linalg.eigvalsh(H)[-1]), 0.0)


def _objective_on_arrays(
    loss: Any, x: tuple[float, ...], tau: float
) -> Callable[[Array], Array]:
    """Return G in double precision: (..., d) -> (...)."""
    if loss.kind == "gaussian_mixture":
        smooth = quad.heat_on_arrays(loss, x, tau)
    else:
        smooth = _closed_heat(loss, tau)

    def G(y: Array) -> Array:
        pull = np.sum((y - np.array(x)) ** 2, axis=-1) / (2 * tau)
        return np.asarray(smooth(y) + pull)

    return G


def _closed_heat(loss: Any, tau: float) -> Callable[[Array], Array]:
    """Return the heat by its closed form over arrays of doubles."""

    def smooth(y: Array) -> Array:
        columns = [y[..., j] for j in range(y.shape[-1])]
        return np.asarray(cf.heat(_Doubles(), loss, columns, tau))

    return smooth


class _Doubles(Double):
    """The carrier `Double` on arrays."""

    exp, log, cos, sin = (staticmethod(f) for f in (np.exp, np.log, np.cos, np.sin))  # type: ignore[assignment]

    def number(self, value: Any) -> Any:
        return value if isinstance(value, np.ndarray) else float(value)
