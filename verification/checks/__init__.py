"""The checks: one module per part of the paper.

A check reaches an implementation only through the `Witness` it is given.
"""

from verification.checks._check import (
    LEVELS,
    ORDER,
    REGISTRY,
    ROUTES,
    Check,
    all_checks,
    check,
    find,
)
from verification.checks._judge import LACKS, Outcome, Verdict, run_check
from verification.checks._trial import (
    SUITE_ALPHA,
    Session,
    Trial,
    stochastic_cases,
)

__all__ = [
    "LACKS",
    "LEVELS",
    "ORDER",
    "REGISTRY",
    "ROUTES",
    "SUITE_ALPHA",
    "Check",
    "Outcome",
    "Session",
    "Trial",
    "Verdict",
    "all_checks",
    "check",
    "find",
    "run_check",
    "stochastic_cases",
]
