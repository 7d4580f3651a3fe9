"""Training runs on disk: a record that grows, and a checkpoint to go on from.

A record is lines of JSON: the setting with the versions that computed it, one line for
every evaluation, and how it ended.  There is no time of day in it and no duration, so
that two records of one setting are equal byte for byte.  While it grows its name ends
in ``.partial``, as `refimpl.experiments.records` has it.

A checkpoint is written beside it every few seconds: k, x_k, the chain's last state
where the setting needs it, and how long the record was, with its digest.  It takes its
name when it is whole.  So a run may be killed at any moment: the record is cut to the
checkpoint's length and goes on, unless it is not the one that the checkpoint was
written beside.  Seconds per update are kept in the checkpoint, and in the end in a
file of their own.  While somebody writes them all are locked, by a file that goes with
the last of them.
"""

import hashlib
import json
import math
import platform
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from refimpl import __version__
from refimpl.arrays import Array
from refimpl.errors import InvalidParameter, MissingExtra, NonFinite, RefimplError
from refimpl.experiments.data import Data
from refimpl.experiments.records import (
    as_fields,
    fresh,
    naming,
    parsed,
    partial,
    rename,
    settle,
    write_whole,
)
from refimpl.experiments.settings import Setting
from refimpl.experiments.stored import StoredSetting, training_of
from refimpl.experiments.threads import one_blas_thread
from refimpl.experiments.training import Evaluation, State

SCHEMA = 1
PAUSE = 5.0
"""Seconds from checkpoint to checkpoint."""

COMPLETE = "complete"
_EARLY = re.compile(r"update ([1-9]\d{0,17}) left the representable numbers")

_POLL = 0.2  # seconds from try to try


class Interrupted(RefimplError):
    """A run was asked to stop; its files are ready to go on from."""


class Busy(InvalidParameter):
    """Another process, or thread, is writing the files of a run."""


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
    def _lock(self) -> Path:
        return self._file("lock")

    @property
    def _passing(self) -> list[Path]:
        """What a finished run needs no more, but for the lock."""
        return [self.checkpoint, fresh(self.checkpoint), fresh(self.times)]

    def _forget_passing(self) -> None:
        for file in self._passing:
            file.unlink(missing_ok=True)

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to run."""
        return self.record.exists()

    @contextmanager
    def alone(self, patient: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Be the only one who writes these files; made anew with their folder.

        Parameters
        ----------
        patient : callable
            Asked whether to go on waiting for another process, or thread, that does.

        Raises
        ------
        Busy
            If another one does, and nobody is patient.
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
        lock = FileLock(self._lock)
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout as error:
                if not patient():
                    raise Busy(
                        f"another process is writing {self.growing}: wait for it, a "
                        "minute if its sweep on a cluster was killed, or choose "
                        "another folder"
                    ) from error
            sleep(_POLL)
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes nothing that is open
                self._lock.unlink()
            lock.release()

    def tidy(self) -> None:
        """Remove what a finished run needs no more, unless somebody is writing it."""
        if any(file.exists() for file in (self._lock, *self._passing)):
            with suppress(RefimplError, OSError), self.alone():
                self._forget_passing()

    def forget(self) -> None:
        """Remove all files of the run; whoever does it is `alone`."""
        self._forget_passing()
        for file in (self.growing, self.record, self.times):
            file.unlink(missing_ok=True)


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
    digest : str
        Of these bytes, SHA-256: a checkpoint goes on from no other record.
    seconds : ndarray, shape (k,)
        How long each update took.
    """

    k: int
    x: Array
    last: Array
    length: int
    digest: str
    seconds: Array

    def save(self, path: Path) -> None:
        """Write it; whoever looks finds the old one or the new one, whole."""
        file = BytesIO()  # a full disk leaves zipfile speechless, but not `write_whole`
        np.savez(file, **{name: getattr(self, name) for name in _STORED})
        write_whole(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """What `save` wrote.

        Raises
        ------
        InvalidParameter
            If the file is no checkpoint, a damaged one, or of another version.
        """
        raw = path.read_bytes()
        try:
            found = {name: array.copy() for name, array in _stored(raw)}
            k, length = int(found["k"]), int(found["length"])
            if not 0 <= k == len(found["seconds"]) or length < 0:
                raise ValueError("counts that do not fit")
        except Exception as error:  # of zipfile and of NumPy, in great variety
            raise InvalidParameter(
                f"{path} is no checkpoint of this version: remove it, and its run "
                "begins anew"
            ) from error
        digest = str(found["digest"])
        return cls(k, found["x"], found["last"], length, digest, found["seconds"])


_STORED = {
    "k": ("<i8", 0),
    "x": ("<f8", 1),
    "last": ("<f8", 1),
    "length": ("<i8", 0),
    "digest": ("<U64", 0),
    "seconds": ("<f8", 1),
}
"""What a checkpoint holds: by name the type and the number of axes."""

_LONGEST_HEADER = 256  # characters; NumPy reads it as Python


def _stored(raw: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of a checkpoint by name; every byte of them is in the file.

    Nothing is made room for that a damaged header announces, and no object is read.
    """
    with ZipFile(BytesIO(raw)) as file:
        if file.namelist() != [f"{name}.npy" for name in _STORED]:
            raise ValueError("other arrays than those of a checkpoint")
        for one, (name, (dtype, axes)) in zip(
            file.infolist(), _STORED.items(), strict=True
        ):
            if one.compress_type != ZIP_STORED or one.file_size > len(raw):
                raise ValueError("more bytes than there are")
            yield name, _array(file.read(one), np.dtype(dtype), axes)


def _array(content: bytes, dtype: Any, axes: int) -> NDArray[Any]:
    """An array of NumPy's own format, of this type and with so many axes."""
    file = BytesIO(content)
    if npy.read_magic(file) != (1, 0):
        raise ValueError("another format of arrays")
    shape, _, found = npy.read_array_header_1_0(file, _LONGEST_HEADER)
    body = content[file.tell() :]
    if found != dtype or len(shape) != axes:
        raise ValueError("an array of another kind")
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError("an array of another length than its header says")
    return np.frombuffer(body, dtype).reshape(shape)


@dataclass(frozen=True)
class _Head:
    """The first line of a record."""

    schema: int
    setting: Any
    versions: dict[str, str]
    data_warnings: tuple[str, ...]


@dataclass(frozen=True)
class _End:
    """The last line of a record."""

    ended: str
    weights: str


@dataclass(frozen=True)
class _Times:
    """What is in the file of times."""

    seconds_per_update: tuple[float, ...]


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
    patient: Callable[[], bool] = lambda: False,
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
    patient : callable
        Asked whether to go on waiting for another process that writes the files.
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
        If the data do not fit, or files of other versions or data are in the way;
        `Busy`, if another process is writing them.
    MissingExtra
        If threadpoolctl or filelock is absent.
    OSError
        If a file cannot be written.
    """
    place = Place(folder, setting)
    if force or not place.is_finished:
        found = data()  # or the exception that leaves all as it was
        with place.alone(patient), one_blas_thread():
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
            settle(out)
        times = {"seconds_per_update": [round(s, 7) for s in self.seconds]}
        write_whole(place.times, json.dumps(times) + "\n")
        rename(place.growing, place.record)

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
            if self.place.setting.is_due(state.k):
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
        settle(out)
        kept, seconds = self.training.kept(state), np.array(self.seconds)
        length = out.tell()
        digest = _digest_of(self.place.growing, length)
        here = Checkpoint(state.k, state.x, kept, length, digest, seconds)
        here.save(self.place.checkpoint)


def header(setting: StoredSetting, data: Data) -> bytes:
    """The first line of a record."""
    values = {
        "schema": SCHEMA,
        "setting": setting.to_record(),
        "versions": versions(),
        "data_warnings": list(data.warnings),
    }
    return _line(values)


def versions() -> dict[str, str]:
    """Of all that a record may depend on, by name."""
    return {
        "refimpl": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "numba")},
    }


def read(path: Path, setting: Any = Setting, evaluation: Any = Evaluation) -> History:
    """The history in a finished record; of another experiment, with its two classes.

    Raises
    ------
    InvalidParameter
        If it is no record of this version, or does not have the evaluations that its
        setting asks for.
    OSError
        If the file cannot be read.
    """
    try:
        head, *rows, end = map(parsed, path.read_bytes().splitlines())
        first, last = as_fields(_Head, head), as_fields(_End, end)
        if first["schema"] != SCHEMA:
            raise ValueError(f"the schema {first['schema']}")
        found = History(
            setting.of_record(first["setting"]),
            first["versions"],
            first["data_warnings"],
            tuple(evaluation.of_record(row) for row in rows),
            last["ended"],
        )
        _require_all_evaluations(found)
    except ValueError as error:
        raise InvalidParameter(
            f"{path} is no record of a training run by this version: move it away, and "
            "its run begins anew"
        ) from error
    return found


def _require_all_evaluations(found: History) -> None:
    early = _EARLY.fullmatch(found.ended)
    if not early and found.ended != COMPLETE:
        raise ValueError("an end that no run has")
    total = found.setting.total
    made = int(early[1]) - 1 if early else total
    pairs = zip_longest((one.k for one in found.evaluations), found.setting.due(made))
    if (early and made >= total) or any(k != due for k, due in pairs):
        raise ValueError("other evaluations than the setting asks for")


def history_of(place: Place, evaluation: Any = Evaluation) -> History:
    """Of a finished run, from its record.

    Raises
    ------
    InvalidParameter
        If the file has no record of this version, or another setting's.
    OSError
        If it cannot be read.
    """
    found = read(place.record, type(place.setting), evaluation)
    if found.setting != place.setting:
        raise InvalidParameter(
            f"{place.record} has the record of another setting than its name says, of "
            f"{found.setting.slug}: move it away, and its run begins anew"
        )
    return found


def of_other_versions(histories: Iterable[History]) -> list[str]:
    """A sentence, if there are some."""
    here, every = versions(), list(histories)
    others = [one for one in every if one.versions != here]
    if not others:
        return []
    differing = {
        f"{name} {one.versions.get(name)}, not {here.get(name)}": None
        for one in others
        for name in here | one.versions
        if one.versions.get(name) != here.get(name)
    }
    return [
        f"{len(others)} of {len(every)} records were computed by other versions, which "
        f"may compute other bits, and stay as they are: {'; '.join(differing)}"
    ]


def seconds_per_update(path: Path) -> float | None:
    """The median of a finished run, its record being `path`; None if nobody knows."""
    seconds = seconds_of(path)
    return None if seconds is None else float(np.median(seconds))


def seconds_of(path: Path) -> tuple[float, ...] | None:
    """Of every update of a finished run, its record being `path`.

    Raises
    ------
    InvalidParameter
        If the file that says so is damaged.
    """
    file = path.with_suffix(".times.json")
    try:
        found = as_fields(_Times, parsed(file.read_bytes()))
        seconds = tuple(map(float, found["seconds_per_update"]))
        if not (seconds and min(seconds) >= 0 and math.isfinite(sum(seconds))):
            raise ValueError("no update, or no seconds that add up")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidParameter(
            f"{file} does not say how long the updates took: move it away"
        ) from error
    return seconds


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
                "compute other bits: finish it with these, or remove it, and its run "
                "begins anew"
            )
    if _digest_of(place.growing, kept.length) != kept.digest:
        raise InvalidParameter(
            f"{place.checkpoint} was not written beside this {place.growing.name}, or "
            "one of them is damaged: remove both, and their run begins anew"
        )
    return kept


@contextmanager
def _cut(path: Path, length: int) -> Iterator[IO[bytes]]:
    """A file to be written on from this length."""
    with naming(path), path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(length)
        file.seek(length)
        yield file


def _line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, allow_nan=False) + "\n").encode()


def _digest_of(path: Path, length: int) -> str:
    """Of so many bytes of a file, from its beginning."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(length)).hexdigest()


def _digest(x: Array) -> str:
    """Of the weights: equal if and only if these are, to the last bit."""
    return hashlib.sha256(x.astype("<f8").tobytes()).hexdigest()
