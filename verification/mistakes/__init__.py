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

__all__ = [
    "CATALOGUE",
    "ENOUGH",
    "MARGIN",
    "SEEDS",
    "Kill",
    "KillTable",
    "Mistake",
    "entries",
    "kill_table",
    "planted",
]
