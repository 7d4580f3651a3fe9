"""Coefficients that leave nothing of what was returned, by Gauss and Newton."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from verification.diagnosis.power import FITTED, snapped

__all__ = ["Residual", "descended", "simplest"]

Array = NDArray[np.float64]

#: From rows of coefficients (Q, k) to what is left of N numbers with each, (Q, N).
Residual = Callable[[Array], Array]

#: Where the coefficients are simple the iteration doubles its digits at every turn.
ITERATIONS = 10
#: Of a coefficient, on either side, for a difference quotient.
NEAR = 1e-6
#: Relative; two coefficients that only their product tells are below.
RANK = 1e-10


def descended(residual: Residual, theta: Array) -> Array:
    """Where the iteration ends; anywhere if it does not converge."""
    for _ in range(ITERATIONS):
        off, slope = _linear(residual, theta)
        if not (np.isfinite(slope).all() and np.isfinite(off).all()):
            break
        try:
            change, _, rank, _ = np.linalg.lstsq(slope, -off, rcond=RANK)
        except np.linalg.LinAlgError:
            break
        if rank < len(theta):
            break
        theta = theta + change
        if np.abs(change).max() < 1e-13:
            break
    return theta


def simplest(residual: Residual, theta: Array, within: float) -> tuple[Array, float]:
    """The simple numbers that coefficients are, if they explain as much.

    Parameters
    ----------
    residual : callable
    theta : ndarray, shape (k,)
        Where the iteration ended.
    within : float
        What may be left of a number.

    Returns
    -------
    tuple of (ndarray, float)
        They, or the given ones; and the largest number that is left.
    """
    off, slope = _linear(residual, theta)
    left = float(np.abs(off).max())
    if not left <= within:
        return theta, left
    # what is left is rounding: as much of it may be in the coefficients
    doubts = 2 * left * np.abs(np.linalg.pinv(slope, rcond=RANK)).sum(axis=1)
    simple = np.array(
        [
            snapped(float(value), max(FITTED, float(doubt)))
            for value, doubt in zip(theta, doubts, strict=True)
        ]
    )
    of_simple = float(np.abs(residual(simple[None])).max())
    return (simple, of_simple) if of_simple <= within else (theta, left)


def _linear(residual: Residual, theta: Array) -> tuple[Array, Array]:
    """What is left, (N,), and its derivatives, (N, k)."""
    k, near = len(theta), NEAR * np.eye(len(theta))
    rows = residual(np.concatenate([theta + near, theta - near, theta[None]]))
    return rows[-1], (rows[:k] - rows[k : 2 * k]).T / (2 * NEAR)
