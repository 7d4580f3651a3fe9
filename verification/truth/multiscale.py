"""Multi-scale entropic regularisation on finite spaces, in many digits.

The functional of a law P on levels w_1, ..., w_d is

    J(P) = E_P f + Σ_k σ_k KL(P_{w_≤k} ‖ Q_{w_≤k}),    λ_k = Σ_{j≥k} σ_j > 0,

level 1 the coarsest.  Tables are d-way arrays; the law of level k alone, given those
above it, is Q_≤k / Q_<k.  Three routes, of which a backward recursion in logarithms,
as implementations use it, is none:

- *nested*: the partition functions Z_k = E_{Q_k} Z_{k+1}^{θ_k}, θ_k = λ_{k+1}/λ_k, as
  plain powers, and P* by its density Q e^{−f/λ_d} Π Z_{k+1}^{θ_k−1};
- *tilted*: P* by marginalising and tilting ordinary Gibbs laws, and the energies as
  averages over its conditionals, without any partition function;
- *brute force*: the minimum of J over the simplex.

Where Q gives a prefix no mass nothing is defined there; energies and conditionals are
reported as 0.  Infinite energies are walls: so high a number in their place that the
weight of what is behind it is nothing in any number of digits that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from verification.truth.carriers import MP, Carrier, Number

__all__ = [
    "brute_force",
    "energies_of_conditionals",
    "index_of",
    "level_divergences",
    "logarithmic",
    "marginals",
    "nested",
    "nested_law",
    "objective",
    "objective_by_levels",
    "opened",
    "outside",
    "product_of",
    "tilted",
    "walled",
]

Table = npt.NDArray[Any]  # of numbers of a carrier

STARTS, GRADIENT = 4, 1e-11

WALL = 2.0**20
"""In place of +inf: below a temperature of 4 its weight is less than 1e-100000."""


# --- tables of numbers ----------------------------------------------------------------


def table(ctx: Carrier, values: Any) -> Table:
    """Return an array of the carrier's numbers, exactly those of `values`."""
    return _each(ctx.number, np.asarray(values, dtype=object))


def _each(function: Callable[..., Number], *tables: Any) -> Table:
    """Apply a function to the entries of tables of shapes that fit."""
    return np.asarray(np.frompyfunc(function, len(tables), 1)(*tables), dtype=object)


def _by_row(function: Callable[[list[Number]], Any], values: Table) -> Table:
    """Apply a function to every row along the last axis: (..., n) -> (...)."""
    shape = values.shape[:-1]
    found = np.empty(int(np.prod(shape)), dtype=object)
    for i, row in enumerate(values.reshape(-1, values.shape[-1])):
        found[i] = function(list(row))
    return found.reshape(shape)


def marginals(ctx: Carrier, P: Table) -> list[Table]:
    """Return the total, P_≤1, ..., P_≤d = P: of 0, 1, ..., d axes."""
    found = [P]
    while found[0].ndim:
        found.insert(0, _by_row(ctx.sum, found[0]))
    return found


def _over(a: Any, b: Any) -> Any:
    return a / b if b != 0 else a


def _conditionals(ctx: Carrier, P: Table) -> list[Table]:
    """Return P_k(w_k | w_<k) for k = 1, ..., d; 0 where the prefix has no mass."""
    above = pairwise(marginals(ctx, P))
    return [_each(_over, part, whole[..., None]) for whole, part in above]


def product_of(conditionals: Sequence[Table]) -> Table:
    """Return the joint law of conditionals."""
    P = conditionals[0]
    for part in conditionals[1:]:
        P = P[..., None] * part
    return P


def index_of(ctx: Carrier, temperatures: Sequence[Any]) -> list[Number]:
    """Return σ_k = λ_k − λ_{k+1}, λ_{d+1} = 0."""
    lam = [ctx.number(v) for v in temperatures]
    return [a - b for a, b in pairwise([*lam, ctx.number(0)])]


# --- what is infinite -----------------------------------------------------------------


def walled(energies: Any) -> npt.NDArray[np.float64]:
    """Return the energies with walls for what is infinite."""
    f = np.asarray(energies, dtype=float)
    return np.where(np.isinf(f), WALL, f)


def opened(values: Any) -> Table:
    """Return effective energies of walls: +inf where nothing is below but walls."""
    return _each(lambda v: np.inf if v > WALL / 2 else v, values)


def outside(law: Any, energies: Any, reference: Any) -> bool:
    """Return whether J is infinite: P has mass where Q has none, or where f is +inf.

    It is seen from the sets alone, without a number.
    """
    P, f, Q = (np.asarray(of, dtype=float) for of in (law, energies, reference))
    return bool(((P > 0) & ((Q == 0) | np.isinf(f))).any())


# --- nested ---------------------------------------------------------------------------


def nested(
    ctx: MP, energies: Any, reference: Any, temperatures: Sequence[Any]
) -> list[Table]:
    """Return Z_1, Z_2(w_1), ..., Z_d(w_<d), the nested partition functions.

    1 where Q gives the prefix no mass.  V_{k−1} = −λ_k log Z_k.
    """
    lam = [ctx.number(v) for v in temperatures]
    conditional = _conditionals(ctx, table(ctx, reference))
    inside = _each(ctx.exp, -table(ctx, energies) / lam[-1])
    found: list[Table] = []
    for k in range(len(lam) - 1, -1, -1):
        Z = _by_row(ctx.sum, conditional[k] * inside)
        Z = _each(lambda z: z if z != 0 else ctx.number(1), Z)
        found.insert(0, Z)
        if k:
            power = lam[k] / lam[k - 1]
            inside = _each(lambda z, theta=power: z**theta, Z)
    return found


def nested_law(
    ctx: MP, energies: Any, reference: Any, temperatures: Sequence[Any]
) -> Table:
    """Return P* by its density with respect to Q."""
    lam = [ctx.number(v) for v in temperatures]
    Z = nested(ctx, energies, reference, temperatures)
    P = table(ctx, reference) * _each(ctx.exp, -table(ctx, energies) / lam[-1])
    d = len(lam)
    for k in range(1, d):
        power = lam[k] / lam[k - 1] - 1
        factor = _each(lambda z, theta=power: z**theta, Z[k])
        P = P * factor.reshape(factor.shape + (1,) * (d - k))
    return P / ctx.sum(list(P.ravel()))


# --- tilted ---------------------------------------------------------------------------


def tilted(
    ctx: MP, energies: Any, reference: Any, temperatures: Sequence[Any]
) -> list[Table]:
    """Return the conditionals P*_1, ..., P*_d by marginalising, then tilting.

    R ∝ Q e^{−f/λ_d}; for k = d, ..., 2 the conditional of level k is R's, and R
    becomes its marginal R' of the levels above, tilted: R'^θ Q_<k^{1−θ}.
    """
    lam = [ctx.number(v) for v in temperatures]
    Q = marginals(ctx, table(ctx, reference))
    R = Q[-1] * _each(ctx.exp, -table(ctx, energies) / lam[-1])
    found: list[Table] = []
    for k in range(len(lam) - 1, -1, -1):
        R = R / ctx.sum(list(R.ravel()))
        above = marginals(ctx, R)[k]
        found.insert(0, _each(_over, R, above[..., None]))
        if k:
            theta = lam[k] / lam[k - 1]
            R = _each(
                lambda r, q, t=theta: r**t * q ** (1 - t) if q != 0 else r, above, Q[k]
            )
    return found


def energies_of_conditionals(
    ctx: Carrier,
    conditionals: Sequence[Table],
    energies: Any,
    reference: Any,
    temperatures: Sequence[Any],
) -> list[Table]:
    """Return U_0, ..., U_{d−1}: what the levels beyond k still cost on the average.

    U_k(w_≤k) = E[f + Σ_{j>k} λ_j log P_j/Q_j | w_≤k] under the conditionals P_j.  For
    those of P* it is V_k, and U_0 is J of their product always.
    """
    lam = [ctx.number(v) for v in temperatures]
    prior = _conditionals(ctx, table(ctx, reference))
    U = table(ctx, energies)
    found: list[Table] = []
    for k in range(len(lam) - 1, -1, -1):
        P, weight = conditionals[k], lam[k]

        def term(p: Any, q: Any, u: Any, weight: Any = weight) -> Any:
            return p * (u + weight * ctx.log(p / q)) if p != 0 else p

        U = _by_row(ctx.sum, _each(term, P, prior[k], U))
        found.insert(0, U)
    return found


# --- the functional -------------------------------------------------------------------


def _divergence(ctx: Carrier, P: Table, Q: Table) -> Number:
    pairs = zip(P.ravel(), Q.ravel(), strict=True)
    return ctx.sum([p * ctx.log(p / q) for p, q in pairs if p != 0])


def _mean(ctx: Carrier, P: Table, f: Table) -> Number:
    return ctx.dot(list(P.ravel()), list(f.ravel()))


def objective(
    ctx: Carrier, law: Any, energies: Any, reference: Any, temperatures: Sequence[Any]
) -> Number:
    """Return J(P) by its definition: marginal divergences weighted with σ."""
    P, Q = (marginals(ctx, table(ctx, of)) for of in (law, reference))
    Q = [of / Q[0].item() for of in Q]  # what rounding left of its sum
    terms = [
        sigma * _divergence(ctx, p, q)
        for sigma, p, q in zip(index_of(ctx, temperatures), P[1:], Q[1:], strict=True)
    ]
    return ctx.sum([_mean(ctx, P[-1], table(ctx, energies)), *terms])


def level_divergences(ctx: Carrier, law: Any, other: Any) -> list[Number]:
    """Return K_k = E_P KL(P_k(·|w_<k) ‖ R_k(·|w_<k)), k = 1, ..., d."""
    P, R = (table(ctx, of) for of in (law, other))
    ratios = zip(_conditionals(ctx, P), _conditionals(ctx, R), strict=True)
    weights = marginals(ctx, P)[1:]
    return [
        ctx.sum(
            [
                w * ctx.log(p / r)
                for w, p, r in zip(
                    weight.ravel(), part.ravel(), base.ravel(), strict=True
                )
                if w != 0
            ]
        )
        for weight, (part, base) in zip(weights, ratios, strict=True)
    ]


def objective_by_levels(
    ctx: Carrier, law: Any, energies: Any, reference: Any, temperatures: Sequence[Any]
) -> Number:
    """Return J(P) by the chain rule: conditional divergences weighted with λ."""
    K = level_divergences(ctx, law, reference)
    lam = [ctx.number(v) for v in temperatures]
    mean = _mean(ctx, table(ctx, law), table(ctx, energies))
    return ctx.sum([mean, *(a * b for a, b in zip(lam, K, strict=True))])


# --- as an implementation may compute it: for bounds of rounding ----------------------


def logarithmic(
    ctx: Carrier, energies: Any, reference: Any, temperatures: Sequence[Any]
) -> tuple[list[Table], Table]:
    """Return V_0, ..., V_{d−1} and P* by the recursion in logarithms.

    It serves for running error bounds, not for values.
    """
    lam = [ctx.number(v) for v in temperatures]
    prior = _conditionals(ctx, table(ctx, reference))
    V = table(ctx, energies)
    found: list[Table] = []
    conditionals: list[Table] = []
    for k in range(len(lam) - 1, -1, -1):
        odds, shorter = np.empty(V.shape, object), np.empty(V.shape[:-1], object)
        for w in np.ndindex(*shorter.shape):
            reduced = _reduced(ctx, list(prior[k][w]), list(V[w]), lam[k])
            shorter[w], odds[w] = reduced
        V = shorter
        found.insert(0, V)
        conditionals.insert(0, odds)
    return found, product_of(conditionals)


def _reduced(
    ctx: Carrier, prior: list[Number], V: list[Number], scale: Number
) -> tuple[Number, list[Number]]:
    """Return V_{k-1} and the conditional of level k for one prefix."""
    zero = ctx.number(0)
    logs = [
        ctx.log(q) - v / scale if q != 0 else None
        for q, v in zip(prior, V, strict=True)
    ]
    seen = [a for a in logs if a is not None]
    if not seen:
        return zero, [zero] * len(V)
    top = ctx.maximum(seen)
    log_sum = top + ctx.log(ctx.sum([ctx.exp(a - top) for a in seen]))
    odds = [zero if a is None else ctx.exp(a - log_sum) for a in logs]
    return -(scale * log_sum), odds


# --- brute force ----------------------------------------------------------------------


def brute_force(
    energies: Any, reference: Any, temperatures: Sequence[float], seed: int = 0
) -> tuple[float, npt.NDArray[np.float64]]:
    """Minimise J over the simplex in double precision: its least value, and where.

    Over logits by L-BFGS, from several starts; J is convex in P, so that they meet.
    The reference must be positive.
    """
    f, Q = (np.asarray(of, dtype=float) for of in (energies, reference))
    lam = np.asarray(temperatures, dtype=float)
    rng = np.random.default_rng(seed)

    def value_and_slope(logits: Any) -> tuple[float, Any]:
        P = np.exp(logits - logits.max()).reshape(f.shape)
        P /= P.sum()
        inner, total = f.copy(), float((P * f).sum())
        weights = lam - np.append(lam[1:], 0.0)
        for k, sigma in enumerate(weights, start=1):
            below = tuple(range(k, f.ndim))
            p, q = P.sum(axis=below), Q.sum(axis=below)
            logs = np.log(p / q)
            total += float(sigma * (p * logs).sum())
            inner += sigma * logs.reshape(logs.shape + (1,) * (f.ndim - k))
        return total, (P * (inner - (P * inner).sum())).ravel()

    runs = [
        minimize(
            value_and_slope,
            rng.normal(size=f.size),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 20_000, "ftol": 0.0, "gtol": GRADIENT},
        )
        for _ in range(STARTS)
    ]
    best = min(runs, key=lambda run: float(run.fun))
    P = np.exp(best.x - best.x.max()).reshape(f.shape)
    return float(best.fun), P / P.sum()
