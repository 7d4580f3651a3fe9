"""``verification vectors regenerate | lint | export | judge``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from verification.mistakes import CATALOGUE
from verification.report.terminal import Terminal
from verification.report.words import MEANING
from verification.runner import ExitCode
from verification.vectors import FOLDER
from verification.vectors.export import TEMPLATE, export
from verification.vectors.families import FAMILIES, READINGS
from verification.vectors.generate import differences, documents, write
from verification.vectors.judge import (
    DIGITS,
    Answers,
    Verdict,
    exit_code,
    judge,
    read,
    texts_of,
)
from verification.vectors.lint import lint
from verification.vectors.reading import load

__all__ = ["add_parser", "perform"]

#: What a sub-command returns when its work is undone.
Handler = Callable[[argparse.Namespace, Terminal], ExitCode]


def add_parser(parser: argparse.ArgumentParser) -> None:
    """Give the command its sub-commands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    codes: dict[str, Any] = {"epilog": parser.epilog, "allow_abbrev": False}

    def command(name: str, help: str) -> Any:  # noqa: A002
        return commands.add_parser(name, help=help, description=help, **codes)

    again = command("regenerate", "derive the vectors anew and write them")
    again.add_argument(
        "--check", action="store_true", help="write nothing, compare byte by byte"
    )
    again.add_argument(
        "--family",
        action="append",
        choices=FAMILIES,
        metavar="NAME",
        help=f"only this one of {', '.join(FAMILIES)}; repeatable",
    )
    check = command("lint", "say what is wrong with the vectors, if anything")
    check.add_argument("folder", nargs="?", metavar="FOLDER", help="default: our own")
    copy = command("export", "copy the vectors, with a file to write answers into")
    copy.add_argument("folder", metavar="FOLDER", help="new, or empty")
    answer = command("judge", "judge answers in files")
    answer.add_argument("answers", nargs="+", metavar="ANSWERS.json")


def perform(options: argparse.Namespace, terminal: Terminal) -> ExitCode:
    """Carry out one of the sub-commands."""
    return ACTIONS[options.action](options, terminal)


def _regenerate(options: argparse.Namespace, terminal: Terminal) -> ExitCode:
    files: dict[str, bytes] = {}
    for name in options.family or FAMILIES:
        files |= documents([name], FOLDER)
        terminal.say(f"{name:18} {len(files[f'{name}.json']) / 1000:6.0f} kB")
    files |= documents([], FOLDER) if options.check else {}
    if not options.check:
        write(files)
        terminal.say(f"written to {FOLDER}")
        return ExitCode.CONFORMS
    found = differences(files)
    for sentence in found:
        terminal.say(sentence)
    terminal.say("the same bytes" if not found else "these are not the vectors")
    return ExitCode.ORACLE_FAULT if found else ExitCode.CONFORMS


def _lint(options: argparse.Namespace, terminal: Terminal) -> ExitCode:
    complaints = lint(Path(options.folder) if options.folder else FOLDER)
    for sentence in complaints:
        terminal.say(sentence)
    terminal.say(f"{len(complaints)} complaints" if complaints else "no complaints")
    return ExitCode.ORACLE_FAULT if complaints else ExitCode.CONFORMS


def _export(options: argparse.Namespace, terminal: Terminal) -> ExitCode:
    count = export(options.folder)
    terminal.say(
        f"{count} files in {options.folder}; write your answers into {TEMPLATE}"
    )
    return ExitCode.CONFORMS


def _judge(options: argparse.Namespace, terminal: Terminal) -> ExitCode:
    vectors = load()
    known = (vector.tc_id for each in vectors.values() for vector in each)
    answers = read(texts_of(options.answers), known)
    verdicts = judge(vectors, answers)
    _report(terminal, answers, verdicts)
    return exit_code(verdicts)


ACTIONS: dict[str, Handler] = {
    "regenerate": _regenerate,
    "lint": _lint,
    "export": _export,
    "judge": _judge,
}


def _report(terminal: Terminal, answers: Answers, verdicts: list[Verdict]) -> None:
    terminal.say(f"answers of {answers.subject or 'nobody'}, {answers.dtype}\n")
    terminal.say(f"{'family':18} {'verdict':13} {'answered':>10} {'err/tol':>8}")
    for verdict in verdicts:
        worst = "–" if math.isnan(verdict.worst) else f"{verdict.worst:.2g}"
        count = f"{len(verdict.judged)}/{verdict.total}"
        terminal.say(f"{verdict.family:18} {verdict.word:13} {count:>10} {worst:>8}")
        _failures(terminal, verdict)
    failures = sum(len(verdict.failures) for verdict in verdicts)
    if failures and 0 < answers.digits < DIGITS and answers.dtype == "float64":
        terminal.say(
            f"no answer has more than {answers.digits} significant digits: print 17, "
            "or hexadecimal strings"
        )
    code = exit_code(verdicts)
    answered = sum(len(verdict.judged) for verdict in verdicts)
    said = f"{answered} answered, {failures} fail, exit code {int(code)}"
    terminal.say(f"\n{said}: {MEANING[code]}")


def _failures(terminal: Terminal, verdict: Verdict) -> None:
    """The first failure of a family, and whose answers these are."""
    if not verdict.failures:
        return
    first = verdict.failures[0]
    error = first.fault or f"off by {first.ratio:.3g} tolerances"
    more = f", the first of {len(verdict.failures)}"
    terminal.paragraph(" " * 18, f"{first.tc_id}: {error}{more}")
    for name, equal, told in verdict.named()[:3]:
        sentence = READINGS.get(name) or CATALOGUE[name].sentence
        terminal.paragraph(
            " " * 18,
            f"equals {name} in {equal} of the {told} vectors that tell: {sentence}",
        )
    if not verdict.named() and (rows := verdict.equal()):
        some = ", ".join(
            f"{name} in {equal} of {told}" for name, equal, told in rows[:3]
        )
        terminal.paragraph(
            " " * 18,
            f"no known mistake explains it; of the vectors that tell it equals {some}",
        )
