"""What goes to a subject and what comes back: copies, and answers in form."""

from __future__ import annotations

import contextlib
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.errors import NotFinite, SubjectFault, in_one_line
from verification.losses import LossData, from_json

__all__ = ["PARTS", "RESULT_KINDS", "SHAPES", "Handed", "answer"]

#: Parameters handed over as float64 arrays, as floats, as integers.
ARRAYS = frozenset(
    {"x", "y", "x0", "start", "draws", "step_sizes", "images"}
    | {"mean0", "cov0", "mean1", "cov1"}
    | {"energies", "reference", "law", "temperatures", "taus", "mean", "covariance"}
    | {"scales", "uniforms"}
)
FLOATS = frozenset({"tau", "tau0", "tau1"})
COUNTS = frozenset(
    {"k", "updates", "count", "total", "size", "n"}
    | {"samples", "inner_samples", "workers", "steps"}
)

#: The form of each method's answer.
RESULT_KINDS = {
    "local_entropy": "scalar",
    "local_entropy_gradient": "vector",
    "posterior_mean": "vector",
    "posterior_covariance": "matrix",
    "heat": "scalar",
    "heat_gradient": "vector",
    "heat_proximal_point": "vector",
    "kl_gaussian": "scalar",
    "minimise_local_entropy": "trajectory",
    "minimise_heat": "trajectory",
    "majoriser": "scalar",
    "heat_majoriser": "scalar",
    "scoping": "scalar",
    "step_schedule": "schedule",
    "network_loss_and_gradient": "scalar and vector",
    "minibatch_indices": "indices",
    "sgld_mean": "replicates",
    "importance_mean": "replicates",
    "robbins_monro": "replicates",
    "sgld_trace": "chain",
    "robbins_monro_trace": "path",
    "importance_weights": "weights",
    "train": "run",
    "multiscale_energies": "energies",
    "multiscale_law": "table",
    "multiscale_objective": "scalar",
    "chained_local_entropy": "scalar",
    "chained_local_entropy_gradient": "vector",
    "multiscale_gaussian": "scalar, vector and matrix",
    "multilevel_metropolis": "records",
    "multilevel_metropolis_gaussian": "positions",
}

#: Kinds whose answer has several parts: what they are, and the form of each.
PARTS = {
    "scalar and vector": {"value": "scalar", "gradient": "vector"},
    "scalar, vector and matrix": {
        "value": "scalar",
        "mean": "vector",
        "covariance": "matrix",
    },
}
INTEGERS = ("indices", "records")

#: Methods whose true answer may be +inf.
UNBOUNDED = ("multiscale_objective",)

Shape = tuple[int | tuple[int, ...] | None, ...]  # one of several lengths; None: any


def _dimension(values: Mapping[str, Any]) -> int:
    for name in ("x", "x0", "parameters", "mean"):
        if name in values:
            return int(np.size(values[name]))
    raise LookupError("no argument tells the dimension")


def _path_lengths(values: Mapping[str, Any]) -> tuple[int, ...]:
    """States of Algorithm 5: J + 1, or J where J - 1 moves are declared."""
    moves = len(values["step_sizes"])
    return moves + 1, moves


def _run_shape(values: Mapping[str, Any]) -> Shape:
    given = [values[name] for name in ("batches", "draws") if values[name] is not None]
    return (len(given[0]) + 1 if given else None, _dimension(values))


#: The shape of an answer, from the arguments.
SHAPES: dict[str, Callable[[Mapping[str, Any]], Shape]] = {
    "scalar": lambda _: (),
    "vector": lambda a: (_dimension(a),),
    "matrix": lambda a: (_dimension(a), _dimension(a)),
    "trajectory": lambda a: (a["updates"] + 1, _dimension(a)),
    "schedule": lambda a: (a["count"],),
    "indices": lambda a: (a["batches"], a["size"]),
    "replicates": lambda a: (a["n"], _dimension(a)),
    "chain": lambda a: (a["n"], len(a["step_sizes"]), _dimension(a)),
    "path": lambda a: (a["n"], _path_lengths(a), _dimension(a)),
    "weights": lambda a: (a["n"], a["samples"]),
    "run": _run_shape,
    "table": lambda a: a["energies"].shape,
    "masked table": lambda a: a["mass"].shape,
    "records": lambda a: (a["n"], a["steps"], a["energies"].ndim),
    "positions": lambda a: (a["n"], a["steps"], sum(a["sizes"])),
}


_signature = cache(inspect.signature)


class Handed:
    """The arguments of one call: the subject's own copies, and what they were.

    Parameters
    ----------
    method : function
        The method of `Subject`, which names the parameters.
    args, kwargs : tuple, dict
        What the check passes.  Only these are handed over, so that a subject need
        not know the keywords a check does not use.
    dtype : {"float64", "float32"}
        The precision that holds every number handed over, also where it is carried by
        an array of doubles.

    Attributes
    ----------
    args, kwargs : tuple, dict
        What the subject gets.
    values : dict
        Every argument by name, defaults included, out of the subject's reach.
    """

    def __init__(
        self,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        dtype: str = "float64",
    ) -> None:
        bound = _signature(method).bind(None, *args, **kwargs)
        for name, value in bound.arguments.items():
            plain = _plain(name, value)
            bound.arguments[name] = _single(plain) if dtype == "float32" else plain
        complete = inspect.BoundArguments(bound.signature, dict(bound.arguments))
        complete.apply_defaults()
        self.values = dict(complete.arguments)
        self._pairs: list[tuple[str, NDArray[Any], NDArray[Any]]] = []
        for name, value in bound.arguments.items():
            if name != "loss":
                bound.arguments[name] = self._copy(name, value)
        self._loss = self.values.get("loss")
        self._fields = {
            name: (array, array.copy(), array.flags.writeable)
            for name, array in _fields(self._loss)
        }
        self.args, self.kwargs = bound.args[1:], bound.kwargs

    def _copy(self, path: str, value: Any) -> Any:
        """A copy of `value` whose arrays are fresh, writable and remembered."""
        if isinstance(value, np.ndarray):
            fresh = value.copy(order="C")
            self._pairs.append((path, value, fresh))
            return fresh
        if isinstance(value, list | tuple):
            copies = [self._copy(f"{path}[{i}]", v) for i, v in enumerate(value)]
            return copies if isinstance(value, list) else tuple(copies)
        if isinstance(value, dict):
            return {k: self._copy(f"{path}[{k!r}]", v) for k, v in value.items()}
        return value

    def changed(self) -> list[str]:
        """Names of the changed arguments; a changed loss is put right again.

        The loss is shared by many calls: without the repair one bad method would
        be blamed for what later ones answer.
        """
        names = [path for path, old, new in self._pairs if not _identical(old, new)]
        for name, (array, saved, writeable) in self._fields.items():
            if getattr(self._loss, name, None) is array and _identical(saved, array):
                array.setflags(write=writeable)
                continue
            names.append(f"loss.{name}")
            _restore(self._loss, name, array, saved)
            array.setflags(write=writeable)
        return names


def _plain(name: str, value: Any) -> Any:
    """A check's argument in the form the protocol promises."""
    if value is None:
        return None
    if name in FLOATS:
        return float(value)
    if name in COUNTS:
        return operator.index(value)
    if name == "draws" and isinstance(value, list | tuple):  # one array per update
        return [np.array(array, dtype=np.float64) for array in value]
    whole = isinstance(value, np.ndarray) and value.dtype.kind in "iu"
    if name in ARRAYS and not (name == "start" and whole):  # indices of a table
        return np.array(value, dtype=np.float64)
    if isinstance(value, np.ndarray):
        integer = value.dtype.kind in "iu"
        return np.array(value, dtype=np.int64 if integer else np.float64)
    return value


def _single(value: Any) -> Any:
    """The value in numbers that single precision holds."""
    if isinstance(value, float):
        return float(np.float32(value))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(np.float32).astype(np.float64)
    if isinstance(value, list | tuple):
        return type(value)(_single(part) for part in value)
    if isinstance(value, dict):
        return {key: _single(part) for key, part in value.items()}
    return _single_loss(value) if isinstance(value, LossData) else value


@lru_cache(maxsize=1024)
def _single_loss(loss: LossData) -> LossData:
    """The loss itself where single precision holds it, as it does that of a check."""
    data = loss.to_json()
    # the weights of a mixture must have the sum 1 in double precision
    single = {k: v if k == "weights" else _single(v) for k, v in data.items()}
    return loss if single == data else from_json(single)


def _fields(loss: object) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays a loss holds, by name."""
    names = {field.name for field in fields(loss)} if is_dataclass(loss) else set()
    for name in sorted(names | set(getattr(loss, "__dict__", {}))):
        value = getattr(loss, name, None)
        if isinstance(value, np.ndarray):
            yield name, value


def _identical(old: NDArray[Any], new: NDArray[Any]) -> bool:
    return (
        old.shape == new.shape
        and old.dtype == new.dtype
        and old.tobytes() == new.tobytes()
    )


def _restore(loss: object, name: str, array: NDArray[Any], saved: NDArray[Any]) -> None:
    """Put the field back, in the same memory where that is possible."""
    if array.shape == saved.shape:
        with contextlib.suppress(ValueError):  # a view of frozen memory
            array.setflags(write=True)
            array[...] = saved
    object.__setattr__(loss, name, array if _identical(saved, array) else saved)


def answer(name: str, result: Any, values: Mapping[str, Any]) -> Any:
    """A method's answer in form: a float, an array, or a pair of both.

    Parameters
    ----------
    name : str
        The method.
    result : object
        What the subject returned.
    values : mapping
        The arguments, which fix the shape.

    Raises
    ------
    SubjectFault
        If the answer is not real numbers of the expected shape.
    """
    kind = RESULT_KINDS[name]
    if kind == "energies":
        return _energies(name, result, values)
    if kind not in PARTS:
        return _in_form(name, kind, result, values)
    parts = PARTS[kind]
    try:
        answers = dict(zip(parts, result, strict=True))
    except (TypeError, ValueError):
        few = "a pair" if len(parts) == 2 else f"{len(parts)} parts"
        raise SubjectFault(
            f"{name} returned {_said(result)}, expected {few} ({', '.join(parts)})"
        ) from None
    return tuple(
        _in_form(f"{name} ({part})", form, answers[part], values)
        for part, form in parts.items()
    )


def _energies(name: str, result: Any, values: Mapping[str, Any]) -> list[Any]:
    """The tables V_0, ..., V_{d-1}, 0 where the reference has no mass.

    They may be +inf where all mass is at infinite energies.
    """
    Q = values["reference"]
    open_ = np.where(np.isinf(values["energies"]), 0.0, Q)
    try:
        tables = list(result)
    except TypeError:
        tables = []
    if len(tables) != Q.ndim:
        raise SubjectFault(f"{name} returned {_said(result)}, expected {Q.ndim} tables")
    found = []
    for k, table in enumerate(tables):
        mass, left = (of.sum(axis=tuple(range(k, Q.ndim))) for of in (Q, open_))
        where = {"mass": np.asarray(mass), "infinite": np.asarray(left == 0)}
        found.append(_in_form(f"{name} (V_{k})", "masked table", table, where))
    return found


def _as_doubles(name: str, array: Any) -> Any:
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise NotFinite(f"{name} returned a number beyond double precision") from None


def _in_form(name: str, kind: str, result: Any, values: Mapping[str, Any]) -> Any:
    try:
        array = np.asarray(result)
    except Exception as exc:
        raise SubjectFault(
            f"{name} returned {_said(result)}, which is no array: {in_one_line(exc)}"
        ) from exc
    if array.dtype.kind == "O" and all(isinstance(v, Real) for v in array.flat):
        array = _as_doubles(name, array)  # Fractions, mpmath numbers, long integers
    if array.dtype.kind == "c":
        raise SubjectFault(f"{name} returned complex numbers, expected real ones")
    allowed = "iu" if kind in INTEGERS else "iuf"
    if array.dtype.kind not in allowed:
        wanted = "integers" if kind in INTEGERS else "real numbers"
        raise SubjectFault(f"{name} returned {_said(result)}, expected {wanted}")
    shape = SHAPES[kind](values)
    if kind == "scalar":
        if array.size != 1:
            raise SubjectFault(f"{name} returned shape {array.shape}, expected a float")
        return _finite(name, float(array.item()), name in UNBOUNDED)
    if not _fits(array.shape, shape):
        wanted = str(shape).replace("None", "K + 1")
        raise SubjectFault(f"{name} returned shape {array.shape}, expected {wanted}")
    if kind == "records":
        _require_within(name, array, values["energies"].shape)
    if kind in INTEGERS:
        return np.array(array, dtype=np.int64)
    if kind == "masked table":  # nothing is defined where there is no mass
        array = np.where(values["mass"] > 0, array, 0.0)
    array = np.array(array, dtype=np.float64)
    return _finite(name, array, values.get("infinite", False))


def _require_within(name: str, states: Any, shape: tuple[int, ...]) -> None:
    if ((states < 0) | (states >= np.array(shape))).any():
        raise SubjectFault(f"{name} returned a state that a table {shape} has not")


def _finite(name: str, value: Any, infinite: Any = False) -> Any:
    """The answer, unless it is infinite or NaN: no true answer is, but +inf may be."""
    if (np.isfinite(value) | (np.equal(value, np.inf) & infinite)).all():
        return value
    raise NotFinite(f"{name} returned {_said(value)}, which is not finite")


def _fits(obtained: tuple[int, ...], expected: Shape) -> bool:
    return len(obtained) == len(expected) and all(
        want is None or got in (want if isinstance(want, tuple) else (want,))
        for got, want in zip(obtained, expected, strict=True)
    )


def _said(result: object) -> str:
    text = " ".join(repr(result).split())
    return f"{type(result).__name__} {text if len(text) <= 60 else text[:59] + '…'}"
