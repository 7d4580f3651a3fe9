"""The multi-scale Gibbs law on finite spaces, exactly.

Level k takes finitely many values; the energy f and the reference Q are arrays with
one axis per level, level 1 first.  The law P* minimises::

    J(P) = E_P f + sum_k lambda_k K_k(P || Q)

and follows from a recursion that runs from the fine level to the coarse one::

    V_d = f,    V_{k-1} = -lambda_k log sum_{w_k} Q_k(w_k | w_{<k}) e^{-V_k / lambda_k},
    P*_k(w_k | w_{<k}) = Q_k(w_k | w_{<k}) e^{-(V_k - V_{k-1}) / lambda_k}.

V_0 is the least value of J, and J(P) - V_0 = sum_k lambda_k K_k(P || P*) for every P.

All is done on logarithms of conditional laws, after the least energy is subtracted: no
temperature underflows, and a hot level keeps the digits of V_{k-1} - min V_k.  What
rounding f relatively by u does to the result, u |f| / lambda in log P*, remains.

Where the reference has no mass, and where every energy below a prefix is infinite, V is
infinite and P* is zero.  Conditionals are zero there too: they are not defined.
"""

from typing import Any

import numpy as np
from scipy.special import logsumexp

from refimpl.arrays import Array, as_array, as_reals, require_finite
from refimpl.errors import InvalidParameter
from refimpl.multiscale.temperatures import Temperatures, as_temperatures

NORMALISED = 1e-12
"""How far the sum of a law may be from 1; what is less is divided out."""


def effective_energies(
    f: Any, reference: Any, temperatures: Temperatures
) -> list[Array]:
    """The effective energies V_0, ..., V_d, the last of them f itself.

    Parameters
    ----------
    f : array_like, one axis per level
        The energy.  It may be +inf, but not wherever the reference has mass.
    reference : array_like, shape of f
        Q, with sum 1 (to 1e-12; then renormalised).  Cells may be zero.
    temperatures : Temperatures
        One per axis.

    Returns
    -------
    list of ndarray
        V_k has the shape of the first k axes; V_0 is a number, of shape ().

    Raises
    ------
    InvalidParameter
        If the shapes disagree, f holds NaN or -inf, the reference is negative or does
        not sum to 1, or f is infinite wherever the reference has mass.

    Examples
    --------
    >>> V = effective_energies([[0, 1], [2, 0]], [[0.25] * 2] * 2, Temperatures((2, 1)))
    >>> round(float(V[0]), 15)
    0.470883100716162
    """
    return _backward(f, reference, temperatures)[0]


def free_energy(f: Any, reference: Any, temperatures: Temperatures) -> float:
    """V_0, the least value of J: the nested free energy.

    Arguments and errors as in `effective_energies`.
    """
    return float(_backward(f, reference, temperatures)[0][0])


def log_conditionals(f: Any, reference: Any, temperatures: Temperatures) -> list[Array]:
    """log P*_k(w_k | w_{<k}) for k = 1, ..., d, the k-th with k axes.

    Arguments and errors as in `effective_energies`.
    """
    return _backward(f, reference, temperatures)[1]


def conditionals(f: Any, reference: Any, temperatures: Temperatures) -> list[Array]:
    """P*_k(w_k | w_{<k}) for k = 1, ..., d, the k-th with k axes.

    Each sums to 1 over its last axis, or to 0 where the prefix has no mass.
    Arguments and errors as in `effective_energies`.
    """
    return [np.exp(log) for log in log_conditionals(f, reference, temperatures)]


def log_gibbs(f: Any, reference: Any, temperatures: Temperatures) -> Array:
    """log P* of the joint law, shape of f; -inf where it has no mass.

    Arguments and errors as in `effective_energies`.
    """
    return _joint(log_conditionals(f, reference, temperatures))


def gibbs(f: Any, reference: Any, temperatures: Temperatures) -> Array:
    """The multi-scale Gibbs law P* = P*_1 P*_2 ... P*_d, shape of f.

    Arguments and errors as in `effective_energies`.
    """
    return np.asarray(np.exp(log_gibbs(f, reference, temperatures)))


def by_tilting(f: Any, reference: Any, temperatures: Temperatures) -> Array:
    """P* by another route: marginalise, then tilt towards the reference, shape of f.

    R^(d) is the ordinary Gibbs law at lambda_d; with theta_k = lambda_{k+1} / lambda_k,
    R^(k) is proportional to (R^(k+1)_{<=k})^theta_k (Q_{<=k})^(1 - theta_k), and
    P* = R^(1)(w_1) R^(2)(w_2 | w_1) ... R^(d)(w_d | w_{<d}).

    Arguments and errors as in `effective_energies`; NonFinite if a theta_k overflows.
    """
    energy, Q, temperatures = _checked(f, reference, temperatures)
    last = temperatures.levels[-1]
    charged = np.where(Q > 0, energy, np.inf)
    log_R = _normalised(_log(Q) - charge(charged, charged.min(), last))
    kernels = [_log_last_conditional(log_R)]
    thetas = require_finite(temperatures.exponents, "a ratio of temperatures")
    for theta in reversed(thetas):
        log_Q = _log(_sum_after(Q, log_R.ndim - 1))
        with np.errstate(over="ignore"):  # no mass, then
            tilted = theta * logsumexp(log_R, axis=-1)
        # where Q has no mass, neither has R: not a question of the exponent's sign
        towards = (1 - theta) * np.where(log_Q > -np.inf, log_Q, 0)
        log_R = _normalised(tilted + towards)
        kernels.append(_log_last_conditional(log_R))
    return np.asarray(np.exp(_joint(kernels[::-1])))


def prefix_divergences(P: Any, R: Any) -> Array:
    """KL(P_{<=k} || R_{<=k}) of the laws of the first k levels, shape (d,).

    Parameters
    ----------
    P, R : array_like, one axis per level
        Laws on the same table.  Where P has mass and R has none the answer is +inf.
    """
    P, R = as_law("P", P), as_law("R", R)
    _require_shape("R", R, P.shape)
    found = [
        _divergence(_sum_after(P, k), _log(_sum_after(P, k)), _log(_sum_after(R, k)))
        for k in range(1, P.ndim + 1)
    ]
    return np.array(found)


def level_divergences(P: Any, R: Any) -> Array:
    """K_k(P || R) = E_P KL(P_k(. | w_{<k}) || R_k(. | w_{<k})), shape (d,).

    Parameters
    ----------
    P, R : array_like, one axis per level
        Laws on the same table.  Where P has mass and R has none the answer is +inf.
    """
    P, R = as_law("P", P), as_law("R", R)
    _require_shape("R", R, P.shape)
    pairs = zip(_log_kernels(P), _log_kernels(R), strict=True)
    return np.array(
        [_divergence(_sum_after(P, k + 1), p, r) for k, (p, r) in enumerate(pairs)]
    )


def multiscale_entropy(P: Any, reference: Any, temperatures: Temperatures) -> float:
    """The multi-scale relative entropy, sum_k sigma_k KL(P_{<=k} || Q_{<=k}).

    It is sum_k lambda_k K_k(P || Q) as well, here by its index: +inf where P has mass
    and the reference none, whatever the signs of sigma.

    Parameters
    ----------
    P, reference : array_like, one axis per level
    temperatures : Temperatures
    """
    temperatures = as_temperatures(temperatures)
    divergences = prefix_divergences(P, reference)
    _require_levels(divergences.size, temperatures)
    if np.isinf(divergences).any():
        return float(np.inf)
    return float(np.array(temperatures.index) @ divergences)


def objective(P: Any, f: Any, reference: Any, temperatures: Temperatures) -> float:
    """J(P) = E_P f + sum_k lambda_k K_k(P || Q), never below `free_energy`.

    Parameters
    ----------
    P : array_like, shape of f
        A law on the table.
    f, reference, temperatures
        As in `effective_energies`.
    """
    energy, Q, temperatures = _checked(f, reference, temperatures)
    P = as_law("P", P)
    _require_shape("P", P, Q.shape)
    charged = P > 0
    mean = (P[charged] * energy[charged]).sum()
    return float(mean + np.array(temperatures.levels) @ level_divergences(P, Q))


# --- the recursion


def _backward(
    f: Any, reference: Any, temperatures: Temperatures
) -> tuple[list[Array], list[Array]]:
    """V_0, ..., V_d and log P*_1, ..., log P*_d."""
    energy, Q, temperatures = _checked(f, reference, temperatures)
    V, kernels = [energy], []
    for log_q, level in zip(
        reversed(_log_kernels(Q)), reversed(temperatures.levels), strict=True
    ):
        mean, log_p = _average_out(V[-1], log_q, level)
        V.append(mean)
        kernels.append(log_p)
    return V[::-1], kernels[::-1]


def _average_out(V: Array, log_q: Array, temperature: float) -> tuple[Array, Array]:
    """-lambda log sum_w q(w) e^{-V(w) / lambda} over the last axis, and log P*."""
    charged = np.where(log_q > -np.inf, V, np.inf)
    lowest = charged.min(axis=-1)
    alive = np.isfinite(lowest)
    lowest = np.where(alive, lowest, 0.0)
    rise = charge(charged, lowest[..., None], temperature)
    log_z = np.where(alive, _log_mean_exp(log_q, rise), -np.inf)
    mean = lowest - temperature * log_z
    with np.errstate(invalid="ignore"):  # of prefixes that have no mass
        log_p = np.where(alive[..., None], log_q - rise - log_z[..., None], -np.inf)
    return mean, log_p


def _log_mean_exp(log_q: Array, rise: Array) -> Array:
    """log sum q e^{-rise} over the last axis, rise >= 0 and q of sum 1.

    Where the sum is near 1 its distance from 1 is summed: a hot level would lose it.
    """
    deficit = (np.exp(log_q) * np.expm1(-rise)).sum(axis=-1)
    near = np.log1p(np.maximum(deficit, -0.5))
    return np.where(deficit > -0.5, near, logsumexp(log_q - rise, axis=-1))


def charge(f: Any, other: Any, temperature: float) -> Array:
    """(f - other) / temperature, infinite where it overflows: a weight is zero then.

    From half of each, whose difference does not overflow; other is finite.
    """
    with np.errstate(over="ignore"):
        return np.asarray(2 * ((0.5 * f - 0.5 * other) / temperature))


# --- laws on tables


def _log(p: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(p)


def _sum_after(p: Array, k: int) -> Array:
    """The marginal of the first k axes."""
    return np.asarray(p.sum(axis=tuple(range(k, p.ndim))))


def _log_kernels(p: Array) -> list[Array]:
    """log p_k(w_k | w_{<k}) for k = 1, ..., d; -inf where the prefix has no mass."""
    logs = [_log(_sum_after(p, k)) for k in range(p.ndim + 1)]
    return [_quotient(logs[k], logs[k - 1]) for k in range(1, p.ndim + 1)]


def _quotient(log_joint: Array, log_prefix: Array) -> Array:
    prefix = np.where(log_prefix > -np.inf, log_prefix, 0.0)
    return np.asarray(log_joint - prefix[..., None])


def _log_last_conditional(log_p: Array) -> Array:
    return _quotient(log_p, logsumexp(log_p, axis=-1))


def _normalised(log_p: Array) -> Array:
    return np.asarray(log_p - logsumexp(log_p))


def _joint(log_kernels: list[Array]) -> Array:
    """The sum of the k-th (k axes) over all levels, with d axes."""
    total: Array = np.zeros(())
    for log in log_kernels:
        total = total[..., None] + log
    return total


def _divergence(mass: Array, log_p: Array, log_r: Array) -> float:
    """sum mass (log p - log r), where there is mass."""
    charged = mass > 0
    return float((mass[charged] * (log_p[charged] - log_r[charged])).sum())


# --- input


def _checked(
    f: Any, reference: Any, temperatures: Any
) -> tuple[Array, Array, Temperatures]:
    temperatures = as_temperatures(temperatures)
    Q = as_law("reference", reference)
    _require_levels(Q.ndim, temperatures)
    energy = _energy(f)
    _require_shape("f", energy, Q.shape)
    if np.isinf(energy[Q > 0]).all():
        raise InvalidParameter("f is infinite wherever the reference has mass")
    return energy, Q, temperatures


def _energy(f: Any) -> Array:
    energy = as_reals("f", f)
    if np.isnan(energy).any() or (energy == -np.inf).any():
        raise InvalidParameter(f"f must not hold NaN or -inf, got {energy!r}")
    return energy


def as_law(name: str, value: Any) -> Array:
    """A table of probabilities, none negative and of sum 1 (to 1e-12; then exactly).

    Raises
    ------
    InvalidParameter
        If it is none.
    """
    law = as_array(name, value)
    with np.errstate(over="ignore"):  # judged below
        total = law.sum()
    if (law < 0).any() or not abs(total - 1) <= NORMALISED:
        raise InvalidParameter(
            f"{name} must hold probabilities, none negative and of sum 1, got "
            f"{law!r} with sum {total}"
        )
    return np.asarray(law / total)


def _require_levels(axes: int, temperatures: Temperatures) -> None:
    if axes != len(temperatures):
        raise InvalidParameter(
            f"there are {len(temperatures)} temperatures for tables of {axes} axes"
        )


def _require_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InvalidParameter(
            f"{name} has shape {array.shape} and the other table has shape {shape}"
        )
