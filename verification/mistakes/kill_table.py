"""Every mistake against every check: what is killed, by which, and what is dead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from verification.checks import Check, Verdict, all_checks, run_check
from verification.errors import UsageError
from verification.mistakes.catalogue import CATALOGUE
from verification.mistakes.mistake import Mistake, planted
from verification.subject import Witness

Progress = Callable[[Mistake, list[str]], None]


@dataclass
class KillTable:
    """Which checks fail each planted mistake.

    Attributes
    ----------
    kills : dict of str to list of str
        For each mistake the checks that fail it, in the paper's order.
    false_kills : list of str
        Checks that fail the right subject: then no kill means anything.
    checks : list of Check
    """

    checks: list[Check]
    kills: dict[str, list[str]] = field(default_factory=dict)
    false_kills: list[str] = field(default_factory=list)

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
        """What a check says it must catch and does not."""
        return [
            f"{check.id} misses {mistake}"
            for check in self.checks
            for mistake in check.mistakes
            if mistake in self.kills and check.id not in self.kills[mistake]
        ]


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
    table.false_kills = _failed(right, table.checks)
    for mistake in CATALOGUE.values() if mistakes is None else mistakes:
        killers = _failed(planted(mistake, right), table.checks)
        table.kills[mistake.id] = killers
        if progress is not None:
            progress(mistake, killers)
    return table


def _failed(subject: Any, checks: list[Check]) -> list[str]:
    witness = Witness(subject)
    outcomes = [run_check(check, witness) for check in checks]
    return [o.check.id for o in outcomes if o.verdict is Verdict.FAIL]


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
