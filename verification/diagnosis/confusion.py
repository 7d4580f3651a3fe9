"""Every mistake of the catalogue diagnosed, with its draws and without.

The evidence for the diagnosis: what it names against what was planted, and above all
how often it is confidently wrong.  Fixed before the measurement:

- A mistake is *identifiable* by its answers if on some question they differ from the
  right ones, and from those of every other mistake, by more than a thousand tolerances.
  By its law, if moreover that law is not the right one (`LAWFUL`).
- An answer is *right* if it names the mistake, alone or among those that give the same
  answers; *silent* if it is no mapping, or none; *wrong* if it names anything else.
- With draws at least `NEEDED_BY_REPLAY` of the identifiable mistakes must be right, by
  the law at least `NEEDED_BY_LAW`, and none may be wrong, of whatever route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from verification.diagnosis.behaviour import behaviour
from verification.diagnosis.candidates import Candidate, singles
from verification.diagnosis.diagnose import of_family
from verification.diagnosis.law import by_law
from verification.diagnosis.laws import DESIGNS
from verification.diagnosis.questions import (
    FAMILIES,
    Answer,
    answered,
    difference,
    families_of,
    is_first_round,
    questions,
    rounding,
    silent,
)
from verification.diagnosis.result import Diagnosis
from verification.mistakes import CATALOGUE, Mistake, planted
from verification.mistakes.played import Played
from verification.subject import Witness

__all__ = [
    "NEEDED_BY_LAW",
    "NEEDED_BY_REPLAY",
    "Confusion",
    "Told",
    "confusion",
    "identifiable",
]

NEEDED_BY_REPLAY = 0.95
NEEDED_BY_LAW = 0.70
MARGIN = 1e3
#: The law of these is that of the right algorithm, up to the last digits of the
#: numbers or on problems that no design has: numbers are rounded to single precision,
#: gradients above 1000 or outputs above 50 are clipped, weights overflow.
LAWFUL = ("I06", "I17", "M11", "X25", "X26", "X27", "X28", "X29")


@dataclass(frozen=True)
class Told:
    """What one mistake was diagnosed as, in one family by one route.

    Attributes
    ----------
    planted : str
    family : str
    route : {"replay", "behaviour", "law"}
    diagnosis : Diagnosis or None
    counts : bool
        Whether the mistake is among those that the route must name.
    """

    planted: str
    family: str
    route: str
    diagnosis: Diagnosis | None
    counts: bool

    @property
    def verdict(self) -> str:
        """Right, silent or wrong."""
        if self.diagnosis is None or not self.diagnosis.confident:
            return "silent"
        return "right" if self.planted in self.diagnosis.ids else "wrong"


@dataclass(frozen=True)
class Confusion:
    """All of them."""

    told: tuple[Told, ...]

    def of(self, route: str) -> list[Told]:
        """Those of one route."""
        return [one for one in self.told if one.route == route]

    def counted(self, route: str) -> tuple[int, int]:
        """Right answers and answers that count."""
        counting = [one for one in self.of(route) if one.counts]
        return sum(one.verdict == "right" for one in counting), len(counting)

    @property
    def wrong(self) -> list[Told]:
        """Confident answers that are wrong, of any route, counting or not."""
        return [one for one in self.told if one.verdict == "wrong"]

    @property
    def ok(self) -> bool:
        """Whether the requirements are met."""
        needs = {"replay": NEEDED_BY_REPLAY, "law": NEEDED_BY_LAW}
        return not self.wrong and all(
            right >= need * count
            for route, need in needs.items()
            for right, count in [self.counted(route)]
        )


def confusion(
    right: Any,
    entries: Iterable[Mistake] | None = None,
    on_told: Callable[[Told], object] | None = None,
    *,
    families: Iterable[str] = tuple(FAMILIES),
    seed: int = 0,
) -> Confusion:
    """Diagnose every mistake planted in a right subject.

    Parameters
    ----------
    right : object
        The subject in which they are planted.
    entries : iterable of Mistake, optional
        The whole catalogue by default.
    on_told : callable, optional
        Called with each answer as soon as it is known.
    families : iterable of str
        The parts of the protocol that are looked at; all by default.
    seed : int
        Of the outputs whose law is looked at.
    """
    chosen = list(CATALOGUE.values()) if entries is None else list(entries)
    told: list[Told] = []
    for mistake in chosen:
        for one in _answers(mistake, right, tuple(families), seed):
            told.append(one)
            if on_told is not None:
                on_told(one)
    return Confusion(tuple(told))


def _answers(
    mistake: Mistake, right: Any, families: tuple[str, ...], seed: int
) -> Iterable[Told]:
    for family in families_of(mistake.faults):
        if family not in families:
            continue
        unlike = mistake.id in identifiable(family)
        w = Witness(planted(deepcopy(mistake), right))
        found = of_family(w, family, laws=False)
        by_behaviour = (
            found is not None and found.route == "behaviour" and found.confident
        )
        route = "behaviour" if by_behaviour else "replay"
        if unlike or found is not None:
            yield Told(mistake.id, family, route, found, unlike or by_behaviour)
        law = FAMILIES[family][0]
        if family in DESIGNS and law in mistake.faults:
            alone = Witness(planted(deepcopy(mistake), right))
            seen = behaviour(alone, family)
            if seen is None or not seen.ids:
                counts = unlike and mistake.id not in LAWFUL
                yield Told(
                    mistake.id, family, "law", by_law(alone, family, seed), counts
                )


def identifiable(family: str) -> tuple[str, ...]:
    """The mistakes whose answers are unlike all others' somewhere."""
    if family not in _IDENTIFIABLE:
        _IDENTIFIABLE[family] = tuple(_unlike(family))
    return _IDENTIFIABLE[family]


_IDENTIFIABLE: dict[str, tuple[str, ...]] = {}


def _unlike(family: str) -> list[str]:
    right = Played()
    witness = Witness(right)
    asked = questions(witness, family)
    slack = [MARGIN * rounding(witness, q.method) for q in asked]
    candidates = [Candidate("", (), "", right), *singles(right, FAMILIES[family])]
    rows: dict[str, list[Answer]] = {}
    for candidate in candidates:
        own = Witness(candidate.subject)
        # twice: answers that change from call to call identify nothing
        first, again = ([answered(own, q) for q in asked] for _ in range(2))
        kept = [place for place, q in enumerate(asked) if not is_first_round(q)]
        if all(_alike(first[place], again[place]) for place in kept):
            rows[candidate.name] = [first[place] for place in kept]
    slack = [
        allowed
        for q, allowed in zip(asked, slack, strict=True)
        if not is_first_round(q)
    ]

    def unlike(one: str, other: str) -> bool:
        return any(
            not difference(a, b) <= allowed
            for a, b, allowed in zip(rows[one], rows[other], slack, strict=True)
            if not (silent(a) and silent(b))
        )

    return [
        name
        for name in rows
        if name and all(unlike(name, other) for other in rows if other != name)
    ]


def _alike(one: Answer, other: Answer) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other if isinstance(other, str) else False
    return bool(np.array_equal(one, other))
