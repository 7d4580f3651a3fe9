"""Running error analysis: every number carries a bound of its own rounding error.

`EF(value, err)` holds a double and the first-order bound of its error in units of the
unit roundoff u; `RunningError` is a carrier, so that a formula written once yields its
value and its tolerance together (Higham, Accuracy and Stability of Numerical
Algorithms, §3.3).  Sums of n terms are charged (n−1) Σ|x_i|, which covers every order
of summation, fused multiply-adds and any BLAS; elementary functions are charged 2 ulp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

UNIT = 2.0**-53
ULPS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class EF:
    """A double and the bound of its error, in units of u."""

    value: float
    err: float = 0.0

    def __neg__(self) -> EF:
        return EF(-self.value, self.err)

    def __abs__(self) -> EF:
        return EF(abs(self.value), self.err)

    def __add__(self, other: Any) -> EF:
        other = lift(other)
        total = self.value + other.value
        return EF(total, self.err + other.err + abs(total))

    def __sub__(self, other: Any) -> EF:
        return self + -lift(other)

    def __mul__(self, other: Any) -> EF:
        other = lift(other)
        product = self.value * other.value
        carried = abs(self.value) * other.err + abs(other.value) * self.err
        return EF(product, carried + abs(product))

    def __truediv__(self, other: Any) -> EF:
        other = lift(other)
        ratio = self.value / other.value
        carried = (self.err + abs(ratio) * other.err) / abs(other.value)
        return EF(ratio, carried + abs(ratio))

    def __pow__(self, power: int) -> EF:
        """Return the power, charged for |power|−1 products and one division."""
        result = self.value**power
        if power == 0:
            return EF(result)
        slope = abs(power * self.value ** (power - 1))
        return EF(result, slope * self.err + (abs(power) + ULPS) * abs(result))

    def __radd__(self, other: Any) -> EF:
        return lift(other) + self

    def __rsub__(self, other: Any) -> EF:
        return lift(other) - self

    def __rmul__(self, other: Any) -> EF:
        return lift(other) * self

    def __rtruediv__(self, other: Any) -> EF:
        return lift(other) / self

    def __eq__(self, other: object) -> bool:
        return self.value == lift(other).value

    def __lt__(self, other: Any) -> bool:
        return self.value < lift(other).value

    def __le__(self, other: Any) -> bool:
        return self.value <= lift(other).value

    def __gt__(self, other: Any) -> bool:
        return self.value > lift(other).value

    def __ge__(self, other: Any) -> bool:
        return self.value >= lift(other).value

    def __float__(self) -> float:
        return self.value

    def __hash__(self) -> int:
        return hash(self.value)


def lift(value: Any) -> EF:
    """Return an EF unchanged and a float or an integer as an exact EF."""
    return value if isinstance(value, EF) else EF(float(value))


class RunningError:
    """The carrier of `EF` numbers: same interface as every carrier of the truths."""

    pi = EF(math.pi, math.pi)

    def number(self, value: Any) -> EF:
        return lift(value)

    def exp(self, a: EF) -> EF:
        result = math.exp(a.value)
        return EF(result, result * (a.err + ULPS))

    def log(self, a: EF) -> EF:
        result = math.log(a.value)
        return EF(result, a.err / a.value + ULPS * abs(result))

    def sqrt(self, a: EF) -> EF:
        result = math.sqrt(a.value)
        carried = a.err / (2 * result) if a.err else 0.0
        return EF(result, carried + result)

    def cos(self, a: EF) -> EF:
        result = math.cos(a.value)
        return EF(result, abs(math.sin(a.value)) * a.err + ULPS * abs(result))

    def sin(self, a: EF) -> EF:
        result = math.sin(a.value)
        return EF(result, abs(math.cos(a.value)) * a.err + ULPS * abs(result))

    def maximum(self, values: Sequence[EF]) -> EF:
        return max(values)

    def sum(self, values: Sequence[EF]) -> EF:
        """Return Σ x_i, charged (n−1) Σ|x_i| whatever the order."""
        size = math.fsum(abs(v.value) for v in values)
        carried = math.fsum(v.err for v in values)
        total = math.fsum(v.value for v in values)
        return EF(total, carried + max(len(values) - 1, 0) * size)

    def dot(self, a: Sequence[EF], b: Sequence[EF]) -> EF:
        """Return Σ a_i b_i, every product and the sum charged."""
        return self.sum([p * q for p, q in zip(a, b, strict=True)])


def tolerance(ef: EF, truth_error: float = 0.0, unit: float = UNIT) -> float:
    """Return 4 · err · unit + truth_error, the tolerance of section 6.

    Parameters
    ----------
    ef : EF
        The quantity, evaluated with `RunningError`.
    truth_error : float
        Certified error of the truth it is compared with.
    unit : float
        Unit roundoff of the subject: 2⁻⁵³ in double, 2⁻²⁴ in single precision.
    """
    return 4 * ef.err * unit + truth_error
