"""The laws of the paper: phi_{x,tau}, q_{x,tau} of (6), Gaussians and their mixtures.

KL(p || q) is the integral of p log(p / q), (7).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_covariance,
    as_parameters,
    as_point,
    as_points,
    as_variance,
    cholesky,
    require_finite,
)
from refimpl.errors import InvalidParameter
from refimpl.interfaces import Loss, as_loss
from refimpl.losses._components import half_log_dets
from refimpl.losses.gaussian_mixture import GaussianMixture


@dataclass(frozen=True)
class GibbsLaw:
    """q_{x,tau}, proportional to exp(-f) phi_{x,tau}: step 1 of Algorithms 1 and 2.

    Attributes
    ----------
    f : Loss
    x : ndarray, shape (d,)
        The centre.
    tau : float
        The variance of phi_{x,tau}.
    """

    f: Loss
    x: Array
    tau: float

    def __post_init__(self) -> None:
        as_loss(self.f)
        object.__setattr__(self, "x", as_point("x", self.x, self.f.d))
        object.__setattr__(self, "tau", as_variance("tau", self.tau))

    def log_density(self, y: Any) -> Array:
        """log(Z q) at points (..., d), Z that of Theorem 1 (E2), shape (...)."""
        y = as_points("y", y, self.f.d)
        return phi(self.x, self.tau).log_density(y) - self.f(y)


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians on R^d; with one component, a Gaussian.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Positive, with sum 1.
    means : ndarray, shape (K, d)
    covariances : ndarray, shape (K, d, d)
        Symmetric positive definite.
    """

    weights: Array
    means: Array
    covariances: Array

    def __post_init__(self) -> None:
        surprisal = GaussianMixture(self.weights, self.means, self.covariances)
        object.__setattr__(self, "weights", surprisal.weights)
        object.__setattr__(self, "means", surprisal.means)
        object.__setattr__(self, "covariances", surprisal.covariances)
        object.__setattr__(self, "_surprisal", surprisal)

    @property
    def d(self) -> int:
        """The dimension."""
        return self.means.shape[1]

    @property
    def surprisal(self) -> GaussianMixture:
        """-log of the density, which is itself one of our losses."""
        loss: GaussianMixture = getattr(self, "_surprisal")  # noqa: B009
        return loss

    def log_density(self, y: Any) -> Array:
        """At points (..., d), shape (...)."""
        return -self.surprisal(y)


def gaussian(mean: Any, cov: Any) -> Mixture:
    """N(mean, cov), cov one variance or (d, d).

    Examples
    --------
    >>> gaussian([0.0, 1.0], 2.0).d
    2
    """
    mean = as_parameters("mean", mean)
    cov = as_covariance("cov", cov, mean.size)
    return Mixture(np.ones(1), mean[None], cov[None])


def phi(x: Any, tau: float) -> Mixture:
    """phi_{x,tau} = N(x, tau I); tau is a variance."""
    return gaussian(as_parameters("x", x), as_variance("tau", tau))


@np.errstate(over="ignore", invalid="ignore")  # judged below
def kl_gaussian(mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> float:
    """KL(N(mean0, cov0) || N(mean1, cov1)), (7), with full covariances.

    Parameters
    ----------
    mean0, mean1 : array_like, shape (d,)
    cov0, cov1 : array_like, scalar or shape (d, d)
        Symmetric positive definite; a scalar is a variance times I.

    Returns
    -------
    float
        Not negative, and zero for equal laws.

    Raises
    ------
    InvalidParameter
        If the shapes disagree or a covariance is not positive definite.
    NonFinite
        If it overflows.

    Notes
    -----
    With eigenvalues 1 + t of L1^{-1} cov0 L1^{-T} the covariances contribute
    sum (t - log(1 + t)) / 2, which keeps its digits when they are nearly equal; when
    cov0 is much the narrower, t is close to -1 and the logarithms are taken from the
    Cholesky factors of each.

    Examples
    --------
    >>> kl_gaussian([0.0], 1.0, [3.0], 1.0)
    4.5
    """
    mean0 = as_parameters("mean0", mean0)
    mean1 = as_parameters("mean1", mean1)
    if mean0.size != mean1.size:
        raise InvalidParameter(
            f"mean0 has shape {mean0.shape} and mean1 has shape {mean1.shape}"
        )
    cov0 = as_covariance("cov0", cov0, mean0.size)
    cov1 = as_covariance("cov1", cov1, mean0.size)
    root = cholesky("cov1", cov1)
    half = np.linalg.solve(root, cov0 - cov1)
    excess = np.linalg.eigvalsh(np.linalg.solve(root, half.T))
    shift = np.linalg.solve(root, mean0 - mean1)
    if excess.min() > -0.5:
        shape = (excess - np.log1p(excess)).sum()
    else:
        log_dets = half_log_dets(cholesky("cov0", cov0)) - half_log_dets(root)
        shape = excess.sum() - 2 * log_dets
    value = 0.5 * (shape + shift @ shift)
    return float(require_finite(value, "the divergence of the Gaussians"))
