"""The command line: ``verification run | list | explain | mutants | vectors | …``."""

from __future__ import annotations

import argparse
import re
import secrets
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

try:
    from verification.checks import LEVELS, Check, all_checks, find
    from verification.connect import connect
    from verification.connect.in_process import DEFAULT, load
    from verification.diagnosis import examine
    from verification.diagnosis.combined import couples, diagnosed
    from verification.diagnosis.confusion import confusion
    from verification.diagnosis.recorded import diagnose_recording, read
    from verification.errors import OracleFault, UnknownCheck, UsageError
    from verification.false_alarms import false_alarms
    from verification.mechanical import command as mechanical
    from verification.mistakes import (
        CATALOGUE,
        DETERMINISTIC,
        entries,
        kill_table,
        sensitivity,
    )
    from verification.report import alarms, diagnoses, json_report, kills
    from verification.report.alarms import AlarmPrinter
    from verification.report.diagnoses import (
        ConfusionPrinter,
        PairPrinter,
        print_diagnosis,
        print_nothing,
    )
    from verification.report.html_report import as_html
    from verification.report.json_report import suite_version
    from verification.report.junit_report import as_junit
    from verification.report.kills import KillPrinter
    from verification.report.terminal import (
        Terminal,
        explain,
        explain_mistake,
        explain_reading,
        listing,
    )
    from verification.report.words import MEANING
    from verification.runner import ExitCode, Report, describe, run
    from verification.subject import CONVENTIONS
    from verification.vectors import command as vectors
except KeyboardInterrupt:  # before there is anything to report
    sys.exit(2)

__all__ = ["main"]

ERRATUM = re.compile(r"E([1-9]|1[0-6])")
CODES = "exit codes: " + "; ".join(f"{int(code)} {MEANING[code]}" for code in ExitCode)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is an exception: exit code 2 means interrupted."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"a seed is an integer >= 0, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a count is an integer >= 1, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="verification",
        description="Judge implementations of local entropy and heat regularization.",
        epilog=CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=suite_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ids: dict[str, Any] = {
        "metavar": "ID",
        "help": "a check (TH1-01), a family (TH1) or a pattern",
    }
    report: dict[str, Any] = {
        "metavar": "FILE",
        "help": "write the report there as JSON",
    }

    def command(name: str, help: str) -> argparse.ArgumentParser:  # noqa: A002
        return commands.add_parser(
            name, help=help, description=help, epilog=CODES, allow_abbrev=False
        )

    judge = command("run", "judge a subject")
    judge.add_argument("ids", nargs="*", **ids)
    _add_subject(
        judge, "an instance, or a class called without arguments (default: refimpl)"
    )
    judge.add_argument(
        "--level",
        action="append",
        choices=LEVELS,
        help="only checks of this level; repeatable",
    )
    judge.add_argument(
        "--seed", type=_seed, metavar="N", help="default: fresh, and printed"
    )
    judge.add_argument(
        "--deep",
        action="store_true",
        help="let the stochastic checks certify half the differences",
    )
    judge.add_argument(
        "--allow-inconclusive",
        action="store_true",
        help="return 0 although a check is inconclusive",
    )
    judge.add_argument("--json", **report)
    judge.add_argument(
        "--junit", metavar="FILE", help="write it there as JUnit XML, for CI"
    )
    judge.add_argument(
        "--html", metavar="FILE", help="write it there as a page that needs no network"
    )
    command("list", "list the checks")
    tell = command("explain", "say what a check claims, or what a mistake does")
    tell.add_argument(
        "ids",
        nargs="+",
        metavar="ID",
        help="a check (TH1-01), a family (TH1), a pattern, a mistake (S03), or an "
        "erratum (E6)",
    )
    kill = command("mutants", "show which check catches which known mistake")
    kill.add_argument(
        "ids", nargs="*", metavar="ID", help="a mistake of the catalogue (T06)"
    )
    kill.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: 0")
    kill.add_argument(
        "--tolerance-multiplier",
        action="store_true",
        help="show instead how many the deterministic checks would still see with "
        "tolerances 10, 100, ... times as wide",
    )
    kill.add_argument("--json", **report)
    mechanical.add_to(kill)
    alarms = command(
        "false-alarms", "count how often the stochastic checks fail the right subject"
    )
    alarms.add_argument(
        "--runs", type=_count, default=1500, metavar="R", help="default: 1500"
    )
    alarms.add_argument(
        "--seed", type=_seed, metavar="N", help="default: fresh, and printed"
    )
    alarms.add_argument(
        "--kept",
        type=Path,
        metavar="FILE",
        help="keep every run there, one a line, and go on from what it holds",
    )
    alarms.add_argument("--json", **report)
    told = command(
        "diagnose", "say what a recorded trajectory, or a subject, really computes"
    )
    told.add_argument(
        "recordings", nargs="*", metavar="RECORDED", help="a recording with its draws"
    )
    _add_subject(told, "a subject to be asked")
    told.add_argument(
        "--confusion",
        action="store_true",
        help="diagnose every mistake of the catalogue, planted in refimpl",
    )
    told.add_argument(
        "--pairs", action="store_true", help="diagnose pairs of mistakes at once"
    )
    told.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: 0")
    told.add_argument("--json", **report)
    vectors.add_parser(
        command("vectors", "regenerate, lint or export test vectors, or judge answers")
    )
    return parser


def _add_subject(command: argparse.ArgumentParser, of_python: str) -> None:
    """The options that name a subject, see `verification.connect.connect`."""
    command.add_argument("--subject", metavar="package.module:object", help=of_python)
    command.add_argument(
        "--command",
        dest="harness",
        metavar="COMMAND",
        help="a harness that speaks JSON lines, in place of a subject",
    )
    command.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="how long a call of the harness may take (default: 60); "
        "a call of a --subject has no limit, and Ctrl-C tells what was asked",
    )


def _places(options: argparse.Namespace) -> dict[str, Path]:
    """Where the reports of a run are to be written, each fit to be."""
    wanted = {form: getattr(options, form) for form in ("json", "junit", "html")}
    places = {k: json_report.check_path(path) for k, path in wanted.items() if path}
    if len(set(places.values())) < len(places):
        raise UsageError("--json, --junit and --html need a file each")
    return places


def _again(options: argparse.Namespace, seed: int) -> str:
    """The command that repeats a run."""
    words = ["verification", "run", *options.ids]
    valued = {
        "--subject": options.subject,
        "--command": options.harness,
        "--time-limit": options.time_limit,
    }
    for flag, value in valued.items():
        words += [] if value is None else [flag, f"{value}"]
    for level in options.level or ():
        words += ["--level", level]
    words += ["--deep"] * options.deep
    words += ["--allow-inconclusive"] * options.allow_inconclusive
    return shlex.join([*words, "--seed", str(seed)])


def _write(report: Report, places: dict[str, Path], again: str) -> None:
    now = datetime.now(UTC)
    if "json" in places:
        json_report.write(json_report.as_json(report), places["json"])
    if "junit" in places:
        json_report.write_text(as_junit(report, now), places["junit"])
    if "html" in places:
        json_report.write_text(as_html(report, again, now), places["html"])


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    places = _places(options)
    checks = [
        check
        for check in find(options.ids)
        if not options.level or check.level in options.level
    ]
    subject = connect(options.subject, options.harness, options.time_limit)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    terminal.header(describe(subject), seed, checks)
    report = run(
        subject,
        checks,
        seed=seed,
        allow_inconclusive=options.allow_inconclusive,
        deep=options.deep,
        on_outcome=terminal.outcome,
    )
    _write(report, places, _again(options, seed))
    terminal.footer(report)
    return int(report.exit_code)


def _mutants(options: argparse.Namespace, terminal: Terminal) -> int:
    if mechanical.wanted(options):
        return int(mechanical.perform(options, terminal))
    place = json_report.check_path(options.json) if options.json else None
    wanted = entries(options.ids)
    printer = KillPrinter(terminal, {check.id: check.level for check in all_checks()})
    if options.tolerance_multiplier:
        table = kill_table(load(DEFAULT), wanted, levels=DETERMINISTIC)
        curve = sensitivity(table)
        printer.curve(curve)
        if place is not None:
            json_report.write(kills.curve_as_json(curve), place)
        return int(ExitCode.FAILS if table.false_kills else ExitCode.CONFORMS)
    printer.header()
    table = kill_table(load(DEFAULT), wanted, printer.line, seed=options.seed)
    printer.footer(table)
    if place is not None:
        json_report.write(kills.as_json(table), place)
    return int(ExitCode.CONFORMS if table.ok else ExitCode.FAILS)


def _diagnose(options: argparse.Namespace, terminal: Terminal) -> int:
    place = json_report.check_path(options.json) if options.json else None
    named = options.subject or options.harness
    chosen = (options.recordings, named, options.confusion, options.pairs)
    if sum(map(bool, chosen)) != 1:
        raise UsageError(
            "give recordings, or --subject, or --command, or --confusion, or --pairs"
        )
    if options.time_limit is not None and not options.harness:
        raise UsageError("a time limit is kept for a --command only")
    if options.pairs:
        pair_printer = PairPrinter(terminal)
        pairs = diagnosed(couples(), pair_printer.line)
        pair_printer.footer(pairs)
        data = diagnoses.pairs_as_json(pairs)
        fine = not any(pair.verdict == "wrong" for pair in pairs)
    elif options.confusion:
        printer = ConfusionPrinter(terminal)
        printer.header()
        table = confusion(load(DEFAULT), None, printer.line, seed=options.seed)
        printer.footer(table)
        data, fine = diagnoses.as_json(table), table.ok
    elif named:
        return _diagnose_subject(options, terminal, place)
    else:
        data, fine = _diagnose_recordings(options, terminal)
    if place is not None:
        json_report.write(data, place)
    return int(ExitCode.CONFORMS if fine else ExitCode.FAILS)


def _diagnose_recordings(
    options: argparse.Namespace, terminal: Terminal
) -> tuple[dict[str, Any], bool]:
    """What is told of each, and whether nothing is wrong."""
    recordings = {path: read(path) for path in options.recordings}
    found = {path: diagnose_recording(r) for path, r in recordings.items()}
    for path, told in found.items():
        if told is None:
            print_nothing(terminal, path, *recordings[path].answered)
        else:
            print_diagnosis(terminal, path, told)
    told_of = {k: told.as_whole() if told else None for k, told in found.items()}
    return {"schema": 1, "diagnoses": told_of}, not any(found.values())


def _diagnose_subject(
    options: argparse.Namespace, terminal: Terminal, place: Path | None
) -> int:
    subject = connect(options.subject, options.harness, options.time_limit)
    named = options.subject or options.harness
    examined = examine(subject, seed=options.seed)
    for what, told in examined.found.items():
        print_diagnosis(terminal, what, told)
    if examined.empty:
        terminal.paragraph(f"{named}: ", examined.why_empty)
    elif not examined.found:
        counts = examined.answered, examined.asked
        print_nothing(terminal, named, *counts, examined.refused)
    if place is not None:
        told_of = {what: told.as_whole() for what, told in examined.found.items()}
        questions = {"asked": examined.asked, "answered": examined.answered}
        data = {"schema": 1, "diagnoses": told_of, "questions": questions}
        json_report.write(data, place)
    if examined.empty:
        return int(ExitCode.NOTHING_RUN)
    return int(ExitCode.FAILS if examined.found else ExitCode.CONFORMS)


def _false_alarms(options: argparse.Namespace, terminal: Terminal) -> int:
    place = json_report.check_path(options.json) if options.json else None
    seed = secrets.randbits(32) if options.seed is None else options.seed
    printer = AlarmPrinter(terminal)
    printer.header(options.runs, seed)
    census = false_alarms(options.runs, seed, printer.progress, options.kept)
    printer.footer(census)
    if place is not None:
        json_report.write(alarms.as_json(census), place)
    return int(ExitCode.CONFORMS if census.ok else ExitCode.ORACLE_FAULT)


def _perform(options: argparse.Namespace) -> int:
    terminal = Terminal()
    if options.command == "run":
        return _run(options, terminal)
    if options.command == "mutants":
        return _mutants(options, terminal)
    if options.command == "false-alarms":
        return _false_alarms(options, terminal)
    if options.command == "diagnose":
        return _diagnose(options, terminal)
    if options.command == "vectors":
        return int(vectors.perform(options, terminal))
    if options.command == "list":
        terminal.say(listing(all_checks()))
    else:
        terminal.say("\n\n".join(_explained(options.ids)))
    return int(ExitCode.CONFORMS)


def _explained(words: list[str]) -> list[str]:
    """What is said of mistakes, of errata, of conventions, and of checks."""
    names = [word.upper() for word in words]
    said = [explain_mistake(CATALOGUE[name]) for name in names if name in CATALOGUE]
    errata = [name for name in names if ERRATUM.fullmatch(name)]
    said += [f"{name} is an erratum: see docs/errata.md" for name in errata]
    said += [explain_reading(word) for word in words if word in CONVENTIONS]
    known = (*CATALOGUE, *errata)
    others = [w for w in words if w.upper() not in known and w not in CONVENTIONS]
    return said + [explain(check) for check in _checks_among(others)]


def _checks_among(words: list[str]) -> list[Check]:
    """The checks of these ids, which might have been those of mistakes."""
    try:
        return find(words) if words else []
    except UnknownCheck as unknown:
        known = [*unknown.known, *CATALOGUE]
        raise UnknownCheck(unknown.wanted, known, "check or mistake") from None


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit code, see `verification.runner.ExitCode`.
    """
    for stream in (sys.stdout, sys.stderr):
        _tolerate(stream)
    try:
        with _ended_by_the_second_interrupt():
            return _perform(_parser().parse_args(argv))
    except UsageError as exc:
        return _complain(str(exc), ExitCode.USAGE)
    except OracleFault as exc:
        return _complain(f"{exc}: trust no verdict", ExitCode.ORACLE_FAULT)
    except KeyboardInterrupt:
        return _complain("interrupted", ExitCode.INTERRUPTED)
    except Exception:
        # exit code 1 would blame the subject for a defect of the judge
        traceback.print_exc()
        return _complain("the judge itself failed", ExitCode.ORACLE_FAULT)


@contextmanager
def _ended_by_the_second_interrupt() -> Iterator[None]:
    """Let Ctrl-C be an exception only once: a subject may swallow that."""

    def interrupt(*_: object) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread()
    if not ours or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tolerate(stream: Any) -> None:
    """Let a terminal that lacks a character show another one."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")


def _complain(sentence: str, code: ExitCode) -> int:
    print(f"verification: {sentence}", file=sys.stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
