"""Answers from any language, in files, judged against the vectors."""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

from verification.checks._kit import flat, norm, size
from verification.errors import UsageError
from verification.runner import ExitCode
from verification.subject import UNIT_ROUNDOFF
from verification.vectors.asking import shape
from verification.vectors.reading import Vector

__all__ = ["Answers", "Judged", "Verdict", "judge", "read"]

KEYS = {"answersVersion", "subject", "dtype", "answers"}
#: Wrong answers are written with twelve digits.
WRITTEN = 1e-11
#: Decimal exponents beyond which a number is 0 or infinite for doubles.
LARGEST = 400
#: The share of the vectors that tell a mistake in which the answers must be its own for
#: it to be named; those that are answered rightly count against it.
MOST = 0.9
#: Fewer significant digits cannot reach what is asked for in double precision.
DIGITS = 12


@dataclass
class Answers:
    """What files answer.

    Attributes
    ----------
    subject : str
    dtype : {"float64", "float32"}
    outputs : dict of str to object
        For each id nested lists of fractions, and of floats where not finite.
    digits : int
        The most significant digits of any decimal among them; 0 without one.
    """

    subject: str = ""
    dtype: str = "float64"
    outputs: dict[str, Any] = field(default_factory=dict)
    digits: int = 0


# --- reading --------------------------------------------------------------------------


def read(texts: Iterable[tuple[str, str]], known: Iterable[str]) -> Answers:
    """The answers of one or several files.

    Parameters
    ----------
    texts : iterable of (str, str)
        Names of files, for complaints, and what is in them.
    known : iterable of str
        The ids there are.

    Raises
    ------
    UsageError
        If one is no file of answers, names an unknown id, or answers one twice.
    """
    answers, ids, first = Answers(), set(known), True
    for name, text in texts:
        data = _parsed(name, text)
        if not first and data["dtype"] != answers.dtype:
            raise UsageError(f"{name}: its dtype is not that of the files before")
        answers.subject, answers.dtype = data["subject"], data["dtype"]
        first = False
        for entry in data["answers"]:
            _take(name, entry, ids, answers)
    return answers


def _parsed(name: str, text: str) -> dict[str, Any]:
    """The object of a file, of the form that it must have."""
    try:
        data = json.loads(text, parse_float=Decimal, object_pairs_hook=_once)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{name} is no JSON: {exc}") from exc
    except InvalidOperation as exc:
        raise UsageError(f"{name} has a number beyond all bounds") from exc
    if not isinstance(data, dict):
        raise UsageError(f"{name} must hold an object, got {_said(data)}")
    if set(data) != KEYS:
        odd = reprlib.repr(sorted(set(data) ^ KEYS))
        raise UsageError(
            f"{name} must have the keys {', '.join(sorted(KEYS))} and no others: {odd}"
        )
    if data["answersVersion"] != 1 or isinstance(data["answersVersion"], bool):
        raise UsageError(f"{name}: answersVersion must be 1")
    if not isinstance(data["dtype"], str) or data["dtype"] not in UNIT_ROUNDOFF:
        raise UsageError(f"{name}: dtype must be 'float64' or 'float32'")
    if not isinstance(data["subject"], str) or not isinstance(data["answers"], list):
        raise UsageError(f"{name}: subject must be text, answers a list")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = Counter(key for key, _ in pairs)
    if twice := [key for key, count in keys.items() if count > 1]:
        raise ValueError(f"the key {twice[0]!r} stands twice in one object")
    return dict(pairs)


def _take(name: str, entry: Any, known: set[str], answers: Answers) -> None:
    if not isinstance(entry, dict) or set(entry) != {"tcId", "output"}:
        raise UsageError(
            f"{name}: an answer is an object of tcId and output, got {_said(entry)}"
        )
    tc_id, output = entry["tcId"], entry["output"]
    if not isinstance(tc_id, str) or tc_id not in known:
        raise UsageError(f"{name}: there is no vector {_said(tc_id)}")
    if tc_id in answers.outputs:
        raise UsageError(f"{name}: {tc_id} is answered twice")
    if output is None:
        return
    try:
        answers.outputs[tc_id] = _numbers(output)
    except ValueError as exc:
        raise UsageError(f"{name}: {tc_id}: {exc}") from None
    except RecursionError:
        raise UsageError(f"{name}: {tc_id}: lists stand too deep in lists") from None
    decimals = [v for v in flat(output) if isinstance(v, Decimal) and v.is_finite()]
    most = max((len(_significant(v)) for v in decimals), default=0)
    answers.digits = max(answers.digits, most)


def _significant(value: Decimal) -> str:
    """The digits of a number, without zeros at either end."""
    return "".join(map(str, value.as_tuple().digits)).strip("0")


def _numbers(value: Any) -> Any:
    """Nested lists with every number exact, or a float that is not finite."""
    if isinstance(value, list):
        return [_numbers(entry) for entry in value]
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"expected a number, got {_said(value)}")
    if isinstance(value, str):
        value = _number_of_text(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            return float(value)
        if value and abs(value.adjusted()) > LARGEST:
            return (
                Fraction(0) if value.adjusted() < 0 else math.copysign(math.inf, value)
            )
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return Fraction(value)


def _number_of_text(text: str) -> Any:
    """A hexadecimal or decimal number, or a word for one that is not finite."""
    try:
        return float.fromhex(text) if "0x" in text.lower() else Decimal(text)
    except (ValueError, OverflowError, InvalidOperation):
        raise ValueError(f"expected a number, got {_said(text)}") from None


def _said(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:59] + "…"


# --- judging --------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """One answer's verdict.

    Attributes
    ----------
    tc_id : str
    ratio : float
        Its error in tolerances; infinite for a wrong form.
    fault : str
        What is wrong with its form, if anything.
    equal : tuple of str
        The mistakes whose answer it is.
    told : tuple of str
        The mistakes that the vector can tell.
    """

    tc_id: str
    ratio: float
    fault: str = ""
    equal: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it is within the tolerance."""
        return self.ratio <= 1


@dataclass(frozen=True)
class Verdict:
    """What the answers to a family are worth.

    Attributes
    ----------
    family : str
    total : int
        Vectors there are.
    judged : tuple of Judged
        Of those that are answered.
    """

    family: str
    total: int
    judged: tuple[Judged, ...]

    @property
    def failures(self) -> list[Judged]:
        """The answers beyond their tolerance."""
        return [one for one in self.judged if not one.ok]

    @property
    def word(self) -> str:
        """PASS, FAIL or NOT-ANSWERED."""
        if self.failures:
            return "FAIL"
        return "PASS" if self.judged else "NOT-ANSWERED"

    @property
    def worst(self) -> float:
        """The largest error in tolerances."""
        return max((one.ratio for one in self.judged), default=math.nan)

    def equal(self) -> list[tuple[str, int, int]]:
        """Mistakes whose answers were given: how often, of how many vectors that tell.

        The surest first: those that explain most.
        """
        equal = Counter(name for one in self.judged for name in one.equal)
        told = Counter(name for one in self.judged for name in one.told)
        found = [(name, count, told[name]) for name, count in equal.items()]
        return sorted(found, key=lambda row: (-row[1] / row[2], -row[1], row[0]))

    def named(self) -> list[tuple[str, int, int]]:
        """Of those the mistakes that explain `MOST` of the vectors that tell them."""
        return [row for row in self.equal() if row[1] >= MOST * row[2]]


def judge(vectors: dict[str, list[Vector]], answers: Answers) -> list[Verdict]:
    """The verdicts on answers, family by family."""
    return [
        Verdict(
            family,
            len(each),
            tuple(
                _judged(vector, answers.outputs[vector.tc_id], answers.dtype)
                for vector in each
                if vector.tc_id in answers.outputs
            ),
        )
        for family, each in vectors.items()
    ]


def _judged(vector: Vector, output: Any, dtype: str) -> Judged:
    wanted = shape(vector.right[0])
    entries = vector.test["mustDiffer"]
    told = tuple(entry["mistake"] for entry in entries)
    try:
        got = shape(output)
    except ValueError:
        fault = f"ragged lists, expected shape {wanted}"
        return Judged(vector.tc_id, math.inf, fault, told=told)
    if got != wanted:
        fault = f"shape {got}, expected {wanted}"
        return Judged(vector.tc_id, math.inf, fault, told=told)
    if any(isinstance(v, float) for v in flat(output)):
        equal = tuple(e["mistake"] for e in entries if e["output"] is None)
        return Judged(vector.tc_id, math.inf, "not finite", equal, told)
    tolerance = vector.tolerance(dtype)
    ratio = min(_distance(output, right) for right in vector.right) / tolerance
    if ratio <= 1:
        return Judged(vector.tc_id, ratio, told=told)
    finite = [entry for entry in entries if entry["output"] is not None]
    equal = tuple(
        entry["mistake"]
        for entry in finite
        if _distance(output, entry["output"])
        <= tolerance + WRITTEN * size(entry["output"])
    )
    return Judged(vector.tc_id, ratio, "", equal, told)


def _distance(value: Any, other: Any) -> float:
    pairs = zip(flat(value), flat(other), strict=True)
    return norm(_float(Fraction(a) - Fraction(b)) for a, b in pairs)


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def exit_code(verdicts: list[Verdict]) -> ExitCode:
    """0 conforms, 1 something fails, 5 nothing is answered."""
    if any(verdict.failures for verdict in verdicts):
        return ExitCode.FAILS
    if not any(verdict.judged for verdict in verdicts):
        return ExitCode.NOTHING_RUN
    return ExitCode.CONFORMS


def texts_of(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Files by name with what is in them.

    Raises
    ------
    UsageError
        If one cannot be read.
    """
    for name in names:
        try:
            yield name, Path(name).read_text(encoding="utf-8-sig")
        except OSError as exc:
            raise UsageError(f"cannot read {name}: {exc.strerror}") from exc
        except UnicodeDecodeError:
            raise UsageError(f"{name} is no text in UTF-8") from None
