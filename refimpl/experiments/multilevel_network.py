"""The network of the published multilevel experiment, as an energy of two levels.

A layer has no bias, and what is learnt is how far it is from a rectangular identity M::

    H = relu(X (W_1 + M_1)),    logits = H (W_2 + M_2),
    f(W_1, W_2) = (1/N) sum_n sum_c (softmax(logits_n)_c - 1{c = label_n})^2.

X (N, pixels) holds the images; level 1, W_1 (pixels, hidden), is next to them.

H depends on level 1 alone: `DeviationNetwork.given` computes it once, and the energy of
level 2 that it returns costs a product with ten columns.  The images are mostly zeros
(81 % of MNIST), and H is formed from the others.  The loss is summed in float64: at
temperatures of 1e-6 differences far below that decide.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl._jit import jit
from refimpl.arrays import Array
from refimpl.experiments.data import Labels, Split

Indices = NDArray[np.int64]

BYTE = 255
"""The white of `refimpl.experiments.data`, by which bytes were divided."""

PUBLISHED_WHITE = 256
"""By which the published code divides them."""

BLOCK = 512
"""Images whose logits are computed at once; measured."""


@jit
def hidden_kernel(
    starts: Indices, columns: Indices, pixels: Array, W: Array, H: Array
) -> None:
    """H = relu(X W), X (N, n) by the pixels of row i that are not 0, from starts[i] on.

    starts (N + 1,); columns and pixels, one entry for each of them; W (n, m), H (N, m).
    """
    for i in range(H.shape[0]):
        row, k, end = H[i], starts[i], starts[i + 1]
        for j in range(row.size):
            row[j] = 0.0
        while k + 3 < end:  # four at once: H is read and written a fourth as often
            a, b, c, d = pixels[k], pixels[k + 1], pixels[k + 2], pixels[k + 3]
            A, B = W[columns[k]], W[columns[k + 1]]
            C, D = W[columns[k + 2]], W[columns[k + 3]]
            for j in range(row.size):
                row[j] += (a * A[j] + b * B[j]) + (c * C[j] + d * D[j])
            k += 4
        while k < end:
            a, A = pixels[k], W[columns[k]]
            for j in range(row.size):
                row[j] += a * A[j]
            k += 1
        for j in range(row.size):
            row[j] = row[j] if not row[j] <= 0.0 else 0.0


@jit
def squared_loss_kernel(logits: Array, labels: Indices) -> float:
    """The sum over examples of |softmax(logits) - one-hot label|^2; changes logits."""
    total = 0.0
    for n in range(logits.shape[0]):
        row = logits[n]
        top = row[0]
        for c in range(1, row.size):
            top = max(top, row[c])
        mass = 0.0
        for c in range(row.size):
            row[c] = np.exp(row[c] - top)
            mass += row[c]
        for c in range(row.size):
            miss = row[c] / mass - (1.0 if c == labels[n] else 0.0)
            total += miss * miss
    return total


@jit
def output_loss_kernel(H: Array, W: Array, labels: Indices) -> float:
    """The sum over examples of the loss where the logits are H W, H (N, m), W (m, c).

    In blocks of examples, for which BLAS is half as fast again as for all at once, and
    which are still in the cache when their logits are turned into losses.
    """
    total = 0.0
    for start in range(0, H.shape[0], BLOCK):
        end = min(start + BLOCK, H.shape[0])
        logits = np.dot(H[start:end], W)
        total += squared_loss_kernel(logits, labels[start:end])
    return total


@dataclass(frozen=True)
class Measured:
    """A network on a set of images.

    Attributes
    ----------
    loss : float
        The mean squared loss.
    accuracy : float
        The share of images whose largest logit, the first of several, is the label's.
    """

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class OutputLayer:
    """The energy of level 2, level 1 being known by its hidden activations H (N, m)."""

    network: "DeviationNetwork"
    H: Array

    def __call__(self, w: Array) -> float:
        """f at W_2 (hidden, classes)."""
        labels, W = self.network.labels, w + self.network.references[1]
        return output_loss_kernel(self.H, W, labels) / labels.size

    def logits(self, w: Array) -> Array:
        """Of all images, (N, classes)."""
        return self.H @ (w + self.network.references[1])


class DeviationNetwork:
    """f as a nested energy of the levels W_1 and W_2.

    Parameters
    ----------
    images : ndarray, shape (N, pixels)
    labels : ndarray of int, shape (N,)
    hidden, classes : int
        Units of the two layers.
    """

    def __init__(
        self, images: Array, labels: Labels, hidden: int, classes: int
    ) -> None:
        self.labels = labels
        self.shapes = ((images.shape[1], hidden), (hidden, classes))
        self.references = tuple(np.eye(*shape) for shape in self.shapes)
        rows, columns = np.nonzero(images)
        self._images = (
            np.searchsorted(rows, np.arange(len(images) + 1)),
            columns,
            images[rows, columns],
        )

    @property
    def N(self) -> int:
        """The number of images."""
        return self.labels.size

    @property
    def products(self) -> tuple[int, int]:
        """Multiply-adds of the hidden and of the output product, zeros included."""
        (n, m), (_, c) = self.shapes
        return self.N * n * m, self.N * m * c

    def given(self, w: Array) -> OutputLayer:
        """The energy of level 2 where level 1 is w (pixels, hidden)."""
        H = np.empty((self.N, self.shapes[0][1]))
        hidden_kernel(*self._images, w + self.references[0], H)
        return OutputLayer(self, H)

    def __call__(self, w1: Array, w2: Array) -> float:
        """f of both levels."""
        return self.given(w1)(w2)

    def measure(self, w1: Array, w2: Array) -> Measured:
        """Loss and accuracy."""
        layer = self.given(w1)
        right = layer.logits(w2).argmax(axis=1) == self.labels
        return Measured(layer(w2), float(right.mean()))


def published_pixels(name: str, split: Split, count: int | None = None) -> Array:
    """The first `count` images with the published scale of pixels, (count, pixels).

    MNIST's bytes are divided by 256; the digits are left as they are.
    """
    images = split.images[:count]
    if name != "mnist":
        return images
    return np.rint(images * BYTE) / PUBLISHED_WHITE
