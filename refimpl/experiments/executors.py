"""Where runs are computed: in processes of this machine, or on a Dask cluster.

A cluster is somebody else's: it is reached at its scheduler's address, and left as it
was found.  Its workers must have this version of the package, and see the folder of
the records; a run whose worker dies is given to another one by the scheduler, and goes
on from its checkpoint.
"""

import logging
import re
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from refimpl import __version__
from refimpl.errors import InvalidParameter, MissingExtra
from refimpl.experiments.workers import Lost, default_jobs

PACKAGE = "local-entropy-oracle"
PROCESSES = "processes"

PATIENCE = 10.0
"""Seconds for a scheduler to answer, and for a first worker to be there."""

_DASK = re.compile(r"dask://([^\s/:]+|\[[0-9a-fA-F:]+\]):\d+")


@dataclass(frozen=True)
class Where:
    """A place to compute.

    Attributes
    ----------
    jobs : int
        Processes of this machine.
    address : str or None
        Of a Dask scheduler, in their place.
    """

    jobs: int = 1
    address: str | None = None

    @classmethod
    def of(cls, text: str) -> "Where":
        """The place that a word names.

        Raises
        ------
        InvalidParameter
            If it names none.

        Examples
        --------
        >>> Where.of("3")
        Where(jobs=3, address=None)
        >>> Where.of("dask://10.0.0.1:8786").address
        'tcp://10.0.0.1:8786'
        """
        if text == PROCESSES:
            return cls(default_jobs())
        if text.isascii() and text.isdigit() and int(text) > 0:
            return cls(int(text))
        if _DASK.fullmatch(text):
            return cls(address=text.replace("dask", "tcp", 1))
        raise InvalidParameter(
            f'an executor is "{PROCESSES}", how many of them, or dask://HOST:PORT, '
            f"got {text!r}"
        )

    @contextmanager
    def open(self) -> Iterator[Executor | None]:
        """The cluster's executor; None for processes of this machine.

        Raises
        ------
        InvalidParameter
            If nobody answers, or the workers are none, or not of this version.
        MissingExtra
            If Dask is absent.
        Lost
            If a run was given up because worker after worker died of it.
        """
        if self.address is None:
            yield None
            return
        dask = distributed()
        with _in_one_sentence(), _client(dask, self.address) as client:
            _require_workers(client, self.address)
            try:
                yield client.get_executor()
            except dask.KilledWorker as error:
                raise Lost("worker after worker died of a run") from error


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Without the tracebacks of a client whose scheduler is gone, which is told."""
    logger = logging.getLogger("distributed.client")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def distributed() -> Any:
    """The module of that name, Dask on several machines.

    Raises
    ------
    MissingExtra
        If it is absent.
    """
    try:
        import distributed as found
    except ImportError as error:
        raise MissingExtra(
            "a Dask cluster needs distributed, which the extra `cluster` brings: "
            f'pip install "{PACKAGE}[cluster]"'
        ) from error
    return found


def _client(dask: Any, address: str) -> Any:
    try:
        return dask.Client(address, timeout=PATIENCE, set_as_default=False)
    except OSError as error:
        raise InvalidParameter(
            f"nobody answers at {address} as the scheduler of a Dask cluster: start "
            "one with `dask scheduler`, or name another address"
        ) from error


def _require_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise InvalidParameter(
            f"the cluster at {address} has no workers: start some with "
            f"`dask worker {address}`"
        ) from error
    found = client.run(version, PACKAGE, on_error="return")
    for worker, theirs in found.items():
        if theirs != __version__:
            has = theirs if isinstance(theirs, str) else "nothing"
            raise InvalidParameter(
                f"the worker at {worker} has {has} of {PACKAGE}, and not "
                f"{__version__}: install it there"
            )
