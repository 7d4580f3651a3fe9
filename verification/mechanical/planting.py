"""Putting a mutant in the place of what it was made from, while everything runs.

The code object of each function made from the source is exchanged, wherever the
function is referred to and however it is decorated; so nothing is imported again and a
process that has everything ready can be forked for each mutant.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from verification.mechanical.mutator import Mutant

__all__ = ["Planter", "forget"]


class Planter:
    """The functions of some modules, and mutants in their place.

    Parameters
    ----------
    modules : mapping of str to str
        For each file the dotted name of its module, which is imported.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = {f: import_module(name) for f, name in modules.items()}
        self.filenames = {str(m.__file__): f for f, m in self._modules.items()}
        self._functions: dict[tuple[str, str], list[FunctionType]] = {}
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType):
                file = self.filenames.get(thing.__code__.co_filename)
                if file is not None:
                    key = file, thing.__code__.co_qualname
                    self._functions.setdefault(key, []).append(thing)

    def plant(self, mutant: Mutant) -> bool:
        """Exchange the code; False if nothing that runs was made from it."""
        unit = mutant.unit
        module = self._modules[unit.file]
        code = mutant.compiled(str(module.__file__))
        if unit.constant:
            return _rebind(module, unit.name, eval(code, module.__dict__))
        functions = self._functions.get((unit.file, unit.name), [])
        for function in functions:
            if mutant.default:
                _set_default(function, mutant.default, eval(code, module.__dict__))
            else:
                function.__code__ = code
        return bool(functions)


def _rebind(module: ModuleType, name: str, value: Any) -> bool:
    """Give a constant another value wherever it was imported to."""
    old = getattr(module, name)
    for other in list(sys.modules.values()):
        if getattr(other, "__dict__", {}).get(name) is old:
            setattr(other, name, value)
    return True


def _set_default(function: FunctionType, name: str, value: Any) -> None:
    by_name = function.__kwdefaults__
    if by_name is not None and name in by_name:
        by_name[name] = value
        return
    given = list(function.__defaults__ or ())
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    given[names.index(name) - len(names)] = value
    function.__defaults__ = tuple(given)


def forget(packages: Iterable[str]) -> None:
    """Drop what functions and objects of these packages remember of earlier calls.

    A mutant must be asked itself; what was remembered is the right answer.
    """
    mine = tuple(packages)
    for thing in gc.get_objects():
        kind = type(thing)
        if kind.__name__ == "_lru_cache_wrapper":
            if _of(str(thing.__module__), mine):
                thing.cache_clear()
        elif _of(str(kind.__module__), mine) and isinstance(thing, object):
            remembered = getattr(thing, "__dict__", None)
            if remembered and kind is not ModuleType:
                _drop_properties(kind, remembered)


def _drop_properties(kind: type, remembered: Any) -> None:
    for name in list(remembered):
        if isinstance(getattr(kind, name, None), cached_property):
            del remembered[name]


def _of(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)
