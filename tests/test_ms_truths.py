"""The judge's truths of several levels: known values, and routes against routes."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from verification import problems as P
from verification.checks import _multiscale as kit
from verification.checks import ms_chains
from verification.evidence.running_error import RunningError
from verification.losses import Quadratic
from verification.truth import closed_forms as cf
from verification.truth import multiscale as ms
from verification.truth import multiscale_chains as chains
from verification.truth import multiscale_sampling as sampling
from verification.truth import quadrature
from verification.truth.carriers import MP, Double

CTX, DOUBLE = MP(50), Double()
AGREE = 1e-45  # of 50 digits, after some hundred operations on numbers of order one

TABLES = (*kit.KNOWN, *kit.GENERIC)
by_label = pytest.mark.parametrize("p", TABLES, ids=lambda p: p.label)


def random_table(seed: int, *shape: int) -> tuple[Any, Any, Any]:
    """Energies, a reference that is no product, and temperatures in any order."""
    rng = np.random.default_rng(seed)
    Q = rng.uniform(0.1, 1.0, size=shape)
    return rng.uniform(0, 2, size=shape), Q / Q.sum(), rng.uniform(0.2, 2, len(shape))


def random_law(seed: int, *shape: int) -> Any:
    P_ = np.random.default_rng(seed).uniform(size=shape)
    return P_ / P_.sum()


def free_energy(f: Any, Q: Any, lam: Any) -> Any:
    lam = list(lam)
    return -CTX.number(lam[0]) * CTX.log(ms.nested(CTX, f, Q, lam)[0].item())


def far(one: Any, other: Any) -> float:
    """The largest distance between two tables of numbers."""
    pair = (np.asarray(of, dtype=object) for of in (one, other))
    return max(abs(float(v)) for v in np.ravel(np.subtract(*pair)))


# --- tables


@by_label
def test_the_routes_of_the_checks_agree(p: Any) -> None:
    solved = kit.solved(p)  # raises where they do not
    assert len(solved.energies) == p.more["energies"].ndim
    assert abs(float(sum(solved.law.value.ravel())) - 1) < 1e-15


@by_label
def test_known_values(p: Any) -> None:
    """To half a unit of the last digit: they were computed elsewhere."""
    f, Q, _ = kit.tables(p)
    solved = kit.solved(p)
    V = [of.value for of in solved.energies]
    law = solved.law.value.astype(float)
    first = law.sum(axis=tuple(range(1, law.ndim)))
    found: dict[str, Any] = {
        "V_0": V[0],
        "P*": law,
        "P*(w1)": first,
        "P*(w1 = 0)": first[0],
        "E f": (law * f).sum(),
        "K": ms.level_divergences(CTX, solved.law.value, Q),
    }
    if law.ndim > 1:
        found["V_1"] = V[1]
        found["g'"], found["c'"] = (V[1][-1] - V[1][0]) / 2, (V[1][-1] + V[1][0]) / 2
        shares = law[:, 0].sum(axis=tuple(range(1, law.ndim - 1)))
        found["P*(w2 = 0 | w1)"] = shares / first
    for finding in kit.as_known(p, found, 1e-15):
        assert finding.ok, finding
    assert p.more.get("known", {}).keys() <= found.keys()


def test_spins_are_linear_level_after_level() -> None:
    for place, x in enumerate((-1, 1)):
        p = kit.KNOWN[-2 + place]
        assert p.label.startswith(f"spins, x = {x:+d}")
    low, high = (kit.solved(p).energies[0].value.item() for p in kit.KNOWN[-2:])
    assert abs(float(high - low) / 2 - 0.128764330349) < 5e-13
    assert abs(float(high + low) / 2 - -0.590318741918) < 5e-13


@pytest.mark.parametrize("shape", [(4,), (3, 2), (2, 3, 2), (2, 2, 3, 2)])
def test_two_routes_on_random_tables(shape: tuple[int, ...]) -> None:
    for seed in range(3):
        f, Q, lam = random_table(seed, *shape)
        conditionals = ms.tilted(CTX, f, Q, lam)
        law = ms.nested_law(CTX, f, Q, lam)
        assert far(law, ms.product_of(conditionals)) < AGREE
        U = ms.energies_of_conditionals(CTX, conditionals, f, Q, lam)
        V0 = free_energy(f, Q, lam)
        assert abs(float(U[0].item() - V0)) < AGREE
        for form in (ms.objective, ms.objective_by_levels):
            assert abs(float(form(CTX, law, f, Q, lam) - V0)) < AGREE


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 2, 3)])
def test_the_simplex_holds_nothing_lower(shape: tuple[int, ...]) -> None:
    """Flat at its bottom: an error e of J is one of the root of e in P."""
    f, Q, lam = random_table(11, *shape)
    least, at = ms.brute_force(f, Q, lam)
    assert abs(least - float(free_energy(f, Q, lam))) < 1e-10
    assert np.abs(at - ms.nested_law(CTX, f, Q, lam).astype(float)).max() < 1e-5


@pytest.mark.parametrize("shape", [(4,), (3, 2), (2, 3, 2)])
def test_the_distance_from_the_least_value(shape: tuple[int, ...]) -> None:
    f, Q, lam = random_table(13, *shape)
    best, V0 = ms.nested_law(CTX, f, Q, lam), free_energy(f, Q, lam)
    for seed in range(20):
        law = random_law(seed, *shape)
        # what rounding left of its sum: the identity is about laws
        exact = ms.table(CTX, law) / CTX.sum(list(ms.table(CTX, law).ravel()))
        J = ms.objective(CTX, exact, f, Q, lam)
        assert abs(float(J - ms.objective_by_levels(CTX, exact, f, Q, lam))) < AGREE
        K = ms.level_divergences(CTX, exact, best)
        distance = sum(CTX.number(a) * b for a, b in zip(lam, K, strict=True))
        assert abs(float(J - V0 - distance)) < AGREE
        assert float(distance) >= 0


def test_the_slopes_of_the_least_value() -> None:
    f, Q, lam = random_table(17, 2, 3, 2)
    K = ms.level_divergences(CTX, ms.nested_law(CTX, f, Q, lam), Q)
    for k in range(3):

        def along(t: Any, k: int = k) -> Any:
            levels = [CTX.number(v) + (t if j == k else 0) for j, v in enumerate(lam)]
            return -levels[0] * CTX.log(ms.nested(CTX, f, Q, levels)[0].item())

        assert abs(float(CTX.mp.diff(along, 0) - K[k])) < 1e-20


def test_replicas_for_a_whole_exponent() -> None:
    """At theta = 2 two copies of w_2 stand for the square of Z_2."""
    f, Q, lam = kit.M1, kit.NINTHS, (0.25, 0.5)
    odds = np.exp(-(f[:, :, None] + f[:, None, :]) / lam[1])
    joint = (odds / odds.sum()).sum(axis=2)
    law = ms.nested_law(CTX, f, Q, lam).astype(float)
    np.testing.assert_allclose(law, joint, rtol=0, atol=1e-15)


def test_cells_and_prefixes_without_mass() -> None:
    Q = np.array([[[0.25, 0], [0.25, 0.125]], [[0, 0], [0.25, 0.125]], [[0, 0]] * 2])
    f, lam = random_table(19, 3, 2, 2)[0], (0.5, 2.0, 0.75)
    law = ms.nested_law(CTX, f, Q, lam)
    assert far(law, ms.product_of(ms.tilted(CTX, f, Q, lam))) < AGREE
    assert all(law[Q == 0] == 0)
    Z = ms.nested(CTX, f, Q, lam)
    assert Z[2][2, 0] == Z[2][1, 0] == Z[1][2] == 1  # so that V is 0 there
    rounded, odds = ms.logarithmic(RunningError(), f, Q, lam)
    assert rounded[1][2].value == 0
    assert abs(rounded[0].item().value - float(free_energy(f, Q, lam))) < 1e-14
    assert all(e.value == 0 for e in odds[Q == 0])


def test_the_bound_covers_the_recursion() -> None:
    for seed in range(8):
        f, Q, lam = random_table(seed, 2, 3, 2)
        V, law = ms.logarithmic(RunningError(), f, 1e3 * Q, lam / 100)
        exact = ms.nested_law(CTX, f, 1e3 * Q, lam / 100)
        u = 2.0**-53
        for one, other in zip(law.ravel(), exact.ravel(), strict=True):
            assert abs(one.value - float(other)) <= one.err * u
        assert abs(V[0].item().value - float(free_energy(f, Q, lam / 100))) < (
            V[0].item().err * u
        )


def test_a_case_whose_routes_differ_is_the_judges_fault() -> None:
    with pytest.raises(AssertionError, match="two routes"):
        kit.confirm([1.0, 2.0], [1.0, 2.0 + 1e-12])


# --- chains


QUADRATICS = pytest.mark.parametrize(
    "p", ms_chains.QUADRATICS, ids=lambda case: case.label
)


@QUADRATICS
def test_quadratic_chains_by_two_routes(p: Any) -> None:
    V, slope = ms_chains._closed(p)
    assert len(slope.value) == p.d
    for finding in kit.as_known(p, {"V": float(V.value)}, 1e-15):
        assert finding.ok, finding


@pytest.mark.parametrize("p", ms_chains.LINES, ids=lambda case: case.label)
def test_known_values_on_a_line(p: Any) -> None:
    V, slope = ms_chains._on_a_line(p)
    said = {"V": float(V.value) + 1, "slope": float(slope.value)}
    for finding in kit.as_known(p, said, 1e-14):
        assert finding.ok, finding


def test_a_line_against_closed_forms() -> None:
    loss, x = P.QUADRATIC_1, (0.875, -1.5)
    taus, lam = (0.375, 0.25, 0.5), (0.5, 1.5, 0.25)
    found = chains.on_a_line(loss, x, taus, lam)
    for at, (V, slope) in zip(x, found, strict=True):
        value, gradient = chains.telescoped(CTX, loss, [at], taus, lam)
        assert abs(float(V.value - value)) < 1e-13
        assert abs(float(slope.value - gradient[0])) < 1e-13


def test_a_line_against_the_certified_integrals() -> None:
    """One level at lambda is lambda times the local entropy of f/lambda."""
    tau, hot = 0.5, 0.75
    scaled = ms_chains._times(1 / hot, P.QUARTIC_1)
    V, slope = chains.on_a_line(P.QUARTIC_1, (0.875,), (tau,), (hot,))[0]
    F = quadrature.local_entropy(scaled, (0.875,), tau).value
    assert abs(float(V.value - hot * F)) < 1e-14
    mean = quadrature.posterior_moments(scaled, (0.875,), tau)[0].value[0]
    assert abs(float(slope.value - hot / tau * (0.875 - mean))) < 1e-13


def test_equal_temperatures_merge_on_a_line() -> None:
    two = chains.on_a_line(P.WELLS_1, (0.375,), (0.25, 0.5), (0.5, 0.5))[0]
    one = chains.on_a_line(P.WELLS_1, (0.375,), (0.75,), (0.5,))[0]
    apart = chains.on_a_line(P.WELLS_1, (0.375,), (0.25, 0.5), (0.5, 1.0))[0]
    assert abs(float(two[0].value - one[0].value)) < 1e-13
    assert abs(float(two[1].value - one[1].value)) < 1e-13
    assert abs(float(apart[0].value - one[0].value)) > 1e-3


def test_what_a_line_refuses() -> None:
    with pytest.raises(ValueError, match="multiples of 1/8"):
        chains.on_a_line(P.QUARTIC_1, (0.1,), (0.5,), (1.0,))
    narrow = Quadratic([[2.0**16]], [0.0])  # 1/256 wide: no grid shows it
    with pytest.raises(ValueError, match="grids differ"):
        chains.on_a_line(narrow, (0.125,), (0.5,), (1.0,))
    with pytest.raises(ValueError, match="positive definite"):
        chains.telescoped(CTX, P.INDEFINITE_3, (0.0,) * 3, (4.0, 9.0), (0.5, 0.25))


# --- Gaussian laws


def test_gaussian_laws_by_two_routes() -> None:
    for p in ms_chains.JOINT:
        assert len(ms_chains._joint_law(p)) == 3  # raises where they differ


def test_a_gaussian_law_is_that_of_a_table_of_nodes() -> None:
    """A Gauss-Hermite rule of each level is a finite reference; 60 nodes: 1e-10."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    mean, covariance = np.array([0.25, -0.5]), np.array([[1.0, 0.25], [0.25, 0.5]])
    root = np.linalg.cholesky(covariance)
    y = mean + np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1) @ root.T
    for lam in ((1.5, 0.75), (0.5, 1.25)):
        f, Q = P.QUADRATIC_2(y), np.multiply.outer(weights, weights)
        law = ms.nested_law(MP(20), f, Q, lam).astype(float)
        exact = chains.by_tilting(CTX, P.QUADRATIC_2, mean, covariance, (1, 1), lam)
        Z = ms.nested(MP(20), f, Q, lam)[0].item()
        assert abs(-lam[0] * float(MP(20).log(Z)) - float(exact.value)) < 1e-9
        centre = (law[..., None] * y).sum(axis=(0, 1))
        np.testing.assert_allclose(centre, np.array(exact.mean, float), atol=1e-9)
        away = y - centre
        spread = np.einsum("ij,ija,ijb->ab", law, away, away)
        expected = np.array(exact.covariance, dtype=float)
        np.testing.assert_allclose(spread, expected, atol=1e-9)


def test_a_random_walk_is_a_chain() -> None:
    given = ms_chains._random_walk(P.QUADRATIC_2, [0.5, -1.25], (0.375, 0.75))
    law = chains.by_tilting(CTX, *given, (2, 2), (1.5, 0.5))
    V, slope = chains.telescoped(
        CTX, P.QUADRATIC_2, [0.5, -1.25], (0.375, 0.75), (1.5, 0.5)
    )
    assert abs(float(law.value - V)) < AGREE
    for x, mean, g in zip([0.5, -1.25], law.mean, slope, strict=False):
        assert abs(float(CTX.number(1.5) / 0.375 * (x - mean) - g)) < AGREE


def test_equipartition_of_a_wide_reference() -> None:
    """A level of n coordinates carries n lambda/2, but for 1/width."""
    wide = 2.0**40 * np.eye(3)
    law = chains.by_tilting(CTX, P.DIAGONAL_3, [0.0] * 3, wide, (1, 2), (1.5, 0.25))
    mean = cf.gaussian_mean(CTX, P.DIAGONAL_3, law.mean, law.covariance)
    assert abs(float(mean) - (P.DIAGONAL_3.c + 0.75 + 2 * 0.125)) < 1e-9


# --- multilevel Metropolis

MOVES = (kit.uniform_moves(3), kit.uniform_moves(3))

#: Total variation to P*, and excess of J, by T' at three temperatures, and of the pair
#: after the decision at the first, as another program found them.
MEASURED = {
    (1.5, 0.5): {
        1: (0.071886, 0.244399),
        2: (0.028629, 0.310951),
        5: (0.017041, 0.395248),
    },
    (0.75, 0.25): {1: (0.105067, None), 2: (0.054855, None), 5: (0.020744, None)},
    (0.3, 0.1): {1: (0.193115, None), 2: (0.185705, None), 5: (0.165114, None)},
}


def total_variation(law: Any, mass: dict[Any, float]) -> float:
    return 0.5 * sum(abs(float(law[state]) - p) for state, p in mass.items())


@pytest.mark.parametrize("lam", MEASURED)
def test_stationary_laws_as_known(lam: Any) -> None:
    law = ms.nested_law(CTX, kit.M1, kit.NINTHS, lam).astype(float)
    for inner, (recorded, decided) in MEASURED[lam].items():
        paths = sampling.path_kernel(DOUBLE, kit.M1, kit.NINTHS, lam, MOVES, inner)
        seen, after = sampling.stationary(sampling.as_kernel(paths))
        assert abs(total_variation(law, seen) - recorded) < 0.6e-6
        if decided is not None:
            assert abs(total_variation(law, after) - decided) < 0.6e-6


@pytest.mark.parametrize(
    ("shape", "lam", "inner"),
    [((3, 2), (1.5, 0.5), 2), ((2, 3), (0.25, 0.75), 3), ((2, 2), (0.5, 0.5), 1)],
)
def test_the_law_of_a_step_by_two_routes(shape: Any, lam: Any, inner: int) -> None:
    f, Q, _ = random_table(23, *shape)
    proposals = kit.moves("two routes", shape)
    model = sampling.Finite(DOUBLE, f, Q, lam, proposals)
    one = sampling.kernel(model, (inner,))
    exact = sampling.path_kernel(MP(30), f, Q, lam, proposals, inner)
    other = sampling.as_kernel(exact)
    for state in other:
        assert abs(sum(one[state].values()) - 1) < 1e-13
        for pair in one[state].keys() | other[state].keys():
            gap = one[state].get(pair, 0.0) - other[state].get(pair, 0.0)
            assert abs(gap) < 1e-13


def test_one_temperature_and_one_inner_step_are_exact() -> None:
    """Metropolis within Gibbs, and with another reference, and one level alone."""
    f, Q, _ = random_table(29, 3, 2)
    for lam, inner, exact in (((0.5, 0.5), 1, True), ((0.5, 0.5), 3, False)):
        law = ms.nested_law(CTX, f, Q, lam).astype(float)
        model = sampling.Finite(DOUBLE, f, Q, lam, kit.moves("exact", (3, 2)))
        found = sampling.stationary(sampling.kernel(model, (inner,)))[0]
        assert (total_variation(law, found) < 1e-13) is exact
    f, Q, lam = random_table(31, 4)
    law = ms.nested_law(CTX, f, Q, lam).astype(float)
    model = sampling.Finite(DOUBLE, f, Q, lam, kit.moves("one", (4,)))
    found = sampling.stationary(sampling.kernel(model, ()))[0]
    assert total_variation(law, found) < 1e-13


def test_three_levels_of_equal_temperature_are_exact() -> None:
    f, Q, _ = random_table(37, 2, 2, 2)
    lam = (0.75, 0.75, 0.75)
    law = ms.nested_law(CTX, f, Q, lam).astype(float)
    model = sampling.Finite(DOUBLE, f, Q, lam, kit.moves("three", (2, 2, 2)))
    # one step of each level below serves one decision: but that of level 2 is averaged
    found = sampling.stationary(sampling.kernel(model, (1, 1)))[0]
    assert total_variation(law, found) < 0.1


def test_the_ratio_of_partition_functions_is_a_mean() -> None:
    """The identity that a level's average estimates, for a table of three levels."""
    f, Q, lam = random_table(41, 2, 3, 2)
    Z = ms.nested(CTX, f, Q, lam)
    law = ms.tilted(CTX, f, Q, lam)
    q = ms._conditionals(CTX, ms.table(CTX, Q))
    theta = [CTX.number(b) / a for a, b in pairwise(lam)]
    expected = Z[1][1] / Z[1][0]
    mean = CTX.sum(
        [
            law[1][0, w]
            * q[1][1, w]
            / q[1][0, w]
            * (Z[2][1, w] / Z[2][0, w]) ** theta[1]
            for w in range(3)
        ]
    )
    assert abs(float(mean - expected)) < AGREE


@pytest.mark.parametrize("lam", [(1, 0.5, 0.2), (0.2, 0.5, 1)], ids=str)
def test_ratios_with_exact_means_are_those_of_partition_functions(lam: Any) -> None:
    """The recursion that runs are made by, on D2: exponents, reference and prefixes."""
    f, Q = kit._d2()
    model = sampling.Finite(CTX, f, Q, lam, kit.moves("D2", f.shape))
    laws, Z = ms.tilted(CTX, f, Q, lam), ms.nested(CTX, f, Q, lam)
    for w, v in product(product(range(3), range(2)), range(3)):
        for state, hat in (((w[0],), (v,)), (w, (w[0], v % 2)), (w, (v, w[1]))):
            if state[:-1] != hat[:-1]:
                continue  # a move of one level
            k = len(hat)
            found = sampling.mean_ratio(model, laws, list(hat), list(state))
            assert abs(found - CTX.log(Z[k][hat] / Z[k][state])) < AGREE


@pytest.mark.parametrize("slip", ["_theta", "log_prior"])
def test_a_slip_in_the_ratios_is_refused(slip: str, monkeypatch: Any) -> None:
    p = kit.walk("ratios", (3, 2, 3), (1.5, 0.625, 0.25), (2, 2), 3)
    kit._confirm_ratios(p)
    of: Any = sampling._Run if slip == "_theta" else sampling.Finite
    monkeypatch.setattr(of, slip, lambda self, given: CTX.number(0.5))
    with pytest.raises(AssertionError, match="two routes"):
        kit.table_replays(p, 1)


def test_walls_are_infinite_energies() -> None:
    """J grows without bound where a law has mass behind them, and nothing else moves.

    Where the reference has none, it grows by lambda_d P(outside) log(1/e) with a share
    e of the reference spread out.
    """
    p = kit.on_table("walls", [[0.5, np.inf], [0.25, 1]], [[0.25] * 2] * 2, (1.5, 0.5))
    f, Q, lam = kit.tables(p)
    V, law = kit.solved(p).energies, kit.solved(p).law.value
    assert law[0, 1] == 0
    open_ = np.array([[0.5, 0], [0.25, 1]])  # by the cells that are left
    weight = np.array([[1, 0], [1, 1]]) * np.exp(-open_ / 0.5) / 2
    Z = weight.sum(axis=1) ** (0.5 / 1.5)
    assert abs(float(V[0].value.item()) + 1.5 * np.log(Z.mean())) < 1e-15
    assert ms.opened(np.array([ms.WALL - 1, 2.0])).tolist() == [np.inf, 2.0]
    for P_, infinite in (
        ([[0.5, 0], [0.5, 0]], False),
        ([[0, 2.0**-20], [1, 0]], True),
    ):
        assert ms.outside(P_, f, Q) is infinite
        assert (float(ms.objective(CTX, P_, ms.walled(f), Q, lam)) > 0.9) is infinite
    P_, Q, spread = (
        np.array([[0.5, 0.25], [0.25, 0]]),
        np.eye(2) / 2,
        np.full((2, 2), 0.25),
    )
    assert ms.outside(P_, open_, Q)
    found = [
        ms.objective(CTX, P_, open_, (1 - e) * Q + e * spread, lam)
        for e in (2.0**-40, 2.0**-41)
    ]
    assert abs(float(found[1] - found[0]) - 0.5 * 0.5 * np.log(2)) < 1e-10


@pytest.mark.parametrize(
    ("inner", "expected"),
    [((), [1]), ((4,), [1, 4]), ((2, 3), [1, 2, 12]), ((1, 2, 2), [1, 1, 4, 16])],
)
def test_how_many_steps_an_outer_step_makes(inner: Any, expected: list[int]) -> None:
    assert sampling.counts(inner) == expected
    shape = (2,) * (len(inner) + 1)
    f, Q, lam = random_table(43, *shape)
    model = sampling.Finite(DOUBLE, f, Q, lam, kit.moves("counts", shape))
    source = sampling.Designed(kit.fractions("counts"))
    sampling.replayed(model, inner, [0] * len(shape), source, 1)
    assert len(source.uniforms) == 2 * sum(expected)


def test_designed_uniforms_are_near_and_clear() -> None:
    """Every second decision or so turns if the odds are off by NEAR and more."""
    p = kit.walk("design", (3, 4), (1.25, 0.5), (4,), 30)
    run = kit.table_replays(p, 1)[0]
    assert run.uniforms.shape == (30, 10)
    assert (run.uniforms.astype(np.float32) == run.uniforms).all()
    model = kit.table_model(sampling.DIGITS, p)
    for factor in (1.0, 1.1):
        hot = [factor * float(v) for v in p.more["temperatures"]]
        f, Q, _ = kit.tables(p)
        other = sampling.Finite(sampling.DIGITS, f, Q, hot, p.more["proposals"])
        given = sampling.Given(iter(run.uniforms.ravel().tolist()))
        records = sampling.replayed(other, (4,), list(p.more["start"]), given, 30)
        assert (records == run.records) is (factor == 1.0)
    assert model.shape == (3, 4)


def test_a_decision_that_hangs_on_rounding_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(sampling, "CLEAR_OF_ODDS", 0.5)  # more than they stand off
    p = kit.walk("refused", (3, 2), (1.25, 0.5), (2,), 5)
    with pytest.raises(AssertionError, match="hangs on rounding"):
        kit.table_replays(p, 1)


@pytest.mark.parametrize("u", [0.0, 0.249999, 0.25, 0.6249, 0.625, 0.999999])
def test_a_uniform_chooses_the_first_column_beyond_it(u: float) -> None:
    row = [0.25, 0.375, 0.375, 0.0]
    expected = int(np.searchsorted(np.cumsum(row), u, side="right"))
    given = sampling.Given(iter([u]))
    assert given.choose(row) == expected
    assert given.edges == min(abs(u - 0.25), abs(u - 0.625))


def test_the_last_column_takes_what_rounding_leaves() -> None:
    assert sampling.Given(iter([1 - 2.0**-53])).choose([0.5, 0.5 - 2.0**-52, 0.0]) == 1


def test_moves_that_have_no_way_back() -> None:
    f, Q, lam = random_table(47, 3, 2)
    one_way = (np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]), np.eye(2))
    model = sampling.Finite(DOUBLE, f, Q, lam, one_way)
    law = sampling.kernel(model, (1,))
    for state, pairs in law.items():
        assert pairs == {(state, state): pytest.approx(1.0)}


def test_normals_cannot_be_enumerated() -> None:
    flat = sampling.Flat(DOUBLE, P.CONSTANT_3, (1.0,), (1.0,))
    source = sampling._Scripted([])
    with pytest.raises(TypeError, match="no finite law"):
        flat.proposed(0, [(0.0, 0.0, 0.0)], source)


def test_tables_are_laws_without_structure() -> None:
    for shape in ((5,), (3, 4), (2, 3, 2)):
        law = kit.law("a law", shape)
        assert law.sum() == 1
        assert (law > 0).all()
        assert (1024 * law == np.round(1024 * law)).all()
    empty = kit.law("gaps", (3, 2), [(0, 1), 2])
    assert empty.sum() == 1
    assert empty[0, 1] == empty[2].sum() == 0
    rows = kit.moves("rows", (3, 2))
    assert all((of.sum(axis=1) == 1).all() for of in rows)
    assert [of.shape for of in rows] == [(3, 3), (2, 2)]
    for p, q in product(kit.GENERIC, repeat=2):
        same = p.more["energies"].shape == q.more["energies"].shape
        assert same is (p is q)
