"""``refimpl cluster``: what several machines buy, by formula and by measurement."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.__main__ import main
from refimpl.experiments import cluster
from refimpl.importance import ImportanceSampling, samples_per_piece
from refimpl.streams import stream

DOCS = Path(__file__).resolve().parents[1] / "docs"
ANY = cluster.Constants("any", d=6010, n=172, c=4e-5, m=2e-5, b=52_000, s=48_000)


@pytest.mark.parametrize("L", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("J", [1, 172, 1_000, 10_000])
def test_the_formula_counts_what_importance_sampling_sends(J: int, L: int) -> None:
    """Pieces and tasks as `ImportanceSampling` makes them, dealt out in turn."""
    pool = ThreadPoolExecutor(1)
    sampler = ImportanceSampling(J=J, workers=L, executor=pool)
    tasks = [
        [piece.size for piece in task]
        for task in sampler._tasks(ANY.d, stream(0, "algorithm"))
    ]
    pool.shutdown()
    pieces = sum(map(len, tasks))
    assert samples_per_piece(ANY.d) == ANY.n
    assert ANY.bytes(J, L) == len(tasks) * ANY.b + pieces * ANY.s
    a, beta = 0.005, 1e8
    sent = a + ANY.bytes(J, L) / beta + pieces * ANY.m
    assert ANY.sending(J, L, a, beta) == pytest.approx(sent, rel=1e-12)
    most = max(sum(sum(task) for task in tasks[at::L]) for at in range(L))
    # the last piece may be smaller
    assert most * ANY.c <= ANY.computing(J, L) * (1 + 1e-12)
    assert ANY.computing(J, L) <= (most + ANY.n) * ANY.c
    assert ANY.seconds(J, L, a, beta) == ANY.computing(J, L) + ANY.sending(
        J, L, a, beta
    )


@pytest.mark.parametrize("J", [100, *cluster.SAMPLES])
def test_where_communication_outweighs_and_what_is_fastest(J: int) -> None:
    a, beta = 0.005, 1e8
    all_ = range(1, ANY.shares(J, 1)[0] + 1)
    seconds = [ANY.seconds(J, L, a, beta) for L in all_]
    assert ANY.fastest(J, a, beta) == 1 + seconds.index(min(seconds))
    over = [L for L in all_ if ANY.sending(J, L, a, beta) >= ANY.computing(J, L)]
    assert ANY.limit(J, a, beta) == min(over, default=None)
    assert replace(ANY, m=0.0).limit(J, 0.0, math.inf) is None  # nothing is sent


def test_the_page_shows_its_record() -> None:
    text = (DOCS / "cluster" / "cluster.json").read_text(encoding="utf-8")
    found = cluster.Found.from_json(text)
    assert found.to_json() == text
    shown = (DOCS / "cluster" / "cluster.txt").read_text(encoding="utf-8")
    assert shown == cluster.table(found)
    assert found.same
    assert found.runs == len(cluster.grid(1)) == len(set(cluster.grid(1)))


@pytest.mark.slow
def test_the_command_that_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for extra in ("sklearn", "threadpoolctl", "filelock", "distributed"):
        pytest.importorskip(extra)
    monkeypatch.chdir(tmp_path)
    assert main(["cluster", "--rounds", "1", "--updates", "2"]) == 0
    found = cluster.Found.from_json(Path("cluster", "cluster.json").read_text())
    assert capsys.readouterr().out.startswith(cluster.table(found))
    assert found.same
    assert [len(took) for took in found.sweeps.values()] == [1, 1]
    for took in found.updates.values():
        assert [(workers, len(one)) for workers, one in took.items()] == [
            ("1", 1),
            ("2", 1),
        ]
