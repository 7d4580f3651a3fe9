"""Known mistakes as faulty subjects: the proof that the checks bite."""

from verification.mistakes.catalogue import CATALOGUE
from verification.mistakes.kill_table import (
    ENOUGH,
    MARGIN,
    SEEDS,
    Kill,
    KillTable,
    entries,
    kill_table,
)
from verification.mistakes.mistake import Mistake, planted
from verification.mistakes.sensitivity import DETERMINISTIC, Point, sensitivity

__all__ = [
    "CATALOGUE",
    "DETERMINISTIC",
    "ENOUGH",
    "MARGIN",
    "SEEDS",
    "Kill",
    "KillTable",
    "Mistake",
    "Point",
    "entries",
    "kill_table",
    "planted",
    "sensitivity",
]
