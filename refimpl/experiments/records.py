"""Records of measurements, one JSON object a line, and how files are written.

While records are being measured the name of their file ends in ``.partial``: a finished
file is complete, and an interrupted one holds whole records, its last line perhaps
excepted.  A file that is written at once takes its name when it is whole.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import IO, Any, get_args, get_origin, get_type_hints

from refimpl.errors import InvalidParameter, RefimplError


@dataclass(frozen=True)
class Record:
    """What was measured in one setting, beside what theory says.

    Attributes
    ----------
    algorithm, experiment, problem : str
        ``"sgld"``, ``"step"``, ``"wells-10"``.
    d : int
        The number of parameters.
    setting : mapping
        The numbers that were set, by their letter in the paper.
    repetitions, seed : int
    cost : int
        Evaluations of f (Algorithm 4) or grad f that one estimate takes.
    measured : mapping
        What was found, by name; empty where an estimate left the representable
        numbers.
    exact : mapping
        What theory says of the same names, where it does.
    """

    algorithm: str
    experiment: str
    problem: str
    d: int
    setting: Mapping[str, float]
    repetitions: int
    seed: int
    cost: int
    measured: Mapping[str, float]
    exact: Mapping[str, float]

    def to_line(self) -> str:
        """The record as one line of JSON, with its end of line."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Record":
        """The record that `to_line` wrote.

        Raises
        ------
        InvalidParameter
            If the line is no record.
        """
        try:
            return cls(**as_fields(cls, parsed(line)))
        except ValueError as error:
            raise InvalidParameter(
                f"not a record of this version: {line[:60]!r}"
            ) from error


def read(path: Path) -> list[Record]:
    """The records of a finished file.

    Raises
    ------
    InvalidParameter
        If a line is no record.
    OSError
        If the file cannot be read.
    """
    lines = path.read_bytes().splitlines()
    try:
        return [Record.from_line(line.decode()) for line in lines]
    except ValueError as error:  # also of what is no text
        raise InvalidParameter(f"{path} is no file of records: {error}") from error


# --- what was read


def parsed(text: str | bytes) -> Any:
    """What JSON says, without the liberties that the standard library takes.

    Raises
    ------
    ValueError
        If it is no JSON, has NaN or an infinite number, says something twice, or is
        nested beyond all measure.
    """
    try:
        return _STRICT.decode(text if isinstance(text, str) else text.decode())
    except RecursionError as error:
        raise ValueError("lists stand too deep in lists") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number that is not finite: {text[:20]}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


_STRICT = json.JSONDecoder(
    parse_float=_finite, parse_constant=_finite, object_pairs_hook=_once
)


def as_fields(cls: Any, values: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON had them, its lists as tuples.

    Raises
    ------
    ValueError
        If there are fewer of them, or more, or one is of another type.
    """
    hints = _hints(cls)
    names = [one.name for one in fields(cls)]
    if not isinstance(values, dict) or set(values) != set(names):
        raise ValueError(f"not the fields {', '.join(names)}")
    return {name: _as(hints[name], name, values[name]) for name in names}


_hints = cache(get_type_hints)
_GREATEST = sys.float_info.max  # all of them become floats somewhere


def _as(kind: Any, name: str, value: Any) -> Any:
    """The value, of the type that a field is annotated with."""
    of = get_args(kind)
    if kind is Any:
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**as_fields(kind, value))
    if get_origin(kind) is UnionType and NoneType in of:
        return None if value is None else _as(of[0], name, value)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_as(of[0], name, one) for one in value)
    if get_origin(kind) in (Mapping, dict) and isinstance(value, dict):
        return {key: _as(of[1], name, one) for key, one in value.items()}
    allowed: Any = {str: str, int: int, float: int | float}.get(kind, ())
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise ValueError(f"{name} is of another type")
    if kind in (int, float) and not -_GREATEST <= value <= _GREATEST:
        raise ValueError(f"{name} is beyond all measure")
    return value


# --- files


def partial(path: Path) -> Path:
    """The name of a file while it is being written."""
    return path.with_name(path.name + ".partial")


def fresh(path: Path) -> Path:
    """The name of a file until it is whole, if it is written at once."""
    return path.with_name(path.name + ".new")


def write_whole(path: Path, content: str | bytes) -> None:
    """Give a file its content; whoever looks finds the old one or the new one, whole.

    Raises
    ------
    OSError
        If it cannot be written, for example on a full disk: it is then as it was.
    """
    with naming(path):
        try:
            with fresh(path).open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                settle(file)
            rename(fresh(path), path)
        except OSError:
            with suppress(OSError):
                fresh(path).unlink()
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system say which file was being written."""
    try:
        yield
    except OSError as error:
        named = error.filename is not None or isinstance(error, RefimplError)
        if named or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def settle(file: IO[Any]) -> None:
    """On the disk, not on the way there."""
    file.flush()
    os.fsync(file.fileno())


def rename(old: Path, new: Path) -> None:
    """Give a file its name, which is on the disk when this returns.

    Where folders cannot be opened, as on Windows, it is there some time later.
    """
    os.replace(old, new)
    with suppress(OSError):
        folder = os.open(new.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def writer(path: Path) -> Iterator["Writer"]:
    """Write records to a partial file, which gets its name when all are there."""
    with naming(path):
        with partial(path).open("w", encoding="utf-8", newline="\n") as file:
            yield Writer(file)
            settle(file)
        rename(partial(path), path)


class Writer:
    """Appends whole records to an open file."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.count = 0

    def write(self, record: Record) -> None:
        """Append one record; it is in the file when this returns."""
        self._file.write(record.to_line())
        self._file.flush()
        self.count += 1
