"""The answers a diagnosis may give, each with a subject that acts on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from verification.diagnosis.questions import FAMILIES
from verification.mistakes import CATALOGUE, Mistake, planted
from verification.mistakes._training import Loop
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin
from verification.mistakes.networks import Dense
from verification.mistakes.played import Played
from verification.mistakes.robbins_monro import RobbinsMonro
from verification.subject import CONVENTIONS

__all__ = [
    "DECLARABLE",
    "KINDS",
    "PLACES",
    "READINGS",
    "STARTED",
    "Candidate",
    "FromCentre",
    "changed",
    "conventions",
    "extras",
    "loop_of",
    "pairs",
    "sentence_of",
    "singles",
    "slip_of",
]


@dataclass(frozen=True)
class Candidate:
    """An answer that a diagnosis may give, with the subject that acts on it.

    Attributes
    ----------
    name : str
        Ids joined by "+", or a convention.
    ids : tuple of str
    sentence : str
    subject : object
    """

    name: str
    ids: tuple[str, ...]
    sentence: str
    subject: Any


#: Where a `Played` keeps each of its routines.
PLACES: dict[type, str] = {
    Langevin: "langevin",
    Importance: "importance",
    RobbinsMonro: "descent",
    Loop: "loop",
}
#: The part of the protocol that a routine serves.
KINDS: dict[type, str] = {
    Langevin: "Algorithm 3",
    Importance: "Algorithm 4",
    RobbinsMonro: "Algorithm 5",
}

#: Mistakes that are legitimate readings where they are declared.
DECLARABLE = {
    "H08": "robbins_monro.moves = J-1",
    "X01": "sgld.output = exponential-average:0.25",
    "S28": "loss.reduction = sum, if it is meant",
    "I13": "loss.reduction = sum, if it is meant",
    "M03": "loss.reduction = sum",
    "M13": "minibatch = per-gradient",
    "M15C": "sgld.start = previous, for runs that say so",
}


def slip_of(mistake: Mistake) -> Any:
    """The routine that makes this mistake; None where it is no slip of one."""
    owners = (getattr(fault, "__self__", None) for fault in mistake.faults.values())
    return next((owner for owner in owners if type(owner) in KINDS), None)


def loop_of(mistake: Mistake) -> Loop | None:
    """The loop over weight updates that makes this mistake, if it is one of those."""
    arguments = getattr(mistake.faults.get("train"), "args", ())
    return next((part for part in arguments if isinstance(part, Loop)), None)


def sentence_of(mistake: Mistake) -> str:
    """What it does, and whether it may be declared."""
    if mistake.id not in DECLARABLE:
        return mistake.sentence
    return f"{mistake.sentence} (a reading: {DECLARABLE[mistake.id]})"


def singles(right: Played, methods: tuple[str, ...]) -> list[Candidate]:
    """Every mistake of the catalogue that shows in one of these methods.

    Each candidate is a subject of its own: some mistakes keep something between calls.
    """
    found = []
    for mistake in CATALOGUE.values():
        if not set(mistake.faults) & set(methods):
            continue
        subject: Any = planted(deepcopy(mistake), right)
        slip = slip_of(mistake)
        if slip is not None and set(methods) & {*FAMILIES[KINDS[type(slip)]], "train"}:
            subject = replace(right, **{PLACES[type(slip)]: slip})
        sentence = sentence_of(mistake)
        found.append(Candidate(mistake.id, (mistake.id,), sentence, subject))
    return found


def pairs(right: Played, family: str) -> Iterator[Candidate]:
    """Every two slips of a routine, or of a run, that change different parts."""
    known = {
        kind: [
            (mistake, kind, changed(slip))
            for mistake in CATALOGUE.values()
            if isinstance(slip := loop_of(mistake) or slip_of(mistake), kind)
        ]
        for kind in PLACES
    }
    loops = known.pop(Loop)
    for kind, slips in known.items():
        if family == "runs" or family == KINDS[kind]:
            yield from _combined(right, combinations(slips, 2))
    if family == "runs":
        yield from _combined(right, combinations(loops, 2))
        for slips in known.values():
            yield from _combined(right, product(loops, slips))


def _combined(right: Played, couples: Iterable[tuple[Any, Any]]) -> Iterator[Candidate]:
    for (first, kind, own), (second, other, further) in couples:
        if kind is other and set(own) & set(further):
            continue
        both = replace(right, **{PLACES[kind]: kind(**own)})
        of = getattr(both, PLACES[other])
        both = replace(both, **{PLACES[other]: replace(of, **further)})
        sentence = f"{first.sentence}; and {second.sentence}"
        ids = (first.id, second.id)
        yield Candidate("+".join(ids), ids, sentence, both)


def changed(slip: Any) -> dict[str, Any]:
    """The fields in which a routine differs from the right one."""
    plain = type(slip)()
    return {
        part.name: getattr(slip, part.name)
        for part in fields(slip)
        if getattr(slip, part.name) != getattr(plain, part.name)
    }


#: Which other readings of one value a part of the protocol may follow.
READINGS = {
    "Algorithm 3": ("sgld.chain",),
    "Algorithm 5": ("robbins_monro.moves",),
    "theory": ("scoping.origin",),
    "networks": ("network.relu_at_zero",),
}


def conventions(right: Played, family: str) -> list[Candidate]:
    """The right algorithms in every other reading of a family that has one value."""
    found = []
    for key in READINGS.get(family, ()):
        for value in CONVENTIONS[key]:
            if value == right.conventions[key]:
                continue
            subject = replace(right, conventions={**right.conventions, key: value})
            if key == "network.relu_at_zero":
                subject = replace(subject, network=_bent(value))
            name = f"{key} = {value}"
            sentence = f"this is the convention {name}, which is not declared"
            found.append(Candidate(name, (), sentence, subject))
    return found


def _bent(at_zero: str) -> Dense:
    """A network with this derivative of ReLU at zero."""
    if at_zero == "0":
        return Dense()
    return Dense(bend=lambda at: (at.entering >= 0).astype(np.float64))


#: The methods that take a start, those of Algorithm 3 first.
STARTED = (*FAMILIES["Algorithm 3"], *FAMILIES["Algorithm 5"])


class FromCentre:
    """A subject whose chains start at the centre, whatever start is given."""

    sentence = "a start that is given is ignored: every chain begins at the centre"

    def __init__(self, right: Any) -> None:
        self._right = right
        self.name, self.dtype = right.name, right.dtype
        self.conventions = right.conventions

    def __getattr__(self, method: str) -> Any:
        called = getattr(self._right, method)
        if method not in STARTED:
            return called

        def from_centre(*args: Any, **given: Any) -> Any:
            given.pop("start", None)
            return called(*args, **given)

        return from_centre


def extras(right: Played) -> list[Candidate]:
    """Slips that no check is asked to promise, yet people make."""

    def noiseless_first(m: Any) -> Any:
        return 0.0 * m.z if len(m.states) == 1 else m.kick

    def pull_of_moved(m: Any) -> Any:
        return (m.x - m.y + m.epsilon / 2 * m.gradient) / m.tau

    def gradient_of_moved(m: Any) -> Any:
        return m.loss.gradient(m.y + m.epsilon / 2 * m.pull)

    slips = {
        "first move without noise": (
            Langevin(kick=noiseless_first),
            "the first move of the chain adds no noise",
        ),
        "pull of a state that the gradient has moved": (
            Langevin(pull=pull_of_moved),
            "a move is made in place, in two parts: the pull sees the state that the "
            "gradient has moved already",
        ),
        "gradient of a state that the pull has moved": (
            Langevin(gradient=gradient_of_moved),
            "a move is made in place, in two parts: the gradient is taken at the state "
            "that the pull has moved already",
        ),
    }
    known = [
        Candidate(name, (), said, replace(right, langevin=slip))
        for name, (slip, said) in slips.items()
    ]
    ignored = FromCentre(right)
    return [*known, Candidate("start ignored", (), ignored.sentence, ignored)]
