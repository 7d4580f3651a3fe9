"""The families: where they stand in the paper, whom they catch, how they are built."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from verification.checks._kit import flat, norm
from verification.errors import NotRun, SubjectFault
from verification.evidence.comparison import exact
from verification.mistakes import CATALOGUE, MARGIN, planted
from verification.subject import UNIT_ROUNDOFF, Witness
from verification.truth import replay
from verification.truth.carriers import MP
from verification.vectors import VERSION
from verification.vectors.asking import METHODS, ask
from verification.vectors.canonical import (
    digits,
    nearest,
    nested,
    rounded_up,
    stable,
    written,
)
from verification.vectors.certified import Answer, answer
from verification.vectors.designs import DESIGNS, WITHDRAWN, Case
from verification.vectors.flags import NOTES, flags
from verification.vectors.truthful import Truthful

__all__ = ["FAMILIES", "Family", "built", "most_of", "numbered_cases", "vector"]

#: Wrong answers that are written with a vector, at most; more where a family has many
#: mistakes and few vectors that show them.
MUST_DIFFER, MORE = 4, {"laws": 8}


#: Mistakes that few vectors show: they do not wait for their turn.
SELDOM = frozenset(
    ("S29", "X22", "X23", "X24", "X25", "X26", "X27", "T11", "M01", "M05", "M29")
)
#: What the laws of an algorithm's output are asked of.
LAW_OF = {3: "sgld_mean", 4: "importance_mean", 5: "robbins_monro"}


@dataclass(frozen=True)
class Family:
    """A file of vectors.

    Attributes
    ----------
    name : str
    algorithm : int or None
    equations : tuple of int
        Of the paper.
    section : str
    mistakes : tuple of str
        Entries of the catalogue, each of which some vector must tell from the truth.
    """

    name: str
    algorithm: int | None
    equations: tuple[int, ...]
    section: str
    mistakes: tuple[str, ...]


def _numbered(letter: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number:02d}" for number in numbers)


def _without(names: tuple[str, ...], *dropped: str) -> tuple[str, ...]:
    return tuple(name for name in names if name not in dropped)


_S = (*_numbered("S", *range(1, 41)), "X01", "X09", "X30")
_H = _numbered("H", *range(1, 26))
#: Not I14, whose answer comes from a random generator.
_I = (*_numbered("I", *range(1, 14), *range(15, 22)), "M17", "M18")
_AFFINE_I = ("I04", "I07", "I08", "I11", "I19", "M17", "M18")

FAMILIES = {
    family.name: family
    for family in (
        Family("sgld_replay", 3, (6, 15), "5.1.1", (*_S, "M11", "X24", "X25")),
        Family("sgld_impulse", 3, (6, 15), "5.1.1", _S[:37]),
        Family("rm_replay", 5, (14, 17), "5.2", (*_H, "X23", "X24", "X26", "X27")),
        Family("is_replay", 4, (16,), "5.1.2", (*_without(_I, "I06"), "X22", "X24")),
        Family("is_extreme", 4, (16,), "5.1.2", ("I02", "I06", "I15", "I17", "I20")),
        Family(
            "local_entropy",
            None,
            (2, 12),
            "2.1",
            ("T01", "T02", "T03", "T04", "T05", "T11", "T13", "T14", "M03"),
        ),
        Family(
            "heat",
            None,
            (),
            "2.2",
            ("T03", "T08", "T08H", "T13", "T14", "T20", "M03"),
        ),
        Family(
            "posterior_moments",
            None,
            (6, 15),
            "3.1",
            ("T03", "T06", "T10", "T12", "T19", "M03"),
        ),
        Family("kl_gauss", None, (7,), "2.3", ("T07", "T21")),
        Family(
            "alg1_steps",
            1,
            (11, 15),
            "3.2",
            ("T03", "T04", "T05", "T06", "T10", "T12", "M03"),
        ),
        Family(
            "alg2_steps",
            2,
            (14,),
            "4.2",
            ("T03", "T06", "T15", "T16", "T24", "M03"),
        ),
        Family(
            "majorizers",
            None,
            (8, 13),
            "3.2, 4.2",
            ("T01", "T02", "T03", "T08", "T09", "T22", "M03"),
        ),
        Family(
            "mlp",
            None,
            (1,),
            "6.1",
            (
                *_numbered("M", 1, 2, 3, 5, 6, 7, 8, 12, 21, 22, 25),
                *_numbered("M", 27, 28, 29, 30),
            ),
        ),
        Family(
            "schedules",
            None,
            (18,),
            "5.3",
            ("T17", "T18", "H05", "H06", "H14", "H16", "H22"),
        ),
        Family(
            "laws",
            None,
            (15, 16, 17),
            "5",
            (*_S[:37], "X01", "X09", *_H, *_AFFINE_I),
        ),
    )
}


# --- ids ------------------------------------------------------------------------------


def numbered_cases(name: str) -> Iterator[tuple[str, Case]]:
    """The cases of a family with their ids: slug and number."""
    count: Counter[str] = Counter()
    for case in DESIGNS[name]():
        count[case.slug] += 1
        yield f"{case.slug}-{count[case.slug]:04d}", case


# --- what must not be answered --------------------------------------------------------

#: Readings of the paper other than the one that a vector is for.
READINGS = {
    "reading:literal": "the other reading of Algorithm 3: J - 1 moves, and the start "
    "is averaged",
    "reading:weighted-mean": "the other reading of the output: the epsilon-weighted "
    "mean of the states",
}


@dataclass(frozen=True)
class _Wrong:
    """The answer of a mistake, and by how many tolerances it is off."""

    name: str
    answer: Any
    ratio: float


def _wrong_answers(family: Family, case: Case) -> Iterator[tuple[str, Any]]:
    """Names of mistakes, or of readings, and their answers where there is one."""
    given = case.input
    readings = {"sgld.chain": "literal", "sgld.output": "weighted-mean"}
    for key in readings.keys() & case.conventions.keys():
        names = ("x", "tau", "step_sizes", "draws", "start")
        run = {name: given[name] for name in names}
        if key == "sgld.chain":  # one move fewer
            run["draws"] = run["draws"][:-1]
        other = replay.langevin(MP(30), case.loss, *run.values())
        yield f"reading:{readings[key]}", nested(float, other.output)
        return
    if "robbins_monro.moves" in case.conventions:
        fewer = {**given, "step_sizes": given["step_sizes"][:-1]}
        case = replace(case, input=fewer, conventions={})
    for name in family.mistakes:
        witness = Witness(planted(CATALOGUE[name], Truthful()))
        try:
            yield name, np.asarray(ask(witness, family.name, case)).tolist()
        except NotRun:
            continue
        except SubjectFault as fault:
            if isinstance(fault.__cause__, TypeError | AttributeError):
                raise  # of ours, not of the mistake
            yield name, None  # it broke, or answered with infinity or NaN


def _wrong(family: Family, case: Case, right: Answer) -> list[_Wrong]:
    """The wrong answers that are off by `MARGIN` tolerances, in the catalogue's order.

    Raises
    ------
    ArithmeticError
        If one is off by more than one tolerance and less than that.
    """
    tolerance, found = _tolerance(right, "float64"), []
    for name, value in _wrong_answers(family, case):
        if value is None:
            found.append(_Wrong(name, None, math.inf))
            continue
        ratio = min(_distance(value, entry) for entry in right.values) / tolerance
        if 1 < ratio < MARGIN:
            raise ArithmeticError(f"{case.slug}: {name} is off by {ratio:.3g} only")
        if ratio >= MARGIN:
            found.append(_Wrong(name, value, ratio))
    return found


def _distance(value: Any, right: Any) -> float:
    pairs = zip(flat(value), flat(right), strict=True)
    return norm(Fraction(exact(a)) - Fraction(exact(b)) for a, b in pairs)


def most_of(name: str) -> int:
    """How many wrong answers a vector of a family has at most."""
    return MORE.get(name, MUST_DIFFER)


def _concerning(name: str, case: Case) -> tuple[str, ...]:
    """The mistakes of a family that are in what a vector asks for."""
    mistakes = FAMILIES[name].mistakes
    if name != "laws":
        return mistakes
    method = LAW_OF[case.input["algorithm"]]
    return tuple(each for each in mistakes if method in CATALOGUE[each].faults)


def _chosen(
    place: int, mistakes: tuple[str, ...], most: int, wrong: list[_Wrong]
) -> list[dict[str, Any]]:
    """The nearest wrong answer, and others by turns, as far as they can be written.

    Turns are by the place of the vector in its family, so that all mistakes have
    theirs and no vector depends on another.
    """
    entries = {w.name: (w.ratio, entry) for w in wrong if (entry := _entry(w))}
    if not entries:
        return []
    first = min(entries, key=lambda name: entries[name][0])
    at = place * (most - 1) % max(1, len(mistakes))
    turns = [name for name in mistakes[at:] + mistakes[:at] if name in entries]
    turns.sort(key=lambda name: name not in SELDOM)
    others = [name for name in turns if name != first][: most - 1]
    return [entries[name][1] for name in (first, *others)]


def _entry(wrong: _Wrong) -> dict[str, Any] | None:
    """A wrong answer in twelve digits; None where the last of them is not certain.

    One that is not finite is written as null.
    """
    if wrong.answer is None:
        return {"mistake": wrong.name, "output": None, "gapOverTol": None}
    scale = max(abs(v) for v in flat(wrong.answer))
    output = nested(lambda v: stable(v, scale), wrong.answer)
    if None in flat(output):
        return None
    return {
        "mistake": wrong.name,
        "output": output,
        "gapOverTol": float(f"{wrong.ratio:.1e}"),
    }


# --- one vector -----------------------------------------------------------------------


def vector(
    name: str, tc_id: str, case: Case, place: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One vector, the one at this place in its family, and its truth's description.

    Raises
    ------
    ArithmeticError
        If its two derivations differ, or a mistake is too near to be told apart.
    """
    right = answer(name, case)
    wrong = _wrong(FAMILIES[name], case, right)
    ratios = [w.ratio for w in wrong if math.isfinite(w.ratio)]
    carried = flags(name, case)
    if not wrong:
        carried = sorted([*carried, "NoKnownMistake"])
    test = {
        "tcId": tc_id,
        "flags": carried,
        "input": {key: written(value) for key, value in case.input.items()},
        "expected": _expected(right, case.digits),
        "bound": _bound(right),
        "mustDiffer": _chosen(place, _concerning(name, case), most_of(name), wrong),
        "nearestMistakeGapOverTol": float(f"{min(ratios):.1e}") if ratios else None,
    }
    truth = {
        "methodA": right.methods[0],
        "methodB": right.methods[1],
        "agreementDigits": right.agreement,
        "certifiedDigits": case.digits,
    }
    return test, truth


def _expected(right: Answer, count: int) -> dict[str, Any]:
    each = [
        {
            "output": nested(lambda v: digits(v, count), value),
            "hex": nested(nearest, value),
        }
        for value in right.values
    ]
    return each[0] if len(each) == 1 else {"anyOf": each}


def _tolerance(right: Answer, dtype: str) -> float:
    granted = 4 * right.scale * UNIT_ROUNDOFF[dtype] + right.numerical
    error = 10.0**-right.agreement * max(norm(flat(v)) for v in right.values)
    if error > granted / 10:
        raise ArithmeticError(f"the truth is known to {error:.3g} only")
    return granted + error


def _bound(right: Answer) -> dict[str, Any]:
    size = max(norm(flat(value)) for value in right.values)
    bound: dict[str, Any] = {"B": rounded_up(right.scale)}
    for dtype, bits in (("float64", 64), ("float32", 32)):
        tolerance = rounded_up(_tolerance(right, dtype))
        bound[f"tolFloat{bits}"] = tolerance
        needed = -math.log10(tolerance / size if size else tolerance)
        bound[f"lreRequired{bits}"] = max(0.0, math.floor(10 * needed) / 10)
    return bound


# --- a whole file ---------------------------------------------------------------------


def built(name: str, progress: Callable[[str], object] | None = None) -> dict[str, Any]:
    """The document of a family.

    Parameters
    ----------
    progress : callable, optional
        Called with every id as soon as its vector is built.
    """
    groups: dict[Any, dict[str, Any]] = {}
    for place, (tc_id, case) in enumerate(numbered_cases(name)):
        if tc_id in WITHDRAWN:
            continue
        test, truth = vector(name, tc_id, case, place)
        readings = tuple(sorted(case.conventions.items()))
        key = (id(case.loss), readings, tuple(truth.items()))
        if key not in groups:
            groups[key] = _group(case, truth)
        groups[key]["tests"].append(test)
        if progress is not None:
            progress(tc_id)
    return _document(FAMILIES[name], list(groups.values()))


def _group(case: Case, truth: dict[str, Any]) -> dict[str, Any]:
    group = {"conventions": case.conventions, "truth": truth, "tests": []}
    if case.loss is not None:
        record = case.loss.to_json()
        group["loss"] = {key: written(value) for key, value in record.items()}
        group["keep"] = case.loss  # so that its id is not another's
    return group


def _document(family: Family, groups: list[dict[str, Any]]) -> dict[str, Any]:
    for group in groups:
        group.pop("keep", None)
    tests = [test for group in groups for test in group["tests"]]
    used = {flag for test in tests for flag in test["flags"]}
    wrong = {entry["mistake"] for test in tests for entry in test["mustDiffer"]}
    paper: dict[str, Any] = {
        "equations": list(family.equations),
        "section": family.section,
    }
    if family.algorithm is not None:
        paper["algorithm"] = family.algorithm
    methods = {
        group["truth"][key] for group in groups for key in ("methodA", "methodB")
    }
    return {
        "schema": f"{family.name}_v1.schema.json",
        "suiteVersion": VERSION,
        "family": family.name,
        "paper": paper,
        "asks": list(METHODS[family.name]),
        "generator": {
            "script": "verification/vectors/generate.py",
            "methods": sorted(methods),
        },
        "numberOfTests": len(tests),
        "notes": {flag: _note(flag) for flag in sorted(used)},
        "mistakes": {name: _said(name) for name in sorted(wrong)},
        "testGroups": groups,
    }


def _note(flag: str) -> dict[str, Any]:
    note = NOTES[flag]
    return {
        "bugType": note.kind,
        "description": note.description,
        "effect": note.effect,
        "links": list(note.links),
    }


def _said(name: str) -> dict[str, str]:
    if name in READINGS:
        return {"name": name.partition(":")[2], "sentence": READINGS[name]}
    entry = CATALOGUE[name]
    return {"name": entry.name, "sentence": entry.sentence}
