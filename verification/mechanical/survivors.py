"""Mutants that nobody catches, each with the reason why nobody should.

``survivors.toml`` has entries of two kinds.  A *survivor* names mutants and says in one
sentence why they are no mistakes.  A *rule* names them by a pattern, for what is no
part of the mathematics wherever it stands: they are not judged at all.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verification.errors import OracleFault

__all__ = ["CLASSES", "FILE", "Known", "Reason", "known"]

FILE = Path(__file__).with_name("survivors.toml")

CLASSES = {
    "equivalent": "the same values for every argument that can occur",
    "rounding": "values that differ in their last digits only",
    "performance": "the same values at another cost in time or memory",
    "margin": "another generous bound in the place of one",
    "convention": "another choice where the paper and the documentation leave it open",
}


@dataclass(frozen=True)
class Reason:
    """Why a mutant may survive.

    Attributes
    ----------
    kind : str
        A key of `CLASSES`.
    sentence : str
    """

    kind: str
    sentence: str


@dataclass(frozen=True)
class Known:
    """What the file says.

    Attributes
    ----------
    survivors : dict of str to Reason
        By the name of the mutant.
    rules : dict of str to Reason
        By the pattern, which must match a whole name.
    """

    survivors: dict[str, Reason]
    rules: dict[str, Reason]

    def rule_of(self, mutant: str) -> str:
        """The first rule that a mutant falls under, or nothing."""
        matching = (p for p in self.rules if re.fullmatch(p, mutant, re.DOTALL))
        return next(matching, "")


def known(path: Path = FILE) -> Known:
    """The entries of a survivors file.

    Raises
    ------
    OracleFault
        If an entry has no class, no sentence, or is there twice.
    """
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    survivors: dict[str, Reason] = {}
    rules: dict[str, Reason] = {}
    for entry in data.get("survivor", ()):
        _enter(survivors, entry.get("mutants", ()), entry, path)
    for entry in data.get("rule", ()):
        _enter(rules, [entry.get("pattern", "")], entry, path)
    return Known(survivors, rules)


def _enter(
    into: dict[str, Reason], names: Any, entry: dict[str, Any], path: Path
) -> None:
    kind, sentence = entry.get("class", ""), entry.get("reason", "")
    if kind not in CLASSES:
        raise OracleFault(f"{path.name}: the class of {names} is not one of {CLASSES}")
    if len(sentence.split()) < 4 or not sentence.endswith("."):
        raise OracleFault(f"{path.name}: {names} needs a sentence that is a reason")
    if not names or not all(names):
        raise OracleFault(f"{path.name}: {sentence!r} is a reason for no mutant")
    for name in names:
        if name in into:
            raise OracleFault(f"{path.name}: {name} is there twice")
        into[name] = Reason(kind, sentence)
