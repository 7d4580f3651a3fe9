"""Known mistakes in entropic regularisation at several levels: L.

On tables the recursion from the fine level to the coarse one,

    V_d = f,   V_{k-1} = -lambda_k log sum q_k e^{-V_k/lambda_k},
    P*_k = q_k e^{-(V_k - V_{k-1})/lambda_k},

in one routine with hooks, which without any is right.  Multilevel Metropolis has a
module of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, xlogy

from verification.mistakes.metropolis import METROPOLIS, SAMPLERS
from verification.mistakes.mistake import Fault, Mistake

Array = NDArray[np.float64]

# --- tables ---------------------------------------------------------------------------


def _marginals(P: Array) -> list[Array]:
    """The total, P_<=1, ..., P_<=d."""
    return [P.sum(axis=tuple(range(k, P.ndim))) for k in range(P.ndim + 1)]


@np.errstate(all="ignore")
def _conditionals(P: Array) -> list[Array]:
    """P_k(w_k | w_<k), k = 1, ..., d; 0 where the prefix has no mass."""
    return [
        np.where(part > 0, part / above[..., None], 0.0)
        for above, part in pairwise(_marginals(P))
    ]


def _product(conditionals: Sequence[Array]) -> Array:
    P = np.ones(())
    for part in conditionals:
        P = P[..., None] * part
    return P


def _log_sum(logs: Array) -> Array:
    """log sum exp along the last axis."""
    return np.asarray(logsumexp(logs, axis=-1))


@dataclass(frozen=True)
class Backward:
    """The recursion on tables; every default is right.

    Attributes
    ----------
    prior : callable
        The reference's conditionals, one table for each level.
    weighed : callable
        V_k/lambda_k from V_k, the temperatures and k, levels being counted from 0.
    log_sum : callable
        log sum exp along the last axis.
    lowered : callable
        V_{k-1} from lambda_k and the log of the sum.
    """

    prior: Callable[[Array], list[Array]] = _conditionals
    weighed: Callable[[Array, Any, int], Array] = lambda V, lam, k: V / lam[k]
    log_sum: Callable[[Array], Array] = _log_sum

    @np.errstate(all="ignore")  # the judge looks at the numbers
    def solve(self, f: Any, Q: Any, lam: Any) -> tuple[list[Array], Array]:
        """V_0, ..., V_{d-1} and P*."""
        prior, V = self.prior(np.asarray(Q)), np.asarray(f, dtype=float)
        energies: list[Array] = []
        laws: list[Array] = []
        for k in reversed(range(V.ndim)):
            logs = np.log(prior[k]) - self.weighed(V, lam, k)
            total = self.log_sum(logs)
            odds = np.exp(logs - total[..., None])
            laws.insert(0, np.where(total[..., None] > -np.inf, odds, 0.0))
            V = -lam[k] * total
            energies.insert(0, V)
        return energies, _product(laws)

    def energies(self, _right: Any, f: Any, Q: Any, lam: Any) -> list[Array]:
        """`multiscale_energies` as this makes it."""
        return self.solve(f, Q, lam)[0]

    def law(self, _right: Any, f: Any, Q: Any, lam: Any) -> Array:
        """`multiscale_law` as this makes it."""
        return self.solve(f, Q, lam)[1]

    def faults(self) -> dict[str, Fault]:
        """Both methods."""
        return {"multiscale_energies": self.energies, "multiscale_law": self.law}


def objective(_right: Any, P: Any, f: Any, Q: Any, lam: Any) -> float:
    """J(P) by conditional divergences."""
    return _mean(P, f) + float(np.dot(lam, _divergences(P, Q)))


def _mean(P: Any, f: Any) -> float:
    """E_P f, f being +inf where it may be."""
    P, f = np.asarray(P), np.asarray(f)
    return float((P[P > 0] * f[P > 0]).sum())


@np.errstate(all="ignore")
def _divergences(P: Any, Q: Any) -> Array:
    """E_P KL(P_k || Q_k), k = 1, ..., d."""
    P, Q = np.asarray(P), np.asarray(Q)
    pairs = zip(_marginals(P)[1:], _conditionals(P), _conditionals(Q), strict=True)
    return np.array(
        [np.nansum(np.where(w > 0, w * np.log(p / q), 0.0)) for w, p, q in pairs]
    )


@np.errstate(all="ignore")
def _marginal_divergences(P: Any, Q: Any) -> Array:
    """KL(P_<=k || Q_<=k), k = 1, ..., d."""
    ps, qs = (_marginals(np.asarray(of))[1:] for of in (P, Q))
    logs = zip(ps, qs, strict=True)
    return np.array([(xlogy(p, p) - xlogy(p, q)).sum() for p, q in logs])


def _index(lam: Any) -> Array:
    return np.asarray(lam) - np.append(np.asarray(lam)[1:], 0.0)


def _weighted(divergences: Callable[[Any, Any], Array], weights: Any) -> Fault:
    """`multiscale_objective` with these divergences and weights of them."""

    def wrong(_right: Any, P: Any, f: Any, Q: Any, lam: Any) -> float:
        return _mean(P, f) + float(weights(lam) @ divergences(P, Q))

    return wrong


def _left_out(_right: Any, P: Any, f: Any, Q: Any, lam: Any) -> float:
    """J without the terms that are infinite."""
    P, f, Q = (np.asarray(of) for of in (P, f, Q))
    inside = np.where((Q > 0) & np.isfinite(f), P, 0.0)
    with np.errstate(all="ignore"):
        pairs = zip(
            _marginals(inside)[1:], _conditionals(P), _conditionals(Q), strict=True
        )
        K = [np.where(w > 0, w * np.log(p / q), 0.0).sum() for w, p, q in pairs]
    return _mean(inside, f) + float(np.dot(lam, K))


def _at(change: Callable[[Array], Any]) -> dict[str, Fault]:
    """All methods at other temperatures."""

    def last(method: str) -> Fault:
        def wrong(right: Any, *arguments: Any) -> Any:
            *head, lam = arguments
            return getattr(right, method)(*head, change(np.asarray(lam, dtype=float)))

        return wrong

    def third(method: str) -> Fault:
        def wrong(
            right: Any, a: Any, b: Any, lam: Any, *rest: Any, **given: Any
        ) -> Any:
            new = change(np.asarray(lam, dtype=float))
            return getattr(right, method)(a, b, new, *rest, **given)

        return wrong

    return {
        **{method: last(method) for method in (*TABLES, *CHAINS, *GAUSSIAN)},
        **{method: third(method) for method in SAMPLERS},
    }


TABLES = ("multiscale_energies", "multiscale_law", "multiscale_objective")
CHAINS = ("chained_local_entropy", "chained_local_entropy_gradient")
GAUSSIAN = ("multiscale_gaussian",)


def _swapped_energies(right: Any, f: Any, Q: Any, lam: Any) -> list[Any]:
    """Right but for V_0, which is that of the levels in the opposite order."""
    other = right.multiscale_energies(np.transpose(f), np.transpose(Q), lam)
    return [other[0], *right.multiscale_energies(f, Q, lam)[1:]]


def _swapped_law(right: Any, f: Any, Q: Any, lam: Any) -> Array:
    return np.transpose(
        right.multiscale_law(np.transpose(f).copy(), np.transpose(Q).copy(), lam)
    )


@np.errstate(all="ignore")
def _tilted_first(_right: Any, f: Any, Q: Any, lam: Any) -> Array:
    """Tilts the joint law of k levels, then drops the last of them."""
    below = _marginals(np.asarray(Q))
    logs = np.log(below[-1]) - np.asarray(f) / lam[-1]
    laws: list[Array] = []
    for k in reversed(range(np.ndim(f))):
        R = np.exp(logs - logs.max())
        laws.insert(0, _conditionals(R / R.sum())[-1])
        if k:
            theta = lam[k] / lam[k - 1]
            joint = theta * logs + (1 - theta) * np.log(below[k + 1])
            joint = np.where(below[k + 1] > 0, joint, -np.inf)
            logs = logsumexp(joint, axis=-1)
    return _product(laws)


def _alone(Q: Array) -> list[Array]:
    """Marginals of single levels in place of conditionals."""
    axes = range(Q.ndim)
    single = [Q.sum(axis=tuple(j for j in axes if j != k)) for k in axes]
    return [np.broadcast_to(of, Q.shape[: k + 1]) for k, of in enumerate(single)]


def _upside_down(V: Array, lam: Any, k: int) -> Array:
    return V / lam[k] if k + 1 == len(lam) else V * lam[k] / lam[k + 1] ** 2


def _without_power(V: Array, lam: Any, k: int) -> Array:
    return V / lam[min(k + 1, len(lam) - 1)]


def _not_added_back(right: Any, f: Any, Q: Any, lam: Any) -> list[Any]:
    return list(right.multiscale_energies(f - np.min(f), Q, lam))


# --- chains and Gaussian laws ---------------------------------------------------------


def _on_chains(change: Callable[[Array, Array], tuple[Any, Any]]) -> dict[str, Fault]:
    """Chains with other variances and temperatures."""

    def fault(method: str) -> Fault:
        def wrong(right: Any, loss: Any, x: Any, taus: Any, lam: Any) -> Any:
            new = change(np.asarray(taus, dtype=float), np.asarray(lam, dtype=float))
            return getattr(right, method)(loss, x, *new)

        return wrong

    return {method: fault(method) for method in CHAINS}


def _unscaled(right: Any, loss: Any, x: Any, taus: Any, lam: Any) -> float:
    return float(right.chained_local_entropy(loss, x, taus, lam)) / float(lam[0])


def _undivided(right: Any, loss: Any, x: Any, taus: Any, lam: Any) -> float:
    ones = np.ones_like(lam)
    return float(lam[0]) * float(right.chained_local_entropy(loss, x, taus, ones))


def _unscaled_gradient(right: Any, loss: Any, x: Any, taus: Any, lam: Any) -> Array:
    slope = right.chained_local_entropy_gradient(loss, x, taus, lam)
    return np.asarray(slope) / float(lam[0])


def _finest(right: Any, loss: Any, x: Any, taus: Any, lam: Any) -> Any:
    return right.chained_local_entropy_gradient(loss, x, taus[-1:], lam[-1:])


def _independent(
    right: Any, loss: Any, mean: Any, covariance: Any, sizes: Any, lam: Any
) -> Any:
    value, centre, spread = right.multiscale_gaussian(
        loss, mean, covariance, sizes, lam
    )
    of = np.repeat(np.arange(len(sizes)), sizes)
    return value, centre, np.where(of[:, None] == of, spread, 0.0)


def _without_widths(
    right: Any, loss: Any, mean: Any, covariance: Any, sizes: Any, lam: Any
) -> Any:
    """V_0 with the log determinants of one level, as at a single temperature."""
    value, centre, spread = right.multiscale_gaussian(
        loss, mean, covariance, sizes, lam
    )
    base = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(spread)[1]
    return value - 0.5 * lam[-1] * base, centre, spread


def _of_one_sign(right: Any, loss: Any, *given: Any) -> Any:
    """The moduli of the curvatures in place of the curvatures."""
    if loss.kind != "quadratic" or np.ndim(loss.H) != 2:
        return right.multiscale_gaussian(loss, *given)
    curvatures, basis = np.linalg.eigh(loss.H)
    H = (basis * np.abs(curvatures)) @ basis.T
    return right.multiscale_gaussian(replace(loss, H=(H + H.T) / 2), *given)


# --- the entries ----------------------------------------------------------------------

MULTISCALE = (
    Mistake(
        "L01",
        "index for temperatures",
        "the differences sigma_k = lambda_k - lambda_{k+1} are used as temperatures",
        _at(_index),
    ),
    Mistake(
        "L02",
        "temperatures taken for an index",
        "the temperatures are added up from the fine level on, as if they were sigma",
        _at(lambda lam: np.cumsum(lam[::-1])[::-1].copy()),
    ),
    Mistake(
        "L03",
        "one temperature for all levels",
        "every level has the temperature of the finest: the ordinary Gibbs law",
        _at(lambda lam: np.full_like(lam, lam[-1])),
    ),
    Mistake(
        "L04",
        "temperatures put in falling order",
        "the temperatures are sorted, the hottest first, as if no sigma were negative",
        _at(lambda lam: np.sort(lam)[::-1].copy()),
    ),
    Mistake(
        "L05",
        "levels in the opposite order",
        "the fine level is integrated out last, with the temperature of the coarse one",
        {
            "multiscale_energies": _swapped_energies,
            "multiscale_law": _swapped_law,
        },
    ),
    Mistake(
        "L06",
        "temperatures in the opposite order",
        "the temperatures are read fine level first",
        _at(lambda lam: lam[::-1].copy()),
    ),
    Mistake(
        "L07",
        "tilted before it is marginalised",
        "the joint law of k levels is tilted towards the reference, then marginalised",
        {"multiscale_law": _tilted_first},
    ),
    Mistake(
        "L08",
        "power of Z upside down",
        "Z_k is the mean of Z_{k+1} to the power lambda_k/lambda_{k+1}",
        Backward(weighed=_upside_down).faults(),
    ),
    Mistake(
        "L09",
        "power of Z forgotten",
        "Z_k is the mean of Z_{k+1} itself",
        Backward(weighed=_without_power).faults(),
    ),
    Mistake(
        "L10",
        "levels of the reference independent",
        "every level has its marginal law under Q, not its law given the levels above",
        Backward(prior=_alone).faults(),
    ),
    Mistake(
        "L11",
        "joint reference for a conditional one",
        "Q_<=k is not divided by Q_<k",
        Backward(prior=lambda Q: _marginals(Q)[1:]).faults(),
    ),
    Mistake(
        "L12",
        "partition functions that underflow",
        "exp(-V/lambda) is formed and added: at low temperatures it is 0, or overflows",
        Backward(log_sum=lambda logs: np.log(np.exp(logs).sum(axis=-1))).faults(),
    ),
    Mistake(
        "L13",
        "sigma on conditional divergences",
        "J weighs the divergence of a level given those above it with sigma_k",
        {"multiscale_objective": _weighted(_divergences, _index)},
    ),
    Mistake(
        "L14",
        "divergences the other way round",
        "J has KL(Q||P) of the marginals in place of KL(P||Q)",
        {
            "multiscale_objective": _weighted(
                lambda P, Q: _marginal_divergences(Q, P), _index
            )
        },
    ),
    Mistake(
        "L15",
        "lambda on marginal divergences",
        "J weighs the divergence of the first k levels with lambda_k",
        {"multiscale_objective": _weighted(_marginal_divergences, np.asarray)},
    ),
    Mistake(
        "L16",
        "one divergence, at the last temperature",
        "J is E f + lambda_d KL(P||Q) of all levels together",
        {
            "multiscale_objective": _weighted(
                lambda P, Q: _marginal_divergences(P, Q)[-1:], lambda lam: lam[-1:]
            )
        },
    ),
    Mistake(
        "L17",
        "least energy not added back",
        "the least energy is subtracted against overflow, and not added again",
        {"multiscale_energies": _not_added_back},
    ),
    Mistake(
        "L18",
        "variances in the opposite order",
        "in a chain of local entropies the variances are read fine level first",
        _on_chains(lambda taus, lam: (taus[::-1].copy(), lam)),
    ),
    Mistake(
        "L19",
        "chain merged into one level",
        "the variances are added, and the last temperature serves for all",
        _on_chains(lambda taus, lam: (taus.sum(keepdims=True), lam[-1:])),
    ),
    Mistake(
        "L20",
        "lambda before the logarithm forgotten",
        "V_0 is -log of the mean, without the factor lambda_1",
        {"chained_local_entropy": _unscaled},
    ),
    Mistake(
        "L21",
        "energies not divided by lambda",
        "the means are those of exp(-V), and lambda_1 stands before the logarithm",
        {"chained_local_entropy": _undivided},
    ),
    Mistake(
        "L22",
        "lambda missing in the gradient of V_0",
        "the gradient is (x - E w_1)/tau_1, without the factor lambda_1",
        {"chained_local_entropy_gradient": _unscaled_gradient},
    ),
    Mistake(
        "L23",
        "tau/lambda for the variance",
        "the levels of a chain have the variances tau_k/lambda_k, their 'times'",
        _on_chains(lambda taus, lam: (taus / lam, lam)),
    ),
    Mistake(
        "L24",
        "gradient of the finest level alone",
        "the gradient of V_0 is that of V_{d-1}, without the levels above",
        {"chained_local_entropy_gradient": _finest},
    ),
    Mistake(
        "L25",
        "levels of the Gaussian independent",
        "the covariance of P* has no blocks between the levels",
        {"multiscale_gaussian": _independent},
    ),
    Mistake(
        "L26",
        "determinants dropped from V_0",
        "V_0 lacks the log determinants of one temperature",
        {"multiscale_gaussian": _without_widths},
    ),
    *METROPOLIS,
    Mistake(
        "L46",
        "curvatures made positive",
        "a quadratic energy has the moduli of its curvatures, as if it were convex",
        {"multiscale_gaussian": _of_one_sign},
    ),
    Mistake(
        "L47",
        "infinite terms left out of J",
        "J has no term of a cell where the reference has no mass or f is infinite",
        {"multiscale_objective": _left_out},
    ),
)
