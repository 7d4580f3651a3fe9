"""A process that answers a line with a line, or is found out within a time limit.

Whoever asks never touches a pipe, and so cannot block on one: one thread writes the
questions, one reads the answers, also while a question is being written, and one keeps
the end of what the process writes to standard error.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO

from verification.connect.messages import HarnessFault

__all__ = ["Ended", "Process", "Silent"]

BUFFER = 2**20  # bytes
LONGEST = 2**30  # bytes of a line
TAIL = 5  # lines of standard error that are shown
SHOWN = 400  # characters of them
MARKS = b" \t\r\n~^"  # of lines that say nothing: they point at the line above
GRACE = 2.0  # seconds that a process has to go by itself
DYING = 1.0  # seconds for what a dying process leaves behind to arrive
WATCH = 0.1  # seconds between two looks at whether a silent process still lives


class Silent(HarnessFault):
    """No answer came within the time limit."""


class Ended(HarnessFault):
    """The process ended, or will answer no more."""


class Process:
    """A running process.

    Parameters
    ----------
    words : sequence of str
        The program and its arguments.

    Raises
    ------
    HarnessFault
        If there is no such program, or it cannot be run.
    """

    def __init__(self, words: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                words,
                bufsize=BUFFER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # to be ended with all that it starts
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise HarnessFault(f"cannot be run: {reason}") from None
        self._farewell = b""
        self._questions: SimpleQueue[bytes | None] = SimpleQueue()
        self._turns: SimpleQueue[bool | None] = SimpleQueue()
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._said: deque[bytes] = deque(maxlen=TAIL)
        self._threads = [
            Thread(target=work, daemon=True)
            for work in (self._write, self._read, self._listen)
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def ask(self, question: bytes, seconds: float) -> bytes:
        """The line that answers this line.

        Raises
        ------
        Silent
            If none comes within so many seconds.
        Ended
            If the process dies, or closes its standard output.
        """
        if self._process.poll() is not None:
            raise Ended(self._end())
        self._questions.put(question)
        self._turns.put(True)
        line = self._line(seconds)
        if not line.endswith(b"\n"):
            raise Ended(self._end(line))
        return line

    def _line(self, seconds: float) -> bytes:
        """The next line; what there is of it, if the process ends before.

        The end of its output alone would not tell: a child that outlives the process
        keeps it open.
        """
        deadline, ended = time.monotonic() + seconds, False
        while not ended and (left := deadline - time.monotonic()) > 0:
            with suppress(Empty):
                return self._answers.get(timeout=min(left, WATCH))
            ended = self._process.poll() is not None
        if not ended:
            raise Silent(
                f"gave no answer within {seconds:g} s (an answer ends with a newline, "
                f"and is flushed){self._tail()}"
            )
        with suppress(Empty):  # a last word may still be on its way
            return self._answers.get(timeout=DYING)
        return b""

    def close(self, farewell: bytes = b"", grace: float = GRACE) -> None:
        """Say a last line and no more; after `grace` seconds, end the process."""
        atexit.unregister(self.close)
        self._farewell = farewell
        self._questions.put(None)
        self._turns.put(None)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(DYING)

    def _write(self) -> None:
        stdin = _pipe(self._process.stdin)
        for question in iter(self._questions.get, None):
            with suppress(OSError):  # it is dead, perhaps after a last word
                stdin.write(question)
                stdin.flush()
        with suppress(OSError):
            stdin.write(self._farewell)
        with suppress(OSError):
            stdin.close()

    def _read(self) -> None:
        with _pipe(self._process.stdout) as stdout:
            for _ in iter(self._turns.get, None):
                self._answers.put(stdout.readline(LONGEST))

    def _listen(self) -> None:
        with _pipe(self._process.stderr) as stderr:
            while line := stderr.readline(SHOWN):
                if line.strip(MARKS):
                    self._said.append(line)

    def _end(self, line: bytes = b"") -> str:
        """What a process did whose answer has no end."""
        if len(line) == LONGEST:
            return f"wrote a line of more than {LONGEST} bytes"
        where = " in the middle of an answer" if line else ""
        try:
            code = self._process.wait(DYING)
        except subprocess.TimeoutExpired:
            return f"closed its standard output{where}{self._tail()}"
        self._threads[-1].join(DYING)
        return f"died{where}, {_cause(code)}{self._tail()}"

    def _tail(self) -> str:
        """The end of what it wrote to standard error, as the end of a sentence."""
        lines = [line.decode(errors="replace") for line in tuple(self._said)]
        text = " | ".join(" ".join(line.split()) for line in lines)
        if not text:
            return "; nothing on standard error"
        shown = text if len(text) <= SHOWN else "…" + text[1 - SHOWN :]
        return f"; standard error ends: {shown}"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # every one of the three was asked for
    return stream


def _cause(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
