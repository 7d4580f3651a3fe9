"""One training run of Section 6: weight updates and what is seen of them.

Every random number has its place: the initialisation, the minibatch of update k, the
noise of update k and the held-out images each come from a stream of their own
(`refimpl.streams`).  So methods of one seed share initialisation and minibatches,
looking does not change what happens, and update k depends on nothing but the setting,
k, x_k and, where it is asked for, the chain's last state: a run that was broken off
goes on to the identical result from these three.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from refimpl.arrays import Array
from refimpl.errors import InvalidParameter
from refimpl.experiments.data import Data, Split
from refimpl.experiments.records import as_fields
from refimpl.experiments.settings import Setting
from refimpl.experiments.stored import training_of
from refimpl.importance import ImportanceSampling
from refimpl.initialisations import initial
from refimpl.interfaces import BestGaussian, Loss, Projection
from refimpl.laws import GibbsLaw
from refimpl.losses.minibatch import Resampled, minibatches
from refimpl.network import DenseLoss, Network, layers
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Constant, Harmonic, PowerLaw, Schedule, Scoping
from refimpl.sgd import sgd
from refimpl.sgld import SGLD, Langevin
from refimpl.span import InSpan
from refimpl.streams import stream
from refimpl.two_step import two_step

CENTRE_AND_WIDTH = {"mnist": (0.1307, 0.3081), "digits": (0.3054, 0.3755)}
"""Mean and standard deviation of the pixels, by which they are standardised."""


@dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes
    ----------
    k : int
        How many weight updates were made, those by SGD before included.
    x : ndarray, shape (d,)
        The weights x_k.
    info : object
        What the estimator told of the last update; None at the start and after SGD.
    """

    k: int
    x: Array
    info: Any = None


@dataclass(frozen=True)
class Evaluation:
    """What is seen of a run after k updates.

    Attributes
    ----------
    k : int
    accuracy : float
        The share of the random held-out images that are classified right.
    accuracy_of_all : float
        The same of all test images.
    minibatch_loss : float or None
        The mean loss at x_k of the images that the next update will see, if finite.
    effective_sample_size : float or None
        Of the last update, importance sampling.
    spread : tuple of float or None
        For each layer, the root mean square of x_k - x_0, if finite.
    """

    k: int
    accuracy: float
    accuracy_of_all: float
    minibatch_loss: float | None
    effective_sample_size: float | None
    spread: tuple[float | None, ...]

    @classmethod
    def of_record(cls, values: dict[str, Any]) -> "Evaluation":
        """From a line of a record."""
        return cls(**as_fields(cls, values))


class Training:
    """A setting with its data: from state to state, and what is seen of one.

    Parameters
    ----------
    setting : Setting
    data : Data
        Of the name that the setting has.

    Raises
    ------
    InvalidParameter
        If the data have another name or too few images.
    """

    def __init__(self, setting: Setting, data: Data) -> None:
        if data.name != setting.data:
            raise InvalidParameter(
                f"the setting asks for {setting.data}, not {data.name}"
            )
        self.setting = setting
        self.f = self._network(data.train)
        self.mean = DenseLoss(
            self.f.features,
            self.f.labels,
            self.f.shapes,
            activation=setting.activation,
            loss=setting.loss,
        )
        self.test = self._network(data.test)
        for name, asked, there in (
            ("batch", setting.batch, self.f.N),
            ("held_out", setting.held_out, self.test.N),
        ):
            if asked > there:
                raise InvalidParameter(
                    f"{name} must be at most {there} for {data.name}, got {asked}"
                )
        rng = stream(setting.seed, "initialisation")
        self.x0 = initial(setting.sizes, setting.initialisation, rng)

    def _network(self, split: Split) -> Network:
        s, images = self.setting, split.images
        if s.pixels == "standardised":
            centre, width = CENTRE_AND_WIDTH[s.data]
            images = (images - centre) / width
        return Network(
            s.sizes,
            images,
            split.labels,
            activation=s.activation,
            loss=s.loss,
            reduction=s.reduction,
        )

    def begin(self) -> State:
        """Before the first update."""
        return State(0, self.x0)

    def kept(self, state: State) -> Array:
        """What a checkpoint keeps beside k and x_k, shape (d,) or empty."""
        warm = self.setting.start == "previous" and state.info is not None
        return state.info.last if warm else np.empty(0)

    def resumed(self, k: int, x: Array, kept: Array) -> State:
        """The state of a checkpoint."""
        return State(k, x, Langevin(kept, 0) if kept.size else None)

    def after(self, state: State) -> Iterator[State]:
        """The states that follow, one for every weight update that is left.

        Raises
        ------
        NonFinite
            If the weights overflow; it names the update, counted from this state.
        """
        s, here = self.setting, state
        if s.sgd_before:
            # by the mean, so that SGD before is the same for all methods of a figure
            losses = map(self.mean_minibatch, range(state.k, s.sgd_before))
            for one in _by_sgd(state, losses, s.sgd_rate):
                yield (here := one)
        if s.method == "sgd":
            losses = map(self.minibatch, range(here.k, s.total))
            yield from _by_sgd(here, losses, s.learning_rate)
        else:
            yield from self._by_two_step(here)

    def _by_two_step(self, state: State) -> Iterator[State]:
        s, tau = self.setting, scoped(self.setting)
        draw = self._resampled if s.minibatch == "per-gradient" else self.minibatch
        for iterate in two_step(
            map(draw, range(state.k, s.total)),
            state.x,
            tau=lambda k: tau(state.k + k),
            project=OwnStreams(estimator(s), s.seed, count(state.k), state.info),
            rng=None,
            eta=s.learning_rate,
        ):
            assert iterate.projection is not None
            yield State(state.k + iterate.k, iterate.x, iterate.projection.info)

    def minibatch(self, k: int) -> Loss:
        """The loss of update k, k = 0, 1, ..."""
        return self._minibatch_of(self.f, k)

    def mean_minibatch(self, k: int) -> Loss:
        """The mean over the same images, also where f is the sum."""
        return self._minibatch_of(self.mean, k)

    def _minibatch_of(self, f: DenseLoss, k: int) -> Loss:
        rng = stream(self.setting.seed, "batches", k)
        return next(minibatches(f, self.setting.batch, rng))

    def _resampled(self, k: int) -> Loss:
        rng = stream(self.setting.seed, "batches", k)
        return Resampled(self.f, self.setting.batch, rng)

    def evaluate(self, state: State) -> Evaluation:
        """What is seen of a state."""
        s, k = self.setting, state.k
        rng = stream(s.seed, "evaluation", k if s.held_out_drawn == "each-time" else 0)
        held_out = rng.choice(self.test.N, s.held_out, replace=False)
        with np.errstate(over="ignore", invalid="ignore"):  # of huge weights
            right = self.test.logits(state.x).argmax(axis=-1) == self.test.labels
            loss = self.mean_minibatch(k)(state.x)
            moved = layers(state.x - self.x0, self.f.shapes)
            spread = [np.sqrt((layer * layer).mean()) for layer in moved]
        return Evaluation(
            k,
            float(right[held_out].mean()),
            float(right.mean()),
            _if_finite(loss),
            getattr(state.info, "effective_sample_size", None),
            tuple(map(_if_finite, spread)),
        )


def _by_sgd(state: State, losses: Iterable[Loss], eta: Any) -> Iterator[State]:
    for iterate in sgd(losses, state.x, eta=eta):
        yield State(state.k + iterate.k, iterate.x)


training_of.register(Setting, Training)


def _if_finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def run(setting: Setting, data: Data) -> Iterator[Evaluation]:
    """Train, and evaluate before the first update, every so often and after the last.

    Raises
    ------
    InvalidParameter
        If the data do not fit the setting.
    NonFinite
        If the weights overflow.
    """
    training = Training(setting, data)
    begin = training.begin()
    yield training.evaluate(begin)
    for state in training.after(begin):
        if setting.is_due(state.k):
            yield training.evaluate(state)


@dataclass
class OwnStreams:
    """An estimator of which every update has a random stream of its own.

    Attributes
    ----------
    estimator : BestGaussian
    seed : int
    ks : iterator of int
        The numbers of the updates to come.
    info : object
        What the estimator told of the update before the first of these.
    """

    estimator: BestGaussian
    seed: int
    ks: Iterator[int]
    info: Any = None

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator | None,
        previous: Projection | None = None,
    ) -> Projection:
        """Step 2 with the stream of this update in place of rng."""
        if previous is None and self.info is not None:
            previous = Projection(q.x, self.info)
        rng = stream(self.seed, "algorithm", next(self.ks))
        return self.estimator(q, rng=rng, previous=previous)


def estimator(setting: Setting) -> BestGaussian:
    """Step 2 of the setting's method; SGD has none.

    Raises
    ------
    InvalidParameter
        For SGD.
    """
    plain = _plain(setting)
    if not setting.in_span:
        return plain
    rao_blackwell = setting.output == "rao-blackwell"
    return InSpan(plain, output="rao-blackwell" if rao_blackwell else "literal")


def _plain(s: Any) -> Any:
    if s.method == "sgld":
        return SGLD(
            s.J,
            Harmonic(s.epsilon),
            start=s.start,
            chain=s.chain,
            noise=s.noise,
            output="controlled" if s.output == "controlled" else "average",
        )
    if s.method == "is":
        return ImportanceSampling(s.J, noise=s.noise)
    if s.method == "hr":
        return RobbinsMonro(s.J, PowerLaw(*s.a), s.M, noise=s.noise)
    raise InvalidParameter("sgd takes no step 2")


def scoped(setting: Setting) -> Schedule:
    """tau as a function of all updates; (18) begins where SGD before ends."""
    if not isinstance(setting.tau, tuple):
        assert setting.tau is not None
        return Constant(setting.tau)
    schedule = Scoping(*setting.tau)
    first = (setting.origin or 0) - setting.sgd_before
    return lambda k: schedule(k + first)
