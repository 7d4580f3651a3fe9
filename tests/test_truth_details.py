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
from verification.truth import landscape as land
from verification.truth import moments, network, replay
from verification.truth import output_laws as laws
from verification.truth import quadrature as quad
from verification.truth.carriers import MP, Carrier, Double, Rational
from verification.truth.double_double import DD
from verification.truth.landscape import Landscape, Problem, Unresolved
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


# --- integrals against closed forms ---------------------------------------------------

#: Steep, broad and high: a box of twice the loss would be too small by half.
STEEP = data.Quadratic([[64.0, 8.0], [8.0, 32.0]], [0.25, -0.75], 1000.0)


def flat(value: Any) -> list[Any]:
    """The numbers of a number, list or nested list."""
    if not isinstance(value, list):
        return [value]
    return [number for entry in value for number in flat(entry)]


def assert_certified(found: quad.Certified, wanted: Any) -> None:
    """Within its error, which is small; in the shape that the closed form has."""
    assert flat(found.value)
    size = max(1.0, *(abs(float(b)) for b in flat(wanted)))
    for a, b in zip(flat(found.value), flat(wanted), strict=True):
        assert abs(a - b) <= found.error
    assert type(found.error) is float
    assert 0 < found.error < 1e-24 * size


@pytest.mark.parametrize(
    ("loss", "tau", "rule"),
    [(MIXTURE, TAU, "trapezoid"), *((STEEP, 4.0, rule) for rule in quad.RULES)],
    ids=["mixture", "steep", "steep by panels"],
)
def test_posteriors_are_integrated(loss: Any, tau: float, rule: str) -> None:
    entropy = cf.local_entropy(CTX, loss, X, tau)
    assert_certified(quad.local_entropy(loss, X, tau, rule), entropy)
    volume = CTX.log(2 * CTX.pi * CTX.number(tau))
    assert_certified(quad.normaliser_6(loss, X, tau, rule), volume - entropy)
    mean, covariance, slope = quad.posterior_moments(loss, X, tau, rule)
    assert_certified(mean, cf.posterior_mean(CTX, loss, X, tau))
    assert_certified(covariance, cf.posterior_covariance(CTX, loss, X, tau))
    assert [len(row) for row in covariance.value] == [2, 2]
    assert_certified(slope, cf.local_entropy_gradient(CTX, loss, X, tau))


def test_moments_are_the_same_about_any_centre(monkeypatch: Any) -> None:
    loss = data.Quadratic([[2.0]], [0.25], 1.5)
    monkeypatch.setattr(quad, "_mass_centre", lambda _: np.array([0.75]))
    mean, covariance, _ = quad.posterior_moments(loss, X[:1], TAU)
    assert_certified(mean, cf.posterior_mean(CTX, loss, X[:1], TAU))
    assert_certified(covariance, cf.posterior_covariance(CTX, loss, X[:1], TAU))


@pytest.mark.parametrize("rule", quad.RULES)
def test_heat_is_integrated(rule: str) -> None:
    cov = ((0.5, 0.125), (0.125, 0.25))
    jet = cf.heat_jet(CTX, QUARTIC, X, TAU)
    assert_certified(quad.heat(QUARTIC, X, TAU, rule), jet.value)
    assert_certified(quad.heat_gradient(QUARTIC, X, TAU, rule), jet.gradient)
    found = quad.heat_jet(QUARTIC, X, TAU, rule)
    for got, wanted in zip(
        (found.value, found.gradient, found.hessian),
        (jet.value, jet.gradient, jet.hessian),
        strict=True,
    ):
        assert_certified(quad.Certified(got, 1e-25), wanted)
    assert [len(row) for row in found.hessian] == [2, 2]
    mean = cf.gaussian_mean(CTX, QUARTIC, X, cov)
    assert_certified(quad.gaussian_mean(QUARTIC, X, cov, rule), mean)


@pytest.mark.parametrize("rule", quad.RULES)
def test_the_mean_of_an_exponential_is_integrated(rule: str) -> None:
    cov = ((0.125, 0.03125), (0.03125, 0.25))
    found = quad.log_mean_exp(QUADRATIC, X, cov, rule)
    assert found is not None
    assert_certified(found, cf.log_mean_exp(CTX, QUADRATIC, X, cov))
    assert quad.log_mean_exp(QUADRATIC, X, ((4.0, 0.0), (0.0, 1.0)), rule) is None


def test_a_variance_is_positive() -> None:
    for tau in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="must be positive"):
            quad.heat(QUARTIC, X, tau)


def test_heat_over_arrays(monkeypatch: Any) -> None:
    """Its nodes are 7.5 deviations and 2.5 to a length; a quadratic shows the rest."""
    one = data.GaussianMixture([1.0], [[0.5, 1.0]], [SPREADS[0]])
    points, V = np.array([X, (-1.0, 0.5)]), np.linalg.inv(SPREADS[0])
    gaps = points - [0.5, 1.0]
    form = np.einsum("ni,ij,nj->n", gaps, V, gaps) + TAU * np.trace(V)
    wanted = (form + np.log(np.linalg.det(2 * np.pi * np.array(SPREADS[0])))) / 2
    found = quad.heat_on_arrays(one, X, TAU)(points)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    values = [float(cf.value(Double(), MIXTURE, y)) for y in points]
    np.testing.assert_allclose(quad._float_mixture(MIXTURE, points), values, rtol=1e-14)
    asked: list[np.ndarray] = []

    def recorded(_: Any, y: np.ndarray) -> np.ndarray:
        asked.append(y)
        return np.zeros(len(y))

    monkeypatch.setattr(quad, "_float_mixture", recorded)
    quad.heat_on_arrays(MIXTURE, X, TAU)(points[:1])
    box = land.survey(Problem(MIXTURE, 0, X, ((TAU, 0.0), (0.0, TAU))))
    s, reach = asked[0] - np.array(X), 7.5 * np.sqrt(TAU)
    for j, step in enumerate(box.smallest / 2.5):
        axis = np.unique(s[:, j].round(9))
        np.testing.assert_allclose(np.diff(axis), step, atol=2e-9)
        assert axis[0] == pytest.approx(-reach)
        assert reach - step < axis[-1] < reach
    monkeypatch.setattr(quad, "BUDGET", s.size)
    quad.heat_on_arrays(MIXTURE, X, TAU)
    monkeypatch.setattr(quad, "BUDGET", s.size - 1)
    with pytest.raises(Unresolved, match="for every point"):
        quad.heat_on_arrays(MIXTURE, X, TAU)


# --- and what is said of their errors -------------------------------------------------


@pytest.mark.parametrize(("shift", "share"), [(160.0, 2), (-160.0, 2), (8.0, 1)])
def test_errors_are_those_of_levels_and_of_arithmetic(shift: float, share: int) -> None:
    """A quotient and a difference of 2 and 3, by hand to first order, in 1e-28.

    The quotient moves by 2 with the level, and by 3/4 and 1/2 of what 2 and 3 move by:
    the share of the sizes 2 and 5.  The difference moves by 4, and by both.
    """
    box = Landscape(np.zeros(1), np.ones(1), np.ones(1), shift)
    integrals = [CTX.number(2), CTX.number(3)]
    previous = [integrals[0], integrals[1] + CTX.number(4e-28)]
    values, errors = quad._finish(
        lambda I, _: [I[1] / I[0], I[0] - I[1]], box, integrals, previous, [2.0, 5.0]
    )
    assert values == [1.5, -1]
    wanted = [2 + share * (1.5 + 2.5), 4 + share * (2 + 5)]
    np.testing.assert_allclose(errors, 1e-28 * np.array(wanted), rtol=1e-9)


@pytest.mark.parametrize(
    ("levels", "n"),
    [
        ([[3.9, 0.24, 0.0]], 2),  # in 1e-26, of the sizes 4, 1/4 and 0
        ([[4.1, 0.0, 0.0], [4.1, 0.0, 0.0]], 3),
        ([[0.0, 0.26, 0.0], [9.0, 0.26, 0.0], [9.0, 0.26, 0.0]], 4),
        ([[5.0, 0.0, 0.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]], 0),
    ],
)
def test_two_levels_have_to_agree(monkeypatch: Any, levels: Any, n: int) -> None:
    rows = [
        [
            CTX.number(c) + CTX.number(e) / 10**26
            for c, e in zip((4, 1, 0), row, strict=True)
        ]
        for row in ([0.0, 0.0, 0.0], *levels)
    ]
    asked: list[tuple[str, int]] = []

    def axes(rule: str, _: Any, level: int) -> Any:
        asked.append((rule, level))
        return [(DD(np.zeros(3)), DD(np.zeros(3)))] * 2

    monkeypatch.setattr(quad, "survey", lambda _: box)
    monkeypatch.setattr(quad, "_axes", axes)
    sizes = [4.0, 0.25, 0.0]
    monkeypatch.setattr(
        quad, "_integrate", lambda *_: (rows[len(asked) - 1], list(sizes))
    )
    box = Landscape(np.zeros(1), np.ones(1), np.ones(1))
    given: Any = (None, "trapezoid", quad._nothing, lambda I, _: I)
    if not n:
        with pytest.raises(Unresolved, match="trapezoid has not settled with 9 nodes"):
            quad._certify_all(*given)
        assert len(asked) == 4
        return
    values, errors = quad._certify_all(*given)
    assert asked == [("trapezoid", level) for level in range(n)]
    assert values == rows[-1]
    parts = zip(rows[-1], rows[-2], sizes, strict=True)
    wanted = [float(abs(a - b)) + 1e-28 * size for a, b, size in parts]
    np.testing.assert_allclose(errors, wanted, rtol=1e-9)


def test_the_largest_of_several_errors_is_told(monkeypatch: Any) -> None:
    values, errors = list(range(1, 8)), [1.0, 2.0, 3.0, 5.0, 4.0, 6.0, 7.0]
    monkeypatch.setattr(quad, "_certify_all", lambda *_: (values, errors))
    assert quad._certify(*[None] * 4) == (values, 7.0)
    found = quad._posterior_moments.__wrapped__(MIXTURE, X, TAU, "trapezoid")
    assert [(one.value, one.error) for one in found] == [
        ([1, 2], 2.0),
        ([[3, 4], [4, 5]], 5.0),
        ([6, 7], 7.0),
    ]


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
