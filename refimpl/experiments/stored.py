"""What every run on disk is told by: a setting that is text, and names its files."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, fields
from functools import singledispatch
from heapq import merge
from typing import Any, ClassVar, Self

from refimpl.errors import InvalidParameter
from refimpl.experiments.data import Data


class StoredSetting(ABC):
    """A frozen dataclass of numbers and words with a method, data and a seed."""

    early: ClassVar[tuple[int, ...]] = ()
    """Updates after which a run is evaluated beside every so often."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    method: Any
    data: Any
    evaluate_every: Any
    seed: Any

    @property
    @abstractmethod
    def total(self) -> int:
        """All updates of the run."""

    @abstractmethod
    def work(self, k: int) -> float:
        """How much the first k updates are, for the time that is left."""

    def is_due(self, k: int) -> bool:
        """Whether a run is evaluated after k updates: also at the end."""
        often = k % self.evaluate_every == 0
        return often or k in self.early or k == self.total

    def due(self, made: int) -> Iterator[int]:
        """All these k, in their order, of a run that made so many updates."""
        often = range(0, made + 1, self.evaluate_every)
        more = sorted({k for k in (*self.early, self.total) if k <= made})
        return merge(often, (k for k in more if k not in often))

    @property
    def slug(self) -> str:
        """A name for files: short, and different for every other setting."""
        digest = hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
        return f"{self.method}-{self.data}-seed-{self.seed}-{digest}"

    def to_record(self) -> dict[str, Any]:
        """Its fields, in their order."""
        return asdict(self)

    def to_json(self) -> str:
        """One line of JSON, without an end of line."""
        return json.dumps(self.to_record(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The setting that `to_json` wrote.

        Raises
        ------
        InvalidParameter
            If it is not one object with exactly the fields of a setting, or if these
            are no setting.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        return cls.of_record(values)

    @classmethod
    def of_record(cls, values: Any) -> Self:
        """The same of a mapping that was read from JSON.

        Raises
        ------
        InvalidParameter
            As `from_json`.
        """
        names = {one.name for one in fields(cls)}
        wrong = f"not a setting of this version: {str(values)[:60]!r}"
        if not isinstance(values, dict) or set(values) != names:
            raise InvalidParameter(wrong)
        try:
            return cls(**values)
        except InvalidParameter:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidParameter(wrong) from error

    @classmethod
    def changed(cls, usual: dict[str, Any], changes: dict[str, Any]) -> Self:
        """The usual setting but for some changes.

        Raises
        ------
        InvalidParameter
            If a change is of no field, or the changes make no setting.
        """
        unknown = sorted(set(changes) - {one.name for one in fields(cls)})
        if unknown:
            raise InvalidParameter(f"a setting has no field {unknown[0]!r}")
        return cls(**{**usual, **changes})


@singledispatch
def training_of(setting: StoredSetting, data: Data) -> Any:
    """What runs a setting: `refimpl.experiments.training.Training`, or its like.

    Every experiment registers its own.
    """
    raise NotImplementedError(type(setting).__name__)


def require_known(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise `InvalidParameter` unless the value is one of the known words."""
    if not isinstance(value, str) or value not in known:
        raise InvalidParameter(
            f"{name} must be one of {', '.join(known)}, got {value!r}"
        )
