"""The kill table, for people and for programs."""

from __future__ import annotations

import math
from typing import Any

from verification.mistakes import MARGIN, KillTable, Mistake
from verification.report.terminal import Terminal

__all__ = ["KillPrinter", "as_json"]

KEPT = f"each check sees what it promises at {MARGIN:g} tolerances or more"


class KillPrinter:
    """Prints the table as it grows.

    Parameters
    ----------
    terminal : Terminal
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def header(self) -> None:
        """The column heads."""
        self._terminal.say(
            f"{'mistake':8} {'killed by':>9}  what it does, and its killers"
        )
        self._terminal.say("\u2500" * self._terminal.width)

    def line(self, mistake: Mistake, killers: list[str]) -> None:
        """One mistake and the checks that fail it."""
        count = f"{len(killers)}" if killers else "SURVIVES"
        self._terminal.paragraph(f"{mistake.id:8} {count:>9}  ", mistake.sentence)
        if killers:
            self._terminal.paragraph(" " * 20, ", ".join(killers))

    def footer(self, table: KillTable) -> None:
        """What it all means."""
        killed = len(table.kills) - len(table.survivors)
        self._terminal.say("\u2500" * self._terminal.width)
        self._say("killed", f"{killed} of {len(table.kills)} mistakes (level D)")
        self._say("survivors", ", ".join(table.survivors) or "none")
        if table.whole:
            self._say(
                "idle", ", ".join(table.dead) or "no check: each catches a mistake"
            )
        self._say("promises", "; ".join(table.broken_promises) or KEPT)
        if table.false_kills:
            failed = ", ".join(table.false_kills)
            self._say("FALSE", f"the right subject itself fails {failed}")

    def _say(self, name: str, text: str) -> None:
        self._terminal.paragraph(f"{name:10}", text)


def _plain(margins: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    return {
        mistake: {k: v if math.isfinite(v) else "inf" for k, v in killers.items()}
        for mistake, killers in margins.items()
    }


def as_json(table: KillTable) -> dict[str, Any]:
    """The table as JSON's own types."""
    return {
        "schema": 1,
        "margins": _plain(table.margins),
        "survivors": table.survivors,
        "dead": table.dead if table.whole else None,
        "broken_promises": table.broken_promises,
        "false_kills": table.false_kills,
    }
