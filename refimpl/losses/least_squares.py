"""Least squares: the finite sum (1) whose every answer is exact."""

from functools import cached_property
from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_array,
    as_points,
    as_rows,
    as_variance,
    frozen,
    require_finite,
)
from refimpl.errors import InvalidParameter
from refimpl.losses._spectral import SpectralQuadratic
from refimpl.losses.reduced import Reduced, row_space


class LeastSquares(SpectralQuadratic):
    """f(y) = (1/N) sum_i (A_i^T y - b_i)^2 / 2, one row A_i an example.

    Its Hessian A^T A / N is never formed: with the singular values s of A the
    curvatures are s^2 / N, so that small ones keep more digits than an eigenvalue of
    A^T A would.  Directions that A does not determine up to rounding are determined by
    rounding: nothing is truncated.

    Parameters
    ----------
    A : array_like, shape (N, d)
    b : array_like, shape (N,)

    Examples
    --------
    >>> f = LeastSquares([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0])
    >>> float(f([0.0, 0.0]))
    1.25
    >>> float(f.batch([1])([0.0, 0.0]))
    2.0
    """

    def __init__(self, A: Any, b: Any) -> None:
        self.A = frozen(as_array("A", A, 2))
        self.b = frozen(as_array("b", b, 1))
        if self.A.shape[0] != self.b.size or self.A.size == 0:
            raise InvalidParameter(
                f"A has shape {self.A.shape} and b has shape {self.b.shape}; "
                "each example needs one row and one number"
            )
        left, singular, right = np.linalg.svd(self.A, full_matrices=self.d > self.N)
        unseen = self.d - singular.size
        self._basis = frozen(right.T.copy())
        self._singular = np.pad(singular, (0, unseen))
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            targets = left.T @ self.b
            misfit = self.b - left @ targets
            curvatures = self._singular**2 / self.N
            self._constant = float(misfit @ misfit / (2 * self.N))
        self._targets = np.pad(targets, (0, unseen))
        self._curvatures = frozen(require_finite(curvatures, "a curvature of f"))
        require_finite(self._constant, "the least value of f")

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.A.shape[1]

    @property
    def N(self) -> int:
        """The number of examples."""
        return self.b.size

    def batch(self, indices: Any) -> "LeastSquares":
        """The mean over the examples with these indices, again a loss."""
        rows = as_rows(indices, self.N)
        return LeastSquares(self.A[rows], self.b[rows])

    @cached_property
    def reduced(self) -> Reduced:
        """The same loss as a function of the row space of A, see `refimpl.span`."""
        Q, seen = row_space(self.A)
        return Reduced(LeastSquares(seen, self.b), Q, 1)

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        residual = self._residual(y)
        return 0.5 * (residual * residual).sum(axis=-1) / self.N

    def gradient(self, y: Any) -> Array:
        """A^T (A y - b) / N at points (..., d), shape (..., d)."""
        return self._residual(y) @ self.A / self.N

    def _residual(self, y: Any) -> Array:
        return as_points("y", y, self.d) @ self.A.T - self.b

    def _energies(self, x: Array) -> Array:
        residual = self._singular * self._rotate(x) - self._targets
        return residual * residual / (2 * self.N)

    def posterior_mean(self, x: Any, tau: float) -> Array:
        """E_q X, the solution of (I + tau A^T A / N) mean = x + tau A^T b / N."""
        tau = as_variance("tau", tau)
        growth = self._growth(tau)
        u = self._rotate(as_points("x", x, self.d))
        pull = self._singular * self._targets / self.N
        return self._rotate_back((u + tau * pull) / growth)
