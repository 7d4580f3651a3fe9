"""The dense network of `refimpl.network`, compiled: one parameter vector at a time.

The plain face of these kernels runs too, slowly; the readable form of the same
mathematics is in `refimpl.network`.  Products are left to BLAS, and at these sizes an
allocated result costs nothing, so that there are no workspaces.

Activations: 0 relu, 1 tanh, 2 sigmoid.  Losses: 0 cross-entropy, 1 squared.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl._jit import jit
from refimpl.arrays import Array

RELU, TANH, SIGMOID = 0, 1, 2
CROSS_ENTROPY, SQUARED = 0, 1

# log 2 in two parts, the first with 32 zeros at its end: k times it is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_PER_LN2 = 1.0 / (_LN2_HIGH + _LN2_LOW)
#: Adding and subtracting it rounds to a whole number.
_ROUNDER = 6755399441055744.0


@jit
def tanh_kernel(x: Array) -> Array:
    """tanh of every entry of x (n, m), to three units in the last place.

    Without a call, so that the loop vectorises: with e = expm1(-2|x|) it is
    -e / (2 + e), and e = 2^k expm1(r) + 2^k - 1, |r| <= log(2)/2, by Taylor's series.
    """
    result = np.empty(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            v = x[i, j]
            z = -2.0 * min(abs(v), 20.0)  # tanh 20 is 1
            k = (z * _PER_LN2 + _ROUNDER) - _ROUNDER
            r = (z - k * _LN2_HIGH) - k * _LN2_LOW
            p = 1.0 / 6227020800.0
            p = p * r + 1.0 / 479001600.0
            p = p * r + 1.0 / 39916800.0
            p = p * r + 1.0 / 3628800.0
            p = p * r + 1.0 / 362880.0
            p = p * r + 1.0 / 40320.0
            p = p * r + 1.0 / 5040.0
            p = p * r + 1.0 / 720.0
            p = p * r + 1.0 / 120.0
            p = p * r + 1.0 / 24.0
            p = p * r + 1.0 / 6.0
            p = p * r + 0.5
            p = r + r * r * p
            two_k = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
            e = two_k * p + (two_k - 1.0)
            t = -e / (2.0 + e)
            result[i, j] = np.copysign(t, v) if v == v else v  # NaN stays
    return result


@jit
def weights_kernel(y: Array, shapes: NDArray[np.int64], layer: int) -> Array:
    """The matrix of one layer, a view of the parameters y (d,)."""
    start = 0
    for i in range(layer):
        start += shapes[i, 0] * shapes[i, 1]
    rows, columns = shapes[layer, 0], shapes[layer, 1]
    return y[start : start + rows * columns].reshape((rows, columns))


@jit
def activated_kernel(P: Array, activation: int) -> Array:
    """[sigma(P), 1], the input of the next layer, from pre-activations P (n, m)."""
    n, m = P.shape
    A = np.empty((n, m + 1))
    if activation == RELU:
        for i in range(n):
            for j in range(m):
                A[i, j] = P[i, j] if not P[i, j] <= 0.0 else 0.0
    elif activation == TANH:
        A[:, :m] = tanh_kernel(P)
    else:
        A[:, :m] = 0.5 + 0.5 * tanh_kernel(0.5 * P)
    A[:, m] = 1.0
    return A


@jit
def pulled_back_kernel(D: Array, A: Array, activation: int) -> Array:
    """sigma' times D: from derivatives by [sigma(P), 1], (n, m + 1), to those by P.

    By the values A = [sigma(P), 1] of the layer, (n, m + 1).
    """
    n, m = A.shape[0], A.shape[1] - 1
    back = np.empty((n, m))
    if activation == RELU:
        for i in range(n):
            for j in range(m):
                back[i, j] = D[i, j] if not A[i, j] <= 0.0 else 0.0
    elif activation == TANH:
        for i in range(n):
            for j in range(m):
                back[i, j] = D[i, j] * (1.0 - A[i, j] * A[i, j])
    else:
        for i in range(n):
            for j in range(m):
                back[i, j] = D[i, j] * A[i, j] * (1.0 - A[i, j])
    return back


@jit
def forward_kernel(
    y: Array, X: Array, shapes: NDArray[np.int64], activation: int
) -> tuple[list[Array], Array]:
    """The inputs of all layers, and the logits (n, classes)."""
    inputs, last = [X], len(shapes) - 1
    for layer in range(last):
        P = np.dot(inputs[layer], weights_kernel(y, shapes, layer))
        inputs.append(activated_kernel(P, activation))
    return inputs, np.dot(inputs[last], weights_kernel(y, shapes, last))


@jit
def odds_kernel(row: Array) -> float:
    """Turn one row of logits into probabilities, in place; their log-sum-exp."""
    top = row[0]
    for v in row:
        if not v <= top:
            top = v
    mass = 0.0
    for c in range(row.size):
        row[c] = np.exp(row[c] - top)
        mass += row[c]
    for c in range(row.size):
        row[c] /= mass
    return top + np.log(mass)


@jit
def losses_kernel(
    Y: Array,
    X: Array,
    labels: NDArray[np.int64],
    shapes: NDArray[np.int64],
    activation: int,
    loss: int,
    scale: float,
    result: Array,
) -> None:
    """result[i] = scale times the sum over examples of the loss at Y[i], Y (m, d)."""
    for i in range(Y.shape[0]):
        _, logits = forward_kernel(Y[i], X, shapes, activation)
        total = 0.0
        for n in range(logits.shape[0]):
            right = logits[n, labels[n]]
            log_mass = odds_kernel(logits[n])
            if loss == CROSS_ENTROPY:
                total += log_mass - right
            else:
                logits[n, labels[n]] -= 1.0
                for v in logits[n]:
                    total += v * v
        result[i] = scale * total


@jit
def gradients_kernel(
    Y: Array,
    X: Array,
    labels: NDArray[np.int64],
    shapes: NDArray[np.int64],
    activation: int,
    loss: int,
    scale: float,
    result: Array,
) -> None:
    """result[i] = the gradient at Y[i] of what `losses_kernel` computes, (m, d)."""
    for i in range(Y.shape[0]):
        inputs, D = forward_kernel(Y[i], X, shapes, activation)
        for n in range(D.shape[0]):
            odds_kernel(D[n])
            if loss == CROSS_ENTROPY:
                D[n, labels[n]] -= 1.0
                D[n] *= scale
            else:
                pull = D[n].copy()
                pull[labels[n]] -= 1.0
                mean = 0.0
                for c in range(pull.size):
                    mean += D[n, c] * pull[c]
                for c in range(pull.size):
                    D[n, c] *= 2.0 * scale * (pull[c] - mean)
        for layer in range(len(shapes) - 1, -1, -1):
            np.dot(inputs[layer].T, D, weights_kernel(result[i], shapes, layer))
            if layer > 0:
                W = weights_kernel(Y[i], shapes, layer)
                D = pulled_back_kernel(np.dot(D, W.T), inputs[layer], activation)
