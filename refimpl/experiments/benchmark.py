"""Seconds per weight update, and their ratios within one run.

Every implementation is timed in turn, round after round, so that what disturbs the
machine disturbs all of them; medians over the rounds are reported.  One thread: the
products are small, and threads that wait for one another on a busy machine take longer.

The images are random: how long an update takes does not depend on them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from refimpl.arrays import Array
from refimpl.errors import InvalidParameter
from refimpl.experiments import straightforward
from refimpl.experiments.records import as_fields, parsed
from refimpl.experiments.threads import one_blas_thread
from refimpl.experiments.timing import mean_seconds
from refimpl.importance import ImportanceSampling
from refimpl.initialisations import initial
from refimpl.laws import GibbsLaw
from refimpl.network import Network
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Harmonic, PowerLaw, steps
from refimpl.sgld import SGLD
from refimpl.span import InSpan
from refimpl.streams import stream

METHODS = ("sgd", "sgld", "is", "hr")
PAPER = {"sgd": 0.0032, "is": 6.2504, "sgld": 7.0599, "hr": 3.3053}
"""Table 2, in seconds."""

NUMPY, TORCH, PLAIN, SPAN = "numpy", "pytorch", "compiled", "in-span"
SAYS = {
    NUMPY: "NumPy, straightforward",
    TORCH: "PyTorch, eager, float32",
    PLAIN: "compiled",
    SPAN: "compiled, in span",
}

TAU, ETA, OFFSET, STEPS = 0.01, 0.01, 1000.0, PowerLaw(0.1, 0.7)


@dataclass(frozen=True)
class Case:
    """What is timed.

    Attributes
    ----------
    sizes : tuple of int
        Of the network.
    batch : int
    J : int
        Samples of Algorithms 3 and 4.
    M : int
        Samples of a move of Algorithm 5, and its moves.
    activation : str
    """

    sizes: tuple[int, ...] = (784, 200, 10)
    batch: int = 20
    J: int = 1000
    M: int = 30
    activation: str = "relu"

    def __str__(self) -> str:
        return (
            f"{'-'.join(map(str, self.sizes))} {self.activation}, minibatch "
            f"{self.batch}, J = {self.J}, M = {self.M} x {self.M}"
        )


@dataclass(frozen=True)
class Timing:
    """How long one implementation took for one method.

    Attributes
    ----------
    case : Case
    method, implementation : str
    seconds : tuple of float
        Of one weight update, in each round.
    """

    case: Case
    method: str
    implementation: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """In seconds."""
        return median(self.seconds)

    def to_line(self) -> str:
        """As one line of JSON, with its end of line."""
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Timing":
        """The timing that `to_line` wrote.

        Raises
        ------
        InvalidParameter
            If the line is none.
        """
        try:
            found = cls(**as_fields(cls, parsed(line)))
            if not all(1e-9 < one < 1e9 for one in found.seconds) or not found.seconds:
                raise ValueError("no seconds, or none that a clock would tell")
            if found.method not in METHODS or found.implementation not in SAYS:
                raise ValueError("of a method or an implementation that is not known")
        except ValueError as error:
            raise InvalidParameter(
                f"not a timing of this version: {line[:60]!r}"
            ) from error
        return found


def read(path: Path) -> list[Timing]:
    """The timings of a record.

    Raises
    ------
    InvalidParameter
        If a line is no timing, or one thing was timed twice, or more often than what
        was timed beside it.
    OSError
        If the file cannot be read.
    """
    try:
        found = [
            Timing.from_line(one.decode()) for one in path.read_bytes().splitlines()
        ]
        rounds = {one.case: len(one.seconds) for one in found}
        if any(len(one.seconds) != rounds[one.case] for one in found):
            raise ValueError("not everything was timed in every round")
        if len({replace(one, seconds=()) for one in found}) < len(found):
            raise ValueError("something was timed twice")
        if not found:
            raise ValueError("it is empty")
    except ValueError as error:  # also of what is no text
        raise InvalidParameter(
            f"{path} is no record of a benchmark: {error}"
        ) from error
    return found


Update = Callable[[], Any]


def available() -> tuple[str, ...]:
    """The implementations that can be timed here: PyTorch where it is installed."""
    there = find_spec("torch") is not None
    return (NUMPY, *((TORCH,) if there else ()), PLAIN, SPAN)


def updates(
    case: Case, implementations: Sequence[str]
) -> dict[tuple[str, str], Update]:
    """One weight update for each method and implementation.

    Raises
    ------
    ImportError
        If PyTorch is asked for and not installed.
    """
    rng = stream(0, "initialisation")
    images = rng.random((2 * case.batch, case.sizes[0]))
    labels = rng.integers(case.sizes[-1], size=len(images))
    x = initial(case.sizes, "glorot-uniform", rng)
    rows = np.arange(case.batch)
    found: dict[tuple[str, str], Update] = {}
    if TORCH in implementations:
        theirs = straightforward.Torch(case.sizes, images[rows], labels[rows], x)
        a, epsilon = steps(STEPS, case.M), steps(Harmonic(OFFSET), case.J)
        found["sgd", TORCH] = lambda: theirs.sgd(ETA)
        found["sgld", TORCH] = lambda: theirs.sgld(TAU, epsilon)
        found["is", TORCH] = lambda: theirs.importance(TAU, case.J)
        found["hr", TORCH] = lambda: theirs.robbins_monro(TAU, a, case.M)
    for name in (NUMPY, PLAIN, SPAN):
        if name in implementations:
            f = Network(
                case.sizes,
                images,
                labels,
                activation=case.activation,  # type: ignore[arg-type]
                compiled=name != NUMPY,
            )
            ours = _by_numpy if name == NUMPY else _by_us
            for method in METHODS:
                if (method, name) != ("sgd", SPAN):
                    found[method, name] = ours(case, method, name, f, rows, x)
    return found


def _by_numpy(
    case: Case, method: str, name: str, f: Network, rows: Any, x: Array
) -> Update:
    del name
    rng = straightforward.generator()
    a, epsilon = steps(STEPS, case.M), steps(Harmonic(OFFSET), case.J)
    run: dict[str, Callable[[Any], Array]] = {
        "sgd": lambda b: straightforward.sgd(b, x, ETA),
        "sgld": lambda b: straightforward.sgld(b, x, TAU, epsilon, rng),
        "is": lambda b: straightforward.importance(b, x, TAU, case.J, rng),
        "hr": lambda b: straightforward.robbins_monro(b, x, TAU, a, case.M, rng),
    }
    return lambda: run[method](f.batch(rows))


def _by_us(
    case: Case, method: str, name: str, f: Network, rows: Any, x: Array
) -> Update:
    rng = stream(1, "algorithm")
    if method == "sgd":
        return lambda: straightforward.sgd(f.batch(rows), x, ETA)
    estimator: Any = {
        "sgld": SGLD(case.J, Harmonic(OFFSET)),
        "is": ImportanceSampling(case.J),
        "hr": RobbinsMonro(case.M, STEPS, case.M),
    }[method]
    if name == SPAN:
        estimator = InSpan(estimator)
    return lambda: estimator(GibbsLaw(f.batch(rows), x, TAU), rng=rng)


def timed(
    case: Case,
    implementations: Sequence[str],
    rounds: int,
    said: Callable[[int], object] = bool,
) -> list[Timing]:
    """Time one weight update of each, `rounds` times in turn.

    Parameters
    ----------
    case : Case
    implementations : sequence of str
    rounds : int
    said : callable
        Called with 1 after each round.

    Raises
    ------
    MissingExtra
        If threadpoolctl is absent.
    ImportError
        If PyTorch is asked for and absent.
    """
    seconds: dict[tuple[str, str], list[float]] = {}
    with one_blas_thread():
        every = updates(case, implementations)
        small = replace(case, J=3, M=2)
        for update in updates(small, implementations).values():
            update()  # compiles, and warms up
        for _ in range(rounds):
            for key, update in every.items():
                seconds.setdefault(key, []).append(mean_seconds(update))
            said(1)
    return [Timing(case, *key, tuple(took)) for key, took in seconds.items()]


# --- growth


GROWTH_BASE = Case(J=100, M=10)
GROWTH: dict[str, dict[float, Case]] = {
    "samples J": {
        J: replace(GROWTH_BASE, J=J, M=round(J**0.5)) for J in (25, 100, 400)
    },
    "minibatch B": {B: replace(GROWTH_BASE, batch=B) for B in (5, 20, 80)},
    "inputs": {n: replace(GROWTH_BASE, sizes=(n, 200, 10)) for n in (196, 784, 3136)},
    "hidden units": {
        n: replace(GROWTH_BASE, sizes=(784, n, 10)) for n in (50, 200, 800)
    },
    "hidden layers": {
        n: replace(GROWTH_BASE, sizes=(784, *(200,) * n, 10)) for n in (0, 1, 2, 3)
    },
}
"""One thing varied at a time."""


def growth(
    rounds: int, said: Callable[[int], object] = bool
) -> dict[str, dict[float, list[Timing]]]:
    """Compiled, plain and in span, along every axis of `GROWTH`.

    Parameters
    ----------
    rounds : int
    said : callable
        Called with 1 after each case.
    """
    found = {}
    known: dict[Case, list[Timing]] = {}
    for axis, cases in GROWTH.items():
        for case in cases.values():
            if case not in known:
                known[case] = timed(case, (PLAIN, SPAN), rounds)
            said(1)
        found[axis] = {at: known[case] for at, case in cases.items()}
    return found


# --- tables


def table(timings: Sequence[Timing]) -> str:
    """Seconds of one update, by implementation and method, and the ratios."""
    if not timings:
        raise InvalidParameter("there is nothing to tabulate")
    took = {(t.implementation, t.method): t.median for t in timings}
    rounds = len(timings[0].seconds)
    lines = [
        f"Seconds per weight update, median of {rounds} rounds in one run, one thread,",
        f"{timings[0].case}, float64 but for PyTorch",
        "",
        _row("", [method.upper() for method in METHODS]),
    ]
    lines += [
        _row(says, [_seconds_of(took.get((name, method))) for method in METHODS])
        for name, says in SAYS.items()
        if any(key[0] == name for key in took)
    ]
    lines.append(
        _row("the paper, TensorFlow", [_seconds_of(PAPER[m]) for m in METHODS])
    )
    lines.append("")
    lines += [
        _row(says, [_times(ratio.get(method)) for method in METHODS])
        for says, ratio in ratios(timings).items()
    ]
    return "\n".join(lines) + "\n"


def ratios(timings: Sequence[Timing]) -> dict[str, Mapping[str, float]]:
    """How many times faster the run in span is, and what it costs in updates of SGD."""
    took = {(t.implementation, t.method): t.median for t in timings}
    sampled = [m for m in METHODS if (SPAN, m) in took]
    found: dict[str, Mapping[str, float]] = {}
    for name in (NUMPY, TORCH, PLAIN):
        if (name, "sgld") in took:
            found[f"{SAYS[name]} / in span"] = {
                m: took[name, m] / took[SPAN, m] for m in sampled
            }
    if (NUMPY, "sgd") in took:
        one = took[NUMPY, "sgd"]
        found["in span / one SGD by NumPy"] = {m: took[SPAN, m] / one for m in sampled}
    found["the paper / one SGD"] = {m: PAPER[m] / PAPER["sgd"] for m in sampled}
    return found


def _row(says: str, cells: Sequence[str]) -> str:
    return f"{says:<36}" + "".join(f"{cell:>10}" for cell in cells)


def _seconds_of(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"
