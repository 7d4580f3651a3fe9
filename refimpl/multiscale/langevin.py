"""Nested Langevin dynamics for chains of local entropies: an extension, not published.

The reference is the random walk w_k ~ N(w_{k-1}, tau_k I), w_0 = x, and the energy is
f(w_d), as in `refimpl.multiscale.local_entropies`.  Level k moves in the field of the
deeper ones, whose force is the mean of a chain of their own::

    law of w_k given w_{k-1}:  exp(-V_k(w_k) / lambda_k) N(w_k; w_{k-1}, tau_k I),
    grad V_d = grad f,
    grad V_k(w) = lambda_{k+1} / tau_{k+1} (w - E[w_{k+1} | w]),   k < d.

Each law has the form (6), with the loss V_k / lambda_k; so each level is Algorithm 3 as
it stands (`refimpl.sgld`), with a loss whose gradient is what the chain below returns.
With d = 1 and temperature 1 it is Algorithm 3; with d levels it is Entropy-SGD nested d
times.  An update takes the product of the numbers of moves.

Forces are averaged here, not exponentials of energies as in multilevel Metropolis, and
no weight can dominate.  What is exact:

- On a quadratic f every move is affine with Gaussian noise, so that the outputs are
  Gaussian whatever the J and the steps; their means and variances follow from
  linear recursions.
- For any f the law tends to the multi-scale Gibbs law as the steps tend to 0 and the J
  to infinity, the deepest level first.
- At finite J the noise of the force makes level k hotter than lambda_k, and a mean that
  has not yet left its centre pulls too weakly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_count,
    as_generator,
    as_list,
    as_point,
    as_variance,
)
from refimpl.errors import InvalidParameter, NoClosedForm
from refimpl.interfaces import Loss, Projection, as_loss
from refimpl.laws import GibbsLaw
from refimpl.multiscale._tempered import scaled
from refimpl.multiscale.temperatures import Temperatures, as_temperatures
from refimpl.sgld import SGLD


@dataclass(frozen=True)
class NestedLangevin:
    """An estimator of E[w_1 | x], and so of grad V_0.

    Parameters
    ----------
    taus : sequence of float
        tau_1, ..., tau_d, variances.
    temperatures : Temperatures
    chains : sequence of SGLD
        For each level its number of states and its step sizes, variances of the noise:
        a step epsilon moves by -epsilon / 2 lambda_k times the gradient at level k.  A
        chain with ``start="previous"`` goes on from its last state whenever the level
        above has moved.

    Raises
    ------
    InvalidParameter
        If there are not as many of each, or they are something else.

    References
    ----------
    (5) of the multi-scale Gibbs law, with Algorithm 3 at each level.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> from refimpl.schedules import Constant
    >>> estimate = NestedLangevin(
    ...     (0.3, 0.5),
    ...     Temperatures((0.8, 0.25)),
    ...     (SGLD(400, Constant(0.1)), SGLD(100, Constant(0.1))),
    ... )
    >>> f, x = Quadratic(2.0, [0.7]), np.array([-0.4])
    >>> found = estimate.mean(f, x, rng=np.random.default_rng(0))
    >>> bool(abs(found[0] - -0.2565) < 0.3)  # E[w_1 | x]
    True
    """

    taus: Sequence[float]
    temperatures: Temperatures
    chains: Sequence[SGLD]

    def __post_init__(self) -> None:
        d = len(as_temperatures(self.temperatures))
        taus = tuple(
            as_variance("each of taus", one) for one in as_list("taus", self.taus)
        )
        chains = tuple(as_list("chains", self.chains))
        if len(taus) != d or len(chains) != d:
            raise InvalidParameter(
                f"there must be {d} taus and {d} chains, as there are temperatures, "
                f"got {len(taus)} and {len(chains)}"
            )
        if not all(isinstance(one, SGLD) for one in chains):
            raise InvalidParameter(f"chains must be SGLD, got {chains!r}")
        object.__setattr__(self, "taus", taus)
        object.__setattr__(self, "chains", chains)

    def mean(self, f: Loss, x: Any, *, rng: np.random.Generator) -> Array:
        """An estimate of E[w_1 | x], shape (d,).

        Parameters
        ----------
        f : Loss
            The energy of w_d.
        x : array_like, shape (d,)
            The centre.
        rng : numpy.random.Generator

        Raises
        ------
        InvalidParameter
            For a bad centre or rng.
        NonFinite
            Where a chain overflows.
        """
        return self.replicates(f, x, 1, rng=rng)[0]

    def gradient(self, f: Loss, x: Any, *, rng: np.random.Generator) -> Array:
        """An estimate of grad V_0(x), lambda_1 / tau_1 (x - E[w_1 | x]), shape (d,)."""
        x = as_point("x", x, as_loss(f).d)
        scale = self.temperatures.levels[0] / self.taus[0]
        return scale * (x - self.mean(f, x, rng=rng))

    def replicates(self, f: Loss, x: Any, n: int, *, rng: np.random.Generator) -> Array:
        """n independent estimates of E[w_1 | x], moved side by side, shape (n, d)."""
        x = as_point("x", x, as_loss(f).d)
        centres = np.tile(x, (as_count("n", n), 1))
        return self._outputs(0, f, centres, as_generator("rng", rng), _Memory())[0]

    def _outputs(
        self,
        k: int,
        f: Loss,
        centres: Array,
        rng: np.random.Generator,
        memory: "_Memory",
    ) -> tuple[Array, "_Memory"]:
        """What the chains of level k + 1 return around centres (n, d), shape (n, d).

        The points stand one after the other in a single chain of n d coordinates.
        """
        g: Loss
        if k + 1 == len(self.chains):
            g = scaled(f, 1 / self.temperatures.levels[k])
            field: Any = _SideBySide(g, len(centres))
        else:
            field = _Force(self, k, f, centres.shape, rng, memory.below)
        q = GibbsLaw(field, centres.ravel(), self.taus[k])
        found = self.chains[k](q, rng=rng, previous=memory.last)
        below = field.memory if isinstance(field, _Force) else None
        return found.x.reshape(centres.shape), _Memory(found, below)


@dataclass(frozen=True)
class _Memory:
    """Where the chains of a level and of those below it were left."""

    last: Projection | None = None
    below: "_Memory | None" = None


class _SideBySide:
    """The sum of a loss over n points, as a loss of n d coordinates."""

    def __init__(self, f: Loss, n: int) -> None:
        self.f, self.d = f, n * f.d

    def __call__(self, y: Any) -> Array:
        y = np.asarray(y)
        return np.asarray(self.f(y.reshape(*y.shape[:-1], -1, self.f.d)).sum(axis=-1))

    def gradient(self, y: Any) -> Array:
        y = np.asarray(y)
        points = y.reshape(*y.shape[:-1], -1, self.f.d)
        return np.asarray(self.f.gradient(points).reshape(y.shape))


class _Force:
    """V_k / lambda_k, k being the level above the chains that give its gradient."""

    def __init__(
        self,
        method: NestedLangevin,
        k: int,
        f: Loss,
        shape: tuple[int, ...],
        rng: np.random.Generator,
        memory: _Memory | None,
    ) -> None:
        self.method, self.k, self.f, self.rng = method, k, f, rng
        self.shape, self.d = shape, int(np.prod(shape))
        self.memory = memory or _Memory()

    def __call__(self, y: Any) -> Array:
        del y
        raise NoClosedForm("nested chains know the force of a level, not its energy")

    def gradient(self, y: Array) -> Array:
        """lambda_{k+1} / (lambda_k tau_{k+1}) (y - mean of the chains at y)."""
        centres = np.reshape(y, self.shape)
        below = self.k + 1
        means, self.memory = self.method._outputs(
            below, self.f, centres, self.rng, self.memory
        )
        theta = self.method.temperatures.exponents[self.k]
        pull = theta / self.method.taus[below] * (centres - means)
        return np.asarray(pull.reshape(np.shape(y)))
