"""Dense networks: the mean loss over labelled images, with hand-written gradients.

A layer is one matrix W, its bias the last row, fed by a column of ones::

    A_0 = [images, 1],    A_l = [sigma(A_{l-1} W_l), 1],    logits = A_{L-1} W_L,
    f = (1/N) sum_n loss(softmax(logits_n), label_n),

sigma being the activation of all layers but the last.  The parameters y (d,) are the
matrices one after the other, row by row; all functions of them take batches (..., d).
Backwards, D_L being the derivative by the logits::

    df/dW_l = A_{l-1}^T D_l,    D_{l-1} = sigma'(A_{l-1}) * (D_l W_l^T) without its
                                          last column, that of the ones.

With one minibatch fixed, f depends on the first layer only through A_0 W_1, that is
through the components of W_1 in the row space of A_0: see `Network.reduced`.

The class computes with the compiled twins of these functions, those of
`refimpl.network_kernels`, unless it is told otherwise.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from refimpl import network_kernels as kernels
from refimpl.arrays import Array, as_count, as_list, as_points, as_rows, frozen
from refimpl.errors import InvalidParameter
from refimpl.losses.reduced import Reduced, row_space

Activation = Literal["relu", "tanh", "sigmoid"]
Cost = Literal["cross-entropy", "squared"]
Labels = NDArray[np.int64]
Shape = tuple[int, int]

ACTIVATIONS = ("relu", "tanh", "sigmoid")
COSTS = ("cross-entropy", "squared")
REDUCTIONS = ("mean", "sum")


# --- the mathematics, in NumPy


def layer_shapes(sizes: Sequence[int]) -> tuple[Shape, ...]:
    """The shapes (inputs + 1, outputs) of the layers of a network of these sizes.

    Examples
    --------
    >>> layer_shapes((784, 200, 10))
    ((785, 200), (201, 10))
    """
    widths = [as_count("a layer's size", size) for size in as_list("sizes", sizes)]
    if len(widths) < 2:
        raise InvalidParameter(
            f"sizes must name at least inputs and outputs, got {tuple(sizes)!r}"
        )
    return tuple((m + 1, n) for m, n in pairwise(widths))


def parameter_count(sizes: Sequence[int]) -> int:
    """How many parameters a network of these sizes has.

    Examples
    --------
    >>> parameter_count((784, 10)), parameter_count((784, 200, 10))
    (7850, 159010)
    """
    return sum(m * n for m, n in layer_shapes(sizes))


def layers(y: Array, shapes: Sequence[Shape]) -> list[Array]:
    """The matrices (..., inputs + 1, outputs) of the layers, views of y (..., d)."""
    cuts = np.cumsum([m * n for m, n in shapes])[:-1]
    parts = np.split(y, cuts, axis=-1)
    return [
        part.reshape(*y.shape[:-1], *shape)
        for part, shape in zip(parts, shapes, strict=True)
    ]


def activated(P: Array, activation: Activation) -> Array:
    """[sigma(P), 1]: (..., m) to (..., m + 1)."""
    if activation == "relu":
        values = np.maximum(P, 0.0)
    elif activation == "tanh":
        values = np.tanh(P)
    else:
        values = 0.5 + 0.5 * np.tanh(0.5 * P)
    return np.concatenate([values, np.ones((*P.shape[:-1], 1))], axis=-1)


def slope(A: Array, activation: Activation) -> Array:
    """sigma' where sigma is A; relu has slope 0 at 0."""
    if activation == "relu":
        return (A > 0).astype(np.float64)
    return 1 - A * A if activation == "tanh" else A * (1 - A)


def forward(
    W: Sequence[Array], X: Array, activation: Activation
) -> tuple[list[Array], Array]:
    """The inputs A_0, ..., A_{L-1} of the layers, and the logits (..., N, classes)."""
    inputs = [X]
    for one in W[:-1]:
        inputs.append(activated(inputs[-1] @ one, activation))
    return inputs, inputs[-1] @ W[-1]


def losses(logits: Array, labels: Labels, cost: Cost) -> Array:
    """The loss of each example, (..., N, classes) to (..., N).

    cross-entropy, -log p_label, or squared, sum_c (p_c - 1{c = label})^2, with
    p = softmax(logits).
    """
    at = (..., np.arange(labels.size), labels)
    if cost == "cross-entropy":
        return np.asarray(logsumexp(logits, axis=-1) - logits[at])
    miss = softmax(logits, axis=-1)
    miss[at] -= 1
    return np.asarray((miss * miss).sum(axis=-1))


def logit_derivatives(logits: Array, labels: Labels, cost: Cost) -> Array:
    """The derivative of each example's loss by its logits, (..., N, classes)."""
    p: Array = softmax(logits, axis=-1)
    miss = p.copy()
    miss[..., np.arange(labels.size), labels] -= 1
    if cost == "cross-entropy":
        return miss
    mean = (p * miss).sum(axis=-1, keepdims=True)
    return 2 * p * (miss - mean)


def backward(
    W: Sequence[Array], inputs: Sequence[Array], D: Array, activation: Activation
) -> list[Array]:
    """The derivatives by the matrices W, from D, those by the logits."""
    gradients = []
    for A, one in zip(reversed(inputs), reversed(W), strict=True):
        gradients.append(np.swapaxes(A, -1, -2) @ D)
        if A is not inputs[0]:
            D = slope(A, activation) * (D @ np.swapaxes(one, -1, -2))
            D = D[..., :-1]
    return gradients[::-1]


# --- the loss


class DenseLoss:
    """The loss of a dense network whose first layer sees given features.

    Parameters
    ----------
    features : ndarray, shape (N, n)
        Of each example; [image, 1] in the ordinary network.  They are not copied.
    labels : ndarray of int, shape (N,)
    shapes : sequence of (int, int)
        Of the layers, the first (n, units), the others (inputs + 1, units).
    activation : {"relu", "tanh", "sigmoid"}
    loss : {"cross-entropy", "squared"}
    reduction : {"mean", "sum"}
        Over the examples; the paper's is the mean (1).
    compiled : bool
        Whether to use the compiled twin.
    """

    def __init__(
        self,
        features: Array,
        labels: Labels,
        shapes: Sequence[Shape],
        *,
        activation: Activation = "relu",
        loss: Cost = "cross-entropy",
        reduction: Literal["mean", "sum"] = "mean",
        compiled: bool = True,
    ) -> None:
        _require("activation", activation, ACTIVATIONS)
        _require("loss", loss, COSTS)
        _require("reduction", reduction, REDUCTIONS)
        self.features, self.labels = frozen(features.view()), labels
        self.shapes = tuple(shapes)
        self.activation, self.loss, self.reduction = activation, loss, reduction
        self.compiled = compiled
        table = np.array(self.shapes, dtype=np.int64)
        codes = ACTIVATIONS.index(activation), COSTS.index(loss)
        self._scale = 1.0 if reduction == "sum" else 1.0 / self.N
        self._given = (self.features, self.labels, table, *codes, self._scale)

    @cached_property
    def d(self) -> int:
        """The number of parameters."""
        return sum(m * n for m, n in self.shapes)

    @property
    def N(self) -> int:
        """The number of examples."""
        return self.labels.size

    def __call__(self, y: Any) -> Array:
        """f at parameters (..., d), shape (...)."""
        y = as_points("y", y, self.d)
        if self.compiled:
            result = np.empty(y.shape[:-1])
            self._run(kernels.losses_kernel, y, result.reshape(-1))
            return result[()]
        return np.asarray(self._scale * losses(self.logits(y), *self._target).sum(-1))

    def gradient(self, y: Any) -> Array:
        """The gradient of f at parameters (..., d), shape (..., d)."""
        y = as_points("y", y, self.d)
        if self.compiled:
            result = np.empty(y.shape)
            self._run(kernels.gradients_kernel, y, result.reshape(-1, self.d))
            return result
        W = layers(y, self.shapes)
        inputs, logits = forward(W, self.features, self.activation)
        D = self._scale * logit_derivatives(logits, *self._target)
        flat = [
            g.reshape(*y.shape[:-1], m * n)
            for g, (m, n) in zip(
                backward(W, inputs, D, self.activation), self.shapes, strict=True
            )
        ]
        return np.concatenate(flat, axis=-1)

    def logits(self, y: Any) -> Array:
        """The output of the last layer at parameters (..., d), (..., N, classes)."""
        y = as_points("y", y, self.d)
        return forward(layers(y, self.shapes), self.features, self.activation)[1]

    def accuracy(self, y: Any) -> Array:
        """The share of examples classified right, at parameters (..., d), shape (...).

        The class is that of the largest logit, the first of several.
        """
        right = self.logits(y).argmax(axis=-1) == self.labels
        return np.asarray(right.mean(axis=-1))

    def batch(self, indices: Any) -> "DenseLoss":
        """The loss over the examples with these indices, again a loss."""
        rows = as_rows(indices, self.N)
        return self._over(self.features[rows], self.labels[rows], self.shapes)

    @cached_property
    def reduced(self) -> Reduced:
        """The same network fed with what its examples span, see `refimpl.span`.

        The first layer's matrix W counts only through Q^T W, Q (n, r) an orthonormal
        basis of the row space of the features.
        """
        Q, seen = row_space(self.features)
        first = (Q.shape[1], self.shapes[0][1])
        small = self._over(seen, self.labels, (first, *self.shapes[1:]))
        return Reduced(small, Q, self.shapes[0][1])

    @property
    def _target(self) -> tuple[Labels, Cost]:
        return self.labels, self.loss

    def _over(
        self, features: Array, labels: Labels, shapes: Sequence[Shape]
    ) -> "DenseLoss":
        return DenseLoss(
            features,
            labels,
            shapes,
            activation=self.activation,
            loss=self.loss,
            reduction=self.reduction,
            compiled=self.compiled,
        )

    def _run(self, kernel: Any, y: Array, result: Array) -> None:
        """Fill result, a view, with the kernel's answer for each point."""
        points = np.ascontiguousarray(y).reshape(-1, self.d)
        kernel(points, *self._given, result)


class Network(DenseLoss):
    """f, (1), for a dense network: the mean loss over labelled images.

    Parameters
    ----------
    sizes : sequence of int
        Units of the layers from inputs to classes, like (784, 200, 10).
    images : array_like, shape (N, inputs)
    labels : array_like of int, shape (N,)
        From 0 to classes - 1.
    activation : {"relu", "tanh", "sigmoid"}
        Of all layers but the last, which is softmax.
    loss : {"cross-entropy", "squared"}
        -log p_label, or the sum over the classes of (p_c - 1{c = label})^2.
    reduction : {"mean", "sum"}
        Over the examples, and of a minibatch over its examples.
    compiled : bool
        Whether to use the compiled twin of the NumPy code; same numbers to rounding.

    Raises
    ------
    InvalidParameter
        For anything else than the above.

    References
    ----------
    (1), section 6.1; checked by the family NET.

    Examples
    --------
    >>> f = Network((2, 3), [[0.0, 1.0], [1.0, 0.5]], [0, 2])
    >>> f.d, float(f(np.zeros(f.d)).round(4))  # log 3
    (9, 1.0986)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        images: Any,
        labels: Any,
        *,
        activation: Activation = "relu",
        loss: Cost = "cross-entropy",
        reduction: Literal["mean", "sum"] = "mean",
        compiled: bool = True,
    ) -> None:
        shapes = layer_shapes(sizes)
        self.sizes = tuple(int(size) for size in sizes)
        images = as_points("images", images, self.sizes[0])
        if images.ndim != 2 or not np.isfinite(images).all():
            raise InvalidParameter(
                f"images must be finite, of shape (N, {self.sizes[0]}), "
                f"got shape {images.shape}"
            )
        super().__init__(
            np.concatenate([images, np.ones((len(images), 1))], axis=1),
            _as_labels(labels, len(images), self.sizes[-1]),
            shapes,
            activation=activation,
            loss=loss,
            reduction=reduction,
            compiled=compiled,
        )


def _require(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise InvalidParameter(
            f"{name} must be one of {', '.join(known)}, got {value!r}"
        )


def _as_labels(labels: Any, N: int, classes: int) -> Labels:
    try:
        found = np.asarray(labels)
    except ValueError:  # of lists of several lengths
        found = np.zeros(0)
    whole = found.dtype.kind in "iu" and not np.ma.is_masked(labels)
    if found.shape != (N,) or not N or not whole:
        raise InvalidParameter(
            f"labels must be {N} whole numbers, one for each image and at least one, "
            f"got shape {found.shape} of {found.dtype}"
        )
    if found.min() < 0 or found.max() >= classes:
        raise InvalidParameter(
            f"labels must be from 0 to {classes - 1}, got {found.min()} to "
            f"{found.max()}"
        )
    return frozen(found.astype(np.int64))  # type: ignore[return-value]
