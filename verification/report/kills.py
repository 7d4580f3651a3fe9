"""The kill table, for people and for programs."""

from __future__ import annotations

import math
from typing import Any

from verification.checks import LEVELS
from verification.mistakes import (
    ENOUGH,
    MARGIN,
    SEEDS,
    Kill,
    KillTable,
    Mistake,
    Point,
)
from verification.report.terminal import Terminal

__all__ = ["KillPrinter", "as_json"]

KEPT = (
    f"each deterministic check sees what it promises at {MARGIN:g} tolerances or more, "
    f"each stochastic one in {ENOUGH} of {SEEDS} runs or more"
)
COLUMNS = ("D", "R", "S", "T")


class KillPrinter:
    """Prints the table as it grows.

    Parameters
    ----------
    terminal : Terminal
    levels : dict of str to str
        The level of each check.
    """

    def __init__(self, terminal: Terminal, levels: dict[str, str]) -> None:
        self._terminal = terminal
        self._level_of = levels

    def header(self) -> None:
        """The column heads."""
        levels = ", ".join(f"{level} {LEVELS[level]}" for level in COLUMNS)
        self._terminal.paragraph("checks that kill, by level: ", levels)
        heads = "".join(f"{level:>3}" for level in COLUMNS)
        self._terminal.say(f"{'mistake':8}{heads}  what it does, and its killers")
        self._terminal.say("\u2500" * self._terminal.width)

    def line(self, mistake: Mistake, found: dict[str, Kill]) -> None:
        """One mistake and the checks that fail it."""
        sure = [check for check, kill in found.items() if kill.sure]
        levels = [self._level_of[check] for check in sure]
        counts = "".join(f"{levels.count(level) or '·':>3}" for level in COLUMNS)
        said = mistake.sentence if sure else f"SURVIVES: {mistake.sentence}"
        self._terminal.paragraph(f"{mistake.id:8}{counts}  ", said)
        if sure:
            self._terminal.paragraph(" " * 22, ", ".join(sure))

    def footer(self, table: KillTable) -> None:
        """What it all means."""
        killed = len(table.kills) - len(table.survivors)
        layers = ", ".join(f"{level} {len(ids)}" for level, ids in table.layers.items())
        self._terminal.say("\u2500" * self._terminal.width)
        self._say("killed", f"{killed} of {len(table.kills)} mistakes; {layers}")
        self._say("survivors", ", ".join(table.survivors) or "none")
        counts = (f"{check} {len(ids)}" for check, ids in table.by_check.items())
        self._say("by check", ", ".join(counts))
        for check, mistakes in table.needed.items():
            self._say("needed", f"{check}: alone in killing {', '.join(mistakes)}")
        if table.whole:
            self._say(
                "idle", ", ".join(table.dead) or "no check: each catches a mistake"
            )
        self._say("promises", "; ".join(table.broken_promises) or KEPT)
        if table.false_kills:
            failed = ", ".join(table.false_kills)
            self._say("FALSE", f"the right subject itself fails {failed}")

    def curve(self, points: list[Point]) -> None:
        """How many mistakes are seen with wider tolerances, and which are lost."""
        of = len(points[0].seen) + len(points[0].lost) if points else 0
        self._terminal.say(f"{'tolerances':>12}{'seen':>8}{'of':>6}{'rate':>9}  lost")
        known: set[str] = set()
        for point in points:
            head = f"{f'x {point.multiplier:g}':>12}{len(point.seen):8}{of:6}"
            lost = ", ".join(name for name in point.lost if name not in known)
            self._terminal.paragraph(f"{head}{point.rate:9.1%}  ", lost)
            known |= set(point.lost)

    def _say(self, name: str, text: str) -> None:
        self._terminal.paragraph(f"{name:10}", text)


def _plain(kill: Kill) -> dict[str, Any]:
    margin = kill.margin if math.isfinite(kill.margin) else "inf"
    return {"margin": margin, "caught": kill.caught, "runs": kill.seeds}


def curve_as_json(points: list[Point]) -> dict[str, Any]:
    """The kill rates with wider tolerances as JSON's own types."""
    return {
        "schema": 1,
        "curve": [
            {"multiplier": p.multiplier, "seen": len(p.seen), "lost": list(p.lost)}
            for p in points
        ],
    }


def as_json(table: KillTable) -> dict[str, Any]:
    """The table as JSON's own types."""
    return {
        "schema": 2,
        "found": {
            mistake: {check: _plain(kill) for check, kill in found.items()}
            for mistake, found in table.found.items()
        },
        "by_check": table.by_check,
        "layers": table.layers,
        "needed": table.needed,
        "survivors": table.survivors,
        "dead": table.dead if table.whole else None,
        "broken_promises": table.broken_promises,
        "false_kills": table.false_kills,
    }
