"""What public doors refuse, one by one: the walk over bad input comes by only some.

One sentence says which argument is not what the mathematics asks for, before anything
is computed with it.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from refimpl import arrays, regularised
from refimpl.errors import InvalidParameter, NonFinite
from refimpl.exact import ExactHeat, ExactMean
from refimpl.heat_sgd import HeatSGD
from refimpl.importance import ImportanceSampling
from refimpl.laws import GibbsLaw, gaussian
from refimpl.losses import (
    Constant,
    GaussianMixture,
    LeastSquares,
    Linear,
    Quadratic,
    Quartic,
    Trigonometric,
    minibatches,
)
from refimpl.multiscale.temperatures import Temperatures
from refimpl.network import Network
from refimpl.schedules import Constant as Steady
from refimpl.schedules import Harmonic, PowerLaw, Scoping, steps
from refimpl.sgd import sgd
from refimpl.sgld import SGLD
from refimpl.span import InSpan
from refimpl.two_step import two_step

LINE = Linear([1.0, -2.0], 0.5)
ROWS = LeastSquares([[1.0, 2.0], [0.5, -1.0]], [1.0, 0.0])
WAVES = Trigonometric([1.0], [[1.0, 2.0]], [0.5], 1.0, [0.0, 0.0], 0.0)
MIXED = GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[2.0]]])
HALF_PIPE = Quartic([1.0], [0.0], [1.0])
LAW, POINT = gaussian([0.0, 0.0], 1.0), np.array([0.5, 0.25])

REFUSED: list[tuple[str, Callable[[], Any]]] = [
    ("c must be one number", lambda: Harmonic(np.array([1.0]))),  # type: ignore[arg-type]
    ("c must be finite", lambda: Harmonic(np.inf)),
    ("tau1 must be one number", lambda: Scoping(1.0, np.array([1.0]))),  # type: ignore[arg-type]
    ("tau1 must be finite", lambda: Scoping(1.0, np.inf)),
    ("j must not be negative", lambda: Steady(1.0)([2, -1])),
    ("the sums sigma_k", lambda: Temperatures.from_index([1.5e308, 1.5e308])),
    ("schedule must be a schedule", lambda: steps(0.5, 3)),  # type: ignore[arg-type]
    ("mean must be a vector", lambda: LINE.log_mean_exp([POINT, POINT], 1.0)),
    ("mean must be finite", lambda: LINE.log_mean_exp([np.inf, 0.0], 1.0)),
    ("minibatches need a finite", lambda: next(minibatches(LeastSquares, 1, rng()))),  # type: ignore[arg-type]
    ("x must be finite", lambda: regularised.local_entropy_hessian(ROWS, inf(), 1.0)),
    ("p must be a Gaussian", lambda: regularised.divergence(0.5, LAW)),  # type: ignore[arg-type]
    ("q must be a Gaussian", lambda: regularised.divergence(LAW, 0.5)),  # type: ignore[arg-type]
    ("estimator must be SGLD", lambda: InSpan(0.5)),  # type: ignore[arg-type]
    ("estimator must be SGLD", lambda: InSpan(SGLD)),  # type: ignore[arg-type]
    ("q must be a GibbsLaw", lambda: SGLD(2, Steady(0.1)).first_state(0.5, None)),  # type: ignore[arg-type]
    ("q must be a GibbsLaw", lambda: HeatSGD(2)(0.5, rng=rng())),  # type: ignore[arg-type]
    ("q must be a GibbsLaw", lambda: ExactMean()(0.5)),  # type: ignore[arg-type]
    ("q must be a GibbsLaw", lambda: ExactHeat()(0.5)),  # type: ignore[arg-type]
    ("project must be step 2", lambda: next(run(project=0.5))),
    ("executor must be one", lambda: ImportanceSampling(2, executor=2)),  # type: ignore[arg-type]
    ("rng must be a numpy", lambda: MIXED.posterior_sample([0.0], 1.0, 2, 0)),  # type: ignore[arg-type]
    ("mean must have last axis", lambda: WAVES.gaussian_mean([0.5], 1.0)),
    ("x must have last axis", lambda: WAVES.heat([0.5], 1.0)),
    ("x must have last axis", lambda: WAVES.heat_gradient([0.5], 1.0)),
    ("x must have last axis", lambda: WAVES.heat_hessian([0.5], 1.0)),
]


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def inf() -> np.ndarray:
    return np.array([0.0, np.inf])


def run(**other: Any) -> Any:
    given = {"tau": 1.0, "project": ExactMean(), "rng": None}
    return two_step([LINE], POINT, **{**given, **other})


@pytest.mark.parametrize(("sentence", "ask"), REFUSED)
def test_a_bad_argument_is_named(sentence: str, ask: Callable[[], Any]) -> None:
    with pytest.raises(InvalidParameter, match=f"^{sentence}"):
        ask()


@pytest.mark.parametrize(
    ("what", "ask"),
    [
        (
            "the least value of f",
            lambda: LeastSquares([[1.0], [1.0]], [1e200, -1e200]),
        ),
        (
            "the weights of the components of q",
            lambda: MIXED.posterior_sample([1e200], 1.0, 2, rng()),
        ),
        (
            "a coefficient of the exponent's bound",
            lambda: Quartic([1.0], [0.0], [1.0]).support([1e100], np.eye(1), -1, 80.0),  # type: ignore[arg-type]
        ),
        (
            "the least exponent",
            lambda: Quartic([1e-200], [0], [1]).support([1e90], np.eye(1), -1, 80.0),  # type: ignore[arg-type]
        ),
        (
            r"F\^H_tau\(y\) .* or a derivative of it",
            lambda: ExactHeat()(GibbsLaw(HALF_PIPE, np.array([1e100]), 1.0)),
        ),
        (
            "a coefficient of heat's bound",
            lambda: Quartic([1.0], [0.0], [1.0]).heat_lower_bound(1e200),
        ),
    ],
)
def test_what_overflows_is_named(what: str, ask: Callable[[], Any]) -> None:
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(NonFinite, match=f"^{what} is not finite"),
    ):
        ask()


def test_a_variance_may_be_any_real_number() -> None:
    """And is a float from then on, so that arrays are of floats."""
    half: Any = Fraction(1, 2)
    plain = Quadratic([2.0, 0.5], [0.25, -1.0])
    for found, wanted in (
        (LINE.posterior_covariance(POINT, half), LINE.posterior_covariance(POINT, 0.5)),
        (ROWS.posterior_mean(POINT, half), ROWS.posterior_mean(POINT, 0.5)),
        (
            plain.posterior_sample(POINT, half, 2, rng()),
            plain.posterior_sample(POINT, 0.5, 2, rng()),
        ),
    ):
        assert found.dtype == np.float64
        assert (found == wanted).all()


# --- what arrays are made of


class Given:
    """Something that can be made an array, and is no sequence."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array([0.5, 0.25], dtype)


class Sub(np.ndarray):
    """A subclass that a caller may have."""


def test_numbers_of_any_kind_are_let_in_and_nothing_that_is_none() -> None:
    exact = np.array([Fraction(1, 2), Fraction(1, 4)], dtype=object)
    assert arrays.as_array("v", exact).tolist() == [0.5, 0.25]
    aliens: list[Any] = [None, "0.5", b"0.5", 1 + 0j]
    for alien in aliens:
        for where in ([alien, 0.5], [0.5, alien], [alien, alien]):
            mixed = np.array(where, dtype=object)
            with pytest.raises(InvalidParameter, match="v must be an array of real"):
                arrays.as_reals("v", mixed)


def test_points_are_floats_and_are_not_copied_if_they_were() -> None:
    for whole in (np.array([1, 2]), np.array([1, 2], dtype=np.float32)):
        assert arrays.as_points("y", whole, 2).dtype == np.float64
    for points in (POINT, POINT.view(Sub)):
        assert np.shares_memory(arrays.as_points("y", points, 2), points)
    with pytest.raises(InvalidParameter, match="y must be an array of real numbers"):
        arrays.as_points("y", np.array([1j, 2.0]), 2)


def test_lists_keep_their_items_and_text_is_none() -> None:
    assert arrays.as_list("sizes", [1, "a"]) == [1, "a"]
    assert arrays.as_list("sizes", Given()) == [0.5, 0.25]
    text: list[Any] = ["ab", b"ab", {"a": 1}, 3]
    for bad in text:
        with pytest.raises(InvalidParameter, match="sizes must be a sequence, got"):
            arrays.as_list("sizes", bad)


def test_an_instance_is_asked_for() -> None:
    q = GibbsLaw(Constant(0.0, 2), POINT, 1.0)
    assert arrays.as_kind("q", q, GibbsLaw) is q
    with pytest.raises(InvalidParameter, match="q must be a GibbsLaw, got float"):
        arrays.as_kind("q", 0.5, GibbsLaw)


# --- what is masked, and what overflows


def test_what_is_masked_is_no_number() -> None:
    whole = np.ma.array([1, 2, 3], mask=[False, False, False])
    holed = np.ma.array([1, 2, 3], mask=[False, True, False])
    images, holed_labels = (
        np.ones((3, 2)),
        np.ma.array([0, 1, 1], mask=[False, False, True]),
    )
    assert arrays.as_array("v", whole).tolist() == [1.0, 2.0, 3.0]
    assert arrays.as_list("v", whole) == [1, 2, 3]
    assert arrays.as_rows(whole, 4).tolist() == [1, 2, 3]
    assert Network((2, 2), images, holed_labels.data).labels.tolist() == [0, 1, 1]
    for ask in (
        lambda: arrays.as_array("v", holed),
        lambda: arrays.as_list("v", holed),
        lambda: arrays.as_rows(holed, 4),
        lambda: Network((2, 2), images, holed_labels),
    ):
        with pytest.raises(InvalidParameter, match=r"^(v|indices|labels) must be"):
            ask()
    with pytest.raises(InvalidParameter, match="labels must be 0 whole numbers"):
        Network((2, 2), np.ones((0, 2)), holed.data[:0])


@pytest.mark.parametrize("bad", [[[0, 1]], 0, [], [0.5], ["a"], [[0], [1, 2]]])
def test_rows_are_a_list_of_whole_numbers(bad: Any) -> None:
    with pytest.raises(InvalidParameter, match="indices must be a non-empty list"):
        arrays.as_rows(bad, 3)
    with pytest.raises(InvalidParameter, match="labels must be 2 whole numbers"):
        Network((2, 2), np.ones((2, 2)), bad)


def test_the_mean_of_large_entries_does_not_overflow() -> None:
    large = np.array([[1.5e308, -1.6e308], [-1.6e308, 0.5]])
    assert (arrays.as_symmetric("S", large) == large).all()


def test_the_exponent_of_a_power_is_a_positive_number() -> None:
    for bad in (0.0, np.inf, np.array([1.0])):
        with pytest.raises(InvalidParameter, match=r"alpha .*must be"):
            PowerLaw(0.5, bad)  # type: ignore[arg-type]
    assert PowerLaw(0.5, Fraction(1, 2)).alpha == 0.5  # type: ignore[arg-type]
    assert type(PowerLaw(0.5, Fraction(1, 2)).alpha) is float  # type: ignore[arg-type]


def test_steps_over_time_are_asked_for() -> None:
    """A number, or a schedule; a class is none."""
    for bad in (0.0, -1.0, "wide", SGLD, Steady):
        with pytest.raises(InvalidParameter, match="tau must be"):
            next(run(tau=bad))
        with pytest.raises(InvalidParameter, match="eta must be"):
            next(sgd([LINE], POINT, eta=bad))  # type: ignore[arg-type]
    for given in (0.5, Steady(0.5)):
        assert next(run(tau=given)).x == pytest.approx(POINT - 0.5 * LINE.g)
        assert next(sgd([LINE], POINT, eta=given)).x == pytest.approx(
            POINT - 0.5 * LINE.g
        )
    with pytest.raises(InvalidParameter, match="project must be step 2"):
        next(run(project=ExactMean))
