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
All sums are of positive terms, so that small probabilities keep their digits.  They are
logarithms from end to end but for D, which is one only where it has to be: at
temperatures of 1e-6 a step may have the probability exp(-1e6).

The visits c are compositions of T': on three states there are T'^2/2 of them, and D
takes T'^3/6 cells in all.  Where these are too many D can be estimated, from paths of
the inner chain; all that follows is as before.

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
from scipy.sparse.csgraph import connected_components
from scipy.special import logsumexp

from refimpl._jit import jit
from refimpl.arrays import Array, as_array, as_choice, as_count, as_generator, as_list
from refimpl.errors import InvalidParameter
from refimpl.multiscale import finite
from refimpl.multiscale.metropolis import are_probabilities, as_proposals
from refimpl.multiscale.references import log_conditionals
from refimpl.multiscale.temperatures import Temperatures, as_temperatures

Inner = Literal["warm", "equilibrium", "independent"]

MOST_CELLS = 2**24
"""Entries D(c, j | s) that are held, twice: 256 MiB."""

LEAST = np.log(1e-250)
"""Least probability of a transition of which D is added up as it is, in logarithms.

What then underflows, less than 1e-308 in each of at most MOST_CELLS cells, is less than
1e-50 of the transition.
"""


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


@jit
def log_visits_kernel(
    old: Array, fresh: Array, fewer: NDArray[np.int64], log_P: Array, count: int
) -> None:
    """The same on logarithms of old, fresh and P."""
    m = log_P.shape[0]
    for c in range(count):
        for s in range(m):
            for j in range(m):
                top, before = -np.inf, fewer[c, j]
                if before >= 0:
                    for i in range(m):
                        top = max(top, old[before, s, i] + log_P[i, j])
                if top == -np.inf:
                    fresh[c, s, j] = -np.inf
                    continue
                total = 0.0
                for i in range(m):
                    total += np.exp(old[before, s, i] + log_P[i, j] - top)
                fresh[c, s, j] = top + np.log(total)


@dataclass(frozen=True)
class ExactLaw:
    """The exact law of the algorithm with one T', or an estimate of it.

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
        self.log_q1, self.log_q2 = log_conditionals(self.reference)
        self.p1, self.p2 = as_proposals(proposals, self.f.shape)
        self.inner: Inner = as_choice("inner", inner, get_args(Inner))

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
            If there is no T', one is no positive number, or the visits are too many to
            enumerate.
        """
        given = as_list("inner_steps", inner_steps)
        wanted = sorted({as_count("inner_steps", n) for n in given})
        if not wanted:
            raise InvalidParameter("inner_steps must have at least one entry")
        n1, n2 = self.f.shape
        visits = _Visits(n2, max(wanted))
        logs = min(map(self._least, wanted)) < LEAST
        kept = {n: np.zeros((n1, n2, n1, n2)) for n in wanted}
        for w1 in range(n1):
            starts = self._log_conditional[w1] if self.inner == "equilibrium" else None
            for n, D in visits.after(self._log_inner_kernel(w1), wanted, logs):
                if starts is not None:
                    mixed = _from(starts, np.moveaxis(D, 1, 0), logs)
                    mixed = mixed if logs else np.exp(mixed)
                    D = np.broadcast_to(mixed[:, None], D.shape)
                kept[n][w1] = self._outer(w1, visits.counts(n), D, logs)
        for n in wanted:
            yield self._law(n, kept[n])

    def estimates(
        self, inner_steps: int, paths: int, groups: int, *, rng: np.random.Generator
    ) -> tuple[ExactLaw, list[ExactLaw]]:
        """An estimate of the law for a T' of any size, from paths of the inner chain.

        From every pair (w_1, w_2) so many paths are drawn, and D is their distribution.
        The chain is drawn by the times that it stays: a rare move costs nothing before
        it happens.

        Parameters
        ----------
        inner_steps : int
            T'.
        paths : int
            From each pair, a multiple of the groups.
        groups : int
            Two or more.
        rng : numpy.random.Generator

        Returns
        -------
        law : ExactLaw
            Of all paths.
        others : list of ExactLaw
            Of all but one of the groups, for the error by the jackknife.

        Raises
        ------
        InvalidParameter
            For anything else than the above, or if the inner chain is not "warm".
        """
        T, rng = as_count("inner_steps", inner_steps), as_generator("rng", rng)
        paths, groups = as_count("paths", paths), as_count("groups", groups)
        if groups < 2 or paths % groups:
            raise InvalidParameter(
                "paths must be a multiple of the groups, of which there are two or "
                f"more, got {paths} and {groups}"
            )
        if self.inner != "warm":
            raise InvalidParameter(
                f'paths are those of inner = "warm", this one is {self.inner!r}'
            )
        n1, n2 = self.f.shape
        parts = np.zeros((groups, n1, n2, n1, n2))
        for w1 in range(n1):
            P = np.exp(self._log_inner_kernel(w1))
            for part in parts:
                counts, D = _drawn_visits(P, T, paths // groups, rng)
                part[w1] = np.exp(self._outer(w1, counts, D, logs=False))
        total = parts.sum(axis=0)
        others = [(total - part) / (groups - 1) for part in parts]
        law, *rest = (self._law(T, _log(one)) for one in (total / groups, *others))
        return law, rest

    @cached_property
    def _log_conditional(self) -> Array:
        """log P*_2(. | w1), (n_1, n_2)."""
        logs = finite.log_conditionals(self.f, self.reference, self.temperatures)
        return logs[1]

    def _log_inner_kernel(self, w1: int) -> Array:
        """log P of the inner chain at w1, (n_2, n_2)."""
        if self.inner == "independent":
            return np.tile(self._log_conditional[w1], (self.f.shape[1], 1))
        log_q, f = self.log_q2[w1], self.f[w1]
        charge = finite.charge(f, f[:, None], self.temperatures.levels[1])
        return _metropolis(self.p2, log_q - log_q[:, None] - charge)

    def _gain(self, w1: int, v: int) -> Array:
        """log of what A is the mean of, for each state of level 2."""
        charge = finite.charge(self.f[v], self.f[w1], self.temperatures.levels[1])
        return np.asarray(self.log_q2[v] - self.log_q2[w1] - charge)

    def _log_odds(self, w1: int, v: int, log_A: Any) -> Any:
        """log of the odds of a move from w1 to v."""
        (theta,) = self.temperatures.exponents
        odds = self.log_q1[v] - self.log_q1[w1] + theta * log_A
        return odds + _log_way_back(self.p1)[w1, v]

    def _least(self, T: int) -> float:
        """log of a probability that no possible transition is below."""
        least = 0.0
        for w1 in range(len(self.f)):
            inner = _log_power(self._log_inner_kernel(w1), T)
            odds = [
                self._log_odds(w1, v, self._gain(w1, v).min())
                for v, p in enumerate(self.p1[w1] * self.p1[:, w1])
                if p > 0
            ]
            reached = inner[inner > -np.inf].min()
            least = min(least, reached + min([0.0, *odds]))
        return float(least)

    def _outer(self, w1: int, counts: Array, D: Array, logs: bool) -> Array:
        """log of the transitions from (w1, s) to all pairs, shape (n_2, n_1, n_2)."""
        n1, n2 = self.f.shape
        moved = np.full((n2, n1, n2), -np.inf)
        for v, p in enumerate(self.p1[w1]):
            if p == 0:
                continue
            gain = np.where(counts > 0, self._gain(w1, v), -np.inf)
            log_A = logsumexp(gain + _log(counts / counts[0].sum()), axis=1)
            share = np.minimum(self._log_odds(w1, v, log_A), 0.0)
            for to, log_share in ((v, share), (w1, _log_rest(share))):
                part = np.log(p) + _from(log_share, D, logs)
                moved[:, to] = np.logaddexp(moved[:, to], part)
        return moved

    def _law(self, n: int, log_moved: Array) -> ExactLaw:
        n1, n2 = self.f.shape
        log_transition = log_moved.reshape(n1 * n2, n1 * n2)
        log_after = _log_stationary_law(log_transition).reshape(n1, n2)
        recorded = np.empty_like(log_after)
        for w1 in range(n1):
            if self.inner == "warm":
                power = _log_power(self._log_inner_kernel(w1), n)
                recorded[w1] = _log_product(log_after[w1 : w1 + 1], power)[0]
            else:
                total = logsumexp(log_after[w1])
                recorded[w1] = total + self._log_conditional[w1]
        return ExactLaw(n, *map(np.exp, (log_transition, log_after, recorded)))


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

    def after(
        self, log_P: Array, wanted: Sequence[int], logs: bool
    ) -> Iterator[tuple[int, Array]]:
        """D_i[c, s, j] or its logarithm for the wanted numbers of steps i, increasing.

        Only the cells of i steps are looked at.
        """
        old, fresh = np.zeros((2, len(self.parts), self.m, self.m))
        old[0] = np.eye(self.m)
        P, kernel = np.exp(log_P), visits_kernel
        if logs:
            old, fresh = _log(old), _log(fresh)
            P, kernel = log_P, log_visits_kernel
        for i in range(1, wanted[-1] + 1):
            count = self._number(i)
            kernel(old, fresh, self.fewer, P, count)
            old, fresh = fresh, old
            if i in wanted:
                yield i, old[:count]


def _drawn_visits(
    P: Array, T: int, n: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The visits of n paths of T steps from each state, and their D.

    Shapes (m n, m) and (m n, m, m): each path is a cell of its own, of weight 1/n.
    """
    m = len(P)
    leaving = P - np.diag(np.diag(P))
    rate = leaving.sum(axis=1)
    edges = np.cumsum(leaving, axis=1) / np.where(rate > 0, rate, 1.0)[:, None]
    start = np.repeat(np.arange(m), n)
    state, counts = start.copy(), np.zeros((m * n, m), np.int64)
    left = np.full(m * n, T)
    on = np.arange(m * n)  # the paths that go on
    while on.size:
        here = state[on]
        moves = rate[here] > 0
        stay = left[on].copy()  # where it cannot leave
        stay[moves] = rng.geometric(np.minimum(rate[here[moves]], 1.0)) - 1
        stay = np.minimum(stay, left[on])
        counts[on, here] += stay
        left[on] -= stay
        on, here = (one[left[on] > 0] for one in (on, here))
        u = rng.random(on.size)
        last = (leaving[here] > 0) * np.arange(m)  # where rounding left a sum below u
        after = np.minimum((u[:, None] >= edges[here]).sum(axis=1), last.max(axis=1))
        state[on] = after
        counts[on, after] += 1
        left[on] -= 1
        on = on[left[on] > 0]
    D = np.zeros((m * n, m, m))
    D[np.arange(m * n), start, state] = 1 / n
    return counts.astype(np.float64), D


def _metropolis(p: Array, odds: Array) -> Array:
    """log of the Metropolis kernel of proposals p for log odds of its target."""
    log_odds = np.minimum(odds + _log_way_back(p), 0.0)
    stay = logsumexp(_log(p) + _log_rest(log_odds), axis=1)
    return np.asarray(np.logaddexp(_log(p) + log_odds, _log(np.eye(len(p))) + stay))


def _log_way_back(p: Array) -> Array:
    """log p(v -> w) / p(w -> v) in row w, 0 where nothing is proposed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, np.log(p.T) - np.log(p), 0.0)


def _log(p: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(p)


def _log_rest(log_p: Array) -> Array:
    """log(1 - p)."""
    return _log(-np.expm1(log_p))


def _from(log_weight: Array, D: Array, logs: bool) -> Array:
    """log of the sum over the first axis of D, or exp(D), with weights."""
    if logs:
        weighted = log_weight.reshape(-1, *[1] * (D.ndim - 1)) + D
        return np.asarray(logsumexp(weighted, axis=0))
    return _log(np.tensordot(np.exp(log_weight), D, axes=1))


def _log_product(log_A: Array, log_B: Array) -> Array:
    """log of the product of two matrices of positive numbers."""
    return np.asarray(logsumexp(log_A[:, :, None] + log_B, axis=1))


def _log_power(log_P: Array, n: int) -> Array:
    """log of the n-th power, n >= 1, by squaring."""
    power, square = _log(np.eye(len(log_P))), log_P
    while n:
        if n % 2:
            power = _log_product(power, square)
        square, n = _log_product(square, square), n // 2
    return power


def stationary_law(transition: Any) -> Array:
    """The stationary law of a chain, each entry to nearly all digits.

    States that are left for ever have none of the mass; where the law begins to be
    eliminated does not matter, and nothing on the way underflows.

    Parameters
    ----------
    transition : array_like, shape (n, n)
        Rows of sum 1.

    Raises
    ------
    InvalidParameter
        If the rows are no probabilities, or the law is not unique: there are several
        sets of states which the chain never leaves.

    Examples
    --------
    >>> stationary_law(np.array([[0.5, 0.5], [0.25, 0.75]])).round(12).tolist()
    [0.333333333333, 0.666666666667]
    """
    P = as_array("transition", transition, 2)
    square = P.shape[0] == P.shape[1] > 0
    if not square or not are_probabilities(P, 1e-9):
        raise InvalidParameter(
            f"transition must be square, its rows probabilities, got {P!r}"
        )
    return np.asarray(np.exp(_log_stationary_law(_log(P))))


def _log_stationary_law(log_transition: Array) -> Array:
    """log of the stationary law, -inf where it has no mass."""
    inside = _recurrent(log_transition > -np.inf)
    A = log_transition[np.ix_(inside, inside)]
    for k in range(len(A) - 1, 0, -1):  # leave out state k: watch the chain elsewhere
        A[:k, k] -= logsumexp(A[k, :k])
        A[:k, :k] = np.logaddexp(A[:k, :k], A[:k, k, None] + A[k, :k])
    law = np.zeros(len(A))
    for k in range(1, len(A)):
        law[k] = logsumexp(law[:k] + A[:k, k])
    whole = np.full(len(log_transition), -np.inf)
    whole[inside] = law - logsumexp(law)
    return whole


def _recurrent(possible: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The states of the one class that is never left, where possible[a, b] are moves.

    Raises
    ------
    InvalidParameter
        If there are several.
    """
    number, label = connected_components(possible, connection="strong")
    left = {label[a] for a, b in np.argwhere(possible) if label[a] != label[b]}
    closed = sorted(set(range(number)) - left)
    if len(closed) > 1:
        classes = [np.flatnonzero(label == one).tolist() for one in closed]
        raise InvalidParameter(
            "the stationary law is not unique: the chain never leaves any of the sets "
            f"of states {', '.join(map(str, classes))} (or a way out of them has a "
            "probability that underflows)"
        )
    return np.flatnonzero(label == closed[0])
