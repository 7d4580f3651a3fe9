"""Every mistake against every check: what is killed, by which, and what is dead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from verification.checks import (
    LEVELS,
    Check,
    Outcome,
    Session,
    Verdict,
    all_checks,
    run_check,
)
from verification.errors import UsageError
from verification.mistakes.catalogue import CATALOGUE
from verification.mistakes.mistake import Mistake, planted
from verification.subject import Witness

MARGIN = 1e3
"""By how many tolerances a promised mistake must be off in a deterministic check."""

SEEDS = 20
"""How often a stochastic check is run on a mistake, each time with other seeds."""

ENOUGH = 19
"""How often it must fail for the mistake to count as killed by it."""


@dataclass(frozen=True)
class Kill:
    """How a check fails a mistake.

    Attributes
    ----------
    margin : float
        The largest error in tolerances, infinite for a fault.
    caught, seeds : int
        In how many of the runs it failed; deterministic checks are run once.
    """

    margin: float = math.inf
    caught: int = 1
    seeds: int = 1

    @property
    def sure(self) -> bool:
        """Whether the mistake counts as killed."""
        return self.caught >= (ENOUGH if self.seeds == SEEDS else self.seeds)


JUDGED = tuple(level for level in LEVELS if level != "V")
"""The levels whose checks are tried; a vector says itself which mistakes it tells."""


Progress = Callable[[Mistake, dict[str, Kill]], None]


@dataclass
class KillTable:
    """Which checks fail each planted mistake.

    Attributes
    ----------
    checks : list of Check
    found : dict of str to dict of str to Kill
        For each mistake the checks that failed it at least once, in the paper's order.
    false_kills : list of str
        Checks that fail the right subject: then no kill means anything.
    """

    checks: list[Check]
    found: dict[str, dict[str, Kill]] = field(default_factory=dict)
    false_kills: list[str] = field(default_factory=list)

    @property
    def kills(self) -> dict[str, list[str]]:
        """For each mistake the checks that surely fail it."""
        return {
            mistake: [check for check, kill in found.items() if kill.sure]
            for mistake, found in self.found.items()
        }

    @property
    def survivors(self) -> list[str]:
        """Mistakes that no check surely fails."""
        return [mistake for mistake, killers in self.kills.items() if not killers]

    @property
    def by_check(self) -> dict[str, list[str]]:
        """For each check the mistakes that it surely fails."""
        killed: dict[str, list[str]] = {check.id: [] for check in self.checks}
        for mistake, killers in self.kills.items():
            for check in killers:
                killed[check].append(mistake)
        return killed

    @property
    def dead(self) -> list[str]:
        """Checks that fail no mistake."""
        return [check for check, mistakes in self.by_check.items() if not mistakes]

    @property
    def needed(self) -> dict[str, list[str]]:
        """For each check without which a mistake would survive, these mistakes."""
        only: dict[str, list[str]] = {}
        for mistake, killers in self.kills.items():
            if len(killers) == 1:
                only.setdefault(killers[0], []).append(mistake)
        return only

    @property
    def layers(self) -> dict[str, list[str]]:
        """For each level that kills anything, the mistakes it kills."""
        level_of = {check.id: check.level for check in self.checks}
        layers: dict[str, list[str]] = {level: [] for level in LEVELS}
        for mistake, killers in self.kills.items():
            for level in {level_of[check] for check in killers}:
                layers[level].append(mistake)
        return {level: killed for level, killed in layers.items() if killed}

    @property
    def whole(self) -> bool:
        """Whether the whole catalogue was planted: only then can a check be dead."""
        return set(self.found) == set(CATALOGUE)

    @property
    def ok(self) -> bool:
        """Every mistake killed, every promise kept and, on the whole, no check dead."""
        bad = self.false_kills or self.survivors or self.broken_promises
        return not (bad or (self.whole and self.dead))

    @property
    def broken_promises(self) -> list[str]:
        """What a check says it must catch and does not, or only just."""
        return [
            complaint
            for check in self.checks
            for mistake in check.mistakes
            if mistake in self.found
            and (complaint := _complaint(check, mistake, self.found[mistake]))
        ]


def _complaint(check: Check, mistake: str, found: dict[str, Kill]) -> str:
    kill = found.get(check.id)
    if kill is None:
        return f"{check.id} misses {mistake}"
    if not kill.sure:
        runs = f"{kill.caught} of {kill.seeds} runs"
        return f"{check.id} sees {mistake} in {runs} only"
    if kill.margin < MARGIN and not check.stochastic:
        return f"{check.id} sees {mistake} at {kill.margin:.2g} only"
    return ""


def kill_table(
    right: Any,
    mistakes: Iterable[Mistake] | None = None,
    progress: Progress | None = None,
    *,
    seed: int = 0,
    levels: Iterable[str] = JUDGED,
) -> KillTable:
    """Plant each mistake in the right subject and run the checks on it.

    A check is run on a mistake only if it calls one of the methods that go wrong: the
    others would say of it what they say of the right subject.  A stochastic check that
    promises nothing of it is tried only if no other has killed it.

    Parameters
    ----------
    right : Subject
        One that conforms.
    mistakes : iterable of Mistake, optional
        All of the catalogue by default.
    progress : callable, optional
        Called with each mistake and its killers.
    seed : int
        Where the stochastic checks' seeds begin.
    levels : iterable of str
        Of the checks that are run; all but the vectors by default.
    """
    wanted = set(levels)
    table = KillTable([check for check in all_checks() if check.level in wanted])
    right = _Remembered(right)
    witness = Witness(right)
    outcomes = [run_check(check, witness, Session(seed)) for check in table.checks]
    table.false_kills = [o.check.id for o in outcomes if o.verdict is Verdict.FAIL]
    for mistake in CATALOGUE.values() if mistakes is None else mistakes:
        concerned = [o.check for o in outcomes if set(o.calls) & set(mistake.faults)]
        table.found[mistake.id] = _kills(concerned, mistake, right, seed)
        if progress is not None:
            progress(mistake, table.found[mistake.id])
    return table


def _kills(
    checks: list[Check], mistake: Mistake, right: Any, seed: int
) -> dict[str, Kill]:
    """The checks that fail a mistake at least once, in the order given."""
    kills: dict[str, Kill] = {}
    enough = False
    for check in sorted(checks, key=lambda check: mistake.id not in check.mistakes):
        promised = mistake.id in check.mistakes
        if check.stochastic and enough and not promised:
            continue
        witness = Witness(planted(mistake, right))
        kills[check.id] = _kill(check, witness, seed, promised)
        enough |= check.stochastic and kills[check.id].sure
    return {c.id: kills[c.id] for c in checks if c.id in kills and kills[c.id].caught}


def _kill(check: Check, witness: Witness, seed: int, promised: bool) -> Kill:
    """Run a check on a mistake, a stochastic one until it is known to be enough.

    Where it promises nothing it is given up at the first run without a failure.
    """
    seeds = SEEDS if check.stochastic else 1
    allowed = SEEDS - ENOUGH if promised else 0
    margins: list[float] = []
    for run in range(seeds):
        if run - len(margins) > allowed:
            return Kill(min(margins, default=0.0), len(margins), run)
        session = Session(seed + run)
        outcome = run_check(check, witness, session, until_failure=check.stochastic)
        if outcome.verdict is Verdict.FAIL:
            margins.append(_margin(outcome))
    return Kill(min(margins, default=0.0), len(margins), seeds)


class _Remembered:
    """The right subject, asked once for each answer: mutants share most of them.

    Calls with keywords are those of the stochastic methods, which are cheap.
    """

    def __init__(self, right: Any) -> None:
        self._right = right
        self._answers: dict[Any, Any] = {}
        self.name, self.dtype = right.name, right.dtype

    def __getattr__(self, method: str) -> Any:
        ask = getattr(self._right, method)

        def remembered(*arguments: Any, **keywords: Any) -> Any:
            if keywords:
                return ask(*arguments, **keywords)
            key = (method, *(_key(argument) for argument in arguments))
            if key not in self._answers:
                self._answers[key] = ask(*arguments)
            return deepcopy(self._answers[key])

        return remembered


def _key(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.shape, argument.tobytes()
    return argument


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
