"""Details of single losses that the contract, which holds for all, does not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.errors import InvalidParameter
from refimpl.losses import (
    GaussianWells,
    LeastSquares,
    Linear,
    Resampled,
    minibatches,
)
from refimpl.losses._features import FULL_WIDTH, resolving_length
from refimpl.losses.reduced import row_space
from refimpl.streams import stream


def test_a_linear_loss_without_a_constant_is_zero_at_zero() -> None:
    assert Linear([1.0, -2.0])([0.0, 0.0]) == 0.0


def test_exact_draws_of_a_linear_loss_are_shifted_normals() -> None:
    found = Linear([1.0, -2.0]).posterior_sample(
        [0.5, 1.0], 0.25, 3, stream(1, "batches")
    )
    z = stream(1, "batches").standard_normal((3, 2))
    np.testing.assert_allclose(found, [0.25, 1.5] + 0.5 * z, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_what_is_negligible_is_so_beside_the_largest(scale: float) -> None:
    rows = scale * np.array([[3.0, 0.0, 4.0], [0.0, 2.0, 0.0], [3.0, 2.0, 4.0]])
    basis, seen = row_space(rows)
    assert basis.shape == (3, 2)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-15)
    np.testing.assert_allclose(seen @ basis.T, rows, rtol=1e-14, atol=1e-14 * scale)


@pytest.mark.parametrize("make", [minibatches, Resampled])
@pytest.mark.parametrize("rng", [None, 0, np.random])
def test_minibatches_ask_for_a_generator_at_once(make: Any, rng: Any) -> None:
    with pytest.raises(InvalidParameter, match="rng must be"):
        make(LeastSquares([[1.0], [2.0]], [0.0, 1.0]), 1, rng)


# --- how fine a step must be


@pytest.mark.parametrize("curvature", [7e-3, 0.5, 1.0, 40.0, 5e5])
def test_the_resolving_length_of_a_gaussian(curvature: float) -> None:
    """The least of (S + A t^2 / 2) / 2 pi t is sqrt(2 S A) / 2 pi, at t^2 = 2 S / A.

    The search takes t in steps of 1.2 %, so that it is off by half of 0.6 % squared.
    """
    found = resolving_length(curvature, lambda t: t * t / 2)
    assert found == pytest.approx(8 * np.pi / np.sqrt(60 * curvature), rel=2e-5)
    assert found * np.sqrt(curvature) == pytest.approx(FULL_WIDTH, rel=2e-3)


def test_what_does_not_grow_is_resolved_at_the_farthest_distance() -> None:
    """Without growth exp(-2 pi t / h) alone counts, with t = 100."""
    found = resolving_length(0.0, lambda t: np.expm1(t * t / 2))
    assert found == pytest.approx(4 * 2 * np.pi * 100 / 30, rel=1e-12)


# --- Gaussian wells

TILTED = np.array([[1.0, 0.5], [0.5, 0.75]])


@pytest.mark.parametrize("depth", [1.5, -0.75])
def test_the_bounds_of_one_well_are_attained(depth: float) -> None:
    """The curvature by the Hessians on a line: the grid's step of 0.001 widths leaves
    a minimum off by 1e-6 of itself.
    """
    f, tau = GaussianWells([depth], [[0.5, -1.0]], [TILTED], 0.25), 0.375
    squares, axes = np.linalg.eigh(TILTED + tau * np.eye(2))
    along = np.linspace(-4, 4, 8001)[:, None] * np.sqrt(squares[0]) * axes[:, 0]
    line = f.means[0] + along
    bends = np.linalg.eigvalsh(f.heat_hessian(line, tau))
    assert f.heat_curvature_bound(tau) == pytest.approx(bends.min(), rel=1e-5)
    least = f.heat(line, tau).min() if depth > 0 else f.c  # which is far away
    assert f.heat_lower_bound(tau) == pytest.approx(least, rel=1e-14)


def test_a_well_may_be_cut_in_parts() -> None:
    """Three wells in one place are one well, for everything that is known of it."""
    mean, tau, cov = np.array([0.5, -1.0]), 0.375, 0.5 * np.eye(2)
    whole = GaussianWells([40.0], [mean], [TILTED], 0.25)
    parts = GaussianWells([8.0, 12.0, 20.0], [mean] * 3, [TILTED] * 3, 0.25)
    for ask in (
        lambda f: f.heat_curvature_bound(tau),
        lambda f: f.heat_lower_bound(tau),
        lambda f: f.feature_length(mean - 1, mean + 1),
        lambda f: f.support(mean + 1, cov, -1, 30.0),
        lambda f: f.excess(mean, np.array([0.25, 0.5])),
    ):
        np.testing.assert_allclose(ask(parts), ask(whole), rtol=1e-13)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("variance", [1 / 400, 4.0])
def test_the_box_reaches_a_deep_well_far_out(variance: float, sign: int) -> None:
    """At 9.5 deviations exp(20 - 9.5^2/2) = exp(-25) is mass that counts beside 1."""
    sd, drop = np.sqrt(variance), 30.0
    means = sd * np.array([[9.5], [9.5], [-3.0]])
    depths = -sign * np.array([10.0, 10.0, -20.0])
    f = GaussianWells(depths, means, [[[(0.05 * sd) ** 2]]] * 3)
    assert sign * f(means[0]) - 9.5**2 / 2 > -drop
    lower, upper = f.support(np.zeros(1), np.array([[variance]]), sign, drop)
    assert lower < -means[0]
    assert means[0] < upper
