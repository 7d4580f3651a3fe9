"""What the checks share: truths with their tolerances, in one carrier-generic call.

A formula of `verification.truth` is evaluated twice: in 40-digit arithmetic for its
value, and with running error analysis for the tolerance, 4 B u (section "Tolerances"
of the documentation).  Where no closed form exists a subject must integrate
numerically; it is granted ten digits of the magnitudes involved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from verification.evidence.running_error import RunningError
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import quadrature
from verification.truth.carriers import MP

EXACT = MP(40)
ROUNDED = RunningError()
NUMERICAL = 1e-10

RUNNING = (
    "4 B u, u the unit roundoff, B the running error bound of the formula evaluated in "
    "floating point"
)
TEN_DIGITS = (
    "ten digits of the magnitudes involved, since a subject must integrate numerically"
)


@dataclass(frozen=True)
class Truth:
    """A value in many digits and how far a correct subject may be from it.

    `scale` is the bound B in units of the subject's unit roundoff; `numerical` is
    what the subject's own quadrature may add.
    """

    value: Any
    scale: float
    numerical: float = 0.0

    def tolerance(self, witness: Witness) -> float:
        """The tolerance for this subject."""
        return 4 * self.scale * witness.unit_roundoff + self.numerical


def closed(formula: Callable[..., Any], *arguments: Any) -> Truth:
    """The truth of a carrier-generic formula(ctx, *arguments); memoised."""
    return _closed(formula, *(_hashable(a) for a in arguments))


@cache
def _closed(formula: Callable[..., Any], *arguments: Any) -> Truth:
    value = formula(EXACT, *arguments)
    bound = formula(ROUNDED, *arguments)
    # at least one rounding of the result, also where the formula needs none
    return Truth(value, norm(entry.err for entry in flat(bound)) + size(value))


def integrated(certified: Any, magnitude: float) -> Truth:
    """The truth of an integral without closed form, with its allowance."""
    allowance = NUMERICAL * magnitude + certified.error
    return Truth(certified.value, magnitude, allowance)


def mean_of_q(loss: Any, x: tuple[float, ...], tau: float) -> Truth:
    """E_q X at x: in closed form, or by quadrature with its allowance."""
    if loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
        return closed(cf.posterior_mean, loss, x, tau)
    certified = quadrature.posterior_moments(loss, x, tau)[0]
    return integrated(certified, size(x) + size(certified.value) + tau**0.5)


def flat(value: Any) -> list[Any]:
    """The entries of a number, a list or nested lists."""
    if isinstance(value, list | tuple):
        return [entry for part in value for entry in flat(part)]
    return [value]


def offered(w: Witness, **formulas: Any) -> list[tuple[str, Any, Any]]:
    """(name, truth's formula, subject's method) of those methods the subject has."""
    return [
        (name, formula, getattr(w, name))
        for name, formula in formulas.items()
        if w.provides(name)
    ]


def norm(values: Iterable[Any]) -> float:
    """The Euclidean norm."""
    return math.hypot(*(float(v) for v in values))


def size(value: Any) -> float:
    """The Euclidean norm of all entries of a number or nested list."""
    return norm(flat(value))


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_hashable(v) for v in value)
    return value
