"""What several levels compute and refuse in places that no other test looks at.

Most is by hand or by enumeration of every outcome, so that it holds to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from refimpl.errors import InvalidParameter, NonFinite, NotIntegrable, Unresolved
from refimpl.losses import Quadratic
from refimpl.multiscale import enumeration, finite, langevin, metropolis
from refimpl.multiscale.coins import Coins, _Toss, log_mean_exp_leaves, mean_leaves
from refimpl.multiscale.enumeration import TwoLevelEnumeration, stationary_law
from refimpl.multiscale.gaussian import (
    GaussianLevel,
    QuadraticChain,
    QuadraticEnergy,
    average_out,
    multiscale_gaussian,
)
from refimpl.multiscale.langevin import NestedLangevin
from refimpl.multiscale.local_entropies import LocalEntropies
from refimpl.multiscale.metropolis import (
    Curried,
    MultilevelMetropolis,
    Stored,
    TableMetropolis,
    as_energy,
    uniform_over_others,
)
from refimpl.multiscale.references import Flat, Independent, RandomWalk, Table
from refimpl.multiscale.risk import LearningProblem
from refimpl.multiscale.spins import SpinChain
from refimpl.multiscale.temperatures import Temperatures
from refimpl.schedules import Constant
from refimpl.sgld import SGLD

EPS = 2.0**-52
ONE, PAIR = Temperatures((1.0,)), Temperatures((2.0, 1.0))
HALVES = np.full((2, 2), 0.25)
SPINS = SpinChain([0.9, 0.2], [0.8, 0.5], Temperatures((1.2, 0.4)))
LINE = Quadratic(2.0, [0.7])
ROUND = QuadraticEnergy(np.eye(2), [0.0, 0.0])
FREE = GaussianLevel(np.zeros((2, 0)), [0.0, 0.0], 1.0)
NESTED = NestedLangevin([0.3, 0.5], PAIR, [SGLD(2, Constant(0.1))] * 2)
CHAIN = LocalEntropies(Quadratic([2.0, 1.0], [0.7, 0.0]), (0.3, 0.5), PAIR)
OTHERS = np.array([[0.0, 1.0], [1.0, 0.0]])
SMALL = TwoLevelEnumeration([[0, 1], [2, 0]], HALVES, PAIR, [OTHERS] * 2)
WALK = MultilevelMetropolis(PAIR, (1.0, 1.0), (2,))
TABLE = TableMetropolis([[0, 1], [2, 0]], HALVES, PAIR, [OTHERS] * 2, (2,))
PROBLEM = LearningProblem(np.zeros((2, 2, 3)), [0.2, 0.3, 0.5], HALVES, (0, 0))


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def uniforms(n: int, steps: int) -> np.ndarray:
    return rng().random((n, steps, TABLE.uniforms_per_step))


def no_energy(*w: Any) -> float:
    return 0.0


def chains(*given: Any) -> NestedLangevin:
    return NestedLangevin((0.3, 0.5), PAIR, given)


REFUSED: list[tuple[str, Callable[[], Any]]] = [
    ("sigma must be a vector", lambda: Temperatures.from_index([[1.0]])),
    ("the sums sigma_k", lambda: Temperatures.from_index([1.0, 0.0])),
    ("the sums sigma_k", lambda: Temperatures.from_index([1.5e308, 1.5e308])),
    ("start must be within", lambda: TABLE([-1, 0], 1, rng=rng())),
    ("uniforms must be of", lambda: TABLE.replay([0, 0], uniforms(1, 1) + 0.5)),
    (
        "the rows of a proposal matrix",
        lambda: TableMetropolis([0, 1], [0.5, 0.5], ONE, [OTHERS * 0.9], ()),
    ),
    ("c must be finite", lambda: SpinChain([0.9], [0.8], ONE, np.nan)),
    ("k must be at most 2, the last level, got 3", lambda: SPINS.energy(3, [1, 1])),
    ("k must be at most 2, the last level, got 3", lambda: SPINS.up(3, [1, 1])),
    ("k must be at least 0", lambda: SPINS.energy(-1, [1, 1])),
    ("k must be at least 1", lambda: SPINS.up(0, [1, 1])),
    ("spins must be -1 or", lambda: SPINS.energy(0, [1, 0.5])),
    ("rule must be a learning rule", lambda: PROBLEM.bound(1, PAIR, 0.5)),  # type: ignore[arg-type]
    (
        "the best sigma needs",  # of the second level alone
        lambda: LearningProblem(
            np.arange(12.0).reshape(2, 2, 3) ** 2, [0.2, 0.3, 0.5], HALVES, (0, 0)
        ).best_temperatures(1, [[0.1, 0.4], [0.4, 0.1]]),
    ),
    (
        "there must be 2 taus and 2 chains, .* got 2 and 1",
        lambda: chains(SGLD(2, Constant(0.1))),
    ),
    ("chains must be SGLD", lambda: chains(SGLD(2, Constant(0.1)), 2)),
    ("x must be a vector", lambda: NESTED.replicates(LINE, 0.5, 2, rng=rng())),
    (
        r"level 1 has shape \(2,\), in the reference \(1,\)",
        lambda: RandomWalk([0.0], [1.0]).log_density(1, np.zeros(2), []),
    ),
    (
        "temperatures must be Temperatures",
        lambda: finite.multiscale_entropy([0.5, 0.5], [0.5, 0.5], (1.0,)),  # type: ignore[arg-type]
    ),
    (
        "f is infinite wherever",
        lambda: finite.gibbs([[np.inf, 0.0]], [[1.0, 0.0]], PAIR),
    ),
    ("p must hold probabilities", lambda: finite.as_law("p", [0.25, 0.25])),
    ("p must hold probabilities", lambda: finite.as_law("p", [0.5, 0.5 + 1.5e-12])),
    ("c must be finite", lambda: QuadraticEnergy([[1.0]], [0.0], np.nan)),
    ("w must have last axis d = 2", lambda: ROUND([1.0])),
    ("mean must have shape", lambda: ROUND.mean([0.0], np.eye(2))),
    ("cov must have shape", lambda: ROUND.mean([0.0, 0.0], np.eye(1))),
    ("f must be a QuadraticEnergy", lambda: multiscale_gaussian(LINE, [FREE], ONE)),  # type: ignore[arg-type]
    ("each level of reference", lambda: multiscale_gaussian(ROUND, [2], ONE)),  # type: ignore[list-item]
    ("V must be a QuadraticEnergy", lambda: average_out(LINE, FREE, 1.0)),  # type: ignore[arg-type]
    ("level must be a GaussianLevel", lambda: average_out(ROUND, 2, 1.0)),  # type: ignore[arg-type]
    (
        "temperatures must not rise by a factor of",
        lambda: Coins(Temperatures((1.0, 2.0**53)), Table(HALVES)),
    ),
    (
        "s must be an array of real numbers",
        lambda: log_mean_exp_leaves("0", HALVES, HALVES, PAIR),  # type: ignore[arg-type]
    ),
    ("paths must be at least 1", lambda: SMALL.estimates(2, 0, 2, rng=rng())),
    ("f must be a number", lambda: as_energy(np.array([1.0]))),
    (
        "scales must be 2 standard deviations",
        lambda: MultilevelMetropolis(PAIR, (1.0, [1.0, 0.0]), (2,)),
    ),
    ("level 1 of start must be", lambda: WALK.begin(no_energy, ["a", [0.0]])),
    ("level 2 of start must be", lambda: WALK.begin(no_energy, [[0.0], ["a"]])),
    ("rng must be a numpy", lambda: TABLE([0, 0], 1, rng=7)),  # type: ignore[arg-type]
    ("steps must be at least 1", lambda: TABLE([0, 0], 0, rng=rng())),
    ("y must have last axis d = 2", lambda: CHAIN([1.0])),
    ("form must be", lambda: CHAIN.gradient([1.0, 2.0], "both")),  # type: ignore[arg-type]
    ("inner_steps must have at least one", lambda: next(SMALL.laws([]))),
    ("transition must be square", lambda: stationary_law(np.zeros((0, 0)))),
]


@pytest.mark.parametrize(("sentence", "ask"), REFUSED)
def test_a_bad_argument_is_named(sentence: str, ask: Callable[[], Any]) -> None:
    with pytest.raises(InvalidParameter, match=f"^{sentence}"):
        ask()


def test_what_is_kept_is_of_arrays_and_tuples() -> None:
    """Whatever it was made from, and not what the caller may still change."""
    assert Temperatures([2, 1]).levels == (2.0, 1.0)  # type: ignore[arg-type]
    nested = NestedLangevin([0.3, 0.5], PAIR, [SGLD(2, Constant(0.1))] * 2)
    assert nested.taus == (0.3, 0.5)
    assert nested.chains == (NESTED.chains[0],) * 2
    assert LocalEntropies(LINE, [0.3, 0.5], PAIR).taus == (0.3, 0.5)  # type: ignore[arg-type]
    half: Any = Fraction(1, 2)
    for one in (
        SpinChain([0.9], [0.8], ONE, half).c,
        QuadraticEnergy([[1.0]], [0.0], half).c,
        Coins(ONE, Table([0.5, 0.5]), half).lower_bound,
    ):
        assert type(one) is float
    found = NESTED.gradient(LINE, [half], rng=rng())
    assert found.dtype == np.float64
    assert found == NESTED.gradient(LINE, [0.5], rng=rng())
    losses = np.arange(12.0).reshape(2, 2, 3)
    problem = LearningProblem(losses, [0.2, 0.3, 0.5], HALVES, [0, np.int64(1)])  # type: ignore[arg-type]
    assert problem.origin == (0, 1)
    before = problem.population_risk
    losses[...] = 0.0
    assert (problem.population_risk == before).all()
    assert type(Independent([[0.0]], [1.0]).means[0]) is np.ndarray
    assert type(RandomWalk([0.0], [1.0]).x) is np.ndarray
    B = np.ones((1, 1))
    level = GaussianLevel(B, [0.0], 1.0)
    B[...] = 0.0
    assert level.B == 1.0


# --- spins


@pytest.mark.parametrize(("gamma", "u"), [(10.0, 9.5), (-7.0, 8.0), (1.0, 12.0)])
def test_what_a_spin_passes_on_keeps_its_digits(gamma: float, u: float) -> None:
    """Where tanh(gamma) tanh(u) is near 1, but not 1."""
    chain = SpinChain([u], [gamma], ONE)
    with mpmath.workdps(60):
        wanted = mpmath.atanh(mpmath.tanh(gamma) * mpmath.tanh(u))
    assert abs(chain.fields[0][0][0] - float(wanted)) <= 8 * EPS * abs(float(wanted))


def test_a_spin_is_up_as_often_as_its_energies_say() -> None:
    """From the reference and the energies of both spins, at every level."""
    t = (1.2, 0.4, 0.7)
    chain = SpinChain([0.9], [0.8, -0.5, 0.3], Temperatures(t))
    for k, gamma in enumerate((0.8, -0.5, 0.3), 1):
        rise = float(chain.energy(k, [1]) - chain.energy(k, [-1]))
        for x in (-1.0, 1.0):
            odds = np.exp(2 * gamma * x - rise / t[k - 1])
            assert abs(chain.up(k, [x])[0] - odds / (1 + odds)) <= 8 * EPS


# --- references


def test_references_by_hand() -> None:
    """A walk is around the level right above; what is flat is 0."""
    walk = RandomWalk([1.0], [0.5, 0.25, 2.0])
    above = [np.array([2.0]), np.array([5.0])]
    assert walk.log_density(3, np.array([8.0]), above) == -9 / 4
    assert walk.log_density(2, np.array([8.0]), above[:1]) == -36 / 0.5
    assert walk.log_density(1, np.array([8.0]), []) == -49.0
    apart = Independent([[1.0], [2.0, 3.0]], [4.0, 0.25])
    for k, (mean, deviation) in enumerate((([1.0], 2.0), ([2.0, 3.0], 0.5)), 1):
        noise = rng().standard_normal(len(mean))
        assert (apart.draw(k, [], rng()) == mean + deviation * noise).all()
    assert Flat().log_density(1, np.zeros(1), []) == 0.0


class Last:
    """The largest number that a generator gives for a uniform."""

    def random(self) -> float:
        return 1 - 2.0**-53


def test_a_draw_of_a_table_is_one_of_its_indices() -> None:
    """Also where rounding leaves the sum of its probabilities below the uniform."""
    table = Table(np.full(6, 1 / 6))
    assert np.cumsum(np.exp(table.conditionals[0]))[-1] < Last().random()
    found: Any = table.draw(1, (), Last())  # type: ignore[arg-type]
    assert found == 5


# --- tables


def test_a_law_may_miss_1_by_what_is_said_and_is_divided() -> None:
    for off in (0.8e-12, -0.8e-12):
        law = finite.as_law("p", [0.5, 0.5 + off])
        assert abs(law.sum() - 1) <= EPS


def test_a_divergence_that_begins_to_be_infinite_is_infinite() -> None:
    """Though sigma_2 is negative, and the first level's divergence is finite."""
    t = Temperatures((1.0, 2.0, 3.0))
    P, Q = np.full((2, 2, 2), 0.125), np.full((2, 2, 2), 0.125)
    Q[:, 0], Q[:, 1] = 0.25, 0.0
    assert np.isinf(finite.prefix_divergences(P, Q)).tolist() == [False, True, True]
    assert finite.multiscale_entropy(P, Q, t) == np.inf


# --- Gaussian levels


def test_a_level_that_is_just_flat_is_refused() -> None:
    """Where the energy takes back all of the reference's curvature, no more."""
    with pytest.raises(NotIntegrable, match=r"least eigenvalue is 0$"):
        average_out(QuadraticEnergy(-np.eye(2), [0.0, 0.0]), FREE, 1.0)
    with pytest.raises(NotIntegrable, match=r"h = -3$"):
        _ = QuadraticChain(Quadratic([-3.0, 1.0], [0.0, 0.0]), (1.0,), ONE).energies


def test_what_nearly_cancels_is_symmetric() -> None:
    """B^T H_vv B is not, in floats; what is left is a millionth of its terms."""
    v = np.array([1.0, -0.5, 0.25, 0.7, -1.3])
    H = 1e6 * np.outer(v, v) + np.diag([0.5, 0.6, 0.7, 0.8, 0.9])
    B = np.array([[0.3, -1.1, 0.2], [0.0, 0.0, 0.0]])
    B[1] = -(v[:3] + B[0] * v[3]) / v[4]
    level = GaussianLevel(B, [0.0, 0.0], 1.0)
    found = average_out(QuadraticEnergy(H, np.zeros(5)), level, 1.0)[0].H
    assert (found == found.T).all()


# --- risk


def test_the_terms_of_the_bound_are_where_they_are_named() -> None:
    """Of a rule that ignores the sample: the loss is its mean, the entropy known."""
    losses, Q = np.array([[0.0, 4.0], [3.0, 1.0]]), np.array([0.25, 0.75])
    law = np.array([0.5, 0.5])
    found = LearningProblem(losses, [0.5, 0.5], Q, (0,)).bound(2, ONE, lambda _: law)
    assert abs(found.empirical - 2.0) <= 8 * EPS
    assert abs(found.entropy - 0.5 * np.log(4 / 3)) <= 8 * EPS


# --- coins


class Unlikely(Exception):
    """A run that is not followed further."""


class Choices:
    """A run's random choices, on a given path; beyond its end the first of each."""

    def __init__(self, path: list[int], least: float) -> None:
        self.path, self.least = path, least
        self.taken: list[tuple[int, int]] = []
        self.chance = 1.0

    def choose(self, chances: Any) -> int:
        i = self.path[len(self.taken)] if len(self.taken) < len(self.path) else 0
        self.taken.append((i, len(chances)))
        self.chance *= chances[i]
        if self.chance < self.least:
            raise Unlikely
        return i

    def random(self) -> Any:
        return Uniform(self)


class Uniform:
    """What is below p with probability p."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices

    def __lt__(self, p: float) -> bool:
        return self.choices.choose((p, 1 - p)) == 0


class Drawing:
    """A reference of three levels that says what it can draw."""

    laws = ((0.25, 0.75), (0.4, 0.6), (1.0,))

    def draw(self, k: int, above: Any, choices: Any) -> int:
        assert len(above) == k - 1
        return int(choices.choose(self.laws[k - 1]))


def outcomes(run: Callable[[Choices], Any], least: float) -> Iterator[Any]:
    """What every run returns that is likely enough, and how likely it is."""
    path: list[int] = []
    while True:
        choices = Choices(path, least)
        with suppress(Unlikely):
            yield run(choices), choices.chance
        taken = choices.taken
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        path = [i for i, _ in taken]
        path[-1] += 1


@pytest.mark.parametrize("levels", [(1.0, 0.5, 0.4), (0.5, 0.5, 0.7), (0.4, 0.5, 0.6)])
def test_a_coin_by_all_its_tosses(levels: Any) -> None:
    """Heads with probability Z^theta, of what is followed; the rest may be either."""
    t, f = Temperatures(levels), (0.0, 0.2)
    coins: Any = Coins(t, Drawing(), -0.05)  # type: ignore[arg-type]
    below = np.exp(-(np.array(f) + 0.05) / levels[2]) ** t.exponents[1]

    def run(choices: Any) -> Any:
        place = Curried(lambda a, b, c: f[b]).given(1)
        return _Toss(coins, choices)._coin((1,), place)

    heads = tails = 0.0
    for found, chance in outcomes(run, 1e-6):
        heads, tails = heads + chance * bool(found), tails + chance * (not found)
        assert found in (None, (0, 0), (1, 0))
    left = 1 - heads - tails
    assert 0 <= left < 0.005
    wanted = (np.array([0.4, 0.6]) @ below) ** t.exponents[0]
    assert heads - 1e-12 <= wanted <= heads + left + 1e-12


def test_a_sample_may_take_as_many_values_as_it_is_allowed() -> None:
    draw = Coins(ONE, Table([0.5, 0.5]), most=1)
    assert draw(lambda w: 0.0, rng=rng()).leaves == 1


def test_a_level_that_is_hotter_by_2_to_the_52_is_served() -> None:
    t = Temperatures((1.0, 2.0**52))
    assert mean_leaves(np.zeros((2, 2)), HALVES, t) == 2.0**52
    assert Coins(t, Table(HALVES)).temperatures is t


NEVER = np.array([[np.inf, np.inf], [0.0, 0.0]])


def test_the_law_of_the_price_at_the_edge_of_floats() -> None:
    """Infinite where one coin's tries are, told where one coin never shows heads."""
    t = Temperatures((1.0, 0.5))
    for s, f in ((0.5, [[0.0, 0.0], [5.0, 5.0]]), (1e-20, NEVER)):
        assert log_mean_exp_leaves(s, f, HALVES, t) == np.inf
    assert log_mean_exp_leaves(800.0, [0.0, 1.0], [0.5, 0.5], ONE) == np.inf
    far: Any = ((NEVER, HALVES, t), (NEVER, HALVES, Temperatures((1.0, 1.0))))
    for given in (*far, ([100.0], [1.0], ONE)):
        with pytest.raises(Unresolved, match="at s = 0"):
            log_mean_exp_leaves(0.0, *given)
    # one of two coins: tails with 1 - (1 - 1/e)^theta
    tails, heads = 1 - (1 - np.exp(-1)) ** 0.5, np.exp(-1)
    wanted = np.log(heads / 2 / (1 - tails / 2))
    assert abs(log_mean_exp_leaves(-1.0, NEVER, HALVES, t) - wanted) <= 16 * EPS


@pytest.mark.parametrize("theta", [1000.0, 1001.0, 1002.0, 3000.5])
def test_a_coin_that_must_show_many_heads_first(theta: float) -> None:
    """By Fractions of Z = 255/256, but for its last power."""
    Z = Fraction(255, 256)
    f = np.array([[0.0, -np.log1p(-1 / 128)]])
    t = Temperatures((1.0, theta))
    scaled, Q = f * theta, np.array([[0.5, 0.5]])
    extra = int(np.ceil(theta)) - 1
    first = (1 - Z**extra) / (1 - Z)
    with mpmath.workdps(50):
        z = mpmath.mpf(255) / 256
        last = z ** mpmath.mpf(theta - 1)
        wanted = (mpmath.mpf(first.numerator) / first.denominator + last) / z**theta
    # a rounding of Z is one of Z^theta, theta times as large
    found = mean_leaves(scaled, Q, t)
    assert abs(found - float(wanted)) <= 8 * theta * EPS * float(wanted)


# --- nested Langevin


def test_points_side_by_side_are_as_many_coordinates() -> None:
    f = Quadratic([2.0, 1.0], [0.7, 0.0])
    both = langevin._SideBySide(f, 3)
    y = np.arange(6.0)
    assert both.d == 6
    assert both(list(y)) == f(y.reshape(3, 2)).sum()
    wanted = f.gradient(y.reshape(3, 2)).ravel()
    assert (both.gradient(list(y)) == wanted).all()


# --- enumeration


@pytest.mark.parametrize("seed", range(4))
def test_a_probability_that_no_transition_is_below(seed: int) -> None:
    """The least of the inner chain's, times the least chance of a proposal's way."""
    random = np.random.default_rng(seed)
    f, Q = random.exponential(size=(3, 2)), random.dirichlet(np.ones(6)).reshape(3, 2)
    p1, p2 = random.dirichlet(np.ones(3), 3), random.dirichlet(np.ones(2), 2)
    p1[0] = [0.5, 0.5, 0.0]  # and 2 -> 0 has no way back
    if seed % 2:  # nor has 2 -> 1, and what is never proposed is unlikely
        p1[1] = [0.5, 0.5, 0.0]
        f[2] += 5.0
    t, T = Temperatures((0.7, 0.3)), 2
    q1, q2 = Q.sum(axis=1), Q / Q.sum(axis=1, keepdims=True)
    least = []
    for a in range(3):
        density = q2[a] * np.exp(-f[a] / 0.3)
        P = np.zeros((2, 2))
        for i, j in ((0, 1), (1, 0)):
            P[i, j] = p2[i, j] * min(1, density[j] * p2[j, i] / (density[i] * p2[i, j]))
            P[i, i] = 1 - P[i, j]
        chances = [1.0]
        for b in range(3):
            if p1[a, b] > 0 and p1[b, a] > 0:
                terms = q2[b] / q2[a] * np.exp(-(f[b] - f[a]) / 0.3)
                way = q1[b] * p1[b, a] / (q1[a] * p1[a, b])
                chances.append(way * terms.min() ** (0.3 / 0.7))
        least.append((P @ P).min() * min(chances))
    method = TwoLevelEnumeration(f, Q, t, [p1, p2])
    found = method._least(T)
    assert abs(found - np.log(min(least))) <= 1e-12  # hundreds of roundings


def test_a_move_that_is_sure_makes_nothing_likelier() -> None:
    """The outer moves from where the least is are all accepted."""
    t, f = Temperatures((1.0, 0.3)), 0.3 * np.array([[1.0, 11.0], [0.0, 0.0]])
    method = TwoLevelEnumeration(f, HALVES, t, [OTHERS, np.full((2, 2), 0.5)])
    assert abs(method._least(1) - (np.log(0.5) - 10)) <= 32 * EPS


def moved(f: Any, Q: Any, t: Temperatures, p1: Any, visits: Any) -> np.ndarray:
    """Transitions by visits(w1, s): the chances of the states seen, the last of all."""
    n1, n2 = f.shape
    q1, q2 = Q.sum(axis=1), Q / Q.sum(axis=1, keepdims=True)
    total = np.zeros((n1, n2, n1, n2))
    for a, s, b in np.ndindex(n1, n2, n1):
        gain = q2[b] / q2[a] * np.exp(-(f[b] - f[a]) / t.levels[1])
        for chance, seen, last in visits(a, s):
            A = np.mean(gain[list(seen)]) ** t.exponents[0]
            share = min(1.0, q1[b] * p1[b, a] / (q1[a] * p1[a, b]) * A)
            total[a, s, b, last] += chance * p1[a, b] * share
            total[a, s, a, last] += chance * p1[a, b] * (1 - share)
    return total.reshape(n1 * n2, n1 * n2)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
@pytest.mark.parametrize("inner", ["independent", "equilibrium"])
def test_inner_draws_of_the_conditional_law(inner: Any, shape: Any) -> None:
    """By all pairs of states that two inner steps see."""
    random = np.random.default_rng(2)
    f, Q = random.random(shape), random.dirichlet(np.ones(6)).reshape(shape)
    p = [random.dirichlet(np.ones(n), n) for n in shape]
    t = Temperatures((0.9, 0.4))
    density = Q * np.exp(-f / 0.4)
    own = density / density.sum(axis=1, keepdims=True)

    def kernel(a: int) -> np.ndarray:
        P = np.tile(own[a], (shape[1], 1))
        if inner == "equilibrium":
            odds = own[a] / own[a][:, None] * p[1].T / p[1]
            P = p[1] * np.minimum(odds, 1.0)
            np.fill_diagonal(P, 0.0)
            np.fill_diagonal(P, 1 - P.sum(axis=1))
        return P

    def visits(a: int, s: int) -> Iterator[Any]:
        del s  # the first state is drawn
        for i, j, k in np.ndindex(*shape[1:] * 3):
            P = kernel(a)
            yield own[a, i] * P[i, j] * P[j, k], (j, k), k

    law = TwoLevelEnumeration(f, Q, t, p, inner).law(2)
    wanted = moved(f, Q, t, p[0], visits)
    np.testing.assert_allclose(law.transition, wanted, rtol=64 * EPS)
    after = stationary_law(wanted).reshape(shape)
    np.testing.assert_allclose(law.after, after, rtol=256 * EPS)
    recorded = after.sum(axis=1, keepdims=True) * own
    np.testing.assert_allclose(law.recorded, recorded, rtol=256 * EPS)


def test_estimates_are_means_of_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of paths that were looked at on the way; each group is left out once."""
    t, groups, T = Temperatures((0.9, 0.4)), 3, 5
    f, Q = np.array([[0.0, 0.7], [0.4, 0.2]]), np.array([[0.1, 0.4], [0.3, 0.2]])
    p = [np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([[0.5, 0.5], [0.7, 0.3]])]
    kept: list[tuple[Any, Any]] = []
    draw = enumeration._drawn_visits

    def spied(P: Any, steps: int, n: int, random: Any) -> Any:
        np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=8 * EPS)
        assert (steps, n) == (T, 4)
        kept.append(draw(P, steps, n, random))
        return kept[-1]

    monkeypatch.setattr(enumeration, "_drawn_visits", spied)
    method = TwoLevelEnumeration(f, Q, t, p)
    law, others = method.estimates(T, 4 * groups, groups, rng=rng())
    assert (law.inner_steps, len(others), len(kept)) == (T, groups, 2 * groups)

    def of_group(g: int) -> np.ndarray:
        def visits(a: int, s: int) -> Iterator[Any]:
            counts, D = kept[a * groups + g]
            assert (counts.sum(axis=1) == T).all()
            for c, last in np.argwhere(D[:, s]):
                seen = np.repeat([0, 1], counts[c].astype(int))
                yield D[c, s, last], seen, last

        return moved(f, Q, t, p[0], visits)

    parts = [of_group(g) for g in range(groups)]
    np.testing.assert_allclose(law.transition, sum(parts) / groups, atol=32 * EPS)
    for g, other in enumerate(others):
        rest = sum(part for i, part in enumerate(parts) if i != g) / (groups - 1)
        np.testing.assert_allclose(other.transition, rest, atol=32 * EPS)


def test_logarithms_are_taken_where_one_number_of_steps_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two steps of e^-400 each, which one step does not show."""
    asked: list[bool] = []
    after = enumeration._Visits.after

    def spied(self: Any, log_P: Any, wanted: Any, logs: bool) -> Any:
        asked.append(bool(logs))
        return after(self, log_P, wanted, logs)

    monkeypatch.setattr(enumeration._Visits, "after", spied)
    p2 = np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])
    f, Q = np.array([[0.0, 400.0, 800.0]]), np.full((1, 3), 1 / 3)
    method = TwoLevelEnumeration(f, Q, Temperatures((1.0, 1.0)), [[[1.0]], p2])
    for wanted, logs in (([1], False), ([1, 2], True), ([2], True)):
        list(method.laws(wanted))
        assert asked.pop() is logs
    assert asked == []


def test_a_budget_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two states a composition has four."""
    monkeypatch.setattr(enumeration, "MOST_CELLS", 40)
    assert len(enumeration._Visits(2, 9).totals) == 10
    with pytest.raises(InvalidParameter, match="10 inner steps on 2 states"):
        enumeration._Visits(2, 10)


def test_many_steps_on_two_states_are_enumerated() -> None:
    """Their 3001 visits with two states each are far below the budget."""
    visits = enumeration._Visits(2, 3000)
    assert visits.counts(3000).shape == (3001, 2)


class Script:
    """Uniforms as written; geometric numbers that move at once."""

    def __init__(self, *uniforms: float) -> None:
        self.uniforms = list(uniforms)

    def geometric(self, rates: Any) -> Any:
        assert (rates <= 1).all()
        return np.ones(len(rates), np.int64)

    def random(self, size: int) -> Any:
        return np.array([self.uniforms.pop(0) for _ in range(size)])


def drawn(P: Any, *uniforms: float) -> list[int]:
    """To where one step from each state leads."""
    script: Any = Script(*uniforms)
    D = enumeration._drawn_visits(np.array(P), 1, 1, script)[1]
    return [int(i) for i in np.argwhere(D)[:, 2]]


def test_a_path_goes_where_its_uniform_says() -> None:
    """An edge belongs to what is right of it; rounding leads nowhere impossible."""
    P = [[0.0, 0.5, 0.5], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]
    assert drawn(P, 0.5, 0.5) == [2, 2, 2]
    assert drawn(P, 0.5 - EPS, 0.5 - EPS) == [1, 0, 2]
    chances = np.random.default_rng(34).random(7)
    row = np.concatenate([[0.0], chances / chances.sum() * 0.9, [0.0]])
    assert (np.cumsum(row) / row.sum())[-1] <= 1 - EPS
    P = np.diag([0.1, *[1.0] * 8])
    P[0] += row
    assert drawn(P, 1 - EPS / 2)[0] == 7


def test_a_state_that_is_left_at_once_by_rounding_more() -> None:
    """The sum of its probabilities is a rounding above 1."""
    assert drawn([[0.0, 1 + EPS], [1.0, 0.0]], 0.5, 0.5) == [1, 0]


# --- multilevel Metropolis


class Asked:
    """A reference that keeps what it is asked; `last` is its density at level 2."""

    levels = 3

    def __init__(self, last: float = 0.0) -> None:
        self.last = last
        self.asked: list[tuple[int, float, list[float]]] = []

    def log_density(self, k: int, w: Any, above: Any) -> float:
        self.asked.append((k, float(w[0]), [float(one[0]) for one in above]))
        return self.last if k == 2 else 0.0

    def draw(self, k: int, above: Any, rng: Any) -> Any:
        raise AssertionError


def test_a_walk_begins_level_by_level() -> None:
    t, start = Temperatures((1.0, 1.0, 1.0)), [[1.0], [2.0], [3.0]]
    Q = Asked()
    walk = MultilevelMetropolis(t, (1.0,) * 3, (1, 1), Q).begin(
        lambda a, b, c: float(a[0] + 10 * b[0] + 100 * c[0]), start
    )
    assert Q.asked == [(1, 1.0, []), (2, 2.0, [1.0]), (3, 3.0, [1.0, 2.0])]
    assert walk.energy == 321.0
    assert (walk.accepted, walk.tried) == ([0, 0, 0], [0, 0, 0])
    never = MultilevelMetropolis(t, (1.0,) * 3, (1, 1), Asked(-np.inf))
    with pytest.raises(NonFinite, match=r"^log q_2 of the reference at start"):
        never.begin(no_energy, start)


@pytest.mark.parametrize(
    ("scale", "fits"),
    [
        *(((3,), True), ((2, 1), True), ((2, 3), True), ((1,), True), ((), True)),
        *(((2,), False), ((5, 3), False), ((2, 5), False), ((1, 2, 3), False)),
    ],
)
def test_a_scale_that_broadcasts_is_taken(scale: tuple[int, ...], fits: bool) -> None:
    method = MultilevelMetropolis(ONE, (np.ones(scale),))
    if fits:
        assert method.begin(no_energy, [np.zeros((2, 3))]).energy == 0.0
        return
    with pytest.raises(InvalidParameter, match=r"does not broadcast$"):
        method.begin(no_energy, [np.zeros((2, 3))])


@pytest.mark.parametrize(("u", "moved"), [(0.5, False), (0.5 - EPS / 4, True)])
def test_a_move_of_chance_one_half_needs_a_uniform_below(u: float, moved: bool) -> None:
    method = MultilevelMetropolis(ONE, (1.0,))
    walk = method.begin(lambda a: float(a[0]), [[0.0]])
    draws = Stored(np.array([-np.log(0.5)]), np.array([u]))
    assert method.advance(walk, draws).accepted == (int(moved),)
    with pytest.raises(InvalidParameter, match=r"more than the 1 normals$"):
        draws.normal((1,))
    with pytest.raises(InvalidParameter, match=r"more than the 1 uniforms$"):
        draws.uniform()


@pytest.mark.parametrize("steps_at_once", [1, 2, 5])
def test_runs_are_replays_of_their_uniforms(
    steps_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps of uniforms are drawn at a time, and one at least."""
    n, steps, m = 3, 5, TABLE.uniforms_per_step
    size = steps_at_once * n * m if steps_at_once > 1 else 1
    monkeypatch.setattr(metropolis, "BLOCK", size)
    random = rng()
    given = [
        random.random((n, min(steps_at_once, steps - t), m))
        for t in range(0, steps, steps_at_once)
    ]
    found = TABLE([0, 1], steps, rng=rng(), n=n)
    wanted = TABLE.replay([0, 1], np.concatenate(given, axis=1))
    assert (found.states == wanted.states).all()
    assert (found.last == wanted.last).all()
    assert (found.accepted == wanted.accepted).all()
    assert found.tried.tolist() == wanted.tried.tolist() == [5, 10]


def test_proposals_of_another_state() -> None:
    assert uniform_over_others(1).tolist() == [[1.0]]
    assert uniform_over_others(2).tolist() == OTHERS.tolist()
