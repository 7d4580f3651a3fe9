"""The random walk that literal SGLD makes of the weights, predicted and measured."""

import numpy as np
import pytest

from refimpl.initialisations import initial
from refimpl.losses import minibatches
from refimpl.network import Network
from refimpl.output_laws import langevin_response, sgld_walk
from refimpl.schedules import Harmonic, steps
from refimpl.sgld import SGLD
from refimpl.span import InSpan
from refimpl.streams import stream
from refimpl.two_step import two_step

TAU, J, SIZES = 0.01, 1000, (784, 200, 10)
EPSILON = Harmonic(1000.0)


@pytest.mark.parametrize("start", ["centre", "previous"])
def test_the_walk_is_that_of_the_recursion_written_out(start: str) -> None:
    """By the covariance of all updates' noise at once, a matrix (2K, 2K)."""
    epsilon, K = np.array([0.5, 0.25, 0.125]), 6
    law = langevin_response([0.0], 0.75, epsilon)
    al, be = law.start[:, 0] if start == "previous" else (0.0, 0.0)
    # rows: x_k and last_k as sums of the 2K numbers that the updates draw
    x, last = np.zeros(2 * K), np.zeros(2 * K)
    found = [0.0]
    noise = np.kron(np.eye(K), law.covariance[:, :, 0])
    for k in range(K):
        offset, draws = last - x, np.eye(2 * K)[2 * k : 2 * k + 2]
        x, last = x + al * offset + draws[0], x + be * offset + draws[1]
        found.append(float(x @ noise @ x))
    walk = sgld_walk(0.75, epsilon, K, start=start)  # type: ignore[arg-type]
    assert np.allclose(walk, found, rtol=1e-14, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(("start", "pace"), [("centre", 0.0235), ("previous", 0.0233)])
def test_the_weights_spread_as_the_law_says(start: str, pace: float) -> None:
    """Over the first layer, within 2 %.

    The standard deviation of n = 157,000 independent normals is measured to
    1/sqrt(2n) = 0.18 %, so that 2 % is eleven of its own deviations.  20 of 785
    directions are not flat; there f adds 0.03 to an update whose noise has length 9.
    """
    K = 300
    rng = stream(0, "batches")
    images = rng.random((2000, SIZES[0])) * (rng.random((2000, SIZES[0])) < 0.2)
    f = Network(SIZES, images, rng.integers(10, size=2000), activation="tanh")
    x0 = initial(SIZES, "glorot-uniform", stream(0, "initialisation"))
    run = two_step(
        (b for b, _ in zip(minibatches(f, 20, rng), range(K), strict=False)),
        x0,
        tau=TAU,
        project=InSpan(SGLD(J, EPSILON, start=start)),  # type: ignore[arg-type]
        rng=stream(0, "algorithm"),
    )
    walk = np.sqrt(
        sgld_walk(TAU, steps(EPSILON, J), K, start=start)  # type: ignore[arg-type]
    )
    assert walk[K] == pytest.approx(pace * K**0.5, rel=0.005)  # as it is told
    first = 785 * 200
    for iterate in run:
        if iterate.k in (10, 100, K):
            moved = (iterate.x - x0)[:first]
            assert moved.std() == pytest.approx(walk[iterate.k], rel=0.02)
