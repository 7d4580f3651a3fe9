"""Multilevel Metropolis with its noise given, in any numbers, and its exact law.

    step(k):  propose v for w_k;  log R = log_ratio(v̂), v̂ = (w_<k, v);
              the state is recorded here if k = 1;
              w_k = v with probability R^θ_k, θ_k = λ_{k+1}/λ_k and θ_d = 1, times
              q_k(v|w_<k) p(v → w_k) / (q_k(w_k|w_<k) p(w_k → v)).
    log_ratio(v̂) for a prefix v̂ of k levels:  −(f(v̂) − f(w))/λ_d if k = d, else the log
              of the mean over T'_{k+1} steps of level k + 1 of
              q_{k+1}(w_{k+1}|v̂) / q_{k+1}(w_{k+1}|w_≤k) · R(v̂, w_{k+1})^θ_{k+1}.

For two levels and a flat reference this is the published algorithm.  Written once for
whoever answers its questions, *which value is proposed* and *is it accepted*: given
uniforms (a replay), uniforms that are being chosen (a design), or all answers in turn
with their probabilities (the law).  For two levels all of it once more by the published
loops, and by enumeration of the paths of the inner chain.  For any number of levels the
recursion, with means over P* in place of those over an inner chain, must be the ratio
of partition functions, which other routes know.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from verification.truth import closed_forms as cf
from verification.truth.carriers import MP, Carrier, Double, Number

__all__ = [
    "Decided",
    "Designed",
    "Finite",
    "Flat",
    "Given",
    "Model",
    "counts",
    "designed_run",
    "kernel",
    "mean_ratio",
    "path_kernel",
    "published",
    "replayed",
    "stationary",
]

Array = npt.NDArray[np.float64]
State = list[Any]  # one entry for each level
#: From a state, (recorded state, next state) to its probability.
Kernel = dict[tuple[Any, ...], dict[tuple[Any, Any], float]]

DOUBLE, DIGITS = Double(), MP(30)

NEAR = 2.0**-5
"""How far the logs of designed uniforms stand from those of the odds."""

LEAST = -60.0
"""Logs of uniforms below are none of single precision that occur."""

CLEAR_OF_ODDS, CLEAR_OF_EDGES = 2.0**-6, 2.0**-10
"""Nearer than that nothing is decided: a tie within the rounding of some subject."""


class Source(Protocol):
    """Who answers the questions of a run."""

    def choose(self, row: Sequence[Number]) -> int:
        """Return a column, drawn with the probabilities of the row."""
        ...

    def normals(self, count: int) -> list[float]:
        """Return standard normals."""
        ...

    def decide(self, odds: Number) -> bool:
        """Return whether a move of these log odds is made."""
        ...


# --- what is sampled ------------------------------------------------------------------


class Model(Protocol):
    """Energy, reference and proposals; a state is a list of levels."""

    ctx: Any
    temperatures: list[Number]

    def proposed(self, k: int, w: State, source: Source) -> tuple[Any, Number]:
        """Return a value for level k, and the log of p(back)/p(there)."""
        ...

    def log_prior(self, prefix: State) -> Number:
        """Return log q_k of the last level of a prefix given those above it."""
        ...

    def energy(self, w: State) -> Number: ...


class Finite:
    """A table, with proposals given as row-stochastic matrices, one for each level."""

    def __init__(
        self,
        ctx: Carrier,
        energies: Any,
        reference: Any,
        temperatures: Sequence[Any],
        proposals: Sequence[Any],
    ) -> None:
        self.ctx, self.temperatures = ctx, [ctx.number(v) for v in temperatures]
        number = np.frompyfunc(ctx.number, 1, 1)
        self._f = np.asarray(number(np.asarray(energies, dtype=object)), dtype=object)
        self._Q = [number(np.asarray(reference, dtype=object))]
        self._logs: dict[tuple[int, ...], Number] = {}
        while self._Q[0].ndim:
            self._Q.insert(0, np.asarray(self._Q[0].sum(axis=-1), dtype=object))
        self._proposals = [
            [[ctx.number(float(p)) for p in row] for row in matrix]
            for matrix in proposals
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of each level."""
        return self._f.shape

    def proposed(self, k: int, w: State, source: Source) -> tuple[int, Number]:
        """Return a value for level k, and the log of p(back)/p(there)."""
        row = self._proposals[k][w[k]]
        v = source.choose(row)
        there, back = row[v], self._proposals[k][v][w[k]]
        if not back > 0:
            return v, self.ctx.number(-math.inf)
        return v, self.ctx.log(back / there)

    def log_prior(self, prefix: State) -> Number:
        """Return log q_k of the last level of a prefix given those above it."""
        k, at = len(prefix), tuple(prefix)
        if at not in self._logs:
            self._logs[at] = self.ctx.log(self._Q[k][at] / self._Q[k - 1][at[:-1]])
        return self._logs[at]

    def energy(self, w: State) -> Number:
        """Return f(w)."""
        return self._f[tuple(w)]


class Flat:
    """Any loss in R^n without a reference; normal proposals of given deviations."""

    def __init__(
        self,
        ctx: Carrier,
        loss: Any,
        temperatures: Sequence[Any],
        scales: Sequence[Any],
    ) -> None:
        self.ctx, self._loss = ctx, loss
        self.temperatures = [ctx.number(v) for v in temperatures]
        self._scales = [ctx.number(v) for v in scales]
        self._known: dict[tuple[Any, ...], Number] = {}

    def proposed(self, k: int, w: State, source: Source) -> tuple[Any, Number]:
        """Return a value for level k, and 0: the proposals are symmetric."""
        s, z = self._scales[k], source.normals(len(w[k]))
        moved = [a + s * self.ctx.number(b) for a, b in zip(w[k], z, strict=True)]
        return tuple(moved), self.ctx.number(0)

    def log_prior(self, prefix: State) -> Number:
        """Return 0: the reference is flat."""
        del prefix
        return self.ctx.number(0)

    def energy(self, w: State) -> Number:
        """Return f at all levels together; a state is asked for several times."""
        at = tuple(v for level in w for v in level)
        if at not in self._known:
            self._known[at] = cf.value(self.ctx, self._loss, list(at))
        return self._known[at]


# --- a run ----------------------------------------------------------------------------


@dataclass
class _Run:
    """The two procedures of the module's docstring; levels are counted from 0."""

    model: Model
    inner_steps: Sequence[int]
    source: Source
    recorded: State = field(default_factory=list)

    def outer_step(self, w: State) -> State:
        """Change the state in place by one step; return what is recorded."""
        self._step(0, w)
        return self.recorded

    def _step(self, k: int, w: State) -> None:
        v, way_back = self.model.proposed(k, w, self.source)
        hat = [*w[:k], v]
        log_ratio = self._log_ratio(hat, w)
        if k == 0:
            self.recorded = list(w)
        change = self.model.log_prior(hat) - self.model.log_prior(w[: k + 1])
        if self.source.decide(change + way_back + self._theta(k) * log_ratio):
            w[k] = v

    def _theta(self, k: int) -> Number:
        lam = self.model.temperatures
        return lam[k + 1] / lam[k] if k + 1 < len(lam) else self.model.ctx.number(1)

    def _log_ratio(self, hat: State, w: State) -> Number:
        model, k = self.model, len(hat)
        if k == len(w):
            return (model.energy(w) - model.energy(hat)) / model.temperatures[-1]
        terms, weights = [], []
        for weight in self._visits(k, w):
            longer = [*hat, w[k]]
            change = model.log_prior(longer) - model.log_prior(w[: k + 1])
            terms.append(change + self._theta(k) * self._log_ratio(longer, w))
            weights.append(weight)
        return _log_mean_exp(model.ctx, terms, weights)

    def _visits(self, k: int, w: State) -> Iterator[Any]:
        """Set level k to what the mean is over, one after the other; yield weights."""
        for _ in range(self.inner_steps[k - 1]):
            self._step(k, w)
            yield 1


@dataclass
class _Exact(_Run):
    """The same with means over given laws of each level, (w_1, ..., w_k) -> number."""

    laws: Sequence[Any] = ()

    def _visits(self, k: int, w: State) -> Iterator[Any]:
        for value, weight in enumerate(self.laws[k][tuple(w[:k])]):
            w[k] = value
            yield weight


def mean_ratio(model: Finite, laws: Sequence[Any], hat: State, w: State) -> Number:
    """Return the log of a prefix's ratio, by the recursion with means over P*.

    It is log Z_{k+1}(hat) − log Z_{k+1}(w_≤k): both recursions, that of the ratios with
    its exponents and its reference, and that of the partition functions, are checked.

    Parameters
    ----------
    laws : sequence of arrays
        The conditionals of P*, that of level k with k axes.
    hat, w : sequence of int
        A prefix of k levels, and one that differs from it in the last.
    """
    below = [0] * (len(model.shape) - len(w))
    return _Exact(model, (), Given(iter(())), laws=laws)._log_ratio(hat, [*w, *below])


def _log_mean_exp(ctx: Carrier, terms: list[Number], weights: list[Any]) -> Number:
    top = ctx.maximum(terms)
    pairs = zip(terms, weights, strict=True)
    total = ctx.sum([weight * ctx.exp(a - top) for a, weight in pairs])
    return top + ctx.log(total / sum(weights))


def counts(inner_steps: Sequence[int]) -> list[int]:
    """Return how many steps of each level one outer step makes."""
    made, below = [1], 1  # ratios that the next level has to estimate
    for inner in inner_steps:
        made.append(inner * below)
        # each such step needs one ratio for itself and one for the average
        below = 2 * made[-1]
    return made


# --- with given noise -----------------------------------------------------------------


@dataclass
class Given:
    """Uniforms and normals that are given, used in their order.

    Attributes
    ----------
    edges, odds : float
        How near a uniform came to an edge of a row, and its log to the odds.
    """

    uniforms: Iterator[float]
    normal: Iterator[float] = field(default_factory=lambda: iter(()))
    edges: float = math.inf
    odds: float = math.inf

    def choose(self, row: Sequence[Number]) -> int:
        """Return the first column whose cumulated probability exceeds the uniform."""
        u, chosen = next(self.uniforms), None
        for column, edge in _edges(row):
            self.edges = min(self.edges, abs(float(edge - u)))
            if chosen is None and u < edge:
                chosen = column
        # the last edge is 1, which rounding must not keep a uniform from
        return _last(row) if chosen is None else chosen

    def normals(self, count: int) -> list[float]:
        """Return the next normals."""
        return [next(self.normal) for _ in range(count)]

    def decide(self, odds: Number) -> bool:
        """Return whether the log of the uniform is below."""
        log_u = math.log(next(self.uniforms))
        self.odds = min(self.odds, abs(float(odds) - log_u))
        return log_u < odds


@dataclass
class Decided:
    """Decisions that are known, and normals; nothing is left to odds."""

    decisions: Iterator[bool]
    normal: Iterator[float]

    def choose(self, row: Sequence[Number]) -> int:
        """Refuse: there is no table."""
        raise TypeError(f"a choice among {len(row)} is no decision")

    def normals(self, count: int) -> list[float]:
        """Return the next normals."""
        return [next(self.normal) for _ in range(count)]

    def decide(self, odds: Number) -> bool:
        """Return the next decision."""
        del odds
        return next(self.decisions)


def _edges(row: Sequence[Number]) -> Iterator[tuple[int, Number]]:
    """Yield the columns and their cumulated probabilities, all but the last."""
    total = row[0] - row[0]
    for column in range(_last(row)):
        total = total + row[column]
        yield column, total


def _last(row: Sequence[Number]) -> int:
    return max(j for j, p in enumerate(row) if p > 0)


def replayed(
    model: Model, inner_steps: Sequence[int], start: State, source: Source, steps: int
) -> list[State]:
    """Return the recorded states of so many outer steps."""
    w, run = list(start), _Run(model, inner_steps, source)
    return [run.outer_step(w) for _ in range(steps)]


def published(
    model: Model, inner_steps: int, start: State, source: Source, steps: int
) -> list[State]:
    """Return the same for two levels, by the published loops and plain products."""
    ctx = model.ctx
    hot, cold = model.temperatures
    w1, w2 = start
    records = []
    for _ in range(steps):
        v1, back1 = model.proposed(0, [w1, w2], source)
        S = ctx.number(0)
        for _ in range(inner_steps):
            v2, back2 = model.proposed(1, [w1, w2], source)
            ahead = model.energy([w1, v2]) - model.energy([w1, w2])
            ahead = ahead / cold + model.log_prior([w1, w2])
            if source.decide(back2 - ahead + model.log_prior([w1, v2])):
                w2 = v2
            weight = model.log_prior([v1, w2]) - model.log_prior([w1, w2])
            rise = model.energy([v1, w2]) - model.energy([w1, w2])
            S = S + ctx.exp(weight) * ctx.exp(-(rise / cold))
        records.append([w1, w2])
        odds = ctx.exp(cold / hot * ctx.log(S / inner_steps))
        odds = odds * ctx.exp(model.log_prior([v1]) - model.log_prior([w1]))
        if source.decide(back1 + ctx.log(odds)):
            w1 = v1
    return records


# --- noise that tells -----------------------------------------------------------------


@dataclass
class Designed:
    """Uniforms that stand a little above or below the odds, while a run asks for them.

    A number like a uniform decides, and is then moved towards the odds on its own side:
    a run goes as runs do, but an implementation whose odds differ by more than NEAR
    decides otherwise, sooner or later, and one that is right decides alike whatever its
    rounding.  All are numbers of single precision.

    Parameters
    ----------
    fractions : iterator of float
        Numbers like uniforms, of which the design makes its own.
    normal : iterator of float
        Numbers like standard normals, taken as they are.
    """

    fractions: Iterator[float]
    normal: Iterator[float] = field(default_factory=lambda: iter(()))
    uniforms: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    decisions: list[bool] = field(default_factory=list)

    def choose(self, row: Sequence[Number]) -> int:
        """Choose a column by a uniform that is clear of all edges."""
        return self._settled(lambda u: _chosen(row, u, CLEAR_OF_EDGES))

    def normals(self, count: int) -> list[float]:
        """Take the next normals."""
        taken = [next(self.normal) for _ in range(count)]
        self.used += taken
        return taken

    def decide(self, odds: Number) -> bool:
        """Decide by a uniform near the odds, or by any where that is not possible."""
        self.decisions.append(self._decided(odds))
        return self.decisions[-1]

    def _decided(self, odds: Number) -> bool:
        likely = math.exp(min(0.0, float(odds)))
        above = next(self.fractions) >= likely
        wanted = float(odds) + (NEAR if above else -NEAR)
        if LEAST < wanted < -NEAR / 2:
            u = float(np.float32(math.exp(wanted)))
            self.uniforms.append(u)
            return math.log(u) < odds
        decided: bool = self._settled(lambda u: _decided(odds, u, CLEAR_OF_ODDS))
        return decided

    def _settled(self, answer: Any) -> Any:
        """Return the answer of the first fraction that gives one."""
        for fraction in self.fractions:
            u = float(np.float32(fraction))
            found = answer(u) if 0 < u < 1 else None
            if found is not None:
                self.uniforms.append(u)
                return found
        raise ValueError("the fractions have come to their end")


def _chosen(row: Sequence[Number], u: float, clear: float) -> int | None:
    given = Given(iter([u]))
    column = given.choose(row)
    return column if given.edges > clear else None


def _decided(odds: Number, u: float, clear: float) -> bool | None:
    given = Given(iter([u]))
    accepted = given.decide(odds)
    return accepted if given.odds > clear else None


def designed_run(
    model: Model,
    inner_steps: Sequence[int],
    start: State,
    source: Designed,
    steps: int,
) -> tuple[list[State], Array, Array]:
    """Return the records, and the uniforms and normals of each outer step, by rows."""
    records = replayed(model, inner_steps, start, source, steps)
    rows = np.array(source.uniforms).reshape(steps, -1)
    return records, rows, np.array(source.used).reshape(steps, -1)


# --- the law --------------------------------------------------------------------------


class _Scripted:
    """All answers in turn: those of a script, then the first that is possible."""

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.taken: list[tuple[int, int]] = []  # which, out of how many
        self.probability = 1.0

    def choose(self, row: Sequence[Number]) -> int:
        """Take a column of positive probability."""
        columns = [j for j, p in enumerate(row) if p > 0]
        return columns[self._take([float(row[j]) for j in columns])]

    def normals(self, count: int) -> list[float]:
        """Refuse: they cannot be enumerated."""
        raise TypeError(f"{count} normals have no finite law")

    def decide(self, odds: Number) -> bool:
        """Accept or reject, unless one of the two is certain."""
        accept = math.exp(min(0.0, float(odds)))
        options = [(True, accept), (False, 1 - accept)]
        options = [(answer, p) for answer, p in options if p > 0]
        return options[self._take([p for _, p in options])][0]

    def _take(self, probabilities: list[float]) -> int:
        place = len(self.taken)
        which = self.script[place] if place < len(self.script) else 0
        self.taken.append((which, len(probabilities)))
        self.probability *= probabilities[which]
        return which

    def next_script(self) -> list[int] | None:
        """Return the script after this one, None after the last."""
        taken = list(self.taken)
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return None
        return [which for which, _ in taken[:-1]] + [taken[-1][0] + 1]


def kernel(model: Finite, inner_steps: Sequence[int]) -> Kernel:
    """Return the law of one outer step from every state, by all sequences of answers.

    For each state the probability of every pair of a recorded and a next state.
    """
    found: Kernel = {}
    for start in product(*map(range, model.shape)):
        law: dict[tuple[Any, Any], float] = {}
        script: list[int] | None = []
        while script is not None:
            source, w = _Scripted(script), list(start)
            recorded = _Run(model, inner_steps, source).outer_step(w)
            pair = (tuple(recorded), tuple(w))
            law[pair] = law.get(pair, 0.0) + source.probability
            script = source.next_script()
        found[start] = law
    return found


def path_kernel(
    ctx: Carrier,
    energies: Any,
    reference: Any,
    temperatures: Sequence[Any],
    proposals: Sequence[Any],
    inner_steps: int,
) -> npt.NDArray[Any]:
    """Return the same law for two levels, by all paths of the inner chain.

    Returns
    -------
    ndarray, shape (n1, n2, n2, n1)
        Of numbers of the carrier: from (w_1, w_2) the probability that (w_1, r) is
        recorded and v is the next w_1; the next w_2 is r.
    """
    hot, cold = (ctx.number(v) for v in temperatures)
    number = np.frompyfunc(lambda v: ctx.number(float(v)), 1, 1)
    f, Q, P1, P2 = map(number, map(np.asarray, (energies, reference, *proposals)))
    first = Q.sum(axis=1)
    n1, n2 = f.shape
    weight = Q / first[:, None] * np.frompyfunc(ctx.exp, 1, 1)(-f / cold)
    one, zero = ctx.number(1), ctx.number(0)
    found = np.full((n1, n2, n2, n1), zero, dtype=object)
    for w1 in range(n1):
        inner = _metropolis(one, weight[w1], P2)
        for path in product(range(n2), repeat=inner_steps + 1):
            likely = one
            for a, b in pairwise(path):
                likely = likely * inner[a][b]
            if likely == 0:
                continue
            left = likely
            for v1 in range(n1):
                if not P1[w1, v1] > 0:
                    continue
                terms = [weight[v1, w] / weight[w1, w] for w in path[1:]]
                A = ctx.sum(terms) / inner_steps
                odds = ctx.exp(cold / hot * ctx.log(A)) * first[v1] / first[w1]
                odds = odds * P1[v1, w1] / P1[w1, v1]
                moved = likely * P1[w1, v1] * min(one, odds)
                found[w1, path[0], path[-1], v1] += moved
                left = left - moved
            found[w1, path[0], path[-1], w1] += left
    return found


def _metropolis(one: Number, weight: Any, proposals: Any) -> list[list[Number]]:
    """Return the transition matrix of Metropolis for these weights."""
    rows = []
    for a, row in enumerate(proposals):
        moves = [
            p * min(one, weight[b] * proposals[b, a] / (weight[a] * p))
            if p > 0 and b != a
            else one - one
            for b, p in enumerate(row)
        ]
        stay = one
        for move in moves:
            stay = stay - move
        rows.append([stay if b == a else move for b, move in enumerate(moves)])
    return rows


def stationary(law: Kernel) -> tuple[dict[Any, float], dict[Any, float]]:
    """Return the stationary laws of what is recorded and of the state after a step."""
    states = list(law)
    place = {state: i for i, state in enumerate(states)}
    K = np.zeros((len(states), len(states)))
    for state, pairs in law.items():
        for (_, after), p in pairs.items():
            K[place[state], place[after]] += p
    A = np.vstack([K.T - np.eye(len(states)), np.ones(len(states))])
    right = np.append(np.zeros(len(states)), 1.0)
    mass = np.linalg.lstsq(A, right, rcond=None)[0]
    recorded: dict[Any, float] = dict.fromkeys(states, 0.0)
    for state, pairs in law.items():
        for (seen, _), p in pairs.items():
            recorded[seen] += float(mass[place[state]] * p)
    return recorded, {state: float(mass[place[state]]) for state in states}


def as_kernel(paths: npt.NDArray[Any]) -> Kernel:
    """Return the array of `path_kernel` in the form of `kernel`."""
    n1, n2 = paths.shape[:2]
    found: Kernel = {}
    for w1, w2 in product(range(n1), range(n2)):
        cells: Iterable[tuple[int, int]] = product(range(n2), range(n1))
        found[w1, w2] = {
            ((w1, r), (v, r)): float(paths[w1, w2, r, v])
            for r, v in cells
            if paths[w1, w2, r, v] > 0
        }
    return found
