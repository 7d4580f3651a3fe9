"""How many mistakes the deterministic checks would still see with wider tolerances.

A comparison fails with a tolerance that is m times as wide if its error is more than m
tolerances, so that the kill table, which keeps the largest error of each check, holds
the whole curve.
"""

from __future__ import annotations

from dataclasses import dataclass

from verification.mistakes.kill_table import KillTable

__all__ = ["DETERMINISTIC", "MULTIPLIERS", "Point", "sensitivity"]

#: The levels whose checks compare with a tolerance.
DETERMINISTIC = ("D", "R")
MULTIPLIERS = tuple(10.0**k for k in range(11))


@dataclass(frozen=True)
class Point:
    """What is seen with tolerances of one width.

    Attributes
    ----------
    multiplier : float
        Of every tolerance.
    seen, lost : tuple of str
        The mistakes that some check still fails, and those that none does any more.
    """

    multiplier: float
    seen: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def rate(self) -> float:
        """The share of mistakes seen; 0 where there are none."""
        return len(self.seen) / max(1, len(self.seen) + len(self.lost))


def sensitivity(table: KillTable) -> list[Point]:
    """The kill rate for each of `MULTIPLIERS`.

    Of the mistakes that the checks of levels D and R see with their own tolerances.
    """
    chosen = {check.id for check in table.checks if check.level in DETERMINISTIC}
    margins = {
        mistake: max(found[check].margin for check in found.keys() & chosen)
        for mistake, found in table.found.items()
        if found.keys() & chosen
    }
    points = []
    for multiplier in MULTIPLIERS:
        seen = tuple(name for name, margin in margins.items() if margin > multiplier)
        lost = tuple(name for name in margins if name not in seen)
        points.append(Point(multiplier, seen, lost))
    return points
