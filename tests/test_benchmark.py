"""The benchmark: what it times computes the same, and what it prints is what it timed.

Nothing here depends on how long anything takes.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.__main__ import main
from refimpl.experiments import benchmark, straightforward, timing
from refimpl.experiments.benchmark import NUMPY, PLAIN, SPAN, TORCH, Case, Timing
from refimpl.importance import ImportanceSampling
from refimpl.initialisations import initial
from refimpl.laws import GibbsLaw
from refimpl.network import Network
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Harmonic, PowerLaw, steps
from refimpl.sgld import SGLD
from refimpl.streams import stream

SMALL = Case(sizes=(6, 4, 3), batch=3, J=5, M=2)


@pytest.fixture
def q() -> GibbsLaw:
    rng = stream(5, "initialisation")
    f = Network((6, 4, 3), rng.random((4, 6)), rng.integers(3, size=4), compiled=False)
    return GibbsLaw(f, initial((6, 4, 3), "he-normal", rng), 0.25)


def rng() -> np.random.Generator:
    return stream(6, "algorithm")


def assert_same(found: Any, expected: Any) -> None:
    """Forty moves and samples of order one, another order of sums."""
    assert np.abs(found - expected).max() < 1e-13


def test_straightforward_sgld_is_algorithm_3(q: GibbsLaw) -> None:
    epsilon = Harmonic(4.0)
    found = straightforward.sgld(q.f, q.x, q.tau, steps(epsilon, 40), rng())
    assert_same(found, SGLD(40, epsilon)(q, rng=rng()).x)


def test_straightforward_importance_is_algorithm_4(q: GibbsLaw) -> None:
    (block,) = rng().spawn(1)  # the stream of the only block
    found = straightforward.importance(q.f, q.x, q.tau, 40, block)
    assert_same(found, ImportanceSampling(40)(q, rng=rng()).x)


def test_straightforward_robbins_monro_is_algorithm_5(q: GibbsLaw) -> None:
    a = PowerLaw(0.5, 0.7)
    found = straightforward.robbins_monro(q.f, q.x, q.tau, steps(a, 8), 5, rng())
    assert_same(found, RobbinsMonro(8, a, 5)(q, rng=rng()).x)


def test_pytorch_computes_the_same_gradient() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed; nothing needs it")
    draw = stream(5, "initialisation")
    images, labels = draw.random((4, 6)), draw.integers(3, size=4)
    x = initial((6, 4, 3), "he-normal", draw)
    theirs = straightforward.Torch((6, 4, 3), images, labels, x).sgd(0.5)
    flat = np.concatenate([part.numpy().ravel() for part in theirs])
    ours = straightforward.sgd(Network((6, 4, 3), images, labels), x, 0.5)
    assert np.abs(flat - ours).max() < 1e-6  # float32


def test_every_method_and_implementation_is_timed_in_every_round() -> None:
    said: list[int] = []
    timings = benchmark.timed(SMALL, (NUMPY, PLAIN, SPAN), 2, said.append)
    assert said == [1, 1]
    expected = {(m, i) for m in benchmark.METHODS for i in (NUMPY, PLAIN, SPAN)}
    assert {(t.method, t.implementation) for t in timings} == (
        expected - {("sgd", SPAN)}
    )
    for one in timings:
        assert one.case == SMALL
        assert len(one.seconds) == 2
        assert min(one.seconds) > 0
        line = json.loads(one.to_line())
        assert line["seconds"] == list(one.seconds)


def test_ratios_are_those_of_the_medians() -> None:
    took = {
        ("sgd", NUMPY): (1.0, 9.0, 2.0),
        ("sgld", NUMPY): (90.0, 80.0, 100.0),
        ("sgld", TORCH): (45.0, 44.0, 99.0),
        ("sgld", SPAN): (1.0, 3.0, 7.0),
    }
    timings = [Timing(SMALL, *key, seconds) for key, seconds in took.items()]
    ratios = benchmark.ratios(timings)
    assert ratios["NumPy, straightforward / in span"] == {"sgld": 30.0}
    assert ratios["PyTorch, eager, float32 / in span"] == {"sgld": 15.0}
    assert ratios["in span / one SGD by NumPy"] == {"sgld": 1.5}
    assert ratios["the paper / one SGD"]["sgld"] == pytest.approx(7.0599 / 0.0032)
    table = benchmark.table(timings)
    assert "median of 3 rounds" in table
    assert "6-4-3 relu" in table
    row = next(line for line in table.splitlines() if line.startswith("NumPy, st"))
    assert row.split()[-2:] == ["2.0000", "90.0000"]


def test_the_command_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "Case", lambda activation: SMALL)
    cases = {1.0: SMALL, 2.0: replace(SMALL, J=6)}
    monkeypatch.setattr(benchmark, "GROWTH", {"samples J": cases})
    monkeypatch.setattr(benchmark, "available", lambda: (NUMPY, PLAIN, SPAN))
    monkeypatch.setattr(timing, "AT_LEAST", 0.0)
    assert main(["benchmark", "--rounds", "1", "--out", str(tmp_path / "b")]) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "b" / "benchmark.txt").read_text() in out
    lines = (tmp_path / "b" / "benchmark.jsonl").read_text().splitlines()
    assert len(lines) == 11 + 2 * 7
    assert (tmp_path / "b" / "benchmark.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("flags", [["--rounds", "0"], ["--activation", "step"]])
def test_a_wrong_flag_is_one_sentence(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1
