"""Records of measurements, one JSON object a line.

While a file is being written its name ends in ``.partial``: a finished file is
complete, and an interrupted one holds whole records.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from refimpl.errors import InvalidParameter


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
            values = json.loads(line)
        except ValueError:
            values = None
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise InvalidParameter(f"not a record of this version: {line[:60]!r}")
        return cls(**values)


def read(path: Path) -> list[Record]:
    """The records of a finished file.

    Raises
    ------
    InvalidParameter
        If a line is no record.
    OSError
        If the file cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    return [Record.from_line(line) for line in text.splitlines()]


def partial(path: Path) -> Path:
    """The name of a file while it is being written."""
    return path.with_name(path.name + ".partial")


@contextmanager
def writer(path: Path) -> Iterator["Writer"]:
    """Write records to a partial file, which gets its name when all are there."""
    with partial(path).open("w", encoding="utf-8", newline="\n") as file:
        yield Writer(file)
    os.replace(partial(path), path)


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
