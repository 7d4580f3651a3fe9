"""Standard normal noise in blocks, NumPy's own stream, filled by a compiled loop.

A compiled loop over `Generator.standard_normal` gives the very numbers that
`Generator.standard_normal(size)` gives, twice as fast, but takes longer to begin:
short blocks are left to NumPy.  Blocks are reused: whoever keeps one must copy it.
"""

from collections.abc import Iterator

import numpy as np

from refimpl._jit import jit
from refimpl.arrays import Array

BLOCK = 2**17
"""Numbers per block, 1 MiB; a block has at least one row."""


SHORT = 2048
"""Numbers up to which NumPy itself is the faster, measured."""


@jit
def fill_kernel(rng: np.random.Generator, z: Array) -> None:
    """Fill z (n, d) with standard normals, row by row."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = rng.standard_normal()


def rows_per_block(d: int) -> int:
    """How many rows of d numbers make a block."""
    return max(1, BLOCK // d)


def normal_blocks(rng: np.random.Generator, n: int, d: int) -> Iterator[Array]:
    """n rows of d standard normals, a block (m, d) at a time, the memory reused."""
    rows = max(1, min(n, rows_per_block(d)))
    memory = np.empty((rows, d))
    for start in range(0, n, rows):
        block = memory[: n - start]
        if block.size <= SHORT:
            rng.standard_normal(out=block)
        else:
            fill_kernel(rng, block)
        yield block


def normal_rows(rng: np.random.Generator, n: int, d: int) -> Iterator[Array]:
    """The same numbers row by row, shape (d,) each, the memory reused."""
    for block in normal_blocks(rng, n, d):
        yield from block
