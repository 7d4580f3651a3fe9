"""Losses of losses: a loss divided by a temperature, and its local entropy as a loss.

With F_tau the local entropy (2), a chain of local entropies is made of two operations::

    g  ->  factor g,        g  ->  F_tau[g].

Linear and quadratic losses stay what they are under both, wells, waves and quartics
under the first, mixtures under the second.  Everything else is integrated: factor g on
the grid that g states, F_tau[g] in one dimension, for many points on one grid.

Scaling needs no new box: e^{-s g} N(x, C) is the s-th power of e^{-g} N(x, s C) up to a
constant, so that the one is below e^{-drop} of its maximum where the other is below
e^{-drop / s}.  Nor a new bound of the step: if e^{-g} grows by e^{G(t)} at distance t
from the real axis and G(t) - 2 pi t / h <= -30, then s G(t) - 2 pi t s / h <= -30 s.
"""

from dataclasses import dataclass
from functools import lru_cache, singledispatch
from typing import Any, Literal

import numpy as np

from refimpl import quadrature
from refimpl.arrays import Array, as_points, frozen
from refimpl.errors import NoClosedForm, Unresolved
from refimpl.interfaces import Expandable, Loss, Resolvable
from refimpl.losses._features import FULL_WIDTH, resolving_length
from refimpl.losses._spectral import SpectralQuadratic
from refimpl.losses.affine import Linear
from refimpl.losses.gaussian_mixture import GaussianMixture
from refimpl.losses.gaussian_wells import GaussianWells
from refimpl.losses.quartic import Quartic
from refimpl.losses.trigonometric import Trigonometric

Form = Literal["mean", "gradient"]

_BLOCK = 2**21


def scaled(g: Loss, factor: float) -> Loss:
    """factor g as a loss; g itself for the factor 1."""
    return g if factor == 1 else _scaled(g, factor)


@singledispatch
def _scaled(g: Any, factor: float) -> Loss:
    kind = ScaledResolvable if isinstance(g, Resolvable) else Scaled
    return kind(g, factor)


@_scaled.register
def _(g: Linear, factor: float) -> Loss:
    return Linear(factor * g.g, factor * g.c)


@_scaled.register
def _(g: SpectralQuadratic, factor: float) -> Loss:
    form = _spectral(g)
    return Spectral(form.base, factor * form.shares, factor * form.c)


@_scaled.register
def _(g: Quartic, factor: float) -> Loss:
    c4, c3, c2 = factor * g.c4, factor * g.c3, factor * g.c2
    return Quartic(c4, c3, c2, factor * g.coupling)


@_scaled.register
def _(g: GaussianWells, factor: float) -> Loss:
    return GaussianWells(factor * g.depths, g.means, g.covariances, factor * g.c)


@_scaled.register
def _(g: Trigonometric, factor: float) -> Loss:
    H, m, c = g.quadratic.H, g.quadratic.m, g.quadratic.c
    waves = factor * g.amplitude, g.frequency, g.phase
    return Trigonometric(*waves, factor * H, m, factor * c)


@singledispatch
def smoothed(g: Any, tau: float, form: Form | None = None) -> Loss:
    """F_tau[g] as a loss; `form` is that of gradients which are integrated.

    Raises
    ------
    NoClosedForm
        If it has no closed form, unless g has one variable and states its grid.
    """
    if g.d != 1 or not isinstance(g, Resolvable):
        raise NoClosedForm(
            f"a local entropy of a local entropy of {type(g).__name__} is integrated "
            f"for losses of one variable that say where to look, this one has {g.d}"
        )
    return Smoothed(g, tau, form)


@smoothed.register
def _(g: Linear, tau: float, _: Form | None = None) -> Loss:
    return Linear(g.g, float(g.local_entropy(np.zeros(g.d), tau)))


@smoothed.register
def _(g: SpectralQuadratic, tau: float, _: Form | None = None) -> Loss:
    growth = g._growth(tau)
    rise = 0.5 * float(np.log1p(tau * g.curvatures).sum())
    form = _spectral(g)
    return Spectral(form.base, form.shares / growth, form.c + rise)


@smoothed.register
def _(g: GaussianMixture, tau: float, _: Form | None = None) -> Loss:
    wider = g.covariances + tau * np.eye(g.d)
    return GaussianMixture(g.weights, g.means, wider)


class Spectral(SpectralQuadratic):
    """c plus shares of the energies that a quadratic loss has in its eigenbasis.

    Parameters
    ----------
    base : SpectralQuadratic
    shares : ndarray, shape (d,)
        How much of each energy.
    c : float
    """

    def __init__(self, base: SpectralQuadratic, shares: Array, c: float) -> None:
        self.base, self.shares, self.c = base, frozen(shares), c
        self._curvatures = frozen(shares * base.curvatures)
        self._basis, self._constant = base.basis, c

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        y = as_points("y", y, self.d)
        return np.asarray(self.c + self._energies(y).sum(axis=-1))[()]

    def gradient(self, y: Any) -> Array:
        """The gradient at points (..., d), shape (..., d)."""
        return self._rotate_back(self.shares * self._rotate(self.base.gradient(y)))

    def _energies(self, x: Array) -> Array:
        return np.asarray(self.shares * self.base._energies(x))

    def posterior_mean(self, x: Any, tau: float) -> Array:
        """E_q X = x - tau grad F_tau(x), shape (..., d)."""
        x = as_points("x", x, self.d)
        return np.asarray(x - tau * self.local_entropy_gradient(x, tau))


def _spectral(g: SpectralQuadratic) -> Spectral:
    return g if isinstance(g, Spectral) else Spectral(g, np.ones(g.d), g._constant)


class Scaled:
    """factor g through the two doors of a loss."""

    def __init__(self, g: Loss, factor: float) -> None:
        self.g, self.factor = g, factor

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.g.d

    def __call__(self, y: Any) -> Array:
        """factor g at points (..., d), shape (...)."""
        return self.factor * self.g(y)

    def gradient(self, y: Any) -> Array:
        """factor grad g at points (..., d), shape (..., d)."""
        return self.factor * self.g.gradient(y)


class ScaledResolvable(Scaled):
    """factor g for quadrature."""

    g: Resolvable

    def excess(self, centre: Array, offset: Array) -> Array:
        """The difference of values at centre + offset and centre, shape (...)."""
        if isinstance(self.g, Expandable):
            return self.factor * self.g.excess(centre, offset)
        return self.factor * (self.g(centre + offset) - self.g(centre))

    def support(
        self, mean: Array, cov: Array, sign: int, drop: float
    ) -> tuple[Array, Array]:
        """A box that holds the mass of exp(sign factor g) N(mean, cov)."""
        box: tuple[Array, Array] = self.g.support(
            mean, self.factor * cov, sign, drop / self.factor
        )
        return box

    def feature_length(self, lower: Array, upper: Array) -> Array:
        """That of g, less where the factor is above 1, shape (d,)."""
        return self.g.feature_length(lower, upper) / max(1.0, self.factor)


@dataclass(frozen=True)
class _Law:
    """log Z, moments and mean slope of e^{-g} phi_{x,tau} at points x, each (n,)."""

    log_mass: Array
    mean: Array
    variance: Array
    slope: Array
    size: Array  # the root mean square of the slope

    def distance(self, other: "_Law", scale: float) -> float:
        """The largest difference; of means and slopes by their magnitudes."""
        slope = np.abs(self.slope - other.slope) / np.maximum(self.size, 1 / scale)
        mean = np.abs(self.mean - other.mean) / np.maximum(np.abs(self.mean), scale)
        mass = np.abs(self.log_mass - other.log_mass)
        return float(max(mass.max(), mean.max(), slope.max()))


class Smoothed:
    """F_tau[g] of a loss of one variable, by the trapezoidal rule.

    All points of a call share one grid: from the lower end of the box that holds the
    mass around the least point to the upper end of that around the greatest.  As z
    given y has a density e^{-g(z)} N(z; y, tau), whose ratios for two y are monotone in
    z, the boxes in between lie within.
    """

    d = 1

    def __init__(self, g: Resolvable, tau: float, form: Form | None = None) -> None:
        self.g, self.tau, self.form = g, tau, form
        # the value and the gradient at the same points, asked for one after the other
        self._laws = lru_cache(maxsize=2)(self._integrate)

    def __call__(self, y: Any) -> Array:
        """F_tau[g] at points (..., 1), shape (...)."""
        y = as_points("y", y, 1)
        return np.asarray(-self._law(y.ravel()).log_mass.reshape(y.shape[:-1]))[()]

    def gradient(self, y: Any) -> Array:
        """(y - E_q z) / tau = E_q grad g, the one that rounds less, shape (..., 1)."""
        y = as_points("y", y, 1)
        x = y.ravel()
        law = self._law(x)
        by_mean = (x - law.mean) / self.tau
        if self.form == "mean":
            return by_mean.reshape(y.shape)
        if self.form == "gradient":
            return law.slope.reshape(y.shape)
        rounding = (np.abs(x) + np.abs(law.mean)) / self.tau
        return np.where(law.size > rounding, by_mean, law.slope).reshape(y.shape)

    def support(
        self, mean: Array, cov: Array, sign: int, drop: float
    ) -> tuple[Array, Array]:
        """A box outside which exp(-F_tau[g]) N(mean, v) is below e^{-drop} of its top.

        N(z; y, tau) is at most sqrt(2) e^{-(z - y)^2 / 4 tau} times N(z; y, 2 tau).
        With t = 2 tau the exponent is at most log(2) / 2 less the minimum over z of ::

            g(z) + (z - y)^2 / 2t + (y - x)^2 / 2v = R(z) + (y - m(z))^2 / 2C,
            R(z) = g(z) + (z - x)^2 / 2(t + v),

        with m(z) = x + v (z - x) / (t + v) and C = t v / (t + v).  So y is outside if
        it is farther than sqrt(2 C room) from m of the box in which R exceeds its
        minimum by less than the room.  What the exponent reaches is known at one point.
        """
        del sign
        x, v = float(mean[0]), float(cov[0, 0])
        t = 2 * self.tau
        share = v / (t + v)
        lowest, at = self._lowest(mean, t + v)
        y = x + share * (at - x)
        reached = float(self(np.array([y]))) + 0.5 * (y - x) ** 2 / v
        room = drop + reached - lowest + 1
        lower, upper = self.g.support(mean, (t + v) * np.eye(1), -1, room)
        lower, upper = mean + share * (lower - mean), mean + share * (upper - mean)
        margin = np.sqrt(2 * share * t * room)
        return lower - margin, upper + margin

    def _lowest(self, mean: Array, variance: float) -> tuple[float, float]:
        """The least value of g(z) + (z - x)^2 / 2 variance on a fine grid, and where.

        On steps of a quarter of a feature it is right to about 0.1.
        """
        lower, upper = self.g.support(mean, variance * np.eye(1), -1, 1.0)
        z = _nodes(self.g, lower, upper, variance)
        values = self.g(z[:, None]) + 0.5 * (z - mean[0]) ** 2 / variance
        best = int(np.argmin(values))
        return float(values[best]), float(z[best])

    def feature_length(self, lower: Array, upper: Array) -> Array:
        """That of exp(-F_tau[g]) in the box, shape (1,).

        It is at most e^{t^2 / 2 tau} times as large at distance t from the real axis,
        and its ratio to that bound is the characteristic function of z given y at t /
        tau, at least 1/2 as long as t sd(z | y) <= tau.  There F_tau[g] has no
        singularity.
        """
        strip = self.tau / np.sqrt(self._largest_variance(lower[0], upper[0]))
        growth = strip**2 / (2 * self.tau)

        def rise(t: Array) -> Array:
            return np.where(t <= 1, growth * t * t, np.inf)

        return np.array([strip * resolving_length(1.0, rise)])

    def _largest_variance(self, lower: float, upper: float) -> float:
        """A bound of Var(z | y) for lower <= y <= upper.

        Moving y by s multiplies the density of z by e^{s z / tau}, up to a constant: on
        a box of width R no more than e^{|s| R / tau} either way.  So the variances at
        points y with steps tau / R, and a factor of e^{1/2}, will do.
        """
        pieces = np.clip(np.ceil((upper - lower) / (4 * np.sqrt(self.tau))), 1, 32)
        boxes = np.array(
            [self._box(y) for y in np.linspace(lower, upper, int(pieces) + 1)]
        )
        widest = float((boxes[1:, 1] - boxes[:-1, 0]).max())
        count = _affordable(np.ceil((upper - lower) * widest / self.tau)) + 1
        spread = self._law(np.linspace(lower, upper, count)).variance
        return float(np.exp(0.5) * spread.max())

    def _box(self, y: float) -> tuple[float, float]:
        """The box that holds the mass of z given y."""
        cov = self.tau * np.eye(1)
        lower, upper = self.g.support(np.array([y]), cov, -1, quadrature.DROP)
        return float(lower[0]), float(upper[0])

    def _law(self, x: Array) -> _Law:
        return self._laws(x.tobytes())

    def _integrate(self, points: bytes) -> _Law:
        """The law of z given every y of these points, (n,) numbers as bytes."""
        x = np.frombuffer(points)
        lower = np.array([self._box(float(x.min()))[0]])
        upper = np.array([self._box(float(x.max()))[1]])
        z = _nodes(self.g, lower, upper, self.tau)
        half_step = (z[1] - z[0]) / 2
        first, second = self._on_grid(x, z), self._on_grid(x, z + half_step)
        error = first.distance(second, np.sqrt(self.tau))
        scale = max(1.0, float(np.abs(first.log_mass).max()))
        allowed = quadrature.TOLERANCE + 16 * np.finfo(float).eps * scale
        if not error <= min(allowed, quadrature.LARGEST_TOLERANCE):
            raise Unresolved(
                "two rules for a local entropy of a local entropy differ by "
                f"{error:.2g}, more than {allowed:.2g}"
            )
        return first

    def _on_grid(self, x: Array, z: Array) -> _Law:
        if x.size * z.size > quadrature.MAX_NODES:
            raise Unresolved(
                f"a local entropy of a local entropy at {x.size} points needs {z.size} "
                f"nodes for each, beyond the budget of {quadrature.MAX_NODES} in all"
            )
        value, slope = self.g(z[:, None]), self.g.gradient(z[:, None])[:, 0]
        log_step = np.log(z[1] - z[0]) - 0.5 * np.log(2 * np.pi * self.tau)
        rows = max(1, _BLOCK // z.size)
        parts = []
        for some in (x[i : i + rows] for i in range(0, x.size, rows)):
            exponent = -value - 0.5 * (z - some[:, None]) ** 2 / self.tau
            top = exponent.max(axis=1)
            weights = np.exp(exponent - top[:, None])
            mass = weights.sum(axis=1)
            weights /= mass[:, None]
            log_mass = top + np.log(mass)
            mean, mean_slope, square = (
                weights @ np.stack([z, slope, slope * slope], axis=1)
            ).T
            variance = (weights * (z - mean[:, None]) ** 2).sum(axis=1)
            columns = [log_mass + log_step, mean, variance, mean_slope, np.sqrt(square)]
            parts.append(np.array(columns))
        log_mass, mean, variance, mean_slope, size = np.concatenate(parts, axis=1)
        return _Law(log_mass, mean, variance, mean_slope, size)


def _nodes(g: Resolvable, lower: Array, upper: Array, variance: float) -> Array:
    """Equidistant nodes around the box that resolve g and a Gaussian."""
    length = g.feature_length(lower, upper)
    step = 0.25 / np.sqrt(1 / length[0] ** 2 + 1 / (FULL_WIDTH**2 * variance))
    count = _affordable(np.ceil((upper[0] - lower[0]) / step))
    return np.asarray(lower[0] + step * np.arange(-1, count + 2))


def _affordable(count: float) -> int:
    """A number of nodes, if it is within the budget."""
    if not count <= quadrature.MAX_NODES:
        raise Unresolved(
            f"resolving the smallest features needs {count:.3g} nodes, beyond the "
            f"budget of {quadrature.MAX_NODES}"
        )
    return int(count)
