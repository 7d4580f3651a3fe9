"""A subject in the judge's own process: ``package.module:object``."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from functools import reduce
from typing import Any

from verification.errors import CannotStart, in_one_line

__all__ = ["DEFAULT", "load"]

DEFAULT = "verification.adapter:Refimpl"


def load(spec: str = DEFAULT) -> Any:
    """The subject that `spec` names.

    Parameters
    ----------
    spec : str
        ``package.module:object``, an instance or a class that is called without
        arguments.  Modules of the current directory are found first.

    Raises
    ------
    CannotStart
        If there is no such module or object, or it fails.
    """
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", spec):
        raise CannotStart(
            f"a subject is named package.module:object, got {spec!r} "
            "(a module's dotted name, not a path)"
        )
    module_name, _, path = spec.partition(":")
    module = _module(module_name)
    try:
        found = reduce(getattr, path.split("."), module)
    except AttributeError:
        raise CannotStart(f"the module {module_name} has no {path!r}") from None
    if inspect.isclass(found):
        try:
            return found()
        except (Exception, SystemExit) as exc:
            raise CannotStart(f"{spec}() raised {in_one_line(exc)}") from exc
    if inspect.isroutine(found) or inspect.ismodule(found):
        raise CannotStart(f"{spec} is neither an instance nor a class, got {found!r}")
    return found


def _module(name: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name and (name == exc.name or name.startswith(f"{exc.name}.")):
            raise CannotStart(
                f"there is no module {exc.name!r} in {here} or among the installed ones"
            ) from None
        raise CannotStart(f"importing {name} raised {in_one_line(exc)}") from exc
    except (Exception, SystemExit) as exc:
        raise CannotStart(f"importing {name} raised {in_one_line(exc)}") from exc
