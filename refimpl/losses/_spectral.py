"""Losses that are quadratic, in the eigenbasis of their Hessian.

With H = V diag(lambda) V^T and u = V^T x every closed form is one number per
coordinate.  A loss of this family brings its value, its gradient, its energies e_i in
these coordinates, with f = c + sum e_i, and E_q X; the other integrals follow.
"""

from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_array,
    as_count,
    as_covariance,
    as_generator,
    as_point,
    as_points,
    as_variance,
    cholesky,
    require_finite,
)
from refimpl.errors import NotIntegrable


class SpectralQuadratic:
    """Closed forms shared by the quadratic loss and by least squares."""

    _curvatures: Array  # (d,) the eigenvalues of H, ascending or as given
    _basis: Array | None  # (d, d) eigenvectors in columns; None for the identity
    _constant: float

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        raise NotImplementedError

    def gradient(self, y: Any) -> Array:
        """The gradient of f at points (..., d), shape (..., d)."""
        raise NotImplementedError

    def _energies(self, x: Array) -> Array:
        """The energies e_i at points x (..., d), shape (..., d)."""
        raise NotImplementedError

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self._curvatures.size

    @property
    def curvatures(self) -> Array:
        """The eigenvalues of H, shape (d,)."""
        return self._curvatures

    @property
    def basis(self) -> Array | None:
        """Their eigenvectors in columns, shape (d, d); None for the identity."""
        return self._basis

    def hessian(self, y: Any) -> Array:
        """H at points (..., d), shape (..., d, d)."""
        y = as_points("y", y, self.d)
        return self._matrix(self._curvatures, y.shape)

    def local_entropy(self, x: Any, tau: float) -> Array:
        """F_tau = f - tau g^T K g / 2 + log det(I + tau H) / 2, K = (I + tau H)^{-1}.

        Where tau H is large that is a difference of large numbers, and f less its drop
        is written as c + sum e_i / (1 + tau lambda_i).

        Parameters
        ----------
        x : array_like, shape (..., d)
        tau : float
            A variance.

        Raises
        ------
        NotIntegrable
            Unless I + tau H is positive definite.
        """
        x, tau = as_points("x", x, self.d), as_variance("tau", tau)
        growth = self._growth(tau)
        log_det = np.log1p(tau * self._curvatures).sum()
        if tau * np.abs(self._curvatures).max() <= 1:
            slope = self._rotate(self.gradient(x))
            value = self(x) - 0.5 * tau * (slope * slope / growth).sum(axis=-1)
        else:
            energies = self._energies(x)
            value = self._constant + (energies / growth).sum(axis=-1)
        return np.asarray(value + 0.5 * log_det)[()]

    def local_entropy_gradient(self, x: Any, tau: float) -> Array:
        """K grad f, shape (..., d)."""
        x, growth = as_points("x", x, self.d), self._growth(tau)
        return self._rotate_back(self._rotate(self.gradient(x)) / growth)

    def local_entropy_hessian(self, x: Any, tau: float) -> Array:
        """H K, shape (..., d, d)."""
        x = as_points("x", x, self.d)
        return self._matrix(self._curvatures / self._growth(tau), x.shape)

    def posterior_mean(self, x: Any, tau: float) -> Array:
        """E_q X, shape (..., d)."""
        raise NotImplementedError

    def posterior_covariance(self, x: Any, tau: float) -> Array:
        """Cov_q X = tau K, shape (..., d, d)."""
        x, tau = as_points("x", x, self.d), as_variance("tau", tau)
        return self._matrix(tau / self._growth(tau), x.shape)

    def posterior_sample(
        self, x: Any, tau: float, n: int, rng: np.random.Generator
    ) -> Array:
        """n independent exact draws of q = N(E_q X, tau K), shape (n, d)."""
        tau = as_variance("tau", tau)
        mean = self.posterior_mean(as_point("x", x, self.d), tau)
        z = as_generator("rng", rng).standard_normal(
            (as_count("n", n, least=0), self.d)
        )
        return mean + self._rotate_back(z * np.sqrt(tau / self._growth(tau)))

    def gaussian_mean(self, mean: Any, cov: Any) -> Array:
        """The integral of f N(mean, cov): f(mean) + tr(H cov) / 2."""
        value = self(as_points("mean", mean, self.d))
        cov = as_array("cov", cov, (0, 2))
        if cov.ndim == 0:
            trace = as_variance("cov", cov) * self._curvatures.sum()
        else:
            cov = as_covariance("cov", cov, self.d)
            spread = np.diagonal(self._rotate(self._rotate(cov).T))
            trace = (self._curvatures * spread).sum()
        return np.asarray(value + 0.5 * trace)[()]

    def heat(self, x: Any, tau: float) -> Array:
        """F^H_tau = f + tau tr(H) / 2, shape (...)."""
        return self.gaussian_mean(as_points("x", x, self.d), as_variance("tau", tau))

    def heat_gradient(self, x: Any, tau: float) -> Array:
        """The gradient of f itself: heat moves a quadratic up, not sideways."""
        as_variance("tau", tau)
        return self.gradient(as_points("x", x, self.d))

    def heat_hessian(self, x: Any, tau: float) -> Array:
        """H, shape (..., d, d)."""
        as_variance("tau", tau)
        return self.hessian(as_points("x", x, self.d))

    def heat_proximal_point(self, x: Any, tau: float) -> Array:
        """Step 2 of Algorithm 2; on a quadratic it is that of Algorithm 1."""
        return self.posterior_mean(x, tau)

    def log_mean_exp(self, mean: Any, cov: Any) -> float:
        """log of the integral of exp(f) N(mean, cov), with +inf where it diverges.

        Finite iff cov^{-1} - H is positive definite (E16); within rounding of the
        boundary it counts as infinite.
        """
        mean = as_point("mean", mean, self.d)
        root = cholesky("cov", as_covariance("cov", cov, self.d))
        tilted = root if self._basis is None else self._basis.T @ root
        bend = tilted.T @ (self._curvatures[:, None] * tilted)
        shrink = np.eye(self.d) - bend
        rounding = 4 * self.d * np.finfo(float).eps * (1 + np.linalg.norm(bend))
        if not np.linalg.eigvalsh(shrink)[0] > rounding:
            return np.inf
        factor = np.linalg.cholesky(shrink)
        slope = np.linalg.solve(factor, root.T @ self.gradient(mean))
        log_det = 2 * np.log(np.diagonal(factor)).sum()
        return float(self(mean) + 0.5 * slope @ slope - 0.5 * log_det)

    def _growth(self, tau: float) -> Array:
        """1 + tau lambda, refused unless positive: there Z of (2) is infinite."""
        tau = as_variance("tau", tau)
        growth: Array = 1.0 + tau * self._curvatures
        require_finite(growth, "1 + tau lambda")
        if not growth.min() > 0:
            raise NotIntegrable(
                "local entropy is infinite: I + tau H must be positive definite, "
                f"but tau = {tau:g} and lambda_min(H) = {self._curvatures.min():g}"
            )
        return growth

    def _rotate(self, x: Array) -> Array:
        return x if self._basis is None else x @ self._basis

    def _rotate_back(self, u: Array) -> Array:
        return u if self._basis is None else u @ self._basis.T

    def _matrix(self, eigenvalues: Array, shape: tuple[int, ...]) -> Array:
        basis = np.eye(self.d) if self._basis is None else self._basis
        matrix = (basis * eigenvalues) @ basis.T
        return np.broadcast_to(matrix, (*shape[:-1], self.d, self.d)).copy()
