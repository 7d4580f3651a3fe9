"""Number carriers: one body of every formula, several kinds of numbers.

A carrier turns floats into its own numbers and knows the elementary functions, sums
and scalar products of them.  Its numbers support ``+ - * /`` among themselves and
with small integers, and comparison by value.  Written once over a carrier, a formula
can be evaluated exactly (`Rational`), to any number of digits (`MP`), in floating
point (`Double`), on whole grids of nodes (`double_double.DoubleDouble`), or with a
bound of its own rounding error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Protocol

import mpmath

Number = Any


class Carrier(Protocol):
    """What a formula may ask of its numbers."""

    def number(self, value: Any) -> Number:
        """Return a float, an integer or a number of this carrier, exactly."""

    def exp(self, a: Number) -> Number: ...
    def log(self, a: Number) -> Number: ...
    def sqrt(self, a: Number) -> Number: ...
    def cos(self, a: Number) -> Number: ...
    def sin(self, a: Number) -> Number: ...
    def maximum(self, values: Sequence[Number]) -> Number: ...
    def sum(self, values: Sequence[Number]) -> Number: ...
    def dot(self, a: Sequence[Number], b: Sequence[Number]) -> Number: ...

    @property
    def pi(self) -> Number: ...


@cache
def context(dps: int) -> Any:
    """Return an mpmath context of `dps` decimal digits that nobody else changes."""
    own = mpmath.MPContext()
    own.dps = dps
    return own


@dataclass(frozen=True)
class MP:
    """mpmath numbers of `dps` decimal digits."""

    dps: int = 40

    @property
    def mp(self) -> Any:
        """The mpmath context itself."""
        return context(self.dps)

    def number(self, value: Any) -> Number:
        if isinstance(value, Fraction):
            return self.mp.mpf(value.numerator) / value.denominator
        return self.mp.mpf(value)

    def exp(self, a: Number) -> Number:
        return self.mp.exp(a)

    def log(self, a: Number) -> Number:
        return self.mp.log(a)

    def sqrt(self, a: Number) -> Number:
        return self.mp.sqrt(a)

    def cos(self, a: Number) -> Number:
        return self.mp.cos(a)

    def sin(self, a: Number) -> Number:
        return self.mp.sin(a)

    @property
    def pi(self) -> Number:
        return +self.mp.pi

    def maximum(self, values: Sequence[Number]) -> Number:
        return max(values)

    def sum(self, values: Sequence[Number]) -> Number:
        return self.mp.fsum(values)

    def dot(self, a: Sequence[Number], b: Sequence[Number]) -> Number:
        return self.mp.fdot(a, b)


class Rational:
    """Fractions: exact, without transcendental functions."""

    def number(self, value: Any) -> Number:
        return Fraction(value)

    def _refuse(self, *_: Any) -> Number:
        raise TypeError("exp, log, sqrt, cos, sin and pi are not rational")

    exp = log = sqrt = cos = sin = _refuse

    @property
    def pi(self) -> Number:
        return self._refuse()

    def maximum(self, values: Sequence[Number]) -> Number:
        return max(values)

    def sum(self, values: Sequence[Number]) -> Number:
        return sum(values, Fraction(0))

    def dot(self, a: Sequence[Number], b: Sequence[Number]) -> Number:
        return sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))


class Double:
    """Python floats: what a careful implementation in double precision would get."""

    exp = staticmethod(math.exp)
    log = staticmethod(math.log)
    sqrt = staticmethod(math.sqrt)
    cos = staticmethod(math.cos)
    sin = staticmethod(math.sin)
    pi = math.pi

    def number(self, value: Any) -> Number:
        return float(value)

    def maximum(self, values: Sequence[Number]) -> Number:
        return max(values)

    def sum(self, values: Sequence[Number]) -> Number:
        total = 0.0
        for value in values:
            total += value
        return total

    def dot(self, a: Sequence[Number], b: Sequence[Number]) -> Number:
        return self.sum([p * q for p, q in zip(a, b, strict=True)])
