"""The judge's side of spans: the laws of runs, the designs, and the faulty subjects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import chi2

from verification import adapter
from verification.adapter import Refimpl
from verification.checks import Session, Verdict, find, run_check
from verification.checks import span as checks
from verification.evidence.designs import affine_law
from verification.lint import degeneracies, inexact_inputs
from verification.losses import Constant, LeastSquares
from verification.mistakes import CATALOGUE, planted
from verification.mistakes._training import Loop
from verification.mistakes.langevin import Langevin
from verification.mistakes.span import (
    ALL,
    SPAN,
    Reduced,
    free_chain,
    longest_first,
    mistake,
)
from verification.subject import Witness
from verification.truth import output_laws as laws
from verification.truth import replay
from verification.truth.carriers import Double

FAMILY = find(["SPAN"])
OUTPUTS = ("weighted-mean", "exponential-average:0.375")
STEPS = (0.5625, 0.25, 0.390625)
TAUS = (0.5, 0.75, 0.375)
AGREEMENT = 1e-10
"""As of the other laws; these chains do not grow, and 1e-14 was observed."""


def assert_same(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one.mean, other.mean, rtol=0, atol=AGREEMENT)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=0, atol=AGREEMENT)


# --- the joint law of a run


def minibatches(seed: int, d: int, K: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [LeastSquares(rng.normal(size=(2, d)), rng.normal(size=2)) for _ in range(K)]


@pytest.mark.parametrize("chain", laws.CHAINS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("d", [1, 3, 5])
def test_the_law_of_a_run_by_two_routes(chain: str, output: str, d: int) -> None:
    x = np.random.default_rng(3).normal(size=d)
    for K in (1, 2, 3):
        setting = (minibatches(5 + d, d, K), x, TAUS[:K], STEPS)
        how = {"chain": chain, "output": output}
        law = laws.sgld_run(*setting, **how)
        assert law.mean.shape == (K * d,)
        assert_same(law, laws.sgld_run_dense(*setting, **how))
        first = laws.sgld(setting[0][0], x, TAUS[0], STEPS, **how)
        one = laws.Gaussian(law.mean[:d], law.covariance[:d, :d])
        assert_same(one, first)


@pytest.mark.parametrize("chain", laws.CHAINS)
def test_the_law_of_a_run_by_impulses_through_the_boxes(chain: str) -> None:
    loss, batches = checks.WIDE, [[0, 3], [4, 1], [5, 2]]
    x = np.random.default_rng(7).normal(size=loss.d)
    record = {"tau": list(TAUS), "step_sizes": list(STEPS), "start": "previous"}
    moves = len(STEPS) - (chain == "literal")

    def simulate(draws: Any) -> Any:
        runs = []
        for z in draws.tolist():
            setting = (loss, x.tolist(), "sgld", record, z, batches, chain)
            path = replay.train(Double(), *setting, "weighted-mean")
            runs.append(np.ravel(path[1:]))
        return np.array(runs, dtype=float)

    found = affine_law(simulate, (len(TAUS), moves, loss.d))
    losses = [laws.restricted(loss, rows) for rows in batches]
    assert_same(found, laws.sgld_run(losses, x, TAUS, STEPS, chain=chain))


def test_a_cold_run_has_another_law() -> None:
    warm = laws.sgld_run([Constant(0.0, 1)] * 2, [0.0], TAUS[:2], STEPS)
    single = laws.sgld(Constant(0.0, 1), [0.0], TAUS[1], STEPS)
    alone = warm.covariance[1, 1] - warm.covariance[0, 0]
    assert alone > 1.5 * single.covariance[0, 0]


# --- the designs


@pytest.mark.parametrize("check", FAMILY, ids=lambda check: check.id)
def test_designs_are_generic_and_exact_in_single_precision(check: Any) -> None:
    assert degeneracies(check) == []
    assert inexact_inputs([check]) == []


@pytest.mark.parametrize("name", ["RELU", "TANH", "DEALT"])
def test_what_the_photographs_do_not_show(name: str) -> None:
    loss = getattr(checks, name)
    rank = {"RELU": 3, "TANH": 3, "DEALT": 5}[name]
    along = checks._hidden_directions(loss)
    assert along.shape == (checks.PIXELS * (checks.PIXELS + 1 - rank), loss.d)
    np.testing.assert_allclose(along @ along.T, np.eye(len(along)), atol=1e-14)
    y = np.random.default_rng(11).normal(size=(20, loss.d))
    slopes = loss.gradient(y)
    np.testing.assert_allclose(slopes @ along.T, 0.0, atol=1e-13)
    assert np.linalg.matrix_rank(slopes) == 20
    assert (loss.images == 0).all(axis=0).any()
    assert (loss.images == 0).all(axis=1).any()
    assert np.array_equal(loss.images[0], loss.images[2])


def test_scores_by_unit_are_the_same_scores() -> None:
    u = np.random.default_rng(13).normal(size=(4, checks.RELU.d))
    rows = checks._by_unit(checks.RELU, u)
    assert rows.shape == (4, 12, 10)
    np.testing.assert_allclose((rows**2).sum(axis=(1, 2)), (u**2).sum(axis=1))


def test_every_part_of_the_gradient_bends_the_first_move() -> None:
    """By half a standard deviation at least: those of a direction that is dropped."""
    witness = Witness(Refimpl())
    for p in find(["SPAN-03"])[0].cases:
        slope = p.loss.gradient(np.array(p.more.get("start", p.x)))
        shift = np.sqrt(p.more["step_sizes"][0]) / 2 * slope
        parts = checks._by_part(p.loss, shift)
        assert (parts**2).sum(axis=(0, 2)).min() > 0.5
        assert witness.conventions["sgld.chain"] == "literal"


def test_mean_and_spread_are_normal_scores() -> None:
    u = np.random.default_rng(17).normal(size=(50, 6))
    mean, spread = checks._mean_and_spread(u).T
    np.testing.assert_allclose(mean, np.sqrt(6) * u.mean(axis=1))
    squares = 6 * u.var(axis=1)
    np.testing.assert_allclose(spread, ndtri(chi2.cdf(squares, 5)), rtol=1e-9)
    far = checks._mean_and_spread(np.array([[0.0] * 6, [1e3, -1e3] * 3]))
    assert far[0, 1] == -np.inf
    assert far[1, 1] > 100


# --- subjects that are right


def test_a_free_chain_by_moments() -> None:
    for tau in (0.125, 0.75):
        start, covariance = free_chain(np.array(STEPS), tau)
        for first, mean in ((1.0, start), (0.0, 0 * start)):
            law = laws.sgld_joint(Constant(0.0, 1), [0.0], tau, STEPS, start=[first])
            np.testing.assert_allclose(law.mean, mean, atol=1e-14)
            np.testing.assert_allclose(law.covariance, covariance, atol=1e-14)


RIGHT = planted(mistake("R00", "none", "nothing", ALL, Reduced()), Refimpl())


@pytest.mark.parametrize("check", FAMILY, ids=lambda check: check.id)
def test_without_a_fault_it_is_right(check: Any) -> None:
    """With probability 1e-6 a right subject fails, all checks of a run together."""
    outcome = run_check(check, Witness(RIGHT), Session(19))
    assert outcome.verdict is Verdict.PASS, outcome.message
    assert outcome.not_run == ()


@pytest.mark.parametrize("check", FAMILY, ids=lambda check: check.id)
def test_the_plain_algorithms_are_right(check: Any, monkeypatch: Any) -> None:
    """This project's own, in the whole space, at the same error rates."""
    monkeypatch.setattr(adapter, "_on_what_it_sees", lambda estimator, _: estimator)
    outcome = run_check(check, Witness(Refimpl()), Session(43))
    assert outcome.verdict is Verdict.PASS, outcome.message


class Plain:
    """Algorithm 3 in the whole space, in another reading of the box."""

    name, dtype = "plain", "float64"

    def __init__(self, chain: str, output: str) -> None:
        self.conventions = {"sgld.chain": chain, "sgld.output": output}

    def _run(self, loss: Any, x: Any, tau: Any, steps: Any, y: Any, rng: Any) -> Any:
        literal = self.conventions["sgld.chain"] == "literal"
        states = [y] if literal else []
        for eps in steps[:-1] if literal else steps:
            drift = loss.gradient(y) + (y - x) / tau
            y = y - eps / 2 * drift + np.sqrt(eps) * rng.standard_normal(y.shape)
            states.append(y)
        word, _, rate = self.conventions["sgld.output"].partition(":")
        if word == "weighted-mean":
            return np.tensordot(steps / np.sum(steps), states, axes=1), y
        mean = states[0]
        for state in states[1:]:
            mean = (1 - float(rate)) * mean + float(rate) * state
        return mean, y

    def sgld_mean(
        self,
        loss: Any,
        x: Any,
        tau: Any,
        steps: Any,
        *,
        start: Any = None,
        n: int = 1,
        seed: Any = None,
        draws: Any = None,
    ) -> Any:
        first = np.tile(x if start is None else start, (n, 1))
        rng = np.random.default_rng(seed)
        return self._run(loss, x, tau, np.array(steps), first, rng)[0]

    def train(
        self,
        loss: Any,
        x0: Any,
        method: Any,
        record: Any,
        *,
        batches: Any = None,
        seed: Any = None,
        draws: Any = None,
    ) -> Any:
        def project(f: Any, x: Any, tau: Any, of: Any, start: Any, *more: Any) -> Any:
            y = x if start is None else start
            return self._run(f, x, tau, np.array(of["step_sizes"]), y, more[1])

        return Loop().run(project, loss, x0, method, record, batches=batches, seed=seed)


@pytest.mark.parametrize("chain", laws.CHAINS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_other_readings_are_judged_by_their_own_laws(chain: str, output: str) -> None:
    witness = Witness(Plain(chain, output))
    for check in find(["SPAN-01", "SPAN-02", "SPAN-03", "SPAN-04", "SPAN-05"]):
        outcome = run_check(check, witness, Session(23))
        assert outcome.verdict is Verdict.PASS, (check.id, outcome.message)
    other = Plain(chain, output)
    other.conventions = {"sgld.chain": chain, "sgld.output": "exponential-average:0.9"}
    lying = SimpleNamespace(
        name="lying",
        conventions={"sgld.chain": chain, "sgld.output": output},
        sgld_mean=other.sgld_mean,
    )
    (check,) = find(["SPAN-04"])
    assert run_check(check, Witness(lying)).verdict is Verdict.FAIL


def test_sums_over_examples_are_left_out() -> None:
    sums = Plain("literal", "weighted-mean")
    sums.conventions = {"loss.reduction": "sum"}
    for check in find(["SPAN-02", "SPAN-04", "SPAN-05"]):
        assert run_check(check, Witness(sums)).verdict is Verdict.NOT_RUN
    (check,) = find(["SPAN-01"])
    assert run_check(check, Witness(sums)).verdict is Verdict.FAIL  # it takes means


# --- subjects that are wrong

ASKED: dict[str, tuple[Any, ...]] = {
    "sgld_mean": (np.array(STEPS),),
    "importance_mean": (5,),
    "importance_weights": (5,),
    "robbins_monro": (np.array(STEPS), 2),
}


@pytest.mark.parametrize("wrong", SPAN, ids=lambda wrong: wrong.id)
def test_a_seed_fixes_what_a_faulty_subject_says(wrong: Any) -> None:
    subject, loss = planted(wrong, Refimpl()), checks.RELU
    x = np.random.default_rng(29).normal(size=loss.d)
    for method in sorted(set(wrong.faults) & set(ASKED)):
        ask = getattr(subject, method)
        first, again, other = (
            ask(loss, x, 0.5, *ASKED[method], n=3, seed=seed) for seed in (1, 1, 2)
        )
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert len(first) == 3


@pytest.mark.parametrize("wrong", SPAN, ids=lambda wrong: wrong.id)
def test_given_draws_and_other_losses_are_left_to_the_right_subject(
    wrong: Any,
) -> None:
    subject, right, loss = planted(wrong, Refimpl()), Refimpl(), checks.REPEATED
    x, rng = np.ones(5), np.random.default_rng(31)
    shapes = {
        "sgld_mean": (1, 2, 5),
        "importance_mean": (1, 5, 5),
        "importance_weights": (1, 5, 5),
        "robbins_monro": (1, 3, 2, 5),
    }
    for method, shape in shapes.items():
        draws = rng.standard_normal(shape)
        given = (x, 0.5, *ASKED[method])
        found = getattr(subject, method)(loss, *given, draws=draws)
        wanted = getattr(right, method)(loss, *given, draws=draws)
        np.testing.assert_array_equal(found, wanted)
        flat = Constant(0.5, 5)
        found = getattr(subject, method)(flat, *given, n=2, seed=3)
        wanted = getattr(right, method)(flat, *given, n=2, seed=3)
        np.testing.assert_array_equal(found, wanted)


def test_weights_are_those_of_the_mean_of_the_same_seed() -> None:
    loss, along = checks.TANH, checks._hidden_directions(checks.TANH)
    x = np.zeros(loss.d)
    given = (loss, x, 0.5, 4)
    for subject in (Refimpl(), RIGHT):
        outputs = np.asarray(subject.importance_mean(*given, n=2000, seed=5))
        weights = np.asarray(subject.importance_weights(*given, n=2000, seed=5))
        squares = (outputs @ along.T) ** 2
        size = (squares.sum(axis=1) / (0.5 * (weights**2).sum(axis=1))).sum()
        total = 2000 * len(along)  # chi^2 of so many degrees
        assert abs(size - total) < 6 * np.sqrt(2 * total)


def test_pivots_change_the_order_of_images_alone() -> None:
    for loss in (checks.RELU, checks.TANH, checks.DEALT):
        other = longest_first(loss)
        assert not np.array_equal(other.images, loss.images)
        assert np.array_equal(other.labels, loss.labels)
        y = np.ones(loss.d) * np.linspace(-1, 1, loss.d)
        assert abs(other(y) - loss(y)) > 1e-3
    rows = longest_first(checks.WIDE)
    assert np.array_equal(rows.b, checks.WIDE.b)


def test_the_family_promises_each_of_them() -> None:
    promised = {name for check in FAMILY for name in check.mistakes}
    assert promised == {wrong.id for wrong in SPAN}
    assert all(CATALOGUE[wrong.id] is wrong for wrong in SPAN)


def test_chains_of_the_mistakes_are_those_of_the_box() -> None:
    """The seen part is Algorithm 3 as the other mistakes have it, for any basis."""
    loss, n = checks.HALVED, 4000
    x = np.ones(loss.d)
    rng = np.random.default_rng(37)
    outputs, _ = Reduced().chains(loss, x, 0.5, STEPS, None, n, rng)
    law = laws.sgld(loss, x, 0.5, STEPS)
    u = law.whiten(outputs)
    plain = Langevin().mean(None, loss, x, 0.5, STEPS, n=n, seed=41)
    for scores in (u, law.whiten(plain)):
        # chi^2 of 4 n degrees: six deviations, a false alarm in 5e8
        assert abs((scores**2).sum() - 4 * n) < 6 * np.sqrt(8 * n)
