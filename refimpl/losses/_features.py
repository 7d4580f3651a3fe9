"""How fine a step must be for a feature that grows off the real axis."""

from collections.abc import Callable

import numpy as np

from refimpl.arrays import Array

FULL_WIDTH = 3.24
"""A Gaussian of unit precision is resolved by steps of a quarter of this length."""

_SMALL = 30.0  # -log(1e-13)


def resolving_length(size: float, growth: Callable[[Array], Array]) -> float:
    """The length l such that steps of l/4 resolve a feature of unit scale to 1e-13.

    Let the integrand at distance t from the real axis be at most exp(size growth(t))
    times as large as on it.  Moving the contour by t shows that a trapezoidal rule of
    step h is wrong by at most about exp(size growth(t) - 2 pi t / h); the best t gives
    h.

    Examples
    --------
    A Gaussian of unit precision, whose growth is t^2 / 2:

    >>> round(resolving_length(1.0, lambda t: t**2 / 2), 2) == FULL_WIDTH
    True
    """
    t = np.geomspace(1e-2, 1e2, 801)
    with np.errstate(over="ignore"):
        rise = size * growth(t) if size > 0 else np.zeros_like(t)
        finest = (_SMALL + rise) / (2 * np.pi * t)
    return float(4 / finest.min())
