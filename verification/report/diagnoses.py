"""Diagnoses and their confusion table, for people and for programs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from verification.diagnosis.combined import VERDICTS, Couple
from verification.diagnosis.confusion import (
    NEEDED_BY_LAW,
    NEEDED_BY_REPLAY,
    Confusion,
    Told,
)
from verification.diagnosis.result import NO_MAPPING, Diagnosis
from verification.report.terminal import Terminal

__all__ = [
    "ConfusionPrinter",
    "PairPrinter",
    "as_json",
    "pairs_as_json",
    "print_diagnosis",
    "print_nothing",
]

MEANING = {
    "replay": "given its draws",
    "behaviour": "by equalities between calls",
    "law": "by the law of its own outputs alone",
}


def print_nothing(
    terminal: Terminal, what: str, answered: int, asked: int, refused: str = ""
) -> None:
    """That nothing is wrong with a recording, or a subject, and what is known of it.

    Parameters
    ----------
    terminal : Terminal
    what : str
    answered, asked : int
        Questions.
    refused : str
        Why the first of the others was not answered.
    """
    why = f" (the first of the others: {refused})" if refused else ""
    said = f"{answered} of {asked} questions answered{why}"
    terminal.paragraph(
        f"{what}: ", f"nothing is wrong with it as far as was asked: {said}"
    )


def print_diagnosis(terminal: Terminal, what: str, found: Diagnosis) -> None:
    """What one recording or one part of a subject computes."""
    said = found.said.replace(f"{NO_MAPPING}: {what}: ", f"{NO_MAPPING}: ", 1)
    terminal.paragraph(f"{what}: ", said)
    if found.agreement is not None:
        terminal.say(f"  agreement   {found.agreement:.1e}, relative")
    if found.equivalent:
        terminal.paragraph("  equivalent  ", found.equivalent)


class ConfusionPrinter:
    """Prints the table as it grows.

    Parameters
    ----------
    terminal : Terminal
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def header(self) -> None:
        """The column heads."""
        heads = f"{'planted':9}{'in':13}{'route':11}{'verdict':9}counts  named"
        self._terminal.say(heads)
        self._terminal.say("\u2500" * self._terminal.width)

    def line(self, told: Told) -> None:
        """One answer."""
        named = "" if told.diagnosis is None else told.diagnosis.name
        counts = "yes" if told.counts else ""
        head = f"{told.planted:9}{told.family:13}{told.route:11}{told.verdict:9}"
        self._terminal.paragraph(f"{head}{counts:8}", named)

    def footer(self, table: Confusion) -> None:
        """What it all means."""
        self._terminal.say("\u2500" * self._terminal.width)
        needed = {"replay": NEEDED_BY_REPLAY, "law": NEEDED_BY_LAW}
        for route, meaning in MEANING.items():
            right, count = table.counted(route)
            need = f", needed {needed[route]:.0%}" if route in needed else ""
            rate = f"{right / count:.1%}" if count else "–"
            said = f"{right} of {count} named right, {rate}{need}; {meaning}"
            self._terminal.paragraph(f"{route:11}", said)
        wrong = [f"{one.planted} as {_name(one)}" for one in table.wrong]
        self._terminal.paragraph("wrong      ", ", ".join(wrong) or "none")


class PairPrinter:
    """Prints what pairs of mistakes are told, as they are diagnosed.

    Parameters
    ----------
    terminal : Terminal
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def line(self, couple: Couple) -> None:
        """One pair."""
        named = "" if couple.diagnosis is None else couple.diagnosis.name
        head = f"{couple.verdict:7} {couple.family}: {couple.name}: "
        self._terminal.paragraph(head, named)

    def footer(self, told: list[Couple]) -> None:
        """How many of each kind, and which of them are not told as they are."""
        self._terminal.say("\u2500" * self._terminal.width)
        heads = "".join(f"{verdict:>8}" for verdict in VERDICTS)
        self._terminal.say(f"{'pairs of':38}{'all':>6}{heads}")
        for kind, counts in counted(told).items():
            row = "".join(f"{counts[verdict]:>8}" for verdict in VERDICTS)
            self._terminal.say(f"{kind:38}{sum(counts.values()):>6}{row}")
        for verdict in ("alike", "unseen", "silent", "wrong"):
            which = [couple.name for couple in told if couple.verdict == verdict]
            self._terminal.paragraph(f"{verdict:8}", ", ".join(which) or "none")


def counted(told: list[Couple]) -> dict[str, Counter[str]]:
    """For each kind of pair how many have each verdict."""
    counts: dict[str, Counter[str]] = {}
    for couple in told:
        counts.setdefault(couple.kind, Counter())[couple.verdict] += 1
    return counts


def pairs_as_json(told: list[Couple]) -> dict[str, Any]:
    """What pairs are told, as JSON's own types."""
    return {
        "schema": 1,
        "pairs": [
            {
                "family": couple.family,
                "planted": [*couple.coefficients, *couple.ids],
                "verdict": couple.verdict,
                "named": couple.diagnosis.name if couple.diagnosis else "",
                "sentence": couple.diagnosis.sentence if couple.diagnosis else "",
            }
            for couple in told
        ],
        "counts": {kind: dict(counts) for kind, counts in counted(told).items()},
    }


def _name(told: Told) -> str:
    return "" if told.diagnosis is None else told.diagnosis.name


def as_json(table: Confusion) -> dict[str, Any]:
    """The table as JSON's own types."""
    return {
        "schema": 1,
        "told": [
            {
                "planted": one.planted,
                "family": one.family,
                "route": one.route,
                "verdict": one.verdict,
                "counts": one.counts,
                "named": _name(one),
                "sentence": one.diagnosis.sentence if one.diagnosis else "",
                "log_odds": one.diagnosis.log_odds if one.diagnosis else None,
            }
            for one in table.told
        ],
        "right": {route: list(table.counted(route)) for route in MEANING},
        "wrong": [one.planted for one in table.wrong],
    }
