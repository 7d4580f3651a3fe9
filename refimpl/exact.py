"""Step 2 of Algorithms 1 and 2, exactly: the mean of the best Gaussian for q.

Both are called as ``project(q, rng=rng, previous=previous)`` and use neither keyword:
they are here so that `refimpl.two_step` need not know which scheme it runs.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from refimpl import regularised
from refimpl.arrays import Array, as_kind, require_finite
from refimpl.errors import NotCertified
from refimpl.interfaces import (
    Bounded,
    Enclosed,
    GaussianAverages,
    Loss,
    Projection,
    Proximable,
    Resolvable,
)
from refimpl.laws import GibbsLaw
from refimpl.losses._features import FULL_WIDTH

MAX_STARTS = 2**18
"""The budget of the grid from which a global minimiser is searched."""


@dataclass(frozen=True)
class ExactMean:
    """Algorithm 1, step 2: argmin_x KL(q || phi_{x,tau}) = E_q X, unique.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> q = GibbsLaw(Quadratic(1.0, [0.0]), np.array([2.0]), 1.0)
    >>> ExactMean()(q).x
    array([1.])
    """

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator | None = None,
        previous: Projection | None = None,
    ) -> Projection:
        """E_q X.

        Raises
        ------
        NoClosedForm, Unresolved, NotIntegrable
            As `refimpl.regularised.posterior_mean`.
        """
        del rng, previous
        as_kind("q", q, GibbsLaw)
        return Projection(regularised.posterior_mean(q.f, q.x, q.tau))


@dataclass(frozen=True)
class Minimisers:
    """What `ExactHeat` tells of itself.

    Attributes
    ----------
    points : ndarray, shape (n, d)
        Every global minimiser found, in lexicographic order; n > 1 where they tie.
    certificate : {"closed form", "convex", "grid"}
        Why they are the global ones: a formula; I/tau + Hess F^H positive definite
        everywhere; or a search from a grid that resolves F^H.
    """

    points: Array
    certificate: Literal["closed form", "convex", "grid"]


@dataclass(frozen=True)
class ExactHeat:
    """Algorithm 2, step 2: argmin_x KL(phi_{x,tau} || q), possibly not unique.

    With (13) this is the proximal point argmin_y F^H_tau(y) + |y - x|^2 / 2 tau, a zero
    of h(y) = y - x + tau grad F^H_tau(y), Section 5.2.

    References
    ----------
    Algorithm 2; checked by the family ALG2 and EL-01.
    """

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator | None = None,
        previous: Projection | None = None,
    ) -> Projection:
        """The global minimiser; of several, the first of `Minimisers.points`.

        Raises
        ------
        NotCertified
            Where the loss has no closed form, I/tau + Hess F^H is not known to be
            positive definite, and a grid cannot serve (d > 3, no bounds, budget).
        NoClosedForm, Unresolved
            As `refimpl.regularised.heat`.
        NonFinite
            If F^H_tau(y) + |y - x|^2 / 2 tau overflows where it is searched.
        """
        del rng, previous
        as_kind("q", q, GibbsLaw)
        if isinstance(q.f, Proximable):
            point = q.f.heat_proximal_point(q.x, q.tau)
            return _projection(point[None], "closed form")
        objective = _Objective(q)
        bound = _curvature_bound(q.f, q.tau)
        if bound + 1 / q.tau > 0:
            return _projection(objective.descend(q.x)[0][None], "convex")
        starts = _starts(objective)
        return _projection(_lowest(objective, starts), "grid")


def _projection(
    points: Array, certificate: Literal["closed form", "convex", "grid"]
) -> Projection:
    return Projection(points[0], Minimisers(points, certificate))


@dataclass(frozen=True)
class _Objective:
    """G(y) = F^H_tau(y) + |y - x|^2 / 2 tau."""

    q: GibbsLaw

    @np.errstate(all="ignore")  # judged in `descend`
    def jet(self, y: Array) -> tuple[float, Array, Array]:
        """Value, gradient (d,) and Hessian (d, d)."""
        value, slope, curvature = regularised.heat_jet(self.q.f, y, self.q.tau)
        shift = (y - self.q.x) / self.q.tau
        half_square = 0.5 * float(shift @ (y - self.q.x))
        return (
            value + half_square,
            slope + shift,
            curvature + np.eye(y.size) / self.q.tau,
        )

    def descend(self, y: Array) -> tuple[Array, float]:
        """A local minimiser and its value: Newton's method, shifted and halved."""
        eps = np.finfo(float).eps
        value, gradient, hessian = _finite(self.jet(y))
        last = np.inf
        for _ in range(200):
            step = -_solve_shifted(hessian, gradient, 1e-3 / self.q.tau)
            slack = 64 * eps * max(1.0, abs(value))
            while (jet := self.jet(y + step))[0] > value + slack:
                step = step / 2
            y = y + step
            value, gradient, hessian = _finite(jet)
            slope = _largest(gradient)
            # From so short a step on the gradient falls fast, by two thirds where f is
            # a power, to its error: F^H has no feature much narrower than sqrt(tau).
            reach = _largest(y) + _largest(self.q.x)
            short = 1e-7 * np.sqrt(self.q.tau) + 1e-9 * reach
            if slope >= last / 2 and _largest(step) <= short:
                return y, value
            last = slope
        raise NotCertified("Newton's method did not settle on a proximal point", y)


def _largest(v: Array) -> float:
    return float(np.abs(v).max())


def _finite(jet: tuple[float, Array, Array]) -> tuple[float, Array, Array]:
    for part in jet:
        require_finite(part, "F^H_tau(y) + |y - x|^2 / 2 tau or a derivative of it")
    return jet


def _solve_shifted(hessian: Array, gradient: Array, floor: float) -> Array:
    """hessian^{-1} gradient, its eigenvalues raised to the floor if one is below."""
    least = np.linalg.eigvalsh(hessian)[0]
    shift = max(0.0, floor - float(least))
    lifted = hessian + shift * np.eye(gradient.size)
    return np.asarray(np.linalg.solve(lifted, gradient), dtype=np.float64)


def _curvature_bound(f: Loss, tau: float) -> float:
    return f.heat_curvature_bound(tau) if isinstance(f, Bounded) else -np.inf


def _starts(objective: _Objective) -> Array:
    """Grid points whose value no neighbour undercuts, shape (n, d).

    The spacing is a quarter of F^H's smallest feature, that of f widened by phi.
    """
    q = objective.q
    f, name = q.f, type(q.f).__name__
    if f.d > 3 or not isinstance(f, Bounded) or not isinstance(f, Resolvable):
        raise NotCertified(
            f"the proximal point of {name} at tau = {q.tau:g} cannot be certified: "
            "I/tau + Hess F^H is not known to be positive definite, and a grid needs "
            "d <= 3 and a loss that states its bounds and its smallest feature"
        )
    lower, upper = _region(f, q)
    length = f.feature_length(lower, upper)
    spacing = np.sqrt(length**2 + FULL_WIDTH**2 * q.tau) / 4
    half = np.ceil((upper - lower) / 2 / spacing) + 1
    if not (2 * half + 1).prod() <= MAX_STARTS:
        raise NotCertified(
            f"a global search for the proximal point of {name} needs "
            f"{(2 * half + 1).prod():.3g} starting points, beyond the budget of "
            f"{MAX_STARTS}"
        )
    axes = [
        centre + step * np.arange(-n, n + 1)
        for centre, step, n in zip((lower + upper) / 2, spacing, half, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    square = ((grid - q.x) ** 2).sum(axis=-1)
    values = _heat_roughly(f, grid, q.tau) + square / (2 * q.tau)
    return grid[_undercut_by_none(values)]


def _region(f: Bounded, q: GibbsLaw) -> tuple[Array, Array]:
    """A box that holds every global minimiser.

    None is farther from x than sqrt(2 tau (F^H(x) - inf F^H)).
    """
    if isinstance(f, Enclosed):
        lower, upper = f.proximal_box(q.x, q.tau)
    else:
        fall = float(regularised.heat(f, q.x, q.tau) - f.heat_lower_bound(q.tau))
        radius = np.sqrt(2 * q.tau * max(fall, 0.0))
        lower, upper = q.x - radius, q.x + radius
    if not np.isfinite(upper - lower).all():
        raise NotCertified(
            f"F^H(y) + |y - x|^2 / 2 tau of {type(f).__name__} at tau = {q.tau:g} is "
            "not known to be bounded below"
        )
    return lower, upper


def _undercut_by_none(values: Array) -> Array:
    """Where no neighbour along an axis is lower, as a mask."""
    keep = np.ones(values.shape, dtype=bool)
    for axis in range(values.ndim):
        padding = [(1, 1) if a == axis else (0, 0) for a in range(values.ndim)]
        padded = np.pad(values, padding, constant_values=np.inf)
        moved = np.moveaxis(padded, axis, 0)
        own = np.moveaxis(values, axis, 0)
        mask = (own <= moved[:-2]) & (own <= moved[2:])
        keep &= np.moveaxis(mask, 0, axis)
    return np.asarray(keep)


def _heat_roughly(f: Loss, points: Array, tau: float) -> Array:
    """Heat good enough to tell basins apart; the descent uses the accurate one."""
    if isinstance(f, GaussianAverages):
        return f.heat(points, tau)
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    shifts = np.stack(np.meshgrid(*[nodes] * f.d, indexing="ij"), axis=-1)
    products = np.prod(np.meshgrid(*[weights] * f.d, indexing="ij"), axis=0)
    total: Array = np.zeros(points.shape[:-1])
    for shift, weight in zip(shifts.reshape(-1, f.d), products.ravel(), strict=True):
        total += weight / products.sum() * f(points + np.sqrt(tau) * shift)
    return total


def _lowest(objective: _Objective, starts: Array) -> Array:
    """The lowest of the local minimisers reached, and all that tie with it."""
    descents = [objective.descend(start) for start in starts]
    reached = [y for y, _ in descents]
    values = np.array([value for _, value in descents])
    tie = 1e-12 * max(1.0, abs(values.min()))
    best: list[Array] = []
    for i in np.argsort(values):
        near = [np.linalg.norm(reached[i] - y) for y in best]
        scale = 1e-6 * (np.sqrt(objective.q.tau) + np.linalg.norm(reached[i]))
        if values[i] <= values.min() + tie and not any(n <= scale for n in near):
            best.append(reached[i])
    return np.array(sorted(best, key=tuple))
