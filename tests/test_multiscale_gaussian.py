"""Quadratic energies with Gaussian references: numbers, other routes, limits.

Printed values stand for one unit of their last digit.  The other routes are the
divergences of Gaussian prefixes (which know nothing of the recursion), the ordinary
Gibbs law, and quadrature of the nested integrals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import InvalidParameter, NotIntegrable
from refimpl.laws import kl_gaussian
from refimpl.losses import Quadratic
from refimpl.multiscale.gaussian import (
    GaussianGibbs,
    GaussianLevel,
    QuadraticChain,
    QuadraticEnergy,
    average_out,
    multiscale_gaussian,
    random_walk,
)
from refimpl.multiscale.temperatures import Temperatures

EPS = 2.0**-52
DIGITS = 1e-12
"""One unit of the last digit of what is printed with twelve."""
CLOSE = 1e-11
"""Of sums of some tens of numbers of order one and matrices of conditions below 1e3."""

G1 = QuadraticChain(Quadratic(2.0, [0.7]), (0.3, 0.5), Temperatures((0.8, 0.25)))
G2 = QuadraticEnergy([[2.0, -1.0], [-1.0, 1.5]], [0.5, -0.3])
G3 = QuadraticChain(
    Quadratic([3.0, 1.0, 0.2], [1.0, -1.0, 0.5]), (0.2, 0.1), Temperatures((0.5, 2.0))
)


def free(b: Any, S: Any, above: int) -> GaussianLevel:
    """A level that does not depend on those above it."""
    return GaussianLevel(np.zeros((len(b), above)), np.array(b), np.array(S))


G2_REFERENCE = (free([0.0], [[1.0]], 0), free([0.0], [[0.5]], 1))


def as_energy(f: Quadratic, levels: int) -> QuadraticEnergy:
    """The energy of the end of a walk, as one of the centre and all levels."""
    n = f.d
    H = np.zeros(((levels + 1) * n,) * 2)
    H[-n:, -n:] = f.hessian(f.m)
    g = np.concatenate([np.zeros(levels * n), H[-n:, -n:] @ f.m])
    return QuadraticEnergy(H, g, f.c + 0.5 * float(f.m @ H[-n:, -n:] @ f.m))


# --- printed numbers


def test_g1() -> None:
    x = np.array([-0.4])
    V_0, V_1, V_2 = G1.energies
    assert abs(V_1.hessian([0.0])[0, 0] - 0.4) <= EPS
    assert abs(V_0.hessian([0.0])[0, 0] - 0.347826086957) <= DIGITS
    assert abs(V_0.hessian([0.0])[0, 0] - 1 / 2.875) <= EPS
    assert abs(V_0.c - 0.257084516004) <= DIGITS
    assert abs(V_0(x) - 0.467519298613) <= DIGITS
    assert V_2([3.0]) == G1.f([3.0])
    (m_1, v_1), (m_2, v_2) = G1.moments(x)
    printed = (-0.256521739130, 0.260869565217, 0.508695652174, 0.110434782609)
    found = (m_1[0], v_1[0, 0], m_2[0], v_2[0, 0])
    np.testing.assert_allclose(found, printed, rtol=0, atol=DIGITS)


def test_g2() -> None:
    t = Temperatures((1.5, 0.5))
    law = multiscale_gaussian(G2, G2_REFERENCE, t)
    V_1 = law.energies[1]
    assert abs(V_1.H[0, 0] - 1.6) <= 4 * EPS
    assert abs(V_1.g[0] - 0.38) <= 4 * EPS
    assert abs(V_1.c - 0.211072682969) <= DIGITS
    assert abs(law.free_energy() - 0.732235112925) <= DIGITS
    mean, cov = law.moments()
    means = (0.122580645161, -0.070967741935)
    np.testing.assert_allclose(mean, means, rtol=0, atol=DIGITS)
    printed = (0.483870967742, 0.277419354839, 0.193548387097)
    found = (cov[0, 0], cov[1, 1], cov[0, 1])
    np.testing.assert_allclose(found, printed, rtol=0, atol=DIGITS)
    assert abs(G2.mean(mean, cov) - 0.443309053070) <= DIGITS


def test_g3() -> None:
    V_0 = G3.energies[0]
    assert abs(V_0([0.3, 0.1, -0.6]) - 1.317932484325) <= DIGITS
    H = V_0.hessian(np.zeros(3))
    printed = (1.276595744681, 0.689655172414, 0.183486238532)
    np.testing.assert_allclose(np.diagonal(H), printed, rtol=0, atol=DIGITS)
    assert np.count_nonzero(H) == 3


def test_the_value_in_one_formula() -> None:
    """V_0(x) = |x - m|^2 / 2 (1/h + sum rho) + sum n lambda/2 log(1 + rho_k h_k)."""
    x = np.array([0.3, 0.1, -0.6])
    total, rises, h = 0.0, 0.0, G3.f.curvatures
    pairs = zip(G3.taus, G3.temperatures.levels, strict=True)
    for tau, level in reversed(list(pairs)):
        rises += 0.5 * level * np.log(1 + tau / level * h).sum()
        h = 1 / (1 / h + tau / level)
        total += tau / level
    square = 0.5 * ((x - G3.f.m) ** 2 / (1 / G3.f.curvatures + total)).sum()
    assert abs(G3.energies[0](x) - square - rises) <= 8 * EPS


# --- by quadrature, and by the general step


def test_g1_by_nested_quadrature() -> None:
    """Gauss-Hermite with 80 nodes is exact to rounding for Gaussian integrands."""
    z, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()

    def above(V: Any, tau: float, level: float) -> Callable[[Any], Any]:
        def lower(x: Any) -> Any:
            y = np.asarray(x)[..., None] + np.sqrt(tau) * z
            return -level * np.log(np.exp(-V(y) / level) @ w)

        return lower

    V_1 = above(lambda y: (y - 0.7) ** 2, 0.5, 0.25)
    V_0 = above(V_1, 0.3, 0.8)
    assert abs(V_0(-0.4) - G1.energies[0]([-0.4])) <= 1e-12
    assert abs(V_1(0.25) - G1.energies[1]([0.25])) <= 1e-12


@pytest.mark.parametrize("chain", [G1, G3], ids=["G1", "G3"])
def test_the_walk_is_a_case_of_the_general_step(chain: QuadraticChain) -> None:
    n, x = chain.f.d, np.linspace(-0.6, 0.9, chain.f.d)
    law = multiscale_gaussian(
        as_energy(chain.f, 2), random_walk(n, chain.taus), chain.temperatures
    )
    assert abs(law.free_energy(x) - chain.energies[0](x)) <= CLOSE
    mean, cov = law.moments(x)
    for k, (m, v) in enumerate(chain.moments(x)):
        own = slice(k * n, (k + 1) * n)
        np.testing.assert_allclose(mean[own], m, rtol=0, atol=CLOSE)
        np.testing.assert_allclose(cov[own, own], v, rtol=0, atol=CLOSE)
    rng = np.random.default_rng(3)
    w = rng.normal(size=(5, 2 * n))  # a centre and one level: V_1 forgets the centre
    values = chain.energies[1](w[:, n:])
    np.testing.assert_allclose(law.energies[1](w), values, rtol=0, atol=CLOSE)


def test_a_matrix_is_its_eigenvalues() -> None:
    """Rotating the loss and the centre changes nothing."""
    rng = np.random.default_rng(4)
    U = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    H = U @ np.diag(G3.f.curvatures) @ U.T
    turned = QuadraticChain(
        Quadratic((H + H.T) / 2, U @ G3.f.m), G3.taus, G3.temperatures
    )
    x = np.array([0.3, 0.1, -0.6])
    assert abs(turned.energies[0](U @ x) - G3.energies[0](x)) <= CLOSE
    for (m, v), (m_0, v_0) in zip(turned.moments(U @ x), G3.moments(x), strict=True):
        np.testing.assert_allclose(m, U @ m_0, rtol=0, atol=CLOSE)
        np.testing.assert_allclose(v, U @ v_0 @ U.T, rtol=0, atol=CLOSE)


# --- properties of random problems


@st.composite
def problems(draw: Any) -> Any:
    """A quadratic energy, dense references of one to three levels, temperatures."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    total = sum(sizes)
    root = rng.normal(size=(total, total))
    H = root @ root.T - draw(st.sampled_from([0.0, 0.5])) * np.eye(total)
    f = QuadraticEnergy(H, rng.normal(size=total), float(rng.normal()))
    reference, above = [], 0
    for n in sizes:
        half = 0.4 * rng.normal(size=(n, n))
        B, b = 0.5 * rng.normal(size=(n, above)), rng.normal(size=n)
        reference.append(GaussianLevel(B, b, half @ half.T + 0.2 * np.eye(n)))
        above += n
    # so warm that an eigenvalue of -1/2 is no danger
    return f, tuple(reference), Temperatures(rng.uniform(0.8, 3.0, len(sizes)))


def joint(reference: Any) -> tuple[Any, Any]:
    """Mean and covariance of the reference itself."""
    nothing = QuadraticEnergy(np.zeros((0, 0)), [])
    return GaussianGibbs((nothing,), tuple(reference)).moments()


def energy_and_entropy(f: Any, law: Any, reference: Any, t: Temperatures) -> Any:
    """J of a Gaussian law by the index: divergences of the prefixes."""
    (mean, cov), (m, S) = law, joint(reference)
    ends = np.cumsum([level.d for level in reference])
    entropy = sum(
        sigma * kl_gaussian(mean[:k], cov[:k, :k], m[:k], S[:k, :k])
        for sigma, k in zip(t.index, ends, strict=True)
    )
    return f.mean(mean, cov) + entropy


few = settings(max_examples=40)


@few
@given(problems())
def test_the_least_value_is_attained_and_nothing_is_below(problem: Any) -> None:
    f, reference, t = problem
    found = multiscale_gaussian(f, reference, t)
    value = found.free_energy()
    mean, cov = found.moments()
    scale = 100 * EPS * (1 + np.abs(cov).max()) * (1 + np.abs(f.H).max()) * 100
    J = energy_and_entropy(f, (mean, cov), reference, t)
    assert abs(J - value) <= scale * (1 + abs(value))
    rng = np.random.default_rng(5)
    for size in (0.01, 0.3):
        turn = np.eye(mean.size) + size * rng.normal(size=cov.shape)
        other = mean + size * rng.normal(size=mean.size), turn @ cov @ turn.T
        other = other[0], (other[1] + other[1].T) / 2
        assert energy_and_entropy(f, other, reference, t) >= value - scale


@few
@given(problems())
def test_equal_temperatures_are_the_ordinary_gibbs_law(problem: Any) -> None:
    f, reference, t = problem
    level = t.levels[0]
    found = multiscale_gaussian(f, reference, Temperatures((level,) * len(t)))
    mean, cov = found.moments()
    m, S = joint(reference)
    precision = np.linalg.inv(S) + f.H / level
    wanted = np.linalg.solve(precision, np.linalg.solve(S, m) + f.g / level)
    scale = 1e4 * EPS * np.linalg.cond(precision)
    np.testing.assert_allclose(cov @ precision, np.eye(m.size), rtol=0, atol=scale)
    np.testing.assert_allclose(mean, wanted, rtol=0, atol=scale * (1 + abs(m).max()))


@few
@given(problems())
def test_the_derivative_by_a_temperature(problem: Any) -> None:
    """V_0 is concave in lambda_1, with slope K_1 = KL(P*_1 || Q_1)."""
    f, reference, t = problem
    raised = Temperatures((t.levels[0] + 0.125, *t.levels[1:]))
    one, other = (multiscale_gaussian(f, reference, s) for s in (t, raised))
    slopes = [
        kl_gaussian(law.levels[0].b, law.levels[0].S, reference[0].b, reference[0].S)
        for law in (one, other)
    ]
    rise = (other.free_energy() - one.free_energy()) / 0.125
    assert slopes[1] - CLOSE * 10 <= rise <= slopes[0] + CLOSE * 10


def test_a_flat_reference_gives_every_level_its_own_equipartition() -> None:
    """E f = min f + sum n_k lambda_k / 2, up to what a variance 1/a leaves, order a."""
    rng = np.random.default_rng(6)
    root = rng.normal(size=(5, 5))
    f = QuadraticEnergy(root @ root.T + np.eye(5), rng.normal(size=5), 0.25)
    least = 0.25 - 0.5 * f.g @ np.linalg.solve(f.H, f.g)
    t = Temperatures((0.3, 1.1, 0.6))
    gaps = []
    for a in (1e-4, 1e-6):
        flat, above = [], 0
        for n in (2, 1, 2):
            flat.append(free([0.0] * n, np.eye(n) / a, above))
            above += n
        mean, cov = multiscale_gaussian(f, flat, t).moments()
        wanted = least + 0.5 * (2 * 0.3 + 1.1 + 2 * 0.6)
        gaps.append(abs(f.mean(mean, cov) - wanted))
    assert gaps[0] <= 1e-3
    assert gaps[1] <= 1.1e-2 * gaps[0]


def test_a_linear_energy() -> None:
    """V_0(x) = g x - |g|^2 sum rho / 2, and every step moves by -rho g."""
    g, taus, t = np.array([0.5, -2.0]), (0.3, 0.7, 0.2), Temperatures((0.4, 2.0, 1.0))
    end = QuadraticEnergy(np.zeros((8, 8)), np.concatenate([np.zeros(6), -g]), 0.5)
    law = multiscale_gaussian(end, random_walk(2, taus), t)
    x = np.array([1.0, -0.5])
    rho = np.array(taus) / t.levels
    wanted = 0.5 + g @ x - 0.5 * (g @ g) * rho.sum()
    assert abs(law.free_energy(x) - wanted) <= 16 * EPS
    mean = law.moments(x)[0].reshape(3, 2)
    steps = x - np.cumsum(np.array(taus) / t.levels)[:, None] * g
    np.testing.assert_allclose(mean, steps, rtol=0, atol=16 * EPS)


def test_hot_levels_average_and_keep_their_digits() -> None:
    """c_{k-1} - c_k = tr(S H) / 2 - tr(S H S H) / 4 lambda + ..., lambda = 1e9."""
    chain = QuadraticChain(Quadratic(2.0, [0.0]), (0.5,), Temperatures((1e9,)))
    assert abs(chain.energies[0].c - (0.5 - 0.25e-9)) <= 2 * EPS
    V = QuadraticEnergy([[2.0]], [0.0])
    lower, _ = average_out(V, free([0.0], [[0.5]], 0), 1e9)
    assert abs(lower.c - (0.5 - 0.25e-9)) <= 2 * EPS


def test_cold_levels_minimise() -> None:
    """lambda_1 -> 0: V_0 is the Moreau envelope at rho -> infinity, that is min V_1."""
    chain = QuadraticChain(
        Quadratic(2.0, [0.7]), (0.3, 0.5), Temperatures((1e-9, 0.25))
    )
    V_0, V_1, _ = chain.energies
    # h_0 <= 1 / rho_1, and the logarithm is lambda/2 log(1 + 1.2e8)
    assert 0 <= V_0([1.7]) - V_1.c <= 0.5 / 3e8 + 0.5e-9 * np.log(2e8)
    assert abs(chain.moments([1.7])[0][0][0] - 0.7) <= 1e-8


def test_negative_curvature_is_served_while_the_reference_holds_it() -> None:
    """V_0 by its integral: f = -y^2 / 2 at rho = 1/2, then 1/4."""
    chain = QuadraticChain(
        Quadratic(-1.0, [0.0]), (0.25, 0.5), Temperatures((1.0, 1.0))
    )
    assert abs(chain.energies[0].hessian([0.0])[0, 0] + 4) <= 16 * EPS
    end = as_energy(chain.f, 2)
    law = multiscale_gaussian(end, random_walk(1, (0.25, 0.5)), chain.temperatures)
    assert abs(law.free_energy([0.5]) - chain.energies[0]([0.5])) <= 64 * EPS
    cold = Temperatures((1.0, 0.5))
    steep = QuadraticChain(chain.f, (0.25, 0.5), cold)
    with pytest.raises(NotIntegrable, match="falls faster"):
        _ = steep.energies
    with pytest.raises(NotIntegrable, match="falls faster"):
        multiscale_gaussian(end, random_walk(1, (0.25, 0.5)), cold)


# --- energies and input


def test_energies_are_functions() -> None:
    w = np.random.default_rng(8).normal(size=(4, 2))
    values = [0.5 * v @ G2.H @ v - G2.g @ v + G2.c for v in w]
    np.testing.assert_allclose(G2(w), values, rtol=0, atol=16 * EPS)
    np.testing.assert_allclose(G2.gradient(w), w @ G2.H - G2.g, rtol=0, atol=EPS)
    number = QuadraticEnergy(np.zeros((0, 0)), [], 2.5)
    assert number(np.zeros(0)) == 2.5
    assert number.d == 0


T2 = Temperatures((1.5, 0.5))
WALK = random_walk(1, (0.3, 0.5))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: QuadraticEnergy([[1.0]], [1.0, 2.0]), "H has shape"),
        (lambda: QuadraticEnergy([[1.0, 2.0], [0.0, 1.0]], [1.0, 2.0]), "symmetric"),
        (lambda: QuadraticEnergy([[np.nan]], [1.0]), "finite"),
        (lambda: GaussianLevel(np.zeros((2, 1)), [0.0], 1.0), "B has shape"),
        (lambda: GaussianLevel(np.zeros((1, 1)), [0.0], [[-1.0]]), "positive"),
        (lambda: multiscale_gaussian(G2, G2_REFERENCE[:1], T2), "1 levels and 2 temp"),
        (lambda: multiscale_gaussian(G2, WALK, T2), "f has 2 variables"),
        (lambda: multiscale_gaussian(G2, (WALK[0], WALK[0]), T2), "of level 2 must"),
        (lambda: multiscale_gaussian(G2, G2_REFERENCE, (2, 1)), "from_index"),  # type: ignore[arg-type]
        (lambda: average_out(G2, G2_REFERENCE[1], 0.0), "positive"),
        (lambda: random_walk(1, (0.3, -0.5)), "tau_2 must be positive"),
        (lambda: random_walk(0, (0.3,)), "at least 1"),
        (lambda: QuadraticChain(G1.f, (0.3,), T2), "1 variances and 2 temperatures"),
        (lambda: QuadraticChain(G1.f, (0.3, 0.0), T2), "tau_2 must be positive"),
        (lambda: QuadraticChain(G2, (0.3, 0.5), T2), "Quadratic"),  # type: ignore[arg-type]
        (lambda: G1.moments([0.0, 1.0]), "shape"),
        (lambda: multiscale_gaussian(G2, G2_REFERENCE, T2).moments([1.0]), "shape"),
    ],
)
def test_input_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        call()


def test_no_input_is_changed() -> None:
    H, g = np.array([[2.0]]), np.array([1.0])
    f = QuadraticEnergy(H, g)
    H[0, 0] = g[0] = 5.0
    assert f([1.0]) == 0.0
    with pytest.raises(ValueError, match="read-only"):
        f.H[0, 0] = 3.0
