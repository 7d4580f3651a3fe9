"""The four schedules of the paper, as frozen records.

Inner steps j count from 1 and weight updates k from 0.  A schedule is called with one
index or an array of them.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refimpl.arrays import (
    Array,
    as_array,
    as_count,
    as_scalar,
    as_steps,
    as_variance,
)
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
        object.__setattr__(self, "value", as_variance("value", self.value))

    def __call__(self, j: Any) -> Any:
        return self.value * np.ones_like(_indices("j", j))[()]


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
        object.__setattr__(self, "c", as_scalar("c", self.c))
        if not self.c > -1:
            raise InvalidParameter(f"c must exceed -1, so that c + j > 0, got {self.c}")

    def __call__(self, j: Any) -> Any:
        with np.errstate(divide="ignore", over="ignore"):  # whoever asks judges
            return 1.0 / (self.c + _indices("j", j))[()]


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
        object.__setattr__(self, "c", as_variance("c", self.c))
        name = "alpha (the minus of E7 is built in)"
        object.__setattr__(self, "alpha", as_variance(name, self.alpha))

    def __call__(self, j: Any) -> Any:
        with np.errstate(divide="ignore", over="ignore"):  # whoever asks judges
            return self.c * (_indices("j", j) ** -self.alpha)[()]


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
        object.__setattr__(self, "tau0", as_variance("tau0", self.tau0))
        object.__setattr__(self, "tau1", as_scalar("tau1", self.tau1))
        if not self.tau1 > -1:
            raise InvalidParameter(f"tau1 must exceed -1, got {self.tau1}")

    def __call__(self, k: Any) -> Any:
        power = _indices("k", k)
        with np.errstate(over="ignore"):  # `GibbsLaw` refuses an infinite tau
            return (self.tau0 * np.exp(-power * np.log1p(self.tau1)))[()]


def _indices(name: str, value: Any) -> Array:
    """Of steps, as float64; a schedule has no values before its beginning."""
    found = as_array(name, value)
    if (found < 0).any():
        raise InvalidParameter(f"{name} must not be negative, got {value!r}")
    return found


def steps(schedule: Schedule, J: int) -> Array:
    """The values at the inner steps 1, ..., J, shape (J,).

    Raises
    ------
    InvalidParameter
        Unless they are J finite positive numbers; it names the first step that is not.
    """
    as_schedule("schedule", schedule)
    with np.errstate(all="ignore"):  # judged below
        values = schedule(np.arange(1, as_count("J", J, least=0) + 1))
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
    if not callable(value) or isinstance(value, type):
        raise InvalidParameter(
            f"{name} must be a schedule such as Constant(0.1), got {value!r}"
        )
    schedule: Schedule = value
    return schedule
