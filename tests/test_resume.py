"""A run that is killed, or stopped, goes on to the identical record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl import sgd as sgd_module
from refimpl.errors import InvalidParameter, MissingData, MissingExtra
from refimpl.experiments import checkpoints
from refimpl.experiments.checkpoints import Checkpoint, Interrupted, Place, read, train
from refimpl.experiments.data import Data, Split, load
from refimpl.experiments.settings import Setting, of_section_6
from refimpl.experiments.training import Training
from refimpl.experiments.workers import train_all

pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")
pytest.importorskip("filelock")

PUBLISHED = Path(__file__).resolve().parents[1] / "docs" / "reproduction"
SMALL: dict[str, Any] = {"data": "digits", "sizes": (64, 8, 10), "evaluate_every": 2}
RUNS = [
    of_section_6("sgd", **SMALL, updates=30),
    of_section_6(
        "sgld", **SMALL, updates=12, J=200, start="previous", tau=(0.05, 0.1), seed=1
    ),
    of_section_6("is", **SMALL, updates=12, J=200, sgd_before=5, sgd_rate=0.1),
    of_section_6("hr", **SMALL, updates=12, J=10, M=10, held_out_drawn="each-time"),
]


@cache
def digits() -> Data:
    return load("digits")


def whole(setting: Setting, folder: Path) -> bytes:
    """The record of a run that nobody disturbs."""
    return train(setting, digits, folder).read_bytes()


def stop_at(*stops: int) -> Any:
    return lambda k: k in stops


# --- killed

KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path

from refimpl.experiments import data
from refimpl.experiments.checkpoints import Place, train
from refimpl.experiments.settings import Setting

folder, setting = Path(sys.argv[1]), Setting.from_json(sys.argv[2])
digits = data.load("digits")
whole = train(setting, lambda: digits, folder / "whole").read_bytes()  # compiles, too
began = time.perf_counter()
train(setting, lambda: digits, folder / "timed", pause=0.0)
seconds = time.perf_counter() - began
place, kills, kept = Place(folder / "killed", setting), 0, set()
while kills < 10 or (len(kept) < 3 and kills < 100):  # some meet a run under way
    child = os.fork()
    if child == 0:
        train(setting, lambda: digits, place.folder, pause=0.0)
        os._exit(0)
    time.sleep(random.uniform(0, 0.8 * seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if place.is_finished:
        place.forget()  # there was nothing to kill; begin again
    else:
        kills += 1
        if place.growing.exists():
            kept.add(place.growing.stat().st_size)
record = train(setting, lambda: digits, place.folder)
print(json.dumps([record.read_bytes() == whole, len(kept), os.listdir(place.folder)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of itself")
@pytest.mark.parametrize("setting", RUNS, ids=lambda one: one.method)
def test_ten_kills_at_random_moments_change_nothing(
    setting: Setting, tmp_path: Path
) -> None:
    """By default `test_kills` kills a run, three times."""
    longer = replace(setting, updates=3 * setting.updates)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, tmp_path, longer.to_json()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    same, lengths, files = json.loads(done.stdout)
    assert same
    assert lengths >= 3
    record = Place(tmp_path, longer).record.name
    assert sorted(files) == sorted([record, record.replace(".jsonl", ".times.json")])


# --- stopped


@pytest.mark.parametrize("setting", RUNS, ids=lambda one: one.method)
def test_a_stop_at_every_update_changes_nothing(
    setting: Setting, tmp_path: Path
) -> None:
    wanted = whole(setting, tmp_path / "whole")
    for k in range(1, setting.total + 1):
        with pytest.raises(Interrupted, match=f"after update {k} of {setting.total}"):
            train(setting, digits, tmp_path, watch=stop_at(k))
        assert not Place(tmp_path, setting).is_finished
    record = train(setting, digits, tmp_path)
    assert record.read_bytes() == wanted
    times = json.loads(Place(tmp_path, setting).times.read_text())
    assert len(times["seconds_per_update"]) == setting.total
    assert checkpoints.seconds_per_update(record) == pytest.approx(
        np.median(times["seconds_per_update"])
    )


def stopped(tmp_path: Path, k: int = 6) -> tuple[Setting, Place]:
    setting = RUNS[0]
    with pytest.raises(Interrupted):
        train(setting, digits, tmp_path, watch=stop_at(k))
    return setting, Place(tmp_path, setting)


def test_lines_after_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    setting, place = stopped(tmp_path)
    with place.growing.open("a") as file:
        file.write('{"k": 8, "accuracy": 0.99' * 1000)
    record = train(setting, digits, tmp_path)
    assert record.read_bytes() == whole(setting, tmp_path / "whole")


@pytest.mark.parametrize("lost", ["checkpoint", "growing", "both", "lines"])
def test_what_is_lost_is_computed_again(tmp_path: Path, lost: str) -> None:
    setting, place = stopped(tmp_path)
    if lost == "lines":  # with the power, before they reached the disk
        place.growing.write_bytes(place.growing.read_bytes()[:-40])
    if lost in ("checkpoint", "both"):
        place.checkpoint.unlink()
    if lost in ("growing", "both"):
        place.growing.unlink()
    record = train(setting, digits, tmp_path)
    assert record.read_bytes() == whole(setting, tmp_path / "whole")
    assert not place.checkpoint.exists()


def test_it_really_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not compute again what it has."""
    setting, _ = stopped(tmp_path, 27)
    seen: list[int] = []
    train(setting, digits, tmp_path, watch=lambda k: bool(seen.append(k)))
    assert seen == [28, 29, 30]


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    record = train(RUNS[0], digits, tmp_path)
    before = record.stat().st_mtime_ns
    (tmp_path / f"{RUNS[0].slug}.checkpoint.npz").write_bytes(b"left by a kill")

    def unread() -> Data:
        raise AssertionError("there is nothing to run")

    assert train(RUNS[0], unread, tmp_path) == record
    assert record.stat().st_mtime_ns == before
    assert not list(tmp_path.glob("*.npz"))
    with pytest.raises(AssertionError):
        train(RUNS[0], unread, tmp_path, force=True)
    assert record.exists()  # nothing is removed for a run that cannot begin


def test_a_checkpoint_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever moment the writing of the next one breaks off at."""
    setting, place = stopped(tmp_path)
    old = place.checkpoint.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("refimpl.experiments.records.settle", full)
    with pytest.raises(OSError, match="No space left"):
        train(setting, digits, tmp_path, watch=stop_at(9))
    monkeypatch.undo()
    assert place.checkpoint.read_bytes() == old
    assert train(setting, digits, tmp_path).read_bytes() == whole(
        setting, tmp_path / "whole"
    )


# --- what is refused


def test_other_versions_do_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, place = stopped(tmp_path)
    monkeypatch.setattr(checkpoints, "__version__", "9.9")
    with pytest.raises(InvalidParameter, match="was begun with other versions or data"):
        train(setting, digits, tmp_path)
    assert place.growing.exists()
    assert (
        read(train(setting, digits, tmp_path, force=True)).versions["refimpl"] == "9.9"
    )


def test_other_data_do_not_go_on(tmp_path: Path) -> None:
    setting, _ = stopped(tmp_path)
    other = Data("digits", digits().train, digits().test, ("they differ",))
    with pytest.raises(InvalidParameter, match="other versions or data"):
        train(setting, lambda: other, tmp_path)


def test_a_checkpoint_that_is_none(tmp_path: Path) -> None:
    setting, place = stopped(tmp_path)
    for content in (b"", b"no checkpoint", place.checkpoint.read_bytes()[:-200]):
        place.checkpoint.write_bytes(content)
        with pytest.raises(InvalidParameter, match="is no checkpoint of this version"):
            train(setting, digits, tmp_path)
    np.savez(place.checkpoint, k=3)
    with pytest.raises(InvalidParameter, match="is no checkpoint of this version"):
        Checkpoint.load(place.checkpoint)


def test_a_checkpoint_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """Wherever it is cut off, whichever byte is wrong."""
    _, place = stopped(tmp_path)
    right = place.checkpoint.read_bytes()
    kept = Checkpoint.load(place.checkpoint)
    for n in range(0, len(right), 97):
        place.checkpoint.write_bytes(right[:n])
        with pytest.raises(InvalidParameter, match="is no checkpoint of this version"):
            Checkpoint.load(place.checkpoint)
        wrong = bytearray(right)
        wrong[n] ^= 1
        place.checkpoint.write_bytes(wrong)
        try:
            found = Checkpoint.load(place.checkpoint)
        except InvalidParameter:
            continue
        for name in Checkpoint.__annotations__:  # what zip says of dates is no matter
            assert np.array_equal(getattr(found, name), getattr(kept, name))


@pytest.mark.parametrize("change", ["more", "fewer", "renamed", "single", "packed"])
def test_a_checkpoint_of_another_version(tmp_path: Path, change: str) -> None:
    """Named, although all or most of what this version needs may be there."""
    setting, place = stopped(tmp_path)
    with np.load(place.checkpoint, allow_pickle=False) as file:
        held = dict(file)
    changed: dict[str, Any] = {
        "more": {**held, "schema": np.array(2)},
        "fewer": {name: held[name] for name in held if name != "digest"},
        "renamed": {("kept" if k == "last" else k): v for k, v in held.items()},
        "single": {**held, "x": held["x"].astype(np.float32)},
        "packed": held,
    }[change]
    (np.savez_compressed if change == "packed" else np.savez)(
        place.checkpoint, **changed
    )
    with pytest.raises(InvalidParameter, match="is no checkpoint of this version"):
        train(setting, digits, tmp_path)
    assert place.growing.exists()


def test_a_checkpoint_of_another_run(tmp_path: Path) -> None:
    """Of another seed, under this one's name: its weights would fit."""
    setting, place = stopped(tmp_path)
    other = replace(setting, seed=7)
    with pytest.raises(Interrupted):
        train(other, digits, tmp_path, watch=stop_at(6))
    os.replace(Place(tmp_path, other).checkpoint, place.checkpoint)
    with pytest.raises(InvalidParameter, match="was not written beside this"):
        train(setting, digits, tmp_path)


def test_a_growing_record_that_is_damaged(tmp_path: Path) -> None:
    setting, place = stopped(tmp_path)
    lines = place.growing.read_bytes()
    place.growing.write_bytes(lines[:-3] + b"7" + lines[-2:])
    with pytest.raises(InvalidParameter, match="or one of them is damaged"):
        train(setting, digits, tmp_path)
    assert train(setting, digits, tmp_path, force=True).read_bytes() == whole(
        setting, tmp_path / "whole"
    )


def test_a_checkpoint_never_runs_what_it_holds(tmp_path: Path) -> None:
    """A pickled object in the file is refused, not loaded."""
    file = tmp_path / "bad.npz"
    np.savez(file, **{name: np.array([print]) for name in Checkpoint.__annotations__})
    with pytest.raises(InvalidParameter, match="is no checkpoint"):
        Checkpoint.load(file)


# --- two at once


def test_two_runs_do_not_write_one_record(tmp_path: Path) -> None:
    """The second is refused, with and without force, and the first goes on."""
    setting, refused = RUNS[0], []

    def meanwhile(k: int) -> bool:
        for force in (False, True):
            with pytest.raises(InvalidParameter, match="another process is writing"):
                train(setting, digits, tmp_path, force=force)
            with pytest.raises(InvalidParameter, match="another process is writing"):
                train_all([RUNS[2], setting], tmp_path, force=force)
        refused.append(k)
        return k == 3

    record = train(RUNS[2], digits, tmp_path)  # must survive the second's --force
    with pytest.raises(Interrupted):
        train(setting, digits, tmp_path, watch=meanwhile)
    assert refused == [1, 2, 3]
    assert record.exists()
    assert not list(tmp_path.glob("*.lock"))
    assert train(setting, digits, tmp_path).read_bytes() == whole(
        setting, tmp_path / "whole"
    )


def test_a_lock_that_was_left_holds_nobody_up(tmp_path: Path) -> None:
    """As a kill leaves it: the file is there, and nobody holds it."""
    lock = Place(tmp_path, RUNS[0]).record.with_suffix(".lock")
    lock.touch()
    train(RUNS[0], digits, tmp_path)
    assert not lock.exists()


def test_nothing_is_left_by_a_run_that_cannot_begin(tmp_path: Path) -> None:
    with pytest.raises(MissingData):
        train_all([replace(RUNS[0], data="mnist", sizes=(784, 10))], tmp_path / "new",
                  data_folder=tmp_path)  # fmt: skip
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("absent", ["threadpoolctl", "filelock"])
def test_without_an_extra(
    tmp_path: Path, absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtra, match="the extra `experiments`"):
        train(RUNS[0], digits, tmp_path)


# --- the record


def test_the_record_says_everything(tmp_path: Path) -> None:
    warned = Data("digits", digits().train, digits().test, ("they differ",))
    history = read(train(RUNS[2], lambda: warned, tmp_path))
    assert history.setting == RUNS[2]
    assert history.data_warnings == ("they differ",)
    assert set(history.versions) == {"refimpl", "python", "numpy", "scipy", "numba"}
    assert history.column("k").tolist() == [*range(0, 17, 2), 17]
    sizes = history.column("effective_sample_size")
    assert np.isnan(sizes[:3]).all()  # before and under SGD
    assert (sizes[3:] >= 1).all()
    assert history.ended == "complete"
    last = history.at(17)
    assert last is not None
    assert 0 <= last.accuracy <= 1
    assert history.at(3) is None


def test_weights_that_overflow_make_a_record_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same whether or not it was stopped on the way."""
    setting = of_section_6("sgd", **SMALL, updates=9, learning_rate=0.1)
    real = sgd_module.sgd

    def explosive(losses: Any, x0: Any, *, eta: float) -> Any:
        for iterate in real(losses, x0, eta=eta):
            if np.array_equal(iterate.x, seventh):
                raise checkpoints.NonFinite(f"update {iterate.k}, counted from here")
            yield iterate

    run = Training(setting, digits())
    seventh = [state.x for state in run.after(run.begin())][6]
    monkeypatch.setattr("refimpl.experiments.training.sgd", explosive)
    record = train(setting, digits, tmp_path / "whole")
    history = read(record)
    assert history.ended == "update 7 left the representable numbers"
    assert history.evaluations[-1].k == 6
    with pytest.raises(Interrupted):
        train(setting, digits, tmp_path, watch=stop_at(3))
    assert train(setting, digits, tmp_path).read_bytes() == record.read_bytes()


@pytest.mark.parametrize(
    "text",
    ["", "no json\n", "[]\n[]\n", '{"schema": 2}\n{"ended": "complete"}\n'],
)
def test_what_is_no_record(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(text)
    with pytest.raises(InvalidParameter, match="is no record of a training run"):
        read(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"schema": 1', '"schema": 2'),
        ('"k": 4,', '"k": 5,'),
        ('"k": 30,', '"k": 31,'),
        ('"ended": "complete"', '"ended": "tired"'),
        ('"ended": "complete"', '"ended": "update 0 left the representable numbers"'),
        ('"ended": "complete"', '"ended": "update 30 left the representable numbers"'),
        ('"ended": "complete"', '"ended": "update 31 left the representable numbers"'),
        ('"schema": 1', '"schema": 1, "more": 0'),
        ('"accuracy": ', '"accuracy": "much", "was": '),
        ('"k": 2,', '"k": 2.5,'),
        ('"k": 2,', '"k": 2, "k": 4,'),
        ('"ended": "complete"', '"ended": null'),
        ('"spread": [', '"spread": [NaN, '),
        ('"data_warnings": []', '"data_warnings": "none"'),
    ],
)
def test_a_record_of_another_form(tmp_path: Path, old: str, new: str) -> None:
    """Of a newer version, or damaged: no number of it is taken."""
    record = train(RUNS[0], digits, tmp_path)
    text = record.read_text()
    assert old in text
    record.write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidParameter, match="is no record of a training run"):
        read(record)


def test_times_that_are_damaged(tmp_path: Path) -> None:
    record = train(RUNS[0], digits, tmp_path)
    times = Place(tmp_path, RUNS[0]).times
    times.write_text(times.read_text()[:20])
    with pytest.raises(InvalidParameter, match="does not say how long"):
        checkpoints.seconds_per_update(record)
    times.unlink()
    assert checkpoints.seconds_per_update(record) is None


def test_a_record_that_breaks_off_is_none(tmp_path: Path) -> None:
    record = train(RUNS[0], digits, tmp_path)
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(lines[:-1]))
    with pytest.raises(InvalidParameter, match="is no record"):
        read(record)


@pytest.mark.parametrize("lost", ["all", "first", "one", "last", "twice"])
def test_a_record_without_all_of_its_evaluations(tmp_path: Path, lost: str) -> None:
    """As a slip in an editor leaves it, or a disk."""
    record = train(RUNS[0], digits, tmp_path)
    head, *rows, end = record.read_text().splitlines(keepends=True)
    rows = {
        "all": [],
        "first": rows[1:],
        "one": rows[:3] + rows[4:],
        "last": rows[:-1],
        "twice": rows[:3] + rows[2:],
    }[lost]
    record.write_text("".join([head, *rows, end]))
    with pytest.raises(InvalidParameter, match=r"is no record of .* move it away, and"):
        read(record)


def test_a_record_of_more_updates_than_can_be_counted(tmp_path: Path) -> None:
    """It is refused at the first line that is not there."""
    record = train(RUNS[0], digits, tmp_path)
    text = record.read_text()
    for every in ("2", str(2**62)):
        changed = text.replace('"updates": 30', f'"updates": {2**63}')
        changed = changed.replace('_every": 2', f'_every": {every}')
        record.write_text(changed)
        with pytest.raises(InvalidParameter, match="is no record of"):
            read(record)


def test_published_records_are_read() -> None:
    """Their names are those of their settings, and no evaluation is missing."""
    for record in sorted(PUBLISHED.glob("*-seed-4-*.jsonl")):
        history = read(record)
        place = Place(PUBLISHED, history.setting)
        assert place.record == record
        assert checkpoints.history_of(place) == history


def test_one_core_is_one_core(tmp_path: Path) -> None:
    from threadpoolctl import threadpool_info

    seen: list[int] = []

    def look(_: int) -> bool:
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return False

    train(RUNS[0], digits, tmp_path, watch=look)
    assert set(seen) == {1}


def test_data_may_be_any_split(tmp_path: Path) -> None:
    """A hundred images of one's own under the name of a known size."""
    images = np.linspace(0, 1, 100 * 64).reshape(100, 64)
    split = Split(images, np.arange(100) % 10)
    mine = Data("digits", split, split)
    assert read(train(RUNS[0], lambda: mine, tmp_path)).ended == "complete"
