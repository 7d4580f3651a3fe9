"""Two records of the benchmark: what is said of them, and how often it is wrong.

The interval is compared with SciPy's exact law of Mann and Whitney's number, which is
another program, and with the count of all orders; how often noise is called a change,
over all orders, too.  Nothing depends on how long anything takes.
"""

import json
from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from refimpl.__main__ import main
from refimpl.errors import InvalidParameter
from refimpl.experiments import benchmark, timing
from refimpl.experiments import benchmark_comparison as comparison
from refimpl.experiments.benchmark import NUMPY, PLAIN, SPAN, Case, Timing
from refimpl.experiments.benchmark_comparison import SAME, compare, interval

SMALL = Case(sizes=(6, 4, 3), batch=3, J=5, M=2)


def record(rounds: int, seed: int, **slower: float) -> list[Timing]:
    """In span ten times as fast as NumPy, compiled five times; noise of 2 %."""
    rng = np.random.default_rng(seed)
    found = []
    for implementation, seconds in ((NUMPY, 1.0), (PLAIN, 0.2), (SPAN, 0.1)):
        for method in ("sgd", "sgld", "is", "hr"):
            if (implementation, method) != (SPAN, "sgd"):
                factor = slower.get(f"{method}_{implementation.replace('-', '_')}", 1.0)
                took = seconds * factor * np.exp(rng.uniform(-0.02, 0.02, rounds))
                found.append(Timing(SMALL, method, implementation, tuple(took)))
    return found


def write(path: Path, timings: list[Timing]) -> str:
    path.write_text("".join(one.to_line() for one in timings), encoding="utf-8")
    return str(path)


# --- the interval


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 5), (5, 10), (7, 7), (8, 3)])
def test_in_how_many_orders(n: int, m: int) -> None:
    ways = comparison._ways(n, m)
    assert sum(ways) == comb(n + m, n)
    assert ways == ways[::-1]
    total = 0
    for u, count in enumerate(ways):
        total += count
        order = with_number(n, m, u)
        exact = mannwhitneyu(*order, alternative="less", method="exact").pvalue
        assert total / comb(n + m, n) == pytest.approx(exact, rel=1e-12)


def with_number(n: int, m: int, u: int) -> tuple[list[float], list[float]]:
    """Two samples in which u pairs have the entry of the first above the second's."""
    full, rest = divmod(u, m)
    first = (
        [-1.0] * (n - full - bool(rest)) + [rest - 0.5] * bool(rest) + [m + 1.0] * full
    )
    return [one + 1e-6 * i for i, one in enumerate(first)], [float(j) for j in range(m)]


@pytest.mark.parametrize(("n", "m", "error"), [(4, 5, 0.1), (6, 6, 0.02), (3, 9, 0.05)])
def test_how_often_the_interval_misses(n: int, m: int, error: float) -> None:
    """Over all orders, which are equally likely if both laws are the same."""
    missed = 0
    values = np.exp(np.linspace(-1, 1, n + m) ** 3)
    for chosen in combinations(range(n + m), n):
        old = values[list(chosen)]
        low, high = interval(old, np.delete(values, chosen), error)
        missed += not low <= 1 <= high
    assert 0 < missed / comb(n + m, n) <= error


def test_the_error_rate_is_used_up() -> None:
    """Of two numbers each is the larger one half of the time."""
    assert interval([1.0], [2.0], 1.0) == (2.0, 2.0)


def test_the_interval_follows_the_scale() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.uniform(1, 2, 8), rng.uniform(1, 2, 9)
    low, high = interval(old, new, 0.05)
    assert low < median(new) / median(old) < high
    assert interval(old, 4 * new, 0.05) == (4 * low, 4 * high)
    assert interval(new, old, 0.05) == pytest.approx((1 / high, 1 / low), rel=1e-15)


def test_as_many_rounds_as_are_promised() -> None:
    """The smallest numbers at which some order is rare enough, 2 / C(n + m, n)."""
    old = record(5, 0)
    share = comparison.ERROR / len(comparison.ratios(old))
    least = next(m for m in range(1, 99) if 2 / comb(5 + m, 5) <= share)
    comparison.require_enough(old, least)
    with pytest.raises(InvalidParameter, match=f"too few .* time {least}$"):
        comparison.require_enough(old, least - 1)
    least = next(m for m in range(1, 99) if 2 / comb(2 * m, m) <= share)
    with pytest.raises(InvalidParameter, match=f"time {least} of both$"):
        comparison.require_enough(record(1, 0), 5)
    with pytest.raises(
        InvalidParameter, match="at most 100 rounds are compared, got 5 a"
    ):
        comparison.require_enough(old, 101)


# --- what is said of two records


def test_what_became_slower_is_named() -> None:
    changes = compare(record(10, 1), record(8, 2, sgld_in_span=1.25))
    said = {(one.ratio.label, one.ratio.method): one.says for one in changes}
    assert {key for key, says in said.items() if says} == {
        ("NumPy, straightforward / in span", "sgld"),
        ("compiled / in span", "sgld"),
        ("in span / one SGD by NumPy", "sgld"),
    }
    assert set(said.values()) == {"", "slower"}
    assert len(said) == 3 + 3 + 4 + 3
    (one,) = [one for one in changes if one.says and one.ratio.rising_is_slower]
    assert (one.old, one.new) == pytest.approx((0.1, 0.125), rel=0.04)
    assert one.low <= 1.25 <= one.high


def test_what_became_faster_is_no_failure() -> None:
    changes = compare(record(10, 1), record(8, 2, hr_compiled=0.7, is_in_span=0.7))
    said = {(one.ratio.label, one.ratio.method): one.says for one in changes}
    assert said["NumPy, straightforward / compiled", "hr"] == "faster"
    assert said["compiled / in span", "hr"] == "slower"  # against compiled
    assert said["in span / one SGD by NumPy", "is"] == "faster"


def test_less_than_what_runs_differ_by_is_no_change() -> None:
    """However many rounds say so."""
    changes = compare(record(60, 1), record(60, 2, sgld_in_span=SAME - 0.03))
    assert not any(one.says for one in changes)
    assert any(one.low > 1.01 for one in changes)


def test_what_disturbs_a_round_disturbs_both() -> None:
    """A machine that is ten times slower, in some rounds or always."""
    new = [
        replace(
            one, seconds=tuple(10 ** (i % 2) * s for i, s in enumerate(one.seconds))
        )
        for one in record(8, 2)
    ]
    same, found = compare(record(9, 1), record(8, 2)), compare(record(9, 1), new)
    for a, b in zip(same, found, strict=True):
        assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=1e-12)
        assert not b.says


def test_the_medians_are_those_of_the_table() -> None:
    """In a round, ratio by ratio; of one round they are the ratios of the benchmark."""
    (only, *_), ratios = record(1, 3), comparison.ratios(record(1, 3))
    assert len(only.seconds) == 1
    shown = benchmark.ratios(record(1, 3))
    found = {(one.label, one.method): values for one, values in ratios.items()}
    for label in ("NumPy, straightforward / in span", "in span / one SGD by NumPy"):
        for method in ("sgld", "is", "hr"):
            assert found[label, method] == (shown[label][method],)


def test_what_stands_in_one_record_alone_is_left_out() -> None:
    new = [one for one in record(9, 2) if one.implementation != NUMPY]
    changes = compare(record(9, 1), new)
    assert {one.ratio.label for one in changes} == {"compiled / in span"}
    before, after = comparison.ratios(record(9, 1)), comparison.ratios(new)
    for one in changes:  # the error rate is shared by all ratios of the old record
        both = before[one.ratio], after[one.ratio]
        assert (one.low, one.high) == interval(*both, comparison.ERROR / 13)
    alien = [replace(one, case=Case(activation="tanh")) for one in record(9, 2)]
    with pytest.raises(InvalidParameter, match="no ratio in common"):
        compare(record(9, 1), alien)


# --- the command

Captured = pytest.CaptureFixture[str]


def test_the_command_says_whether_anything_is_slower(
    tmp_path: Path, capsys: Captured
) -> None:
    old = write(tmp_path / "old.jsonl", record(8, 1))
    new = write(tmp_path / "new.jsonl", record(8, 2))
    slow = write(tmp_path / "slow.jsonl", record(8, 3, is_in_span=2.0))
    assert main(["benchmark", "--against", old, new]) == 0
    out, err = capsys.readouterr()
    assert str(SMALL) in out
    assert "slower\n" not in out
    assert not err
    assert main(["benchmark", "--against", old, slow]) == 1
    out, err = capsys.readouterr()
    assert out.count("  slower\n") == 3
    assert err == "refimpl: 3 of 13 ratios are slower than they were\n"
    assert max(map(len, out.splitlines())) <= 88


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command on a small network alone."""
    monkeypatch.setattr(benchmark, "Case", lambda activation: SMALL)
    monkeypatch.setattr(benchmark, "available", lambda: (NUMPY, PLAIN, SPAN))
    monkeypatch.setattr(timing, "AT_LEAST", 0.0)
    return ["benchmark", "--no-growth", "--out", str(tmp_path / "b")]


def test_what_is_timed_now_is_compared(
    quick: list[str], tmp_path: Path, capsys: Captured
) -> None:
    """With a record of which everything took a nanosecond or an age."""
    times = {NUMPY: 1e-8, PLAIN: 1.0, SPAN: 1e8}
    old = [replace(o, seconds=(times[o.implementation],) * 20) for o in record(1, 1)]
    against = ["--against", write(tmp_path / "old.jsonl", old)]
    assert main([*quick, "--rounds", "4", *against]) == 0
    assert "  faster\n" in capsys.readouterr().out
    assert len(benchmark.read(tmp_path / "b" / "benchmark.jsonl")) == 11
    assert main([*quick, "--rounds", "4", *against, "--force"]) == 0


def test_rounds_that_are_too_few_are_refused_before_they_are_timed(
    quick: list[str], tmp_path: Path, capsys: Captured
) -> None:
    old = write(tmp_path / "old.jsonl", record(5, 1))
    assert main([*quick, "--rounds", "1", "--against", old]) == 2
    assert "too few" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_record_is_not_lost_unasked(
    quick: list[str], tmp_path: Path, capsys: Captured
) -> None:
    assert main([*quick, "--rounds", "1"]) == 0
    file = tmp_path / "b" / "benchmark.jsonl"
    before = file.read_bytes()
    capsys.readouterr()
    assert main([*quick, "--rounds", "1"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err == (
        f"refimpl: {file} is there already: name another folder by --out, or begin "
        "anew with --force\n"
    )
    assert file.read_bytes() == before
    assert main([*quick, "--rounds", "1", "--force"]) == 0
    assert file.read_bytes() != before


# --- records that are none

GOOD = json.loads(record(2, 1)[0].to_line())
WRONG = {
    "empty": b"",
    "no text": b"\xff\xfe",
    "no JSON": b"seconds",
    "a list": b"[]",
    "another record": b'{"algorithm": "sgld"}',
    "no case": json.dumps({**GOOD, "case": None}).encode(),
    "a case of less": json.dumps({**GOOD, "case": {"sizes": [6, 3]}}).encode(),
    "sizes of words": json.dumps(
        {**GOOD, "case": {**GOOD["case"], "sizes": ["6", "3"]}}
    ).encode(),
    "another method": json.dumps({**GOOD, "method": "adam"}).encode(),
    "another program": json.dumps({**GOOD, "implementation": "jax"}).encode(),
    "no seconds": json.dumps({**GOOD, "seconds": []}).encode(),
    "no time": json.dumps({**GOOD, "seconds": [0.0, 1.0]}).encode(),
    "less than none": json.dumps({**GOOD, "seconds": [-1.0, 1.0]}).encode(),
    "an age": json.dumps({**GOOD, "seconds": [1e300, 1.0]}).encode(),
    "not a number": json.dumps(GOOD).replace("[", "[NaN, ").encode(),
    "truth for time": json.dumps({**GOOD, "seconds": [True, 1.0]}).encode(),
    "twice": json.dumps(GOOD).encode() + b"\n" + json.dumps(GOOD).encode(),
    "other rounds": b"\n".join(
        json.dumps({**GOOD, "method": method, "seconds": seconds}).encode()
        for method, seconds in (("sgd", [1.0, 2.0]), ("hr", [1.0]))
    ),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_a_bad_record_is_one_sentence(
    content: bytes, tmp_path: Path, capsys: Captured
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(content)
    good = write(tmp_path / "good.jsonl", record(8, 1))
    for files in ([str(bad), good], [good, str(bad)]):
        assert main(["benchmark", "--against", *files]) == 2
        out, err = capsys.readouterr()
        assert not out
        assert err.startswith(f"refimpl: {bad} is no record of a benchmark: ")
        assert err.count("\n") == 1
        assert len(err) < 400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "absent.jsonl"], "absent.jsonl: No such file"),
        (["absent.jsonl"], "two records are compared"),
    ],
)
def test_a_file_that_is_not_there(
    words: list[str], said: str, capsys: Captured, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_timing_is_read_as_it_was_written() -> None:
    for one in record(3, 4):
        assert Timing.from_line(one.to_line()) == one
