"""Multilevel Metropolis: replayed beside a recursion, and judged by exact laws.

The recursion is written here once more from the two procedures, for any moves; the
compiled kernel has no recursion, and the core for any energy keeps what it knows.  The
statistical tests compare independent runs with laws that are known exactly, and name
their false alarm probability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numba
import numpy as np
import pytest
from scipy import stats

from refimpl.errors import InvalidParameter, NonFinite
from refimpl.multiscale import metropolis
from refimpl.multiscale.enumeration import TwoLevelEnumeration
from refimpl.multiscale.finite import gibbs
from refimpl.multiscale.metropolis import (
    Curried,
    MultilevelMetropolis,
    Random,
    Stored,
    TableMetropolis,
    uniform_over_others,
)
from refimpl.multiscale.references import Flat, Independent, RandomWalk, Table
from refimpl.multiscale.temperatures import Temperatures

ALARM = 1e-7  # of each statistical test: false alarms

compiled_only = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: minutes of plain loops"
)
M1 = np.array([[0.0, 1.2, 0.8], [0.9, 0.1, 1.1], [0.5, 1.4, 0.3]])


# --- the two procedures once more, by recursion


class Recursion:
    """step and ratio for levels counted from 1, straight from the definition."""

    def __init__(
        self,
        f: Callable[..., float],
        log_q: Callable[..., float],
        levels: tuple[float, ...],
        inner: tuple[int, ...],
        propose: Callable[[int, Any], tuple[Any, float]],
        uniform: Callable[[], float],
        start: list[Any],
    ) -> None:
        self.f, self.log_q, self.levels, self.inner = f, log_q, levels, inner
        self.propose, self.uniform, self.w = propose, uniform, list(start)
        self.d, self.recorded, self.log_ratios = len(levels), [], []

    def theta(self, k: int) -> float:
        return 1.0 if k == self.d else self.levels[k] / self.levels[k - 1]

    def step(self, k: int) -> None:
        new, back = self.propose(k, self.w[k - 1])
        above = self.w[: k - 1]
        log_R = self.log_ratio(k, [*above, new])
        if k == 1:
            self.recorded.append(list(self.w))
            self.log_ratios.append(log_R)
        change = self.log_q(k, new, above) - self.log_q(k, self.w[k - 1], above)
        with np.errstate(divide="ignore"):
            if np.log(self.uniform()) < change + back + self.theta(k) * log_R:
                self.w[k - 1] = new

    def log_ratio(self, k: int, hat: list[Any]) -> float:
        if k == self.d:
            return -(self.f(*hat) - self.f(*self.w)) / self.levels[-1]
        terms = []
        for _ in range(self.inner[k - 1]):
            self.step(k + 1)
            x = self.w[k]
            change = self.log_q(k + 1, x, hat) - self.log_q(k + 1, x, self.w[:k])
            terms.append(change + self.theta(k + 1) * self.log_ratio(k + 1, [*hat, x]))
        return float(np.log(np.mean(np.exp(np.array(terms)))))


def table(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray, list]:
    """Energies, a reference that is no product, proposals without symmetry."""
    rng = np.random.default_rng(seed)
    Q = rng.random(shape) + 0.2
    proposals = [rng.random((n, n)) + 0.1 for n in shape]
    proposals = [p / p.sum(axis=1, keepdims=True) for p in proposals]
    return rng.random(shape) * 2, Q / Q.sum(), proposals


TABLES = [
    ((4,), (0.7,), ()),
    ((3, 2), (1.5, 0.5), (4,)),
    ((2, 3), (0.4, 0.8), (3,)),
    ((3, 2, 4), (1.0, 0.5, 0.2), (3, 2)),
    ((2, 2, 2, 2), (0.2, 0.9, 0.3, 0.6), (2, 1, 3)),
]


@pytest.mark.parametrize(("shape", "levels", "inner"), TABLES, ids=str)
def test_tables_are_replayed(
    shape: tuple[int, ...], levels: tuple[float, ...], inner: tuple[int, ...]
) -> None:
    f, Q, proposals = table(shape, 5)
    method = TableMetropolis(f, Q, Temperatures(levels), proposals, inner)
    n, T, m = 3, 20, method.uniforms_per_step
    u = np.random.default_rng(6).random((n, T, m))
    start = [size - 1 for size in shape]
    found = method.replay(start, u)
    reference = Table(Q)
    for i in range(n):
        draws = iter(u[i].ravel())

        def propose(k: int, w: int, draws: Iterator[float] = draws) -> Any:
            p = proposals[k - 1]
            new = int(np.searchsorted(np.cumsum(p[w]), next(draws), side="right"))
            return new, float(np.log(p[new, w] / p[w, new]))

        run = Recursion(
            lambda *w: f[w],
            reference.log_density,
            levels,
            inner,
            propose,
            lambda draws=draws: next(draws),
            start,
        )
        for t in range(T):
            run.step(1)
            assert run.recorded[-1] == found.states[i, t].tolist()
        assert next(draws, None) is None  # all uniforms were used, and no more
        assert run.w == found.last[i].tolist()
    assert (found.tried == T * np.array(method.moves_per_step)).all()
    assert ((found.accepted > 0) & (found.accepted <= found.tried)).all()


def quartic(*w: np.ndarray) -> float:
    """An energy that mixes all levels."""
    total = sum((k + 1) * w_k.sum() for k, w_k in enumerate(w))
    return float(0.05 * total**2 + sum((w_k**4).sum() for w_k in w))


REFERENCES = {
    "flat": lambda d: Flat(),
    "independent": lambda d: Independent(
        [np.full(2, 0.1 * k) for k in range(d)], [1, 2, 0.5][:d]
    ),
    "walk": lambda d: RandomWalk(np.zeros(2), [0.5, 0.3, 0.8][:d]),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(
    ("levels", "inner"),
    [((0.5,), ()), ((1.5, 0.5), (4,)), ((0.3, 0.6, 0.2), (3, 2))],
    ids=str,
)
def test_any_energy_is_replayed(
    name: str, levels: tuple[float, ...], inner: tuple[int, ...]
) -> None:
    d, T = len(levels), 15
    reference: Any = REFERENCES[name](d)
    scales: tuple[Any, ...] = (0.4, np.array([0.2, 0.6]), 0.3)[:d]
    if name == "flat":
        method = MultilevelMetropolis(Temperatures(levels), scales, inner)
    else:
        method = MultilevelMetropolis(Temperatures(levels), scales, inner, reference)
    rng = np.random.default_rng(8)
    z, u = rng.standard_normal(4000), rng.random(2000)
    start = [np.full(2, 0.3 - 0.2 * k) for k in range(d)]
    draws = Stored(z, u)
    walk = method.begin(quartic, start)
    visits = [method.advance(walk, draws) for _ in range(T)]
    again = Stored(z, u)
    run = Recursion(
        quartic,
        reference.log_density,
        levels,
        inner,
        lambda k, w: (w + scales[k - 1] * again.normal((2,)), 0.0),
        again.uniform,
        start,
    )
    for visit in visits:
        run.step(1)
        np.testing.assert_array_equal(visit.w, run.recorded[-1])
        assert visit.energy == quartic(*visit.w)
        assert visit.log_ratio == pytest.approx(run.log_ratios[-1], rel=1e-12)
    np.testing.assert_array_equal(walk.w, run.w)
    assert walk.energy == quartic(*walk.w)
    assert draws._used == again._used
    assert sum(sum(visit.accepted) for visit in visits) == sum(walk.accepted)
    assert 0 < walk.accepted[0] < T


def test_the_published_numbers_of_one_step() -> None:
    """By hand: A is the mean of the two weights, and its exponent 1/3."""
    method = MultilevelMetropolis(Temperatures.from_index((2.0, 1.0)), (1.0, 1.0), (2,))
    visits = []
    for u in (0.99, 0.0):  # the inner proposals are refused, or taken
        walk = method.begin(lambda a, b: float(a * a + b), [np.zeros(()), np.zeros(())])
        draws = Stored(np.array([1.0, 2.0, 3.0]), np.array([u, u, 0.99]))
        visits.append(method.advance(walk, draws))
    stay, move = visits
    assert (stay.w[1], stay.accepted, stay.log_ratio) == (0.0, (0, 0), -1.0)
    assert (move.w[1], move.accepted, move.log_ratio) == (5.0, (0, 2), -1.0)
    assert (stay.share, stay.evaluations, move.evaluations) == (0.5, 3, 4)


# --- the law, exactly known


def cells_fit(states: np.ndarray, law: np.ndarray, alarm: float = ALARM) -> bool:
    """Whether independent states (n, d) may have this law: every cell's own count.

    Exact binomial tails, the alarm shared by both tails of all cells.
    """
    counts = np.zeros(law.shape, int)
    np.add.at(counts, tuple(states.T), 1)
    n, level = len(states), alarm / (2 * law.size)
    below = stats.binom.cdf(counts, n, law)
    above = stats.binom.sf(counts - 1, n, law)
    return bool((np.minimum(below, above) >= level).all())


def law_at(method: TwoLevelEnumeration, start: tuple[int, int], T: int, inner: int):
    """What outer step T records, from a start: from the exact kernel."""
    n1, n2 = method.f.shape
    after = np.zeros(n1 * n2)
    after[np.ravel_multi_index(start, method.f.shape)] = 1
    law = method.law(inner)
    after = (after @ np.linalg.matrix_power(law.transition, T - 1)).reshape(n1, n2)
    moved = [
        after[w] @ np.linalg.matrix_power(np.exp(method._log_inner_kernel(w)), inner)
        for w in range(n1)
    ]
    return np.array(moved)


@pytest.mark.parametrize("levels", [(0.45, 0.15), (0.2, 0.4)], ids=str)
@compiled_only
def test_what_short_runs_record(levels: tuple[float, float]) -> None:
    """30,000 runs of three outer steps.  False alarms: 1e-7.

    Another exponent, the pairs after the decision and a uniform reference are seen.
    """
    f, Q, proposals = table((3, 3), 2)
    exact = TwoLevelEnumeration(f, Q, Temperatures(levels), proposals)
    wanted = law_at(exact, (2, 0), 3, 2)

    def run(method: TableMetropolis) -> Any:
        return method((2, 0), 3, rng=np.random.default_rng(11), n=30000)

    right = run(TableMetropolis(f, Q, Temperatures(levels), proposals, (2,)))
    assert cells_fit(right.states[:, -1], wanted)
    assert not cells_fit(right.last, wanted)
    sigma = Temperatures((sum(levels), levels[1]))
    assert not cells_fit(
        run(TableMetropolis(f, Q, sigma, proposals, (2,))).states[:, -1], wanted
    )
    flat = np.full((3, 3), 1 / 9)
    wrong = TableMetropolis(f, flat, Temperatures(levels), proposals, (2,))
    assert not cells_fit(run(wrong).states[:, -1], wanted)


@compiled_only
def test_a_long_run_on_m1_is_as_far_from_its_law_as_computed() -> None:
    """20,000 runs of 40 outer steps with T' = 10, warm: .0135 from P*, and told apart.

    The chain forgets its start: what is left of it after 40 steps is below 1e-6.
    """
    t, uniform = Temperatures((1.5, 0.5)), np.full((3, 3), 1 / 9)
    others = [uniform_over_others(3)] * 2
    law = TwoLevelEnumeration(M1, uniform, t, others).law(10)
    slowest = sorted(np.abs(np.linalg.eigvals(law.transition)))[-2]
    assert slowest**40 < 1e-6
    run = TableMetropolis(M1, uniform, t, others, (10,))
    found = run((0, 0), 40, rng=np.random.default_rng(3), n=20000).states[:, -1]
    assert cells_fit(found, law.recorded)
    plain = gibbs(M1, uniform, Temperatures((0.5, 0.5)))
    assert not cells_fit(found, plain)
    assert not cells_fit(found, law.after)


@compiled_only
def test_three_levels_approach_their_law() -> None:
    """8,000 runs of 12 outer steps from a draw of P*, with long inner loops.

    The bias that finite inner loops leave is not known exactly; it must be below .03,
    which that of a plain Gibbs law and of the pairs after the decision is not.  The
    total variation of n = 8,000 draws on 8 cells from their own law has a mean below
    sqrt(8 / n) / 2 = .016 and is more than sqrt(log(1e7) / 2n) = .032 above it with a
    probability below 1e-7 (McDiarmid).
    """
    f, Q, proposals = table((2, 2, 2), 3)
    t = Temperatures((1.5, 0.6, 0.3))
    target = gibbs(f, Q, t)
    method = TableMetropolis(f, Q, t, proposals, (12, 12))
    found = method((0, 0, 0), 12, rng=np.random.default_rng(4), n=8000)

    def distance(states: np.ndarray) -> float:
        counts = np.zeros(target.shape)
        np.add.at(counts, tuple(states.T), 1)
        return 0.5 * float(np.abs(counts / len(states) - target).sum())

    assert distance(found.states[:, -1]) < 0.03 + 0.048
    assert distance(found.last) > 0.1
    assert 0.5 * np.abs(gibbs(f, Q, Temperatures((0.3,) * 3)) - target).sum() > 0.1


def quadratic(H: np.ndarray) -> Callable[..., float]:
    def f(a: np.ndarray, b: np.ndarray) -> float:
        w = np.array([a, b])
        return float(0.5 * w @ H @ w)

    return f


class Forgetful(MultilevelMetropolis):
    """The reference's ratio is left out of the mean over inner steps."""

    def _relative(self, k: int, new: Any, old: Any) -> float:
        return 0.0 if new[0] is old[0] else super()._relative(k, new, old)


WALK = RandomWalk(np.array(0.4), (0.8, 0.15))


def standard_normal(pairs: np.ndarray) -> bool:
    """Whether independent pairs (n, 2) may be: means, and squares in four directions.

    All laws are exact, the alarm of 1e-7 is shared.
    """
    (x, y), n = pairs.T, len(pairs)
    squares = [x * x, y * y, (x + y) ** 2 / 2, (x - y) ** 2 / 2]
    chi = stats.chi2(n)
    tails = [min(chi.cdf(s.sum()), chi.sf(s.sum())) for s in squares]
    tails += [stats.norm.sf(abs(z.sum()) / np.sqrt(n)) for z in (x, y)]
    return min(tails) > ALARM / 12


@pytest.mark.parametrize(
    ("kind", "reference", "fits"),
    [
        (MultilevelMetropolis, WALK, True),
        (Forgetful, WALK, False),
        (MultilevelMetropolis, "flat", False),
    ],
    ids=["walk", "forgetful", "flat"],
)
def test_one_temperature_and_one_inner_step_are_exact(
    kind: Any, reference: Any, fits: bool
) -> None:
    """Metropolis within Gibbs: started in its law, it stays there.

    1,000 runs of four outer steps; the law is Gaussian, so that the whitened pairs are
    standard normal.  False alarms: 1e-7.
    """
    lam, H = 0.7, np.array([[2.0, -1.0], [-1.0, 1.5]])
    walk = np.array([[1 / 0.8 + 1 / 0.15, -1 / 0.15], [-1 / 0.15, 1 / 0.15]])
    precision = H / lam + walk
    mean = np.linalg.solve(precision, [0.4 / 0.8, 0.0])
    root = np.linalg.cholesky(precision).T  # root (w - mean) is standard normal
    method = kind(Temperatures((lam, lam)), (0.6, 0.5), (1,), reference)
    rng, n = np.random.default_rng(12), 1000
    ends = np.empty((n, 2))
    for i in range(n):
        start = mean + np.linalg.solve(root, rng.standard_normal(2))
        *_, last = method(quadratic(H), list(start), 4, rng=rng)
        ends[i] = np.ravel(last.w)
    assert standard_normal((ends - mean) @ root.T) == fits


# --- what it promises beside


class Counted:
    """A nested energy that counts how often its parts are computed."""

    def __init__(self) -> None:
        self.given_calls, self.calls = 0, 0

    def given(self, a: np.ndarray) -> Callable[[np.ndarray], float]:
        self.given_calls += 1
        square = float(a @ a)

        def below(b: np.ndarray) -> float:
            self.calls += 1
            return square + float((a - b) @ (a - b))

        return below


def test_a_nested_energy_is_asked_for_what_is_new_only() -> None:
    method = MultilevelMetropolis(Temperatures((0.5, 0.1)), (0.5, 0.5), (7,))
    f, start = Counted(), [np.ones(2), np.zeros(2)]
    visits = list(method(f, start, 40, rng=np.random.default_rng(1)))
    assert f.given_calls == 1 + 40
    assert f.calls == 1 + sum(visit.evaluations for visit in visits)
    for visit in visits:
        assert 7 + 1 <= visit.evaluations <= 7 + 1 + visit.accepted[1] <= 14 + 1
    plain = method(
        lambda a, b: float(a @ a) + float((a - b) @ (a - b)),
        start,
        40,
        rng=np.random.default_rng(1),
    )
    for one, other in zip(visits, plain, strict=True):
        np.testing.assert_array_equal(one.w, other.w)
    np.testing.assert_array_equal(start, [np.ones(2), np.zeros(2)])


def test_the_seed_decides_everything() -> None:
    method = MultilevelMetropolis(Temperatures((0.5, 0.1)), (0.5, 0.5), (3,))

    def energies(seed: int) -> list[float]:
        run = method(quartic, [np.ones(2)] * 2, 9, rng=np.random.default_rng(seed))
        return [visit.energy for visit in run]

    assert energies(1) == energies(1) != energies(2)
    f, Q, proposals = table((3, 2), 1)
    on_table = TableMetropolis(f, Q, Temperatures((1, 0.5)), proposals, (3,))
    one, same, other = (
        on_table((0, 0), 50, rng=np.random.default_rng(seed), n=2).states
        for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()
    assert (one[0] != one[1]).any()


def test_blocks_of_uniforms_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One long block, or a step at a time: the same runs for n = 1."""
    f, Q, proposals = table((3, 2), 1)
    method = TableMetropolis(f, Q, Temperatures((1, 0.5)), proposals, (3,))
    whole = method((0, 0), 50, rng=np.random.default_rng(1))
    monkeypatch.setattr(metropolis, "BLOCK", 1)
    parts = method((0, 0), 50, rng=np.random.default_rng(1))
    assert (whole.states == parts.states).all()
    assert (whole.accepted == parts.accepted).all()


@pytest.mark.parametrize(("shape", "levels", "inner"), TABLES, ids=str)
def test_both_faces_of_the_kernels(
    shape: tuple[int, ...],
    levels: tuple[float, ...],
    inner: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    f, Q, proposals = table(shape, 9)
    method = TableMetropolis(f, Q, Temperatures(levels), proposals, inner)
    u = np.random.default_rng(2).random((2, 6, method.uniforms_per_step))
    u[0, 0, -1] = 0.0  # log 0 accepts
    compiled = method.replay([0] * len(shape), u)
    for name in ("propose_kernel", "outer_step_kernel", "run_kernel"):
        kernel = getattr(metropolis, name)
        monkeypatch.setattr(metropolis, name, getattr(kernel, "py_func", kernel))
    plain = method.replay([0] * len(shape), u)
    assert (compiled.states == plain.states).all()
    assert (compiled.accepted == plain.accepted).all()
    assert compiled.accepted[0, 0] >= 1


def test_a_row_that_rounding_left_below_one() -> None:
    row = np.array([0.5, 0.5 - 2**-53, 0.0])
    below = np.nextafter(1.0, 0.0)
    assert metropolis.propose_kernel(row, below) == 1
    assert metropolis.propose_kernel(row, 0.0) == 0
    assert metropolis.propose_kernel(row, 0.5) == 1


def test_no_way_back_is_no_way() -> None:
    """A proposal that the other state does not make is refused, even by log 0."""
    f, Q = np.zeros((2, 1)), np.full((2, 1), 0.5)
    one_way = [[[0.5, 0.5], [0.0, 1.0]], [[1.0]]]
    method = TableMetropolis(f, Q, Temperatures((1, 1)), one_way, (1,))
    found = method.replay((0, 0), [[[0.9, 0.5, 0.5, 0.0]]])
    assert found.last.tolist() == [[0, 0]]


def test_cold_and_huge_energies_stay_finite() -> None:
    """Differences of 1e6 temperatures: in logarithms nothing overflows."""
    method = MultilevelMetropolis(Temperatures((3e-6, 1e-6)), (1.0, 1.0), (5,))
    run = method(quartic, [np.full(2, 3.0)] * 2, 60, rng=np.random.default_rng(1))
    visits = list(run)
    assert all(np.isfinite(visit.log_ratio) for visit in visits)
    assert max(abs(visit.log_ratio) for visit in visits) > 1e6
    energies = [visit.energy for visit in visits]
    assert energies[-1] < energies[0]
    f, Q = 1e6 * M1, np.full((3, 3), 1 / 9)
    others = [uniform_over_others(3)] * 2
    cold = TableMetropolis(f, Q, Temperatures((3e-6, 1e-6)), others, (5,))
    found = cold((0, 1), 200, rng=np.random.default_rng(1))
    assert found.last[0, 0] == found.last[0, 1]  # where no single move leads down


@pytest.mark.parametrize("face", ["compiled", "plain"])
@pytest.mark.parametrize("cold", [1e-6, 1e307], ids=["overflow", "fit"])
def test_energies_near_the_largest_number(
    cold: float, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their differences overflow, and over a small temperature: without a warning.

    Scaled down they are the same problem, where nothing does.
    """
    if face == "plain":
        for name in ("propose_kernel", "outer_step_kernel", "run_kernel"):
            kernel = getattr(metropolis, name)
            monkeypatch.setattr(metropolis, name, getattr(kernel, "py_func", kernel))
    f, Q, proposals = table((3, 2, 3), 4)
    f = f - f.mean()
    f = f / np.abs(f).max() * 1.7e308
    levels, u = np.array([1.5, 2.0, 0.5]) * cold, None
    found = []
    for s in (1.0, 2.0**-1000):
        method = TableMetropolis(s * f, Q, Temperatures(s * levels), proposals, (2, 3))
        if u is None:
            u = np.random.default_rng(8).random((3, 8, method.uniforms_per_step))
        found.append(method.replay((1, 0, 1), u))
    assert (found[0].states == found[1].states).all()
    assert (found[0].accepted == found[1].accepted).all()
    assert (found[0].accepted.sum(axis=0) > 0).all()


def test_huge_energies_decide_at_once() -> None:
    """Infinite log ratios: up is never taken, down always, and shares are equal."""
    method = MultilevelMetropolis(Temperatures((3e-6, 1e-6)), (1.0, 1.0), (4,))

    def f(a: np.ndarray, b: np.ndarray) -> float:
        return 1.7e308 * float(np.tanh(a) + 0 * b)

    run = list(method(f, [3.0, 0.0], 40, rng=np.random.default_rng(2)))
    for visit in run:
        assert abs(visit.log_ratio) > 1e300
        assert visit.accepted == (int(visit.log_ratio > 0), 4)
        assert visit.share == 0.25
    assert {np.inf, -np.inf} <= {visit.log_ratio for visit in run}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_energy_that_is_none(bad: float) -> None:
    """At the start, or met on the way."""
    method = MultilevelMetropolis(Temperatures((1.0, 0.5)), (0.5, 0.5), (3,))
    rng = np.random.default_rng(1)
    with pytest.raises(NonFinite, match="the energy is not finite"):
        method(lambda a, b: bad, [0.0, 0.0], 1, rng=rng)
    with pytest.raises(NonFinite, match="the energy is not finite"):
        list(method(lambda a, b: bad if a != 0 else 0.0, [0.0, 0.0], 1, rng=rng))


def test_the_largest_share() -> None:
    """1/T' where all weigh the same, 1 where one decides."""
    method = MultilevelMetropolis(Temperatures((1.0, 0.5)), (0.5, 0.5), (4,))
    rng = np.random.default_rng(1)
    (level,) = method(lambda a, b: 0.0, [0.0, 0.0], 1, rng=rng)
    assert level.share == pytest.approx(0.25, abs=1e-15)
    shares = [
        v.share for v in method(lambda a, b: float(400 * a * b), [0, 0], 30, rng=rng)
    ]
    assert max(shares) > 0.9


# --- what is refused

T2 = Temperatures((1.0, 0.5))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MultilevelMetropolis((1.0, 0.5), (1, 1), (3,)), "Temperatures"),
        (lambda: MultilevelMetropolis(T2, (1.0,), (3,)), "2 standard deviations"),
        (lambda: MultilevelMetropolis(T2, (1.0, 0.0), (3,)), "positive"),
        (lambda: MultilevelMetropolis(T2, (1.0, 1.0), ()), "1 counts"),
        (lambda: MultilevelMetropolis(T2, (1.0, 1.0), (0,)), "at least 1"),
        (lambda: MultilevelMetropolis(T2, (1.0, 1.0), (3,), "normal"), '"flat" or'),
        (
            lambda: MultilevelMetropolis(T2, (1, 1), (3,)).begin(quartic, [0.0]),
            "start must have 2 levels",
        ),
        (
            lambda: MultilevelMetropolis(T2, (1, 1), (3,))(
                quartic, [0, 0], 0, rng=np.random.default_rng(0)
            ),
            "steps must be at least 1",
        ),
        (
            lambda: MultilevelMetropolis(T2, (1, 1), (3,))(quartic, [0, 0], 1, rng=7),
            "numpy.random.Generator",
        ),
        (
            lambda: Stored(np.zeros(1), np.zeros(0)).uniform(),
            "more than the 0 uniforms",
        ),
        (lambda: Independent([[0.0]], [1.0, 2.0]), "1 variances"),
        (lambda: RandomWalk([0.0], [1.0, 0.0]), "positive"),
        (lambda: Flat().draw(1, (), np.random.default_rng(0)), "is no law"),
        (lambda: Table([[0.5, 0.5], [0.0, 0.0]]), "positive"),
        (lambda: Table([[0.5, 0.6]]), "sum"),
        (lambda: on_table(reference=np.full((2, 2), 0.25)), "of that shape"),
        (lambda: on_table(temperatures=Temperatures((1.0,))), "2 temperatures"),
        (lambda: on_table(proposals=[np.eye(3)]), "square matrices"),
        (lambda: on_table(proposals=[np.eye(3), np.ones((3, 3))]), "probabilities"),
        (lambda: on_table(inner_steps=(1, 1)), "1 counts"),
        (lambda: on_table().replay((0, 0), np.zeros((1, 1, 3))), "(n, steps, 4)"),
        (lambda: on_table().replay((0, 0), np.ones((1, 1, 4))), "of [0, 1)"),
        (lambda: on_table().replay((0, 3), np.zeros((1, 1, 4))), "within (3, 3)"),
        (lambda: on_table().replay((0, 0.5), np.zeros((1, 1, 4))), "2 indices"),
        (
            lambda: MultilevelMetropolis(T2, ([1, 1], 1), (3,)).begin(quartic, [0, 0]),
            "level 1 of start has shape ()",
        ),
        (
            lambda: MultilevelMetropolis(T2, ([1, 1], 1), (3,)).begin(
                quartic, [np.zeros(3), 0.0]
            ),
            "does not broadcast",
        ),
        (
            lambda: MultilevelMetropolis(
                T2, (1, 1), (3,), Independent([0.0, [0.0, 0.0]], [1.0, 1.0])
            ).begin(quartic, [0.0, 0.0]),
            "level 2 has shape (), in the reference (2,)",
        ),
        (
            lambda: MultilevelMetropolis(T2, (1, 1), (3,), Independent([0.0], [1.0])),
            "2 temperatures, and the reference has 1 levels",
        ),
    ],
)
def test_what_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        make()
    assert said in str(caught.value)


def on_table(**changes: Any) -> TableMetropolis:
    given = {
        "energies": M1,
        "reference": np.full((3, 3), 1 / 9),
        "temperatures": T2,
        "proposals": [uniform_over_others(3)] * 2,
        "inner_steps": (1,),
    }
    return TableMetropolis(**{**given, **changes})


# --- references


def test_a_table_s_conditionals_and_draws() -> None:
    """4,000 draws of each conditional.  False alarms: 1e-7 in all."""
    _, Q, _ = table((3, 2, 4), 7)
    reference, rng = Table(Q), np.random.default_rng(5)
    for w in product(range(3), range(2), range(4)):
        parts = [reference.log_density(k, w[k - 1], w[: k - 1]) for k in (1, 2, 3)]
        assert sum(parts) == pytest.approx(np.log(Q[w]), rel=1e-13)
    law = Q[1, 1] / Q[1, 1].sum()
    drawn = np.array([[reference.draw(3, (1, 1), rng)] for _ in range(4000)])
    assert cells_fit(drawn, law)
    assert not cells_fit(drawn, Q[0, 0] / Q[0, 0].sum())


@pytest.mark.parametrize("name", ["independent", "walk"])
def test_gaussian_references_draw_what_they_weigh(name: str) -> None:
    """Whitened by the density's own second difference.  False alarms: 1e-7 each."""
    reference: Any = REFERENCES[name](3)
    above, rng = [np.array([0.5, -0.5])], np.random.default_rng(6)

    def log_q(x: float) -> float:
        return reference.log_density(2, np.array([x, 0.0]), above)

    curvature = 2 * log_q(0.0) - log_q(1.0) - log_q(-1.0)
    centre = (log_q(1.0) - log_q(-1.0)) / (2 * curvature)
    drawn = np.array([reference.draw(2, above, rng)[0] for _ in range(3000)])
    normal = (drawn - centre) * np.sqrt(curvature)
    assert stats.kstest(normal, stats.norm.cdf).pvalue > ALARM


def test_random_draws_are_numpy_s() -> None:
    draws, rng = Random(np.random.default_rng(4)), np.random.default_rng(4)
    np.testing.assert_array_equal(draws.normal((2, 3)), rng.standard_normal((2, 3)))
    assert draws.uniform() == rng.random()
    assert Curried(lambda a, b: a - b).given(3)(1) == 2
