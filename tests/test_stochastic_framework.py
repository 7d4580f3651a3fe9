"""How stochastic checks are run: seeds, error rates, verdicts, the census of alarms."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from verification.__main__ import main
from verification.adapter import Refimpl
from verification.checks import (
    REGISTRY,
    SUITE_ALPHA,
    Session,
    Verdict,
    all_checks,
    check,
    find,
    run_check,
    stochastic_cases,
)
from verification.errors import OracleFault, UsageError
from verification.evidence.comparison import Finding, agree, differs
from verification.evidence.sequential import Plan, judge_normal
from verification.false_alarms import LEVELS, Census, Level, Sample, false_alarms
from verification.mistakes import CATALOGUE, planted
from verification.problems import SCALAR_2, at
from verification.report import json_report
from verification.runner import ExitCode, run
from verification.subject import Witness

CASE = at("case", SCALAR_2, 0.5)


class Noise:
    """Answers Algorithm 4 by normals of a given mean and standard deviation."""

    name, dtype = "noise", "float64"

    def __init__(self, mean: float = 0.0, sd: float = 1.0) -> None:
        self.mean, self.sd = mean, sd

    def importance_mean(
        self, loss: Any, x: Any, tau: float, samples: int, *, n: int, seed: int
    ) -> Any:
        z = np.random.default_rng(seed).standard_normal((n, 2))
        return self.mean + self.sd * z


@pytest.fixture
def toy() -> Iterator[str]:
    """A check of level S that expects standard normals."""

    @check(
        "ALG4-99",
        paper="(16)",
        claim="normal",
        truth="N(0, I)",
        route="LAW",
        tolerance="both error rates",
        level="S",
        needs=["importance_mean"],
        cases=[CASE],
    )
    def body(w: Witness, p: Any, trial: Any) -> Iterator[Finding]:
        seeds = trial.seeds()

        def draw(count: int) -> Any:
            return w.importance_mean(p.loss, p.x, p.tau, 3, n=count, seed=next(seeds))

        yield judge_normal("scores", draw, trial.plan)

    stochastic_cases.cache_clear()
    yield "ALG4-99"
    del REGISTRY["ALG4-99"]
    stochastic_cases.cache_clear()


def verdict(name: str, subject: Any, session: Session | None = None) -> Verdict:
    return run_check(REGISTRY[name], Witness(subject), session).verdict


def test_a_right_subject_passes_and_wrong_ones_fail(toy: str) -> None:
    assert verdict(toy, Noise()) is Verdict.PASS
    assert verdict(toy, Noise(mean=0.5)) is Verdict.FAIL
    assert verdict(toy, Noise(sd=1.5)) is Verdict.FAIL


def test_what_is_neither_is_inconclusive(toy: str, monkeypatch: Any) -> None:
    hasty = lambda alpha: Plan(alpha, budget=50)  # noqa: E731
    monkeypatch.setattr("verification.checks._trial.Plan", hasty)
    outcome = run_check(REGISTRY[toy], Witness(Noise()))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert outcome.undecided == 1
    assert outcome.message == "1 of 1 tests undecided within their budget"
    report = run(Noise(), [REGISTRY[toy]], seed=1)
    assert report.exit_code is ExitCode.INCONCLUSIVE
    allowed = run(Noise(), [REGISTRY[toy]], seed=1, allow_inconclusive=True)
    assert allowed.exit_code is ExitCode.CONFORMS


def test_deep_certifies_half_the_differences(toy: str) -> None:
    usual = run_check(REGISTRY[toy], Witness(Noise()), Session(1))
    deep = run_check(REGISTRY[toy], Witness(Noise()), Session(1, deep=True))
    (_, shallow), (_, thorough) = usual.sequential[0], deep.sequential[0]
    assert "mean within 0.2 sd" in shallow.certified
    assert "mean within 0.1 sd" in thorough.certified
    assert thorough.n > 2 * shallow.n


def test_a_case_has_one_test(toy: str) -> None:
    twice = REGISTRY[toy]

    def body(w: Witness, p: Any, trial: Any) -> Iterator[Finding]:
        yield from twice.body(w, p, trial)
        yield from twice.body(w, p, trial)

    broken = type(twice)(**{**vars(twice), "id": "ALG4-98", "body": body})
    with pytest.raises(OracleFault, match="more than one test"):
        run_check(broken, Witness(Noise()))


def test_the_rest_can_be_left_out_after_a_failure() -> None:
    entry = find(["ALG3-L3"])[0]
    whole = run_check(entry, Witness(Refimpl()), until_failure=True)
    assert whole.cases_run == len(entry.cases)
    wrong = Refimpl()
    wrong.sgld_mean = lambda *a, n, **k: np.zeros((n, len(a[1])))  # type: ignore
    outcome = run_check(entry, Witness(wrong), until_failure=True)
    assert (outcome.verdict, outcome.cases_run) == (Verdict.FAIL, 1)


def test_a_wrong_law_is_not_told_as_a_dependence_of_calls() -> None:
    (entry,) = find(["RNG-02"])
    wrong = planted(CATALOGUE["S34"], Refimpl())
    outcome = run_check(entry, Witness(wrong), Session(seed=1), until_failure=True)
    assert outcome.verdict is Verdict.FAIL
    assert outcome.first is not None
    assert "is no dependence of calls" in outcome.first.note
    assert "have the exact law and are independent" in entry.claim


# --- seeds and error rates


def test_seeds_follow_from_run_check_and_case() -> None:
    one, other = find(["ALG3-L1", "ALG3-L2"])
    case = one.cases[0]

    def seeds(session: Session, entry: Any, case: Any) -> list[int]:
        return list(islice(session.trial(entry, case).seeds(), 5))

    first = seeds(Session(1), one, case)
    assert seeds(Session(1), one, case) == first
    assert len(set(first)) == 5
    assert all(0 <= seed < 2**31 for seed in first)
    for changed in (
        seeds(Session(2), one, case),
        seeds(Session(1), other, case),
        seeds(Session(1), one, CASE),
    ):
        assert not set(changed) & set(first)
    rng = Session(1).trial(one, case).rng()
    again = Session(1).trial(one, case).rng()
    assert rng.random() == again.random()


def test_the_false_alarms_of_all_cases_add_up() -> None:
    stochastic = [entry for entry in all_checks() if entry.stochastic]
    alphas = [
        Session().trial(entry, case).plan.alpha
        for entry in stochastic
        for case in entry.cases
    ]
    assert len(alphas) == stochastic_cases()
    assert math.isclose(sum(alphas), SUITE_ALPHA)


# --- reports


def test_the_report_has_every_sequential_test() -> None:
    report = run(Refimpl(), find(["ALG3-L3", "ALG3-T", "EQ1-04"]), seed=3, deep=True)
    data = json_report.as_json(report)
    schema = json.loads(
        (
            json_report.Path(json_report.__file__).parent / "report.schema.json"
        ).read_text()
    )
    jsonschema.validate(data, schema)
    assert data["deep"] is True
    for entry in data["checks"]:
        tests = entry["evidence"]["sequential"]
        assert len(tests) == entry["evidence"]["cases"]
        for test in tests:
            assert test["log_e"] < test["fails_from"]
            assert test["log_ratio"] <= test["passes_below"]
            assert test["path"][-1][0] == test["replicates"]
    worst = data["checks"][1]["evidence"]["worst"]
    assert worst["relation"] == "~"
    assert set(worst["problem"]["given"]) == {"step_sizes", "start"}


def test_a_control_that_holds_is_not_the_worst() -> None:
    control = differs("two", 1.0, 2.0, 0.9)
    good = agree("one", 1.0, 1.0 + 1e-16, 1e-15)

    def body(w: Witness, p: Any) -> Iterator[Finding]:
        w.importance_mean(p.loss, p.x, p.tau, 3, n=1, seed=1)
        yield from (good, control)

    entry = find(["ALG4-R1"])[0]
    changed = replace(entry, id="ALG4-97", body=body)
    outcome = run_check(changed, Witness(Noise()))
    assert outcome.worst == good


# --- false alarms


def census(*largest: float) -> Census:
    found = Census(0)
    found.samples = [Sample({"a": e, "b": -1.0}, (), (), 10) for e in largest]
    return found


def test_alarms_are_counted_at_their_level() -> None:
    at_level = math.log(stochastic_cases() / 0.05)
    levels = {level.nominal: level for level in census(at_level, 0.0).levels}
    assert [levels[alpha].alarms for alpha in LEVELS] == [1, 1, 1, 0]
    assert levels[0.05].rate == 0.5
    assert census(at_level, 0.0).largest == ("a", at_level)


def test_a_rate_far_above_nominal_breaks_the_promise() -> None:
    assert Level(0.05, 5, 100).ok
    assert not Level(0.05, 15, 100).ok
    # 15 of 100 at 0.05: the binomial tail, from its definition
    tail = sum(math.comb(100, k) * 0.05**k * 0.95 ** (100 - k) for k in range(15, 101))
    assert math.isclose(Level(0.05, 15, 100).probability, tail, rel_tol=1e-9)
    assert census(0.0).ok
    broken = census(0.0)
    broken.samples.append(Sample({"a": 0.0}, ("ALG3-L1",), (), 10))
    assert not broken.ok
    unsure = census(0.0)
    unsure.samples.append(Sample({"a": 0.0}, (), ("ALG3-L1",), 10))
    assert not unsure.ok


@pytest.mark.slow
def test_a_small_census(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """At 1e-6 a run, two of them fail once in 500,000 times."""
    place = tmp_path / "alarms.json"
    code = main(["false-alarms", "--runs", "2", "--seed", "5", "--json", str(place)])
    assert code == 0
    assert "nothing speaks against the promise" in capsys.readouterr().out
    data = json.loads(place.read_text())
    assert (data["runs"], data["ok"], data["failures"]) == (2, True, {})
    assert len(false_alarms(1, 5).samples[0].evidence) == stochastic_cases()


THREE = dict.fromkeys(("ALG3-L1, one", "ALG3-L1, two", "ALG4-L1, one"))


@pytest.fixture
def no_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs that are made up, of a suite of three tests; those that were asked for."""
    asked: list[str] = []

    def made_up(tasks: list[tuple[str, frozenset[str]]]) -> Iterator[Sample]:
        for session, known in tasks:
            asked.append(session)
            evidence = {name: len(session) / 3 for name in THREE if name not in known}
            yield Sample(evidence, (), ("ALG3-L1",), int(session.split("/")[1]))

    monkeypatch.setattr("verification.false_alarms._tests", lambda: THREE)
    monkeypatch.setattr("verification.false_alarms._samples", made_up)
    return asked


def test_runs_are_kept_and_not_made_again(no_runs: list[str], tmp_path: Path) -> None:
    kept, told = tmp_path / "runs.jsonl", []
    false_alarms(2, 5, kept=kept)
    with kept.open("a", encoding="utf-8") as file:
        file.write('{"seed": 5, "ru')  # killed in the middle of a line
    census = false_alarms(4, 5, lambda *done: told.append(done), kept)
    assert no_runs == ["5/0", "5/1", "5/2", "5/3"]
    assert told == [(1, 2), (2, 2)]
    assert census.samples == false_alarms(4, 5).samples
    assert false_alarms(3, 5, kept=kept).samples == census.samples[:3]
    assert len(kept.read_text().splitlines()) == 4


def test_a_test_that_is_new_is_added_to_what_was_kept(
    no_runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, more = tmp_path / "runs.jsonl", [*THREE, "MS-L1, one"]
    before = false_alarms(2, 5, kept=kept).samples
    monkeypatch.setattr("verification.false_alarms._tests", lambda: more)
    monkeypatch.setitem(THREE, "MS-L1, one", None)
    after = false_alarms(3, 5, kept=kept).samples
    assert no_runs == ["5/0", "5/1", "5/0", "5/1", "5/2"]
    assert [list(sample.evidence) for sample in after] == [more] * 3
    assert after[1].replicates == 2 * before[1].replicates == 2
    assert false_alarms(3, 5, kept=kept).samples == after
    assert len(no_runs) == 5


@pytest.mark.usefixtures("no_runs")
def test_runs_of_something_else_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "runs.jsonl"
    false_alarms(2, 5, kept=kept)
    with pytest.raises(UsageError, match="holds runs of the seed 5, not 6"):
        false_alarms(2, 6, kept=kept)
    monkeypatch.setattr("verification.false_alarms._tests", lambda: [*THREE][1:])
    with pytest.raises(UsageError, match="holds runs of ALG3-L1, one, a test there is"):
        false_alarms(2, 5, kept=kept)
    kept.write_text("[]\n")
    with pytest.raises(UsageError, match=r"holds a line that is no run: \[\]"):
        false_alarms(2, 5, kept=kept)


def test_a_count_of_runs_is_positive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["false-alarms", "--runs", "0"]) == ExitCode.USAGE
    assert "a count is an integer >= 1, got '0'" in capsys.readouterr().err
