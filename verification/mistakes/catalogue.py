"""The catalogue of known mistakes; here those in the deterministic part of the paper.

T: the theory of sections 2 to 4.  S, H, I: Algorithms 3, 5 and 4.  M: networks and
training, of which here what a loss, a gradient or a buffer can show.  X: slips that
people make and no list of the paper's steps suggests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.losses import LeastSquares
from verification.mistakes.importance import IMPORTANCE
from verification.mistakes.langevin import LANGEVIN
from verification.mistakes.mistake import Fault, Mistake
from verification.mistakes.multiscale import MULTISCALE
from verification.mistakes.networks import (
    METHOD,
    NETWORKS,
    SUMMED,
    Accumulator,
    centred_in_place,
)
from verification.mistakes.robbins_monro import ROBBINS_MONRO
from verification.mistakes.running import RUNNING
from verification.mistakes.span import SPAN

Array = NDArray[np.float64]

# --- pieces -----------------------------------------------------------------------


def _iterated(step: Callable[..., Any]) -> Fault:
    """A trajectory of the faulty step(right, loss, x, tau)."""

    def trajectory(right: Any, loss: Any, x0: Any, tau: float, updates: int) -> Array:
        path = [np.array(x0, dtype=float)]
        for _ in range(updates):
            path.append(np.asarray(step(right, loss, path[-1], tau), dtype=float))
        return np.array(path)

    return trajectory


def _instead(change: Callable[[float], float], *methods: str) -> dict[str, Fault]:
    """The methods called with another tau."""

    def fault(method: str) -> Fault:
        def wrong(right: Any, loss: Any, *arguments: Any) -> Any:
            *head, tau = arguments
            return getattr(right, method)(loss, *head, change(tau))

        return wrong

    return {method: fault(method) for method in methods}


def _swapped(a: str, b: str) -> dict[str, Fault]:
    return {
        a: lambda right, *arguments: getattr(right, b)(*arguments),
        b: lambda right, *arguments: getattr(right, a)(*arguments),
    }


def _square(x: Any, y: Any) -> float:
    return float(np.sum(np.subtract(x, y) ** 2))


def _parts(loss: Any, x: Any, tau: float) -> tuple[Array, Array, Array]:
    """Logs of w_k N(x; m_k, S_k + tau I), the means mu_k and covariances of q."""
    wide = loss.covariances + tau * np.eye(loss.d)
    gaps = np.asarray(x) - loss.means
    solved = np.linalg.solve(wide, gaps[..., None])[..., 0]
    logs = np.log(loss.weights) - 0.5 * (
        (gaps * solved).sum(axis=1) + np.linalg.slogdet(2 * math.pi * wide)[1]
    )
    covariances = tau * np.linalg.solve(wide, loss.covariances)
    return logs, np.asarray(x) - tau * solved, covariances


def _for_mixtures(method: str, wrong: Callable[[Any, Any, float], Any]) -> Fault:
    """Wrong on mixtures, right on everything else."""

    def fault(right: Any, loss: Any, x: Any, tau: float) -> Any:
        if loss.kind != "gaussian_mixture":
            return getattr(right, method)(loss, x, tau)
        return wrong(loss, x, tau)

    return fault


def _hermite(
    loss: Any, x: Any, tau: float, stretch: float, scale: float
) -> tuple[Array, Array]:
    """Points and weights of a tensor Gauss-Hermite rule, physicists' nodes."""
    nodes, weights = np.polynomial.hermite.hermgauss(24 if loss.d < 3 else 6)
    shifts = np.array(list(product(nodes, repeat=loss.d)))
    masses = np.array([math.prod(w) for w in product(weights, repeat=loss.d)])
    return np.asarray(x) + stretch * math.sqrt(tau) * shifts, masses * scale**loss.d


def _by_hermite(stretch: float, scale: float) -> dict[str, Fault]:
    """Heat, its gradient and local entropy by a Gauss-Hermite rule gone wrong."""

    def heat(right: Any, loss: Any, x: Any, tau: float) -> float:
        y, mass = _hermite(loss, x, tau, stretch, scale)
        return float(mass @ loss(y))

    def gradient(right: Any, loss: Any, x: Any, tau: float) -> Array:
        y, mass = _hermite(loss, x, tau, stretch, scale)
        return np.asarray(mass @ loss.gradient(y))

    def entropy(right: Any, loss: Any, x: Any, tau: float) -> float:
        y, mass = _hermite(loss, x, tau, stretch, scale)
        return -math.log(mass @ np.exp(-loss(y)))

    return {"heat": heat, "heat_gradient": gradient, "local_entropy": entropy}


def _uphill(right: Any, loss: Any, x: Any, tau: float) -> Any:
    return 2 * np.asarray(x) - right.posterior_mean(loss, x, tau)


def _without_tau(right: Any, loss: Any, x: Any, tau: float) -> Any:
    return x - tau * _slope_without_tau(right, loss, x, tau)


def _slope_without_tau(right: Any, loss: Any, x: Any, tau: float) -> Any:
    return np.asarray(x) - right.posterior_mean(loss, x, tau)


def _explicit(right: Any, loss: Any, x: Any, tau: float) -> Any:
    return x - tau * np.asarray(right.heat_gradient(loss, x, tau))


def _matched(right: Any, loss: Any, x: Any, tau: float) -> Any:
    return right.posterior_mean(loss, x, tau)


def _unnormalised(loss: Any, x: Any, tau: float) -> Any:
    logs, means, _ = _parts(loss, x, tau)
    return np.exp(logs) @ means


def _unshifted(loss: Any, x: Any, tau: float) -> float:
    total = float(np.exp(_parts(loss, x, tau)[0]).sum())
    return -math.log(total) if total > 0 else math.inf


def _prior_weights(loss: Any, x: Any, tau: float) -> Any:
    return loss.weights @ _parts(loss, x, tau)[1]


def _within(loss: Any, x: Any, tau: float) -> Any:
    logs, _, covariances = _parts(loss, x, tau)
    odds = np.exp(logs - logs.max())
    return np.tensordot(odds / odds.sum(), covariances, 1)


def _summed(loss: Any) -> Any:
    """The loss times N: a sum over examples in place of their mean."""
    if loss.kind != "least_squares":
        return loss
    root = math.sqrt(len(loss.b))
    return LeastSquares(loss.A * root, loss.b * root)


def _on_the_sum(*methods: str) -> dict[str, Fault]:
    def fault(method: str) -> Fault:
        return lambda right, loss, *rest: getattr(right, method)(_summed(loss), *rest)

    return {method: fault(method) for method in methods}


class _Accumulator:
    """Adds its previous answer to the next one."""

    def __init__(self) -> None:
        self.buffer: Any = 0.0

    def __call__(self, right: Any, loss: Any, x: Any, tau: float) -> Any:
        answer = np.asarray(right.heat_gradient(loss, x, tau))
        if np.shape(self.buffer) not in ((), answer.shape):
            self.buffer = 0.0
        self.buffer = self.buffer + answer
        return self.buffer


def _in_place(right: Any, loss: Any, x: Any, tau: float) -> Any:
    x -= tau * np.asarray(right.local_entropy_gradient(loss, x, tau))
    return x


def _absolute_determinant(right: Any, loss: Any, x: Any, tau: float) -> Any:
    if loss.kind != "quadratic" or np.ndim(loss.H) != 2:
        return right.local_entropy(loss, x, tau)
    wide = np.eye(loss.d) + tau * loss.H
    shift = np.asarray(x) - loss.m
    energy = 0.5 * shift @ loss.H @ np.linalg.solve(wide, shift)
    return float(loss.c + energy + 0.5 * np.linalg.slogdet(wide)[1])


def _anchored(right: Any, loss: Any, x0: Any, tau: float, updates: int) -> Array:
    first = right.heat_proximal_point(loss, x0, tau)
    return np.array([x0, *[first] * updates])


ENTROPY = (
    "local_entropy",
    "local_entropy_gradient",
    "posterior_mean",
    "posterior_covariance",
    "majoriser",
)
HEAT = ("heat", "heat_gradient", "heat_proximal_point", "heat_majoriser")

# --- the entries --------------------------------------------------------------------

_THEORY = (
    Mistake(
        "T01",
        "sign of F",
        "F is log Z, without the minus",
        {
            "local_entropy": lambda right, *a: -right.local_entropy(*a),
            "majoriser": lambda right, *a: -right.majoriser(*a),
        },
    ),
    Mistake(
        "T02",
        "normaliser dropped",
        "F is -log of the Z of (6): (2 pi tau)^(d/2) is dropped",
        {
            "local_entropy": lambda right, loss, x, tau: (
                right.local_entropy(loss, x, tau)
                - 0.5 * loss.d * math.log(2 * math.pi * tau)
            ),
            "majoriser": lambda right, loss, x, y, tau: (
                right.majoriser(loss, x, y, tau)
                - 0.5 * loss.d * math.log(2 * math.pi * tau)
            ),
        },
    ),
    Mistake(
        "T03",
        "tau as standard deviation",
        "tau is taken for a standard deviation: the variance is tau^2",
        {
            **_instead(lambda tau: tau**2, *ENTROPY, *HEAT),
            "minimise_local_entropy": lambda right, loss, x, tau, n: (
                right.minimise_local_entropy(loss, x, tau**2, n)
            ),
            "minimise_heat": lambda right, loss, x, tau, n: right.minimise_heat(
                loss, x, tau**2, n
            ),
        },
    ),
    Mistake(
        "T04",
        "sign of grad F",
        "grad F is (E_q X - x)/tau: gradient descent climbs",
        {
            "local_entropy_gradient": lambda right, *a: (
                -np.asarray(right.local_entropy_gradient(*a))
            ),
            "minimise_local_entropy": _iterated(_uphill),
        },
    ),
    Mistake(
        "T05",
        "1/tau missing in grad F",
        "grad F is x - E_q X, without 1/tau",
        {
            "local_entropy_gradient": _slope_without_tau,
            "minimise_local_entropy": _iterated(_without_tau),
        },
    ),
    Mistake(
        "T06",
        "KL arguments swapped",
        "Algorithm 1 seeks the mode and Algorithm 2 the mean",
        {
            **_swapped("posterior_mean", "heat_proximal_point"),
            **_swapped("minimise_local_entropy", "minimise_heat"),
        },
    ),
    Mistake(
        "T07",
        "-d missing in KL",
        "KL of Gaussians lacks the -d/2",
        {
            "kl_gaussian": lambda right, mean0, *rest: (
                right.kl_gaussian(mean0, *rest) + 0.5 * len(mean0)
            )
        },
    ),
    Mistake(
        "T08",
        "heat with variance 2 tau",
        "heat averages over N(x, 2 tau I)",
        _instead(lambda tau: 2 * tau, "heat", "heat_gradient")
        | {
            "heat_majoriser": lambda right, loss, x, y, tau: (
                right.heat(loss, x, 2 * tau) + _square(x, y) / (2 * tau)
            )
        },
    ),
    Mistake(
        "T08H",
        "heat with variance tau/2",
        "heat averages over N(x, tau/2 I)",
        _instead(lambda tau: tau / 2, "heat", "heat_gradient"),
    ),
    Mistake(
        "T09",
        "1/2 missing in A^H",
        "A^H is F^H + |x-y|^2/tau",
        {
            "heat_majoriser": lambda right, loss, x, y, tau: (
                right.heat(loss, x, tau) + _square(x, y) / tau
            )
        },
    ),
    Mistake(
        "T10",
        "weights not renormalised",
        "the components' weights are not divided by their sum after conditioning",
        {
            "posterior_mean": _for_mixtures("posterior_mean", _unnormalised),
            "minimise_local_entropy": _iterated(
                _for_mixtures("posterior_mean", _unnormalised)
            ),
        },
    ),
    Mistake(
        "T11",
        "log-sum-exp without shift",
        "densities are exponentiated and added unshifted: the tail underflows",
        {"local_entropy": _for_mixtures("local_entropy", _unshifted)},
    ),
    Mistake(
        "T12",
        "prior weights in E_q",
        "E_q X weighs the components as before conditioning",
        {
            "posterior_mean": _for_mixtures("posterior_mean", _prior_weights),
            "minimise_local_entropy": _iterated(
                _for_mixtures("posterior_mean", _prior_weights)
            ),
        },
    ),
    Mistake(
        "T13",
        "physicists' Hermite nodes",
        "Gauss-Hermite nodes for exp(-z^2) are used as if for exp(-z^2/2)",
        _by_hermite(1.0, 1 / math.sqrt(math.pi)),
    ),
    Mistake(
        "T14",
        "1/sqrt(pi) omitted",
        "Gauss-Hermite weights are not divided by sqrt(pi) per axis",
        _by_hermite(math.sqrt(2.0), 1.0),
    ),
    Mistake(
        "T15",
        "explicit step for the proximal point",
        "Algorithm 2 steps to x - tau grad F^H(x)",
        {
            "heat_proximal_point": _explicit,
            "minimise_heat": _iterated(_explicit),
        },
    ),
    Mistake(
        "T16",
        "Algorithm 2 by moment matching",
        "step 2 of Algorithm 2 returns E_q X",
        {
            "heat_proximal_point": _matched,
            "minimise_heat": _iterated(_matched),
        },
    ),
    Mistake(
        "T17",
        "scoping one step ahead",
        "tau(k) is tau0/(1+tau1)^(k+1)",
        {"scoping": lambda right, a, b, k: right.scoping(a, b, k + 1)},
    ),
    Mistake(
        "T18",
        "scoping harmonic",
        "tau(k) is tau0/(1+tau1 k)",
        {"scoping": lambda right, a, b, k: a / (1 + b * k)},
    ),
    Mistake(
        "T19",
        "Cov_q within components only",
        "Cov_q lacks the covariance between the components' means",
        {"posterior_covariance": _for_mixtures("posterior_covariance", _within)},
    ),
    Mistake(
        "T20",
        "z added twice in heat",
        "heat averages f(x + z + z)",
        _instead(lambda tau: 4 * tau, "heat", "heat_gradient"),
    ),
    Mistake(
        "T21",
        "KL of Gaussians the other way round",
        "KL(p||q) is computed as KL(q||p)",
        {
            "kl_gaussian": lambda right, m0, c0, m1, c1: right.kl_gaussian(
                m1, c1, m0, c0
            )
        },
    ),
    Mistake(
        "T22",
        "1/2 missing in A",
        "A is F(y) + (x-y).grad F(y) + |x-y|^2/tau",
        {
            "majoriser": lambda right, loss, x, y, tau: (
                right.majoriser(loss, x, y, tau) + _square(x, y) / (2 * tau)
            )
        },
    ),
    Mistake(
        "T23",
        "F finite where it is infinite",
        "log det(I + tau H) is taken of the absolute eigenvalues: no refusal",
        {"local_entropy": _absolute_determinant},
    ),
    Mistake(
        "T24",
        "pull anchored at x_0",
        "every step of Algorithm 2 is pulled to x_0, not to x_k",
        {"minimise_heat": _anchored},
    ),
)

_BUFFERS = (
    Mistake(
        "M03",
        "sum instead of mean",
        "f is the sum over the examples, not their mean",
        _on_the_sum(*ENTROPY, *HEAT, "minimise_local_entropy", "minimise_heat")
        | {METHOD: SUMMED},
    ),
    Mistake(
        "M09",
        "gradient buffer accumulates",
        "a gradient buffer is not cleared between calls",
        {"heat_gradient": _Accumulator(), METHOD: Accumulator()},
    ),
    Mistake(
        "M10",
        "arguments changed in place",
        "the caller's x is updated in place, or a network's batch centred",
        {"posterior_mean": _in_place, METHOD: centred_in_place},
    ),
)

_ENTRIES = (
    *(*_THEORY, *LANGEVIN, *ROBBINS_MONRO, *IMPORTANCE),
    *sorted((*_BUFFERS, *RUNNING, *NETWORKS), key=lambda entry: entry.id),
    *SPAN,
    *MULTISCALE,
)

CATALOGUE: dict[str, Mistake] = {entry.id: entry for entry in _ENTRIES}
"""Every known mistake by its id, in the order T, S, H, I, M, X, R, L."""
