"""Nested Langevin dynamics, judged by the exact law of its outputs on a quadratic.

There every move is an affine map plus Gaussian noise: the mean and the variance of the
output follow by moving the mean and the covariance of all that is kept, with no
approximation in the steps or their number.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import pytest
from scipy import stats

from refimpl.errors import InvalidParameter, NoClosedForm, NonFinite
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic
from refimpl.multiscale import langevin
from refimpl.multiscale.langevin import NestedLangevin
from refimpl.multiscale.local_entropies import LocalEntropies
from refimpl.multiscale.temperatures import Temperatures
from refimpl.schedules import Constant
from refimpl.sgld import SGLD

ALARM = 1e-7
compiled_only = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: minutes of plain loops"
)

H, M, X = 2.0, 0.7, -0.4
LEVELS, TAUS = (0.8, 0.25), (0.3, 0.5)
F = Quadratic(H, [M])


def chains(J: Any, epsilon: Any, start: Any = "centre") -> tuple[SGLD, ...]:
    return tuple(
        SGLD(n, Constant(e), start=start) for n, e in zip(J, epsilon, strict=True)
    )


class Linear:
    """Mean and covariance of 1 and each level's state y_k and weighted sum s_k."""

    def __init__(self, problem: dict[str, Any], start: str) -> None:
        self.problem, self.start = problem, start
        self.begun: set[int] = set()
        size = 1 + 2 * len(problem["J"])
        self.mean, self.covariance = np.eye(1, size).ravel(), np.zeros((size, size))

    def replace(self, i: int, noise: float = 0.0, **entries: float) -> None:
        """Entry i becomes a combination of entries, like y1, s2 or one, plus noise."""
        A = np.eye(self.mean.size)
        A[i] = 0.0
        for name, value in entries.items():
            A[i, 0 if name == "one" else place(name)] = value
        self.mean, self.covariance = A @ self.mean, A @ self.covariance @ A.T
        self.covariance[i, i] += noise

    def run(self, k: int) -> None:
        """The chain of level k, counted from 1, around y_{k-1}; around x for k = 1."""
        p, d = self.problem, len(self.problem["J"])
        e, tau, lam = (p[name][k - 1] for name in ("epsilon", "taus", "levels"))
        y, s, half = f"y{k}", f"s{k}", p["epsilon"][k - 1] / 2
        centre = ("one", p["x"]) if k == 1 else (f"y{k - 1}", 1.0)
        if self.start == "centre" or k not in self.begun:
            self.replace(place(y), **{centre[0]: centre[1]})
        self.begun.add(k)
        self.replace(place(s), **{y: e})
        for _ in range(p["J"][k - 1] - 1):
            pull = {centre[0]: half / tau * centre[1]}
            if k == d:
                stay = p["h"] / lam
                pull["one"] = pull.get("one", 0.0) + half * stay * p["m"]
            else:
                self.run(k + 1)
                stay = p["levels"][k] / (lam * p["taus"][k])
                weights = p["J"][k] * p["epsilon"][k]
                pull[f"s{k + 1}"] = half * stay / weights
            pull[y] = 1 - half * (stay + 1 / tau)
            self.replace(place(y), noise=e, **pull)
            self.replace(place(s), **{s: 1.0, y: e})


def place(name: str) -> int:
    """Where y_k and s_k stand, after the one."""
    return 2 * int(name[1:]) - (name[0] == "y")


def exact_law(J: Any, epsilon: Any, start: str, **changes: Any) -> tuple[float, float]:
    """Mean and variance of the output."""
    given = {"levels": LEVELS, "taus": TAUS, "h": H, "m": M, "x": X}
    linear = Linear({**given, **changes, "J": J, "epsilon": epsilon}, start)
    linear.run(1)
    scale, s = J[0] * epsilon[0], place("s1")
    return linear.mean[s] / scale, linear.covariance[s, s] / scale**2


SHORT = ((12, 6), (0.2, 0.15))
LONG = ((40, 25), (0.15, 0.08))


@pytest.mark.parametrize("start", ["centre", "previous"])
@pytest.mark.parametrize(("J", "epsilon"), [SHORT, LONG], ids=["short", "long"])
def test_the_law_of_the_output(
    J: tuple[int, int], epsilon: tuple[float, float], start: Any
) -> None:
    """1,500 outputs are normal with the exact mean and variance.

    The mean and the sum of squares have exact normal and chi-square laws, the whole is
    tested by Kolmogorov and Smirnov.  False alarms: 1e-7.
    """
    method = NestedLangevin(TAUS, Temperatures(LEVELS), chains(J, epsilon, start))
    n, rng = 1500, np.random.default_rng(31)
    mean, variance = exact_law(J, epsilon, start)
    normal = (method.replicates(F, [X], n, rng=rng)[:, 0] - mean) / np.sqrt(variance)
    chi = stats.chi2(n)
    squares = float(normal @ normal)
    for p in (
        2 * stats.norm.sf(abs(normal.sum()) / np.sqrt(n)),
        2 * min(chi.cdf(squares), chi.sf(squares)),
        stats.kstest(normal, stats.norm.cdf).pvalue,
    ):
        assert p > ALARM / 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperatures": Temperatures((0.8, 0.4))},
        {"temperatures": Temperatures((0.4, 0.25))},
        {"taus": (0.5, 0.3)},
        {"chains": chains(*LONG, start="previous")},
    ],
    ids=["fine", "coarse", "taus", "start"],
)
@compiled_only
def test_the_mean_sees_what_is_wrong(wrong: dict[str, Any]) -> None:
    """40,000 outputs have another mean than the exact one; false alarms: 1e-7."""
    right = {
        "taus": TAUS,
        "temperatures": Temperatures(LEVELS),
        "chains": chains(*LONG),
    }
    method = NestedLangevin(**{**right, **wrong})
    mean, variance = exact_law(*LONG, "centre")
    found = method.replicates(F, [X], 40000, rng=np.random.default_rng(32))[:, 0]
    gap = abs(found.mean() - mean) / np.sqrt(variance / found.size)
    assert 2 * stats.norm.sf(gap) < ALARM


def test_the_exact_law_tends_to_the_chain_of_local_entropies() -> None:
    """The mean as the chains grow, -0.256521739130, known in closed form.

    Twice as long chains leave about half of the error, the start being forgotten like
    1 / (J epsilon).
    """
    V_0 = LocalEntropies(F, TAUS, Temperatures(LEVELS))
    truth = float(V_0.first_mean([X])[0])
    assert truth == pytest.approx(-0.25652173913, abs=1e-10)
    errors = [
        abs(exact_law((n, n), (0.1, 0.1), "centre")[0] - truth) for n in (50, 100, 200)
    ]
    for long, longer in pairwise(errors):
        assert 0.4 < longer / long < 0.6


def test_one_level_is_algorithm_3() -> None:
    """At temperature 1 bit for bit; at another one of f / lambda."""
    sampler, x = SGLD(30, Constant(0.1)), np.array([X])
    for lam in (1.0, 0.25):
        method = NestedLangevin((0.5,), Temperatures((lam,)), (sampler,))
        found = method.mean(F, x, rng=np.random.default_rng(1))
        q = GibbsLaw(Quadratic(H / lam, [M]), x, 0.5)
        wanted = sampler(q, rng=np.random.default_rng(1)).x
        np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("start", ["centre", "previous"])
def test_several_dimensions_and_three_levels(start: Any) -> None:
    """Coordinates of a diagonal quadratic do not know of one another.

    Exact laws of means and sums of squares, 1,500 outputs.  False alarms: 1e-7.
    """
    h, m, x = np.array([2.0, 0.5]), np.array([0.7, -1.0]), np.array([-0.4, 1.5])
    levels, taus = (0.9, 0.3, 0.6), (0.3, 0.4, 0.5)
    J, epsilon, n = (8, 6, 5), (0.25, 0.2, 0.15), 1500
    method = NestedLangevin(taus, Temperatures(levels), chains(J, epsilon, start))
    rng = np.random.default_rng(33)
    found = method.replicates(Quadratic(np.diag(h), m), x, n, rng=rng)
    for i in range(2):
        law = exact_law(
            *(J, epsilon, start), levels=levels, taus=taus, h=h[i], m=m[i], x=x[i]
        )
        normal = (found[:, i] - law[0]) / np.sqrt(law[1])
        chi, squares = stats.chi2(n), float(normal @ normal)
        assert 2 * stats.norm.sf(abs(normal.sum()) / np.sqrt(n)) > ALARM / 4
        assert 2 * min(chi.cdf(squares), chi.sf(squares)) > ALARM / 4


class Spy(SGLD):
    """Tells for each call, by its J, whether it goes on from a chain before."""

    calls: list[tuple[int, bool]] = []

    def __call__(self, q: Any, *, rng: Any, previous: Any = None) -> Any:
        self.calls.append((self.J, previous is not None))
        return super().__call__(q, rng=rng, previous=previous)


def test_chains_at_every_depth_go_on() -> None:
    """Only the first of each level has none before it, also two levels down."""
    Spy.calls.clear()
    spies = tuple(Spy(J, Constant(0.1), start="previous") for J in (4, 3, 2))
    method = NestedLangevin((0.3, 0.4, 0.5), Temperatures((0.9, 0.3, 0.6)), spies)
    method.mean(F, [X], rng=np.random.default_rng(1))
    for J, calls in ((4, 1), (3, 3), (2, 3 * 2)):
        went_on = [on for j, on in Spy.calls if j == J]
        assert went_on == [False] + [True] * (calls - 1)


def test_the_gradient_is_the_scaled_way() -> None:
    method = NestedLangevin(TAUS, Temperatures(LEVELS), chains(*SHORT))
    mean, gradient = (
        estimate(F, [X], rng=np.random.default_rng(4))
        for estimate in (method.mean, method.gradient)
    )
    np.testing.assert_allclose(gradient, 0.8 / 0.3 * (X - mean), rtol=1e-14)


def test_the_seed_decides() -> None:
    method = NestedLangevin(TAUS, Temperatures(LEVELS), chains(*SHORT))
    one, same, other = (
        method.replicates(F, [X], 3, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).all()


def test_an_unstable_chain_is_named() -> None:
    method = NestedLangevin(TAUS, Temperatures(LEVELS), chains((2000, 5), (50.0, 0.1)))
    with pytest.raises(NonFinite, match="left the representable numbers"):
        method.mean(F, [X], rng=np.random.default_rng(1))


def test_a_force_has_no_energy() -> None:
    method = NestedLangevin(TAUS, Temperatures(LEVELS), chains(*SHORT))
    rng = np.random.default_rng(1)
    force = langevin._Force(method, 0, F, (1, 1), rng, None)
    with pytest.raises(NoClosedForm, match="not its energy"):
        force(np.zeros(1))


def test_points_side_by_side_are_a_loss() -> None:
    f = langevin._SideBySide(Quadratic(np.diag([2.0, 0.5]), [0.7, -1.0]), 3)
    y = np.random.default_rng(5).normal(size=(4, 6))
    assert f(y).shape == (4,)
    h = 1e-6
    for i in range(6):
        step = h * np.eye(6)[i]
        slope = (f(y + step) - f(y - step)) / (2 * h)
        np.testing.assert_allclose(f.gradient(y)[:, i], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NestedLangevin((0.3,), Temperatures(LEVELS), ()), "2 taus and 2"),
        (lambda: NestedLangevin(TAUS, LEVELS, chains(*SHORT)), "Temperatures"),
        (
            lambda: NestedLangevin((0.3, 0.0), Temperatures(LEVELS), chains(*SHORT)),
            "positive",
        ),
        (lambda: NestedLangevin(TAUS, Temperatures(LEVELS), (1, 2)), "must be SGLD"),
        (lambda: simple().mean(F, [0.0, 1.0], rng=np.random.default_rng(0)), "shape"),
        (lambda: simple().mean(F, [0.0], rng=1), "numpy.random.Generator"),
        (
            lambda: simple().replicates(F, [0.0], 0, rng=np.random.default_rng(0)),
            "at least 1",
        ),
    ],
)
def test_what_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        make()
    assert said in str(caught.value)


def simple() -> NestedLangevin:
    return NestedLangevin(TAUS, Temperatures(LEVELS), chains(*SHORT))
