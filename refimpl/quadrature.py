"""Integrals against Gaussians for losses without a closed form, d <= 3.

The trapezoidal rule on a box that holds the mass, with a step that resolves every
feature of the integrand: along each axis the loss states its smallest feature length
l, the Gaussian adds its full width at half maximum, 2.355 / sqrt(precision), and

    1 / step^2 = sum over the features of (4 / l)^2.

For e^{-U} whose curvature along the axis is at most L the aliasing error of a step h
is at most about exp(-2 pi^2 / (h^2 L)) of the integral, here e^{-57}.  The rule is
evaluated on two grids, one shifted by half a step along every axis.  Their mean is the
answer and their difference, far larger than the error of the mean, the error estimate.
Where the grid would exceed the budget, or the estimate the tolerance, there is an
exception and no answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from refimpl.arrays import Array, require_finite
from refimpl.errors import NoClosedForm, Unresolved
from refimpl.interfaces import Loss, Resolvable, TwiceDifferentiable

DROP = 42.0
"""Where the integrand is below exp(-DROP) of its maximum it is left out."""

MAX_NODES = 2**24
"""The budget of one integral, over both grids."""

TOLERANCE = 1e-10
"""The largest accepted error estimate, relative to the integrals' magnitudes."""

_BLOCK = 2**15


@dataclass(frozen=True)
class GibbsMoments:
    """Integrals against the normalised density of exp(sign f) N(mean, cov).

    Attributes
    ----------
    log_mass : float
        log of the integral of exp(sign f) N(mean, cov).
    mean : ndarray, shape (d,)
    covariance : ndarray, shape (d, d)
    mean_gradient : ndarray, shape (d,)
        The average of the gradient of f.
    gradient_size : float
        Its root mean square norm: the scale of rounding in `mean_gradient`.
    error : float
        The error estimate of all of them, relative to their magnitudes.
    """

    log_mass: float
    mean: Array
    covariance: Array
    mean_gradient: Array
    gradient_size: float
    error: float


def gibbs_moments(f: Loss, mean: Array, cov: Array, sign: int = -1) -> GibbsMoments:
    """The moments of exp(sign f) N(mean, cov), for sign -1 those of q.

    Parameters
    ----------
    f : Resolvable
    mean : ndarray, shape (d,)
    cov : ndarray, shape (d, d)

    Raises
    ------
    NoClosedForm
        If f does not say where to look, or d > 3.
    Unresolved
        If the budget of nodes or the tolerance is exceeded.
    """
    f = _resolvable(f)
    d = mean.size
    lower, upper = f.support(mean, cov, sign, DROP)
    grid = _grid(f.feature_length(lower, upper), lower, upper, cov)
    precision = np.linalg.inv(cov)
    _, log_det = np.linalg.slogdet(2 * np.pi * cov)
    pairs = np.triu_indices(d)

    def integrand(offset: Array) -> tuple[Array, Array]:
        y = grid.centre + offset
        shift = y - mean
        half_square = 0.5 * ((shift @ precision) * shift).sum(axis=-1)
        slope = f.gradient(y)
        square = (slope * slope).sum(axis=-1, keepdims=True)
        products = offset[:, pairs[0]] * offset[:, pairs[1]]
        columns = np.concatenate([offset, products, slope, square], axis=1)
        return sign * f(y) - half_square, columns

    first, second = grid.sums(integrand)
    log_mass, ratios, error = _combine(first, second)
    shift, products, slope, mean_square = np.split(
        ratios, [d, d + len(pairs[0]), 2 * d + len(pairs[0])]
    )
    second_moment = np.empty((d, d))
    second_moment[pairs] = products
    second_moment.T[pairs] = products
    log_mass += np.log(grid.cell) - 0.5 * float(log_det)
    return GibbsMoments(
        require_finite(log_mass, "the logarithm of the mass of exp(-f) phi"),
        require_finite(grid.centre + shift, "the mean of q"),
        require_finite(second_moment - np.outer(shift, shift), "the covariance of q"),
        require_finite(slope, "the mean gradient under q"),
        float(np.sqrt(mean_square[0])),
        error,
    )


def gaussian_average(f: Loss, mean: Array, cov: Array) -> float:
    """The integral of f N(mean, cov); arguments and errors as in `gibbs_moments`."""
    f = _resolvable(f)
    ratios = _gaussian_ratios(f, mean, cov, lambda y: f(y)[:, None])
    return float(require_finite(ratios[0], "the average of f over a Gaussian"))


def gaussian_jet(f: Loss, mean: Array, cov: Array) -> tuple[float, Array, Array]:
    """The averages over N(mean, cov) of f, its gradient (d,) and its Hessian (d, d).

    They are the value and derivatives at `mean` of the smoothed loss.

    Raises
    ------
    NoClosedForm, Unresolved
        As `gibbs_moments`; also if f has no `hessian`.
    """
    f = _resolvable(f)
    if not isinstance(f, TwiceDifferentiable):
        raise NoClosedForm(f"{type(f).__name__} has no second derivatives")
    hessian = f.hessian

    def jet(y: Array) -> Array:
        curvature = hessian(y).reshape(len(y), -1)
        return np.concatenate([f(y)[:, None], f.gradient(y), curvature], axis=1)

    d = mean.size
    ratios = _gaussian_ratios(f, mean, cov, jet)
    require_finite(ratios, "the average of f over a Gaussian")
    return float(ratios[0]), ratios[1 : d + 1], ratios[d + 1 :].reshape(d, d)


def _gaussian_ratios(
    f: Resolvable, mean: Array, cov: Array, columns: Callable[[Array], Array]
) -> Array:
    """Averages of columns over N(mean, cov).

    Features count within five standard deviations: an aliasing error made at z of
    them weighs exp(-z^2 / 2), which from there on outruns the growth of the features.
    """
    sd = np.sqrt(np.diagonal(cov))
    half = np.sqrt(2 * DROP) * sd
    length = f.feature_length(mean - 5 * sd, mean + 5 * sd)
    grid = _grid(length, mean - half, mean + half, cov)
    precision = np.linalg.inv(cov)

    def integrand(offset: Array) -> tuple[Array, Array]:
        half_square = 0.5 * ((offset @ precision) * offset).sum(axis=-1)
        return -half_square, columns(mean + offset)

    return _combine(*grid.sums(integrand))[1]


def _resolvable(f: Loss) -> Resolvable:
    if f.d > 3:
        raise NoClosedForm(
            f"{type(f).__name__} has no closed form of this integral, and quadrature "
            f"serves d <= 3, not d = {f.d}"
        )
    if not isinstance(f, Resolvable):
        raise NoClosedForm(
            f"{type(f).__name__} has no closed form of this integral; for quadrature "
            "it must say where to look and how finely (support, feature_length)"
        )
    return f


@dataclass(frozen=True)
class _Sums:
    """Sums of weights and of weighted columns, the weights divided by exp(top)."""

    top: float
    mass: float
    columns: Array
    sizes: Array  # the same with every column's magnitude


@dataclass(frozen=True)
class _Grid:
    """Two interleaved product grids, as offsets from a centre."""

    centre: Array
    step: Array
    counts: Array  # half-widths in steps, per axis

    @property
    def cell(self) -> float:
        return float(self.step.prod())

    def sums(
        self, integrand: Callable[[Array], tuple[Array, Array]]
    ) -> tuple[_Sums, _Sums]:
        """The sums over the plain grid and over the one half a step away."""
        first, second = (
            _accumulate(integrand(block) for block in self._blocks(shift))
            for shift in (0.0, 0.5)
        )
        return first, second

    def _blocks(self, shift: float) -> Iterator[Array]:
        """All offsets of one grid, at most `_BLOCK` at a time, shape (n, d)."""
        axes = [
            step * (np.arange(-n, n + 1) + shift)
            for step, n in zip(self.step, self.counts, strict=True)
        ]
        sizes = [axis.size for axis in axes]
        total = int(np.prod(sizes))
        for start in range(0, total, _BLOCK):
            flat = np.arange(start, min(start + _BLOCK, total))
            indices = np.unravel_index(flat, sizes)
            yield np.stack([a[i] for a, i in zip(axes, indices, strict=True)], axis=1)


def _grid(length: Array, lower: Array, upper: Array, cov: Array) -> _Grid:
    axis_precision = np.diagonal(np.linalg.inv(cov))
    step = 0.25 / np.sqrt(1 / length**2 + axis_precision / 2.355**2)
    counts = np.ceil((upper - lower) / 2 / step)
    nodes = 2 * (2 * counts + 1).prod()
    if not nodes <= MAX_NODES:
        raise Unresolved(
            f"resolving the loss's smallest features needs {nodes:.3g} nodes, beyond "
            f"the budget of {MAX_NODES}"
        )
    return _Grid((lower + upper) / 2, step, counts.astype(np.int64))


def _accumulate(blocks: Iterator[tuple[Array, Array]]) -> _Sums:
    top, mass = -np.inf, 0.0
    columns: Array = np.zeros(1)
    sizes: Array = np.zeros(1)
    for exponent, values in blocks:
        require_finite(values, "the loss or its gradient on the quadrature grid")
        peak = max(top, float(exponent.max()))
        if not np.isfinite(peak):
            require_finite(exponent, "the loss on the quadrature grid")
        scale = np.exp(top - peak)
        weights = np.exp(exponent - peak)
        mass = scale * mass + float(weights.sum())
        columns = scale * columns + weights @ values
        sizes = scale * sizes + weights @ np.abs(values)
        top = peak
    return _Sums(top, mass, columns, sizes)


def _combine(first: _Sums, second: _Sums) -> tuple[float, Array, float]:
    """log of the mean mass, the mean ratios, and the checked error estimate.

    The mass is judged through its logarithm, relative to the exponents; each average
    on the scale of its own magnitude.  A loss of large values there is noisy by as many
    units of rounding, which is allowed for.
    """
    top = max(first.top, second.top)
    masses = (
        first.mass * np.exp(first.top - top),
        second.mass * np.exp(second.top - top),
    )
    share = masses[0] / (masses[0] + masses[1])
    ratios = first.columns / first.mass, second.columns / second.mass
    sizes = share * first.sizes / first.mass + (1 - share) * second.sizes / second.mass
    gaps = np.abs(ratios[0] - ratios[1]) / np.maximum(sizes, np.finfo(float).tiny)
    mass_gap = abs(np.log(masses[0] / masses[1])) / max(1.0, abs(top))
    error = max(float(mass_gap), float(gaps.max()))
    allowed = TOLERANCE + 16 * np.finfo(float).eps * abs(top)
    if not error <= allowed:
        raise Unresolved(
            f"two interleaved quadrature rules differ by {error:.2g}, more than "
            f"{allowed:.2g}: the loss has smaller features than it states"
        )
    mean = share * ratios[0] + (1 - share) * ratios[1]
    return top + float(np.log((masses[0] + masses[1]) / 2)), mean, error
