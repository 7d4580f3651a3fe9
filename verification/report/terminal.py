"""The report for people: one line per check, then what it all means."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from textwrap import wrap
from typing import Any, TextIO

import mpmath
import numpy as np

from verification.checks import (
    LACKS,
    LEVELS,
    ROUTES,
    Check,
    Outcome,
    Verdict,
    all_checks,
)
from verification.evidence.comparison import Finding, as_array
from verification.evidence.sequential import Evidence
from verification.report.json_report import suite_version
from verification.runner import ExitCode, Report, SubjectInfo
from verification.subject import CONVENTIONS

__all__ = ["Terminal", "explain", "explain_mistake", "listing"]

WIDTH = 100
COLOURS = {
    Verdict.PASS: "32",
    Verdict.FAIL: "31;1",
    Verdict.INCONCLUSIVE: "33",
    Verdict.NOT_RUN: "2",
}
COLUMNS = (8, 12, 8, 6, 7, 7)  # id, verdict, error/tol, digits, cases, time
ENTRIES = 4  # entries shown of an array
MOMENTS = ("mean", "variance", "lag-1")  # rows of what a sequential test measures


class Terminal:
    """Prints a run as it goes.

    Parameters
    ----------
    stream : text file, optional
        Where to; standard output by default.  When its reader goes away the rest
        of the run continues in silence.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        tty = self._stream.isatty()
        self._colour = tty and not os.environ.get("NO_COLOR")
        self.width = max(80, shutil.get_terminal_size().columns) if tty else WIDTH

    def say(self, text: str = "") -> None:
        """Print a line at once."""
        try:
            print(text, file=self._stream, flush=True)
        except BrokenPipeError:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, self._stream.fileno())
            os.close(silence)

    def header(self, subject: SubjectInfo, seed: int, checks: Iterable[Check]) -> None:
        """Who is judged, on what."""
        counts = Counter(check.level for check in checks)
        levels = ", ".join(
            f"{level} ({meaning}) {counts[level]}"
            for level, meaning in LEVELS.items()
            if counts[level]
        )
        defaults = {"subject": f"{subject.name}, {subject.dtype}", "seed": str(seed)}
        defaults["checks"] = levels or "none"
        self.say(f"verification {suite_version()}")
        for name, value in defaults.items():
            self.paragraph(f"{name:9}", value)
        chosen = {
            k: v for k, v in subject.conventions.items() if v != CONVENTIONS[k][0]
        }
        if chosen:
            said = ", ".join(f"{k} {v}" for k, v in chosen.items())
            self.paragraph("readings ", said)
        self.say()
        self.say(self._row("check", "verdict", "err/tol", "digits", "cases", "time"))
        self.say("─" * self.width)

    def outcome(self, outcome: Outcome) -> None:
        """One line, and the evidence of a failure."""
        cells = _cells(outcome)
        row = self._row(*cells, outcome.check.claim)
        if self._colour:
            verdict = str(outcome.verdict)
            painted = f"\033[{COLOURS[outcome.verdict]}m{verdict}\033[0m"
            row = row.replace(verdict, painted, 1)
        self.say(row)
        if outcome.verdict is Verdict.FAIL:
            self._evidence(outcome)
        elif outcome.message:
            self.paragraph("         ", outcome.message)

    def footer(self, report: Report) -> None:
        """Levels reached, what was not run and why, and the verdict."""
        self.say("─" * self.width)
        run = sum(level["run"] for level in report.levels.values())
        reached = [
            f"{name} {level['run']}/{level['applicable']}"
            for name, level in report.levels.items()
            if level["applicable"]
        ]
        self.say(f"levels   {', '.join(reached) or 'none'} (run/applicable)")
        counts = [f"{len(report.of(verdict))} {verdict}" for verdict in Verdict]
        stopped = len(report.checks) - len(report.outcomes)
        unseen = f", {stopped} not reached" if stopped else ""
        self.say(f"checks   {run} run: {', '.join(counts)}{unseen}")
        for name, level in report.levels.items():
            for reason, count in _gathered(level["not_run"]).items():
                said = f"{_checks(count)} of level {name} not run: {reason}"
                self.paragraph("         ", said)
        self._cases_not_run(report)
        if any(outcome.sequential for outcome in report.outcomes):
            self.paragraph("random   ", _certified(report))
        code = report.exit_code
        self._diagnoses(report)
        self.paragraph("verdict  ", _sentence(report))
        seconds = f"{report.seconds:.1f} s, seed {report.seed}"
        self.say(f"{seconds}, exit code {int(code)}: {MEANING[code]}")

    def _diagnoses(self, report: Report) -> None:
        """What the subject computes, each answer with the checks it explains."""
        checks: dict[Any, list[str]] = {}
        for check, diagnosis in report.diagnoses.items():
            checks.setdefault(diagnosis, []).append(check)
        for diagnosis, explained in checks.items():
            head = f"{diagnosis.name}: " if diagnosis.confident else ""
            said = f"{head}{diagnosis.sentence} (of {', '.join(explained)})"
            self.paragraph("diagnosis  ", said)

    def _cases_not_run(self, report: Report) -> None:
        reasons = Counter(
            reason
            for outcome in report.outcomes
            if outcome.verdict is not Verdict.NOT_RUN
            for _, reason in outcome.not_run
        )
        for reason, count in reasons.items():
            cases = "1 case" if count == 1 else f"{count} cases"
            self.paragraph("         ", f"{cases} not run in other checks: {reason}")

    def _row(self, *cells: str) -> str:
        head = "  ".join(
            f"{cell:{'<' if place < 2 else '>'}{width}}"
            for place, (cell, width) in enumerate(zip(cells, COLUMNS, strict=False))
        )
        claim = cells[len(COLUMNS)] if len(cells) > len(COLUMNS) else "claim"
        return f"{head}  {_shortened(claim, self.width - len(head) - 2)}"

    def _evidence(self, outcome: Outcome) -> None:
        if outcome.message:
            self.paragraph("         ", outcome.message)
        if outcome.first is None:
            return
        for name, value in _details(outcome, outcome.first):
            self.paragraph(f"           {name:10}", value)

    def paragraph(self, head: str, text: str) -> None:
        """Print a text behind a head, wrapped to the width."""
        lines = wrap(text, self.width - len(head)) or [""]
        self.say(head + lines[0])
        for line in lines[1:]:
            self.say(" " * len(head) + line)


MEANING = {
    ExitCode.CONFORMS: "conforms",
    ExitCode.FAILS: "at least one check fails",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.ORACLE_FAULT: "the oracle is at fault",
    ExitCode.USAGE: "usage, or the subject could not start",
    ExitCode.NOTHING_RUN: "nothing was run",
    ExitCode.INCONCLUSIVE: "nothing fails, something is inconclusive",
}


def _sentence(report: Report) -> str:
    code, name = report.exit_code, report.subject.name
    failing = ", ".join(outcome.check.id for outcome in report.of(Verdict.FAIL))
    so_far = f" So far these fail: {failing}." if failing else ""
    if code is ExitCode.ORACLE_FAULT:
        return f"none, trust no verdict: {report.oracle_fault}."
    if code is ExitCode.INTERRUPTED:
        return f"none: the run was interrupted.{so_far}"
    if code is ExitCode.FAILS:
        return f"{name} does not conform: {failing}."
    if code is ExitCode.NOTHING_RUN:
        return f"none: nothing of what was asked can be run on {name}."
    if code is ExitCode.INCONCLUSIVE:
        unsure = [outcome.check.id for outcome in report.of(Verdict.INCONCLUSIVE)]
        return f"none: nothing fails, but {', '.join(unsure)} is inconclusive."
    passed = len(report.of(Verdict.PASS))
    return f"{name} conforms in what was run: {_checks(passed)} passed."


def _gathered(reasons: dict[str, int]) -> dict[str, int]:
    """The reasons, with one for all the methods that the subject lacks."""
    lacking = [reason for reason in reasons if reason.startswith(LACKS)]
    names = [name for reason in lacking for name in reason[len(LACKS) :].split(",")]
    gathered = {r: count for r, count in reasons.items() if r not in lacking}
    if lacking:
        methods = ", ".join(dict.fromkeys(name.strip() for name in names))
        gathered[f"{LACKS} {methods}"] = sum(reasons[reason] for reason in lacking)
    return gathered


def _checks(count: int) -> str:
    return "1 check" if count == 1 else f"{count} checks"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    ratio = digits = cases = "–"
    faulty = outcome.verdict is Verdict.FAIL and not outcome.failures
    if outcome.worst is not None and not faulty:
        ratio = f"{outcome.worst.ratio:.2g}"
        if not math.isnan(outcome.worst.digits):
            digits = f"{outcome.worst.digits:.1f}"
    if outcome.verdict is not Verdict.NOT_RUN:
        cases = f"{outcome.cases_run}/{len(outcome.check.cases)}"
    seconds = f"{outcome.seconds:.2f} s"
    return outcome.check.id, str(outcome.verdict), ratio, digits, cases, seconds


def _certified(report: Report) -> str:
    """What the random numbers were asked, and what is known of those that passed."""
    tests = [test for outcome in report.outcomes for _, test in outcome.sequential]
    passed = [test for test in tests if test.ok and not test.undecided]
    replicates = sum(test.n for test in tests)
    said = f"{replicates} replicates in {len(tests)} tests"
    certified = "; ".join(dict.fromkeys(test.certified for test in passed))
    return f"{said}, of whitened outputs. Certified: {certified}" if passed else said


def _details(outcome: Outcome, first: Finding) -> Iterable[tuple[str, str]]:
    """The first failure, which stands in the simplest case, and how bad it gets."""
    case = outcome.first_at
    yield "case", case.label
    if getattr(case, "x", None):
        yield "at", f"{_at(case)}; the loss as data in --json"
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
    yield "measured", _shown(first.measured)
    yield "expected", f"{first.relation} {_shown(first.expected)}"
    yield "error", f"{first.error:.3g}, tolerance {first.tolerance:.3g}"


def _random(test: Evidence) -> Iterable[tuple[str, str]]:
    """What moved, and how strong the evidence is: exponents, never an overflow."""
    measured, expected = as_array(test.measured), as_array(test.expected)
    if measured.ndim == 2 and len(measured) == len(MOMENTS):
        for name, row, right in zip(MOMENTS, measured, expected, strict=True):
            yield name, f"{_short(row)}, expected {right[0]:g}"
    else:
        yield "measured", _shown(measured)
        yield "expected", _shown(expected)
    decades = test.error / math.log(10)
    needed = test.tolerance / math.log(10)
    odds = f"10^{decades:.1f} to 1 against the exact law after {test.n} replicates"
    yield "evidence", f"{odds}; a FAIL from 10^{needed:.1f} on"


def _shown(value: Any) -> str:
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


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def listing(checks: Iterable[Check]) -> str:
    """One line per check: id, level, place in the paper, claim."""
    rows = []
    for check in checks:
        head = f"{check.id:8}  {check.level}  {_shortened(check.paper, 26):26}  "
        rows.append(head + _shortened(check.claim, WIDTH - len(head)))
    return "\n".join(rows)


def _asked(check: Check) -> str:
    needs = ", ".join(check.needs)
    choice = " or ".join(check.any_of)
    return "; ".join(filter(None, (needs, choice))) or "nothing"


def explain(check: Check) -> str:
    """Everything a check says about itself."""
    from verification.mistakes import CATALOGUE

    routes = [code for code in ROUTES if code in check.route]
    known = ", ".join(f"{code} = {ROUTES[code]}" for code in routes)
    cases = ", ".join(case.label for case in check.cases)
    entries = [
        ("claim", check.claim),
        ("paper", check.paper),
        ("level", f"{check.level}, {LEVELS[check.level]}"),
        ("losses", ", ".join(check.losses) or "none"),
        ("cases", cases),
        ("truth", check.truth),
        ("route", f"{check.route} ({known})"),
        ("tolerance", check.tolerance),
        ("needs", _asked(check)),
    ]
    for name in check.mistakes:
        mistake = CATALOGUE[name]
        entries.append(("catches", f"{name} {mistake.name}: {mistake.sentence}"))
    if not check.mistakes:
        entries.append(("catches", "no mistake of the catalogue"))
    lines = [check.id]
    for name, text in entries:
        first, *rest = wrap(text, WIDTH - 13) or [""]
        lines.append(f"  {name:9}  {first}")
        lines += [" " * 13 + line for line in rest]
    return "\n".join(lines)


def explain_mistake(mistake: Any) -> str:
    """What a known mistake does, where, and who promises to catch it."""
    promised = [check.id for check in all_checks() if mistake.id in check.mistakes]
    lines = [f"{mistake.id}  {mistake.name}"]
    for name, text in (
        ("mistake", mistake.sentence),
        ("in", ", ".join(mistake.faults)),
        (
            "caught by",
            f"{', '.join(promised)}; see `verification mutants {mistake.id}`",
        ),
    ):
        first, *rest = wrap(text, WIDTH - 13)
        lines += [f"  {name:9}  {first}", *(" " * 13 + line for line in rest)]
    return "\n".join(lines)
