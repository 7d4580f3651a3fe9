"""Standard normal noise in blocks, NumPy's own stream, filled by a compiled loop.

A compiled loop over `Generator.standard_normal` gives the very numbers that
`Generator.standard_normal(size)` gives, twice as fast, but takes longer to begin:
short blocks are left to NumPy.  Blocks are reused: whoever keeps one must copy it.
"""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from refimpl._jit import jit
from refimpl.arrays import Array, as_choice

Reading = Literal["variance", "standard-deviation"]
"""How the second argument of the paper's N(m, v) is read; its text says variance."""

BLOCK = 2**18
"""Numbers per block, 2 MiB; a block has at least one row."""


SHORT = 2048
"""Numbers up to which NumPy itself is the faster, measured."""


@jit
def fill_kernel(rng: np.random.Generator, z: Array) -> None:
    """Fill z (n, d) with standard normals, row by row."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = rng.standard_normal()


@jit
def around_kernel(y: Array, deviation: float, z: Array, samples: Array) -> None:
    """samples = y + deviation z, in one pass; y (n, d), z and samples (n, m, d)."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            for k in range(z.shape[2]):
                samples[i, j, k] = y[i, k] + deviation * z[i, j, k]


def around(y: Array, variance: float, z: Array) -> Array:
    """Samples of N(y, variance I) from standard normals z.

    Parameters
    ----------
    y : ndarray, shape (n, d)
    variance : float
    z : ndarray, shape (n, m, d)

    Returns
    -------
    ndarray, shape (n, m, d)
    """
    samples = np.empty(z.shape)
    around_kernel(y, float(np.sqrt(variance)), z, samples)
    return samples


def as_reading(value: Any) -> Reading:
    """The value, if it is a reading."""
    reading: Reading = as_choice("noise", value, get_args(Reading))
    return reading


def variance_of(v: Any, reading: Reading) -> Any:
    """The variance of the noise N(m, v): v, or v^2 if v is read as a deviation."""
    return v if reading == "variance" else v * v


def rows_per_block(d: int) -> int:
    """How many rows of d numbers make a block."""
    return max(1, BLOCK // d)


def normal_blocks(rng: np.random.Generator, n: int, d: int) -> Iterator[Array]:
    """n rows of d standard normals, a block (m, d) at a time, the memory reused."""
    rows = max(1, min(n, rows_per_block(d)))
    memory = np.empty((rows, d))
    for start in range(0, n, rows):
        block = memory[: n - start]
        _fill(rng, block)
        yield block


def normals(rng: np.random.Generator, n: int, d: int) -> Array:
    """n rows of d standard normals, shape (n, d)."""
    z = np.empty((n, d))
    _fill(rng, z)
    return z


def _fill(rng: np.random.Generator, z: Array) -> None:
    if z.size <= SHORT:
        rng.standard_normal(out=z)
    else:
        fill_kernel(rng, z)


def normal_rows(rng: np.random.Generator, n: int, d: int) -> Iterator[Array]:
    """The same numbers row by row, shape (d,) each, the memory reused."""
    for block in normal_blocks(rng, n, d):
        yield from block
