"""The report for people: one line per check, then what it all means."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from textwrap import wrap
from typing import Any, TextIO

from verification.checks import (
    LACKS,
    LEVELS,
    ROUTES,
    Check,
    Outcome,
    Verdict,
    all_checks,
)
from verification.report.json_report import suite_version
from verification.report.words import MEANING, details, gathered, in_number, sentence
from verification.runner import Report, SubjectInfo
from verification.subject import CONVENTIONS

__all__ = [
    "Terminal",
    "entries",
    "explain",
    "explain_mistake",
    "explain_reading",
    "listing",
]

WIDTH = 100
COLOURS = {
    Verdict.PASS: "32",
    Verdict.FAIL: "31;1",
    Verdict.INCONCLUSIVE: "33",
    Verdict.NOT_RUN: "2",
}
COLUMNS = (8, 12, 8, 6, 7, 7)  # id, verdict, error/tol, digits, cases, time


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
        self._lacking: list[Outcome] = []

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
        for method, name in subject.misspelt.items():
            said = f"{name} is no method of the protocol; did you mean {method}?"
            self.paragraph("hint     ", said)
        self.say()
        self.say(self._row("check", "verdict", "err/tol", "digits", "cases", "time"))
        self.say("─" * self.width)

    def outcome(self, outcome: Outcome) -> None:
        """One line, and the evidence of a failure.

        What needs methods that the subject lacks is counted, and told with the next.
        """
        if outcome.verdict is Verdict.NOT_RUN and outcome.message.startswith(LACKS):
            self._lacking.append(outcome)
            return
        self._say_lacking()
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

    def _say_lacking(self) -> None:
        """One line for neighbours that were not run."""
        if not self._lacking:
            return
        families = Counter(o.check.family for o in self._lacking)
        said = ", ".join(f"{in_number(n)} of {name}" for name, n in families.items())
        head = f"{'':{COLUMNS[0]}}  {Verdict.NOT_RUN:{COLUMNS[1]}}  "
        asks = "it asks" if len(self._lacking) == 1 else "they ask"
        self.paragraph(head, f"{said}: the methods {asks} for are not offered")
        self._lacking.clear()

    def footer(self, report: Report) -> None:
        """Levels reached, what was not run and why, and the verdict."""
        self._say_lacking()
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
            for reason, count in gathered(level["not_run"]).items():
                said = f"{in_number(count)} of level {name} not run: {reason}"
                self.paragraph("         ", said)
        self._cases_not_run(report)
        if any(outcome.sequential for outcome in report.outcomes):
            self.paragraph("random   ", _certified(report))
        code = report.exit_code
        self._diagnoses(report)
        self.paragraph("verdict  ", sentence(report))
        seconds = f"{report.seconds:.1f} s, seed {report.seed}"
        self.say(f"{seconds}, exit code {int(code)}: {MEANING[code]}")

    def _diagnoses(self, report: Report) -> None:
        """What the subject computes, each answer with the checks it explains."""
        checks: dict[Any, list[str]] = {}
        for check, diagnosis in report.diagnoses.items():
            checks.setdefault(diagnosis, []).append(check)
        for diagnosis, explained in checks.items():
            said = f"{diagnosis.said} (of {', '.join(explained)})"
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
        for name, value in details(outcome, outcome.first):
            more = "; the loss as data in --json" if name == "at" else ""
            self.paragraph(f"           {name:10}", value + more)

    def paragraph(self, head: str, text: str) -> None:
        """Print a text behind a head, wrapped to the width."""
        lines = wrap(text, self.width - len(head)) or [""]
        self.say(head + lines[0])
        for line in lines[1:]:
            self.say(" " * len(head) + line)


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
    if not passed:
        return said
    ((usual, count),) = Counter(test.certified for test in passed).most_common(1)
    of = f", in {count} of {len(passed)} that pass; what others certify is in --json"
    of = "" if count == len(passed) else of
    return f"{said}, of whitened outputs. Certified: {usual}{of}"


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


def entries(check: Check) -> list[tuple[str, str]]:
    """Everything a check says about itself: of what, and the text."""
    from verification.mistakes import CATALOGUE

    routes = [code for code in ROUTES if code in check.route]
    known = ", ".join(f"{code} = {ROUTES[code]}" for code in routes)
    cases = ", ".join(case.label for case in check.cases)
    said = [
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
        said.append(("catches", f"{name} {mistake.name}: {mistake.sentence}"))
    if not check.mistakes:
        said.append(("catches", "no mistake of the catalogue"))
    return said


def explain(check: Check) -> str:
    """The same as text."""
    lines = [check.id]
    for name, text in entries(check):
        first, *rest = wrap(text, WIDTH - 13) or [""]
        lines.append(f"  {name:9}  {first}")
        lines += [" " * 13 + line for line in rest]
    return "\n".join(lines)


def explain_mistake(mistake: Any) -> str:
    """What a known mistake does, where, and who promises to catch it."""
    from verification.diagnosis.candidates import sentence_of

    promised = [check.id for check in all_checks() if mistake.id in check.mistakes]
    lines = [f"{mistake.id}  {mistake.name}"]
    for name, text in (
        ("mistake", sentence_of(mistake)),
        ("in", ", ".join(mistake.faults)),
        (
            "caught by",
            f"{', '.join(promised)}; see `verification mutants {mistake.id}`",
        ),
    ):
        first, *rest = wrap(text, WIDTH - 13)
        lines += [f"  {name:9}  {first}", *(" " * 13 + line for line in rest)]
    return "\n".join(lines)


def explain_reading(key: str) -> str:
    """The values of a convention, and the mistakes that some of them make right."""
    from verification.diagnosis.candidates import DECLARABLE
    from verification.mistakes import CATALOGUE

    default, *others = CONVENTIONS[key]
    lines = [key, f"  values     {default} (by default), {', '.join(others)}"]
    known = [name for name, reading in DECLARABLE.items() if reading.startswith(key)]
    for name in known:
        first, *rest = wrap(f"{name} {CATALOGUE[name].sentence}", WIDTH - 13)
        lines += [f"  allows     {first}", *(" " * 13 + line for line in rest)]
    return "\n".join([*lines, "  declared   in `conventions`, see docs/subject.md"])
