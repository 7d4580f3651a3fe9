"""The published multilevel experiment, beside what else the same cost buys.

Published: all 60,000 images of MNIST, T = 40,000 outer steps of T' = 10 inner ones, at
the temperatures lambda = (3e-6, 1e-6).  Scaled down: the first 5,000 images and 10,000
outer steps, everything else the same.  The published code draws curves of loss alone
and compares with nothing; accuracy and the other methods are added here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from pathlib import Path
from typing import Any

from refimpl.arrays import Array
from refimpl.experiments.checkpoints import (
    COMPLETE,
    History,
    Place,
    history_of,
    seconds_per_update,
)
from refimpl.experiments.multilevel import (
    METHODS,
    Method,
    MultilevelSetting,
    Seen,
    published,
)
from refimpl.experiments.reproduction import markdown

LABELS: dict[Method, str] = {
    "multilevel": "multilevel Metropolis",
    "one-temperature": "the same at one temperature",
    "metropolis": "single-scale Metropolis",
    "sgd": "SGD",
}
"""The methods, in the order in which they are shown."""

SCALED_DOWN: dict[str, Any] = {"images": 5000, "rounds": 10000, "evaluate_every": 50}
"""What is less than published."""

DIGITS: dict[str, Any] = {
    "data": "digits",
    "images": 1437,
    "rounds": 2000,
    "evaluate_every": 20,
}
"""The same on scikit-learn's digits, which need no download."""


def settings(
    *,
    whole: bool = False,
    data: str = "mnist",
    seeds: int = 1,
    rounds: int | None = None,
) -> list[MultilevelSetting]:
    """What is run: each method with each seed.

    Parameters
    ----------
    whole : bool
        Whether all is as published.
    data : {"mnist", "digits"}
        The digits are always scaled down.
    seeds : int
        0, ..., seeds - 1.
    rounds : int, optional
        Other than the default number of outer steps.
    """
    changes = DIGITS if data == "digits" else {} if whole else SCALED_DOWN
    changes = changes | ({} if rounds is None else {"rounds": rounds})
    return [
        published(method, seed=seed, **changes)
        for method in METHODS
        for seed in range(seeds)
    ]


@dataclass(frozen=True)
class Found:
    """A finished run.

    Attributes
    ----------
    setting : MultilevelSetting
    history : History
        Its evaluations are `refimpl.experiments.multilevel.Seen`.
    seconds : float or None
        Per round, the median; None if nobody knows.
    """

    setting: MultilevelSetting
    history: History
    seconds: float | None

    def column(self, name: str) -> Array:
        """One number of all evaluations."""
        return self.history.column(name)

    @property
    def last(self) -> Any:
        """The last evaluation."""
        return self.history.evaluations[-1]


def gathered(chosen: Sequence[MultilevelSetting], folder: Path) -> list[Found]:
    """What the finished records of a folder say."""
    found = []
    for one in chosen:
        place = Place(folder, one)
        seconds = seconds_per_update(place.record)
        found.append(Found(one, history_of(place, Seen), seconds))
    return found


def document(found: Sequence[Found]) -> str:
    """What was found, as Markdown: where the runs end, and how they moved."""
    s = found[0].setting
    parts = [
        "# multilevel: the published experiment",
        f"{s.data}, {s.images} training images, {s.rounds} rounds of "
        f"{s.round_price:.4g} multiply-adds, evaluated every {s.evaluate_every}.",
        markdown([_HEAD, *map(_row, found)]),
    ]
    moving = [one for one in found if one.last.tried]
    parts.append(markdown([_MOVES_HEAD, *map(_moves, moving)]))
    ends = {one.history.ended for one in found if one.history.ended != COMPLETE}
    parts += [f"Ended early: {sentence}." for sentence in sorted(ends)]
    warnings = {text for one in found for text in one.history.data_warnings}
    parts += [f"Warning: {text}." for text in sorted(warnings)]
    return "\n\n".join(parts) + "\n"


_HEAD = [
    "",
    "seed",
    "updates",
    "multiply-adds",
    "training loss",
    "accuracy",
    "test loss",
    "accuracy",
]


def _row(one: Found) -> list[str]:
    end = one.last
    return [
        LABELS[one.setting.method],
        str(one.setting.seed),
        str(end.updates),
        f"{end.multiply_adds:.3g}",
        f"{end.train_loss:.4f}",
        f"{end.train_accuracy:.4f}",
        f"{end.test_loss:.4f}",
        f"{end.test_accuracy:.4f}",
    ]


_MOVES_HEAD = [
    "",
    "seed",
    "rounds",
    "accepted, level 1",
    "accepted, level 2",
    "left to chance, level 1",
    "uphill of accepted, level 1",
    "largest share in A",
]


def _moves(one: Found) -> list[str]:
    end = one.last
    rates = [a / b for a, b in zip(end.accepted, end.tried, strict=True)]
    both = len(rates) == 1
    return [
        LABELS[one.setting.method],
        str(one.setting.seed),
        str(end.k),
        f"{rates[0]:.3f}",
        "(with level 1)" if both else f"{rates[1]:.3f}",
        f"{end.undecided / end.tried[0]:.4f}",
        f"{end.uphill / max(end.accepted[0], 1):.4f}",
        "" if both else f"{end.largest_shares / end.tried[0]:.3f}",
    ]


def timings(found: Sequence[Found]) -> list[str]:
    """A sentence for each run whose duration is known."""
    return [
        f"{LABELS[one.setting.method]}, seed {one.setting.seed}: {one.seconds:.3g} s a "
        f"round, {one.seconds / max(one.setting.updates(1), 1):.3g} s an update"
        for one in found
        if one.seconds is not None
    ]


def predicted(seconds: Sequence[float], rounds: int, jobs: int) -> float:
    """How many seconds runs of so many rounds take, each begun when a process is free.

    Parameters
    ----------
    seconds : sequence of float
        Per round, one for each run, in the order in which they begin.
    rounds, jobs : int

    Examples
    --------
    >>> predicted([3.6, 1.8, 1.8], 1000, 2), predicted([1.8, 1.8, 3.6], 1000, 2)
    (3600.0, 5400.0)
    """
    ends = [0.0] * jobs
    for one in seconds:
        heapreplace(ends, ends[0] + one * rounds)
    return max(ends)


def duration(seconds: float) -> str:
    """In words, with two digits.

    Examples
    --------
    >>> duration(42), duration(600), duration(3600 * 6.25)
    ('42 seconds', '10 minutes', '6.2 hours')
    """
    if seconds < 90:
        return f"{seconds:.2g} seconds"
    minutes = seconds / 60
    return f"{minutes:.2g} minutes" if minutes < 90 else f"{minutes / 60:.2g} hours"
