"""The vectors in a folder of the user's, with a file to write answers into."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from verification.errors import UsageError
from verification.vectors import FOLDER
from verification.vectors.reading import load

__all__ = ["TEMPLATE", "export", "template"]

TEMPLATE = "answers.json"


def template(folder: Path = FOLDER) -> str:
    """A file of answers with null for every output, one answer a line."""
    ids = [vector.tc_id for each in load(folder).values() for vector in each]
    lines = [json.dumps({"tcId": tc_id, "output": None}) for tc_id in ids]
    head = '"answersVersion": 1,\n"subject": "",\n"dtype": "float64"'
    return "{\n" + head + ',\n"answers": [\n' + ",\n".join(lines) + "\n]\n}\n"


def export(target: str, folder: Path = FOLDER) -> int:
    """Copy all files and write the template; return the number of files.

    Raises
    ------
    UsageError
        If the target is there already and not an empty folder, or cannot be written.
    """
    place, content = Path(target), template(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{target} exists and is not an empty folder")
    try:
        shutil.copytree(
            folder,
            place,
            dirs_exist_ok=True,
            ignore=lambda _, names: [
                n for n in names if "." in n and n[-5:] != ".json"
            ],
        )
        (place / TEMPLATE).write_text(content, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write to {target}: {exc.strerror}") from exc
    return sum(1 for _ in place.rglob("*.json"))
