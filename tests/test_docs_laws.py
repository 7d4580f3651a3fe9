"""The formulas of docs/laws.md, written out anew, against `refimpl.output_laws`."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from refimpl.losses import GaussianMixture, Quadratic
from refimpl.output_laws import (
    importance_law,
    robbins_monro_law,
    sgld_law,
    sgld_stationary_law,
)
from refimpl.regularised import local_entropy, posterior_mean
from refimpl.schedules import PowerLaw, steps

PAGE = Path(__file__).resolve().parents[1] / "docs" / "laws.md"
EPSILON = np.array([0.5, 0.4, 0.1, 0.3, 0.2])
A = np.array([0.5, 0.1, 0.4, 0.3])
TAU, M, X = 0.6, 1.5, 2.0


@pytest.mark.parametrize("curvature", [-0.5, 0.0, 0.7, 3.0])
def test_algorithm_3(curvature: float) -> None:
    f, start, J = Quadratic(curvature, [M]), 0.3, EPSILON.size
    law = sgld_law(f, [X], TAU, EPSILON, start=[start])
    beta = 1 - EPSILON / 2 * (curvature + 1 / TAU)
    w = EPSILON / EPSILON.sum()
    Q, P = [w[-1]], [1.0]
    for j in reversed(range(J - 1)):
        Q.insert(0, w[j] + beta[j] * Q[0])
        P.insert(0, beta[j] * P[0])
    p = M + (X - M) / (1 + TAU * curvature)
    noise = EPSILON[:-1]
    pairs = [
        (law.output.mean[0], p + Q[0] * (start - p)),
        (law.last.mean[0], p + P[0] * (start - p)),
        (law.output.covariance[0, 0], noise @ np.square(Q[1:])),
        (law.last.covariance[0, 0], noise @ np.square(P[1:])),
        (law.cross_covariance[0, 0], noise @ np.multiply(Q[1:], P[1:])),
    ]
    for found, written in pairs:
        assert found == pytest.approx(written, rel=1e-12)


def test_a_constant_step_for_ever() -> None:
    epsilon, curvature = 0.3, 2.0
    b = curvature + 1 / TAU
    found = sgld_stationary_law(Quadratic(curvature, [M]), [X], TAU, epsilon)
    assert found.covariance[0, 0] == pytest.approx(1 / (b * (1 - epsilon * b / 4)))


@pytest.mark.parametrize("curvature", [-0.5, 0.0, 0.7, 3.0])
def test_algorithm_5(curvature: float) -> None:
    samples, start = 3, 0.3
    f = Quadratic(curvature, [M])
    law = robbins_monro_law(f, [X], TAU, A, samples, start=[start])
    factor = 1 - A * (1 + TAU * curvature)
    R = [math.prod(factor[j:]) for j in range(A.size + 1)]
    p = M + (X - M) / (1 + TAU * curvature)
    variance = TAU**3 * curvature**2 / samples * np.sum(A**2 * np.square(R[1:]))
    assert law.mean[0] == pytest.approx(p + R[0] * (start - p), rel=1e-12)
    assert law.covariance[0, 0] == pytest.approx(variance, rel=1e-12)


def test_the_share_of_the_way() -> None:
    left = math.prod(1 - steps(PowerLaw(0.1, 0.7), 30))
    text = PAGE.read_text(encoding="utf-8")
    assert f"the product is {left:.3f}" in text
    assert f"{100 * (1 - left):.1f} % of the way" in re.sub(r"\s+", " ", text)


def test_algorithm_4() -> None:
    """Moments of the weights by a sum over the samples' law, discretised finely."""
    f = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[0.25]], [[0.5]]])
    x, J = 0.4, 50
    z = np.linspace(-9, 9, 20001)
    mass = np.exp(-(z**2) / 2)
    mass /= mass.sum()
    y = x + math.sqrt(TAU) * z
    weight = np.exp(-f(y[:, None]))
    mu = float(posterior_mean(f, [x], TAU)[0])
    Z = mass @ weight
    assert pytest.approx(float(local_entropy(f, [x], TAU)), rel=1e-10) == -math.log(Z)
    assert mass @ (weight * (y - mu)) == pytest.approx(0.0, abs=1e-12)
    rho = mass @ weight**2 / Z**2
    law = importance_law(f, [x], TAU, J)
    assert law.effective_sample_size == pytest.approx(J / rho, rel=1e-10)
    variance = mass @ (weight * (y - mu)) ** 2 / Z**2 / J
    mu_2 = mass @ (weight**2 * y) / (mass @ weight**2)
    S = mass @ (weight**2 * (y - mu_2) ** 2) / (mass @ weight**2)
    assert rho / J * (S + (mu_2 - mu) ** 2) == pytest.approx(variance, rel=1e-10)
    assert law.shift[0] == pytest.approx(mu_2 - mu, rel=1e-9)


def test_rho_at_a_minimum() -> None:
    curvatures = np.array([2.0, 0.0, 0.5])
    t = TAU * curvatures
    law = importance_law(Quadratic(curvatures, np.zeros(3)), np.zeros(3), TAU, 10)
    rho = math.prod((1 + t) / np.sqrt(1 + 2 * t))
    assert law.log_rho == pytest.approx(math.log(rho), rel=1e-12)


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
    exec(example, {})
    assert len(re.findall(r"-?\d+\.\d+", capsys.readouterr().out)) >= 13
