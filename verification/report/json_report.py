"""The report for programs: strict JSON, described by ``report.schema.json``."""

from __future__ import annotations

import json
import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from verification.checks import Outcome
from verification.diagnosis.result import Diagnosis
from verification.errors import UsageError
from verification.evidence.comparison import Finding, as_array
from verification.evidence.sequential import Evidence
from verification.files import draft, replace
from verification.runner import Report

__all__ = [
    "as_json",
    "check_path",
    "environment",
    "problem",
    "suite_version",
    "write",
    "write_text",
]

SCHEMA = 1
WHOLE = 64  # longest array that is written entry by entry
HEAD = 8  # entries shown of a longer one


def suite_version() -> str:
    """The installed version of the suite."""
    try:
        return version("local-entropy-oracle")
    except PackageNotFoundError:
        return "not installed"


def environment() -> dict[str, str]:
    """What the run was made with."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.system(),
    }


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON's own types; infinities and NaN are strings."""
    return {
        "schema": SCHEMA,
        "suite": {
            "version": suite_version(),
            "environment": environment(),
            "self_check": len(report.self_check),
            "oracle_fault": report.oracle_fault,
            "seconds": report.seconds,
        },
        "subject": {
            "name": report.subject.name,
            "dtype": report.subject.dtype,
            "conventions": dict(report.subject.conventions),
            "provided": list(report.subject.provided),
            "missing": list(report.subject.missing),
        },
        "seed": report.seed,
        "deep": report.deep,
        "levels": report.levels,
        "exit_code": int(report.exit_code),
        "stopped_in": report.stopped_in or None,
        "checks": [
            _check(outcome, report.diagnoses.get(outcome.check.id))
            for outcome in report.outcomes
        ],
        "diagnosis": report.diagnosis.as_whole() if report.diagnosis else None,
    }


def _check(outcome: Outcome, diagnosis: Diagnosis | None) -> dict[str, Any]:
    return {
        "id": outcome.check.id,
        "paper": outcome.check.paper,
        "claim": outcome.check.claim,
        "verdict": str(outcome.verdict),
        "evidence": {
            "cases": outcome.cases_run,
            "not_run": [
                {"case": label, "reason": reason} for label, reason in outcome.not_run
            ],
            "findings": outcome.findings_count,
            "failures": outcome.failures,
            "worst": _finding(outcome.worst, outcome.worst_at),
            "first_failure": _finding(outcome.first, outcome.first_at),
            "sequential": [_sequential(*pair) for pair in outcome.sequential],
            "message": outcome.message,
            "calls": dict(outcome.calls),
            "seconds": outcome.seconds,
        },
        "diagnosis": diagnosis.as_check() if diagnosis else None,
    }


def _finding(finding: Finding | None, case: Any) -> dict[str, Any] | None:
    if finding is None:
        return None
    return {
        "what": finding.what,
        "case": case.label,
        "problem": problem(case),
        "relation": finding.relation,
        "measured": _plain(finding.measured),
        "expected": _plain(finding.expected),
        "error": _plain(finding.error),
        "tolerance": _plain(finding.tolerance),
        "ratio": _plain(finding.ratio),
        "digits": _plain(finding.digits),
        "note": finding.note,
    }


def _sequential(case: Any, test: Evidence) -> dict[str, Any]:
    return {
        "what": test.what,
        "case": case.label,
        "replicates": test.n,
        "log_e": _plain(test.error),
        "fails_from": _plain(test.tolerance),
        "log_ratio": _plain(test.certificate),
        "passes_below": _plain(test.needed),
        "undecided": test.undecided,
        "certified": test.certified,
        "path": [[n, _plain(e), _plain(c)] for n, e, c in test.path],
    }


def problem(case: Any) -> dict[str, Any] | None:
    """The loss, x, tau and what else is given, enough to compute a case again.

    A case without a loss, such as a table, is all that it is given.
    """
    held = getattr(case, "more", {})
    more = {k: v for k, v in held.items() if _is_plain(v)}
    given = {"given": json.loads(json.dumps(more, default=_listed))}
    if hasattr(getattr(case, "loss", None), "to_json"):
        return {"loss": case.loss.to_json(), "x": list(case.x), "tau": case.tau} | given
    return given if more else None


def _is_plain(value: Any) -> bool:
    """Whether a value is data, of whatever nesting, and no function or loss."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | np.ndarray | np.generic | None)


def _listed(value: Any) -> Any:
    return value.tolist()


def _plain(value: Any) -> Any:
    """Numbers as JSON numbers, rounded to doubles; long arrays by their beginning."""
    array = as_array(value)
    if array.ndim == 0:
        return _number(array.item())
    if array.size <= WHOLE:
        return [_plain(entry) for entry in array]
    head = [_number(entry) for entry in array.ravel()[:HEAD]]
    return {"shape": list(array.shape), "head": head}


def _number(value: Any) -> float | int | str:
    if isinstance(value, int | np.integer):
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    return number if math.isfinite(number) else str(number)


def check_path(path: str | os.PathLike[str]) -> Path:
    """The place of the report, found fit to be written before the run begins.

    Raises
    ------
    UsageError
        If nothing can be written there.
    """
    place = Path(path).resolve()
    if place.exists() and not place.is_file():
        raise UsageError(f"cannot write the report: {path} is not a regular file")
    if not place.parent.is_dir():
        raise UsageError(f"cannot write the report: there is no folder {place.parent}")
    try:
        with draft(place).open("w"):
            pass
    except OSError as exc:
        raise UsageError(f"cannot write the report to {path}: {exc.strerror}") from exc
    draft(place).unlink()
    return place


def write(data: dict[str, Any], place: Path) -> None:
    """Write a report's data; at no moment is there half of one under its name.

    Raises
    ------
    UsageError
        If it cannot be written after all.
    """
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(text + "\n", place)


def write_text(text: str, place: Path) -> None:
    """Write a report of any form; at no moment is there half of one under its name.

    Lone surrogates, which UTF-8 has no bytes for, are written as JSON writes them.

    Raises
    ------
    UsageError
        If it cannot be written after all.
    """
    try:
        replace(place, text.encode("utf-8", "backslashreplace"))
    except OSError as exc:
        raise UsageError(f"cannot write the report to {place}: {exc.strerror}") from exc
