"""The published multilevel experiment: what one run is, and what is seen of it.

All methods have the same images, network, start and number of rounds.  A *round* costs
as much as one outer step of the published algorithm at its dearest, which is
N (pixels hidden + 2 T' hidden classes) multiply-adds; single-scale Metropolis and SGD
make as many of their updates as that buys.

Every round has a random stream of its own (`refimpl.streams`), so that a run that was
broken off goes on to the identical result from its weights and its tallies alone.

What is seen of a round is what the published code records: the weights before the last
decision about level 1, after the inner chain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from refimpl.arrays import Array, as_count, as_list, as_scalar, as_variance
from refimpl.errors import InvalidParameter
from refimpl.experiments.data import CLASSES, Data
from refimpl.experiments.multilevel_network import DeviationNetwork, published_pixels
from refimpl.experiments.records import as_fields
from refimpl.experiments.settings import INPUTS, DataName
from refimpl.experiments.stored import StoredSetting, require_known, training_of
from refimpl.experiments.training import State
from refimpl.losses.minibatch import minibatches
from refimpl.multiscale.metropolis import MultilevelMetropolis, Random, Visit, Walk
from refimpl.multiscale.temperatures import Temperatures
from refimpl.network import DenseLoss
from refimpl.sgd import sgd
from refimpl.streams import stream

Method = Literal["multilevel", "one-temperature", "metropolis", "sgd"]

METHODS: tuple[Method, ...] = get_args(Method)

EARLY = (1, 2, 5, 10, 20)
"""Rounds that are evaluated too: SGD is then already far."""

_OWN: dict[Method, dict[str, Any]] = {
    "multilevel": {"index": (2e-6, 1e-6), "scales": (0.001, 0.0005)},
    "one-temperature": {"index": (0.0, 1e-6), "scales": (0.001, 0.0005)},
    "metropolis": {"index": (0.0, 1e-6), "scales": (0.001, 0.0005)},
    "sgd": {"batch": 100, "learning_rate": 0.1, "spread": 0.001},
}
"""What belongs to one method, as published where it was."""


UNDECIDED = 10.0
"""A move of a probability below exp(-UNDECIDED) counts as refused in advance."""


@dataclass(frozen=True, kw_only=True)
class MultilevelSetting(StoredSetting):
    """One run.

    Attributes
    ----------
    method : {"multilevel", "one-temperature", "metropolis", "sgd"}
        The published algorithm; the same moves and tests at one temperature; ordinary
        Metropolis on both layers at once; minibatch SGD.
    data : {"mnist", "digits"}
    images : int
        The first so many of the training set, all in every value of f.
    hidden : int
        Hidden units.
    rounds : int
        T, outer steps, or what buys the same.
    inner_steps : int
        T', which also says what a round costs.
    index : tuple of float or None
        The published "temperature vector", sigma_1 and sigma_2; (0, lambda) is one
        temperature.
    scales : tuple of float or None
        Standard deviations of the proposals of each layer.
    batch : int or None
        Images of a minibatch, SGD.
    learning_rate : float or None
    spread : float or None
        Standard deviation of SGD's first weights around the identities, where most
        hidden units see only zeros and the slope of relu is not defined.
    evaluate_every : int
        Rounds from evaluation to evaluation.
    seed : int

    Raises
    ------
    InvalidParameter
        If a value is not what it should be, is missing, or says nothing to the method.
    """

    early: ClassVar[tuple[int, ...]] = EARLY

    method: Method
    data: DataName = "mnist"
    images: int = 60000
    hidden: int = 100
    rounds: int = 40000
    inner_steps: int = 10
    index: tuple[float, float] | None = None
    scales: tuple[float, float] | None = None
    batch: int | None = None
    learning_rate: float | None = None
    spread: float | None = None
    evaluate_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        require_known("method", self.method, METHODS)
        require_known("data", self.data, tuple(INPUTS))
        own = _OWN[self.method]
        for name in {name for every in _OWN.values() for name in every}:
            if (getattr(self, name) is None) == (name in own):
                says = "needs" if name in own else "has no"
                raise InvalidParameter(f"{self.method} {says} {name}")
        for name in ("images", "hidden", "rounds", "inner_steps", "evaluate_every"):
            as_count(name, getattr(self, name))
        as_count("seed", self.seed, 0)
        if self.index is not None:
            sigma = as_list("index", self.index)
            index = tuple(as_scalar("each of index", one) for one in sigma)
            object.__setattr__(self, "index", index)
            Temperatures.from_index(index)
        if self.scales is not None:
            scales = as_list("scales", self.scales)
            found = tuple(as_variance("each of scales", one) for one in scales)
            object.__setattr__(self, "scales", found)
        if self.batch is not None:
            if as_count("batch", self.batch) > self.images:
                raise InvalidParameter(
                    f"batch must be at most images = {self.images}, got {self.batch}"
                )
            for name in ("learning_rate", "spread"):
                as_variance(name, getattr(self, name))

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return INPUTS[self.data]

    @property
    def has_two_levels(self) -> bool:
        """Whether it runs the two-level algorithm."""
        return self.method in ("multilevel", "one-temperature")

    @property
    def total(self) -> int:
        """All rounds."""
        return self.rounds

    @property
    def round_price(self) -> int:
        """Multiply-adds of one round."""
        first, second = self.pixels * self.hidden, self.hidden * CLASSES
        return self.images * (first + 2 * self.inner_steps * second)

    @property
    def update_price(self) -> int:
        """Multiply-adds of one update: a whole pass, or a gradient of a minibatch."""
        first, second = self.pixels * self.hidden, self.hidden * CLASSES
        if self.has_two_levels:
            return self.round_price
        if self.method == "metropolis":
            return self.images * (first + second)
        assert self.batch is not None
        # forwards both products, backwards one by W_1 and two by W_2 and H
        return self.batch * (2 * first + 3 * second)

    def updates(self, k: int) -> int:
        """How many updates the first k rounds buy."""
        return k * self.round_price // self.update_price

    def work(self, k: int) -> float:
        """Multiply-adds of the first k rounds, in thousands of millions."""
        return k * self.round_price / 1e9


def published(method: Method, **changes: Any) -> MultilevelSetting:
    """The published experiment by one method, but for some changes.

    Raises
    ------
    InvalidParameter
        If the method is unknown or the changes make no setting.

    Examples
    --------
    >>> published("multilevel").index
    (2e-06, 1e-06)
    >>> published("sgd", images=2000).updates(1)
    12
    """
    require_known("method", method, METHODS)
    return MultilevelSetting.changed({"method": method, **_OWN[method]}, changes)


@dataclass(frozen=True)
class Seen:
    """What is seen of a run after k rounds.

    Counts are from the start; differences of two lines are those in between.

    Attributes
    ----------
    k : int
    multiply_adds : int
        Of all products of matrices so far, zeros included.
    updates : int
        Outer steps, passes or minibatches so far.
    train_loss, train_accuracy, test_loss, test_accuracy : float
        On the images of the setting, and on all test images.
    norms : tuple of float
        Spectral norms of W_1 and W_2.
    tried, accepted : tuple of int
        Moves by level, or of both at once; empty for SGD.
    uphill : int
        Accepted moves of level 1, or of both, to a higher loss at the same W_2.
    undecided : int
        Decisions about level 1, or both, with a probability of acceptance between
        exp(-10) and 1: chance had a say.
    largest_shares : float
        The sum over outer steps of the largest share of one term in A.
    """

    k: int
    multiply_adds: int
    updates: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    norms: tuple[float, ...]
    tried: tuple[int, ...]
    accepted: tuple[int, ...]
    uphill: int
    undecided: int
    largest_shares: float

    @classmethod
    def of_record(cls, values: dict[str, Any]) -> "Seen":
        """From a line of a record."""
        return cls(**as_fields(cls, values))


@dataclass(frozen=True, eq=False)
class Tally:
    """What is counted along a run, and what its last round recorded.

    Attributes
    ----------
    multiply_adds, uphill, undecided : int
    tried, accepted : tuple of int
    largest_shares : float
    recorded : tuple of ndarray
        W_1 and W_2; not kept in checkpoints, as it is looked at once.
    """

    multiply_adds: int = 0
    uphill: int = 0
    undecided: int = 0
    tried: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    largest_shares: float = 0.0
    recorded: tuple[Array, Array] | None = None

    def numbers(self) -> Array:
        """All but what was recorded, as float64: the counts are exact up to 2^53."""
        counts = (self.multiply_adds, self.uphill, self.undecided)
        moves = (*self.tried, *self.accepted)
        return np.array([self.largest_shares, *counts, *moves], dtype=np.float64)

    @classmethod
    def of_numbers(cls, numbers: Array) -> "Tally":
        """What `numbers` made an array of."""
        shares, *others = numbers.tolist()
        adds, uphill, undecided, *moves = map(int, others)
        half = len(moves) // 2
        tried, accepted = tuple(moves[:half]), tuple(moves[half:])
        return cls(adds, uphill, undecided, tried, accepted, shares)


class Rounds:
    """A setting with its data: from state to state, and what is seen of one.

    Parameters
    ----------
    setting : MultilevelSetting
    data : Data

    Raises
    ------
    InvalidParameter
        If the data have another name or too few images.
    """

    def __init__(self, setting: MultilevelSetting, data: Data) -> None:
        if data.name != setting.data:
            raise InvalidParameter(
                f"the setting asks for {setting.data}, not {data.name}"
            )
        there = len(data.train.labels)
        if setting.images > there:
            raise InvalidParameter(
                f"images must be at most {there} for {data.name}, got {setting.images}"
            )
        self.setting = setting
        pixels = published_pixels(data.name, data.train, setting.images)
        labels = data.train.labels[: setting.images]
        self.network = DeviationNetwork(pixels, labels, setting.hidden, CLASSES)
        self.test = DeviationNetwork(
            published_pixels(data.name, data.test),
            data.test.labels,
            setting.hidden,
            CLASSES,
        )
        self.shapes = self.network.shapes
        self._levels = 2 if setting.has_two_levels else 1
        if setting.method == "sgd":
            units = self.shapes[1][0] + 1  # the row of its biases stays 0
            shapes = (self.shapes[0], (units, CLASSES))
            self.f = WithoutBias(DenseLoss(pixels, labels, shapes, loss="squared"))

    def begin(self) -> State:
        """Before the first round."""
        if self.setting.method != "sgd":
            none = (0,) * self._levels
            x = np.zeros(sum(m * n for m, n in self.shapes))
            return State(0, x, Tally(tried=none, accepted=none))
        rng = stream(self.setting.seed, "initialisation")
        noise = [rng.standard_normal(shape) for shape in self.shapes]
        assert self.setting.spread is not None
        first, second = (
            M + self.setting.spread * z
            for M, z in zip(self.network.references, noise, strict=True)
        )
        x = np.concatenate([first.ravel(), second.ravel(), np.zeros(CLASSES)])
        return State(0, x, Tally())

    def after(self, state: State) -> Iterator[State]:
        """The states that follow, one for every round that is left.

        Raises
        ------
        NonFinite
            If the weights of SGD overflow.
        """
        if self.setting.method == "sgd":
            return self._by_sgd(state)
        return self._by_metropolis(state)

    def kept(self, state: State) -> Array:
        """What a checkpoint keeps of a state beside k and its weights."""
        return state.info.numbers()

    def resumed(self, k: int, x: Array, kept: Array) -> State:
        """The state of a checkpoint."""
        return State(k, x, Tally.of_numbers(kept))

    def evaluate(self, state: State) -> Seen:
        """What is seen of a state."""
        tally, k = state.info, state.k
        w1, w2 = tally.recorded or self._split(state.x)
        train, test = self.network.measure(w1, w2), self.test.measure(w1, w2)
        return Seen(
            k,
            tally.multiply_adds,
            self.setting.updates(k),
            train.loss,
            train.accuracy,
            test.loss,
            test.accuracy,
            tuple(float(np.linalg.norm(w, 2)) for w in (w1, w2)),
            tally.tried,
            tally.accepted,
            tally.uphill,
            tally.undecided,
            tally.largest_shares,
        )

    def _split(self, x: Array) -> tuple[Array, Array]:
        """W_1 and W_2 of a state; SGD's are weights, from which M is taken."""
        (n, m), (_, c) = self.shapes
        first, second = x[: n * m].reshape(n, m), x[n * m : n * m + m * c].reshape(m, c)
        if self.setting.method != "sgd":
            return first, second
        M1, M2 = self.network.references
        return first - M1, second - M2

    # --- Metropolis

    def _by_metropolis(self, state: State) -> Iterator[State]:
        s = self.setting
        assert s.index is not None
        assert s.scales is not None
        first, second = self._split(state.x)
        if s.has_two_levels:
            method = MultilevelMetropolis(
                Temperatures.from_index(s.index), s.scales, (s.inner_steps,)
            )
            walk = method.begin(self.network, [first, second])
        else:
            both = [
                np.full(w.size, one)
                for w, one in zip((first, second), s.scales, strict=True)
            ]
            coldest = Temperatures(Temperatures.from_index(s.index).levels[-1:])
            method = MultilevelMetropolis(coldest, [np.concatenate(both)])
            walk = method.begin(lambda x: self.network(*self._split(x)), [state.x])
        tally = state.info
        for k in range(state.k, s.total):
            draws = Random(stream(s.seed, "algorithm", k))
            for _ in range(s.updates(k + 1) - s.updates(k)):
                visit = method.advance(walk, draws)
                tally = self._counted(tally, visit, walk)
            yield State(k + 1, np.concatenate([w.ravel() for w in walk.w]), tally)

    def _counted(self, tally: Tally, visit: Visit, walk: Walk) -> Tally:
        hidden, output = self.network.products
        s = self.setting
        outer = s.has_two_levels
        assert s.index is not None
        theta = Temperatures.from_index(s.index).exponents[0] if outer else 1.0
        adds = hidden + visit.evaluations * output  # a single level is evaluated once
        w1, w2 = visit.w if outer else self._split(visit.w[0])
        return Tally(
            tally.multiply_adds + adds,
            tally.uphill + (visit.accepted[0] and walk.energy > visit.energy),
            tally.undecided + (-UNDECIDED < theta * visit.log_ratio < 0),
            _sum(tally.tried, visit.tried),
            _sum(tally.accepted, visit.accepted),
            tally.largest_shares + visit.share,
            (w1, w2),
        )

    # --- stochastic gradient descent

    def _by_sgd(self, state: State) -> Iterator[State]:
        s, x, adds = self.setting, state.x, state.info.multiply_adds
        assert s.batch is not None
        for k in range(state.k, s.total):
            count = s.updates(k + 1) - s.updates(k)
            rng = stream(s.seed, "batches", k)
            draws = minibatches(self.f, s.batch, rng)
            losses = (next(draws) for _ in range(count))
            for iterate in sgd(losses, x, eta=s.learning_rate or 0.0):
                x = iterate.x
            adds += count * s.update_price
            yield State(k + 1, x, Tally(adds))


training_of.register(MultilevelSetting, Rounds)


class WithoutBias:
    """A network's loss whose last layer keeps the biases 0 that it begins with.

    Parameters
    ----------
    f : DenseLoss
        Its last matrix ends with the row of the biases.
    """

    def __init__(self, f: DenseLoss) -> None:
        self.f, self.d, self.N = f, f.d, f.N

    def __call__(self, y: Any) -> Array:
        """f at parameters (..., d), shape (...)."""
        return self.f(y)

    def gradient(self, y: Any) -> Array:
        """The gradient but for the biases, which it leaves alone, shape (..., d)."""
        gradient = self.f.gradient(y)
        gradient[..., -self.f.shapes[-1][1] :] = 0.0
        return gradient

    def batch(self, indices: Any) -> "WithoutBias":
        """The loss over the examples with these indices."""
        return WithoutBias(self.f.batch(indices))


def seconds_per_round(setting: MultilevelSetting, data: Data, count: int = 5) -> float:
    """What a round costs here and now: median of `count`, after one to warm up."""
    rounds = Rounds(setting, data)
    states, times = rounds.after(rounds.begin()), []
    for _ in range(min(count + 1, setting.total)):
        began = perf_counter()
        next(states)
        times.append(perf_counter() - began)
    return median(times[1:] or times)


def _sum(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))
