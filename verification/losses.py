"""The losses of the verification suite, as plain data.

Every loss is a frozen record of numbers with a name (`kind`), so that a subject in
any language can rebuild it: ``to_json`` writes it, ``from_json`` reads it.  The two
functions ``loss(y)`` and ``loss.gradient(y)`` serve subjects that need no more than
function values; the last axis of `y` is the parameter axis, all others are batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Array = npt.NDArray[np.float64]
Field = Any  # array_like on the way in, a read-only float64 array afterwards


class LossData:
    """Base of all losses: a `kind`, a dimension `d` and plain numbers.

    Attributes
    ----------
    kind : str
        The name under which the loss travels.
    d : int
        Number of parameters.
    """

    kind: ClassVar[str]
    d: int

    def __call__(self, y: npt.ArrayLike) -> Any:
        """Return f(y): shape (..., d) -> (...)."""
        raise NotImplementedError

    def gradient(self, y: npt.ArrayLike) -> Array:
        """Return the gradient of f at y: shape (..., d) -> (..., d)."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return the loss as a dictionary of nested lists of floats."""
        data: dict[str, Any] = {"kind": self.kind}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            data[field.name] = (
                value.tolist() if isinstance(value, np.ndarray) else value
            )
        return data

    def _set(self, **values: Any) -> None:
        """Fill fields of the frozen record while it is being made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _points(self, y: npt.ArrayLike) -> Array:
        points = np.asarray(y, dtype=np.float64)
        if points.ndim == 0 or points.shape[-1] != self.d:
            raise ValueError(
                f"the last axis of y must have length {self.d}, got {points.shape}"
            )
        return points


@dataclass(frozen=True, eq=False)
class Constant(LossData):
    """f(y) = c in d dimensions."""

    c: float
    d: int
    kind: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        if int(self.d) != self.d or self.d < 1:
            raise ValueError(f"d must be a positive integer, got {self.d!r}")
        self._set(c=_scalar(self.c, "c"), d=int(self.d))

    def __call__(self, y: npt.ArrayLike) -> Any:
        return np.full(self._points(y).shape[:-1], self.c)[()]

    def gradient(self, y: npt.ArrayLike) -> Array:
        return np.zeros(self._points(y).shape)


@dataclass(frozen=True, eq=False)
class Linear(LossData):
    """f(y) = gᵀy + c, with g of shape (d,)."""

    g: Field
    c: float = 0.0
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        g = _array(self.g, "g", 1)
        self._set(g=g, c=_scalar(self.c, "c"), d=g.size)

    def __call__(self, y: npt.ArrayLike) -> Any:
        return self._points(y) @ self.g + self.c

    def gradient(self, y: npt.ArrayLike) -> Array:
        return np.broadcast_to(self.g, self._points(y).shape).copy()


@dataclass(frozen=True, eq=False)
class Quadratic(LossData):
    """f(y) = ½ (y−m)ᵀH(y−m) + c.

    H is a scalar, the diagonal (d,) or a symmetric matrix (d, d), possibly
    indefinite; m has shape (d,).
    """

    H: Any
    m: Field
    c: float = 0.0
    kind: ClassVar[str] = "quadratic"

    def __post_init__(self) -> None:
        m = _array(self.m, "m", 1)
        self._set(H=_curvature(self.H, m.size), m=m, c=_scalar(self.c, "c"), d=m.size)

    def __call__(self, y: npt.ArrayLike) -> Any:
        r = self._points(y) - self.m
        return 0.5 * np.sum(r * _times(self.H, r), axis=-1) + self.c

    def gradient(self, y: npt.ArrayLike) -> Array:
        return _times(self.H, self._points(y) - self.m)


@dataclass(frozen=True, eq=False)
class Quartic(LossData):
    """f(y) = Σ c4 y⁴/4 + c3 y³/3 + c2 y²/2 + coupling · Σ y_i y_{i+1}.

    c4, c3 and c2 have shape (d,).
    """

    c4: Field
    c3: Field
    c2: Field
    coupling: float = 0.0
    kind: ClassVar[str] = "quartic"

    def __post_init__(self) -> None:
        c4, c3, c2 = (_array(getattr(self, n), n, 1) for n in ("c4", "c3", "c2"))
        if not c4.size == c3.size == c2.size:
            raise ValueError(
                "c4, c3 and c2 must have one length, "
                f"got {c4.size}, {c3.size} and {c2.size}"
            )
        self._set(
            c4=c4, c3=c3, c2=c2, coupling=_scalar(self.coupling, "coupling"), d=c4.size
        )

    def __call__(self, y: npt.ArrayLike) -> Any:
        y = self._points(y)
        each = y * y * (self.c2 / 2 + y * (self.c3 / 3 + y * (self.c4 / 4)))
        pairs = np.sum(y[..., :-1] * y[..., 1:], axis=-1)
        return np.sum(each, axis=-1) + self.coupling * pairs

    def gradient(self, y: npt.ArrayLike) -> Array:
        y = self._points(y)
        gradient = y * (self.c2 + y * (self.c3 + y * self.c4))
        gradient[..., :-1] += self.coupling * y[..., 1:]
        gradient[..., 1:] += self.coupling * y[..., :-1]
        return gradient


@dataclass(frozen=True, eq=False)
class Trigonometric(LossData):
    """f(y) = Σ_k a_k cos(ω_kᵀy + b_k) + ½ (y−m)ᵀH(y−m) + c.

    amplitude and phase have shape (K,), frequency (K, d); H and m as in `Quadratic`.
    """

    amplitude: Field
    frequency: Field
    phase: Field
    H: Any
    m: Field
    c: float = 0.0
    kind: ClassVar[str] = "trigonometric"

    def __post_init__(self) -> None:
        amplitude = _array(self.amplitude, "amplitude", 1)
        frequency = _array(self.frequency, "frequency", 2)
        phase = _array(self.phase, "phase", 1)
        m = _array(self.m, "m", 1)
        if not (
            amplitude.shape == phase.shape and frequency.shape == (phase.size, m.size)
        ):
            raise ValueError(
                "amplitude (K,), frequency (K, d), phase (K,) and m (d,) do not fit: "
                f"{amplitude.shape}, {frequency.shape}, {phase.shape}, {m.shape}"
            )
        self._set(amplitude=amplitude, frequency=frequency, phase=phase, d=m.size)
        self._set(H=_curvature(self.H, m.size), m=m, c=_scalar(self.c, "c"))

    def __call__(self, y: npt.ArrayLike) -> Any:
        y = self._points(y)
        r = y - self.m
        waves = np.cos(y @ self.frequency.T + self.phase) @ self.amplitude
        return waves + 0.5 * np.sum(r * _times(self.H, r), axis=-1) + self.c

    def gradient(self, y: npt.ArrayLike) -> Array:
        y = self._points(y)
        slopes = -np.sin(y @ self.frequency.T + self.phase) * self.amplitude
        gradient: Array = slopes @ self.frequency + _times(self.H, y - self.m)
        return gradient


@dataclass(frozen=True, eq=False)
class GaussianMixture(LossData):
    """f(y) = −log Σ_k w_k N(y; m_k, S_k).

    weights (K,) positive with sum 1, means (K, d), covariances (K, d, d).
    """

    weights: Field
    means: Field
    covariances: Field
    kind: ClassVar[str] = "gaussian_mixture"

    def __post_init__(self) -> None:
        weights = _array(self.weights, "weights", 1)
        if not np.all(weights > 0):
            raise ValueError(f"weights must be positive, got {weights.tolist()}")
        if abs(weights.sum() - 1) > 1e-12:
            raise ValueError(f"weights must sum to 1, they sum to {weights.sum()!r}")
        means, covariances, factors = _gaussians(self, weights.size)
        half_log_det = np.sum(np.log(np.diagonal(factors, axis1=1, axis2=2)), axis=1)
        log_scale = np.log(weights) - half_log_det - means.shape[1] * _HALF_LOG_2PI
        self._set(weights=weights, means=means, covariances=covariances)
        self._set(d=means.shape[1], _factors=factors, _log_scale=log_scale)

    def __call__(self, y: npt.ArrayLike) -> Any:
        logs = self._log_components(self._points(y))
        shift = logs.max(axis=-1)
        return -shift - np.log(np.sum(np.exp(logs - shift[..., None]), axis=-1))

    def gradient(self, y: npt.ArrayLike) -> Array:
        y = self._points(y)
        logs = self._log_components(y)
        odds = np.exp(logs - logs.max(axis=-1, keepdims=True))
        odds /= odds.sum(axis=-1, keepdims=True)
        return np.sum(odds[..., None] * _scores(self, y), axis=-2)

    def _log_components(self, y: Array) -> Array:
        """Return log w_k N(y; m_k, S_k): (..., d) -> (..., K)."""
        log_scale: Array = self._log_scale  # type: ignore[attr-defined]
        return log_scale - 0.5 * _distances(self, y)


@dataclass(frozen=True, eq=False)
class GaussianWells(LossData):
    """f(y) = c − Σ_k a_k exp(−½ (y−m_k)ᵀS_k⁻¹(y−m_k)).

    depths (K,), means (K, d), covariances (K, d, d).
    """

    depths: Field
    means: Field
    covariances: Field
    c: float = 0.0
    kind: ClassVar[str] = "gaussian_wells"

    def __post_init__(self) -> None:
        depths = _array(self.depths, "depths", 1)
        means, covariances, factors = _gaussians(self, depths.size)
        self._set(depths=depths, means=means, covariances=covariances)
        self._set(c=_scalar(self.c, "c"), d=means.shape[1], _factors=factors)

    def __call__(self, y: npt.ArrayLike) -> Any:
        wells = np.exp(-0.5 * _distances(self, self._points(y)))
        return self.c - wells @ self.depths

    def gradient(self, y: npt.ArrayLike) -> Array:
        y = self._points(y)
        wells = self.depths * np.exp(-0.5 * _distances(self, y))
        return np.sum(wells[..., None] * _scores(self, y), axis=-2)


@dataclass(frozen=True, eq=False)
class LeastSquares(LossData):
    """f(y) = (1/N) Σ_i ½ (A_iᵀy − b_i)², the finite sum (1) with exact answers.

    A has shape (N, d) and b (N,); `subset` gives the loss of a minibatch.
    """

    A: Field
    b: Field
    kind: ClassVar[str] = "least_squares"

    def __post_init__(self) -> None:
        A, b = _array(self.A, "A", 2), _array(self.b, "b", 1)
        if A.shape[0] != b.size:
            raise ValueError(
                f"A must have a row for every entry of b, got {A.shape} and {b.shape}"
            )
        self._set(A=A, b=b, d=A.shape[1])

    def __call__(self, y: npt.ArrayLike) -> Any:
        residuals = self._points(y) @ self.A.T - self.b
        return 0.5 * np.mean(residuals * residuals, axis=-1)

    def gradient(self, y: npt.ArrayLike) -> Array:
        residuals = self._points(y) @ self.A.T - self.b
        gradient: Array = residuals @ self.A / self.b.size
        return gradient

    def as_sum(self) -> LeastSquares:
        """Return the data whose sum over examples is this loss, their mean."""
        root = np.sqrt(len(self.b))
        return LeastSquares(self.A / root, self.b / root)

    def subset(self, rows: npt.ArrayLike) -> LeastSquares:
        """Return the mean loss over the given rows, integers of shape (B,)."""
        chosen = np.asarray(rows, dtype=np.intp)
        return LeastSquares(self.A[chosen], self.b[chosen])


@dataclass(frozen=True, eq=False)
class Network(LossData):
    """f(y) = (1/N) Σ_i −log softmax(h(image_i; y))_{label_i}, a network's mean loss.

    sizes are the units of the layers, from inputs to classes, like (784, 200, 10);
    images (N, inputs), labels (N,) integers from 0, activation that of the hidden
    layers.  y is flat, layer by layer: W (inputs × outputs, row-major), then b.  Where
    a "relu" is at 0 its derivative counts as 0.  `subset` gives a minibatch's loss.
    """

    sizes: Any
    images: Field
    labels: Any
    activation: str = "relu"
    kind: ClassVar[str] = "network"

    def __post_init__(self) -> None:
        sizes, images = _sizes(self.sizes), _array(self.images, "images", 2)
        if images.shape[1] != sizes[0]:
            raise ValueError(
                f"images must have {sizes[0]} inputs each, got {images.shape}"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, "
                f"got {self.activation!r}"
            )
        labels = _labels(self.labels, len(images), sizes[-1])
        d = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
        self._set(sizes=sizes, images=images, labels=labels, d=d)

    def __call__(self, y: npt.ArrayLike) -> Any:
        logits = self._outputs(self._layers(y))[-1]
        return np.mean(-self._own(_log_softmax(logits)), axis=-1)

    def gradient(self, y: npt.ArrayLike) -> Array:
        layers = self._layers(y)
        *inputs, logits = self._outputs(layers)
        delta = np.exp(_log_softmax(logits))
        delta[..., np.arange(len(self.labels)), self.labels] -= 1
        delta /= len(self.labels)
        parts: list[Array] = []
        for (W, _), below in zip(layers[::-1], inputs[::-1], strict=True):
            parts.insert(0, delta.sum(axis=-2))
            slopes = np.swapaxes(below, -1, -2) @ delta
            parts.insert(0, slopes.reshape(*slopes.shape[:-2], -1))
            if below is not inputs[0]:
                bend = ACTIVATIONS[self.activation][1](below)
                delta = bend * (delta @ np.swapaxes(W, -1, -2))
        return np.concatenate(parts, axis=-1)

    def subset(self, rows: npt.ArrayLike) -> Network:
        """Return the mean loss over the given rows, integers of shape (B,)."""
        chosen = np.asarray(rows, dtype=np.intp)
        images, labels = self.images[chosen], self.labels[chosen]
        return Network(self.sizes, images, labels, self.activation)

    def _layers(self, y: npt.ArrayLike) -> list[tuple[Array, Array]]:
        """Return W (..., inputs, outputs) and b (..., 1, outputs) of every layer."""
        points, at, layers = self._points(y), 0, []
        for inputs, outputs in pairwise(self.sizes):
            cut = at + inputs * outputs
            W = points[..., at:cut].reshape(*points.shape[:-1], inputs, outputs)
            at = cut + outputs
            layers.append((W, points[..., None, cut:at]))
        return layers

    def _outputs(self, layers: list[tuple[Array, Array]]) -> list[Array]:
        """Return the images, every hidden layer's units and the logits, (..., N, n)."""
        units: list[Array] = [self.images]
        for W, b in layers[:-1]:
            units.append(ACTIVATIONS[self.activation][0](units[-1] @ W + b))
        W, b = layers[-1]
        return [*units, units[-1] @ W + b]

    def _own(self, values: Array) -> Array:
        """Return the entry of each example's label: (..., N, classes) -> (..., N)."""
        own: Array = values[..., np.arange(len(self.labels)), self.labels]
        return own


def _rectified(s: Array) -> Array:
    return np.maximum(s, 0.0)


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


#: Of hidden units: their output, and its derivative as a function of that output.
ACTIVATIONS: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "relu": (_rectified, lambda h: (h > 0).astype(np.float64)),
    "tanh": (np.tanh, lambda h: 1 - h * h),
    "sigmoid": (expit, lambda h: h * (1 - h)),
}


KINDS: dict[str, type[LossData]] = {
    loss.kind: loss
    for loss in (
        Constant,
        Linear,
        Quadratic,
        Quartic,
        Trigonometric,
        GaussianMixture,
        GaussianWells,
        LeastSquares,
        Network,
    )
}


def from_json(data: Mapping[str, Any]) -> LossData:
    """Return the loss that `data` describes.

    Numbers may be floats or strings such as "0x1.8p-2", which JSON carries exactly.

    Raises
    ------
    ValueError
        If the kind is unknown, or the fields are not those of the kind.
    """
    kind = data.get("kind")
    if kind not in KINDS:
        raise ValueError(f"unknown kind of loss {kind!r}; known: {', '.join(KINDS)}")
    record = KINDS[kind]
    allowed = [field.name for field in fields(record)]  # type: ignore[arg-type]
    unknown = sorted(set(data) - {"kind", *allowed})
    if unknown:
        raise ValueError(f"{kind} has no field {', '.join(unknown)}")
    values = {name: _numbers(data[name]) for name in allowed if name in data}
    try:
        return record(**values)
    except TypeError as error:
        raise ValueError(f"{kind} needs the fields {', '.join(allowed)}") from error


_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


def _numbers(value: Any) -> Any:
    """Return `value` with every string replaced by the float it spells."""
    if isinstance(value, str) and value not in ACTIVATIONS:
        return float.fromhex(value) if "0x" in value.lower() else float(value)
    if isinstance(value, (list, tuple)):
        return [_numbers(item) for item in value]
    return value


def _scalar(value: Any, name: str) -> float:
    return float(_array(value, name, 0))


def _array(value: Any, name: str, ndim: int) -> Array:
    """Return `value` as a read-only array of finite floats with `ndim` axes."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers") from error
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    array.flags.writeable = False
    return array


def _sizes(value: Any) -> tuple[int, ...]:
    sizes = np.asarray(value)
    if sizes.ndim != 1 or sizes.size < 2 or np.any(sizes < 1) or np.any(sizes % 1):
        raise ValueError(
            "sizes must be two or more positive integers, from inputs to classes, "
            f"got {value!r}"
        )
    return tuple(int(n) for n in sizes)


def _labels(value: Any, count: int, classes: int) -> npt.NDArray[np.int64]:
    """Return the labels of `count` images, read-only integers below `classes`."""
    labels = _array(value, "labels", 1)
    if labels.size != count:
        raise ValueError(
            f"there must be a label for every image, got {labels.size} and {count}"
        )
    if np.any(labels % 1) or np.any(labels < 0) or np.any(labels >= classes):
        raise ValueError(f"labels must be integers from 0 to {classes - 1}")
    whole = labels.astype(np.int64)
    whole.flags.writeable = False
    return whole


def _curvature(H: Any, d: int) -> Any:
    """Return H as a float, a diagonal (d,) or a symmetric matrix (d, d)."""
    ndim = np.ndim(H)
    if ndim == 0:
        return _scalar(H, "H")
    H = _array(H, "H", ndim)
    if H.shape not in ((d,), (d, d)):
        raise ValueError(f"H must be a scalar, ({d},) or ({d}, {d}), got {H.shape}")
    if ndim == 2 and not np.array_equal(H, H.T):
        raise ValueError("H must be symmetric")
    return H


def _times(H: Any, r: Array) -> Array:
    """Return H r for a scalar, diagonal or full H: (..., d) -> (..., d)."""
    product: Array = r @ H if np.ndim(H) == 2 else H * r
    return product


def _gaussians(loss: Any, count: int) -> tuple[Array, Array, Array]:
    """Return means (K, d), covariances (K, d, d) and their Cholesky factors."""
    means = _array(loss.means, "means", 2)
    covariances = _array(loss.covariances, "covariances", 3)
    d = means.shape[1]
    if means.shape[0] != count or covariances.shape != (count, d, d):
        raise ValueError(
            f"means must be ({count}, d) and covariances ({count}, d, d), "
            f"got {means.shape} and {covariances.shape}"
        )
    if not np.array_equal(covariances, np.swapaxes(covariances, 1, 2)):
        raise ValueError("covariances must be symmetric")
    try:
        factors: Array = np.linalg.cholesky(covariances).astype(np.float64)
    except np.linalg.LinAlgError as error:
        raise ValueError("covariances must be positive definite") from error
    return means, covariances, factors


def _distances(loss: Any, y: Array) -> Array:
    """Return (y−m_k)ᵀS_k⁻¹(y−m_k): (..., d) -> (..., K)."""
    r = (y[..., None, :] - loss.means)[..., None]
    whitened: Array = np.linalg.solve(loss._factors, r)[..., 0]
    return np.sum(whitened * whitened, axis=-1)


def _scores(loss: Any, y: Array) -> Array:
    """Return S_k⁻¹(y−m_k): (..., d) -> (..., K, d)."""
    r = (y[..., None, :] - loss.means)[..., None]
    scores: Array = np.linalg.solve(loss.covariances, r)[..., 0]
    return scores


if sys.modules.get("hypothesis"):  # it came first; else it asks for the losses itself
    import_module("verification.from_type").register()
