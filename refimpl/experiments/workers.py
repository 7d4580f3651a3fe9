"""Several training runs at once, each on one core: of this machine, or of others.

What a run computes does not depend on who computes it, nor on what runs beside it.

Processes of this machine tell their parent how far they are through memory they share.
With other executors all that is shared is the folder of the records: in it lies a file,
the *leave*, for as long as runs may go on.  A worker that does not find it computes
nothing: either it was told to stop, or it does not see the folder.  The command renews
the leave every few seconds: a run whose command was killed stops, too.
"""

import multiprocessing
import os
import platform
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_EXCEPTION,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import mkstemp
from threading import Event, Thread
from time import monotonic
from typing import Any

from refimpl.errors import InvalidParameter
from refimpl.experiments import data as data_sets
from refimpl.experiments.checkpoints import Busy, Interrupted, Place, train
from refimpl.experiments.stored import StoredSetting

MOST = 4
"""Processes at once unless more are asked for: each holds the images, 0.8 GB."""

SILENCE = 40.0
"""Seconds without a renewal of the leave after which runs elsewhere stop."""

PATIENCE = 60.0
"""Seconds that a worker waits for another one that still writes the files of its run:
longer than a run goes on whose command was killed, or whose worker is told to end."""

_POLL = 0.2  # seconds
_RENEWAL = 5.0  # seconds, more than file systems round times to
_LEAVE = ".leave-"

Watch = Callable[[float], bool]
Futures = dict[Future[Any], StoredSetting]


class Lost(Interrupted):
    """What computed the runs is gone; their files are ready to go on from."""


def default_jobs() -> int:
    """As many as there are cores, up to `MOST`."""
    return min(os.cpu_count() or 1, MOST)


def work(settings: Sequence[StoredSetting]) -> float:
    """How much there is to compute, in evaluations of a minibatch's gradient."""
    return float(sum(one.work(one.total) for one in settings))


def train_all(
    settings: Sequence[StoredSetting],
    folder: Path,
    *,
    data_folder: Path | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
    force: bool = False,
    watch: Watch = lambda _: False,
) -> None:
    """Run all settings, each to its record in the folder.

    Parameters
    ----------
    settings : sequence of StoredSetting
        All different.
    folder : Path
    data_folder : Path, optional
        Where the files of MNIST are.
    jobs : int
        Processes at once; 1 is this one.
    executor : concurrent.futures.Executor, optional
        What runs them in place of processes of this machine.  Its workers see both
        folders under the same names; without a data folder each of them looks where
        its own environment says.
    force : bool
        Whether to begin all of them anew.
    watch : callable
        Told from time to time how much of `work` was done since it was last told; all
        runs stop if it answers true.

    Raises
    ------
    Interrupted
        If `watch` stopped a run; `Lost`, if a process was ended from outside or the
        executor gave a run up.
    InvalidParameter
        If a worker of the executor does not see the folder, or, when all others are
        finished, if somebody else was writing the files of a run.
    RefimplError, OSError
        As `refimpl.experiments.checkpoints.train`.
    """
    if force:
        _forget(settings, folder, data_folder)
    longest_first = sorted(settings, key=lambda one: -one.work(one.total))
    if executor is not None:
        _elsewhere(longest_first, folder, data_folder, executor, watch)
    elif jobs == 1 or len(settings) == 1:
        for one in longest_first:
            _train(one, folder, data_folder, watch)
    else:
        _side_by_side(longest_first, folder, data_folder, jobs, watch)


def _forget(
    settings: Sequence[StoredSetting], folder: Path, data_folder: Path | None
) -> None:
    """All files of all runs, or none, if data are missing or somebody writes one."""
    for name in {one.data for one in settings}:
        _data(name, data_folder)
    places = [Place(folder, one) for one in settings]
    with ExitStack() as held:
        for place in places:
            held.enter_context(place.alone())
        for place in places:
            place.forget()


def _train(
    setting: StoredSetting,
    folder: Path,
    data_folder: Path | None,
    watch: Watch,
    patient: Callable[[], bool] = lambda: False,
) -> None:
    """One run; `watch` is told its work update by update, and first what was kept."""
    told = 0.0

    def tell(k: int) -> bool:
        nonlocal told
        more, told = setting.work(k) - told, setting.work(k)
        return watch(more)

    def load() -> data_sets.Data:
        return _data(setting.data, data_folder)

    train(setting, load, folder, watch=tell, patient=patient)


@cache
def _data(name: str, folder: Path | None) -> data_sets.Data:
    """Read once in a process."""
    return data_sets.load(name, folder)


# --- processes


class _Shared:
    """What a process shares with its parent: work done, and the wish to stop."""

    def __init__(self, context: Any) -> None:
        self.done = context.Value("d", 0.0)
        self.stop = context.Event()

    def watch(self, work: float) -> bool:
        """In the child: tell, and ask."""
        with self.done.get_lock():
            self.done.value += work
        return bool(self.stop.is_set())


_shared: list[_Shared] = []  # of a child process, one


def _begin(shared: _Shared) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    Thread(target=_end_with_parent, daemon=True).start()
    _shared.append(shared)


def _end_with_parent() -> None:
    """At any moment, which a run survives, whoever killed the parent."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _child(setting: StoredSetting, folder: Path, data_folder: Path | None) -> None:
    if not _shared[0].stop.is_set():
        _train(setting, folder, data_folder, _shared[0].watch)


def _side_by_side(
    settings: Sequence[StoredSetting],
    folder: Path,
    data_folder: Path | None,
    jobs: int,
    watch: Watch,
) -> None:
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context)
    workers = min(jobs, len(settings))
    with ProcessPoolExecutor(workers, context, _begin, (shared,)) as pool:
        with _deaf():
            futures = {
                pool.submit(_child, one, folder, data_folder): one for one in settings
            }
        try:
            _follow(futures, lambda: shared.done.value, watch)
        finally:
            shared.stop.set()
    _require_all(settings, folder)


def _follow(futures: Futures, done: Callable[[], float], watch: Watch) -> bool:
    """Until all are finished, one fails, or `watch` wishes to stop: whether it did."""
    told, left = 0.0, set(futures)
    while left:
        finished, left = wait(left, _POLL, return_when=FIRST_EXCEPTION)
        for one in finished:
            _raise_but_interrupted(one)
        by_now = done()
        if watch(by_now - told):
            return True
        told = by_now
    return False


def _raise_but_interrupted(future: Future[Any]) -> None:
    """One that stopped was told to."""
    if future.cancelled():
        raise Lost("the executor gave up a run")
    error = future.exception()
    if isinstance(error, BrokenExecutor):
        raise Lost("a process that computed a run was ended from outside") from error
    if error is not None and not isinstance(error, Interrupted):
        raise error


def _require_all(settings: Sequence[StoredSetting], folder: Path) -> None:
    if not all(Place(folder, one).is_finished for one in settings):
        raise Interrupted("interrupted")


@contextmanager
def _deaf() -> Iterator[None]:
    """Children inherit that Ctrl-C is not for them, before they run any code."""
    if os.name == "nt":
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- elsewhere


def _elsewhere(
    settings: Sequence[StoredSetting],
    folder: Path,
    data_folder: Path | None,
    executor: Executor,
    watch: Watch,
) -> None:
    folder = folder.absolute()  # a worker stands somewhere else
    data_folder = data_folder and data_folder.absolute()
    futures = Futures()

    def done() -> float:
        return work([one for future, one in futures.items() if future.done()])

    try:
        with _renewed(_leave(folder)) as leave:
            for one in settings:
                futures[executor.submit(_far, one, folder, data_folder, leave)] = one
            stopped = _follow(futures, done, watch)
    finally:
        wait(futures)
    if not stopped:
        _require_none_left_out(futures)
    _require_all(settings, folder)


def _require_none_left_out(futures: Futures) -> None:
    """Of runs that are all over, and did not fail."""
    if any(one.exception() for one in futures):
        raise Lost("workers saw no sign of this command, and stopped")
    if left_out := [said for one in futures if (said := one.result())]:
        raise InvalidParameter(
            f"{len(left_out)} of {len(futures)} runs could not be had: {left_out[0]}"
        )


def _leave(folder: Path) -> Path:
    """A file that says that runs may go on."""
    folder.mkdir(parents=True, exist_ok=True)
    number, name = mkstemp(prefix=_LEAVE, dir=folder)
    os.close(number)
    return Path(name)


@contextmanager
def _renewed(leave: Path) -> Iterator[Path]:
    """Shown to be meant, again and again, and removed in the end."""
    over = Event()

    def renew() -> None:
        while not over.wait(_RENEWAL):
            with suppress(OSError):  # a file system may be away for a moment
                os.utime(leave)

    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield leave
    finally:
        over.set()
        thread.join()
        leave.unlink(missing_ok=True)


def forget_leaves(folder: Path) -> None:
    """Remove what commands left that were killed.

    Their age is told by the clock of the file system, which may be on another machine.
    """
    others = list(folder.glob(f"{_LEAVE}*"))
    if others:
        with suppress(OSError):
            own = _leave(folder)
            now = own.stat().st_mtime
            own.unlink()
            for one in others:
                if now - one.stat().st_mtime > SILENCE:
                    one.unlink()


def _far(
    setting: StoredSetting, folder: Path, data_folder: Path | None, leave: Path
) -> str:
    """One run, on a worker; why there is none, if somebody else keeps its files."""
    listener = _Listener(leave)
    if listener.seen is None:  # if it was taken away, nobody listens any more
        raise InvalidParameter(
            f"the worker on {platform.node()} does not see {folder}, where the records "
            "are kept: choose a folder that all workers share"
        )
    begun = monotonic()

    def watch(_: float) -> bool:
        return monotonic() - listener.asked >= _POLL and not listener.has_leave()

    def patient() -> bool:
        return monotonic() - begun < PATIENCE and listener.has_leave()

    try:
        _train(setting, folder, data_folder, watch, patient)
    except Busy as error:
        return str(error)
    return ""


class _Listener:
    """Whether a run may go on; by this machine's clock alone, which goes evenly."""

    def __init__(self, leave: Path) -> None:
        self.leave = leave
        self.seen = _renewal(leave)
        self.asked = self.heard = monotonic()

    def has_leave(self) -> bool:
        """Whether it is there, and was renewed not long ago."""
        self.asked, seen = monotonic(), _renewal(self.leave)
        if seen != self.seen:
            self.seen, self.heard = seen, self.asked
        return seen is not None and self.asked - self.heard < SILENCE


def _renewal(leave: Path) -> int | None:
    """When it was renewed last, by opening it: what a network file system says of its
    name may be old."""
    try:
        with leave.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None
