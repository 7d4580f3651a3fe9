"""The statistical engine: e-processes are what they claim, and so are verdicts.

Most of it is exact: predictive densities, the martingale property by quadrature,
likelihood ratios, Chernoff bounds.  Each simulation states its own false alarm rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from math import exp, inf, log, sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln, gammaln

from verification.evidence import e_values as ev
from verification.evidence import sequential as sq
from verification.evidence.comparison import agree
from verification.evidence.sequential import Evidence, Plan, as_power_of_ten

ALPHA = 1.67e-8
RARE = 1e-8  # the false alarm probability of every simulation here
PLAN = Plan(ALPHA)


def prefix(D: int, count: int = 6, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(count, D)) * 1.3 + 0.2


# --- e-processes: closed forms by another route ---------------------------------------


@pytest.mark.parametrize("D", [1, 2, 3, 5])
def test_location_scale_is_the_product_of_predictive_densities(D: int) -> None:
    u = prefix(D, 50)
    mean, scatter, kappa, nu = np.zeros(D), (D + 9.0) * np.eye(D), 10.0, D + 9.0
    null = stats.multivariate_normal(np.zeros(D))
    total, expected = 0.0, []
    for row in u:
        freedom = nu - D + 1
        shape = scatter * (kappa + 1) / (kappa * freedom)
        total += stats.multivariate_t(mean, shape, freedom).logpdf(row)
        total -= null.logpdf(row)
        expected.append(total)
        away = row - mean
        scatter = scatter + kappa / (kappa + 1) * np.outer(away, away)
        mean = mean + away / (kappa + 1)
        kappa, nu = kappa + 1, nu + 1
    np.testing.assert_allclose(ev.location_scale(u), expected, rtol=1e-12, atol=1e-12)


def mixed(slopes: Any, weights: Any, S: float, Q: float) -> float:
    """log of the mean of exp(r S - r^2 Q/2) over slopes r."""
    return log(np.sum(weights * np.exp(slopes * S - slopes**2 * Q / 2)))


def test_serial_and_direction_are_mixtures_over_the_slope() -> None:
    u, v = prefix(2), prefix(4, seed=2).reshape(6, 2, 2)
    r = np.linspace(-12, 12, 4001)
    prior = np.exp(-0.5 * r**2) / np.sum(np.exp(-0.5 * r**2))
    pairs = [
        mixed(r / sqrt(10), prior, np.sum(one[1:] * one[:-1]), np.sum(one[:-1] ** 2))
        for one in u.T
    ]
    found = ev.serial(u)
    assert found[0] == 0.0
    assert found[-1] == pytest.approx(np.logaddexp(*pairs) - log(2), rel=1e-10)
    along = [
        mixed(r, prior, np.sum(u * v[:, k]), np.sum(v[:, k] ** 2)) for k in range(2)
    ]
    found = ev.direction(u, v)[-1]
    assert found == pytest.approx(np.logaddexp(*along) - log(2), rel=1e-10)
    alone = ev.direction(u, v[:, 0])[-1]
    assert alone == pytest.approx(along[0], rel=1e-10)


def test_categories_in_closed_form() -> None:
    K, a, cells = 4, 2.5, np.array([0, 3, 3, 1, 3, 0, 2])
    n = np.bincount(cells, minlength=K)
    expected = gammaln(K * a) - gammaln(K * a + 7) + 7 * log(K)
    expected += np.sum(gammaln(a + n) - gammaln(a))
    assert ev.categories(cells, K, a)[-1] == pytest.approx(expected, rel=1e-13)


def test_repeats_in_closed_form() -> None:
    K, cells = 4, np.array([0, 0, 3, 1, 1, 1, 2])
    expected = betaln(1 + 3, K - 1 + 3) - betaln(1, K - 1)
    expected -= 3 * log(1 / K) + 3 * log(1 - 1 / K)
    assert ev.repeats(cells, K)[-1] == pytest.approx(expected, rel=1e-12)


def test_shape_counts_cells_of_equal_probability() -> None:
    u = prefix(2, 40)
    cells = np.floor(8 * stats.norm.cdf(u)).astype(int)
    each = [ev.categories(one, 8, 16.0) for one in cells.T]
    expected = np.logaddexp(*each) - log(2)
    np.testing.assert_allclose(ev.shape(u, 8), expected, rtol=1e-12)


# --- the martingale property: no expectation exceeds 1 --------------------------------


def next_mean(path: Callable[[Any], Any], u: Any) -> float:
    """E of E_{n+1}/E_n over the next score, N(0, 1), by the trapezoidal rule.

    The integrand of location-scale falls like a Student density of 15 degrees.
    """
    s = np.linspace(-12, 12, 6001)
    t, dt = np.sinh(s), np.cosh(s) * (s[1] - s[0])
    streams = np.concatenate([np.tile(u, (t.size, 1, 1)), t[:, None, None]], axis=1)
    gain = path(streams)[:, -1] - path(u)[-1]
    return float(np.sum(np.exp(gain - 0.5 * t**2) * dt) / sqrt(2 * np.pi))


@pytest.mark.parametrize(
    "path",
    [
        ev.location_scale,
        ev.serial,
        lambda u: ev.direction(u, 0.7 + np.arange(7.0)[: u.shape[-2], None] + 0 * u),
        lambda u: ev.average([ev.location_scale(u), ev.serial(u)], [0.4, 0.6]),
    ],
    ids=["location-scale", "serial", "direction", "average"],
)
def test_the_mean_of_the_next_value_is_the_present_one(path: Any) -> None:
    assert next_mean(path, prefix(1)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("path", [ev.categories, ev.repeats])
def test_the_mean_over_the_next_category_is_the_present_value(path: Any) -> None:
    K, cells = 4, np.array([0, 0, 3, 1, 1, 3])
    following = np.array([[*cells, k] for k in range(K)])
    gain = path(following, K)[:, -1] - path(cells, K)[-1]
    assert np.mean(np.exp(gain)) == pytest.approx(1, rel=1e-13)


@pytest.mark.parametrize("values", [(-1.0, 1.0), (-0.25, 0.75)])
def test_the_mean_over_the_next_bounded_value_is_the_present_one(values: Any) -> None:
    low, high = values  # with probabilities that make the mean 0
    y = np.array([[0.5], [-0.75], [1.0], [0.25]])
    path = ev.bounded_mean(np.array([[*y, [value]] for value in values]))[:, -1]
    gain = np.exp(path - ev.bounded_mean(y)[-1])
    assert (high * gain[0] - low * gain[1]) / (high - low) == pytest.approx(1)


def test_bets_are_placed_on_both_sides() -> None:
    y = np.array([[0.5, 0.1], [0.75, -0.5], [1.0, 0.25]])
    np.testing.assert_allclose(ev.bounded_mean(-y), ev.bounded_mean(y), rtol=1e-13)


def test_a_bounded_value_beyond_its_bound_is_impossible() -> None:
    path = ev.bounded_mean([[0.5], [1 + 1e-12], [1.5], [0.0]])
    assert np.isfinite(path[:2]).all()
    assert (path[2:] == inf).all()


def test_streams_side_by_side_are_those_alone() -> None:
    u = np.random.default_rng(3).normal(size=(2, 3, 20, 2))
    for path in (
        ev.location_scale,
        ev.serial,
        lambda u: ev.shape(u, 8),
        lambda u: ev.mean_ratio(u, 0.2),
        lambda u: ev.correlation_ratio(u, 0.2),
    ):
        np.testing.assert_array_equal(path(u)[1, 2], path(u[1, 2]))


# --- two-point ratios -----------------------------------------------------------------


def test_ratios_are_the_largest_of_log_likelihoods() -> None:
    u, delta = prefix(2, 40, seed=4), 0.3
    null = stats.norm.logpdf(u)

    def largest(*alternatives: Any) -> Any:
        gains = [np.cumsum(one - null, axis=0) for one in alternatives]
        return np.max(gains, axis=(0, 2))

    before = np.vstack([np.zeros((1, 2)), u[:-1]])
    pdf, sd = stats.norm.logpdf, np.exp(delta / 2)
    for found, expected in (
        (ev.mean_ratio(u, delta), largest(pdf(u, delta), pdf(u, -delta))),
        (ev.variance_ratio(u, delta), largest(pdf(u, 0, sd), pdf(u, 0, 1 / sd))),
        (
            ev.correlation_ratio(u, delta),
            largest(pdf(u, delta * before), pdf(u, -delta * before)),
        ),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_ratio_of_directions() -> None:
    u, v, delta = prefix(2), prefix(4, seed=2).reshape(6, 2, 2), 0.3
    pdf = stats.norm.logpdf
    gains = [
        np.cumsum(np.sum(pdf(u, side * delta * v[:, k]) - pdf(u), axis=1))
        for k in range(2)
        for side in (1, -1)
    ]
    found = ev.direction_ratio(u, v, delta)
    np.testing.assert_allclose(found, np.max(gains, axis=0), rtol=1e-10)


def test_ratio_of_categories() -> None:
    K, delta, cells = 3, 0.5, np.array([0, 0, 2, 1, 1, 1])
    gains = []
    for k in range(K):
        for side in (1 + delta, 1 - delta):
            p = np.full(K, (1 - side / K) / (K - 1))
            p[k] = side / K
            gains.append(np.cumsum(np.log(p[cells] * K)))
    found = ev.categories_ratio(cells, K, delta)
    np.testing.assert_allclose(found, np.max(gains, axis=0), rtol=1e-12)


@pytest.mark.parametrize("side", [1, -1])
def test_wealth_against_a_bounded_mean_cannot_grow_there(side: int) -> None:
    """At the mean +-delta, on the extreme law, the wealth of that side is fair."""
    delta, y = 0.2, side * np.array([[0.5], [1.0], [-0.5], [1.0]])
    up = (1 + delta) / 2
    following = np.array([[*y, [value]] for value in (side, -side)])
    wealth = np.exp(-ev.bounded_ratio(following, delta)[:, -1])
    fair = up * wealth[0] + (1 - up) * wealth[1]
    assert fair == pytest.approx(np.exp(-ev.bounded_ratio(y, delta)[-1]))


# --- calibration by simulation --------------------------------------------------------


def most(count: int, rate: float) -> int:
    """How often an event of at most this rate may occur, but for probability RARE."""
    return int(stats.binom.isf(RARE, count, rate))


def test_false_alarms_are_as_rare_as_promised() -> None:
    """P(sup E >= 1/a) <= a: false alarm RARE for each of the five rates."""
    u = np.random.default_rng(5).standard_normal((1500, 300, 2))
    parts = [ev.location_scale(u), ev.serial(u), ev.shape(u, sq.SHAPE_BINS)]
    highest = ev.average(parts, sq.WEIGHTS).max(axis=-1)
    for rate in (0.5, 0.2, 0.1, 0.05, 0.01):
        assert np.sum(highest >= -log(rate)) <= most(1500, rate)
    assert np.mean(highest >= -log(0.1)) > 0.02  # and not by being asleep


def stream(make: Callable[..., Any], seed: int, D: int = 2) -> Callable[[int], Any]:
    """Scores from make(rng, count, D)."""
    rng = np.random.default_rng(seed)
    return lambda count: make(rng, count, D)


def normal(rng: Any, count: int, D: int) -> Any:
    return rng.standard_normal((count, D))


def verdict(evidence: Evidence) -> str:
    if not evidence.ok:
        return "FAIL"
    return "INCONCLUSIVE" if evidence.undecided else "PASS"


def autoregressive(slope: float) -> Callable[..., Any]:
    """u_t = slope u_{t-1} + z_t in the first component, from one chunk to the next."""

    def make() -> Callable[..., Any]:
        last = np.zeros(1)

        def scores(rng: Any, count: int, D: int) -> Any:
            u = rng.standard_normal((count, D))
            for t in range(count):
                u[t, 0] += slope * (u[t - 1, 0] if t else last[0])
            last[0] = u[-1, 0]
            return u

        return scores

    return make


OFF = {
    "mean +": lambda: lambda *a: normal(*a) + np.array([PLAN.mean, 0]),
    "mean -": lambda: lambda *a: normal(*a) - np.array([0, PLAN.mean]),
    "variance +": lambda: lambda *a: normal(*a) * [np.exp(PLAN.log_variance / 2), 1],
    "variance -": lambda: lambda *a: normal(*a) * [1, np.exp(-PLAN.log_variance / 2)],
    "correlation +": autoregressive(PLAN.correlation),
    "correlation -": autoregressive(-PLAN.correlation),
}


@pytest.mark.parametrize("name", OFF)
def test_what_is_off_by_exactly_as_much_seldom_passes(name: str) -> None:
    """At beta = 0.1, where it can be seen; false alarm RARE."""
    plan = replace(PLAN, beta=0.1)
    passed = sum(
        verdict(sq.judge_normal(name, stream(OFF[name](), seed), plan)) == "PASS"
        for seed in range(100)
    )
    assert passed <= most(100, plan.beta)


def test_a_right_subject_passes_in_the_replicates_it_should_take() -> None:
    """The mean of 200 runs is 704 with a standard error of 20; 900 on record."""
    runs = [sq.judge_normal("u", stream(normal, seed), PLAN) for seed in range(200)]
    assert {verdict(run) for run in runs} == {"PASS"}
    taken = [run.n for run in runs]
    assert 550 < np.mean(taken) < 900
    assert np.quantile(taken, 0.95) < 1350


def test_half_the_sizes_take_four_times_the_replicates() -> None:
    plan = Plan.deep(ALPHA, beta=1e-4)
    assert plan == Plan(ALPHA, 1e-4, 0.1, 0.2, 0.1, 0.1, 0.25, 0.1, 24000)
    run = sq.judge_normal("u", stream(normal, 1), Plan.deep(ALPHA))
    assert verdict(run) == "PASS"
    assert 1500 < run.n < 12000
    assert Plan.deep(ALPHA, direction=None).direction is None


# --- mistakes are seen ----------------------------------------------------------------


def antithetic(rng: Any, count: int, D: int) -> Any:
    z = rng.standard_normal((count // 2, 1, D))
    return np.concatenate([z, -z], axis=1).reshape(count, D)


def student(freedom: int) -> Callable[..., Any]:
    scale = sqrt((freedom - 2) / freedom)
    return lambda rng, *shape: scale * rng.standard_t(freedom, shape)


PLANTED: dict[str, Callable[..., Any]] = {
    "mean": lambda *a: normal(*a) + np.array([0.5, 0]),
    "variance": lambda *a: normal(*a) * [1, 1.5],
    "serial": autoregressive(0.5)(),
    "antithetic replicates": antithetic,
    "one noise for all coordinates": lambda rng, n, D: normal(rng, n, 1) * np.ones(D),
    "every seed the same": lambda rng, n, D: np.full((n, D), [0.8, -0.3]),
    "no noise": lambda rng, n, D: np.zeros((n, D)),
    "signs": lambda rng, *shape: rng.choice([-1.0, 1.0], shape),
    "one in a thousand is wild": lambda *a: normal(*a) * [1e3, 1],
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_alternative_fails(name: str) -> None:
    for seed in range(10):
        evidence = sq.judge_normal(name, stream(PLANTED[name], seed), PLAN)
        assert verdict(evidence) == "FAIL"
        assert evidence.n < 400


PROBE = replace(PLAN, budget=20_000)
SHAPES: dict[str, Callable[..., Any]] = {
    "uniform": lambda rng, *shape: rng.uniform(-sqrt(3), sqrt(3), shape),
    "student 5": student(5),
    "clipped": lambda *a: np.clip(normal(*a), -2, 2) / 0.959,
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_the_right_variance_fail_the_probe(name: str) -> None:
    for seed in range(3):
        draw = stream(SHAPES[name], seed)
        evidence = sq.judge_normal(name, draw, PROBE, bins=(64,), at_least=20_000)
        assert verdict(evidence) == "FAIL"


def test_the_probe_is_read_to_its_end() -> None:
    draw, plan = stream(normal, 0), replace(PLAN, budget=25_000)
    evidence = sq.judge_normal("probe", draw, plan, bins=(64,), at_least=20_000)
    assert verdict(evidence) == "PASS"
    assert evidence.n == 20_000
    with pytest.raises(ValueError, match="exceed the budget"):
        sq.judge_normal("probe", draw, PLAN, at_least=20_000)


@pytest.mark.parametrize("lag", sq.LAGS)
def test_dependence_on_earlier_replicates(lag: int) -> None:
    """Copies of the replicate `lag` before, and the same number of fresh ones.

    Caught in 1,024 replicates for certain: half of the products of a replicate and the
    one `lag` before it are squares.
    """
    rng = np.random.default_rng(lag)
    scores = rng.standard_normal((1024, 2))
    for t in range(lag, len(scores)):
        if (t // lag) % 2:
            scores[t] = scores[t - lag]
    assert ev.serial(scores, lag)[-1] > 50
    plan, rows = replace(PLAN, budget=len(scores)), iter(scores)
    judged = sq.judge_normal("u", lambda n: np.array([*islice(rows, n)]), plan)
    assert not judged.ok
    fresh = ev.serial(rng.standard_normal((1024, 2)), lag)
    assert fresh.max() < log(1e9)  # Ville: a false alarm once in 10^9 times


def test_shape_can_be_left_out() -> None:
    draw = stream(PLANTED["signs"], 0)
    scores = draw(64)
    evidence = sq.judge_normal("u", lambda n: np.tile(scores, (n // 64, 1)), PLAN)
    assert not evidence.ok
    lags = [ev.serial(scores, lag) for lag in sq.LAGS]
    parts = [ev.location_scale(scores), ev.average(lags, [1 / len(lags)] * len(lags))]
    plan = replace(PLAN, budget=64)
    found = sq.judge_normal("u", lambda n: scores, plan, bins=())
    expected = ev.average(parts, [4 / 7, 3 / 7]).max()
    assert found.error == pytest.approx(max(0.0, expected), rel=1e-12)


@pytest.mark.parametrize("wild", [1e8, 1e200, inf, -inf])
@pytest.mark.parametrize("D", [1, 2, 3])
def test_no_score_is_too_large_to_fail(wild: float, D: int) -> None:
    def draw(count: int) -> Any:
        u = np.random.default_rng(1).standard_normal((count, D))
        u[7:, :2] = wild
        return u

    evidence = sq.judge_normal("u", draw, PLAN)
    assert verdict(evidence) == "FAIL"
    assert not evidence.undecided
    assert evidence.n == 8
    assert 1e6 < evidence.ratio < inf


# --- directions -----------------------------------------------------------------------


def along(error: float, R: int = 2) -> Callable[..., Any]:
    """Scores whose mean is off by `error` times the first of R directions."""

    def make(rng: Any, count: int, D: int) -> Any:
        v = rng.normal(size=(count, R, D)) / 4
        return normal(rng, count, D) + error * v[:, 0], v

    return make


def test_a_wrong_coefficient_shows_along_its_direction() -> None:
    off, right = (sq.judge_normal("r", stream(along(e), 1), PLAN) for e in (1.0, 0.0))
    assert verdict(off) == "FAIL"
    assert verdict(right) == "PASS"
    assert "coefficient within 0.2" in right.certified
    quick = replace(PLAN, direction=None)
    other = sq.judge_normal("r", stream(along(0.0), 1), quick)
    assert other.n < right.n
    assert "coefficient" not in other.certified


def test_a_coefficient_off_by_exactly_as_much_seldom_passes() -> None:
    """False alarm RARE."""
    plan = replace(PLAN, beta=0.1)
    passed = sum(
        verdict(sq.judge_normal("r", stream(along(0.2), seed), plan)) == "PASS"
        for seed in range(50)
    )
    assert passed <= most(50, plan.beta)


# --- categories and bounded values ----------------------------------------------------


def cells(K: int) -> Callable[..., Any]:
    return lambda rng, count, _: rng.integers(K, size=count)


def shuffled(K: int) -> Callable[..., Any]:
    """Without replacement, so that no category follows itself within a round."""
    return lambda rng, count, _: np.concatenate(
        [rng.permutation(K) for _ in range(count // K + 1)]
    )[:count]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (cells(15), "PASS"),
        (lambda rng, n, _: np.minimum(rng.integers(16, size=n), 14), "FAIL"),
        (cells(14), "FAIL"),
        (shuffled(15), "FAIL"),
    ],
    ids=["uniform", "one twice", "one never", "shuffled"],
)
def test_categories(make: Any, said: str) -> None:
    for seed in range(5):
        evidence = sq.judge_counts("subsets", stream(make, seed), 15, PLAN)
        assert verdict(evidence) == said
        assert np.shape(evidence.measured) == (15,)
        assert np.sum(evidence.measured) == pytest.approx(1)


@pytest.mark.parametrize("bad", [15, -1, 0.5])
def test_what_is_no_category_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"integers 0, \.\.\., 14"):
        sq.judge_counts("subsets", lambda n: np.full(n, bad), 15, PLAN)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda rng, n, D: rng.choice([-1.0, 1.0], (n, D)), "PASS"),
        (lambda rng, n, D: rng.uniform(-0.5, 0.5, n), "PASS"),
        (lambda rng, n, D: rng.choice([-1.0, 1.0], (n, D), p=[0.35, 0.65]), "FAIL"),
        (lambda rng, n, D: 0.1 + rng.uniform(-0.5, 0.5, (n, D)), "FAIL"),
        (lambda rng, n, D: rng.uniform(-1.5, 1.5, (n, D)), "FAIL"),
    ],
    ids=["signs", "narrow", "biased signs", "biased", "out of bounds"],
)
def test_bounded_values(make: Any, said: str) -> None:
    for seed in range(5):
        plan = replace(PLAN, bounded=0.1)
        assert verdict(sq.judge_bounded("h", stream(make, seed), plan)) == said


def test_a_bounded_mean_off_by_exactly_as_much_seldom_passes() -> None:
    """False alarm RARE."""
    plan = replace(PLAN, beta=0.1)
    p = [0.5 - plan.bounded / 2, 0.5 + plan.bounded / 2]
    passed = sum(
        verdict(
            sq.judge_bounded(
                "h", stream(lambda rng, n, _: rng.choice([-1, 1], n, p=p), seed), plan
            )
        )
        == "PASS"
        for seed in range(50)
    )
    assert passed <= most(50, plan.beta)


# --- the probability of no verdict ----------------------------------------------------


@pytest.mark.parametrize("plan", [PLAN, Plan.deep(ALPHA)], ids=["default", "deep"])
def test_a_right_subject_is_all_but_surely_decided(plan: Plan) -> None:
    for D in (1, 2, 4, 10):
        assert sq.inconclusive_bound(plan, D) <= 1e-9
    for D in (1, 2, 10):
        assert sq.inconclusive_bound_bounded(plan, D) <= 1e-9
    for K in (2, 15, 100):
        assert sq.inconclusive_bound_counts(plan, K) <= 1e-9


def test_the_bound_is_made_of_the_moments_it_names() -> None:
    t, delta = 30, 0.3
    at = {"beta": 1e-3, "budget": t}
    off = 1e-9  # sizes that are nothing leave one term, and 2 D/sqrt(beta) for each
    u = np.linspace(-12, 12, 4001)
    du, pdf = u[1] - u[0], stats.norm.pdf

    def one(**sizes: float) -> float:
        plan = Plan(0.1, **at, **{**dict.fromkeys(SIZES, off), **sizes})
        nothing = Plan(0.1, **at, **dict.fromkeys(SIZES, off))
        rest = sq.inconclusive_bound(nothing, 1) * 2 / 3
        return (sq.inconclusive_bound(plan, 1) - rest) * sqrt(1e-3) / 2

    mean = np.sum(np.sqrt(pdf(u) * pdf(u, delta))) * du
    assert one(mean=delta) == pytest.approx(mean**t, rel=1e-9)
    wide = np.sum(np.sqrt(pdf(u) * pdf(u, 0, exp(delta / 2)))) * du
    assert one(log_variance=delta) == pytest.approx(wide**t, rel=1e-9)
    system = np.diag([1 + delta**2 / 2] * (t - 1) + [1.0])
    system -= delta / 2 * (np.eye(t, k=1) + np.eye(t, k=-1))
    exact = 1 / sqrt(np.linalg.det(system))
    assert exact <= one(correlation=delta) <= 1.02 * exact
    shorter = 1 / sqrt(np.linalg.det(system[1:, 1:]))
    at["budget"] = t - 1  # every further replicate has the same factor
    before = one(correlation=delta)
    at["budget"] = t
    assert one(correlation=delta) / before == pytest.approx(exact / shorter, rel=1e-7)


SIZES = ("mean", "log_variance", "correlation")


def test_the_budget_ends_without_a_verdict() -> None:
    """Its bound, 0.07 here, is not exceeded; false alarm RARE."""
    plan = replace(PLAN, budget=1500)
    bound = sq.inconclusive_bound(plan, 1)
    assert 0.05 < bound < 0.5
    runs = [sq.judge_normal("u", stream(normal, s, D=1), plan) for s in range(60)]
    assert sum(run.undecided for run in runs) <= most(60, bound)
    short = sq.judge_normal("u", stream(normal, 0), replace(PLAN, budget=100))
    assert verdict(short) == "INCONCLUSIVE"
    assert short.n == 100
    assert short.certificate > short.needed


# --- what is reported -----------------------------------------------------------------


def test_evidence_is_a_finding() -> None:
    evidence = sq.judge_normal("output", stream(normal, 1), PLAN, note="whitened")
    assert evidence.what == "output"
    assert evidence.note == "whitened"
    assert evidence.relation == "~"
    assert np.isnan(evidence.digits)
    assert evidence.tolerance == pytest.approx(-log(ALPHA))
    assert evidence.needed == pytest.approx(log(1e-3))
    assert evidence.certificate <= evidence.needed
    assert 0 <= evidence.ratio < 1
    assert evidence.certified == (
        "mean within 0.2 sd, log variance within 0.4, lag-1 correlation within 0.2, "
        "each at 0.001"
    )
    assert not agree("a", 1.0, 1.0, 0.0).undecided


def test_evidence_shows_moments_and_path() -> None:
    seen: list[Any] = []

    def draw(count: int) -> Any:
        seen.append(stream(normal, len(seen))(count))
        return seen[-1]

    evidence = sq.judge_normal("output", draw, PLAN)
    u = np.concatenate(seen)[: evidence.n]
    mean, variance, lagged = np.asarray(evidence.measured)
    np.testing.assert_allclose(mean, u.mean(axis=0))
    np.testing.assert_allclose(variance, u.var(axis=0))
    slopes = [np.linalg.lstsq(c[:-1, None], c[1:])[0][0] for c in u.T]
    np.testing.assert_allclose(lagged, slopes)
    np.testing.assert_array_equal(evidence.expected, [[0, 0], [1, 1], [0, 0]])
    t, log_e, certificate = evidence.path[-1]
    assert (t, certificate) == (evidence.n, evidence.certificate)
    assert log_e <= evidence.error
    assert len(evidence.path) <= 40
    assert [point[0] for point in evidence.path] == sorted(
        {p[0] for p in evidence.path}
    )
    assert [len(part) for part in seen] == [256, 256, 512, 1024][: len(seen)]


def test_odds_are_told_in_powers_of_ten_and_without_a_thousand_digits() -> None:
    assert as_power_of_ten(log(1e-3)) == "10^-3.0"
    assert as_power_of_ten(log(4e7), 0) == "10^8"
    assert as_power_of_ten(log(1e299)) == "10^299.0"
    assert as_power_of_ten(np.inf) == as_power_of_ten(691.0) == "more than 10^300"
    assert as_power_of_ten(-691.0) == "less than 10^-300"


def test_what_was_drawn_beyond_the_stop_does_not_count() -> None:
    u = stream(normal, 1)(1024)
    calm = sq.judge_normal("u", stepwise(u), PLAN)
    u[calm.n :] = 50.0
    wild = sq.judge_normal("u", stepwise(u), PLAN)
    assert calm.n < 1024
    assert verdict(calm) == verdict(wild) == "PASS"
    assert (wild.n, wild.error, wild.path) == (calm.n, calm.error, calm.path)


def stepwise(u: Any) -> Callable[[int], Any]:
    rows = iter(u)
    return lambda count: np.array([next(rows) for _ in range(count)])


def test_mistakes_of_the_judge_are_not_verdicts() -> None:
    with pytest.raises(ValueError, match="asked for 256 replicates, got 3"):
        sq.judge_normal("u", lambda n: np.zeros((3, 2)), PLAN)
    with pytest.raises(ValueError, match="NaN"):
        sq.judge_normal("u", lambda n: np.full((n, 2), np.nan), PLAN)
    for change in (
        {"alpha": 0.0},
        {"beta": 1.0},
        {"mean": 0.0},
        {"budget": 0},
        {"direction": -0.1},
    ):
        with pytest.raises(ValueError, match=r"probability|positive|budget"):
            Plan(**{"alpha": ALPHA, **change})
