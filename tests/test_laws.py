"""The laws: densities against SciPy's, what is accepted and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from refimpl.errors import InvalidParameter
from refimpl.laws import GibbsLaw, Mixture, gaussian, kl_gaussian, phi
from refimpl.losses import Quadratic

MEANS = [[0.5, -1.0], [-0.25, 2.0]]
COVARIANCES = [[[1.0, 0.25], [0.25, 0.5]], [[0.75, -0.5], [-0.5, 2.0]]]
WEIGHTS = [0.25, 0.75]
POINTS = np.array([[[0.0, 0.0], [1.0, -2.0]], [[0.5, 0.75], [-3.0, 4.0]]])
F = Quadratic([[1.0, 0.5], [0.5, 2.0]], [0.25, -0.5], 0.75)


def test_the_density_of_a_mixture() -> None:
    law = Mixture(WEIGHTS, MEANS, COVARIANCES)  # type: ignore[arg-type]
    parts = zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    density = sum(w * multivariate_normal(m, S).pdf(POINTS) for w, m, S in parts)
    np.testing.assert_allclose(law.log_density(POINTS), np.log(density), rtol=1e-12)
    np.testing.assert_allclose(law.surprisal(POINTS), -np.log(density), rtol=1e-12)
    assert law.d == 2


@pytest.mark.parametrize("cov", [0.75, COVARIANCES[0]])
def test_the_density_of_a_gaussian(cov: Any) -> None:
    expected = multivariate_normal(MEANS[0], cov).logpdf(POINTS)
    found = gaussian(MEANS[0], cov).log_density(POINTS)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_tau_is_the_variance_of_phi() -> None:
    expected = multivariate_normal(MEANS[0], 0.375 * np.eye(2)).logpdf(POINTS)
    found = phi(MEANS[0], 0.375).log_density(POINTS)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_density_of_q_up_to_its_normaliser() -> None:
    law = GibbsLaw(F, [0.5, -1.0], 0.375)  # type: ignore[arg-type]
    expected = multivariate_normal([0.5, -1.0], 0.375).logpdf(POINTS) - F(POINTS)
    np.testing.assert_allclose(law.log_density(POINTS), expected, rtol=1e-12)
    assert law.log_density([0.0, 0.0]).shape == ()


def test_what_is_given_is_copied_as_floats() -> None:
    x = np.array([1, 2])
    law = GibbsLaw(F, x, 1)  # type: ignore[arg-type]
    assert law.x.dtype == np.float64
    assert isinstance(law.tau, float)
    law.x[0] = 5.0
    assert x[0] == 1
    mixture = Mixture(WEIGHTS, MEANS, COVARIANCES)  # type: ignore[arg-type]
    shapes = [a.shape for a in (mixture.weights, mixture.means, mixture.covariances)]
    assert shapes == [(2,), (2, 2), (2, 2, 2)]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GibbsLaw("f", np.zeros(2), 1.0), "f must be a loss"),
        (lambda: GibbsLaw(F, np.zeros(3), 1.0), r"x must have shape \(2,\)"),
        (lambda: GibbsLaw(F, np.array([0.0, np.nan]), 1.0), "x must be finite"),
        (lambda: GibbsLaw(F, np.zeros(2), 0.0), "tau must be positive"),
        (lambda: GibbsLaw(F, np.zeros(2), 1.0).log_density([0.0]), "last axis d = 2"),
        (lambda: phi([0.0], -1.0), "tau must be positive"),
        (lambda: gaussian([[0.0]], 1.0), "mean must be a vector"),
        (lambda: gaussian([0.0, 1.0], np.eye(3)), "cov must be 2 x 2"),
        (lambda: kl_gaussian([0.0], 1.0, [0.0, 1.0], 1.0), "mean1 has shape"),
        (lambda: kl_gaussian([[0.0]], 1.0, [0.0], 1.0), "mean0 must be a vector"),
        (lambda: kl_gaussian([0.0], 1.0, [[0.0]], 1.0), "mean1 must be a vector"),
        (lambda: kl_gaussian([0.0], 0.0, [0.0], 1.0), "cov0 must be positive"),
        (lambda: kl_gaussian([0.0], 1.0, [0.0], 0.0), "cov1 must be positive"),
    ],
)
def test_bad_laws_are_refused(make: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        make()


@pytest.mark.parametrize("narrow", [1.0, 0.5, 1e-6])
def test_both_branches_of_the_divergence(narrow: float) -> None:
    """Traces, determinants and inverses, which the branches have none of."""
    S0, S1 = narrow * np.array(COVARIANCES[0]), np.array(COVARIANCES[1])
    m0, m1 = np.array(MEANS[0]), np.array(MEANS[1])
    inverse, shift = np.linalg.inv(S1), m0 - m1
    expected = 0.5 * (
        np.trace(inverse @ S0)
        - 2
        + shift @ inverse @ shift
        + np.log(np.linalg.det(S1) / np.linalg.det(S0))
    )
    assert kl_gaussian(m0, S0, m1, S1) == pytest.approx(expected, rel=1e-12)


def test_the_divergence_of_nearly_equal_laws_keeps_its_digits() -> None:
    """(t - log(1 + t)) / 2 by its series; t = 2^-20 leaves 20 bits fewer than 53."""
    t = 2.0**-20
    series = 0.5 * (t**2 / 2 - t**3 / 3 + t**4 / 4)
    found = kl_gaussian([0.0], 1 + t, [0.0], 1.0)
    assert found == pytest.approx(series, rel=1e-8, abs=0)


def test_the_divergence_of_a_law_that_is_narrow_in_one_direction() -> None:
    """The other direction, which is as wide as it should be, must not hide it."""
    narrow = 1e-10
    expected = 0.5 * (narrow - 1 - np.log(narrow))
    found = kl_gaussian([0.0, 0.0], np.diag([narrow, 1.0]), [0.0, 0.0], 1.0)
    assert found == pytest.approx(expected, rel=1e-13)
