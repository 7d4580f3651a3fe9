"""A walk through the whole public API with bad arguments, and with unusual good ones.

The callables are found by introspection, so that a new one is walked the day it is
written; `_api` knows good arguments for each.  One try replaces one or two of them.
With bad arguments a callable either returns or says in one sentence, by an exception
of ours, which of them is not what the mathematics asks for.  With the same numbers in
an unusual array it returns the same.  In neither case does it change what it was given,
print a warning, write a file, or return NaN unless NaN was put in.

Counts that would be legal and enormous are left out: a walk cannot wait for them.
"""

from __future__ import annotations

import inspect
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from importlib import import_module
from itertools import chain, combinations, islice, zip_longest
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any

import _api
import numpy as np
import pytest

import refimpl
from refimpl.errors import InvalidParameter, RefimplError
from refimpl.interfaces import Loss
from refimpl.laws import GibbsLaw
from refimpl.multiscale.temperatures import Temperatures

SECONDS = 10.0  # of computing, for one try
IN_DEFAULT = 2000
IN_SLOW = 20000
OVERFLOWING = _api.OVERFLOWING.split()

# --- what there is to call ------------------------------------------------------------


@dataclass(frozen=True)
class Door:
    """A public callable; `owner` is the class of the instance that it is bound to."""

    name: str
    call: Any
    owner: str | None = None
    again: bool = False

    @property
    def made(self) -> Any:
        """It is called on a fresh instance."""
        if self.owner is None:
            return self.call
        return getattr(_api.OWNERS[self.owner](), self.name.rpartition(".")[2])


def public_modules() -> Iterator[str]:
    for module in walk_packages(refimpl.__path__, "refimpl."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield module.name


def public_callables(modules: Any = None) -> Iterator[Door]:
    """Functions, classes and methods; protocols, exceptions and kernels left out.

    A protocol has no code, and an exception takes any sentence.  Kernels are compiled
    loops: nothing may be checked there.
    """
    for name in public_modules() if modules is None else modules:
        module = import_module(name)
        for word, found in vars(module).items():
            ours = callable(found) and getattr(found, "__module__", None) == name
            if not ours or word.startswith("_") or word.endswith("_kernel"):
                continue
            path = f"{name}.{word}".removeprefix("refimpl.")
            if not inspect.isclass(found):
                yield Door(path, found)
            elif not getattr(found, "_is_protocol", False) and not issubclass(
                found, BaseException
            ):
                yield Door(path, found)
                yield from _methods(path, found)


def _methods(path: str, cls: type) -> Iterator[Door]:
    for word in dir(cls):
        if word.startswith("_") and word != "__call__":
            continue
        raw = inspect.getattr_static(cls, word)
        function = getattr(raw, "__func__", raw)
        if inspect.isfunction(function) and function.__module__.startswith("refimpl"):
            of_class = isinstance(raw, (classmethod, staticmethod))
            owner = None if of_class else path
            yield Door(f"{path}.{word}", getattr(cls, word), owner)


_APART = {name for names in _api.APART.values() for name in names.split()}
_PROGRAMS = {f"experiments.{name}" for name in _api.PROGRAMS.split()}


def is_apart(door: Door) -> bool:
    parts = door.name.split(".")
    begins = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
    method = parts[-2][:1].isupper() and parts[-1] in _api.APART_METHODS.split()
    return method or bool(begins & (_APART | _PROGRAMS))


def good_arguments(door: Door) -> dict[str, Any]:
    """A factory for each parameter.

    Raises
    ------
    LookupError
        If one is not known; it says where to add it.
    """
    if door.owner is not None and door.owner not in _api.OWNERS:
        raise LookupError(
            f"no instance is known of {door.owner}: add one to OWNERS in tests/_api.py,"
            f" or say in APART there why {door.name} is not asked"
        )
    found = {}
    for parameter in inspect.signature(door.call).parameters.values():
        name = parameter.name
        if name == "self" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        tables = [*_tables(door), _api.BY_NAME]
        table = next((one for one in tables if name in one), None)
        if table is None:
            raise LookupError(
                f"no good argument is known for {name} of {door.name}: add one to "
                "BY_NAME or BY_CALL in tests/_api.py, or say in APART there why it is "
                "not asked"
            )
        found[name] = table[name]
    return found


def _tables(door: Door) -> Iterator[dict[str, Any]]:
    """What is said of this callable, or of the same method of a class above."""
    if door.again:
        yield _api.AGAIN[door.name.partition(".")[0]]
    if door.name in _api.BY_CALL:
        yield _api.BY_CALL[door.name]
    function = getattr(door.call, "__func__", door.call)
    above = f"{function.__module__}.{function.__qualname__}".removeprefix("refimpl.")
    if above != door.name and above in _api.BY_CALL:
        yield _api.BY_CALL[above]


def doors() -> list[Door]:
    """All that are walked, some of them a second time."""
    found = [door for door in public_callables() if not is_apart(door)]
    return found + [
        replace(door, again=True)
        for door in found
        if set(good_arguments(door)) & {*_api.AGAIN.get(door.name.split(".")[0], {})}
    ]


# --- bad arguments, by what a good one is ---------------------------------------------


class Sub(np.ndarray):
    """A subclass that a caller may have."""


class Odd:
    """Nothing that anything here expects."""

    def __repr__(self) -> str:
        return "Odd()"


HUGE = 10**400  # a legal count, but not to be counted to
#: No number, no array of numbers and nothing of ours: these are refused everywhere.
NEVER: list[Any] = ["wide", "", "0.5", b"wide", 1j, Odd(), Odd, {}, {"a": 1}]
NEVER += [["a", "b"], [None, None], np.nan, -np.inf]
ODD: list[Any] = [None, set(), [], (), [[1.0], [1.0, 2.0]], lambda: 1.0, *NEVER[:-2]]
ODD += [np.array("wide"), np.array(["1", "2"]), np.datetime64("2020-01-01")]
ODD += [np.array([1 + 2j, 3j]), np.array([None, Odd()], dtype=object), np.array(1j)]
ODD += [range(0), slice(None), Ellipsis, NotImplemented, np.random, HUGE, True]
NUMBERS = [0.0, -0.0, -1.0, -1e300, 1e300, 1e-300, 5e-324, np.nan, np.inf, -np.inf]
NUMBERS += [np.longdouble("1e4000"), [0.5], [0.5, 0.5], np.zeros((1, 1)), 2**70]
NUMBERS += [np.finfo(float).max, -np.finfo(float).max, np.float32(1e-45)]
COUNTS = [0, 1, -1, -(10**12), -(2**70), 0.5, 2.0, np.nan, np.inf, "3", True, np.True_]
COUNTS += [np.array([2, 3]), np.array(2.0), [2], Fraction(5, 2), -np.inf, 1e300]
WORDS = ["", "no such", "Variance", b"variance", 0, 1, True, None, ["variance"], {}]
WORDS += [np.array(["a", "b"]), "x" * 40, "a\nb", ("variance",), 0.5, Odd(), 1j]
FLAGS = [None, 0, 1, np.True_]


def bad_values(good: Any) -> list[Any]:
    """What may stand in place of a good argument by mistake."""
    if isinstance(good, (bool, np.bool_)):
        return FLAGS
    if isinstance(good, str):
        return WORDS
    if isinstance(good, (int, np.integer)):
        return [*COUNTS, *(one for one in ODD if one is not HUGE)]
    if isinstance(good, float):
        return [*NUMBERS, *ODD]
    if isinstance(good, np.ndarray):
        return [*bad_arrays(good), *ODD, *NUMBERS]
    if isinstance(good, dict):
        return [*ODD, *_bad_mappings(good)]
    if isinstance(good, Temperatures):
        return [*ODD, type(good), good.levels, *_bad_temperatures()]
    if isinstance(good, GibbsLaw):
        return [*ODD, type(good), good.f, *_bad_laws(good)]
    if isinstance(good, np.random.Generator):
        return [*ODD, 0, np.random.SeedSequence(0), np.random.default_rng, 0.5]
    if isinstance(good, (list, tuple)):
        return [*bad_sequences(good), *ODD, 0, 0.5, np.nan]
    if callable(good) and not isinstance(good, Loss) and inspect.isfunction(good):
        return [*ODD, *_bad_functions()]
    return [*ODD, type(good), [good], 0, 0.5, np.nan, np.array([0.5, -1.0])]


def _bad_functions() -> list[Any]:
    results = [np.nan, np.inf, -np.inf, 1e300, -1e300, np.finfo(float).max]
    results += [None, "0.5", 1j, [], np.array([0.5]), np.array([0.5, 1.0]), Odd()]
    return [lambda *_, one=one: one for one in results]


def _bad_temperatures() -> list[Any]:
    """Too few, too many, and far from one another."""
    levels: list[Any] = [(1.0,), (1.0, 0.5, 0.25), (5e-324, 5e-324), (1e300, 1e300)]
    levels += [(1.0, 1e-300), (1e-300, 1.0), (1e300, 1e-300), (1e-300, 1e300)]
    levels += [(1e-9, 1.0), (0.4, 1.0)]
    return [Temperatures(one) for one in levels]


def _bad_laws(good: GibbsLaw) -> list[GibbsLaw]:
    """Far out, narrow and wide."""
    far = [replace(good, x=np.full_like(good.x, one)) for one in (1e300, -1e160)]
    return far + [replace(good, tau=one) for one in (1e300, 1e-300, 5e-324)]


def _bad_mappings(good: dict[str, Any]) -> list[Any]:
    """With other values, and one name more and one less."""
    first = next(iter(good))
    found = [{**good, name: one} for name in good for one in (None, "a", -1.0, [], {})]
    return [*found, {**good, "no such": 1}, {k: good[k] for k in good if k != first}]


def bad_arrays(good: np.ndarray) -> list[Any]:
    """Of other shapes, and of this shape with other entries."""
    found: list[Any] = [good[None], good[..., None], good[:0], good[..., :0]]
    found += [np.concatenate([good, good]), np.concatenate([good, good], axis=-1)]
    found += [good[:1], good[..., :1], good.ravel()[0], good.ravel(), np.zeros(0)]
    found += [np.zeros((0,) * good.ndim), np.zeros((2,) * 4), good.T]
    values = [
        np.nan,
        np.inf,
        -np.inf,
        1e300,
        -1e300,
        1e-300,
        5e-324,
        -1.0,
        0.0,
        2.0**62,
        np.finfo(float).max,
    ]
    for one in values:
        for which in ((0,), (-1,), slice(None)):
            changed = good.astype(np.float64)
            changed.reshape(-1)[which if isinstance(which, slice) else which[0]] = one
            found.append(changed)
    found += [
        -good,
        good * 2,
        good * 0,
        good > 0,
        good.astype(str),
        good.astype(object),
    ]
    found += [good.astype(complex), good.astype("M8[s]"), good.tolist()[:-1], good + 1]
    found += [np.ma.masked_equal(good, good.ravel()[0])]
    at_one_place = np.zeros_like(good)
    at_one_place.reshape(-1)[0] = good.sum()
    found.append(at_one_place)
    if good.dtype.kind == "i":
        for one in (-1, good.max() + 1, 2**31, 2**62, -(2**63)):
            found += [np.array([one, *good.ravel()[1:]]).reshape(good.shape)]
        found += [good.astype(np.uint64) + 2**63]
    if good.ndim > 1:
        skew = good.copy()
        skew.reshape(-1)[1] += 1
        found += [skew, [*good.tolist(), [1.0]], good - 10 * np.ones_like(good)]
    return found


def bad_sequences(good: Any) -> list[Any]:
    """One less, one more, and bad elements."""
    kind = type(good)
    found = [kind(good[:-1]), kind([*good, good[-1]]), kind(good[:0])]
    for one in bad_values(good[0]):
        found.append(kind([one, *good[1:]]))
        found.append(kind([*good[:-1], one]))
    return found


# --- unusual good arguments ----------------------------------------------------------


def unusual_values(good: Any, folder: Path) -> list[Any]:
    """The same numbers, held in another way."""
    if isinstance(good, (bool, np.bool_, str)):
        return []
    if isinstance(good, int):
        return [np.int64(good), np.int16(good), np.uint32(good)]
    if isinstance(good, float):
        ways = [np.float64(good), np.float32(good), np.float16(good), np.array(good)]
        return [*ways, Fraction(good), np.longdouble(good)] + (
            [int(good)] if good.is_integer() else []
        )
    if isinstance(good, np.ndarray) and good.dtype.kind in "fi":
        return unusual_arrays(good, folder)
    if isinstance(good, (list, tuple)) and good and not isinstance(good[0], str):
        other = tuple if isinstance(good, list) else list
        return [other(good)] + [
            type(good)([one, *good[1:]]) for one in unusual_values(good[0], folder)
        ]
    return []


def unusual_arrays(good: np.ndarray, folder: Path) -> list[Any]:
    read_only = good.copy()
    read_only.setflags(write=False)
    wide = np.repeat(good, 2, axis=-1)[..., ::2]
    backwards = np.ascontiguousarray(np.flip(good))
    bytes_ = np.zeros(good.nbytes + 1, np.uint8)
    unaligned = bytes_[1:].view(good.dtype).reshape(good.shape)
    unaligned[...] = good
    file = folder / f"{len(list(folder.iterdir()))}"
    good.tofile(file)
    found = [good.tolist(), list(good), read_only, wide, np.flip(backwards)]
    found += [np.asfortranarray(good), good.copy().view(Sub), np.ma.array(good)]
    found += [np.memmap(file, good.dtype, "r", shape=good.shape), unaligned]
    kinds = ["i4", "u1"] if good.dtype.kind == "i" else ["f4", "f2", ">f8", "g", "i4"]
    found += [same for kind in kinds if _equal(same := good.astype(kind), good)]
    if good.dtype.kind == "f":
        found.append(_Gives(good))
    return found


class _Gives:
    """Anything that can be made an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array.astype(dtype or self.array.dtype)


def _equal(a: Any, b: Any) -> bool:
    return bool((np.asarray(a, float) == b).all())


# --- one try --------------------------------------------------------------------------


@dataclass(frozen=True)
class Try:
    """A door, and which of its arguments are replaced by what."""

    door: Door
    replaced: tuple[tuple[str, Any], ...]
    good: bool = False

    def __str__(self) -> str:
        what = ", ".join(f"{name}={_short(one)}" for name, one in self.replaced)
        return f"{self.door.name}({what})"


def _short(one: Any) -> str:
    text = " ".join(repr(one).split())
    kind = f" [{one.dtype}]" if isinstance(one, np.ndarray) else ""
    return (text if len(text) < 90 else text[:90] + "...") + kind


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Interrupts what computes for longer, on systems that have such a clock."""

    def late(*_: Any) -> None:
        raise TimeoutError

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def called(door: Door, replaced: dict[str, Any]) -> Any:
    """What it returns, iterators begun; its arguments must be as they were."""
    given: dict[str, Any] = {}
    for name, make in good_arguments(door).items():
        maker = make.make if isinstance(make, _api.Fixed) else make
        given[name] = replaced[name] if name in replaced else maker()
    function, positional, named = door.made, [], {}
    before = {id(one): _frozen(one) for one in _arrays(list(given.values()))}
    for parameter in inspect.signature(door.call).parameters.values():
        if parameter.name not in given:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = given[parameter.name]
        else:
            positional.append(given[parameter.name])
    try:
        return _begun(function(*positional, **named))
    finally:
        for one in _arrays(list(given.values())):
            assert before[id(one)] == _frozen(one), "an argument was changed"


def _begun(result: Any) -> Any:
    """The first items of an iterator, so that something is computed."""
    if isinstance(result, Iterator):
        return list(islice(result, 3))
    return result


def _arrays(values: Any, depth: int = 3) -> Iterator[np.ndarray]:
    for one in values:
        if isinstance(one, np.ndarray):
            yield one
        elif isinstance(one, (list, tuple)) and depth:
            yield from _arrays(one, depth - 1)


def _frozen(one: np.ndarray) -> Any:
    flags = one.flags.writeable, one.flags.c_contiguous, one.strides, one.shape
    return one.tobytes() if one.dtype != object else repr(one), flags, one.dtype


def leaves(value: Any, depth: int = 6) -> Iterator[np.ndarray]:
    """The numbers that a result holds, in a fixed order."""
    if isinstance(value, (bool, int, float, np.number, np.bool_, np.ndarray)):
        found = np.asarray(value)
        if found.dtype.kind in "biuf":
            yield found
    elif isinstance(value, dict):
        yield from leaves(list(value.values()), depth)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from leaves(one, depth)
    elif is_dataclass(value) and depth:
        for one in fields(value):
            yield from leaves(getattr(value, one.name), depth - 1)
    elif type(value).__module__.startswith("refimpl") and depth:
        named = sorted(getattr(value, "__dict__", {}).items())
        yield from leaves([one for _, one in named], depth - 1)


def fault_of(one: Try, folder: Path, seconds: float = SECONDS) -> str | None:
    """What is wrong with the answer, if anything."""
    arithmetic = np.errstate(**_arithmetic(one.door))
    try:
        with warnings.catch_warnings(), arithmetic, within(seconds):
            warnings.simplefilter("error")
            result = called(one.door, dict(one.replaced))
            plain = called(one.door, {}) if one.good else None
    except RefimplError as error:
        return _fault_of_message(one, error)
    except TypeError as error:
        if re.search(r"(missing|unexpected|takes) .*argument", str(error)):
            return None
        return f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if any(folder.iterdir()):
        return "a file was written"
    if one.good:
        return _difference(result, plain)
    never = [name for name, bad in one.replaced if _is_never(name, bad)]
    if never and one.door.name not in _api.AS_THEY_ARE.split():
        return f"what is no number is taken for {never[0]}"
    nan = any(np.isnan(found).any() for found in leaves(result))
    if nan and not _is_of_a_loss(one.door) and one.door.name not in OVERFLOWING:
        return "NaN is returned"
    return None


def _is_never(name: str, bad: Any) -> bool:
    positive = name in _api.POSITIVE.split() and isinstance(bad, (int, float))
    never = np.ma.is_masked(bad) or any(bad is one for one in NEVER)
    return never or (positive and bad <= 0)


def _arithmetic(door: Door) -> dict[str, Any]:
    mode = "ignore" if _is_of_a_loss(door) else "warn"
    return {"over": mode, "divide": mode, "invalid": mode}


def _is_of_a_loss(door: Door) -> bool:
    """A loss computes as NumPy does: see `refimpl.interfaces.Loss`."""
    owner = door.owner is not None and getattr(door.made, "__self__", None)
    return isinstance(owner, Loss) or door.name in _api.AS_THEY_ARE.split()


def _fault_of_message(one: Try, error: RefimplError) -> str | None:
    text = str(error)
    said = f"{type(error).__name__}: {text!r}"
    if one.good:
        return f"a good argument is refused: {said}"
    if not text or "\n" in text or len(text) > 3000:
        return f"not one sentence: {said}"
    if type(error) is InvalidParameter and not _is_named(one, text):
        return f"no parameter is named: {said}"
    return None


def _is_named(one: Try, text: str) -> bool:
    """A parameter, or what the instance was made of; where two clash either will do."""
    names = [*good_arguments(one.door), *vars(getattr(one.door.made, "__self__", one))]
    words = [*names, *(w for n in names for w in _api.ALIASES.get(n, "").split())]
    return any(re.search(rf"\b{re.escape(word)}", text) for word in words)


def _difference(found: Any, wanted: Any) -> str | None:
    for a, b in zip_longest(leaves(found), leaves(wanted)):
        if a is None or b is None or a.shape != b.shape:
            return f"another shape: {a!r} in place of {b!r}"
        if not np.allclose(a, b, rtol=1e-13, atol=0, equal_nan=True):
            return f"another number: {a!r} in place of {b!r}"
    return None


# --- the tries ------------------------------------------------------------------------


def varied(door: Door) -> dict[str, Any]:
    """The parameters that a try may replace, with a good argument of each."""
    makes = good_arguments(door).items()
    return {name: make() for name, make in makes if not isinstance(make, _api.Fixed)}


def singles(door: Door, folder: Path) -> list[Try]:
    """All tries with one argument replaced."""
    found = []
    for name, good in varied(door).items():
        unusual = unusual_values(good, folder)
        found += [Try(door, ((name, one),), True) for one in unusual]
        found += [Try(door, ((name, one),)) for one in bad_values(good)]
    return found


def pairs(door: Door, rng: np.random.Generator, count: int) -> list[Try]:
    """Some tries with two bad arguments; none where there is but one."""
    values = {name: bad_values(good) for name, good in varied(door).items()}
    names = list(combinations(values, 2))
    found = []
    for _ in range(count if names else 0):
        two = names[rng.integers(len(names))]
        picked = ((n, values[n][rng.integers(len(values[n]))]) for n in two)
        found.append(Try(door, tuple(picked)))
    return found


def huge(door: Door) -> list[Try]:
    """What overflows on the way: each parameter made huge, or tiny, by itself."""
    found = []
    for name, good in varied(door).items():
        if isinstance(good, float):
            found += [Try(door, ((name, one),)) for one in (1e300, 1e-300)]
        elif isinstance(good, np.ndarray) and good.dtype.kind == "f":
            found.append(Try(door, ((name, np.full_like(good, 1e300)),)))
        elif isinstance(good, GibbsLaw):
            found += [Try(door, ((name, one),)) for one in _bad_laws(good)]
    return found


def chosen(folder: Path, count: int) -> list[Try]:
    """So many tries, the same in every run: by turns of each door another one.

    What is huge comes first.  Of the others of a door, every second one is of an
    unusual good argument as long as there are any, and every fifth replaces two.
    """
    rng = np.random.default_rng(0)
    rows = []
    for door in doors():
        one = singles(door, folder)
        order = [one[i] for i in rng.permutation(len(one))]
        good, bad = ([t for t in order if t.good is kind] for kind in (True, False))
        mixed = [t for t in chain(*zip_longest(good[:4], bad[:12])) if t is not None]
        rows.append([*huge(door), *mixed[:4], *pairs(door, rng, 1), *mixed[4:]])
    turns = chain.from_iterable(zip_longest(*rows))
    return list(islice((one for one in turns if one is not None), count))


def faults(tries: Iterable[Try], folder: Path) -> Iterator[str]:
    for one in tries:
        fault = fault_of(one, folder)
        if fault is not None:
            yield f"{one}: {fault}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in; whatever is written there is found."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A folder for arrays that are mapped from files."""
    place = tmp_path / "numbers"
    place.mkdir()
    return place


def test_every_public_callable_is_known_and_good_arguments_are_good() -> None:
    for door in doors():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = called(door, {})
        assert not any(np.isnan(found).any() for found in leaves(result)), door.name


def test_what_is_said_of_callables_is_said_of_some() -> None:
    """A name that nothing has any more would hide the next one."""
    names = {door.name for door in public_callables()}
    of_classes = {f"{d.owner}.{d.name.rpartition('.')[2]}" for d in public_callables()}
    modules = {name.removeprefix("refimpl.") for name in public_modules()}
    known = {*_APART, *_api.BY_CALL, *_api.OWNERS}
    assert known - names - of_classes == set()
    assert _PROGRAMS - modules == set()


def test_a_walk(here: Path, numbers: Path) -> None:
    tries = chosen(numbers, IN_DEFAULT)
    assert len(tries) == IN_DEFAULT
    assert sum(one.good for one in tries) > IN_DEFAULT // 5
    assert {one.door for one in tries} == {door for door in doors() if varied(door)}
    assert list(faults(tries, here)) == []


@pytest.mark.slow
def test_a_long_walk(here: Path, numbers: Path) -> None:
    """Every try with one argument replaced, and as many with two."""
    rng, count = np.random.default_rng(1), 0
    for door in doors():
        one = singles(door, numbers)
        tries = [*one, *pairs(door, rng, len(one))]
        count += len(tries)
        assert list(faults(tries, here)) == []
    assert count >= IN_SLOW


# --- the walk finds what it looks for -----------------------------------------------


def _nan(x: Any) -> Any:
    return np.asarray(x, float) * np.nan


def _warns(x: Any) -> Any:
    return np.exp(np.array(1e300)) + np.asarray(x).size


def _changes(x: Any) -> None:
    x[0] = 1.0


def _freezes(x: Any) -> None:
    x.flags.writeable = False


def _writes(x: Any) -> None:
    Path("found").write_text(str(x))


def _another(x: Any) -> Any:
    return np.abs(x) if isinstance(x, np.ndarray) else np.zeros(2)


def _refuses(x: Any) -> None:
    if not isinstance(x, np.ndarray):
        raise InvalidParameter("x must be an array")


def _crashes(x: Any) -> Any:
    return x.no_such_attribute


def _unnamed(x: Any) -> None:
    if x is None:
        raise InvalidParameter("this is wrong")


def _endless(x: Any) -> None:
    while x is None:
        pass


BROKEN: list[tuple[Callable[..., Any], Any, bool, str]] = [
    (_nan, np.ones(2), False, "NaN is returned"),
    (_warns, np.ones(2), False, "RuntimeWarning: overflow"),
    (_changes, np.zeros(2), False, "AssertionError: an argument was changed"),
    (_freezes, np.zeros(2), False, "AssertionError: an argument was changed"),
    (_writes, np.zeros(2), False, "a file was written"),
    (_another, [0.5, -1.0], True, "another number"),
    (_refuses, [0.5, -1.0], True, "a good argument is refused"),
    (_crashes, None, False, "AttributeError"),
    (_unnamed, None, False, "no parameter is named"),
    (_endless, None, False, "TimeoutError"),
]


@pytest.mark.parametrize(("call", "bad", "good", "fault"), BROKEN)
def test_what_is_broken_is_found(
    call: Any, bad: Any, good: bool, fault: str, here: Path
) -> None:
    door = Door(f"somewhere.{call.__name__}", call)
    found = fault_of(Try(door, (("x", bad),), good), here, seconds=0.05)
    assert found is not None
    assert found.startswith(fault)


def test_a_new_callable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("refimpl.new")

    def fresh(x: Any, no_such_name: Any) -> None:
        raise AssertionError

    fresh.__module__ = "refimpl.new"
    module.fresh = fresh  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "refimpl.new", module)
    (door,) = public_callables(["refimpl.new"])
    assert not is_apart(door)
    with pytest.raises(LookupError, match="no good argument is known for no_such_name"):
        good_arguments(door)
    with pytest.raises(LookupError, match="add one to OWNERS"):
        good_arguments(Door("new.Thing.method", fresh, "new.Thing"))
