"""Tasks in forked children, a few at a time: each begins from the same warm process."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["limited", "tasks_done"]

T = TypeVar("T")
Say = Callable[[Any], None]

PATIENCE = 900.0
"""Seconds of wall-clock time after which a child is ended whatever it does."""

MEMORY = 3 * 2**30
"""How many more bytes a child may use."""


@dataclass
class _Child:
    task: Any
    pid: int
    pipe: int
    since: float = field(default_factory=time.monotonic)
    text: bytes = b""

    @property
    def said(self) -> list[Any]:
        """What it said: a line that was cut off is left out."""
        whole = self.text[: self.text.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines()]


def tasks_done(
    tasks: Iterator[T], perform: Callable[[T, Say], None], workers: int
) -> Iterator[tuple[T, list[Any], bool]]:
    """Perform tasks, each in a child of its own.

    Parameters
    ----------
    tasks : iterator
        Asked for the next one when a child is free.
    perform : callable
        perform(task, say); what it says must be fit for JSON.
    workers : int

    Yields
    ------
    task, said, whole
        As they end: what the child said, and whether it came to its end.
    """
    running: dict[int, _Child] = {}
    while True:
        while len(running) < workers and (task := next(tasks, None)) is not None:
            child = _forked(task, perform)
            running[child.pipe] = child
        if not running:
            return
        ready, _, _ = select.select(list(running), [], [], 1.0)
        for pipe in ready:
            child = running[pipe]
            part = os.read(pipe, 2**16)
            child.text += part
            if not part:
                del running[pipe]
                os.close(pipe)
                _, status = os.waitpid(child.pid, 0)
                yield child.task, child.said, status == 0
        for child in running.values():
            if time.monotonic() - child.since > PATIENCE:
                os.kill(child.pid, signal.SIGKILL)


def _forked(task: Any, perform: Callable[[Any, Say], None]) -> _Child:
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return _Child(task, pid, read)
    code = 1
    try:
        os.close(read)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        perform(task, lambda what: _send(write, what))
        code = 0
    finally:
        os._exit(code)


def _send(pipe: int, what: Any) -> None:
    data = json.dumps(what).encode() + b"\n"
    while data:
        data = data[os.write(pipe, data) :]


def limited(seconds: float) -> None:
    """End this process when it has used this much more processor time, or memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = time.process_time()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard)
    )
