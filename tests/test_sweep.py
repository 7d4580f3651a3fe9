"""``refimpl sweep``: files of runs, good and bad; who computes them; interruptions.

Nothing here depends on how long anything takes.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ThreadPoolExecutor,
)
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import refimpl.__main__ as command
from refimpl.__main__ import main
from refimpl.errors import InvalidParameter
from refimpl.experiments import checkpoints, executors, reproduction, sweep, workers
from refimpl.experiments.checkpoints import (
    Busy,
    Interrupted,
    Place,
    of_other_versions,
    read,
    train,
)
from refimpl.experiments.data import load
from refimpl.experiments.executors import Where
from refimpl.experiments.settings import Setting, of_section_6

pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")
pytest.importorskip("filelock")

DOCS = Path(__file__).resolve().parents[1] / "docs"
SMALL = """
[base]
method = "sgd"
data = "digits"
sizes = [64, 8, 10]
updates = 6

[grid]
seed = [0, 1]
learning_rate = [0.01, 0.1]
"""


def runs(text: str) -> list[Setting]:
    return sweep.runs(tomllib.loads(text))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands write, with a file of four runs and no MNIST anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    (tmp_path / "runs.toml").write_text(SMALL)
    return tmp_path


def fails(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(argv)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("refimpl: ")
    assert said.err.count("\n") == 1
    return code, said.err


# --- the file


def test_a_grid_is_all_combinations_and_runs_are_more() -> None:
    text = """
    base = {data = "digits", updates = 9}
    grid = {method = ["sgld", "hr"], tau = [0.1, [1.5, 0.01]], seed = [3]}
    runs = [{method = "sgd"}, {method = "hr", a = [0.2, 0.6], tau = 1, updates = 4}]
    """
    said: dict[str, Any] = {"data": "digits", "updates": 9}
    assert runs(text) == [
        of_section_6("sgld", **said, tau=0.1, seed=3),
        of_section_6("sgld", **said, tau=(1.5, 0.01), seed=3),
        of_section_6("hr", **said, tau=0.1, seed=3),
        of_section_6("hr", **said, tau=(1.5, 0.01), seed=3),
        of_section_6("sgd", **said),
        of_section_6("hr", data="digits", updates=4, a=(0.2, 0.6), tau=1.0),
    ]


def test_every_field_of_a_setting_can_be_told() -> None:
    for method in ("sgd", "sgld", "is", "hr"):
        setting = of_section_6(method, sgd_before=2, sgd_rate=0.5)
        told = {k: v for k, v in json.loads(setting.to_json()).items() if v is not None}
        assert sweep.runs({"runs": [told]}) == [setting]


RUN = 'method = "sgd"\n'
MANY = f"method = ['sgd']\nseed = {list(range(400))}\nlearning_rate = {[0.5] * 400}"
BAD = {
    "": "there is no run: give a [grid], or some of [[runs]]",
    "[base]\n" + RUN: "there is no run",
    "runs = []": "there is no run",
    "[grid]": "[grid] is empty",
    "[grid]\nseed = []": "[grid]: seed must be a list of at least one value, got []",
    "[grid]\nseed = 3": "[grid]: seed must be a list",
    "[grid]\nsede = [3]": "[grid]: a setting has no field 'sede'; it has method, data",
    "[base]\nsede = 3\n[[runs]]": "[base]: a setting has no field 'sede'",
    "[[runs]]\nsede = 3": "run 1 of [[runs]]: a setting has no field 'sede'",
    "[[run]]\n" + RUN: "and run is none of them",
    "grid = 3": "and grid is none of them",
    "runs = [1]": "runs must be tables [[runs]], got 1",
    "[[runs]]\nseed = 1": "run 1 of [[runs]]: method is missing",
    "[[runs]]\nmethod = 1": "run 1 of [[runs]]: method must be a word, got 1",
    '[[runs]]\nmethod = "adam"': "method must be one of sgd, sgld, is, hr, got 'adam'",
    f"[[runs]]\n{RUN}seed = 1.5": "seed must be a whole number, got 1.5",
    f'[[runs]]\n{RUN}seed = "1"': "seed must be a number, or several, got '1'",
    f"[[runs]]\n{RUN}seed = true": "seed must be a number, or several, got True",
    f"[[runs]]\n{RUN}seed = 2020-01-01": "seed must be a number, or several",
    f"[[runs]]\n{RUN}seed = [[1]]": "seed must be a number, or several",
    f"[[runs]]\n{RUN}learning_rate = {10**400}": "learning_rate must be a number",
    f"[[runs]]\n{RUN}learning_rate = nan": "run 1 of [[runs]]: learning_rate",
    f"[[runs]]\n{RUN}learning_rate = [1, 2]": "learning_rate must be one number",
    f"[[runs]]\n{RUN}tau = 0.1": "tau says nothing to sgd",
    f"[base]\nJ = 9\n[[runs]]\n{RUN}": "run 1 of [[runs]]: J of [base] says nothing to "
    "sgd: leave it out there, and tell it to the runs of other methods",
    f"[base]\ntau = 0.1\n{RUN}[grid]\nseed = [1]": "with seed = 1: tau of [base] says",
    "[base]\nJ = 9\n[[runs]]\nmethod = 'adam'": "method must be one of sgd, sgld",
    "[[runs]]\nin_span = 1": "in_span must be true or false, got 1",
    f"[[runs]]\n{RUN}[[runs]]\n{RUN}": "run 2 of [[runs]] was told before, as run 1",
    f"[base]\n{RUN}[grid]\nseed = [1, 1]": "with seed = 1 was told before",
    f"[base]\n{RUN}[grid]\nlearning_rate = [1, 1.0]": "was told before",
    f"[base]\n{RUN}[grid]\nseed = [1, -1]": "of [grid] with seed = -1: seed must be at",
    f"[grid]\n{MANY}": "[grid] has 160,000 runs; at most 100,000 are made",
    "[grid": "runs.toml: ",
    RUN + RUN: "Cannot overwrite a value",
}


@pytest.mark.parametrize("text", BAD, ids=list(map(str, range(len(BAD)))))
def test_a_bad_file_is_one_sentence(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "runs.toml").write_text(text)
    code, said = fails(["sweep", "runs.toml"], capsys)
    assert code == 2
    assert said.startswith("refimpl: runs.toml: ")
    assert BAD[text] in said
    assert os.listdir(folder) == ["runs.toml"]  # nothing is half written


def test_a_file_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(["sweep", "no.toml"], capsys) == (
        2,
        "refimpl: no.toml: No such file or directory\n",
    )
    (folder / "runs.toml").write_bytes(b"a = '\xff'")
    assert "can't decode byte" in fails(["sweep", "runs.toml"], capsys)[1]


def test_the_file_of_the_page_is_figure_7() -> None:
    page = (DOCS / "cluster.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    curves = reproduction.curves("figure-7", "printed", 0, data="mnist", updates=500)
    sgd = of_section_6("sgd", sizes=(784, 10))
    assert set(runs(text)) == {one.setting for one in curves} | {sgd}


def test_the_page_says_how_long_is_long() -> None:
    page = (DOCS / "cluster.md").read_text(encoding="utf-8")
    assert f"at most {workers.PATIENCE:g} s" in page
    assert f"they stop within {workers.SILENCE:g} s" in page
    assert f"renewed every {workers._RENEWAL:g} s" in page
    assert f"where the run stands, every {checkpoints.PAUSE:g} s" in page


def test_the_page_names_all_that_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (DOCS / "cluster.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\S+)` \|", page, re.M))
    chosen, seen = runs(SMALL), set()

    def watch(_: float) -> bool:
        seen.update(os.listdir("out"))
        return False

    monkeypatch.setattr(train, "__kwdefaults__", {**train.__kwdefaults__, "pause": 0.0})
    with ThreadPoolExecutor(1) as pool:
        workers.train_all(chosen, Path("out"), executor=pool, watch=watch)
    seen.update(os.listdir("out"))
    for name in seen:
        for one in chosen:
            name = name.replace(one.slug, "NAME")
        assert any(Path(name).match(pattern) for pattern in named), name
    assert {Path(name).suffix for name in seen} >= {".jsonl", ".json"}


# --- where


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("processes", Where(workers.default_jobs())),
        ("12", Where(12)),
        ("dask://host.domain:8786", Where(address="tcp://host.domain:8786")),
        ("dask://[::1]:8786", Where(address="tcp://[::1]:8786")),
    ],
)
def test_a_word_names_a_place(text: str, place: Where) -> None:
    assert Where.of(text) == place


@pytest.mark.parametrize(
    "text", ["0", "-1", "", "dask", "dask://host", "dask://:1", "tcp://host:1", "two"]
)
def test_a_word_that_names_none(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = fails(["sweep", "runs.toml", f"--executor={text}"], capsys)
    assert code == 2
    assert f"how many of them, or dask://HOST:PORT, got {text!r}" in said


ON_DASK = ["sweep", "runs.toml", "--executor", "dask://127.0.0.1:1"]


def test_without_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, said = fails(ON_DASK, capsys)
    assert code == 3
    assert 'the extra `cluster` brings: pip install "local-entropy-oracle[clu' in said


def test_nobody_answers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "PATIENCE", 0.2)
    code, said = fails([*ON_DASK, "--out", "out"], capsys)
    assert code == 2
    assert "nobody answers at tcp://127.0.0.1:1 as the scheduler" in said
    assert not (folder / "out").exists()


class Killed(Exception):
    """As Dask's."""


class Client:
    """As Dask's, of a cluster that is told what it is like."""

    version = executors.__version__
    workers = 1
    left = False

    def __init__(self, address: str, **_: Any) -> None:
        assert address == "tcp://127.0.0.1:1"
        # that its scheduler is gone is said once, in a sentence
        assert not logging.getLogger("distributed.client").isEnabledFor(logging.ERROR)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        Client.left = True

    def wait_for_workers(self, n: int, timeout: float) -> None:
        if self.workers < n:
            raise TimeoutError

    def run(self, task: Any, *given: Any, on_error: str) -> dict[str, Any]:
        assert task(*given) == executors.__version__
        return {"tcp://a:1": self.version}

    def get_executor(self) -> Executor:
        return Doomed()


class Doomed(Executor):
    """Its workers die of everything."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(Killed())
        return future


@pytest.mark.parametrize(
    ("like", "code", "sentence"),
    [
        ({"workers": 0}, 2, "the cluster at tcp://127.0.0.1:1 has no workers: start"),
        ({"version": "9.9"}, 2, "tcp://a:1 has 9.9 of local-entropy-oracle, and not"),
        ({"version": ImportError()}, 2, "has nothing of local-entropy-oracle"),
        ({}, 130, "worker after worker died of a run, 0 of 4 runs are complete; the s"),
    ],
)
def test_a_cluster_that_is_not_fit(
    like: dict[str, Any],
    code: int,
    sentence: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in like.items():
        monkeypatch.setattr(Client, name, value)
    dask = SimpleNamespace(Client=Client, KilledWorker=Killed)
    monkeypatch.setattr(executors, "distributed", lambda: dask)
    monkeypatch.setattr(Client, "left", False)
    found, said = fails(ON_DASK, capsys)
    assert found == code
    assert sentence in said
    assert Client.left
    assert logging.getLogger("distributed.client").isEnabledFor(logging.ERROR)


# --- the runs


def whole(setting: Setting, folder: Path) -> bytes:
    return train(setting, lambda: load("digits"), folder).read_bytes()


def test_a_sweep_its_table_and_a_sweep_that_is_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "runs.toml", "--executor", "1"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.err == ""
    head, _, *rows = [line.strip("| ").split("|") for line in said.out.splitlines()]
    assert [cell.strip() for cell in head] == [
        *("learning_rate", "seed", "updates made", "accuracy", "seconds", "record")
    ]
    for row, setting in zip(rows, runs(SMALL), strict=True):
        place = Place(folder / "sweep", setting)
        assert place.record.read_bytes() == whole(setting, folder / "alone")
        last = read(place.record).evaluations[-1]
        times = json.loads(place.times.read_text())["seconds_per_update"]
        assert [cell.strip() for cell in row] == [
            str(setting.learning_rate),
            str(setting.seed),
            "6",
            f"{last.accuracy_of_all:.4f}",
            f"{sum(times):.1f}",
            place.record.name,
        ]
    kept = {file: file.stat().st_mtime_ns for file in folder.glob("sweep/*")}
    place.times.unlink()  # nobody knows then
    assert main([*words[:-1], "dask://127.0.0.1:1"]) == 0  # whom nobody asks
    assert capsys.readouterr().out.splitlines()[:-1] == said.out.splitlines()[:-1]
    again = {file: file.stat().st_mtime_ns for file in folder.glob("sweep/*")}
    assert again == {file: time for file, time in kept.items() if file != place.times}


def impatient(after: int) -> Callable[[], Any]:
    """In place of Ctrl-C: asked when `watch` was told so often."""

    @contextmanager
    def patience() -> Iterator[Callable[[], bool]]:
        left = [after]

        def interrupted() -> bool:
            left[0] -= 1
            return left[0] <= 0

        yield interrupted

    return patience


def test_interrupted_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "runs.toml", "--executor", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(command, "_patience", impatient(9))
        code, said = fails(words, capsys)
    assert code == 130
    assert (
        "after update 3 of 6, 1 of 4 runs are complete; the same command goes" in said
    )
    assert main(words) == 0
    for setting in runs(SMALL):
        record = Place(folder / "sweep", setting).record
        assert record.read_bytes() == whole(setting, folder / "alone")
    assert not [file for file in os.listdir("sweep") if "json" not in file]


def test_what_a_kill_left_of_a_finished_run_is_removed(folder: Path) -> None:
    words = ["sweep", "runs.toml", "--executor", "1"]
    assert main(words) == 0
    files = set(os.listdir("sweep"))
    for setting in runs(SMALL):
        left = Place(folder / "sweep", setting).checkpoint
        for name in (left, left.with_suffix(".npz.new"), lock_of(left)):
            name.touch()
    assert main(words) == 0
    assert set(os.listdir("sweep")) == files


def lock_of(checkpoint: Path) -> Path:
    return checkpoint.with_suffix("").with_suffix(".lock")


def test_what_somebody_writes_anew_is_left_alone(folder: Path) -> None:
    """A run that is finished, and begun anew with force elsewhere."""
    words = ["sweep", "runs.toml", "--executor", "1"]
    assert main(words) == 0
    place = Place(folder / "sweep", runs(SMALL)[0])
    with place.alone():
        place.checkpoint.touch()
        assert main(words) == 0
        assert place.checkpoint.exists()
    assert main(words) == 0
    assert not place.checkpoint.exists()


EARLY = "update 6 left the representable numbers"


def test_runs_that_end_early_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what the records say of the data."""
    assert main(["sweep", "runs.toml", "--executor", "1"]) == 0
    capsys.readouterr()
    for setting in runs(SMALL):
        record = Place(folder / "sweep", setting).record
        *lines, last, end = record.read_text().splitlines(keepends=True)
        assert '"k": 6' in last
        lines.append(end.replace("complete", EARLY))
        text = "".join(lines).replace('warnings": []', 'warnings": ["they differ"]')
        record.write_text(text)
    assert main(["sweep", "runs.toml"]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "refimpl: warning: they differ"
    assert len(others) == 4
    assert all(one.endswith(f": {EARLY}") for one in others)


def test_records_of_other_versions_are_named_and_stay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "runs.toml", "--executor", "1"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    old = [Place(folder / "sweep", one).record for one in runs(SMALL)[:3]]
    for number, record in enumerate(old):
        name = "numpy" if number else "scipy"
        text = re.sub(f'"{name}": "[^"]*"', f'"{name}": "0.9"', record.read_text())
        record.write_text(text)
    contents = [record.read_bytes() for record in old]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out == shown
    here = checkpoints.versions()
    assert said.err == (
        "refimpl: warning: 3 of 4 records were computed by other versions, which may "
        f"compute other bits, and stay as they are: scipy 0.9, not {here['scipy']}; "
        f"numpy 0.9, not {here['numpy']}\n"
    )
    assert [record.read_bytes() for record in old] == contents


def test_versions_that_only_one_side_has() -> None:
    here = checkpoints.versions()
    told = {name: here[name] for name in here if name != "numba"} | {"torch": "2"}
    one: Any = SimpleNamespace(versions=told)
    (said,) = of_other_versions([one])
    assert f"numba None, not {here['numba']}; torch 2, not None" in said
    assert of_other_versions([SimpleNamespace(versions=here)]) == []  # type: ignore[list-item]


def test_a_record_under_the_name_of_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a slip with `cp` makes it: no number of it is taken for another run's."""
    words = ["sweep", "runs.toml", "--executor", "1"]
    assert main(words) == 0
    capsys.readouterr()
    one, other = (Place(Path("sweep"), setting) for setting in runs(SMALL)[:2])
    shutil.copy(one.record, other.record)
    assert fails(words, capsys) == (
        2,
        f"refimpl: {other.record} has the record of another setting than its name "
        f"says, of {one.setting.slug}: move it away, and its run begins anew\n",
    )
    other.record.unlink()
    assert main(words) == 0


def test_a_damaged_checkpoint_costs_its_own_run_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the sentence says is done; three runs are finished and stay so."""
    words = ["sweep", "runs.toml", "--executor", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(command, "_patience", impatient(21))
        assert fails(words, capsys)[0] == 130
    (checkpoint,) = Path("sweep").glob("*.checkpoint.npz")
    finished = {file: file.stat().st_mtime_ns for file in folder.glob("sweep/*.jsonl")}
    assert len(finished) == 3
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert fails(words, capsys) == (
        2,
        f"refimpl: {checkpoint} is no checkpoint of this version: remove it, and its "
        "run begins anew\n",
    )
    checkpoint.unlink()
    assert main(words) == 0
    for setting in runs(SMALL):
        record = Place(folder / "sweep", setting).record
        assert record.read_bytes() == whole(setting, folder / "alone")
    assert {file: file.stat().st_mtime_ns for file in finished} == finished


def test_fields_that_vary() -> None:
    sgd, sgld = of_section_6("sgd"), of_section_6("sgld")
    assert sweep.varying([sgd]) == ["method"]
    assert sweep.varying([sgd, sgld]) == ["method"]  # the others follow from it
    assert sweep.varying([sgld, of_section_6("sgld", tau=(1, 2))]) == ["tau"]
    assert sweep.varying([sgld, of_section_6("hr", tau=1)])[:2] == ["method", "tau"]
    own = of_section_6("sgld", learning_rate=0.1)  # a field that has no usual value
    assert sweep.varying([sgld, own]) == ["learning_rate"]


# --- executors of others


def test_any_executor_writes_the_same_records(folder: Path) -> None:
    told: list[float] = []
    with ThreadPoolExecutor(2) as pool:
        workers.train_all(
            runs(SMALL),
            Path("out"),  # which a worker may see under another name
            executor=pool,
            watch=lambda more: bool(told.append(more)),
        )
        assert pool.submit(len, "open").result() == 4
    for setting in runs(SMALL):
        record = Place(folder / "out", setting).record
        assert record.read_bytes() == whole(setting, folder / "alone")
    assert sum(told) == workers.work(runs(SMALL))
    assert not [file for file in os.listdir("out") if "json" not in file]


def test_runs_elsewhere_stop_when_they_are_told(folder: Path) -> None:
    """The first Ctrl-C takes their leave away; they go on from their checkpoints."""
    long = [of_section_6("sgd", data="digits", updates=10**6, seed=n) for n in (0, 1)]
    begun = [Place(folder / "out", one).growing.exists for one in long]

    def watch(_: float) -> bool:
        return all(one() for one in begun)

    with ThreadPoolExecutor(2) as pool, pytest.raises(Interrupted):
        workers.train_all(long, folder / "out", executor=pool, watch=watch)
    assert {"".join(Path(name).suffixes) for name in os.listdir("out")} == {
        *(".checkpoint.npz", ".jsonl.partial")
    }


def test_a_worker_waits_for_another_one(folder: Path) -> None:
    """One that was told to end has the files for some seconds more."""
    chosen, begun = runs(SMALL), time.monotonic()
    places = [Place(folder / "out", one) for one in chosen]
    with ThreadPoolExecutor(2) as pool, ExitStack() as held:
        held.enter_context(places[0].alone())

        def watch(_: float) -> bool:
            assert time.monotonic() - begun < 50
            if all(one.is_finished for one in places[1:]):
                held.close()
            return False

        workers.train_all(chosen, folder / "out", executor=pool, watch=watch)
    for place in places:
        assert place.record.read_bytes() == whole(place.setting, folder / "alone")


def test_a_run_that_somebody_keeps_is_left_out_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.0)
    places = [Place(folder / "out", one) for one in runs(SMALL)]
    said = r"1 of 4 runs could not be had: another process is writing .*partial: wait"
    with (
        ThreadPoolExecutor(1) as pool,
        places[0].alone(),
        pytest.raises(InvalidParameter, match=said),
    ):
        workers.train_all(runs(SMALL), folder / "out", executor=pool)
    assert [one.is_finished for one in places] == [False, True, True, True]
    assert not list((folder / "out").glob(".leave-*"))


def test_nobody_waits_on_this_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on a worker whose leave is taken away meanwhile."""
    (setting, *_), out = runs(SMALL), folder / "out"
    leave, begun = workers._leave(out), time.monotonic()

    class Away(workers._Listener):
        def has_leave(self) -> bool:
            leave.unlink(missing_ok=True)
            return super().has_leave()

    monkeypatch.setattr(workers, "_Listener", Away)
    with Place(out, setting).alone():
        with pytest.raises(Busy):
            workers.train_all([setting], out)
        assert "another process is writing" in workers._far(setting, out, None, leave)
    assert time.monotonic() - begun < 50


def test_a_run_stops_that_sees_no_sign_of_its_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which was killed, and whose leave is therefore there for ever."""
    monkeypatch.setattr(workers, "SILENCE", 0.3)
    out = folder / "out"
    long = of_section_6("sgd", data="digits", updates=10**6)
    leave = workers._leave(out)
    with pytest.raises(Interrupted, match="interrupted after update"):
        workers._far(long, out, None, leave)
    assert Place(out, long).checkpoint.exists()


def test_a_command_that_slept_too_long_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SILENCE", 0.3)
    monkeypatch.setattr(workers, "_RENEWAL", 600.0)
    long = [of_section_6("sgd", data="digits", updates=10**6, seed=n) for n in (0, 1)]
    with ThreadPoolExecutor(2) as pool, pytest.raises(workers.Lost, match="no sign of"):
        workers.train_all(long, folder / "out", executor=pool)


def test_a_leave_is_renewed_as_long_as_it_is_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_RENEWAL", 0.01)
    leave = workers._leave(folder)
    with workers._renewed(leave):
        for _ in range(2):
            os.utime(leave, (0, 0))
            deadline = time.monotonic() + 30
            while leave.stat().st_mtime == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert leave.stat().st_mtime > 0
    assert not leave.exists()


def test_a_listener_needs_no_common_clock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time on the file may be of another day: that it changes is the sign."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(workers, "monotonic", lambda: clock.now)
    leave = workers._leave(folder)
    os.utime(leave, (1000, 1000))
    listener = workers._Listener(leave)
    clock.now += workers.SILENCE - 1
    assert listener.has_leave()
    os.utime(leave, (500, 500))
    assert listener.has_leave()
    clock.now += workers.SILENCE - 1
    assert listener.has_leave()
    clock.now += 1
    assert not listener.has_leave()
    os.utime(leave, (501, 501))
    assert listener.has_leave()
    leave.unlink()
    assert not listener.has_leave()


def test_leaves_of_killed_commands_are_removed(folder: Path) -> None:
    """By the next command, which may have nothing else to do."""
    words = ["sweep", "runs.toml", "--executor", "1"]
    assert main(words) == 0
    old, young = (workers._leave(folder / "sweep") for _ in range(2))
    past = old.stat().st_mtime - workers.SILENCE - 10
    os.utime(old, (past, past))
    assert main(words) == 0
    assert list((folder / "sweep").glob(".leave-*")) == [young]


class Elsewhere(Executor):
    """Of machines that do not see this one's folders."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        setting, folder, data_folder, leave = args
        assert folder.is_absolute()
        assert data_folder.is_absolute()
        try:
            fn(setting, folder, data_folder, leave.with_name("other"))
        except InvalidParameter as error:
            future.set_exception(error)
        return future


def test_a_worker_that_does_not_see_the_folder(folder: Path) -> None:
    with pytest.raises(InvalidParameter, match="choose a folder that all workers sh"):
        workers.train_all(
            runs(SMALL), Path("out"), data_folder=Path("data"), executor=Elsewhere()
        )
    assert os.listdir("out") == []


class Fickle(Executor):
    """Gives everything up, or breaks."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.error is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "said"),
    [(None, "gave up a run"), (BrokenExecutor("of its own"), "ended from outside")],
)
def test_an_executor_that_gives_up(error: Any, said: str, folder: Path) -> None:
    with pytest.raises(workers.Lost, match=said):
        workers.train_all(runs(SMALL), folder / "out", executor=Fickle(error))
    assert os.listdir("out") == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills processes")
def test_a_cluster_of_which_all_workers_are_killed(folder: Path) -> None:
    """In the middle of their runs; the records are those of an undisturbed process."""
    distributed = pytest.importorskip("distributed")
    chosen = [
        of_section_6(
            "sgld", data="digits", sizes=(64, 8, 10), updates=400, J=50, seed=n
        )
        for n in range(4)
    ]
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as local:
        address = local.scheduler_address
        with Where(address=address).open() as pool:
            assert pool is not None

            def watch(_: float) -> bool:
                if not killed and list(folder.glob("out/*.partial")):
                    with distributed.Client(address, set_as_default=False) as client:
                        killed.extend(client.run(os.getpid).values())
                    for number in killed:
                        os.kill(number, signal.SIGKILL)
                return False

            workers.train_all(chosen, folder / "out", executor=pool, watch=watch)
    assert len(killed) == 2
    for setting in chosen:
        record = Place(folder / "out", setting).record
        assert record.read_bytes() == whole(setting, folder / "alone")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM")
def test_a_worker_that_is_told_to_end(folder: Path) -> None:
    """Its run is given to the idle one at once, while it still has the files."""
    distributed = pytest.importorskip("distributed")
    long = of_section_6("sgld", data="digits", sizes=(64, 8, 10), updates=400, J=1000)
    told: list[int] = []
    with (
        distributed.LocalCluster(
            n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs=50
        ) as local,
        started(local.scheduler_address, folder, 2),
        distributed.Client(local, set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        nannies = client.run(os.getppid)
        with Where(address=local.scheduler_address).open() as pool:
            assert pool is not None

            def watch(_: float) -> bool:
                if not told and list(folder.glob("out/*.checkpoint.npz")):
                    busy = [
                        name for name, tasks in client.processing().items() if tasks
                    ]
                    told.extend(nannies[name] for name in busy)
                    os.kill(told[0], signal.SIGTERM)
                return False

            workers.train_all([long], folder / "out", executor=pool, watch=watch)
    assert len(told) == 1
    record = Place(folder / "out", long).record
    assert record.read_bytes() == whole(long, folder / "alone")


@contextmanager
def started(address: str, folder: Path, count: int) -> Iterator[None]:
    """Workers of one thread, each with the nanny that `dask worker` gives it."""
    words = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    words += ["--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    with ExitStack() as all_of_them:
        for _ in range(count):
            one = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            all_of_them.callback(one.wait, 60)
            all_of_them.callback(one.terminate)
        yield
