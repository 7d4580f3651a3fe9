"""What docs/benchmark.md shows is what its record says."""

from pathlib import Path

import pytest

from refimpl import __version__
from refimpl.__main__ import _parser
from refimpl.errors import InvalidParameter
from refimpl.experiments import benchmark_comparison as comparison
from refimpl.experiments.benchmark import (
    SPAN,
    Case,
    Timing,
    ratios,
    read,
    table,
)

RECORD = Path(__file__).resolve().parents[1] / "docs" / "benchmark"


@pytest.fixture(scope="module")
def timings() -> list[Timing]:
    """Of the paper's network; those of the growth follow in the same record."""
    return [one for one in read(RECORD / "benchmark.jsonl") if one.case == Case()]


def test_the_table(timings: list[Timing]) -> None:
    shown = (RECORD / "benchmark.txt").read_text(encoding="utf-8")
    assert shown == table(timings)


def test_what_the_project_promises_of_its_speed(timings: list[Timing]) -> None:
    """The record is of one run, and its ratios were measured within it."""
    found = ratios(timings)
    numpy, torch, _, sgd, _ = found.values()
    sampled = ("sgld", "is", "hr")
    assert SPAN in {one.implementation for one in timings}
    assert min(numpy[method] for method in sampled) >= 45
    assert min(torch[method] for method in sampled) >= 22
    for method, most in zip(sampled, (120, 90, 90), strict=True):
        assert sgd[method] <= most


def test_every_release_has_a_record_that_can_be_compared() -> None:
    records = {path.stem: path for path in RECORD.glob("*.jsonl")}
    assert __version__ in records
    for path in records.values():
        assert len(comparison.ratios(read(path))) == 52  # as the page says


def test_how_many_rounds_the_page_asks_for() -> None:
    """Seven in both records, or ten against a record of five; ten is the default."""
    error, five = comparison.ERROR / 52, [1.0] * 5
    for old, new in ((5, 10), (7, 7)):
        comparison.interval([1.0] * old, [1.0] * new, error)
    with pytest.raises(InvalidParameter, match=r"time 10$"):
        comparison.interval(five, [1.0] * 9, error)
    with pytest.raises(InvalidParameter, match="too few"):
        comparison.interval([1.0] * 6, [1.0] * 6, error)
    assert _parser().parse_args(["benchmark"]).rounds == 10


def test_the_last_record_is_not_slower_than_that_of_the_release() -> None:
    """The same before anything was measured anew."""
    old, new = (read(RECORD / f"{name}.jsonl") for name in (__version__, "benchmark"))
    assert old == new or not any(one.slower for one in comparison.compare(old, new))
