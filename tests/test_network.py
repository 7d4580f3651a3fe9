"""Dense networks: two faces against each other, and against forty digits.

The bound of the comparison of the twins is a running error bound: the same network on
magnitudes, every product charged for the longest sum (`bounds`).  Both twins are within
it of the truth, so that they are within twice of each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise, product
from typing import Any

import mpmath
import numba
import numpy as np
import pytest

from refimpl import network_kernels as kernels
from refimpl.errors import InvalidParameter
from refimpl.interfaces import FiniteSum, Reducible
from refimpl.losses import minibatches
from refimpl.network import (
    ACTIVATIONS,
    COSTS,
    DenseLoss,
    Network,
    activated,
    layer_shapes,
    layers,
    logit_derivatives,
    losses,
    parameter_count,
    slope,
)

U = 2.0**-53
SIZES = (
    (3, 4),
    (5, 2),
    (4, 6, 3),
    (2, 5, 4),
    (3, 4, 2, 5),
    (4, 3, 6, 2),
    (2, 3, 4, 3, 2),
)
READINGS = tuple(product(ACTIVATIONS, COSTS, ("mean", "sum")))


def network(
    seed: int,
    sizes: Any,
    N: int,
    activation: Any = "relu",
    loss: Any = "cross-entropy",
    reduction: Any = "mean",
    **more: Any,
) -> Network:
    rng = np.random.default_rng(seed)
    images, labels = rng.normal(size=(N, sizes[0])), rng.integers(sizes[-1], size=N)
    reading = {"activation": activation, "loss": loss, "reduction": reduction}
    return Network(sizes, images, labels, **reading, **more)


def plain(f: Network) -> Network:
    """The same network without the compiled twin."""
    reading = {"activation": f.activation, "loss": f.loss, "reduction": f.reduction}
    images = f.features[:, :-1]
    return Network(f.sizes, images, f.labels, **reading, compiled=False)


def parameters(seed: int, f: DenseLoss, *batch: int) -> Any:
    return np.random.default_rng(1000 + seed).normal(size=(*batch, f.d))


# --- the twins


def bounds(f: Network, y: Any) -> tuple[float, Any]:
    """What rounding may make of f and of its gradient at y (d,), to first order in u.

    An inner product of n terms errs by (n + 2) u of the sum of magnitudes whatever its
    order; tanh by 3 units in the last place, exp and log by 2 each.
    """
    W = layers(y, f.shapes)
    A, E = f.features, np.zeros_like(f.features)
    inputs = [(A, E)]
    for i, one in enumerate(W):
        P, R = A @ one, E @ abs(one) + (len(one) + 2) * U * (abs(A) @ abs(one))
        if i + 1 < len(W):
            assert abs(P[R > 0]).min() > 1e3 * R.max()  # no kink of relu is near
            A = activated(P, f.activation)
            E = np.pad(R, ((0, 0), (0, 1))) + 8 * U * abs(A)
            inputs.append((A, E))
    classes = P.shape[1]
    off = 2 * R.max(axis=1, keepdims=True)
    reach = abs(P).max(axis=1, keepdims=True)
    share = off + (classes + 8 + 2 * reach) * U  # relative, of a probability
    value = share * (1 + 2 * reach) + f.N * U * (1 + 2 * reach)
    p = np.exp(P - P.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if f.loss == "squared":
        value = 8 * share + f.N * U * 4
    D = logit_derivatives(P, f.labels, f.loss)
    R = p * share + 2 * U * abs(D)
    if f.loss == "squared":
        R = 2 * p * (3 * share + share.max() + (classes + 8) * U)
    scale = 1.0 if f.reduction == "sum" else 1 / f.N
    D, R = scale * D, scale * (R + 2 * U * abs(D))
    errors = []
    for (A, E), one in zip(inputs[::-1], W[::-1], strict=True):
        sums = abs(A).T @ abs(D)
        errors.append(E.T @ abs(D) + abs(A).T @ R + (len(A) + 2) * U * sums)
        back, blur = (
            D @ one.T,
            R @ abs(one).T + (classes + 99) * U * abs(D) @ abs(one).T,
        )
        bend = slope(A, f.activation)
        wobble = 0 * E if f.activation == "relu" else 2 * E + 4 * U
        R = (bend * blur + wobble * abs(back) + 2 * U * bend * abs(back))[:, :-1]
        D = (bend * back)[:, :-1]
    flat = np.concatenate([e.ravel() for e in errors[::-1]])
    return float(scale * value.sum()), flat


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_the_twins_agree(reading: Any, sizes: Any) -> None:
    for seed, N in enumerate((1, 4, 9)):
        f = network(seed, sizes, N, *reading)
        y = parameters(seed, f)
        value, error = bounds(f, y)
        assert abs(f(y) - plain(f)(y)) <= 2 * value
        gap = abs(f.gradient(y) - plain(f).gradient(y))
        assert (gap <= 2 * error).all()
        # the bound says something
        assert value <= 1e-11 * (1 + f(y))
        assert np.linalg.norm(error) <= 1e-10 * (1 + np.linalg.norm(f.gradient(y)))


@pytest.mark.parametrize("compiled", [True, False])
def test_of_one_class_everybody_is_certain(compiled: bool) -> None:
    f = network(1, (4, 3, 1), 5, "tanh", compiled=compiled)
    y = parameters(1, f)
    assert f(y) == 0
    np.testing.assert_array_equal(f.gradient(y), np.zeros(f.d))


def test_the_reading_says_which_twin_answers(monkeypatch: Any) -> None:
    """Or else the twins would be compared with themselves."""

    def sevens(*given: Any) -> None:
        given[-1].fill(7.0)

    f = network(1, (4, 6, 3), 5, "tanh")
    y = parameters(1, f)
    for name in ("losses_kernel", "gradients_kernel"):
        monkeypatch.setattr(kernels, name, sevens)
    assert f(y) == 7
    assert (f.gradient(y) == 7).all()
    assert plain(f)(y) != 7
    assert (plain(f).gradient(y) != 7).all()


@pytest.mark.parametrize("cost", COSTS)
def test_of_every_example_in_a_batch(cost: Any) -> None:
    """Class by class; the derivative of a loss by a logit is p_c (l_c - sum p l)."""
    rng = np.random.default_rng(11)
    logits, labels = rng.normal(size=(2, 3, 5, 4)), rng.integers(4, size=5)
    values = losses(logits, labels, cost)
    slopes = logit_derivatives(logits, labels, cost)
    assert values.shape == (2, 3, 5)
    for at in np.ndindex(2, 3, 5):
        mass = np.exp(logits[at])
        p, hit = mass / mass.sum(), np.eye(4)[labels[at[-1]]]
        if cost == "squared":
            value, by_p = ((p - hit) ** 2).sum(), 2 * (p - hit)
        else:
            value, by_p = -np.log(p) @ hit, -hit / p
        np.testing.assert_allclose(values[at], value, rtol=1e-13)
        slope_at = p * (by_p - (p * by_p).sum())
        np.testing.assert_allclose(slopes[at], slope_at, rtol=0, atol=1e-14)


def test_the_bound_sees_a_wrong_twin() -> None:
    f = network(1, (4, 6, 3), 5, "tanh")
    y = parameters(1, f)
    value, error = bounds(f, y)
    slightly = plain(f).gradient(y * (1 + 1e-9))
    assert (abs(f.gradient(y) - slightly) > 2 * error).mean() > 0.9
    assert abs(f(y) - plain(f)(y * (1 + 1e-9))) > 2 * value


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,), (2, 0)])
def test_batches_of_parameters(shape: Any, compiled: bool) -> None:
    f = network(2, (3, 4, 2), 5, "sigmoid", compiled=compiled)
    y = parameters(2, f, *shape)
    assert f(y).shape == shape
    assert f.gradient(y).shape == y.shape
    assert f.logits(y).shape == (*shape, 5, 2)
    assert f.accuracy(y).shape == shape
    for at in np.ndindex(*shape):
        value, error = bounds(f, y[at])
        assert abs(f(y)[at] - f(y[at])) <= 2 * value
        assert (abs(f.gradient(y)[at] - f.gradient(y[at])) <= 2 * error).all()


def test_parameters_of_any_memory_order() -> None:
    f = network(3, (3, 4, 2), 5)
    y = parameters(3, f, 4)
    for other in (np.asfortranarray(y), np.repeat(y, 2, axis=1)[:, ::2], y.tolist()):
        assert np.array_equal(f(other), f(y))
        assert np.array_equal(f.gradient(other), f.gradient(y))


# --- against forty digits: unit by unit, the gradient from differences

MP = mpmath.mp.clone()
MP.dps = 60
STEP = MP.mpf(10) ** -20


def value_in_digits(f: Network, y: list[Any], images: Any) -> Any:
    """f at y in 60 digits, one unit after the other; it has no line of the code."""
    total = MP.mpf(0)
    for image, label in zip(images, f.labels.tolist(), strict=True):
        units, at = image, 0
        for level, (n, m) in enumerate(pairwise(f.sizes)):
            sums = [
                y[at + n * m + j]
                + MP.fsum(units[i] * y[at + i * m + j] for i in range(n))
                for j in range(m)
            ]
            at += (n + 1) * m
            if level + 2 < len(f.sizes):
                assert min(abs(s) for s in sums) > MP.mpf(10) ** -12
                units = [of_unit(f.activation, s) for s in sums]
        mass = MP.fsum(MP.exp(s) for s in sums)
        if f.loss == "cross-entropy":
            total += MP.log(mass) - sums[label]
        else:
            total += MP.fsum(
                (MP.exp(s) / mass - (c == label)) ** 2 for c, s in enumerate(sums)
            )
    return total if f.reduction == "sum" else total / f.N


def of_unit(activation: str, s: Any) -> Any:
    if activation == "relu":
        return s if s > 0 else MP.mpf(0)
    return MP.tanh(s) if activation == "tanh" else 1 / (1 + MP.exp(-s))


def gradient_in_digits(f: Network, y: Any) -> list[Any]:
    """Central differences: an error of 1e-40, and of 1e-40 from rounding."""
    images = [[MP.mpf(v) for v in row] for row in f.features[:, :-1].tolist()]
    at = [MP.mpf(v) for v in y.tolist()]
    slopes = []
    for i, centre in enumerate(at):
        ends = [
            value_in_digits(f, [*at[:i], centre + side, *at[i + 1 :]], images)
            for side in (STEP, -STEP)
        ]
        slopes.append((ends[0] - ends[1]) / (2 * STEP))
    return slopes


ARCHITECTURES = [
    ((1, 2), 3), ((3, 2), 1), ((2, 5), 2), ((4, 3), 3), ((2, 10), 2), ((5, 2), 4),
    ((1, 1, 2), 2), ((3, 2, 2), 1), ((2, 4, 3), 2), ((4, 3, 2), 2), ((2, 3, 5), 2),
    ((3, 1, 3), 2), ((1, 5, 2), 3), ((2, 2, 4), 1), ((2, 3, 2, 3), 2),
    ((3, 2, 3, 2), 2), ((1, 4, 2, 3), 1), ((4, 2, 1, 2), 2), ((2, 2, 2, 4), 2),
    ((2, 3, 2, 2, 2), 2), ((1, 2, 3, 2, 3), 2), ((3, 1, 2, 2, 2), 1),
    ((2, 2, 1, 3, 2), 2), ((1, 3, 1, 2, 4), 1),
]  # fmt: skip


@pytest.mark.parametrize("k", range(len(ARCHITECTURES)))
def test_value_and_gradient_to_thirteen_digits(k: int) -> None:
    sizes, N = ARCHITECTURES[k]
    f = network(10 + k, sizes, N, *READINGS[(5 * k + 2) % len(READINGS)])
    y = parameters(10 + k, f)
    images = [[MP.mpf(v) for v in row] for row in f.features[:, :-1].tolist()]
    truth = value_in_digits(f, [MP.mpf(v) for v in y.tolist()], images)
    slopes = gradient_in_digits(f, y)
    size = MP.norm(slopes)
    for g in (f, plain(f)):
        assert abs(MP.mpf(float(g(y))) - truth) <= 1e-13 * abs(truth)
        errors = [
            MP.mpf(a) - b for a, b in zip(g.gradient(y).tolist(), slopes, strict=True)
        ]
        assert MP.norm(errors) <= 1e-13 * size


def test_the_architectures_have_all_readings() -> None:
    used = {READINGS[(5 * k + 2) % len(READINGS)] for k in range(len(ARCHITECTURES))}
    assert used == set(READINGS)
    assert {len(sizes) - 2 for sizes, _ in ARCHITECTURES} == {0, 1, 2, 3}


# --- traps


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("shift", [900.0, -900.0])
def test_logits_far_out(shift: float, compiled: bool) -> None:
    f = network(4, (3, 4, 3), 6, compiled=compiled)
    y = parameters(4, f)
    moved = y.copy()
    moved[-3:] += shift
    # the logits lose |shift| u each
    np.testing.assert_allclose(f(moved), f(y), rtol=0, atol=4 * abs(shift) * U)
    reach = 8 * abs(shift) * U * np.abs(f.gradient(y)).max()
    np.testing.assert_allclose(
        f.gradient(moved), f.gradient(y), rtol=0, atol=20 * reach
    )


@pytest.mark.parametrize("compiled", [True, False])
def test_certain_right_and_certain_wrong(compiled: bool) -> None:
    y = np.array([0.0, 0.0, 0.0, 0.0, 900.0, -900.0])
    for label, value in enumerate((900.0, 0.0, 1800.0)):
        f = Network((1, 3), [[0.5]], [label], compiled=compiled)
        miss = np.array([0.0, 1.0, 0.0]) - np.eye(3)[label]
        assert f(y) == value
        assert np.array_equal(f.gradient(y), [*(0.5 * miss), *miss])
        g = Network((1, 3), [[0.5]], [label], loss="squared", compiled=compiled)
        assert g(y) == (0.0 if label == 1 else 2.0)
        assert not g.gradient(y).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", COSTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_comes_through(
    bad: float, loss: Any, activation: Any
) -> None:
    """Where the readable form has no finite answer, neither has the compiled one."""
    f = network(5, (2, 3, 2), 4, activation, loss)
    y = np.tile(parameters(5, f), (f.d, 1))
    np.fill_diagonal(y, bad)
    with np.errstate(all="ignore"):
        for g in (f, plain(f)):
            values, slopes = g(y), g.gradient(y)
            lost = np.isfinite(values) != np.isfinite(plain(f)(y))
            assert not lost.any()
            if np.isnan(bad):
                assert np.isnan(values).all()
                assert np.isnan(slopes).any(axis=1).all()
            finite = np.isfinite(slopes).all(axis=1)
            assert np.array_equal(finite, np.isfinite(plain(f).gradient(y)).all(axis=1))


@pytest.mark.parametrize("compiled", [True, False])
def test_relu_has_slope_zero_at_zero(compiled: bool) -> None:
    f = Network((1, 2, 2), [[0.0]], [1], compiled=compiled)
    y = np.zeros(f.d)
    y[3] = 1.0  # one hidden bias; the other unit is at its kink
    y[4:8] = 0.5, -0.25, 0.75, 1.25
    inner = f.gradient(y)[:4].reshape(2, 2)
    assert not inner[:, 0].any()
    assert inner[1, 1] != 0


def test_the_last_bias_is_a_row_of_its_own() -> None:
    f = network(6, (3, 4, 3), 5, "tanh")
    y = parameters(6, f)
    p = np.exp(f.logits(y))
    p /= p.sum(axis=1, keepdims=True)
    miss = (p - np.eye(3)[f.labels]).mean(axis=0)
    np.testing.assert_allclose(f.gradient(y)[-3:], miss, rtol=0, atol=50 * U)
    assert np.array_equal(layers(y, f.shapes)[-1][-1], y[-3:])


def test_layers_are_weights_then_biases() -> None:
    """W of inputs x outputs, row-major, and then b: no shape is its transpose."""
    f = Network((2, 3), [[10.0, 100.0]], [0])
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, 0.25, 0.125])
    assert np.array_equal(f.logits(y)[0], [410.5, 520.25, 630.125])
    assert layer_shapes((2, 3)) == ((3, 3),)
    assert parameter_count((784, 10)) == 7850
    assert parameter_count((784, 200, 10)) == 159010
    assert np.shares_memory(layers(y, f.shapes)[0], y)


def test_mean_and_sum_of_minibatches() -> None:
    rows = [4, 0, 4]
    for activation, loss in product(ACTIVATIONS, COSTS):
        mean = network(7, (3, 4, 3), 6, activation, loss)
        total = network(7, (3, 4, 3), 6, activation, loss, "sum")
        y = parameters(7, mean)
        ones = [mean.batch([n]) for n in range(6)]
        values = np.array([float(one(y)) for one in ones])
        slopes = np.array([one.gradient(y) for one in ones])
        near = {"rtol": 1e-13, "atol": 1e-14}
        np.testing.assert_allclose(mean(y), values.mean(), **near)
        np.testing.assert_allclose(total(y), values.sum(), **near)
        np.testing.assert_allclose(mean.batch(rows)(y), values[rows].mean(), **near)
        np.testing.assert_allclose(total.batch(rows)(y), values[rows].sum(), **near)
        slope_of_three = total.batch(rows).gradient(y)
        np.testing.assert_allclose(slope_of_three, slopes[rows].sum(axis=0), **near)
    batch = next(minibatches(mean, 2, np.random.default_rng(1)))
    assert isinstance(batch, FiniteSum)
    assert batch.N == 2


def test_accuracy_counts_the_first_of_several() -> None:
    f = Network((1, 3), [[1.0], [2.0], [3.0]], [0, 1, 0])
    assert f.accuracy(np.zeros(6)) == pytest.approx(2 / 3)
    y = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    assert f.accuracy(np.array([np.zeros(6), y])).tolist() == [2 / 3, 1 / 3]


def test_inputs_are_copies_and_stay_as_they_are() -> None:
    images, labels = np.ones((2, 3)), np.array([0, 1])
    f = Network((3, 2), images, labels)
    y = np.zeros(f.d)
    before = f(y + 1), f.gradient(y + 1)
    images[:], labels[:] = 7.0, 0
    assert np.array_equal(f(y + 1), before[0])
    assert np.array_equal(f.gradient(y + 1), before[1])
    assert not f.features.flags.writeable
    assert not f.labels.flags.writeable
    assert not y.any()


def test_features_stay_the_callers() -> None:
    features = np.ones((2, 4))
    f = DenseLoss(features, np.array([0, 1]), [(4, 2)])
    assert features.flags.writeable
    assert not f.features.flags.writeable


BAD: list[tuple[dict[str, Any], str]] = [
    ({"sizes": (3,)}, "sizes must name at least inputs and outputs"),
    ({"sizes": (3, 0)}, "a layer's size must be"),
    ({"sizes": (3, 2.5)}, "a layer's size must be"),
    ({"images": [[1.0, 2.0]] * 2}, "images must"),
    ({"images": [1.0, 2.0, 3.0]}, "images must be finite, of shape"),
    ({"images": [[1.0, np.nan, 2.0]] * 2}, "images must be finite, of shape"),
    ({"labels": [0]}, "labels must be 2 whole numbers"),
    ({"labels": [0.0, 1.0]}, "labels must be 2 whole numbers"),
    ({"labels": [0, 2]}, "labels must be from 0 to 1, got 0 to 2"),
    ({"labels": [-1, 1]}, "labels must be from 0 to 1, got -1 to 1"),
    ({"images": np.zeros((0, 3)), "labels": []}, "labels must be 0 whole numbers"),
    (
        {"images": np.zeros((0, 3)), "labels": np.zeros(0, dtype=int)},
        "labels must be 0 whole numbers, one for each image and at least one",
    ),
    ({"activation": "gelu"}, "activation must be one of relu, tanh, sigmoid"),
    ({"loss": "hinge"}, "loss must be one of cross-entropy, squared"),
    ({"reduction": "none"}, "reduction must be one of mean, sum"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD, ids=[s for _, s in BAD])
def test_bad_inputs_are_refused(change: dict[str, Any], sentence: str) -> None:
    good = {"sizes": (3, 2), "images": np.ones((2, 3)), "labels": [0, 1]}
    with pytest.raises(InvalidParameter, match=sentence):
        Network(**{**good, **change})


def test_bad_parameters_and_rows_are_refused() -> None:
    f = network(8, (3, 2), 2)
    for door in (f, f.gradient, f.logits, f.accuracy):
        with pytest.raises(InvalidParameter):
            door(np.zeros(f.d + 1))
    for rows in ([2], [-1], [], [0.5]):
        with pytest.raises(InvalidParameter):
            f.batch(rows)


# --- what a network sees

A, B, ZERO = [0.5, 0.0, 1.0, 0.25], [0.75, 0.0, 0.5, 0.25], [0.0, 0.0, 0.0, 0.0]
C = [0.25, 0.0, 0.125, 0.25]
SEEN = {
    "repeated": ([A, B, A], 2),
    "zero image": ([A, ZERO, B], 3),
    "one": ([A], 1),
    "dependent": ([A, B, np.subtract(np.multiply(2, A), B)], 2),
    "dead and constant pixels": ([A, B, C, A, C], 3),
    "more images than pixels": ([*np.eye(4)[[0, 1, 2, 3, 0, 1]].tolist(), ZERO], 5),
}


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("compiled", [True, False])
def test_reduced_is_the_same_function(
    name: str, activation: Any, compiled: bool
) -> None:
    images, rank = SEEN[name]
    labels = np.arange(len(images)) % 3
    f = Network((4, 3, 3), images, labels, activation=activation, compiled=compiled)
    r = f.reduced
    assert isinstance(f, Reducible)
    assert r.Q.shape == (5, rank)
    np.testing.assert_allclose(r.Q.T @ r.Q, np.eye(rank), atol=20 * U)
    y = parameters(9, f, 3)
    s = r.project(y)
    assert s.shape == (3, r.loss.d)
    assert r.loss.d == 3 * rank + 4 * 3
    near = {"rtol": 1e-13, "atol": 1e-13}
    np.testing.assert_allclose(r.loss(s), f(y), **near)
    np.testing.assert_allclose(r.embed(r.loss.gradient(s)), f.gradient(y), **near)
    np.testing.assert_allclose(r.project(r.embed(s)), s, **near)
    rest = r.with_seen(y, 0 * s)
    np.testing.assert_allclose(f(y + 9 * rest), f(y), **near)
    assert not rest[:, 15:].any()
    np.testing.assert_allclose(r.project(rest), 0 * s, atol=1e-14)
    np.testing.assert_allclose(r.embed(s) + rest, y, **near)
    np.testing.assert_allclose(r.with_seen(y, s + 1), y + r.embed(1 + 0 * s), **near)


def test_reduced_carries_labels_with_pivoted_images() -> None:
    """The longest image comes first in a pivoted factorisation, its label with it."""
    images = np.diag([1.0, 4.0, 2.0, 8.0])
    f = Network((4, 4), images, [3, 1, 0, 2])
    y = parameters(12, f)
    np.testing.assert_allclose(f.reduced.loss(f.reduced.project(y)), f(y), rtol=1e-13)
    swapped = Network((4, 4), images, [2, 0, 1, 3])
    assert abs(swapped(y) - f(y)) > 0.1


# --- the kernels, one by one

needs_numba = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT is set"
)


@numba.njit
def tanh_into(x: Any, result: Any) -> None:
    result[:] = kernels.tanh_kernel(x)


def tanh(x: Any) -> Any:
    """As other kernels call it: from Python it cannot be, once it is part of another.

    Numba's cache then leaves it without the type of the array that it returns.
    """
    result = np.empty(x.shape)
    tanh_into(x, result)
    return result


def ulps(x: Any) -> Any:
    """The error of `tanh_kernel` in units in the last place, against long doubles."""
    truth = np.tanh(x.astype(np.longdouble))
    error = np.abs(tanh(x).astype(np.longdouble) - truth)
    return (error / np.spacing(np.abs(truth.astype(np.float64)))).astype(float)


def test_tanh_to_three_units_in_the_last_place() -> None:
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long doubles have no more digits here")
    rng = np.random.default_rng(1)
    size = np.exp(rng.uniform(np.log(1e-310), np.log(25.0), size=(30, 500)))
    near = np.concatenate([rng.uniform(0, 22, size=(50, 500)), size])
    assert ulps(near * rng.choice([-1, 1], size=near.shape)).max() <= 3
    cells = np.log(2) / 4 * np.arange(1, 80)  # where the whole part changes
    beside = [np.nextafter(cells, side) for side in (0.0, np.inf)]
    assert ulps(np.array([cells, *beside])).max() <= 3


def test_tanh_at_its_edges() -> None:
    tiny = [0.0, 5e-324, 2.2250738585072014e-308, 1e-300, 1e-20, 1e-9]
    x = np.array([[*tiny, 19.9999, 20.0, 20.1, 1e10, 1.8e308, np.inf]])
    assert np.array_equal(tanh(x), np.tanh(x))
    assert np.array_equal(tanh(-x), -tanh(x))
    assert np.signbit(tanh(np.array([[-0.0, 0.0]])))[0].tolist() == [True, False]
    with np.errstate(invalid="ignore"):  # the plain face rounds NaN to an integer
        mixed = tanh(np.array([[np.nan, 0.5, -np.nan, -0.5]]))
    assert np.isnan(mixed).tolist() == [[True, False, True, False]]
    assert tanh(np.empty((0, 3))).shape == (0, 3)


#: Those of the module, all of which the two outermost ones call.
KERNELS = [name for name in vars(kernels) if name.endswith("_kernel")]


@needs_numba
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_both_faces_agree(reading: Any, sizes: Any, monkeypatch: Any) -> None:
    """Within twice the running error bound; the faces differ in contractions only."""
    f = network(13, sizes, 5, *reading)
    y = parameters(13, f)
    compiled = f(y), f.gradient(y)
    for name in KERNELS:
        monkeypatch.setattr(kernels, name, getattr(kernels, name).py_func)
    value, error = bounds(f, y)
    assert abs(f(y) - compiled[0]) <= 2 * value
    assert (abs(f.gradient(y) - compiled[1]) <= 2 * error).all()


# --- other processes

PROGRAM = """
import json
import numpy as np
from refimpl.network import ACTIVATIONS, COSTS, Network
rng = np.random.default_rng(7)
images, labels = rng.normal(size=(5, 4)), rng.integers(3, size=5)
found = []
for activation in ACTIVATIONS:
    for loss in COSTS:
        f = Network((4, 6, 3), images, labels, activation=activation, loss=loss)
        y = rng.normal(size=(2, f.d))
        found += [float.hex(v) for v in [*f(y), *f.gradient(y).ravel()]]
print(json.dumps(found))
"""


def elsewhere(**variables: str) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment | variables,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_the_same_bits_in_two_processes_and_without_the_compiler() -> None:
    first, second = elsewhere(), elsewhere()
    assert first == second
    uncompiled = [float.fromhex(v) for v in elsewhere(NUMBA_DISABLE_JIT="1")]
    compiled = [float.fromhex(v) for v in first]
    # weights of size 1 and 6 units: some hundred roundings of numbers below 10
    np.testing.assert_allclose(compiled, uncompiled, rtol=2000 * U, atol=2000 * U)
