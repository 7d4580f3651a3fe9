"""``refimpl sweep``: files of runs, good and bad; who computes them; interruptions.

Nothing here depends on how long anything takes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import refimpl.__main__ as command
from refimpl.__main__ import main
from refimpl.errors import InvalidParameter
from refimpl.experiments import cluster, executors, reproduction, sweep, workers
from refimpl.experiments.checkpoints import Interrupted, Place, read, train
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


def test_runs_that_end_early_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what the records say of the data."""
    assert main(["sweep", "runs.toml", "--executor", "1"]) == 0
    capsys.readouterr()
    for setting in runs(SMALL):
        record = Place(folder / "sweep", setting).record
        text = record.read_text().replace("complete", "update 7 left the numbers")
        record.write_text(text.replace('warnings": []', 'warnings": ["they differ"]'))
    assert main(["sweep", "runs.toml"]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "refimpl: warning: they differ"
    assert len(others) == 4
    assert all(one.endswith(": update 7 left the numbers") for one in others)


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


# --- what a cluster buys


@pytest.mark.parametrize("J", cluster.SAMPLES)
def test_from_the_limit_on_communication_outweighs(J: int) -> None:
    k = cluster.Constants("any", d=6010, n=172, c=4e-5, m=2e-5, b=52_000, s=48_000)
    a, beta = 0.005, 1e8
    L = k.limit(J, a, beta)
    pieces = -(-J // 172)
    send = a + L * k.b / beta + pieces * (k.s / beta + k.m)
    assert J * k.c / L == pytest.approx(send, rel=1e-9)
    one = k.seconds(J, 1, a, beta)
    assert one == pytest.approx(J * k.c + send - (L - 1) * k.b / beta, rel=1e-9)
    assert k.bytes(J, 3) == 3 * 52_000 + pieces * 48_000


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
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    assert main(["cluster", "--rounds", "1", "--updates", "2"]) == 0
    found = cluster.Found.from_json((folder / "cluster" / "cluster.json").read_text())
    assert capsys.readouterr().out.startswith(cluster.table(found))
    assert found.same
    assert [len(took) for took in found.sweeps.values()] == [1, 1]
