"""The quadratic loss f(y) = (y - m)^T H (y - m) / 2 + c."""

from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_array,
    as_parameters,
    as_points,
    as_scalar,
    as_symmetric,
    frozen,
)
from refimpl.errors import InvalidParameter
from refimpl.losses._spectral import SpectralQuadratic


class Quadratic(SpectralQuadratic):
    """f(y) = (y - m)^T H (y - m) / 2 + c.

    Parameters
    ----------
    H : array_like, scalar, shape (d,) or (d, d)
        A curvature for all coordinates, one each, or a symmetric matrix; possibly
        indefinite, and then local entropy exists while I + tau H is positive definite.
    m : array_like, shape (d,)
        The critical point.
    c : float
        The value there.

    Examples
    --------
    >>> f = Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0], 3.0)
    >>> float(f([1.0, 2.0]))
    5.0
    >>> f.gradient([1.0, 2.0])
    array([1., 2.])
    """

    def __init__(self, H: Any, m: Any, c: float = 0.0) -> None:
        self.m = frozen(as_parameters("m", m))
        self.H = frozen(as_array("H", H, (0, 1, 2)))
        self.c = as_scalar("c", c)
        if self.H.ndim == 2:
            self.H = frozen(as_symmetric("H", self.H, self.m.size))
            curvatures, basis = np.linalg.eigh(self.H)
            self._curvatures, self._basis = frozen(curvatures), frozen(basis)
        else:
            if self.H.ndim == 1 and self.H.size != self.m.size:
                raise InvalidParameter(
                    f"H has shape {self.H.shape} and m has shape {self.m.shape}"
                )
            self._curvatures = np.broadcast_to(self.H, self.m.shape)
            self._basis = None
        self._constant = self.c

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        shift = as_points("y", y, self.d) - self.m
        return 0.5 * (shift * self._apply(shift)).sum(axis=-1) + self.c

    def gradient(self, y: Any) -> Array:
        """H (y - m) at points (..., d), shape (..., d)."""
        return self._apply(as_points("y", y, self.d) - self.m)

    def _apply(self, shift: Array) -> Array:
        return shift @ self.H if self.H.ndim == 2 else shift * self.H

    def _energies(self, x: Array) -> Array:
        shift = self._rotate(x - self.m)
        return 0.5 * self._curvatures * shift * shift

    def posterior_mean(self, x: Any, tau: float) -> Array:
        """E_q X = m + K (x - m), shape (..., d)."""
        shift = self._rotate(as_points("x", x, self.d) - self.m)
        return self.m + self._rotate_back(shift / self._growth(tau))
