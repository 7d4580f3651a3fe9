"""The bound of the risk, both sides by enumeration of all samples.

An inequality needs no tolerance but rounding.  That the tests bite is shown by what
breaks it: no penalty, and one that is smaller by a tenth, which is Hoeffding's constant
at work.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import InvalidParameter
from refimpl.multiscale import finite
from refimpl.multiscale.risk import (
    LearningProblem,
    RiskBound,
    empirical_minimiser,
    gibbs_rule,
)
from refimpl.multiscale.temperatures import Temperatures

EPS = 2.0**-52
PAGE = Path(__file__).resolve().parents[1] / "docs" / "multiscale.md"


def networks() -> LearningProblem:
    """Two levels of three weights each; a sign is learnt from three noisy points.

    l(w, z) is 1 where the sign of a + b z is not the label's, a and b of the levels.
    """
    a, b = np.array([0.0, -0.6, 0.6]), np.array([0.0, -1.0, 1.0])
    inputs, labels = np.array([-1.0, 0.25, 1.0, 1.0]), np.array([-1, 1, 1, -1])
    score = a[:, None, None] + b[:, None] * inputs
    losses = np.where(np.sign(score) == labels, 0.0, 1.0)
    reference = np.full((3, 3), 1 / 9)
    return LearningProblem(losses, [0.4, 0.3, 0.2, 0.1], reference, (0, 0))


RULES: dict[str, Callable[[LearningProblem, Temperatures], Any]] = {
    "multi-scale Gibbs": lambda p, t: gibbs_rule(p.reference, t),
    "single-scale Gibbs": lambda p, t: gibbs_rule(
        p.reference, Temperatures(t.levels[-1:] * len(t))
    ),
    "empirical minimiser": lambda p, t: empirical_minimiser(p.reference),
    "reference": lambda p, t: lambda risk: p.reference,
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("sigma", [(0.05, 0.02), (0.2, 0.1), (0.1, 0.6), (3.0, 2.0)])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_the_bound(name: str, sigma: Any, n: int) -> None:
    problem, t = networks(), Temperatures.from_index(sigma)
    found = problem.bound(n, t, RULES[name](problem, t))
    assert found.slack >= -16 * EPS
    assert found.entropy >= -16 * EPS
    penalty = ((problem.ranges / 2) ** 2 / (2 * n * np.array(sigma))).sum()
    assert abs(found.penalty - penalty) <= 4 * EPS * penalty
    if name == "multi-scale Gibbs":
        # the bracket is least for this rule, and V_0 is its value
        values = [
            chance * finite.free_energy(risk, problem.reference, t)
            for chance, risk in problem.samples(n)
        ]
        bracket = found.empirical + found.entropy
        assert abs(bracket - sum(values)) <= 64 * EPS * (1 + sum(t.levels))
        for other in RULES.values():
            rule = other(problem, t)
            assert found.right <= problem.bound(n, t, rule).right + 64 * EPS


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 3))
def test_the_bound_of_random_problems(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 4, d))
    losses = rng.exponential(size=(*shape, 3)) * rng.choice([0.1, 1.0, 10.0])
    Q = rng.dirichlet(np.ones(np.prod(shape))).reshape(shape)
    origin = tuple(int(rng.integers(m)) for m in shape)
    problem = LearningProblem(losses, rng.dirichlet(np.ones(3)), Q, origin)
    t = Temperatures.from_index(rng.exponential(size=d) + 1e-3)
    for make in RULES.values():
        found = problem.bound(n, t, make(problem, t))
        assert found.slack >= -64 * EPS * (1 + found.right)


# --- the inequality is no triviality


def sign(level: int) -> LearningProblem:
    """l(w, z) = w_k z for one of two levels, w_k in {0, -1, 1}, z a fair sign.

    delta_k = w_k z has mean zero and range 2; that of the other level is zero.
    """
    w = np.array([0.0, -1.0, 1.0])
    own = np.stack(np.meshgrid(w, w, indexing="ij"))[level]
    fair = np.outer([0.0, 0.5, 0.5], [0.0, 0.5, 0.5])
    return LearningProblem(own[..., None] * [-1.0, 1.0], [0.5, 0.5], fair, (0, 0))


@pytest.mark.parametrize(
    ("level", "sigma"), [(0, (8.0, 0.008)), (1, (8.0, 8.0)), (1, (0.5, 16.0))]
)
def test_the_constant_cannot_be_smaller(level: int, sigma: Any) -> None:
    """When hot, the penalty exceeds what it must pay for by a share 1 / lambda^2.

    The level that is idle adds nothing; below a level that is not, its sigma adds to
    the temperature, and must be small.
    """
    problem = sign(level)
    np.testing.assert_array_equal(problem.ranges, 2.0 * (np.arange(2) == level))
    t = Temperatures.from_index(sigma)
    found = problem.bound(3, t, gibbs_rule(problem.reference, t))
    assert abs(found.population) <= EPS
    assert 0 <= found.slack <= 0.01 * found.penalty
    assert replace(found, penalty=0.9 * found.penalty).slack < -0.08 * found.penalty


def test_the_penalty_is_needed() -> None:
    """The empirical minimiser overfits: its risk is above what it sees."""
    problem, t = networks(), Temperatures.from_index((0.05, 0.02))
    found = problem.bound(3, t, empirical_minimiser(problem.reference))
    assert found.population > found.empirical
    assert replace(found, penalty=0.0).slack < 0


def test_a_loss_that_knows_no_weights_leaves_no_slack() -> None:
    losses = np.tile([1.0, 4.0], (3, 2, 1))
    flat = np.full((3, 2), 1 / 6)
    problem = LearningProblem(losses, [0.25, 0.75], flat, (0, 1))
    np.testing.assert_array_equal(problem.ranges, [0.0, 0.0])
    t = Temperatures((2.0, 1.0))
    found = problem.bound(4, t, gibbs_rule(flat, t))
    assert found.penalty == 0
    assert abs(found.slack) <= 64 * EPS
    assert abs(found.population - 3.25) <= 8 * EPS


# --- the parts


def test_samples_are_all_samples() -> None:
    """Every ordered sample by hand, in place of counts and their multiplicities."""
    problem, n = networks(), 3
    mean, square = np.zeros((3, 3)), np.zeros((3, 3))
    for sample in product(range(4), repeat=n):
        chance = np.prod(problem.examples[list(sample)])
        risk = problem.losses[..., list(sample)].mean(axis=-1)
        mean, square = mean + chance * risk, square + chance * risk**2
    found = list(problem.samples(n))
    assert len(found) == 20
    assert abs(sum(chance for chance, _ in found) - 1) <= 16 * EPS
    total = sum(chance * risk for chance, risk in found)
    np.testing.assert_allclose(total, mean, rtol=0, atol=16 * EPS)
    np.testing.assert_allclose(total, problem.population_risk, rtol=0, atol=16 * EPS)
    squares = sum(chance * risk**2 for chance, risk in found)
    np.testing.assert_allclose(squares, square, rtol=0, atol=16 * EPS)


def test_ranges_by_hand() -> None:
    """Of what has mass; half of one is never above the largest |delta|."""
    losses = np.array(
        [[[0.0, 1.0, 9.0], [2.0, 0.0, 9.0]], [[3.0, 3.5, 9.0], [8, 1, 8]]]
    )
    Q = np.array([[0.5, 0.25], [0.25, 0.0]])
    problem = LearningProblem(losses, [0.5, 0.5, 0.0], Q, (0, 0))
    # delta_1 is (3 - 0, 3.5 - 1), delta_2 is (2 - 0, 0 - 1), or (5, -2.5) without mass
    np.testing.assert_array_equal(problem.ranges, [0.5, 3.0])
    assert (problem.ranges / 2 <= [3.0, 2.0]).all()


def test_the_empirical_minimiser_shares_ties_as_the_reference_does() -> None:
    rule = empirical_minimiser([[0.2, 0.6], [0.2, 0.0]])
    np.testing.assert_allclose(
        rule(np.array([[1.0, 1.0], [2.0, 0.0]])), [[0.25, 0.75], [0, 0]]
    )


@pytest.mark.parametrize("n", [1, 2, 6])
def test_the_comparison_with_a_law_that_knows_no_sample(n: int) -> None:
    problem = networks()
    for a, b in ((2, 2), (1, 2)):
        law = np.full((3, 3), 0.02)
        law[a, b] = 1 - 8 * 0.02
        left, right = problem.comparison(n, law)
        assert left <= right
        t = problem.best_temperatures(n, law)
        sigma = np.array(t.index)
        divergences = finite.prefix_divergences(law, problem.reference)
        at_best = (
            sigma @ divergences + ((problem.ranges / 2) ** 2 / (2 * n * sigma)).sum()
        )
        mean = (law * problem.population_risk).sum()
        assert abs(mean + at_best - right) <= 64 * EPS * (1 + right)
        for factor in (0.9, 1.1):
            s = factor * sigma
            other = s @ divergences + ((problem.ranges / 2) ** 2 / (2 * n * s)).sum()
            assert other > at_best
        rule = gibbs_rule(problem.reference, t)
        assert problem.bound(n, t, rule).right <= right + 64 * EPS


# --- the page


def measured(n: int, sigma: Any, name: str) -> RiskBound:
    problem, t = networks(), Temperatures.from_index(sigma)
    return problem.bound(n, t, RULES[name](problem, t))


def test_the_table_of_the_page_is_measured() -> None:
    rows = re.findall(
        r"^\| (\d+) \| \(([\d., ]+)\) \| ([\w -]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) "
        r"\| ([\d.]+) \| ([\d.]+) \|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(rows) >= 8
    assert {row[2] for row in rows} == set(RULES) - {"reference"}
    for n, sigma, name, *printed in rows:
        found = measured(int(n), [float(s) for s in sigma.split(",")], name)
        terms = (found.population, found.empirical, found.entropy, found.penalty)
        for value, text in zip((*terms, found.slack), printed, strict=True):
            assert text == f"{value:.4f}"


# --- input

FLAT = np.full((2, 2), 0.25)
LOSSES = np.zeros((2, 2, 3))
THIRD = np.full(3, 1 / 3)
ZERO = LearningProblem(LOSSES, THIRD, FLAT, (0, 0))
PAIR = Temperatures((2.0, 1.0))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: LearningProblem(LOSSES, THIRD[:2] * 1.5, FLAT, (0, 0)), "axes of"),
        (lambda: LearningProblem(LOSSES[0], THIRD, FLAT, (0, 0)), "axes of"),
        (lambda: LearningProblem(LOSSES, 2 * THIRD, FLAT, (0, 0)), "of sum 1"),
        (lambda: LearningProblem(LOSSES, THIRD, 2 * FLAT, (0, 0)), "of sum 1"),
        (lambda: LearningProblem(LOSSES * np.nan, THIRD, FLAT, (0, 0)), "finite"),
        (lambda: LearningProblem(LOSSES, THIRD, FLAT, (0, 2)), "an index of"),
        (lambda: LearningProblem(LOSSES, THIRD, FLAT, (0,)), "an index of"),
        (lambda: LearningProblem(LOSSES, THIRD, FLAT, (0, -1)), "at least 0"),
        (lambda: ZERO.bound(0, PAIR, lambda r: FLAT), "n must be at least 1"),
        (lambda: ZERO.bound(1, Temperatures((1, 2)), lambda r: FLAT), "every sigma_k"),
        (lambda: ZERO.bound(1, Temperatures((1, 1)), lambda r: FLAT), "every sigma_k"),
        (lambda: ZERO.bound(1, PAIR, lambda r: 2 * FLAT), "what the rule returns"),
        (lambda: ZERO.bound(1, PAIR, lambda r: FLAT[0] * 2), "shape"),
        (lambda: ZERO.bound(1, Temperatures((1,)), lambda r: FLAT), "axes"),
        (lambda: ZERO.best_temperatures(1, FLAT), "positive and finite"),
    ],
)
def test_input_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        call()
