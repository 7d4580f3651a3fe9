"""The vectors in a folder of the user's, with a file to write answers into."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from verification.errors import UsageError
from verification.files import draft, is_draft, replace
from verification.vectors import FOLDER
from verification.vectors.reading import load

__all__ = ["TEMPLATE", "export", "template"]

TEMPLATE = "answers.json"
LAST = "manifest.json"


def template(folder: Path = FOLDER) -> str:
    """A file of answers with null for every output, one answer a line."""
    ids = [vector.tc_id for each in load(folder).values() for vector in each]
    lines = [json.dumps({"tcId": tc_id, "output": None}) for tc_id in ids]
    head = '"answersVersion": 1,\n"subject": "",\n"dtype": "float64"'
    return "{\n" + head + ',\n"answers": [\n' + ",\n".join(lines) + "\n]\n}\n"


def export(target: str, folder: Path = FOLDER) -> int:
    """Copy all files and write the template; return the number of files.

    A new folder takes its name when it is whole.  One that is there, and may be where
    the user stands, is filled file by file, the manifest and the template last: until
    then it is none to be read, and another call goes on.

    Raises
    ------
    UsageError
        If the target is there already and neither empty nor one that a killed call was
        filling, or cannot be written.
    """
    place, files = Path(target), _files(folder)
    try:
        if not place.exists():
            _make(place, files)
        elif place.is_dir() and _is_unfinished(place, files):
            _fill(place, files)
        else:
            raise UsageError(f"{target} exists and is not an empty folder")
    except OSError as exc:
        raise UsageError(f"cannot write to {target}: {exc.strerror}") from exc
    return len(files)


def _files(folder: Path) -> dict[str, bytes]:
    """All that is exported, by name, in the order in which it is written."""
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*.json")}
    ordered = [*sorted(names - {LAST}), LAST]
    answers = {TEMPLATE: template(folder).encode()}
    return {name: (folder / name).read_bytes() for name in ordered} | answers


def _is_unfinished(place: Path, files: dict[str, bytes]) -> bool:
    """Whether nothing is there but some of our files, and not the last of them."""
    return not (place / TEMPLATE).exists() and all(
        file.is_dir() or is_draft(file) or _is_ours(file, place, files)
        for file in place.rglob("*")  # which ends at the first of somebody else
    )


def _is_ours(file: Path, place: Path, files: dict[str, bytes]) -> bool:
    name = file.relative_to(place).as_posix()
    return name in files and file.read_bytes() == files[name]


def _make(place: Path, files: dict[str, bytes]) -> None:
    new = draft(place)
    shutil.rmtree(new, ignore_errors=True)  # of a killed process of the same number
    try:
        _fill(new, files)
        os.replace(new, place)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(place: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file, content)
