"""Words that every report uses: verdicts, reasons, and what a failure looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from verification.checks import LACKS, Outcome, Verdict
from verification.evidence.comparison import Finding, as_array
from verification.evidence.sequential import Evidence, as_power_of_ten
from verification.runner import ExitCode, Report

__all__ = [
    "MEANING",
    "UNREACHED",
    "clean",
    "details",
    "fault",
    "gathered",
    "headline",
    "in_number",
    "required",
    "sentence",
    "shown",
]

ENTRIES = 4  # entries shown of an array
MOMENTS = ("mean", "variance", "lag-1")  # rows of what a sequential test measures

UNREACHED = "not reached"
UNFINISHED = {Verdict.NOT_RUN: "not run", Verdict.INCONCLUSIVE: "inconclusive"}

#: What no XML may hold, lone surrogates among it, and what would turn text round.
FORBIDDEN = re.compile(
    r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd"
    r"\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)

MEANING = {
    ExitCode.CONFORMS: "conforms",
    ExitCode.FAILS: "at least one check fails",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.ORACLE_FAULT: "the oracle is at fault",
    ExitCode.USAGE: "usage, or the subject could not start",
    ExitCode.NOTHING_RUN: "nothing was run",
    ExitCode.INCONCLUSIVE: "nothing fails, something is inconclusive",
}


def clean(text: str) -> str:
    """A text without control characters, whatever a subject prints."""
    return FORBIDDEN.sub("", text)


def required(finding: Finding) -> float:
    """The correct digits of an error as large as the tolerance; NaN as `digits`."""
    return replace(finding, error=finding.tolerance).digits


def headline(report: Report) -> str:
    """The verdict as a sentence that stands alone; it counts, and names no check."""
    if report.oracle_fault:
        return f"Trust no verdict: {report.oracle_fault}."
    if report.exit_code is ExitCode.FAILS:
        return f"{report.subject.name} does not conform: {_share(report)} failed."
    said = sentence(report)
    if report.exit_code is not ExitCode.CONFORMS:
        return f"No verdict{said.removeprefix('none')}"
    for verdict, words in UNFINISHED.items():
        if count := len(report.of(verdict)):
            said = f"{said[:-1]}, {count} {words}."
    return said


def _share(report: Report) -> str:
    """How many failed, of those that were run: NOT-RUN is no success."""
    failing, skipped = (
        len(report.of(verdict)) for verdict in (Verdict.FAIL, Verdict.NOT_RUN)
    )
    run = len(report.outcomes) - skipped
    return f"{failing} of {in_number(run)} that {'was' if run == 1 else 'were'} run"


def sentence(report: Report) -> str:
    """The verdict as it stands behind the word."""
    code, name = report.exit_code, report.subject.name
    failing = ", ".join(outcome.check.id for outcome in report.of(Verdict.FAIL))
    so_far = f" So far these fail: {failing}." if failing else ""
    if code is ExitCode.ORACLE_FAULT:
        return f"none, trust no verdict: {report.oracle_fault}."
    if code is ExitCode.INTERRUPTED:
        place = f" in {report.stopped_in}" if report.stopped_in else ""
        return f"none: the run was interrupted{place}.{so_far}"
    if code is ExitCode.FAILS:
        return f"{name} does not conform: {failing}."
    if code is ExitCode.NOTHING_RUN:
        return f"none: nothing of what was asked can be run on {name}."
    if code is ExitCode.INCONCLUSIVE:
        unsure = [outcome.check.id for outcome in report.of(Verdict.INCONCLUSIVE)]
        return f"none: nothing fails, but {', '.join(unsure)} is inconclusive."
    passed = len(report.of(Verdict.PASS))
    return f"{name} conforms in what was run: {in_number(passed)} passed."


def gathered(reasons: dict[str, int]) -> dict[str, int]:
    """The reasons, with one for all the methods that the subject lacks."""
    lacking = [reason for reason in reasons if reason.startswith(LACKS)]
    names = [name for reason in lacking for name in reason[len(LACKS) :].split(",")]
    gathered = {r: count for r, count in reasons.items() if r not in lacking}
    if lacking:
        methods = ", ".join(dict.fromkeys(name.strip() for name in names))
        gathered[f"{LACKS} {methods}"] = sum(reasons[reason] for reason in lacking)
    return gathered


def in_number(count: int) -> str:
    """A number of checks, in the singular or in the plural."""
    return "1 check" if count == 1 else f"{count} checks"


def fault(outcome: Outcome) -> str:
    """Why a check does not pass, in a line: its message, or its first failure."""
    if outcome.message or outcome.first is None:
        return outcome.message
    first = outcome.first
    error = f"error {first.error:.3g}, tolerance {first.tolerance:.3g}"
    said = _against(first) if isinstance(first, Evidence) else error
    return f"{first.what}: {said}, in {outcome.first_at.label}"


def details(outcome: Outcome, first: Finding) -> Iterable[tuple[str, str]]:
    """The first failure, which stands in the simplest case, and how bad it gets."""
    case = outcome.first_at
    yield "case", case.label
    if getattr(case, "x", None):
        yield "at", _at(case)
    yield "quantity", first.what
    yield from _random(first) if isinstance(first, Evidence) else _compared(first)
    if first.note:
        yield "note", first.note
    count = f"{outcome.failures} of {outcome.findings_count} comparisons"
    worst = outcome.worst
    if worst is not None and worst is not first:
        count += f"; the worst, {worst.ratio:.2g} tolerances, in {outcome.worst_case}"
    yield "failures", count
    yield "allowed", outcome.check.tolerance


def _at(case: Any) -> str:
    """The numbers of a case, as far as they fit a line or two."""
    said = [f"x = {_short(case.x)}", f"tau = {case.tau:g}"]
    said += [
        f"{name} = {_short(value)}"
        for name, value in getattr(case, "more", {}).items()
        if np.ndim(value) <= 1 and np.asarray(value).dtype.kind in "iuf"
    ]
    return ", ".join(said)


def _short(value: Any) -> str:
    """A number or a row of them, in six digits."""
    row = [f"{entry:g}" for entry in np.atleast_1d(value)]
    text = ", ".join(row[: 2 * ENTRIES]) + (", …" if len(row) > 2 * ENTRIES else "")
    return f"({text})" if np.ndim(value) else text


def _compared(first: Finding) -> Iterable[tuple[str, str]]:
    yield "measured", shown(first.measured)
    yield "expected", f"{first.relation} {shown(first.expected)}"
    if different := _different(first):
        yield "differs", different
        return
    yield "error", f"{first.error:.3g}, tolerance {first.tolerance:.3g}"


def _different(first: Finding) -> str:
    """Where long arrays that must be the same are not."""
    measured, expected = as_array(first.measured), as_array(first.expected)
    if first.tolerance or measured.shape != expected.shape or measured.size <= ENTRIES:
        return ""
    places = np.argwhere(measured != expected)
    if not len(places):
        return ""
    place = tuple(map(int, places[0]))
    said = f"{_digits(measured[place])} where {_digits(expected[place])} is right"
    return f"{len(places)} of {measured.size}, first at {list(place)}: {said}"


def _random(test: Evidence) -> Iterable[tuple[str, str]]:
    """What moved, and how strong the evidence is."""
    measured, expected = as_array(test.measured), as_array(test.expected)
    if measured.ndim == 2 and len(measured) == len(MOMENTS):
        for name, row, right in zip(MOMENTS, measured, expected, strict=True):
            yield name, f"{_short(row)}, expected {right[0]:g}"
    else:
        yield "measured", shown(measured)
        yield "expected", shown(expected)
    yield "evidence", _against(test)


def _against(test: Evidence) -> str:
    """How strong the evidence of a test is: powers of ten, never an overflow."""
    odds = f"{as_power_of_ten(test.error)} to 1 against the exact law"
    needed = as_power_of_ten(test.tolerance)
    return f"{odds} after {test.n} replicates; a FAIL from {needed} on"


def shown(value: Any) -> str:
    """A number with all its digits, or the beginning of an array."""
    array = as_array(value)
    if array.ndim == 0:
        return _digits(array.item())
    entries = [_digits(entry) for entry in array.ravel()[:ENTRIES]]
    dots = ["…"] if array.size > ENTRIES else []
    shape = "×".join(map(str, array.shape))
    return f"[{', '.join(entries + dots)}] ({shape})"


def _digits(value: Any) -> str:
    if hasattr(value, "_mpf_"):
        return str(mpmath.nstr(value, 20))
    if isinstance(value, Fraction):
        return str(mpmath.nstr(mpmath.fdiv(value.numerator, value.denominator), 17))
    return repr(value.item() if isinstance(value, np.generic) else value)
