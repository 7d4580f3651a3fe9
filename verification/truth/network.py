"""The mean cross-entropy of a dense network, unit by unit, over any carrier.

A hidden unit j of a layer is σ(Σ_i W_ij h_i + b_j), the last layer's units are the
logits z, and an example of label c costs −log softmax(z)_c.  `value` and `gradient`
follow one example at a time through single units, forwards and back.

The other route shares no formula with them: matrices in mpmath whose last row is the
bias, ½(s+|s|), tanh(s) and ½(1+tanh(s/2)) in place of a case distinction and of
exponentials, the cost as −log of a probability without any shift, and the gradient
from central differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from verification.truth import algebra as la
from verification.truth.algebra import Matrix, Vector
from verification.truth.carriers import MP, Carrier, Number

#: Digits of the differences and log10 of their step: an error of about 1e-40.
DIGITS, STEP = 60, -20


def count(sizes: Sequence[int]) -> int:
    """Return the number of parameters: (784, 10) has 7850, (784, 200, 10) 159010."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


# --- unit by unit ---------------------------------------------------------------------


def value(ctx: Carrier, loss: Any, y: Sequence[Any]) -> Number:
    """Return f(y)."""
    parameters, costs = la.vector(ctx, y), []
    for image, label in _examples(loss):
        entering, _ = _forward(ctx, loss, parameters, image)
        costs.append(_cost(ctx, entering[-1], label))
    return ctx.sum(costs) / len(costs)


def gradient(
    ctx: Carrier, loss: Any, y: Sequence[Any], relu_at_zero: int = 0
) -> Vector:
    """Return ∇f(y), by going back through the layers.

    Parameters
    ----------
    relu_at_zero : {0, 1}
        What counts as the derivative of a "relu" at 0.
    """
    parameters = la.vector(ctx, y)
    each = [
        _backward(ctx, loss, parameters, image, label, relu_at_zero)
        for image, label in _examples(loss)
    ]
    return [ctx.sum(column) / len(each) for column in la.transpose(each)]


def entering_hidden(ctx: Carrier, loss: Any, y: Sequence[Any]) -> Vector:
    """Return what enters the hidden units, of all layers and examples."""
    parameters = la.vector(ctx, y)
    inner = [_forward(ctx, loss, parameters, im)[0][:-1] for im, _ in _examples(loss)]
    return [s for layers in inner for sums in layers for s in sums]


def _examples(loss: Any) -> zip[tuple[list[float], int]]:
    return zip(loss.images.tolist(), loss.labels.tolist(), strict=True)


def _forward(
    ctx: Carrier, loss: Any, parameters: Vector, image: Sequence[float]
) -> tuple[list[Vector], list[Vector]]:
    """Return what enters the units of every layer, and what it came from."""
    at, below = 0, la.vector(ctx, image)
    entering: list[Vector] = []
    leaving: list[Vector] = []
    for inputs, outputs in pairwise(loss.sizes):
        if entering:
            below = [_active(ctx, loss.activation, s) for s in entering[-1]]
        bias, sums = at + inputs * outputs, []
        for j in range(outputs):
            weights = parameters[at + j : bias : outputs]
            products = [w * h for w, h in zip(weights, below, strict=True)]
            sums.append(ctx.sum([*products, parameters[bias + j]]))
        entering.append(sums)
        leaving.append(below)
        at = bias + outputs
    return entering, leaving


def _backward(
    ctx: Carrier,
    loss: Any,
    parameters: Vector,
    image: Sequence[float],
    label: int,
    relu_at_zero: int,
) -> Vector:
    """Return the gradient of one example's cost."""
    entering, leaving = _forward(ctx, loss, parameters, image)
    odds = _softmax(ctx, entering[-1])
    deltas = [p - ctx.number(int(k == label)) for k, p in enumerate(odds)]
    slopes: Vector = []
    at = len(parameters)
    for level in range(len(leaving))[::-1]:
        below, outputs = leaving[level], len(deltas)
        products = [delta * h for h in below for delta in deltas]
        slopes = [*products, *deltas, *slopes]
        at -= (len(below) + 1) * outputs
        if level:
            rows = [at + i * outputs for i in range(len(below))]
            W = [parameters[row : row + outputs] for row in rows]
            pairs = zip(entering[level - 1], below, strict=True)
            bends = [_bend(ctx, loss.activation, *pair, relu_at_zero) for pair in pairs]
            back = la.matvec(ctx, W, deltas)
            deltas = [p * q for p, q in zip(bends, back, strict=True)]
    return slopes


def _active(ctx: Carrier, activation: str, s: Number) -> Number:
    if activation == "relu":
        return s if s > 0 else ctx.number(0)
    if activation == "tanh":
        shrunk = ctx.exp(-(abs(s) * 2))
        height = (1 - shrunk) / (1 + shrunk)
        return height if s > 0 else -height
    if s > 0:
        return 1 / (1 + ctx.exp(-s))
    grown = ctx.exp(s)
    return grown / (1 + grown)


def _bend(
    ctx: Carrier, activation: str, s: Number, h: Number, relu_at_zero: int
) -> Number:
    """Return the derivative of a unit's output h by what enters it, s."""
    if activation == "relu":
        return ctx.number(relu_at_zero if s == 0 else int(s > 0))
    return 1 - h * h if activation == "tanh" else h * (1 - h)


def _cost(ctx: Carrier, logits: Vector, label: int) -> Number:
    top = ctx.maximum(logits)
    total = ctx.sum([ctx.exp(z - top) for z in logits])
    return ctx.sum([ctx.log(total), top, -logits[label]])


def _softmax(ctx: Carrier, logits: Vector) -> Vector:
    top = ctx.maximum(logits)
    powers = [ctx.exp(z - top) for z in logits]
    total = ctx.sum(powers)
    return [power / total for power in powers]


# --- by matrices, and by differences --------------------------------------------------


def value_by_matrices(ctx: MP, loss: Any, y: Sequence[Any]) -> Number:
    """Return f(y), all examples at once."""
    parameters, at = la.vector(ctx, y), 0
    rows = la.matrix(ctx, loss.images)
    shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(loss.sizes)]
    for left, (height, width) in zip(range(len(shapes))[::-1], shapes, strict=True):
        cut = [parameters[at + i * width : at + (i + 1) * width] for i in range(height)]
        rows = la.matmul(ctx, [[*row, ctx.number(1)] for row in rows], cut)
        if left:
            rows = [[_smooth(ctx, loss.activation, s) for s in row] for row in rows]
        at += height * width
    return -ctx.sum(_log_odds(ctx, rows, loss.labels.tolist())[::-1]) / len(rows)


def gradient_by_differences(loss: Any, y: Sequence[Any]) -> Vector:
    """Return ∇f(y), where it exists, from central differences of f by matrices."""
    ctx = MP(DIGITS)
    point, h = la.vector(ctx, y), ctx.mp.mpf(10) ** STEP
    slopes = []
    for i, centre in enumerate(point):
        right, left = (
            value_by_matrices(ctx, loss, [*point[:i], moved, *point[i + 1 :]])
            for moved in (centre + h, centre - h)
        )
        slopes.append((right - left) / (2 * h))
    return slopes


def _smooth(ctx: MP, activation: str, s: Number) -> Number:
    if activation == "relu":
        return (s + abs(s)) / 2
    tanh = ctx.mp.tanh
    return tanh(s) if activation == "tanh" else (1 + tanh(s / 2)) / 2


def _log_odds(ctx: MP, logits: Matrix, labels: Sequence[int]) -> Vector:
    """Return log(e^{z_c} / Σ_k e^{z_k}) of every example; nothing overflows here."""
    powers = [[ctx.exp(z) for z in row] for row in logits]
    own = [row[label] for row, label in zip(powers, labels, strict=True)]
    return [ctx.log(p / ctx.sum(row)) for p, row in zip(own, powers, strict=True)]
