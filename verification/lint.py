"""The genericity lint: a design whose every case is special hides mistakes.

| natural choice | what it hides |
|---|---|
| d = 2 throughout | every factor d/2, which is 1 |
| d = 1 throughout | transposes, cross terms, factors d |
| diagonal matrices | transposes, off-diagonal terms |
| tau = 1 | tau against its root, its square, its reciprocal |
| x = 0 | an x that is forgotten |
| quadratics only | swapped KL arguments: Algorithms 1 and 2 coincide |

The other half of the lint is measured, not declared: `verification mutants` requires
every mistake that a check promises to catch to exceed the tolerance a thousandfold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from verification.checks import Check

__all__ = ["WAIVED", "degeneracies", "inexact_inputs"]

WAIVED = {
    ("ALG1-01", "quadratics only"): "its claim is about quadratics; ALG1-02 is not",
    ("HEAT-01", "quadratics only"): "its claim is about quadratics",
    ("EQ2-01", "quadratics only"): "its claim is about quadratics",
}
"""Degeneracies that a check has on purpose, and why."""

SWAPPED = "T06"


def _matrices(loss: Any) -> Iterator[Any]:
    for name in ("H", "covariances"):
        field = np.asarray(getattr(loss, name, 0.0))
        if field.ndim >= 2:
            yield from field.reshape(-1, *field.shape[-2:])
    if loss.kind == "least_squares":
        yield loss.A.T @ loss.A
    if loss.kind == "trigonometric":
        yield loss.frequency.T @ loss.frequency


def _crossed(case: Any) -> bool:
    """Whether two coordinates meet somewhere in the loss."""
    if getattr(case.loss, "coupling", 0.0) or case.loss.kind == "network":
        return True
    return any(np.any(M - np.diag(np.diagonal(M))) for M in _matrices(case.loss))


_SPECIAL: dict[str, Callable[[Any], bool]] = {
    "d = 2 throughout": lambda case: case.d == 2,
    "d = 1 throughout": lambda case: case.d == 1,
    "diagonal throughout": lambda case: not _crossed(case),
    "tau = 1 throughout": lambda case: case.tau == 1,
    "x = 0 throughout": lambda case: not any(case.x),
}


def degeneracies(check: Check) -> list[str]:
    """What all cases of a check have in common and should not.

    Parameters
    ----------
    check : Check
        Checks without a loss are about numbers, and have nothing to hide here.

    Returns
    -------
    list of str
        Empty for a generic design; waived degeneracies are left out.
    """
    cases = [case for case in check.cases if case.loss is not None]
    if not cases:
        return []
    found = [name for name, special in _SPECIAL.items() if all(map(special, cases))]
    kinds = {case.loss.kind for case in cases}
    smooth = {"quadratic", "least_squares", "linear", "constant"}
    if SWAPPED in check.mistakes and kinds <= smooth:
        found.append("quadratics only")
    return [name for name in found if (check.id, name) not in WAIVED]


def inexact_inputs(checks: Iterable[Check]) -> list[str]:
    """Cases with an input that single precision cannot represent."""
    return [
        f"{check.id}, {case.label}"
        for check in checks
        for case in check.cases
        if case.loss is not None and not _exact(case)
    ]


def _exact(case: Any) -> bool:
    data = [getattr(case.loss, field.name) for field in fields(case.loss)]
    data = [value for value in data if not isinstance(value, str)]
    numbers = np.concatenate([np.ravel(v) for v in (*data, case.x, case.tau)])
    return bool((numbers.astype(np.float32) == numbers).all())
