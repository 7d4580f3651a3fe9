"""Details of single losses that the contract, which holds for all, does not see."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from refimpl.errors import (
    InvalidParameter,
    NoClosedForm,
    NonFinite,
    NotIntegrable,
)
from refimpl.losses import (
    GaussianMixture,
    GaussianWells,
    LeastSquares,
    Linear,
    Quadratic,
    Quartic,
    Resampled,
    Trigonometric,
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


# --- quadratic losses


@pytest.mark.parametrize(
    ("H", "tau"),
    [
        ([2.0, 2.0], 2.0**40),
        ([2.0**-30, 2.0**-30], 2.0**60),
        ([2.0**41, 2.0**41], 1.0),
        ([2.0, 2.0**-60], 2.0**40),
    ],
)
def test_a_local_entropy_that_is_a_small_part_of_the_loss(H: Any, tau: float) -> None:
    """sum lambda y^2 / 2 (1 + tau lambda) + log(1 + tau lambda) / 2, far from zero.

    The loss itself is 10^10 times as large and more, so that no difference from it
    would have these digits.
    """
    curvatures = np.array(H)
    y = np.array([np.sqrt(10), np.pi]) * 2.0**18 / np.sqrt(curvatures[0])
    growth = 1 + tau * curvatures
    parts = curvatures * y**2 / (2 * growth) + np.log(growth) / 2
    found = Quadratic(H, [0.0, 0.0]).local_entropy(y, tau)
    assert found == pytest.approx(parts.sum(), rel=1e-14)


def test_where_the_curvature_is_outweighed_exactly() -> None:
    with pytest.raises(NotIntegrable, match="must be positive definite"):
        Quadratic([1.0, -0.5], [0.0, 0.0]).local_entropy([0.0, 0.0], 2.0)
    with (
        np.errstate(over="ignore"),
        pytest.raises(NonFinite, match=r"1 \+ tau lambda is not finite at index \[1\]"),
    ):
        Quadratic([1.0, 1e200], [0.0, 0.0]).local_entropy([0.0, 0.0], 1e200)


@pytest.mark.parametrize("steep", [1.0, 2.0**20, 2.0**40])
def test_at_the_boundary_the_average_of_the_exponential_diverges(steep: float) -> None:
    """H = v v^T - steep w w^T and cov = I: the integral along v is that of 1.

    The eigenvalues of I - H are 0 and 1 + steep, and the computed ones are off by
    roundings of the larger one, to either side.
    """
    for angle in np.linspace(0.05, 1.5, 40):
        v = np.array([np.cos(angle), np.sin(angle)])
        w = np.array([-v[1], v[0]])
        f = Quadratic(np.outer(v, v) - steep * np.outer(w, w), [0.0, 0.0])
        assert f.log_mean_exp([0.0, 0.0], np.eye(2)) == np.inf


@pytest.mark.parametrize("bad", [[[0.0, 1.0]], [0.0], [0.0, np.nan]])
def test_the_exponential_is_averaged_around_one_point(bad: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^mean must "):
        Quadratic([1.0, 2.0], [0.0, 0.0]).log_mean_exp(bad, 0.25)


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


# --- Gaussian components


@pytest.mark.parametrize("shape", [(0, 2), (1, 0)])
def test_components_need_a_mean_of_some_coordinates(shape: tuple[int, int]) -> None:
    means, covariances = np.zeros(shape), np.zeros((*shape, shape[1]))
    for make in (GaussianMixture, GaussianWells):
        with pytest.raises(InvalidParameter, match="at least one mean"):
            make(np.ones(shape[0]), means, covariances)


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
    narrow = np.linalg.inv(TILTED)
    half = reach(narrow, drop + 40.0)
    wide = GaussianWells(-sign * np.array([15.0, -25.0]), np.eye(2), [TILTED] * 2)
    lower, upper = wide.support(np.ones(2), TILTED, sign, drop)
    np.testing.assert_allclose([lower, upper], [1 - half, 1 + half], rtol=1e-6)


def test_the_feature_length_of_a_deep_well_is_that_of_its_bottom() -> None:
    """A Gaussian of precision a / s^2; expm1's next term is t^2 / 4 of the first."""
    f = GaussianWells([1e4], [[0.0, 0.0]], [np.diag([0.25, 4.0])])
    found = f.feature_length(-np.ones(2), np.ones(2))
    np.testing.assert_allclose(found, FULL_WIDTH / 100 * np.array([0.5, 2]), rtol=2e-3)


# --- trigonometric losses

BOWL = np.array([[1.0, 0.5], [0.5, -0.25]])
WAVES = ([0.75, -1.25], [[-1.0, 2.0], [0.5, 1.5]], [0.25, 1.0])


def reach(precision: Any, room: float) -> Any:
    """How far {y : y^T precision y / 2 <= room} extends along each axis, shape (2,).

    Its edge is walked along; steps of 0.0005 leave the farthest point off by 1e-7.
    """
    angle = np.linspace(0, 2 * np.pi, 12568)
    circle = np.sqrt(2 * room) * np.array([np.cos(angle), np.sin(angle)])
    return np.linalg.solve(np.linalg.cholesky(precision).T, circle).max(axis=1)


@pytest.mark.parametrize("tau", [0.25, 1.5])
def test_the_proximal_box_is_that_of_an_ellipse(tau: float) -> None:
    """Where the quadratic part is above its minimum by no more than at x, and waves.

    The minimum is that of a quadratic, found by least squares from its values.
    """
    m, x = np.array([0.5, -1.0]), np.array([2.0, 0.75])
    f = Trigonometric(*WAVES, BOWL, m, 0.25)

    def bowl(y: Any) -> float:
        return (y - m) @ BOWL @ (y - m) / 2 + (y - x) @ (y - x) / (2 * tau)

    precision = BOWL + np.eye(2) / tau
    lowest = np.linalg.solve(precision, BOWL @ m + x / tau)
    heights = [0.75 * np.exp(-2.5 * tau), 1.25 * np.exp(-1.25 * tau)]
    half = reach(precision, bowl(x) - bowl(lowest) + 2 * sum(heights))
    lower, upper = f.proximal_box(x, tau)
    np.testing.assert_allclose(lower, lowest - half, rtol=1e-6)
    np.testing.assert_allclose(upper, lowest + half, rtol=1e-6)


def test_a_proximal_box_without_bounds() -> None:
    f = Trigonometric(*WAVES, [1.0, -0.5], [0.0, 0.0])
    for tau in (2.0, 4.0):  # the curvature is outweighed exactly, and by more
        lower, upper = f.proximal_box(np.ones(2), tau)
        np.testing.assert_array_equal([lower, upper], [[-np.inf] * 2, [np.inf] * 2])


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_mass_beside_waves_is_in_the_box_of_an_ellipse(sign: int) -> None:
    """The exponent's quadratic part falls by the drop and twice the waves' total."""
    m, mean, cov = np.array([0.5, -1.0]), np.array([2.0, 0.75]), 0.25 * TILTED
    f = Trigonometric(*WAVES, BOWL, m)
    narrow = np.linalg.inv(cov) - sign * BOWL
    centre = np.linalg.solve(narrow, np.linalg.solve(cov, mean) - sign * BOWL @ m)
    half = reach(narrow, 30.0 + 2 * (0.75 + 1.25))
    lower, upper = f.support(mean, cov, sign, 30.0)
    np.testing.assert_allclose(lower, centre - half, rtol=1e-6)
    np.testing.assert_allclose(upper, centre + half, rtol=1e-6)


@pytest.mark.parametrize(("H", "diverges"), [(0.5, False), (1.0, True), (1.5, True)])
def test_where_waves_leave_the_integral_infinite(H: float, diverges: bool) -> None:
    """It is, for exp(f), from the H that outweighs the Gaussian exactly."""
    cov, waves = np.eye(1), ([1.0], [[1.0]], [0.0])
    assert Trigonometric(*waves, H, [0.0]).exp_diverges(cov) is diverges
    for sign in (-1, 1):
        f = Trigonometric(*waves, sign * H, [0.0])
        if diverges:
            with pytest.raises(NotIntegrable, match="local entropy is infinite"):
                f.support(np.zeros(1), cov, sign, 30.0)
        else:
            f.support(np.zeros(1), cov, sign, 30.0)


@pytest.mark.parametrize("a", [-0.75, 0.75])
@pytest.mark.parametrize("H", [0.0, 0.5, 2.0])
def test_the_bounds_of_one_wave_are_attained(a: float, H: float) -> None:
    """Its valley, and its crest, are put where the quadratic part has its minimum."""
    w, m, tau = np.array([-1.0, 2.0]), np.array([0.5, -1.0]), 0.375
    valley, crest = (
        Trigonometric([a], [w], [phase - w @ m], H, m, 0.25)
        for phase in (0.0, np.pi)[:: 1 if a < 0 else -1]
    )
    least = np.linalg.eigvalsh(crest.heat_hessian(m, tau))[0]
    for f in (valley, crest):
        assert f.heat_lower_bound(tau) == pytest.approx(valley.heat(m, tau), rel=1e-14)
        assert f.heat_curvature_bound(tau) == pytest.approx(least, rel=1e-13)


def test_bounds_of_several_waves_add_up() -> None:
    whole = Trigonometric(*WAVES, [2.0, 3.0], [0.5, -1.0])
    still, first, second = (
        Trigonometric(*(part[cut] for part in WAVES), [2.0, 3.0], [0.5, -1.0])
        if cut != slice(0)
        else Trigonometric([], np.zeros((0, 2)), [], [2.0, 3.0], [0.5, -1.0])
        for cut in (slice(0), slice(1), slice(1, 2))
    )
    for ask in ("heat_lower_bound", "heat_curvature_bound"):
        of = {f: getattr(f, ask)(0.375) for f in (whole, still, first, second)}
        expected = of[first] + of[second] - of[still]
        assert of[whole] == pytest.approx(expected, rel=1e-14)


def test_a_bowl_that_bends_down_has_no_lower_bound() -> None:
    f = Trigonometric(*WAVES, [1.0, -0.5], [0.0, 0.0])
    assert f.heat_lower_bound(0.25) == -np.inf


def feature(a: Any, w: Any, H: Any) -> Any:
    """The feature lengths of a trigonometric loss, shape (d,)."""
    w = np.array(w, dtype=float)
    f = Trigonometric(a, w, [0.0] * len(w), H, np.zeros(w.shape[1]))
    return f.feature_length(-np.ones(f.d), np.ones(f.d))


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_the_feature_length_of_waves(scale: float) -> None:
    """Of high waves that of their crests, Gaussians of precision a w^2, to 1 in 1000.

    The next term of cosh is t^2 / 12 of the first; t^2 = 60/a here.
    """
    high = feature([1e4], [[scale, -2 * scale]], 0.0)
    np.testing.assert_allclose(
        high, FULL_WIDTH / 100 / (scale * np.array([1, 2])), rtol=2e-3
    )
    low = feature([0.5], [[scale, -2 * scale]], 0.0)
    np.testing.assert_allclose(low * scale, feature([0.5], [[1.0, 2.0]], 0.0))
    assert (low > high).all()
    for parts in ([0.25, 0.25], [0.25, -0.25], [-0.5, 0.0]):
        same = [[scale, 2 * scale]] * 2
        np.testing.assert_allclose(feature(parts, same, 0.0), low, rtol=1e-14)


def test_feature_lengths_without_waves_and_with_both() -> None:
    """Inverse squares add up, as the precisions of a product of Gaussians do."""
    none = np.zeros((0, 2))
    bowl = feature([], none, [4.0, -9.0])
    np.testing.assert_allclose(bowl, FULL_WIDTH / np.array([2, 3]), rtol=1e-14)
    assert (feature([], none, 0.0) == np.inf).all()
    waves, both = (feature([0.5], [[1.0, 2.0]], H) for H in (0.0, [4.0, -9.0]))
    np.testing.assert_allclose(1 / both**2, 1 / bowl**2 + 1 / waves**2, rtol=1e-13)


# --- Gaussian mixtures

WEIGHTS = [0.5, 0.125, 0.375]
MEANS = np.array([[0.5, -1.0], [-0.75, 0.25], [1.5, 1.0]])
SHAPES = np.array([TILTED, [[0.5, -0.25], [-0.25, 1.0]], [[2.0, 0.5], [0.5, 1.5]]])


def log_parts(y: Any) -> Any:
    """log w_k N(y; m_k, S_k), shape (K,), by SciPy."""
    return np.array(
        [
            np.log(w) + multivariate_normal(m, S).logpdf(y)
            for w, m, S in zip(WEIGHTS, MEANS, SHAPES, strict=True)
        ]
    )


def test_weights_are_normalised() -> None:
    given = np.array([0.25, 0.75 + 8e-13])
    found = GaussianMixture(given, MEANS[:2], SHAPES[:2]).weights
    np.testing.assert_allclose(found, given / (1 + 8e-13), rtol=3e-16)
    for wrong in ([0.0, 1.0], [0.25, 0.75 + 1.5e-12]):
        with pytest.raises(InvalidParameter, match="weights must be positive and sum"):
            GaussianMixture(wrong, MEANS[:2], SHAPES[:2])


@pytest.mark.parametrize("mean", [[0.25, 0.5], [9.0, -6.0]])
@pytest.mark.parametrize("spread", [0.25, 6.0])
def test_the_mass_beside_a_mixture_is_in_the_box_of_phi(
    mean: Any, spread: float
) -> None:
    """No density exceeds the sum of its peaks; the mass is what the best of the means
    and the centre show of it.
    """
    mean, cov, drop = np.array(mean), spread * TILTED, 30.0
    peaks = [part[k] for k, part in enumerate(map(log_parts, MEANS))]
    exponents = [
        np.log(np.exp(log_parts(y)).sum())
        - (y - mean) @ np.linalg.solve(cov, y - mean) / 2
        for y in (mean, *MEANS)
    ]
    half = reach(
        np.linalg.inv(cov), drop + np.log(np.exp(peaks).sum()) - max(exponents)
    )
    lower, upper = GaussianMixture(WEIGHTS, MEANS, SHAPES).support(mean, cov, -1, drop)
    np.testing.assert_allclose([lower, upper], [mean - half, mean + half], rtol=1e-6)


@pytest.mark.parametrize("mean", [[0.25, 0.5], [1.0, -2.0]])
def test_the_mass_of_a_mixtures_inverse_is_in_a_components_box(mean: Any) -> None:
    """1 / (w_k N_k) exceeds it, and beside phi is a Gaussian if phi is the narrower.

    Its exponent is a quadratic, whose central differences are its slope at zero.
    """
    mean, cov, drop = np.array(mean), TILTED / 8, 30.0

    def phi(y: Any) -> Any:
        return -(y - mean) @ np.linalg.solve(cov, y - mean) / 2

    reached = max(phi(y) - np.log(np.exp(log_parts(y)).sum()) for y in (mean, *MEANS))
    boxes = []
    for k, S in enumerate(SHAPES):
        rest = np.linalg.inv(cov) - np.linalg.inv(S)
        e = np.eye(2)
        slope = [(phi(s) - log_parts(s)[k] - phi(-s) + log_parts(-s)[k]) / 2 for s in e]
        top = np.linalg.solve(rest, slope)
        half = reach(rest, drop + phi(top) - log_parts(top)[k] - reached)
        boxes.append((half.prod(), top - half, top + half))
    _, *wanted = min(boxes, key=lambda box: box[0])
    f = GaussianMixture(WEIGHTS, MEANS, SHAPES)
    np.testing.assert_allclose(f.support(mean, cov, 1, drop), wanted, rtol=1e-6)


def test_where_a_mixtures_inverse_has_an_infinite_integral() -> None:
    """Beside phi as wide as each component everywhere, not if wide in one direction."""
    f = GaussianMixture([0.25, 0.75], [[0.0, 1.0], [1.0, 0.0]], [np.eye(2)] * 2)
    assert f.exp_diverges(np.eye(2))
    assert f.exp_diverges(2 * np.eye(2))
    for cov in (np.diag([2.0, 0.5]), np.diag([0.5, 2.0]), 0.5 * np.eye(2)):
        assert not f.exp_diverges(cov)
    with pytest.raises(NoClosedForm, match="no single component"):
        f.support(np.zeros(2), np.diag([2.0, 0.5]), 1, 30.0)


@pytest.mark.parametrize("corner", [[-1.0, 0.5], [-6.0, -4.0], [5.0, 3.0]])
def test_the_feature_length_of_a_mixture(corner: Any) -> None:
    """Log-odds have linear derivatives, the largest at corners of the box.

    Quarters of the length leave exp(-3 pi^2) = 1e-13 of aliases: pi^2 / (G h) = 3 pi^2.
    """
    lower, upper = np.array(corner), np.array(corner) + np.array([1.5, 2.0])
    steep = np.zeros(2)
    for y in product(*zip(lower, upper, strict=True)):
        scores = np.array(
            [np.linalg.solve(S, y - m) for m, S in zip(MEANS, SHAPES, strict=True)]
        )
        steep = np.maximum(steep, np.ptp(scores, axis=0))
    sharp = np.max([np.diagonal(np.linalg.inv(S)) for S in SHAPES], axis=0)
    wanted = 1 / np.sqrt((3 / 4 * steep) ** 2 + sharp / FULL_WIDTH**2)
    found = GaussianMixture(WEIGHTS, MEANS, SHAPES).feature_length(lower, upper)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_curvature_bound_of_equal_components_is_attained(K: int) -> None:
    """Half way between two of equal weight that lie along the flattest direction.

    The second may be cut in parts, in one place.
    """
    flattest = np.linalg.eigh(TILTED)[1][:, -1]
    means = MEANS[0] + np.outer(np.minimum(np.arange(K), 1), 3 * flattest)
    weights = {1: [1.0], 2: [0.5, 0.5], 3: [0.5, 0.125, 0.375]}[K]
    f = GaussianMixture(weights, means, [TILTED] * K)
    least = np.linalg.eigvalsh(f.hessian((means[0] + means[-1]) / 2))[0]
    assert f.heat_curvature_bound(0.625) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("factor", [1 + 1e-9, 1 - 1e-9, 4.0, 0.25])
def test_unequal_components_have_no_curvature_bound(factor: float) -> None:
    for S in (TILTED, np.eye(2)):
        f = GaussianMixture([0.5, 0.5], MEANS[:2], [S, factor * S])
        assert f.heat_curvature_bound(0.625) == -np.inf


@pytest.mark.parametrize("ask", ["heat_curvature_bound", "heat_lower_bound"])
def test_bounds_of_a_mixture_ask_for_a_variance(ask: str) -> None:
    f = GaussianMixture([0.5, 0.5], MEANS[:2], [TILTED] * 2)
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(InvalidParameter, match=r"^tau must "):
            getattr(f, ask)(bad)


@pytest.mark.parametrize("n", [-1, 2.5, True])
def test_mixtures_are_drawn_from_whole_numbers_of_times(n: Any) -> None:
    f = GaussianMixture(WEIGHTS, MEANS, SHAPES)
    with pytest.raises(InvalidParameter, match=r"^n must be"):
        f.posterior_sample([0.0, 0.0], 0.5, n, stream(1, "evaluation"))


# --- quartic losses

#: Coefficients of three coordinates, and how many neighbours each has.
CHAIN = (
    np.array([1.0, 0.5, 2.0]),
    np.array([0.75, -1.5, 0.5]),
    np.array([-2.0, 1.0, -0.5]),
)
NEIGHBOURS = np.array([1, 2, 1])


def test_coordinates_are_coupled_to_their_neighbours_alone() -> None:
    """Numbers of few digits, so that the difference of two values is exact."""
    centre, offset = np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.5, -2.0])
    c4, c3, c2 = (4.0 * CHAIN[0], 3.0 * CHAIN[1], CHAIN[2])
    for coupling in (-0.5, 0.25):
        f = Quartic(c4, c3, c2, coupling)
        assert f.excess(centre, offset) == f(centre + offset) - f(centre)
        pairs = coupling * (1.0 * -2.0 + -2.0 * 0.5)
        assert f(centre) - Quartic(c4, c3, c2)(centre) == pairs


@pytest.mark.parametrize("coupling", [-0.75, 0.0, 0.5])
@pytest.mark.parametrize(
    ("c4", "c3", "c2", "neighbours"),
    [
        (*CHAIN, NEIGHBOURS),
        ([1.0], [0.0], [-40.0], [0]),  # two wells with a hill between, beyond the drop
        ([1e-6], [1e-3], [-0.04], [0]),
        ([2e4], [-1e3], [30.0], [0]),
    ],
)
def test_the_box_of_a_quartic_is_that_of_its_minorant(
    c4: Any, c3: Any, c2: Any, neighbours: Any, coupling: float
) -> None:
    """A coupling of k is at least that of a bowl of curvature -|k|, for each neighbour.

    Where a coordinate's polynomial meets its level is asked of its roots, and its
    minimum of a grid.
    """
    c4, c3, c2, neighbours = map(np.array, (c4, c3, c2, neighbours))
    f, drop, d = Quartic(c4, c3, c2, coupling), 30.0, len(c4)
    mean = np.array([0.25, -0.5, 1.0])[:d]
    cov = np.array([[0.75, 0.25, 0.0], [0.25, 0.5, -0.125], [0.0, -0.125, 1.0]])[:d, :d]
    widest = np.linalg.eigvalsh(cov)[-1]
    own = [
        np.polynomial.Polynomial([m * m / (2 * widest), -m / widest, b + 0.5 / widest])
        + np.polynomial.Polynomial([0, 0, 0, c / 3, a / 4])
        for a, c, b, m in zip(
            c4, c3, (c2 - neighbours * abs(coupling)) / 2, mean, strict=True
        )
    ]
    grids = [np.linspace(-50, 50, 200_001) * a**-0.25 for a in c4]
    lowest = np.array(
        [grid[p(grid).argmin()] for p, grid in zip(own, grids, strict=True)]
    )
    for _ in range(3):  # Newton's, which squares the error
        lowest -= [
            p.deriv()(y) / p.deriv(2)(y) for p, y in zip(own, lowest, strict=True)
        ]
    least = np.array([p(y) for p, y in zip(own, lowest, strict=True)])
    shift = lowest - mean
    reached = f(lowest) + shift @ np.linalg.solve(cov, shift) / 2
    levels = least + drop + reached - least.sum()
    lower, upper = f.support(mean, cov, -1, drop)
    for p, level, low, high in zip(own, levels, lower, upper, strict=True):
        roots = (p - level).roots()
        real = roots[np.abs(roots.imag) < 1e-9 * np.abs(roots)].real
        assert low == pytest.approx(real.min(), rel=1e-6)
        assert high == pytest.approx(real.max(), rel=1e-6)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_box_may_end_in_a_well_that_does_not_count(side: int) -> None:
    """There the outermost critical point is taken, beyond which nothing counts."""
    f = Quartic([1.0], [side * 3.0], [-40.0])
    lower, upper = f.support(np.zeros(1), np.eye(1), -1, 30.0)
    ends = [(-3.0 * side - s * np.sqrt(9.0 + 4 * 39.0)) / 2 for s in (1, -1)]
    far = ends[(1 + side) // 2]  # the shallow well
    assert f([far]) + far**2 / 2 > f([ends[(1 - side) // 2]]) + far**2 / 2 + 60
    assert (upper if side > 0 else lower)[0] == pytest.approx(far, rel=1e-6)


@pytest.mark.parametrize("drop", [0.0, 1e-15, 1e-13, 1e-12])
def test_a_box_for_next_to_nothing_is_its_bottom(drop: float) -> None:
    """Of y^4/4 + y^2, which is at most the drop within its root."""
    f = Quartic([1.0], [0.0], [1.0])
    lower, upper = f.support(np.zeros(1), np.eye(1), -1, drop)
    for end in (-lower[0], upper[0]):
        assert np.sqrt(drop) * (1 - 1e-6) <= end <= np.sqrt(drop) + 2e-6


def test_the_feature_length_of_a_quartic() -> None:
    """The largest curvature at the ends of the box, or that of the quartic's scale."""
    single = [Quartic([a], [c], [b]) for a, c, b in zip(*CHAIN, strict=True)]
    f = Quartic(*CHAIN, 0.5)
    for lower, upper in ((-3.0, 1.0), (-1.0, 3.0), (-0.01, 0.01)):
        found = f.feature_length(np.full(3, lower), np.full(3, upper))
        bends = [
            max(g.hessian([lower])[0, 0], g.hessian([upper])[0, 0]) for g in single
        ]
        scale = np.sqrt(CHAIN[0])
        wanted = FULL_WIDTH / np.sqrt(np.maximum(bends, scale))
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    hill = Quartic([-4.0], [0.0], [1.0]).feature_length(-np.ones(1), np.ones(1))
    assert hill == pytest.approx(FULL_WIDTH / np.sqrt(2), rel=1e-14)


@pytest.mark.parametrize("coupling", [-0.75, 0.5])
def test_the_bounds_of_a_quartic(coupling: float) -> None:
    """The minimum on a grid of each coordinate's part, coupled as in the minorant.

    In a chain of 60 the least eigenvalue of the coupling is -2 |k| cos(pi / 61).
    """
    tau, grid = 0.375, np.linspace(-5, 5, 20_001)[:, None]
    parts = zip(*CHAIN[:2], CHAIN[2] - NEIGHBOURS * abs(coupling), strict=True)
    floor = sum(Quartic([a], [c], [b]).heat(grid, tau).min() for a, c, b in parts)
    f = Quartic(*CHAIN, coupling)
    assert f.heat_lower_bound(tau) == pytest.approx(floor, rel=2e-6)
    for a, c, b in zip(*CHAIN, strict=True):
        alone = Quartic([a], [c], [b], coupling)  # without a neighbour
        least = alone.heat_hessian(grid, tau).min()
        assert alone.heat_curvature_bound(tau) == pytest.approx(least, rel=2e-6)
        lowest = alone.heat(grid, tau).min()
        assert alone.heat_lower_bound(tau) == pytest.approx(lowest, rel=2e-6)
        chain = Quartic([a] * 60, [c] * 60, [b] * 60, coupling)
        bend = chain.heat_hessian(np.full(60, -c / (3 * a)), tau)
        bound = chain.heat_curvature_bound(tau)
        room = 2 * abs(coupling) * (1 - np.cos(np.pi / 61))
        assert np.linalg.eigvalsh(bend)[0] - bound == pytest.approx(room, rel=1e-6)


def test_a_quartic_without_a_quadratic_part() -> None:
    """Heat makes y^4/4 - 3 y^2/2 into y^4/4 - 3/4 at tau = 1."""
    assert Quartic([1.0], [0.0], [-3.0]).heat_lower_bound(1.0) == -0.75


@pytest.mark.parametrize(
    ("c4", "error"), [([-1.0, 1.0], NotIntegrable), ([0.0, 1.0], NoClosedForm)]
)
def test_quartics_that_do_not_confine(c4: Any, error: Any) -> None:
    f = Quartic(c4, [0.0, 0.0], [1.0, 1.0])
    for ask in (
        lambda: f.heat_curvature_bound(0.5),
        lambda: f.heat_lower_bound(0.5),
        lambda: f.support(np.zeros(2), np.eye(2), -1, 30.0),
    ):
        with pytest.raises(error):
            ask()
    assert f.exp_diverges(np.eye(2))
    for none in ([0.0], [-1.0]):
        with pytest.raises(NoClosedForm, match="without positive c4"):
            Quartic(none, [0.0], [1.0]).exp_diverges(np.eye(1))


@pytest.mark.parametrize("ask", ["heat_curvature_bound", "heat_lower_bound"])
def test_bounds_of_a_quartic_ask_for_a_variance(ask: str) -> None:
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(InvalidParameter, match=r"^tau must "):
            getattr(Quartic(*CHAIN), ask)(bad)
