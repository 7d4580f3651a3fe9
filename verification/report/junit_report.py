"""The report for continuous integration: JUnit XML, as pytest writes and tools read it.

A test case is a check, its class the check's family.

=============  ========================================================
verdict        element
=============  ========================================================
PASS           none
FAIL           ``failure``
INCONCLUSIVE   ``failure``; ``skipped`` where that is tolerated
NOT-RUN        ``skipped``, as is a check that was not reached
=============  ========================================================

A run that was interrupted, ran nothing, or whose judge is at fault has one more case
with an ``error``: so there is a failure or an error exactly where the exit code of the
command is not 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree import ElementTree as ET

from verification.checks import Check, Outcome, Verdict
from verification.report.json_report import environment, suite_version
from verification.report.words import UNREACHED, clean, details, fault, headline
from verification.runner import ExitCode, Report

__all__ = ["as_junit"]

SUITE = "verification"
#: What no verdict of a check tells: the run itself is in error.
ERRORS = (ExitCode.INTERRUPTED, ExitCode.ORACLE_FAULT, ExitCode.NOTHING_RUN)
COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def as_junit(report: Report, when: datetime) -> str:
    """The report as JUnit XML.

    Parameters
    ----------
    report : Report
    when : datetime
        When the run ended.
    """
    root = ET.Element("testsuites", name=SUITE)
    suite = ET.SubElement(root, "testsuite", name=clean(report.subject.name))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", name=name, value=clean(value))
    suite.extend(_cases(report))
    counts = {"tests": len(suite.findall("testcase"))}
    counts |= {name: len(suite.findall(f"*/{tag}")) for name, tag in COUNTED.items()}
    for element in (root, suite):
        element.attrib |= {name: str(count) for name, count in counts.items()}
        element.set("time", f"{report.seconds:.3f}")
    begun = when - timedelta(seconds=report.seconds)
    suite.set("timestamp", begun.isoformat(timespec="seconds"))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "verdict", headline(report)
    yield "exit code", str(int(report.exit_code))
    yield "seed", str(report.seed)
    yield "suite", suite_version()
    yield from environment().items()
    if report.diagnosis is not None:
        yield "diagnosis", report.diagnosis.sentence


def _cases(report: Report) -> Iterator[ET.Element]:
    outcomes = {outcome.check.id: outcome for outcome in report.outcomes}
    for check in report.checks:
        yield _case(report, check, outcomes.get(check.id))
    if report.exit_code in ERRORS:
        case = ET.Element("testcase", classname=SUITE, name="the run", time="0.000")
        kind = report.exit_code.name
        ET.SubElement(case, "error", message=clean(headline(report)), type=kind)
        yield case


def _case(report: Report, check: Check, outcome: Outcome | None) -> ET.Element:
    seconds = outcome.seconds if outcome else 0.0
    case = ET.Element(
        "testcase", classname=check.family, name=check.id, time=f"{seconds:.3f}"
    )
    if outcome is None:
        ET.SubElement(case, "skipped", message=UNREACHED, type=UNREACHED)
    elif outcome.verdict is not Verdict.PASS:
        _complaint(case, report, outcome)
    said = ET.SubElement(case, "system-out")
    said.text = clean("\n".join(_said(check, outcome)))
    return case


def _complaint(case: ET.Element, report: Report, outcome: Outcome) -> None:
    """Why a check is no success."""
    tolerated = outcome.verdict is Verdict.INCONCLUSIVE and report.allow_inconclusive
    skipped = tolerated or outcome.verdict is Verdict.NOT_RUN
    message = clean(fault(outcome))
    element = ET.SubElement(case, "skipped" if skipped else "failure")
    element.attrib |= {"message": message, "type": str(outcome.verdict)}
    if not skipped:
        element.text = clean("\n".join(_evidence(report, outcome)))


def _evidence(report: Report, outcome: Outcome) -> Iterator[str]:
    """What the terminal shows of a failure."""
    check = outcome.check
    yield f"{check.id}, {check.paper}: {check.claim}"
    if outcome.message:
        yield outcome.message
    if outcome.first is not None:
        for name, value in details(outcome, outcome.first):
            yield f"{name:10} {value}"
    found = report.diagnoses.get(check.id)
    if found is not None:
        yield f"{'diagnosis':10} {found.sentence}"
    yield f"{'seed':10} {report.seed}"


def _said(check: Check, outcome: Outcome | None) -> Iterator[str]:
    yield f"{check.paper}: {check.claim}"
    if outcome is None:
        return
    if outcome.worst is not None:
        yield f"largest error: {outcome.worst.ratio:.2g} times the tolerance"
    for case, test in outcome.sequential:
        yield f"{test.n} replicates of {test.what} in {case.label}"
    for label, reason in outcome.not_run:
        yield f"not run: {label}: {reason}"
