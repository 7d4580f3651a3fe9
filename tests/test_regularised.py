"""The regularised losses where no closed form is known, and what they refuse.

Most of it is compared with a quadratic in disguise: waves of height zero over a bowl,
and the surprisal of one Gaussian, are integrated like any other loss of their kind, and
every answer has a closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl import regularised as reg
from refimpl.errors import InvalidParameter, NoClosedForm
from refimpl.interfaces import Conjugate, GaussianAverages
from refimpl.laws import gaussian
from refimpl.losses import GaussianMixture, Quadratic, Trigonometric

H, M = np.array([[0.75, 0.25], [0.25, 0.5]]), np.array([0.5, -1.0])
BOWL = Trigonometric([0.0], [[1.0, 0.0]], [0.0], H, M)
LINE = Trigonometric([0.0], [[1.0]], [0.0], [[0.5]], [0.25])
SURPRISAL = GaussianMixture([1.0], [M], [np.linalg.inv(H)])
POINTS = np.array([[0.25, 1.0], [-1.5, 0.5], [2.0, 0.0]])
TAU = 0.375


def test_the_disguises_hold() -> None:
    assert not isinstance(BOWL, Conjugate)
    assert not isinstance(SURPRISAL, GaussianAverages)


def test_the_hessian_of_local_entropy_by_quadrature() -> None:
    """H (I + tau H)^-1 at every point, to the tolerance of the quadrature."""
    expected = H @ np.linalg.inv(np.eye(2) + TAU * H)
    for points in (POINTS.tolist(), POINTS[0]):
        found = reg.local_entropy_hessian(BOWL, points, TAU)
        assert found.shape == (*np.shape(points), 2)
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), 1e-9)


def test_the_hessian_of_local_entropy_in_closed_form() -> None:
    expected = H @ np.linalg.inv(np.eye(2) + TAU * H)
    found = reg.local_entropy_hessian(Quadratic(H, M), POINTS[0], TAU)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("f", [SURPRISAL, BOWL], ids=["quadrature", "closed"])
def test_the_hessian_of_heat(f: Any) -> None:
    """Heat leaves the curvature of a quadratic as it is."""
    for points in (POINTS.tolist(), POINTS[0]):
        found = reg.heat_hessian(f, points, TAU)
        assert found.shape == (*np.shape(points), 2)
        np.testing.assert_allclose(found, np.broadcast_to(H, found.shape), rtol=1e-9)


@pytest.mark.parametrize("tau", [1e-10, 1.0, 1e8])
def test_the_gradient_of_local_entropy_keeps_its_digits(tau: float) -> None:
    """Either side of (12) loses 8 digits at one of these tau; twelve must be left."""
    expected = 0.5 * (10.0 - 0.25) / (1 + 0.5 * tau)
    found = reg.local_entropy_gradient(LINE, [10.0], tau)
    assert found[0] == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("m", [0.0, 2e8])
def test_the_gradient_far_from_zero_keeps_its_digits(m: float) -> None:
    """The mean is rounded to 1e-8 at 1e8: the gradient, which is 10, is not."""
    gentle = Trigonometric([0.0], [[1.0]], [0.0], [[1e-7]], [m])
    expected = 1e-7 * (1e8 - m) / (1 + 1e-7)
    found = reg.local_entropy_gradient(gentle, [1e8], 1.0)
    assert found[0] == pytest.approx(expected, rel=1e-12, abs=0)


def test_the_side_that_is_asked_for_is_evaluated() -> None:
    """One of them is not accurate where the other is, which shows who answered."""
    expected = 0.5 * (10.0 - 0.25) / (1 + 0.5 * np.array([1e-10, 1e8]))
    for form, errors in (("mean", (True, False)), ("gradient", (False, True))):
        for tau, exact, lossy in zip((1e-10, 1e8), expected, errors, strict=True):
            found = reg.local_entropy_gradient(LINE, [10.0], tau, form)  # type: ignore[arg-type]
            assert (abs(found[0] / exact - 1) > 1e-11) == lossy


def test_lists_are_points() -> None:
    x, y = POINTS[:2].tolist()
    shift, F = POINTS[0] - POINTS[1], Quadratic(H, M)
    slope = reg.local_entropy_gradient(F, y, TAU)
    bracket = reg.local_entropy(F, y, TAU) + shift @ slope + shift @ shift / (2 * TAU)
    assert reg.majoriser(F, x, y, TAU) == pytest.approx(bracket, rel=1e-14)
    bracket = reg.heat(F, x, TAU) + shift @ shift / (2 * TAU)
    assert reg.heat_majoriser(F, x, y, TAU) == pytest.approx(bracket, rel=1e-14)


def test_averages_take_lists_and_one_variance() -> None:
    """E f and log E exp(f) of a bowl under N(x, v I), where I - v H is positive."""
    x, v = [0.25, 1.0], 0.5
    offset = np.array(x) - M
    value = 0.5 * offset @ H @ offset + 0.5 * v * np.trace(H)
    for f in (BOWL, Quadratic(H, M)):
        assert reg.gaussian_mean(f, x, v) == pytest.approx(value, rel=1e-9)
    value = reg.gaussian_mean(SURPRISAL, x, v)
    peak = float(SURPRISAL(M))
    assert value == pytest.approx(peak + reg.gaussian_mean(BOWL, x, v), rel=1e-9)
    inverse = np.linalg.inv(np.eye(2) - v * H)
    log_det = np.log(np.linalg.det(np.eye(2) - v * H))
    exact = 0.5 * offset @ H @ inverse @ offset - 0.5 * log_det
    assert reg.log_mean_exp(BOWL, x, v) == pytest.approx(exact, rel=1e-9)


def test_the_divergence_of_two_gaussians_is_the_closed_form() -> None:
    """Nearly equal, where an average of surprisals would lose every digit."""
    t = 2.0**-20
    series = 0.5 * (t**2 / 2 - t**3 / 3 + t**4 / 4)
    found = reg.divergence(gaussian([0.0], 1 + t), gaussian([0.0], 1.0))
    assert found == pytest.approx(series, rel=1e-8, abs=0)


class Silent:
    """A loss that says where to look, but not where its exponential diverges."""

    d = 1

    def __call__(self, y: Any) -> Any:
        return LINE(y)

    def gradient(self, y: Any) -> Any:
        return LINE.gradient(y)


NAN = [np.nan, 0.0]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: reg.local_entropy("f", [0.0], 1.0), "f must be a loss"),
        (lambda: reg.local_entropy(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.local_entropy(Quadratic(H, M), NAN, 1.0), "x must be finite"),
        (
            lambda: reg.local_entropy_hessian(Quadratic(H, M), NAN, 1.0),
            "x must be finite",
        ),
        (lambda: reg.local_entropy_gradient(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.local_entropy_hessian(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.posterior_mean(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.posterior_covariance(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.heat(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.heat_gradient(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.heat_hessian(BOWL, NAN, 1.0), "x must be finite"),
        (lambda: reg.heat_jet(BOWL, [0.0], 1.0), "x must have shape"),
        (lambda: reg.heat_jet(BOWL, M, -1.0), "tau must be positive"),
        (lambda: reg.heat_hessian(BOWL, M, -1.0), "tau must be positive"),
        (lambda: reg.local_entropy_gradient(BOWL, M, 1.0, "both"), "form must be"),
        (lambda: reg.majoriser(BOWL, M, [0.0], 1.0), "y must have shape"),
        (lambda: reg.majoriser(BOWL, M, M, -1.0), "tau must be positive"),
        (lambda: reg.heat_majoriser(BOWL, [0.0], M, 1.0), "x must have shape"),
        (lambda: reg.heat_majoriser(BOWL, M, M, -1.0), "tau must be positive"),
        (lambda: reg.entropy_functional(BOWL, "q", M, 1.0), "q must be a Gaussian"),
        (lambda: reg.heat_functional(BOWL, "q", M, 1.0), "q must be a Gaussian"),
        (lambda: reg.gaussian_mean(BOWL, [0.0], 1.0), "mean must have shape"),
        (lambda: reg.log_mean_exp(BOWL, [0.0], 1.0), "mean must have shape"),
        (lambda: reg.log_mean_exp(BOWL, M, -1.0), "cov must be positive"),
    ],
)
def test_bad_questions_are_refused(ask: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        ask()


def test_a_loss_must_say_where_its_exponential_diverges() -> None:
    with pytest.raises(NoClosedForm, match=r"Silent must say where exp\(f\)"):
        reg.log_mean_exp(Silent(), [0.0], 1.0)
