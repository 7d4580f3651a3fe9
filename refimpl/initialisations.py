"""Where the training of a network starts: the usual random laws of its weights.

A layer from m inputs to n outputs is one matrix (m + 1, n) whose last row is the bias;
y holds the layers one after the other, each row by row.

``glorot-uniform``
    Uniform, of variance 2/(m + n): between -a and a = (6/(m + n))^(1/2).
``glorot-normal``
    Normal, of variance 2/(m + n).
``he-uniform``
    Uniform, of variance 2/m: between -a and a = (6/m)^(1/2).
``he-normal``
    Normal, of variance 2/m.
``truncated-normal``
    Normal, of standard deviation 0.1, drawn again until within 0.2; biases are 0.1.
``normal:0.1``
    Normal, of the standard deviation after the colon.
``zero``
    Every weight is 0.

Biases are 0 where nothing else is said.  Some libraries also cut the normal laws of
Glorot and He; here they are not cut.  The truncated law is that of TensorFlow's
tutorial on MNIST.

References
----------
Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural
networks* (AISTATS 2010), equation (16).  He, Zhang, Ren and Sun, *Delving deep into
rectifiers* (ICCV 2015), equation (10).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from refimpl.arrays import Array, as_count, as_generator, as_variance
from refimpl.errors import InvalidParameter

INITIALISATIONS = (
    "glorot-uniform",
    "glorot-normal",
    "he-uniform",
    "he-normal",
    "truncated-normal",
    "normal:0.1",
    "zero",
)
"""The names; after ``normal:`` any standard deviation may stand."""

_TRUNCATED_SD = 0.1
_TRUNCATED_BIAS = 0.1
_CUT = 2.0  # in standard deviations


def initial(sizes: Sequence[int], how: str, rng: np.random.Generator) -> Array:
    """The parameters of a network at the start, shape (d,).

    Parameters
    ----------
    sizes : sequence of int
        Inputs, units of each hidden layer, outputs: at least two numbers.
    how : str
        One of `INITIALISATIONS`, or ``normal:`` with another standard deviation.
    rng : numpy.random.Generator
        Gives the weights in the order of y; biases take nothing from it.

    Raises
    ------
    InvalidParameter
        If sizes are not at least two whole numbers >= 1, if there is no such name, or
        if rng is not a Generator.

    Examples
    --------
    >>> initial((2, 1), "truncated-normal", np.random.default_rng(0)).shape
    (3,)
    >>> float(initial((2, 1), "truncated-normal", np.random.default_rng(0))[-1])
    0.1
    """
    layers = list(pairwise(_as_sizes(sizes)))
    as_generator("rng", rng)
    parts = [
        part
        for m, n in layers
        for part in (_weights(how, m, n, rng).ravel(), np.full(n, _bias(how)))
    ]
    return np.concatenate(parts)


def _bias(how: str) -> float:
    cut = isinstance(how, str) and how == "truncated-normal"
    return _TRUNCATED_BIAS if cut else 0.0


def _as_sizes(sizes: Sequence[int]) -> list[int]:
    listed = np.iterable(sizes) and not isinstance(sizes, bytes)
    found = list(sizes) if listed else []
    if len(found) < 2:
        raise InvalidParameter(
            f"sizes must be at least two numbers, such as (784, 10), got {sizes!r}"
        )
    return [as_count("each of sizes", size) for size in found]


def _weights(how: str, m: int, n: int, rng: np.random.Generator) -> Array:
    """The weights from m inputs to n outputs, shape (m, n)."""
    match how.partition(":") if isinstance(how, str) else ():
        case ("glorot-uniform", "", ""):
            return _uniform(2 / (m + n), m, n, rng)
        case ("glorot-normal", "", ""):
            return np.sqrt(2 / (m + n)) * rng.standard_normal((m, n))
        case ("he-uniform", "", ""):
            return _uniform(2 / m, m, n, rng)
        case ("he-normal", "", ""):
            return np.sqrt(2 / m) * rng.standard_normal((m, n))
        case ("truncated-normal", "", ""):
            return _TRUNCATED_SD * _truncated(m, n, rng)
        case ("normal", ":", sd):
            return _standard_deviation(sd) * rng.standard_normal((m, n))
        case ("zero", "", ""):
            return np.zeros((m, n))
    known = ", ".join(INITIALISATIONS)
    raise InvalidParameter(f"no initialisation is named {how!r}; there are {known}")


def _uniform(variance: float, m: int, n: int, rng: np.random.Generator) -> Array:
    """Uniform on [-a, a], whose variance is a^2 / 3."""
    a = np.sqrt(3 * variance)
    return rng.uniform(-a, a, size=(m, n))


def _truncated(m: int, n: int, rng: np.random.Generator) -> Array:
    """Standard normals, those beyond the cut drawn again until none is."""
    z = rng.standard_normal((m, n))
    while (beyond := np.abs(z) > _CUT).any():
        z[beyond] = rng.standard_normal(np.count_nonzero(beyond))
    return z


def _standard_deviation(text: str) -> float:
    try:
        return as_variance("the standard deviation after normal:", float(text))
    except ValueError:
        raise InvalidParameter(
            "after normal: stands a positive standard deviation, as in normal:0.1, "
            f"got {text!r}"
        ) from None
