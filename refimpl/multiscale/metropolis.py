"""Multilevel Metropolis: outer tests that average over inner chains.

The published algorithm has two levels, deviations (w_1, w_2) from fixed matrices, and
no reference law::

    For t = 1, ..., T:
      1. propose v = w_1 + s_1 N(0, I).
      2. For i = 1, ..., T':                                       at the old w_1
           propose u = w_2 + s_2 N(0, I);
           w_2 = u with probability exp(-(f(w_1, u) - f(w_1, w_2)) / lambda_2);
           A_i = exp(-(f(v, w_2) - f(w_1, w_2)) / lambda_2),      moved or not.
      3. record (w_1, w_2).
      4. w_1 = v with probability A^theta, A = mean A_i, theta = lambda_2 / lambda_1;
         w_2 stays.

With any number of levels, a reference law and any proposals p, two procedures call each
other; both change the one state w = (w_1, ..., w_d)::

    step(k):
      propose v for w_k;  R = ratio(k, (w_<k, v));  if k = 1, record w;
      w_k = v with probability
          q_k(v | w_<k) p(v -> w_k) / (q_k(w_k | w_<k) p(w_k -> v)) R^theta_k.
    ratio(k, v_<=k), an estimate of Z_{k+1}(v_<=k) / Z_{k+1}(w_<=k):
      if k = d: exp(-(f(v) - f(w)) / lambda_d);
      else the mean over T'_{k+1} times: step(k+1), and then
          q_{k+1}(w_{k+1} | v_<=k) / q_{k+1}(w_{k+1} | w_<=k)
          ratio(k+1, (v_<=k, w_{k+1}))^theta_{k+1},

theta_d being 1.  An outer step takes T'_2 ... T'_d moves of level d, twice as many for
each level from the third on, where the second call of `ratio` has a loop of its own.

What is recorded is near the multi-scale Gibbs law, and tends to it as the T' grow.  It
is not that law (`refimpl.multiscale.enumeration` says how far it is), and the state
after step 4 never is: its w_2 belongs to the old w_1.

Departures:  none for two levels and the flat reference, but that only logarithms are
formed, log A = logsumexp_i log A_i - log T'.  The rest follows from the multi-scale
Gibbs law; it is not in the published code.

State:  w, the levels;  places, for each level the energy as a function of what is below
the levels above it;  energy, f(w).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from refimpl._jit import jit
from refimpl.arrays import (
    Array,
    as_array,
    as_count,
    as_generator,
    as_list,
    as_reals,
    require_finite,
)
from refimpl.errors import InvalidParameter
from refimpl.multiscale.references import (
    Flat,
    Reference,
    log_conditionals,
    require_levels,
)
from refimpl.multiscale.temperatures import Temperatures, as_temperatures
from refimpl.noise import BLOCK, normals

Indices = NDArray[np.int64]


# --- any energy, Gaussian proposals


class Nested(Protocol):
    """An energy that takes its levels one by one, and may remember what they cost.

    With one level left it is called with that level.
    """

    def given(self, w: Any) -> Any:
        """The energy of the levels below, this one being w."""
        ...


@dataclass(frozen=True)
class Curried:
    """An ordinary function f(w_1, ..., w_d) as a nested energy."""

    f: Any
    above: tuple[Any, ...] = ()

    def given(self, w: Any) -> "Curried":
        """The same with one more level known."""
        return Curried(self.f, (*self.above, w))

    def __call__(self, w: Any) -> Any:
        """f with this last level."""
        return self.f(*self.above, w)


def as_nested(f: Any) -> Any:
    """`f` as a nested energy: itself if it is one, else an ordinary function curried.

    Raises
    ------
    InvalidParameter
        If it is neither.
    """
    if hasattr(f, "given") and not isinstance(f, type):
        return f
    if not callable(f):
        raise InvalidParameter(f"f must be a function of the levels, got {f!r}")
    return Curried(f)


def as_energy(value: Any) -> float:
    """A value of f, one real number; of infinite ones and NaN the caller judges."""
    return float(value if isinstance(value, float) else as_reals("f", value, 0))


class Draws(Protocol):
    """The noise of a run, asked for in the order of use."""

    def normal(self, shape: tuple[int, ...]) -> Array:
        """The next standard normals."""
        ...

    def uniform(self) -> float:
        """The next uniform of [0, 1)."""
        ...


@dataclass(frozen=True)
class Random:
    """Draws from a generator."""

    rng: np.random.Generator

    def normal(self, shape: tuple[int, ...]) -> Array:
        """The next standard normals."""
        return normals(self.rng, 1, int(np.prod(shape))).reshape(shape)

    def uniform(self) -> float:
        """The next uniform of [0, 1)."""
        return self.rng.random()


@dataclass
class Stored:
    """Draws from two stored vectors, each used from its beginning."""

    normals: Array
    uniforms: Array
    _used: list[int] = field(default_factory=lambda: [0, 0])

    def normal(self, shape: tuple[int, ...]) -> Array:
        """The next standard normals."""
        size = int(np.prod(shape))
        return self._next(0, self.normals, size).reshape(shape)

    def uniform(self) -> float:
        """The next uniform of [0, 1)."""
        return float(self._next(1, self.uniforms, 1)[0])

    def _next(self, which: int, row: Array, size: int) -> Array:
        begin = self._used[which]
        if begin + size > row.size:
            what = ("normals", "uniforms")[which]
            raise InvalidParameter(f"the run needs more than the {row.size} {what}")
        self._used[which] += size
        return row[begin : begin + size]


@dataclass(frozen=True)
class Visit:
    """One outer step: what it recorded, and what was decided.

    Attributes
    ----------
    w : tuple of ndarray
        The levels before the outer decision: these are what is recorded.
    energy : float
        f(w).
    log_ratio : float
        log A, the estimate of log Z_2(v) / Z_2(w_1); of one level
        -(f(v) - f(w)) / lambda.
    share : float
        Of the largest of the T'_2 terms in their sum: 1/T'_2 if all weigh the same,
        near 1 if a single one decides.
    accepted, tried : tuple of int
        Moves of each level in this outer step.
    evaluations : int
        Values of f that it took.
    """

    w: tuple[Array, ...]
    energy: float
    log_ratio: float
    share: float
    accepted: tuple[int, ...]
    tried: tuple[int, ...]
    evaluations: int


@dataclass
class Walk:
    """Where a run stands; `MultilevelMetropolis.advance` changes it in place.

    Attributes
    ----------
    w : list of ndarray
        The levels; arrays are replaced, never edited.
    places : list
        places[k] is the energy given w_1, ..., w_k, k < d.
    energy : float
        f(w).
    accepted, tried : list of int
        Moves of each level so far.
    evaluations : int
        Values of f so far.
    """

    w: list[Array]
    places: list[Any]
    energy: float
    accepted: list[int]
    tried: list[int]
    evaluations: int = 0
    share: float = 1.0


@dataclass(frozen=True)
class _Move:
    """A proposal that was weighed: what it leads to, and the log of its odds."""

    v: Array
    place: Any
    energy: float
    log_ratio: float
    log_odds: float


@dataclass(frozen=True)
class MultilevelMetropolis:
    """The algorithm with Gaussian proposals, for any energy and number of levels.

    Parameters
    ----------
    temperatures : Temperatures
    scales : sequence of float or array_like
        For each level the standard deviation of its proposals, a number or an array
        that broadcasts with the level.
    inner_steps : sequence of int
        T'_2, ..., T'_d.
    reference : "flat" or Reference
        Q.  "flat" is the published choice; it is improper on unbounded levels.

    Raises
    ------
    InvalidParameter
        If these are not as said, or not as many as there are levels.

    Notes
    -----
    A plain function f(w_1, ..., w_d) will do.  An energy that has `given` is asked
    level by level, so that it can keep what depends on the upper levels alone: with two
    levels an outer step calls `given` once, and takes T' + 1 values of f and one more
    for every inner step that moves after the first that did.  Energies must be finite:
    the outer test averages, and would lead into a place of infinite energy.

    References
    ----------
    The authors' published code, two levels; checked by the family MS.

    Examples
    --------
    >>> method = MultilevelMetropolis(
    ...     Temperatures.from_index([2.0, 1.0]), scales=(1.0, 1.0), inner_steps=(5,)
    ... )
    >>> def f(a, b):
    ...     return float(a @ a + (a - b) @ (a - b))
    >>> rng = np.random.default_rng(0)
    >>> visits = list(method(f, [np.ones(2), np.ones(2)], 100, rng=rng))
    >>> len(visits), visits[0].tried
    (100, (1, 5))
    """

    temperatures: Temperatures
    scales: Sequence[Any]
    inner_steps: Sequence[int] = ()
    reference: Reference | Literal["flat"] = "flat"

    def __post_init__(self) -> None:
        d = len(as_temperatures(self.temperatures))
        given = as_list("scales", self.scales)
        scales = tuple(as_array("a scale", one) for one in given)
        if len(scales) != d or not all((one > 0).all() for one in scales):
            raise InvalidParameter(
                f"scales must be {d} standard deviations, one for each level, all "
                f"positive, got {self.scales!r}"
            )
        if isinstance(self.reference, str) and self.reference == "flat":
            object.__setattr__(self, "reference", Flat())
        elif not hasattr(self.reference, "log_density") or isinstance(
            self.reference, type
        ):
            raise InvalidParameter(
                'reference must be "flat" or have log_density(k, w, above), got '
                f"{self.reference!r}"
            )
        require_levels(self.reference, d)
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "inner_steps", inner_counts(self.inner_steps, d))

    def __call__(
        self, f: Any, start: Sequence[Any], steps: int, *, rng: np.random.Generator
    ) -> Iterator[Visit]:
        """The visits of a run, one for every outer step.

        Parameters
        ----------
        f : callable or Nested
        start : sequence of array_like
            The levels.
        steps : int
            T, outer steps.
        rng : numpy.random.Generator

        Raises
        ------
        InvalidParameter
            For anything else than the above.
        NonFinite
            If an energy is not finite, or the reference has no mass at the start.
        """
        draws, walk = Random(as_generator("rng", rng)), self.begin(f, start)
        return (self.advance(walk, draws) for _ in range(as_count("steps", steps)))

    def begin(self, f: Any, start: Sequence[Any]) -> Walk:
        """A walk at its start.  Raises as the call does."""
        given, d = as_list("start", start), len(self.temperatures)
        w = [as_array(f"level {k} of start", one) for k, one in enumerate(given, 1)]
        if len(w) != d:
            raise InvalidParameter(f"start must have {d} levels, got {len(w)}")
        Q: Any = self.reference
        for k, (one, scale) in enumerate(zip(w, self.scales, strict=True), 1):
            _require_broadcast(k, one.shape, scale.shape)
            density = Q.log_density(k, one, w[: k - 1])
            require_finite(density, f"log q_{k} of the reference at start")
        places = [as_nested(f)]
        for one in w[:-1]:
            places.append(places[-1].given(one))
        walk = Walk(w, places, np.nan, [0] * d, [0] * d)
        walk.energy = _evaluate(walk, places[-1], w[-1])
        return walk

    def advance(self, walk: Walk, draws: Draws) -> Visit:
        """The core: one outer step, given its noise.  Changes walk in place."""
        accepted, tried = tuple(walk.accepted), tuple(walk.tried)
        evaluations = walk.evaluations
        move = self._weigh(walk, 0, draws)
        w, energy = tuple(walk.w), walk.energy
        self._decide(walk, 0, move, draws)
        return Visit(
            w,
            energy,
            move.log_ratio,
            walk.share,
            _more(walk.accepted, accepted),
            _more(walk.tried, tried),
            walk.evaluations - evaluations,
        )

    def _step(self, walk: Walk, k: int, draws: Draws) -> bool:
        """step(k + 1) of the box, levels being counted from 0; whether it moved."""
        return self._decide(walk, k, self._weigh(walk, k, draws), draws)

    def _weigh(self, walk: Walk, k: int, draws: Draws) -> _Move:
        w, above = walk.w, walk.w[:k]
        v = w[k] + self.scales[k] * draws.normal(w[k].shape)
        if k + 1 == len(w):
            place, energy = None, _evaluate(walk, walk.places[k], v)
            log_ratio = self._leaf(energy, walk)
        else:
            place = walk.places[k].given(v)
            log_ratio, energy = self._ratio(walk, k, place, [*above, v], draws)
        odds = self._relative(k, (v, above), (w[k], above))
        theta = (*self.temperatures.exponents, 1.0)[k]
        return _Move(v, place, energy, log_ratio, odds + theta * log_ratio)

    def _decide(self, walk: Walk, k: int, move: _Move, draws: Draws) -> bool:
        with np.errstate(divide="ignore"):  # log 0 accepts whatever is possible
            accepted = bool(np.log(draws.uniform()) < move.log_odds)
        walk.tried[k] += 1
        walk.accepted[k] += accepted
        if accepted:
            walk.w[k], walk.energy = move.v, move.energy
            for j in range(k + 1, len(walk.w)):
                first = j == k + 1
                walk.places[j] = (
                    move.place if first else walk.places[j - 1].given(walk.w[j - 1])
                )
        return accepted

    def _ratio(
        self, walk: Walk, k: int, place: Any, prefix: list[Array], draws: Draws
    ) -> tuple[float, float]:
        """log ratio(k + 1, prefix) of the box, and f at prefix and what is below.

        place is the energy given prefix.
        """
        terms: list[float] = []
        below, theta = k + 1, (*self.temperatures.exponents, 1.0)[k + 1]
        energy = np.nan
        for _ in range(self.inner_steps[k]):
            moved = self._step(walk, below, draws)
            w = walk.w[below]
            if below + 1 < len(walk.w):
                deeper = place.given(w)
                log_ratio, energy = self._ratio(
                    walk, below, deeper, [*prefix, w], draws
                )
            else:
                if moved or not terms:  # else it is known
                    energy = _evaluate(walk, place, w)
                log_ratio = self._leaf(energy, walk)
            change = self._relative(below, (w, prefix), (w, walk.w[:below]))
            terms.append(change + theta * log_ratio)
        total, walk.share = _summed(terms)
        return total - math.log(len(terms)), energy

    def _leaf(self, energy: float, walk: Walk) -> float:
        return -(energy - walk.energy) / self.temperatures.levels[-1]

    def _relative(self, k: int, new: Any, old: Any) -> float:
        """log q_k(new) - log q_k(old), each a level and the levels above it."""
        Q: Any = self.reference
        return float(Q.log_density(k + 1, *new)) - float(Q.log_density(k + 1, *old))


def _require_broadcast(k: int, level: tuple[int, ...], scale: tuple[int, ...]) -> None:
    """A scale says nothing of entries that its level has not."""
    ends = zip(scale[::-1], level[::-1], strict=False)
    if len(scale) > len(level) or any(m not in (1, n) for m, n in ends):
        raise InvalidParameter(
            f"level {k} of start has shape {level}, with which its scale of shape "
            f"{scale} does not broadcast"
        )


def inner_counts(inner_steps: Sequence[int], d: int) -> tuple[int, ...]:
    """T'_2, ..., T'_d, checked."""
    given = as_list("inner_steps", inner_steps)
    counts = tuple(as_count("each of inner_steps", n) for n in given)
    if len(counts) != d - 1:
        raise InvalidParameter(
            f"inner_steps must be {d - 1} counts, one for each level but the first, "
            f"got {counts}"
        )
    return counts


def _summed(terms: list[float]) -> tuple[float, float]:
    """log of a sum and the share of its largest term, from logarithms."""
    most = max(terms)
    if math.isinf(most):  # a difference of energies that overflows
        return most, 1 / terms.count(most)
    total = math.fsum(math.exp(term - most) for term in terms)
    return most + math.log(total), 1 / total


def _evaluate(walk: Walk, place: Any, w: Array) -> float:
    walk.evaluations += 1
    return float(require_finite(as_energy(place(w)), "the energy"))


def _more(now: list[int], before: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip(now, before, strict=True))


# --- finite tables


@jit
def propose_kernel(row: Array, u: float) -> int:
    """The state that a uniform u in [0, 1) stands for in a row of probabilities."""
    total, last = 0.0, 0
    for j in range(row.size):
        total += row[j]
        if u < total:
            return j
        if row[j] > 0.0:
            last = j
    return last  # where rounding left the sum below u


@jit
def outer_step_kernel(
    w: Indices,
    uniforms: Array,
    f: Array,
    log_q: Array,
    moves: Array,
    q_starts: Indices,
    sizes: Indices,
    inner: Indices,
    thetas: Array,
    coldest: float,
    recorded: Indices,
    accepted: Indices,
) -> None:
    """One outer step on a table; changes w, recorded and accepted, all (d,).

    f and log_q are flat, the latter log q_1, ..., log q_d one after the other from
    q_starts (d,).  moves (d, m, m) holds the proposals, m being the largest of sizes
    (d,).  inner (d,) is 1, T'_2, ..., T'_d; thetas (d,) ends with 1.

    The two procedures of the box without recursion: here[k] and there[k] are the flat
    indices of the prefixes whose ratio is estimated, and deciding[k] says for what.
    """
    d, used, k = sizes.size, 0, 0
    here, there = np.zeros(d, np.int64), np.zeros(d, np.int64)
    new, done = np.zeros(d, np.int64), np.zeros(d, np.int64)
    top, mass = np.zeros(d), np.zeros(d)  # of terms: mass exp(top) is their sum
    deciding = np.ones(d, np.bool_)
    fresh = True  # whether step(k) begins
    while True:
        # down to the leaf
        while True:
            if fresh:
                base = here[k - 1] * sizes[k] if k > 0 else 0
                new[k] = propose_kernel(moves[k, w[k], : sizes[k]], uniforms[used])
                used += 1
                here[k], there[k] = base + w[k], base + new[k]
                deciding[k] = True
            if k == d - 1:
                break
            k, fresh = k + 1, True
            done[k], top[k], mass[k] = 0, -np.inf, 0.0
        # halves, whose difference does not overflow
        log_ratio = 2.0 * ((0.5 * f[here[k]] - 0.5 * f[there[k]]) / coldest)
        # up to the next thing to do
        while True:
            term = log_q[q_starts[k] + there[k]] - log_q[q_starts[k] + here[k]]
            term += thetas[k] * log_ratio
            if deciding[k]:
                if k == 0:
                    recorded[:] = w
                back = moves[k, new[k], w[k]] / moves[k, w[k], new[k]]
                odds = term + np.log(back) if back > 0.0 else -np.inf
                if np.log(uniforms[used]) < odds:
                    w[k] = new[k]
                    accepted[k] += 1
                used += 1
                if k == 0:
                    return
                here[k] = here[k - 1] * sizes[k] + w[k]
                there[k] = there[k - 1] * sizes[k] + w[k]
                deciding[k], fresh = False, False
                break
            higher = max(top[k], term)
            if higher == np.inf:  # one such term decides
                mass[k] = 1.0
            elif higher > -np.inf:
                mass[k] = mass[k] * np.exp(top[k] - higher) + np.exp(term - higher)
            top[k] = higher
            done[k] += 1
            if done[k] < inner[k]:
                fresh = True
                break
            log_ratio = top[k] + np.log(mass[k]) - np.log(inner[k])
            k -= 1


@jit
def run_kernel(
    w: Indices,
    uniforms: Array,
    f: Array,
    log_q: Array,
    moves: Array,
    q_starts: Indices,
    sizes: Indices,
    inner: Indices,
    thetas: Array,
    coldest: float,
    recorded: Indices,
    accepted: Indices,
) -> None:
    """n runs of T outer steps; w (n, d) and accepted (n, d) change in place.

    uniforms (n, T, m), recorded (n, T, d); the rest as in one outer step.
    """
    for i in range(uniforms.shape[0]):
        for t in range(uniforms.shape[1]):
            outer_step_kernel(
                w[i],
                uniforms[i, t],
                f,
                log_q,
                moves,
                q_starts,
                sizes,
                inner,
                thetas,
                coldest,
                recorded[i, t],
                accepted[i],
            )


@dataclass(frozen=True)
class TableRun:
    """Runs on a table.

    Attributes
    ----------
    states : ndarray of int, shape (n, steps, d)
        What each outer step recorded, before its decision.
    last : ndarray of int, shape (n, d)
        The state after the last decision.
    accepted, tried : ndarray of int, shape (n, d) and (d,)
        Moves of each level.  A proposal to stay counts as a move.
    """

    states: Indices
    last: Indices
    accepted: Indices
    tried: Indices


class TableMetropolis:
    """The algorithm on a finite table, with any proposals; compiled.

    Parameters
    ----------
    energies : array_like, d axes
        f, finite; level 1 is the first axis.
    reference : array_like, shape of energies
        Q, all entries positive, with sum 1.  The published algorithm has none: that is
        the uniform one.
    temperatures : Temperatures
    proposals : sequence of array_like, shape (n_k, n_k)
        For each level the probabilities p(w -> v) in row w, rows of sum 1.
    inner_steps : sequence of int
        T'_2, ..., T'_d.

    Raises
    ------
    InvalidParameter
        For anything else than the above.

    References
    ----------
    As `MultilevelMetropolis`; its stationary law for two levels is computed by
    `refimpl.multiscale.enumeration`.
    """

    def __init__(
        self,
        energies: Any,
        reference: Any,
        temperatures: Temperatures,
        proposals: Sequence[Any],
        inner_steps: Sequence[int],
    ) -> None:
        f = as_array("energies", energies)
        self.temperatures = as_temperatures(temperatures)
        self.shape, d = f.shape, f.ndim
        log_q = log_conditionals(reference)
        if len(self.temperatures) != d or np.shape(reference) != f.shape:
            raise InvalidParameter(
                f"energies of shape {f.shape} need a reference of that shape and {d} "
                f"temperatures, got {np.shape(reference)} and {len(self.temperatures)}"
            )
        self.proposals = as_proposals(proposals, f.shape)
        self.inner_steps = inner_counts(inner_steps, d)
        moves = np.zeros((d, max(f.shape), max(f.shape)))
        for k, p in enumerate(self.proposals):
            moves[k, : len(p), : len(p)] = p
        lengths = [one.size for one in log_q]
        self._given = (
            f.ravel(),
            np.concatenate([one.ravel() for one in log_q]),
            moves,
            np.cumsum([0, *lengths[:-1]]),
            np.array(f.shape),
            np.array([1, *self.inner_steps]),
            np.array([*self.temperatures.exponents, 1.0]),
            self.temperatures.levels[-1],
        )

    @property
    def moves_per_step(self) -> tuple[int, ...]:
        """How many moves of each level are tried in one outer step."""
        counts = [1]
        for n in self.inner_steps:  # for each move of the level above, and each term
            loops = 1 if len(counts) == 1 else 2
            counts.append(loops * counts[-1] * n)
        return tuple(counts)

    @property
    def uniforms_per_step(self) -> int:
        """How many uniforms one outer step uses."""
        return 2 * sum(self.moves_per_step)

    def __call__(
        self, start: Sequence[int], steps: int, *, rng: np.random.Generator, n: int = 1
    ) -> TableRun:
        """n independent runs from one start.

        Parameters
        ----------
        start : sequence of int, shape (d,)
        steps : int
            T, outer steps.
        rng : numpy.random.Generator
        n : int
        """
        rng, steps = as_generator("rng", rng), as_count("steps", steps)
        n, m = as_count("n", n), self.uniforms_per_step
        w = self._starts(start, n)
        states = np.empty((n, steps, len(self.shape)), np.int64)
        accepted = np.zeros_like(w)
        block = max(1, BLOCK // (n * m))
        for t in range(0, steps, block):
            part = states[:, t : t + block]
            self._run(w, rng.random((n, part.shape[1], m)), part, accepted)
        return TableRun(states, w, accepted, self._tried(steps))

    def replay(self, start: Sequence[int], uniforms: Any) -> TableRun:
        """The core: the runs that these uniforms make.

        Parameters
        ----------
        start : sequence of int, shape (d,)
        uniforms : array_like, shape (n, steps, uniforms_per_step)
            Of [0, 1), in the order of use.
        """
        u = as_array("uniforms", uniforms, None)
        m = self.uniforms_per_step
        if not ((u >= 0) & (u < 1)).all():
            raise InvalidParameter("uniforms must be of [0, 1): 0 may be, 1 may not")
        if u.ndim != 3 or u.shape[-1] != m:
            raise InvalidParameter(
                f"uniforms must have shape (n, steps, {m}), got {u.shape}"
            )
        w = self._starts(start, len(u))
        states = np.empty((*u.shape[:2], len(self.shape)), np.int64)
        accepted = np.zeros_like(w)
        self._run(w, u, states, accepted)
        return TableRun(states, w, accepted, self._tried(u.shape[1]))

    def _run(self, w: Indices, u: Array, states: Indices, accepted: Indices) -> None:
        with np.errstate(divide="ignore", over="ignore"):  # the plain face: log 0, f
            run_kernel(w, u, *self._given, states, accepted)

    def _tried(self, steps: int) -> Indices:
        return steps * np.array(self.moves_per_step)

    def _starts(self, start: Sequence[int], n: int) -> Indices:
        try:
            w = np.asarray(start)
        except ValueError:  # of lists of several lengths
            w = np.zeros(0)
        whole = w.dtype.kind in "iu" and not np.ma.is_masked(start)
        if not whole or w.shape != (len(self.shape),):
            raise InvalidParameter(
                f"start must be {len(self.shape)} indices, got {start!r}"
            )
        if (w < 0).any() or (w >= self.shape).any():
            raise InvalidParameter(f"start must be within {self.shape}, got {start!r}")
        return np.tile(w.astype(np.int64), (n, 1))


def as_proposals(proposals: Sequence[Any], shape: tuple[int, ...]) -> list[Array]:
    """Proposal matrices for a table of this shape, one for each level.

    Raises
    ------
    InvalidParameter
        If they are not as many, not square, or their rows are no probabilities.
    """
    given = as_list("proposals", proposals)
    found = [as_array("a proposal matrix", one, 2) for one in given]
    if [one.shape for one in found] != [(n, n) for n in shape]:
        raise InvalidParameter(
            f"proposals must be square matrices of sizes {shape}, got shapes "
            f"{[one.shape for one in found]}"
        )
    for p in found:
        if not are_probabilities(p, 1e-12):
            raise InvalidParameter(
                f"the rows of a proposal matrix must be probabilities, got {p!r}"
            )
    return found


def are_probabilities(rows: Array, most: float) -> bool:
    """Whether no entry of the rows is negative, and their sums are within most of 1."""
    with np.errstate(over="ignore"):  # judged here
        off = np.abs(rows.sum(axis=1) - 1)
    return bool((rows >= 0).all() and (off <= most).all())


def uniform_over_others(n: int) -> Array:
    """The symmetric proposals that choose among the n - 1 other states, (n, n)."""
    if as_count("n", n) == 1:
        return np.ones((1, 1))
    return (np.ones((n, n)) - np.eye(n)) / (n - 1)
