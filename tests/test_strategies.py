"""The strategies: valid, generic, exact in few digits, and simple once shrunk."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from verification import strategies as draw
from verification.losses import KINDS, LossData, from_json
from verification.problems import Problem
from verification.truth import closed_forms as cf
from verification.truth.carriers import MP

#: What is found, and what it shrinks to, is then a property of the strategy alone.
SAME = settings(max_examples=2000, derandomize=True, database=None)

#: A network's parameters are no free choice of d: it has no strategy.
kinds = pytest.mark.parametrize("kind", [k for k in KINDS if k != "network"])
LONG_TO_SHRINK = {"gaussian_mixture", "least_squares", "trigonometric"}


def least(matrix: Any) -> float:
    return float(np.linalg.eigvalsh(matrix)[0])


def full(H: Any, d: int) -> Any:
    return H if np.ndim(H) == 2 else np.diag(H * np.ones(d))


def numbers(loss: LossData) -> list[float]:
    """Every number of the loss's data."""
    fields = [
        np.ravel(value) for name, value in loss.to_json().items() if name != "kind"
    ]
    return [float(number) for field in fields for number in field]


def simplest(strategy: Any, holds: Any = lambda _: True) -> Any:
    return find(strategy, holds, settings=SAME)


# --- validity


@given(st.data())
def test_matrices(data: st.DataObject) -> None:
    d = data.draw(draw.dimensions())
    S, A = data.draw(draw.covariances(d)), data.draw(draw.symmetric_matrices(d))
    for matrix in (S, A):
        assert matrix.shape == (d, d)
        assert np.array_equal(matrix, matrix.T)
    assert least(S) > 0
    # the bound is exact mathematics, eigvalsh rounds by some eps * condition
    assert np.linalg.cond(S) <= 64 * (1 + 1e-12)


@given(st.integers(1, 4), st.sampled_from([1.5, 4.0, 1000.0]), st.data())
def test_the_condition_number_is_kept(
    d: int, condition: float, data: st.DataObject
) -> None:
    S = data.draw(draw.covariances(d, condition))
    assert np.linalg.cond(S) <= condition * (1 + 1e-12)


@given(draw.taus(), draw.taus(0.3, 5.0), draw.taus(3.0, 3.0))
def test_variances(wide: float, narrow: float, one: float) -> None:
    assert 2**-10 <= wide <= 2**10
    assert 0.3 <= narrow <= 5
    assert one == 3


@kinds
@given(data=st.data())
def test_every_loss_is_valid_and_exact(kind: str, data: st.DataObject) -> None:
    loss = data.draw(draw.losses([kind], indefinite=True))
    assert loss.kind == kind
    assert 1 <= loss.d <= 3
    y = data.draw(draw.points(loss.d))
    assert np.isfinite(loss(y))
    assert loss.gradient(y).shape == (loss.d,)
    again = from_json(json.loads(json.dumps(loss.to_json())))
    assert again.to_json() == loss.to_json()
    assert again(y) == loss(y)
    for number in numbers(loss):  # exact in half precision's eleven digits and a bit
        assert Fraction(number).denominator <= 2**7
        assert abs(number) <= 2**10


@given(draw.problems())
def test_every_problem_has_a_local_entropy(problem: Problem) -> None:
    assert problem.d == problem.loss.d
    assert problem.label.startswith(problem.loss.kind)
    if problem.loss.kind in cf.LOCAL_ENTROPY:
        cf.local_entropy(MP(30), problem.loss, problem.x, problem.tau)
    if hasattr(problem.loss, "H"):
        H = full(problem.loss.H, problem.d)
        assert least(np.eye(problem.d) + problem.tau * H) >= 0.25 - 1e-12


@given(draw.problems(["quadratic"], d=2, smallest=0.5, largest=2.0))
def test_a_problem_is_what_was_asked_for(problem: Problem) -> None:
    assert (problem.loss.kind, problem.d) == ("quadratic", 2)
    assert problem.tau <= 2


@given(draw.quadratics(), draw.waves(), draw.mixtures())
def test_without_the_flag_nothing_is_indefinite(bowl: Any, wave: Any, mix: Any) -> None:
    assert least(full(bowl.H, bowl.d)) > 0
    assert least(full(wave.H, wave.d)) > 0
    assert mix.weights.sum() == 1


# --- generic features appear

GENERIC: dict[str, tuple[Any, Any]] = {
    "three parameters": (draw.losses(), lambda f: f.d == 3),
    "an indefinite matrix H": (
        draw.quadratics(indefinite=True),
        lambda f: np.ndim(f.H) == 2 and least(f.H) < 0 < -least(-f.H),
    ),
    "a diagonal H": (draw.quadratics(), lambda f: np.ndim(f.H) == 1),
    "a scalar H": (draw.quadratics(), lambda f: np.ndim(f.H) == 0),
    "a full H in three dimensions": (
        draw.quadratics(3),
        lambda f: np.ndim(f.H) == 2 and np.all(f.H != 0),
    ),
    "three components": (draw.mixtures(), lambda f: f.weights.size == 3),
    "correlated components": (
        draw.mixtures(2),
        lambda f: f.weights.size > 1 and np.all(f.covariances[:, 0, 1] != 0),
    ),
    "a hill beside a well": (
        draw.wells(),
        lambda f: f.depths.min() < 0 < f.depths.max(),
    ),
    "two minima": (draw.quartics(1), lambda f: f.c2[0] < 0),
    "a coupling": (draw.quartics(3), lambda f: f.coupling != 0 and f.c3.all()),
    "three waves": (draw.waves(), lambda f: f.amplitude.size == 3),
    "fewer examples than parameters": (
        draw.least_squares(),
        lambda f: f.b.size < f.d,
    ),
    "a large tau": (draw.problems(), lambda p: p.tau > 500),
    "a small tau": (draw.problems(), lambda p: p.tau < 1 / 500),
    "a tau that the curvature limits": (
        draw.problems(["quadratic"]),
        lambda p: least(full(p.loss.H, p.d)) < 0 and p.tau < 2,
    ),
    "a correlation beyond one half": (
        draw.covariances(2),
        lambda S: abs(S[0, 1]) > 0.5 * np.sqrt(S[0, 0] * S[1, 1]),
    ),
}


@pytest.mark.parametrize("feature", GENERIC)
def test_generic_features_appear(feature: str) -> None:
    strategy, holds = GENERIC[feature]
    find(strategy, holds, settings=settings(SAME, phases=[Phase.generate]))


# --- shrinking


def test_numbers_shrink_to_the_simplest() -> None:
    assert simplest(draw.taus()) == 1
    assert simplest(draw.dimensions(), lambda d: d > 1) == 2
    assert np.array_equal(simplest(draw.covariances(2)), np.eye(2))
    assert not simplest(draw.symmetric_matrices(2)).any()
    assert simplest(draw.points(2), lambda y: y[1] >= 1).tolist() == [0, 1]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind in LONG_TO_SHRINK else ())
        for kind in KINDS
        if kind != "network"
    ],
)
def test_losses_shrink_to_one_parameter_and_one_part(kind: str) -> None:
    simple: Any = simplest(draw.losses([kind]))
    assert simple.d == 1
    for name in ("means", "amplitude", "b"):
        assert len(getattr(simple, name, [0])) == 1
    assert np.isin(numbers(simple), [0, 0.125, 1]).all()


def test_a_failure_shrinks_to_what_matters() -> None:
    """As a user meets it: the smallest mixture whose modes are far apart."""
    far: Any = simplest(draw.mixtures(1), lambda f: np.ptp(f.means) > 5)
    assert far.weights.size == 2
    assert np.ptp(far.means) == 5.125
    assert np.array_equal(far.covariances, np.ones((2, 1, 1)))


# --- refusals


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: draw.losses(["cubic"]), "cubic"),
        (lambda: draw.losses([]), "quadratic"),
        (lambda: draw.taus(0.0, 1.0), "smallest"),
        (lambda: draw.taus(2.0, 1.0), "smallest"),
        (lambda: simplest(draw.covariances(2, 1.0)), "condition number"),
        (lambda: simplest(draw.problems(["cubic"])), "cubic"),
    ],
)
def test_nonsense_is_refused(ask: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ask()


def test_without_hypothesis_one_sentence_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['hypothesis'] = None; import verification.strategies"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: verification.strategies needs")
    assert "local-entropy-oracle[strategies]" in last


@pytest.mark.parametrize("d", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_given_dimension_is_kept(d: int) -> None:
    assert simplest(draw.losses(d=d)).d == d
