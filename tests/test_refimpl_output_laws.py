"""The laws of the outputs: against the cores' impulse responses and against integrals.

Nothing is sampled.  On a loss of constant curvature a core is an affine map of its
start and its noise; runs on no noise and on one unit of noise at a time read the map
off, and with it the exact mean and covariance, without any eigenbasis.
"""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import InvalidParameter, NoClosedForm, NonFinite, NotIntegrable
from refimpl.importance import ImportanceSampling
from refimpl.laws import GibbsLaw, Mixture
from refimpl.losses import (
    Constant,
    GaussianMixture,
    LeastSquares,
    Linear,
    Quadratic,
    Quartic,
    Resampled,
)
from refimpl.output_laws import (
    ImportanceLaw,
    Moments,
    Response,
    importance_law,
    langevin_response,
    robbins_monro_law,
    sgld_law,
    sgld_stationary_law,
    sgld_walk,
)
from refimpl.robbins_monro import robbins_monro
from refimpl.schedules import Harmonic, PowerLaw, steps
from refimpl.sgld import langevin
from refimpl.streams import stream
from verification import problems as P
from verification import strategies as any_
from verification.adapter import loss_of

LOSSES = {
    "quadratic": P.QUADRATIC_2,
    "indefinite": P.INDEFINITE_3,
    "diagonal": P.DIAGONAL_3,
    "scalar": P.SCALAR_2,
    "least squares": P.LEAST_SQUARES_2,
    "wide least squares": P.LEAST_SQUARES_WIDE_3,
    "linear": P.LINEAR_2,
    "constant": P.CONSTANT_3,
}
SCHEDULES = {
    "one": [0.25],
    "constant": [0.25] * 6,
    "decreasing": steps(Harmonic(1.0), 7),
    "uneven": [0.5, 0.0625, 1.0, 0.03125, 0.75],
    "overshooting": [1.5] * 5,
}

# Every stable move rounds some d + 10 times and the eigenbasis costs d u |H|, each
# reaching the result at most J times: below 10 J (d + 10) u = 10^-13 of the largest
# number.  "overshooting" grows, by less than 10 in five moves.
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def centre(d: int) -> Any:
    return np.array([0.8125, -1.3125, 0.4375, 0.25, -0.5])[:d]


def away(d: int) -> Any:
    return np.array([-0.25, 0.625, 1.5, 1.0, 0.75])[:d]


def units(*shape: int) -> Any:
    """No noise at all, then one unit of it in each place: (1 + size, *shape)."""
    size = math.prod(shape)
    return np.vstack([np.zeros(size), np.eye(size)]).reshape(1 + size, *shape)


def affine(runs: Any) -> tuple[Any, Any]:
    """Mean and covariance, from the result on no noise and on each unit of it."""
    columns = runs[1:] - runs[0]
    return runs[0], columns.T @ columns


# --- Algorithm 3 ----------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("chain", ["literal", "new-states"])
@pytest.mark.parametrize("output", ["average", "controlled"])
@pytest.mark.parametrize("warm", [False, True])
def test_algorithm_3_is_the_affine_map(
    name: str, schedule: str, chain: Any, output: Any, warm: bool
) -> None:
    f, epsilon, tau = loss_of(LOSSES[name]), np.array(SCHEDULES[schedule]), 0.75
    d, moves = f.d, epsilon.size - (chain == "literal")
    x, start = centre(f.d), away(f.d) if warm else None
    noise = units(moves, d)
    runs = langevin(
        f,
        x,
        tau,
        epsilon,
        iter(np.moveaxis(noise, 1, 0)),
        start=np.tile(x if start is None else start, (len(noise), 1)),
        chain=chain,
        output=output,
    )
    law = sgld_law(f, x, tau, epsilon, start=start, chain=chain, output=output)
    mean, covariance = affine(np.hstack(runs))
    np.testing.assert_allclose(law.output.mean, mean[:d], **CLOSE)
    np.testing.assert_allclose(law.last.mean, mean[d:], **CLOSE)
    np.testing.assert_allclose(law.output.covariance, covariance[:d, :d], **CLOSE)
    np.testing.assert_allclose(law.last.covariance, covariance[d:, d:], **CLOSE)
    np.testing.assert_allclose(law.cross_covariance, covariance[:d, d:], **CLOSE)
    diagonal = np.diagonal(covariance)
    np.testing.assert_allclose(law.output.marginal_variances, diagonal[:d], **CLOSE)


def test_one_literal_state_is_its_start() -> None:
    law = sgld_law(Quadratic(1.0, [0.0, 0.0]), [1.0, 2.0], 0.5, [0.25])
    assert (law.output.mean == [1.0, 2.0]).all()
    assert (law.output.covariance == 0).all()
    assert (law.last.covariance == 0).all()


def test_a_run_is_the_run_of_its_parts() -> None:
    """The last state after all moves, from that after some of them."""
    f, x, tau, epsilon = Quadratic(2.0, [0.5]), [1.0], 0.5, steps(Harmonic(3.0), 9)
    whole = sgld_law(f, x, tau, epsilon, chain="new-states").last
    early = sgld_law(f, x, tau, epsilon[:4], chain="new-states").last
    late = sgld_law(f, x, tau, epsilon[4:], start=early.mean, chain="new-states").last
    gain = langevin_response([2.0], tau, epsilon[4:], chain="new-states").start[1]
    variances = late.variances + gain**2 * early.variances
    np.testing.assert_allclose(whole.mean, late.mean, rtol=1e-14)
    np.testing.assert_allclose(whole.variances, variances, rtol=1e-14)


def test_a_flat_direction() -> None:
    """Powers of 1 - epsilon/2 tau; the slope moves by -tau (1 - power)."""
    tau, epsilon, moves = 0.5, 0.125, 5
    found = langevin_response([0.0], tau, [epsilon] * moves, chain="new-states")
    shrink = 1 - epsilon / (2 * tau)
    powers = shrink ** np.arange(1, moves + 1)
    start = np.array([powers.mean(), powers[-1]])
    np.testing.assert_allclose(found.start[:, 0], start, rtol=1e-14)
    np.testing.assert_allclose(found.slope[:, 0], -tau * (1 - start), rtol=1e-13)
    variance = epsilon * (1 - shrink ** (2 * moves)) / (1 - shrink**2)
    assert found.covariance[1, 1, 0] == pytest.approx(variance, rel=1e-13)


@pytest.mark.parametrize("epsilon", [0.0625, 0.5, 1.0])
def test_the_chain_reaches_and_keeps_its_stationary_law(epsilon: float) -> None:
    """Its memory a = 1 - epsilon beta/2 is below 0.96, and 0.96^1200 < 1e-21."""
    f, x, tau, J = loss_of(P.QUADRATIC_2), centre(2), 1.0, 1200
    kept = sgld_stationary_law(f, x, tau, epsilon)
    law = sgld_law(f, x, tau, np.full(J, epsilon))
    np.testing.assert_allclose(law.last.mean, kept.mean, **CLOSE)
    np.testing.assert_allclose(law.last.variances, kept.variances, rtol=1e-12)
    np.testing.assert_allclose(kept.mean, f.posterior_mean(x, tau), rtol=1e-14)
    # a noise before the last k states adds (1 - a^k)/(1 - a) of itself to their sum
    a = 1 - epsilon * (f.curvatures + 1 / tau) / 2
    squares = J - 1 - 2 * a / (1 - a) + a**2 / (1 - a**2)
    average = epsilon * squares / (1 - a) ** 2 / J**2
    np.testing.assert_allclose(law.output.variances, average, rtol=1e-12)


def test_the_stationary_law_tends_to_q() -> None:
    """Their variances differ by the factor 1 - epsilon beta/4, and beta < 3."""
    f, x, tau, epsilon = loss_of(P.INDEFINITE_3), centre(3), 1.25, 1e-9
    kept = sgld_stationary_law(f, x, tau, epsilon)
    exact = f.posterior_covariance(x, tau)
    np.testing.assert_allclose(
        kept.covariance, exact, rtol=0, atol=epsilon * exact[0, 0]
    )


@pytest.mark.parametrize("start", ["centre", "previous"])
@pytest.mark.parametrize("chain", ["literal", "new-states"])
@pytest.mark.parametrize("output", ["average", "controlled"])
@pytest.mark.parametrize("noise", ["variance", "standard-deviation"])
def test_a_walk_is_one_update_after_the_other(
    start: Any, chain: Any, output: Any, noise: Any
) -> None:
    """Three updates of the core on no loss, on one unit of noise at a time.

    On no loss a run does not depend on where it is: each starts at its own centre.
    """
    epsilon, tau, updates = np.array(SCHEDULES["uneven"]), 0.75, 3
    z = units(updates, epsilon.size - (chain == "literal"), 1)
    x = last = np.zeros((len(z), 1))
    wanted = [0.0]
    for k in range(updates):
        moved, end = langevin(
            Constant(0.0, 1),
            np.zeros(1),
            tau,
            epsilon,
            iter(np.moveaxis(z[:, k], 1, 0)),
            start=last - x if start == "previous" else np.zeros_like(x),
            chain=chain,
            noise_is=noise,
            output=output,
        )
        x, last = x + moved, x + end
        wanted.append((x**2).sum())
    how = {"start": start, "chain": chain, "noise": noise, "output": output}
    found = sgld_walk(tau, epsilon, updates, **how)
    np.testing.assert_allclose(found, wanted, **CLOSE)
    if set(how.values()) == {"centre", "literal", "variance", "average"}:
        assert (sgld_walk(tau, epsilon, updates) == found).all()


def test_a_walk_of_no_updates_stays() -> None:
    assert (sgld_walk(1.0, [0.5], 0) == [0.0]).all()


# --- Algorithm 5 ----------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(("J", "M"), [(1, 1), (1, 4), (5, 2)])
def test_algorithm_5_is_the_affine_map(name: str, warm: bool, J: int, M: int) -> None:
    f, a, tau = loss_of(LOSSES[name]), steps(PowerLaw(0.375, 0.7), J), 0.75
    d = f.d
    x, start = centre(d), away(d) if warm else None
    noise = units(J, M, d)
    last, _ = robbins_monro(
        f,
        x,
        tau,
        a,
        M,
        ([z] for z in np.moveaxis(noise, 1, 0)),
        start=np.tile(x if start is None else start, (len(noise), 1)),
    )
    law = robbins_monro_law(f, x, tau, a, M, start=start)
    mean, covariance = affine(last)
    np.testing.assert_allclose(law.mean, mean, **CLOSE)
    np.testing.assert_allclose(law.covariance, covariance, **CLOSE)


def test_a_flat_loss_holds_robbins_monro_at_its_centre() -> None:
    """It moves only towards x, by the factor of all 1 - a^j, and without noise."""
    a = steps(PowerLaw(0.5, 1.0), 4)
    flat = Constant(1.0, 2)
    still = robbins_monro_law(flat, centre(2), 0.5, a, 3)
    assert (still.mean == centre(2)).all()
    assert (still.variances == 0).all()
    moved = robbins_monro_law(flat, centre(2), 0.5, a, 3, start=away(2))
    offset = np.prod(1 - a) * (away(2) - centre(2))
    np.testing.assert_allclose(moved.mean, centre(2) + offset, rtol=1e-15)


def test_constant_steps_reach_the_proximal_point() -> None:
    """The start is forgotten by the factor 1 - a (1 + t) = 1/2 at each of 60 moves."""
    f, x, tau = Quadratic(2.0, [0.5, -1.0]), centre(2), 0.5
    law = robbins_monro_law(f, x, tau, np.full(60, 0.25), 5)
    np.testing.assert_allclose(law.mean, f.heat_proximal_point(x, tau), rtol=1e-14)
    # the fixed point of v = (1 - a (1 + t))^2 v + a^2 t^2 tau/M, with a = 1/4, t = 1
    np.testing.assert_allclose(law.variances, 0.0625 * 0.1 / 0.75, rtol=1e-14)


# --- Algorithm 4 ----------------------------------------------------------------------


def masses_by_quadrature(f: Any, x: float, tau: float) -> Any:
    """Z, mu, Z_2, mu_2, S_2 in one dimension, in twenty digits."""
    with mpmath.workdps(20):
        ends = [x + mpmath.mpf(k) for k in (-12, -6, -2, 0, 2, 6, 12)]

        def integral(power: int, moment: int) -> Any:
            def integrand(y: Any) -> Any:
                square = (y - x) ** 2 / (2 * mpmath.mpf(tau))
                return y**moment * mpmath.exp(-square) * f(y) ** power

            return mpmath.quad(integrand, ends) / mpmath.sqrt(2 * mpmath.pi * tau)

        Z, Z_2 = integral(1, 0), integral(2, 0)
        mu, mu_2 = integral(1, 1) / Z, integral(2, 1) / Z_2
        return Z, mu, Z_2, mu_2, integral(2, 2) / Z_2 - mu_2**2


def density_of(data: Any) -> Any:
    """exp(-f) in one dimension, written for mpmath."""
    if hasattr(data, "H"):
        H, m, c = float(np.squeeze(data.H)), float(data.m[0]), data.c
        return lambda y: mpmath.exp(-H * (y - m) ** 2 / 2 - c)
    components = [
        (w, float(m[0]), float(S[0][0]))
        for w, m, S in zip(data.weights, data.means, data.covariances, strict=True)
    ]
    return lambda y: mpmath.fsum(
        w * mpmath.npdf(y, m, mpmath.sqrt(S)) for w, m, S in components
    )


@pytest.mark.parametrize("tau", [0.125, 1.5])
@pytest.mark.parametrize("data", [P.QUADRATIC_1, P.MIXTURE_1], ids=["quadratic", "mix"])
def test_rho_by_quadrature(data: Any, tau: float) -> None:
    """Digits: log Z is below 10 and is rounded a dozen times, hence 1e-13."""
    x, J = 0.8125, 64
    Z, mu, Z_2, mu_2, S_2 = masses_by_quadrature(density_of(data), x, tau)
    law = importance_law(loss_of(data), [x], tau, J)
    rho = Z_2 / Z**2
    assert law.log_rho == pytest.approx(float(mpmath.log(rho)), abs=1e-13)
    assert law.effective_sample_size == pytest.approx(float(J / rho), rel=1e-12)
    np.testing.assert_allclose(law.mean, [float(mu)], **CLOSE)
    np.testing.assert_allclose(law.squares.mean, [float(mu_2)], **CLOSE)
    np.testing.assert_allclose(law.bias, [float(-rho / J * (mu_2 - mu))], **CLOSE)
    variance = float(rho / J * (S_2 + (mu_2 - mu) ** 2))
    np.testing.assert_allclose(law.covariance, [[variance]], **CLOSE)
    np.testing.assert_allclose(law.marginal_variances, [variance], **CLOSE)


def test_a_mixture_in_two_dimensions_by_quadrature() -> None:
    """Products of a mixture and phi have standard deviations above 0.28: with steps of
    0.05 the trapezoidal rule errs by exp(-2 (pi 0.28/0.05)^2), and nothing is left
    outside 4.5 = 9 standard deviations of phi but 1e-17."""
    f, x, tau, J = loss_of(P.MIXTURE_2), centre(2), 0.25, 10
    axis = np.arange(-90, 91) * 0.05
    offsets = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    log_phi = -0.5 * (offsets**2).sum(axis=1) / tau
    once = np.exp(log_phi - f(x + offsets))
    twice = np.exp(log_phi - 2 * f(x + offsets))
    rho = twice.sum() * np.exp(log_phi).sum() / once.sum() ** 2
    mean, mean_2 = once @ offsets / once.sum(), twice @ offsets / twice.sum()
    apart = offsets - mean
    covariance = rho / J * (twice[:, None] * apart).T @ apart / twice.sum()
    law = importance_law(f, x, tau, J)
    assert law.log_rho == pytest.approx(np.log(rho), abs=1e-12)
    np.testing.assert_allclose(law.mean, x + mean, **CLOSE)
    np.testing.assert_allclose(law.shift, mean_2 - mean, **CLOSE)
    np.testing.assert_allclose(law.covariance, covariance, **CLOSE)


def finite_moments(f: Any, x: float, tau: float, J: int, mu: float) -> tuple[Any, Any]:
    """Bias and variance of J samples' self-normalised mean, in one dimension, exactly.

    With 1/W = int exp(-sW) ds and 1/W^2 = int s exp(-sW) ds, W the sum of J independent
    weights, both are one-dimensional integrals over s of powers of integrals over phi.
    """
    z = np.arange(-360, 361) / 40
    p = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    y = x + np.sqrt(tau) * z - mu
    w = np.exp(-f((y + mu)[:, None]))
    s = np.exp(np.linspace(np.log(1e-9 / J), np.log(1e4), 1200))
    ds = s * (np.log(s[1]) - np.log(s[0]))
    damped = p * np.exp(-s[:, None] * w)
    log_e, first, second = (
        np.log(damped.sum(1)),
        damped @ (w * y),
        damped @ (w * y) ** 2,
    )
    bias = J * (first * np.exp((J - 1) * log_e)) @ ds
    alone = J * second * np.exp((J - 1) * log_e)
    pairs = J * (J - 1) * first**2 * np.exp((J - 2) * log_e)
    return bias, (s * (alone + pairs)) @ ds - bias**2


@pytest.mark.parametrize(
    "f",
    [Quadratic(1.25, [0.5]), loss_of(P.MIXTURE_1)],
    ids=["quadratic", "mixture"],
)
def test_the_first_order_is_that_of_many_samples(f: Any) -> None:
    """J bias and J variance have expansions in 1/J; three J remove two terms of it."""
    x, tau = 1.5, 0.75
    law = importance_law(f, [x], tau, 1)
    runs = [finite_moments(f, x, tau, J, law.mean[0]) for J in (1000, 2000, 4000)]
    a, b, c = (
        J * np.array(run) for J, run in zip((1000, 2000, 4000), runs, strict=True)
    )
    limit = (a - 6 * b + 8 * c) / 3
    wanted = [law.bias[0], law.covariance[0, 0]]
    # what is left is of the order of the last correction times 1/1000
    assert (np.abs(limit - wanted) <= np.abs(limit - c) * 1e-2 + 1e-9).all()
    assert (np.abs(c - wanted) > 1e-5 * np.abs(wanted)).all()


@pytest.mark.parametrize("tau", [2.0**-20, 0.5, 2.0**10])
def test_a_mixture_of_one_is_a_quadratic(tau: float) -> None:
    """Condition number of S below 4, log-masses below 30."""
    S = np.array([[0.75, -0.25, 0.0], [-0.25, 0.5, 0.125], [0.0, 0.125, 0.625]])
    m, x = [0.5, -0.25, 1.0], centre(3)
    same = GaussianMixture([0.25, 0.75], [m, m], [S, S])
    for f in (GaussianMixture([1.0], [m], [S]), same):
        law = importance_law(f, x, tau, 7)
        other = importance_law(Quadratic(np.linalg.inv(S), m), x, tau, 7)
        assert law.log_rho == pytest.approx(other.log_rho, rel=1e-12, abs=1e-13)
        np.testing.assert_allclose(law.mean, other.mean, **CLOSE)
        np.testing.assert_allclose(law.bias, other.bias, **CLOSE)
        np.testing.assert_allclose(law.covariance, other.covariance, **CLOSE)


def test_no_product_of_components_is_lost_to_underflow() -> None:
    """Between two far components the cross terms count, of weight exp(-10^4).

    f is even around 0 and the slope is 0 there: log rho is of the order tau^2 and S_2
    is tau up to tau^2; the log-masses are rounded at 10^4.
    """
    f = GaussianMixture([0.5, 0.5], [[-100.0], [100.0]], [[[1.0]], [[1.0]]])
    law = importance_law(f, [0.0], 1e-12, 1)
    assert abs(law.log_rho) < 1e4 * 2**-50
    assert law.squares.variances[0] == pytest.approx(1e-12, rel=1e-7)
    assert abs(law.mean[0]) < 1e-20


def test_logarithms_know_what_numbers_cannot_hold() -> None:
    f = Quadratic(2.0, np.zeros(100_000))
    law = importance_law(f, np.full(100_000, 0.125), 0.5, 10**6)
    alone = importance_law(Quadratic(2.0, [0.0]), [0.125], 0.5, 10**6)
    assert law.log_rho == pytest.approx(1e5 * alone.log_rho, rel=1e-12)
    assert law.log_rho > 1e4
    assert law.effective_sample_size == 0.0
    with pytest.raises(NonFinite, match="no number of samples"):
        law.bias  # noqa: B018


@pytest.mark.parametrize("tau", [1e-12, 1e-6])
def test_small_tau_costs_no_digits(tau: float) -> None:
    """log rho = tau |s|^2 (1 + O(tau)), below the rounding of f itself."""
    f = Quadratic([1.0, 2.0], [0.5, -1.0], 1e6)
    law = importance_law(f, [1.0, 1.0], tau, 1)
    square = 0.25 + 16.0
    assert law.log_rho == pytest.approx(tau * square, rel=10 * tau + 1e-14)


# --- any problem ----------------------------------------------------------------------


def orthogonal(d: int, seed: int) -> Any:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


@given(
    data=any_.quadratics(3),
    x=any_.points(3),
    start=any_.points(3),
    tau=st.sampled_from([0.25, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_rotating_the_problem_rotates_the_law(
    data: Any, x: Any, start: Any, tau: float, seed: int
) -> None:
    """H has eigenvalues below 200 and condition at most 64, offsets are below 20."""
    R, f = orthogonal(3, seed), loss_of(data)
    turned = Quadratic(R @ f.hessian(x) @ R.T, R @ f.m, f.c)
    epsilon = np.array([1.0, 0.5, 0.75, 1.25]) / (f.curvatures.max() + 1 / tau)
    for law, image in (
        (
            sgld_law(f, x, tau, epsilon, start=start).output,
            sgld_law(turned, R @ x, tau, epsilon, start=R @ start).output,
        ),
        (
            robbins_monro_law(f, x, tau, epsilon, 3, start=start),
            robbins_monro_law(turned, R @ x, tau, epsilon, 3, start=R @ start),
        ),
        (
            sgld_stationary_law(f, x, tau, epsilon[0]),
            sgld_stationary_law(turned, R @ x, tau, epsilon[0]),
        ),
    ):
        np.testing.assert_allclose(image.mean, R @ law.mean, rtol=0, atol=1e-11)
        np.testing.assert_allclose(
            image.covariance, R @ law.covariance @ R.T, rtol=0, atol=1e-11
        )
    law, image = importance_law(f, x, tau, 1), importance_law(turned, R @ x, tau, 1)
    assert image.log_rho == pytest.approx(law.log_rho, rel=1e-11)
    np.testing.assert_allclose(image.shift, R @ law.shift, rtol=0, atol=1e-11)


@given(data=any_.mixtures(), seed=st.integers(0, 1000))
def test_rotating_a_mixture_rotates_its_law(data: Any, seed: int) -> None:
    """Log-masses are below 10^4, as 8^2/2 times a precision of at most 64 or so."""
    f = loss_of(data)
    R, x = orthogonal(f.d, seed), centre(f.d)
    turned = GaussianMixture(f.weights, f.means @ R.T, R @ f.covariances @ R.T)
    law, image = importance_law(f, x, 0.5, 1), importance_law(turned, R @ x, 0.5, 1)
    assert law.log_rho >= -1e-10
    assert image.log_rho == pytest.approx(law.log_rho, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(image.mean, R @ law.mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose(image.shift, R @ law.shift, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        image.squares.covariance, R @ law.squares.covariance @ R.T, rtol=0, atol=1e-7
    )


@given(
    data=any_.quadratics(2),
    x=any_.points(2),
    scale=st.sampled_from([0.25, 2.0, 16.0]),
    shift=any_.points(2),
)
def test_moving_and_scaling(data: Any, x: Any, scale: float, shift: Any) -> None:
    """y -> s y + v takes tau to s^2 tau, epsilon to s^2 epsilon, a to a."""
    f, tau, a = loss_of(data), 0.5, np.array([0.5, 0.25, 0.125])
    moved = Quadratic(f.H / scale**2, scale * f.m + shift, f.c)
    y, variance, epsilon = scale * x + shift, scale**2 * tau, a / 64
    pairs = (
        (
            sgld_law(f, x, tau, epsilon).output,
            sgld_law(moved, y, variance, scale**2 * epsilon).output,
        ),
        (
            robbins_monro_law(f, x, tau, a / 64, 3),
            robbins_monro_law(moved, y, variance, a / 64, 3),
        ),
    )
    for law, image in pairs:
        mean, covariance = scale * law.mean + shift, scale**2 * law.covariance
        np.testing.assert_allclose(image.mean, mean, rtol=0, atol=1e-11 * scale)
        np.testing.assert_allclose(
            image.covariance, covariance, rtol=0, atol=1e-11 * scale**2
        )
    law = importance_law(f, x, tau, 1).log_rho
    assert importance_law(moved, y, variance, 1).log_rho == pytest.approx(
        law, rel=1e-11
    )


# --- many parameters ------------------------------------------------------------------


def test_a_hundred_thousand_parameters() -> None:
    """Each coordinate is that of one dimension, and no (d, d) matrix is formed."""
    d, tau, epsilon = 100_000, 0.25, steps(Harmonic(10.0), 40)
    H, x = np.linspace(0.25, 2.0, d), np.linspace(-1.0, 1.0, d)
    tracemalloc.start()
    try:
        chain = sgld_law(Quadratic(H, np.zeros(d)), x, tau, epsilon)
        run = robbins_monro_law(Quadratic(H, np.zeros(d)), x, tau, epsilon, 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 8 * d
    for i in (0, 12_345, d - 1):
        one = Quadratic(H[i], [0.0])
        alone = sgld_law(one, x[i : i + 1], tau, epsilon)
        other = robbins_monro_law(one, x[i : i + 1], tau, epsilon, 5)
        pairs = ((chain.output, alone.output), (chain.last, alone.last), (run, other))
        for many, few in pairs:
            assert many.mean[i] == pytest.approx(few.mean[0], rel=1e-13)
            assert many.marginal_variances[i] == pytest.approx(
                few.variances[0], rel=1e-13
            )
    assert chain.between[0] > 0


def test_one_curvature_costs_one_direction() -> None:
    """10^4 moves in d = 10^5: 10^9 numbers, were it not for the one curvature."""
    d = 100_000
    f = Quadratic(0.5, np.zeros(d))
    law = sgld_law(f, np.ones(d), 0.25, steps(Harmonic(1000.0), 10_000))
    assert np.ptp(law.output.variances) == 0
    assert np.ptp(law.output.mean) == 0


# --- refusals -------------------------------------------------------------------------

F = Quadratic(1.0, [0.0, 0.0])
STEEP = Quadratic([0.5, 9.0], [0.0, 0.0])
X = [1.0, 2.0]
RESAMPLED = Resampled(
    LeastSquares(P.LEAST_SQUARES_2.A, P.LEAST_SQUARES_2.b), 2, stream(1, "batches")
)


@pytest.mark.parametrize(
    "f", [Quartic([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], 0.0), RESAMPLED]
)
def test_other_losses_have_no_such_law(f: Any) -> None:
    for call in (
        lambda: sgld_law(f, X, 1.0, [0.5]),
        lambda: sgld_stationary_law(f, X, 1.0, 0.5),
        lambda: robbins_monro_law(f, X, 1.0, [0.5], 1),
        lambda: importance_law(f, X, 1.0, 1),
    ):
        with pytest.raises(NoClosedForm, match=f"on {type(f).__name__}: it is known"):
            call()


def test_a_mixture_has_one_for_algorithm_4_alone() -> None:
    assert isinstance(importance_law(loss_of(P.MIXTURE_2), X, 1.0, 5), ImportanceLaw)
    with pytest.raises(NoClosedForm, match="Algorithm 4 on GaussianMixture"):
        sgld_law(loss_of(P.MIXTURE_2), X, 1.0, [0.5])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sgld_law(F, [1.0], 1.0, [0.5]), "x must have shape"),
        (lambda: sgld_law(F, X, 0.0, [0.5]), "tau must be positive"),
        (lambda: sgld_law(F, X, 1.0, []), "epsilon must hold at least one step"),
        (lambda: sgld_law(F, X, 1.0, [0.5, 0.0]), "all of them positive"),
        (lambda: sgld_law(F, X, 1.0, 0.5), "epsilon must be a vector"),
        (lambda: sgld_law(F, X, 1.0, [0.5], start=[1.0]), "start must have shape"),
        (lambda: sgld_law(F, X, 1.0, [0.5], chain="both"), "chain must be"),  # type: ignore[arg-type]
        (lambda: sgld_law(F, X, 1.0, [0.5], output="both"), "output must be"),  # type: ignore[arg-type]
        (lambda: sgld_walk(1.0, [0.5], 2, start="last"), "start must be"),  # type: ignore[arg-type]
        (lambda: sgld_walk(1.0, [0.5], -1), "updates must be at least 0"),
        (lambda: sgld_stationary_law(F, X, 1.0, 0.0), "epsilon must be positive"),
        (lambda: sgld_stationary_law(F, X, 1.0, 2.0), "stable where"),
        (lambda: sgld_stationary_law(STEEP, X, 1.0, 0.5), r"lambda_max \+ 1/tau = 10"),
        (lambda: robbins_monro_law(F, X, 1.0, [-0.5], 1), "a must hold"),
        (lambda: robbins_monro_law(F, X, 1.0, [0.5], 0), "M must be at least 1"),
        (lambda: importance_law(F, X, 1.0, 0), "J must be at least 1"),
        (lambda: importance_law(loss_of(P.MIXTURE_2), X, -1.0, 5), "tau must be"),
    ],
)
def test_bad_arguments_are_refused(call: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        call()


def test_where_the_integrals_end() -> None:
    """1 + 2 tau lambda = 0 at tau = 1, 1 + tau lambda = 0 at tau = 2."""
    bent = Quadratic([1.0, -0.5], [0.0, 0.0])
    importance_law(bent, X, 0.99, 5)
    with pytest.raises(NotIntegrable, match=r"tau = 1 and lambda_min\(H\) = -0.5"):
        importance_law(bent, X, 1.0, 5)
    sgld_stationary_law(bent, X, 1.99, 0.1)
    with pytest.raises(NotIntegrable, match=r"tau = 2 and lambda_min\(H\) = -0.5"):
        sgld_stationary_law(bent, X, 2.0, 0.1)
    # a run of few steps has a law where q has none
    assert np.isfinite(sgld_law(bent, X, 4.0, [0.5] * 4).output.covariance).all()


def test_an_unstable_run_is_told_how_to_be_stable() -> None:
    with pytest.raises(NonFinite, match="too large"):
        sgld_law(F, X, 1.0, np.full(1000, 50.0))
    with pytest.raises(NonFinite, match="too large"):
        robbins_monro_law(F, X, 1.0, np.full(1000, 50.0), 2)


def test_one_part_that_leaves_the_numbers_is_enough() -> None:
    """After 150 moves by -24 a unit is 10^207, its square no number; where f falls as
    steeply as phi's exponent rises, nothing is moved but by the noise."""
    epsilon = np.full(151, 50.0)
    assert np.isfinite(langevin_response([-1.0], 1.0, epsilon).covariance).all()
    for curvatures in ([0.0], [0.0, -1.0]):
        with pytest.raises(NonFinite, match="the steps are too large"):
            langevin_response(curvatures, 1.0, epsilon)


def test_records_are_frozen() -> None:
    law = sgld_law(F, X, 1.0, [0.5])
    for record in (law, law.output, importance_law(F, X, 1.0, 5)):
        with pytest.raises(AttributeError):
            record.mean = 0  # type: ignore[union-attr,misc]
    assert isinstance(law.output, Moments)
    assert isinstance(langevin_response([1.0], 1.0, [0.5]), Response)


def test_the_sampler_and_its_law_speak_of_the_same_size() -> None:
    """(sum w)^2 / sum w^2 tends to J / rho; at J = 10^5 it errs by a percent.

    Its relative variance is at most (E w^4 / (E w^2)^2 + 4 rho) / J < 50 / J here, and
    ten standard deviations of that are a false alarm once in 10^20.
    """
    q = GibbsLaw(Quadratic(1.0, [0.0]), np.array([0.5]), 0.5)
    found = ImportanceSampling(100_000)(q, rng=stream(4, "algorithm")).info
    law = importance_law(q.f, q.x, q.tau, 100_000)
    assert found.effective_sample_size == pytest.approx(
        law.effective_sample_size, rel=10 * math.sqrt(50 / 1e5)
    )


def test_the_surprisal_of_a_law_is_a_mixture_too() -> None:
    law = Mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)))
    found = importance_law(law.surprisal, [2.0], 1.0, 5)
    wanted = importance_law(Quadratic(1.0, [0.0]), [2.0], 1.0, 5)
    assert found.log_rho == pytest.approx(wanted.log_rho, rel=1e-13)


def test_a_linear_loss_by_hand() -> None:
    """rho = exp(tau |g|^2), S_2 = tau I, mu_2 - mu = -tau g."""
    law = importance_law(Linear([0.5, -1.0]), X, 0.5, 4)
    assert law.log_rho == pytest.approx(0.625, rel=1e-15)
    np.testing.assert_allclose(law.shift, [-0.25, 0.5], rtol=1e-15)
    np.testing.assert_allclose(law.squares.covariance, 0.5 * np.eye(2), rtol=1e-15)


# --- the ends of the numbers: every NumPy warning is an error in this suite -----------


def test_importance_in_the_limit_of_a_flat_phi() -> None:
    """q tends to exp(-f): mu = 0, S_2 = 1/2 and rho = sqrt(tau/2) for f = y^2/2.

    Exactly rho = (1 + tau)/sqrt(1 + 2 tau) exp(O(1/tau)); 1 + tau is rounded.
    """
    law = importance_law(Quadratic(1.0, [0.0]), [2.0], 1e300, J=10)
    assert law.mean[0] == 0
    assert law.squares.variances[0] == pytest.approx(0.5, rel=1e-15)
    assert law.shift[0] == pytest.approx(-1e-300, rel=1e-14)
    assert law.log_rho == pytest.approx(0.5 * (300 * math.log(10) - math.log(2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: importance_law(Quadratic(1e10, [0.0, 0.0]), X, 1e300, 5),
        lambda: importance_law(Linear([1e10, 0.0]), X, 1e300, 5),
        lambda: sgld_law(F, X, 1.0, [1e308] * 2),
        lambda: sgld_law(F, X, 1.0, [1e308]),
        lambda: sgld_law(Linear([1e308, 0.0]), X, 1e308, [4.0], chain="new-states"),
        lambda: robbins_monro_law(F, X, 1e300, [1.0], 2),
        lambda: robbins_monro_law(F, X, 1.0, [1e308], 2),
        lambda: importance_law(loss_of(P.MIXTURE_2), X, 1e300, 5),
    ],
)
def test_a_law_at_the_ends_is_finite_or_refused(call: Any) -> None:
    try:
        law = call()
    except NonFinite:
        return
    if isinstance(law, ImportanceLaw):
        numbers = [law.mean, law.shift, law.log_rho, law.squares.variances]
    else:
        moments = law if isinstance(law, Moments) else law.output
        numbers = [moments.mean, moments.variances]
    assert all(np.isfinite(number).all() for number in numbers)


def test_steps_whose_sum_overflows_are_refused() -> None:
    with pytest.raises(NonFinite, match="the sum of the step sizes"):
        langevin_response([0.0], 1e308, [1e308] * 2)
    with pytest.raises(InvalidParameter, match="stable where"):
        sgld_stationary_law(F, X, 1.0, 1e308)


def test_the_first_bad_step_is_named() -> None:
    for bad in (-0.5, np.nan):
        with pytest.raises(InvalidParameter, match=f"^epsilon must .* {bad} at step 2"):
            sgld_law(F, X, 1.0, [0.5, bad, -1.0])


def test_a_moment_that_overflows_is_refused() -> None:
    with pytest.raises(NonFinite, match="a moment of Algorithm 4"):  # x - tau g
        importance_law(Linear([-1.0, 0.0]), [1.7e308, 0.0], 1e308, 5)
    law = importance_law(Linear([1e154, 0.0]), X, 1e-308, 5)
    assert law.log_rho == pytest.approx(1.0)
    steep = ImportanceLaw(1, law.mean, 0.0, law.squares, np.array([1e200, 0.0]))
    for name in ("covariance", "marginal_variances"):
        with pytest.raises(NonFinite, match="a moment of the output"):
            getattr(steep, name)


@pytest.mark.parametrize(("curvature", "limit"), [(0.5, 0.25), (1.0, 1.0), (4.0, 16.0)])
def test_the_control_variate_helps_where_f_bends_less_than_the_pull(
    curvature: float, limit: float
) -> None:
    """(tau lambda)^2, but for the start, which is forgotten like 1/J: 2.5 % here."""
    f, epsilon = Quadratic(curvature, [0.0]), np.full(4000, 0.1)
    average, controlled = (
        sgld_law(f, [0.0], 1.0, epsilon, output=output).output.variances[0]
        for output in ("average", "controlled")
    )
    assert controlled / average == pytest.approx(limit, rel=0.025)
