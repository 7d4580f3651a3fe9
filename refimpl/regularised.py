"""The two regularised losses, their derivatives, majorisers and functionals.

Each function takes any loss.  What the loss knows in closed form is used; otherwise
quadrature for d <= 3; otherwise `NoClosedForm` is raised.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from scipy.special import logsumexp

from refimpl import quadrature
from refimpl.arrays import (
    Array,
    as_choice,
    as_covariance,
    as_point,
    as_points,
    as_variance,
    require_finite,
)
from refimpl.errors import InvalidParameter, NoClosedForm
from refimpl.interfaces import (
    Conjugate,
    ExponentialAverages,
    GaussianAverages,
    Loss,
    as_loss,
)
from refimpl.laws import Mixture, kl_gaussian, phi
from refimpl.noise import around


@np.errstate(all="ignore")  # judged below
def local_entropy(f: Loss, x: Any, tau: float) -> Array:
    """F_tau(x) = -log of the integral of exp(-f) phi_{x,tau}, (2).

    Parameters
    ----------
    f : Loss
    x : array_like, shape (..., d)
    tau : float
        A variance.

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    InvalidParameter
        Bad shapes, tau <= 0; `NotIntegrable` where the integral is infinite.
    NoClosedForm, Unresolved
        Where there is no closed form and quadrature cannot serve.
    NonFinite
        If the value overflows.

    References
    ----------
    Equation (2); checked by the family EQ2.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> round(float(local_entropy(Quadratic(1.0, [0.0]), [2.0], 1.0)), 12)
    1.34657359028
    """
    x = _at(f, x)
    if isinstance(f, Conjugate):
        value = f.local_entropy(x, as_variance("tau", tau))
    else:
        value = _over_batch(lambda p: -_moments(f, p, tau).log_mass, f, x)
    return np.asarray(require_finite(value, "local entropy"))[()]


@np.errstate(all="ignore")  # judged below
def local_entropy_gradient(
    f: Loss, x: Any, tau: float, form: Literal["mean", "gradient"] | None = None
) -> Array:
    """The gradient of F_tau, which is (x - E_q X) / tau = E_q grad f, (12).

    Parameters
    ----------
    f : Loss
    x : array_like, shape (..., d)
    tau : float
        A variance.
    form : {"mean", "gradient"}, optional
        Which side of the identity to evaluate.  By default the accurate one: the
        loss's own closed form, else E_q grad f unless its rounding, of the size of
        E_q |grad f|, exceeds that of (x - E_q X) / tau, as it does for large tau.

    Returns
    -------
    ndarray, shape (..., d)

    References
    ----------
    Equation (12); checked by EQ12-01.
    """
    x, tau = _at(f, x), as_variance("tau", tau)
    if form is not None:
        as_choice("form", form, ("mean", "gradient"))
    if form == "mean":
        gradient = (x - posterior_mean(f, x, tau)) / tau
    elif isinstance(f, Conjugate):
        gradient = f.local_entropy_gradient(x, tau)
    else:
        gradient = _over_batch(lambda p: _gradient(f, p, tau, form), f, x)
    return np.asarray(require_finite(gradient, "the gradient of local entropy"))


@np.errstate(all="ignore")  # judged below
def local_entropy_hessian(f: Loss, x: Any, tau: float) -> Array:
    """The Hessian of F_tau, (I - Cov_q / tau) / tau, shape (..., d, d).

    Arguments and errors as in `local_entropy`; checked by EQ12-02.
    """
    x, tau = _at(f, x), as_variance("tau", tau)
    if isinstance(f, Conjugate):
        hessian = f.local_entropy_hessian(x, tau)
    else:
        covariance = posterior_covariance(f, x, tau)
        hessian = (np.eye(f.d) - covariance / tau) / tau
    return np.asarray(require_finite(hessian, "the Hessian of local entropy"))


@np.errstate(all="ignore")  # judged below
def posterior_mean(f: Loss, x: Any, tau: float) -> Array:
    """E_q X, (15): step 2 of Algorithm 1, shape (..., d).

    Arguments and errors as in `local_entropy`.
    """
    x = _at(f, x)
    if isinstance(f, Conjugate):
        mean = f.posterior_mean(x, as_variance("tau", tau))
    else:
        mean = _over_batch(lambda p: _moments(f, p, tau).mean, f, x)
    return np.asarray(require_finite(mean, "the mean of q"))


@np.errstate(all="ignore")  # judged below
def posterior_covariance(f: Loss, x: Any, tau: float) -> Array:
    """Cov_q X, shape (..., d, d); arguments and errors as in `local_entropy`."""
    x = _at(f, x)
    if isinstance(f, Conjugate):
        covariance = f.posterior_covariance(x, as_variance("tau", tau))
    else:
        covariance = _over_batch(lambda p: _moments(f, p, tau).covariance, f, x)
    return np.asarray(require_finite(covariance, "the covariance of q"))


@np.errstate(all="ignore")  # judged below
def heat(f: Loss, x: Any, tau: float) -> Array:
    """F^H_tau(x), the integral of f phi_{x,tau}, shape (...).

    Arguments and errors as in `local_entropy`.

    References
    ----------
    Section 2.2; checked by the family HEAT.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> float(heat(Quadratic(1.0, [0.0]), [2.0], 1.0))
    2.5
    """
    x, tau = _at(f, x), as_variance("tau", tau)
    if isinstance(f, GaussianAverages):
        value = f.heat(x, tau)
    else:
        value = _over_batch(lambda p: gaussian_mean(f, p, tau), f, x)
    return np.asarray(require_finite(value, "heat"))[()]


@np.errstate(all="ignore")  # judged below
def heat_gradient(f: Loss, x: Any, tau: float) -> Array:
    """The gradient of F^H_tau, E_phi grad f, shape (..., d)."""
    x, tau = _at(f, x), as_variance("tau", tau)
    if isinstance(f, GaussianAverages):
        gradient = f.heat_gradient(x, tau)
    else:
        gradient = _over_batch(lambda p: heat_jet(f, p, tau)[1], f, x)
    return np.asarray(require_finite(gradient, "the gradient of heat"))


@np.errstate(all="ignore")  # judged below
def heat_hessian(f: Loss, x: Any, tau: float) -> Array:
    """The Hessian of F^H_tau, E_phi of the Hessian of f, shape (..., d, d)."""
    x, tau = _at(f, x), as_variance("tau", tau)
    if isinstance(f, GaussianAverages):
        hessian = f.heat_hessian(x, tau)
    else:
        hessian = _over_batch(lambda p: heat_jet(f, p, tau)[2], f, x)
    return np.asarray(require_finite(hessian, "the Hessian of heat"))


def heat_gradient_estimate(
    f: Loss, y: Array, tau: float, M: int, blocks: Iterable[Array]
) -> Array:
    """(1/M) sum_m grad f(y + sqrt(tau) z_m), unbiased for grad F^H_tau at y.

    Parameters
    ----------
    f : Loss
    y : ndarray, shape (n, d)
    tau : float
        A variance.
    M : int
    blocks : iterable of ndarray, shape (n, m, d)
        The M standard normals of each point, m at a time.

    Returns
    -------
    ndarray, shape (n, d)
    """
    total = np.zeros_like(y)
    for z in blocks:
        total += f.gradient(around(y, tau, z)).sum(axis=1)
    return total / M


@np.errstate(all="ignore")  # a search judges
def heat_jet(f: Loss, x: Any, tau: float) -> tuple[float, Array, Array]:
    """F^H_tau(x), its gradient (d,) and its Hessian (d, d) at one point x (d,).

    Where quadrature serves, the three share one pass over the nodes.  What overflows
    is infinite or NaN.
    """
    x, tau = as_point("x", x, as_loss(f).d), as_variance("tau", tau)
    if isinstance(f, GaussianAverages):
        return float(f.heat(x, tau)), f.heat_gradient(x, tau), f.heat_hessian(x, tau)
    return quadrature.gaussian_jet(f, x, tau * np.eye(f.d))


@np.errstate(all="ignore")  # judged below
def majoriser(f: Loss, x: Any, y: Any, tau: float) -> float:
    """A(x, y) of Section 3.2, the bracket of (8) at q = q_{y,tau}.

    It is F_tau(y) + (x - y) . grad F_tau(y) + |x - y|^2 / 2 tau: never below F_tau(x),
    and F_tau(x) at y = x.

    Parameters
    ----------
    f : Loss
    x, y : array_like, shape (d,)
    tau : float
        A variance.

    References
    ----------
    Section 3.2; checked by A-01 to A-03.
    """
    x, y = as_point("x", x, as_loss(f).d), as_point("y", y, f.d)
    tau = as_variance("tau", tau)
    shift = x - y
    slope = local_entropy_gradient(f, y, tau)
    value = local_entropy(f, y, tau) + shift @ slope + shift @ shift / (2 * tau)
    return float(require_finite(value, "the majoriser of local entropy"))


@np.errstate(all="ignore")  # judged below
def heat_majoriser(f: Loss, x: Any, y: Any, tau: float) -> float:
    """A^H(x, y) of Section 4.2, the bracket of (13) at q = q_{y,tau}.

    It is F^H_tau(x) + |x - y|^2 / 2 tau, which Algorithm 2 minimises over x.

    References
    ----------
    Section 4.2; checked by AH-01.
    """
    x, y = as_point("x", x, as_loss(f).d), as_point("y", y, f.d)
    tau = as_variance("tau", tau)
    shift = x - y
    value = heat(f, x, tau) + shift @ shift / (2 * tau)
    return float(require_finite(value, "the majoriser of heat"))


@np.errstate(all="ignore")  # judged below
def entropy_functional(f: Loss, q: Mixture, x: Any, tau: float) -> float:
    """The bracket of (8): the integral of f q plus KL(q || phi_{x,tau}).

    Theorem 1: never below F_tau(x), by exactly KL(q || q_{x,tau}).

    Parameters
    ----------
    f : Loss
    q : Mixture
        Any Gaussian (`refimpl.laws.gaussian`) or mixture of Gaussians.
    x : array_like, shape (d,)
    tau : float
        A variance.

    Examples
    --------
    >>> from refimpl.laws import gaussian
    >>> from refimpl.losses import Quadratic
    >>> f = Quadratic(1.0, [0.0])
    >>> round(entropy_functional(f, gaussian([1.0], 0.5), [2.0], 1.0), 12)
    1.34657359028
    """
    as_loss(f)
    _require_mixture("q", q)
    average = sum(
        w * gaussian_mean(f, m, S)
        for w, m, S in zip(q.weights, q.means, q.covariances, strict=True)
    )
    value = average + divergence(q, phi(as_point("x", x, f.d), tau))
    return float(require_finite(value, "the functional of (8)"))


@np.errstate(all="ignore")  # judged below
def heat_functional(f: Loss, q: Mixture, x: Any, tau: float) -> float:
    """The bracket of (13): log of the integral of exp(f) q, plus KL(phi || q).

    Theorem 3: never below F^H_tau(x).  It is +inf where exp(f) q has no integral
    (E16).  Parameters as in `entropy_functional`.
    """
    as_loss(f)
    _require_mixture("q", q)
    logs = [log_mean_exp(f, m, S) for m, S in zip(q.means, q.covariances, strict=True)]
    log_integral = float(logsumexp(logs, b=q.weights))
    return log_integral + divergence(phi(as_point("x", x, f.d), tau), q)


@np.errstate(all="ignore")  # judged below
def gaussian_mean(f: Loss, mean: Any, cov: Any) -> float:
    """The integral of f N(mean, cov), mean (d,), cov one variance or (d, d)."""
    mean = as_point("mean", mean, as_loss(f).d)
    if isinstance(f, GaussianAverages):
        value = f.gaussian_mean(mean, cov)
        return float(require_finite(value, "the mean of f"))
    cov = as_covariance("cov", cov, f.d)
    return quadrature.gaussian_average(f, mean, cov)


@np.errstate(all="ignore")  # judged below
def log_mean_exp(f: Loss, mean: Any, cov: Any) -> float:
    """log of the integral of exp(f) N(mean, cov); +inf where it diverges (E16)."""
    mean = as_point("mean", mean, as_loss(f).d)
    if isinstance(f, ExponentialAverages):
        value = f.log_mean_exp(mean, cov)
        return value if value == np.inf else require_finite(value, "log E exp(f)")
    cov = as_covariance("cov", cov, f.d)
    diverges = getattr(f, "exp_diverges", None)
    if diverges is None:
        raise NoClosedForm(
            f"{type(f).__name__} must say where exp(f) N(mean, cov) has no finite "
            "integral (exp_diverges)"
        )
    if diverges(cov):
        return float(np.inf)
    return quadrature.gibbs_moments(f, mean, cov, sign=1).log_mass


def divergence(p: Mixture, q: Mixture) -> float:
    """KL(p || q) of two Gaussian mixtures, (7).

    Two Gaussians have a closed form; otherwise the surprisals -log p and -log q are
    averaged over the components of p, as losses of their own.
    """
    _require_mixture("p", p)
    _require_mixture("q", q)
    if p.weights.size == q.weights.size == 1:
        return kl_gaussian(p.means[0], p.covariances[0], q.means[0], q.covariances[0])
    total = 0.0
    for w, m, S in zip(p.weights, p.means, p.covariances, strict=True):
        gap = gaussian_mean(q.surprisal, m, S) - gaussian_mean(p.surprisal, m, S)
        total += float(w) * gap
    return total


def _moments(f: Loss, x: Array, tau: float) -> quadrature.GibbsMoments:
    return quadrature.gibbs_moments(f, x, as_variance("tau", tau) * np.eye(f.d))


def _gradient(f: Loss, x: Array, tau: float, form: str | None) -> Array:
    moments = _moments(f, x, tau)
    spread = np.sqrt(np.trace(moments.covariance))
    rounding_of_mean = (np.linalg.norm(x) + np.linalg.norm(moments.mean) + spread) / tau
    if form is None and moments.gradient_size > rounding_of_mean:
        return np.asarray((x - moments.mean) / tau)
    return moments.mean_gradient


def _at(f: Loss, x: Any) -> Array:
    """The points x (..., d) of a loss, found to be finite."""
    points = as_points("x", x, as_loss(f).d)
    if not np.isfinite(points).all():
        raise InvalidParameter(f"x must be finite, got {points!r}")
    return points


def _over_batch(function: Callable[[Array], Any], f: Loss, points: Array) -> Array:
    """The function at every point (..., d), its results stacked."""
    flat = [function(point) for point in points.reshape(-1, f.d)]
    results = np.array(flat, dtype=np.float64)
    return results.reshape(points.shape[:-1] + results.shape[1:])


def _require_mixture(name: str, q: Any) -> None:
    if not isinstance(q, Mixture):
        raise InvalidParameter(
            f"{name} must be a Gaussian or a mixture (refimpl.laws.gaussian, Mixture), "
            f"got {type(q).__name__}"
        )
