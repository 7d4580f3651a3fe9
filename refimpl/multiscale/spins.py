"""Closed forms of the multi-scale Gibbs law: chains of spins.

A spin is -1 or +1.  Given the spin x above it, the spin y has the reference law
e^{gamma x y} / (2 cosh gamma), and its energy is linear, g y + c.  With u = g / lambda,

    V(x) = -lambda log(cosh(gamma x - u) / cosh gamma) = g' x + c',
    tanh(g' / lambda) = tanh(gamma) tanh(u),
    c' = c - lambda/2 log(1 + (sinh u / cosh gamma)^2),
    P*(y | x) proportional to e^{(gamma x - u) y}.

So linear energies stay linear, one level after the other: the decimation rule of the
Ising chain.  Spins side by side do not know of one another.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit

from refimpl.arrays import (
    Array,
    as_count,
    as_parameters,
    as_points,
    as_scalar,
    frozen,
)
from refimpl.errors import InvalidParameter
from refimpl.multiscale.temperatures import Temperatures, as_temperatures


@dataclass(frozen=True, eq=False)
class SpinChain:
    """Chains of spins, n side by side, from the centres x to the ends with energy f.

    Attributes
    ----------
    g : ndarray, shape (n,)
        f(y) = g^T y + c at the ends.
    couplings : ndarray, shape (d,)
        gamma_k between level k - 1 and level k, the coarse one first.
    temperatures : Temperatures
    c : float

    Examples
    --------
    >>> chain = SpinChain([0.9], [0.8, 0.5], Temperatures((1.2, 0.4)))
    >>> round(float(chain.energy(0, [-1])), 12)
    -0.719083072266
    """

    g: Array
    couplings: Array
    temperatures: Temperatures
    c: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "g", frozen(as_parameters("g", self.g)))
        couplings = as_parameters("couplings", self.couplings)
        object.__setattr__(self, "couplings", frozen(couplings))
        object.__setattr__(self, "c", as_scalar("c", self.c))
        levels = len(as_temperatures(self.temperatures))
        if couplings.size != levels:
            raise InvalidParameter(
                f"there are {couplings.size} couplings and {levels} temperatures"
            )

    @cached_property
    def fields(self) -> tuple[tuple[Array, float], ...]:
        """g_k (n,) and c_k of V_k(w_k) = g_k^T w_k + c_k, for k = 0, ..., d."""
        found = [(self.g, self.c)]
        levels = self.temperatures.levels
        for gamma, level in zip(self.couplings[::-1], levels[::-1], strict=True):
            g, c = found[-1]
            u = g / level
            rise = float(_log_growth(gamma, u).sum())
            found.append((level * _passed_on(gamma, u), c - 0.5 * level * rise))
        return tuple(found[::-1])

    def energy(self, k: int, w: Any) -> Array:
        """V_k at the spins w (..., n) of level k, shape (...); k = 0 is the centre."""
        g, c = self.fields[self._level(k, 0)]
        return np.asarray(self._spins(w) @ g + c)

    def up(self, k: int, w: Any) -> Array:
        """P*_k(w_k = +1 | w_{k-1}) at the spins w (..., n) above, shape (..., n)."""
        k = self._level(k, 1)
        u = self.fields[k][0] / self.temperatures.levels[k - 1]
        return np.asarray(expit(2 * (self.couplings[k - 1] * self._spins(w) - u)))

    def _level(self, k: int, least: int) -> int:
        if as_count("k", k, least) > self.couplings.size:
            raise InvalidParameter(
                f"k must be at most {self.couplings.size}, the last level, got {k}"
            )
        return k

    def _spins(self, w: Any) -> Array:
        spins = as_points("w", w, self.g.size)
        if not (np.abs(spins) == 1).all():
            raise InvalidParameter(f"spins must be -1 or +1, got {spins!r}")
        return spins


def _passed_on(gamma: float, u: Array) -> Array:
    """artanh(tanh(gamma) tanh(u)), also where that product rounds to 1.

    It is log(cosh(gamma + u) / cosh(gamma - u)) / 2, and with the logarithms of cosh
    written out, for gamma and u positive, their minimum plus what is small.
    """
    small, large = np.minimum(abs(gamma), np.abs(u)), np.maximum(abs(gamma), np.abs(u))
    product = np.tanh(small) * np.tanh(large)
    tail = np.log1p(np.exp(-2 * (large + small))) - np.log1p(
        np.exp(-2 * (large - small))
    )
    with np.errstate(divide="ignore"):
        size = np.where(product < 0.5, np.arctanh(product), small + 0.5 * tail)
    return np.asarray(np.sign(gamma) * np.sign(u) * size)


def _log_growth(gamma: float, u: Array) -> Array:
    """log(1 + (sinh u / cosh gamma)^2), without overflow."""
    size = np.abs(u)
    with np.errstate(divide="ignore"):
        log_sinh = size + np.log(-np.expm1(-2 * size))
    log_cosh = abs(gamma) + np.log1p(np.exp(-2 * abs(gamma)))
    return np.asarray(np.logaddexp(0.0, 2 * (log_sinh - log_cosh)))
