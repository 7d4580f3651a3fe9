"""What every loss owes its callers.  Write the class, and it is found here.

A new class of `refimpl.losses` needs a contract example in `EXAMPLES`; the abilities of
`refimpl.interfaces` that it has are recognised by themselves.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refimpl.losses
from refimpl import interfaces, regularised
from refimpl.errors import InvalidParameter, NoClosedForm, NotIntegrable
from refimpl.exact import ExactMean
from refimpl.laws import GibbsLaw
from refimpl.losses import (
    Constant,
    GaussianMixture,
    GaussianWells,
    LeastSquares,
    Linear,
    Quadratic,
    Quartic,
    Resampled,
    Trigonometric,
)
from refimpl.streams import stream
from verification import losses as data
from verification import problems as P
from verification import strategies
from verification.adapter import loss_of
from verification.checks._kit import closed, flat
from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import proximal
from verification.truth.carriers import MP

UNIT = 2.0**-53
EXACT = MP(40)

# --- the examples


@dataclass(frozen=True)
class Example:
    """A loss, and the data from which its truth is computed."""

    label: str
    f: Any
    data: Any
    #: How often a value may be rounded otherwise for other shapes of the same batch.
    ulps: int = 4

    def __str__(self) -> str:
        return self.label


#: Fewer rows than parameters, so that some directions are flat.
UNDERDETERMINED = data.LeastSquares(
    [[1.0, 0.5, -0.25], [-0.75, 1.25, 0.5]], [0.5, -1.0]
)

DATA = (
    *(P.CONSTANT_3, P.LINEAR_2, P.QUADRATIC_1, P.QUADRATIC_2, P.INDEFINITE_3),
    *(P.DIAGONAL_3, P.SCALAR_2, P.LEAST_SQUARES_2, P.LEAST_SQUARES_3, UNDERDETERMINED),
    *(P.QUARTIC_1, P.QUARTIC_2, P.WAVES_1, P.WAVES_2),
    *(P.MIXTURE_1, P.MIXTURE_2, P.MIXTURE_3, P.BIMODAL_1, P.WELLS_1, P.WELLS_2),
)


def examples() -> list[Example]:
    plain = [
        Example(f"{type(loss_of(d)).__name__}-{d.d}-{i}", loss_of(d), d)
        for i, d in enumerate(DATA)
    ]
    # a minibatch of all examples is the loss itself, added in another order
    sums = P.LEAST_SQUARES_2
    whole = Resampled(loss_of(sums), len(sums.b), stream(0, "batches"))
    return [*plain, Example("Resampled-2", whole, sums, ulps=16)]


EXAMPLES = examples()


def having(*abilities: Any) -> Any:
    """A test of every example that has these abilities."""
    chosen = [e for e in EXAMPLES if all(isinstance(e.f, a) for a in abilities)]
    assert chosen
    return pytest.mark.parametrize("e", chosen, ids=str)


def loss_classes() -> set[type]:
    """Every class of a public module that can be called and differentiated."""
    found = set()
    for module in iter_modules(refimpl.losses.__path__):
        if module.name.startswith("_"):
            continue  # what losses share
        name = f"refimpl.losses.{module.name}"
        for value in vars(import_module(name)).values():
            ours = inspect.isclass(value) and value.__module__ == name
            if ours and {"__call__", "gradient"} <= set(dir(value)):
                found.add(value)
    return found


def test_every_loss_class_has_an_example_and_is_exported() -> None:
    found = loss_classes()
    assert found == {type(e.f) for e in EXAMPLES}
    assert {cls.__name__ for cls in found} <= set(refimpl.losses.__all__)
    assert all(isinstance(e.f, interfaces.Loss) for e in EXAMPLES)


ABILITIES = {
    "TwiceDifferentiable": {Constant, Linear, Quadratic, LeastSquares, Quartic}
    | {Trigonometric, GaussianMixture, GaussianWells},
    "Conjugate": {Constant, Linear, Quadratic, LeastSquares, GaussianMixture},
    "GaussianAverages": {Constant, Linear, Quadratic, LeastSquares, Quartic}
    | {Trigonometric, GaussianWells},
    "ExponentialAverages": {Constant, Linear, Quadratic, LeastSquares},
    "Proximable": {Constant, Linear, Quadratic, LeastSquares},
    "Resolvable": {Quartic, Trigonometric, GaussianMixture, GaussianWells},
    "Bounded": {Quartic, Trigonometric, GaussianMixture, GaussianWells},
    "Expandable": {Quartic, Trigonometric, GaussianWells},
    "Enclosed": {Trigonometric},
    "FiniteSum": {LeastSquares},
    "Reducible": {LeastSquares},
}


PROTOCOLS = {
    name: protocol
    for name, protocol in vars(interfaces).items()
    if inspect.isclass(protocol)
    and interfaces.Loss in protocol.__mro__
    and protocol is not interfaces.Loss
}


def test_every_ability_is_in_the_table() -> None:
    assert set(PROTOCOLS) == set(ABILITIES)


@pytest.mark.parametrize("ability", ABILITIES)
def test_who_has_which_ability(ability: str) -> None:
    """A method lost by a slip of its name would otherwise go unnoticed."""
    protocol = PROTOCOLS[ability]
    assert {type(e.f) for e in EXAMPLES if isinstance(e.f, protocol)} == (
        ABILITIES[ability]
    )


# --- shapes: leading axes are batch


@dataclass(frozen=True)
class Method:
    """A method of x or y (..., d) whose result has shape (..., *tail)."""

    name: str
    axes: int
    extra: Callable[[int], tuple[Any, ...]] = lambda d: ()

    def __call__(self, f: Any, x: Any) -> Any:
        return getattr(f, self.name)(x, *self.extra(f.d))

    def __str__(self) -> str:
        return self.name


TAU = 0.625


def tau(d: int) -> tuple[float]:
    return (TAU,)


def full(d: int) -> tuple[Any]:
    return (COVARIANCE[:d, :d],)


COVARIANCE = np.array(
    [[0.75, 0.25, -0.125], [0.25, 0.5, 0.125], [-0.125, 0.125, 0.625]]
)
METHODS = {
    interfaces.Loss: [Method("__call__", 0), Method("gradient", 1)],
    interfaces.TwiceDifferentiable: [Method("hessian", 2)],
    interfaces.Conjugate: [
        Method("local_entropy", 0, tau),
        Method("local_entropy_gradient", 1, tau),
        Method("local_entropy_hessian", 2, tau),
        Method("posterior_mean", 1, tau),
        Method("posterior_covariance", 2, tau),
    ],
    interfaces.GaussianAverages: [
        Method("gaussian_mean", 0, full),
        Method("gaussian_mean", 0, tau),
        Method("heat", 0, tau),
        Method("heat_gradient", 1, tau),
        Method("heat_hessian", 2, tau),
    ],
    interfaces.Proximable: [Method("heat_proximal_point", 1, tau)],
}
PAIRS = [
    pytest.param(e, method, id=f"{e}-{method}-{i}")
    for e in EXAMPLES
    for ability, methods in METHODS.items()
    if isinstance(e.f, ability)
    for i, method in enumerate(methods)
]
every_method = pytest.mark.parametrize(("e", "method"), PAIRS)


def points(d: int, *batch: int) -> Any:
    return stream(11, "evaluation", d).normal(scale=1.5, size=(*batch, d))


@every_method
def test_batches(e: Example, method: Method) -> None:
    d, f = e.f.d, e.f
    tail = (d,) * method.axes
    y = points(d, 2, 3)
    together = method(f, y)
    assert together.shape == (2, 3, *tail)
    assert together.dtype == np.float64
    looped = np.array([[method(f, point) for point in row] for row in y])
    allowed = e.ulps * np.spacing(np.abs(looped).max())
    assert np.abs(together - looped).max() <= allowed
    for batch in ((), (1,), (0,), (2, 0, 3), (1, 2, 1, 2)):
        assert np.shape(method(f, points(d, *batch))) == (*batch, *tail)
    assert method(f, y[0, 0].tolist()).dtype == np.float64
    whole = np.arange(d)
    assert (
        np.array_equal(method(f, whole), method(f, whole.astype(float))) or e.ulps > 4
    )


@every_method
def test_results_are_the_callers_and_arguments_stay(e: Example, method: Method) -> None:
    y = points(e.f.d, 4)
    saved = y.copy()
    y.setflags(write=False)
    first = np.array(method(e.f, y))
    second = method(e.f, y)
    assert not np.shares_memory(second, y)
    second[...] = np.nan  # the caller's own: writable, and no part of the loss
    again = method(e.f, y)
    slack = e.ulps * np.spacing(np.abs(first).max()) if e.ulps > 4 else 0
    assert np.abs(again - first).max() <= slack
    assert np.array_equal(y, saved)
    backwards = method(e.f, np.asfortranarray(saved)[::-1])
    np.testing.assert_allclose(backwards[::-1], first, rtol=1e-13, atol=1e-13)


@every_method
def test_a_wrong_last_axis_is_named(e: Example, method: Method) -> None:
    d = e.f.d
    for wrong in (np.zeros(d + 1), np.zeros((d, d + 1)), np.float64(1.0)):
        with pytest.raises(InvalidParameter, match=f"must have last axis d = {d}, got"):
            method(e.f, wrong)


@pytest.mark.parametrize(
    ("e", "method"), [pair for pair in PAIRS if pair.values[1].extra is tau]
)
@pytest.mark.parametrize("bad", [0.0, -0.5, np.nan, np.inf, "wide", [0.5, 0.5]])
def test_a_senseless_variance_is_named(e: Example, method: Method, bad: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^(tau|cov) must "):
        getattr(e.f, method.name)(points(e.f.d), bad)


@having(interfaces.GaussianAverages)
def test_a_senseless_covariance_is_named(e: Example) -> None:
    d = e.f.d
    for bad in (-np.eye(d), np.full((d, d), np.nan), np.eye(d + 1), np.eye(d)[None]):
        with pytest.raises(InvalidParameter, match=r"^cov must "):
            e.f.gaussian_mean(points(d), bad)


# --- values, against forty digits

FORMULAS: dict[str, Any] = {
    "__call__": cf.value,
    "gradient": cf.gradient,
    "hessian": cf.hessian,
    "heat_proximal_point": cf.proximal_point,
    "gaussian_mean": cf.gaussian_mean,
} | {
    name: getattr(cf, name)
    for name in (
        *("local_entropy", "local_entropy_gradient", "local_entropy_hessian"),
        *("posterior_mean", "posterior_covariance"),
        *("heat", "heat_gradient", "heat_hessian"),
    )
}


def agrees(measured: Any, formula: Any, *arguments: Any) -> None:
    """Within four times the running error bound of the formula, as in the checks."""
    truth = closed(formula, *arguments)
    wanted = np.array([float(v) for v in flat(truth.value)])
    error = np.abs(np.ravel(measured) - wanted).max()
    allowed = 4 * UNIT * truth.scale + 2.0**-1022  # where values underflow
    assert error <= allowed, (error, allowed)


@every_method
def test_values(e: Example, method: Method) -> None:
    for x in points(e.f.d, 3):
        arguments: list[Any] = list(method.extra(e.f.d))
        if method.name == "gaussian_mean":
            cov = arguments[0] if method.extra is full else TAU * np.eye(e.f.d)
            arguments = [cov.tolist()]
        measured = method(e.f, x)
        agrees(measured, FORMULAS[method.name], e.data, x.tolist(), *arguments)


@given(st.data())
def test_values_of_drawn_losses(drawn: st.DataObject) -> None:
    """The loss made from data, the data's own two doors, and the truth."""
    loss = drawn.draw(strategies.losses(indefinite=True))
    y = drawn.draw(strategies.points(loss.d))
    f = loss_of(loss)
    for own, formula in ((f, cf.value), (loss, cf.value)):
        agrees(own(y), formula, loss, y.tolist())
    for own in (f, loss):
        agrees(own.gradient(y), cf.gradient, loss, y.tolist())


@having(interfaces.TwiceDifferentiable)
def test_gradients_by_central_differences(e: Example) -> None:
    """A route without formulas: no truth of ours is involved.

    With step h the truncation is h^2/6 times a third derivative, and rounding eps/h
    times a value; h = eps^(1/3) makes both about eps^(2/3) of their scales.  The
    third derivative is taken from the differences of the Hessian, with room for what
    it changes within h.
    """
    f, d = e.f, e.f.d
    h = np.finfo(float).eps ** (1 / 3)
    for x in points(d, 5):
        ends = np.stack([x + h * np.eye(d), x - h * np.eye(d)])
        values, slopes, bends = f(ends), f.gradient(ends), f.hessian(ends)
        third = np.abs(bends[0] - bends[1]).max() / (2 * h)
        fourth = np.abs(bends[0] - 2 * f.hessian(x) + bends[1]).max() / h**2
        bound = h**2 * (1 + third + fourth) + 40 * UNIT / h * (1 + np.abs(values).max())
        assert np.abs((values[0] - values[1]) / (2 * h) - f.gradient(x)).max() <= bound
        bound = h**2 * (1 + third + fourth) * 20
        bound += 40 * UNIT / h * (1 + np.abs(slopes).max())
        assert np.abs((slopes[0] - slopes[1]) / (2 * h) - f.hessian(x)).max() <= bound


@having(interfaces.ExponentialAverages)
def test_log_mean_exp(e: Example) -> None:
    d = e.f.d
    for x in points(d, 3):
        for cov in (0.125 * np.eye(d), COVARIANCE[:d, :d] / 4, 64.0 * np.eye(d)):
            measured = e.f.log_mean_exp(x, cov)
            truth = cf.log_mean_exp(EXACT, e.data, x.tolist(), cov.tolist())
            if truth is None:
                assert measured == np.inf
            else:
                agrees(measured, cf.log_mean_exp, e.data, x.tolist(), cov.tolist())
        assert e.f.log_mean_exp(x, 0.125) == pytest.approx(
            e.f.log_mean_exp(x, 0.125 * np.eye(d)), rel=1e-14
        )


def test_small_variances_keep_their_digits() -> None:
    """At its minimum F of a bowl is sum log(1 + tau lambda) / 2, here some 1e-12."""
    H, tau = np.array([1 / 3, 0.8]), 2.0**-40
    f = Quadratic(H, [0.25, -0.5])
    wanted = (tau * H / 2 - (tau * H) ** 2 / 4).sum()
    assert abs(f.local_entropy([0.25, -0.5], tau) / wanted - 1) < 1e-14


# --- exact draws


@having(interfaces.Conjugate)
def test_posterior_sample(e: Example) -> None:
    """Mean and covariance of 20000 draws against the exact ones.

    Each of at most nine averages is compared in units of its own standard error.  By
    the central limit theorem with Edgeworth's correction (skewness below 3, here some
    factor 6) an average is beyond eight of them with probability below 1e-14; for all
    of them together it is below 2e-12.  A mean off by 6 % of a standard deviation, or
    a variance off by 9 %, is found.
    """
    n, x = 20000, points(e.f.d)
    draws = e.f.posterior_sample(x, TAU, n, stream(2024, "evaluation"))
    assert draws.shape == (n, e.f.d)
    for z in deviations(
        draws, e.f.posterior_mean(x, TAU), e.f.posterior_covariance(x, TAU)
    ):
        assert abs(z) <= 8


def deviations(draws: Any, mean: Any, covariance: Any) -> Any:
    """Averages minus expectations, in standard errors."""
    gaps = draws - mean
    rows, columns = np.triu_indices(mean.size)
    products = gaps[:, rows] * gaps[:, columns] - covariance[rows, columns]
    terms = np.concatenate([gaps, products], axis=1)
    return terms.mean(axis=0) / (terms.std(axis=0) / np.sqrt(len(terms)))


def test_the_sampling_test_bites() -> None:
    """Draws of a slightly wrong law are told from right ones."""
    f, x = loss_of(P.MIXTURE_2), points(2)
    mean, covariance = f.posterior_mean(x, TAU), f.posterior_covariance(x, TAU)
    draws = f.posterior_sample(x, TAU, 20000, stream(0, "evaluation"))
    shift = 0.1 * np.sqrt(np.diagonal(covariance))
    for wrong in (draws + shift, mean + 1.1 * (draws - mean)):
        assert np.abs(deviations(wrong, mean, covariance)).max() > 8


@having(interfaces.Conjugate)
def test_draws_repeat_and_take_one_centre(e: Example) -> None:
    x = points(e.f.d)
    first, second = (
        e.f.posterior_sample(x, TAU, 5, stream(1, "evaluation")) for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert e.f.posterior_sample(x, TAU, 0, stream(1, "evaluation")).shape == (0, e.f.d)
    with pytest.raises(InvalidParameter, match="x must"):
        e.f.posterior_sample(x[None], TAU, 5, stream(1, "evaluation"))
    with pytest.raises(InvalidParameter, match="tau must be positive"):
        e.f.posterior_sample(x, 0.0, 5, stream(1, "evaluation"))


# --- what quadrature and searches are told


@having(interfaces.Resolvable)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_box_holds_the_mass(e: Example, sign: int) -> None:
    d, drop = e.f.d, 30.0
    mean, cov = points(d), COVARIANCE[:d, :d] / 16
    if isinstance(e.f, Quartic) and sign > 0:
        assert e.f.exp_diverges(cov)
        with pytest.raises((NoClosedForm, NotIntegrable), match="quartic"):
            e.f.support(mean, cov, sign, drop)
        return
    assert sign < 0 or not e.f.exp_diverges(cov)
    lower, upper = e.f.support(mean, cov, sign, drop)
    assert lower.shape == upper.shape == (d,)
    rng = stream(3, "evaluation")

    def exponent(y: Any) -> Any:
        half = ((y - mean) * np.linalg.solve(cov, (y - mean).T).T).sum(axis=-1) / 2
        return sign * e.f(y) - half

    inside = exponent(rng.uniform(lower, upper, size=(20000, d)))
    y = rng.uniform(-1, 1, size=(20000, d))
    y /= np.abs(y).max(axis=1, keepdims=True)  # on the cube's faces
    faces = (lower + upper) / 2 + (upper - lower) / 2 * y * rng.uniform(
        1, 3, (20000, 1)
    )
    assert exponent(faces).max() <= inside.max() - drop


@having(interfaces.Resolvable)
def test_feature_lengths(e: Example) -> None:
    d = e.f.d
    lower, upper = np.full(d, -1.0), np.full(d, 2.0)
    length = e.f.feature_length(lower, upper)
    assert length.shape == (d,)
    assert (length > 0).all()
    assert (e.f.feature_length(2 * lower, 2 * upper) <= length).all()


@having(interfaces.Bounded)
@pytest.mark.parametrize("variance", [2.0**-12, 0.625, 16.0])
def test_bounds_of_heat(e: Example, variance: float) -> None:
    least = e.f.heat_curvature_bound(variance)
    floor = e.f.heat_lower_bound(variance)
    assert isinstance(least, float)
    assert isinstance(floor, float)
    if isinstance(e.f, interfaces.GaussianAverages):
        y = points(e.f.d, 400) * 3
        bends = np.linalg.eigvalsh(e.f.heat_hessian(y, variance))
        assert least <= bends.min() + 1e-12 * np.abs(bends).max()
        assert floor <= e.f.heat(y, variance).min() + 1e-12
    elif e.f.d == 1:
        for x in np.linspace(-2, 2, 9):  # the middle and the modes among them
            value, _, bend = regularised.heat_jet(e.f, [x], variance)
            assert least <= bend[0, 0] + 1e-9
            assert floor <= value + 1e-9


@having(interfaces.Expandable)
def test_differences_do_not_cancel(e: Example) -> None:
    """f(centre + offset) - f(centre), also for offsets a billion times below centre.

    A difference of two values would be wrong by their rounding, some 1e-16 times
    their size; an expansion by some tens of roundings of its own terms.  Of wells only
    the level does not count.
    """
    noise = np.abs(e.f.depths).sum() if isinstance(e.f, GaussianWells) else 0.0
    for centre in points(e.f.d, 4):
        for scale in (2.0**-40, 2.0**-20, 1.0):
            offset = points(e.f.d) * scale
            moved = la.add(la.vector(EXACT, centre), la.vector(EXACT, offset))
            before = cf.value(EXACT, e.data, centre.tolist())
            wanted = float(cf.value(EXACT, e.data, moved) - before)
            terms = np.abs(offset) @ np.abs(e.f.gradient(centre))
            terms += np.abs(e.f.hessian(centre)).sum() * (offset @ offset) + abs(wanted)
            terms += noise
            error = abs(e.f.excess(centre, offset) - wanted)
            assert error <= 100 * UNIT * terms * max(1, np.abs(centre).max())
    offsets = points(e.f.d, 2, 3)
    many = e.f.excess(centre, offsets)
    assert many.shape == (2, 3)
    np.testing.assert_allclose(
        many[1, 2], e.f.excess(centre, offsets[1, 2]), rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("loss", [P.WELLS_2, P.WAVES_2], ids=lambda d: d.kind)
def test_differences_know_no_level(loss: Any) -> None:
    high = loss_of(data.from_json({**loss.to_json(), "c": loss.c + 2.0**60}))
    centre, offset = points(2), points(2, 5)
    assert np.array_equal(
        high.excess(centre, offset), loss_of(loss).excess(centre, offset)
    )


@having(interfaces.Enclosed)
@pytest.mark.parametrize("variance", [2.0**-6, 0.625, 4.0])
def test_the_box_holds_the_proximal_points(e: Example, variance: float) -> None:
    for x in 2 * points(e.f.d, 3):
        lower, upper = e.f.proximal_box(x, variance)
        found = proximal.proximal_points(e.data, x.tolist(), variance).points
        for point in np.array(found, dtype=float):
            assert (lower <= point).all()
            assert (point <= upper).all()


@having(interfaces.FiniteSum)
def test_finite_sums(e: Example) -> None:
    f, y = e.f, points(e.f.d, 5)
    parts = np.array([f.batch([i])(y) for i in range(f.N)])
    np.testing.assert_allclose(parts.mean(axis=0), f(y), rtol=1e-14)


# --- a loss never changes


@pytest.mark.parametrize("e", EXAMPLES, ids=str)
def test_public_arrays_are_read_only(e: Example) -> None:
    seen = []
    for name in dir(e.f):
        value = None if name.startswith("_") else getattr(e.f, name)
        if isinstance(value, np.ndarray):
            seen.append(name)
            assert not value.flags.writeable, name
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0
    assert seen or isinstance(e.f, Resampled)


@pytest.mark.parametrize("loss", DATA, ids=lambda d: f"{d.kind}-{d.d}")
def test_the_arrays_it_was_made_of_are_copied(loss: Any) -> None:
    fields = {k: v for k, v in loss.to_json().items() if k != "kind"}
    fields = {k: np.array(v) if isinstance(v, list) else v for k, v in fields.items()}
    saved = {k: np.array(v) for k, v in fields.items()}
    f, y = type(loss_of(loss))(**fields), points(loss.d, 3)
    before = f(y)
    for name, value in fields.items():
        assert np.array_equal(value, saved[name])
        if isinstance(value, np.ndarray):
            assert value.flags.writeable
            value[...] = 77.0
    assert np.array_equal(f(y), before)


# --- refusals

ONE, TWO = [[[1.0]]], [[[1.0]], [[1.0]]]
LOPSIDED = [[1.0, 0.5], [0.0, 1.0]]
REFUSED: list[tuple[Any, tuple[Any, ...], str]] = [
    (Constant, (np.nan, 2), "c must be finite"),
    (Constant, (0.0, 0), "d must be at least 1"),
    (Constant, (0.0, 2.0), "d must be a whole number"),
    (Linear, ([np.inf],), "g must be finite"),
    (Linear, ([[1.0]],), "g must be a vector"),
    (Linear, (["a"],), "g must be an array of real numbers"),
    (Linear, ([1.0], [1.0, 2.0]), "c must be one number"),
    (Quadratic, (LOPSIDED, [0, 0]), "H must be symmetric"),
    (Quadratic, (np.eye(3), [0, 0]), "H must be 2 x 2"),
    (Quadratic, (np.ones((2, 3)), [0, 0]), "H must be square"),
    (Quadratic, ([1, 2, 3], [0, 0]), "H has shape"),
    (
        Quadratic,
        (np.eye(2)[None], [0, 0]),
        "H must be a number or a vector or a matrix",
    ),
    (Quadratic, (np.nan, [0, 0]), "H must be finite"),
    (Quadratic, (1j, [0, 0]), "H must be an array of real numbers"),
    (Quadratic, (1.0, 0.0), "m must be a vector"),
    (Quadratic, (1.0, [0.0], np.inf), "c must be finite"),
    (LeastSquares, ([[1.0]], [1, 2]), "A has shape"),
    (LeastSquares, ([1.0], [1]), "A must be a matrix"),
    (LeastSquares, ([[1.0]], [np.nan]), "b must be finite"),
    (LeastSquares, (np.zeros((0, 1)), []), "A has shape"),
    (Quartic, ([1], [1, 2], [1]), "c4, c3 and c2 must have the same length"),
    (Quartic, ([1], [np.nan], [1]), "c3 must be finite"),
    (Quartic, ([1], [1], [1], [0]), "coupling must be one number"),
    (Trigonometric, ([1, 2], [[1]], [0], 1.0, [0]), "amplitude"),
    (Trigonometric, ([1], [[1, 2]], [0], 1.0, [0]), "frequency"),
    (Trigonometric, ([1], [[1]], [np.inf], 1.0, [0]), "phase must be finite"),
    (Trigonometric, ([1], [[1, 1]], [0], LOPSIDED, [0, 0]), "H must be symmetric"),
    (
        GaussianMixture,
        ([0.5, 0.25], [[0], [1]], TWO),
        "weights must be positive and sum",
    ),
    (GaussianMixture, ([1.5, -0.5], [[0], [1]], TWO), "weights must be positive"),
    (GaussianMixture, ([0.5, np.nan], [[0], [1]], TWO), "weights must be finite"),
    (GaussianMixture, ([1.0], [[0], [1]], TWO), "1 weights and 2 means"),
    (GaussianMixture, ([1.0], [0.0], ONE), "means must be a matrix"),
    (
        GaussianMixture,
        ([1.0], [[0.0]], [[1.0]]),
        "covariances must be a stack of matrices",
    ),
    (GaussianMixture, ([1.0], [[0.0]], TWO), "covariances must have shape"),
    (GaussianMixture, ([1.0], [[0, 0]], [LOPSIDED]), "covariances must be symmetric"),
    (
        GaussianMixture,
        ([1.0], [[0, 0]], [[[1, 2], [2, 1]]]),
        "covariances must be positive definite, its least eigenvalue is -1",
    ),
    (GaussianWells, ([1, 2], [[0.0]], ONE), "2 depths and 1 means"),
    (GaussianWells, ([np.inf], [[0.0]], ONE), "depths must be finite"),
    (GaussianWells, ([1], [[0.0]], [[[0.0]]]), "covariances must be positive definite"),
    (GaussianWells, ([1], [[0.0]], ONE, np.nan), "c must be finite"),
]


@pytest.mark.parametrize(("make", "arguments", "said"), REFUSED)
def test_bad_numbers_are_refused_by_name(make: Any, arguments: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        make(*arguments)


def test_every_class_refuses_something() -> None:
    assert {make for make, _, _ in REFUSED} | {Resampled} == loss_classes()


SADDLE = loss_of(P.INDEFINITE_3)


@pytest.mark.parametrize("method", METHODS[interfaces.Conjugate], ids=str)
def test_an_infinite_integral_names_tau_and_the_curvature(method: Method) -> None:
    least = np.linalg.eigvalsh(SADDLE.H)[0]
    sentence = re.escape(f"tau = 8 and lambda_min(H) = {least:g}")
    with pytest.raises(NotIntegrable, match=sentence):
        getattr(SADDLE, method.name)(points(3), 8.0)
    limit = -1 / least
    assert np.isfinite(getattr(SADDLE, method.name)(points(3), 0.999 * limit)).all()
    with pytest.raises(NotIntegrable):
        getattr(SADDLE, method.name)(points(3), 1.001 * limit)


def test_an_infinite_integral_of_other_losses() -> None:
    wave = Trigonometric([1.0], [[1.0]], [0.0], -1.0, [0.0])
    with pytest.raises(NotIntegrable, match=r"tau = 2 and lambda_min = -0\.5"):
        regularised.local_entropy(wave, [0.0], 2.0)
    falling = Quartic([1.0, -0.25], [0.0, 0.0], [1.0, 1.0])
    with pytest.raises(NotIntegrable, match=r"infinite: .* c4"):
        regularised.local_entropy(falling, [0.0, 0.0], 0.5)


# --- somebody else's loss, in plain Python


class LogCosh:
    """f(y) = sum log cosh y_i, with nothing but the two doors."""

    def __init__(self, d: int) -> None:
        self.d = d

    def __call__(self, y: Any) -> Any:
        y = np.abs(np.asarray(y, dtype=float))
        return (y + np.log1p(np.exp(-2 * y)) - np.log(2)).sum(axis=-1)

    def gradient(self, y: Any) -> Any:
        return np.tanh(np.asarray(y, dtype=float))


class Resolved(LogCosh):
    """The same, which tells quadrature where to look: f is not negative."""

    def support(self, mean: Any, cov: Any, sign: int, drop: float) -> Any:
        room = drop + float(self(mean))
        if sign > 0:  # f grows by at most one per unit of length and coordinate
            room = 2 * drop + 4 * self.d**2 * float(np.trace(cov))
        half = np.sqrt(2 * room * np.diagonal(cov))
        return mean - half, mean + half

    def exp_diverges(self, cov: Any) -> bool:
        return False

    def feature_length(self, lower: Any, upper: Any) -> Any:
        # the nearest pole of exp(+-f) is pi/2 away: steps of 1/4 leave exp(-4 pi^2)
        return np.ones(self.d)


QUESTIONS = (
    regularised.local_entropy,
    regularised.local_entropy_gradient,
    regularised.local_entropy_hessian,
    regularised.posterior_mean,
    regularised.posterior_covariance,
    regularised.heat,
    regularised.heat_gradient,
)


@pytest.mark.parametrize("ask", QUESTIONS, ids=lambda ask: ask.__name__)
def test_a_plain_loss_has_no_closed_form(ask: Any) -> None:
    with pytest.raises(NoClosedForm) as info:
        ask(LogCosh(2), [0.5, 1.0], TAU)
    assert "LogCosh has no closed form of this integral" in str(info.value)
    assert str(info.value).endswith("it lacks support and feature_length")
    with pytest.raises(NoClosedForm, match="quadrature serves d <= 3, not d = 4"):
        ask(Resolved(4), np.zeros(4), TAU)


def test_a_plain_loss_that_says_where_to_look_is_integrated() -> None:
    """exp(-f) is a product of 1/cosh: one-dimensional integrals in thirty digits."""
    import mpmath

    mp, x = mpmath.MPContext(), (0.5, -1.25)
    mp.dps = 30
    edges = [-12, -4, -2, 0, 2, 4, 12]
    mass, first = [], []
    for centre in x:

        def density(y: Any, centre: float = centre) -> Any:
            return mp.npdf(y, centre, mp.sqrt(TAU)) / mp.cosh(y)

        mass.append(mp.quad(density, edges))
        first.append(mp.quad(lambda y, p=density: y * p(y), edges) / mass[-1])
    f = Resolved(2)
    value = regularised.local_entropy(f, x, TAU)
    assert abs(value + float(mp.log(mass[0] * mass[1]))) < 1e-12
    mean = [float(m) for m in first]
    np.testing.assert_allclose(regularised.posterior_mean(f, x, TAU), mean, atol=1e-12)
    slope = regularised.local_entropy_gradient(f, x, TAU)
    np.testing.assert_allclose(slope, (np.array(x) - mean) / TAU, atol=1e-12)
    np.testing.assert_allclose(
        ExactMean()(GibbsLaw(f, np.array(x), TAU)).x, mean, atol=1e-12
    )
    heat = sum(
        mp.quad(lambda y, c=c: mp.npdf(y, c, mp.sqrt(TAU)) * mp.log(mp.cosh(y)), edges)
        for c in x
    )
    assert abs(regularised.heat(f, x, TAU) - float(heat)) < 1e-12
    with pytest.raises(NoClosedForm, match="Resolved has no second derivatives"):
        regularised.heat_gradient(f, x, TAU)
    batch = regularised.local_entropy(f, np.array([x, x[::-1]]), TAU)
    np.testing.assert_allclose(batch, [value, value], rtol=1e-13)
