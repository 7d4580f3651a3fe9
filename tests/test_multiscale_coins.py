"""The exact sampler: its law, its price, and the price's law.

Every statistical bound is exact or derived, and says how often it would alarm in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from mpmath import mp
from scipy import stats

from refimpl.errors import InvalidParameter, Unresolved
from refimpl.multiscale.coins import (
    Coins,
    _Toss,
    log_mean_exp_leaves,
    mean_leaves,
    split,
)
from refimpl.multiscale.finite import conditionals, effective_energies, gibbs
from refimpl.multiscale.metropolis import Curried
from refimpl.multiscale.references import Flat, Independent, Table
from refimpl.multiscale.temperatures import Temperatures

ALARM, MISS = 1e-7, 1e-3

I, J, K = np.indices((3, 2, 4))
D2 = ((7 * I + 3 * J + 5 * K + I * J * K) % 11) / 4
Q2 = 1.0 + (2 * I + J + 3 * K) % 5
Q2 /= Q2.sum()
FALLING, RISING, LEVEL = (1, 0.5, 0.2), (0.2, 0.5, 1), (0.5, 0.5, 0.5)
#: Samples for each: as many as it takes to miss coins whose exponents are half or twice
#: what they should be with probability MISS at most, see below.
SAMPLES = {FALLING: 5000, RISING: 850, LEVEL: 1600, (0.3, 1.0, 0.4): 700}


def of_table(f: np.ndarray) -> Callable[..., float]:
    nested = f.tolist()

    def energy(*w: int) -> float:
        value = nested
        for index in w:
            value = value[index]
        return value

    return energy


def drawn(
    levels: Any, f: np.ndarray, Q: np.ndarray, n: int, seed: int, bound: float = 0.0
) -> Any:
    sample, energy = Coins(Temperatures(levels), Table(Q), bound), of_table(f)
    rng = np.random.default_rng(seed)
    every = [sample(energy, rng=rng) for _ in range(n)]
    return np.array([one.w for one in every]), sum(one.leaves for one in every)


def fits(states: np.ndarray, law: np.ndarray) -> bool:
    """Chi-square by its exact parts: every cell's count has binomial tails.

    Samples of the law fail with probability ALARM at most.
    """
    counts = np.zeros(law.shape, int)
    np.add.at(counts, tuple(states.T), 1)
    least, most = ends(len(states), law)
    return bool(((least <= counts) & (counts <= most)).all())


def ends(n: int, law: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which counts each cell of n samples may be."""
    level = ALARM / (2 * law.size)
    least, most = stats.binom.ppf(level, n, law), stats.binom.isf(level, n, law)
    # of integers k: P(at most k) and P(at least k) not below the level
    assert (stats.binom.cdf(least, n, law) >= level).all()
    most += stats.binom.sf(most, n, law) >= level
    return least, most


def missed(n: int, law: np.ndarray, other: np.ndarray) -> float:
    """How likely n samples of another law pass: at most as likely as any one cell."""
    least, most = ends(n, law)
    passes = stats.binom.cdf(most, n, other) - stats.binom.cdf(least - 1, n, other)
    return float(passes.min())


def with_exponents(factor: float, levels: Any) -> np.ndarray:
    """The law of coins whose theta_k are a factor off; the coldest level is right."""
    off = list(levels[-1:])
    for above, below in reversed(list(pairwise(levels))):
        off.insert(0, off[0] / (factor * below / above))
    return gibbs(D2, Q2, Temperatures(tuple(off)))


def leaves_within(
    f: np.ndarray, Q: np.ndarray, levels: Any, n: int
) -> tuple[float, float]:
    """Between which the leaves of n samples stay but for 1e-7: Chernoff's bound.

    P(sum >= x) <= exp(n log M(s) - s x) for every s > 0, which is 1e-7 / 2 at
    x = (n log M(s) + log(2e7)) / s; the least such x on a grid of s is a bound, and
    below likewise with s < 0.
    """
    t, ends = Temperatures(levels), []
    for sign in (-1, 1):
        s = sign * np.geomspace(1e-6, 1, 300)
        log_M = np.array([log_mean_exp_leaves(one, f, Q, t) for one in s])
        edges = (n * log_M + np.log(2 / ALARM)) / s
        ends.append(edges.min() if sign > 0 else edges.max())
    return ends[0], ends[1]


@pytest.mark.parametrize(
    "levels",
    [
        # five times the price of one that falls and rises
        pytest.param(one, marks=pytest.mark.slow if one is RISING else ())
        for one in SAMPLES
    ],
    ids=str,
)
def test_the_samples_and_their_price(levels: Any) -> None:
    """False alarms: 1e-7 for the law, 1e-7 for the price; see below what is missed."""
    n, target = SAMPLES[levels], gibbs(D2, Q2, Temperatures(levels))
    states, leaves = drawn(levels, D2, Q2, n, 21)
    assert fits(states, target)
    low, high = leaves_within(D2, Q2, levels, n)
    mean = mean_leaves(D2, Q2, Temperatures(levels))
    assert low < n * mean < high
    assert (high - low) / (n * mean) < 0.6
    assert low <= leaves <= high


@pytest.mark.parametrize("levels", SAMPLES, ids=str)
def test_the_power_of_the_test_of_the_law(levels: Any) -> None:
    """Exponents half or twice as large are missed with probability 1e-3 at most.

    By exact binomial tails of single cells; half of the samples would not do.
    """
    target = gibbs(D2, Q2, Temperatures(levels))
    others = [with_exponents(factor, levels) for factor in (0.5, 2.0)]
    np.testing.assert_allclose(with_exponents(1.0, levels), target, rtol=1e-12)
    for n, enough in ((SAMPLES[levels], True), (SAMPLES[levels] // 2, False)):
        worst = max(missed(n, target, other) for other in others)
        assert (worst <= MISS) is enough
    assert missed(SAMPLES[levels], target, target) > 0.99  # of a single cell


def test_the_test_of_the_law_sees_other_temperatures() -> None:
    """Each law's samples are told from each other law."""
    every = {levels: drawn(levels, D2, Q2, 500, 22)[0] for levels in (FALLING, LEVEL)}
    for one, other in ((FALLING, LEVEL), (LEVEL, FALLING)):
        assert not fits(every[one], gibbs(D2, Q2, Temperatures(other)))


def test_the_known_price() -> None:
    """20.77 leaves a sample, known from other code that drew 40,000."""
    assert round(mean_leaves(D2, Q2, Temperatures(FALLING)), 2) == 20.77


@pytest.mark.parametrize("levels", SAMPLES, ids=str)
def test_the_mean_is_the_slope_of_the_exponential_mean(levels: Any) -> None:
    """Wald's identity beside the binomial series, by central differences.

    With steps h and h/2 the differences err by c h^2 and c h^2 / 4, and their
    extrapolation by h^4.
    """
    t, h = Temperatures(levels), 2e-5

    def slope(h: float) -> float:
        above = log_mean_exp_leaves(h, D2, Q2, t)
        return (above - log_mean_exp_leaves(-h, D2, Q2, t)) / (2 * h)

    assert abs(log_mean_exp_leaves(0.0, D2, Q2, t)) < 1e-13  # hundreds of roundings
    found = (4 * slope(h / 2) - slope(h)) / 3
    assert found == pytest.approx(mean_leaves(D2, Q2, t), rel=1e-6)
    assert log_mean_exp_leaves(50.0, D2, Q2, t) == np.inf


def test_the_law_of_the_leaves_of_a_small_table() -> None:
    """All ways to toss with at most L leaves, beside exp(s leaves) for s < 0.

    What is left out weighs at most exp(s L).
    """
    f, Q = np.array([[0.0, 0.6], [0.3, 0.9]]), np.array([[0.2, 0.3], [0.4, 0.1]])
    levels, L, s = (1.0, 0.7), 40, -0.9
    theta = levels[1] / levels[0]
    q1, q2 = Q.sum(axis=1), Q / Q.sum(axis=1, keepdims=True)
    Z = (q2 * np.exp(-f / levels[1])).sum(axis=1)
    heads, tails = np.zeros((2, L + 1)), np.zeros((2, L + 1))
    for a in range(2):
        left = 1.0  # the chance that try i is made
        for i in range(1, L + 1):
            heads[a, i] = left * Z[a]
            tails[a, i] = left * (1 - Z[a]) * theta / i
            left *= (1 - Z[a]) * (1 - theta / i)
    success, failure = q1 @ heads, q1 @ tails
    total, one = np.zeros(L + 1), np.eye(1, L + 1).ravel()
    while one.any():  # after every failed try of the top
        total += np.convolve(one, success)[: L + 1]
        one = np.convolve(one, failure)[: L + 1]
    found = np.log(total @ np.exp(s * np.arange(L + 1)))
    wanted = log_mean_exp_leaves(s, f, Q, Temperatures(levels))
    assert found == pytest.approx(wanted, abs=np.exp(s * L) + 1e-14)


def test_a_coin_shows_heads_as_often_as_it_should() -> None:
    """exp(-V_1 / lambda_1) of each prefix, for theta below and above 1.

    Exact binomial tails.  False alarms: 1e-7 in all.
    """
    n, rng = 4000, np.random.default_rng(23)
    for levels in (FALLING, RISING):
        t = Temperatures(levels)
        V_1 = effective_energies(D2, Q2, t)[1]
        toss = _Toss(Coins(t, Table(Q2)), rng)
        place = Curried(of_table(D2))
        for a in (0, 2):
            heads = sum(toss._coin((a,), place.given(a)) is not None for _ in range(n))
            law = stats.binom(n, np.exp(-V_1[a] / levels[0]))
            assert min(law.cdf(heads), law.sf(heads - 1)) > ALARM / 8


@pytest.mark.parametrize(
    ("theta", "wanted"),
    [(0.3, (0, 0.3)), (1.0, (0, 1.0)), (2.0, (1, 1.0)), (3.25, (3, 0.25))],
)
def test_how_theta_is_split(theta: float, wanted: tuple[int, float]) -> None:
    assert split(theta) == wanted


def test_a_lower_bound_changes_the_price_alone() -> None:
    """f - 1 with its bound is f, draw for draw; a lower one buys the same law dearer.

    Temperatures that are equal, and that rise and fall.  False alarms: 1e-7 each for
    law and price.  What they miss: exponents half or twice as large with probability
    1e-3 at most, as above; the price of the infimum is outside of the bounds.
    """
    for levels, gap in ((LEVEL, 0.5), ((0.3, 1.0, 0.4), 0.125)):
        t, n = Temperatures(levels), SAMPLES[levels]
        target, dearer = gibbs(D2, Q2, t), mean_leaves(D2 + gap, Q2, t)
        np.testing.assert_allclose(gibbs(D2 + gap, Q2, t), target, rtol=1e-12)
        states, leaves = drawn(levels, D2, Q2, n, 27, bound=-gap)
        assert fits(states, target)
        low, high = leaves_within(D2 + gap, Q2, levels, n)
        assert n * mean_leaves(D2, Q2, t) < low < n * dearer < high
        assert low <= leaves <= high
    for levels in (LEVEL, FALLING, (2.0, 1.5, 0.25)):  # as `Coins` says
        t = Temperatures(levels)
        factor = mean_leaves(D2 + 0.25, Q2, t) / mean_leaves(D2, Q2, t)
        assert factor == pytest.approx(np.exp(0.25 / levels[-1]), rel=1e-12)
    t, Q = Temperatures((1.0, 0.5)), Table(np.full((2, 2), 0.25))
    f = np.array([[0.0, 1.0], [2.0, 0.0]])
    one, same = (
        [
            Coins(t, Q, bound)(of_table(f + shift), rng=np.random.default_rng(seed))
            for seed in range(200)
        ]
        for shift, bound in ((0, 0.0), (-1, -1.0))
    )
    assert one == same


def test_levels_of_numbers() -> None:
    """A Gaussian reference and a quadratic energy: the law of w_2 is Gaussian.

    Kolmogorov-Smirnov on 1,500 samples.  False alarms: 1e-7.
    """
    t = Temperatures((1.5, 0.5))
    sample = Coins(t, Independent([np.zeros(()), np.zeros(())], [1.0, 1.0]))
    rng = np.random.default_rng(24)
    found = [sample(lambda a, b: 0.5 * (a - b) ** 2, rng=rng).w for _ in range(1500)]
    # V_1(a) = h a^2 / 2 + c with 1/h = 1 + 1/lambda_2, then P*(a) at lambda_1
    spread = (1 + 1 / (1 + 1 / 0.5) / 1.5) ** -0.5
    a, b = np.array(found).T
    assert stats.kstest(a / spread, stats.norm.cdf).pvalue > ALARM
    given = (b - 2 * a / 3) * np.sqrt(3)  # N(a rho / (1 + rho), 1 / (1 + rho)), rho = 2
    assert stats.kstest(given, stats.norm.cdf).pvalue > ALARM


def test_one_level_is_rejection_sampling() -> None:
    """False alarms: 1e-7."""
    f, Q = np.array([0.0, 1.0, 2.0]), np.array([0.2, 0.3, 0.5])
    states, leaves = drawn((1.0,), f, Q, 2000, 25)
    (target,) = conditionals(f, Q, Temperatures((1.0,)))
    assert fits(states, target)
    assert mean_leaves(f, Q, Temperatures((1.0,))) == pytest.approx(
        1 / (Q @ np.exp(-f)), rel=1e-14
    )
    low, high = leaves_within(f, Q, (1.0,), 2000)
    assert low <= leaves <= high


FAR = {
    "high": np.array([[800.0, 800.0], [0.0, 1.0]]),
    "highest": np.array([[1e300, 1e300], [1e300, 1e300]]),
    "never": np.array([[np.inf, np.inf], [1.0, 1.0]]),
    "subnormal": np.array([[730.0, 735.0], [1.0, 720.0]]),
    "near": np.array([[0.0, 1.0], [0.0, 0.5]]),
    "flat": np.zeros((2, 2)),
}


@pytest.mark.parametrize(
    "levels", [(2.0, 1.0), (1.0, 1.0), (1.0, 1.01), (0.4, 1.0), (1e-4, 1.0)], ids=str
)
@pytest.mark.parametrize("name", FAR)
def test_the_mean_price_where_coins_hardly_ever_show_heads(
    name: str, levels: Any
) -> None:
    """With numbers of any size; what is beyond floats is infinite.

    A float Z is off by a rounding of itself, and of its logarithm; a power theta has
    theta times the error.
    """
    f, t = FAR[name], Temperatures(levels)
    (theta,), found = t.exponents, mean_leaves(f, np.full((2, 2), 0.25), t)
    with mp.workdps(50):
        Z = [sum(mp.exp(-mp.mpf(v) / levels[1]) for v in row) / 2 for row in f.tolist()]
        if theta < 1 and not all(Z):  # a coin that never shows heads is tried for ever
            assert found == np.inf
            return
        first = range(int(np.ceil(theta)) - 1)
        tries = sum(sum(z**i for i in first) + z ** (mp.mpf(theta) - 1) for z in Z)
        wanted = tries / sum(z ** mp.mpf(theta) for z in Z)
        size = mp.log(wanted)
    if size > np.log(np.finfo(float).max):
        assert found == np.inf
    else:
        error = 10 * np.finfo(float).eps * (max(theta, 1) + float(size))
        assert found == pytest.approx(float(wanted), rel=error)


@pytest.mark.parametrize("levels", [(2.0, 1.0), (1.0, 1.0), (0.4, 1.0)], ids=str)
@pytest.mark.parametrize("name", FAR)
def test_the_law_of_the_price_is_told_or_refused(name: str, levels: Any) -> None:
    """It increases with s, is at most s for s <= 0 and infinite for some s > 0 only."""
    t, last = Temperatures(levels), -np.inf
    for s in (-800.0, -700.0, -1.0, -1e-20, 0.0, 1e-20, 1e-3, 2.0, 800.0):
        try:
            found = log_mean_exp_leaves(s, FAR[name], np.full((2, 2), 0.25), t)
        except Unresolved:
            continue
        assert last <= found + 1e-13  # hundreds of roundings
        assert np.isfinite(found) or s > 0
        assert found <= s + 1e-13 or s > 0  # a sample takes at least one value
        last = found


def test_the_seed_decides() -> None:
    one, same, other = (drawn(FALLING, D2, Q2, 20, seed) for seed in (1, 1, 2))
    assert (one[0] == same[0]).all()
    assert one[1] == same[1] != other[1]


T2 = Temperatures((1.0, 0.5))
UNIFORM = Table(np.full((2, 2), 0.25))


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda rng: Coins((1.0,), UNIFORM), InvalidParameter, "Temperatures"),
        (lambda rng: Coins(T2, "flat"), InvalidParameter, "a law with draw"),
        (lambda rng: Coins(T2, UNIFORM, np.nan), InvalidParameter, "finite"),
        (lambda rng: Coins(T2, UNIFORM, 0.0, 0), InvalidParameter, "at least 1"),
        (
            lambda rng: Coins(T2, Flat())(lambda a, b: 0.0, rng=rng),
            InvalidParameter,
            "is no law",
        ),
        (
            lambda rng: Coins(T2, UNIFORM)(lambda a, b: -1.0, rng=rng),
            InvalidParameter,
            "got -1.0",
        ),
        (
            lambda rng: Coins(T2, UNIFORM)(lambda a, b: np.nan, rng=rng),
            InvalidParameter,
            "got nan",
        ),
        (
            lambda rng: Coins(T2, UNIFORM, 0.0, 100)(lambda a, b: 1e3, rng=rng),
            Unresolved,
            "more than 100 values",
        ),
        (
            lambda rng: Coins(T2, UNIFORM)(lambda a, b: 0.0, rng=7),
            InvalidParameter,
            "numpy.random.Generator",
        ),
        (
            lambda rng: mean_leaves(D2 - 1, Q2, Temperatures(FALLING)),
            InvalidParameter,
            "must not be negative",
        ),
        (
            lambda rng: log_mean_exp_leaves(0.0, D2 + 50, Q2, Temperatures(FALLING)),
            Unresolved,
            "at s = 0.0",
        ),
        (
            lambda rng: Coins(Temperatures((1e-16, 1.0)), UNIFORM),
            InvalidParameter,
            "a factor of 2^53",
        ),
        (
            lambda rng: Coins(Temperatures((1.0, 0.5, 0.25)), UNIFORM),
            InvalidParameter,
            "3 temperatures, and the reference has 2 levels",
        ),
        (
            lambda rng: Coins(T2, UNIFORM)(lambda a, b: "0.5", rng=rng),
            InvalidParameter,
            "f must be",
        ),
        (lambda rng: Coins(T2, UNIFORM)(0.5, rng=rng), InvalidParameter, "a function"),
    ],
)
def test_what_is_refused(make: Callable[[Any], Any], kind: Any, said: str) -> None:
    with pytest.raises(kind) as caught:
        make(np.random.default_rng(0))
    assert said in str(caught.value)


def test_every_cell_can_be_drawn() -> None:
    states, _ = drawn(LEVEL, D2, Q2, 3000, 26)
    assert set(map(tuple, states.tolist())) == set(
        product(range(3), range(2), range(4))
    )
