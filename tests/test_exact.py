"""Exact projections, and the quadrature below them: right, or refused."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

from refimpl import quadrature, regularised
from refimpl.arrays import as_array
from refimpl.errors import (
    NoClosedForm,
    NonFinite,
    NotCertified,
    NotIntegrable,
    Unresolved,
)
from refimpl.exact import MAX_STARTS, ExactHeat, ExactMean, Minimisers
from refimpl.laws import GibbsLaw, Mixture, gaussian, phi
from refimpl.losses import (
    Constant,
    GaussianMixture,
    GaussianWells,
    Quadratic,
    Quartic,
    Trigonometric,
)
from verification import losses as data
from verification import problems as P
from verification import strategies
from verification.adapter import loss_of
from verification.checks._kit import size
from verification.problems import Problem
from verification.truth import closed_forms as cf
from verification.truth import proximal
from verification.truth import quadrature as truth
from verification.truth.carriers import MP

EXACT = MP(40)
EPS = 2.0**-52


def law(loss: Any, x: Any, tau: float) -> GibbsLaw:
    return GibbsLaw(loss_of(loss) if isinstance(loss, data.LossData) else loss, x, tau)


def minimisers(loss: Any, x: Any, tau: float) -> Minimisers:
    info: Minimisers = ExactHeat()(law(loss, x, tau)).info
    return info


# --- Algorithm 1


@pytest.mark.parametrize("p", P.CONJUGATE, ids=lambda p: p.label)
def test_the_exact_mean_is_the_posteriors(p: Problem) -> None:
    projection = ExactMean()(law(p.loss, p.x, p.tau))
    wanted = [float(v) for v in cf.posterior_mean(EXACT, p.loss, p.x, p.tau)]
    # condition numbers below 20, some tens of roundings
    np.testing.assert_allclose(projection.x, wanted, rtol=1e-13, atol=1e-13)
    assert projection.info is None


def test_neither_projection_needs_or_uses_its_keywords() -> None:
    q = law(P.QUARTIC_1, [0.5], 0.75)
    for project in (ExactMean(), ExactHeat()):
        plain = project(q)
        warm = project(q, rng=np.random.Generator(np.random.PCG64(0)), previous=plain)
        assert np.array_equal(plain.x, warm.x)


# --- Algorithm 2: certificates


@pytest.mark.parametrize("p", P.QUADRATICS, ids=lambda p: p.label)
def test_a_formula_is_a_certificate(p: Problem) -> None:
    info = minimisers(p.loss, p.x, p.tau)
    assert info.certificate == "closed form"
    wanted = [float(v) for v in cf.proximal_point(EXACT, p.loss, p.x, p.tau)]
    np.testing.assert_allclose(info.points, [wanted], rtol=1e-13, atol=1e-13)


EVENLY = data.GaussianMixture(
    [0.375, 0.625], [[-0.5, 0.25], [0.75, 0.0]], [[[0.5, 0.125], [0.125, 0.375]]] * 2
)
PAIR = data.Quartic([1.0, 1.0], [0.0, 0.0], [-4.0, -4.0])
CASES = {
    "quartic": (P.QUARTIC_1, (0.8125,), 0.75, "convex"),
    "coupled quartic": (P.QUARTIC_2, (0.8125, -1.3125), 0.375, "convex"),
    "waves": (P.WAVES_2, (0.8125, -1.3125), 0.75, "convex"),
    "wells": (P.WELLS_2, (0.8125, -1.3125), 0.375, "convex"),
    "equal components": (EVENLY, (0.25, -0.5), 0.25, "convex"),
    "double well": (P.DOUBLE_WELL_1, (0.25,), 0.75, "grid"),
    "four wells": (PAIR, (0.125, -0.25), 0.5, "grid"),
    "high waves": (
        data.Trigonometric([3.0, -2.0], [[2.0], [0.75]], [0.5, 1.0], 0.25, [0.5]),
        (1.25,),
        0.5,
        "grid",
    ),
    "deep wells": (
        data.GaussianWells([6.0, 5.0], [[-1.0], [1.25]], [[[0.25]], [[0.5]]]),
        (0.25,),
        1.0,
        "grid",
    ),
    "mixture": (P.MIXTURE_1, (0.8125,), 0.75, "grid"),
}


@pytest.mark.parametrize("name", CASES)
def test_certificates_stationarity_and_the_truth(name: str) -> None:
    """Against minimisers certified in forty digits by cells and Newton's method."""
    loss, x, tau, certificate = CASES[name]
    info = minimisers(loss, x, tau)
    assert info.certificate == certificate
    # Newton's last step is some eps of |y| + |x|, after a heat of ten or sixteen digits
    integrated = loss.kind == "gaussian_mixture"
    slack = 1e-9 if integrated else 1e-13 * (1 + size(x))
    bends = np.eye(len(x))
    for point in info.points:
        if not integrated:
            bends = loss_of(loss).heat_hessian(point, tau)
        steepness = 1 + tau * np.abs(np.linalg.eigvalsh(bends)).max()
        h = proximal.stationarity(loss, x, point.tolist(), tau)
        assert size(h) <= slack * steepness * 10
    if name == "equal components":
        return  # the truth's search in two dimensions takes many seconds
    wanted = np.array(proximal.proximal_points(loss, x, tau).points, dtype=float)
    # a stationary point moves by slack / (1 + tau lambda_min)
    np.testing.assert_allclose(info.points, wanted, rtol=0, atol=100 * slack)


@settings(max_examples=60)
@given(
    strategies.problems(
        ["quartic", "trigonometric", "gaussian_wells"], d=1, smallest=0.125, largest=4.0
    )
)
def test_the_minimum_is_global(p: Problem) -> None:
    """On drawn problems in one dimension; refusals are allowed, errors are not."""
    try:
        point = ExactHeat()(law(p.loss, p.x, p.tau)).x
    except NotCertified:
        assume(False)
    try:
        least = proximal.proximal_points(p.loss, p.x, p.tau).minimum
    except (ValueError, proximal.Unresolved):
        assume(False)
    y, x = EXACT.number(float(point[0])), EXACT.number(p.x[0])
    heat = cf.heat(EXACT, p.loss, [y], p.tau)
    reached = heat + (y - x) ** 2 / (2 * EXACT.number(p.tau))
    # at a minimum an error of 1e-13 in y counts only twice over
    assert reached - least <= 1e-12 * (1 + abs(least))


@pytest.mark.parametrize("tau", [0.5, 0.001, 30.0])
@pytest.mark.parametrize("magnitude", range(0, 17, 2))
def test_far_out_the_search_goes_on_to_the_end(magnitude: int, tau: float) -> None:
    """Of y^4 / 4 Newton's steps are a third of y for as long as y is too large.

    The proximal point of x = tau (y^3 + 3 tau y) + y is y.  What is left of it are the
    roundings of the gradient's four terms.  A second coordinate is there at once.
    """
    y = 1.37 * 10.0**magnitude
    x = tau * (y**3 + 3 * tau * y) + y
    info = minimisers(data.Quartic([1.0] * 2, [0.0] * 2, [0.0] * 2), [0.0, x], tau)
    assert info.certificate == "convex"
    np.testing.assert_allclose(info.points, [[0.0, y]], rtol=8 * EPS)


RISING = {
    "quartic": (data.Quartic([1.375], [5.125], [2.375]), 2.0**-6),
    "waves": (
        data.Trigonometric(
            [212.0, -5.25], [[0.04375], [0.34375]], [1.0625, 4.0], 0.0, [0.0]
        ),
        1.75,
    ),
}


@pytest.mark.parametrize("name", RISING)
def test_a_gradient_that_rises_on_the_way_is_not_the_end(name: str) -> None:
    """The second step is longer than sqrt(tau), or nearly, and leaves a steep slope."""
    loss, x = RISING[name]
    wanted = proximal.proximal_points(loss, [x], 1.0).points
    found = minimisers(loss, [x], 1.0).points
    np.testing.assert_allclose(found, np.array(wanted, dtype=float), rtol=64 * EPS)


@pytest.mark.parametrize("x", [-1.0, -0.375, 0.375, 0.625, 1.125])
def test_what_is_left_of_the_search_is_rounding(x: float) -> None:
    """Each term of the gradient is rounded some times, and G'' divides their sum.

    From -1 the first short step leaves more: the search must not end with it.
    """
    c4, c3, c2, tau = 1.375, 5.125, 2.375, 1.0
    loss = data.Quartic([c4], [c3], [c2])
    y = float(proximal.proximal_points(loss, [x], tau).points[0][0])
    terms = [c4 * y**3, 3 * c4 * tau * y, c3 * y**2, c3 * tau, c2 * y, (y - x) / tau]
    bend = 3 * c4 * (y**2 + tau) + 2 * c3 * y + c2 + 1 / tau
    rounding = 4 * EPS / 2 * sum(map(abs, terms)) / bend
    assert abs(minimisers(loss, [x], tau).points[0, 0] - y) <= rounding


@pytest.mark.parametrize("tau", [1e-20, 0.01, 0.5, 30.0, 1e20])
def test_a_proximal_point_at_zero_is_found_to_rounding(tau: float) -> None:
    """Two slopes cancel there, and no step is small beside it.

    x is tau times the slope of F^H at zero, a damped sine.  F^H has curvature 0.6 / tau
    at most.
    """
    for height, width, phase in product(
        (0.125, -0.25, 0.375), (0.5, 0.75, 1.25), (0.25, 0.5, 0.75, 1.0, 1.25)
    ):
        frequency = width / math.sqrt(tau)
        x = -tau * height * frequency * math.exp(-(width**2) / 2) * math.sin(phase)
        waves = Trigonometric([height], [[frequency]], [phase], 0.0, [0.0])
        projection = ExactHeat()(law(waves, [x], tau))
        assert projection.info.certificate == "convex"
        assert abs(projection.x[0]) <= 16 * EPS * abs(x)


# --- ties


def test_a_symmetric_double_well_has_two_proximal_points() -> None:
    """G' = y^3 + (3 tau - 4 + 1/tau) y = y^3 - y/2 at tau = 1/2."""
    info = minimisers(data.Quartic([1.0], [0.0], [-4.0]), [0.0], 0.5)
    assert info.certificate == "grid"
    np.testing.assert_allclose(info.points, [[-math.sqrt(0.5)], [math.sqrt(0.5)]])
    projection = ExactHeat()(law(data.Quartic([1.0], [0.0], [-4.0]), [0.0], 0.5))
    assert np.array_equal(projection.x, info.points[0])


def test_four_ties_come_in_lexicographic_order() -> None:
    root = math.sqrt(0.5)
    info = minimisers(PAIR, [0.0, 0.0], 0.5)
    wanted = [list(p) for p in product((-root, root), repeat=2)]
    np.testing.assert_allclose(info.points, wanted, rtol=1e-12)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_breath_beside_the_tie_decides(side: int) -> None:
    info = minimisers(data.Quartic([1.0], [0.0], [-4.0]), [side * 2.0**-20], 0.5)
    assert len(info.points) == 1
    assert np.sign(info.points[0, 0]) == side


# --- refusals


class Plain:
    """|y|^2 by its two doors alone."""

    def __init__(self, d: int) -> None:
        self.d = d

    def __call__(self, y: Any) -> Any:
        return (np.asarray(y) ** 2).sum(axis=-1)

    def gradient(self, y: Any) -> Any:
        return 2 * np.asarray(y)


def test_what_cannot_be_certified_is_refused_in_a_sentence() -> None:
    four = Trigonometric([9.0], [[1.0] * 4], [0.0], 1.0, np.zeros(4))
    for f in (four, Plain(1), Plain(4)):
        with pytest.raises(NotCertified) as info:
            ExactHeat()(law(f, np.zeros(f.d), 1.0))
        said = str(info.value)
        assert f"proximal point of {type(f).__name__} at tau = 1 cannot be" in said
        assert "needs d <= 3 and a loss that states its bounds" in said
    easy = Trigonometric([0.5], [[1.0] * 4], [0.0], 4.0, np.zeros(4))
    assert minimisers(easy, np.zeros(4), 1.0).certificate == "convex"


def test_heat_unbounded_below_is_refused() -> None:
    class Bottomless(GaussianWells):
        def heat_lower_bound(self, tau: float) -> float:
            return -math.inf

    deep = Bottomless([40.0], [[0.0]], [[[1.0]]])
    with pytest.raises(NotCertified, match="not known to be bounded below"):
        ExactHeat()(law(deep, [1.0], 1.0))


def test_a_saddle_that_the_proximal_term_outweighs_has_a_proximal_point() -> None:
    """H = -0.9 and tau = 1: heat falls without bound and G does not."""
    for H, certificate in ((-0.25, "convex"), (-0.9, "grid")):
        loss = data.Trigonometric([0.5], [[1.0]], [0.3], H, [0.2])
        info = minimisers(loss, [0.5], 1.0)
        assert info.certificate == certificate
        wanted = proximal.proximal_points(loss, [0.5], 1.0).points
        np.testing.assert_allclose(
            info.points, np.array(wanted, dtype=float), rtol=1e-12
        )


def test_too_large_a_search_names_its_budget() -> None:
    deep = GaussianWells([4000.0], [[0.0] * 3], [64 * np.eye(3)])
    with pytest.raises(NotCertified, match=f"beyond the budget of {MAX_STARTS}"):
        ExactHeat()(law(deep, [16.0, 0.0, 0.0], 1.0))


# --- quadrature: planted traps


def one_well(depth: float, variance: float, x: float, tau: float) -> float:
    """F_tau of one well at zero: E e^{a g} = sum a^k / k! E g^k, each term Gaussian."""
    mp, w, t = EXACT.mp, EXACT.number(variance), EXACT.number(tau)
    total, term = mp.mpf(0), mp.mpf(1)
    for k in range(120):
        wide = w + k * t
        bump = mp.exp(-k * mp.mpf(x) ** 2 / (2 * wide))
        total += term * mp.sqrt(w / wide) * bump
        term = term * depth / (k + 1)
    return float(-mp.log(total))


@pytest.mark.parametrize("depth", [-2.0, 1.0, 6.0, 20.0])
@pytest.mark.parametrize("width", [0.005, 0.5])
@pytest.mark.parametrize("x", [0.25, 0.0, 3.0])
def test_a_sharp_well_is_resolved(depth: float, width: float, x: float) -> None:
    """Halving a step of sqrt(tau)/4 claims 1e-9 here and is wrong by 1.5."""
    f = GaussianWells([depth], [[0.0]], [[[width**2]]])
    wanted = one_well(depth, f.covariances[0, 0, 0], x, 1.0)
    value = regularised.local_entropy(f, [x], 1.0)
    assert abs(value - wanted) <= 1e-12 * max(1.0, abs(depth))


@pytest.mark.parametrize("d", [2, 3])
def test_beyond_the_budget_there_is_no_answer(d: int) -> None:
    f = GaussianWells([2.0], [[0.0] * d], [0.005**2 * np.eye(d)])
    for ask in (regularised.local_entropy, regularised.posterior_mean):
        with pytest.raises(Unresolved) as info:
            ask(f, [0.25] * d, 1.0)
        said = str(info.value)
        assert f"beyond the budget of {quadrature.MAX_NODES}" in said
        nodes = float(said.split("needs ")[1].split(" nodes")[0])
        assert nodes > quadrature.MAX_NODES


DOUBLE = data.Quartic([1.0], [0.125], [-4.0])


@pytest.mark.parametrize("tau", [1e-10, 1e-3, 1.0, 1e3, 1e5, 1e8])
def test_a_double_well_at_extreme_tau(tau: float) -> None:
    f, x = loss_of(DOUBLE), (3.0,)
    exact = float(truth.local_entropy(DOUBLE, x, tau).value)
    mean, covariance, slope = truth.posterior_moments(DOUBLE, x, tau)
    assert abs(regularised.local_entropy(f, x, tau) - exact) <= 1e-11 * (1 + abs(exact))
    found = regularised.posterior_mean(f, x, tau)
    np.testing.assert_allclose(found, float(mean.value[0]), rtol=1e-12)
    found = regularised.posterior_covariance(f, x, tau)
    np.testing.assert_allclose(found, [[float(covariance.value[0][0])]], rtol=1e-9)
    found = regularised.local_entropy_gradient(f, x, tau)
    np.testing.assert_allclose(found, [float(slope.value[0])], rtol=1e-12)


@pytest.mark.parametrize("tau", [1e-12, 1e-10, 1e-6, 1e-3, 1.0, 1e2])
def test_the_two_forms_of_the_gradient(tau: float) -> None:
    """(12): E_q grad f keeps its digits where (x - E_q X) / tau loses log10(1/tau)."""
    f = loss_of(DOUBLE)
    exact = float(truth.posterior_moments(DOUBLE, (3.0,), tau)[2].value[0])
    error = {
        form: abs(
            regularised.local_entropy_gradient(f, [3.0], tau, form)[0] / exact - 1
        )
        for form in ("gradient", "mean", None)
    }
    assert error["gradient"] <= 1e-12
    assert error[None] <= 1e-12
    assert error["mean"] <= 1e-12 + 64 * EPS / tau
    if tau <= 1e-10:
        assert error["mean"] > 1e-9


@pytest.mark.parametrize("loss", [P.QUADRATIC_2, P.MIXTURE_2, P.LEAST_SQUARES_3])
def test_the_two_forms_agree_where_there_is_a_closed_form(loss: Any) -> None:
    x = np.array([0.8125, -1.3125, 0.4375])[: loss.d]
    for tau in (0.25, 4.0):
        forms = [
            regularised.local_entropy_gradient(loss_of(loss), x, tau, form)
            for form in ("mean", "gradient")
        ]
        np.testing.assert_allclose(*forms, rtol=1e-13, atol=1e-13)
    with pytest.raises(ValueError, match='form must be "mean" or "gradient"'):
        regularised.local_entropy_gradient(loss_of(loss), x, 1.0, "slope")  # type: ignore[arg-type]


class Liar(GaussianWells):
    """A well of width 1/16 that claims to be as wide as it pleases."""

    def __init__(self, claim: float) -> None:
        super().__init__([3.0], [[0.0]], [[[2.0**-8]]])
        self.claim = claim

    def feature_length(self, lower: Any, upper: Any) -> Any:
        return np.array([self.claim])


@pytest.mark.parametrize("claim", [0.05, 0.25, 0.5, 0.75, 1.0])
def test_a_loss_that_lies_about_its_features_is_caught(claim: float) -> None:
    """Wherever the well falls between the nodes: the right answer, or none."""
    refused = 0
    for x in np.linspace(-0.25, 0.25, 41):
        try:
            value = regularised.local_entropy(Liar(claim), [x], 1.0)
        except Unresolved:
            refused += 1
        else:
            assert abs(value - one_well(3.0, 2.0**-8, float(x), 1.0)) < 1e-9
    assert refused == (0 if claim == 0.05 else 41)
    said = "quadrature rules differ by .*: the loss has smaller features than it states"
    if refused:
        with pytest.raises(Unresolved, match=said):
            regularised.local_entropy(Liar(claim), [0.0], 1.0)


def test_far_tails() -> None:
    """Where exp(-f) or phi alone underflow, their product's logarithm does not."""
    for x, tau in ((60.0, 0.25), (-1e3, 2.0), (1e2, 1e-4)):
        exact = float(truth.local_entropy(P.QUARTIC_1, (x,), tau).value)
        value = regularised.local_entropy(loss_of(P.QUARTIC_1), [x], tau)
        assert abs(value - exact) <= 1e-11 * abs(exact)
    f = loss_of(P.MIXTURE_1)
    for x in (40.0, -1e3):
        exact = float(truth.heat(P.MIXTURE_1, (x,), 0.75).value)
        assert abs(regularised.heat(f, [x], 0.75) - exact) <= 1e-11 * exact
        exact = float(cf.local_entropy(EXACT, P.MIXTURE_1, (x,), 0.75))
        assert abs(regularised.local_entropy(f, [x], 0.75) - exact) <= 1e-14 * exact
    far = regularised.local_entropy(loss_of(P.WELLS_1), [1e3], 1.25)
    assert abs(far - P.WELLS_1.c) < 1e-13


@pytest.mark.parametrize("rise", [800.0, -800.0])
@pytest.mark.parametrize("loss", [P.WELLS_1, P.WAVES_1, P.QUADRATIC_1, P.LINEAR_2])
def test_a_loss_of_plus_or_minus_800(loss: Any, rise: float) -> None:
    """exp(800) overflows and exp(-800) underflows."""
    high = data.from_json({**loss.to_json(), "c": loss.c + rise})
    x, tau = [0.8125, -1.3125][: loss.d], 0.625
    for ask in (regularised.local_entropy, regularised.heat):
        found = ask(loss_of(high), x, tau) - ask(loss_of(loss), x, tau)
        assert abs(found - rise) <= 1e-12 * abs(rise)
    for ask in (regularised.posterior_mean, regularised.local_entropy_gradient):
        np.testing.assert_allclose(
            ask(loss_of(high), x, tau), ask(loss_of(loss), x, tau), rtol=1e-11
        )


def test_a_value_that_is_not_finite_on_the_grid_is_named() -> None:
    whole = GaussianWells([1.0], [[0.0]], [[[1.0]]])

    class Hole(Plain):
        """Wells without a value in one place."""

        support, exp_diverges = whole.support, whole.exp_diverges
        feature_length = whole.feature_length

        def __call__(self, y: Any) -> Any:
            return np.where(np.abs(y[..., 0] - 1) < 0.25, np.nan, whole(y))

    with pytest.raises(NonFinite, match=r"the loss .* quadrature grid"):
        regularised.local_entropy(Hole(1), [0.0], 1.0)


# --- the functionals (8) and (13)

ONE = gaussian([0.25], 0.375)
MANY = Mixture(
    as_array("w", [0.375, 0.625]),
    as_array("m", [[-0.75], [1.0]]),
    as_array("S", [[[0.125]], [[0.25]]]),
)
TWO_D = gaussian([0.5, -0.25], [[0.25, 0.0625], [0.0625, 0.125]])
LINE = (P.QUADRATIC_1, P.MIXTURE_1, P.WELLS_1, P.WAVES_1, P.QUARTIC_1)
PAIRS = [
    *((loss, q) for loss in LINE for q in (ONE, MANY)),
    *((loss, TWO_D) for loss in (P.QUADRATIC_2, P.WELLS_2, P.WAVES_2, P.LINEAR_2)),
]
NAMES = [f"{loss.kind}-{q.d}d-{len(q.weights)}" for loss, q in PAIRS]
of_functionals = pytest.mark.parametrize(("loss", "q"), PAIRS, ids=NAMES)
TAU = 0.625


def as_data(q: Mixture) -> data.GaussianMixture:
    return data.GaussianMixture(q.weights, q.means, q.covariances)


def average(loss: Any, q: Mixture) -> float:
    """The integral of f q in forty digits where there is a form, else certified."""
    total = 0.0
    for w, m, S in zip(
        q.weights, q.means.tolist(), q.covariances.tolist(), strict=True
    ):
        if loss.kind in cf.HEAT:
            part = float(cf.gaussian_mean(EXACT, loss, m, S))
        else:
            part = float(truth.gaussian_mean(loss, m, S).value)
        total += float(w) * part
    return total


def surprisal_of_phi(x: Any, tau: float) -> data.Quadratic:
    return data.Quadratic(1 / tau, x, 0.5 * len(x) * math.log(2 * math.pi * tau))


@of_functionals
def test_the_functional_of_8(loss: Any, q: Mixture) -> None:
    x = [0.8125, -1.3125][: q.d]
    wanted = average(loss, q) + average(surprisal_of_phi(x, TAU), q)
    wanted -= average(as_data(q), q)
    value = regularised.entropy_functional(loss_of(loss), q, x, TAU)
    assert abs(value - wanted) <= 1e-10 * (1 + abs(wanted))
    floor = regularised.local_entropy(loss_of(loss), x, TAU)
    assert value >= floor - 1e-10 * (1 + abs(floor))  # Theorem 1


@of_functionals
def test_the_functional_of_13(loss: Any, q: Mixture) -> None:
    x = [0.8125, -1.3125][: q.d]
    value = regularised.heat_functional(loss_of(loss), q, x, TAU)
    if loss.kind == "quartic":
        assert value == math.inf  # E16: no Gaussian outweighs exp(y^4)
        return
    terms = []
    for w, m, S in zip(
        q.weights, q.means.tolist(), q.covariances.tolist(), strict=True
    ):
        if loss.kind in cf.QUADRATIC:
            log = cf.log_mean_exp(EXACT, loss, m, S)
        else:
            certified = truth.log_mean_exp(loss, m, S)
            log = None if certified is None else certified.value
        assert log is not None
        terms.append(float(w) * EXACT.exp(log))
    entropy = 0.5 * q.d * math.log(2 * math.pi * math.e * TAU)
    wanted = float(EXACT.log(sum(terms))) - entropy
    wanted += average(as_data(q), phi(x, TAU))
    assert abs(value - wanted) <= 1e-10 * (1 + abs(wanted))
    floor = regularised.heat(loss_of(loss), x, TAU)
    assert value >= floor - 1e-10 * (1 + abs(floor))  # Theorem 3


def test_the_functional_of_13_is_infinite_where_q_is_too_wide() -> None:
    steep = Quadratic(4.0, [0.0])
    wide = Mixture(
        np.array([0.5, 0.5]), np.zeros((2, 1)), np.array([[[0.125]], [[0.25]]])
    )
    assert regularised.heat_functional(steep, wide, [0.0], 1.0) == math.inf
    assert math.isfinite(
        regularised.heat_functional(steep, gaussian([0.0], 0.2), [0.0], 1.0)
    )
    wave = Trigonometric([0.5], [[2.0]], [0.0], 4.0, [0.0])
    assert regularised.heat_functional(wave, wide, [0.0], 1.0) == math.inf
    narrow = GaussianMixture([1.0], [[0.0]], [[[0.0625]]])
    assert regularised.heat_functional(narrow, wide, [0.0], 1.0) == math.inf


def test_the_bracket_of_8_is_least_at_q() -> None:
    """At q_{x,tau} itself, a mixture, the bracket is F."""
    x = [0.8125]
    odds, means, covariances = cf.posterior_components(EXACT, P.MIXTURE_1, x, TAU)
    weights = np.array([float(w) for w in odds])
    q = Mixture(
        weights / weights.sum(),
        np.array(means, dtype=float),
        np.array(covariances, dtype=float),
    )
    value = regularised.entropy_functional(loss_of(P.MIXTURE_1), q, x, TAU)
    floor = regularised.local_entropy(loss_of(P.MIXTURE_1), x, TAU)
    assert abs(value - floor) <= 1e-10


def test_divergences() -> None:
    """By quadrature; a Gaussian written as a mixture of itself has a closed form."""
    split = Mixture(np.array([0.25, 0.75]), ONE.means[[0, 0]], ONE.covariances[[0, 0]])
    p = gaussian([1.0], 0.25)
    exact = regularised.divergence(p, ONE)
    assert abs(regularised.divergence(p, split) - exact) <= 1e-12
    assert abs(regularised.divergence(MANY, MANY)) <= 1e-12
    assert regularised.divergence(MANY, ONE) > 0
    four = Mixture(np.array([0.5, 0.5]), np.zeros((2, 4)), np.array([np.eye(4)] * 2))
    with pytest.raises(NoClosedForm, match="d <= 3"):
        regularised.divergence(four, four)


def test_constants_are_the_simplest_case_of_all() -> None:
    f = Constant(1.5, 2)
    q = law(f, [0.25, 0.5], 0.75)
    assert np.array_equal(ExactMean()(q).x, q.x)
    assert np.array_equal(ExactHeat()(q).x, q.x)
    assert regularised.local_entropy(f, q.x, 0.75) == 1.5
    with pytest.raises(NotIntegrable):
        ExactHeat()(law(Quadratic(-2.0, [0.0]), [1.0], 0.75))
    with pytest.raises(NotIntegrable):
        ExactHeat()(law(Quartic([-1.0], [0.0], [0.0]), [1.0], 0.75))
