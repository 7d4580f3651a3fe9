"""Route (a): the subject's answers are those of a known mistake, to rounding.

Every mistake of the catalogue, every other reading of the paper and, where neither
fits, every combination of two slips of one algorithm plays the subject on the same
questions.  A name is given only if its answers agree on all of them, and those of the
right algorithm do not.  Candidates that no question tells apart are named together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from verification.diagnosis.candidates import (
    Candidate,
    conventions,
    extras,
    pairs,
    right_in,
    singles,
)
from verification.diagnosis.questions import (
    Answer,
    Question,
    answered,
    difference,
    is_first_round,
    questions,
    rounding,
    silent,
)
from verification.diagnosis.result import Diagnosis
from verification.mistakes.played import Played
from verification.subject import UNIT_ROUNDOFF, Witness

__all__ = ["Asked", "agreement", "ask", "is_single", "signature"]


@dataclass(frozen=True)
class Asked:
    """Questions with the subject's answers and the right ones.

    Attributes
    ----------
    family : str
    questions : tuple of Question
        Those that the subject answers.
    answers, right : tuple of Answer
    slack : tuple of float
        How far two answers may be apart, relative to their size.
    why : str
        Where nothing was answered: the reason.
    """

    family: str
    questions: tuple[Question, ...]
    answers: tuple[Answer, ...]
    right: tuple[Answer, ...]
    slack: tuple[float, ...]
    why: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the subject answers every question as it should."""
        return self.gap is not None

    @property
    def is_right_in_numbers(self) -> bool:
        """Whether every answer that is numbers is as it should be."""
        rows = zip(self.answers, self.right, self.slack, strict=True)
        return all(
            isinstance(one, str) or difference(one, right) <= slack
            for one, right, slack in rows
        )

    @property
    def gap(self) -> float | None:
        """The largest difference from the right answers; None beyond rounding."""
        return agreement(self.answers, self.right, self.slack)


def agreement(
    ones: Sequence[Answer], others: Sequence[Answer], slack: Sequence[float]
) -> float | None:
    """The largest difference; None if one is beyond its slack."""
    largest = 0.0
    for one, other, allowed in zip(ones, others, slack, strict=True):
        gap = difference(one, other)
        if not gap <= allowed:
            return None
        largest = max(largest, gap)
    return largest


def is_single(asked: Asked, dtype: str) -> bool:
    """Whether answers that are not right are so in single precision, undeclared."""
    single = UNIT_ROUNDOFF["float32"] / UNIT_ROUNDOFF[dtype]
    slack = [single * allowed for allowed in asked.slack]
    return single > 1 and agreement(asked.answers, asked.right, slack) is not None


def ask(w: Witness, family: str) -> Asked:
    """Put all questions of a family to the subject.

    What it does not offer, and the first round of whole runs, is left out.
    """
    right = Witness(right_in(w.conventions))
    kept: list[tuple[Question, Answer, Answer, float]] = []
    reasons: dict[str, None] = {}
    for q in questions(w, family):
        answer = answered(w, q)
        expected = answered(right, q)
        if isinstance(answer, str) and answer.startswith("not run: "):
            reasons[answer.removeprefix("not run: ")] = None
        elif not is_first_round(q):
            kept.append((q, answer, expected, rounding(w, q.method)))
    if not kept:
        why = "; ".join(reasons) or "nothing of it is provided"
        return Asked(family, (), (), (), (), why)
    columns = zip(*kept, strict=True)
    asked, answers, rights, slack = (tuple(column) for column in columns)
    return Asked(family, asked, answers, rights, slack)


def signature(w: Witness, asked: Asked, *, combined: bool = True) -> Diagnosis | None:
    """The one candidate whose answers are the subject's.

    None where the subject is right on these questions, or nothing agrees.  Where no
    single one does pairs are tried, if `combined`.
    """
    if asked.is_right or not asked.questions:
        return None
    right = right_in(w.conventions)
    methods = tuple({q.method for q in asked.questions})
    found = _agreeing(singles(right, methods), asked)
    readings = _agreeing(conventions(right, asked.family), asked)
    if not (found or readings):
        found = _agreeing(extras(right), asked)
    if not (found or readings) and combined:
        found = _agreeing(pairs(right, asked.family), asked)
    return _named([*found, *readings])


def _agreeing(
    candidates: Iterable[Candidate], asked: Asked
) -> list[tuple[Candidate, float]]:
    found = []
    for candidate in candidates:
        gap = _fits(candidate.subject, asked)
        if gap is not None:
            found.append((candidate, gap))
    return found


def _fits(subject: Any, asked: Asked) -> float | None:
    """The largest difference from the subject; None at the first beyond rounding.

    Where the candidate has no numbers, since it breaks or no closed form is known, it
    says nothing; but somewhere it must differ from the right answer.
    """
    witness = Witness(subject)
    if asked.family == "runs" and not isinstance(subject, Played):
        # a first round: some mistakes keep something for the next
        for q in asked.questions:
            answered(witness, q)
    largest, tells = 0.0, False
    columns = zip(asked.questions, asked.answers, asked.right, asked.slack, strict=True)
    for q, answer, right, slack in columns:
        own = answered(witness, q)
        if silent(own):
            continue
        gap = difference(answer, own)
        if not gap <= slack:
            return None
        largest = max(largest, gap)
        tells = tells or not difference(own, right) <= slack
    return largest if tells else None


def _named(found: list[tuple[Candidate, float]]) -> Diagnosis | None:
    if not found:
        return None
    first, gap = found[0]
    name, sentence = first.name, first.sentence
    if len(found) > 1:
        name = " = ".join(candidate.name for candidate, _ in found)
        others = "; or ".join(candidate.sentence for candidate, _ in found[1:])
        sentence = f"{sentence}; or, which gives the same answers: {others}"
    ids = tuple(dict.fromkeys(i for candidate, _ in found for i in candidate.ids))
    return Diagnosis(name, sentence, "signature", ids, gap, subject=first.subject)
