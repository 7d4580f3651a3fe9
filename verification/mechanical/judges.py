"""Who may catch a mutant: cases of checks, the self-check, and the project's tests."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Any

from verification.checks import Check, Session, Verdict, all_checks, run_check
from verification.connect.in_process import DEFAULT, load
from verification.errors import OracleFault
from verification.self_check import self_check
from verification.subject import Witness

__all__ = ["Judge", "Measured", "checks", "measured", "own", "tests"]

SEED = 20_180_519
"""Of the self-check and of the checks, which use none where they are deterministic."""


@dataclass(frozen=True)
class Judge:
    """One thing that can be run and may complain.

    Attributes
    ----------
    id : str
    layer : {"check", "test", "self-check"}
    complains : callable
        Runs it; whether it found fault.
    """

    id: str
    layer: str
    complains: Callable[[], bool]


def checks(levels: str, family: str = "") -> Iterator[Judge]:
    """Every case of a family's checks of these levels, on the project's own subject."""
    for check in all_checks():
        if check.level in levels and check.id.startswith(family):
            for case in check.cases:
                one = replace(check, source=(case,))
                yield Judge(f"{check.id} {case.label}", "check", _complaint(one))


def _complaint(check: Check) -> Callable[[], bool]:
    def complains() -> bool:
        outcome = run_check(check, Witness(load(DEFAULT)), Session(SEED))
        return outcome.verdict is Verdict.FAIL

    return complains


def own() -> Judge:
    """The judge's examination of itself."""

    def complains() -> bool:
        return not all(finding.ok for finding in self_check(SEED))

    return Judge("self-check", "self-check", complains)


def tests(items: list[Any]) -> Iterator[Judge]:
    """Tests that pytest has collected."""
    for item in items:
        yield Judge(item.nodeid, "test", _failure(item))


def _failure(item: Any) -> Callable[[], bool]:
    def complains() -> bool:
        runner = item.config.pluginmanager.getplugin("runner")
        reports = runner.runtestprotocol(item, log=False, nextitem=None)
        return any(report.failed for report in reports)

    return complains


@dataclass(frozen=True)
class Measured:
    """What a judge does when nothing is wrong.

    Attributes
    ----------
    seconds : float
        Processor time.
    lines : dict of str to list of int
        For each file of interest the lines that it executes.
    fault : str
        Why it cannot judge, if it cannot: it complains of what is right.
    """

    seconds: float
    lines: dict[str, list[int]]
    fault: str = ""


def measured(judge: Judge, filenames: dict[str, str]) -> Measured:
    """Run a judge and watch it; `filenames` maps code's file names to files."""
    lines: dict[str, set[int]] = {}
    trace = _tracer(filenames, lines)
    start, fault, before = time.process_time(), "", sys.gettrace()
    sys.settrace(trace)
    try:
        if judge.complains():
            fault = "it complains of what is right"
    except OracleFault as exc:
        fault = str(exc)
    finally:
        sys.settrace(before)
    seconds = time.process_time() - start
    return Measured(seconds, {f: sorted(of) for f, of in lines.items()}, fault)


def _tracer(filenames: dict[str, str], lines: dict[str, set[int]]) -> Any:
    """A trace function that leaves functions alone once all their lines were seen."""
    left: dict[CodeType, set[int]] = {}

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        del arg
        code = frame.f_code
        if event == "line":
            lines[filenames[code.co_filename]].add(frame.f_lineno)
            left[code].discard(frame.f_lineno)
        return local if left[code] else None

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        del event, arg
        code = frame.f_code
        file = filenames.get(code.co_filename)
        if file is None:
            return None
        if code not in left:
            lines.setdefault(file, set()).add(code.co_firstlineno)
            left[code] = {n for *_, n in code.co_lines() if n} - {code.co_firstlineno}
        return local if left[code] else None

    return trace
