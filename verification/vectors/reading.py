"""The vectors of a folder, read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verification.errors import OracleFault, in_one_line
from verification.losses import from_json
from verification.vectors import FOLDER
from verification.vectors.canonical import fractions_of, input_of
from verification.vectors.designs import Case

__all__ = ["Vector", "digest", "load", "manifest_faults", "of_document"]


@dataclass(frozen=True, eq=False)
class Vector:
    """One test of a document.

    Attributes
    ----------
    family, tc_id : str
    case : Case
        Its loss and input.
    right : list
        The right answers, one or several, as nested lists of fractions.
    test : dict
        All of it.
    """

    family: str
    tc_id: str
    case: Case
    right: list[Any]
    test: dict[str, Any]

    def tolerance(self, dtype: str) -> float:
        """How far an answer may be from one of the right ones, Euclidean norm."""
        bound = self.test["bound"]
        return float(bound["tolFloat64" if dtype == "float64" else "tolFloat32"])


def of_document(data: dict[str, Any]) -> Iterator[Vector]:
    """The vectors of one family's document."""
    for group in data["testGroups"]:
        loss = None
        if "loss" in group:
            record = {key: input_of(value) for key, value in group["loss"].items()}
            loss = from_json(record)
        for test in group["tests"]:
            given = {key: input_of(value) for key, value in test["input"].items()}
            slug, digits = test["tcId"][:-5], group["truth"]["certifiedDigits"]
            case = Case(slug, loss, given, group["conventions"], digits)
            expected = test["expected"]
            each = expected.get("anyOf", [expected])
            right = [fractions_of(entry["output"]) for entry in each]
            yield Vector(data["family"], test["tcId"], case, right, test)


def load(folder: Path = FOLDER) -> dict[str, list[Vector]]:
    """The vectors of a folder by family, in the order of the manifest.

    Raises
    ------
    OracleFault
        If a file is not what the manifest says, or no document.
    """
    if faults := manifest_faults(folder):
        raise OracleFault(faults[0])
    vectors = {}
    for place in sorted(folder.glob("*.json")):
        try:
            data = json.loads(place.read_text(encoding="utf-8"))
            if "testGroups" in data:
                vectors[str(data["family"])] = list(of_document(data))
        except Exception as exc:  # of any form that a document has not
            raise OracleFault(
                f"{place.name} is no document of vectors: {in_one_line(exc)}"
            ) from exc
    return vectors


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def manifest_faults(folder: Path) -> list[str]:
    """What of a folder is not as its manifest says, one sentence each."""
    place = folder / "manifest.json"
    if not place.is_file():
        return [f"there is no manifest in {folder}"]
    try:
        files = json.loads(place.read_text(encoding="utf-8"))["files"]
        listed = {name: str(entry["sha256"]) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ["the manifest cannot be read"]
    apart = {"manifest.json", "provenance.json"}
    present = {f.relative_to(folder).as_posix() for f in folder.rglob("*.json")} - apart
    faults = [f"{name} is not in the manifest" for name in sorted(present - {*listed})]
    for name, sha256 in listed.items():
        if name not in present:
            said = name if name.isprintable() else repr(name)
            faults.append(f"{said[:60]} is in the manifest and not in the folder")
        elif digest((folder / name).read_bytes()) != sha256:
            faults.append(f"{name} is not the file that the manifest describes")
    return faults
