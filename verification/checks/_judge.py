"""One check, one subject, one verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from verification.checks._check import Check
from verification.checks._trial import Session
from verification.errors import NotRun, OracleFault, SubjectFault, in_one_line
from verification.evidence.comparison import Finding
from verification.evidence.sequential import Evidence
from verification.subject import Witness

__all__ = ["Outcome", "Verdict", "run_check"]


LACKS = "the subject does not provide"


class Verdict(StrEnum):
    """What a check says of a subject."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_RUN = "NOT-RUN"


@dataclass(frozen=True)
class Outcome:
    """A check's verdict and its evidence.

    Attributes
    ----------
    check : Check
        What was run.
    verdict : Verdict
        What it says.
    findings_count, failures : int
        Comparisons made, and those beyond their tolerance.
    cases_run : int
        Cases that were run to their end.
    worst : Finding or None
        The comparison of the largest error-to-tolerance ratio, failures first.
    worst_case : str
        The label of its case.
    worst_at, first_at : object
        The cases of `worst` and of `first` themselves.
    first : Finding or None
        The first comparison beyond its tolerance: cases stand in the order of their
        difficulty, so this is the one to look at.
    undecided : int
        Sequential tests that ended between their two boundaries.
    sequential : tuple of (object, Evidence)
        Every sequential test, with its case.
    not_run : tuple of (str, str)
        Label and reason of each case that was not run.
    message : str
        What else explains the verdict: a fault, or why nothing was run.
    seconds : float
        Wall-clock time.
    calls : mapping of str to int
        The subject's methods that were called, and how often.
    """

    check: Check
    verdict: Verdict
    findings_count: int = 0
    failures: int = 0
    cases_run: int = 0
    worst: Finding | None = None
    worst_case: str = ""
    worst_at: Any = None
    first: Finding | None = None
    first_at: Any = None
    undecided: int = 0
    sequential: tuple[tuple[Any, Evidence], ...] = ()
    not_run: tuple[tuple[str, str], ...] = ()
    message: str = ""
    seconds: float = 0.0
    calls: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Tally:
    """What has been found so far."""

    findings: int = 0
    failures: int = 0
    cases_run: int = 0
    worst: Finding | None = None
    worst_at: Any = None
    first: Finding | None = None
    first_at: Any = None
    sequential: list[tuple[Any, Evidence]] = field(default_factory=list)
    not_run: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, finding: Finding, case: Any) -> None:
        self.findings += 1
        self.failures += not finding.ok
        if self.worst is None or _badness(finding) > _badness(self.worst):
            self.worst, self.worst_at = finding, case
        if self.first is None and not finding.ok:
            self.first, self.first_at = finding, case
        if isinstance(finding, Evidence):
            self.sequential.append((case, finding))

    def tests_of(self, case: Any) -> int:
        return sum(at is case for at, _ in self.sequential)

    @property
    def undecided(self) -> int:
        return sum(test.undecided for _, test in self.sequential)

    def verdict(self) -> Verdict:
        if self.failures or self.faults:
            return Verdict.FAIL
        if self.undecided:
            return Verdict.INCONCLUSIVE
        return Verdict.PASS if self.cases_run else Verdict.NOT_RUN

    def message(self) -> str:
        if self.faults:
            more = len(self.faults) - 1
            return self.faults[0] + (f" (and {more} more such cases)" if more else "")
        if self.undecided and not self.failures:
            total = len(self.sequential)
            return f"{self.undecided} of {total} tests undecided within their budget"
        if not self.cases_run:
            return "; ".join(dict.fromkeys(reason for _, reason in self.not_run))
        return ""


def _badness(finding: Finding) -> tuple[bool, bool, float]:
    """Failures first; a negative control that holds tells nothing of an accuracy."""
    return not finding.ok, finding.relation not in ("!=", ">"), finding.ratio


def run_check(
    check: Check,
    witness: Witness,
    session: Session | None = None,
    *,
    until_failure: bool = False,
) -> Outcome:
    """Run every case of a check.

    Parameters
    ----------
    check : Check
        What to run.
    witness : Witness
        The subject.
    session : Session, optional
        Seed and depth of the run, for stochastic checks.
    until_failure : bool
        Whether to leave out the cases after one that fails.

    Raises
    ------
    OracleFault
        If the check itself is broken: it raised, compared nothing, or never asked
        the subject.
    """
    start = time.perf_counter()
    before = witness.calls.copy()
    tally = _Tally()
    if missing := _missing(check, witness):
        message = f"{LACKS} {', '.join(missing)}"
        return Outcome(check, Verdict.NOT_RUN, message=message)
    try:
        cases = check.cases
    except Exception as exc:
        raise _broken(check, "its cases", exc) from exc
    for case in cases:
        _run_case(check, case, witness, tally, session or Session())
        if until_failure and tally.verdict() is Verdict.FAIL:
            break
    return Outcome(
        check=check,
        verdict=tally.verdict(),
        findings_count=tally.findings,
        failures=tally.failures,
        cases_run=tally.cases_run,
        worst=tally.worst,
        worst_case=tally.worst_at.label if tally.worst_at is not None else "",
        worst_at=tally.worst_at,
        first=tally.first,
        first_at=tally.first_at,
        undecided=tally.undecided,
        sequential=tuple(tally.sequential),
        not_run=tuple(tally.not_run),
        message=tally.message(),
        seconds=time.perf_counter() - start,
        calls=dict(witness.calls - before),
    )


def _missing(check: Check, witness: Witness) -> list[str]:
    """The methods for want of which the check cannot be run."""
    missing = [name for name in check.needs if not witness.provides(name)]
    if not any(witness.provides(name) for name in check.any_of):
        missing += check.any_of
    return missing


def _run_case(
    check: Check, case: Any, witness: Witness, tally: _Tally, session: Session
) -> None:
    calls, findings = witness.calls.total(), tally.findings
    try:
        given = (session.trial(check, case),) if check.stochastic else ()
        for finding in check.body(witness, case, *given):
            if not isinstance(finding, Finding):
                raise TypeError(f"a check yields findings, got {finding!r}")
            tally.add(finding, case)
    except NotRun as reason:
        tally.not_run.append((case.label, str(reason)))
        return
    except SubjectFault as fault:
        tally.faults.append(f"{case.label}: {fault}")
        return
    except Exception as exc:
        raise _broken(check, f"case {case.label!r}", exc) from exc
    if check.stochastic and tally.tests_of(case) > 1:
        # each case has one share of the run's false alarm probability
        raise OracleFault(f"{check.id}, case {case.label!r}: more than one test")
    if tally.findings == findings:
        raise OracleFault(f"{check.id}, case {case.label!r}: nothing was compared")
    if witness.calls.total() == calls:
        raise OracleFault(f"{check.id}, case {case.label!r}: never asked the subject")
    tally.cases_run += 1


def _broken(check: Check, where: str, exc: Exception) -> OracleFault:
    return OracleFault(f"{check.id}, {where}: the check raised {in_one_line(exc)}")
