"""Algorithm 4: importance sampling for the mean of q, without gradients.

::

    Input: J.
    1. Sample x^1, ..., x^J from phi_{x,tau}.
    2. w^j = exp(-f(x^j)).
    Output: sum_j w^j x^j / sum_j w^j, an estimate of E_q X, (16).

The samples belong to fixed pieces of indices, each with a random stream of its own.
Workers take pieces; a piece returns its sums relative to its own largest weight, and
pieces are merged in their order.  So the result does not depend, to the last bit, on
the number of workers, on where they are and on who is done first, and no more than a
few blocks are in memory.

What leaves the process, if the caller's executor has workers elsewhere, is the law q
and the seeds of some pieces, once for every task; what comes back is a `WeightedSums`
for each piece.  Noise never travels.  A task may be run again: its seeds are not used
up by a first attempt.

Implementations are known that take tau for the standard deviation of the samples:
``noise="standard-deviation"`` is Algorithm 4 with tau^2 in place of tau.

State, relative to exp(top):  mass = sum w;  squares = sum w^2;  moment = sum w z.
"""

import pickle
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import islice
from traceback import walk_tb
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax

from refimpl.arrays import Array, as_count, as_generator, as_kind
from refimpl.errors import InvalidParameter, NonFinite
from refimpl.interfaces import FlatLaw, Loss, Projection
from refimpl.laws import GibbsLaw
from refimpl.losses.minibatch import Resampled
from refimpl.noise import (
    Reading,
    around,
    as_reading,
    normal_blocks,
    rows_per_block,
    variance_of,
)

PIECE = 4
"""Blocks of noise that share a stream: to begin one costs as much as a sample."""

TOGETHER = 16
"""Pieces in a task of the caller's executor, at most: an answer is (d,) for each."""


def samples_per_piece(d: int) -> int:
    """How many samples of d numbers share a stream, and are answered for together."""
    return PIECE * rows_per_block(d)


@dataclass(frozen=True)
class WeightedSums:
    """Sums over a set of samples, the weights divided by exp(top).

    Attributes
    ----------
    top : float
        The largest log-weight; -inf where every weight is zero.
    mass, squares : float
        Sums of w and of w^2.
    moment : ndarray, shape (d,)
        The sum of w z, z the standard normal of a sample.
    count : int
    """

    top: float
    mass: float
    squares: float
    moment: Array
    count: int

    def merged(self, other: "WeightedSums") -> "WeightedSums":
        """The sums over both sets."""
        top = max(self.top, other.top)
        if top == -np.inf:
            return WeightedSums(top, 0.0, 0.0, self.moment, self.count + other.count)
        with np.errstate(over="ignore"):  # exp(-inf) is the right answer
            a, b = np.exp(self.top - top), np.exp(other.top - top)
        return WeightedSums(
            top,
            float(a * self.mass + b * other.mass),
            float(a * a * self.squares + b * b * other.squares),
            a * self.moment + b * other.moment,
            self.count + other.count,
        )


@dataclass(frozen=True)
class Weights:
    """What `ImportanceSampling` tells of itself.

    Attributes
    ----------
    effective_sample_size : float
        (sum w)^2 / sum w^2, between 1 and J: near 1 one sample decides everything,
        and the estimate is worth no more than that sample.  A large value proves
        nothing: it compares the samples with one another and does not warn when all
        of them miss the mass of q.  For f = |y|^2/2 in d = 50, tau = 1 and every
        coordinate of x 0.5, it may say 6 of J = 1000 where J/rho is 0.09
        (`refimpl.output_laws.importance_law`).
    local_entropy : float
        -log of the mean weight, an estimate of F_tau at the centre.
    local_entropy_error : float
        Its standard error to first order, which means nothing unless the effective
        sample size is large: by its formula it is never above 1 for J > 1, however
        wrong the estimate.  Infinite for J = 1.
    normalised : ndarray or None, shape (J,)
        The weights themselves, with sum 1, if asked for.
    """

    effective_sample_size: float
    local_entropy: float
    local_entropy_error: float
    normalised: Array | None = None
    positions: ClassVar[tuple[Array, ...]] = ()

    def lifted(self, points: Sequence[Array], embed: Any) -> "Weights":
        """The same: weights have no place."""
        del points, embed
        return self


def log_weights(f: Loss, x: Array, tau: float, z: Array) -> Array:
    """-f at the samples of one block of noise z (m, d), shape (m,).

    Raises
    ------
    NonFinite
        If f is NaN or -inf at a sample; +inf is a weight of zero.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # judged below
        logs: Array = -f(around(x[None], tau, z[None])[0])
    if not logs.max() < np.inf:
        raise NonFinite(
            "f is NaN or -inf at a sample of phi, so that its weight is no number: "
            f"choose a smaller tau than {tau:g}, or a loss that is bounded below"
        )
    return logs


def weighed(logs: Array, z: Array) -> WeightedSums:
    """The sums over one block, from its log-weights (m,) and noise z (m, d)."""
    top = float(logs.max())
    if top == -np.inf:
        return WeightedSums(top, 0.0, 0.0, np.zeros(z.shape[1]), len(z))
    with np.errstate(over="ignore"):  # exp(-inf) is the right answer
        w = np.exp(logs - top)
    return WeightedSums(top, float(w.sum()), float(w @ w), w @ z, len(z))


def importance(
    x: Array, tau: float, blocks: Iterable[WeightedSums]
) -> tuple[Array, Weights]:
    """The core: the estimate of E_q X from the sums over the blocks, merged in order.

    Raises
    ------
    NonFinite
        If every weight is zero.
    """
    iterator = iter(blocks)
    total = next(iterator)
    for sums in iterator:
        total = total.merged(sums)
    if not total.mass > 0:
        raise NonFinite(
            f"f is +inf at each of {total.count} samples of phi: no weight is left; "
            f"choose a smaller tau than {tau:g}"
        )
    share = total.squares / total.mass**2  # sum of squares of normalised weights
    J = total.count
    spread = max(0.0, (J * share - 1) / (J - 1)) if J > 1 else np.inf
    weights = Weights(
        1 / share,
        -(total.top + float(np.log(total.mass / J))),
        float(np.sqrt(spread)),
    )
    return x + np.sqrt(tau) * (total.moment / total.mass), weights


@dataclass(frozen=True)
class Piece:
    """Samples with a random stream of their own.

    Attributes
    ----------
    size : int
    seed : numpy.random.SeedSequence
    """

    size: int
    seed: Any


@dataclass(frozen=True)
class Answer:
    """What comes back of a piece.

    Attributes
    ----------
    sums : WeightedSums
    logs : list of ndarray
        The log-weights of its blocks, if they are kept; else empty.
    """

    sums: WeightedSums
    logs: list[Array]


@dataclass(frozen=True)
class Weighing:
    """What one of the L processors does; it is sent to where that is.

    Attributes
    ----------
    f : Loss
    x : ndarray, shape (d,)
    variance : float
        Of the samples.
    bits : type
        Of the bit generators.
    keep : bool
        Whether log-weights are asked for.
    """

    f: Loss
    x: Array
    variance: float
    bits: Any
    keep: bool

    def answers(self, pieces: Sequence[Piece]) -> list[Answer]:
        """One for each piece."""
        return [self._answer(one) for one in pieces]

    def _answer(self, piece: Piece) -> Answer:
        kept: list[Array] = []

        def block(z: Array) -> WeightedSums:
            logs = log_weights(self.f, self.x, self.variance, z)
            if self.keep:
                kept.append(logs)
            return weighed(logs, z)

        rng = np.random.Generator(self.bits(piece.seed))
        blocks = normal_blocks(rng, piece.size, self.x.size)
        return Answer(reduce(WeightedSums.merged, map(block, blocks)), kept)


@dataclass(frozen=True)
class ImportanceSampling:
    """Algorithm 4 as an estimator of the mean of q.

    Parameters
    ----------
    J : int
        How many samples.
    workers : int
        L: how many threads, or tasks of the executor at a time, share them; the result
        does not depend on it.
    noise : {"variance", "standard-deviation"}
        What tau is of the samples of phi.  The paper's text says variance.
    keep_weights : bool
        Whether to keep the J normalised weights.
    executor : concurrent.futures.Executor, optional
        Where the samples are drawn and weighed, in place of threads of this process:
        processes, a Dask cluster's ``client.get_executor()``, `MPIPoolExecutor` of
        mpi4py.  It remains the caller's.  f must be a loss that can be pickled; it is
        sent once for every task.

    References
    ----------
    Algorithm 4, (16); checked by the family ALG4.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> q = GibbsLaw(Quadratic(1.0, [0.0]), np.array([2.0]), 1.0)
    >>> found = ImportanceSampling(J=4000)(q, rng=np.random.default_rng(0))
    >>> bool(abs(found.x[0] - 1.0) < 0.2)  # E_q X = 1
    True
    """

    J: int
    workers: int = 1
    noise: Reading = "variance"
    keep_weights: bool = False
    executor: Executor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        as_count("J", self.J)
        as_count("workers", self.workers)
        as_reading(self.noise)
        if not isinstance(self.executor, Executor | None):
            raise InvalidParameter(
                "executor must be one of concurrent.futures, or None, got "
                f"{self.executor!r}"
            )

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Projection:
        """An estimate of E_q X; its `info` is a `Weights`.

        Raises
        ------
        InvalidParameter
            For a bad rng, or one without a seed sequence; for a loss that cannot be
            sent where the executor computes; and for one that draws a fresh minibatch
            at every evaluation: weights are comparable only under one and the same
            loss (section 5.1.2).
        NonFinite
            If f is NaN or -inf at a sample, or +inf at all of them.
        """
        return self.run(q, rng=rng, start=self.first_state(q, previous))

    def first_state(self, q: GibbsLaw, previous: Projection | None) -> Array:
        """The centre, shape (d,)."""
        del previous
        return as_kind("q", q, GibbsLaw).x

    def flat_law(self, tau: float, info: Weights) -> FlatLaw:
        """The law where f is flat, given the weights: the variance is tau / ESS."""
        share = variance_of(tau, self.noise) / info.effective_sample_size
        return FlatLaw(np.zeros(1), np.array([[share]]))

    def run(self, q: GibbsLaw, *, rng: np.random.Generator, start: Array) -> Projection:
        """The estimate; there is no start to choose."""
        del start
        as_generator("rng", rng)
        if not hasattr(rng.bit_generator.seed_seq, "spawn"):
            raise InvalidParameter(
                "rng must have a seed sequence, from which pieces get their streams: "
                "make it by `refimpl.streams.stream` or numpy.random.default_rng"
            )
        if isinstance(q.f, Resampled):
            raise InvalidParameter(
                "importance weights are comparable only under one minibatch: use "
                "`minibatches`, one for each weight update, in place of `Resampled`"
            )
        variance = float(variance_of(q.tau, self.noise))
        bits = type(rng.bit_generator)
        weighing = Weighing(q.f, q.x, variance, bits, self.keep_weights)
        kept: list[Array] = []

        def sums() -> Iterator[WeightedSums]:
            for answers in self._in_order(weighing, self._tasks(q.x.size, rng)):
                for one in answers:
                    kept.extend(one.logs)
                    yield one.sums

        x, weights = importance(q.x, variance, sums())
        if self.keep_weights:
            with np.errstate(over="ignore"):  # exp(-inf) is the right answer
                weights = replace(weights, normalised=softmax(np.concatenate(kept)))
        return Projection(x, weights)

    def _tasks(self, d: int, rng: np.random.Generator) -> Iterator[list[Piece]]:
        """Pieces that follow one another, the same whatever shares them."""
        rows = samples_per_piece(d)
        starts = range(0, self.J, rows)
        # one after the other: there may be 10^5 pieces
        seeds = rng.bit_generator.seed_seq.spawn  # type: ignore[attr-defined]
        pieces = (Piece(min(rows, self.J - at), seeds(1)[0]) for at in starts)
        alone = self.executor is None  # nothing is sent: the less in memory the better
        share = 1 if alone else min(-(-len(starts) // self.workers), TOGETHER)
        while task := list(islice(pieces, share)):
            yield task

    def _in_order(
        self, weighing: Weighing, tasks: Iterable[list[Piece]]
    ) -> Iterator[list[Answer]]:
        """The answers to the tasks in their order, few of them ahead."""
        if self.executor is None and self.workers == 1:
            yield from map(weighing.answers, tasks)
            return
        theirs = nullcontext(self.executor) if self.executor else None
        with theirs or ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[Future[list[Answer]]] = deque()
            try:
                for task in tasks:
                    ahead.append(pool.submit(Weighing.answers, weighing, task))
                    if len(ahead) > 2 * self.workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            except Exception as error:
                _require_sendable(weighing.f, error)
                raise
            finally:
                for left in ahead:
                    left.cancel()

    def replicates(self, q: GibbsLaw, n: int, *, rng: np.random.Generator) -> Array:
        """n independent estimates, shape (n, d).

        Raises
        ------
        InvalidParameter, NonFinite
            As for one estimate.
        """
        return np.array([self(q, rng=rng).x for _ in range(as_count("n", n))])


def _require_sendable(f: Loss, error: Exception) -> None:
    """Whatever an executor says of a loss that cannot be pickled, and of no other."""
    if any(
        frame.f_code.co_name == "answers" for frame, _ in walk_tb(error.__traceback__)
    ):
        return  # it was there
    try:
        pickle.dumps(f)
    except Exception as why:
        raise InvalidParameter(
            f"a {type(f).__name__} cannot be sent where the executor computes: {why}"
        ) from error
