"""The published vectors, asked of the subject: what files of answers are judged by."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

from verification.checks._check import check
from verification.evidence.comparison import Finding, agree
from verification.problems import Problem
from verification.subject import Witness
from verification.vectors.asking import METHODS, ask
from verification.vectors.families import FAMILIES, Family
from verification.vectors.reading import Vector, load

_vectors = cache(load)


def _cases(family: str) -> Iterator[Problem]:
    return map(_case, _vectors()[family])


def _case(vector: Vector) -> Problem:
    given = vector.case.input
    centre = given.get("x", given.get("x0", ()))
    about = {"x": tuple(centre), "tau": given.get("tau", 0.0)}
    return Problem(vector.tc_id, vector.case.loss, **about, more={"vector": vector})


def _answers(w: Witness, p: Problem) -> Iterator[Finding]:
    vector: Vector = p.more["vector"]
    answer, tolerance = ask(w, vector.family, vector.case), vector.tolerance(w.dtype)
    what = vector.case.input.get("quantity", METHODS[vector.family][0])
    each = (agree(what, answer, right, tolerance) for right in vector.right)
    yield min(each, key=lambda finding: finding.ratio)


def _place(family: Family) -> str:
    algorithm = f"Algorithm {family.algorithm}, " if family.algorithm else ""
    equations = ", ".join(f"({number})" for number in family.equations)
    return ", ".join(filter(None, (f"{algorithm}Section {family.section}", equations)))


for _number, _family in enumerate(FAMILIES.values(), start=1):
    check(
        f"VEC-{_number:02d}",
        paper=_place(_family),
        claim=f"the vectors {_family.name}: the right answer to each",
        truth="the vectors' digits, each certified by two derivations that share no "
        "formula",
        route="RAT MP2",
        tolerance="the vector's own: four times the running bound of the rounding "
        "errors of any order of summation, in the subject's precision",
        mistakes=_family.mistakes,
        any_of=METHODS[_family.name],
        level="V",
        cases=partial(_cases, _family.name),
    )(_answers)
