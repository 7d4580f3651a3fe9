"""The exact law of the published algorithm: beside all its paths, and known numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import mpmath
import numba
import numpy as np
import pytest
from scipy import stats

from refimpl.errors import InvalidParameter
from refimpl.multiscale import enumeration
from refimpl.multiscale.enumeration import (
    ExactLaw,
    TwoLevelEnumeration,
    stationary_law,
)
from refimpl.multiscale.finite import free_energy, gibbs, objective
from refimpl.multiscale.metropolis import uniform_over_others
from refimpl.multiscale.temperatures import Temperatures

M1 = np.array([[0.0, 1.2, 0.8], [0.9, 0.1, 1.1], [0.5, 1.4, 0.3]])
UNIFORM = np.full((3, 3), 1 / 9)
OTHERS = [uniform_over_others(3)] * 2

compiled_only = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: minutes of plain loops"
)

#: T': distance from P* and excess objective, from a specification that was written
#: before this code, by other code; to all digits shown.
KNOWN = {
    (1.5, 0.5): """
        1 .071886 8.3e-3    2 .028629 1.5e-3    5 .017041 1.0e-3   10 .013515 6.2e-4
       20 .007108 1.7e-4   50 .003480 4.1e-5  100 .001884 1.2e-5  200 .001032 3.6e-6
    """,
    (0.75, 0.25): """
        1 .105067 2.0e-2    2 .054855 6.8e-3    5 .020744 7.8e-4   10 .041361 3.1e-3
       20 .061083 6.6e-3   50 .062064 6.7e-3  100 .041375 3.0e-3  200 .020254 7.0e-4
    """,
    (0.3, 0.1): """
        1 .193115 3.1e-2    2 .185705 2.6e-2    5 .165114 1.8e-2   10 .145009 1.3e-2
       20 .115684 9.6e-3   50 .058724 4.6e-3  100 .047039 2.5e-3  200 .080357 3.9e-3
    """,
}
LONGER = {(0.3, 0.1): "400 .126984 1.1e-2  800 .170303 2.4e-2"}
AFTER = {1: 0.244399, 2: 0.310951, 5: 0.395248, 10: 0.447077}
AFTER |= {20: 0.482722, 50: 0.506862, 100: 0.516088, 200: 0.521167}
INDEPENDENT = {1: 0.024347, 2: 0.005185, 5: 0.021209, 10: 0.018034}
INDEPENDENT |= {20: 0.010619, 50: 0.005551, 100: 0.003196}


def rows(text: str) -> dict[int, tuple[float, str]]:
    words = text.split()
    triples = zip(words[::3], words[1::3], words[2::3], strict=True)
    return {int(n): (float(v), e) for n, v, e in triples}


def variation(P: np.ndarray, R: np.ndarray) -> float:
    return 0.5 * float(np.abs(P - R).sum())


def on_m1(levels: tuple[float, float], inner: Any = "warm") -> TwoLevelEnumeration:
    return TwoLevelEnumeration(M1, UNIFORM, Temperatures(levels), OTHERS, inner)


def is_known(levels: tuple[float, float], text: str) -> None:
    method, known = on_m1(levels), rows(text)
    t = Temperatures(levels)
    least = free_energy(M1, UNIFORM, t)
    for law in method.laws(list(known)):
        distance, excess = known[law.inner_steps]
        assert abs(variation(law.recorded, method.target) - distance) <= 0.5000001e-6
        found = objective(law.recorded, M1, UNIFORM, t) - least
        assert f"{found:.1e}" == f"{float(excess):.1e}"


@pytest.mark.parametrize("levels", KNOWN, ids=str)
@compiled_only
def test_the_known_numbers(levels: tuple[float, float]) -> None:
    is_known(levels, KNOWN[levels])


@pytest.mark.slow
@compiled_only
def test_the_known_numbers_of_long_inner_loops() -> None:
    for levels, text in LONGER.items():
        is_known(levels, text)


@compiled_only
def test_the_known_numbers_after_the_decision_and_of_independent_draws() -> None:
    method = on_m1((1.5, 0.5))
    for law in method.laws(list(AFTER)):
        distance = variation(law.after, method.target)
        assert abs(distance - AFTER[law.inner_steps]) <= 0.5000001e-6
    method = on_m1((1.5, 0.5), "independent")
    for law in method.laws(list(INDEPENDENT)):
        distance = variation(law.recorded.sum(axis=1), method.target.sum(axis=1))
        assert abs(distance - INDEPENDENT[law.inner_steps]) <= 0.5000001e-6


# --- all paths of a short outer step


def problem(shape: tuple[int, int], seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    Q = rng.random(shape) + 0.2
    proposals = [rng.random((n, n)) + 0.1 for n in shape]
    proposals = [p / p.sum(axis=1, keepdims=True) for p in proposals]
    return rng.random(shape) * 2, Q / Q.sum(), proposals


def by_paths(
    f: Any, Q: Any, levels: tuple[float, float], p: Any, T: int, of: Any = np
) -> np.ndarray:
    """The transition matrix, path by path: all inner proposals, taken or not.

    `of` has exp, and is numpy or mpmath.
    """
    n1, n2 = f.shape
    q1, q2 = Q.sum(axis=1), Q / Q.sum(axis=1, keepdims=True)
    total = np.zeros((n1, n2, n1, n2), dtype=f.dtype)
    for w1, start, v in product(range(n1), range(n2), range(n1)):
        for path in product(product(range(n2), (True, False)), repeat=T):
            w2, chance, A = start, p[0][w1, v], 0.0
            for u, taken in path:
                odds = q2[w1, u] / q2[w1, w2] * p[1][u, w2] / p[1][w2, u]
                odds *= of.exp(-(f[w1, u] - f[w1, w2]) / levels[1])
                share = min(1.0, odds)
                chance *= p[1][w2, u] * (share if taken else 1 - share)
                w2 = u if taken else w2
                weight = of.exp(-(f[v, w2] - f[w1, w2]) / levels[1])
                A += q2[v, w2] / q2[w1, w2] * weight / T
            odds = q1[v] / q1[w1] * p[0][v, w1] / p[0][w1, v]
            share = min(1.0, odds * A ** (levels[1] / levels[0]))
            total[w1, start, v, w2] += chance * share
            total[w1, start, w1, w2] += chance * (1 - share)
    return total.reshape(n1 * n2, n1 * n2)


@pytest.mark.parametrize("levels", [(1.5, 0.5), (0.25, 0.5), (0.6, 0.6)], ids=str)
@pytest.mark.parametrize(("shape", "T"), [((2, 3), 3), ((3, 2), 4), ((2, 1), 2)])
def test_the_transitions_are_those_of_all_paths(
    shape: tuple[int, int], T: int, levels: tuple[float, float]
) -> None:
    f, Q, p = problem(shape, 4)
    law = TwoLevelEnumeration(f, Q, Temperatures(levels), p).law(T)
    np.testing.assert_allclose(
        law.transition, by_paths(f, Q, levels, p, T), rtol=1e-12, atol=1e-15
    )


def test_several_numbers_of_inner_steps_for_the_price_of_the_last() -> None:
    f, Q, p = problem((3, 3), 5)
    method = TwoLevelEnumeration(f, Q, Temperatures((1.0, 0.4)), p)
    for law in method.laws([7, 2, 2]):
        alone = method.law(law.inner_steps)
        np.testing.assert_array_equal(law.transition, alone.transition)
        np.testing.assert_array_equal(law.recorded, alone.recorded)
    assert [law.inner_steps for law in method.laws([7, 2, 2])] == [2, 7]


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (3, 1)], ids=str)
def test_the_laws_are_laws(shape: tuple[int, int]) -> None:
    """A fixed point, and its move by the inner chain alone."""
    f, Q, p = problem(shape, 6)
    method = TwoLevelEnumeration(f, Q, Temperatures((1.0, 0.4)), p)
    law = method.law(5)
    assert np.abs(law.transition.sum(axis=1) - 1).max() < 1e-14
    after = law.after.ravel()
    np.testing.assert_allclose(after @ law.transition, after, rtol=1e-12)
    for w1 in range(shape[0]):
        P = np.exp(method._log_inner_kernel(w1))
        weight = Q[w1] * np.exp(-f[w1] / 0.4)  # what the inner chain keeps
        np.testing.assert_allclose(weight @ P, weight, rtol=1e-13)
        moved = law.after[w1] @ np.linalg.matrix_power(P, 5)
        np.testing.assert_allclose(law.recorded[w1], moved, rtol=1e-13)


# --- exact statements


def test_one_temperature_and_one_inner_step_are_exact() -> None:
    f, Q, p = problem((3, 4), 7)
    method = TwoLevelEnumeration(f, Q, Temperatures((0.5, 0.5)), p)
    law = method.law(1)
    np.testing.assert_allclose(law.recorded, method.target, rtol=1e-12)
    np.testing.assert_allclose(law.after, method.target, rtol=1e-12)
    plain = Q * np.exp(-f / 0.5)
    np.testing.assert_allclose(law.recorded, plain / plain.sum(), rtol=1e-12)
    assert variation(method.law(10).recorded, method.target) > 1e-3


@compiled_only
def test_the_error_ends_like_one_over_the_inner_steps() -> None:
    """Warm: from T' = 50 on, 0.17 to 0.21 over T'; the pair after it never."""
    method = on_m1((1.5, 0.5))
    for law in method.laws([50, 100, 200, 400]):
        scaled = law.inner_steps * variation(law.recorded, method.target)
        assert 0.17 < scaled < 0.22
        assert variation(law.after, method.target) > 0.5
        marginal = law.after.sum(axis=1)
        np.testing.assert_allclose(marginal, law.recorded.sum(axis=1), rtol=1e-12)


@compiled_only
def test_more_is_not_always_better() -> None:
    """Cool: worse at 30 than at 5, better than both at 400."""
    method = on_m1((0.75, 0.25))
    five, thirty, many = (
        variation(law.recorded, method.target) for law in method.laws([5, 30, 400])
    )
    assert many < five < thirty


@pytest.mark.parametrize("inner", ["equilibrium", "independent"])
@compiled_only
def test_with_exact_inner_draws_only_the_marginal_errs(inner: Any) -> None:
    f, Q, p = problem((3, 3), 8)
    method = TwoLevelEnumeration(f, Q, Temperatures((1.0, 0.3)), p, inner)
    one, many = method.laws([1, 60])
    conditional = method.target / method.target.sum(axis=1, keepdims=True)
    for law in (one, many):
        found = law.recorded / law.recorded.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found, conditional, rtol=1e-12)
        after = law.after.ravel()
        np.testing.assert_allclose(after @ law.transition, after, rtol=1e-12)
    far, near = (variation(law.recorded, method.target) for law in (one, many))
    assert near < far
    np.testing.assert_allclose(method.target, gibbs(f, Q, method.temperatures))


def test_with_one_inner_step_a_fresh_chain_is_a_fresh_draw() -> None:
    f, Q, p = problem((3, 3), 9)
    laws = [
        TwoLevelEnumeration(f, Q, Temperatures((1.0, 0.3)), p, inner).law(1)
        for inner in ("equilibrium", "independent")
    ]
    np.testing.assert_allclose(laws[0].recorded, laws[1].recorded, rtol=1e-12)


# --- the parts


def test_stationary_laws() -> None:
    """Beside the eigenvector; and small entries to all digits."""
    rng = np.random.default_rng(1)
    for n in (1, 2, 7):
        P = rng.random((n, n)) ** 4
        P /= P.sum(axis=1, keepdims=True)
        law = stationary_law(P)
        np.testing.assert_allclose(law @ P, law, rtol=1e-12)
    rare = 2.0**-60
    P = np.array([[1 - rare, rare, 0], [0.5, 0, 0.5], [0, 1.0, 0]])
    law = stationary_law(P)
    # by logarithms, a few roundings of the largest, 42
    np.testing.assert_allclose(law[1:] / law[0], [2 * rare, rare], rtol=1e-13)


def test_the_stationary_law_of_any_recurrent_class() -> None:
    """State 0 is left for ever, and the state between the two that are not."""
    P = np.array(
        [[0.5, 0.25, 0.25, 0], [0, 0.75, 0, 0.25], [0, 1, 0, 0], [0, 0.5, 0, 0.5]]
    )
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]):
        law = stationary_law(P[np.ix_(order, order)])
        wanted = np.array([0, 2 / 3, 0, 1 / 3])[order]
        np.testing.assert_allclose(law, wanted, rtol=1e-14)
    with pytest.raises(InvalidParameter, match=r"not unique.*\[0, 2\], \[3\]"):
        stationary_law([[0.5, 0, 0.5, 0], [0.5, 0, 0, 0.5], [1, 0, 0, 0], [0, 0, 0, 1]])


def test_a_stationary_law_whose_elimination_underflows() -> None:
    """pi_0 / 2 = 1e-400 pi_1: the way from 1 back to 0 is through 2, and rare twice."""
    rare = 1e-200
    P = np.array([[0.5, 0.5, 0], [0, 1, rare], [rare, 1, 0]])
    np.testing.assert_allclose(stationary_law(P), [0, 1, rare], rtol=1e-12)


@pytest.mark.parametrize(
    "P",
    [np.eye(2)[:1], [[0.5, 0.6], [0.5, 0.5]], [[1.5, -0.5], [0.5, 0.5]]],
    ids=["not square", "not 1", "negative"],
)
def test_what_is_no_transition(P: Any) -> None:
    with pytest.raises(InvalidParameter, match="rows probabilities"):
        stationary_law(P)


# --- temperatures as published


def tree(P: Any, root: int) -> Any:
    """The weight of the trees that lead to a root: pi is proportional to it."""
    total, n = 0, len(P)
    others = [a for a in range(n) if a != root]
    for ways in product(range(n), repeat=n - 1):
        to = dict(zip(others, ways, strict=True))
        ends = []
        for a in others:
            for _ in range(n):
                a = to.get(a, root)
            ends.append(a)
        if all(a == root for a in ends):
            total += mpmath.fprod(P[a, b] for a, b in to.items())
    return total


@pytest.mark.parametrize("scale", [1.0, 1e-6], ids=["energies", "of the temperatures"])
@pytest.mark.parametrize("T", [1, 3])
def test_published_temperatures(T: int, scale: float) -> None:
    """Beside all paths in 30 digits of any size, and Markov chains' tree theorem.

    Energies are divided by 1e-6: 1.4e6 roundings in an exponent.
    """
    f = scale * np.array([[0.0, 1.2], [0.7, 0.0]])
    Q, levels = np.array([[0.25, 0.25], [0.375, 0.125]]), (3e-6, 1e-6)
    p = [np.array([[0.25, 0.75], [0.5, 0.5]])] * 2
    with mpmath.workdps(30):
        P = by_paths(*(mpmath.mpf(1) * one for one in (f, Q)), levels, p, T, mpmath)
        weight = np.array([tree(P, root) for root in range(4)])
        after = (weight / weight.sum()).reshape(2, 2)
        recorded = np.zeros((2, 2), dtype=object)
        for w1, s, j in product(range(2), repeat=3):
            to = P.reshape(2, 2, 2, 2)[w1, s, :, j].sum()
            recorded[w1, j] += after[w1, s] * to
    law = TwoLevelEnumeration(f, Q, Temperatures(levels), p).law(T)
    for found, wanted in ((law.after, after), (law.recorded, recorded)):
        np.testing.assert_allclose(found, wanted.astype(float), rtol=1e-8)


def test_logarithms_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    f, Q, p = problem((3, 3), 10)
    for inner in ("warm", "equilibrium", "independent"):
        method = TwoLevelEnumeration(f, Q, Temperatures((1.0, 0.2)), p, inner)
        plain = method.law(6)
        monkeypatch.setattr(enumeration, "LEAST", 1.0)
        logs = method.law(6)
        monkeypatch.undo()
        np.testing.assert_allclose(logs.transition, plain.transition, rtol=1e-12)
        np.testing.assert_allclose(logs.recorded, plain.recorded, rtol=1e-12)


def test_energies_whose_differences_overflow() -> None:
    """The one state that no energy is above, from everywhere; without a warning."""
    f = 1e305 * np.array([[0.0, 1.2], [0.7, -1700]])
    p = [np.full((2, 2), 0.5)] * 2
    levels = Temperatures((3e-6, 1e-6))
    with pytest.raises(InvalidParameter, match="underflows"):
        TwoLevelEnumeration(f, np.full((2, 2), 0.25), levels, p).law(2)
    warm = Temperatures((3e305, 1e305))
    law = TwoLevelEnumeration(f, np.full((2, 2), 0.25), warm, p).law(2)
    same = TwoLevelEnumeration(
        f / 1e305, np.full((2, 2), 0.25), Temperatures((3.0, 1.0)), p
    ).law(2)
    np.testing.assert_allclose(law.recorded, same.recorded, rtol=1e-12)


# --- estimates


def test_drawn_visits_have_the_law_of_the_enumerated() -> None:
    """Each cell's count has binomial tails.  False alarms: 1e-7."""
    rng, T, n = np.random.default_rng(12), 4, 20_000
    P = np.array([[0.9, 0.1, 0.0], [0.25, 0.25, 0.5], [0.0, 0.0, 1.0]])
    visits = enumeration._Visits(3, T)
    ((_, D),) = visits.after(enumeration._log(P), [T], logs=False)
    cell = {tuple(c): i for i, c in enumerate(visits.counts(T).astype(int).tolist())}
    counts, found = enumeration._drawn_visits(P, T, n, rng)
    seen = np.zeros_like(D)
    for c, part in zip(counts.astype(int).tolist(), found, strict=True):
        seen[cell[tuple(c)]] += part
    numbers = np.rint(n * seen)
    tails = stats.binom.cdf(numbers, n, D), stats.binom.sf(numbers - 1, n, D)
    assert np.minimum(*tails).min() >= 1e-7 / (2 * D.size)


@compiled_only
def test_estimates_are_as_near_as_they_say() -> None:
    """Within 8 standard errors by the jackknife with 20 groups, Student's t: 2e-7.

    The errors are small beside what is measured: 0.047 from P*.
    """
    method = on_m1((0.3, 0.1))
    rng = np.random.default_rng(13)
    whole, parts = method.estimates(100, 4000, 20, rng=rng)
    (exact,) = method.laws([100])
    found, *others = (variation(law.recorded, method.target) for law in (whole, *parts))
    error = np.sqrt(19 / 20 * np.sum((others - np.mean(others)) ** 2))
    wanted = variation(exact.recorded, method.target)
    assert abs(found - wanted) < 8 * error < 0.047


@pytest.mark.parametrize("logs", [False, True], ids=["plain sums", "logarithms"])
@pytest.mark.parametrize("face", ["compiled", "plain"])
def test_visits_are_counted(
    face: str, logs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both faces of both kernels, beside all paths of a chain on three states."""
    if face == "plain":
        for name in ("visits_kernel", "log_visits_kernel"):
            kernel = getattr(enumeration, name)
            monkeypatch.setattr(enumeration, name, getattr(kernel, "py_func", kernel))
    rng, T = np.random.default_rng(2), 4
    P = rng.random((3, 3))
    P /= P.sum(axis=1, keepdims=True)
    visits = enumeration._Visits(3, T)
    ((_, D),) = visits.after(np.log(P), [T], logs)
    D = np.exp(D) if logs else D
    wanted = np.zeros_like(D)
    counts = visits.counts(T)
    cell = {tuple(c): i for i, c in enumerate(counts.astype(int).tolist())}
    assert len(cell) == (T + 1) * (T + 2) // 2
    for path in product(range(3), repeat=T + 1):
        chance = np.prod([P[a, b] for a, b in pairwise(path)])
        c = tuple(path[1:].count(j) for j in range(3))
        wanted[cell[c], path[0], path[-1]] += chance
    np.testing.assert_allclose(D, wanted, rtol=1e-13)


def method(**changes: Any) -> TwoLevelEnumeration:
    given = {
        "energies": M1,
        "reference": UNIFORM,
        "temperatures": Temperatures((1.0, 0.5)),
        "proposals": OTHERS,
    }
    return TwoLevelEnumeration(**{**given, **changes})


def estimated(paths: int, groups: int, rng: Any = None, **changes: Any) -> Any:
    rng = np.random.default_rng(0) if rng is None else rng
    return method(**changes).estimates(5, paths, groups, rng=rng)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: method(energies=np.zeros(3)), "a matrix"),
        (lambda: method(reference=np.full((2, 2), 0.25)), "of that shape"),
        (lambda: method(temperatures=Temperatures((1.0,))), "two temperatures"),
        (lambda: method(temperatures=(1.0, 0.5)), "Temperatures"),
        (lambda: method(proposals=[np.eye(3)]), "square matrices"),
        (lambda: method(inner="cold"), '"warm", "equilibrium" or "independent"'),
        (lambda: method(reference=np.eye(3) / 3), "positive"),
        (lambda: method().law(0), "at least 1"),
        (lambda: method().law(2000), "too many visits"),
        (lambda: method(proposals=[np.eye(3)] * 2).law(1), "not unique"),
        (lambda: estimated(4, 1), "two or more"),
        (lambda: estimated(5, 2), "multiple of the groups"),
        (lambda: estimated(4, 2, inner="independent"), 'inner = "warm"'),
        (lambda: estimated(4, 2, rng=7), "numpy.random.Generator"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        make()
    assert said in str(caught.value)


def test_a_law_says_what_it_is_of() -> None:
    law = method().law(3)
    assert isinstance(law, ExactLaw)
    assert law.inner_steps == 3
    assert law.recorded.shape == law.after.shape == (3, 3)
