"""Gaussian wells: a landscape of sharp and wide minima, as in Figures 1 and 2."""

from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_array,
    as_covariance,
    as_points,
    as_scalar,
    frozen,
)
from refimpl.errors import InvalidParameter
from refimpl.losses._components import (
    ComponentLoss,
    Components,
    half_log_dets,
    precisions,
)
from refimpl.losses._features import resolving_length


class GaussianWells(ComponentLoss):
    """f(y) = c - sum_k a_k exp(-(y - m_k)^T S_k^{-1} (y - m_k) / 2).

    Heat widens each well and makes it shallower by the ratio of the volumes; local
    entropy has no closed form.

    Parameters
    ----------
    depths : array_like, shape (K,)
        a_k; negative ones are hills.
    means : array_like, shape (K, d)
    covariances : array_like, shape (K, d, d)
        Symmetric positive definite.
    c : float
        The level far away.

    Examples
    --------
    >>> f = GaussianWells([2.0], [[0.0]], [[[3.0]]], c=5.0)
    >>> float(f([0.0])), float(f.heat([0.0], 9.0))
    (3.0, 4.0)
    """

    def __init__(
        self, depths: Any, means: Any, covariances: Any, c: float = 0.0
    ) -> None:
        self.depths = frozen(as_array("depths", depths, 1))
        self._components = Components(means, covariances)
        if self.depths.size != self._components.K:
            raise InvalidParameter(
                f"there are {self.depths.size} depths and {self._components.K} means"
            )
        self.c = as_scalar("c", c)

    def excess(self, centre: Array, offset: Array) -> Array:
        """f(centre + offset) - f(centre), without the level c, shape (...)."""
        factors = self._components.factors
        terms = self._terms(np.asarray(centre + offset), factors)
        return np.asarray((self._terms(centre, factors) - terms).sum(axis=-1))

    def gaussian_mean(self, mean: Any, cov: Any) -> Array:
        """The integral of f N(mean, cov): wells of covariance S_k + cov."""
        cov = as_covariance("cov", cov, self.d)
        factors = self._components.widened(cov)
        return self._value(as_points("mean", mean, self.d), factors)

    def heat(self, x: Any, tau: float) -> Array:
        """F^H_tau, shape (...)."""
        return self._value(as_points("x", x, self.d), self._widened(tau))

    def heat_gradient(self, x: Any, tau: float) -> Array:
        """The gradient of F^H_tau, shape (..., d)."""
        return self._gradient(as_points("x", x, self.d), self._widened(tau))

    def heat_hessian(self, x: Any, tau: float) -> Array:
        """The Hessian of F^H_tau, shape (..., d, d)."""
        return self._hessian(as_points("x", x, self.d), self._widened(tau))

    def support(
        self, mean: Array, cov: Array, sign: int, drop: float
    ) -> tuple[Array, Array]:
        """A box that holds the mass of exp(sign f) N(mean, cov), ends (d,) each.

        f varies by no more than sum |a_k|, so phi's box with that much room will do.
        """
        del sign
        room = drop + np.abs(self.depths).sum()
        half = np.sqrt(2 * room * np.diagonal(cov))
        return mean - half, mean + half

    def exp_diverges(self, cov: Array) -> bool:
        """Never: f is bounded."""
        del cov
        return False

    def feature_length(self, lower: Array, upper: Array) -> Array:
        """Per axis, the sharpest well's width, less where the wells are deep, (d,).

        At a distance of t widths from the real axis exp(-f) is at most
        exp(A (exp(t^2 / 2) - 1)) times as large as on it, A being the sum of |a_k|.
        """
        del lower, upper
        inverse = precisions(self._components.factors)
        sharpest = np.diagonal(inverse, axis1=1, axis2=2).max(axis=0)
        total = np.abs(self.depths).sum()
        return resolving_length(total, lambda t: np.expm1(t * t / 2)) / np.sqrt(
            sharpest
        )

    def heat_curvature_bound(self, tau: float) -> float:
        """A lower bound of the least eigenvalue of the Hessian of F^H_tau.

        A well's least curvature is -2 exp(-3/2) a / s^2, a hill's -|a| / s^2.
        """
        factors = self._widened(tau)
        amplitudes = self._amplitudes(factors)
        steepest = np.linalg.eigvalsh(precisions(factors))[:, -1]
        least = np.where(amplitudes > 0, -2 * np.exp(-1.5) * amplitudes, amplitudes)
        return float((least * steepest).sum())

    def heat_lower_bound(self, tau: float) -> float:
        """A lower bound of F^H_tau: every well at its deepest, every hill at zero."""
        return self.c - float(np.maximum(self._amplitudes(self._widened(tau)), 0).sum())

    def _amplitudes(self, factors: Array) -> Array:
        """a_k sqrt(det S_k / det(S_k + cov)), shape (K,)."""
        shrink = half_log_dets(self._components.factors) - half_log_dets(factors)
        return np.asarray(self.depths * np.exp(shrink))

    def _terms(self, y: Array, factors: Array) -> Array:
        squares = self._components.squares(y, factors)
        return np.asarray(self._amplitudes(factors) * np.exp(-0.5 * squares))

    def _value(self, y: Array, factors: Array) -> Array:
        return np.asarray(self.c - self._terms(y, factors).sum(axis=-1))[()]

    def _gradient(self, y: Array, factors: Array) -> Array:
        scores = self._components.scores(y, factors)
        return np.einsum("...k,...ki->...i", self._terms(y, factors), scores)

    def _hessian(self, y: Array, factors: Array) -> Array:
        terms = self._terms(y, factors)
        scores = self._components.scores(y, factors)
        curvature = np.einsum("...k,kij->...ij", terms, precisions(factors))
        between = np.einsum("...k,...ki,...kj->...ij", terms, scores, scores)
        return np.asarray(curvature - between)
