"""Training runs on disk: a record that grows, and a checkpoint to go on from.

A record is lines of JSON: the setting with the versions that computed it, one line for
every evaluation, and how it ended.  There is no time of day in it and no duration, so
that two records of one setting are equal byte for byte.  While it grows its name ends
in ``.partial``, as `refimpl.experiments.records` has it.

A checkpoint is written beside it every few seconds: k, x_k, the chain's last state
where the setting needs it, and how long the record was.  It takes its name when it is
whole.  So a run may be killed at any moment: the record is cut to the checkpoint's
length and goes on.  Seconds per update are kept in the checkpoint, and in the end in a
file of their own.  While somebody writes them all are locked, by a file that goes with
the last of them.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from time import monotonic, perf_counter
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np

from refimpl import __version__
from refimpl.arrays import Array
from refimpl.errors import InvalidParameter, MissingExtra, NonFinite, RefimplError
from refimpl.experiments.data import Data
from refimpl.experiments.records import partial
from refimpl.experiments.settings import Setting
from refimpl.experiments.stored import StoredSetting, training_of
from refimpl.experiments.threads import one_blas_thread
from refimpl.experiments.training import Evaluation, State

SCHEMA = 1
PAUSE = 5.0
"""Seconds from checkpoint to checkpoint."""

COMPLETE = "complete"


class Interrupted(RefimplError):
    """A run was asked to stop; its files are ready to go on from."""


@dataclass(frozen=True)
class Place:
    """The files of one run in a folder."""

    folder: Path
    setting: StoredSetting

    def _file(self, suffix: str) -> Path:
        return self.folder / f"{self.setting.slug}.{suffix}"

    @property
    def record(self) -> Path:
        """The finished record."""
        return self._file("jsonl")

    @property
    def growing(self) -> Path:
        """The record while the run goes on."""
        return partial(self.record)

    @property
    def checkpoint(self) -> Path:
        """Where the run stands."""
        return self._file("checkpoint.npz")

    @property
    def times(self) -> Path:
        """Seconds per update of the finished run."""
        return self._file("times.json")

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to run."""
        return self.record.exists()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one who writes these files; made anew with their folder.

        Raises
        ------
        InvalidParameter
            If another process, or thread, is.
        MissingExtra
            If filelock is absent.
        OSError
            If the folder cannot be written.
        """
        try:
            from filelock import FileLock, Timeout
        except ImportError as error:
            raise MissingExtra(
                "keeping two runs out of one folder needs filelock, which the extra "
                '`experiments` brings: pip install "local-entropy-oracle[experiments]"'
            ) from error
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file("lock")
        try:
            with FileLock(file, blocking=False):
                try:
                    yield
                finally:
                    with suppress(OSError):  # Windows removes it on release
                        file.unlink()
        except Timeout as error:
            raise InvalidParameter(
                f"another process is writing {self.growing}: wait for it, or choose "
                "another folder"
            ) from error

    def tidy(self) -> None:
        """Remove what a finished run needs no more."""
        self.checkpoint.unlink(missing_ok=True)
        _fresh(self.checkpoint).unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove all files of the run."""
        self.tidy()
        for file in (self.growing, self.record, self.times):
            file.unlink(missing_ok=True)


def _fresh(path: Path) -> Path:
    """The name of a file until it is whole."""
    return path.with_name(path.name + ".new")


@dataclass
class Checkpoint:
    """All that a run needs to go on.

    Attributes
    ----------
    k : int
    x : ndarray, shape (d,)
    last : ndarray, one axis
        What else the next update needs: the chain's last state, if it starts there.
    length : int
        Bytes of the record that belong to it.
    seconds : ndarray, shape (k,)
        How long each update took.
    """

    k: int
    x: Array
    last: Array
    length: int
    seconds: Array

    def save(self, path: Path) -> None:
        """Write it; whoever looks finds the old one or the new one, whole."""
        fresh = _fresh(path)
        with fresh.open("wb") as file:
            np.savez(
                file, **{one.name: getattr(self, one.name) for one in fields(self)}
            )
            _settle(file)
        os.replace(fresh, path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """What `save` wrote.

        Raises
        ------
        InvalidParameter
            If the file is no checkpoint.
        """
        try:
            with path.open("rb") as raw, np.load(raw) as file:
                found = {one.name: file[one.name] for one in fields(cls)}
        except (ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InvalidParameter(
                f"{path} is no checkpoint of this version: begin anew with --force"
            ) from error
        return cls(
            int(found["k"]),
            found["x"],
            found["last"],
            int(found["length"]),
            found["seconds"],
        )


@dataclass(frozen=True)
class History:
    """A finished record.

    Attributes
    ----------
    setting : Setting
    versions : dict
    data_warnings : tuple of str
    evaluations : tuple of Evaluation
        In the order of k.
    ended : str
        ``"complete"``, or the sentence that says why not.
    """

    setting: Setting
    versions: dict[str, str]
    data_warnings: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]
    ended: str

    def column(self, name: str) -> Array:
        """One number of all evaluations, NaN where there is none."""
        values = [getattr(one, name) for one in self.evaluations]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    def at(self, k: int) -> Evaluation | None:
        """The evaluation after k updates, if there is one."""
        return next((one for one in self.evaluations if one.k == k), None)


def train(
    setting: StoredSetting,
    data: Callable[[], Data],
    folder: Path,
    *,
    force: bool = False,
    watch: Callable[[int], bool] = lambda _: False,
    pause: float = PAUSE,
) -> Path:
    """Run a setting, or the rest of it, or nothing if it is finished.

    Parameters
    ----------
    setting : StoredSetting
    data : callable
        Loads its data; not called if there is nothing to run.
    folder : Path
        For the files of the run; made if absent.
    force : bool
        Whether to begin anew whatever is there.
    watch : callable
        Told k after every update; the run stops if it answers true.
    pause : float
        Seconds from checkpoint to checkpoint.

    Returns
    -------
    Path
        The record.  A run whose weights overflow has one too, which says so.

    Raises
    ------
    Interrupted
        If `watch` stopped it.
    InvalidParameter
        If the data do not fit, files of other versions or data are in the way, or
        another process is writing them.
    MissingExtra
        If threadpoolctl or filelock is absent.
    OSError
        If a file cannot be written.
    """
    place = Place(folder, setting)
    if force or not place.is_finished:
        found = data()  # or the exception that leaves all as it was
        with place.alone(), one_blas_thread():
            if force:
                place.forget()
            if not place.is_finished:
                _Run(place, found, watch, pause).go()
    place.tidy()
    return place.record


@dataclass
class _Run:
    """A run that goes on: its training, its record, its seconds."""

    place: Place
    data: Data
    watch: Callable[[int], bool]
    pause: float
    training: Any = field(init=False)
    seconds: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.training = training_of(self.place.setting, self.data)

    def go(self) -> None:
        """From where the files stand to the end."""
        place, head = self.place, header(self.place.setting, self.data)
        kept = _resumable(place, head)
        with _cut(place.growing, kept.length if kept else 0) as out:
            if kept is None:
                state = self.training.begin()
                self.seconds = []
                out.write(head + _line(asdict(self.training.evaluate(state))))
            else:
                state = self.training.resumed(kept.k, kept.x, kept.last)
                self.seconds = list(kept.seconds)
            out.write(_line(self._updates(state, out)))
            _settle(out)
        times = {"seconds_per_update": [round(s, 7) for s in self.seconds]}
        place.times.write_text(json.dumps(times) + "\n", encoding="utf-8")
        os.replace(place.growing, place.record)

    def _updates(self, state: State, out: IO[bytes]) -> dict[str, str]:
        """All that are left; how it ended."""
        states, saved = self.training.after(state), monotonic()
        while True:
            began = perf_counter()
            try:
                following = next(states, None)
            except NonFinite:
                ended = f"update {state.k + 1} left the representable numbers"
                return {"ended": ended, "weights": _digest(state.x)}
            if following is None:
                return {"ended": COMPLETE, "weights": _digest(state.x)}
            state = following
            self.seconds.append(perf_counter() - began)
            if self.training.is_due(state):
                out.write(_line(asdict(self.training.evaluate(state))))
            stop = self.watch(state.k)
            if stop or monotonic() - saved > self.pause:
                self._save(state, out)
                saved = monotonic()
            if stop:
                total = self.place.setting.total
                raise Interrupted(f"interrupted after update {state.k} of {total}")

    def _save(self, state: State, out: IO[bytes]) -> None:
        """The record first: a checkpoint must not speak of lines that are not there."""
        _settle(out)
        kept, seconds = self.training.kept(state), np.array(self.seconds)
        here = Checkpoint(state.k, state.x, kept, out.tell(), seconds)
        here.save(self.place.checkpoint)


def header(setting: StoredSetting, data: Data) -> bytes:
    """The first line of a record."""
    values = {
        "schema": SCHEMA,
        "setting": setting.to_record(),
        "versions": {
            "refimpl": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "numba")},
        },
        "data_warnings": list(data.warnings),
    }
    return _line(values)


def read(path: Path, setting: Any = Setting, evaluation: Any = Evaluation) -> History:
    """The history in a finished record; of another experiment, with its two classes.

    Raises
    ------
    InvalidParameter
        If it is no record of this version.
    OSError
        If the file cannot be read.
    """
    try:
        head, *rows, end = map(json.loads, path.read_bytes().splitlines())
        if head["schema"] != SCHEMA:
            raise KeyError(head["schema"])
        return History(
            setting.of_record(head["setting"]),
            head["versions"],
            tuple(head["data_warnings"]),
            tuple(evaluation.of_record(row) for row in rows),
            end["ended"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidParameter(
            f"{path} is no record of a training run by this version: begin anew with "
            "--force, or move it away"
        ) from error


def seconds_per_update(path: Path) -> float | None:
    """The median of a finished run, its record being `path`; None if nobody knows."""
    try:
        text = path.with_suffix(".times.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return float(np.median(json.loads(text)["seconds_per_update"]))


def _resumable(place: Place, head: bytes) -> Checkpoint | None:
    """The checkpoint to go on from, if its record is there."""
    if not (place.checkpoint.exists() and place.growing.exists()):
        return None
    kept = Checkpoint.load(place.checkpoint)
    if place.growing.stat().st_size < kept.length:  # lost with the power
        return None
    with place.growing.open("rb") as file:
        if file.readline() != head:
            raise InvalidParameter(
                f"{place.growing} was begun with other versions or data, which may "
                "compute other bits: finish it with these, or begin anew with --force"
            )
    return kept


@contextmanager
def _cut(path: Path, length: int) -> Iterator[IO[bytes]]:
    """A file to be written on from this length."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(length)
        file.seek(length)
        yield file


def _line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, allow_nan=False) + "\n").encode()


def _settle(file: IO[bytes]) -> None:
    """On the disk, not on the way there."""
    file.flush()
    os.fsync(file.fileno())


def _digest(x: Array) -> str:
    """Of the weights: equal if and only if these are, to the last bit."""
    return hashlib.sha256(x.astype("<f8").tobytes()).hexdigest()
