"""The truths by hand and at their edges, where two routes share a piece.

What both routes call, what is refused, and what a caller may rely on beyond the value:
a sign, a frame, an error bound, the state that a run ends in.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from verification import losses as data
from verification.evidence.designs import affine_law
from verification.evidence.running_error import RunningError
from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import moments, network, replay
from verification.truth import output_laws as laws
from verification.truth.carriers import MP, Carrier, Double, Rational
from verification.truth.output_laws import Degenerate, Gaussian

CTX, Q = MP(40), Rational()
X, TAU = (0.75, -0.5), 0.375
QUADRATIC = data.Quadratic([[2, 0.5], [0.5, -0.25]], [0.25, -0.75], 1.5)
QUARTIC = data.Quartic([0.5, 0.25], [0.25, -0.5], [1.0, -1.5], 0.375)
WAVES = data.Trigonometric([1.0], [[1, 2]], [0.125], [0.5, 1], [0.5, 1])
SPREADS = [[[1, 0.25], [0.25, 0.5]], [[0.5, 0], [0, 2]]]
MIXTURE = data.GaussianMixture([0.25, 0.75], [[0.5, 1], [-1, 0.25]], SPREADS)
WELLS = data.GaussianWells([1, 0.5], [[0.5, 1], [-1, 0.25]], SPREADS, 1.0)
FITTED = data.LeastSquares([[1, 2], [0.5, -1], [1, 0.25]], [1, 0, 2])
#: Observed: 4e-13 of normal scores, 1e-15 of moments.
AGREEMENT = 1e-10


# --- numbers, matrices and polynomials ------------------------------------------------


@pytest.mark.parametrize("ctx", [CTX, Q, Double()], ids=lambda c: type(c).__name__)
def test_the_largest_of_several_numbers(ctx: Carrier) -> None:
    assert ctx.maximum(la.vector(ctx, [-1, 3, 2])) == 3


def test_matrices_by_hand() -> None:
    a, b = la.vector(Q, [2, -3]), la.vector(Q, [5, 0.5, 7])
    assert la.outer(a, b) == [[10, 1, 14], [-15, Fraction(-3, 2), -21]]
    assert la.is_positive_definite(Q, la.matrix(Q, [[2, 1], [1, 1]]))
    assert not la.is_positive_definite(Q, la.matrix(Q, [[1, 1], [1, 1]]))


def test_the_empty_polynomial_is_zero() -> None:
    free_of_the_first = moments.derivative({(1, 1): Fraction(3)}, 0)
    assert moments.polynomial_mean(Q, free_of_the_first, [1, 2], None) == 0


# --- closed forms ---------------------------------------------------------------------


@pytest.mark.parametrize("loss", [QUADRATIC, FITTED], ids=lambda loss: loss.kind)
def test_the_hessian_of_local_entropy_is_exact_over_fractions(loss: Any) -> None:
    """(I + tau H) times it is H."""
    tau, H = Fraction(1, 3), cf.hessian(Q, loss, X)
    grown = la.matrix_add(la.identity(Q, 2), la.matrix_scale(tau, H))
    found = cf.local_entropy_hessian(Q, loss, X, tau)
    assert la.matmul(Q, grown, found) == H
    # floats are converted by each function itself
    float_tau = cf.local_entropy_hessian(Q, loss, X, TAU)
    assert float_tau == cf.local_entropy_hessian(Q, loss, X, Fraction(TAU))
    assert all(isinstance(entry, Fraction) for row in float_tau for entry in row)


def test_what_is_answered_is_made_of_the_carriers_own_numbers() -> None:
    x, tau = np.array(X), np.float64(TAU)
    found = [cf.local_entropy(Double(), loss, x, tau) for loss in (FITTED, MIXTURE)]
    _, means, covariances = cf.posterior_components(Double(), MIXTURE, x, tau)
    found += [entry for vector in means for entry in vector]
    found += [entry for matrix in covariances for row in matrix for entry in row]
    assert {type(number) for number in found} == {float}


@pytest.mark.parametrize("loss", [QUARTIC, WELLS], ids=lambda loss: loss.kind)
def test_a_jet_holds_no_more_than_was_asked_for(loss: Any) -> None:
    jets = [cf.heat_jet(CTX, loss, X, TAU, order) for order in (0, 1, 2)]
    assert [len(jet.gradient) for jet in jets] == [0, 2, 2]
    assert [len(jet.hessian) for jet in jets] == [0, 0, 2]


@pytest.mark.parametrize(
    "loss", [QUARTIC, WAVES, MIXTURE, WELLS], ids=lambda loss: loss.kind
)
def test_the_mean_of_the_exponential_is_known_for_quadratics_alone(loss: Any) -> None:
    with pytest.raises(cf.NoClosedForm, match=loss.kind):
        cf.log_mean_exp(CTX, loss, X, [[0.125, 0], [0, 0.25]])


def test_local_entropy_far_from_the_minimiser_is_no_difference() -> None:
    """There f is 1e9 times as large, and the bound of the error shows none of it."""
    loss = data.Quadratic([2.0**10, 2.0**8], [0.25, -0.75])
    x, tau = (2.0**10, -(2.0**11)), 2.0**20
    bounded = cf.local_entropy(RunningError(), loss, x, tau)
    assert bounded.err < 64 * bounded.value
    assert loss(x) > 1e7 * bounded.value
    gap = CTX.number(bounded.value) - cf.local_entropy(CTX, loss, x, tau)
    assert abs(gap) < 1e-14 * bounded.value


# --- networks -------------------------------------------------------------------------


def test_a_relu_at_zero_is_flat_unless_asked_otherwise() -> None:
    loss = data.Network((1, 1, 2), [[1.0]], [1])
    y = [1.0, -1.0, 0.5, -0.25, 0.125, 1.0]  # 1 - 1 enters the hidden unit
    plain = network.gradient(CTX, loss, y)
    assert plain == network.gradient(CTX, loss, y, 0)
    assert plain[:2] == [0, 0]
    assert 0 not in network.gradient(CTX, loss, y, 1)[:2]


@pytest.mark.parametrize("image", [1.0, -1.0])
def test_a_sigmoid_far_out_does_not_overflow(image: float) -> None:
    loss = data.Network((1, 1, 2), [[image]], [0], "sigmoid")
    y = [800.0, 0.5, 0.5, -0.25, 0.125, 1.0]
    truth = network.value(CTX, loss, y)
    assert network.value(Double(), loss, y) == pytest.approx(float(truth), rel=1e-15)


# --- the algorithms with their draws --------------------------------------------------


def test_roots_over_fractions_are_exact_or_refused() -> None:
    assert replay.root(Q, 2.25) == Fraction(3, 2)
    for value in (2, Fraction(1, 2), Fraction(4, 3)):
        with pytest.raises(ValueError, match="no rational square root"):
            replay.root(Q, value)


@pytest.mark.parametrize(("chain", "moves"), [("literal", 2), ("new-states", 3)])
def test_a_chain_wants_the_draws_of_its_moves(chain: str, moves: int) -> None:
    at = (Q, QUADRATIC, X, TAU, (1.0, 0.25, 4.0))
    run = replay.langevin(*at, [[1, 0]] * moves, chain=chain)
    assert len(run.states) == 3
    for count in (moves - 1, moves + 1):
        with pytest.raises(ValueError, match=f"{chain} needs {moves} rows"):
            replay.langevin(*at, [[1, 0]] * count, chain=chain)


def test_a_descent_ends_in_its_last_state() -> None:
    z = np.arange(12.0).reshape(3, 2, 2) / 8
    at = (FITTED, X, 0.25, (0.5, 0.25, 0.125), z.tolist(), (2.0, 1.0))
    for walked in (replay.robbins_monro, replay.displaced_robbins_monro):
        run = walked(CTX, *at)
        assert len(run.states) == 4
        assert run.last == run.output == run.states[-1]
        assert run.states.count(run.last) == 1


ROUTES = [
    ("importance", False, replay.importance),
    ("importance", True, replay.pairwise_importance),
    ("robbins_monro", False, replay.robbins_monro),
    ("robbins_monro", True, replay.displaced_robbins_monro),
]


@pytest.mark.parametrize(("method", "second", "route"), ROUTES)
def test_a_run_is_its_updates(method: str, second: bool, route: Any) -> None:
    shape = (3, 4, 2) if method == "importance" else (3, 2, 4, 2)
    z = (np.arange(np.prod(shape)) % 7 / 4 - 0.75).reshape(shape).tolist()
    record = {"tau": (0.25, 0.5, 0.75), "step_sizes": (0.5, 0.25), "start": "centre"}
    rows = [[0, 2], [1], [2, 1]]
    path = replay.train(CTX, FITTED, X, method, record, z, rows, second=second)
    assert [len(x) for x in path] == [2] * 4
    assert path[0] == list(X)
    steps = () if method == "importance" else (record["step_sizes"],)
    for k, tau in enumerate(record["tau"]):
        update = route(CTX, FITTED.subset(rows[k]), path[k], tau, *steps, z[k])
        assert path[k + 1] == (update[0] if method == "importance" else update.output)


def test_the_second_algebra_of_algorithm_4_needs_no_maximum() -> None:
    class Unordered(MP):
        def maximum(self, values: Any) -> Any:
            raise AssertionError("a maximum was asked for")

    at = (Unordered(40), FITTED, X, "importance", {"tau": [0.25]}, [[[1, 0], [0, 2]]])
    path = replay.train(*at, second=True)
    assert len(path) == 2
    with pytest.raises(AssertionError, match="maximum"):
        replay.train(*at)


# --- laws of outputs ------------------------------------------------------------------


def test_the_weights_of_an_exponential_average_by_hand() -> None:
    output = "exponential-average:0.25"
    weights = laws.output_weights((0.5, 1.0, 2.0, 4.0), output)
    assert weights.tolist() == [27 / 64, 9 / 64, 3 / 16, 1 / 4]
    assert laws.output_weights((0.5,), output).tolist() == [1.0]


@pytest.mark.parametrize(
    ("chain", "J"),
    [("literal", 2), ("literal", 4), ("new-states", 1), ("new-states", 4)],
)
def test_an_exponential_average_three_ways(chain: str, J: int) -> None:
    steps, start = (0.5, 0.25, 0.375, 0.125)[:J], (2.0, 1.0)
    at, how = (QUADRATIC, X, TAU, steps), (start, chain, "exponential-average:0.375")

    def simulate(draws: Any) -> Any:
        runs = (replay.langevin(Double(), *at, z, *how) for z in draws.tolist())
        return [run.output for run in runs]

    found = affine_law(simulate, (J - (chain == "literal"), 2))
    for route in (laws.sgld, laws.sgld_dense):
        law = route(*at, start=start, chain=chain, output=how[-1])
        np.testing.assert_allclose(law.mean, found.mean, rtol=0, atol=1e-13)
        np.testing.assert_allclose(law.covariance, found.covariance, rtol=0, atol=1e-13)


def test_runs_of_unknown_chains_are_refused() -> None:
    for law in (laws.sgld_run, laws.sgld_run_dense):
        with pytest.raises(ValueError, match="got 'new'"):
            law([QUADRATIC], X, [TAU], (0.5, 0.25), chain="new")


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_what_is_singular_does_not_depend_on_the_unit(scale: float) -> None:
    def law(rest: float) -> Gaussian:
        covariance = np.array([[1.0, 1.0], [1.0, 1.0 + rest]])
        return Gaussian(np.zeros(2), scale**2 * covariance)

    factor = law(1e-9).factor() / scale
    np.testing.assert_allclose(factor[1], [1.0, 1e-9**0.5], rtol=1e-6)
    with pytest.raises(Degenerate):
        law(1e-14).factor()


# --- scores of pairs ------------------------------------------------------------------


def along_the_slope(size: float, away: float) -> float:
    """Normal score of an output in one dimension, f = size y and tau = 2.

    The output is s - tanh(size D) D, with s and D independent standard normals: a plain
    sum over D on both sides of zero.
    """
    D = np.linspace(-12.0, 12.0, 4801)
    weights, gap = np.exp(-0.5 * D**2), away + np.tanh(size * D) * D
    below, above = (weights @ ndtr(side) / weights.sum() for side in (gap, -gap))
    return float(ndtri(below) if below < above else -ndtri(above))


@pytest.mark.parametrize("size", [0.125, 0.5, 3.0])
def test_scores_follow_the_slope_in_every_direction(size: float) -> None:
    """Above all their sign: an output lies below x along g, however small g is."""
    x, away = np.array([0.5, -1.0, 2.0]), np.array([-1.5, 0.0, 0.25, 2.0])
    for direction in ([2.0, -1.0, 2.0], [-2.0, -2.0, 1.0]):
        unit = np.array(direction) / 3
        outputs = x + away[:, None] * unit
        expected = [along_the_slope(size, a) for a in away]
        assert expected[1] > 0
        for route, n in ((laws.pair_scores, 4), (laws.pair_scores_dense, 1)):
            scores = route(data.Linear(size * unit), x, 2.0, outputs[:n])
            np.testing.assert_allclose(
                scores[:, 0], expected[:n], rtol=0, atol=AGREEMENT
            )
            assert np.abs(scores[:, 1:]).max() < AGREEMENT


def test_scores_of_eight_deviations_keep_their_digits() -> None:
    """Where the step is longest for the poles of its integrand.

    Observed: 1e-13.  With a step a tenth longer it would be 8e-12.
    """
    size = np.pi / 8
    score = laws.pair_scores(data.Linear([size]), [0.5], 2.0, [[8.5]])[0, 0]
    assert score == pytest.approx(along_the_slope(size, 8.0), abs=2e-12)


@pytest.mark.parametrize("scale", [1.0, 2.0**5, 2.0**-5])
def test_scores_of_pairs_do_not_depend_on_the_unit(scale: float) -> None:
    """A steep slope in other units, which the nodes of both routes must follow."""
    x, away = np.array([0.5]), np.array([[0.25], [-1.5]])
    found = [
        route(data.Linear([24.0 / scale]), x, scale**2, x + scale * away)
        for route in (laws.pair_scores, laws.pair_scores_dense)
    ]
    plain = laws.pair_scores(data.Linear([24.0]), x, 1.0, x + away)
    np.testing.assert_allclose(found[0], plain, rtol=1e-14)
    np.testing.assert_allclose(found[1], plain, rtol=0, atol=AGREEMENT)


def test_densities_are_integrated_up_to_their_reach() -> None:
    """Half a panel from the end; what lies beyond is 1e-8 of the tail."""
    far = 17.51
    score = laws.pair_scores_dense(data.Linear([0.0]), (0.0,), 1.0, [[far], [-far]])
    np.testing.assert_allclose(np.abs(score[:, 0]), far * np.sqrt(2), rtol=1e-9)
    assert score[0, 0] == -score[1, 0]
