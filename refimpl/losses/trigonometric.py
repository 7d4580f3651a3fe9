"""Trigonometric polynomial plus quadratic; Rastrigin's function is among them."""

from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_array,
    as_covariance,
    as_points,
    as_variance,
    frozen,
)
from refimpl.errors import InvalidParameter, NotIntegrable
from refimpl.losses._features import FULL_WIDTH, resolving_length
from refimpl.losses.quadratic import Quadratic


class Trigonometric:
    """f(y) = sum_k a_k cos(w_k^T y + b_k) + (y - m)^T H (y - m) / 2 + c.

    Heat damps each cosine by exp(-tau |w_k|^2 / 2).

    Parameters
    ----------
    amplitude : array_like, shape (K,)
    frequency : array_like, shape (K, d)
    phase : array_like, shape (K,)
    H : array_like, scalar, shape (d,) or (d, d)
        Local entropy needs I + tau H positive definite.
    m : array_like, shape (d,)
    c : float

    Examples
    --------
    >>> f = Trigonometric([2.0], [[1.0]], [0.0], 0.0, [0.0])
    >>> float(f([0.0])), round(float(f.heat([0.0], 2.0)), 12)
    (2.0, 0.735758882343)
    """

    def __init__(
        self, amplitude: Any, frequency: Any, phase: Any, H: Any, m: Any, c: float = 0.0
    ) -> None:
        self.amplitude = frozen(as_array("amplitude", amplitude, 1))
        self.frequency = frozen(as_array("frequency", frequency, 2))
        self.phase = frozen(as_array("phase", phase, 1))
        self.quadratic = Quadratic(H, m, c)
        K = self.amplitude.size
        if self.phase.size != K or self.frequency.shape != (K, self.quadratic.d):
            raise InvalidParameter(
                f"amplitude {self.amplitude.shape}, frequency {self.frequency.shape} "
                f"and phase {self.phase.shape} must be (K,), (K, d) and (K,), with "
                f"d = {self.quadratic.d}"
            )

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.quadratic.d

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        return self._waves(y, self.amplitude) + self.quadratic(y)

    def gradient(self, y: Any) -> Array:
        """The gradient of f at points (..., d), shape (..., d)."""
        return self._wave_gradient(y, self.amplitude) + self.quadratic.gradient(y)

    def excess(self, centre: Array, offset: Array) -> Array:
        """f(centre + offset) - f(centre), expanded so that nothing cancels, (...)."""
        half = offset @ self.frequency.T / 2
        angles = self._angles(centre)
        waves = -2 * np.sin(half) * np.sin(angles + half) @ self.amplitude
        slope = self.quadratic.gradient(centre)
        bend = offset @ self.quadratic.hessian(centre)
        return np.asarray(waves + offset @ slope + 0.5 * (bend * offset).sum(axis=-1))

    def hessian(self, y: Any) -> Array:
        """The Hessian of f at points (..., d), shape (..., d, d)."""
        return self._wave_hessian(y, self.amplitude) + self.quadratic.hessian(y)

    def gaussian_mean(self, mean: Any, cov: Any) -> Array:
        """The integral of f N(mean, cov)."""
        cov = as_covariance("cov", cov, self.d)
        spread = np.einsum("ki,ij,kj->k", self.frequency, cov, self.frequency)
        mean = as_points("mean", mean, self.d)
        waves = self._waves(mean, self.amplitude * np.exp(-0.5 * spread))
        return waves + self.quadratic.gaussian_mean(mean, cov)

    def heat(self, x: Any, tau: float) -> Array:
        """F^H_tau, shape (...)."""
        x = as_points("x", x, self.d)
        return self._waves(x, self._damped(tau)) + self.quadratic.heat(x, tau)

    def heat_gradient(self, x: Any, tau: float) -> Array:
        """The gradient of F^H_tau, shape (..., d)."""
        x = as_points("x", x, self.d)
        waves = self._wave_gradient(x, self._damped(tau))
        return waves + self.quadratic.heat_gradient(x, tau)

    def heat_hessian(self, x: Any, tau: float) -> Array:
        """The Hessian of F^H_tau, shape (..., d, d)."""
        x = as_points("x", x, self.d)
        waves = self._wave_hessian(x, self._damped(tau))
        return waves + self.quadratic.heat_hessian(x, tau)

    def support(
        self, mean: Array, cov: Array, sign: int, drop: float
    ) -> tuple[Array, Array]:
        """A box that holds the mass of exp(sign f) N(mean, cov), ends (d,) each.

        Without the waves the integrand is a Gaussian; they change its exponent by no
        more than the sum of |a_k| either way.
        """
        H = self.quadratic.hessian(mean)
        narrow = np.linalg.inv(cov) - sign * H
        least = np.linalg.eigvalsh(narrow)[0]
        if not least > 0:
            raise NotIntegrable(
                "local entropy is infinite: I/tau + H must be positive definite (I/tau "
                f"- H for exp(f)), but tau = {cov.max():g} and lambda_min = {least:g}"
            )
        slope = self.quadratic.gradient(mean)
        centre = mean + sign * np.linalg.solve(narrow, slope)
        room = drop + 2 * np.abs(self.amplitude).sum()
        half = np.sqrt(2 * room * np.diagonal(np.linalg.inv(narrow)))
        return centre - half, centre + half

    def exp_diverges(self, cov: Array) -> bool:
        """Whether cov^{-1} - H is not positive definite."""
        H = self.quadratic.hessian(np.zeros(self.d))
        return not np.linalg.eigvalsh(np.linalg.inv(cov) - H)[0] > 0

    def feature_length(self, lower: Array, upper: Array) -> Array:
        """Per axis, about a quarter of the shortest wavelength, with H's own, (d,).

        With the largest frequency w along the axis, exp(-f) at distance t / w from
        the real axis is at most exp(A (cosh t - 1)) times as large as on it, A being
        the sum of |a_k|; the quadratic part counts as a Gaussian of precision |H_ii|.
        """
        del lower, upper
        fastest = np.abs(self.frequency).max(axis=0, initial=0.0)
        total = np.abs(self.amplitude).sum()
        waves = fastest / resolving_length(total, lambda t: np.cosh(t) - 1)
        curved = np.abs(np.diagonal(self.quadratic.hessian(np.zeros(self.d))))
        with np.errstate(divide="ignore"):
            return 1 / np.sqrt(waves**2 + curved / FULL_WIDTH**2)

    def heat_curvature_bound(self, tau: float) -> float:
        """A lower bound of the least eigenvalue of the Hessian of F^H_tau."""
        squares = (self.frequency**2).sum(axis=1)
        waves = (np.abs(self._damped(tau)) * squares).sum()
        return float(self._least_curvature() - waves)

    def proximal_box(self, x: Array, tau: float) -> tuple[Array, Array]:
        """A box that holds the minimisers of F^H_tau(y) + |y - x|^2 / 2 tau.

        Its quadratic part exceeds its own minimum there by no more than it does at x
        plus twice the waves' total.  It is unbounded unless I/tau + H is positive
        definite.
        """
        precision = self.quadratic.hessian(x) + np.eye(self.d) / tau
        if not np.linalg.eigvalsh(precision)[0] > 0:
            return np.full(self.d, -np.inf), np.full(self.d, np.inf)
        slope = self.quadratic.gradient(x)
        step = np.linalg.solve(precision, slope)
        waves = np.abs(self._damped(tau)).sum()
        room = 0.5 * slope @ step + 2 * waves
        half = np.sqrt(2 * room * np.diagonal(np.linalg.inv(precision)))
        return x - step - half, x - step + half

    def heat_lower_bound(self, tau: float) -> float:
        """A lower bound of F^H_tau; -inf where the quadratic part has none."""
        if self._least_curvature() < 0:
            return -np.inf
        waves = np.abs(self._damped(tau)).sum()
        return float(self.quadratic.heat(self.quadratic.m, tau) - waves)

    def _least_curvature(self) -> float:
        H = self.quadratic.hessian(np.zeros(self.d))
        return float(np.linalg.eigvalsh(H)[0])

    def _damped(self, tau: float) -> Array:
        squares = (self.frequency**2).sum(axis=1)
        return np.asarray(
            self.amplitude * np.exp(-0.5 * as_variance("tau", tau) * squares)
        )

    def _angles(self, y: Any) -> Array:
        return np.asarray(as_points("y", y, self.d) @ self.frequency.T + self.phase)

    def _waves(self, y: Any, amplitude: Array) -> Array:
        return np.asarray(np.cos(self._angles(y)) @ amplitude)[()]

    def _wave_gradient(self, y: Any, amplitude: Array) -> Array:
        return -(np.sin(self._angles(y)) * amplitude) @ self.frequency

    def _wave_hessian(self, y: Any, amplitude: Array) -> Array:
        weights = -np.cos(self._angles(y)) * amplitude
        return np.einsum("...k,ki,kj->...ij", weights, self.frequency, self.frequency)
