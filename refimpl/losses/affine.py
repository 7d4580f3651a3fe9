"""Linear and constant losses, the simplest with every integral known."""

from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_count,
    as_covariance,
    as_generator,
    as_parameters,
    as_point,
    as_points,
    as_scalar,
    as_variance,
    frozen,
)


class Linear:
    """f(y) = g^T y + c.

    q is N(x - tau g, tau I): the regularisations move it and do not shape it.

    Parameters
    ----------
    g : array_like, shape (d,)
    c : float

    Examples
    --------
    >>> f = Linear([1.0, -2.0], 0.5)
    >>> float(f.local_entropy([0.0, 0.0], 2.0))
    -4.5
    """

    def __init__(self, g: Any, c: float = 0.0) -> None:
        self.g = frozen(as_parameters("g", g))
        self.c = as_scalar("c", c)

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.g.size

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        return as_points("y", y, self.d) @ self.g + self.c

    def gradient(self, y: Any) -> Array:
        """g at every point of (..., d), shape (..., d)."""
        shape = as_points("y", y, self.d).shape
        return np.broadcast_to(self.g, shape).copy()

    def hessian(self, y: Any) -> Array:
        """Zero, shape (..., d, d)."""
        return np.zeros((*as_points("y", y, self.d).shape, self.d))

    def local_entropy(self, x: Any, tau: float) -> Array:
        """F_tau = f - tau |g|^2 / 2, shape (...)."""
        drop = 0.5 * as_variance("tau", tau) * (self.g @ self.g)
        return self(as_points("x", x, self.d)) - drop

    def local_entropy_gradient(self, x: Any, tau: float) -> Array:
        """g, shape (..., d)."""
        as_variance("tau", tau)
        return self.gradient(as_points("x", x, self.d))

    def local_entropy_hessian(self, x: Any, tau: float) -> Array:
        """Zero, shape (..., d, d)."""
        as_variance("tau", tau)
        return self.hessian(as_points("x", x, self.d))

    def posterior_mean(self, x: Any, tau: float) -> Array:
        """E_q X = x - tau g, shape (..., d)."""
        return as_points("x", x, self.d) - as_variance("tau", tau) * self.g

    def posterior_covariance(self, x: Any, tau: float) -> Array:
        """Cov_q X = tau I, shape (..., d, d)."""
        tau = as_variance("tau", tau)
        return self.local_entropy_hessian(x, tau) + tau * np.eye(self.d)

    def posterior_sample(
        self, x: Any, tau: float, n: int, rng: np.random.Generator
    ) -> Array:
        """n independent exact draws of q, shape (n, d)."""
        mean = self.posterior_mean(as_point("x", x, self.d), tau)
        z = as_generator("rng", rng).standard_normal(
            (as_count("n", n, least=0), self.d)
        )
        return mean + np.sqrt(as_variance("tau", tau)) * z

    def gaussian_mean(self, mean: Any, cov: Any) -> Array:
        """The integral of f N(mean, cov), which is f(mean)."""
        as_covariance("cov", cov, self.d)
        return self(as_points("mean", mean, self.d))

    def heat(self, x: Any, tau: float) -> Array:
        """F^H_tau = f, shape (...)."""
        as_variance("tau", tau)
        return self(as_points("x", x, self.d))

    def heat_gradient(self, x: Any, tau: float) -> Array:
        """g, shape (..., d)."""
        return self.local_entropy_gradient(x, tau)

    def heat_hessian(self, x: Any, tau: float) -> Array:
        """Zero, shape (..., d, d)."""
        return self.local_entropy_hessian(x, tau)

    def heat_proximal_point(self, x: Any, tau: float) -> Array:
        """Step 2 of Algorithm 2, x - tau g, shape (..., d)."""
        return self.posterior_mean(x, tau)

    def log_mean_exp(self, mean: Any, cov: Any) -> float:
        """log of the integral of exp(f) N(mean, cov), always finite."""
        covariance = as_covariance("cov", cov, self.d)
        mean = as_point("mean", mean, self.d)
        return float(self(mean) + 0.5 * self.g @ covariance @ self.g)


class Constant(Linear):
    """f(y) = c on R^d: q is the Gaussian phi itself.

    Parameters
    ----------
    c : float
    d : int
    """

    def __init__(self, c: float, d: int) -> None:
        super().__init__(np.zeros(as_count("d", d)), c)

    def __call__(self, y: Any) -> Array:
        """c at every point of (..., d), infinite ones among them, shape (...)."""
        return np.full(as_points("y", y, self.d).shape[:-1], self.c)[()]
