"""What a mistake is, and how it is planted in a right subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

Fault = Callable[..., Any]


@dataclass(frozen=True)
class Mistake:
    """One slip that implementations are known to make.

    Attributes
    ----------
    id : str
    name : str
        Short, for tables.
    sentence : str
        What the implementation does instead of what it should.
    faults : mapping of str to callable
        For each method of the protocol that goes wrong, what it does:
        ``fault(right, *arguments)`` with the right subject at hand.
    """

    id: str
    name: str
    sentence: str
    faults: Mapping[str, Fault]


class planted:  # noqa: N801 - reads as a function: planted(mistake, subject)
    """A subject that is `right` in everything but one mistake."""

    def __init__(self, mistake: Mistake, right: Any) -> None:
        self._mistake, self._right = mistake, right
        self.name = f"{right.name} with {mistake.id}"
        self.dtype = right.dtype

    def __getattr__(self, method: str) -> Any:
        if method in self._mistake.faults and hasattr(self._right, method):
            return partial(self._mistake.faults[method], self._right)
        return getattr(self._right, method)
