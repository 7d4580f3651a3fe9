"""Known mistakes in networks: M.

One routine with hooks; without any it is the mean cross-entropy of a dense network and
its gradient.  Parameters are flat, layer by layer, W (inputs x outputs, row-major)
and then b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from verification.mistakes import langevin
from verification.mistakes._draws import Array
from verification.mistakes.langevin import Langevin
from verification.mistakes.mistake import Fault, Mistake
from verification.mistakes.robbins_monro import RobbinsMonro

Labels = NDArray[np.int64]
Layer = tuple[Array, Array]  # W (inputs, outputs) and b (outputs,)

METHOD = "network_loss_and_gradient"
CLAMP = 1e-8

# --- pieces -----------------------------------------------------------------------


def by_rows(y: Array, sizes: Sequence[int]) -> list[Layer]:
    """The layers in flat parameters (d,)."""
    at, layers = 0, []
    for inputs, outputs in pairwise(sizes):
        cut = at + inputs * outputs
        layers.append((y[at:cut].reshape(inputs, outputs), y[cut : cut + outputs]))
        at = cut + outputs
    return layers


def to_rows(layers: Sequence[Layer]) -> Array:
    """Flat parameters, or their gradient, (d,)."""
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def _by_columns(y: Array, sizes: Sequence[int]) -> list[Layer]:
    layers = by_rows(y, sizes)
    return [(W.reshape(W.shape[::-1]).T, b) for W, b in layers]


def _to_columns(layers: Sequence[Layer]) -> Array:
    return to_rows([(W.T, b) for W, b in layers])


def _biases_first(y: Array, sizes: Sequence[int]) -> list[Layer]:
    at, layers = 0, []
    for inputs, outputs in pairwise(sizes):
        cut = at + outputs
        end = cut + inputs * outputs
        layers.append((y[cut:end].reshape(inputs, outputs), y[at:cut]))
        at = end
    return layers


def _to_biases_first(layers: Sequence[Layer]) -> Array:
    return np.concatenate([part.ravel() for W, b in layers for part in (b, W)])


def _without_biases(layers: Sequence[Layer]) -> Array:
    return to_rows([(W, np.zeros_like(b)) for W, b in layers])


def log_softmax(logits: Array) -> Array:
    """log softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def _unshifted(logits: Array) -> Array:
    logs: Array = np.log(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))
    return logs


def _clamped(logits: Array) -> Array:
    return np.log(np.exp(log_softmax(logits)) + CLAMP)


def _logs_of_odds(logits: Array) -> Array:
    """Shifted, but a probability that is too small for a double is 0."""
    return np.log(np.exp(log_softmax(logits)))


def _in_single(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Backward:
    """What is at hand when the error reaches hidden layer l.

    Attributes
    ----------
    units : list of ndarray, shape (N, units)
        The images, what leaves each hidden layer, and the logits.
    sums : list of ndarray, shape (N, units)
        What enters each layer but the first.
    level : int
        l, from 1.
    """

    units: list[Array]
    sums: list[Array]
    level: int

    @property
    def entering(self) -> Array:
        """What enters layer l, (N, units)."""
        return self.sums[self.level - 1]

    @property
    def here(self) -> Array:
        """What leaves layer l, (N, units)."""
        return self.units[self.level]

    @property
    def above(self) -> Array:
        """What leaves the layer after it, or the logits, (N, units)."""
        return self.units[self.level + 1]


def _step(values: Array) -> Array:
    return (values > 0).astype(np.float64)


def _next_mask(at: Backward) -> Array:
    """The mask of the layer above, where it has the shape for it."""
    source = at.above if at.above.shape == at.here.shape else at.here
    return _step(source)


def _misses(odds: Array, labels: Labels) -> Array:
    """softmax less the label's indicator: (N, classes)."""
    misses = odds.copy()
    misses[np.arange(len(labels)), labels] -= 1
    return misses


@dataclass(frozen=True)
class Dense:
    """The network; every default is right, for ReLU.

    Attributes
    ----------
    read, write : callable
        The layers in the flat parameters, and a gradient as flat numbers.
    seen : callable
        The images used from those given.
    known : callable
        The labels used from those given and the number of classes.
    active : callable
        What leaves a hidden unit from what enters it.
    bend : callable
        The derivative of `active`.
    logits : callable
        The logits from what enters the last layer.
    logs : callable
        The log-probabilities from the logits.
    misses : callable
        The derivative of an example's cost by the logits, from softmax and label.
    share : callable
        1/N in the loss, and 1/N in the gradient.
    """

    read: Callable[[Array, Sequence[int]], list[Layer]] = by_rows
    write: Callable[[Sequence[Layer]], Array] = to_rows
    seen: Callable[[Array], Array] = lambda images: images
    known: Callable[[Labels, int], Labels] = lambda labels, _: labels
    active: Callable[[Array], Array] = lambda s: np.maximum(s, 0.0)
    bend: Callable[[Backward], Array] = lambda at: _step(at.here)
    logits: Callable[[Array], Array] = lambda s: s
    logs: Callable[[Array], Array] = log_softmax
    misses: Callable[[Array, Labels], Array] = _misses
    share: Callable[[int], tuple[float, float]] = lambda N: (1 / N, 1 / N)

    @np.errstate(all="ignore")  # the judge looks at the numbers
    def loss_and_gradient(
        self,
        _right: Any,
        sizes: Sequence[int],
        parameters: Any,
        images: Any,
        labels: Any,
    ) -> tuple[float, Array]:
        """`network_loss_and_gradient` as this makes it."""
        layers = self.read(np.asarray(parameters, dtype=np.float64), sizes)
        known = self.known(np.asarray(labels), sizes[-1])
        shown = self.seen(np.asarray(images, dtype=np.float64))
        units, sums = self._forward(layers, shown)
        logs = self.logs(units[-1])
        in_loss, in_slope = self.share(len(known))
        cost = -logs[np.arange(len(known)), known].sum() * in_loss
        errors = in_slope * self.misses(np.exp(self.logs(units[-1])), known)
        return float(cost), self.write(self._backward(layers, units, sums, errors))

    def _forward(
        self, layers: Sequence[Layer], images: Array
    ) -> tuple[list[Array], list[Array]]:
        units, sums = [images], []
        for W, b in layers:
            sums.append(units[-1] @ W + b)
            last = len(sums) == len(layers)
            units.append((self.logits if last else self.active)(sums[-1]))
        return units, sums

    def _backward(
        self,
        layers: Sequence[Layer],
        units: list[Array],
        sums: list[Array],
        errors: Array,
    ) -> list[Layer]:
        slopes: list[Layer] = []
        for level in range(len(layers))[::-1]:
            slopes.insert(0, (units[level].T @ errors, errors.sum(axis=0)))
            if level:
                errors = self.bend(Backward(units, sums, level)) * (
                    errors @ layers[level][0].T
                )
        return slopes


def mistake(id_: str, name: str, sentence: str, slip: Dense) -> Mistake:
    """The entry of one slip in the ReLU network."""
    return Mistake(id_, name, sentence, {METHOD: slip.loss_and_gradient})


class _Sloped:
    """A network's loss as it is, with another gradient."""

    kind = "network"

    def __init__(self, loss: Any, slip: Dense) -> None:
        self._loss, self._slip = loss, slip
        self.d = loss.d

    def __call__(self, y: Any) -> Any:
        return self._loss(y)

    def gradient(self, y: Any) -> Array:
        """The gradient at points (..., d)."""
        f, points = self._loss, np.asarray(y, dtype=np.float64)
        each = [
            self._slip.loss_and_gradient(None, f.sizes, point, f.images, f.labels)[1]
            for point in points.reshape(-1, f.d)
        ]
        return np.reshape(each, points.shape)


def in_chains(activation: str, slip: Dense) -> dict[str, Fault]:
    """The states of Algorithms 3 and 5 on networks of this activation."""

    def fault(method: str, trace: Fault) -> Fault:
        def wrong(right: Any, loss: Any, *arguments: Any, **options: Any) -> Any:
            if getattr(loss, "activation", "") != activation:
                return getattr(right, method)(loss, *arguments, **options)
            return trace(right, _Sloped(loss, slip), *arguments, **options)

        return wrong

    return {
        "sgld_trace": fault("sgld_trace", Langevin().trace),
        "robbins_monro_trace": fault("robbins_monro_trace", RobbinsMonro().trace),
    }


# --- for the entries that other losses share --------------------------------------


class Accumulator:
    """`network_loss_and_gradient` that adds its previous gradient to the next one."""

    def __init__(self) -> None:
        self._buffer: Any = 0.0

    def __call__(
        self, right: Any, sizes: Any, parameters: Any, images: Any, labels: Any
    ) -> tuple[Any, Any]:
        loss, gradient = getattr(right, METHOD)(sizes, parameters, images, labels)
        if np.shape(self._buffer) != np.shape(gradient):
            self._buffer = 0.0
        self._buffer = self._buffer + gradient
        return loss, self._buffer


def centred_in_place(
    right: Any, sizes: Any, parameters: Any, images: Any, labels: Any
) -> Any:
    """`network_loss_and_gradient` that overwrites the caller's batch."""
    answer = getattr(right, METHOD)(sizes, parameters, images, labels)
    images -= images.mean()
    return answer


SUMMED: Fault = Dense(share=lambda _: (1.0, 1.0)).loss_and_gradient

# --- the entries --------------------------------------------------------------------

NETWORKS = (
    mistake(
        "M01",
        "gradient of the biases omitted",
        "the gradient of all biases is zero: they are never trained",
        Dense(write=_without_biases),
    ),
    mistake(
        "M02",
        "softmax without shift",
        "softmax exponentiates the logits unshifted: large ones overflow",
        Dense(logs=_unshifted),
    ),
    mistake(
        "M05",
        "mask of the layer above",
        "the error at a hidden layer is masked by the ReLUs of the layer after it, "
        "where that has as many units",
        Dense(bend=_next_mask),
    ),
    mistake(
        "M06",
        "weights as outputs x inputs",
        "W is read and written column by column, as if it were outputs x inputs",
        Dense(read=_by_columns, write=_to_columns),
    ),
    mistake(
        "M06G",
        "gradient flattened by columns",
        "the weights are read row by row, their gradient is flattened column by column",
        Dense(write=_to_columns),
    ),
    mistake(
        "M07",
        "labels off by one",
        "class c is taken for class c + 1, the last for the first",
        Dense(known=lambda labels, classes: (labels + 1) % classes),
    ),
    mistake(
        "M08",
        "probabilities clamped",
        "the cost is -log(p + 1e-8): it never exceeds 18.4",
        Dense(logs=_clamped),
    ),
    mistake(
        "M11N",
        "logits in single precision",
        "the logits are accumulated in float32",
        Dense(logits=_in_single),
    ),
    mistake(
        "M12",
        "pixels scaled twice",
        "images already between 0 and 1 are divided by 255 once more",
        Dense(seen=lambda images: images / 255),
    ),
    mistake(
        "M21",
        "activation of the last layer",
        "the logits go through a ReLU as hidden units do",
        Dense(logits=lambda s: np.maximum(s, 0.0)),
    ),
    mistake(
        "M22",
        "label not subtracted",
        "the derivative by the logits is softmax, without the label's indicator",
        Dense(misses=lambda odds, _: odds),
    ),
    Mistake(
        "M23",
        "derivative of tanh at its output",
        "the derivative of tanh is 1 - tanh(h)^2 at what leaves the unit, not 1 - h^2",
        in_chains(
            "tanh",
            Dense(active=np.tanh, bend=lambda at: 1 - np.tanh(at.here) ** 2),
        ),
    ),
    Mistake(
        "M24",
        "derivative of the sigmoid at its output",
        "the derivative of the sigmoid is s(h)(1 - s(h)) at what leaves the unit, not "
        "h (1 - h)",
        in_chains(
            "sigmoid",
            Dense(active=expit, bend=lambda at: expit(at.here) * expit(-at.here)),
        ),
    ),
    mistake(
        "M25",
        "biases before weights",
        "the parameters of a layer are b and then W",
        Dense(read=_biases_first, write=_to_biases_first),
    ),
    mistake(
        "M26",
        "derivative 1/2 of ReLU at 0",
        "where a ReLU is at exactly 0 its derivative is 1/2, the mean of both sides",
        Dense(bend=lambda at: (np.sign(at.entering) + 1) / 2),
    ),
    mistake(
        "M27",
        "logarithm of softmax",
        "the cost is -log of a probability that has underflowed to 0",
        Dense(logs=_logs_of_odds),
    ),
    mistake(
        "M28",
        "gradient of the sum, loss the mean",
        "the loss is a mean over the examples, its gradient is not divided by N",
        Dense(share=lambda N: (1 / N, 1.0)),
    ),
    mistake(
        "M29",
        "derivative of ReLU forgotten",
        "the error passes through dead units as well",
        Dense(bend=lambda at: np.ones_like(at.here)),
    ),
    mistake(
        "M30",
        "leaky ReLU",
        "a hidden unit below 0 passes a hundredth of what enters it",
        Dense(
            active=lambda s: np.maximum(s, 0.01 * s),
            bend=lambda at: np.where(at.here > 0, 1.0, 0.01),
        ),
    ),
    langevin.mistake(
        "X30",
        "noise one per cent too large",
        "the noise of every move is 1.01 sqrt(epsilon) z",
        Langevin(kick=lambda m: 1.01 * m.kick),
    ),
)
