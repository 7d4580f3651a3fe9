"""Reference laws Q of multi-scale regularisation, one conditional q_k a level.

A reference knows, for the levels k = 1, ..., d, the density of q_k(. | w_<k) up to a
factor that is the same for all w_<=k, and how to draw from it.  The published algorithm
has none: its reference is flat, which is no law, and nothing can be drawn from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refimpl.arrays import Array, as_array, as_list, as_variance
from refimpl.errors import InvalidParameter
from refimpl.multiscale import finite
from refimpl.multiscale.temperatures import Temperatures

Prefix = Sequence[Any]
"""w_<k: the levels above, coarse first."""


class Reference(Protocol):
    """What the algorithms ask of Q.

    How many levels it has it may say as `levels`.
    """

    def log_density(self, k: int, w: Any, above: Prefix) -> float:
        """log q_k(w | above), but for a constant common to all w and above."""
        ...

    def draw(self, k: int, above: Prefix, rng: np.random.Generator) -> Any:
        """One draw of q_k(. | above)."""
        ...


@dataclass(frozen=True)
class Flat:
    """Lebesgue measure, or counting: the published choice, improper where unbounded."""

    def log_density(self, k: int, w: Any, above: Prefix) -> float:
        """0 everywhere."""
        del k, w, above
        return 0.0

    def draw(self, k: int, above: Prefix, rng: np.random.Generator) -> Any:
        """Nothing can be drawn from it.

        Raises
        ------
        InvalidParameter
            Always.
        """
        del k, above, rng
        raise InvalidParameter(
            "the flat reference is no law: give a proper one to draw from it"
        )


@dataclass(frozen=True)
class Independent:
    """Levels that do not know of one another: w_k ~ N(mean_k, variance_k I).

    Parameters
    ----------
    means : sequence of array_like
        One for each level, in the level's shape.
    variances : sequence of float

    Examples
    --------
    >>> Q = Independent([[0.0], [1.0, 1.0]], [1.0, 0.5])
    >>> Q.log_density(2, np.array([2.0, 1.0]), [np.zeros(1)])
    -1.0
    """

    means: Sequence[Any]
    variances: Sequence[float]

    def __post_init__(self) -> None:
        means = tuple(as_array("a mean", one) for one in as_list("means", self.means))
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "variances", _variances(self.variances, len(means)))

    @property
    def levels(self) -> int:
        """d."""
        return len(self.means)

    def log_density(self, k: int, w: Any, above: Prefix) -> float:
        """-|w - mean_k|^2 / 2 variance_k."""
        del above
        return _half_square(k, w, self.means[k - 1], self.variances[k - 1])

    def draw(self, k: int, above: Prefix, rng: np.random.Generator) -> Array:
        """One draw, in the level's shape."""
        del above
        return _normal(self.means[k - 1], self.variances[k - 1], rng)


@dataclass(frozen=True)
class RandomWalk:
    """w_k ~ N(w_{k-1}, variance_k I) with w_0 = x: chains of local entropies.

    Parameters
    ----------
    x : array_like
        The centre, in the shape that all levels have.
    variances : sequence of float
        tau_1, ..., tau_d.
    """

    x: Any
    variances: Sequence[float]

    def __post_init__(self) -> None:
        variances = as_list("variances", self.variances)
        object.__setattr__(self, "x", as_array("x", self.x))
        object.__setattr__(self, "variances", _variances(variances, len(variances)))

    @property
    def levels(self) -> int:
        """d."""
        return len(self.variances)

    def log_density(self, k: int, w: Any, above: Prefix) -> float:
        """-|w - w_{k-1}|^2 / 2 tau_k."""
        return _half_square(k, w, self._centre(above), self.variances[k - 1])

    def draw(self, k: int, above: Prefix, rng: np.random.Generator) -> Array:
        """One draw, in the shape of x."""
        return _normal(self._centre(above), self.variances[k - 1], rng)

    def _centre(self, above: Prefix) -> Any:
        return above[-1] if len(above) else self.x


class Table:
    """A law on a finite product space, a d-way array; w_k is an index from 0.

    Parameters
    ----------
    probabilities : array_like, d axes
        All positive, with sum 1.

    Raises
    ------
    InvalidParameter
        If they are not.
    """

    def __init__(self, probabilities: Any) -> None:
        self.conditionals = log_conditionals(probabilities)
        self._cumulated = [np.cumsum(np.exp(q), axis=-1) for q in self.conditionals]

    @property
    def levels(self) -> int:
        """d."""
        return len(self.conditionals)

    def log_density(self, k: int, w: Any, above: Prefix) -> float:
        """log q_k(w | above), without a constant left out."""
        return float(self.conditionals[k - 1][(*above, w)])

    def draw(self, k: int, above: Prefix, rng: np.random.Generator) -> int:
        """One index."""
        row = self._cumulated[k - 1][tuple(above)]
        return min(int(np.searchsorted(row, rng.random(), "right")), row.size - 1)


def log_conditionals(probabilities: Any) -> list[Array]:
    """log q_1, ..., log q_d of a table; log q_k has the axes of w_<=k.

    Raises
    ------
    InvalidParameter
        If an entry is not positive or they do not sum to 1.
    """
    Q = as_array("reference", probabilities)
    if Q.ndim == 0 or not (Q > 0).all():
        raise InvalidParameter("reference must be a table of positive probabilities")
    return finite.log_conditionals(np.zeros_like(Q), Q, Temperatures((1.0,) * Q.ndim))


def _variances(values: Any, d: int) -> tuple[float, ...]:
    found = tuple(
        as_variance("a variance", one) for one in as_list("variances", values)
    )
    if len(found) != d:
        raise InvalidParameter(f"there must be {d} variances, got {len(found)}")
    return found


def require_levels(reference: Any, d: int) -> None:
    """A level for each of d temperatures, if the reference says how many it has.

    Raises
    ------
    InvalidParameter
        If it has another number of them.
    """
    levels = getattr(reference, "levels", d)
    if levels != d:
        raise InvalidParameter(
            f"there are {d} temperatures, and the reference has {levels} levels"
        )


def _half_square(k: int, w: Any, mean: Any, variance: float) -> float:
    if np.shape(w) != np.shape(mean):
        raise InvalidParameter(
            f"level {k} has shape {np.shape(w)}, in the reference {np.shape(mean)}"
        )
    with np.errstate(over="ignore"):  # no mass, then
        return -0.5 * float(np.sum(np.square(w - mean))) / variance


def _normal(mean: Array, variance: float, rng: np.random.Generator) -> Array:
    noise: Array = rng.standard_normal(np.shape(mean))
    return mean + np.sqrt(variance) * noise
