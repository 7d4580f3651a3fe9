"""The one loop, its baseline, and minibatches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, count, islice, repeat
from typing import Any

import numpy as np
import pytest

from refimpl.errors import InvalidParameter, NonFinite, NotIntegrable
from refimpl.exact import ExactHeat, ExactMean
from refimpl.interfaces import FiniteSum, Iterate, Loss, Projection
from refimpl.laws import GibbsLaw
from refimpl.losses import LeastSquares, Linear, Quadratic, Resampled, minibatches
from refimpl.schedules import Constant, Harmonic, Scoping
from refimpl.sgd import sgd
from refimpl.streams import stream
from refimpl.two_step import two_step

H = np.array([[2.0, 0.625], [0.625, 0.875]])
M = np.array([0.3125, -0.8125])
BOWL = Quadratic(H, M, 0.375)
X0 = np.array([0.8125, -1.3125])
BOTH = pytest.mark.parametrize("project", [ExactMean(), ExactHeat()], ids=["1", "2"])

#: Six updates of 2 x 2 matrices: about 20 roundings each, none amplified.
RTOL = 150 * 2**-53


def path(run: Any) -> Any:
    return np.array([iterate.x for iterate in run])


@dataclass
class Fake:
    """A projection that halves x and keeps what it was handed."""

    seen: list[tuple[GibbsLaw, Any, Projection | None]] = field(default_factory=list)
    factor: float = 0.5

    def __call__(
        self, q: GibbsLaw, *, rng: Any, previous: Projection | None = None
    ) -> Projection:
        self.seen.append((q, rng, previous))
        return Projection(self.factor * q.x, info=len(self.seen))


# --- exact iterates


@BOTH
def test_iterates_on_a_quadratic(project: Any) -> None:
    """Both algorithms contract to m by K = (I + tau H)^{-1} in every update."""
    tau, x, wanted = 0.75, X0, []
    for _ in range(6):
        x = M + np.linalg.solve(np.eye(2) + tau * H, x - M)
        wanted.append(x)
    run = list(two_step(repeat(BOWL, 6), X0, tau=tau, project=project, rng=None))
    np.testing.assert_allclose(path(run), wanted, rtol=RTOL, atol=RTOL)
    assert [iterate.k for iterate in run] == [1, 2, 3, 4, 5, 6]
    assert all(isinstance(iterate, Iterate) for iterate in run)
    assert run[-1].projection.x is run[-1].x


@BOTH
def test_iterates_with_scoping(project: Any) -> None:
    tau, x, wanted = Scoping(1.5, 0.25), X0, []
    for k in range(6):
        x = M + np.linalg.solve(np.eye(2) + 1.5 / 1.25**k * H, x - M)
        wanted.append(x)
    run = two_step(repeat(BOWL, 6), X0, tau=tau, project=project, rng=None)
    np.testing.assert_allclose(path(run), wanted, rtol=RTOL, atol=RTOL)


def test_a_learning_rate_other_than_tau_relaxes_the_step() -> None:
    """Remark 1: x - eta grad F, tau and eta apart; here tau changes too."""
    eta, x, wanted = 0.1875, X0, []
    for k in range(6):
        tau = 1.5 / 1.25**k
        x = x - eta * np.linalg.solve(np.eye(2) + tau * H, H @ (x - M))
        wanted.append(x)
    run = two_step(
        repeat(BOWL, 6), X0, tau=Scoping(1.5, 0.25), project=ExactMean(), rng=None,
        eta=eta,
    )  # fmt: skip
    np.testing.assert_allclose(path(run), wanted, rtol=RTOL, atol=RTOL)


def test_eta_equal_to_tau_changes_nothing() -> None:
    plain, relaxed = (
        path(two_step(repeat(BOWL, 4), X0, tau=0.5, project=ExactMean(), rng=None, **e))
        for e in ({}, {"eta": 0.5})
    )
    np.testing.assert_allclose(relaxed, plain, rtol=2**-50)


def test_exactly_on_a_line() -> None:
    """Dyadic numbers throughout: no rounding at all, whatever the order."""
    run = two_step(
        repeat(Linear([0.5]), 3), [4.0], tau=2.0, project=ExactMean(), rng=None
    )
    assert path(run).tolist() == [[3], [2], [1]]
    run = two_step(
        repeat(Linear([0.5]), 3), [4.0], tau=2.0, project=ExactHeat(), rng=None, eta=1.0
    )
    assert path(run).tolist() == [[3.5], [3], [2.5]]


# --- what a projection is handed


def test_the_previous_projection_the_generator_and_the_law_are_handed_over() -> None:
    fake, rng = Fake(), stream(0, "algorithm")
    losses = [BOWL, Quadratic(1.0, [0.0, 0.0]), BOWL]
    run = list(
        two_step(losses, [8.0, 4.0], tau=Constant(0.25),
                 project=fake, rng=rng)
    )  # fmt: skip
    laws, rngs, warm = zip(*fake.seen, strict=True)
    assert [law.f for law in laws] == losses
    assert [law.x.tolist() for law in laws] == [[8, 4], [4, 2], [2, 1]]
    assert [law.tau for law in laws] == [0.25] * 3
    assert all(r is rng for r in rngs)
    assert warm == (None, run[0].projection, run[1].projection)
    assert [iterate.projection.info for iterate in run] == [1, 2, 3]


def test_the_warm_start_is_the_projection_and_not_the_relaxed_iterate() -> None:
    fake = Fake()
    run = list(
        two_step(repeat(BOWL, 3), [8.0, 0.0], tau=1.0, project=fake, rng=None, eta=0.5)
    )
    # x + (x/2 - x)/2 = 3x/4, and the projection itself is x/2
    assert [iterate.x[0] for iterate in run] == [6, 4.5, 3.375]
    assert [float(iterate.projection.x[0]) for iterate in run] == [4, 3, 2.25]
    assert fake.seen[1][2] is run[0].projection


def test_tau_is_asked_for_every_update_from_zero() -> None:
    asked: list[int] = []

    def tau(k: int) -> float:
        asked.append(k)
        return 2.0**-k

    fake = Fake()
    list(two_step(repeat(BOWL, 3), X0, tau=tau, project=fake, rng=None))
    assert asked == [0, 1, 2]
    assert [q.tau for q, _, _ in fake.seen] == [1, 0.5, 0.25]


def test_the_iterator_is_lazy() -> None:
    fake = Fake()
    drawn: list[int] = []

    def losses() -> Any:
        for k in count():
            drawn.append(k)
            yield BOWL

    run = two_step(losses(), X0, tau=1.0, project=fake, rng=None)
    assert (len(fake.seen), drawn) == (0, [])
    assert next(run).k == 1
    assert (len(fake.seen), drawn) == (1, [0])
    assert [iterate.k for iterate in islice(run, 2)] == [2, 3]
    assert len(fake.seen) == 3
    assert list(two_step([], X0, tau=1.0, project=fake, rng=None)) == []


def test_the_callers_arrays_are_left_alone() -> None:
    x0 = X0.copy()
    run = list(two_step(repeat(BOWL, 2), x0, tau=1.0, project=ExactMean(), rng=None))
    next(sgd([BOWL], x0, eta=0.5))
    assert np.array_equal(x0, X0)
    assert not np.shares_memory(run[0].x, x0)


# --- what goes wrong


def test_an_overflow_names_the_update() -> None:
    fake = Fake(factor=1e200)
    run = two_step(repeat(BOWL), [1.0, 1.0], tau=1.0, project=fake, rng=None)
    assert next(run).x[0] == 1e200
    with (
        np.errstate(over="ignore"),
        pytest.raises(NonFinite, match="the iterate after update 1 is not finite"),
    ):
        next(run)
    steep = sgd(repeat(Quadratic(1.0, [0.0])), [1.0], eta=1e200)
    next(steep)
    with np.errstate(over="ignore"), pytest.raises(NonFinite, match="after update 1"):
        next(steep)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x0": [[0.0, 1.0]]}, "x0 must be a vector"),
        ({"x0": [0.0, np.nan]}, "x0 must be finite"),
        ({"x0": [0.0]}, r"must have shape \(2,\)"),
        ({"tau": 0.0}, "must be positive"),
        ({"tau": lambda k: -1.0}, "tau must be positive"),
        ({"eta": 0.0}, "eta must be positive"),
        ({"eta": np.inf}, "eta must be finite"),
    ],
)
def test_bad_input_is_refused_at_the_first_iterate(
    changes: dict[str, Any], said: str
) -> None:
    given = {"x0": X0, "tau": 1.0, "project": ExactMean(), "rng": None} | changes
    run = two_step(repeat(BOWL, 2), given.pop("x0"), **given)
    with pytest.raises(InvalidParameter, match=said):
        next(run)


@pytest.mark.parametrize("minimise", [two_step, sgd])
@pytest.mark.parametrize(
    ("sizes", "said"),
    [((2, 2), r"^x0 must have shape \(2,\)"), ((1, 2), r"^x must have shape \(2,\)")],
)
def test_a_start_and_an_iterate_of_another_dimension_are_told_apart(
    minimise: Any, sizes: tuple[int, ...], said: str
) -> None:
    losses = [Quadratic(1.0, np.zeros(d)) for d in sizes]
    given = {"eta": 0.5}
    if minimise is two_step:
        given = {"tau": 0.5, "project": ExactMean(), "rng": None}
    with pytest.raises(InvalidParameter, match=said):
        list(minimise(losses, [1.0], **given))


def test_an_integral_that_is_infinite_is_named() -> None:
    saddle = Quadratic([1.0, -1.0], [0.0, 0.0])
    run = two_step([saddle], X0, tau=2.0, project=ExactMean(), rng=None)
    with pytest.raises(NotIntegrable, match=r"tau = 2 and lambda_min\(H\) = -1"):
        next(run)


# --- stochastic gradient descent


def test_sgd_is_the_plain_step_with_its_schedule() -> None:
    x, wanted = X0, []
    for k in range(5):
        x = x - 1 / (2 + k) * (H @ (x - M))
        wanted.append(x)
    run = list(sgd(repeat(BOWL, 5), X0, eta=Harmonic(2.0)))
    np.testing.assert_allclose(path(run), wanted, rtol=RTOL, atol=RTOL)
    assert [iterate.k for iterate in run] == [1, 2, 3, 4, 5]
    assert {iterate.projection for iterate in run} == {None}
    with pytest.raises(InvalidParameter, match="x0 must be finite"):
        next(sgd([BOWL], [np.inf, 0.0], eta=1.0))
    with pytest.raises(InvalidParameter, match="must be positive"):
        next(sgd([BOWL], X0, eta=-1.0))


# --- minibatches

A = np.array([[1.0, 0.5], [-0.75, 1.25], [0.25, -1.5], [1.5, 1.0]])
B = np.array([0.5, -1.0, 1.75, 0.25])
SUM = LeastSquares(A, B)


@dataclass
class Rows:
    """A finite sum that notes which examples it is asked for."""

    N: int = 4
    d: int = 2
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, y: Any) -> Any:
        return SUM(y)

    def gradient(self, y: Any) -> Any:
        return SUM.gradient(y)

    def batch(self, indices: Any) -> Loss:
        self.asked.append(tuple(int(i) for i in indices))
        return SUM.batch(indices)


def test_a_minibatch_is_the_mean_over_its_examples() -> None:
    y = np.array([[0.5, -0.25], [1.0, 2.0]])
    for rows in ([1], [0, 3], [2, 1, 0]):
        residual = y @ A[rows].T - B[rows]
        wanted = (residual**2).sum(axis=1) / 2 / len(rows)
        batch = SUM.batch(rows)
        np.testing.assert_allclose(batch(y), wanted, rtol=1e-15)
        slope = residual @ A[rows] / len(rows)
        np.testing.assert_allclose(batch.gradient(y), slope, rtol=1e-14, atol=1e-15)
        assert len(rows) == batch.N
        assert isinstance(batch, FiniteSum)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_subsets_are_uniform(size: int) -> None:
    """Every subset appears, none twice an example, all equally often.

    A count of n draws over m subsets has standard deviation below sqrt(n / m); six of
    them bound every count but for a probability of
    some 6 * 2e-9; and the seed is fixed.
    """
    f, n = Rows(), 2400
    list(islice(minibatches(f, size, stream(3, "batches")), n))
    counts = Counter(tuple(sorted(rows)) for rows in f.asked)
    subsets = list(combinations(range(4), size))
    assert sorted(counts) == subsets
    expected = n / len(subsets)
    assert all(abs(c - expected) <= 6 * np.sqrt(expected) for c in counts.values())


def test_the_mean_over_all_subsets_is_the_loss() -> None:
    y = [0.5, -0.25]
    values = [SUM.batch(list(rows))(y) for rows in combinations(range(4), 2)]
    assert abs(np.mean(values) - SUM(y)) < 1e-15
    exact = sum(
        (
            sum(Fraction(a) * Fraction(c) for a, c in zip(row, y, strict=True))
            - Fraction(b)
        )
        ** 2
        for row, b in zip(A.tolist(), B.tolist(), strict=True)
    )
    assert abs(float(SUM(y)) - float(exact / 8)) < 1e-15


def test_the_same_stream_gives_the_same_batches() -> None:
    runs = []
    for _ in range(2):
        f = Rows()
        batches = minibatches(f, 2, stream(7, "batches"))
        run = two_step(
            islice(batches, 5),
            X0,
            tau=0.5,
            project=ExactMean(),
            rng=stream(7, "algorithm"),
        )
        runs.append((path(run), f.asked))
    assert np.array_equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    other = Rows()
    list(islice(minibatches(other, 2, stream(8, "batches")), 5))
    assert other.asked != runs[0][1]


def test_one_minibatch_serves_one_update() -> None:
    f = Rows()
    batches = minibatches(f, 2, stream(0, "batches"))
    assert f.asked == []  # nothing is drawn before it is needed
    for batch in islice(batches, 3):
        batch(X0)
        batch.gradient(X0)
    assert len(f.asked) == 3


def test_resampled_draws_at_every_evaluation_one_batch_for_all_points() -> None:
    f = Rows()
    loss = Resampled(f, 2, stream(1, "batches"))
    y = np.array([X0, X0 + 1, X0])
    assert isinstance(loss, Loss)
    assert loss.d == 2
    assert f.asked == []
    values, slopes = loss(y), loss.gradient(y)
    assert len(f.asked) == 2
    assert values[0] == values[2]
    assert np.array_equal(values, SUM.batch(f.asked[0])(y))
    assert np.array_equal(slopes, SUM.batch(f.asked[1]).gradient(y))
    for _ in range(38):
        loss(X0)
    assert {tuple(sorted(rows)) for rows in f.asked} == set(combinations(range(4), 2))


@pytest.mark.parametrize("make", [minibatches, Resampled])
@pytest.mark.parametrize(
    ("f", "size", "said"),
    [
        (SUM, 0, "size must be at least 1, got 0"),
        (SUM, 5, "size must be at most N = 4, got 5"),
        (SUM, 2.0, "size must be a whole number"),
        (SUM, True, "size must be a whole number"),
        (BOWL, 1, r"need a finite sum with N and batch\(\), got Quadratic"),
    ],
)
def test_bad_sizes_and_losses_are_refused_at_once(
    make: Any, f: Any, size: Any, said: str
) -> None:
    with pytest.raises(InvalidParameter, match=said):
        make(f, size, stream(0, "batches"))
