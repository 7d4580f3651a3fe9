"""Every mistake against every check: what is killed, by which, and what is dead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from verification.checks import Check, Outcome, Verdict, all_checks, run_check
from verification.errors import UsageError
from verification.mistakes.catalogue import CATALOGUE
from verification.mistakes.mistake import Mistake, planted
from verification.subject import Witness

MARGIN = 1e3
"""By how many tolerances a promised mistake must be off."""

Progress = Callable[[Mistake, list[str]], None]


@dataclass
class KillTable:
    """Which checks fail each planted mistake.

    Attributes
    ----------
    margins : dict of str to dict of str to float
        For each mistake the checks that fail it, in the paper's order, and by how
        much: the largest error in tolerances, infinite for a fault.
    false_kills : list of str
        Checks that fail the right subject: then no kill means anything.
    checks : list of Check
    """

    checks: list[Check]
    margins: dict[str, dict[str, float]] = field(default_factory=dict)
    false_kills: list[str] = field(default_factory=list)

    @property
    def kills(self) -> dict[str, list[str]]:
        """For each mistake the checks that fail it."""
        return {mistake: list(margins) for mistake, margins in self.margins.items()}

    @property
    def survivors(self) -> list[str]:
        """Mistakes that no check fails."""
        return [mistake for mistake, killers in self.kills.items() if not killers]

    @property
    def dead(self) -> list[str]:
        """Checks that fail no mistake."""
        alive = {check for killers in self.kills.values() for check in killers}
        return [check.id for check in self.checks if check.id not in alive]

    @property
    def whole(self) -> bool:
        """Whether the whole catalogue was planted: only then can a check be dead."""
        return set(self.kills) == set(CATALOGUE)

    @property
    def ok(self) -> bool:
        """Every mistake killed, every promise kept and, on the whole, no check dead."""
        bad = self.false_kills or self.survivors or self.broken_promises
        return not (bad or (self.whole and self.dead))

    @property
    def broken_promises(self) -> list[str]:
        """What a check says it must catch and does not, or only just."""
        broken = []
        for check in self.checks:
            for mistake in check.mistakes:
                margin = self.margins.get(mistake, {check.id: math.inf}).get(check.id)
                if margin is None:
                    broken.append(f"{check.id} misses {mistake}")
                elif margin < MARGIN:
                    broken.append(f"{check.id} sees {mistake} at {margin:.2g} only")
        return broken


def kill_table(
    right: Any,
    mistakes: Iterable[Mistake] | None = None,
    progress: Progress | None = None,
) -> KillTable:
    """Plant each mistake in the right subject and run every check on it.

    Parameters
    ----------
    right : Subject
        One that conforms.
    mistakes : iterable of Mistake, optional
        All of the catalogue by default.
    progress : callable, optional
        Called with each mistake and its killers.
    """
    table = KillTable(all_checks())
    right = _Remembered(right)
    table.false_kills = list(_failed(right, table.checks))
    for mistake in CATALOGUE.values() if mistakes is None else mistakes:
        table.margins[mistake.id] = _failed(planted(mistake, right), table.checks)
        if progress is not None:
            progress(mistake, list(table.margins[mistake.id]))
    return table


class _Remembered:
    """The right subject, asked once for each answer: mutants share most of them."""

    def __init__(self, right: Any) -> None:
        self._right = right
        self._answers: dict[Any, Any] = {}
        self.name, self.dtype = right.name, right.dtype

    def __getattr__(self, method: str) -> Any:
        ask = getattr(self._right, method)

        def remembered(*arguments: Any) -> Any:
            key = (method, *(_key(argument) for argument in arguments))
            if key not in self._answers:
                self._answers[key] = ask(*arguments)
            return np.copy(self._answers[key])

        return remembered


def _key(argument: Any) -> Any:
    return argument.tobytes() if isinstance(argument, np.ndarray) else argument


def _failed(subject: Any, checks: list[Check]) -> dict[str, float]:
    """The checks that fail the subject, and by how many tolerances."""
    witness = Witness(subject)
    outcomes = [run_check(check, witness) for check in checks]
    return {o.check.id: _margin(o) for o in outcomes if o.verdict is Verdict.FAIL}


def _margin(outcome: Outcome) -> float:
    worst = outcome.worst
    return math.inf if worst is None or worst.ok else worst.ratio


def entries(ids: Iterable[str]) -> list[Mistake]:
    """The catalogue's entries of these ids; all of them for none.

    Raises
    ------
    UsageError
        If one of them is not in the catalogue.
    """
    return [_entry(name.upper()) for name in ids] or list(CATALOGUE.values())


def _entry(name: str) -> Mistake:
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = get_close_matches(name, CATALOGUE, n=3, cutoff=0.3)
    hint = f"; near: {', '.join(near)}" if near else ""
    raise UsageError(f"there is no mistake {name!r}{hint}")
