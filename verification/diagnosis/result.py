"""What a diagnosis says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["NO_MAPPING", "Diagnosis", "both", "joined", "no_mapping"]

NO_MAPPING = "no mapping found"


@dataclass(frozen=True)
class Diagnosis:
    """What a subject really computes.

    Attributes
    ----------
    name : str
        Short: ids of the catalogue, a convention, the paper's terms, or
        `NO_MAPPING`.
    sentence : str
        What the subject does, in the paper's terms.
    route : {"signature", "behaviour", "fit", "law", "none"}
        How that was found.
    ids : tuple of str
        The mistakes of the catalogue that it names; of several answers that nothing
        here tells apart all are named.
    agreement : float or None
        Largest difference between the subject and what is named, relative to the size
        of the answers; None where the route compares no answers.
    equivalent : str
        The problem that the subject solves correctly, if there is one.
    log_odds : float or None
        Natural logarithm of the evidence ratio against the next best law.
    coefficients : str
        Those that were read, where one of them is wrong.
    subject : object
        One that does what is told; None where there is none.
    """

    name: str
    sentence: str
    route: str
    ids: tuple[str, ...] = ()
    agreement: float | None = None
    equivalent: str = ""
    log_odds: float | None = None
    coefficients: str = field(default="", compare=False)
    subject: Any = field(default=None, compare=False, repr=False)

    @property
    def confident(self) -> bool:
        """Whether it names anything."""
        return self.name != NO_MAPPING

    @property
    def said(self) -> str:
        """The name and the sentence, but for a name that is a part of the sentence."""
        if self.route == "fit" or not self.confident:
            return self.sentence
        return f"{self.name}: {self.sentence}"

    def as_check(self) -> dict[str, Any]:
        """As it stands beside a check in the JSON report."""
        return {
            "name": self.name,
            "sentence": self.sentence,
            "agreement": self.agreement,
        }

    def as_whole(self) -> dict[str, Any]:
        """As it stands at the end of the JSON report."""
        return {
            "name": self.name,
            "sentence": self.sentence,
            "equivalent_problem": self.equivalent or None,
        }


def no_mapping(why: str) -> Diagnosis:
    """The answer where nothing fits."""
    return Diagnosis(NO_MAPPING, f"{NO_MAPPING}: {why}", "none")


def both(one: Diagnosis | None, other: Diagnosis | None) -> Diagnosis | None:
    """Two findings of one part of the protocol as one, what is named first."""
    if one is None or other is None:
        return one or other
    first, second = sorted((one, other), key=lambda found: not found.confident)
    further = second.sentence.removeprefix(f"{NO_MAPPING}: ")
    return replace(first, sentence=f"{first.sentence}; besides, {further}")


def joined(diagnoses: list[Diagnosis]) -> Diagnosis | None:
    """Several as one, each name once; those that name something first.

    Of several findings of one name the one that says most is told, and of those
    without a name the first.  None where there are none.
    """
    told = list(dict.fromkeys(diagnoses))
    named = [found for found in told if found.confident]
    named += [found for found in told if not found.confident][:1]
    if not named:
        return None
    fullest: dict[str, Diagnosis] = {}
    for found in named:
        known = fullest.setdefault(found.name, found)
        if len(found.sentence) > len(known.sentence):
            fullest[found.name] = found
    named = list(fullest.values())
    if len(named) == 1:
        return named[0]
    equivalents = dict.fromkeys(found.equivalent for found in named if found.equivalent)
    return Diagnosis(
        ", ".join(fullest),
        "; ".join(dict.fromkeys(found.sentence for found in named)),
        named[0].route,
        tuple(dict.fromkeys(name for found in named for name in found.ids)),
        max((f.agreement for f in named if f.agreement is not None), default=None),
        "; ".join(equivalents),
    )
