"""The four schedules of the paper, as frozen records.

Inner steps j count from 1 and weight updates k from 0.  A schedule is called with one
index or an array of them.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refimpl.arrays import Array, as_scalar, as_steps, as_variance
from refimpl.errors import InvalidParameter


class Schedule(Protocol):
    """A positive number for every step."""

    def __call__(self, j: Any) -> Any:
        """The value at step j; arrays of steps give arrays of values."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same value at every step."""

    value: float

    def __post_init__(self) -> None:
        as_variance("value", self.value)

    def __call__(self, j: Any) -> Any:
        return self.value * np.ones_like(j, dtype=np.float64)[()]


@dataclass(frozen=True)
class Harmonic:
    """epsilon_j = 1/(c + j), the step sizes of Figures 4 to 8.

    Examples
    --------
    >>> float(Harmonic(1000)(24))
    0.0009765625
    """

    c: float

    def __post_init__(self) -> None:
        if not as_scalar("c", self.c) > -1:
            raise InvalidParameter(f"c must exceed -1, so that c + j > 0, got {self.c}")

    def __call__(self, j: Any) -> Any:
        return 1.0 / (self.c + np.asarray(j, dtype=np.float64))[()]


@dataclass(frozen=True)
class PowerLaw:
    """a_j = c j^(-alpha), the steps of Algorithm 5.

    E7: the paper prints c l^(+alpha), with which the steps grow.

    Examples
    --------
    >>> float(PowerLaw(0.5, 1.0)(4))
    0.125
    """

    c: float
    alpha: float

    def __post_init__(self) -> None:
        as_variance("c", self.c)
        as_variance("alpha", self.alpha)

    def __call__(self, j: Any) -> Any:
        return self.c * (np.asarray(j, dtype=np.float64) ** -self.alpha)[()]


@dataclass(frozen=True)
class Scoping:
    """tau(k) = tau0 / (1 + tau1)^k, equation (18), for k = 0, 1, ... (E13).

    A negative tau1 > -1 makes tau grow (E14).

    Examples
    --------
    >>> float(Scoping(1.5, 1.0)(2))
    0.375
    """

    tau0: float
    tau1: float

    def __post_init__(self) -> None:
        as_variance("tau0", self.tau0)
        if not as_scalar("tau1", self.tau1) > -1:
            raise InvalidParameter(f"tau1 must exceed -1, got {self.tau1}")

    def __call__(self, k: Any) -> Any:
        power = np.asarray(k, dtype=np.float64)
        with np.errstate(over="ignore"):  # `GibbsLaw` refuses an infinite tau
            return (self.tau0 * np.exp(-power * np.log1p(self.tau1)))[()]


def steps(schedule: Schedule, J: int) -> Array:
    """The values at the inner steps 1, ..., J, shape (J,).

    Raises
    ------
    InvalidParameter
        Unless they are J finite positive numbers; it names the first step that is not.
    """
    with np.errstate(all="ignore"):  # judged below
        values = schedule(np.arange(1, J + 1))
    values = as_steps("the schedule's values", values)
    if values.size != J:
        raise InvalidParameter(
            f"the schedule's values must have shape ({J},), got {values.shape}"
        )
    return values


def as_schedule(name: str, value: Any) -> Schedule:
    """A schedule, which a mere number is not.

    Raises
    ------
    InvalidParameter
        If it cannot be called.
    """
    if not callable(value):
        raise InvalidParameter(
            f"{name} must be a schedule such as Constant(0.1), got {value!r}"
        )
    schedule: Schedule = value
    return schedule
