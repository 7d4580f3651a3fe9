"""Exact independent samples of the multi-scale Gibbs law, by coins made of coins.

Let f >= 0.  A coin of a prefix w_<=k shows heads with probability exp(-V_k / lambda_k),
V_k(w_<=k) being the effective energy.  At the leaf V_d = f: a uniform decides.  Above,
exp(-V_k / lambda_k) = Z^theta with theta = lambda_{k+1} / lambda_k and Z the mean, over
x ~ q_{k+1}(. | w_<=k), of what the coin of (w_<=k, x) shows::

    coin(w_<=k):
      for i = 1, 2, ...:
        draw x ~ q_{k+1}(. | w_<=k);  if coin(w_<=k, x) shows heads, show heads;
        with probability theta / i give up and show tails.

For theta <= 1 it shows heads with probability Z sum_n (1-theta)_n / n! (1-Z)^n, which
is Z^theta, and then x has the law of q_{k+1} exp(-V_{k+1} / lambda_{k+1}).  For
theta > 1 it must first show heads ceil(theta) - 1 times in one try each, and what is
left of theta is again at most 1.  The empty prefix never gives up (theta_0 = 0): its
x's are a sample.

The cost is known.  Let F(s) and S(s) be the parts of E exp(s leaves) of one try, where
it fails and where it succeeds: means over x of the same of the coin below.  Then, by
the binomial series,

    heads: S (1 - F)^(theta - 1),    tails: 1 - (1 - F)^theta,    0 <= theta <= 1,

and at the top S / (1 - F) is E exp(s leaves) of one sample.

It is a reference for small problems: 1/Z tries are needed, and Z is astronomically
small where an energy is large compared with its temperature.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_count,
    as_generator,
    as_reals,
    as_scalar,
)
from refimpl.errors import InvalidParameter, Unresolved
from refimpl.multiscale import finite
from refimpl.multiscale.metropolis import as_energy, as_nested
from refimpl.multiscale.references import (
    Reference,
    log_conditionals,
    require_levels,
)
from refimpl.multiscale.temperatures import Temperatures, as_temperatures

LARGEST_EXPONENT = 2.0**53

LEAST_NORMAL = np.log(np.finfo(float).tiny)

MOST_SUMMED = 1000
"""Terms of a geometric series that are added one by one."""


@dataclass(frozen=True)
class Drawn:
    """One sample.

    Attributes
    ----------
    w : tuple
        The levels, coarse first.
    leaves : int
        How many values of f it took.
    """

    w: tuple[Any, ...]
    leaves: int


@dataclass(frozen=True)
class Coins:
    """The exact sampler.

    Parameters
    ----------
    temperatures : Temperatures
    reference : Reference
        A proper one, with `draw`.
    lower_bound : float
        Below all values of f, and best their infimum.  One that is lower by a gap costs
        a factor exp(gap / lambda_d) in values of f where temperatures fall from level
        to level; in general compare `mean_leaves`.
    most : int
        Values of f for one sample before it is given up with an exception.

    Raises
    ------
    InvalidParameter
        For anything else than the above.

    References
    ----------
    Checked by the family MS.

    Examples
    --------
    >>> from refimpl.multiscale.references import Table
    >>> f = np.array([[0.0, 1.0], [2.0, 0.0]])
    >>> draw = Coins(Temperatures((2.0, 1.0)), Table(np.full((2, 2), 0.25)))
    >>> one = draw(lambda i, j: f[i, j], rng=np.random.default_rng(0))
    >>> len(one.w), one.leaves >= 1
    (2, True)
    """

    temperatures: Temperatures
    reference: Reference
    lower_bound: float = 0.0
    most: int = 10**7

    def __post_init__(self) -> None:
        _exponents(self.temperatures)
        if not hasattr(self.reference, "draw") or isinstance(self.reference, type):
            raise InvalidParameter(
                "reference must be a law with draw(k, above, rng), got "
                f"{type(self.reference).__name__}"
            )
        require_levels(self.reference, len(self.temperatures))
        bound = as_scalar("lower_bound", self.lower_bound)
        object.__setattr__(self, "lower_bound", bound)
        as_count("most", self.most)

    def __call__(self, f: Any, *, rng: np.random.Generator) -> Drawn:
        """One exact sample, independent of all others.

        Parameters
        ----------
        f : callable or Nested
            The energy, as `refimpl.multiscale.metropolis` takes it.
        rng : numpy.random.Generator

        Raises
        ------
        InvalidParameter
            If a value of f is below the lower bound, or NaN.
        Unresolved
            If it takes more than `most` values of f.
        """
        place = as_nested(f)
        toss = _Toss(self, as_generator("rng", rng))
        w = toss.until_heads((), place)
        return Drawn(w, toss.leaves)


@dataclass
class _Toss:
    """The coins of one sample, and how many leaves they have cost."""

    coins: Coins
    rng: np.random.Generator
    leaves: int = 0

    def until_heads(self, prefix: tuple[Any, ...], place: Any) -> tuple[Any, ...]:
        while (found := self._try(prefix, place)) is None:
            pass
        return found

    def _try(self, prefix: tuple[Any, ...], place: Any) -> tuple[Any, ...] | None:
        """One draw below prefix: all levels from there on if its coin shows heads."""
        k = len(prefix) + 1
        x = self.coins.reference.draw(k, prefix, self.rng)
        if k == len(self.coins.temperatures):
            return (x,) if self._leaf(place, x) else None
        below = self._coin((*prefix, x), place.given(x))
        return None if below is None else (x, *below)

    def _coin(self, prefix: tuple[Any, ...], place: Any) -> tuple[Any, ...] | None:
        """What is below prefix if its coin shows heads."""
        extra, theta = split(self.coins.temperatures.exponents[len(prefix) - 1])
        for _ in range(extra):
            if self._try(prefix, place) is None:
                return None
        tries = 1
        while (found := self._try(prefix, place)) is None:
            if self.rng.random() < theta / tries:
                return None
            tries += 1
        return found

    def _leaf(self, place: Any, x: Any) -> bool:
        self.leaves += 1
        if self.leaves > self.coins.most:
            raise Unresolved(
                f"a sample took more than {self.coins.most} values of f: the energies "
                "are too large for these temperatures"
            )
        height = as_energy(place(x)) - self.coins.lower_bound
        if not height >= 0:
            raise InvalidParameter(
                f"f must not be below lower_bound = {self.coins.lower_bound}, got "
                f"{height + self.coins.lower_bound}"
            )
        coldest = self.coins.temperatures.levels[-1]
        return bool(self.rng.random() < np.exp(-height / coldest))


def split(theta: float) -> tuple[int, float]:
    """How many heads must come first, and what is left of theta, in (0, 1].

    Examples
    --------
    >>> split(0.5), split(1.0), split(2.5)
    ((0, 0.5), (0, 1.0), (2, 0.5))
    """
    extra = int(np.ceil(theta)) - 1
    return extra, theta - extra


@np.errstate(divide="ignore", over="ignore")
def mean_leaves(energies: Any, reference: Any, temperatures: Temperatures) -> float:
    """The mean number of values of f of one sample on a table; +inf if it overflows.

    By Wald's identity: the mean number of tries, Z^(theta - 1) for theta <= 1 and 1/Z
    at the top, times the mean price of a try.

    Parameters
    ----------
    energies : array_like, d axes
        f - lower_bound, not negative.
    reference : array_like, shape of energies
    temperatures : Temperatures

    Raises
    ------
    InvalidParameter
        For anything else than the above.

    Examples
    --------
    >>> round(mean_leaves([[0, 1], [2, 0]], [[0.25] * 2] * 2, Temperatures((2, 1))), 3)
    1.605
    """
    V, q, exponents = _levels(energies, reference, temperatures)
    price = np.ones_like(V[-1])
    for k in range(len(q), 0, -1):
        log_Z = -V[k - 1] / temperatures.levels[k - 1]
        top = k == 1
        tries = 1 / np.exp(log_Z) if top else _mean_tries(log_Z, exponents[k - 2])
        price = tries * (np.exp(q[k - 1]) * price).sum(axis=-1)
    return float(price)


@np.errstate(invalid="ignore")  # 0 times infinity, of which nothing is taken
def _mean_tries(log_Z: Array, theta: float) -> Array:
    """Of a coin that shows heads with probability Z^theta."""
    if theta == 1:  # also where Z = 0
        return np.ones_like(log_Z)
    Z, (extra, rest) = np.exp(log_Z), split(theta)
    first = _first_tries(Z, extra)
    last = np.where(
        log_Z < LEAST_NORMAL,  # Z has lost its digits
        np.exp((theta - 1) * log_Z),
        Z**extra * Z ** (rest - 1),
    )
    return np.asarray(first + last)


def _first_tries(S: Array, extra: int) -> Array:
    """1 + S + ... + S^(extra - 1)."""
    if extra <= MOST_SUMMED:
        return sum((S**i for i in range(extra)), start=np.zeros_like(S))
    return np.where(S == 1, extra, np.expm1(extra * np.log(S)) / (S - 1))


@np.errstate(divide="ignore", over="ignore", invalid="ignore")  # judged on the way
def log_mean_exp_leaves(
    s: float, energies: Any, reference: Any, temperatures: Temperatures
) -> float:
    """log E exp(s leaves) of one sample on a table; +inf from some s > 0 on.

    Parameters are those of `mean_leaves`.  Chernoff's bound makes of it how likely n
    samples take more, or fewer, than any given number of values.

    Raises
    ------
    InvalidParameter
        For anything else than that.
    Unresolved
        If it is finite, and floats cannot tell it: exp(s) overflows or underflows, or
        a try that succeeds is so rare that the part of the others rounds to 1.
    """
    s = as_scalar("s", s)
    V, q, exponents = _levels(energies, reference, temperatures)
    charge = V[-1] / temperatures.levels[-1]
    heads = np.exp(s - charge)
    tails = np.where(charge > 0, np.exp(s) * -np.expm1(-charge), 0.0)
    for k in range(len(q), 0, -1):
        S = (np.exp(q[k - 1]) * heads).sum(axis=-1)
        F = (np.exp(q[k - 1]) * tails).sum(axis=-1)
        if s > 0 and (F >= 1).any():
            return float(np.inf)
        if not ((F < 1) & np.isfinite(S)).all() or not S.any():
            raise Unresolved(
                f"floats cannot tell log E exp(s leaves) at s = {s}: exp(s) is too far "
                "from 1, or a try that succeeds too rare"
            )
        if k == 1:
            return float(np.log(S) - np.log1p(-F))
        extra, theta = split(exponents[k - 2])
        first = _first_tries(S, extra)
        heads = S ** (extra + 1) * (1 - F) ** (theta - 1)
        tails = first * F + S**extra * -np.expm1(theta * np.log1p(-F))
    raise AssertionError("a table has at least one level")


def _levels(
    energies: Any, reference: Any, temperatures: Temperatures
) -> tuple[list[Array], list[Array], tuple[float, ...]]:
    """V_0, ..., V_d and log q_1, ..., log q_d; theta_1, ..., theta_{d-1}."""
    exponents = _exponents(temperatures)
    energies = as_reals("energies", energies)
    if not (energies >= 0).all():
        raise InvalidParameter(
            f"energies must not be negative: subtract their least, {energies.min()}"
        )
    V = finite.effective_energies(energies, reference, temperatures)
    return V, log_conditionals(reference), exponents


def _exponents(temperatures: Any) -> tuple[float, ...]:
    """theta_1, ..., theta_{d-1}, whose fractions of 1 are told apart."""
    exponents = as_temperatures(temperatures).exponents
    if any(theta >= LARGEST_EXPONENT for theta in exponents):
        raise InvalidParameter(
            "temperatures must not rise by a factor of 2^53 from level to level, got "
            f"{temperatures.levels}"
        )
    return exponents
