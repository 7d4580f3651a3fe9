"""One thread for matrix products, so that their bits do not depend on the machine.

Several products at once share the cores already: with threads of their own they would
wait for one another.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any

import scipy.linalg  # noqa: F401  (its BLAS must be loaded where threads are limited)

from refimpl.errors import InvalidParameter, MissingExtra


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Compute on one core; on several, sums would depend on how many there are.

    Several threads of a process may be inside; the limit holds until all have left.

    Raises
    ------
    MissingExtra
        If threadpoolctl is absent.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtra(
            "computing on one core needs threadpoolctl, which the extra `experiments` "
            'brings: pip install "local-entropy-oracle[experiments]"'
        ) from error
    _keeper.enter(threadpool_limits)
    try:
        with threadpool_limits(1):  # of libraries that count for each thread apart
            yield
    finally:
        _keeper.leave()


class _Keeper:
    """Holds the limit while anybody is inside, in a thread of its own.

    Most libraries have one limit for the process, which threadpoolctl lets that thread
    alone change that did so first: it must not be one that leaves before the others.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._over = Event()
        self._thread = Thread()

    def enter(self, limits: Callable[[int], Any]) -> None:
        with self._lock:
            if not self._inside:
                begun, self._over = Event(), Event()
                given = limits, begun, self._over
                self._thread = Thread(target=_keep, args=given, daemon=True)
                self._thread.start()
                begun.wait()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._over.set()
                self._thread.join()


def _keep(limits: Callable[[int], Any], begun: Event, over: Event) -> None:
    try:
        with limits(1):
            begun.set()
            over.wait()
    finally:
        begun.set()


_keeper = _Keeper()


def one_torch_thread(torch: Any) -> None:
    """PyTorch's own count, of the whole process, which no limit of libraries reaches.

    Parameters
    ----------
    torch : module
    """
    torch.set_num_threads(1)


class OneCore(Executor):
    """An executor whose tasks compute on one core each, `one_blas_thread`.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        What runs them; its processes must find this package installed.

    Raises
    ------
    InvalidParameter
        If it is none.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with OneCore(ThreadPoolExecutor(2)) as pool:
    ...     pool.submit(max, 2, 3).result()
    3
    """

    def __init__(self, executor: Executor) -> None:
        if not isinstance(executor, Executor):
            raise InvalidParameter(
                f"executor must be one of concurrent.futures, got {executor!r}"
            )
        self._executor = executor

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """As the executor does."""
        return self._executor.submit(_alone, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Of the executor itself."""
        more = {"cancel_futures": True} if cancel_futures else {}  # Dask knows none
        self._executor.shutdown(wait, **more)


def _alone(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    with one_blas_thread():
        return fn(*args, **kwargs)
