"""What a failing subject really computes: known mistakes, coefficients, laws.

`diagnose` looks at a subject, `diagnose_recording` at a recorded trajectory.
"""

from verification.diagnosis.diagnose import diagnose, diagnose_failures
from verification.diagnosis.result import NO_MAPPING, Diagnosis

__all__ = ["NO_MAPPING", "Diagnosis", "diagnose", "diagnose_failures"]
