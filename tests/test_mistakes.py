"""The catalogue of mistakes and the checks' promises to catch them."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from refimpl import exact
from verification.adapter import Refimpl
from verification.checks import Check, Verdict, all_checks, find, run_check
from verification.errors import UsageError
from verification.mistakes import (
    CATALOGUE,
    ENOUGH,
    MARGIN,
    SEEDS,
    Kill,
    KillTable,
    Mistake,
    entries,
    planted,
)
from verification.mistakes.kill_table import JUDGED
from verification.problems import DEEP_WELL_1, QUADRATIC_2
from verification.subject import METHODS, Subject, Witness

#: Of the vectors, `test_vectors` says it.
CHECKS = [check for check in all_checks() if check.level in JUDGED]
X = np.array([0.8125, -1.3125])

#: In the catalogue for the diagnosis alone: no check promises to catch it.
UNPROMISED: set[str] = set()

#: For the truths or for the subject's search in two dimensions.  `verification run` and
#: `verification mutants` ask them all of every change.
SLOW_CHECKS = {
    *("A-02", "ALG1-02", "ALG2-02", "ALG2-03", "EQ12-01", "EQ12-02", "EQ2-03"),
    *("EQ2-05", "EQ2-09", "EQ2-10", "EQ5-01", "EQ6-01", "EQ6-02", "HEAT-05"),
    *("HEAT-07", "HEAT-08", "MS-11", "MS-R1", "MS-R2", "MS-R3", "TH1-01", "TH3-01"),
}


# --- the catalogue


def test_promises_and_catalogue_agree() -> None:
    promised = {mistake for check in CHECKS for mistake in check.mistakes}
    assert promised <= set(CATALOGUE)
    assert set(CATALOGUE) - promised == UNPROMISED


def test_every_check_promises_to_catch_something() -> None:
    assert [check.id for check in CHECKS if not check.mistakes] == []


@pytest.mark.parametrize("mistake", CATALOGUE.values(), ids=CATALOGUE)
def test_a_mistake_says_what_it_does_to_which_methods(mistake: Mistake) -> None:
    assert CATALOGUE[mistake.id] is mistake
    assert mistake.sentence
    assert len(mistake.name) <= 40
    assert mistake.faults
    assert set(mistake.faults) <= set(METHODS)
    for method, fault in mistake.faults.items():
        # fault(right, *arguments), for the positional arguments of the protocol
        signature = inspect.signature(getattr(Subject, method))
        required = [
            p
            for p in list(signature.parameters.values())[1:]
            if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        inspect.signature(fault).bind(None, *required)


def test_names_and_sentences_are_unique() -> None:
    for field in ("name", "sentence"):
        texts = [getattr(mistake, field) for mistake in CATALOGUE.values()]
        assert len(set(texts)) == len(texts)


# --- planting


def test_a_planted_subject_is_right_in_everything_else() -> None:
    right, wrong = Refimpl(), planted(CATALOGUE["T01"], Refimpl())
    assert wrong.name == "refimpl with T01"
    assert wrong.dtype == right.dtype
    value = right.local_entropy(QUADRATIC_2, X, 0.75)
    assert wrong.local_entropy(QUADRATIC_2, X, 0.75) == -value
    assert wrong.heat(QUADRATIC_2, X, 0.75) == right.heat(QUADRATIC_2, X, 0.75)


def test_nothing_is_planted_in_a_method_that_is_not_there() -> None:
    class Small:
        name, dtype = "small", "float64"

        def heat(self, loss: Any, x: Any, tau: float) -> float:
            return 0.0

    witness = Witness(planted(CATALOGUE["T03"], Small()))
    assert witness.provides("heat")
    assert not witness.provides("local_entropy")


# --- the right subject passes, and every promise is kept


def _marks(slow: bool) -> Any:
    return [pytest.mark.slow] if slow else []


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            check,
            id=check.id,
            marks=_marks(check.stochastic or check.id in SLOW_CHECKS),
        )
        for check in CHECKS
    ],
)
def test_the_right_subject_passes(check: Check) -> None:
    outcome = run_check(check, Witness(Refimpl()))
    assert outcome.verdict is Verdict.PASS, outcome
    assert outcome.not_run == ()


#: One promise of every family; `verification mutants` asks all.
BY_DEFAULT = {
    check.family: (check.id, name)
    for check in reversed(CHECKS)
    for name in reversed(check.mistakes)
    if name in CATALOGUE and check.id not in SLOW_CHECKS
}.values()


@pytest.mark.parametrize(
    ("check", "mistake"),
    [
        pytest.param(
            check,
            CATALOGUE[name],
            id=f"{check.id}-{name}",
            marks=_marks((check.id, name) not in BY_DEFAULT),
        )
        for check in CHECKS
        for name in check.mistakes
        if name in CATALOGUE
    ],
)
def test_a_promised_mistake_is_caught_by_far(check: Check, mistake: Mistake) -> None:
    outcome = run_check(check, Witness(planted(mistake, Refimpl())))
    assert outcome.verdict is Verdict.FAIL
    by_fault = bool(outcome.message)
    by_far = outcome.worst is not None and outcome.worst.ratio >= MARGIN
    assert by_fault or by_far or check.stochastic


def test_the_slow_ones_exist() -> None:
    assert {check.id for check in CHECKS} >= SLOW_CHECKS


def test_a_search_that_ends_too_near_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within sqrt(tau fall), the 2 forgotten: the deep well is beyond it."""
    whole = exact._region

    def nearer(f: Any, q: Any) -> tuple[Any, Any]:
        lower, upper = whole(f, q)
        root = math.sqrt(2)
        return q.x - (q.x - lower) / root, q.x + (upper - q.x) / root

    monkeypatch.setattr(exact, "_region", nearer)
    for check in find(["ALG2-01", "ALG2-03"]):
        (case,) = (case for case in check.cases if case.loss is DEEP_WELL_1)
        first = next(iter(check.body(Witness(Refimpl()), case)))
        assert first.ratio >= MARGIN


# --- the kill table


def table(**margins: dict[str, float | Kill]) -> KillTable:
    chosen = [check for check in CHECKS if check.id in ("EQ2-01", "EQ18-01")]
    found = {
        mistake: {k: v if isinstance(v, Kill) else Kill(v) for k, v in kills.items()}
        for mistake, kills in margins.items()
    }
    return KillTable(chosen, found)


def test_a_table_in_which_every_promise_is_kept() -> None:
    good = table(
        T01={"EQ2-01": 1e9},
        T02={"EQ2-01": math.inf},
        T03={"EQ2-01": 1e4},
        T17={"EQ18-01": 1e6},
        T18={"EQ18-01": 1e6},
    )
    assert (good.survivors, good.dead, good.broken_promises) == ([], [], [])
    assert good.ok
    assert not good.whole
    good.false_kills = ["EQ2-01"]
    assert not good.ok


def test_what_a_table_complains_of() -> None:
    bad = table(T01={}, T02={"EQ18-01": 1e9}, T03={"EQ2-01": 12.0})
    assert bad.survivors == ["T01"]
    assert bad.broken_promises == [
        "EQ2-01 misses T01",
        "EQ2-01 misses T02",
        "EQ2-01 sees T03 at 12 only",
    ]
    assert not bad.ok
    assert table(T01={"EQ2-01": 1e9}).dead == ["EQ18-01"]
    assert table(T01={"EQ2-01": 1e9}).ok  # a part of the catalogue cannot tell


def test_nearly_always_is_enough_and_less_is_not() -> None:
    often = Kill(1e9, ENOUGH, SEEDS)
    seldom = Kill(1e9, ENOUGH - 1, SEEDS)
    assert often.sure
    assert not seldom.sure
    assert not Kill(1e9, 0, 2).sure
    found = table(T01={"EQ2-01": seldom}, T02={"EQ2-01": often})
    assert found.survivors == ["T01"]
    assert f"EQ2-01 sees T01 in {ENOUGH - 1} of {SEEDS} runs only" in (
        found.broken_promises
    )
    assert found.needed == {"EQ2-01": ["T02"]}
    assert found.layers == {"D": ["T02"]}


def test_entries_by_id() -> None:
    assert [mistake.id for mistake in entries(["t06", "M10"])] == ["T06", "M10"]
    assert len(entries([])) == len(CATALOGUE)
    with pytest.raises(UsageError, match="there is no mistake 'T99'; near: T"):
        entries(["T99"])
