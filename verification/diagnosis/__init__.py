"""What a failing subject really computes: known mistakes, coefficients, laws.

`diagnose` and `examine` look at a subject, `diagnose_recording` at a recorded
trajectory.
"""

from verification.diagnosis.diagnose import (
    Examined,
    Failure,
    diagnose,
    diagnose_failures,
    examine,
)
from verification.diagnosis.result import NO_MAPPING, Diagnosis

__all__ = [
    "NO_MAPPING",
    "Diagnosis",
    "Examined",
    "Failure",
    "diagnose",
    "diagnose_failures",
    "examine",
]
