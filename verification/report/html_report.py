"""The report as one page that needs nothing else: no network and no script."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.resources import files
from itertools import groupby
from xml.etree import ElementTree as ET

from verification.checks import LEVELS, ROUTES, Check, Outcome, Verdict
from verification.diagnosis import Diagnosis
from verification.evidence.comparison import Finding
from verification.evidence.sequential import Evidence
from verification.report.html_elements import Child, as_text, h
from verification.report.html_figures import bar, evidence, in_words
from verification.report.json_report import environment, problem, suite_version
from verification.report.words import (
    MEANING,
    UNREACHED,
    details,
    headline,
    in_number,
    required,
)
from verification.runner import INTERRUPTED, ExitCode, Report
from verification.subject import CONVENTIONS

__all__ = ["as_html"]

#: Nothing may be loaded, whatever a subject manages to print.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
LONGEST = 2000  # characters of a problem's data
TONES = {ExitCode.CONFORMS: "pass", ExitCode.FAILS: "fail"}  # others: unsure
CLASSES = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "fail",
    Verdict.INCONCLUSIVE: "unsure",
    Verdict.NOT_RUN: "skip",
}
LEGEND = (
    "A bar shows the correct digits, of 17, of the comparison that comes closest to "
    "its tolerance; the mark shows how many are required. A figure shows what happens "
    "while random outputs arrive, in powers of ten: the evidence against the exact law "
    "(thick line) must stay below the upper boundary, 1/alpha, and the likelihood "
    "ratio for an error of the certified size (thin line) must fall to the lower one, "
    "beta."
)


def as_html(report: Report, again: str, when: datetime) -> str:
    """The report as a page.

    Parameters
    ----------
    report : Report
    again : str
        The command that repeats the run.
    when : datetime
        When the run ended.
    """
    page = h("html", _head(report), _body(report, again, when), lang="en")
    return f"<!DOCTYPE html>\n{as_text(page)}\n"


def _head(report: Report) -> ET.Element:
    style = files("verification.report").joinpath("page.css").read_text("utf-8")
    return h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="color-scheme", content="light dark"),
        h("meta", http_equiv="Content-Security-Policy", content=POLICY),
        h("link", rel="icon", href="data:,"),
        h("title", f"{report.subject.name}: {MEANING[report.exit_code]}"),
        h("style", style),
    )


def _body(report: Report, again: str, when: datetime) -> ET.Element:
    sections = {
        "checks": ("Checks", _checks(report)),
        "not-run": ("Not run", _not_run(report)),
        "failed": ("What failed", _failures(report, Verdict.FAIL)),
        "undecided": ("Undecided", _failures(report, Verdict.INCONCLUSIVE)),
        "again": ("How to repeat this", _again(report, again, when)),
    }
    shown = {name: (title, [*of]) for name, (title, of) in sections.items()}
    shown = {name: pair for name, pair in shown.items() if pair[1]}
    links = [h("a", title, href=f"#{name}") for name, (title, _) in shown.items()]
    parts = [
        h("section", h("h2", title), *content, id=name)
        for name, (title, content) in shown.items()
    ]
    return h(
        "body",
        h("header", *_verdict(report), h("nav", *_spaced(links))),
        h("main", *parts),
    )


def _spaced(elements: list[ET.Element]) -> Iterator[Child]:
    for element in elements:
        yield element
        yield " "


# --- the verdict


def _verdict(report: Report) -> Iterator[Child]:
    """In words, first of all; then what explains it, and what was judged."""
    code = report.exit_code
    yield h("p", "Verdict of verification ", suite_version(), class_="kicker")
    yield h("h1", headline(report), class_=TONES.get(code, "unsure"))
    found = report.diagnosis
    if found is not None:
        yield from _diagnosis(found)
    yield h("dl", *_pairs(_summary(report)))


def _diagnosis(found: Diagnosis) -> Iterator[Child]:
    head = f"{found.name}: " if found.confident else ""
    yield h("p", h("b", "Diagnosis. "), f"{head}{found.sentence}.")
    if found.equivalent:
        yield h("p", h("b", "Equivalent problem. "), f"{found.equivalent}.")


def _summary(report: Report) -> Iterator[tuple[str, Child]]:
    subject = report.subject
    yield "subject", f"{subject.name}, {subject.dtype}"
    chosen = {k: v for k, v in subject.conventions.items() if v != CONVENTIONS[k][0]}
    if chosen:
        yield "readings", ", ".join(f"{k} {v}" for k, v in chosen.items())
    counts = [f"{len(report.of(verdict))} {verdict}" for verdict in Verdict]
    missing = len(report.checks) - len(report.outcomes)
    if missing:
        counts.append(f"{missing} {UNREACHED}")
    yield "checks", ", ".join(counts)
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        links = [_link(outcome) for outcome in report.of(verdict)]
        if links:
            yield str(verdict), h("span", *_spaced(links))
    tests = [test for outcome in report.outcomes for _, test in outcome.sequential]
    if tests:
        replicates = sum(test.n for test in tests)
        yield "random", f"{replicates} replicates in {len(tests)} tests"
    yield "self-check", f"{len(report.self_check)} comparisons of the judge with itself"
    code = int(report.exit_code)
    yield "exit code", f"{code}: {MEANING[report.exit_code]}"


def _link(outcome: Outcome) -> ET.Element:
    """To what is said of a check that does not pass."""
    return h("a", outcome.check.id, href=f"#{outcome.check.id}", class_="id")


def _pairs(pairs: Iterable[tuple[str, Child]]) -> Iterator[ET.Element]:
    for name, value in pairs:
        yield h("dt", name)
        yield h("dd", value)


# --- the table


def _checks(report: Report) -> Iterator[ET.Element]:
    """A table for each level, and in it a body for each family."""
    if report.checks:
        yield h("p", LEGEND, class_="legend")
    outcomes = {outcome.check.id: outcome for outcome in report.outcomes}
    for level, meaning in LEVELS.items():
        checks = [check for check in report.checks if check.level == level]
        if not checks:
            continue
        run = report.levels[level]["run"]
        title = f"{level}: {meaning}, {run} of {in_number(len(checks))} run"
        heads = [h("th", name, scope="col") for name in ("check", "claim", "evidence")]
        families = [
            _family(family, [(check, outcomes.get(check.id)) for check in of])
            for family, of in groupby(checks, key=lambda check: check.family)
        ]
        yield h("h3", title)
        yield h("table", h("thead", h("tr", *heads)), *families)


def _family(family: str, pairs: list[tuple[Check, Outcome | None]]) -> ET.Element:
    counts = Counter(_word(outcome) for _, outcome in pairs)
    tally = ", ".join(f"{count} {word}" for word, count in counts.items())
    head = h("th", family, h("span", tally), scope="rowgroup", colspan="3")
    rows = [_row(check, outcome) for check, outcome in pairs]
    return h("tbody", h("tr", head, class_="family"), *rows)


def _word(outcome: Outcome | None) -> str:
    return UNREACHED if outcome is None else str(outcome.verdict)


def _row(check: Check, outcome: Outcome | None) -> ET.Element:
    kind = "skip" if outcome is None else CLASSES[outcome.verdict]
    name = _link(outcome) if outcome and kind in ("fail", "unsure") else check.id
    return h(
        "tr",
        h("th", name, h("span", _word(outcome), class_=f"verdict {kind}"), scope="row"),
        h("td", check.claim, h("small", check.paper)),
        h("td", *(_evidence(outcome) if outcome else ())),
    )


def _evidence(outcome: Outcome) -> Iterator[Child]:
    """Digits, paths, and what else explains the verdict."""
    if outcome.message:
        yield h("p", outcome.message)
    worst = outcome.worst
    faulty = outcome.verdict is Verdict.FAIL and not outcome.failures
    if worst is not None and not faulty and not isinstance(worst, Evidence):
        yield from _accuracy(worst)
    for case, test in outcome.sequential:
        yield _random(case.label, test)
    if outcome.verdict is not Verdict.NOT_RUN:
        cases = f"{outcome.cases_run} of {len(outcome.check.cases)} cases"
        yield h("small", f"{cases}, {outcome.seconds:.2f} s")


def _accuracy(worst: Finding) -> Iterator[Child]:
    ratio = f"error {worst.ratio:.2g} times the tolerance"
    digits, needed = worst.digits, required(worst)
    if math.isnan(digits):
        what = "inequality" if worst.relation in (">=", "<=") else "negative control"
        yield h("p", f"{what}; {ratio}")
        return
    yield bar(digits, needed)
    yield h("p", f"{digits:.1f} digits, {needed:.1f} required; {ratio}")


def _random(label: str, test: Evidence) -> ET.Element:
    """A path, or without one the final evidence; and what a pass certifies."""
    said = (*in_words(test), f"{test.n} replicates")
    certified = test.ok and not test.undecided
    return h(
        "figure",
        evidence(test) if test.path else None,
        h(
            "figcaption",
            h("b", label),
            f"{test.what}: {'; '.join(said)}.",
            h("small", f"Certified: {test.certified}.") if certified else None,
        ),
    )


# --- what was not run


def _not_run(report: Report) -> Iterator[ET.Element]:
    """Reasons, and the checks and cases they concern."""
    reasons: dict[str, list[str]] = {}
    reached = {outcome.check.id for outcome in report.outcomes}
    stopped = INTERRUPTED if report.interrupted else "the run was stopped"
    for outcome in report.outcomes:
        if outcome.verdict is Verdict.NOT_RUN:
            reasons.setdefault(outcome.message, []).append(outcome.check.id)
            continue
        for label, reason in outcome.not_run:
            reasons.setdefault(reason, []).append(f"{outcome.check.id} ({label})")
    rest = [check.id for check in report.checks if check.id not in reached]
    if rest:
        reasons.setdefault(stopped, []).extend(rest)
    if reasons:
        pairs = ((reason, ", ".join(of)) for reason, of in reasons.items())
        yield h("dl", *_pairs(pairs), class_="reasons")


# --- what failed


def _failures(report: Report, verdict: Verdict) -> Iterator[ET.Element]:
    for outcome in report.of(verdict):
        yield _failure(outcome, report.diagnoses.get(outcome.check.id))


def _failure(outcome: Outcome, found: Diagnosis | None) -> ET.Element:
    check, first = outcome.check, outcome.first
    data = problem(outcome.first_at) if first is not None else None
    return h(
        "article",
        h("h3", check.id, h("span", f"{check.claim} ({check.paper})")),
        h("dl", *_pairs(_told(outcome, found))),
        h("h4", "The problem as data") if data else None,
        h("pre", _data(data)) if data else None,
        id=check.id,
    )


def _told(outcome: Outcome, found: Diagnosis | None) -> Iterator[tuple[str, Child]]:
    check = outcome.check
    if outcome.message:
        yield "what happened", outcome.message
    if outcome.first is not None:
        for name, value in details(outcome, outcome.first):
            yield ("why that tolerance" if name == "allowed" else name), value
    routes = ", ".join(ROUTES[code] for code in ROUTES if code in check.route)
    yield "truth", f"{check.truth} ({routes})"
    if found is not None:
        yield "diagnosis", found.sentence
    if found is not None and found.agreement is not None:
        yield "agreement", f"{found.agreement:.1e}, relative"


def _data(data: dict[str, object]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} … ({len(text)} characters; the whole is in --json)"


# --- how to repeat


def _again(report: Report, again: str, when: datetime) -> Iterator[ET.Element]:
    versions = {"verification": suite_version()} | environment()
    yield h("pre", again)
    yield h(
        "p",
        "The same seed gives the judge the same random numbers, and the subject the "
        "same seeds. What a check claims, and why its tolerance is what it is: ",
        h("code", "verification explain ID"),
        ". The data of a problem become a loss again by ",
        h("code", "verification.losses.from_json"),
        ".",
    )
    pairs: list[tuple[str, Child]] = [
        ("seed", str(report.seed)),
        ("versions", ", ".join(f"{name} {value}" for name, value in versions.items())),
        ("ended", f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".strip()),
        ("took", f"{report.seconds:.1f} s"),
        ("provided", ", ".join(report.subject.provided) or "nothing"),
        ("not provided", ", ".join(report.subject.missing) or "nothing"),
    ]
    yield h("dl", *_pairs(pairs))
