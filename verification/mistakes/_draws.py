"""Standard normals for faulty algorithms, handed in or their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def normals(
    shape: tuple[int, ...], draws: Any, rng: np.random.Generator, more: int = 0
) -> Array:
    """The draws that are given, else fresh ones of this shape.

    Parameters
    ----------
    shape : tuple of int
        (n, rows, ...), as the algorithm should use them; n is that of the draws
        where they are given.
    draws : array_like or None
    rng : numpy.random.Generator
        Untouched where draws are given.
    more : int
        How many rows the algorithm uses beyond those.  Of given draws it repeats the
        last row, or zeros where there is none, and leaves the last ones for a
        negative number.

    Raises
    ------
    ValueError
        If the draws have another shape.
    """
    n, rows, *rest = shape
    if draws is None:
        return rng.standard_normal((n, rows + more, *rest))
    z = np.array(draws, dtype=np.float64)
    if z.shape[1:] != shape[1:]:
        raise ValueError(f"draws must be (n, {rows}, ...) of {shape}, got {z.shape}")
    if more < 0:
        return z[:, :more]
    again = z[:, -1:] if rows else np.zeros((len(z), 1, *rest))
    return np.concatenate([z, *[again] * more], axis=1)


def shared(axis: int) -> Callable[[Array], Array]:
    """The first draw along this axis in place of all of them."""

    def of(z: Array) -> Array:
        return np.broadcast_to(z.take([0], axis=axis), z.shape) if z.size else z

    return of
