"""The judge's side of spans: the laws of runs, the designs, and the faulty subjects."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import chi2, ncx2

from verification import adapter
from verification.adapter import Refimpl
from verification.checks import Session, Verdict, find, run_check
from verification.checks import span as checks
from verification.checks import span_seen as narrow
from verification.evidence.designs import affine_law
from verification.lint import degeneracies, inexact_inputs
from verification.losses import Constant, LeastSquares, Network
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
from verification.truth import one_direction as one
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


# --- a single direction

IMAGES = (narrow.BRIGHT, narrow.DARK)
#: Observed: 1e-14 within four deviations.
SCORES_AGREE = 1e-11


def parameters(loss: Any, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=loss.d)


def weighted(loss: Any, x: Any, tau: float, n: int) -> tuple[Any, Any, Any]:
    """Samples (n, 2, d) and weights of Algorithm 4, and its outputs."""
    y = x + np.sqrt(tau) * np.random.default_rng(53).normal(size=(n, 2, loss.d))
    w = np.exp(-loss(y))
    w /= w.sum(axis=1, keepdims=True)
    return y, w, (w[..., None] * y).sum(axis=1)


@pytest.mark.parametrize("loss", IMAGES)
def test_what_an_image_shows(loss: Any) -> None:
    seen, flat = one.seen(loss), narrow._not_felt(loss)
    y = np.random.default_rng(59).normal(size=(20, loss.d))
    s = seen.k * y @ seen.along
    np.testing.assert_allclose(loss(y), np.log1p(np.exp(-s)), rtol=1e-14, atol=1e-15)
    slopes = -seen.k * np.outer(1 / (1 + np.exp(s)), seen.along)
    np.testing.assert_allclose(loss.gradient(y), slopes, atol=1e-14)
    frame = np.stack([seen.along, flat])
    np.testing.assert_allclose(frame @ frame.T, np.eye(2), atol=1e-15)
    shown = np.append(loss.images[0], 1.0)
    assert np.linalg.matrix_rank([*flat.reshape(-1, 2).T, shown]) == 1


@pytest.mark.parametrize("loss", [*IMAGES, narrow.DOUBLED])
def test_the_ratio_of_two_weights_by_two_routes(loss: Any) -> None:
    x = parameters(loss, 61)
    for tau in (0.125, 1.5):
        given = (loss, x, tau, weighted(loss, x, tau, 3)[1])
        scores = one.weight_scores(*given)
        assert np.abs(scores - one.weight_scores_dense(*given)).max() < SCORES_AGREE
        swapped = one.weight_scores(loss, x, tau, given[3][:, ::-1])
        np.testing.assert_array_equal(swapped, -scores)


@pytest.mark.parametrize("loss", [narrow.DOUBLED, narrow.SHARED])
def test_the_ratio_on_least_squares_from_two_distances(loss: Any) -> None:
    """Twice f/(h tau) is a noncentral chi^2 with a degree for each direction."""
    tau, x = 0.375, parameters(loss, 67)
    rank, h, away = one._bowl(loss, x)
    assert rank == np.linalg.matrix_rank(loss.A)
    law = ncx2(rank, away**2 / tau)
    # radii in panels: the density of a square is infinite at 0
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = np.linspace(0.0, away / np.sqrt(tau) + 9.0, 200)
    half = np.diff(edges)[:, None] / 2
    r = (half * nodes + (edges[1:] + edges[:-1])[:, None] / 2).ravel()
    mass = (half * weights).ravel() * 2 * r * law.pdf(r**2)
    for ratio in (0.001, 0.5, 3.0):
        (score,) = one.weight_scores(loss, x, tau, [[np.exp(ratio), 1.0]])[0]
        tail = mass @ law.sf(r**2 + 2 * ratio / (h * tau))
        assert abs(score + ndtri(tail)) < 1e-9


@pytest.mark.parametrize("loss", IMAGES)
def test_two_samples_are_recovered(loss: Any) -> None:
    x, tau = parameters(loss, 71), 0.5
    y, w, outputs = weighted(loss, x, tau, 400)
    pair = one.pair_of_samples(loss, x, tau, outputs, w)
    drawn = (y - x) @ one.seen(loss).along / np.sqrt(tau)
    np.testing.assert_allclose(pair, drawn, atol=1e-11)


@pytest.mark.parametrize("loss", IMAGES)
@pytest.mark.parametrize(("steps", "M"), [((0.625,), 2), ((0.75, 0.375), 1)])
def test_two_gradients_by_two_routes(loss: Any, steps: Any, M: int) -> None:
    x, tau, rng = parameters(loss, 73), 0.375, np.random.default_rng(79)
    y = np.tile(x, (3, 1))
    for a in steps:
        z = rng.normal(size=(3, M, loss.d))
        slope = loss.gradient(y[:, None] + np.sqrt(tau) * z).mean(axis=1)
        y = y - a * (y - x + tau * slope)
    given = (loss, x, tau, steps, M, y)
    scores, other = one.descent_scores(*given), one.descent_scores_dense(*given)
    assert np.abs(scores - other).max() < SCORES_AGREE


@pytest.mark.parametrize("chain", laws.CHAINS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("loss", [*IMAGES, narrow.DOUBLED])
def test_two_moves_by_two_routes(loss: Any, output: str, chain: str) -> None:
    x, start = parameters(loss, 83), parameters(loss, 89)
    steps = (1.5, 2.25, 1.0)[: 3 if chain == "literal" else 2]
    how: dict[str, Any] = {"start": start, "chain": chain, "output": output}
    law = laws.sgld(Constant(0.0, loss.d), x, 0.75, steps, **how)
    rng = np.random.default_rng(97)
    outputs = law.mean + rng.normal(size=(6, loss.d)) @ law.factor().T
    given = (loss, x, 0.75, steps, outputs)
    scores = one.chain_scores(*given, **how)
    other = one.chain_scores_dense(*given, **how)
    near = np.abs(scores) < 4
    assert near.any()
    assert np.abs(scores - other)[near].max() < SCORES_AGREE
    if loss.kind == "least_squares":
        along, exact = one.seen(loss).along, laws.sgld(loss, x, 0.75, steps, **how)
        away = (outputs - exact.mean) @ along
        whitened = away / np.sqrt(along @ exact.covariance @ along)
        np.testing.assert_allclose(scores[:, 0], whitened, atol=SCORES_AGREE)


def test_what_no_right_subject_says_is_far_out_and_no_nan() -> None:
    loss, x = narrow.BRIGHT, np.zeros(8)
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]])
    ratios = one.weight_scores(loss, x, 0.5, sure)[:, 0]
    assert ratios[0] > 8
    assert ratios[1] < -8
    assert ratios[2] == 0
    assert not np.isnan(ratios).any()
    outputs = np.multiply.outer([1e200, -1e200, 0.0, 1e-300], one.seen(loss).along)
    assert not np.isnan(one.pair_of_samples(loss, x, 0.5, outputs, sure)).any()
    steep = one.descent_scores(loss, x, 0.5, (0.5,), 2, outputs)[:, 0]
    assert steep.tolist()[:3] == [np.inf, -np.inf, -np.inf]
    assert steep[3] < -8
    wide = one.chain_scores(loss, x, 0.5, (0.5, 0.5, 0.25), outputs)[:, 0]
    assert wide[0] > 8
    assert wide[1] < -8


def test_losses_that_see_more_are_refused() -> None:
    for loss in (checks.WIDE, checks.RELU, Constant(0.0, 2)):
        with pytest.raises(ValueError, match=r"direction|multiples"):
            one.seen(loss)
    twice = Network((1, 2), [[0.5], [0.5]], [0, 1])
    with pytest.raises(ValueError, match="two labels"):
        one.seen(twice)
    with pytest.raises(ValueError, match="curvature differs"):
        one.weight_scores(checks.REPEATED, np.zeros(5), 0.5, [[0.5, 0.5]])
    x = np.zeros(8)
    for steps, M in (((0.5,), 1), ((0.5, 1.0), 1), ((0.5, 0.5), 2)):
        with pytest.raises(ValueError, match="two samples"):
            one.descent_scores(narrow.BRIGHT, x, 0.5, steps, M, [x])
    with pytest.raises(ValueError, match="two moves"):
        one.chain_scores(narrow.BRIGHT, x, 0.5, (0.5, 0.5), [x])


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


@pytest.mark.parametrize(
    ("chain", "output"),
    [
        # every chain and every output once, the other pairs as slow
        pytest.param(chain, output, marks=() if n in (0, 3) else pytest.mark.slow)
        for n, (chain, output) in enumerate(product(laws.CHAINS, OUTPUTS))
    ],
)
def test_other_readings_are_judged_by_their_own_laws(chain: str, output: str) -> None:
    witness = Witness(Plain(chain, output))
    ids = [*(f"SPAN-0{k}" for k in range(1, 6)), "SPAN-13"]
    for check in find(ids):
        outcome = run_check(check, witness, Session(23))
        assert outcome.verdict is Verdict.PASS, (check.id, outcome.message)
    other = Plain(chain, output)
    other.conventions = {"sgld.chain": chain, "sgld.output": "exponential-average:0.9"}
    lying = SimpleNamespace(
        name="lying",
        conventions={"sgld.chain": chain, "sgld.output": output},
        sgld_mean=other.sgld_mean,
    )
    for check in find(["SPAN-04", "SPAN-13"]):
        assert run_check(check, Witness(lying)).verdict is Verdict.FAIL


def test_one_move_fewer_than_steps_is_judged_by_its_own_law() -> None:
    right = Refimpl()

    def ask(
        loss: Any, x: Any, tau: Any, steps: Any, M: Any, *, n: int, seed: int
    ) -> Any:
        return right.robbins_monro(loss, x, tau, steps[:-1], M, n=n, seed=seed)

    (check,) = find(["SPAN-12"])
    for moves, verdict in (("J-1", Verdict.PASS), ("J", Verdict.FAIL)):
        subject = SimpleNamespace(
            name="short",
            dtype="float64",
            conventions={"robbins_monro.moves": moves},
            robbins_monro=ask,
        )
        assert run_check(check, Witness(subject), Session(47)).verdict is verdict


def test_sums_over_examples_are_left_out() -> None:
    sums = Plain("literal", "weighted-mean")
    sums.conventions |= {"loss.reduction": "sum"}
    for check in find(["SPAN-02", "SPAN-04", "SPAN-05"]):
        assert run_check(check, Witness(sums)).verdict is Verdict.NOT_RUN
    (check,) = find(["SPAN-01"])
    assert run_check(check, Witness(sums)).verdict is Verdict.FAIL  # it takes means
    (check,) = find(["SPAN-13"])
    outcome = run_check(check, Witness(sums), Session(101))
    assert outcome.verdict is Verdict.PASS  # the sum over one image is its mean
    assert len(outcome.not_run) == 1


# --- subjects that are wrong

#: Equal weights; and no smoothing, where nothing else is random.
NOT_RANDOM = {("R23", "importance_weights"), ("R29", "robbins_monro")}

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
        assert np.array_equal(first, other) == ((wrong.id, method) in NOT_RANDOM)
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


def test_a_mistake_of_one_algorithm_is_none_of_the_others() -> None:
    right, loss, x = Refimpl(), checks.RELU, np.zeros(checks.RELU.d)
    letters = {"sgld_mean": "R09", "importance_mean": "R15", "robbins_monro": "R19"}
    for method, name in letters.items():
        wrong = planted(CATALOGUE[name], right)
        for other in letters:
            given = (loss, x, 0.5, *ASKED[other])
            said, true = (getattr(s, other)(*given, seed=3) for s in (wrong, right))
            assert np.array_equal(said, true) == (other != method)
    record = {"tau": [0.5], "step_sizes": [0.5, 0.25], "start": "centre"}
    for update, name in (("sgld", "R15"), ("robbins_monro", "R09")):
        of = (loss, x, update, {**record, "inner_samples": 2})
        said, true = (
            s.train(*of, seed=5) for s in (planted(CATALOGUE[name], right), right)
        )
        assert np.array_equal(said, true)


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
