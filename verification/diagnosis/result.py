"""What a diagnosis says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["NO_MAPPING", "Diagnosis", "joined", "no_mapping"]

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
    """

    name: str
    sentence: str
    route: str
    ids: tuple[str, ...] = ()
    agreement: float | None = None
    equivalent: str = ""
    log_odds: float | None = None

    @property
    def confident(self) -> bool:
        """Whether it names anything."""
        return self.name != NO_MAPPING

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


def joined(diagnoses: list[Diagnosis]) -> Diagnosis | None:
    """Several as one, each said once; those that name something first.

    None where there are none.
    """
    told = sorted(dict.fromkeys(diagnoses), key=lambda found: not found.confident)
    named = [found for found in told if found.confident] or told[:1]
    if not named:
        return None
    if len(named) == 1:
        return named[0]
    names = dict.fromkeys(found.name for found in named)
    sentences = dict.fromkeys(found.sentence for found in named)
    equivalents = dict.fromkeys(found.equivalent for found in named if found.equivalent)
    return Diagnosis(
        ", ".join(names),
        "; ".join(sentences),
        named[0].route,
        tuple(dict.fromkeys(name for found in named for name in found.ids)),
        max((f.agreement for f in named if f.agreement is not None), default=None),
        "; ".join(equivalents),
    )
