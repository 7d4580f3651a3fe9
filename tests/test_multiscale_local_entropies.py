"""Chains of local entropies: numbers, one level as it was, closed forms, sums on grids.

Printed values stand for one unit of their last digit.  What is integrated here is
integrated twice, by two grids, and compared with sums on a third one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from refimpl import regularised
from refimpl.errors import InvalidParameter, NoClosedForm, NotIntegrable
from refimpl.exact import ExactMean
from refimpl.interfaces import Loss
from refimpl.losses import (
    Constant,
    GaussianMixture,
    GaussianWells,
    LeastSquares,
    Linear,
    Quadratic,
    Quartic,
    Trigonometric,
)
from refimpl.multiscale._tempered import Smoothed, scaled
from refimpl.multiscale.gaussian import (
    GaussianLevel,
    QuadraticChain,
    QuadraticEnergy,
    multiscale_gaussian,
)
from refimpl.multiscale.local_entropies import LocalEntropies
from refimpl.multiscale.temperatures import Temperatures
from verification import problems as P
from verification.adapter import loss_of

EPS = 2.0**-52
DIGITS = 1e-12
"""One unit of the last digit of what is printed with twelve."""
QUADRATURE = 1e-12
"""What the two grids of one integral leave, 1e-13 each, over some ten integrals."""

PAGE = Path(__file__).resolve().parents[1] / "docs" / "multiscale.md"
X = np.array([[0.0], [0.5], [1.0], [1.5]])
#: (y^2 - 1)^2 - 1; a constant shifts every level.
WELL = Quartic([4.0], [0.0], [-4.0])


def well(taus: Any, *levels: float) -> LocalEntropies:
    return LocalEntropies(WELL, taus, Temperatures(levels))


N1 = well((0.5,), 0.25)
N2 = well((0.2, 0.5), 1.0, 0.25)


# --- printed numbers


@pytest.mark.parametrize(
    ("chain", "values"),
    [
        (N1, (0.368658339778, 0.343116407638, 0.333102081913, 0.411162050362)),
        (N2, (0.353882667681, 0.349532528269, 0.364482165765, 0.446079972780)),
        (
            well((0.7,), 0.25),
            (0.353608982221, 0.348970684292, 0.360508305615, 0.426753842969),
        ),
        (
            well((0.2, 0.5), 0.25, 0.25),
            (0.353608982221, 0.348970684292, 0.360508305615, 0.426753842969),
        ),
        (
            well((0.2, 0.5), 0.25, 1.0),
            (0.564290591126, 0.587879555683, 0.682511394449, 0.889917383837),
        ),
    ],
    ids=["N1", "N2", "one", "collapsed", "reversed"],
)
def test_values_of_the_double_well(chain: LocalEntropies, values: Any) -> None:
    np.testing.assert_allclose(chain(X) + 1, values, rtol=0, atol=DIGITS)


def test_the_page_says_what_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([\d.]+) \| ([\d.]+) \| (\d\.\d{12}) \|$", text, re.MULTILINE
    )
    assert len(rows) == 3
    for coarse, fine, value in rows:
        chain = well((0.2, 0.5), float(coarse), float(fine))
        assert abs(1 + chain([0.5]) - float(value)) <= DIGITS
    chain_, laws = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    exec(chain_, {})
    assert capsys.readouterr().out.startswith("0.34953252826")
    names: dict[str, Any] = {}
    exec(laws, names)
    least, attained, start = map(float, capsys.readouterr().out.split())
    assert attained == pytest.approx(least, rel=1e-14)
    end = Quadratic(2.0, [0.7])
    assert start == pytest.approx(
        LocalEntropies(end, (0.2, 0.5), Temperatures((1.0, 0.25)))([-0.4]), rel=1e-14
    )


def test_the_page_s_energy_without_tilting() -> None:
    """P* has the variance 1.6 in w_1; the Gibbs law at lambda_2 does not exist."""
    f = QuadraticEnergy(np.diag([-1.5, 0.0]), np.zeros(2), 0.0)
    levels = (GaussianLevel(np.zeros((1, 0)), [0.0], [[1.0]]),)
    levels += (GaussianLevel(np.zeros((1, 1)), [0.0], [[1.0]]),)
    law = multiscale_gaussian(f, levels, Temperatures((4.0, 1.0)))
    assert law.moments()[1][0, 0] == pytest.approx(1.6, rel=1e-14)
    with pytest.raises(NotIntegrable):
        multiscale_gaussian(f, levels, Temperatures((1.0, 1.0)))


def test_two_temperatures_of_the_page_are_no_single_one() -> None:
    """How far a quadratic's minimum rises, as the page has it."""
    for h in (0.5, 2.0, 30.0):
        rho = np.array([0.2 / 1.0, 0.5 / 0.25])
        chain = LocalEntropies(
            Quadratic(h, [0.0]), (0.2, 0.5), Temperatures((1.0, 0.25))
        )
        risen = np.log1p(rho.sum() * h) + (0.25 - 1.0) * np.log1p(rho[1] * h)
        assert chain([0.0]) == pytest.approx(risen / 2, rel=1e-13)


def test_n1_mean_and_slope() -> None:
    means = (0, 0.6405446899428, 0.8907488760003, 0.9723293567747)
    np.testing.assert_allclose(N1.first_mean(X)[:, 0], means, rtol=0, atol=1e-13)
    slopes = (0, -0.07027234497, 0.05462556200, 0.26383532161)
    for form in (None, "mean", "gradient"):
        found = N1.gradient(X, form)[:, 0]
        np.testing.assert_allclose(found, slopes, rtol=0, atol=1e-11)


def test_n2_slope() -> None:
    slopes = np.array([0, -0.006141254073, 0.0832010304, 0.252033268621])
    last = np.array([1e-12, 1e-12, 1e-10, 1e-12])
    for form in (None, "mean", "gradient"):
        assert (np.abs(N2.gradient(X, form)[:, 0] - slopes) <= last).all()


def test_the_minimiser_moves_inwards() -> None:
    """Well inside (.5, 1) after one level, just above .5 after the second."""
    assert (N1.gradient([[0.55], [0.9]]) * [[-1], [1]] > 0).all()
    assert (N2.gradient([[0.5], [0.6]]) * [[-1], [1]] > 0).all()


def test_three_levels_of_one_temperature_are_one() -> None:
    three, one = well((0.2, 0.3, 0.2), *(0.25,) * 3), well((0.7,), 0.25)
    assert abs(three([0.5]) - one([0.5])) <= QUADRATURE
    assert abs(three.gradient([0.5])[0] - one.gradient([0.5])[0]) <= QUADRATURE


# --- one level is local entropy

#: Every loss, with f / 4 made by hand.
QUARTERS: list[tuple[Any, Any]] = [
    (Constant(3.0, 2), Constant(0.75, 2)),
    (Linear([1.0, -2.0], 0.5), Linear([0.25, -0.5], 0.125)),
    (Quadratic(2.0, [0.5, 1.0], 1.0), Quadratic(0.5, [0.5, 1.0], 0.25)),
    (Quadratic([2.0, -0.5], [0.5, 1.0]), Quadratic([0.5, -0.125], [0.5, 1.0])),
    (
        Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0], 3.0),
        Quadratic([[0.5, 0.125], [0.125, 0.25]], [1.0, 0.0], 0.75),
    ),
    (
        LeastSquares([[1.0, 0.5, -0.25], [-0.75, 1.25, 0.5]], [0.5, -1.0]),
        LeastSquares([[0.5, 0.25, -0.125], [-0.375, 0.625, 0.25]], [0.25, -0.5]),
    ),
    (WELL, Quartic([1.0], [0.0], [-1.0])),
    (
        Quartic([1.0, 2.0], [0.5, 0.0], [-1.0, 0.5], 0.25),
        Quartic([0.25, 0.5], [0.125, 0.0], [-0.25, 0.125], 0.0625),
    ),
    (
        Trigonometric([2.0], [[1.5, -1.0]], [0.25], [1.0, 0.5], [0.0, 0.5], 1.0),
        Trigonometric([0.5], [[1.5, -1.0]], [0.25], [0.25, 0.125], [0.0, 0.5], 0.25),
    ),
    (
        GaussianWells([1.5, 1.0], [[-1.0], [1.5]], [[[0.05]], [[0.5]]], 0.5),
        GaussianWells([0.375, 0.25], [[-1.0], [1.5]], [[[0.05]], [[0.5]]], 0.125),
    ),
]
LOSSES = [loss_of(data) for data in (P.MIXTURE_1, P.MIXTURE_2, P.BIMODAL_1, P.WELLS_2)]
LOSSES += [loss_of(data) for data in (P.INDEFINITE_3, P.WAVES_1, P.MIXTURE_3)]
EVERY = [*(f for f, _ in QUARTERS), *LOSSES]


def points(f: Loss) -> Any:
    return np.array([np.linspace(-0.6, 0.9, f.d), np.linspace(1.1, -0.4, f.d)])


@pytest.mark.parametrize("f", EVERY, ids=lambda f: f"{type(f).__name__}-{f.d}")
def test_at_temperature_1_one_level_is_local_entropy_to_the_bit(f: Loss) -> None:
    chain, x = LocalEntropies(f, (0.375,), Temperatures((1.0,))), points(f)
    np.testing.assert_array_equal(chain(x), regularised.local_entropy(f, x, 0.375))
    for form in (None, "mean", "gradient"):
        wanted = regularised.local_entropy_gradient(f, x, 0.375, form)
        np.testing.assert_array_equal(chain.gradient(x, form), wanted)
    mean = regularised.posterior_mean(f, x, 0.375)
    np.testing.assert_array_equal(chain.first_mean(x), mean)
    spread = regularised.posterior_covariance(f, x, 0.375)
    np.testing.assert_array_equal(chain.first_covariance(x), spread)


@pytest.mark.parametrize(
    ("f", "quarter"), QUARTERS, ids=[f"{type(f).__name__}-{f.d}" for f, _ in QUARTERS]
)
def test_one_level_is_local_entropy_of_the_scaled_loss(f: Loss, quarter: Loss) -> None:
    """V = 4 F_tau[f / 4], and its gradient both ways."""
    chain, x = LocalEntropies(f, (0.375,), Temperatures((4.0,))), points(f)
    wanted = 4 * regularised.local_entropy(quarter, x, 0.375)
    np.testing.assert_allclose(chain(x), wanted, rtol=0, atol=64 * EPS)
    slope = 4 * regularised.local_entropy_gradient(quarter, x, 0.375)
    for form in (None, "mean", "gradient"):
        found = chain.gradient(x, form)
        np.testing.assert_allclose(found, slope, rtol=0, atol=QUADRATURE)
    mean = regularised.posterior_mean(quarter, x, 0.375)
    np.testing.assert_allclose(chain.first_mean(x), mean, rtol=0, atol=64 * EPS)
    by_mean = 4.0 / 0.375 * (x - chain.first_mean(x))
    np.testing.assert_allclose(by_mean, slope, rtol=0, atol=QUADRATURE)


def summed(f: Any, x: Any, tau: float, level: float, width: float = 9.0) -> Any:
    """-level log E e^{-f / level} by the trapezoidal rule on +-9 standard deviations.

    Hundredths of them are far below what any of the losses here needs.
    """
    y = x + np.sqrt(tau) * np.arange(-width, width, 0.01)
    exponent = -f(y[:, None]) / level - (y - x) ** 2 / (2 * tau)
    step = 0.01 / np.sqrt(2 * np.pi)
    return -level * (logsumexp(exponent) + np.log(step))


@pytest.mark.parametrize("level", [0.3, 3.0])
@pytest.mark.parametrize("data", [P.MIXTURE_1, P.BIMODAL_1], ids=["mixture", "bimodal"])
def test_a_mixture_at_another_temperature_is_integrated(
    data: Any, level: float
) -> None:
    f = loss_of(data)
    chain = LocalEntropies(f, (0.5,), Temperatures((level,)))
    for x in (-0.75, 0.5):
        assert abs(chain([x]) - summed(f, x, 0.5, level)) <= 10 * QUADRATURE
    both = [chain.gradient([0.5], form)[0] for form in ("mean", "gradient")]
    assert abs(both[0] - both[1]) <= 10 * QUADRATURE


def test_a_mixture_in_two_dimensions_at_another_temperature() -> None:
    f, x, tau, level = loss_of(P.MIXTURE_2), np.array([0.25, -0.5]), 0.5, 2.5
    axis = np.sqrt(tau) * np.arange(-8.5, 8.5, 0.05)
    u, v = np.meshgrid(axis, axis, indexing="ij")
    offset = np.stack([u.ravel(), v.ravel()], axis=1)
    exponent = -f(x + offset) / level - (offset**2).sum(axis=1) / (2 * tau)
    log_cell = 2 * np.log(0.05 / np.sqrt(2 * np.pi))
    wanted = -level * (logsumexp(exponent) + log_cell)
    chain = LocalEntropies(f, (tau,), Temperatures((level,)))
    assert abs(chain(x) - wanted) <= 10 * QUADRATURE


# --- closed forms of several levels


@pytest.mark.parametrize("levels", [(0.8, 0.25), (0.25, 0.8), (1e-6, 1.0), (1e3, 1.0)])
@pytest.mark.parametrize(
    "f",
    [
        Quadratic(2.0, [0.7]),
        Quadratic([3.0, 1.0, 0.2], [1.0, -1.0, 0.5], 0.25),
        Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0], 3.0),
    ],
    ids=["one", "diagonal", "matrix"],
)
def test_quadratics_agree_with_their_closed_form(f: Quadratic, levels: Any) -> None:
    taus, t = (0.3, 0.5), Temperatures(levels)
    chain, closed, x = LocalEntropies(f, taus, t), QuadraticChain(f, taus, t), points(f)
    scale = 64 * EPS * (1 + sum(levels))
    for k in range(3):
        found, wanted = chain.energy(k), closed.energies[k]
        np.testing.assert_allclose(found(x), wanted(x), rtol=0, atol=scale * 4)
        slope = wanted.gradient(x)
        np.testing.assert_allclose(found.gradient(x), slope, rtol=0, atol=scale * 4)
    for one in x:
        mean, cov = closed.moments(one)[0]
        np.testing.assert_allclose(chain.first_mean(one), mean, rtol=0, atol=16 * EPS)
        found_cov = chain.first_covariance(one)
        np.testing.assert_allclose(found_cov, cov, rtol=0, atol=16 * EPS)


def test_three_levels_of_least_squares() -> None:
    """Rank two in three dimensions: the flat direction stays flat."""
    A, b = np.array([[1.0, 0.5, -0.25], [-0.75, 1.25, 0.5]]), np.array([0.5, -1.0])
    taus, t = (0.3, 0.2, 0.5), Temperatures((0.6, 1.5, 0.25))
    m = np.linalg.pinv(A) @ b
    closed = QuadraticChain(Quadratic(A.T @ A / 2, m), taus, t)
    chain = LocalEntropies(LeastSquares(A, b), taus, t)
    x = points(chain)
    np.testing.assert_allclose(chain(x), closed.energies[0](x), rtol=0, atol=256 * EPS)
    slope = closed.energies[0].gradient(x)
    for form in (None, "mean", "gradient"):
        found = chain.gradient(x, form)
        np.testing.assert_allclose(found, slope, rtol=0, atol=256 * EPS)
    flat = np.cross(A[0], A[1])
    np.testing.assert_allclose(chain(x + flat), chain(x), rtol=0, atol=256 * EPS)


def test_three_levels_of_a_linear_loss() -> None:
    f, taus, t = Linear([1.0, -2.0], 0.5), (0.3, 0.2, 0.5), Temperatures((0.6, 1.5, 2))
    chain, x = LocalEntropies(f, taus, t), points(f)
    rho = (np.array(taus) / t.levels).sum()
    np.testing.assert_allclose(chain(x), f(x) - 2.5 * rho, rtol=0, atol=32 * EPS)
    np.testing.assert_allclose(chain.gradient(x), f.gradient(x), rtol=0, atol=4 * EPS)


def test_a_mixture_at_temperature_1_stays_a_mixture() -> None:
    f = loss_of(P.MIXTURE_2)
    chain, x = LocalEntropies(f, (0.3, 0.5), Temperatures((1.0, 1.0))), points(f)
    whole = f.local_entropy(x, 0.8)
    np.testing.assert_allclose(chain(x), whole, rtol=0, atol=32 * EPS)
    slope = f.local_entropy_gradient(x, 0.8)
    np.testing.assert_allclose(chain.gradient(x), slope, rtol=0, atol=64 * EPS)


# --- several levels by quadrature

ONE = [WELL, QUARTERS[-1][0], loss_of(P.WAVES_1), loss_of(P.BIMODAL_1)]
each_of_one_variable = pytest.mark.parametrize(
    "f", ONE, ids=[type(f).__name__ for f in ONE]
)


@pytest.mark.parametrize(
    ("f", "levels"),
    [
        pytest.param(
            f,
            levels,
            id=f"{type(f).__name__}-{levels}",
            # the loss that takes longest, once
            marks=pytest.mark.slow if f is ONE[-1] and levels == (0.5, 1.5) else (),
        )
        for f in ONE
        for levels in ((1.5, 0.5), (0.5, 1.5))
    ],
)
def test_two_levels_are_sums_of_sums(f: Loss, levels: Any) -> None:
    """The nested sums on a grid that is far wider and finer than any feature."""
    taus, t = (0.2, 0.5), Temperatures(levels)
    chain = LocalEntropies(f, taus, t)

    def inner(y: Any) -> Any:
        z = np.sqrt(0.5) * np.arange(-9, 9, 0.02)
        grid = y[:, 0][:, None] + z
        exponent = -f(grid[..., None]) / levels[1] - z**2
        log_step = np.log(0.02 / np.sqrt(2 * np.pi))
        return -levels[1] * (logsumexp(exponent, axis=1) + log_step)

    x = 0.5
    wanted = summed(inner, x, 0.2, levels[0])
    assert abs(chain([x]) - wanted) <= 10 * QUADRATURE
    both = [chain.gradient([x], form)[0] for form in ("mean", "gradient")]
    assert abs(both[0] - both[1]) <= 10 * QUADRATURE
    near = chain([[x + 2.0**-14], [x - 2.0**-14]])
    # 2^-28 / 6 of a third derivative below 100, and rounding over 2^-14
    assert abs((near[0] - near[1]) * 2**13 - both[0]) <= 1e-7


@each_of_one_variable
def test_equal_temperatures_collapse(f: Loss) -> None:
    two = LocalEntropies(f, (0.2, 0.5), Temperatures((0.75, 0.75)))
    one = LocalEntropies(f, (0.7,), Temperatures((0.75,)))
    for x in (-0.75, 0.5):
        assert abs(two([x]) - one([x])) <= 10 * QUADRATURE
        assert abs(two.gradient([x])[0] - one.gradient([x])[0]) <= 10 * QUADRATURE


def test_the_levels_of_a_chain_are_chains() -> None:
    f, V_1 = N2.energy(2), N2.energy(1)
    assert f is WELL
    np.testing.assert_allclose(V_1(X), N1(X), rtol=0, atol=QUADRATURE)
    law = N2.law([0.5])
    y = np.array([[-0.3], [0.8]])
    gap = np.diff(law.log_density(y))
    wanted = np.diff(-V_1(y) / 1.0 - (y[:, 0] - 0.5) ** 2 / 0.4)
    np.testing.assert_allclose(gap, wanted, rtol=0, atol=QUADRATURE)
    np.testing.assert_array_equal(ExactMean()(law).x, N2.first_mean([0.5]))


def test_a_chain_is_a_loss() -> None:
    assert isinstance(N2, Loss)
    assert N2.d == 1
    assert N2(X).shape == (4,)
    assert N2.gradient(X[:2]).shape == (2, 1)
    assert np.ndim(N2([0.5])) == 0


def test_cold_and_hot_ends() -> None:
    """lambda_1 -> 0 gives the least V_1, infinity its average, from known sides.

    The cold end is above by lambda times the logarithm of the width of N(x, tau) over
    that of the minimum, which is below 3 at a depth of order one.
    """
    least = float(N1(np.linspace(0.8, 0.95, 16)[:, None]).min())
    cold = well((0.2, 0.5), 2.0**-7, 0.25)
    assert least - 1e-3 <= cold([0.9]) <= least + 2.0**-7 * 3
    y, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    average = weight @ N1((0.5 + np.sqrt(0.2) * y)[:, None])
    hot = well((0.2, 0.5), 2.0**10, 0.25)
    # Var V_1 / 2 lambda, the variance being below 1/4; lambda times a few roundings
    assert -64 * EPS * 2**10 <= average - hot([0.5]) <= 2.0**-13


# --- what quadrature is told of a level


@each_of_one_variable
@pytest.mark.parametrize("factor", [0.25, 1.0, 6.0])
def test_the_box_of_a_level_holds_what_it_says(f: Loss, factor: float) -> None:
    """Outside, exp(-factor F) N(x, v) is below e^{-drop} of its greatest value."""
    level = scaled(Smoothed(f, 0.5), factor)  # type: ignore[arg-type]
    for x, v in ((0.5, 0.2), (-2.5, 3.0)):
        for drop in (1.0, 36.0):
            lower, upper = level.support(np.array([x]), v * np.eye(1), -1, drop)
            inside = np.linspace(lower[0], upper[0], 201)
            width = upper[0] - lower[0]
            steps = width * np.linspace(0, 0.5, 40)
            outside = np.concatenate([lower[0] - steps, upper[0] + steps])

            def exponent(y: Any, x: float = x, v: float = v) -> Any:
                return -level(y[:, None]) - (y - x) ** 2 / (2 * v)

            assert exponent(outside).max() <= exponent(inside).max() - drop


@each_of_one_variable
def test_a_step_of_a_quarter_feature_resolves_a_level(f: Loss) -> None:
    """The rule of `quadrature`: two shifted grids differ by 1e-13 of the integral."""
    level = scaled(Smoothed(f, 0.5), 3.0)  # type: ignore[arg-type]
    x, v = 0.5, 0.8
    lower, upper = level.support(np.array([x]), v * np.eye(1), -1, 40.0)
    length = level.feature_length(lower, upper)[0]
    step = 0.25 / np.sqrt(1 / length**2 + 1 / (3.24**2 * v))
    sums = []
    for shift in (0.0, 0.5):
        y = np.arange(lower[0] - step, upper[0] + step, step) + shift * step
        sums.append(logsumexp(-level(y[:, None]) - (y - x) ** 2 / (2 * v)))
    assert abs(sums[0] - sums[1]) <= 1e-13 * 4


# --- refusals


class Plain:
    """A loss that says nothing of itself."""

    d = 1

    def __call__(self, y: Any) -> Any:
        return np.asarray(y)[..., 0] ** 2

    def gradient(self, y: Any) -> Any:
        return 2 * np.asarray(y)


T1, T2 = Temperatures((1.0,)), Temperatures((1.5, 0.5))
WELLS_2 = loss_of(P.WELLS_2)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: LocalEntropies(WELL, (0.5,), T2), InvalidParameter, "1 variances"),
        (lambda: LocalEntropies(WELL, (0.5, 0.0), T2), InvalidParameter, "tau_2 must"),
        (lambda: LocalEntropies(WELL, (np.nan,), T1), InvalidParameter, "finite"),
        (lambda: LocalEntropies(WELL, (0.5,), (1.0,)), InvalidParameter, "from_index"),  # type: ignore[arg-type]
        (lambda: LocalEntropies("f", (0.5,), T1), InvalidParameter, "must be a loss"),  # type: ignore[arg-type]
        (lambda: N2([0.0, 1.0]), InvalidParameter, "last axis"),
        (lambda: N2([np.inf]), InvalidParameter, "finite"),
        (lambda: N2.gradient([0.5], "both"), InvalidParameter, "form must be"),  # type: ignore[arg-type]
        (lambda: N2.energy(3), InvalidParameter, "no V_3"),
        (lambda: N2.energy(-1), InvalidParameter, "k must be at least 0"),
        (
            lambda: LocalEntropies(WELLS_2, (0.3, 0.5), T2)([0.0, 0.0]),
            NoClosedForm,
            "of one variable",
        ),
        (lambda: LocalEntropies(Plain(), (0.5,), T1)([0.0]), NoClosedForm, "support"),
        (
            lambda: LocalEntropies(Plain(), (0.5,), Temperatures((2.0,)))([0.0]),
            NoClosedForm,
            "support",
        ),
        (lambda: LocalEntropies(Plain(), (0.3, 0.5), T2)([0.0]), NoClosedForm, "where"),
        (
            lambda: LocalEntropies(Quadratic(-1.0, [0.0]), (0.3, 0.6), T2)([0.0]),
            NotIntegrable,
            "positive definite",
        ),
        (
            lambda: LocalEntropies(Quartic([-1.0], [0.0], [0.0]), (0.3, 0.5), T2)(
                [0.0]
            ),
            NotIntegrable,
            "c4",
        ),
    ],
)
def test_what_cannot_be_served_is_refused(
    call: Callable[[], Any], error: Any, said: str
) -> None:
    with pytest.raises(error, match=said):
        call()


def test_no_input_is_changed() -> None:
    x = X.copy()
    x.flags.writeable = False
    N2(x)
    N2.gradient(x)
    np.testing.assert_array_equal(x, X)


def test_a_mixture_of_one_component_is_a_quadratic() -> None:
    """Quadrature of levels against a closed form."""
    one = GaussianMixture([1.0], [[0.25]], [[[0.8]]])
    same = Quadratic(1.25, [0.25], 0.5 * float(np.log(2 * np.pi * 0.8)))
    chains = [
        LocalEntropies(f, (0.4, 0.5), Temperatures((1.5, 0.6))) for f in (one, same)
    ]
    x = np.array([[-1.0], [0.75]])
    np.testing.assert_allclose(chains[0](x), chains[1](x), rtol=0, atol=QUADRATURE)
    slopes = [chain.gradient(x) for chain in chains]
    np.testing.assert_allclose(*slopes, rtol=0, atol=QUADRATURE)
