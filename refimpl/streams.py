"""One seed, several named random streams.

Each purpose has a stream of its own, so that asking one of them for more numbers, or
adding a stream, changes none of the others.  The bit generator is SFC64, the fastest
of NumPy's; any other would do.
"""

from typing import Any

import numpy as np

from refimpl.errors import InvalidParameter

# The numbers are part of every published result: append, never renumber.
_KEYS = {"initialisation": 0, "batches": 1, "algorithm": 2, "evaluation": 3}

# NumPy reads both in words of 32 bits, four for the seed: more of them would be those
# of another stream.
_SEEDS, _POSITIONS = 2**128, 2**32


def stream(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """The generator of one purpose, and within it of one position (a run, a worker).

    Parameters
    ----------
    seed : int
        Not negative, below 2^128.
    purpose : str
        ``"initialisation"``, ``"batches"``, ``"algorithm"`` or ``"evaluation"``.
    *position : int
        Further indices below 2^32, each combination with a stream of its own: its
        k-th child, as `numpy.random.Generator.spawn` and `ImportanceSampling` make
        them, is the stream with k as one index more.  So do not both index a stream
        and spawn from it.

    Raises
    ------
    InvalidParameter
        If the purpose is unknown, or seed and position are not such whole numbers.

    Examples
    --------
    >>> a = stream(7, "batches").integers(1000, size=3)
    >>> b = stream(7, "batches").integers(1000, size=3)
    >>> bool((a == b).all())
    True
    """
    if not isinstance(purpose, str) or purpose not in _KEYS:
        known = ", ".join(_KEYS)
        raise InvalidParameter(f"no stream is named {purpose!r}; there are {known}")
    if not _is_index(seed, _SEEDS) or not all(
        _is_index(p, _POSITIONS) for p in position
    ):
        raise InvalidParameter(
            "seed and position must be whole numbers >= 0, the seed below 2^128 and "
            f"others below 2^32, got {(seed, *position)}"
        )
    sequence = np.random.SeedSequence(seed, spawn_key=(_KEYS[purpose], *position))
    return np.random.Generator(np.random.SFC64(sequence))


def _is_index(value: Any, end: int) -> bool:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and 0 <= value < end
