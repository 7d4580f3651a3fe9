"""``refimpl train`` and ``reproduce`` from outside: codes, sentences, interrupts."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import refimpl.__main__ as command
from refimpl.__main__ import main
from refimpl.experiments import reproduction, workers
from refimpl.experiments.checkpoints import read
from refimpl.experiments.data import load
from refimpl.experiments.settings import Setting, of_section_6

pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")

DOCS = Path(__file__).resolve().parents[1] / "docs"
QUICK = [
    "train",
    "--method",
    "is",
    "--data",
    "digits",
    "--sizes",
    "64-8-10",
    "--J",
    "20",
]


def fails(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(argv)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("refimpl: ")
    assert said.err.count("\n") == 1
    return code, said.err


def test_a_folder_that_cannot_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's reason and the name, without its number."""
    file = tmp_path / "file"
    file.touch()
    for out, why in ((file, "File exists"), (file / "in", "Not a directory")):
        code, said = fails([*QUICK, "--out", str(out)], capsys)
        assert (code, said) == (2, f"refimpl: {out}: {why}\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands write, with no MNIST anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    return tmp_path


def run(*words: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "refimpl", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


# --- train


def test_a_run_and_its_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--updates", "4", "--evaluate-every", "2", "--seed", "3"]) == 0
    said = capsys.readouterr()
    assert said.err == ""  # nobody watches
    sentence, file = said.out.splitlines()
    record = folder / file
    history = read(record)
    assert history.setting == of_section_6(
        "is",
        data="digits",
        sizes=(64, 8, 10),
        J=20,
        updates=4,
        evaluate_every=2,
        seed=3,
    )
    assert [one.k for one in history.evaluations] == [0, 2, 4]
    last = history.evaluations[-1]
    assert f"after 4 updates {last.accuracy:.3f} of 100 held-out images" in sentence
    before = record.read_bytes(), record.stat().st_mtime_ns
    assert main([*QUICK, "--updates", "4", "--evaluate-every", "2", "--seed", "3"]) == 0
    assert (record.read_bytes(), record.stat().st_mtime_ns) == before
    again = [
        *QUICK,
        "--updates",
        "4",
        "--evaluate-every",
        "2",
        "--seed",
        "3",
        "--force",
    ]
    assert main(again) == 0
    assert record.read_bytes() == before[0]
    assert record.stat().st_mtime_ns != before[1]


def test_every_field_has_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for one in fields(Setting):
        assert f"--{one.name.replace('_', '-')} " in text.replace(",", " ")


def chosen(*words: str) -> Setting:
    """What flags ask for, nothing being run."""
    kept: list[Setting] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            workers, "train_all", lambda settings, *_, **__: kept.extend(settings)
        )
        patch.setattr(command.checkpoints, "history_of", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(["train", *words])
    return kept[0]


@pytest.mark.usefixtures("folder")
def test_flags_mean_fields() -> None:
    assert chosen("--method", "sgd") == of_section_6("sgd")
    assert chosen("--method", "sgld", "--tau", "0.1") == of_section_6("sgld", tau=0.1)
    scoping = chosen("--method", "sgld", "--tau", "1.5", "0.01", "--origin", "1")
    assert scoping == of_section_6("sgld", tau=(1.5, 0.01), origin=1)
    words = "--method hr --a 0.2 0.6 --M 3 --no-in-span --minibatch per-gradient"
    assert chosen(*words.split()) == of_section_6(
        "hr", a=(0.2, 0.6), M=3, in_span=False, minibatch="per-gradient"
    )
    words = "--method is --noise standard-deviation --reduction sum --sgd-before 5"
    assert chosen(*words.split(), "--sgd-rate", "0.3") == of_section_6(
        "is", noise="standard-deviation", reduction="sum", sgd_before=5, sgd_rate=0.3
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train"], "required: --method"),
        (["train", "--method", "adam"], "invalid choice: 'adam'"),
        (["train", "--method", "sgd", "--tau", "0.1"], "tau says nothing to sgd"),
        (["train", "--method", "is", "--tau", "x"], "invalid float value: 'x'"),
        (["train", "--method", "is", "--tau", "0"], "tau must be positive"),
        (["train", "--method", "is", "--tau", "1", "2", "3"], "must be two numbers"),
        (["train", "--method", "is", "--J", "0"], "J must be at least 1"),
        (["train", "--method", "is", "--J", "-1"], "an integer >= 0, got '-1'"),
        (["train", "--method", "is", "--sizes", "784,10"], "written like 784-200-10"),
        (["train", "--method", "is", "--sizes", "64-10"], "must begin with 784"),
        (["train", "--method", "is", "--initialisation", "x"], "named 'x'"),
        (["train", "--method", "is", "--samples", "3"], "unrecognized arguments"),
        (["train", "--method", "is", "--meth", "is"], "unrecognized arguments"),
        ([*QUICK, "--held-out", "400"], "held_out must be at most 360 for digits"),
        ([*QUICK, "--batch", "2000"], "batch must be at most 1437 for digits"),
        (["train", "--method", "sgd"], "no folder of data is named"),
        (["train", "--method", "sgd", "--data-dir", "no"], "no does not hold"),
        (["reproduce"], "required: name"),
        (["reproduce", "table-3"], "invalid choice: 'table-3'"),
        (["reproduce", "table-1", "--reading", "x"], "invalid choice: 'x'"),
        (["reproduce", "table-1", "--seeds", "0"], "an integer >= 1, got '0'"),
        (["reproduce", "table-1", "--jobs", "0"], "an integer >= 1, got '0'"),
        (["reproduce", "table-1", "--jobs", "1"], "no folder of data is named"),
        (["fetch"], "no folder of data is named"),
    ],
)
def test_usage_errors_are_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    workers._data.cache_clear()
    code, sentence = fails(words, capsys)
    assert code == 2
    assert said in sentence


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("sklearn.datasets", QUICK),
        ("threadpoolctl", QUICK),
        ("matplotlib", ["reproduce", "figure-4", "--data", "digits"]),
    ],
)
def test_without_an_extra(
    module: str,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workers._data.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    code, said = fails(words, capsys)
    assert code == 3
    assert "the extra `experiments`" in said


def test_a_folder_that_is_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("")
    code, _ = fails([*QUICK, "--out", "file"], capsys)
    assert code == 2


def test_data_that_are_not_the_official_ones_are_named(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warned = replace(load("digits"), warnings=("it differs",))
    monkeypatch.setattr(workers, "_data", lambda *_: warned)
    assert main([*QUICK, "--updates", "1"]) == 0
    assert capsys.readouterr().err == "refimpl: warning: it differs\n"
    again = ["reproduce", "table-1", "--data", "digits", "--reading", "printed"]
    small = {
        m: {**own, "J": 2} for m, own in command.settings._OWN.items() if m != "sgd"
    }
    for method, own in small.items():
        monkeypatch.setitem(command.settings._OWN, method, own)
    assert main([*again, "--updates", "1", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.count("Warning: it differs.") == 1


# --- interrupts


def impatient(after: int) -> Callable[[], Any]:
    """In place of Ctrl-C: asked after so many updates."""

    @contextmanager
    def patience() -> Iterator[Callable[[], bool]]:
        left = [after]

        def interrupted() -> bool:
            left[0] -= 1
            return left[0] == 0

        yield interrupted

    return patience


def test_interrupted_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*QUICK, "--updates", "9", "--evaluate-every", "2"]
    assert main([*words, "--out", "whole"]) == 0
    wanted = folder / capsys.readouterr().out.splitlines()[1]
    monkeypatch.setattr(command, "_patience", impatient(4))
    code, said = fails(words, capsys)
    assert code == 130
    assert "interrupted after update 4 of 9; the same command goes on" in said
    code, said = fails(words, capsys)
    assert "interrupted after update 8 of 9" in said
    assert main(words) == 0
    record = folder / capsys.readouterr().out.splitlines()[1]
    assert record.read_bytes() == wanted.read_bytes()
    assert sorted(os.listdir("runs")) == sorted(os.listdir("whole"))
    monkeypatch.setattr(command, "_patience", impatient(1))
    code, said = fails([*words, "--force"], capsys)
    assert "the same command without --force goes on" in said


def signalled(words: list[str], until: Callable[[], object]) -> tuple[int, str]:
    """Ctrl-C, to all processes of the command, when something is there."""
    process = run(*words)
    try:
        give_up = time.monotonic() + 60
        while not until():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, said


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
def test_control_c(folder: Path) -> None:
    words = [*QUICK, "--updates", "100000", "--evaluate-every", "3"]
    code, said = signalled(words, lambda: any(folder.glob("runs/*.partial")))
    assert code == 130
    found = re.fullmatch(
        r"refimpl: interrupted after update (\d+) of 100000; the same command goes on "
        r"from there\n",
        said,
    )
    assert found, said
    assert [one.suffix for one in sorted(folder.glob("runs/*"))] == [".npz", ".partial"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
def test_control_c_with_several_processes_and_going_on(folder: Path) -> None:
    """The records are those of one process that nobody disturbs."""
    words = ["reproduce", "table-1", "--data", "digits", "--reading", "printed"]
    words += ["--updates", "5", "--out"]
    code, said = signalled(
        [*words, "mine", "--jobs", "2"],
        lambda: len(list(folder.glob("mine/*.partial"))) == 2,
    )
    assert code == 130
    assert re.fullmatch(
        r"refimpl: interrupted, \d of 4 runs are complete; the same command goes on "
        r"from there\n",
        said,
    ), said
    done = run(*words, "mine", "--jobs", "2")
    out, said = done.communicate(timeout=120)
    assert (done.returncode, said) == (0, "")
    assert out.endswith(f"{Path('mine', 'table-1.md')}\n")
    assert main([*words, "other", "--jobs", "1"]) == 0
    mine, other = (
        {file.name: file.read_bytes() for file in (folder / one).glob("*.jsonl")}
        for one in ("mine", "other")
    )
    assert mine == other
    assert len(mine) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process")
def test_no_process_outlives_a_command_that_was_killed(folder: Path) -> None:
    """They hold the other ends of its pipes, which end when all are gone."""
    words = ["reproduce", "table-1", "--data", "digits", "--updates", "100000"]
    process = run(*words, "--reading", "printed", "--jobs", "2", "--out", "mine")
    try:
        give_up = time.monotonic() + 60
        while len(list(folder.glob("mine/*.partial"))) < 2:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        process.kill()
        process.communicate(timeout=30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- reproduce


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few samples, so that any figure takes a moment."""
    for method, own in list(command.settings._OWN.items()):
        less = {"J": 3, "M": 3}
        changed = {k: less.get(k, v) for k, v in own.items()}
        monkeypatch.setitem(command.settings._OWN, method, changed)
    monkeypatch.setattr(reproduction, "SAMPLES", (1, 4, 9))
    monkeypatch.setattr(reproduction, "SGD_BEFORE", 5)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed exactly, from the published records."""
    for name in command.exact_figures.FIGURES:
        found = command.exact_figures.read(name, DOCS / "landscapes")
        monkeypatch.setitem(
            command.exact_figures.FIGURES, name, lambda found=found: found
        )
    bias = list(command.records.read(DOCS / "multilevel" / "multilevel-bias.jsonl"))
    families = command.multilevel_bias.FAMILIES
    monkeypatch.setattr(command.multilevel_bias, "FAMILIES", families[:1])
    monkeypatch.setattr(command.multilevel_bias, "records", lambda family: bias)


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "known")
def test_everything_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    words = ["reproduce", "all", "--data", "digits", "--updates", "10", "--seeds", "2"]
    words += ["--jobs", "1"]
    assert main([*words, "--reading", "improved"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    drawings = [f"figure-{n}" for n in range(4, 9)]
    exact = ["figure-1", "figure-2", "figure-3", "phase-diagram"]
    names = [*exact, "section-6.1", "table-1", "table-2", *drawings, "multilevel"]
    place = folder / "reproduction"
    assert {file.stem for file in place.glob("*.md")} == set(names)
    figures = {file.stem for file in place.glob("*.svg")}
    trained = {f"{name}-improved" for name in drawings}
    assert figures == trained | {*exact, "multilevel", "multilevel-bias"}
    assert said.out.count("## Reading: improved") == 3  # of the tables, which are shown
    kept = {file: file.stat().st_mtime_ns for file in place.glob("*.jsonl")}
    figure = place / "figure-4-improved.svg"
    drawn = figure.read_bytes()
    figure.unlink()
    words[1] = "figure-4"
    assert main([*words, "--reading", "improved"]) == 0  # from the records alone
    assert figure.read_bytes() == drawn
    assert {file: file.stat().st_mtime_ns for file in place.glob("*.jsonl")} == kept
    words[1] = "table-1"
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.index("Reading: printed") < said.out.index("Reading: closest")


def test_work_is_told_as_it_is_done(folder: Path) -> None:
    """Also what an earlier run did, so that the bar begins where it ended."""
    setting = of_section_6("is", data="digits", sizes=(64, 8, 10), J=5, updates=6)
    told: list[float] = []

    def watch(work: float) -> bool:
        told.append(work)
        return len(told) == 4

    with pytest.raises(workers.Interrupted):
        workers.train_all([setting], folder, watch=watch)
    assert told == [5.0] * 4
    workers.train_all([setting], folder, watch=watch)
    assert told[4:] == [25.0, 5.0]
    assert workers.work([setting]) == 30.0
    assert 1 <= workers.default_jobs() <= workers.MOST


def test_a_process_stops_when_its_parent_says_so() -> None:
    shared = workers._Shared(multiprocessing.get_context("spawn"))
    assert not shared.watch(2.0)
    assert not shared.watch(3.0)
    assert shared.done.value == 5.0
    shared.stop.set()
    assert shared.watch(0.0)


def test_a_bar_is_shown_where_somebody_watches(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert main([*QUICK, "--updates", "5"]) == 0
    assert "left" in screen.getvalue()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main([*QUICK, "--updates", "5", "--force"]) == 0
