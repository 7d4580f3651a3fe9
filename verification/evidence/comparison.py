"""Comparisons of a measured number with a truth.

A truth may hold more digits than a double: an `mpmath` number or a `Fraction`.
It is never rounded before it is compared.  The measured double is a rational
number, so is an `mpmath` number, and their difference is formed exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Finding",
    "agree",
    "as_array",
    "differs",
    "exact",
    "exceeds",
    "not_above",
    "not_below",
]

MOST_DIGITS = 17.0


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Attributes
    ----------
    what : str
        The quantity.
    measured, expected : object
        What the subject answered, and the truth: scalars or arrays.
    error : float
        The distance between them, in the unit of `tolerance`.
    tolerance : float
        The largest admissible error.
    note : str
        What else a reader should know.
    relation : str
        What was asked of the two: ``=``, ``>=``, ``<=`` or, for a negative
        control, ``!=`` or ``>``.
    """

    what: str
    measured: object
    expected: object
    error: float
    tolerance: float
    note: str = ""
    relation: str = "="

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance

    @property
    def undecided(self) -> bool:
        """Whether the comparison came to no end; only sequential ones may."""
        return False

    @property
    def ratio(self) -> float:
        """Error over tolerance; 0/0 is 0, NaN counts as infinite."""
        if math.isnan(self.error):
            return math.inf
        if self.error == 0:
            return 0.0
        return self.error / self.tolerance if self.tolerance > 0 else math.inf

    @property
    def digits(self) -> float:
        """Correct digits (the log relative error, 0 to 17); NaN for inequalities."""
        if self.relation != "=":
            return math.nan
        if not math.isfinite(self.error):
            return 0.0
        size = _norm(list(as_array(self.expected).flat))
        relative = self.error / size if 0 < size < math.inf else self.error
        if relative == 0:
            return MOST_DIGITS
        return min(MOST_DIGITS, max(0.0, -math.log10(relative)))


def agree(
    what: str, measured: Any, expected: Any, tolerance: Any, note: str = ""
) -> Finding:
    """The measured value equals the expected one.

    Parameters
    ----------
    what : str
        The quantity.
    measured, expected : number or array
        Of the same shape; `expected` may hold doubles, `mpmath` numbers or
        Fractions, and infinities (then the measured entry must be the same one).
    tolerance : number
        Bound on the Euclidean norm of the difference over all entries.
    note : str
        What else a reader should know.

    Raises
    ------
    ValueError
        If the shapes differ, the truth is NaN or the tolerance is not a finite
        number >= 0: mistakes of the judge.
    """
    error = _norm(_differences(measured, expected, abs))
    return Finding(what, measured, expected, error, _bound(tolerance), note)


def not_below(
    what: str, measured: Any, bound: Any, slack: Any, note: str = ""
) -> Finding:
    """The measured value is at least `bound`, up to `slack` (entry by entry)."""
    error = _largest(_differences(measured, bound, lambda gap: max(-gap, Fraction(0))))
    return Finding(what, measured, bound, error, _bound(slack), note, ">=")


def not_above(
    what: str, measured: Any, bound: Any, slack: Any, note: str = ""
) -> Finding:
    """The measured value is at most `bound`, up to `slack` (entry by entry)."""
    error = _largest(_differences(measured, bound, lambda gap: max(gap, Fraction(0))))
    return Finding(what, measured, bound, error, _bound(slack), note, "<=")


def differs(what: str, measured: Any, other: Any, gap: Any, note: str = "") -> Finding:
    """Negative control: the two differ by at least `gap` in Euclidean norm.

    The finding's error is `gap` over the distance found, its tolerance is 1.
    """
    distance = _norm(_differences(measured, other, abs))
    return _control(what, measured, other, distance, gap, note, "!=")


def exceeds(what: str, measured: Any, bound: Any, gap: Any, note: str = "") -> Finding:
    """Negative control: every entry exceeds `bound` by at least `gap`.

    The finding's error is `gap` over the smallest excess found, its tolerance 1.
    """
    gaps = _differences(measured, bound, lambda gap: gap)
    bad = [gap for gap in gaps if not math.isfinite(gap)]
    excess = bad[0] if bad else min(gaps)
    return _control(what, measured, bound, max(excess, 0.0), gap, note, ">")


def _control(
    what: str,
    measured: Any,
    other: Any,
    distance: float,
    gap: Any,
    note: str,
    relation: str,
) -> Finding:
    needed = _bound(gap)
    if needed == 0:
        raise ValueError("a negative control needs a gap > 0")
    said = f"distance {distance:.3g}, needed {needed:.3g}"
    note = f"{note}; {said}" if note else said
    if not math.isfinite(distance):
        error = math.nan
    else:
        error = needed / distance if distance > 0 else math.inf
    return Finding(what, measured, other, error, 1.0, note, relation)


def _bound(value: Any) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"a tolerance is a finite number >= 0, got {value!r}")
    return number


def _differences(
    measured: Any, expected: Any, part: Callable[[Any], Any]
) -> list[float]:
    """`part` of measured − expected, entry by entry; inf where one is infinite."""
    left, right = as_array(measured), as_array(expected)
    if left.shape != right.shape:
        raise ValueError(
            f"shapes differ: measured {left.shape}, expected {right.shape}"
        )
    if not left.size:
        raise ValueError("there is nothing to compare: the arrays are empty")
    pairs = zip(left.flat, right.flat, strict=True)
    return [_difference(a, b, part) for a, b in pairs]


def _difference(measured: Any, expected: Any, part: Callable[[Any], Any]) -> float:
    a, b = exact(measured), exact(expected)
    if isinstance(b, float) and math.isnan(b):
        raise ValueError("the expected value is NaN")
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return _rounded(part(a - b))
    if isinstance(a, float) and math.isnan(a):
        return math.nan
    return 0.0 if a == b else math.inf


def exact(value: Any) -> Fraction | float:
    """The number as a Fraction without rounding; infinities and NaN as floats."""
    if hasattr(value, "_mpf_"):
        if not mpmath.isfinite(value):
            return float(value)
        return Fraction(*map(int, mpmath.libmp.to_rational(value._mpf_)))
    if isinstance(value, int | Fraction):
        return Fraction(value)
    if isinstance(value, np.integer):
        return Fraction(int(value))
    if not isinstance(value, float | np.floating):
        raise ValueError(f"expected a real number, got {value!r}")
    if not math.isfinite(value):
        return float(value)
    return Fraction(*value.as_integer_ratio())


def as_array(value: Any) -> NDArray[Any]:
    """A number, array, nested list or mpmath matrix as an array, nothing rounded.

    An mpmath matrix of one column is a vector.
    """
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "rows") and hasattr(value, "cols"):  # of any mpmath context
        value = list(value) if value.cols == 1 else value.tolist()
    return np.array(value, dtype=object)


def _rounded(value: Fraction | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _norm(values: list[Any]) -> float:
    numbers = [_rounded(exact(v)) for v in values]
    if any(math.isnan(v) for v in numbers):
        return math.nan
    return math.hypot(*numbers)


def _largest(values: list[float]) -> float:
    return math.nan if any(math.isnan(v) for v in values) else max(values)
