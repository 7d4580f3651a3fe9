"""Minibatches of a finite sum: a minibatch loss is a loss."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.arrays import Array, as_count, as_generator
from refimpl.errors import InvalidParameter
from refimpl.interfaces import FiniteSum, Loss


def minibatches(f: FiniteSum, size: int, rng: np.random.Generator) -> Iterator[Loss]:
    """Endless minibatch losses, each the mean over a fresh uniform subset of `size`.

    One minibatch serves one weight update, as in Section 6 of the paper.

    Parameters
    ----------
    f : FiniteSum
        A loss (1) of N examples.
    size : int
        At most N; drawn without replacement.
    rng : numpy.random.Generator

    Raises
    ------
    InvalidParameter
        If f is no finite sum, or the size is not between 1 and N.
    """
    _require_batches(f, size, rng)

    def draw() -> Iterator[Loss]:
        while True:
            yield _minibatch(f, size, rng)

    return draw()


class Resampled:
    """The loss f seen through a fresh minibatch at every evaluation.

    The other reading of the paper's minibatches: legitimate for Algorithms 3 and 5,
    which are linear in f, and biased for Algorithm 4.

    Parameters
    ----------
    f : FiniteSum
    size : int
    rng : numpy.random.Generator
    """

    def __init__(self, f: FiniteSum, size: int, rng: np.random.Generator) -> None:
        _require_batches(f, size, rng)
        self.f, self.size, self.rng = f, size, rng

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.f.d

    def __call__(self, y: Any) -> Array:
        """The mean over a fresh minibatch at points (..., d), one for all, (...)."""
        return _minibatch(self.f, self.size, self.rng)(y)

    def gradient(self, y: Any) -> Array:
        """Its gradient, over another fresh minibatch, shape (..., d)."""
        return _minibatch(self.f, self.size, self.rng).gradient(y)


def _require_batches(f: Any, size: int, rng: Any) -> None:
    as_generator("rng", rng)
    if not isinstance(f, FiniteSum) or isinstance(f, type):
        raise InvalidParameter(
            f"minibatches need a finite sum with N and batch(), got {type(f).__name__}"
        )
    if as_count("size", size) > f.N:
        raise InvalidParameter(f"size must be at most N = {f.N}, got {size}")


def subset(N: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A uniform subset of `size` of the indices 0, ..., N - 1, in random order."""
    return rng.choice(N, size=size, replace=False)


def _minibatch(f: FiniteSum, size: int, rng: np.random.Generator) -> Loss:
    return f.batch(subset(f.N, size, rng))
