"""A whole run: the judge examines itself, then the subject."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from verification.checks import (
    LEVELS,
    Check,
    Outcome,
    Session,
    Verdict,
    run_check,
)
from verification.diagnosis import Diagnosis, Failure, diagnose_failures
from verification.errors import OracleFault, in_one_line
from verification.evidence.comparison import Finding
from verification.subject import METHODS, Witness, misspelt

__all__ = [
    "ExitCode",
    "Report",
    "SubjectInfo",
    "describe",
    "run",
    "self_check",
    "trusted",
]

INTERRUPTED = "interrupted"
SELF_CHECK = "the judge's self-check"
SELF_CHECK_FAILED = "the oracle's own self-check failed"


class ExitCode(IntEnum):
    """What the command line returns."""

    CONFORMS = 0
    FAILS = 1
    INTERRUPTED = 2
    ORACLE_FAULT = 3
    USAGE = 4
    NOTHING_RUN = 5
    INCONCLUSIVE = 6


@dataclass(frozen=True)
class SubjectInfo:
    """Who is judged, and what of the protocol it provides.

    Attributes
    ----------
    name, dtype : str
    conventions : dict of str to str
        Complete.
    provided, missing : tuple of str
        Methods.
    misspelt : dict of str to str
        For a missing method the name of its own that may be meant for it.
    """

    name: str
    dtype: str
    conventions: dict[str, str]
    provided: tuple[str, ...]
    missing: tuple[str, ...]
    misspelt: Mapping[str, str] = field(default_factory=dict)


def describe(subject: object) -> SubjectInfo:
    """Name, dtype, conventions and methods of a subject.

    Raises
    ------
    CannotStart
        If it declares a dtype or a convention that does not exist.
    """
    witness = Witness(subject)
    missing = tuple(name for name in METHODS if not witness.provides(name))
    return SubjectInfo(
        witness.name,
        witness.dtype,
        witness.conventions,
        tuple(name for name in METHODS if name not in missing),
        missing,
        misspelt(subject, missing),
    )


@dataclass(frozen=True)
class Report:
    """What a run found.

    Attributes
    ----------
    subject : SubjectInfo
        Who was judged.
    seed : int
        What the run's randomness came from.
    checks : tuple of Check
        What was to be run.
    outcomes : tuple of Outcome
        What was run, in the same order; fewer after an interrupt or an oracle fault.
    self_check : tuple of Finding
        The judge's examination of itself.
    oracle_fault : str
        What is wrong with the judge, if anything.
    interrupted : bool
        Whether the user stopped the run.
    stopped_in : str
        The check of which that was, and the method that was being asked.
    allow_inconclusive : bool
        Whether an INCONCLUSIVE check is tolerated.
    deep : bool
        Whether the stochastic checks were to certify smaller differences.
    seconds : float
        Wall-clock time.
    diagnoses : dict of str to Diagnosis
        For failing checks, what the subject computes in place of what it should.
    diagnosis : Diagnosis or None
        All of them as one.
    """

    subject: SubjectInfo
    seed: int
    checks: tuple[Check, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    self_check: tuple[Finding, ...] = ()
    oracle_fault: str = ""
    interrupted: bool = False
    stopped_in: str = ""
    allow_inconclusive: bool = False
    deep: bool = False
    seconds: float = 0.0
    diagnoses: Mapping[str, Diagnosis] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None

    def of(self, verdict: Verdict) -> list[Outcome]:
        """The outcomes of one verdict."""
        return [outcome for outcome in self.outcomes if outcome.verdict is verdict]

    @property
    def exit_code(self) -> ExitCode:
        """The run's verdict as the command line returns it."""
        if self.oracle_fault:
            return ExitCode.ORACLE_FAULT
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.of(Verdict.FAIL):
            return ExitCode.FAILS
        if len(self.of(Verdict.NOT_RUN)) == len(self.outcomes):
            return ExitCode.NOTHING_RUN
        if self.of(Verdict.INCONCLUSIVE) and not self.allow_inconclusive:
            return ExitCode.INCONCLUSIVE
        return ExitCode.CONFORMS

    @property
    def levels(self) -> dict[str, dict[str, Any]]:
        """Per level: checks run, checks applicable, and reason: count of the others."""
        return {level: self._level(level) for level in LEVELS}

    def _level(self, level: str) -> dict[str, Any]:
        applicable = [check for check in self.checks if check.level == level]
        outcomes = {outcome.check.id: outcome for outcome in self.outcomes}
        reasons: Counter[str] = Counter()
        for check in applicable:
            outcome = outcomes.get(check.id)
            if outcome is None:
                reasons[INTERRUPTED if self.interrupted else "the run was stopped"] += 1
            elif outcome.verdict is Verdict.NOT_RUN:
                reasons[outcome.message] += 1
        return {
            "run": len(applicable) - reasons.total(),
            "applicable": len(applicable),
            "not_run": dict(reasons),
        }


def self_check(seed: int) -> list[Finding]:
    """The judge's examination of itself."""
    from verification.self_check import self_check as examine

    return list(examine(seed))


def trusted(seed: int) -> tuple[Finding, ...]:
    """The findings of the self-check, all of them good.

    Raises
    ------
    OracleFault
        If one of them is not.
    """
    try:
        findings = tuple(self_check(seed))
    except Exception as exc:
        raise OracleFault(f"{SELF_CHECK_FAILED}: it raised {in_one_line(exc)}") from exc
    for finding in findings:
        if not finding.ok:
            raise OracleFault(
                f"{SELF_CHECK_FAILED}: {finding.what}, error {finding.error:.3g} "
                f"beyond {finding.tolerance:.3g}"
            )
    return findings


def run(
    subject: object,
    checks: Iterable[Check],
    *,
    seed: int,
    allow_inconclusive: bool = False,
    deep: bool = False,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> Report:
    """Judge a subject.

    Parameters
    ----------
    subject : object
        The implementation, see `verification.subject.Subject`.
    checks : iterable of Check
        What to run, in this order.
    seed : int
        Where the run's randomness comes from.
    allow_inconclusive : bool
        Whether an INCONCLUSIVE check is tolerated.
    deep : bool
        Whether the stochastic checks certify smaller differences, at greater cost.
    on_outcome : callable, optional
        Called with every outcome as soon as it is known.

    Returns
    -------
    Report
        Of what was run until the end, an interrupt, or a fault of the judge.

    Raises
    ------
    CannotStart
        If the subject declares a dtype or a convention that does not exist.
    """
    start = time.perf_counter()
    info, witness, chosen = describe(subject), Witness(subject), tuple(checks)
    outcomes: list[Outcome] = []
    findings: tuple[Finding, ...] = ()
    fault, interrupted, at = "", False, SELF_CHECK
    try:
        findings = trusted(seed)
        for check in chosen:
            at = check.id
            outcome = run_check(check, witness, Session(seed, deep))
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    except OracleFault as exc:
        fault = str(exc)
    except KeyboardInterrupt:
        interrupted = True
    told: tuple[dict[str, Diagnosis], Diagnosis | None] = {}, None
    if not (fault or interrupted):
        told = _diagnosed(subject, outcomes, seed)
    return Report(
        subject=info,
        seed=seed,
        checks=chosen,
        outcomes=tuple(outcomes),
        self_check=findings,
        oracle_fault=fault,
        interrupted=interrupted,
        stopped_in=_stop(at, witness) if interrupted else "",
        allow_inconclusive=allow_inconclusive,
        deep=deep,
        seconds=time.perf_counter() - start,
        diagnoses=told[0],
        diagnosis=told[1],
    )


def _stop(at: str, witness: Witness) -> str:
    """Where an interrupt came, for a person who wonders what hangs."""
    asked = witness.stopped_in
    return f"{at}, while {asked} was asked" if asked else at


def _diagnosed(
    subject: object, outcomes: Iterable[Outcome], seed: int
) -> tuple[dict[str, Diagnosis], Diagnosis | None]:
    """What explains the failing checks; a subject that conforms is not asked again."""
    failures = {
        outcome.check.id: Failure(
            tuple(outcome.calls or (*outcome.check.needs, *outcome.check.any_of)),
            outcome.check.level,
            outcome.check.mistakes,
        )
        for outcome in outcomes
        if outcome.verdict is Verdict.FAIL
    }
    if not failures:
        return {}, None
    try:
        return diagnose_failures(subject, failures, seed=seed)
    except KeyboardInterrupt:
        return {}, None  # the verdict stands
