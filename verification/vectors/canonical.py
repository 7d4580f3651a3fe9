"""Numbers and documents as text, the same bytes on every machine.

An input is a JSON number where its shortest decimal is the double itself, else a
hexadecimal string.  A certified value is a decimal string of 30 digits, beside the
double that is nearest.
"""

from __future__ import annotations

import json
import math
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from verification.evidence.comparison import exact

__all__ = [
    "as_fraction",
    "compact",
    "document",
    "fractions_of",
    "input_of",
    "nested",
    "rounded_up",
    "written",
]


def nested(function: Any, value: Any) -> Any:
    """A number, array or nested list with `function` applied to every number."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [nested(function, entry) for entry in value]
    return function(value)


def written(value: Any) -> Any:
    """Inputs as JSON: integers, exact decimals, else hexadecimal strings."""
    return nested(_input, value)


def _input(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    number = float(value)
    text = repr(number)
    return number if Decimal(text) == Decimal(number) else number.hex()


def input_of(value: Any) -> Any:
    """What `written` has written, as numbers again; text stays text."""
    return nested(_number, value)


def _number(value: Any) -> Any:
    if isinstance(value, str) and "0x" in value:
        return float.fromhex(value)
    return float(value) if isinstance(value, Decimal) else value


def digits(value: Any, count: int) -> str:
    """A real number of any kind as a decimal of so many significant digits."""
    number = exact(value)
    if not isinstance(number, Fraction):
        raise ValueError(f"a certified value is finite, got {value!r}")
    context = Context(prec=count)
    quotient = context.divide(Decimal(number.numerator), Decimal(number.denominator))
    return format(quotient, "E" if abs(quotient.adjusted()) > count else "")


def nearest(value: Any) -> str:
    """The nearest double, as a hexadecimal string."""
    return float(Fraction(exact(value))).hex()


def as_fraction(text: str) -> Fraction:
    """A number of a document: a decimal or a hexadecimal string, exactly."""
    return Fraction(float.fromhex(text)) if "0x" in text else Fraction(text)


def fractions_of(value: Any) -> Any:
    """The decimal strings of nested lists as fractions."""
    return nested(as_fraction, value)


def rounded_up(value: float, count: int = 3) -> float:
    """A bound in so many digits, not smaller than it was."""
    if value == 0:
        return 0.0
    context = Context(prec=count, rounding=ROUND_CEILING)
    return float(context.create_decimal(Decimal(value)))


def stable(value: float, scale: float) -> float | None:
    """A double in twelve digits, or None where another machine may write others.

    Parameters
    ----------
    scale : float
        The size of the largest number beside it, of which it is the twelve digits: a
        few roundings of that are what another order of the same operations changes.
    """
    if not math.isfinite(value + scale) or scale == 0:
        return 0.0 if scale == 0 else None
    decimals, slack = 11 - math.floor(math.log10(scale)), 1e-14 * scale
    found = {round(v, decimals) for v in (value, value - slack, value + slack)}
    return found.pop() + 0.0 if len(found) == 1 else None


def compact(value: Any) -> str:
    """One value in one line, keys sorted."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def document(data: dict[str, Any]) -> bytes:
    """A whole document: keys sorted, one line for every test and every entry.

    Lists under "testGroups" and "tests", and objects at the top, are broken into
    lines; everything else is `compact`.
    """
    lines = [f"{json.dumps(key)}:{_broken(key, data[key])}" for key in sorted(data)]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _broken(key: str, value: Any) -> str:
    if key == "testGroups":
        groups = [
            "{\n"
            + ",\n".join(f"{json.dumps(k)}:{_broken(k, g[k])}" for k in sorted(g))
            + "\n}"
            for g in value
        ]
        return "[\n" + ",\n".join(groups) + "\n]"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(map(compact, value)) + "\n]"
    if isinstance(value, dict) and key in ("notes", "mistakes", "files"):
        entries = [f"{json.dumps(k)}:{compact(value[k])}" for k in sorted(value)]
        return "{\n" + ",\n".join(entries) + "\n}"
    return compact(value)
