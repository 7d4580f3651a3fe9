"""Known mistakes in multilevel Metropolis: the last of L.

    step(k):  propose v for w_k;  record w if k = 1;  w_k = v with probability
              q_k(v|w_<k) p(v -> w_k) / (q_k(w_k|w_<k) p(w_k -> v)) R^theta_k,
    R the mean over T' steps of level k + 1 of the same for the prefixes with v and w_k;
    of the last level R = exp(-(f(v) - f(w))/lambda_d).

One routine with hooks; without any it is the algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from verification.mistakes.mistake import Fault, Mistake
from verification.truth.multiscale_sampling import counts

Array = NDArray[np.float64]
Levels = list[Any]  # one array for each level, its first axis the replicates

SAMPLERS = ("multilevel_metropolis", "multilevel_metropolis_gaussian")


class _Table:
    """A table with proposals, for n replicates at once."""

    def __init__(self, f: Any, Q: Any, proposals: Any) -> None:
        self._f = np.asarray(f, dtype=float)
        with np.errstate(divide="ignore"):
            Q = np.asarray(Q, dtype=float)
            sums = [Q.sum(axis=tuple(range(k, Q.ndim))) for k in range(Q.ndim + 1)]
            self._log_q = [
                np.log(of / above[..., None]) for above, of in pairwise(sums)
            ]
            self._log_p = [np.log(np.asarray(of)) for of in proposals]
        self._edges = [np.cumsum(of, axis=1)[:, :-1] for of in proposals]

    def proposed(self, k: int, w: Levels, noise: _Noise, _: Metropolis) -> Any:
        """A value for level k, and the log of p(back)/p(there)."""
        u = noise.uniform()
        v = (u[:, None] >= self._edges[k][w[k]]).sum(axis=1)
        return v, self._log_p[k][v, w[k]] - self._log_p[k][w[k], v]

    def log_prior(self, prefix: Levels) -> Any:
        """log q_k of the last level given those above it."""
        return self._log_q[len(prefix) - 1][tuple(prefix)]

    def energy(self, w: Levels) -> Any:
        """f(w)."""
        return self._f[tuple(w)]


class _Flat:
    """A loss in R^N without a reference, with normal proposals."""

    def __init__(self, loss: Any, scales: Any) -> None:
        self._loss, self._scales = loss, np.asarray(scales, dtype=float)

    def proposed(self, k: int, w: Levels, noise: _Noise, slip: Metropolis) -> Any:
        """A value for level k, and 0."""
        z = slip.normals(noise.normal(w[k].shape[1]))
        return w[k] + slip.scale(self._scales[k]) * z, 0.0

    def log_prior(self, prefix: Levels) -> Any:
        """0: the reference is flat."""
        del prefix
        return 0.0

    def energy(self, w: Levels) -> Any:
        """f of all levels together."""
        return np.asarray(self._loss(np.concatenate(w, axis=1)))


class _Noise:
    """The noise of one outer step, a column for every question: (n, m)."""

    def __init__(self, uniforms: Array, normals: Array) -> None:
        self._uniforms, self._normals = iter(uniforms.T), iter(normals.T)

    def uniform(self) -> Array:
        """The next uniforms, (n,)."""
        return np.asarray(next(self._uniforms))

    def normal(self, size: int) -> Array:
        """The next normals, (n, size)."""
        return np.stack([next(self._normals) for _ in range(size)], axis=1)


def _log_mean(logs: Array, moved: Array) -> Array:
    """log of the mean of exp along the first axis, whatever moved."""
    del moved
    return np.asarray(logsumexp(logs, axis=0) - np.log(len(logs)))


@np.errstate(all="ignore")
def _log_mean_of_moved(logs: Array, moved: Array) -> Array:
    kept = np.where(moved, logs, -np.inf)
    return np.asarray(logsumexp(kept, axis=0) - np.log(moved.sum(axis=0)))


@dataclass(frozen=True)
class Metropolis:
    """Multilevel Metropolis for n replicates at once; every default is right.

    Attributes
    ----------
    theta : callable
        The exponent of level k from the temperatures, k counted from 0.
    decided, averaged : callable
        The temperature of the energies, from the temperatures: in the decisions of the
        last level, and in averages.
    average : callable
        The log of the ratio from its terms, (T', n), and from where level k + 1 moved.
    prior, importance, way_back : float
        Factors of the log ratios of the reference in a decision and in an average, and
        of that of the proposals.
    late : bool
        Whether the state is recorded after the outer decision.
    early : bool
        Whether a term belongs to the state before the inner step.
    ahead : bool
        Whether the inner chain runs at the proposal.
    back : bool
        Whether the levels below are put back where a proposal is rejected.
    scale : callable
        The standard deviation of normal proposals from the one given.
    normals, noise : callable
        Normals (n, size) and uniforms (n, steps, m) used from those drawn.
    """

    theta: Callable[[Any, int], float] = lambda lam, k: lam[k + 1] / lam[k]
    decided: Callable[[Any], float] = lambda lam: lam[-1]
    averaged: Callable[[Any], float] = lambda lam: lam[-1]
    average: Callable[[Array, Array], Array] = _log_mean
    prior: float = 1.0
    importance: float = 1.0
    way_back: float = 1.0
    late: bool = False
    early: bool = False
    ahead: bool = False
    back: bool = False
    scale: Callable[[float], float] = lambda s: s
    normals: Callable[[Array], Array] = lambda z: z
    noise: Callable[[Array], Array] = lambda u: u

    # --- as methods of a subject

    def table(
        self,
        _right: Any,
        f: Any,
        Q: Any,
        lam: Any,
        proposals: Any,
        inner_steps: Any,
        steps: int,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        """`multilevel_metropolis` as this makes it."""
        if draws is None:
            m = 2 * sum(counts(inner_steps))
            draws = np.random.default_rng(seed).random((n, steps, m))
        u = self.noise(np.asarray(draws))
        w = [np.full(len(u), level) for level in np.asarray(start)]
        nothing = np.zeros((*u.shape[:2], 0))
        of = _Table(f, Q, proposals)
        run = self._run(of, lam, inner_steps, w, u, nothing)
        return np.stack([np.stack(levels, axis=1) for levels in run], axis=1)

    def flat(
        self,
        _right: Any,
        loss: Any,
        sizes: Any,
        lam: Any,
        scales: Any,
        inner_steps: Any,
        steps: int,
        *,
        start: Any = None,
        draws: Any = None,
        uniforms: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """`multilevel_metropolis_gaussian` as this makes it."""
        if draws is None:
            rng, made = np.random.default_rng(seed), counts(inner_steps)
            draws = rng.standard_normal((n, steps, int(np.dot(made, sizes))))
            uniforms = rng.random((n, steps, sum(made)))
        u, z = self.noise(np.asarray(uniforms)), self.noise(np.asarray(draws))
        parts = np.split(np.asarray(start, dtype=float), np.cumsum(sizes)[:-1])
        w = [np.tile(part, (len(u), 1)) for part in parts]
        run = self._run(_Flat(loss, scales), lam, inner_steps, w, u, z)
        return np.stack([np.concatenate(levels, axis=1) for levels in run], axis=1)

    # --- the algorithm

    @np.errstate(all="ignore")  # the judge looks at the numbers
    def _run(
        self, model: Any, lam: Any, inner: Any, w: Levels, u: Array, z: Array
    ) -> Iterator[Levels]:
        """The recorded levels of every outer step; w is changed in place."""
        step = _Step(self, model, np.asarray(lam, dtype=float), tuple(inner))
        for t in range(u.shape[1]):
            recorded = step.outer(w, _Noise(u[:, t], z[:, t]))
            yield list(w) if self.late else recorded


class _Step:
    """The two procedures that call each other."""

    def __init__(self, slip: Metropolis, model: Any, lam: Array, inner: Any) -> None:
        self._slip, self._model, self._lam, self._inner = slip, model, lam, inner
        self._recorded: Levels = []

    def outer(self, w: Levels, noise: _Noise) -> Levels:
        """One step of level 1; what is to be recorded."""
        with np.errstate(all="ignore"):
            self._move(0, w, noise)
        return self._recorded

    def _move(self, k: int, w: Levels, noise: _Noise) -> Array:
        """One step of level k, in place; whether it moved, (n,)."""
        slip, model = self._slip, self._model
        v, way_back = model.proposed(k, w, noise, slip)
        hat, before = [*w[:k], v], list(w)
        last = k + 1 == len(w)
        cold = (slip.decided if last else slip.averaged)(self._lam)
        log_ratio = self._log_ratio(hat, w, noise, cold)
        if k == 0:
            self._recorded = list(w)
        change = model.log_prior(hat) - model.log_prior(w[: k + 1])
        odds = slip.prior * change + slip.way_back * way_back
        u = noise.uniform()
        moved = np.asarray(np.log(u) < odds + self._theta(k) * log_ratio)
        for j in range(k, len(w)):
            new = v if j == k else w[j]
            old = before[j] if slip.back else w[j]
            where = moved.reshape(-1, *[1] * (np.ndim(new) - 1))
            w[j] = np.where(where, new, old)
        return moved

    def _theta(self, k: int) -> float:
        return self._slip.theta(self._lam, k) if k + 1 < len(self._lam) else 1.0

    def _log_ratio(self, hat: Levels, w: Levels, noise: _Noise, cold: float) -> Array:
        slip, model, k = self._slip, self._model, len(hat)
        if k == len(w):
            return np.asarray((model.energy(w) - model.energy(hat)) / cold)
        terms, moves = [], []
        for _ in range(self._inner[k - 1]):
            before, inner = list(w), [*hat, *w[k:]] if slip.ahead else w
            moves.append(self._move(k, inner, noise))
            w[k:] = inner[k:]
            here = before if slip.early else w
            longer = [*hat, here[k]]
            change = model.log_prior(longer) - model.log_prior(here[: k + 1])
            ratio = self._log_ratio(longer, here, noise, cold)
            terms.append(slip.importance * change + self._theta(k) * ratio)
        return slip.average(np.stack(terms), np.stack(moves))


def _one_step_for_all(noise: Array) -> Array:
    return np.broadcast_to(noise[:, :1], noise.shape)


def _one_for_all(noise: Array) -> Array:
    return np.broadcast_to(noise[:1], noise.shape)


def _one(lam: Any, k: int) -> float:
    del lam, k
    return 1.0


def _index_ratio(lam: Any, k: int) -> float:
    sigma = np.asarray(lam) - np.append(np.asarray(lam)[1:], 0.0)
    return float(sigma[k + 1] / sigma[k])


def sampler(id_: str, name: str, sentence: str, slip: Metropolis) -> Mistake:
    """The entry of one slip in multilevel Metropolis, planted wherever it shows."""
    faults: dict[str, Fault] = {}
    of_normals = replace(slip, scale=Metropolis.scale, normals=Metropolis.normals)
    if of_normals != Metropolis():
        faults["multilevel_metropolis"] = slip.table
    of_tables = replace(slip, prior=1.0, importance=1.0, way_back=1.0)
    if of_tables != Metropolis():
        faults["multilevel_metropolis_gaussian"] = slip.flat
    return Mistake(id_, name, sentence, faults)


def _no_seed(method: str) -> Fault:
    def wrong(right: Any, *arguments: Any, seed: Any = None, **given: Any) -> Any:
        del seed
        return getattr(right, method)(*arguments, **given)

    return wrong


# --- the entries ----------------------------------------------------------------------

METROPOLIS = (
    sampler(
        "L27",
        "exponent from the index",
        "the outer exponent is sigma_2/sigma_1, 1/2 for sigma = (2, 1), where it is "
        "sigma_2/(sigma_1 + sigma_2), 1/3",
        Metropolis(theta=_index_ratio),
    ),
    sampler(
        "L28",
        "outer exponent forgotten",
        "the ratio decides on the outer move as it is, at the inner temperature",
        Metropolis(theta=_one),
    ),
    sampler(
        "L29",
        "recorded after the outer decision",
        "the state is recorded with its new w_1 and the w_2 of the old one",
        Metropolis(late=True),
    ),
    sampler(
        "L30",
        "rejected inner steps left out",
        "the average is over the inner steps that were accepted",
        Metropolis(average=_log_mean_of_moved),
    ),
    sampler(
        "L31",
        "prior ratio forgotten",
        "q_k(new)/q_k(old) is missing in the decisions",
        Metropolis(prior=0.0),
    ),
    sampler(
        "L32",
        "importance ratio forgotten",
        "the average lacks the ratio of the reference at the two prefixes",
        Metropolis(importance=0.0),
    ),
    sampler(
        "L33",
        "proposals taken for symmetric",
        "p(new -> old)/p(old -> new) is missing in the decisions",
        Metropolis(way_back=0.0),
    ),
    sampler(
        "L34",
        "average of the logs",
        "the energy differences are averaged, not their exponentials",
        Metropolis(average=lambda logs, _: logs.mean(axis=0)),
    ),
    sampler(
        "L35",
        "averaged before the inner move",
        "a term of the average belongs to the state before the inner step",
        Metropolis(early=True),
    ),
    sampler(
        "L36",
        "last inner step alone",
        "the ratio is that of the last inner step, not the average over all",
        Metropolis(average=lambda logs, _: logs[-1]),
    ),
    sampler(
        "L37",
        "inner chain at the proposal",
        "the inner chain runs at the proposed w_1, not at the present one",
        Metropolis(ahead=True),
    ),
    sampler(
        "L38",
        "power within the average",
        "every term is raised to the power theta, and their mean decides",
        Metropolis(averaged=lambda lam: lam[0], theta=_one),
    ),
    sampler(
        "L39",
        "coarse temperature in the inner chain",
        "the inner moves are decided upon at lambda_1",
        Metropolis(decided=lambda lam: lam[0]),
    ),
    sampler(
        "L40",
        "inner levels put back on rejection",
        "where an outer move is rejected the inner levels are what they were before",
        Metropolis(back=True),
    ),
    sampler(
        "L41",
        "deviation of a proposal as its variance",
        "the proposals have the variance that is given as their standard deviation",
        Metropolis(scale=np.sqrt),
    ),
    sampler(
        "L42",
        "one normal for a whole level",
        "all coordinates of a level are moved by the same normal",
        Metropolis(normals=lambda z: z[:, :1] + 0 * z),
    ),
    sampler(
        "L43",
        "runs share their noise",
        "one stream of noise serves all runs of multilevel Metropolis in a call",
        Metropolis(noise=_one_for_all),
    ),
    sampler(
        "L44",
        "noise of the first outer step",
        "every outer step uses the noise of the first",
        Metropolis(noise=_one_step_for_all),
    ),
    Mistake(
        "L45",
        "seed of multilevel Metropolis ignored",
        "the seed is ignored: the same one gives different records",
        {method: _no_seed(method) for method in SAMPLERS},
    ),
)
