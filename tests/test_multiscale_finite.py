"""The multi-scale Gibbs law on tables, against numbers and by other routes.

Printed values stand for one unit of their last digit.  Bounds that the mathematics
gives (concavity in the temperatures, Hoeffding's lemma, entropies) are used where a
limit or a derivative is meant, so that nothing but rounding is left to tolerate.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from refimpl.errors import InvalidParameter
from refimpl.multiscale import finite
from refimpl.multiscale.temperatures import Temperatures

EPS = 2.0**-52
DIGITS = 1e-12
"""One unit of the last digit of what is printed with twelve."""

FLAT = np.full((2, 2), 0.25)
D1 = np.array([[0.0, 1.0], [2.0, 0.0]])
M1 = np.array([[0.0, 1.2, 0.8], [0.9, 0.1, 1.1], [0.5, 1.4, 0.3]])
NINTH = np.full((3, 3), 1 / 9)


def d2() -> tuple[Any, Any]:
    i, j, k = np.ogrid[:3, :2, :4]
    Q = 1.0 + ((2 * i + j + 3 * k) % 5)
    return ((7 * i + 3 * j + 5 * k + i * j * k) % 11) / 4, Q / Q.sum()


def rounding(f: Any, *temperatures: float) -> float:
    """Some dozens of roundings of the energies, and of temperatures times logarithms.

    The logarithms are at most some ten here where they carry weight.
    """
    return 64 * EPS * (np.abs(f[np.isfinite(f)]).max(initial=0) + sum(temperatures))


def kl(p: Any, q: Any) -> float:
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def levels_first(table: Any, k: int) -> Any:
    return table.sum(axis=tuple(range(k, table.ndim)))


# --- temperatures


def test_the_index_and_the_temperatures_determine_each_other() -> None:
    t = Temperatures.from_index((0.5, 0.25, 0.25))
    assert t.levels == (1.0, 0.5, 0.25)
    assert t.index == (0.5, 0.25, 0.25)
    assert t.exponents == (0.5, 0.5)
    assert len(t) == 3
    assert t == Temperatures((1.0, 0.5, 0.25))


def test_the_index_may_be_negative() -> None:
    t = Temperatures((1, 2))
    assert t.index == (-1.0, 2.0)
    assert t.exponents == (2.0,)
    assert Temperatures.from_index(t.index) == t
    # each sum is rounded once, whatever cancels in it
    assert Temperatures.from_index((-1e16, 1.0, 1e16)).levels == (1.0, 1e16, 1e16)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Temperatures((1.0, 0.0)), "positive, got 0.0 at level 2"),
        (lambda: Temperatures((-1.0,)), "positive, got -1.0 at level 1"),
        (lambda: Temperatures((np.nan,)), "finite"),
        (lambda: Temperatures((np.inf,)), "finite"),
        (lambda: Temperatures(()), "at least one"),
        (lambda: Temperatures(2.0), "vector"),  # type: ignore[arg-type]
        (lambda: Temperatures(("hot",)), "real numbers"),  # type: ignore[arg-type]
        (lambda: Temperatures.from_index((1.0, -1.0)), "sums"),
        (lambda: Temperatures.from_index((-2.0, 1.0)), "sums"),
    ],
)
def test_temperatures_are_refused_unless_positive(
    make: Callable[[], Any], said: str
) -> None:
    with pytest.raises(InvalidParameter, match=said):
        make()


# --- D1: two by two


def test_d1_by_hand() -> None:
    t = Temperatures.from_index((1.0, 1.0))
    z = (1 + np.exp(-1)) / 2, (1 + np.exp(-2)) / 2
    V = finite.effective_energies(D1, FLAT, t)
    assert V[0].shape == ()
    assert abs(V[0] - 0.470883100716162) <= 1e-15
    assert abs(V[0] + 2 * np.log((np.sqrt(z[0]) + np.sqrt(z[1])) / 2)) <= 4 * EPS
    np.testing.assert_allclose(V[1], [0.379885493042, 0.566219169517], atol=DIGITS)
    np.testing.assert_array_equal(V[2], D1)
    P = finite.gibbs(D1, FLAT, t)
    joint = [[0.382544587363, 0.140730289022], [0.056827027736, 0.419898095879]]
    np.testing.assert_allclose(P, joint, rtol=0, atol=DIGITS)
    assert abs(P[0].sum() - 0.523274876384669) <= 1e-15
    root = np.sqrt(z)
    np.testing.assert_allclose(P.sum(axis=1), root / root.sum(), rtol=4 * EPS)


@pytest.mark.parametrize(
    ("levels", "value", "first"),
    [
        ((1, 1), 0.468718565531, 0.546449103161),
        ((2, 2), 0.592497254401, 0.540117403190),
        ((1, 2), 0.586080263244, 0.579721588755),
    ],
)
def test_d1_at_other_temperatures(levels: Any, value: float, first: float) -> None:
    t = Temperatures(levels)
    assert abs(finite.free_energy(D1, FLAT, t) - value) <= DIGITS
    assert abs(finite.gibbs(D1, FLAT, t)[0].sum() - first) <= DIGITS


# --- D2: three by two by four


@pytest.mark.parametrize(
    ("levels", "index", "value", "first", "second", "energy", "divergences"),
    [
        (
            *((1, 0.5, 0.2), (0.5, 0.3, 0.2), 0.511293141386),
            (0.295865310309, 0.436805850372, 0.267328839319),
            (0.636117398918, 0.374063956340, 0.459674073171),
            0.227626154646,
            (0.025499357048, 0.011475347665, 1.262149779297),
        ),
        (
            *((0.2, 0.5, 1), (-0.3, -0.5, 1), 0.942863690715),
            (0.156454897497, 0.679600980350, 0.163944122153),
            (0.547096587891, 0.363057551856, 0.453436989381),
            0.606055269773,
            (0.249412421121, 0.005732530383, 0.284059671526),
        ),
        (
            *((0.5, 0.5, 0.5), (0, 0, 0.5), 0.766620039835),
            (0.237460388847, 0.530031046359, 0.232508564794),
            (0.546992199474, 0.351627723433, 0.459221750322),
            0.390231292973,
            (0.082153113618, 0.006719816691, 0.663904563413),
        ),
    ],
)
def test_d2(
    levels: Any,
    index: Any,
    value: float,
    first: Any,
    second: Any,
    energy: float,
    divergences: Any,
) -> None:
    f, Q = d2()
    t = Temperatures(levels)
    np.testing.assert_allclose(t.index, index, rtol=0, atol=EPS)
    P, (p_1, p_2, _) = finite.gibbs(f, Q, t), finite.conditionals(f, Q, t)
    assert abs(finite.free_energy(f, Q, t) - value) <= DIGITS
    np.testing.assert_allclose(p_1, first, rtol=0, atol=DIGITS)
    np.testing.assert_allclose(p_2[:, 0], second, rtol=0, atol=DIGITS)
    assert abs((P * f).sum() - energy) <= DIGITS
    K = finite.level_divergences(P, Q)
    np.testing.assert_allclose(K, divergences, rtol=0, atol=DIGITS)
    assert abs(finite.objective(P, f, Q, t) - value) <= DIGITS
    both = (P * f).sum() + finite.multiscale_entropy(P, Q, t)
    assert abs(both - value) <= DIGITS


def test_d2_first_effective_energies() -> None:
    V = finite.effective_energies(*d2(), Temperatures((1, 0.5, 0.2)))
    printed = [0.587972199256, 0.240947313651, 0.772778617691]
    np.testing.assert_allclose(V[1], printed, rtol=0, atol=DIGITS)
    assert [v.shape for v in V] == [(), (3,), (3, 2), (3, 2, 4)]


def test_equal_temperatures_are_the_ordinary_gibbs_law() -> None:
    f, Q = d2()
    plain = Q * np.exp(-f / 0.5)
    P = finite.gibbs(f, Q, Temperatures((0.5,) * 3))
    np.testing.assert_allclose(P, plain / plain.sum(), rtol=64 * EPS)
    value = finite.free_energy(f, Q, Temperatures((0.5,) * 3))
    assert abs(value + 0.5 * np.log(plain.sum())) <= rounding(f, 0.5)


# --- M1: three by three


def test_m1() -> None:
    t = Temperatures((1.5, 0.5))
    assert abs(finite.free_energy(M1, NINTH, t) - 0.494120464521) <= DIGITS
    P = finite.gibbs(M1, NINTH, t)
    first = [0.349991254442, 0.331143921661, 0.318864823898]
    np.testing.assert_allclose(P.sum(axis=1), first, rtol=0, atol=DIGITS)
    joint = [
        [0.270762290085, 0.024563000784, 0.054665963572],
        [0.049996421471, 0.247633896648, 0.033513603542],
        [0.120003761057, 0.019836488285, 0.179024574555],
    ]
    np.testing.assert_allclose(P, joint, rtol=0, atol=DIGITS)


def test_m1_colder() -> None:
    warm, cold = Temperatures((0.75, 0.25)), Temperatures((0.3, 0.1))
    assert abs(finite.free_energy(M1, NINTH, warm) - 0.362370478379) <= DIGITS
    assert abs(finite.free_energy(M1, NINTH, cold) - 0.216789986821) <= DIGITS
    first = finite.gibbs(M1, NINTH, cold).sum(axis=1)
    printed = [0.476127670210, 0.341164846118, 0.182707483671]
    np.testing.assert_allclose(first, printed, rtol=0, atol=DIGITS)


def test_the_order_of_the_levels_matters() -> None:
    t = Temperatures((1.5, 0.5))
    assert abs(finite.free_energy(M1.T, NINTH, t) - 0.502734510172) <= DIGITS
    swapped = finite.gibbs(M1.T, NINTH, t).T
    distance = 0.5 * np.abs(swapped - finite.gibbs(M1, NINTH, t)).sum()
    assert abs(distance - 0.068149) <= 1e-6


@pytest.mark.parametrize("theta", [1, 2, 3])
def test_an_integer_exponent_is_a_number_of_replicas(theta: int) -> None:
    """P* is the (x, y_1) marginal of Q_1(x) prod_a Q_2(y_a | x) e^{-f / lambda_2}."""
    low = 0.25
    Q = np.outer([0.5, 0.3, 0.2], [0.25, 0.5, 0.25])
    weight = Q / Q.sum(axis=1, keepdims=True) * np.exp(-M1 / (theta * low))
    letters = "abcdef"[:theta]
    replicas = Q.sum(axis=1)
    for _ in range(theta):
        replicas = np.einsum("x...,xy->x...y", replicas, weight)
    marginal = np.einsum(f"x{letters}->x{letters[0]}", replicas)
    P = finite.gibbs(M1, Q, Temperatures((low, theta * low)))
    np.testing.assert_allclose(P, marginal / marginal.sum(), rtol=64 * EPS)


# --- brute force


@pytest.mark.parametrize("levels", [(1.2, 0.6), (0.4, 0.9), (0.7, 0.7)])
def test_no_law_on_the_simplex_does_better(levels: Any) -> None:
    """L-BFGS on softmax parameters, the gradient by hand; J is convex in the law.

    Its second derivative in the logits is about lambda P, so that an objective right to
    1e-13 determines the law to about the root of it.
    """
    rng = np.random.default_rng(19061114)
    f, Q = rng.uniform(0, 2, (3, 3)), rng.dirichlet(np.ones(9)).reshape(3, 3)
    t = Temperatures(levels)

    def objective(logits: Any) -> tuple[float, Any]:
        P = softmax(logits).reshape(f.shape)
        log_p, log_q = np.log(P), np.log(Q)
        first = np.log(P.sum(axis=1)) - np.log(Q.sum(axis=1))
        second = log_p - log_q - first[:, None]
        slope = f + levels[0] * first[:, None] + levels[1] * second
        value = float((P * slope).sum())
        return value, (P * (slope - value)).ravel()

    found = [
        minimize(objective, start, jac=True, method="L-BFGS-B", tol=1e-16)
        for start in rng.normal(size=(4, 9))
    ]
    value = finite.free_energy(f, Q, t)
    for one in found:
        law = softmax(one.x).reshape(f.shape)
        assert abs(finite.objective(law, f, Q, t) - one.fun) <= rounding(f, *levels)
        assert -rounding(f, *levels) <= one.fun - value <= 1e-11
    best = softmax(min(found, key=lambda one: one.fun).x).reshape(f.shape)
    np.testing.assert_allclose(best, finite.gibbs(f, Q, t), rtol=0, atol=1e-5)


# --- properties

TEMPERATURE = st.floats(0.05, 20.0)
ENERGY = st.floats(-2.0, 2.0)


@st.composite
def problems(draw: Any, zeros: bool = False, infinite: bool = False) -> Any:
    """f, Q and temperatures of one to three levels, in any order."""
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    size = int(np.prod(shape))
    energies = st.one_of(ENERGY, st.just(np.inf)) if infinite else ENERGY
    masses = st.floats(0.1, 1.0)
    f = np.array(draw(st.lists(energies, min_size=size, max_size=size)))
    Q = np.array(draw(st.lists(masses, min_size=size, max_size=size)))
    if zeros:
        kept = draw(st.lists(st.booleans(), min_size=size, max_size=size))
        Q = np.where(kept, Q, 0.0)
    one = draw(st.integers(0, size - 1))  # one cell where all is well
    f[one], Q[one] = (f[one] if np.isfinite(f[one]) else 0.5), max(Q[one], 0.1)
    levels = draw(st.lists(TEMPERATURE, min_size=len(shape), max_size=len(shape)))
    return f.reshape(shape), (Q / Q.sum()).reshape(shape), Temperatures(levels)


def some_law(seed: int, shape: Any, support: Any) -> Any:
    P = np.random.default_rng(seed).exponential(size=shape) * support
    return P / P.sum()


SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=60)


@few
@given(problems(zeros=True), SEEDS)
def test_identity_4(problem: Any, seed: int) -> None:
    """J(P) - V_0 is the multi-scale divergence of P from P*, in both its forms."""
    f, Q, t = problem
    P = some_law(seed, f.shape, Q > 0)
    star = finite.gibbs(f, Q, t)
    excess = finite.objective(P, f, Q, t) - finite.free_energy(f, Q, t)
    allowed = 16 * rounding(f, *t.levels)
    by_levels = np.array(t.levels) @ finite.level_divergences(P, star)
    assert abs(excess - by_levels) <= allowed
    assert abs(excess - finite.multiscale_entropy(P, star, t)) <= allowed
    assert excess >= -allowed


@few
@given(problems(zeros=True, infinite=True))
def test_the_least_value_is_attained(problem: Any) -> None:
    f, Q, t = problem
    P, value = finite.gibbs(f, Q, t), finite.free_energy(f, Q, t)
    allowed = rounding(f, *t.levels)
    assert abs(P.sum() - 1) <= 64 * EPS
    assert abs(finite.objective(P, f, Q, t) - value) <= allowed
    mean = (P[P > 0] * f[P > 0]).sum()
    assert abs(mean + finite.multiscale_entropy(P, Q, t) - value) <= allowed
    assert f[Q > 0].min() - allowed <= value
    if np.isfinite(f[Q > 0]).all():
        assert value <= (Q[Q > 0] * f[Q > 0]).sum() + allowed


@few
@given(problems(zeros=True, infinite=True))
def test_marginalise_and_tilt_is_another_route(problem: Any) -> None:
    f, Q, t = problem
    P, tilted = finite.gibbs(f, Q, t), finite.by_tilting(f, Q, t)
    np.testing.assert_array_equal(P == 0, tilted == 0)
    # logarithms of at most some hundred, raised to powers that may be large
    powers = np.prod(np.maximum(1, t.exponents))
    np.testing.assert_allclose(tilted, P, rtol=1e4 * EPS * powers, atol=0)


@few
@given(problems(zeros=True), SEEDS)
def test_both_divergences_are_what_they_are_called(problem: Any, seed: int) -> None:
    _, Q, t = problem
    P = some_law(seed, Q.shape, Q > 0)
    prefixes = finite.prefix_divergences(P, Q)
    plain = [kl(levels_first(P, k), levels_first(Q, k)) for k in range(1, P.ndim + 1)]
    np.testing.assert_allclose(prefixes, plain, rtol=0, atol=64 * EPS)
    chain = np.cumsum(finite.level_divergences(P, Q))
    np.testing.assert_allclose(prefixes, chain, rtol=0, atol=64 * EPS)
    entropy = finite.multiscale_entropy(P, Q, t)
    assert abs(entropy - np.array(t.index) @ plain) <= rounding(Q, *t.levels)


@few
@given(problems(zeros=True, infinite=True))
def test_conditionals_make_the_joint_law(problem: Any) -> None:
    f, Q, t = problem
    V, logs = finite.effective_energies(f, Q, t), finite.log_conditionals(f, Q, t)
    joint = np.ones(())
    for k, p in enumerate(finite.conditionals(f, Q, t)):
        np.testing.assert_allclose(p, np.exp(logs[k]), rtol=EPS)
        sums = np.where(np.isfinite(V[k]), 1.0, 0.0)
        np.testing.assert_allclose(p.sum(axis=-1), sums, rtol=0, atol=16 * EPS)
        joint = joint[..., None] * p
    np.testing.assert_allclose(joint, finite.gibbs(f, Q, t), rtol=4e3 * EPS)
    assert np.exp(finite.log_gibbs(f, Q, t)) == pytest.approx(joint, rel=4e3 * EPS)


@few
@given(problems(), st.floats(1e-4, 2.0), st.data())
def test_the_derivative_by_a_temperature(problem: Any, h: float, data: Any) -> None:
    """V_0 is concave in the temperatures: its slopes bound its differences."""
    f, Q, t = problem
    k = data.draw(st.integers(0, len(t) - 1))
    raised = list(t.levels)
    raised[k] += h
    other = Temperatures(raised)
    rise = finite.free_energy(f, Q, other) - finite.free_energy(f, Q, t)
    before = finite.level_divergences(finite.gibbs(f, Q, t), Q)[k]
    after = finite.level_divergences(finite.gibbs(f, Q, other), Q)[k]
    allowed = rounding(f, *other.levels)
    step = raised[k] - t.levels[k]
    assert step * after - allowed <= rise <= step * before + allowed
    assert rise >= -allowed


def test_the_derivatives_by_central_differences() -> None:
    """Steps h leave h^2 times a third derivative, of order one here, and EPS / h."""
    f, Q = d2()
    t, h = Temperatures((0.9, 0.6, 0.7)), 2.0**-17
    P = finite.gibbs(f, Q, t)
    g = np.random.default_rng(7).normal(size=f.shape)

    def along(direction: Any) -> float:
        ends = [
            finite.free_energy(f, Q, Temperatures(np.add(t.levels, s * direction)))
            for s in (h, -h)
        ]
        return (ends[0] - ends[1]) / (2 * h)

    K, prefixes = finite.level_divergences(P, Q), finite.prefix_divergences(P, Q)
    for k in range(3):
        unit = np.eye(3)[k]
        assert abs(along(unit) - K[k]) <= 1e-9
        # sigma_k raises lambda_1, ..., lambda_k
        assert abs(along(np.arange(3) <= k) - prefixes[k]) <= 1e-9
    ends = [finite.free_energy(f + s * g, Q, t) for s in (h, -h)]
    assert abs((ends[0] - ends[1]) / (2 * h) - (P * g).sum()) <= 1e-9


@few
@given(problems(), SEEDS, st.floats(0.01, 1.0))
def test_the_derivative_by_the_energy(problem: Any, seed: int, h: float) -> None:
    """V_0 is concave in f as well, with slope E g in the direction g."""
    f, Q, t = problem
    g = np.random.default_rng(seed).uniform(-1, 1, f.shape)
    rise = finite.free_energy(f + h * g, Q, t) - finite.free_energy(f, Q, t)
    before = (finite.gibbs(f, Q, t) * g).sum()
    after = (finite.gibbs(f + h * g, Q, t) * g).sum()
    allowed = rounding(f, 1.0, *t.levels)
    assert h * after - allowed <= rise <= h * before + allowed


@few
@given(problems(zeros=True, infinite=True), st.floats(-100, 100))
def test_a_constant_shifts_the_energies(problem: Any, c: float) -> None:
    f, Q, t = problem
    allowed = rounding(f, c, abs(c), *t.levels)
    pairs = zip(
        finite.effective_energies(f + c, Q, t),
        finite.effective_energies(f, Q, t),
        strict=True,
    )
    for shifted, V in pairs:
        np.testing.assert_allclose(shifted, V + c, rtol=0, atol=allowed)
    coldest = 64 * EPS * (1 + (abs(c) + 2) / min(t.levels))
    powers = np.prod(np.maximum(1, t.exponents))
    moved, P = finite.gibbs(f + c, Q, t), finite.gibbs(f, Q, t)
    np.testing.assert_allclose(moved, P, rtol=0, atol=coldest * powers)


@few
@given(problems(zeros=True, infinite=True), st.integers(-300, 300))
def test_the_unit_of_energy_does_not_matter(problem: Any, exponent: int) -> None:
    """Powers of two change no bit."""
    f, Q, t = problem
    s = 2.0**exponent
    other = Temperatures([s * level for level in t.levels])
    scaled = finite.effective_energies(s * f, Q, other)
    for one, V in zip(scaled, finite.effective_energies(f, Q, t), strict=True):
        np.testing.assert_array_equal(one, s * V)
    P = finite.gibbs(f, Q, t)
    np.testing.assert_array_equal(finite.gibbs(s * f, Q, other), P)


@few
@given(problems(zeros=True, infinite=True), st.data())
def test_neighbours_of_one_temperature_are_one_level(problem: Any, data: Any) -> None:
    f, Q, t = problem
    k = data.draw(st.integers(0, len(t) - 1))
    levels = [*t.levels[: k + 1], *t.levels[k:]]
    cut = data.draw(st.integers(1, 2))
    # level k holds pairs: those of a first index of `cut` values and the old one
    split = (*f.shape[:k], 1, *f.shape[k:])
    wide_f = np.repeat(f.reshape(split), cut, axis=k)
    wide_f = wide_f + np.arange(cut).reshape((cut,) + (1,) * (f.ndim - k))
    wide_Q = np.repeat(Q.reshape(split), cut, axis=k) / cut
    merged = (*f.shape[:k], cut * f.shape[k], *f.shape[k + 1 :])
    one = finite.gibbs(wide_f.reshape(merged), wide_Q.reshape(merged), t)
    two = finite.gibbs(wide_f, wide_Q, Temperatures(levels))
    np.testing.assert_allclose(two.reshape(merged), one, rtol=1e4 * EPS, atol=1e-300)
    values = (
        finite.free_energy(wide_f, wide_Q, Temperatures(levels)),
        finite.free_energy(wide_f.reshape(merged), wide_Q.reshape(merged), t),
    )
    assert abs(values[0] - values[1]) <= rounding(wide_f, *levels)


@few
@given(st.lists(st.integers(1, 4), min_size=2, max_size=3), SEEDS)
def test_levels_that_do_not_interact_are_independent(shape: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    energies = [rng.uniform(-2, 2, m) for m in shape]
    laws = [rng.dirichlet(np.ones(m)) for m in shape]
    levels = rng.uniform(0.1, 3, len(shape))
    grid = np.ix_(*energies)
    f = sum(grid[1:], start=grid[0])
    Q = np.prod(np.broadcast_arrays(*np.ix_(*laws)), axis=0)
    P = finite.gibbs(f, Q, Temperatures(levels))
    wanted = [
        np.exp(log_softmax(np.log(q) - e / level))
        for e, q, level in zip(energies, laws, levels, strict=True)
    ]
    product = np.prod(np.broadcast_arrays(*np.ix_(*wanted)), axis=0)
    np.testing.assert_allclose(P, product, rtol=1e3 * EPS)


# --- limits


@few
@given(problems(), st.sampled_from([1e-3, 1e-6, 1e-9, 1e-300]))
def test_a_cold_level_minimises(problem: Any, cold: float) -> None:
    """min V_k <= V_{k-1} <= min V_k - lambda log q(minimiser)."""
    f, Q, t = problem
    for k in range(len(t)):
        levels = [*t.levels[:k], cold, *t.levels[k + 1 :]]
        V = finite.effective_energies(f, Q, Temperatures(levels))
        least = V[k + 1].min(axis=-1)
        assert (V[k] >= least).all()
        assert (V[k] <= least + cold * np.log(1 / Q.min()) * (1 + EPS) + 2 * EPS).all()


@few
@given(problems(), st.sampled_from([1e3, 1e6, 1e12, 1e300]))
def test_a_hot_level_averages(problem: Any, hot: float) -> None:
    """0 <= E_q V_k - V_{k-1} <= (max V_k - min V_k)^2 / 8 lambda: Hoeffding's lemma.

    Digits of V_{k-1} that a hot level could lose are in this bound at 1e12.
    """
    f, Q, t = problem
    for k in range(len(t)):
        levels = [*t.levels[:k], hot, *t.levels[k + 1 :]]
        V = finite.effective_energies(f, Q, Temperatures(levels))
        q = levels_first(Q, k + 1) / levels_first(Q, k)[..., None]
        gap = (q * V[k + 1]).sum(axis=-1) - V[k]
        assert (gap >= -32 * EPS).all()
        assert (gap <= np.ptp(V[k + 1], axis=-1) ** 2 / (8 * hot) + 32 * EPS).all()


def test_a_hot_level_keeps_its_law_and_its_slope() -> None:
    """V_{k-1} = E V_k - Var V_k / 2 lambda + ..., whose second term is 1e-6."""
    f, Q = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.25, 0.25])
    mean, hot = 1.0, 1e6
    variance = (Q * (f - mean) ** 2).sum()
    third = (Q * (f - mean) ** 3).sum()
    value = finite.free_energy(f, Q, Temperatures((hot,)))
    assert abs(mean - variance / (2 * hot) + third / (6 * hot**2) - value) <= 2 * EPS


# --- underflow, by fifty digits


def nested(f: Any, Q: Any, levels: Any) -> tuple[Any, Any]:
    """V_0 and log P* from powers of partition functions, in mpmath.

    Z is a dictionary from prefixes to numbers; P* is Q e^{-f / l_d} prod Z^{theta - 1}
    over its sum.
    """
    levels = [mpmath.mpf(level) for level in levels]
    d = f.ndim
    mass = {
        prefix: mpmath.fsum(mpmath.mpf(float(x)) for x in Q[prefix].ravel())
        for k in range(d + 1)
        for prefix in np.ndindex(*f.shape[:k])
    }
    Z = {
        w: mpmath.exp(-mpmath.mpf(float(f[w])) / levels[-1])
        for w in np.ndindex(*f.shape)
    }
    log_density = {w: mpmath.log(mass[w]) + mpmath.log(Z[w]) for w in Z}
    thetas = [b / a for a, b in pairwise(levels)]
    exponents = [mpmath.mpf(1), *thetas[::-1]]
    for k, theta in zip(range(d - 1, -1, -1), exponents, strict=True):
        deeper = Z
        Z = {
            prefix: mpmath.fsum(
                mass[(*prefix, i)] / mass[prefix] * deeper[(*prefix, i)] ** theta
                for i in range(f.shape[k])
            )
            for prefix in np.ndindex(*f.shape[:k])
        }
        if k:
            power = thetas[k - 1] - 1
            for w in log_density:
                log_density[w] += power * mpmath.log(Z[w[:k]])
    total = mpmath.log(mpmath.fsum(mpmath.exp(x) for x in log_density.values()))
    return -levels[0] * mpmath.log(Z[()]), {
        w: x - total for w, x in log_density.items()
    }


@pytest.mark.parametrize(
    "levels",
    [
        (1e-6, 1e-6, 1e-6),
        (3e-6, 2e-6, 1e-6),
        (1e-6, 1e-3, 1.0),
        (1.0, 1e-3, 1e-6),
        (1e-6, 1e6, 1e-2),
        (0.5, 0.3, 0.2),
    ],
)
def test_no_temperature_underflows(levels: Any) -> None:
    """log P* inherits the rounding of V_k over lambda_k; every V is of order one."""
    f, Q = d2()
    f = f + 0.01 * np.sin(np.arange(24.0)).reshape(f.shape)
    t = Temperatures(levels)
    with mpmath.workdps(60):
        value, logs = nested(f, Q, levels)
        assert abs(finite.free_energy(f, Q, t) - value) <= 32 * EPS
        found = finite.log_gibbs(f, Q, t)
        allowed = 32 * EPS * (1 + 3 / min(levels))
        for w, log in logs.items():
            scale = allowed + 16 * EPS * abs(log)
            assert abs(mpmath.mpf(float(found[w])) - log) <= scale
    P = finite.gibbs(f, Q, t)
    assert abs(P.sum() - 1) <= 64 * EPS
    np.testing.assert_allclose(finite.by_tilting(f, Q, t), P, rtol=0, atol=allowed)


@pytest.mark.parametrize("law", [finite.gibbs, finite.by_tilting])
def test_energies_far_below(law: Callable[..., Any]) -> None:
    """Over a small temperature they overflow; where there is no mass, they may."""
    f, Q = np.array([[-1e303, 0.0], [1.0, -1e304]]), np.array([[0.5, 0.25], [0.25, 0]])
    P = law(f, Q, Temperatures((2e-6, 1e-6)))
    np.testing.assert_array_equal(P, [[1.0, 0.0], [0.0, 0.0]])


def test_energies_far_apart() -> None:
    """Weights that underflow are zero, and nothing overflows on the way."""
    f = np.array([[0.0, 1e308], [1e300, 5.0]])
    for low in (1e-6, 1.0):
        P = finite.gibbs(f, FLAT, Temperatures((2 * low, low)))
        assert P[0, 0] > 0.5
        assert P[0, 1] == P[1, 0] == 0
        assert finite.free_energy(f, FLAT, Temperatures((2 * low, low))) >= 0
    assert finite.log_gibbs(f, FLAT, Temperatures((2e-6, 1e-6)))[1, 1] < -1e6


# --- cells without mass, infinite energies


def test_cells_without_mass_do_not_count() -> None:
    f = np.array([[1.0, -50.0, 0.5], [0.25, 2.0, -99.0], [-7.0, -8.0, -9.0]])
    Q = np.array([[0.25, 0.0, 0.25], [0.2, 0.3, 0.0], [0.0, 0.0, 0.0]])
    t = Temperatures((0.7, 0.3))
    V, P = finite.effective_energies(f, Q, t), finite.gibbs(f, Q, t)
    assert V[1][2] == np.inf
    np.testing.assert_array_equal(P > 0, Q > 0)
    np.testing.assert_array_equal(finite.conditionals(f, Q, t)[1][2], 0.0)
    # the same law from the table of what has mass
    left = np.array([[1.0, 0.5], [0.25, 2.0]]), np.array([[0.25, 0.25], [0.2, 0.3]])
    small = finite.gibbs(*left, t)
    np.testing.assert_allclose(
        P[[0, 0, 1, 1], [0, 2, 0, 1]], small.ravel(), rtol=8 * EPS
    )
    assert abs(V[0] - finite.free_energy(*left, t)) <= 4 * EPS


def test_infinite_energies_are_forbidden_cells() -> None:
    f = np.array([[1.0, np.inf], [np.inf, np.inf]])
    t = Temperatures((2.0, 0.5))
    V = finite.effective_energies(f, FLAT, t)
    assert abs(V[1][0] - (1 + 0.5 * np.log(2))) <= 4 * EPS
    assert V[1][1] == np.inf
    assert abs(V[0] - (V[1][0] + 2 * np.log(2))) <= 8 * EPS
    np.testing.assert_array_equal(finite.gibbs(f, FLAT, t), [[1, 0], [0, 0]])
    assert finite.objective(FLAT, f, FLAT, t) == np.inf


def test_mass_where_the_reference_has_none_costs_infinitely_much() -> None:
    Q, P = np.array([[0.5, 0.5], [0.0, 0.0]]), FLAT
    for t in (Temperatures((2, 1)), Temperatures((1, 2))):
        assert finite.multiscale_entropy(P, Q, t) == np.inf
        assert finite.objective(P, D1, Q, t) == np.inf
    assert (finite.prefix_divergences(P, Q) == np.inf).all()
    assert (finite.level_divergences(P, Q) == np.inf).all()
    fine = np.array([[0.5, 0.0], [0.5, 0.0]])
    K = finite.level_divergences(np.full((2, 2), 0.25), fine)
    np.testing.assert_array_equal(K, [0.0, np.inf])


# --- input

PAIR = Temperatures((2.0, 1.0))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: finite.gibbs(D1, FLAT, (2, 1)), "from_index"),  # type: ignore[arg-type]
        (lambda: finite.gibbs(D1, FLAT, Temperatures((1,))), "1 temperatures for tab"),
        (lambda: finite.gibbs(D1[0], FLAT, PAIR), "f has shape"),
        (lambda: finite.gibbs(D1, FLAT[0] * 2, Temperatures((1,))), "f has shape"),
        (lambda: finite.gibbs(D1, 2 * FLAT, PAIR), "of sum 1"),
        (lambda: finite.gibbs(D1, FLAT + 1e-11, PAIR), "of sum 1"),
        (lambda: finite.gibbs(D1, [[1.5, -0.5], [0, 0]], PAIR), "none negative"),
        (lambda: finite.gibbs(D1, [[np.nan, 0.5], [0, 0.5]], PAIR), "finite"),
        (lambda: finite.gibbs([[0, np.nan], [0, 0]], FLAT, PAIR), "NaN or -inf"),
        (lambda: finite.gibbs([[0, -np.inf], [0, 0]], FLAT, PAIR), "NaN or -inf"),
        (
            lambda: finite.gibbs(np.full((2, 2), np.inf), FLAT, PAIR),
            "infinite wherever",
        ),
        (lambda: finite.gibbs([["a", "b"]], FLAT, PAIR), "real numbers"),
        (lambda: finite.by_tilting(D1, 2 * FLAT, PAIR), "of sum 1"),
        (lambda: finite.free_energy(D1, 2 * FLAT, PAIR), "of sum 1"),
        (lambda: finite.objective(FLAT * 2, D1, FLAT, PAIR), "P must hold"),
        (lambda: finite.objective([1.0], D1, FLAT, PAIR), "P has shape"),
        (lambda: finite.level_divergences(FLAT, [0.5, 0.5]), "R has shape"),
        (lambda: finite.prefix_divergences(FLAT, [0.5, 0.5]), "R has shape"),
        (lambda: finite.multiscale_entropy(FLAT, FLAT, Temperatures((1,))), "axes"),
    ],
)
def test_input_is_refused_in_one_sentence(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said) as refused:
        call()
    assert "\n\n" not in str(refused.value)


def test_no_input_is_changed() -> None:
    f, Q = d2()
    f[0, 0, 0] = np.inf
    P = finite.gibbs(f, Q, Temperatures((1, 0.5, 0.2)))
    before = f.copy(), Q.copy(), P.copy()
    for array in (f, Q, P):
        array.flags.writeable = False
    t = Temperatures((1, 0.5, 0.2))
    V = finite.effective_energies(f, Q, t)
    finite.by_tilting(f, Q, t)
    finite.objective(P, f, Q, t)
    finite.multiscale_entropy(P, Q, t)
    V[-1][...] = 0.0  # what is returned is the caller's own
    for now, then in zip((f, Q, P), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("levels", [(1.5, 0.5), (3e-6, 1e-6), (0.4, 2.0)], ids=str)
def test_energies_near_the_largest_number(levels: tuple[float, float]) -> None:
    """Their differences overflow: a power of two away nothing does, and it is the same.

    At 1e-6, on this scale far below the rounding of f, the least energy takes all.
    """
    f, scale = M1 - 0.7, 2.0**1023
    f = f / np.abs(f).max() * (2 - 2.0**-20)
    cold = levels[1] == 1e-6
    near = Temperatures(levels if cold else [0.25 * scale * v for v in levels])
    far = Temperatures([v / scale for v in levels] if cold else 0.25 * np.array(levels))
    for route in (finite.gibbs, finite.by_tilting):
        found, wanted = route(scale * f, NINTH, near), route(f, NINTH, far)
        np.testing.assert_array_equal(found, wanted)
        assert not cold or found.max() == 1.0
    V, W = (finite.free_energy(s * f, NINTH, t) for s, t in ((scale, near), (1, far)))
    assert scale * W == pytest.approx(V, rel=1e-15)
