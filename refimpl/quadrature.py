"""Integrals against Gaussians for losses without a closed form, d <= 3.

The trapezoidal rule on a box that holds the mass, with a step that resolves every
feature of the integrand: along each axis the loss states its smallest feature length
l, the Gaussian adds its own, 3.24 / sqrt(precision), and

    1 / step^2 = sum over the features of (4 / l)^2.

For e^{-U} whose curvature along the axis is at most L the aliasing error of a step h
is at most about exp(-2 pi^2 / (h^2 L)) of the integral, here e^{-30}.

The rule is evaluated on two grids, the second moved by another fraction of a step along
every axis, so that whatever is aliased differs between them.  Their mean is the answer
and their difference the error estimate.  Where the grid would exceed the budget, or the
estimate the tolerance, there is an exception and no answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from refimpl.arrays import Array, require_finite
from refimpl.errors import NoClosedForm, Unresolved
from refimpl.interfaces import Expandable, Loss, Resolvable, TwiceDifferentiable
from refimpl.losses._features import FULL_WIDTH

DROP = 36.0
"""Where the integrand is below exp(-DROP) of its maximum it is left out."""

MAX_NODES = 2**24
"""The budget of one integral, over both grids."""

TOLERANCE = 1e-10
"""The largest accepted error estimate, relative to the integrals' magnitudes."""

LARGEST_TOLERANCE = 1e-7
"""The same where the rounding of f's differences on the grid must be allowed for."""

SHIFTS = np.array([0.5, 0.3, 0.1])
"""By how many steps the second grid is moved along each axis: any alias that has few
wavelengths per step changes its phase by 36 degrees or more."""

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
    centre, shift = grid.centre, grid.centre - mean
    precision = np.linalg.inv(cov)
    pull = precision @ shift
    _, log_det = np.linalg.slogdet(2 * np.pi * cov)
    pairs = np.triu_indices(d)

    def integrand(offset: Array) -> _Values:
        rise = sign * _excess(f, centre, offset)
        half_square = 0.5 * ((offset @ precision) * offset).sum(axis=-1)
        slope = f.gradient(centre + offset)
        square = (slope * slope).sum(axis=-1, keepdims=True)
        products = offset[:, pairs[0]] * offset[:, pairs[1]]
        columns = np.concatenate([offset, products, slope, square], axis=1)
        return _Values(rise - half_square - offset @ pull, columns, np.abs(rise))

    base = sign * float(f(centre)) - 0.5 * float(shift @ pull)
    narrow = np.diagonal(precision)
    floors = [*np.zeros(d + len(pairs[0])), *np.sqrt(narrow), narrow.sum()]
    log_sum, ratios, error = grid.ratios(integrand, np.array(floors))
    moved, products, slope, mean_square = np.split(
        ratios, [d, d + len(pairs[0]), 2 * d + len(pairs[0])]
    )
    second_moment = np.empty((d, d))
    second_moment[pairs] = products
    second_moment.T[pairs] = products
    log_mass = base + log_sum + np.log(grid.cell) - 0.5 * float(log_det)
    return GibbsMoments(
        require_finite(log_mass, "the logarithm of the mass of exp(-f) phi"),
        centre + moved,
        second_moment - np.outer(moved, moved),
        slope,
        float(np.sqrt(mean_square[0])),
        error,
    )


def _excess(f: Loss, centre: Array, offset: Array) -> Array:
    """f(centre + offset) - f(centre)."""
    if isinstance(f, Expandable):
        return f.excess(centre, offset)
    return f(centre + offset) - f(centre)


def gaussian_average(f: Loss, mean: Array, cov: Array) -> float:
    """The integral of f N(mean, cov); arguments and errors as in `gibbs_moments`."""
    f = _resolvable(f)
    return float(_gaussian_ratios(f, mean, cov, lambda y: f(y)[:, None], np.ones(1))[0])


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
    slopes = 1 / np.sqrt(np.diagonal(cov))
    floors = np.array([1.0, *slopes, *np.outer(slopes, slopes).ravel()])
    ratios = _gaussian_ratios(f, mean, cov, jet, floors)
    return float(ratios[0]), ratios[1 : d + 1], ratios[d + 1 :].reshape(d, d)


def _gaussian_ratios(
    f: Resolvable,
    mean: Array,
    cov: Array,
    columns: Callable[[Array], Array],
    floors: Array,
) -> Array:
    """Averages of columns over N(mean, cov).

    Features count within three standard deviations.  Let the strip shrink at most like
    1 / (a + b z) at z of them; an aliasing error made there weighs exp(-z^2 / 2), and
    30 (a + 3 b) / (a + b z) + z^2 / 2 > 30 for every z >= 0.
    """
    sd = np.sqrt(np.diagonal(cov))
    half = np.sqrt(2 * DROP) * sd
    length = f.feature_length(mean - 3 * sd, mean + 3 * sd)
    grid = _grid(length, mean - half, mean + half, cov)
    precision = np.linalg.inv(cov)

    def integrand(offset: Array) -> _Values:
        half_square = 0.5 * ((offset @ precision) * offset).sum(axis=-1)
        return _Values(-half_square, columns(mean + offset), np.zeros(1))

    return grid.ratios(integrand, floors)[1]


def _resolvable(f: Loss) -> Resolvable:
    if f.d > 3:
        raise NoClosedForm(
            f"{type(f).__name__} has no closed form of this integral, and quadrature "
            f"serves d <= 3, not d = {f.d}"
        )
    if not isinstance(f, Resolvable):
        wanted = ("support", "feature_length")
        missing = " and ".join(name for name in wanted if not hasattr(f, name))
        raise NoClosedForm(
            f"{type(f).__name__} has no closed form of this integral; for quadrature "
            f"it must say where to look and how finely, it lacks {missing}"
        )
    return f


@dataclass(frozen=True)
class _Values:
    """Logarithms of weights (n,), columns to be averaged (n, m), sizes of f's rise."""

    exponent: Array
    columns: Array
    rise: Array


@dataclass(frozen=True)
class _Sums:
    """Sums of weights and of weighted columns, the weights divided by exp(top)."""

    top: float
    mass: float
    columns: Array
    sizes: Array  # the same with every column's magnitude
    rise: float  # the largest |f - f(centre)| on the grid


@dataclass(frozen=True)
class _Grid:
    """Two product grids, as offsets from a centre."""

    centre: Array
    step: Array
    counts: Array  # half-widths in steps, per axis

    @property
    def cell(self) -> float:
        return float(self.step.prod())

    def ratios(
        self, integrand: Callable[[Array], _Values], floors: Array
    ) -> tuple[float, Array, float]:
        """log of the sum of weights, the columns' averages, the error estimate.

        A column is judged on the scale of its magnitude, or of its floor (m,) if that
        is larger: 1 for f, 1 / sd for a slope.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # judged on the way
            first, second = (
                _accumulate(integrand(block) for block in self._blocks(shift))
                for shift in (np.zeros(3), SHIFTS)
            )
            return _combine(first, second, floors)

    def _blocks(self, shift: Array) -> Iterator[Array]:
        """All offsets of one grid, at most `_BLOCK` at a time, shape (n, d)."""
        axes = [
            step * (np.arange(-n, n + 1) + s)
            for step, n, s in zip(self.step, self.counts, shift, strict=False)
        ]
        sizes = [axis.size for axis in axes]
        total = int(np.prod(sizes))
        for start in range(0, total, _BLOCK):
            flat = np.arange(start, min(start + _BLOCK, total))
            indices = np.unravel_index(flat, sizes)
            yield np.stack([a[i] for a, i in zip(axes, indices, strict=True)], axis=1)


def _grid(length: Array, lower: Array, upper: Array, cov: Array) -> _Grid:
    axis_precision = np.diagonal(np.linalg.inv(cov))
    step = 0.25 / np.sqrt(1 / length**2 + axis_precision / FULL_WIDTH**2)
    counts = np.ceil((upper - lower) / 2 / step)
    nodes = 2 * (2 * counts + 1).prod()
    if not nodes <= MAX_NODES:
        raise Unresolved(
            f"resolving the loss's smallest features needs {nodes:.3g} nodes, beyond "
            f"the budget of {MAX_NODES}"
        )
    return _Grid((lower + upper) / 2, step, counts.astype(np.int64))


def _accumulate(blocks: Iterator[_Values]) -> _Sums:
    top, mass, rise = -np.inf, 0.0, 0.0
    columns: Array = np.zeros(1)
    sizes: Array = np.zeros(1)
    for block in blocks:
        require_finite(block.columns, "the loss or its gradient on the quadrature grid")
        require_finite(block.exponent, "the loss on the quadrature grid")
        peak = max(top, float(block.exponent.max()))
        scale = np.exp(top - peak)
        weights = np.exp(block.exponent - peak)
        mass = scale * mass + float(weights.sum())
        columns = scale * columns + weights @ block.columns
        sizes = scale * sizes + weights @ np.abs(block.columns)
        top, rise = peak, max(rise, float(block.rise.max()))
    return _Sums(top, mass, columns, sizes, rise)


def _combine(first: _Sums, second: _Sums, floors: Array) -> tuple[float, Array, float]:
    """log of the mass, the mean ratios, and the checked error estimate.

    The mass is judged through its logarithm, each average on the scale of its own
    magnitude.  Where f rises much over the grid its rounding is allowed for.
    """
    gap = first.top - second.top + float(np.log(first.mass / second.mass))
    ratios = first.columns / first.mass, second.columns / second.mass
    sizes = (first.sizes / first.mass + second.sizes / second.mass) / 2
    gaps = np.abs(ratios[0] - ratios[1]) / np.maximum(sizes, floors)
    error = float(np.max([abs(gap), *gaps]))  # NaN if any of them is
    rounding = 16 * np.finfo(float).eps * max(first.rise, second.rise)
    allowed = min(TOLERANCE + rounding, LARGEST_TOLERANCE)
    if not error <= allowed:
        raise Unresolved(
            f"two quadrature rules differ by {error:.2g}, more than {allowed:.2g}: the "
            "loss has smaller features than it states, or too large values to be "
            "resolved in double precision"
        )
    log_mass = second.top + float(np.log(second.mass)) + gap / 2
    return log_mass, (ratios[0] + ratios[1]) / 2, error
