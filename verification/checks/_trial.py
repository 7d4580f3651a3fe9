"""What a stochastic check is given: seeds for the subject, and its error rates.

The seeds follow from the run's seed, the check and the case alone, so that any one
case can be repeated.  A run's false alarm probability is divided equally among all
stochastic cases of the suite, whether they are run or not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from verification.checks._check import STOCHASTIC, Check, all_checks
from verification.evidence.sequential import Plan

__all__ = ["SUITE_ALPHA", "Session", "Trial", "stochastic_cases"]

SUITE_ALPHA = 1e-6
"""The probability that a correct subject fails anything in a whole run."""

SEEDS = 2**31 - 1  # a seed that every language's integers hold


@cache
def stochastic_cases() -> int:
    """How many cases of the suite share `SUITE_ALPHA`."""
    return sum(len(c.cases) for c in all_checks() if c.level in STOCHASTIC)


@dataclass(frozen=True)
class Trial:
    """The randomness and the error rates of one case.

    Attributes
    ----------
    key : str
        Names the run, the check and the case.
    plan : Plan
        Error rates, the differences to be certified, the budget.
    """

    key: str
    plan: Plan

    def seeds(self) -> Iterator[int]:
        """Endless seeds for successive calls of the subject."""
        count = 0
        while True:
            yield self._number(f"call {count}") % SEEDS
            count += 1

    def rng(self) -> np.random.Generator:
        """The check's own randomness, apart from the subject's."""
        return np.random.default_rng(self._number("check"))

    def _number(self, purpose: str) -> int:
        digest = hashlib.sha256(f"{self.key}|{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True)
class Session:
    """The randomness and the error rates of a run.

    Attributes
    ----------
    seed : int or str
    deep : bool
        Whether smaller differences are to be certified, at greater cost.
    """

    seed: int | str = 0
    deep: bool = False

    def trial(self, check: Check, case: Any) -> Trial:
        """What one case is given."""
        alpha = SUITE_ALPHA / max(1, stochastic_cases())
        plan = Plan.deep(alpha) if self.deep else Plan(alpha)
        return Trial(f"{self.seed}|{check.id}|{case.label}", plan)
