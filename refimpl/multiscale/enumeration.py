"""What the published two-level algorithm returns on a finite table, exactly.

An outer step at (w_1, s) sees its inner chain through two things only: how often each
state of level 2 was visited in the T' steps, c, and the last one, j.  Their joint law
D(c, j | s) at the old w_1 is found by adding one inner step at a time::

    D_i(c, j | s) = sum_l D_{i-1}(c - e_j, l | s) P(l, j),

P being the Metropolis kernel of the inner chain.  The proposal v is then accepted with

    min{1, q_1(v) p(v -> w_1) / (q_1(w_1) p(w_1 -> v)) A(c)^theta},
    A(c) = sum_j c_j / T' q_2(j|v) / q_2(j|w_1) exp(-(f(v, j) - f(w_1, j)) / lambda_2),

which gives the transition matrix of the pairs after the outer decision.  Its stationary
law pi comes from elimination without a subtraction (Grassmann, Taksar and Heyman), and
the law of what is recorded, before the decision, is pi moved by the inner chain alone.
All sums are of positive terms, so that small probabilities keep their digits as long as
they are representable, that is above 1e-308.

The visits c are compositions of T': on three states there are T'^2/2 of them, and D
takes T'^3/6 cells in all.

Three ways to run the inner chain are told apart::

    warm         from the w_2 that is there: the published algorithm;
    equilibrium  from a fresh draw of P*_2(. | w_1), so that only T' and the outer
                 test's nonlinearity are left to err;
    independent  T' independent draws of P*_2(. | w_1) in place of a chain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from refimpl._jit import jit
from refimpl.arrays import Array, as_array, as_count
from refimpl.errors import InvalidParameter
from refimpl.multiscale import finite
from refimpl.multiscale.metropolis import as_proposals
from refimpl.multiscale.references import log_conditionals
from refimpl.multiscale.temperatures import Temperatures, as_temperatures

Inner = Literal["warm", "equilibrium", "independent"]

MOST_CELLS = 2**24
"""Entries D(c, j | s) that are held, twice: 256 MiB."""


@jit
def visits_kernel(
    old: Array, fresh: Array, fewer: NDArray[np.int64], P: Array, count: int
) -> None:
    """One inner step: fresh[c, s, j] for the first `count` of the compositions c.

    old, fresh (cells, m, m); fewer[c, j] is the composition c - e_j, -1 if there is
    none; P (m, m).
    """
    m = P.shape[0]
    for c in range(count):
        for s in range(m):
            for j in range(m):
                total, before = 0.0, fewer[c, j]
                if before >= 0:
                    for i in range(m):
                        total += old[before, s, i] * P[i, j]
                fresh[c, s, j] = total


@dataclass(frozen=True)
class ExactLaw:
    """The exact law of the algorithm with one T'.

    Attributes
    ----------
    inner_steps : int
        T'.
    transition : ndarray, shape (n, n)
        Of the pairs (w_1, w_2) from outer decision to outer decision, n = n_1 n_2, the
        pairs in the order of a raveled table; rows sum to 1.
    after : ndarray, shape (n_1, n_2)
        The stationary law of the pairs after the outer decision.
    recorded : ndarray, shape (n_1, n_2)
        The law of the pairs recorded before it, in the stationary run.
    """

    inner_steps: int
    transition: Array
    after: Array
    recorded: Array


class TwoLevelEnumeration:
    """The published algorithm on a table of two levels.

    Parameters
    ----------
    energies : array_like, shape (n_1, n_2)
        f.
    reference : array_like, shape (n_1, n_2)
        Q, all entries positive, with sum 1; the published algorithm's is uniform.
    temperatures : Temperatures
        Two.
    proposals : two array_like, shape (n_1, n_1) and (n_2, n_2)
        p(w -> v) in row w.
    inner : {"warm", "equilibrium", "independent"}
        How the inner chain is run.

    Raises
    ------
    InvalidParameter
        For anything else than the above.

    Examples
    --------
    >>> others = [[0.0, 1.0], [1.0, 0.0]]
    >>> method = TwoLevelEnumeration(
    ...     [[0, 1], [2, 0]], [[0.25] * 2] * 2, Temperatures((1.0, 1.0)), [others] * 2
    ... )
    >>> law = method.law(1)  # ordinary Metropolis within Gibbs: exact
    >>> float(np.round(law.recorded[0, 0] / law.recorded[1, 0], 12)) == round(
    ...     float(np.exp(2)), 12
    ... )
    True
    """

    def __init__(
        self,
        energies: Any,
        reference: Any,
        temperatures: Temperatures,
        proposals: Sequence[Any],
        inner: Inner = "warm",
    ) -> None:
        self.f = as_array("energies", energies, 2)
        self.reference = as_array("reference", reference, 2)
        self.temperatures = as_temperatures(temperatures)
        if self.reference.shape != self.f.shape or len(self.temperatures) != 2:
            raise InvalidParameter(
                f"energies of shape {self.f.shape} need a reference of that shape and "
                f"two temperatures, got {self.reference.shape} and "
                f"{len(self.temperatures)}"
            )
        if inner not in get_args(Inner):
            raise InvalidParameter(
                f"inner must be one of {', '.join(get_args(Inner))}, got {inner!r}"
            )
        self.log_q1, self.log_q2 = log_conditionals(self.reference)
        self.p1, self.p2 = as_proposals(proposals, self.f.shape)
        self.inner: Inner = inner

    @cached_property
    def target(self) -> Array:
        """P*, the multi-scale Gibbs law, shape (n_1, n_2)."""
        return finite.gibbs(self.f, self.reference, self.temperatures)

    def law(self, inner_steps: int) -> ExactLaw:
        """The exact law for one T'."""
        return next(self.laws([inner_steps]))

    def laws(self, inner_steps: Sequence[int]) -> Iterator[ExactLaw]:
        """The exact laws for several T', increasing, for the price of the last.

        Raises
        ------
        InvalidParameter
            If a T' is no positive number, or the visits are too many to enumerate.
        """
        wanted = sorted({as_count("inner_steps", n) for n in inner_steps})
        n1, n2 = self.f.shape
        visits = _Visits(n2, max(wanted))
        kept = {n: np.zeros((n1, n2, n1, n2)) for n in wanted}
        for w1 in range(n1):
            starts = self._conditional(w1) if self.inner == "equilibrium" else None
            for n, D in visits.after(self._inner_kernel(w1), wanted):
                if starts is not None:
                    D = np.broadcast_to(
                        np.einsum("s,csj->cj", starts, D)[:, None], D.shape
                    )
                kept[n][w1] = self._outer(w1, visits.counts(n), D)
        for n in wanted:
            yield self._law(n, kept[n])

    def _conditional(self, w1: int) -> Array:
        """P*_2(. | w1)."""
        row: Array = self.target[w1] / self.target[w1].sum()
        return row

    def _inner_kernel(self, w1: int) -> Array:
        """P of the inner chain at w1, (n_2, n_2)."""
        if self.inner == "independent":
            return np.tile(self._conditional(w1), (self.f.shape[1], 1))
        log_weight = self.log_q2[w1] - self.f[w1] / self.temperatures.levels[1]
        odds = log_weight - log_weight[:, None]
        return _metropolis(self.p2, odds)

    def _outer(self, w1: int, counts: Array, D: Array) -> Array:
        """From (w1, s) to all pairs, shape (n_2, n_1, n_2)."""
        n1, n2 = self.f.shape
        (theta,) = self.temperatures.exponents
        moved = np.zeros((n2, n1, n2))
        for v in np.flatnonzero(self.p1[w1]):
            rise = (self.f[v] - self.f[w1]) / self.temperatures.levels[1]
            gain = self.log_q2[v] - self.log_q2[w1] - rise
            log_A = logsumexp(gain, b=counts / counts[0].sum(), axis=1)
            odds = self.log_q1[v] - self.log_q1[w1] + theta * log_A
            odds += _log_way_back(self.p1)[w1, v]
            share = np.exp(np.minimum(odds, 0.0))
            moved[:, v] += self.p1[w1, v] * np.einsum("c,csj->sj", share, D)
            moved[:, w1] += self.p1[w1, v] * np.einsum("c,csj->sj", 1 - share, D)
        return moved

    def _law(self, n: int, moved: Array) -> ExactLaw:
        n1, n2 = self.f.shape
        transition = moved.reshape(n1 * n2, n1 * n2)
        after = stationary_law(transition).reshape(n1, n2)
        recorded = np.empty_like(after)
        for w1 in range(n1):
            if self.inner == "warm":
                power = np.linalg.matrix_power(self._inner_kernel(w1), n)
                recorded[w1] = after[w1] @ power
            else:
                recorded[w1] = after[w1].sum() * self._conditional(w1)
        return ExactLaw(n, transition, after, recorded)


class _Visits:
    """The compositions c of 0, ..., T' into m parts, by c_1, ..., c_{m-1}, least first.

    After i steps the last part is i minus the others, so that the compositions of all i
    are one list, of which those of i are the beginning.
    """

    def __init__(self, m: int, T: int) -> None:
        base, size = T + 1, (T + 1) ** (m - 1)
        if size * m * m > MOST_CELLS:
            raise InvalidParameter(
                f"{T} inner steps on {m} states have too many visits to enumerate"
            )
        digits = np.stack(
            np.unravel_index(np.arange(size), (base,) * (m - 1) or (1,)), axis=1
        )[:, : m - 1]
        totals = digits.sum(axis=1)
        order = np.argsort(totals, kind="stable")
        order = order[totals[order] <= T]
        rank = np.full(size, -1)
        rank[order] = np.arange(order.size)
        self.m, self.parts, self.totals = m, digits[order], totals[order]
        self.fewer = np.full((order.size, m), -1)
        for j in range(m - 1):
            has = self.parts[:, j] > 0
            self.fewer[has, j] = rank[order[has] - base ** (m - 2 - j)]
        self.fewer[:, m - 1] = np.arange(order.size)

    def _number(self, i: int) -> int:
        return int(np.searchsorted(self.totals, i, "right"))

    def counts(self, i: int) -> Array:
        """The compositions of i, shape (cells, m)."""
        parts = self.parts[: self._number(i)]
        return np.column_stack([parts, i - parts.sum(axis=1)]).astype(np.float64)

    def after(self, P: Array, wanted: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """D_i[c, s, j] for the wanted numbers of steps i, which increase."""
        old, fresh = np.zeros((2, len(self.parts), self.m, self.m))
        old[0] = np.eye(self.m)
        for i in range(1, wanted[-1] + 1):
            count = self._number(i)
            visits_kernel(old, fresh, self.fewer, P, count)
            old, fresh = fresh, old
            if i in wanted:
                yield i, old[:count]


def _metropolis(p: Array, odds: Array) -> Array:
    """The Metropolis kernel of proposals p for log odds of the target, (m, m)."""
    log_odds = np.minimum(odds + _log_way_back(p), 0.0)
    stay = (p * -np.expm1(log_odds)).sum(axis=1)
    return p * np.exp(log_odds) + np.diag(stay)


def _log_way_back(p: Array) -> Array:
    """log p(v -> w) / p(w -> v) in row w, 0 where nothing is proposed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, np.log(p.T) - np.log(p), 0.0)


def stationary_law(transition: Array) -> Array:
    """The stationary law of an irreducible chain, each entry to nearly all digits.

    Parameters
    ----------
    transition : array_like, shape (n, n)
        Rows of sum 1.

    Raises
    ------
    InvalidParameter
        If some state is never left for one before it: the chain is reducible, or a
        probability is too small to be represented.

    Examples
    --------
    >>> stationary_law(np.array([[0.5, 0.5], [0.25, 0.75]])).round(12).tolist()
    [0.333333333333, 0.666666666667]
    """
    A = as_array("transition", transition, 2)
    n = len(A)
    for k in range(n - 1, 0, -1):  # leave out state k: watch the chain elsewhere
        out = A[k, :k].sum()
        if not out > 0:
            raise InvalidParameter(
                f"state {k} is never left for one before it: the chain is reducible, "
                "or its temperatures are so low that a probability underflows"
            )
        A[:k, k] /= out
        A[:k, :k] += np.outer(A[:k, k], A[k, :k])
    law = np.ones(n)
    for k in range(1, n):
        law[k] = law[:k] @ A[:k, k]
    normalised: Array = law / law.sum()
    return normalised
