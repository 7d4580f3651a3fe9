"""What a check is, and the registry of all of them."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import import_module
from typing import Any

from verification.errors import UnknownCheck
from verification.evidence.comparison import Finding
from verification.subject import METHODS

__all__ = [
    "LEVELS",
    "ORDER",
    "REGISTRY",
    "ROUTES",
    "STOCHASTIC",
    "Check",
    "all_checks",
    "check",
    "find",
]

#: The layers of the judge.
LEVELS = {
    "V": "vectors",
    "D": "deterministic functions",
    "R": "replay with given draws",
    "S": "laws of the subject's own draws",
    "T": "traces",
}

#: Levels whose checks let the subject use its own randomness.
STOCHASTIC = ("S", "T")

#: How a truth is known.
ROUTES = {
    "CF": "closed form",
    "RAT": "exact rational arithmetic",
    "MP2": "mpmath by two independent routes",
    "LAW": "exact law of the output",
    "ID": "identity between independently computed sides",
    "MET": "metamorphic: a known change of the answer under a change of the input",
}

#: Families of checks in the paper's order.
ORDER = (
    *("EQ1", "EQ2", "EQ5", "EQ6", "EQ7", "HEAT"),
    *("TH1", "EQ12", "ALG1", "A", "TH2", "TH3", "AH", "EL", "ALG2", "TH4"),
    *("ALG3", "ALG4", "ALG5", "SPAN", "MS"),
    *("NET", "EQ18", "RNG", "TRAIN", "VEC"),
)

Body = Callable[..., Iterator[Finding]]


@dataclass(frozen=True, eq=False)
class Check:
    """One claim of the paper and the way to test it.

    Attributes
    ----------
    id : str
        Family, dash, number: ``TH1-01``.
    paper : str
        Where the claim stands: ``Theorem 1, (8)-(9)``.
    claim : str
        What must hold, in one sentence.
    truth : str
        What the subject is compared with.
    route : str
        How that is known: codes of `ROUTES`.
    tolerance : str
        How much may differ, and why so much, in one sentence.
    body : callable
        ``body(witness, case)`` yields the findings of one case; that of a stochastic
        check is given the case's `Trial` as well.
    level : str
        A key of `LEVELS`.
    mistakes : tuple of str
        Ids of the known mistakes this check must catch.
    needs : tuple of str
        Methods of the subject without which nothing can be run.
    any_of : tuple of str
        Methods of which the subject must provide one; the body judges those it has.
    source : tuple, or callable without arguments
        The cases, or what makes them when they are first needed.
    """

    id: str
    paper: str
    claim: str
    truth: str
    route: str
    tolerance: str
    body: Body
    source: tuple[Any, ...] | Callable[[], Iterable[Any]]
    level: str = "D"
    mistakes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z0-9]+-[A-Z0-9]+", self.id):
            raise ValueError(f"a check's id reads FAMILY-NUMBER, got {self.id!r}")
        if self.level not in LEVELS:
            raise ValueError(f"{self.id}: there is no level {self.level!r}")
        codes = re.findall(r"\w+", self.route)
        if not codes or not set(codes) <= set(ROUTES):
            raise ValueError(f"{self.id}: {self.route!r} is not made of {[*ROUTES]}")
        asked = (*self.needs, *self.any_of)
        if unknown := [name for name in asked if name not in METHODS]:
            raise ValueError(f"{self.id}: the protocol has no method {unknown[0]!r}")

    @property
    def stochastic(self) -> bool:
        """Whether the subject uses its own randomness."""
        return self.level in STOCHASTIC

    @property
    def family(self) -> str:
        """The part of the id before the dash."""
        return self.id.partition("-")[0]

    @cached_property
    def cases(self) -> tuple[Any, ...]:
        """What the body is run on; each has a `label` and a `loss` (or None)."""
        cases = tuple(self.source() if callable(self.source) else self.source)
        labels = [case.label for case in cases]
        if not cases:
            raise ValueError(f"{self.id} has no cases")
        if len(set(labels)) < len(labels):
            raise ValueError(f"{self.id} has two cases of the same label: {labels}")
        return cases

    @property
    def losses(self) -> list[str]:
        """The kinds of loss the check runs on, sorted."""
        return sorted({case.loss.kind for case in self.cases if case.loss is not None})


REGISTRY: dict[str, Check] = {}


def check(
    id: str,  # noqa: A002
    *,
    paper: str,
    claim: str,
    truth: str,
    route: str,
    tolerance: str,
    cases: Iterable[Any] | Callable[[], Iterable[Any]],
    mistakes: Iterable[str] = (),
    needs: Iterable[str] = (),
    any_of: Iterable[str] = (),
    level: str = "D",
) -> Callable[[Body], Check]:
    """Turn a generator of findings, see `Check.body`, into a registered check.

    The parameters are the attributes of `Check`; `cases` may be a function, which
    is then called when the cases are first needed.

    Raises
    ------
    ValueError
        If the id is taken, or an attribute is not one of those that exist.
    """

    def register(body: Body) -> Check:
        if id in REGISTRY:
            raise ValueError(f"there are two checks {id}")
        entry = Check(
            id=id,
            paper=paper,
            claim=claim,
            truth=truth,
            route=route,
            tolerance=tolerance,
            body=body,
            source=cases if callable(cases) else tuple(cases),
            level=level,
            mistakes=tuple(mistakes),
            needs=tuple(needs),
            any_of=tuple(any_of),
        )
        REGISTRY[id] = entry
        return entry

    return register


def all_checks() -> list[Check]:
    """Every check of this package, in the paper's order."""
    package = import_module("verification.checks")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            import_module(f"{package.__name__}.{module.name}")
    return sorted(REGISTRY.values(), key=_place)


def _place(entry: Check) -> tuple[int, str, list[tuple[str, int]]]:
    """Family in the order of the paper, then number, 2 before 10."""
    family = ORDER.index(entry.family) if entry.family in ORDER else len(ORDER)
    number = re.findall(r"(\D*)(\d*)", entry.id.partition("-")[2])
    return family, entry.family, [(word, int(n or 0)) for word, n in number]


def find(ids: Iterable[str] = ()) -> list[Check]:
    """The checks of these ids, in the paper's order; all of them for none.

    Parameters
    ----------
    ids : iterable of str
        In any case: an id, a family such as ``TH1``, the beginning of ids such as
        ``ALG3-R``, or a pattern such as ``EQ2-*``.

    Raises
    ------
    UnknownCheck
        If one of them matches nothing.
    """
    checks = all_checks()
    wanted = list(ids)
    if not wanted:
        return checks
    chosen: set[str] = set()
    for word in wanted:
        chosen |= _matching(word, [entry.id for entry in checks])
    return [entry for entry in checks if entry.id in chosen]


def _matching(word: str, known: list[str]) -> set[str]:
    pattern = word.upper()
    for meaning in (pattern, f"{pattern}-*", f"{pattern}*"):
        if matches := {name for name in known if fnmatchcase(name, meaning)}:
            return matches
    raise UnknownCheck(word, known)
