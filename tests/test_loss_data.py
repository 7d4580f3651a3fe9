"""The losses as data: values, gradients, JSON and refusals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from test_truth import LOSSES, every_loss

from verification import losses as data
from verification import problems as P
from verification.truth import closed_forms as cf
from verification.truth.carriers import MP


@every_loss
def test_json_round_trip(loss: Any) -> None:
    again = data.from_json(json.loads(json.dumps(loss.to_json())))
    y = np.random.default_rng(0).normal(size=(7, loss.d))
    np.testing.assert_array_equal(again(y), loss(y))
    assert again.to_json() == loss.to_json()


def test_hexadecimal_numbers() -> None:
    loss = data.from_json(
        {"kind": "quadratic", "H": "0x1.8p-2", "m": ["0x1p-1", 0.25], "c": "1.5"}
    )
    assert (loss.H, loss.m.tolist(), loss.c) == (0.375, [0.5, 0.25], 1.5)  # type: ignore[attr-defined]


@every_loss
def test_values_and_gradients_in_every_shape(loss: Any) -> None:
    y = np.random.default_rng(1).normal(size=(2, 3, loss.d))
    assert loss(y).shape == (2, 3)
    assert loss.gradient(y).shape == y.shape
    for point, value, slope in zip(
        y.reshape(-1, loss.d),
        loss(y).ravel(),
        loss.gradient(y).reshape(-1, loss.d),
        strict=True,
    ):
        truth = float(cf.value(MP(30), loss, point))
        np.testing.assert_allclose(value, truth, rtol=1e-13, atol=1e-13)
        exact = [float(g) for g in cf.gradient(MP(30), loss, point)]
        np.testing.assert_allclose(slope, exact, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(loss.gradient(point), slope, rtol=1e-13, atol=1e-14)


def test_mixture_far_in_the_tail() -> None:
    loss = data.GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [[[1e-4]], [[1e-4]]])
    assert np.isfinite(loss([1e3]))
    np.testing.assert_allclose(loss.gradient([1e3]), [(1e3 - 1) / 1e-4])


def test_fields_are_read_only() -> None:
    for loss in LOSSES:
        for value in vars(loss).values():
            if (
                isinstance(value, np.ndarray)
                and value is not getattr(loss, "_factors", None)
                and value is not getattr(loss, "_log_scale", None)
            ):
                assert not value.flags.writeable


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        ("gaussian_mixture", ([0.5, 0.25], [[0], [1]], [[[1]], [[1]]]), "sum to 1"),
        ("gaussian_mixture", ([1.5, -0.5], [[0], [1]], [[[1]], [[1]]]), "positive"),
        ("gaussian_wells", ([1], [[0, 0]], [[[1, 2], [2, 1]]]), "positive definite"),
        ("gaussian_wells", ([1], [[0, 0]], [[[1, 2], [0, 1]]]), "symmetric"),
        ("quadratic", ([[1, 2], [0, 1]], [0, 0]), "symmetric"),
        ("quadratic", ([1, 2, 3], [0, 0]), "H must be"),
        ("linear", ([np.inf],), "finite"),
        ("constant", (0.0, 0), "positive integer"),
        ("least_squares", ([[1.0]], [1, 2]), "row"),
        ("quartic", ([1], [1, 2], [1]), "one length"),
        ("network", ((3,), [[0.0]], [0]), "two or more positive integers"),
        ("network", ((2, 0, 2), [[0.0, 1.0]], [0]), "two or more positive integers"),
        ("network", ((1, 1.5), [[0.0]], [0]), "two or more positive integers"),
        ("network", ((2, 2), [[0.0]], [0]), "2 inputs each"),
        ("network", ((1, 2), [0.0], [0]), "2 axes"),
        ("network", ((1, 2), [[np.nan]], [0]), "finite"),
        ("network", ((1, 2), [[0.0]], [0, 1]), "label for every image"),
        ("network", ((1, 2), [[0.0]], [2]), "from 0 to 1"),
        ("network", ((1, 2), [[0.0]], [-1]), "from 0 to 1"),
        ("network", ((1, 2), [[0.0]], [0.5]), "from 0 to 1"),
        ("network", ((1, 2), [[0.0]], [0], "softplus"), "relu, tanh, sigmoid"),
    ],
)
def test_bad_data_is_refused(kind: str, fields: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        data.KINDS[kind](*fields)  # type: ignore[call-arg]


def test_unknown_kinds_and_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        data.from_json({"kind": "cubic"})
    with pytest.raises(ValueError, match="no field"):
        data.from_json({"kind": "linear", "g": [1], "gg": 1})
    with pytest.raises(ValueError, match="needs the fields"):
        data.from_json({"kind": "linear"})


def test_minibatch_of_least_squares() -> None:
    loss = LOSSES[-1]
    assert isinstance(loss, data.LeastSquares)
    parts = [loss.subset([i])([0.5, 0.25]) for i in range(3)]
    np.testing.assert_allclose(np.mean(parts), loss([0.5, 0.25]))


# --- networks -------------------------------------------------------------------------

NETWORKS = (
    P.SOFTMAX_8,
    *(P.RELU_14, P.TANH_14, P.SIGMOID_17, P.DEEP_18, P.ONE_EXAMPLE_14),
)
every_network = pytest.mark.parametrize(
    "loss", NETWORKS, ids=lambda f: f"{f.activation}-{f.d}"
)


@every_network
def test_values_and_gradients_of_networks(loss: Any) -> None:
    test_values_and_gradients_in_every_shape(loss)


@every_network
def test_networks_as_json(loss: Any) -> None:
    test_json_round_trip(loss)
    text = json.loads(json.dumps(loss.to_json()))
    assert text["labels"] == loss.labels.tolist()
    assert all(isinstance(label, int) for label in text["labels"])
    again = data.from_json(
        {**text, "images": [[v.hex() for v in row] for row in text["images"]]}
    )
    assert again.to_json() == loss.to_json()


@every_network
def test_the_arrays_of_networks_are_read_only(loss: Any) -> None:
    for array in (loss.images, loss.labels):
        assert not array.flags.writeable
    assert loss.labels.dtype == np.int64
    images = np.array(loss.images)
    copied = data.Network(loss.sizes, images, loss.labels)
    images[...] = 7.0
    assert (copied.images == loss.images).all()


def test_minibatches_of_a_network() -> None:
    loss, y = P.TANH_14, np.array(P.weights("minibatches", 14))
    parts = [loss.subset([i]) for i in range(4)]
    np.testing.assert_allclose(np.mean([part(y) for part in parts]), loss(y))
    slopes = np.mean([part.gradient(y) for part in parts], axis=0)
    np.testing.assert_allclose(slopes, loss.gradient(y), atol=1e-15)
    twice = loss.subset([2, 2, 0])
    assert twice.activation == "tanh"
    assert twice.labels.tolist() == loss.labels[[2, 2, 0]].tolist()


def test_logits_far_apart_and_a_relu_at_zero() -> None:
    loss = data.Network((1, 2, 3), [[1.0]], [2])
    y = np.zeros(13)
    y[-3:] = (0.0, 900.0, -900.0)
    assert loss(y) == 1800
    assert loss.gradient(y)[-3:].tolist() == [0.0, 1.0, -1.0]
    y[4:10] = 1.0  # both units are at 0, and their derivative there counts as 0
    assert not loss.gradient(y)[:4].any()
