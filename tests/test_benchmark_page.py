"""What docs/benchmark.md shows is what its record says."""

import json
from pathlib import Path

import pytest

from refimpl.experiments.benchmark import (
    SPAN,
    Case,
    Timing,
    ratios,
    table,
)

RECORD = Path(__file__).resolve().parents[1] / "docs" / "benchmark"


@pytest.fixture(scope="module")
def timings() -> list[Timing]:
    """Of the paper's network; those of the growth follow in the same record."""
    lines = (RECORD / "benchmark.jsonl").read_text(encoding="utf-8").splitlines()
    every = [json.loads(line) for line in lines]
    for one in every:
        case = one["case"]
        one["case"] = Case(**{**case, "sizes": tuple(case["sizes"])})
        one["seconds"] = tuple(one["seconds"])
    return [timing for one in every if (timing := Timing(**one)).case == Case()]


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
