"""What goes over the pipe: one JSON object per line, every double exact.

Finite numbers are written as the shortest decimals that read back the same, infinities
and NaN, which JSON does not have, as the strings "inf", "-inf" and "nan"; arrays are
nested lists and losses their data, see `verification.losses`.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from verification.errors import SubjectFault
from verification.losses import LossData

__all__ = ["HarnessFault", "encode", "hard_numbers", "inexact", "numbers", "parse"]

#: No number of JSON, but of the protocol.
SPELLED = {text: float(text) for text in ("nan", "inf", "-inf")}

SHOWN = 60  # characters of a line that is no answer


class HarnessFault(SubjectFault):
    """A harness died, was silent, or said what is no answer.

    What the parts of the connection raise is a clause, "died, exit code 1", which
    `verification.connect.command` puts into a sentence.
    """


def encode(message: dict[str, Any]) -> bytes:
    """A message as a line.

    Parameters
    ----------
    message : dict
        Of what JSON has, of NumPy's arrays and numbers, and of losses.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    return orjson.dumps(_ready(message), option=_OPTIONS)


_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def _ready(value: Any) -> Any:
    """The value with strings for the numbers that JSON lacks; arrays stay arrays."""
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else repr(number)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {key: _ready(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_ready(part) for part in value]
    if isinstance(value, np.ndarray):
        return _ready_array(value)
    if isinstance(value, np.generic):
        return _ready(value.item())
    if isinstance(value, LossData):
        return value.to_json()  # whose numbers are finite
    raise TypeError(f"the protocol has no {type(value).__name__}")


def _ready_array(array: NDArray[Any]) -> Any:
    """The array itself, if it is written without a look at every number."""
    if array.dtype.kind != "f" or array.ndim == 0 or not np.isfinite(array).all():
        return _ready(array.tolist())
    return np.ascontiguousarray(array, dtype=np.float64)


def parse(line: bytes) -> dict[str, Any]:
    """A line as a message.

    Raises
    ------
    HarnessFault
        If it is no JSON object, or one of two values for one key.
    """
    plain = _plain_answer(line)
    if plain is not None:
        return plain
    try:
        found = _DECODER.decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise HarnessFault(_misread(line, error)) from None
    if not isinstance(found, dict):
        raise HarnessFault(_misread(line))
    return found


def _plain_answer(line: bytes) -> dict[str, Any] | None:
    """The message, if the fast reader surely reads it as the strict one does.

    It takes the last of two values for one key, so there must be no more colons than
    keys, and -0 for the integer.
    """
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    plain = isinstance(found, dict) and line.count(b":") == len(found)
    return found if plain and not _MINUS_ZERO.search(line) else None


_MINUS_ZERO = re.compile(rb"-0[^.\deE]")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise HarnessFault(f"wrote the key {twice!r} twice in one object")
    return found


def _integer(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)  # as C prints the double -0


def _refuse(text: str) -> float:
    raise ValueError(text)


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_constant=_refuse, object_pairs_hook=_once
)

_BARE = re.compile(r"[\[:,]\s*([-+]?(?:nan|inf)[\w()]*)", re.IGNORECASE)


def _misread(line: bytes, error: Exception | None = None) -> str:
    text = line.decode(errors="replace").strip()
    bare = _BARE.search(text)
    if error is not None and text.startswith("{") and bare:
        return (
            f"wrote {bare[1]}, which is no JSON: "
            'the protocol has the strings "nan", "inf" and "-inf"'
        )
    shown = repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
    return (
        f"wrote {shown} to standard output, which is for answers, "
        "one JSON object per line; all else goes to standard error"
    )


def numbers(result: Any) -> Any:
    """The numbers of an answer: an array if it is one, else nested lists."""
    try:
        array = np.array(result)
    except ValueError:  # of several shapes, like a value and a gradient
        return _read(result)
    return array if array.dtype.kind in "iuf" else _read(result)


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(part) for part in value]
    return SPELLED.get(value, value) if isinstance(value, str) else value


# --- the echo

_LAST = math.ulp(0.0)  # the smallest subnormal number
_NORMAL = sys.float_info.min

#: Signed zeros, subnormal numbers, the ends of the range, fractions without an end,
#: neighbours of 1, integers near 2^53, powers of ten that few parsers round rightly.
_DOUBLES = (
    *(0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, -2 / 3, 0.1 + 0.2, math.pi),
    *(_LAST, -_LAST, 3 * _LAST, _NORMAL - _LAST, _NORMAL),
    *(sys.float_info.max, -sys.float_info.max),
    *(1 - 2.0**-53, 1 + 2.0**-52),
    *(2.0**53 - 1, 2.0**53, 2.0**53 + 2, -(2.0**53) + 1, 2.0**63),
    *(1e22, 1e23, 9007199254740993e-16, 2.2250738585072011e-308),
)
_SINGLES = tuple(
    float(np.float32(number))
    for number in (
        *(0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, -2 / 3, math.pi),
        *(2.0**-149, -(2.0**-149), 2.0**-126 - 2.0**-149, 2.0**-126),
        *(2.0**128 - 2.0**104, -(2.0**128) + 2.0**104),
        *(1 - 2.0**-24, 1 + 2.0**-23, 2.0**24 - 1, 2.0**24, 2.0**24 + 2),
    )
)


def hard_numbers(dtype: str) -> list[float]:
    """Numbers of this dtype that careless printing or reading changes."""
    hard = _SINGLES if dtype == "float32" else _DOUBLES
    return [*hard, *SPELLED.values()]


def inexact(sent: list[float], result: Any, dtype: str) -> str:
    """What the harness does to an echo, in a clause; nothing if it is exact.

    Parameters
    ----------
    sent : list of float
    result : object
        What came back for it.
    dtype : {"float64", "float32"}
        The precision in which it must be the same.
    """
    if not isinstance(result, list) or len(result) != len(sent):
        return f"does not echo the list of {len(sent)} numbers it was sent"
    for number, back in zip(sent, result, strict=True):
        if not _same(number, _read(back), dtype):
            digits = 9 if dtype == "float32" else 17
            return (
                f"echoes {json.dumps(_ready(number))} as {json.dumps(back)[:60]}: "
                "numbers must come back to the last bit, so write "
                f"{digits} significant digits, or the shortest decimals that "
                "read back the same"
            )
    return ""


def _same(number: float, back: Any, dtype: str) -> bool:
    if isinstance(back, bool) or not isinstance(back, int | float):
        return False
    try:
        value = float(back)
    except OverflowError:
        return False
    if dtype == "float32":
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
    if math.isnan(number):
        return math.isnan(value)
    return value == number and math.copysign(1, value) == math.copysign(1, number)
