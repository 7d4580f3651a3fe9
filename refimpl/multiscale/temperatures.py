"""The temperatures of the levels, and the index of the multi-scale entropy.

Level 1 is the coarse one, level d the fine one.  The multi-scale relative entropy has
two forms, equal by the chain rule of the divergence::

    sum_k sigma_k KL(P_{<=k} || Q_{<=k}) = sum_k lambda_k K_k(P || Q),

with K_k(P || Q) the mean of KL(P_k(. | w_{<k}) || Q_k(. | w_{<k})) under P.  The index
sigma and the temperatures lambda determine each other::

    lambda_k = sigma_k + ... + sigma_d,    sigma_k = lambda_k - lambda_{k+1}.

Nothing is asked of the order of the temperatures: where they increase, the index is
negative.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from refimpl.arrays import as_parameters
from refimpl.errors import InvalidParameter


@dataclass(frozen=True)
class Temperatures:
    """lambda_1, ..., lambda_d, the coarse level first.

    Attributes
    ----------
    levels : tuple of float
        One positive temperature per level, in the unit of the energy.

    Raises
    ------
    InvalidParameter
        Unless `levels` is a vector of finite positive numbers, at least one.

    Examples
    --------
    >>> t = Temperatures.from_index([2.0, 1.0])
    >>> t.levels, t.index, t.exponents
    ((3.0, 1.0), (2.0, 1.0), (0.3333333333333333,))
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        levels = tuple(as_parameters("temperatures", self.levels).tolist())
        for k, level in enumerate(levels, start=1):
            if not level > 0:
                raise InvalidParameter(
                    f"temperatures must be positive, got {level} at level {k}"
                )
        object.__setattr__(self, "levels", levels)

    @classmethod
    def from_index(cls, sigma: Any) -> "Temperatures":
        """The temperatures of the index sigma, lambda_k = sigma_k + ... + sigma_d.

        Parameters
        ----------
        sigma : array_like, shape (d,)
            Of any sign, as long as every such sum is positive.
        """
        sigma = as_parameters("sigma", sigma).tolist()
        levels = tuple(_sum(sigma[k:]) for k in range(len(sigma)))
        if not all(0 < level < math.inf for level in levels):
            raise InvalidParameter(
                "the sums sigma_k + ... + sigma_d are temperatures and must be "
                f"positive and finite, got {levels}"
            )
        return cls(levels)

    @property
    def index(self) -> tuple[float, ...]:
        """sigma_k = lambda_k - lambda_{k+1}, with lambda_{d+1} = 0; shape (d,)."""
        below = (*self.levels[1:], 0.0)
        return tuple(a - b for a, b in zip(self.levels, below, strict=True))

    @property
    def exponents(self) -> tuple[float, ...]:
        """theta_k = lambda_{k+1} / lambda_k for k < d; shape (d - 1,)."""
        return tuple(b / a for a, b in pairwise(self.levels))

    def __len__(self) -> int:
        return len(self.levels)


def _sum(sigma: list[float]) -> float:
    """The sum, rounded once; infinite or NaN, which is refused, where it overflows."""
    try:
        return math.fsum(sigma)
    except OverflowError:
        return sum(sigma)


def as_temperatures(value: Any) -> Temperatures:
    """`value`, if it is a `Temperatures`.

    A plain list is refused: it could as well be the index.
    """
    if not isinstance(value, Temperatures):
        raise InvalidParameter(
            "temperatures must be Temperatures(levels) or Temperatures.from_index("
            f"sigma), got {type(value).__name__}"
        )
    return value
