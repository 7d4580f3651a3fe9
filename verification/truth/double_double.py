"""Whole grids of numbers with 31 digits: unevaluated sums of two doubles.

A number is hi + lo with |lo| ≤ ½ ulp(hi), for arrays of any shape.  With u = 2⁻⁵³ the
relative error of a sum is at most 3u², of a product 5u² and of a quotient 15u² (Joldes,
Muller and Popescu, "Tight and rigorous error bounds for basic building blocks of
double-word arithmetic", 2017), as long as nothing under- or overflows; exp, log, cos
and sin are below 2⁻⁹⁸ ≈ 3e-30 (argument reduction with three-word constants, then some
twenty such operations on quantities that shrink).  An integrand of a few hundred
operations is thus known far better than 1e-26 relative to its largest term.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from verification.truth.carriers import context

Array = npt.NDArray[np.float64]
_SPLIT = 134217729.0  # 2^27 + 1


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return s + e = a + b exactly, s the rounded sum."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _fast_two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The same where |a| ≥ |b|."""
    s = a + b
    return s, b - (s - a)


def _halves(a: Any) -> tuple[Any, Any]:
    t = _SPLIT * a
    high = t - (t - a)
    return high, a - high


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """Return p + e = a · b exactly, p the rounded product."""
    p = a * b
    a1, a2 = _halves(a)
    b1, b2 = _halves(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


class DD:
    """An array of double-double numbers."""

    __slots__ = ("hi", "lo")
    __array_ufunc__ = None

    def __init__(self, hi: Any, lo: Any = 0.0) -> None:
        self.hi = hi
        self.lo = lo

    def __getitem__(self, index: Any) -> DD:
        return DD(self.hi[index], self.lo[index])

    def __neg__(self) -> DD:
        return DD(-self.hi, -self.lo)

    def __add__(self, other: Any) -> DD:
        other = lift(other)
        s, e = _two_sum(self.hi, other.hi)
        t, f = _two_sum(self.lo, other.lo)
        s, e = _fast_two_sum(s, e + t)
        return DD(*_fast_two_sum(s, e + f))

    def __sub__(self, other: Any) -> DD:
        return self + -lift(other)

    def __mul__(self, other: Any) -> DD:
        other = lift(other)
        p, e = _two_product(self.hi, other.hi)
        cross = self.hi * other.lo + self.lo * other.hi
        return DD(*_fast_two_sum(p, e + cross))

    def __truediv__(self, other: Any) -> DD:
        if isinstance(other, int) and other in (2, 4):
            return self.scaled(1.0 / other)
        other = lift(other)
        q = self.hi / other.hi
        r = self - other * DD(q, q * 0.0)
        q2 = r.hi / other.hi
        r = r - other * DD(q2, q2 * 0.0)
        q, q2 = _fast_two_sum(q, q2)
        return DD(q, q2) + DD(r.hi / other.hi, q * 0.0)

    def __radd__(self, other: Any) -> DD:
        return lift(other) + self

    def __rsub__(self, other: Any) -> DD:
        return lift(other) - self

    def __rmul__(self, other: Any) -> DD:
        return self * lift(other)

    def __rtruediv__(self, other: Any) -> DD:
        return lift(other) / self

    def __gt__(self, other: Any) -> bool:
        return bool(np.all(self.hi > lift(other).hi))

    def scaled(self, power: float) -> DD:
        """Return the product with a power of two."""
        return DD(self.hi * power, self.lo * power)

    def total(self) -> Fraction:
        """Return the sum over all entries, by halving the array."""
        a = DD(np.ravel(self.hi), np.ravel(self.lo + 0.0 * self.hi))
        while a.hi.size > 1:
            half = a.hi.size // 2
            rest = a[2 * half :]
            a = a[:half] + a[half : 2 * half]
            if rest.hi.size:
                a = DD(np.append(a.hi, rest.hi), np.append(a.lo, rest.lo))
        return Fraction(float(a.hi[0])) + Fraction(float(a.lo[0]))


def lift(value: Any) -> DD:
    """Return a DD unchanged, and an exact DD for a float or a small integer."""
    return value if isinstance(value, DD) else DD(np.float64(value), np.float64(0))


def words(value: Any, count: int) -> list[float]:
    """Return an mp number as a sum of `count` doubles."""
    parts = []
    for _ in range(count):
        parts.append(float(value))
        value = value - parts[-1]
    return parts


def from_mp(values: Sequence[Any]) -> DD:
    """Return mp numbers as one DD of shape (n,)."""
    pairs = np.array([words(value, 2) for value in values])
    return DD(pairs[:, 0], pairs[:, 1])


_mp = context(60)
_LN2 = words(_mp.ln2, 3)
_HALF_PI = words(_mp.pi / 2, 3)
_PI = DD(*(np.float64(word) for word in words(_mp.pi, 2)))
_INVERSE_FACTORIALS = [
    DD(*(np.float64(w) for w in words(1 / _mp.factorial(n), 2))) for n in range(32)
]
_HALVINGS = 8


def _reduce(a: DD, unit: list[float]) -> tuple[Any, DD]:
    """Return k and r = a − k·unit with |r| ≤ unit/2; `unit` has three words."""
    k = np.rint(a.hi / unit[0])
    r = a
    for word in unit:
        r = r - DD(*_two_product(k, np.float64(word)))
    return k, r


def _horner(x: DD, first: int, step: int, terms: int) -> DD:
    """Return Σ_k (±1)^k x^k / (first + step·k)!, alternating when step is 2."""
    sign = -1 if step == 2 else 1
    value = _INVERSE_FACTORIALS[first + step * (terms - 1)]
    for k in range(terms - 2, -1, -1):
        product = x * value
        value = _INVERSE_FACTORIALS[first + step * k] + (
            product if sign > 0 else -product
        )
    return value


class DoubleDouble:
    """The carrier of `DD` numbers."""

    @property
    def pi(self) -> DD:
        return _PI

    def number(self, value: Any) -> DD:
        return lift(value)

    def exp(self, a: DD) -> DD:
        """e^a = 2^k (1 + p)^{2^8} with p = e^{r/2^8} − 1, squared as 2p + p²."""
        if np.any(a.hi > 700):
            raise OverflowError("exp of a number above 700")
        low = a.hi < -690
        a = DD(np.where(low, -690.0, a.hi), np.where(low, 0.0, a.lo))
        k, r = _reduce(a, _LN2)
        r = r.scaled(2.0**-_HALVINGS)
        p = r * _horner(r, 1, 1, 10)
        for _ in range(_HALVINGS):
            p = p.scaled(2.0) + p * p
        result = p + 1
        exponent = k.astype(np.int64)
        hi = np.where(low, 0.0, np.ldexp(result.hi, exponent))
        return DD(hi, np.where(low, 0.0, np.ldexp(result.lo, exponent)))

    def log(self, a: DD) -> DD:
        """One Newton step of third order from the double: log a = y + log(a e^{−y})."""
        if not np.all(a.hi > 0):
            raise ValueError("log of a number that is not positive")
        y = DD(np.log(a.hi), 0.0 * a.hi)
        delta = a * self.exp(-y) - 1
        return y + (delta - delta * delta / 2)

    def sqrt(self, a: DD) -> DD:
        """Two Newton steps from the double."""
        y = DD(np.sqrt(a.hi), 0.0 * a.hi)
        for _ in range(2):
            y = (y + a / y) / 2
        return y

    def _turn(self, a: DD, quarter: int) -> DD:
        """Return cos(a + quarter·π/2), choosing cos or sin of the reduced angle."""
        k, r = _reduce(a, _HALF_PI)
        square = r * r
        cos, sin = _horner(square, 0, 2, 15), r * _horner(square, 1, 2, 15)
        turns = np.mod(k + quarter, 4)
        odd, sign = turns % 2 == 1, np.where((turns == 1) | (turns == 2), -1.0, 1.0)
        return DD(
            sign * np.where(odd, sin.hi, cos.hi), sign * np.where(odd, sin.lo, cos.lo)
        )

    def cos(self, a: DD) -> DD:
        return self._turn(a, 0)

    def sin(self, a: DD) -> DD:
        return self._turn(a, 3)

    def maximum(self, values: Sequence[DD]) -> DD:
        best = values[0]
        for value in values[1:]:
            larger = value.hi > best.hi
            best = DD(
                np.where(larger, value.hi, best.hi), np.where(larger, value.lo, best.lo)
            )
        return best

    def sum(self, values: Sequence[DD]) -> DD:
        result = values[0]
        for value in values[1:]:
            result = result + value
        return result

    def dot(self, a: Sequence[DD], b: Sequence[DD]) -> DD:
        return self.sum([p * q for p, q in zip(a, b, strict=True)])
