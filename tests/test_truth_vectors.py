"""The truths against the published vectors, whose digits stand in files.

What the vectors say was derived twice when they were made; a truth that has changed
since then cannot answer them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from verification.checks import Check, Verdict, find, run_check
from verification.subject import Witness
from verification.vectors.truthful import Truthful

#: Where the truths integrate, a second a vector.
INTEGRALS = {
    (name, kind)
    for name in ("VEC-06", "VEC-08")
    for kind in ("quartic", "trigonometric")
}


@cache
def truth() -> Witness:
    return Witness(Truthful())


def by_loss() -> Iterator[Any]:
    """Every family, and of it the vectors of each kind of loss."""
    for check in find(["VEC"]):
        of: dict[str, list[Any]] = {}
        for case in check.cases:
            kind = getattr(case.loss, "kind", "no loss")
            of.setdefault(kind, []).append(case)
        for kind, cases in of.items():
            one = replace(check, source=tuple(cases))
            marks = [pytest.mark.slow] if (check.id, kind) in INTEGRALS else []
            yield pytest.param(one, id=f"{check.id}-{kind}", marks=marks)


@pytest.mark.parametrize("check", [*by_loss()])
def test_the_truths_answer_rightly(check: Check) -> None:
    outcome = run_check(check, truth(), until_failure=True)
    assert outcome.verdict in (Verdict.PASS, Verdict.NOT_RUN), outcome
    assert outcome.cases_run or "minutes" in outcome.message
