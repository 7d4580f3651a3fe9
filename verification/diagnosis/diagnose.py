"""What a failing subject really computes: the routes, in the order of their strength.

Replays say the most, so they come first: the signature names a known mistake, the fit
says what coefficients are used.  What concerns the subject's own random numbers no
replay can show: the pattern of equalities between calls is looked at in any case, and
the law of its outputs where the replays are right or not to be had.

A run is told what explains which of its failing checks.  A mistake explains those that
promise to catch it.  Beyond that, one in the answers to given draws explains all checks
that ask for the methods in which it is, but not those that are about seeds alone; and
one in own randomness none that gives the draws.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from functools import cache

from verification.diagnosis.behaviour import behaviour, has_pattern
from verification.diagnosis.candidates import (
    READINGS,
    REDUCED,
    other_readings,
    reading_in_words,
    right_in,
)
from verification.diagnosis.fit import fit, in_numbers, of_start
from verification.diagnosis.law import by_law
from verification.diagnosis.questions import (
    FAMILIES,
    NOT_FINITE,
    answered,
    difference,
    families_of,
    silent,
)
from verification.diagnosis.result import Diagnosis, both, joined, no_mapping
from verification.diagnosis.signature import Asked, ask, is_single, signature
from verification.errors import in_one_line
from verification.mistakes import CATALOGUE, planted
from verification.mistakes.played import Played
from verification.subject import Witness

__all__ = [
    "Examined",
    "Failure",
    "Findings",
    "diagnose",
    "diagnose_failures",
    "examine",
    "findings",
    "of_family",
]

#: Where the words of a fault begin to differ from question to question.
VARYING = re.compile(r"[\[(\d]")
RECORDINGS = "docs/diagnosis.md#recordings"
#: Levels whose checks look at a subject's own random numbers.
RANDOM = ("S", "T")
#: The methods that a diagnosis asks.
SERVED = {method for methods in FAMILIES.values() for method in methods}


@dataclass(frozen=True)
class Examined:
    """What a subject was asked, and what is wrong.

    Attributes
    ----------
    found : dict of str to Diagnosis
        By the part of the protocol; what concerns own random numbers apart, where
        something else is wrong as well.
    asked, answered : int
        Calls.
    refused : str
        The reason of the first that was refused.
    """

    found: dict[str, Diagnosis]
    asked: int
    answered: int
    refused: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing was answered, so that nothing is known."""
        return not self.answered

    @property
    def why_empty(self) -> str:
        """The same in a sentence."""
        if not self.asked:
            return "nothing could be asked: it offers no method that a diagnosis calls"
        return (
            f"nothing is known: all {self.asked} questions were refused, the first with"
            f' "{self.refused}"; a recorded run may do: {RECORDINGS}'
        )


def examine(
    subject: object, families: Iterable[str] = FAMILIES, *, seed: int | None = None
) -> Examined:
    """What a subject computes, for each part of the protocol that is wrong.

    Parameters
    ----------
    subject : object
        The implementation, see `verification.subject.Subject`.
    families : iterable of str
        Keys of `verification.diagnosis.questions.FAMILIES`; all by default.
    seed : int, optional
        Of the subject's own randomness, where its law is looked at; fresh by default.
    """
    witness = Witness(subject)
    found: dict[str, Diagnosis] = {}
    for family in families:
        seen = findings(witness, family, seed=seed)
        told = seen.given or seen.own
        if told is not None:
            found[family] = told
        if seen.given is not None and seen.own is not None:
            found[f"{family}, without draws"] = seen.own
    asked, refused = witness.calls.total(), witness.refusals.total()
    return Examined(found, asked, asked - refused, next(iter(witness.refusals), ""))


def diagnose(
    subject: object, families: Iterable[str] = FAMILIES, *, seed: int | None = None
) -> dict[str, Diagnosis]:
    """What `examine` finds; nothing for a part where no route finds anything wrong."""
    return examine(subject, families, seed=seed).found


@dataclass(frozen=True)
class Findings:
    """What is wrong with one part of the protocol.

    Attributes
    ----------
    given : Diagnosis or None
        With its answers where all randomness is given, or none is needed.
    own : Diagnosis or None
        With its own random numbers.
    """

    given: Diagnosis | None = None
    own: Diagnosis | None = None

    @property
    def told(self) -> Diagnosis | None:
        """Both as one."""
        if self.given and self.own and self.given.confident and self.own.confident:
            return joined([self.given, self.own])
        return both(self.given, self.own)


def of_family(
    w: Witness, family: str, *, seed: int | None = None, laws: bool = True
) -> Diagnosis | None:
    """What is wrong with one part of the protocol, as one; None if nothing is seen."""
    return findings(w, family, seed=seed, laws=laws).told


def findings(
    w: Witness, family: str, *, seed: int | None = None, laws: bool = True
) -> Findings:
    """What is wrong with one part of the protocol.

    Parameters
    ----------
    laws : bool
        Whether the law of the subject's own random numbers may be looked at.
    """
    if not any(w.provides(method) for method in FAMILIES[family]):
        return Findings()
    asked = ask(w, family)
    wrong = bool(asked.questions) and not asked.is_right
    given = _of_replays(w, family, asked) if wrong else None
    if given is not None and not given.confident:
        return Findings(given)  # there are no answers at all
    seen = behaviour(w, family, None if given is None else given.subject)
    if wrong:
        if given is None and seen is not None and _shows_in_replays(seen, family):
            return Findings(seen)
        return Findings(given or _unexplained(w, family, asked), seen)
    if seen is not None and seen.ids:
        return Findings(own=seen)
    law = by_law(w, family, seed) if laws else None
    if seen is not None and law is not None and law.route == "behaviour":
        return Findings(own=seen)  # the same fault, or more
    return Findings(own=both(law, seen))


def _of_replays(w: Witness, family: str, asked: Asked) -> Diagnosis | None:
    """What explains wrong answers; None if nothing does."""
    mute = all(silent(answer) for answer in asked.answers)
    if not mute:
        named, read = signature(w, asked), fit(w, asked)
        if named is not None:
            return _told(named, read)
        if read is not None:
            return read
    other = _in_other_readings(w, family)
    if other is None and all(isinstance(answer, str) for answer in asked.answers):
        said = f"it gave no answer to compare: {_faults(asked)}"
        return no_mapping(f"{family}: {said}")
    return other


def _faults(asked: Asked) -> str:
    """What is the matter where there are no numbers, each fault once and how often."""
    kinds: dict[str, list[str]] = {}
    for answer, right in zip(asked.answers, asked.right, strict=True):
        if isinstance(answer, str) and difference(answer, right) > 0:
            said = "its answer is not finite" if answer == NOT_FINITE else answer
            # shapes and places differ from question to question
            kinds.setdefault(VARYING.split(said)[0], []).append(said)
    total = len(asked.questions)
    counted = (f"{of[0]}, in {len(of)} of {total} questions" for of in kinds.values())
    return "; ".join(counted)


def _shows_in_replays(seen: Diagnosis, family: str) -> bool:
    """Whether a mistake in what is done with seeds changes what given draws give."""
    return any(not _of_own_randomness(name, family) for name in seen.ids)


@cache
def _of_own_randomness(name: str, family: str) -> bool:
    """Whether a mistake of the catalogue leaves all answers to given draws right."""
    subject = planted(deepcopy(CATALOGUE[name]), Played())
    return ask(Witness(subject), family).is_right


def _unexplained(w: Witness, family: str, asked: Asked) -> Diagnosis:
    """That nothing was found, what was read all the same, and what may say more."""
    faults = _faults(asked)
    if faults and asked.is_right_in_numbers:
        return no_mapping(f"{family}: {faults}; the other answers are right")
    if is_single(asked, w.dtype):
        return no_mapping(
            f"{family}: its answers are right to single precision, and not to the "
            'float64 that it declares: declare dtype = "float32"'
        )
    faults = f"{faults}; " if faults else ""
    if family not in ("Algorithm 3", "Algorithm 4", "Algorithm 5"):
        return no_mapping(
            f"{family}: {faults}no known mistake and no other reading explains its "
            "answers"
        )
    said = (
        f"{family}: {faults}no known mistake, no two of them, no other reading and no "
        "coefficients explain all of its replays"
    )
    read = in_numbers(w, family)
    if read:
        said += f"; on quadratics its moves have {read}"
    elif w.dtype == "float32":
        said += (
            '; run the same code in double precision, dtype = "float64", and the '
            "coefficients can be read one by one"
        )
    elif family != "Algorithm 4" and of_start(w, family) == "refused":
        said += "; offer `start`, and the coefficients can be read one by one"
    return no_mapping(f"{said}; a recorded run may say more: {RECORDINGS}")


def _in_other_readings(w: Witness, family: str) -> Diagnosis | None:
    """The same questions in the readings that the subject does not declare."""
    reduced = ("loss.reduction",) if family in REDUCED else ()
    keys = (*READINGS.get(family, ()), *reduced)
    for key, value in other_readings(keys, w.conventions):
        reread = copy(w)
        reread.conventions = {**w.conventions, key: value}
        asked = ask(reread, family)
        found = _in_reading(reread, asked)
        if found is None or (key in reduced and _hides_examples(asked, found)):
            continue
        name, said = f"{key} = {value}", reading_in_words(key, value, w.conventions)
        if found.name:
            name, said = f"{name}; {found.name}", f"{said}; {found.sentence}"
        return replace(found, name=name, sentence=said)
    return None


def _in_reading(reread: Witness, asked: Asked) -> Diagnosis | None:
    """What explains all answers in a reading, without a name where they are right."""
    if asked.questions and asked.is_right:
        right, gap = right_in(reread.conventions), asked.gap
        return Diagnosis("", "", "signature", (), gap, subject=right)
    if all(isinstance(answer, str) for answer in asked.answers):
        return None
    return signature(reread, asked, combined=False) or fit(reread, asked)


def _hides_examples(asked: Asked, found: Diagnosis) -> bool:
    """Whether no answer tells a sum over examples from their mean.

    Networks are not asked of who sums: what is wrong with them would be out of sight.
    """
    mean, total = Witness(found.subject), Witness(found.subject)
    total.conventions = {**mean.conventions, "loss.reduction": "sum"}
    for q, slack in zip(asked.questions, asked.slack, strict=True):
        pair = answered(mean, q), answered(total, q)
        if not any(isinstance(of, str) for of in pair) and difference(*pair) > slack:
            return False
    return True


def _told(named: Diagnosis, read: Diagnosis | None) -> Diagnosis:
    """A mistake by its name, with the coefficients that are wrong, if any."""
    if read is None or not read.coefficients:
        return named
    sentence = f"{named.sentence}; read off its replays: {read.coefficients}"
    return replace(named, sentence=sentence, equivalent=read.equivalent)


# --- in a run -------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """A check that failed.

    Attributes
    ----------
    methods : tuple of str
        That it called.
    level : str
    mistakes : tuple of str
        That it promises to catch.
    """

    methods: tuple[str, ...]
    level: str = "R"
    mistakes: tuple[str, ...] = ()

    @property
    def about_seeds(self) -> bool:
        """Whether all that it promises to catch is in what is done with seeds."""
        return bool(self.mistakes) and all(map(_concerns_seeds, self.mistakes))


@cache
def _concerns_seeds(name: str) -> bool:
    families = families_of(CATALOGUE[name].faults)
    return has_pattern(name) and all(
        _of_own_randomness(name, family) for family in families
    )


def _explaining(found: Findings, failure: Failure) -> list[Diagnosis]:
    """What of the findings of one part can make this check fail."""
    explaining = []
    if found.given is not None and _explains(found.given, failure):
        explaining.append(found.given)
    if found.own is not None and _explains_randomness(found, found.own, failure):
        explaining.append(found.own)
    return explaining


def _explains(given: Diagnosis, failure: Failure) -> bool:
    if failure.about_seeds:
        return not set(given.ids).isdisjoint(failure.mistakes)
    shown = [method for name in given.ids for method in CATALOGUE[name].faults]
    return not given.ids or not set(shown).isdisjoint(failure.methods)


def _explains_randomness(found: Findings, own: Diagnosis, failure: Failure) -> bool:
    if not set(own.ids).isdisjoint(failure.mistakes):
        return True
    if own.ids and own.route == "behaviour":
        return False
    if failure.about_seeds:
        return own.route == "behaviour"
    return failure.level in RANDOM and found.given is None


def diagnose_failures(
    subject: object, failures: Mapping[str, Failure], *, seed: int
) -> tuple[dict[str, Diagnosis], Diagnosis | None]:
    """What explains the failing checks of a run.

    Parameters
    ----------
    subject : object
    failures : mapping of str to Failure
        By the check's id.
    seed : int
        The run's.

    Returns
    -------
    tuple of (dict of str to Diagnosis, Diagnosis or None)
        For each check that something is said of, and all of it as one.
    """
    known: dict[str, Findings] = {}
    told: dict[str, Diagnosis] = {}
    every: list[Diagnosis] = []
    beyond: list[str] = []
    for check, failure in failures.items():
        called, parts = families_of(failure.methods), list[Diagnosis]()
        for family in called:
            if family not in known:
                known[family] = _guarded(subject, family, seed)
            parts += _explaining(known[family], failure)
        every += parts
        one = joined(parts)
        if one is not None:
            told[check] = one
        elif not set(failure.methods) <= SERVED:
            beyond.append(check)
    if beyond:
        every.append(_of_several_levels(beyond))
        told |= dict.fromkeys(beyond, every[-1])
    return told, joined(every)


def _of_several_levels(checks: list[str]) -> Diagnosis:
    return no_mapping(
        "there is no diagnosis of several temperatures; `verification explain "
        f"{' '.join(checks)}` lists the mistakes that are caught here"
    )


def _guarded(subject: object, family: str, seed: int) -> Findings:
    """The findings of a family; a defect of ours must not spoil a verdict."""
    try:
        return findings(Witness(subject), family, seed=seed)
    except Exception as exc:
        said = f"{family}: the diagnosis itself raised {in_one_line(exc)}"
        return Findings(no_mapping(said))
