"""Gaussian components N(m_k, S_k), k = 1, ..., K: what mixtures and wells share."""

from typing import Any

import numpy as np

from refimpl._jit import jit
from refimpl.arrays import (
    Array,
    as_array,
    as_points,
    as_symmetric,
    as_variance,
    cholesky,
    frozen,
)
from refimpl.errors import InvalidParameter


@jit
def mahalanobis_kernel(y: Array, means: Array, factors: Array, squares: Array) -> None:
    """squares[n, k] = (y_n - m_k)^T S_k^{-1} (y_n - m_k), by forward substitution.

    y (n, d), means (K, d), factors (K, d, d) lower Cholesky factors of S_k.
    """
    n, d = y.shape
    u = np.empty(d)
    for i in range(n):
        for k in range(means.shape[0]):
            total = 0.0
            for a in range(d):
                rest = y[i, a] - means[k, a]
                for b in range(a):
                    rest -= factors[k, a, b] * u[b]
                u[a] = rest / factors[k, a, a]
                total += u[a] * u[a]
            squares[i, k] = total


@jit
def score_kernel(y: Array, means: Array, factors: Array, scores: Array) -> None:
    """scores[n, k] = S_k^{-1} (y_n - m_k), shape (n, K, d), by two substitutions."""
    n, d = y.shape
    for i in range(n):
        for k in range(means.shape[0]):
            for a in range(d):
                rest = y[i, a] - means[k, a]
                for b in range(a):
                    rest -= factors[k, a, b] * scores[i, k, b]
                scores[i, k, a] = rest / factors[k, a, a]
            for a in range(d - 1, -1, -1):
                rest = scores[i, k, a]
                for b in range(a + 1, d):
                    rest -= factors[k, b, a] * scores[i, k, b]
                scores[i, k, a] = rest / factors[k, a, a]


class Components:
    """K Gaussians with full covariances, and the same widened by a further covariance.

    Parameters
    ----------
    means : array_like, shape (K, d)
    covariances : array_like, shape (K, d, d)
        Symmetric positive definite.
    """

    def __init__(self, means: Any, covariances: Any) -> None:
        self.means = frozen(as_array("means", means, 2))
        self.K, self.d = self.means.shape
        if not self.means.size:
            raise InvalidParameter(
                "means must hold at least one mean of at least one coordinate, got "
                f"shape {self.means.shape}"
            )
        covariances = as_array("covariances", covariances, 3)
        if covariances.shape != (self.K, self.d, self.d):
            raise InvalidParameter(
                f"covariances must have shape {(self.K, self.d, self.d)} to go with "
                f"means of shape {self.means.shape}, got {covariances.shape}"
            )
        self.covariances = frozen(as_symmetric("covariances", covariances))
        self.factors = frozen(cholesky("covariances", self.covariances))

    def widened(self, cov: Any) -> Array:
        """Cholesky factors of S_k + cov, cov one variance or (d, d); (K, d, d)."""
        extra = cov * np.eye(self.d) if np.ndim(cov) == 0 else cov
        return frozen(cholesky("covariances", self.covariances + extra))

    def squares(self, y: Array, factors: Array) -> Array:
        """Squared Mahalanobis distances of points (..., d), shape (..., K)."""
        flat = np.ascontiguousarray(y.reshape(-1, self.d))
        squares = np.empty((len(flat), self.K))
        mahalanobis_kernel(flat, self.means, factors, squares)
        return squares.reshape(*y.shape[:-1], self.K)

    def scores(self, y: Array, factors: Array) -> Array:
        """S_k^{-1} (y - m_k) at points (..., d), shape (..., K, d)."""
        flat = np.ascontiguousarray(y.reshape(-1, self.d))
        scores = np.empty((len(flat), self.K, self.d))
        score_kernel(flat, self.means, factors, scores)
        return scores.reshape(*y.shape[:-1], self.K, self.d)


class ComponentLoss:
    """The doors of a loss that is made of Gaussian components.

    Both losses of this kind keep their form when every component is widened by tau I:
    a mixture under local entropy, wells under heat.  They say how value, gradient and
    Hessian follow from the Cholesky factors (K, d, d) of the widened covariances.
    """

    _components: Components

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self._components.d

    @property
    def means(self) -> Array:
        """m_k, shape (K, d)."""
        return self._components.means

    @property
    def covariances(self) -> Array:
        """S_k, shape (K, d, d)."""
        return self._components.covariances

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        return self._value(as_points("y", y, self.d), self._components.factors)

    def gradient(self, y: Any) -> Array:
        """The gradient of f at points (..., d), shape (..., d)."""
        return self._gradient(as_points("y", y, self.d), self._components.factors)

    def hessian(self, y: Any) -> Array:
        """The Hessian of f at points (..., d), shape (..., d, d)."""
        return self._hessian(as_points("y", y, self.d), self._components.factors)

    def _widened(self, tau: float) -> Array:
        return self._components.widened(as_variance("tau", tau))

    def _value(self, y: Array, factors: Array) -> Array:
        raise NotImplementedError

    def _gradient(self, y: Array, factors: Array) -> Array:
        raise NotImplementedError

    def _hessian(self, y: Array, factors: Array) -> Array:
        raise NotImplementedError


def half_log_dets(factors: Array) -> Array:
    """log det(S_k) / 2 from Cholesky factors (K, d, d), shape (K,)."""
    diagonal = np.diagonal(factors, axis1=-2, axis2=-1)
    return np.asarray(np.log(diagonal).sum(axis=-1))


def precisions(factors: Array) -> Array:
    """S_k^{-1} from Cholesky factors (K, d, d), shape (K, d, d)."""
    eye = np.broadcast_to(np.eye(factors.shape[-1]), factors.shape)
    roots = np.linalg.solve(factors, eye)
    return np.asarray(np.swapaxes(roots, -1, -2) @ roots)
