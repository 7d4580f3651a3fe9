"""Many runs told by one file: a grid of settings, as that of Figure 7, and its table.

The file is TOML.  ``[base]`` has fields of a `Setting`; ``[grid]`` has a list of values
for each of some fields and stands for all combinations, the last field varying the
fastest; every table of ``[[runs]]`` is one run more.  Grid and runs take precedence
over the base, and what nobody says is as in Table 1 for the run's method::

    [base]
    data = "digits"
    updates = 200

    [grid]
    method = ["sgld", "hr"]
    tau = [0.01, 0.1, [1.5, 0.01]]
    seed = [0, 1]

    [[runs]]
    method = "sgd"
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from refimpl.errors import InvalidParameter
from refimpl.experiments.checkpoints import (
    COMPLETE,
    History,
    Place,
    history_of,
    of_other_versions,
    seconds_of,
)
from refimpl.experiments.settings import CHOICES, Setting, foreign, of_section_6

PARTS = {"base": dict, "grid": dict, "runs": list}
"""What a file consists of; the base may be absent, and one of the others."""

MOST = 100_000
"""Runs of one grid: more are a slip of whoever wrote it."""

_FIELDS = [one.name for one in fields(Setting)]
_WORDS = {*CHOICES, "initialisation"}
_LONGEST = 2**63  # beyond it a whole number is not TOML's
_END = 400  # characters of a sentence from either end, if not all are shown


def read_file(path: Path) -> list[Setting]:
    """The runs that a file tells, in its order.

    Raises
    ------
    InvalidParameter
        If it is not TOML or not a file of runs, has a field that no setting has or a
        value that its field does not ask for, or tells no run, or one of them twice.
    OSError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return runs(tomllib.load(file))
    except ValueError as error:  # of ours, of TOML and of UTF-8
        raise InvalidParameter(f"{path}: {_one_line(str(error))}") from error
    except RecursionError as error:
        raise InvalidParameter(f"{path}: lists stand too deep in lists") from error


def _one_line(said: str) -> str:
    """A sentence that may quote the file, without line ends or a long middle."""
    line = " ".join(said.split())
    if len(line) <= 2 * _END:
        return line
    return f"{line[:_END]} ... {line[-_END:]}"


def runs(told: Mapping[str, Any]) -> list[Setting]:
    """The same, from what is in the file.

    Raises
    ------
    InvalidParameter
        As `read_file`.

    Examples
    --------
    >>> base = {"method": "is", "data": "digits"}
    >>> [one.tau for one in runs({"base": base, "grid": {"tau": [0.01, 0.1]}})]
    [0.01, 0.1]
    """
    for part, value in told.items():
        if not isinstance(value, PARTS.get(part, ())):
            raise InvalidParameter(
                f"a file of runs has tables [base], [grid] and [[runs]], and {part} is "
                "none of them"
            )
    base = told.get("base", {})
    _require_fields("[base]", base)
    found: dict[Setting, str] = {}
    for where, changes in _told(told):
        _require_suitable(where, base, changes)
        setting = _setting(where, {**base, **changes})
        if setting in found:
            raise InvalidParameter(f"{where} was told before, as {found[setting]}")
        found[setting] = where
    return list(found)


def _told(told: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each run is told, and what is told of it there."""
    if not ("grid" in told or told.get("runs")):
        raise InvalidParameter("there is no run: give a [grid], or some of [[runs]]")
    if "grid" in told:
        yield from _combinations(told["grid"])
    for number, one in enumerate(told.get("runs", []), 1):
        if not isinstance(one, dict):
            raise InvalidParameter(f"runs must be tables [[runs]], got {one!r:.100}")
        where = f"run {number} of [[runs]]"
        _require_fields(where, one)
        yield where, one


def _combinations(grid: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if not grid:
        raise InvalidParameter("[grid] is empty: give some field a list of values")
    for name, values in grid.items():
        _require_known("[grid]", name)
        if not isinstance(values, list) or not values:
            raise InvalidParameter(
                f"[grid]: {name} must be a list of at least one value, got {values!r}"
            )
        for value in values:
            _require_kind("[grid]", name, value)
    count = prod(map(len, grid.values()))
    if count > MOST:
        raise InvalidParameter(f"[grid] has {count:,} runs; at most {MOST:,} are made")
    for chosen in product(*grid.values()):
        changes = dict(zip(grid, chosen, strict=True))
        says = ", ".join(f"{name} = {value}" for name, value in changes.items())
        yield f"the run of [grid] with {says}", changes


def _require_suitable(
    where: str, base: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    """Of what is told to all runs alike, nothing that this one does not have."""
    method = changes.get("method", base.get("method"))
    for name in base:
        if name not in changes and name in foreign(method):
            raise InvalidParameter(
                f"{where}: {name} of [base] says nothing to {method}: leave it out "
                "there, and tell it to the runs of other methods"
            )


def _setting(where: str, changes: dict[str, Any]) -> Setting:
    if "method" not in changes:
        raise InvalidParameter(f"{where}: method is missing")
    try:
        return of_section_6(**changes)
    except InvalidParameter as error:
        raise InvalidParameter(f"{where}: {error}") from error


def _require_fields(where: str, table: Mapping[str, Any]) -> None:
    for name, value in table.items():
        _require_known(where, name)
        _require_kind(where, name, value)


def _require_known(where: str, name: str) -> None:
    if name not in _FIELDS:
        raise InvalidParameter(
            f"{where}: a setting has no field {name!r}; it has {', '.join(_FIELDS)}"
        )


def _require_kind(where: str, name: str, value: Any) -> None:
    """A word, true or false, a number or a list of numbers, as the field asks for."""
    if name in _WORDS:
        kind, right = "a word", isinstance(value, str)
    elif name == "in_span":
        kind, right = "true or false", isinstance(value, bool)
    else:
        several = value if isinstance(value, list) else [value]
        kind, right = "a number, or several", all(map(_is_number, several))
    if not right:
        raise InvalidParameter(f"{where}: {name} must be {kind}, got {value!r:.100}")


def _is_number(value: Any) -> bool:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return right and (isinstance(value, float) or abs(value) < _LONGEST)


# --- the table


def varying(settings: Sequence[Setting]) -> list[str]:
    """The fields in which settings differ that have them; of a single one, its method.

    Examples
    --------
    >>> varying([of_section_6("hr"), of_section_6("hr", tau=0.1), of_section_6("sgd")])
    ['method', 'tau']
    """
    return [name for name in _FIELDS if _varies(name, settings)] or ["method"]


def _varies(name: str, settings: Sequence[Setting]) -> bool:
    """Whether two have different values, or one of two of one method has none."""
    pairs = {(one.method, getattr(one, name)) for one in settings}
    values = {value for _, value in pairs} - {None}
    return len(values) > 1 or len(pairs) > len({method for method, _ in pairs})


@dataclass(frozen=True)
class Finished:
    """What became of one run.

    Attributes
    ----------
    history : History
    seconds : float or None
        That all updates took together, if it is known.
    record : str
        The name of the file that has it.
    """

    history: History
    seconds: float | None
    record: str


def finished(settings: Iterable[Setting], folder: Path) -> list[Finished]:
    """Runs whose records are in a folder.

    Raises
    ------
    InvalidParameter
        If a record is none, or another run's, or its file of seconds is damaged.
    OSError
        If a record cannot be read.
    """
    return [_finished(Place(folder, one)) for one in settings]


def _finished(place: Place) -> Finished:
    seconds = seconds_of(place.record)
    total = None if seconds is None else sum(seconds)
    return Finished(history_of(place), total, place.record.name)


def table(runs: Sequence[Finished]) -> str:
    """At least one, as Markdown: accuracy on all test images."""
    names = varying([run.history.setting for run in runs])
    rows = [[*names, "updates made", "accuracy", "seconds", "record"]]
    for run in runs:
        last = run.history.evaluations[-1]
        rows.append(
            [
                *(_shown(getattr(run.history.setting, name)) for name in names),
                str(last.k),
                f"{last.accuracy_of_all:.4f}",
                "" if run.seconds is None else f"{run.seconds:.1f}",
                run.record,
            ]
        )
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in wide])
    return "\n".join(_line(row, wide) for row in rows) + "\n"


def warnings(runs: Iterable[Finished]) -> list[str]:
    """What must be known of their data and versions, and why some ended early."""
    histories = [run.history for run in runs]
    found = {text: None for one in histories for text in one.data_warnings}
    early = [
        f"{one.setting.slug}: {one.ended}" for one in histories if one.ended != COMPLETE
    ]
    return [*found, *of_other_versions(histories), *early]


def _shown(value: Any) -> str:
    several = value if isinstance(value, tuple) else (value,)
    return " ".join("" if one is None else str(one) for one in several)


def _line(row: Sequence[str], wide: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, wide, strict=True))
    return f"| {' | '.join(cells)} |"
