"""Two mistakes at once, diagnosed: which pairs are told, and which are not.

The evidence beside the confusion table.  Planted are pairs of slips of the catalogue
that change different parts of a routine, or of a run, every so many of them; and every
slip together with a coefficient that the catalogue lacks, which only the fit can read.
What is told is played on problems that the subject was not asked, and must agree there.

- *named*: both, by their ids.
- *read*: the coefficients are told, by the fit, and make all of the subject.
- *alike*: other mistakes of the catalogue are named, that make the same subject: the
  second does not show beside the first, or both together are another one.
- *unseen*: the subject answers every question as it should.
- *silent*: no mapping was found.
- *wrong*: what is told makes another subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Any

import numpy as np

from verification.diagnosis.candidates import (
    KINDS,
    PLACES,
    changed,
    pairs,
    singles,
    slip_of,
)
from verification.diagnosis.diagnose import of_family
from verification.diagnosis.fit import read_off
from verification.diagnosis.laws import DESIGNS
from verification.diagnosis.questions import FAMILIES, ask_run, difference, runs
from verification.diagnosis.result import Diagnosis
from verification.diagnosis.signature import ask
from verification.mistakes import CATALOGUE
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin
from verification.mistakes.played import Played
from verification.mistakes.robbins_monro import RobbinsMonro
from verification.subject import Witness

__all__ = ["EVERY", "VERDICTS", "Couple", "couples", "diagnosed"]

#: Of the catalogue's pairs one in so many is planted, and these in any case.
EVERY = {"Algorithm 3": 23, "Algorithm 4": 6, "Algorithm 5": 11, "runs": 149}
ALWAYS = ("S02+S04", "S10+S34", "M14+S21")

#: Coefficients that are in no mistake of the catalogue.
COEFFICIENTS: dict[str, Any] = {
    "noise variance 0.81": Langevin(kick=lambda m: 0.9 * m.kick),
    "drift 1.3": Langevin(gradient=lambda m: 1.3 * m.gradient),
    "pull 0.7": Langevin(pull=lambda m: 0.7 * m.pull),
    "pull towards zero": Langevin(pull=lambda m: -m.y / m.tau),
    "weights exp(-1.5 f)": Importance(logs=lambda s, y: -1.5 * s.loss(y)),
    "samples of variance 0.64 tau": Importance(
        points=lambda s: s.spread(0.8 * np.sqrt(s.tau))
    ),
    "gradient 0.8": RobbinsMonro(factor=lambda tau: 0.8 * tau),
    "pull 1.3": RobbinsMonro(pull=lambda m: 1.3 * m.pull),
    "samples of variance 0.49 tau": RobbinsMonro(
        points=lambda m: m.around(m.y, 0.7 * np.sqrt(m.tau))
    ),
}
VERDICTS = ("named", "read", "alike", "unseen", "silent", "wrong")

SAME = 1e-5  # of an output: ten times what the fit is held to
FRESH = 5  # outputs on every problem


@dataclass(frozen=True)
class Couple:
    """Two things that are wrong at once.

    Attributes
    ----------
    family : str
    ids : tuple of str
        The mistakes of the catalogue among them.
    coefficients : tuple of str
        The others.
    subject : Played
    diagnosis : Diagnosis or None
        What it was told, where it was asked.
    verdict : str
        One of `VERDICTS`; "" where it was not asked.
    """

    family: str
    ids: tuple[str, ...]
    coefficients: tuple[str, ...]
    subject: Played
    diagnosis: Diagnosis | None = None
    verdict: str = ""

    @property
    def name(self) -> str:
        """Both."""
        return " + ".join([*self.coefficients, *self.ids])

    @property
    def kind(self) -> str:
        """What it is a couple of, for a table."""
        of = ("slips", "a slip and a coefficient", "coefficients")
        return f"{self.family}, {of[len(self.coefficients)]}"


def couples() -> Iterator[Couple]:
    """All that are planted."""
    right = Played()
    for family, step in EVERY.items():
        for place, pair in enumerate(pairs(right, family)):
            if place % step == 0 or pair.name in ALWAYS:
                yield Couple(family, pair.ids, (), pair.subject)
    slips = [(m.id, slip) for m in CATALOGUE.values() if (slip := slip_of(m))]
    known = [((id_,), (), slip) for id_, slip in slips]
    others = [((), (text,), slip) for text, slip in COEFFICIENTS.items()]
    mixed = ((one, other) for other in others for one in known)
    for (ids, _, one), (_, coefficients, other) in mixed:
        yield from _coupled(ids, coefficients, one, other)
    for (_, first, one), (_, second, other) in combinations(others, 2):
        yield from _coupled((), first + second, one, other)


def _coupled(
    ids: tuple[str, ...], coefficients: tuple[str, ...], one: Any, other: Any
) -> Iterator[Couple]:
    kind = type(one)
    if type(other) is not kind or set(changed(one)) & set(changed(other)):
        return
    slip = replace(one, **changed(other))
    subject = replace(Played(), **{PLACES[kind]: slip})
    yield Couple(KINDS[kind], ids, coefficients, subject)


def diagnosed(
    chosen: Iterable[Couple], on_told: Callable[[Couple], object] | None = None
) -> list[Couple]:
    """What each couple is told.

    Parameters
    ----------
    chosen : iterable of Couple
    on_told : callable, optional
        Called with each as soon as it is known.
    """
    told = []
    for couple in chosen:
        found = of_family(Witness(couple.subject), couple.family, laws=False)
        verdict = _verdict(couple, found)
        told.append(replace(couple, diagnosis=found, verdict=verdict))
        if on_told is not None:
            on_told(told[-1])
    return told


def _verdict(couple: Couple, found: Diagnosis | None) -> str:
    if found is None:
        return "unseen"
    if not found.confident:
        return "silent"
    claimed = _claimed(couple, found)
    if claimed is None or not _same(couple.family, couple.subject, claimed):
        return "wrong"
    if found.route == "fit":
        return "read"
    both = not couple.coefficients and set(couple.ids) <= set(found.ids)
    return "named" if both else "alike"


def _claimed(couple: Couple, found: Diagnosis) -> Any:
    """A subject that does what is told; None if there is none."""
    right, family = Played(), couple.family
    if found.route == "fit":
        w = Witness(couple.subject)
        read = read_off(w, ask(w, family))
        return None if read is None else read[0].subject
    known = chain(singles(right, FAMILIES[family]), pairs(right, family))
    names = found.name.split(" = ")
    return next((c.subject for c in known if c.name in names), None)


def _same(family: str, one: Any, other: Any) -> bool:
    """Whether two subjects agree on problems that no diagnosis asks."""
    rows = zip(_fresh(family, one), _fresh(family, other), strict=True)
    return all(difference(a, b) <= SAME for a, b in rows)


def _fresh(family: str, subject: Any) -> Iterator[Any]:
    w, rng = Witness(subject), np.random.default_rng(1)
    if family == "runs":
        for p in runs():
            z = [rng.standard_normal(np.shape(rows)) for rows in p.more["draws"]]
            if p.more["method"] == "sgld":
                z = [rows[:-1] for rows in z]
            yield np.asarray(ask_run(w, p, z))
    for design in DESIGNS.get(family, ()):
        rows = design.shape(subject.conventions)
        fresh = rng.standard_normal((FRESH, *rows))
        yield np.asarray(design.ask(w, draws=fresh, n=FRESH))
