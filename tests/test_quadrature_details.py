"""What quadrature asks of a loss, on which nodes it stands, and what it refuses.

The losses here have two faces, one for each of the two grids: what the grids make of
them differs by a number that is known, and so is the error estimate, to six digits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refimpl import quadrature
from refimpl.errors import NoClosedForm, NonFinite, Unresolved

EPS = np.finfo(float).eps
MEAN = np.array([0.5, -1.25, 2.0])
COV = np.array([[4.0, 0.125, 0.5], [0.125, 0.0625, 0.0], [0.5, 0.0, 1.0]])
SD = np.sqrt(np.diagonal(COV))


def step_of(length: Any, cov: Any) -> Any:
    """1 / h^2 is the sum of (4 / l)^2 over the loss's feature and the Gaussian's."""
    gaussian = 3.24 / np.sqrt(np.diagonal(np.linalg.inv(cov)))
    return 1 / np.sqrt((4 / np.asarray(length)) ** 2 + (4 / gaussian) ** 2)


def flat(y: Any) -> Any:
    return np.zeros(y.shape[:-1])


def level(y: Any) -> Any:
    return np.zeros(y.shape)


class Told:
    """A loss that answers what it was told to, and remembers what it was asked."""

    def __init__(
        self,
        lower: Any,
        upper: Any,
        length: Any,
        value: Callable[[Any], Any] = flat,
        slope: Callable[[Any], Any] = level,
    ) -> None:
        self.d, self.box = len(lower), (np.array(lower), np.array(upper))
        self.length = np.array(length)
        self.value, self.slope = value, slope
        self.asked: list[Any] = []
        self.nodes: list[Any] = []

    def support(self, mean: Any, cov: Any, sign: int, drop: float) -> Any:
        self.asked.append((mean, cov, sign, drop))
        return self.box

    def feature_length(self, lower: Any, upper: Any) -> Any:
        self.asked.append((lower, upper))
        return self.length

    def __call__(self, y: Any) -> Any:
        self.nodes.append(np.atleast_2d(y))
        return self.value(y)

    def gradient(self, y: Any) -> Any:
        return self.slope(y)


class Bent(Told):
    """The same with a Hessian."""

    bend: Callable[[Any], Any]

    def hessian(self, y: Any) -> Any:
        return self.bend(y)


# --- what it asks, and on which nodes it stands


def two_grids(centre: Any, step: Any, half: Any) -> Any:
    """Products of the axes, the second moved by 0.5, 0.3 and 0.1 of a step."""
    counts = [math.ceil(h / s) for h, s in zip(half, step, strict=True)]
    return np.array(
        [
            [
                c + s * (k + m)
                for c, s, k, m in zip(centre, step, ks, moved, strict=False)
            ]
            for moved in ((0, 0, 0), (0.5, 0.3, 0.1))
            for ks in itertools.product(*(range(-n, n + 1) for n in counts))
        ]
    )


def in_order(nodes: Any) -> Any:
    return nodes[np.lexsort(np.round(nodes, 9).T)]


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_box_and_the_nodes_of_gibbs_moments(sign: int) -> None:
    """The middle of the box is asked for its value first."""
    lower, upper = MEAN - (17.0, 2.5, 8.5), MEAN + np.array([18.0, 2.0, 9.5])
    f = Told(lower, upper, [9.0, 2.0, 30.0])
    quadrature.gibbs_moments(f, MEAN, COV, sign)
    (mean, cov, asked_sign, drop), box = f.asked
    assert np.array_equal(mean, MEAN)
    assert np.array_equal(cov, COV)
    assert (asked_sign, drop) == (sign, 36.0)
    assert np.array_equal(box, [lower, upper])
    centre = (lower + upper) / 2
    wanted = two_grids(centre, step_of(f.length, COV), (upper - lower) / 2)
    nodes = np.concatenate([n for n in f.nodes if not np.array_equal(n, [centre])])
    np.testing.assert_allclose(in_order(nodes), in_order(wanted), rtol=0, atol=1e-12)


def test_the_box_and_the_nodes_of_an_average() -> None:
    """The features count to three standard deviations, the Gaussian to sqrt(72)."""
    f = Told(MEAN, MEAN, [9.0, 2.0, 30.0])
    quadrature.gaussian_average(f, MEAN, COV)
    assert len(f.asked) == 1
    np.testing.assert_allclose(f.asked[0], [MEAN - 3 * SD, MEAN + 3 * SD], rtol=1e-15)
    wanted = two_grids(MEAN, step_of(f.length, COV), math.sqrt(72) * SD)
    nodes = in_order(np.concatenate(f.nodes))
    np.testing.assert_allclose(nodes, in_order(wanted), rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", [49, 50])
def test_the_budget_may_be_used_up(budget: int, monkeypatch: Any) -> None:
    """Two grids of 25 nodes: the box is twelve steps to either side, but for a bit."""
    monkeypatch.setattr(quadrature, "MAX_NODES", budget)
    half = 11.99 * step_of([1e9], [[1.0]])
    f = Told(-half, half, [1e9])
    if budget == 50:
        assert abs(quadrature.gibbs_moments(f, np.zeros(1), np.eye(1)).log_mass) < 1e-12
    else:
        with pytest.raises(Unresolved, match="needs 50 nodes, beyond the budget of 49"):
            quadrature.gibbs_moments(f, np.zeros(1), np.eye(1))


# --- two faces: what the grids differ by, and what may be

BIT = 5e-5
"""Where the boundary is looked for, relative: estimates are rounded to 1e-6 of it, and
grids that are four times as fine as they need to be alias nothing."""


def second(y: Any, centre: Any, step: Any) -> Any:
    """Whether the points are on the second grid: between two steps along axis 0."""
    k = (y[..., 0] - centre[0]) / step[0]
    return np.abs(k - np.round(k)) > 0.25


def odd_nodes(y: Any, centre: Any, step: Any) -> Any:
    """1 and -1 in turn along axis 0, which averages to nothing: exp(-80)."""
    return (-1.0) ** np.floor((y[..., 0] - centre[0]) / step[0] + 0.25)


class Faces:
    """A Gaussian at MEAN in d dimensions, the box around it and fine grids."""

    def __init__(self, d: int, scale: float = 1.0) -> None:
        self.mean, self.cov = MEAN[:d], scale**2 * COV[:d, :d]
        self.sd = scale * SD[:d]
        self.step = step_of(self.sd, self.cov)
        self.narrow = np.diagonal(np.linalg.inv(self.cov))

    def face(self, y: Any) -> Any:
        """1 on the second grid, 0 on the first."""
        return second(y, self.mean, self.step).astype(float)

    def turn(self, y: Any) -> Any:
        return odd_nodes(y, self.mean, self.step)

    def scores(self, y: Any) -> Any:
        return (y - self.mean) / self.sd

    def loss(self, value: Any = flat, slope: Any = level) -> Told:
        half = 9 * self.sd
        return Told(self.mean - half, self.mean + half, self.sd, value, slope)

    def moments(self, value: Any = flat, slope: Any = level) -> Any:
        f = self.loss(value, slope)
        return quadrature.gibbs_moments(f, self.mean, self.cov)

    def average(self, value: Any) -> float:
        return quadrature.gaussian_average(self.loss(value), self.mean, self.cov)


def boundary(ask: Callable[[float], Any], at: float, bit: float = BIT) -> Any:
    """The answer just below the boundary; beyond it there is none."""
    with pytest.raises(Unresolved, match="two quadrature rules differ by"):
        ask(at * (1 + bit))
    return ask(at * (1 - bit))


@pytest.mark.parametrize("side", [-1, 1])
def test_the_mass_may_differ_by_1e_10(side: int) -> None:
    on = Faces(2)
    found = boundary(lambda t: on.moments(lambda y: 1 + side * t * on.face(y)), 1e-10)
    assert found.error == pytest.approx(1e-10, rel=1e-4)
    assert found.log_mass == pytest.approx(-1 - side * 0.5e-10, abs=1e-14)


@pytest.mark.parametrize("rise", [1e6, 1e12])
@pytest.mark.parametrize("where", [0.0, 1.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_or_by_the_rounding_of_a_rise(rise: float, where: float, side: int) -> None:
    """A wall in the first or the last block of one of the grids, where phi is 1e-15.

    Sixteen roundings of its height are allowed for, up to 1e-7.
    """
    on, fine = Faces(1), 2e-4
    step = step_of(fine * on.sd, on.cov)

    def ask(t: float) -> Any:
        def value(y: Any) -> Any:
            face = second(y, on.mean, step)
            wall = (side * on.scores(y)[..., 0] > 8.3) & (face == where)
            return np.where(wall, rise, t * face)

        half = 8.6 * on.sd
        f = Told(on.mean - half, on.mean + half, fine * on.sd, value)
        return quadrature.gibbs_moments(f, on.mean, on.cov)

    boundary(ask, min(1e-10 + 16 * EPS * rise, 1e-7), bit=1e-3)


@pytest.mark.parametrize("scale", [0.01, 100.0])
@pytest.mark.parametrize("of", ["mean", "variance", "covariance"])
def test_the_moments_are_judged_on_their_own_scale(of: str, scale: float) -> None:
    """Tilts of phi that change one moment alone, to first order; E|z| = sqrt(2/pi).

    The grid knows E|z| and E|z_1 z_2|, which have a kink, to a few percent.
    """
    on = Faces(2, scale)
    root = np.linalg.cholesky(on.cov)

    def ask(t: float) -> Any:
        def value(y: Any) -> Any:
            z = np.linalg.solve(root, (y - on.mean).T).T
            tilt = {
                "mean": z[..., 0],
                "variance": z[..., 0] ** 2 - 1,
                "covariance": z[..., 0] * z[..., 1],
            }[of]
            return -on.face(y) * t * tilt

        return on.moments(value)

    # the first axis is the root's own; the other one has a share of its moments only
    at = {"mean": math.sqrt(2 / math.pi), "variance": 0.5, "covariance": None}[of]
    if at is None:
        correlation = on.cov[0, 1] / (on.sd[0] * on.sd[1])
        rest = math.sqrt(1 - correlation**2)
        size = 2 / math.pi * (rest + correlation * math.asin(correlation))
        at = size / rest
    found = boundary(ask, at * 1e-10, bit=0.1)
    assert found.error == pytest.approx(0.9e-10, rel=0.1)
    if of == "mean":
        moved = on.cov[:, 0] / on.sd[0] * at * 0.9e-10 / 2
        np.testing.assert_allclose(found.mean, on.mean + moved, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [0.01, 100.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_small_mean_gradient_is_judged_by_the_gaussian(
    axis: int, scale: float
) -> None:
    """On the scale sqrt(Lambda_ii)."""
    on = Faces(2, scale)
    unit = np.eye(2)[axis] * np.sqrt(on.narrow)

    def small(t: float) -> Any:
        return on.moments(slope=lambda y: t * on.face(y)[..., None] * unit)

    found = boundary(small, 1e-10)
    np.testing.assert_allclose(found.mean_gradient, 0.5e-10 * unit, rtol=1e-4)


@pytest.mark.parametrize("size", [0.125, 8.0])
def test_the_size_of_the_gradient_is_judged_too(size: float) -> None:
    """Gradients that average to nothing; their square on the scale of tr Lambda."""
    on = Faces(2)
    vector = size * np.sqrt(on.narrow.sum()) * np.array([0.6, 0.8])

    def ask(t: float) -> Any:
        def slope(y: Any) -> Any:
            growth = np.sqrt(1 + t * on.face(y))
            return (growth * on.turn(y))[..., None] * vector

        return on.moments(slope=slope)

    found = boundary(ask, 1e-10 / min(1.0, size**2))
    assert found.gradient_size == pytest.approx(np.linalg.norm(vector), rel=1e-8)


def test_an_average_is_judged_on_its_own_scale_or_by_one() -> None:
    """Also where the grids see different sizes of it, of which the mean counts."""
    on = Faces(2)
    found = boundary(lambda t: on.average(lambda y: t * on.face(y)), 1e-10, bit=1e-5)
    assert found == pytest.approx(0.5e-10, rel=1e-4)
    found = boundary(lambda t: on.average(lambda y: -6 + t * on.face(y)), 6e-10)
    assert found == pytest.approx(-6 + 3e-10, rel=1e-15)

    def turning(t: float) -> float:
        def value(y: Any) -> Any:
            return (9 - 6 * on.face(y)) * on.turn(y) + t * on.face(y)

        return on.average(value)

    assert boundary(turning, 6e-10) == pytest.approx(3e-10, rel=1e-4)


def test_an_average_is_that_of_the_gaussian() -> None:
    """f = 1 + y_1 + y_1 y_2: its average is 1 + m_1 + m_1 m_2 + S_12."""
    on = Faces(3)
    found = on.average(lambda y: 1 + y[..., 0] + y[..., 0] * y[..., 1])
    wanted = 1 + MEAN[0] + MEAN[0] * MEAN[1] + COV[0, 1]
    assert found == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize("entry", range(7))
def test_each_average_of_a_jet_is_judged_on_its_scale(entry: int) -> None:
    """1 for f, 1 / sd_i for a slope, 1 / sd_i sd_j for a second derivative."""
    on = Faces(2, 0.25)
    scales = [1.0, *(1 / on.sd), *np.outer(1 / on.sd, 1 / on.sd).ravel()]
    unit = np.zeros(7)
    unit[entry] = scales[entry]

    def ask(t: float) -> Any:
        def planted(y: Any) -> Any:
            return t * on.face(y)[..., None] * unit

        told = on.loss()
        f = Bent(*told.box, told.length)
        f.value = lambda y: planted(y)[..., 0]
        f.slope = lambda y: planted(y)[..., 1:3]
        f.bend = lambda y: planted(y)[..., 3:].reshape(*y.shape, 2)
        return quadrature.gaussian_jet(f, on.mean, on.cov)

    value, slope, bend = boundary(ask, 1e-10)
    assert slope.shape == (2,)
    assert bend.shape == (2, 2)
    found = np.array([value, *slope, *bend.ravel()])
    np.testing.assert_allclose(found, 0.5e-10 * unit, rtol=1e-4)


# --- many blocks


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("reach", [(12.0, 60.0), (60.0, 12.0)], ids=["first", "last"])
def test_the_peak_may_be_in_any_block(reach: Any, sign: int) -> None:
    """A straight line moves phi by sign v g and has log mass g m + v g^2 / 2.

    Of the 10^5 nodes the peak is among the first or the last; exponents of what weighs
    are below 100.  The square of the slope may differ by 1e-10 of itself, and by the
    rounding of a rise of 100, 4e-13.
    """
    m, v, g = np.array([0.75]), np.array([[2.0]]), 1.5
    length = [0.003]
    lower, upper = (m + sign * 2 * g + side for side in (-reach[0], reach[1]))

    def ask(t: float) -> Any:
        def slope(y: Any) -> Any:
            face = second(y, (lower + upper) / 2, step_of(length, v))
            return g * np.sqrt(1 + t * face[..., None])

        f = Told(lower, upper, length, lambda y: 1 + g * y[..., 0], slope)
        found = quadrature.gibbs_moments(f, m, v, sign)
        assert len(f.nodes) > 5
        return found

    found = boundary(ask, 1e-10, bit=1e-2)
    assert found.log_mass == pytest.approx(sign * (1 + g * 0.75) + g**2, abs=1e-11)
    np.testing.assert_allclose(found.mean, m + sign * 2 * g, rtol=1e-11)
    np.testing.assert_allclose(found.covariance, v, rtol=1e-10)
    np.testing.assert_allclose(found.mean_gradient, [g], rtol=1e-10)
    assert found.gradient_size == pytest.approx(g, rel=1e-10)


# --- refusals


def test_a_jet_needs_second_derivatives() -> None:
    with pytest.raises(NoClosedForm, match="Told has no second derivatives"):
        quadrature.gaussian_jet(Faces(1).loss(), MEAN[:1], COV[:1, :1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0.0, 7.9])
@pytest.mark.parametrize("what", ["value", "slope"])
def test_a_hole_in_any_block_is_found(bad: float, at: float, what: str) -> None:
    """One node of 10^5, in the middle, or in the last block where phi is 1e-14."""
    on = Faces(1)
    half = 8.6 * on.sd
    step = step_of([2e-3], on.cov)
    hole = on.mean[0] + np.round(at * on.sd[0] / step[0]) * step[0]

    def broken(y: Any) -> Any:
        return np.where(np.abs(y[..., 0] - hole) < step[0] / 8, bad, 0.0)

    f = Told(on.mean - half, on.mean + half, [2e-3])
    said = "the loss on the quadrature grid"
    if what == "value":
        f.value = broken
    else:
        f.slope = lambda y: broken(y)[..., None]
        said = "the loss or its gradient on the quadrature grid"
    with pytest.raises(NonFinite, match=said):
        quadrature.gibbs_moments(f, on.mean, on.cov)


def test_sums_that_overflow_are_refused() -> None:
    on = Faces(1)
    with pytest.raises(Unresolved, match=r"differ by nan, .* too large values"):
        on.average(lambda y: np.full(y.shape[:-1], 1e308))
