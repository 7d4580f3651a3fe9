"""Readers of bytes that others wrote: an answer, or one sentence of ours.

What is replayed are right bytes, the corpus, where every defect that a fuzzer found has
a file, and changes of both that are drawn from a seed.  `python -m tests.fuzz NAME`
goes on from there, guided by the lines that are reached.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("filelock")

from fuzz.mutations import WORDS, mutated
from fuzz.targets import SEEDS, TARGETS, Refused, survives

from verification.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
CORPUS = Path(__file__).parent / "fuzz" / "corpus"
EACH = pytest.mark.parametrize("name", TARGETS)

MUTATIONS = 60
EXECUTIONS = 5000
SMALL = 1000  # bytes of a file of the corpus
ROOM = 2**25  # bytes that a reader may take for some kB: what it keeps, and libraries


def corpus(name: str) -> list[Path]:
    return sorted((CORPUS / name).glob("*"))


def replayed(name: str, count: int, seed: int) -> int:
    """How many of so many changes are taken; what is no refusal is raised."""
    rng = np.random.default_rng(seed)
    known = [*SEEDS[name](), *(file.read_bytes() for file in corpus(name))]
    taken = 0
    for _ in range(count):
        content = mutated(known[rng.integers(len(known))], rng, [*known, *WORDS])
        try:
            taken += survives(name, content)
        except Exception as error:
            pytest.fail(f"{name}: {type(error).__name__}: {error}\n{content[:2000]!r}")
    return taken


@EACH
def test_right_bytes_are_taken(name: str) -> None:
    for content in SEEDS[name]():
        assert survives(name, content)


@EACH
def test_the_corpus_is_answered(name: str) -> None:
    for file in corpus(name):
        assert file.stat().st_size < SMALL, file
        survives(name, file.read_bytes())


def test_the_corpus_has_no_other_folders() -> None:
    assert {place.name for place in CORPUS.iterdir()} <= set(TARGETS)


@EACH
def test_bytes_that_are_nearly_right(name: str) -> None:
    """Some are taken and most are refused, else the changes would try nothing."""
    for content in SEEDS[name]():  # what is made once is not the reader's
        survives(name, content)
    tracemalloc.start()
    try:
        taken = replayed(name, MUTATIONS, seed=1)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < MUTATIONS
    assert most < ROOM


@pytest.mark.slow
@EACH
def test_many_bytes_that_are_nearly_right(name: str) -> None:
    assert replayed(name, EXECUTIONS, seed=2) < EXECUTIONS


@pytest.mark.slow
@EACH
def test_a_fuzzer_finds_nothing(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    words = [sys.executable, "-m", "tests.fuzz", name, "--runs", str(EXECUTIONS)]
    done = subprocess.run(
        [*words, "--seconds", "0", "--corpus", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-5000:]


# --- the claim has teeth


def test_what_is_not_ours_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(line: str) -> None:
        raise KeyError(line)

    monkeypatch.setattr("refimpl.experiments.records.Record.from_line", careless)
    with pytest.raises(KeyError):
        survives("records-of-measurements", b"{}\n")


@pytest.mark.parametrize("said", ["", "two\nlines", 2000 * "long"])
def test_a_refusal_is_one_sentence(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise UsageError(said)

    monkeypatch.setattr("refimpl.experiments.sweep.read_file", refused)
    with pytest.raises(AssertionError):
        survives("runs-of-a-sweep", b"")


def test_a_refusal_says_why() -> None:
    with pytest.raises(Refused, match="fewer than the 16 of its header"):
        TARGETS["idx"](b"\0\0\0\x08\3")
