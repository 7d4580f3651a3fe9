"""The answers a diagnosis may give, each with a subject that acts on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from verification.diagnosis.questions import FAMILIES
from verification.mistakes import CATALOGUE, Mistake, planted
from verification.mistakes._training import Loop, minibatch
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin, examples
from verification.mistakes.networks import Dense
from verification.mistakes.played import Played
from verification.mistakes.robbins_monro import RobbinsMonro
from verification.subject import CONVENTIONS

__all__ = [
    "DECLARABLE",
    "KINDS",
    "PLACES",
    "READINGS",
    "REDUCED",
    "STARTED",
    "Candidate",
    "FromCentre",
    "Summed",
    "changed",
    "conventions",
    "extras",
    "loop_of",
    "other_readings",
    "pairs",
    "reading_in_words",
    "right_in",
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


def right_in(reading: Mapping[str, str]) -> Played:
    """The right subject in a reading, for losses that are the mean of their examples.

    Who declares sums is given examples whose sum is the loss (see `Witness`), so that
    its answers are those of one who averages over the loss itself.
    """
    means = {**reading, "loss.reduction": "mean"}
    return Played(conventions=means, network=_bent(reading["network.relu_at_zero"]))


def slip_of(mistake: Mistake) -> Any:
    """The routine that makes this mistake; None where it is no slip of one."""
    owners = (getattr(fault, "__self__", None) for fault in mistake.faults.values())
    return next((owner for owner in owners if type(owner) in KINDS), None)


def loop_of(mistake: Mistake) -> Loop | None:
    """The loop over weight updates that makes this mistake, if it is one of those."""
    arguments = getattr(mistake.faults.get("train"), "args", ())
    return next((part for part in arguments if isinstance(part, Loop)), None)


def sentence_of(mistake: Mistake, declared: Mapping[str, str] | None = None) -> str:
    """What it does, and whether it may be declared, in what is declared already."""
    if mistake.id not in DECLARABLE:
        return mistake.sentence
    sentence = mistake.sentence
    output = (declared or {}).get("sgld.output", "").partition(":")[2]
    if mistake.id == "X01" and output:
        sentence = sentence.replace(
            "not the epsilon-weighted mean", f"where {output} is declared"
        )
    return f"{sentence} (a reading: {DECLARABLE[mistake.id]})"


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
        sentence = sentence_of(mistake, right.conventions)
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
        both_said = (sentence_of(of, right.conventions) for of in (first, second))
        sentence = "; and ".join(both_said)
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


#: Parts whose questions hold finite sums, which may be summed or averaged.
REDUCED = ("Algorithm 3", "Algorithm 4", "Algorithm 5", "networks", "theory")
#: Which other readings a part of the protocol may follow; see `other_readings`.
READINGS = {
    "Algorithm 3": ("sgld.chain", "sgld.output"),
    "Algorithm 5": ("robbins_monro.moves",),
    "theory": ("scoping.origin",),
    "networks": ("network.relu_at_zero",),
}


def reading_in_words(key: str, value: str, declared: Mapping[str, str]) -> str:
    """That a subject follows another reading than it declares."""
    if key == "loss.reduction" and value == "mean":
        return "it declares loss.reduction = sum, but averages over the examples"
    if key == "loss.reduction":
        return (
            "the loss is summed over its examples, not averaged: declare "
            "loss.reduction = sum, if it is meant"
        )
    said = f"this is the convention {key} = {value}"
    if declared[key] != CONVENTIONS[key][0]:
        return f"{said}, where {declared[key]} is declared"
    return f"{said}, which is not declared"


def conventions(right: Played, family: str) -> list[Candidate]:
    """The right algorithms in every other reading of a family that has one value."""
    found = []
    for key, value in other_readings(READINGS.get(family, ()), right.conventions):
        subject = replace(right, conventions={**right.conventions, key: value})
        if key == "network.relu_at_zero":
            subject = replace(subject, network=_bent(value))
        sentence = reading_in_words(key, value, right.conventions)
        found.append(Candidate(f"{key} = {value}", (), sentence, subject))
    return found


def other_readings(
    keys: Iterable[str], declared: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The values of some conventions that are not declared, but for rates."""
    for key in keys:
        for value in CONVENTIONS[key]:
            if value != declared[key] and not value.endswith(":RATE"):
                yield key, value


def _bent(at_zero: str) -> Dense:
    """A network with this derivative of ReLU at zero."""
    if at_zero == "0":
        return Dense()
    return Dense(bend=lambda at: (at.entering >= 0).astype(np.float64))


@dataclass(frozen=True)
class Summed:
    """A loss that is the sum over its examples, where another is their mean.

    Attributes
    ----------
    mean : LossData
    """

    mean: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mean, name)

    @property
    def factor(self) -> int:
        """N; 1 where it is no finite sum."""
        finite = self.mean.kind in ("least_squares", "network")
        return examples(self.mean) if finite else 1

    def __call__(self, y: Any) -> Any:
        """f, the sum."""
        return self.factor * self.mean(y)

    def gradient(self, y: Any) -> Any:
        """Its gradient."""
        return self.factor * self.mean.gradient(y)


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
    known.append(Candidate("start ignored", (), ignored.sentence, ignored))
    # in runs alone: elsewhere the examples are given by which the readings differ
    summing = Loop(loss=lambda u: Summed(minibatch(u, u.k)))
    said = reading_in_words("loss.reduction", "sum", right.conventions)
    summed = replace(right, loop=summing)
    return [*known, Candidate("loss.reduction = sum", (), said, summed)]
