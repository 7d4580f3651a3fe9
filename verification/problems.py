"""The problems that the checks run on.

All inputs are dyadic rationals of few digits, so that every subject starts from the
same numbers, also in single precision.  None is symmetric, diagonal, one-dimensional
or at tau = 1 for all of a check's cases: each such choice hides some mistake.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.losses import (
    Constant,
    GaussianMixture,
    GaussianWells,
    LeastSquares,
    Linear,
    LossData,
    Network,
    Quadratic,
    Quartic,
    Trigonometric,
)

__all__ = ["Problem", "at"]


@dataclass(frozen=True, eq=False)
class Problem:
    """A loss, a centre x and a variance tau, with a label for reports.

    `loss` is loss data or None; `more` holds what a check adds of its own.
    """

    label: str
    loss: Any
    x: tuple[float, ...] = ()
    tau: float = 0.75
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def d(self) -> int:
        """The number of parameters."""
        return len(self.x)


QUADRATIC_1 = Quadratic([[1.25]], [0.5], -0.75)
QUADRATIC_2 = Quadratic([[2.0, 0.625], [0.625, 0.875]], [0.3125, -0.8125], 0.375)
INDEFINITE_3 = Quadratic(
    [[1.5, 0.5, -0.25], [0.5, -0.375, 0.125], [-0.25, 0.125, 0.75]],
    [0.25, -0.5, 1.125],
    -0.25,
)
DIAGONAL_3 = Quadratic([0.5, 2.25, 0.125], [-0.375, 0.5, 1.0], 1.5)
SCALAR_2 = Quadratic(1.75, [0.5, -1.25], 0.25)
STIFF_2 = Quadratic([[9.0, 2.5], [2.5, 5.0]], [0.3125, -0.8125], 0.375)
LINEAR_2 = Linear([0.75, -1.5], 0.625)
CONSTANT_3 = Constant(-1.375, 3)
LEAST_SQUARES_2 = LeastSquares(
    [
        [1.0, 0.5],
        [-0.75, 1.25],
        [0.25, -1.5],
        [1.5, 1.0],
        [-0.5, 0.375],
        [0.875, -0.25],
    ],
    [0.5, -1.0, 1.75, 0.25, -0.625, 1.125],
)
QUADRATIC_5 = Quadratic(
    [
        [1.5, 0.25, 0.0, -0.125, 0.375],
        [0.25, 0.75, 0.125, 0.0, -0.25],
        [0.0, 0.125, 1.25, 0.5, 0.0625],
        [-0.125, 0.0, 0.5, 2.0, 0.25],
        [0.375, -0.25, 0.0625, 0.25, 0.875],
    ],
    [0.25, -0.5, 1.125, -0.75, 0.375],
    0.625,
)
LEAST_SQUARES_WIDE_3 = LeastSquares(
    [[1.0, 0.5, -0.25], [-0.75, 1.25, 0.5]], [0.5, -1.0]
)
LEAST_SQUARES_3 = LeastSquares(
    [[1.0, 0.5, -0.25], [-0.75, 1.25, 0.5], [0.25, -1.5, 1.0], [1.5, 1.0, 0.75]],
    [0.5, -1.0, 1.75, 0.25],
)
MIXTURE_1 = GaussianMixture([0.375, 0.625], [[-1.25], [0.875]], [[[0.25]], [[0.5625]]])
MIXTURE_2 = GaussianMixture(
    [0.25, 0.4375, 0.3125],
    [[-1.0, 0.75], [1.25, 0.5], [0.25, -1.5]],
    [
        [[0.5, 0.125], [0.125, 0.375]],
        [[0.75, -0.25], [-0.25, 0.5]],
        [[0.375, 0.0625], [0.0625, 0.625]],
    ],
)
MIXTURE_3 = GaussianMixture(
    [0.375, 0.625],
    [[-0.75, 0.5, 1.0], [1.0, -0.25, -0.5]],
    [
        [[0.75, 0.25, -0.125], [0.25, 0.5, 0.125], [-0.125, 0.125, 0.625]],
        [[0.5, -0.125, 0.0625], [-0.125, 0.875, 0.25], [0.0625, 0.25, 0.375]],
    ],
)
MIXTURE_5 = GaussianMixture(
    [0.4375, 0.5625],
    [[-0.5, 0.25, 0.75, 0.0, -0.25], [0.5, -0.25, 0.0, 0.5, 0.25]],
    [
        [
            [0.75, 0.125, 0.0, 0.0, 0.0625],
            [0.125, 0.5, 0.0, -0.125, 0.0],
            [0.0, 0.0, 0.625, 0.25, 0.0],
            [0.0, -0.125, 0.25, 0.875, 0.0],
            [0.0625, 0.0, 0.0, 0.0, 0.5],
        ],
        [
            [0.5, 0.0, 0.125, 0.0, 0.0],
            [0.0, 0.625, 0.0, 0.0, -0.25],
            [0.125, 0.0, 0.75, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.5, 0.0625],
            [0.0, -0.25, 0.0, 0.0625, 1.0],
        ],
    ],
)
GAUSSIAN_2 = GaussianMixture([1.0], [[0.5, -0.75]], [[[0.5, 0.125], [0.125, 0.75]]])
RARE_1 = GaussianMixture(
    [1 - 2.0**-12, 2.0**-12], [[-1.5], [1.25]], [[[0.125]], [[0.375]]]
)
BIMODAL_1 = GaussianMixture([0.5625, 0.4375], [[-1.5], [1.5]], [[[0.125]], [[0.125]]])
WELLS_1 = GaussianWells([1.5, 0.75], [[-1.0], [1.25]], [[[0.0625]], [[0.5]]], 0.5)
#: At tau = 1/8 the proximal point of 18 lies 16.8 away, in the deep well, not near by.
DEEP_WELL_1 = GaussianWells([2048.0, 0.75], [[1.125], [17.0]], [[[0.25]], [[0.5]]], 0.5)
WELLS_2 = GaussianWells(
    [1.25, 0.875, -0.5],
    [[-0.75, 0.5], [1.0, -0.25], [0.5, -1.25]],
    [
        [[0.25, 0.0625], [0.0625, 0.1875]],
        [[0.75, -0.25], [-0.25, 1.0]],
        [[0.375, 0.125], [0.125, 0.25]],
    ],
    -0.625,
)
QUARTIC_1 = Quartic([1.0], [0.25], [-1.5])
QUARTIC_2 = Quartic([1.0, 0.5], [0.25, -0.375], [-1.5, 0.75], 0.375)
DOUBLE_WELL_1 = Quartic([1.0], [0.0], [-6.0])
DOUBLE_WELL_2 = Quartic([1.0, 1.25], [0.0, 0.125], [-6.0, -5.0], 0.375)
WAVES_1 = Trigonometric([0.75, 0.375], [[2.5], [1.25]], [0.5, -1.0], 0.625, [0.25])
WAVES_2 = Trigonometric(
    [0.5, 0.875],
    [[1.5, -0.75], [0.5, 2.25]],
    [0.25, -0.625],
    [[0.75, 0.25], [0.25, 1.125]],
    [0.5, -0.25],
    0.375,
)

_X = (0.8125, -1.3125, 0.4375, 1.0625, -0.5625)


def spread(values: Sequence[float], d: int) -> tuple[float, ...]:
    """The first d of the values; where there are fewer, again at half the size."""
    n = len(values)
    return tuple(values[i % n] * 0.5 ** (i // n) for i in range(d))


def at(label: str, loss: LossData, tau: float, x: Any = None, **more: Any) -> Problem:
    """A problem; x is a generic point unless it is given."""
    centre = spread(_X, loss.d) if x is None else tuple(float(v) for v in x)
    return Problem(f"{label}, tau = {tau:g}", loss, centre, tau, more)


QUADRATICS = (
    at("quadratic d=1", QUADRATIC_1, 0.75),
    at("quadratic d=2", QUADRATIC_2, 0.25),
    at("indefinite quadratic d=3", INDEFINITE_3, 1.25),
    at("diagonal quadratic d=3", DIAGONAL_3, 3.0),
    at("scalar quadratic d=2", SCALAR_2, 0.375),
    at("least squares d=2", LEAST_SQUARES_2, 0.75),
    at("linear d=2", LINEAR_2, 0.375),
    at("quadratic d=5", QUADRATIC_5, 0.625),
    at("least squares d=3, N=2", LEAST_SQUARES_WIDE_3, 1.5),
)
MIXTURES = (
    at("mixture d=1", MIXTURE_1, 0.75),
    at("mixture d=2", MIXTURE_2, 0.25),
    at("mixture d=3", MIXTURE_3, 1.25),
    at("mixture d=5", MIXTURE_5, 0.5),
    at("mixture of one d=2", GAUSSIAN_2, 0.375),
    at("mixture with a rare component d=1", RARE_1, 0.25),
)
CONJUGATE = (*QUADRATICS, *MIXTURES)
PLAIN = (
    at("quartic d=1", QUARTIC_1, 0.75),
    at("quartic d=2", QUARTIC_2, 0.375),
    at("waves d=1", WAVES_1, 0.625),
    at("waves d=2", WAVES_2, 0.75),
    at("wells d=1", WELLS_1, 1.25),
    at("wells d=2", WELLS_2, 0.375),
)


# --- with draws -----------------------------------------------------------------------

QUARTIC_3 = Quartic([0.5, 1.0, 0.75], [0.25, -0.375, 0.125], [-1.0, 0.75, -0.5], 0.375)
WELLS_3 = GaussianWells(
    [1.5, 0.75],
    [[-0.75, 0.5, 1.0], [1.0, -0.25, -0.5]],
    [
        [[0.75, 0.25, -0.125], [0.25, 0.5, 0.125], [-0.125, 0.125, 0.625]],
        [[0.5, -0.125, 0.0625], [-0.125, 0.875, 0.25], [0.0625, 0.25, 0.375]],
    ],
    0.375,
)

#: A small variance, with an exact square root; a centre where STIFF_2 is steep.
TINY = 2.0**-10
STEEP = (240.5, 120.25)

_START = (0.25, 0.5, -1.125, 0.75, 1.5)


def draws(label: str, *shape: int) -> NDArray[np.float64]:
    """Numbers like standard normals, in steps of 1/64 and the same everywhere.

    Quantiles of the fractional parts of i² times the golden ratio, from an i that the
    label chooses.  One of them lies beyond 3, so that clipped noise shows.
    """
    first = zlib.crc32(label.encode()) % 2**16
    quantile = NormalDist().inv_cdf
    parts = [i * i * 2654435769 % 2**32 for i in range(first, first + np.prod(shape))]
    z = np.array([round(64 * quantile((part + 0.5) / 2**32)) / 64 for part in parts])
    largest = int(np.argmax(np.abs(z)))
    z[largest] += np.copysign(max(0.0, 3.25 - abs(z[largest])), z[largest])
    z = z.reshape(shape)
    z.flags.writeable = False
    return z


def squares(*roots: int) -> tuple[float, ...]:
    """Step sizes (k/16)², whose square roots are exact."""
    return tuple((k / 16) ** 2 for k in roots)


def power_law(c: float, alpha: float, count: int) -> tuple[float, ...]:
    """Steps c j^-alpha, j = 1, ..., count, rounded to multiples of 1/1024."""
    return tuple(round(1024 * c * j**-alpha) / 1024 for j in range(1, count + 1))


def small_squares(*roots: int) -> tuple[float, ...]:
    """Step sizes (k/256)², whose square roots are exact."""
    return tuple((k / 256) ** 2 for k in roots)


def chain(
    label: str,
    loss: LossData,
    tau: float,
    step_sizes: Sequence[float],
    *,
    n: int = 1,
    moved: bool = False,
    x: Any = None,
) -> Problem:
    """A run of Algorithm 3 with draws (n, J, d), of which the literal chain needs J−1.

    `moved` starts the chains elsewhere than at the centre.
    """
    J = len(step_sizes)
    said = f"{label}, J = {J}" + (", moved start" if moved else "")
    more = {"step_sizes": tuple(step_sizes), "draws": draws(said, n, J, loss.d)}
    start = spread(_START, loss.d) if moved else None
    return at(said, loss, tau, x, start=start, **more)


def sample(
    label: str,
    loss: LossData,
    tau: float,
    J: int,
    *,
    n: int = 1,
    workers: int = 1,
    x: Any = None,
) -> Problem:
    """A run of Algorithm 4 with draws (n, J, d), whoever shares them."""
    said = f"{label}, J = {J}"
    z = draws(said, n, J, loss.d)
    shared = f"{said}, L = {workers}" if workers > 1 else said
    return at(shared, loss, tau, x, samples=J, workers=workers, draws=z)


def descent(
    label: str,
    loss: LossData,
    tau: float,
    steps: Sequence[float],
    M: int,
    *,
    n: int = 1,
    moved: bool = False,
    x: Any = None,
) -> Problem:
    """A run of Algorithm 5 with draws (n, J, M, d)."""
    J = len(steps)
    said = f"{label}, J = {J}, M = {M}" + (", moved start" if moved else "")
    more = {"step_sizes": tuple(steps), "draws": draws(said, n, J, M, loss.d)}
    start = spread(_START, loss.d) if moved else None
    return at(said, loss, tau, x, start=start, inner_samples=M, **more)


def training(
    label: str,
    loss: LossData,
    method: str,
    tau: Sequence[float],
    *,
    step_sizes: Sequence[float] = (),
    samples: int = 0,
    inner_samples: int = 0,
    start: str = "",
    workers: int = 0,
    batches: Sequence[Sequence[int]] | None = None,
) -> Problem:
    """A whole run, one weight update for each tau, with draws for every update.

    They are (J, d) for "sgld", of which the literal chain needs J−1, (J, d) for
    "importance" and (J, M, d) for "robbins_monro".  The record names what the method
    needs and no more.
    """
    J = samples or len(step_sizes)
    record = {
        "tau": list(tau),
        "samples": samples,
        "step_sizes": list(step_sizes),
        "inner_samples": inner_samples,
        "start": start,
        "workers": workers,
    }
    inner = (inner_samples,) if inner_samples else ()
    return at(
        label,
        loss,
        tau[0],
        method=method,
        record={name: value for name, value in record.items() if value},
        batches=None if batches is None else np.array(batches),
        draws=draws(label, len(tau), J, *inner, loss.d),
    )


# --- networks -------------------------------------------------------------------------


def examples(
    label: str, sizes: Sequence[int], N: int, activation: str = "relu"
) -> Network:
    """A network's loss over N images of numbers like normals, of all classes by turns.

    Images and labels follow from the label.
    """
    images = draws(f"{label}, images", N, sizes[0])
    labels = [(i * i + i // 2 + 1) % sizes[-1] for i in range(N)]
    return Network(sizes, images, labels, activation)


def weights(label: str, d: int, scale: float = 0.5) -> tuple[float, ...]:
    """Parameters like normals of a standard deviation that is a power of two."""
    return tuple((scale * draws(f"{label}, weights", d)).tolist())


def network(
    label: str, sizes: Sequence[int], N: int, x: Any = None, **more: Any
) -> Problem:
    """A ReLU network of some sizes at parameters x, which follow from the label."""
    loss = examples(label, sizes, N)
    said = f"{label}, {'-'.join(map(str, sizes))}, N = {N}"
    chosen = weights(label, loss.d) if x is None else tuple(float(v) for v in x)
    return Problem(said, loss, chosen, more=more)


RELU_14 = examples("relu d=14", (3, 2, 2), 3)
BATCHED_14 = examples("batched relu d=14", (3, 2, 2), 6)
TANH_14 = examples("tanh d=14", (3, 2, 2), 4, "tanh")
SIGMOID_17 = examples("sigmoid d=17", (2, 3, 2), 3, "sigmoid")
SOFTMAX_8 = examples("softmax d=8", (3, 2), 4)
DEEP_18 = examples("deep d=18", (2, 2, 2, 2), 2, "tanh")
ONE_EXAMPLE_14 = examples("one example d=14", (3, 2, 2), 1)
