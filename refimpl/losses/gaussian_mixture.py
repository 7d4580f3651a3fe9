"""The Gaussian-mixture likelihood f = -log sum_k w_k N(y; m_k, S_k)."""

from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from refimpl.arrays import (
    Array,
    as_array,
    as_count,
    as_generator,
    as_point,
    as_points,
    as_variance,
    cholesky,
    frozen,
    require_finite,
)
from refimpl.errors import InvalidParameter, NoClosedForm
from refimpl.losses._components import (
    ComponentLoss,
    Components,
    half_log_dets,
    precisions,
)
from refimpl.losses._features import FULL_WIDTH


class GaussianMixture(ComponentLoss):
    """f(y) = -log sum_k w_k N(y; m_k, S_k).

    Local entropy of f is again such a loss, with S_k + tau I in place of S_k, and q is
    a Gaussian mixture.  Heat has no closed form.

    Parameters
    ----------
    weights : array_like, shape (K,)
        Positive, with sum 1 (to 1e-12; then renormalised).
    means : array_like, shape (K, d)
    covariances : array_like, shape (K, d, d)
        Symmetric positive definite.

    Examples
    --------
    >>> f = GaussianMixture([0.25, 0.75], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> round(float(f.posterior_mean([0.0], 1.0)[0]), 12)
    0.25
    """

    def __init__(self, weights: Any, means: Any, covariances: Any) -> None:
        weights = as_array("weights", weights, 1)
        self._components = Components(means, covariances)
        if weights.size != self._components.K:
            raise InvalidParameter(
                f"there are {weights.size} weights and {self._components.K} means"
            )
        with np.errstate(over="ignore"):  # an infinite sum is refused
            if not weights.min() > 0 or abs(weights.sum() - 1) > 1e-12:
                raise InvalidParameter(
                    f"weights must be positive and sum to 1, got {weights!r}"
                )
        self.weights = frozen(weights / weights.sum())

    def local_entropy(self, x: Any, tau: float) -> Array:
        """F_tau = -log sum_k w_k N(x; m_k, S_k + tau I), shape (...)."""
        return self._value(as_points("x", x, self.d), self._widened(tau))

    def local_entropy_gradient(self, x: Any, tau: float) -> Array:
        """sum_k r_k (S_k + tau I)^{-1} (x - m_k), shape (..., d)."""
        return self._gradient(as_points("x", x, self.d), self._widened(tau))

    def local_entropy_hessian(self, x: Any, tau: float) -> Array:
        """The Hessian of F_tau, shape (..., d, d)."""
        return self._hessian(as_points("x", x, self.d), self._widened(tau))

    def posterior_mean(self, x: Any, tau: float) -> Array:
        """E_q X = sum_k r_k mu_k, shape (..., d)."""
        x, tau = as_points("x", x, self.d), as_variance("tau", tau)
        factors = self._widened(tau)
        weights, means = self._posterior_components(x, tau, factors)
        return np.einsum("...k,...ki->...i", weights, means)

    def posterior_covariance(self, x: Any, tau: float) -> Array:
        """Cov_q X, within and between the components, shape (..., d, d)."""
        x, tau = as_points("x", x, self.d), as_variance("tau", tau)
        factors = self._widened(tau)
        weights, means = self._posterior_components(x, tau, factors)
        spread = means - np.einsum("...k,...ki->...i", weights, means)[..., None, :]
        within = np.einsum(
            "...k,kij->...ij", weights, self._posterior_covariances(tau, factors)
        )
        return within + np.einsum("...k,...ki,...kj->...ij", weights, spread, spread)

    def posterior_sample(
        self, x: Any, tau: float, n: int, rng: np.random.Generator
    ) -> Array:
        """n independent exact draws of q, shape (n, d)."""
        as_generator("rng", rng)
        x, tau = as_point("x", x, self.d), as_variance("tau", tau)
        factors = self._widened(tau)
        weights, means = self._posterior_components(x, tau, factors)
        require_finite(weights, "the weights of the components of q")
        roots = np.linalg.cholesky(self._posterior_covariances(tau, factors))
        n = as_count("n", n, least=0)
        component = rng.choice(weights.size, size=n, p=weights)
        z = rng.standard_normal((n, self.d))
        return means[component] + np.einsum("nij,nj->ni", roots[component], z)

    def exp_diverges(self, cov: Array) -> bool:
        """Whether exp(f) N(mean, cov) surely has an infinite integral.

        exp(f) grows like the reciprocal of the widest component, so it does where
        cov is at least as wide as every component in every direction.
        """
        narrow = np.linalg.inv(cov)
        margins = np.linalg.eigvalsh(narrow - precisions(self._components.factors))
        return bool(margins[:, -1].max() <= 0)

    def support(
        self, mean: Array, cov: Array, sign: int, drop: float
    ) -> tuple[Array, Array]:
        """A box that holds the mass of exp(sign f) N(mean, cov), ends (d,) each.

        For sign -1, f >= -log max_y of the mixture bounds the density of q by phi's;
        for sign +1, f <= -log(w_k N_k) for each k, and a k with cov^{-1} > S_k^{-1}
        gives a Gaussian bound.
        """
        points = np.vstack([mean, self.means])
        exponent = sign * self(points) - _half_square(points - mean, cov)
        reached = exponent.max()
        if sign < 0:
            log_peaks = -half_log_dets(self._components.factors)
            ceiling = logsumexp(log_peaks, b=self.weights) - _log_root_two_pi(self.d)
            room = drop + ceiling - reached
            half = np.sqrt(2 * room * np.diagonal(cov))
            return mean - half, mean + half
        return self._support_of_inverse(mean, cov, drop, reached)

    def feature_length(self, lower: Array, upper: Array) -> Array:
        """Per axis, the length in which the odds of two components change by 4/3 e.

        Let G_i bound the derivative along axis i of every log-odds in the box.  Within
        pi / G_i of the real axis the K terms stay in a half plane, so that their sum
        has no zero and f no singularity; steps h leave exp(-pi^2 / (G_i h)), also
        beside phi.  The components' own curvature, which exp(-f) shows, counts too.
        """
        inverse = precisions(self._components.factors)
        centre, half = (lower + upper) / 2, (upper - lower) / 2
        slopes = np.einsum("kij,kj->ki", inverse, centre - self.means)
        odds = np.abs(slopes[:, None] - slopes[None])
        odds += np.abs(inverse[:, None] - inverse[None]) @ half
        steepest = odds.max(axis=(0, 1))
        sharpest = np.diagonal(inverse, axis1=1, axis2=2).max(axis=0)
        return 1 / np.sqrt((0.75 * steepest) ** 2 + sharpest / FULL_WIDTH**2)

    def heat_curvature_bound(self, tau: float) -> float:
        """A lower bound of the Hessian of F^H_tau, finite for equal covariances.

        Then the Hessian of f is S^{-1} minus the covariance of the scores S^{-1} m_k
        under the odds at y, at most the square of half their diameter.
        """
        as_variance("tau", tau)
        inverse = precisions(self._components.factors)
        if np.abs(inverse - inverse[0]).max() > 0:
            return -np.inf
        spread = self.means - self.means.mean(axis=0)
        scores = spread @ inverse[0]
        radius = np.linalg.norm(scores[:, None] - scores[None], axis=-1).max() / 2
        return float(np.linalg.eigvalsh(inverse[0])[0] - radius**2)

    def heat_lower_bound(self, tau: float) -> float:
        """-log of the largest value that the mixture's density can take."""
        as_variance("tau", tau)
        log_peaks = -half_log_dets(self._components.factors)
        return float(_log_root_two_pi(self.d) - logsumexp(log_peaks, b=self.weights))

    def _log_terms(self, x: Array, factors: Array) -> Array:
        """log w_k N(x; m_k, S_k), shape (..., K)."""
        squares = self._components.squares(x, factors)
        scale = np.log(self.weights) - half_log_dets(factors) - _log_root_two_pi(self.d)
        return scale - 0.5 * squares

    def _value(self, x: Array, factors: Array) -> Array:
        return np.asarray(-logsumexp(self._log_terms(x, factors), axis=-1))[()]

    def _gradient(self, x: Array, factors: Array) -> Array:
        weights = softmax(self._log_terms(x, factors), axis=-1)
        return np.einsum(
            "...k,...ki->...i", weights, self._components.scores(x, factors)
        )

    def _hessian(self, x: Array, factors: Array) -> Array:
        """sum r_k S_k^{-1} minus the covariance over k of the scores."""
        weights = softmax(self._log_terms(x, factors), axis=-1)
        scores = self._components.scores(x, factors)
        spread = scores - np.einsum("...k,...ki->...i", weights, scores)[..., None, :]
        curvature = np.einsum("...k,kij->...ij", weights, precisions(factors))
        between = np.einsum("...k,...ki,...kj->...ij", weights, spread, spread)
        return np.asarray(curvature - between)

    def _posterior_components(
        self, x: Array, tau: float, factors: Array
    ) -> tuple[Array, Array]:
        """Weights r_k (..., K) and means mu_k (..., K, d) of the mixture q."""
        weights = softmax(self._log_terms(x, factors), axis=-1)
        return weights, x[..., None, :] - tau * self._components.scores(x, factors)

    def _posterior_covariances(self, tau: float, factors: Array) -> Array:
        """tau S_k (S_k + tau I)^{-1}, the covariances of the mixture q, (K, d, d)."""
        half = np.linalg.solve(factors, self.covariances)
        eye = np.broadcast_to(np.eye(self.d), half.shape)
        product = tau * np.swapaxes(half, -1, -2) @ np.linalg.solve(factors, eye)
        return np.asarray((product + np.swapaxes(product, -1, -2)) / 2)

    def _support_of_inverse(
        self, mean: Array, cov: Array, drop: float, reached: float
    ) -> tuple[Array, Array]:
        narrow = np.linalg.inv(cov)
        best = None
        for k, precision in enumerate(precisions(self._components.factors)):
            rest = narrow - precision
            if np.linalg.eigvalsh(rest)[0] <= 0:
                continue
            centre = np.linalg.solve(rest, narrow @ mean - precision @ self.means[k])
            terms = self._log_terms(centre, self._components.factors)
            ceiling = -terms[k] - _half_square(centre - mean, cov)
            room = drop + ceiling - reached
            half = np.sqrt(2 * room * np.diagonal(np.linalg.inv(rest)))
            if best is None or half.prod() < best[1].prod():
                best = centre, half
        if best is None:
            raise NoClosedForm(
                "whether the integral of exp(f) N(mean, cov) is finite: no single "
                "component of the mixture is wider than cov in every direction"
            )
        return best[0] - best[1], best[0] + best[1]


def _half_square(shift: Array, cov: Array) -> Array:
    root = np.linalg.solve(cholesky("cov", cov), shift.T)
    return np.asarray(0.5 * (root * root).sum(axis=0))


def _log_root_two_pi(d: int) -> float:
    return 0.5 * d * float(np.log(2 * np.pi))
