"""Evidence against a null hypothesis that may be looked at after every replicate.

An e-process is a nonnegative process E_0 = 1, E_1, E_2, ... whose mean never exceeds 1
under the null hypothesis, at any stopping time.  By Ville's inequality it ever reaches
1/alpha with probability at most alpha: looking, stopping and going on are all allowed.
The average of e-processes is one.

Every function returns the whole path log E_1, ..., log E_n.  The replicates lie along
the last axis but one, components along the last, (..., n, D) -> (..., n); further
axes are independent streams.  Under the null, scores u are independent N(0, 1).

Two-point log likelihood ratios serve the other side.  Against the alternative that a
component's mean is delta, say, the ratio L of alternative to null stays above beta for
ever with probability 1 - beta: a stream that brings *all* ratios to beta or below shows
that nothing is off by delta, at error probability beta, without any correction for
their number (an intersection-union test).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, multigammaln, ndtri

__all__ = [
    "average",
    "bounded_mean",
    "bounded_ratio",
    "categories",
    "categories_ratio",
    "correlation_ratio",
    "direction",
    "direction_ratio",
    "location_scale",
    "mean_ratio",
    "repeats",
    "serial",
    "shape",
    "variance_ratio",
]

Array = npt.NDArray[np.float64]

KAPPA = 10.0  # prior replicates' worth of belief in the null's mean
NU = 9.0  # and in its covariance, beyond the D that a proper prior needs
RHO = 10.0  # prior precision of a correlation
SLOPE_VARIANCE = 1.0  # prior variance of the coefficient of a direction
FAR = 1e70  # scores are cut here, so that fourth powers are finite
ROUNDING = 1e-9  # of a value at its bound
BETS = np.array([0.05, 0.1, 0.2, 0.4, 0.8])


def average(
    paths: Sequence[npt.ArrayLike], weights: Sequence[float] | None = None
) -> Array:
    """Return the log of the weighted average of e-processes, given their logs.

    Parameters
    ----------
    paths : sequence of array_like, shape (..., n)
    weights : sequence of float, optional
        Positive with sum 1; equal by default.
    """
    stacked = np.stack([np.asarray(path, dtype=float) for path in paths])
    if weights is None:
        weights = [1 / len(stacked)] * len(stacked)
    logs = np.log(weights).reshape(-1, *[1] * (stacked.ndim - 1))
    combined: Array = np.logaddexp.reduce(stacked + logs, axis=0)
    return combined


def _average_last(paths: Array) -> Array:
    averaged: Array = np.logaddexp.reduce(paths, axis=-1) - np.log(paths.shape[-1])
    return averaged


def _scores(u: npt.ArrayLike) -> Array:
    """Scores with infinities and their like cut to `FAR`.

    Under the null nothing is cut, so that an e-process remains one.
    """
    return np.clip(np.asarray(u, dtype=float), -FAR, FAR)


# --- log E ----------------------------------------------------------------------------


def location_scale(u: npt.ArrayLike) -> Array:
    """Return log E against any other mean and covariance: (..., n, D) -> (..., n).

    The Bayes factor of the normal-Wishart prior centred at the null, kappa = 10,
    nu = D + 9, Lambda = nu I.  With S and V the running sums of u and u u',

        log E = (tD/2) log 2 + tr V/2 + log Gamma_D(nu_t/2)/Gamma_D(nu/2)
                + (nu/2) log|Lambda| - (nu_t/2) log|Lambda_t| + (D/2) log kappa/kappa_t,

    kappa_t = kappa + t, nu_t = nu + t, Lambda_t = Lambda + V - S S'/kappa_t.
    """
    u = _scores(u)
    count, D = u.shape[-2:]
    t = np.arange(1, count + 1)
    S = np.cumsum(u, axis=-2)
    V = np.cumsum(u[..., :, None] * u[..., None, :], axis=-3)
    nu = D + NU
    kappa_t, nu_t = KAPPA + t, nu + t
    later = V - S[..., :, None] * S[..., None, :] / kappa_t[:, None, None]
    later += nu * np.eye(D)
    path: Array = (
        t * D / 2 * np.log(2)
        + np.trace(V, axis1=-2, axis2=-1) / 2
        + multigammaln(nu_t / 2, D)
        - multigammaln(nu / 2, D)
        + nu / 2 * D * np.log(nu)
        - nu_t / 2 * _log_det(later, nu)
        + D / 2 * np.log(KAPPA / kappa_t)
    )
    return path


def _log_det(matrices: Array, least: float) -> Array:
    """log |A| of matrices whose eigenvalues are at least `least`.

    What rounding takes from that bound, where scores are huge, is given back.
    """
    D = matrices.shape[-1]
    if D == 1:
        logs: Array = np.log(np.maximum(matrices[..., 0, 0], least))
    elif D == 2:  # without a factorisation for every replicate
        a, b, d = matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 1, 1]
        a = np.maximum(a, least)
        logs = np.log(a) + np.log(np.maximum(d - b * (b / a), least))
    else:
        logs = np.maximum(np.linalg.slogdet(matrices)[1], D * np.log(least))
    return logs


def serial(u: npt.ArrayLike, lag: int = 1) -> Array:
    """Return log E against dependence on an earlier replicate: (..., n, D) -> (..., n).

    With v_t the replicate `lag` before, u_t given v_t is N(r v_t, 1) with
    r ~ N(0, 1/rho): in each component, with C the running sum of u_t v_t and Q that of
    v_t^2,

        E = (1 + Q/rho)^(-1/2) exp(C^2 / (2 (Q + rho))),

    averaged over the components.
    """
    C, Q = _lagged(_scores(u), lag)
    return _average_last(_mixture(C, Q, RHO))


def _lagged(u: Array, lag: int = 1) -> tuple[Array, Array]:
    """Running sums of u_t v_t and v_t^2, v_t = u_{t-lag}, zero before there is one."""
    before = np.zeros_like(u)
    before[..., lag:, :] = u[..., :-lag, :]
    return np.cumsum(u * before, axis=-2), np.cumsum(before * before, axis=-2)


def _mixture(S: Array, Q: Array, rho: float) -> Array:
    """log of the mean of exp(r S - r^2 Q/2) over r ~ N(0, 1/rho)."""
    mixed: Array = 0.5 * (S * (S / (Q + rho)) - np.log1p(Q / rho))
    return mixed


def direction(u: npt.ArrayLike, v: npt.ArrayLike) -> Array:
    """Return log E against a mean r v_t, v_t known before u_t: (..., n, D) -> (..., n).

    r ~ N(0, 1): with S the running sum of <u_t, v_t> and Q that of |v_t|^2,
    E = (1 + Q)^(-1/2) exp(S^2 / (2 (Q + 1))), averaged over the directions.

    Parameters
    ----------
    u : array_like, shape (..., n, D)
    v : array_like, shape (..., n, R, D)
        R directions for each replicate, or (..., n, D) for a single one.  Scaled so
        that r is the relative error of a coefficient, of order 1.
    """
    S, Q = _projected(u, v)
    return _average_last(_mixture(S, Q, 1 / SLOPE_VARIANCE))


def _projected(u: npt.ArrayLike, v: npt.ArrayLike) -> tuple[Array, Array]:
    """Running sums of <u, v> and |v|^2, shape (..., n, R)."""
    u, v = _scores(u), _scores(v)
    if v.ndim == u.ndim:
        v = v[..., None, :]
    S = np.cumsum(np.einsum("...d,...rd->...r", u, v), axis=-2)
    return S, np.cumsum(np.einsum("...rd,...rd->...r", v, v), axis=-2)


def shape(u: npt.ArrayLike, bins: int, concentration: float = 16.0) -> Array:
    """Return log E against another shape: (..., n, D) -> (..., n).

    `categories` of the scores in cells of equal probability under N(0, 1), averaged
    over the components.
    """
    edges = ndtri(np.arange(1, bins) / bins)
    cells = np.searchsorted(edges, np.asarray(u, dtype=float), side="right")
    cells = np.moveaxis(cells, -1, 0)
    return average(list(categories(cells, bins, concentration)))


def categories(cells: npt.ArrayLike, K: int, concentration: float = 4.0) -> Array:
    """Return log E against unequal probabilities of K categories: (..., n) -> (..., n).

    Dirichlet-multinomial: the probabilities have a Dirichlet prior, all parameters
    equal to the concentration a, so that the next category is k with probability
    (a + n_k) / (K a + t), n_k its count among the t before; E is the product of these
    over the K^-t of the null.

    Parameters
    ----------
    cells : array_like of int, shape (..., n)
        Categories 0, ..., K-1.
    """
    cells = np.asarray(cells)
    t = np.arange(cells.shape[-1])
    steps = np.log(concentration + _earlier(cells)) - np.log(K * concentration + t)
    path: Array = np.cumsum(steps + np.log(K), axis=-1)
    return path


def _earlier(cells: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """How often each entry's value occurred before it, along the last axis."""
    order = np.argsort(cells, axis=-1, kind="stable")
    values = np.take_along_axis(cells, order, axis=-1)
    place = np.broadcast_to(np.arange(cells.shape[-1]), cells.shape)
    new = np.ones(cells.shape, dtype=bool)
    new[..., 1:] = values[..., 1:] != values[..., :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=-1)
    earlier = np.empty(cells.shape, dtype=place.dtype)
    np.put_along_axis(earlier, order, place - first, axis=-1)
    return earlier


def repeats(cells: npt.ArrayLike, K: int) -> Array:
    """Return log E against dependence on the category before: (..., n) -> (..., n).

    Under the null a category repeats its predecessor with probability 1/K; against it
    stands a probability with the prior Beta(1, K-1), whose mean is 1/K.
    """
    cells = np.asarray(cells)
    same = np.zeros(cells.shape)
    same[..., 1:] = cells[..., 1:] == cells[..., :-1]
    R, t = np.cumsum(same, axis=-1), np.arange(cells.shape[-1])
    prior = gammaln(1.0) + gammaln(K - 1.0) - gammaln(float(K))
    mixed = gammaln(1 + R) + gammaln(K - 1 + t - R) - gammaln(K + t) - prior
    null = -R * np.log(K) + (t - R) * np.log1p(-1 / K)
    path: Array = mixed - null
    return path


def bounded_mean(y: npt.ArrayLike) -> Array:
    """Return log E against a mean other than 0: (..., n, D) -> (..., n).

    y in [-1, 1] has the conditional mean 0 given everything before it, under the null.
    E is the mean over the bets r = +-.05, ..., +-.8 of the wealth, the product of
    1 + r y_t, and over the components; infinite from a y outside [-1, 1] on.
    """
    stakes = np.concatenate([BETS, -BETS])
    y = np.asarray(y, dtype=float)
    inside = np.clip(y, -1, 1)
    wealth = np.cumsum(np.log1p(inside[..., None] * stakes), axis=-3)
    outside = np.any(np.abs(y) > 1 + ROUNDING, axis=-1)
    impossible = np.logical_or.accumulate(outside, axis=-1)
    return np.where(impossible, np.inf, _average_last(_average_last(wealth)))


# --- two-point log likelihood ratios: the largest over components and signs -----------


def mean_ratio(u: npt.ArrayLike, delta: float) -> Array:
    """Largest log ratio of mean +-delta to the null: (..., n, D) -> (..., n)."""
    u = _scores(u)
    t = np.arange(1, u.shape[-2] + 1)[:, None]
    ratio = delta * np.abs(np.cumsum(u, axis=-2)) - t * delta**2 / 2
    return np.asarray(ratio.max(axis=-1))


def variance_ratio(u: npt.ArrayLike, delta: float) -> Array:
    """Largest log ratio of log variance +-delta to the null; shapes as above."""
    u = _scores(u)
    t = np.arange(1, u.shape[-2] + 1)[:, None]
    V = np.cumsum(u * u, axis=-2)
    wide = -t * delta / 2 - V / 2 * np.expm1(-delta)
    narrow = t * delta / 2 - V / 2 * np.expm1(delta)
    return np.asarray(np.maximum(wide, narrow).max(axis=-1))


def correlation_ratio(u: npt.ArrayLike, delta: float) -> Array:
    """Largest log ratio of regression +-delta on the replicate before to the null.

    (..., n, D) -> (..., n).
    """
    C, Q = _lagged(_scores(u))
    return np.asarray((delta * np.abs(C) - delta**2 * Q / 2).max(axis=-1))


def direction_ratio(u: npt.ArrayLike, v: npt.ArrayLike, delta: float) -> Array:
    """Largest log ratio of a mean +-delta v_t to the null; shapes as in `direction`."""
    S, Q = _projected(u, v)
    return np.asarray((delta * np.abs(S) - delta**2 * Q / 2).max(axis=-1))


def categories_ratio(cells: npt.ArrayLike, K: int, delta: float) -> Array:
    """Largest log ratio of a probability (1 +- delta)/K, the others equal, to the null.

    (..., n) -> (..., n).
    """
    cells = np.asarray(cells)
    t = np.arange(1, cells.shape[-1] + 1)[:, None]
    n = np.cumsum(cells[..., None] == np.arange(K), axis=-2)
    ratios = [
        n * np.log1p(change) + (t - n) * np.log1p(-change / (K - 1))
        for change in (delta, -delta)
    ]
    return np.asarray(np.maximum(*ratios).max(axis=-1))


def bounded_ratio(y: npt.ArrayLike, delta: float) -> Array:
    """Minus the smallest log wealth against means beyond +-delta.

    Where every conditional mean of y is at least delta, the product of
    1 - r (y_t - delta), 0 < r < 1, is an e-process; it is averaged over the bets r,
    for each component and sign: (..., n, D) -> (..., n).
    """
    y = np.asarray(np.clip(y, -1, 1), dtype=float)
    sides = np.concatenate([y, -y], axis=-1)[..., None]
    wealth = np.cumsum(np.log1p(-BETS * (sides - delta)), axis=-3)
    return np.asarray(-_average_last(wealth).min(axis=-1))
