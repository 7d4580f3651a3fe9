"""Users' input is checked here, once, at the public doors.

Everywhere the last axis of an array is the parameter axis, of length d; every
leading axis is a batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import InvalidParameter, NonFinite

Array = NDArray[np.float64]
Kind = TypeVar("Kind")


_SHAPES = ("a number", "a vector", "a matrix", "a stack of matrices")


def as_array(name: str, value: Any, ndim: int | Sequence[int] | None = None) -> Array:
    """A float64 copy of `value`, finite, with `ndim` axes (one number or several).

    Raises
    ------
    InvalidParameter
        If it is not an array of finite real numbers with that many axes.
    """
    array = as_reals(name, value, ndim)
    if not np.isfinite(array).all():
        raise InvalidParameter(f"{name} must be finite, got {array!r}")
    return array


def as_reals(name: str, value: Any, ndim: int | Sequence[int] | None = None) -> Array:
    """The same with infinite and NaN entries, of which the caller judges."""
    array = _reals(name, value, copy=True)
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if allowed is not None and array.ndim not in allowed:
        wanted = " or ".join(_SHAPES[n] for n in allowed)
        raise InvalidParameter(f"{name} must be {wanted}, got shape {array.shape}")
    return array


def _reals(name: str, value: Any, copy: bool) -> Array:
    """`value` as float64, infinite and NaN entries among them.

    Nothing is read as a number that is none: no text, no date, no None, no complex
    number whose imaginary part would be lost, no entry that is masked.
    """
    try:
        if np.ma.is_masked(value):
            raise TypeError
        found = np.asarray(value)
        alien = found.dtype.kind not in "biufO"
        if alien or (found.dtype.kind == "O" and any(map(_is_alien, found.flat))):
            raise TypeError
        with np.errstate(over="ignore"):  # of longer floats: infinite, then
            return found.astype(np.float64, copy=copy)
    except (TypeError, ValueError, OverflowError):  # the last of whole numbers
        raise InvalidParameter(f"{name} must be an array of real numbers") from None


def _is_alien(entry: Any) -> bool:
    """Whether NumPy takes for a number what is none."""
    return entry is None or isinstance(entry, (str, bytes, complex))


def as_parameters(name: str, value: Any) -> Array:
    """A vector that fixes the number of parameters, shape (d,) with d >= 1."""
    vector = as_array(name, value, 1)
    if not vector.size:
        raise InvalidParameter(f"{name} must have at least one entry")
    return vector


def frozen(array: Array) -> Array:
    """The same array, made read-only: a loss never changes once it is built."""
    array.flags.writeable = False
    return array


def as_points(name: str, value: Any, d: int) -> Array:
    """Points of R^d with any batch axes, shape (..., d), as float64 (no copy if so).

    Infinite and NaN coordinates pass: the loss's value there decides.
    """
    plain = type(value) is np.ndarray and value.dtype == np.float64
    points: Array = value if plain else _reals(name, value, copy=False)
    if points.ndim == 0 or points.shape[-1] != d:
        raise InvalidParameter(
            f"{name} must have last axis d = {d}, got shape {points.shape}"
        )
    return points


def as_point(name: str, value: Any, d: int) -> Array:
    """One finite point of R^d, shape (d,), as a float64 copy."""
    point = as_array(name, value, 1)
    if point.size != d:
        raise InvalidParameter(f"{name} must have shape ({d},), got {point.shape}")
    return point


def as_scalar(name: str, value: Any) -> float:
    """One finite real number."""
    array = as_array(name, value)
    if array.ndim != 0:
        raise InvalidParameter(f"{name} must be one number, got shape {array.shape}")
    return float(array)


def as_variance(name: str, value: Any) -> float:
    """A positive finite number: tau, a step size, a variance.

    Examples
    --------
    >>> as_variance("tau", -1)
    Traceback (most recent call last):
    refimpl.errors.InvalidParameter: tau must be positive, got -1.0
    """
    number = as_scalar(name, value)
    if not number > 0:
        raise InvalidParameter(f"{name} must be positive, got {number}")
    return number


def as_steps(name: str, value: Any) -> Array:
    """Step sizes at the steps 1, ..., J, all finite and positive, shape (J,)."""
    values = as_reals(name, value, 1)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        j = int(bad.argmax())
        raise InvalidParameter(
            f"{name} must hold finite steps, all of them positive, got {values[j]} "
            f"at step {j + 1}"
        )
    return values


def as_generator(name: str, value: Any) -> np.random.Generator:
    """A random generator; seeds and NumPy's legacy generators are refused."""
    if not isinstance(value, np.random.Generator):
        raise InvalidParameter(
            f"{name} must be a numpy.random.Generator, got {type(value).__name__}"
        )
    return value


def as_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number, at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidParameter(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise InvalidParameter(f"{name} must be at least {least}, got {value}")
    return int(value)


def as_list(name: str, value: Any) -> list[Any]:
    """The items of a sequence, which text and mappings are not; none is masked."""
    try:
        if isinstance(value, (str, bytes, Mapping)) or np.ma.is_masked(value):
            raise TypeError
        return list(np.asarray(value) if hasattr(value, "__array__") else value)
    except TypeError:
        raise InvalidParameter(
            f"{name} must be a sequence, got {type(value).__name__}"
        ) from None


def as_kind(name: str, value: Any, kind: type[Kind]) -> Kind:
    """An instance of a class of this package."""
    if not isinstance(value, kind):
        raise InvalidParameter(
            f"{name} must be a {kind.__name__}, got {type(value).__name__}"
        )
    return value


def as_choice(name: str, value: Any, known: Sequence[str]) -> Any:
    """One of some words.

    Examples
    --------
    >>> as_choice("chain", "no", ("literal", "new-states"))
    Traceback (most recent call last):
    refimpl.errors.InvalidParameter: chain must be "literal" or "new-states", got 'no'
    """
    if not isinstance(value, str) or value not in known:
        *first, last = (f'"{word}"' for word in known)
        raise InvalidParameter(
            f"{name} must be {', '.join(first)} or {last}, got {value!r}"
        )
    return value


def as_rows(indices: Any, N: int) -> NDArray[np.int64]:
    """Indices of some of N examples, at least one of them, shape (B,)."""
    try:
        rows = np.asarray(indices)
    except ValueError:  # of lists of several lengths
        rows = np.zeros(0)
    whole = rows.dtype.kind in "iu" and not np.ma.is_masked(indices)
    if rows.ndim != 1 or not rows.size or not whole:
        raise InvalidParameter(
            f"indices must be a non-empty list of whole numbers, got {indices!r}"
        )
    if rows.min() < 0 or rows.max() >= N:
        raise InvalidParameter(
            f"indices must be from 0 to N - 1 = {N - 1}, got {indices!r}"
        )
    return rows.astype(np.int64)


def as_symmetric(name: str, value: Any, d: int | None = None) -> Array:
    """Symmetric matrices, shape (..., d, d); asymmetry up to rounding is averaged."""
    matrix = as_array(name, value, (2, 3))
    if matrix.shape[-1] != matrix.shape[-2]:
        raise InvalidParameter(f"{name} must be square, got shape {matrix.shape}")
    if d is not None and matrix.shape[-1] != d:
        raise InvalidParameter(f"{name} must be {d} x {d}, got shape {matrix.shape}")
    transpose = np.swapaxes(matrix, -1, -2)
    largest = np.abs(matrix).max(initial=0.0)
    with np.errstate(over="ignore"):  # an infinite difference is refused
        if np.abs(matrix - transpose).max(initial=0.0) > 1e-14 * largest:
            raise InvalidParameter(f"{name} must be symmetric, got {matrix!r}")
        mean: Array = (matrix + transpose) / 2
    return np.where(np.isfinite(mean), mean, matrix / 2 + transpose / 2)


def cholesky(name: str, matrix: Array) -> Array:
    """Lower Cholesky factors of positive definite matrices, shape (..., d, d)."""
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(matrix)[..., 0].min()
        raise InvalidParameter(
            f"{name} must be positive definite, its least eigenvalue is {least:.6g}"
        ) from None


def as_covariance(name: str, value: Any, d: int) -> Array:
    """A covariance (d, d), from a matrix or from one variance for all coordinates."""
    given = as_array(name, value, (0, 2))
    if given.ndim == 0:
        return as_variance(name, given) * np.eye(d)
    covariance = as_symmetric(name, given, d)
    cholesky(name, covariance)
    return covariance


def require_finite(value: Any, what: str) -> Any:
    """`value`, unless some entry of it is infinite or NaN.

    Raises
    ------
    NonFinite
        Saying where.
    """
    finite = np.isfinite(value)
    if not np.all(finite):
        where = "" if np.ndim(value) == 0 else f" at index {np.argwhere(~finite)[0]}"
        raise NonFinite(f"{what} is not finite{where}: {value!r}")
    return value
