"""What a cluster buys: constants of Algorithm 4's L processors, and a sweep timed.

J samples are P = ceil(J / n) pieces, k of them in a task, the smaller of ceil(P / L)
and TOGETHER: N = ceil(P / k) tasks.  One weight update takes

    ceil(N / L) k n c  +  a  +  N b / beta  +  P (s / beta + m)

seconds: the processor with the most tasks computes for c seconds a sample; a round trip
a; the law and its seeds, b bytes for each task, over a line of beta bytes per second;
and the answers of P pieces, s bytes each, which are merged in m seconds one after the
other.  All but the first is communication.

The images are random, and the cluster is one of this machine: what its loopback does
not slow down, a network does.
"""

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from refimpl.arrays import Array
from refimpl.experiments import executors
from refimpl.experiments.checkpoints import Place
from refimpl.experiments.settings import Setting, of_section_6
from refimpl.experiments.threads import OneCore, one_blas_thread
from refimpl.experiments.timing import mean_seconds
from refimpl.experiments.workers import train_all
from refimpl.importance import (
    TOGETHER,
    Answer,
    ImportanceSampling,
    Piece,
    Weighing,
    WeightedSums,
    samples_per_piece,
)
from refimpl.initialisations import initial
from refimpl.interfaces import Loss
from refimpl.laws import GibbsLaw
from refimpl.network import Network
from refimpl.streams import stream

SIZES, BATCH, TAU = (784, 200, 10), 20, 0.01
SAMPLES = (1_000, 10_000, 100_000)
"""J of the table."""

GIGABIT = 1e9 / 8
LINES = {"1 Gbit/s": GIGABIT, "10 Gbit/s": 10 * GIGABIT}
"""Bytes per second of lines that are not measured."""

WORKERS = 2
TIMED = 1_000
"""J of the weight updates that are timed."""
ECHO = 2**16  # numbers in each answer that is sent back to measure the line, 512 KiB

Step = Callable[[int], object]


@dataclass(frozen=True)
class Constants:
    """Of Algorithm 4 in one space.

    Attributes
    ----------
    name : str
    d : int
        Parameters.
    n : int
        Samples in a piece.
    c, m : float
        Seconds of a core for a sample, and to merge an answer.
    b, s : int
        Bytes of a task of one piece, and of an answer.
    """

    name: str
    d: int
    n: int
    c: float
    m: float
    b: int
    s: int

    def computing(self, J: int, L: int) -> float:
        """Seconds of the processor that has the most to compute."""
        pieces, together, tasks = self.shares(J, L)
        most = -(-tasks // L) * together
        if (tasks - 1) % L == 0:  # it has the last task, in which some are missing
            most -= tasks * together - pieces
        return self.c * min(J, most * self.n)

    def sending(self, J: int, L: int, a: float, beta: float) -> float:
        """Seconds of a weight update in which nothing is computed."""
        pieces, _, tasks = self.shares(J, L)
        return a + tasks * self.b / beta + pieces * (self.s / beta + self.m)

    def seconds(self, J: int, L: int, a: float, beta: float) -> float:
        """Of one weight update."""
        return self.computing(J, L) + self.sending(J, L, a, beta)

    def limit(self, J: int, a: float, beta: float) -> int | None:
        """The fewest processors for which communication outweighs computation.

        None if no number does: more processors than pieces find nothing to do.
        """
        for L in range(1, self.shares(J, 1)[0] + 1):
            if self.sending(J, L, a, beta) >= self.computing(J, L):
                return L
        return None

    def fastest(self, J: int, a: float, beta: float) -> int:
        """The number of processors that take the shortest time, the smallest such."""
        most = self.shares(J, 1)[0]
        return min(range(1, most + 1), key=lambda L: self.seconds(J, L, a, beta))

    def bytes(self, J: int, L: int) -> int:
        """That one weight update sends, there and back."""
        pieces, _, tasks = self.shares(J, L)
        return tasks * self.b + pieces * self.s

    def shares(self, J: int, L: int) -> tuple[int, int, int]:
        """How many pieces, how many of them in a task at most, how many tasks."""
        pieces = -(-J // self.n)
        together = min(-(-pieces // L), TOGETHER)
        return pieces, together, -(-pieces // together)


@dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes
    ----------
    spaces : tuple of Constants
    a : float
        Seconds of a round trip through the cluster.
    beta : float
        Bytes per second that come back through it.
    runs : int
        Of the sweep.
    updates : dict
        Seconds of a weight update of TIMED samples in each round, alone and by all
        workers, for each space by its name.
    sweeps : dict
        Seconds of the sweep in each round, by how many workers shared it.
    same : bool
        Whether the records were the same, byte for byte.
    """

    spaces: tuple[Constants, ...]
    a: float
    beta: float
    runs: int
    updates: dict[str, dict[str, tuple[float, ...]]]
    sweeps: dict[str, tuple[float, ...]]
    same: bool

    @property
    def gain(self) -> float:
        """How many times faster all workers are than one, medians of the rounds."""
        one, all_ = (median(seconds) for seconds in self.sweeps.values())
        return one / all_

    def to_json(self) -> str:
        """One object, on several lines."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Found":
        """What `to_json` wrote."""
        told = json.loads(text)
        told["spaces"] = tuple(Constants(**one) for one in told["spaces"])
        told["sweeps"] = _tuples(told["sweeps"])
        told["updates"] = {name: _tuples(one) for name, one in told["updates"].items()}
        return cls(**told)


def _tuples(took: dict[str, list[float]]) -> dict[str, tuple[float, ...]]:
    return {key: tuple(seconds) for key, seconds in took.items()}


# --- measuring


def measure(rounds: int, updates: int, said: Step = bool) -> Found:
    """All of it, on a cluster of two workers that is started for it.

    Parameters
    ----------
    rounds : int
    updates : int
        Of each run of the sweep.
    said : callable
        Called with 1 after each round.

    Raises
    ------
    MissingExtra
        If Dask, threadpoolctl, filelock or scikit-learn is absent.
    """
    with one_blas_thread():
        spaces = tuple(_constants(*one, rounds) for one in _spaces())
    runs = grid(updates)
    with _cluster() as client, TemporaryDirectory() as folder:
        pool = client.get_executor()
        a, beta = _line(pool, rounds)
        timed = {name: _updates(f, x, pool, rounds) for name, f, x in _spaces()}
        sweeps, same = _sweeps(client, runs, Path(folder), rounds, said)
    return Found(spaces, a, beta, len(runs), timed, sweeps, same)


def _spaces() -> Iterator[tuple[str, Loss, Array]]:
    """The paper's network with one minibatch: in its span, and plain."""
    rng = stream(0, "initialisation")
    images, labels = rng.random((BATCH, SIZES[0])), rng.integers(10, size=BATCH)
    x = initial(SIZES, "glorot-uniform", rng)
    f = Network(SIZES, images, labels)
    yield "in span", f.reduced.loss, f.reduced.project(x)
    yield "plain", Network(SIZES, images, labels), x


def _constants(name: str, f: Loss, x: Array, rounds: int) -> Constants:
    rng, n = stream(0, "algorithm"), samples_per_piece(x.size)
    weighing = Weighing(f, x, TAU, type(rng.bit_generator), False)
    task = [Piece(n, rng.bit_generator.seed_seq.spawn(1)[0])]  # type: ignore[attr-defined]
    (answer,) = weighing.answers(task)  # compiles
    return Constants(
        name,
        x.size,
        n,
        _computing(lambda: weighing.answers(task), rounds) / n,
        _computing(lambda: answer.sums.merged(answer.sums), rounds),
        len(pickle.dumps((weighing, task))),
        len(pickle.dumps(answer)),
    )


def _line(pool: Any, rounds: int) -> tuple[float, float]:
    """A round trip in seconds, and bytes per second on the way back."""
    for size in (1, ECHO):
        pool.submit(_answers_of, size).result()  # wakes everybody, draws the numbers
    # the best of many: what else the machine does only adds
    short, long = (
        min(_seconds(lambda: pool.submit(_answers_of, size).result()) for _ in many)  # noqa: B023
        for size, many in ((1, range(20 * rounds)), (ECHO, range(10 * rounds)))
    )
    return short, 8 * ECHO * TOGETHER / max(long - short, 1e-9)


def _answers_of(size: int) -> list[Answer]:
    """As of one task in a space of so many dimensions."""
    drawn = _drawn(size)
    return [Answer(WeightedSums(0.0, 1.0, 1.0, z, 1), []) for z in drawn]


@cache
def _drawn(size: int) -> Array:
    """Numbers that no line compresses, shape (TOGETHER, size)."""
    return stream(0, "algorithm").random((TOGETHER, size))


def _updates(f: Loss, x: Array, pool: Any, rounds: int) -> dict[str, tuple[float, ...]]:
    """Seconds of a weight update in each round, alone and by all, in turn."""
    q = GibbsLaw(f, x, TAU)
    ways = {
        "1": ImportanceSampling(J=TIMED),
        str(WORKERS): ImportanceSampling(
            J=TIMED, workers=WORKERS, executor=OneCore(pool)
        ),
    }
    took: dict[str, list[float]] = {workers: [] for workers in ways}
    with one_blas_thread():
        for number in range(rounds + 1):
            for workers, update in ways.items():
                rng = stream(0, "algorithm", number)
                seconds = _seconds(lambda: update(q, rng=rng))  # noqa: B023
                if number:  # the first compiles
                    took[workers].append(seconds)
    return {workers: tuple(took[workers]) for workers in took}


def _computing(task: Callable[[], object], rounds: int) -> float:
    """Seconds of a core, which others on the machine do not lengthen."""
    return median(mean_seconds(task, process_time) for _ in range(rounds))


def _seconds(task: Callable[[], object]) -> float:
    begun = perf_counter()
    task()
    return perf_counter() - begun


# --- the sweep


def grid(updates: int) -> list[Setting]:
    """Sixteen runs on digits, tau as in Figure 7."""
    return [
        of_section_6(
            "sgld", data="digits", J=100, tau=tau, seed=seed, updates=updates,
            evaluate_every=updates,
        )
        for tau in (0.001, 0.01, 0.1, 1.0)
        for seed in range(4)
    ]  # fmt: skip


def _sweeps(
    client: Any, runs: list[Setting], folder: Path, rounds: int, said: Step
) -> tuple[dict[str, tuple[float, ...]], bool]:
    """Seconds by workers, one and all in turn; and whether the records are the same."""
    client.run(_warm, str(folder / "warm"))
    first = min(client.scheduler_info()["workers"])
    pools = {
        "1": client.get_executor(workers=[first]),
        str(WORKERS): client.get_executor(),
    }
    took: dict[str, list[float]] = {workers: [] for workers in pools}
    records = set()
    for number in range(rounds):
        for workers, pool in pools.items():
            place = folder / f"{workers}-{number}"
            seconds = _seconds(lambda: train_all(runs, place, executor=pool))  # noqa: B023
            took[workers].append(seconds)
            records.add(b"".join(Place(place, one).record.read_bytes() for one in runs))
        said(1)
    return {workers: tuple(took[workers]) for workers in took}, len(records) == 1


def _warm(folder: str) -> None:
    """On every worker: compile, and read the images."""
    import os

    train_all(grid(1)[:1], Path(folder, str(os.getpid())))


@contextmanager
def _cluster() -> Iterator[Any]:
    """A client of a cluster of this machine, with one process a worker."""
    distributed = executors.distributed()
    with (
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


# --- the table


def table(found: Found) -> str:
    """The constants, where communication begins to dominate, and the sweep."""
    lines = [
        f"Algorithm 4 on {'-'.join(map(str, SIZES))}, minibatch {BATCH}, float64",
        "",
        "            d      n  c, microseconds  m, microseconds  b, bytes  s, bytes",
    ]
    lines += [
        f"{k.name:<8}{k.d:>8}{k.n:>5}{1e6 * k.c:>14.0f}{1e6 * k.m:>17.0f}"
        f"{k.b:>13}{k.s:>10}"
        for k in found.spaces
    ]
    lines += [
        "",
        f"Dask on this machine: a = {1e3 * found.a:.1f} milliseconds, "
        f"beta = {found.beta / 1e6:.0f} MB/s",
        "",
        "                         sending     alone     by L*       by L*   fastest",
        "              J  line    from L* on   seconds   seconds   megabytes      at L"
        "   seconds",
    ]
    lines += [
        _row(k, J, found.a, name, beta)
        for k in found.spaces
        for J in SAMPLES
        for name, beta in {"measured": found.beta, **LINES}.items()
    ]
    lines += ["", f"One weight update of {TIMED} samples, seconds"]
    lines += [_of_updates(k, found) for k in found.spaces]
    lines += ["", _of_sweep(found)]
    return "\n".join(lines) + "\n"


def _row(k: Constants, J: int, a: float, line: str, beta: float) -> str:
    limit, fastest = k.limit(J, a, beta), k.fastest(J, a, beta)
    L = limit or k.shares(J, 1)[0]  # no more find anything to do
    return (
        f"{k.name:<8}{J:>7}  {line:<9}{limit or '-':>9}{J * k.c:>10.3f}"
        f"{k.seconds(J, L, a, beta):>10.3f}{k.bytes(J, L) / 1e6:>12.1f}"
        f"{fastest:>10}{k.seconds(J, fastest, a, beta):>10.3f}"
    )


def _of_updates(k: Constants, found: Found) -> str:
    alone, shared = (median(took) for took in found.updates[k.name].values())
    told = k.seconds(TIMED, WORKERS, found.a, found.beta)
    return (
        f"{k.name:<8} alone {alone:.3f}, by {WORKERS} workers {shared:.3f}, "
        f"of which the formula says {told:.3f}"
    )


def _of_sweep(found: Found) -> str:
    took = " and ".join(
        f"{median(seconds):.2f} s on {workers}"
        for workers, seconds in found.sweeps.items()
    )
    rounds = len(next(iter(found.sweeps.values())))
    same = "the same records" if found.same else "DIFFERENT RECORDS"
    return (
        f"A sweep of {found.runs} runs, median of {rounds} rounds: {took} workers, "
        f"{found.gain:.2f} times faster, {same}"
    )
