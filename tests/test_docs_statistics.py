"""What docs/statistics.md says of (3) to (5) and of Section 3.1, by another route."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from refimpl.exact import ExactMean
from refimpl.initialisations import initial
from refimpl.laws import GibbsLaw, kl_gaussian
from refimpl.losses import GaussianMixture, LeastSquares, Quadratic, Quartic
from refimpl.network import Network
from refimpl.regularised import (
    heat,
    local_entropy,
    local_entropy_gradient,
    local_entropy_hessian,
    majoriser,
    posterior_covariance,
    posterior_mean,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "statistics.md"
TILTED = Quartic([1.0], [0.0], [-1.0])
"""f(y) = y^4/4 - y^2/2, two minima."""


def density(tau: float, x: float) -> stats.rv_continuous:
    return stats.norm(x, math.sqrt(tau))


def integral(g, x: float, tau: float) -> float:  # type: ignore[no-untyped-def]
    """The mean of g under the prior, by a rule of SciPy."""
    prior, reach = density(tau, x), 12 * math.sqrt(tau)
    value, _ = integrate.quad(
        lambda y: g(y) * prior.pdf(y), x - reach, x + reach, epsabs=0, epsrel=1e-12
    )
    return float(value)


def regression() -> tuple[LeastSquares, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    A, b = rng.normal(size=(5, 3)), rng.normal(size=5)
    return LeastSquares(A, b), A, b


# --- (3) and (4)


def test_the_evidence_of_a_regression_in_data_space() -> None:
    """The marginal law of the data is Gaussian; no parameter is integrated there."""
    f, A, b = regression()
    x, tau, N = np.array([0.3, -0.7, 1.1]), 0.6, 5
    covariance = N * np.eye(N) + tau * A @ A.T
    log_evidence = stats.multivariate_normal(A @ x, covariance).logpdf(b)
    constant = 0.5 * N * math.log(2 * math.pi * N)
    assert -local_entropy(f, x, tau) - constant == pytest.approx(
        log_evidence, rel=1e-13
    )


def test_the_posterior_of_a_regression_by_conditioning() -> None:
    """(y, b) is jointly Gaussian: condition on b."""
    f, A, b = regression()
    x, tau, N = np.array([0.3, -0.7, 1.1]), 0.6, 5
    gain = tau * A.T @ np.linalg.inv(N * np.eye(N) + tau * A @ A.T)
    assert posterior_mean(f, x, tau) == pytest.approx(x + gain @ (b - A @ x), rel=1e-12)
    covariance = tau * (np.eye(3) - gain @ A)
    assert posterior_covariance(f, x, tau) == pytest.approx(covariance, rel=1e-12)


def test_the_mean_loss_is_a_tempered_likelihood() -> None:
    """With N f for f the noise has variance 1; at temperature 1/N the scale is f's."""
    _, A, b = regression()
    x, tau, N = np.array([0.3, -0.7, 1.1]), 0.6, 5
    whole = Quadratic(A.T @ A, np.linalg.lstsq(A, b, rcond=None)[0])
    rest = 0.5 * np.sum((A @ whole.m - b) ** 2)
    log_evidence = stats.multivariate_normal(A @ x, np.eye(N) + tau * A @ A.T).logpdf(b)
    found = -(local_entropy(whole, x, tau) + rest) - 0.5 * N * math.log(2 * math.pi)
    assert found == pytest.approx(log_evidence, rel=1e-13)


def test_softmax_has_a_flat_direction() -> None:
    """So e^{-f} has no finite integral, and rho_f does not exist."""
    rng = np.random.default_rng(3)
    images, labels = rng.random((6, 4)), np.array([0, 1, 2, 0, 1, 2])
    f = Network((4, 5, 3), images, labels)
    y = initial((4, 5, 3), "glorot-uniform", rng)
    shifted = y.copy()
    shifted[-3:] += 123.0
    assert f(shifted) == pytest.approx(float(f(y)), rel=1e-13)


def test_occam_s_factor() -> None:
    H = np.array([[3.0, 0.4], [0.4, 0.2]])
    f, tau = Quadratic(H, [1.0, 2.0], 0.7), 0.9
    factor = 0.5 * math.log(np.linalg.det(np.eye(2) + tau * H))
    assert local_entropy(f, [1.0, 2.0], tau) - 0.7 == pytest.approx(factor, rel=1e-13)


# --- the evidence bound


def test_heat_is_the_bound_at_the_prior() -> None:
    x, tau = 0.4, 0.3
    value = integral(lambda y: float(TILTED([y])), x, tau)
    assert heat(TILTED, [x], tau) == pytest.approx(value, rel=1e-10)
    evidence = integral(lambda y: math.exp(-float(TILTED([y]))), x, tau)
    F = float(local_entropy(TILTED, [x], tau))
    assert pytest.approx(-math.log(evidence), rel=1e-10) == F

    def surprise(y: float) -> float:  # log(phi/q), with q = e^{F-f} phi
        return float(TILTED([y])) - F

    gap = integral(surprise, x, tau)
    assert float(heat(TILTED, [x], tau)) - F == pytest.approx(gap, rel=1e-9)
    assert gap > 0


# --- Algorithm 1 is EM


def test_the_step_is_the_m_step() -> None:
    """Maximise the mean of log phi_{x,tau}(y) under q numerically."""
    f, start, tau = TILTED, 0.2, 0.5
    y = np.linspace(start - 8, start + 8, 4001)
    q = np.exp(-f(y[:, None])) * density(tau, start).pdf(y)
    q /= q.sum()

    def expected(x: float) -> float:
        return -float(q @ density(tau, x).logpdf(y))

    best = optimize.minimize_scalar(expected, bracket=(-0.5, 1.0)).x
    step = ExactMean()(GibbsLaw(f, np.array([start]), tau)).x
    assert step[0] == pytest.approx(best, abs=1e-6)


def test_what_a_step_gains() -> None:
    """|x_k - x_{k+1}|^2/2 tau + KL(q_k || q_{k+1}), here with Gaussian q."""
    H = np.array([[2.0, 0.5], [0.5, 1.0]])
    f, tau, x = Quadratic(H, [1.0, 0.0]), 0.5, np.array([2.0, -1.0])
    new = posterior_mean(f, x, tau)
    cov = posterior_covariance(f, x, tau)
    moved = float((x - new) @ (x - new)) / (2 * tau)
    kl = kl_gaussian(new, cov, posterior_mean(f, new, tau), cov)
    gain = float(local_entropy(f, x, tau) - local_entropy(f, new, tau))
    assert gain == pytest.approx(moved + kl, rel=1e-12)
    assert kl > 0.01 * gain  # Theorem 2's bound alone is not the gain
    above = majoriser(f, new, x, tau) - float(local_entropy(f, new, tau))
    assert above == pytest.approx(kl, rel=1e-10)


def test_the_gain_where_q_is_no_gaussian() -> None:
    f, tau, x = TILTED, 0.5, 0.3
    new = float(posterior_mean(f, [x], tau)[0])
    old_F, new_F = (float(local_entropy(f, [at], tau)) for at in (x, new))

    def log_ratio(y: float) -> float:  # log(q_k/q_{k+1})
        return old_F - new_F + ((y - new) ** 2 - (y - x) ** 2) / (2 * tau)

    kl = integral(lambda y: math.exp(old_F - float(f([y]))) * log_ratio(y), x, tau)
    assert old_F - new_F == pytest.approx((x - new) ** 2 / (2 * tau) + kl, rel=1e-9)


def test_the_rate_is_the_missing_information() -> None:
    f, tau, x, h = TILTED, 0.5, 0.9, 1e-5
    ahead, behind = (posterior_mean(f, [x + s * h], tau)[0] for s in (1, -1))
    slope = float(posterior_covariance(f, [x], tau)[0, 0]) / tau
    assert (ahead - behind) / (2 * h) == pytest.approx(slope, rel=1e-8)
    curvature = float(local_entropy_hessian(f, [x], tau)[0, 0])
    assert slope == pytest.approx(1 - tau * curvature, rel=1e-10)


def test_repeated_updates_are_another_thing() -> None:
    """To condition k times on the same data is one posterior for k f."""
    h, tau, x, k = 2.0, 0.5, 3.0, 4
    f = Quadratic(h, [0.0])
    at = np.array([x])
    for _ in range(k):
        at = posterior_mean(f, at, tau)
    assert at[0] == pytest.approx(x / (1 + tau * h) ** k, rel=1e-13)
    updated = posterior_mean(Quadratic(k * h, [0.0]), [x], tau)
    assert updated[0] == pytest.approx(x / (1 + k * tau * h), rel=1e-13)


# --- tau


def test_the_derivative_by_tau() -> None:
    for f, x, tau in (
        (TILTED, np.array([0.4]), 0.3),
        (Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0]), np.array([2.0, -1.0]), 0.5),
    ):
        d, h = x.size, 1e-4 * tau
        mean, cov = posterior_mean(f, x, tau), posterior_covariance(f, x, tau)
        second = np.trace(cov) + float((x - mean) @ (x - mean))
        ahead, behind = (local_entropy(f, x, tau + s * h) for s in (1, -1))
        slope = float(ahead - behind) / (2 * h)
        assert slope == pytest.approx((d * tau - second) / (2 * tau**2), rel=1e-6)
        hessian = local_entropy_hessian(f, x, tau)
        gradient = local_entropy_gradient(f, x, tau)
        flow = 0.5 * np.trace(hessian) - 0.5 * float(gradient @ gradient)
        assert flow == pytest.approx((d * tau - second) / (2 * tau**2), rel=1e-9)


@pytest.mark.parametrize(("x", "best"), [(2.0, 3.5), (1.0, 0.5), (0.5, 0.0)])
def test_the_best_tau_of_a_quadratic(x: float, best: float) -> None:
    """max(0, (x - m)^2 - 1/h), here with h = 2, m = 0."""
    f = Quadratic(2.0, [0.0])
    found = optimize.minimize_scalar(
        lambda tau: float(local_entropy(f, [x], tau)),
        bounds=(1e-9, 8),
        method="bounded",
    )
    assert found.x == pytest.approx(best, abs=1e-4)


def test_both_hyperparameters_at_once_give_maximum_likelihood() -> None:
    """F_tau is above inf f = -1/4 everywhere, and tends to it at the minimum."""
    grid = [(x, tau) for x in (-1.2, 0.0, 0.5, 1.0) for tau in (1e-4, 0.01, 0.1, 1.0)]
    assert min(float(local_entropy(TILTED, [x], tau)) for x, tau in grid) > -0.25
    gaps = [float(local_entropy(TILTED, [1.0], tau)) + 0.25 for tau in (1e-2, 1e-4)]
    assert 0 < gaps[1] < 1.1e-4 < gaps[0] < 1.1e-2  # tau f''(1)/2 = tau, to first order


# --- x as an observation


def test_tweedie() -> None:
    """x + tau grad log of the density of y + noise, which is integrated by SciPy."""
    tau, x, h = 0.4, 0.7, 1e-4
    mass, _ = integrate.quad(lambda y: math.exp(-float(TILTED([y]))), -6, 6)

    def noisy(at: float) -> float:
        return math.log(
            integral(lambda y: math.exp(-float(TILTED([y]))), at, tau) / mass
        )

    score = (noisy(x + h) - noisy(x - h)) / (2 * h)
    assert posterior_mean(TILTED, [x], tau)[0] == pytest.approx(
        x + tau * score, rel=1e-7
    )


def test_points_make_it_mean_shift() -> None:
    rng = np.random.default_rng(5)
    points, weights = rng.normal(size=(6, 2)), rng.dirichlet(np.ones(6))
    tau, x = 0.3, np.array([0.2, -0.4])
    f = GaussianMixture(weights, points, [1e-12 * np.eye(2)] * 6)
    kernel = weights * np.exp(-np.sum((x - points) ** 2, axis=1) / (2 * tau))
    shift = kernel @ points / kernel.sum()
    assert posterior_mean(f, x, tau) == pytest.approx(shift, abs=1e-10)
    density_of_kernels = kernel.sum() / (2 * math.pi * tau)
    F = float(local_entropy(f, x, tau))
    assert -math.log(density_of_kernels) == pytest.approx(F, abs=1e-10)


def test_the_page_names_its_checks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert {"EQ5-01", "TH1-01", "EQ2-07", "TH2-01"} <= set(
        re.findall(r"`([^`]+)`", text)
    )
