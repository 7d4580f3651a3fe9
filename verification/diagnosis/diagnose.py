"""What a failing subject really computes: the routes, in the order of their strength.

Replays say the most, so they come first: the signature names a known mistake, the fit
says what coefficients are used.  Where replays are right or not to be had the subject's
own random numbers are looked at: the pattern of equalities between calls, then the law
of its outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace

from verification.diagnosis.behaviour import behaviour
from verification.diagnosis.candidates import READINGS
from verification.diagnosis.fit import fit
from verification.diagnosis.law import by_law
from verification.diagnosis.questions import FAMILIES, families_of, silent
from verification.diagnosis.result import Diagnosis, both, joined, no_mapping
from verification.diagnosis.signature import ask, signature
from verification.errors import in_one_line
from verification.subject import CONVENTIONS, Witness

__all__ = ["diagnose", "diagnose_failures", "of_family"]


def diagnose(
    subject: object, families: Iterable[str] = FAMILIES, *, seed: int | None = None
) -> dict[str, Diagnosis]:
    """What a subject computes, for each part of the protocol that is wrong.

    Parameters
    ----------
    subject : object
        The implementation, see `verification.subject.Subject`.
    families : iterable of str
        Keys of `verification.diagnosis.questions.FAMILIES`; all by default.
    seed : int, optional
        Of the subject's own randomness, where its law is looked at; fresh by default.

    Returns
    -------
    dict of str to Diagnosis
        Nothing for a family where no route finds anything wrong.
    """
    witness = Witness(subject)
    found = {family: of_family(witness, family, seed=seed) for family in families}
    return {family: told for family, told in found.items() if told is not None}


def of_family(
    w: Witness, family: str, *, seed: int | None = None, laws: bool = True
) -> Diagnosis | None:
    """What is wrong with one part of the protocol; None if nothing is seen.

    Parameters
    ----------
    laws : bool
        Whether the subject's own random numbers may be looked at.
    """
    if not any(w.provides(method) for method in FAMILIES[family]):
        return None
    asked = ask(w, family)
    wrong = bool(asked.questions) and not asked.is_right
    mute = all(silent(answer) for answer in asked.answers)
    if wrong and not mute:
        named, read = signature(w, asked), fit(w, asked)
        if named is not None:
            return _told(named, read)
        if read is not None:
            return read
    if wrong:
        other = _in_other_readings(w, family)
        if other is not None:
            return other
        if mute:
            return no_mapping(
                f"{family}: it gave no answer to compare: {asked.answers[0]}"
            )
    seen = behaviour(w, family)
    if seen is not None and seen.ids:
        return seen
    if wrong:
        return both(_unexplained(family), seen)
    law = by_law(w, family, seed) if laws else None
    if seen is not None and law is not None and law.route == "behaviour":
        return seen  # the same fault, or more
    return both(law, seen)


def _unexplained(family: str) -> Diagnosis:
    tried = "no known mistake and no other reading explains its answers"
    if family in ("Algorithm 3", "Algorithm 4", "Algorithm 5"):
        tried = (
            "no known mistake, no two of them, no other reading and no coefficients "
            "explain all of its replays"
        )
    return no_mapping(f"{family}: {tried}")


def _in_other_readings(w: Witness, family: str) -> Diagnosis | None:
    """The same questions in the readings that the subject does not declare."""
    for key in READINGS.get(family, ()):
        for value in CONVENTIONS[key]:
            if value == w.conventions[key]:
                continue
            reread = copy(w)
            reread.conventions = {**w.conventions, key: value}
            asked = ask(reread, family)
            reading = f"{key} = {value}"
            said = f"this is the convention {reading}, which is not declared"
            if asked.questions and asked.is_right:
                return Diagnosis(reading, said, "signature", (), 0.0)
            if all(isinstance(answer, str) for answer in asked.answers):
                continue
            named = signature(reread, asked, combined=False) or fit(reread, asked)
            if named is not None:
                name = f"{reading}; {named.name}"
                return replace(named, name=name, sentence=f"{said}; {named.sentence}")
    return None


def _told(named: Diagnosis, read: Diagnosis | None) -> Diagnosis:
    """A mistake by its name, with the coefficients that were read, if any."""
    if read is None:
        return named
    sentence = f"{named.sentence}; read off its replays: {read.sentence}"
    return replace(named, sentence=sentence, equivalent=read.equivalent)


def diagnose_failures(
    subject: object, failures: Mapping[str, Iterable[str]], *, seed: int
) -> tuple[dict[str, Diagnosis], Diagnosis | None]:
    """What explains the failing checks of a run.

    Parameters
    ----------
    subject : object
    failures : mapping of str to iterable of str
        For each failing check the methods it called.
    seed : int
        The run's.

    Returns
    -------
    tuple of (dict of str to Diagnosis, Diagnosis or None)
        For each check that something is said of, and all of it as one.
    """
    known: dict[str, Diagnosis | None] = {}
    told: dict[str, Diagnosis] = {}
    for check, methods in failures.items():
        called = families_of(methods)
        for family in called:
            if family not in known:
                known[family] = _guarded(subject, family, seed)
        one = joined([found for family in called if (found := known[family])])
        if one is not None:
            told[check] = one
    return told, joined([found for found in known.values() if found])


def _guarded(subject: object, family: str, seed: int) -> Diagnosis | None:
    """The diagnosis of a family; a defect of ours must not spoil a verdict."""
    try:
        return of_family(Witness(subject), family, seed=seed)
    except Exception as exc:
        return no_mapping(f"{family}: the diagnosis itself raised {in_one_line(exc)}")
