"""What the parts of this package ask of one another.

A loss is anything with `f(y)`, `f.gradient(y)` and `f.d`.  What else it knows of
itself is one of the abilities below, recognised by the presence of the methods.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from refimpl.arrays import Array
from refimpl.errors import InvalidParameter

if TYPE_CHECKING:
    from refimpl.laws import GibbsLaw


@runtime_checkable
class Loss(Protocol):
    """A loss f : R^d -> R through its two doors.

    It computes as NumPy does, and so do all of its methods: what leaves the
    representable numbers is infinite or NaN, with NumPy's own warning.  The functions
    and estimators that ask it say so by an exception.
    """

    @property
    def d(self) -> int:
        """The number of parameters."""
        ...

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        ...

    def gradient(self, y: Any) -> Array:
        """The gradient of f at points (..., d), shape (..., d)."""
        ...


def as_loss(value: Any) -> Loss:
    """A loss, which a class of losses is not."""
    if not isinstance(value, Loss) or isinstance(value, type):
        raise InvalidParameter(
            "f must be a loss, with f(y), f.gradient(y) and f.d, got "
            f"{type(value).__name__}"
        )
    return value


def as_losses(values: Any) -> Iterator[Loss]:
    """Losses one by one, maybe without an end."""
    try:
        if isinstance(values, (str, bytes, Mapping)):
            raise TypeError
        return map(as_loss, values)
    except TypeError:
        raise InvalidParameter(
            f"losses must give one loss after the other, got {values!r}"
        ) from None


@runtime_checkable
class TwiceDifferentiable(Loss, Protocol):
    """A loss with second derivatives."""

    def hessian(self, y: Any) -> Array:
        """The Hessian of f at points (..., d), shape (..., d, d)."""
        ...


@runtime_checkable
class Conjugate(Loss, Protocol):
    """A loss whose local entropy and whose law q, (6), have a closed form.

    Points x are (..., d); tau is a variance, one number.
    """

    def local_entropy(self, x: Any, tau: float) -> Array:
        """F_tau, (2), shape (...)."""
        ...

    def local_entropy_gradient(self, x: Any, tau: float) -> Array:
        """The gradient of F_tau, shape (..., d), accurate for every tau."""
        ...

    def local_entropy_hessian(self, x: Any, tau: float) -> Array:
        """The Hessian of F_tau, shape (..., d, d), accurate for every tau."""
        ...

    def posterior_mean(self, x: Any, tau: float) -> Array:
        """E_q X, (15), shape (..., d)."""
        ...

    def posterior_covariance(self, x: Any, tau: float) -> Array:
        """Cov_q X, shape (..., d, d)."""
        ...

    def posterior_sample(
        self, x: Any, tau: float, n: int, rng: np.random.Generator
    ) -> Array:
        """n independent exact draws of q, x being (d,), shape (n, d)."""
        ...


@runtime_checkable
class GaussianAverages(Loss, Protocol):
    """A loss whose averages over Gaussians have a closed form, heat among them."""

    def gaussian_mean(self, mean: Any, cov: Any) -> Array:
        """The integral of f N(mean, cov); mean (..., d), cov one variance or (d, d)."""
        ...

    def heat(self, x: Any, tau: float) -> Array:
        """F^H_tau, shape (...)."""
        ...

    def heat_gradient(self, x: Any, tau: float) -> Array:
        """The gradient of F^H_tau, shape (..., d)."""
        ...

    def heat_hessian(self, x: Any, tau: float) -> Array:
        """The Hessian of F^H_tau, shape (..., d, d)."""
        ...


@runtime_checkable
class ExponentialAverages(Loss, Protocol):
    """A loss that knows the integral of exp(f) N(mean, cov), with q's part in (13)."""

    def log_mean_exp(self, mean: Any, cov: Any) -> float:
        """The log of that integral, mean (d,); +inf where the integral diverges."""
        ...


@runtime_checkable
class Proximable(Loss, Protocol):
    """A loss that knows step 2 of Algorithm 2 in closed form."""

    def heat_proximal_point(self, x: Any, tau: float) -> Array:
        """The minimiser of F^H_tau(y) + |y - x|^2 / 2 tau, shape (..., d)."""
        ...


@runtime_checkable
class Resolvable(Loss, Protocol):
    """A loss that tells quadrature where to look and how finely.

    For (13) it also needs ``exp_diverges(cov)``: whether the integral of
    exp(f) N(mean, cov) is surely infinite.
    """

    def support(self, mean: Array, cov: Array, sign: int, drop: float) -> Any:
        """A box (lower, upper) that holds the mass of exp(sign f) N(mean, cov).

        Outside it the integrand is below exp(-drop) of its maximum.
        """
        ...

    def feature_length(self, lower: Array, upper: Array) -> Array:
        """Per axis, the smallest length l over which f and exp(+-f) change there.

        A trapezoidal rule of step l/4 along an axis resolves them to 1e-13 (see
        `refimpl.quadrature`), shape (d,).
        """
        ...


@runtime_checkable
class Expandable(Loss, Protocol):
    """A loss that knows its own differences better than by subtraction."""

    def excess(self, centre: Array, offset: Array) -> Array:
        """f(centre + offset) - f(centre), centre (d,), offset (..., d)."""
        ...


@runtime_checkable
class Enclosed(Loss, Protocol):
    """A loss that encloses its proximal points better than by a lower bound."""

    def proximal_box(self, x: Array, tau: float) -> tuple[Array, Array]:
        """A box (lower, upper) with every minimiser of F^H(y) + |y - x|^2 / 2 tau."""
        ...


@runtime_checkable
class Bounded(Loss, Protocol):
    """A loss that bounds what a search for a proximal point must know of it."""

    def heat_curvature_bound(self, tau: float) -> float:
        """A lower bound of the least eigenvalue of the Hessian of F^H_tau."""
        ...

    def heat_lower_bound(self, tau: float) -> float:
        """A lower bound of F^H_tau."""
        ...


@runtime_checkable
class FiniteSum(Loss, Protocol):
    """A loss f = (1/N) sum f_i, (1), of which a minibatch is again a loss."""

    @property
    def N(self) -> int:
        """The number of examples."""
        ...

    def batch(self, indices: Any) -> Loss:
        """The mean over the examples with these indices."""
        ...


@runtime_checkable
class Reducible(Loss, Protocol):
    """A loss that sees part of the parameter space only."""

    @property
    def reduced(self) -> Any:
        """The loss on what it sees, a `refimpl.losses.reduced.Reduced`."""
        ...


@dataclass(frozen=True)
class Projection:
    """The mean of the best Gaussian for q: step 2 of Algorithms 1 and 2.

    Attributes
    ----------
    x : ndarray, shape (d,)
        x_{k+1}.
    info : object
        What the algorithm has to tell of itself; None when nothing.
    """

    x: Array
    info: Any = None


@dataclass(frozen=True)
class FlatLaw:
    """What an estimator returns in directions in which the loss is flat.

    Its output, and the positions that its `info` carries, are there jointly

        centre + start u_0 + N(0, covariance),

    u_0 being the start's offset from the centre; different directions are independent.

    Attributes
    ----------
    start : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
    """

    start: Array
    covariance: Array


class BestGaussian(Protocol):
    """Step 2 of Algorithms 1 and 2: both families answer this one call."""

    def __call__(
        self,
        q: "GibbsLaw",
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Projection:
        """The mean of the best Gaussian for q, in one argument of KL."""
        ...


class Estimator(BestGaussian, Protocol):
    """A `BestGaussian` that can run on what a loss sees and knows the rest.

    The `info` of its projections has ``positions``, a tuple of states (d,), and
    ``lifted(points, embed)``, the same with these positions, `embed` carrying
    differences into the whole space.
    """

    def first_state(self, q: "GibbsLaw", previous: Projection | None) -> Array:
        """Where it starts, shape (d,)."""
        ...

    def run(
        self, q: "GibbsLaw", *, rng: np.random.Generator, start: Array
    ) -> Projection:
        """Its projection from that start."""
        ...

    def flat_law(self, tau: float, info: Any) -> FlatLaw:
        """The law where f is flat, given what `info` tells of the run elsewhere."""
        ...


@dataclass(frozen=True)
class Iterate:
    """One weight update of a training loop.

    Attributes
    ----------
    k : int
        How many updates were made; x is x_k.
    x : ndarray, shape (d,)
    projection : Projection or None
        What step 2 returned; None for plain stochastic gradient descent.
    """

    k: int
    x: Array
    projection: Projection | None = None
