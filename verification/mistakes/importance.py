"""Known mistakes in Algorithm 4: I.

    x^1, ..., x^J ~ N(x, tau I);  w^j = exp(-f(x^j));  output sum_j w^j x^j / sum_j w^j.

One routine with hooks; without any it is the algorithm.  L workers own the slices of
the samples that `numpy.array_split` cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.mistakes._draws import Array, normals, shared
from verification.mistakes._training import in_runs
from verification.mistakes.langevin import examples
from verification.mistakes.mistake import Mistake


@dataclass(frozen=True)
class Sample:
    """What is at hand once the samples are drawn, n runs side by side.

    Attributes
    ----------
    loss : LossData
    x : ndarray, shape (d,)
        The centre.
    tau : float
        A variance.
    z : ndarray, shape (n, J, d)
        Standard normals.
    workers : int
    rng : numpy.random.Generator
        For a mistake that needs more randomness; of a fixed seed where draws are given.
    """

    loss: Any
    x: Array
    tau: float
    z: Array
    workers: int
    rng: np.random.Generator

    @property
    def slices(self) -> list[NDArray[np.intp]]:
        """The indices of each worker that has any."""
        return _slices(self.z.shape[1], self.workers)

    def spread(self, deviation: float) -> Array:
        """Samples about the centre, (n, J, d)."""
        return self.x + deviation * self.z


def _slices(J: int, workers: int) -> list[NDArray[np.intp]]:
    return [part for part in np.array_split(np.arange(J), workers) if part.size]


def odds(logs: Array) -> Array:
    """Weights relative to the largest, (n, J)."""
    return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)))


def normalised(weights: Array) -> Array:
    """Weights of sum one, (n, J)."""
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Importance:
    """Algorithm 4; every default is right.

    Attributes
    ----------
    noise : callable
        The standard normals used, (n, J, d), from those drawn and the workers' slices.
    points : callable
        The samples, (n, J, d).
    logs : callable
        The log-weights, (n, J), of the samples.
    weigh : callable
        The weights in the output, (n, J), from the log-weights.
    """

    noise: Callable[[Array, list[NDArray[np.intp]]], Array] = lambda z, _: z
    points: Callable[[Sample], Array] = lambda s: s.spread(np.sqrt(s.tau))
    logs: Callable[[Sample, Array], Array] = lambda s, y: -s.loss(y)
    weigh: Callable[[Sample, Array], Array] = lambda _, logs: normalised(odds(logs))

    @np.errstate(all="ignore")  # the judge looks at the numbers
    def weighted(
        self,
        loss: Any,
        x: Any,
        tau: float,
        samples: int,
        workers: int,
        draws: Any,
        n: int,
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:
        """The samples (n, J, d) and their weights (n, J)."""
        x = np.array(x, dtype=np.float64)
        drawn = normals((n, samples, x.size), draws, rng)
        z = self.noise(drawn, _slices(samples, workers))
        more = rng if draws is None else np.random.default_rng(0)
        s = Sample(loss, x, tau, z, workers, more)
        y = self.points(s)
        return y, self.weigh(s, self.logs(s, y))

    def mean(
        self,
        _right: Any,
        loss: Any,
        x: Any,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """`importance_mean` as this makes it."""
        rng = np.random.default_rng(seed)
        return averaged(*self.weighted(loss, x, tau, samples, workers, draws, n, rng))

    def weights(
        self,
        _right: Any,
        loss: Any,
        x: Any,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """`importance_weights` as this makes it."""
        rng = np.random.default_rng(seed)
        return self.weighted(loss, x, tau, samples, workers, draws, n, rng)[1]

    def project(
        self,
        loss: Any,
        x: Array,
        tau: float,
        record: Mapping[str, Any],
        start: Array | None,
        draws: Array | None,
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:
        """The output of one weight update, (d,), twice: there is no inner state."""
        del start
        given = None if draws is None else np.asarray(draws)[None]
        J = record["samples"] if given is None else given.shape[1]
        workers = record.get("workers", 1)
        output = averaged(*self.weighted(loss, x, tau, J, workers, given, 1, rng))[0]
        return output, output


@np.errstate(all="ignore")  # weights may be infinite
def averaged(y: Array, weights: Array) -> Array:
    """sum_j w^j x^j: (n, d)."""
    return np.asarray((weights[..., None] * y).sum(axis=1))


def mistake(id_: str, name: str, sentence: str, slip: Importance) -> Mistake:
    """The entry of one slip."""
    faults = {"importance_mean": slip.mean, "importance_weights": slip.weights}
    run = in_runs("importance", slip.project)
    return Mistake(id_, name, sentence, {**faults, "train": run})


# --- pieces -----------------------------------------------------------------------


def _alike(z: Array, slices: list[NDArray[np.intp]]) -> Array:
    """Every worker draws what the first one draws."""
    numbers = np.concatenate([np.arange(part.size) for part in slices])
    return z[:, numbers]


def _doubly_gaussian(s: Sample, y: Array) -> Array:
    return np.asarray(-s.loss(y) - ((y - s.x) ** 2).sum(axis=-1) / (2 * s.tau))


def _mean_of_means(s: Sample, logs: Array) -> Array:
    parts = [normalised(odds(logs[:, part])) for part in s.slices]
    return np.concatenate(parts, axis=1) / len(parts)


def _local_shifts(s: Sample, logs: Array) -> Array:
    return normalised(np.concatenate([odds(logs[:, p]) for p in s.slices], axis=1))


def _short_slices(s: Sample, logs: Array) -> Array:
    weights = odds(logs)
    weights[:, [part[-1] for part in s.slices]] = 0.0
    return normalised(weights)


def _resampled(s: Sample, logs: Array) -> Array:
    """How often each sample is drawn again, as a share of all J."""
    J = logs.shape[1]
    return np.asarray(s.rng.multinomial(J, normalised(odds(logs))) / J)


def _clipped(logs: Array) -> Array:
    return np.maximum(logs, logs.max(axis=1, keepdims=True) - 1.0)


def _in_single(logs: Array) -> Array:
    weights = np.exp((logs - logs.max(axis=1, keepdims=True)).astype(np.float32))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float64)


def _best(logs: Array) -> Array:
    best = logs.argmax(axis=1)[:, None]
    return np.asarray(np.arange(logs.shape[1]) == best, dtype=np.float64)


def overlapping(s: Sample, logs: Array) -> Array:
    """Weights where every slice but the last reaches one sample too far."""
    weights = odds(logs)
    weights[:, [part[0] for part in s.slices[1:]]] *= 2
    return normalised(weights)


def whole_slices(s: Sample, logs: Array) -> Array:
    """Weights where L slices of floor(J/L) samples are all there is."""
    weights, J = odds(logs), logs.shape[1]
    weights[:, J - J % s.workers :] = 0.0
    return normalised(weights)


# --- the entries --------------------------------------------------------------------

IMPORTANCE = (
    mistake(
        "I01",
        "importance weights not normalised",
        "the output is sum w x, not divided by sum w",
        Importance(weigh=lambda _, logs: np.exp(logs)),
    ),
    mistake(
        "I02",
        "weights exp(+f)",
        "the weights are exp(+f): samples of high loss count most",
        Importance(logs=lambda s, y: s.loss(y)),
    ),
    mistake(
        "I03",
        "sum of w x divided by J",
        "the output is (1/J) sum w x, not divided by the sum of w",
        Importance(weigh=lambda _, logs: np.exp(logs) / logs.shape[1]),
    ),
    mistake(
        "I04",
        "proposal of standard deviation tau",
        "the samples are x + tau z, not x + sqrt(tau) z: their variance is tau^2",
        Importance(points=lambda s: s.spread(s.tau)),
    ),
    mistake(
        "I05",
        "Gaussian density counted twice",
        "the weights are exp(-f) phi, although the samples are drawn from phi",
        Importance(logs=_doubly_gaussian),
    ),
    mistake(
        "I06",
        "weights without shift",
        "exp(-f) is taken without subtracting a maximum: it overflows, or all of the "
        "weights vanish",
        Importance(weigh=lambda _, logs: normalised(np.exp(logs))),
    ),
    mistake(
        "I07",
        "mean of the workers' means",
        "every worker normalises its own weights, and their means are averaged",
        Importance(weigh=_mean_of_means),
    ),
    mistake(
        "I08",
        "workers share a seed",
        "every worker draws the same normals as the first one",
        Importance(noise=_alike),
    ),
    mistake(
        "I09",
        "proposal centred at zero",
        "the samples are drawn from N(0, tau I), not N(x, tau I)",
        Importance(points=lambda s: np.sqrt(s.tau) * s.z),
    ),
    mistake(
        "I10",
        "weights at the centre",
        "the weights are exp(-f(x)) at the centre, the same for every sample",
        Importance(logs=lambda s, y: -s.loss(0.0 * y + s.x)),
    ),
    mistake(
        "I11",
        "last sample of every worker left out",
        "every worker leaves its last sample out: J - 1 samples for one worker",
        Importance(weigh=_short_slices),
    ),
    mistake(
        "I12",
        "workers' shifts not undone",
        "every worker divides by its own largest weight, and the sums are merged as "
        "they are",
        Importance(weigh=_local_shifts),
    ),
    mistake(
        "I13",
        "weights of the sum of examples",
        "the weights are exp(-N f), the sum in place of the mean; N = 4 for a loss "
        "that is no finite sum",
        Importance(logs=lambda s, y: -examples(s.loss) * s.loss(y)),
    ),
    mistake(
        "I14",
        "resampling in place of weighting",
        "the output is the plain mean of J samples drawn again with odds w; with given "
        "draws by a generator of a fixed seed",
        Importance(weigh=_resampled),
    ),
    mistake(
        "I15",
        "roots of the weights",
        "the samples are weighed with sqrt(w): the weights are tempered",
        Importance(logs=lambda s, y: -0.5 * s.loss(y)),
    ),
    mistake(
        "I16",
        "log-weights clipped",
        "log-weights more than 1 below the largest are lifted to that",
        Importance(weigh=lambda _, logs: normalised(odds(_clipped(logs)))),
    ),
    mistake(
        "I17",
        "weights in single precision",
        "the weights are computed in float32",
        Importance(weigh=lambda _, logs: _in_single(logs)),
    ),
    mistake(
        "I18",
        "one number for all axes of x^j",
        "a single normal number moves all coordinates of a sample of Algorithm 4",
        Importance(noise=lambda z, _: shared(2)(z)),
    ),
    mistake(
        "I19",
        "proposal of variance 2 tau",
        "the samples are drawn from N(x, 2 tau I)",
        Importance(points=lambda s: s.spread(np.sqrt(2 * s.tau))),
    ),
    mistake(
        "I20",
        "weights squared",
        "the samples are weighed with w^2",
        Importance(logs=lambda s, y: -2.0 * s.loss(y)),
    ),
    mistake(
        "I21",
        "best sample only",
        "the output is the sample of the largest weight",
        Importance(weigh=lambda _, logs: _best(logs)),
    ),
)
