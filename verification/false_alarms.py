"""How often the stochastic checks fail a right subject: the theorem, observed.

Ville's inequality promises that a whole run fails a right subject with probability at
most `SUITE_ALPHA`, too rarely to be seen.  But it holds at every level, and the
largest evidence of each test tells what a run would have said at the levels at which
alarms can be counted.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from scipy.special import bdtrc

from verification.checks import (
    Check,
    Session,
    Verdict,
    all_checks,
    run_check,
    stochastic_cases,
)
from verification.connect.in_process import DEFAULT, load
from verification.errors import UsageError
from verification.files import replace
from verification.subject import Witness

__all__ = ["LEVELS", "Census", "Level", "Sample", "false_alarms"]

LEVELS = (0.2, 0.1, 0.05, 0.01)
"""Nominal false alarm probabilities of a whole run, at which alarms are counted."""

DOUBT = 1e-3
"""A rate above its nominal level is a fault if this improbable."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""By which a linear algebra library is told, when it is loaded, how many to use."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sample:
    """One run of the stochastic checks.

    Attributes
    ----------
    evidence : dict of str to float
        For each check and case the largest log evidence.
    failed, undecided : tuple of str
        Checks that failed, or were inconclusive.
    replicates : int
        Outputs that the subject was asked for.
    """

    evidence: dict[str, float]
    failed: tuple[str, ...]
    undecided: tuple[str, ...]
    replicates: int

    def with_those_of(self, other: Sample | None) -> Sample:
        """The same run with other tests as well."""
        if other is None:
            return self
        return Sample(
            other.evidence | self.evidence,
            other.failed + self.failed,
            other.undecided + self.undecided,
            other.replicates + self.replicates,
        )

    def alarm(self, alpha: float) -> bool:
        """Whether the run would have failed at this level."""
        threshold = math.log(stochastic_cases() / alpha)
        return max(self.evidence.values()) >= threshold


@dataclass(frozen=True)
class Level:
    """How often runs would have failed at a nominal level."""

    nominal: float
    alarms: int
    runs: int

    @property
    def rate(self) -> float:
        """Observed."""
        return self.alarms / self.runs

    @property
    def probability(self) -> float:
        """Of as many alarms or more, were the nominal level the true one."""
        return float(bdtrc(self.alarms - 1, self.runs, self.nominal))

    @property
    def ok(self) -> bool:
        """Whether the observed rate is compatible with the nominal level."""
        return self.probability >= DOUBT


@dataclass
class Census:
    """All the runs.

    Attributes
    ----------
    seed : int
        Of the first run; the others follow.
    samples : list of Sample
    """

    seed: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def levels(self) -> list[Level]:
        """The rates at the levels at which alarms can be counted."""
        runs = len(self.samples)
        return [
            Level(alpha, sum(s.alarm(alpha) for s in self.samples), runs)
            for alpha in LEVELS
        ]

    @property
    def failed(self) -> list[str]:
        """Checks that failed, once for every time."""
        return [check for sample in self.samples for check in sample.failed]

    @property
    def undecided(self) -> list[str]:
        """Checks that were inconclusive, once for every time."""
        return [check for sample in self.samples for check in sample.undecided]

    @property
    def largest(self) -> tuple[str, float]:
        """The test of the largest log evidence of all, and that."""
        pairs = ((k, v) for s in self.samples for k, v in s.evidence.items())
        return max(pairs, key=lambda pair: pair[1])

    @property
    def bound(self) -> float:
        """The rule of three: the failure rate is below this with 95 % confidence."""
        return 3 / len(self.samples)

    @property
    def ok(self) -> bool:
        """No failure, nothing undecided, no rate above its nominal level."""
        quiet = not (self.failed or self.undecided)
        return quiet and all(level.ok for level in self.levels)


def false_alarms(
    runs: int, seed: int, progress: Progress | None = None, kept: Path | None = None
) -> Census:
    """Run the stochastic checks on `refimpl` with independent seeds.

    Parameters
    ----------
    runs : int
        How many.
    seed : int
        Of the first run.
    progress : callable, optional
        Called with the number of runs done and of those to do, without what was kept.
    kept : Path, optional
        A file to which every run adds a line; the tests it holds are not run again.

    Raises
    ------
    UsageError
        If the file holds something else.
    """
    known = _read(kept, seed) if kept is not None else {}
    samples = {run: sample for run, sample in known.items() if run < runs}
    whole = len(_tests())
    left = [
        run
        for run in range(runs)
        if run not in samples or len(samples[run].evidence) < whole
    ]
    tasks = [(f"{seed}/{run}", _tests_of(samples.get(run))) for run in left]
    for done, (run, sample) in enumerate(zip(left, _samples(tasks), strict=True), 1):
        samples[run] = sample.with_those_of(samples.get(run))
        if kept is not None:
            _append(kept, {"seed": seed, "run": run, **asdict(sample)})
        if progress is not None:
            progress(done, len(left))
    return Census(seed, [samples[run] for run in range(runs)])


def _tests() -> dict[str, Check]:
    """Every stochastic case of the suite by the name of its test."""
    return {
        _name(check, case): check
        for check in all_checks()
        if check.stochastic
        for case in check.cases
    }


def _name(check: Check, case: Any) -> str:
    return f"{check.id}, {case.label}"


def _tests_of(sample: Sample | None) -> frozenset[str]:
    return frozenset(sample.evidence if sample else ())


def _read(path: Path, seed: int) -> dict[int, Sample]:
    """The runs that a file holds; a last line that was cut off is removed.

    The tests of a run may stand in several lines: those that the suite did not have
    yet when it was begun are added.
    """
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8") from None
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}") from exc
    whole = text[: text.rfind("\n") + 1]
    found: dict[int, Sample] = {}
    for line in whole.splitlines():
        try:
            of, run, sample = _parsed(line)
        except _OF_ANOTHER_FORM:
            raise UsageError(
                f"{path} holds a line that is no run: {line[:60]}"
            ) from None
        if of != seed:
            raise UsageError(f"{path} holds runs of the seed {of}, not {seed}")
        if gone := sorted(set(sample.evidence) - set(_tests())):
            test = " ".join(gone[0].split())[:60]
            raise UsageError(f"{path} holds runs of {test}, a test there is not")
        found[run] = sample.with_those_of(found.get(run))
    if whole != text:
        _written(path, lambda: replace(path, whole.encode()))
    return found


#: What reading a line raises that no run has written.
_OF_ANOTHER_FORM = (
    *(ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError),
)


def _parsed(line: str) -> tuple[int, int, Sample]:
    data = json.loads(line)
    sample = Sample(
        {str(test): float(value) for test, value in data["evidence"].items()},
        tuple(data["failed"]),
        tuple(data["undecided"]),
        int(data["replicates"]),
    )
    return int(data["seed"]), int(data["run"]), sample


def _append(path: Path, line: dict[str, Any]) -> None:
    def write() -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    _written(path, write)


def _written(path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as exc:
        raise UsageError(f"cannot write {path}: {exc.strerror}") from exc


def _samples(tasks: list[tuple[str, frozenset[str]]]) -> Iterator[Sample]:
    if not tasks:
        return
    workers = min(os.cpu_count() or 1, len(tasks))
    with (
        _one_thread_each(),
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        yield from pool.map(_sample, tasks, chunksize=4)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that start meanwhile do not wait in turns for one another's cores."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _sample(task: tuple[str, frozenset[str]]) -> Sample:
    """One run of the stochastic checks, but for those whose tests are known."""
    session, known = task
    witness = Witness(load(DEFAULT))
    missing = {check.id: check for name, check in _tests().items() if name not in known}
    outcomes = [run_check(c, witness, Session(session)) for c in missing.values()]
    tests = [(o.check, *pair) for o in outcomes for pair in o.sequential]
    return Sample(
        {_name(check, case): test.error for check, case, test in tests},
        tuple(o.check.id for o in outcomes if o.verdict is Verdict.FAIL),
        tuple(o.check.id for o in outcomes if o.verdict is Verdict.INCONCLUSIVE),
        sum(test.n for _, _, test in tests),
    )
