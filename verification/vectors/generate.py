"""The folder of vectors, derived anew: written, or compared byte by byte."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from verification.errors import OracleFault, UsageError
from verification.files import replace
from verification.vectors import FOLDER, VERSION
from verification.vectors.canonical import compact, document
from verification.vectors.families import FAMILIES, built
from verification.vectors.negative import SOURCES, negative
from verification.vectors.reading import digest
from verification.vectors.schemas import schemas

__all__ = ["differences", "documents", "write"]

Progress = Callable[[str], object]
NEGATIVE = "negative/answers.json"


def documents(
    families: Iterable[str] = FAMILIES,
    folder: Path = FOLDER,
    progress: Progress | None = None,
) -> dict[str, bytes]:
    """The files of some families, and those that follow from them, by name.

    Parameters
    ----------
    families : iterable of str
    folder : Path
        Where the others are read, of which the negative vectors are made.
    progress : callable, optional
        Called with the id of every vector as soon as it is built.
    """
    data = {name: built(name, progress) for name in families}
    files = {f"{name}.json": document(entry) for name, entry in data.items()}
    for name, schema in schemas().items():
        files[f"schemas/{name}"] = (compact(schema) + "\n").encode()
    sources = {}
    for name in SOURCES:
        place = folder / f"{name}.json"
        sources[name] = data[name] if name in data else json.loads(place.read_text())
    files[NEGATIVE] = document(negative(sources))
    return files


def manifest(files: dict[str, bytes]) -> bytes:
    """The manifest of files by name: hashes, sizes, numbers of tests."""
    entries: dict[str, Any] = {}
    for name, content in files.items():
        count = json.loads(content).get("numberOfTests")
        entries[name] = {
            "sha256": digest(content),
            "bytes": len(content),
            "tests": count,
        }
    total = sum(entry["tests"] or 0 for entry in entries.values())
    head = {"schema": "manifest_v1.schema.json", "suiteVersion": VERSION}
    return document({**head, "numberOfTests": total, "files": entries})


def differences(files: dict[str, bytes], folder: Path = FOLDER) -> list[str]:
    """Which files of a folder are not these, and the first line that differs."""
    found = []
    for name, content in sorted(files.items()):
        place = folder / name
        if not place.is_file():
            found.append(f"{name} is not there")
        elif (there := place.read_bytes()) != content:
            lines = zip(content.splitlines(), there.splitlines(), strict=False)
            pair = next((pair for pair in lines if pair[0] != pair[1]), (b"", b""))
            found.append(f"{name} differs: {_tc_id(pair[0]) or _tc_id(pair[1])}")
    return found


def _tc_id(line: bytes) -> str:
    """The id of a line of a document, or its beginning."""
    _, found, rest = line.decode(errors="replace").partition('"tcId":"')
    return rest.partition('"')[0] if found else line[:60].decode(errors="replace")


def write(files: dict[str, bytes], folder: Path = FOLDER) -> None:
    """Write files, the manifest of the whole folder and the provenance.

    Raises
    ------
    OracleFault
        If a vector that exists would change or vanish, and no erratum says why.
    UsageError
        If a file cannot be written.  Every file is then the old one or the new one;
        the manifest comes last, so that a folder of both is none to be read.
    """
    try:
        _write(files, folder)
    except OSError as exc:
        said = f"{exc.strerror}; what is written is whole, and another call goes on"
        raise UsageError(f"cannot write the vectors to {folder}: {said}") from exc


def _write(files: dict[str, bytes], folder: Path) -> None:
    errata = folder / "errata.json"
    if not errata.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        replace(errata, document({"schema": "errata_v1.schema.json", "errata": []}))
    explained = {entry["tcId"] for entry in json.loads(errata.read_text())["errata"]}
    for name, content in files.items():
        place = folder / name
        if place.is_file() and (changed := _changed(place, content) - explained):
            raise OracleFault(
                f"{min(changed)} of {name} would change and errata.json does not say "
                "why: ids are for ever"
            )
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        replace(place, content)
    apart = {"manifest.json", "provenance.json"}
    names = {f.relative_to(folder).as_posix() for f in folder.rglob("*.json")} - apart
    present = {name: (folder / name).read_bytes() for name in sorted(names)}
    replace(folder / "manifest.json", manifest(present))
    replace(folder / "provenance.json", document(provenance()))


def _changed(place: Path, content: bytes) -> set[str]:
    """Ids whose input or expected answer differs in a file and in its new content."""
    after = _claims(content)
    try:
        before = _claims(place.read_bytes())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise OracleFault(
            f"{place} is damaged, and nobody knows what it said: restore it"
        ) from exc
    return {tc_id for tc_id, claim in before.items() if after.get(tc_id) != claim}


def _claims(content: bytes) -> dict[str, Any]:
    groups = json.loads(content).get("testGroups", [])
    return {
        test["tcId"]: (group.get("loss"), test["input"], test["expected"])
        for group in groups
        for test in group["tests"]
    }


def provenance() -> dict[str, str]:
    """When and with what the files were made: told, and compared with nothing."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "suiteVersion": VERSION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in ("numpy", "scipy", "mpmath")},
    }
