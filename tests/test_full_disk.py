"""A disk that is full: one sentence, the old file as it was, and nothing half written.

A limit on the size of files stands for the disk: the system refuses the same calls with
another number.  It is this process's own, and for a moment, when all that is to be
compiled is: compiled kernels are kept in files, too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

resource = pytest.importorskip("resource")
for needed in ("sklearn", "threadpoolctl", "filelock", "matplotlib"):
    pytest.importorskip(needed)

from refimpl import __main__ as refimpl  # noqa: E402
from refimpl.experiments import data, records  # noqa: E402
from refimpl.experiments.checkpoints import Interrupted, Place, train  # noqa: E402
from refimpl.experiments.settings import of_section_6  # noqa: E402
from verification import __main__ as verification  # noqa: E402
from verification import false_alarms  # noqa: E402
from verification.errors import UsageError  # noqa: E402
from verification.vectors import FOLDER, generate  # noqa: E402
from verification.vectors.reading import load  # noqa: E402

SMALL: dict[str, Any] = {"data": "digits", "sizes": (64, 8, 10), "updates": 12}
SETTING = of_section_6("sgd", **SMALL, evaluate_every=2)
TRAIN = ["train", "--method", "sgd", "--data", "digits", "--sizes", "64-8-10"]
TRAIN += ["--updates", "12", "--evaluate-every", "2", "--out"]
RECORD = records.Record("is", "n", "wells", 2, {"tau": 0.5}, 2, 0, 1, {}, {})

Captured = pytest.CaptureFixture[str]


def limited(size: int, call: Callable[[], Any]) -> Any:
    """Call, with no file growing beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        return call()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(
    main: Any, words: list[str], size: int, capsys: Captured
) -> tuple[int, str]:
    """The exit code of a command on a full disk, and what it complains of."""
    capsys.readouterr()
    code = limited(size, lambda: main(words))
    return int(code), capsys.readouterr().err


def digits() -> data.Data:
    return data.load("digits")


def files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.slow
def test_a_record_that_grows(tmp_path: Path, capsys: Captured) -> None:
    """Not even its first line fits; with room again the same command goes on."""
    out, whole = tmp_path / "runs", tmp_path / "whole"
    assert refimpl.main([*TRAIN, str(whole)]) == 0
    place = Place(out, SETTING)
    found = refused(refimpl.main, [*TRAIN, str(out)], 100, capsys)
    assert found == (2, f"refimpl: {place.growing}: File too large\n")
    assert set(files(out)) <= {place.growing.name}
    record = train(SETTING, digits, out)
    assert record.read_bytes() == (whole / record.name).read_bytes()
    assert set(files(out)) == set(files(whole))


def test_a_checkpoint(tmp_path: Path) -> None:
    """The old one stays, and the run goes on from it."""
    whole = train(SETTING, digits, tmp_path / "whole").read_bytes()
    with pytest.raises(Interrupted):
        train(SETTING, digits, tmp_path, watch=lambda k: k == 6)
    place = Place(tmp_path, SETTING)
    before = place.checkpoint.read_bytes()
    room = len(before) - 1
    assert place.growing.stat().st_size + 1000 < room
    with pytest.raises(OSError, match="File too large") as caught:
        limited(room, lambda: train(SETTING, digits, tmp_path, pause=0.0))
    assert caught.value.filename == str(place.checkpoint)
    assert place.checkpoint.read_bytes() == before
    names = {place.checkpoint.name, place.growing.name}
    assert {file.name for file in tmp_path.glob("*.*")} == names
    assert train(SETTING, digits, tmp_path).read_bytes() == whole


def test_records_of_measurements(tmp_path: Path) -> None:
    """What fits stays under the name of what is not finished; the old file stays."""
    file = tmp_path / "a.jsonl"
    file.write_text("old")

    def go() -> None:
        with records.writer(file) as out:
            for _ in range(10):
                out.write(RECORD)

    with pytest.raises(OSError, match="File too large") as caught:
        limited(3 * len(RECORD.to_line()), go)
    assert caught.value.filename == str(file)
    assert file.read_text() == "old"
    assert records.read(records.partial(file)) == [RECORD] * 3
    go()
    assert records.read(file) == [RECORD] * 10


def test_a_table(tmp_path: Path, capsys: Captured) -> None:
    words = ["reproduce", "table-1", "--data", "digits", "--reading", "printed"]
    words += ["--updates", "1", "--jobs", "1", "--out", str(tmp_path)]
    assert refimpl.main([*words, "--seeds", "2"]) == 0
    table = tmp_path / "table-1.md"
    old = table.read_bytes()
    found = refused(refimpl.main, words, 200, capsys)
    assert found == (2, f"refimpl: {table}: File too large\n")
    assert table.read_bytes() == old
    assert len(old) > 200
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize("form", ["json", "junit", "html"])
def test_a_report(tmp_path: Path, form: str, capsys: Captured) -> None:
    place = tmp_path / "report"
    place.write_text("old")
    words = ["run", "EQ7", "--seed", "1", f"--{form}", str(place)]
    found = refused(verification.main, words, 300, capsys)
    told = f"cannot write the report to {place}: File too large"
    assert found == (4, f"verification: {told}\n")
    assert files(tmp_path) == {"report": b"old"}


def test_vectors(tmp_path: Path) -> None:
    """Every file is whole, and the manifest is the last one."""
    made = generate.documents(["schedules"], FOLDER)
    place = Path(shutil.copytree(FOLDER, tmp_path / "v1"))
    old = files(place)
    (place / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"cannot write the vectors to .*too large"):
        limited(4000, lambda: generate.write(made, place))
    assert files(place) == {k: v for k, v in old.items() if k != "manifest.json"}
    generate.write(made, place)
    assert sum(map(len, load(place).values())) > 1000
    differ = {name for name, content in files(place).items() if old[name] != content}
    assert differ <= {"provenance.json"}


def test_runs_of_a_census(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    with pytest.raises(UsageError, match=f"cannot write {file}: File too large"):
        limited(10, lambda: false_alarms._append(file, {"seed": 1, "run": 100}))


def test_the_limit_bites(tmp_path: Path) -> None:
    """Whoever writes in place loses the old file."""
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(OSError, match="File too large"):
        limited(10, lambda: file.write_text(100 * "n"))
    assert file.read_text() == 10 * "n"
