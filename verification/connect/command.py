"""A subject in a process of its own, in any language: ``--command "./my_harness"``.

The judge writes messages to the harness's standard input, the harness an answer to
each to its standard output: JSON objects, one per line, see `docs/connect.md`.
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from threading import TIMEOUT_MAX
from typing import Any, Self

from verification.connect.messages import (
    HarnessFault,
    encode,
    hard_numbers,
    inexact,
    numbers,
    parse,
)
from verification.connect.process import Ended, Process, Silent
from verification.errors import CannotStart, SubjectFault, one_line
from verification.subject import METHODS, Subject, meant

__all__ = ["PATIENCE", "PROTOCOL", "TIME_LIMIT", "Command"]

#: The version of the protocol.
PROTOCOL = 1

#: Seconds that a call may take.
TIME_LIMIT = 60.0

#: Calls of one method that may exceed the limit, or in a row end the process, before
#: it is not called any more.
PATIENCE = 2

#: Characters that are shown of what a harness says or did.
SHOWN = 800

ANSWERS = ("result", "not-implemented", "error")

#: What a harness says of itself, and may say otherwise at no later start.
DECLARED: dict[str, Any] = {
    "name": None,
    "dtype": "float64",
    "conventions": {},
    "methods": None,
}


class Command:
    """What a harness offers, as a subject with just those methods.

    Parameters
    ----------
    command : str or sequence of str
        The program and its arguments; it is not run by a shell.
    time_limit : float
        Seconds that a call may take.

    Attributes
    ----------
    name, dtype, conventions
        As the harness says.

    Raises
    ------
    CannotStart
        If the program cannot be run, does not answer, or does not echo numbers exactly.
    NotImplementedError
        By a call: the harness says so.
    SubjectFault
        By a call: the harness says "error", dies, is silent or answers no question;
        except in the first case a new process is started for the next call.

    Notes
    -----
    Replicates, and the draws for them, are arrays of one message: a call of many
    outputs costs one exchange.
    """

    def __init__(
        self, command: str | Sequence[str], time_limit: float = TIME_LIMIT
    ) -> None:
        if not 0 < time_limit <= TIMEOUT_MAX:
            raise CannotStart(f"a time limit is a number of seconds, got {time_limit}")
        self._words = _split(command)
        self._limit = time_limit
        self._late: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()  # in a row
        self._count = 0
        self._process: Process | None = None
        try:
            with _shallow("start"):
                said = self._start()
                self._methods = _methods(said)
            self._said = said
        except HarnessFault as fault:
            self._abandon()
            raise CannotStart(f"{shlex.join(self._words)}: {fault}") from None
        self.name = said.get("name", self._words[0])
        self.dtype = said.get("dtype", "float64")
        self.conventions: Mapping[str, str] = said.get("conventions", {})

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_methods", ()):
            return partial(self._call, name)
        raise AttributeError(f"the harness offers no {name!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the harness go; a later call starts it again."""
        if self._process is not None:
            self._process.close(encode({"id": self._count, "message": "stop"}))
            self._process = None

    def _start(self) -> dict[str, Any]:
        """A new process, which has said what it offers and echoed hard numbers."""
        self._count = 0
        try:
            self._process = Process(self._words)
        except HarnessFault as fault:
            raise _fault("start", str(fault)) from None
        said = self._result("start", protocol=PROTOCOL)
        if not isinstance(said, dict):
            raise _fault("start", f"must give an object as its result, not {said!r}")
        dtype = said.get("dtype", "float64")
        sent = hard_numbers(dtype)
        if wrong := inexact(sent, self._result("echo", numbers=sent), dtype):
            raise _fault("echo", wrong)
        return said

    def _result(self, message: str, **more: Any) -> Any:
        """The result of a message that every harness must understand."""
        reply = self._exchange(message, {"message": message, **more})
        if "result" not in reply:
            raise _fault(message, f"refuses: {_reason(reply)}")
        return reply["result"]

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        self._spare(name)
        bound = _signature(name).bind(None, *args, **kwargs)
        arguments = {k: v for k, v in bound.arguments.items() if k != "self"}
        if self._process is None:
            self._restart(name)
        call = {"message": "call", "method": name, "arguments": arguments}
        reply = self._exchange(name, call)
        if "result" in reply:
            with _shallow(name):
                return numbers(reply["result"])
        if "not-implemented" in reply:
            raise NotImplementedError(_reason(reply))
        raise SubjectFault(f"{name} raised {_reason(reply, quoted=True)}")

    def _restart(self, name: str) -> None:
        try:
            for message in ("start", "echo"):
                self._spare(message)
            with _shallow("start"):
                _same(self._said, self._start())
        except HarnessFault as fault:
            self._abandon()
            raise HarnessFault(f"{name}, starting again: {fault}") from None

    def _spare(self, asked: str) -> None:
        """Ask no more what has been left without an answer too often."""
        why = ""
        if self._late[asked] >= PATIENCE:
            why = f"there was no answer within {self._limit:g} s"
        elif self._ended[asked] >= PATIENCE:
            why = "in a row it ended"
        if why:
            raise _fault(asked, f"is not asked again: {PATIENCE} times {why}")

    def _exchange(self, asked: str, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a message; without one the process is given up."""
        assert self._process is not None  # `_start` has made it
        own = self._count
        self._count += 1
        try:
            line = self._process.ask(encode({"id": own, **message}), self._limit)
            with _shallow(asked):
                reply = parse(line)
                _check(reply, own)
        except HarnessFault as fault:
            self._abandon()
            self._late[asked] += isinstance(fault, Silent)
            self._ended[asked] += isinstance(fault, Ended)
            raise _fault(asked, str(fault)) from None
        except BaseException:  # an interrupt; the answer would be the next one's
            self._abandon()
            raise
        self._ended[asked] = 0
        return reply

    def _abandon(self) -> None:
        """End a process that is not to be trusted any more."""
        if self._process is not None:
            self._process.close(grace=0)
            self._process = None


def _split(command: str | Sequence[str]) -> list[str]:
    try:
        words = (
            shlex.split(command, posix=os.name == "posix")
            if isinstance(command, str)
            else [*command]
        )
    except ValueError as error:
        raise CannotStart(f"the command {command!r}: {str(error).lower()}") from None
    if not words:
        raise CannotStart("the command is empty")
    return words


def _fault(asked: str, clause: str) -> HarnessFault:
    return HarnessFault(f"{asked}: the harness {one_line(clause, SHOWN)}")


@contextmanager
def _shallow(asked: str) -> Iterator[None]:
    """Lists in lists that no answer needs, and that Python does not read to the end."""
    try:
        yield
    except RecursionError:
        raise _fault(asked, "nests lists or objects without measure") from None


@cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(getattr(Subject, name))


def _check(reply: dict[str, Any], own: int) -> None:
    """An answer is to this message, and is of one kind."""
    id_ = reply.get("id")
    if id_ != own or isinstance(id_, bool):  # which Python takes for a number
        raise HarnessFault(
            f"answered message {own} with the id {json.dumps(id_)[:60]}: every message "
            "has one answer, in order, with its id"
        )
    if sum(kind in reply for kind in ANSWERS) != 1:
        raise HarnessFault(
            f"must answer with one of {', '.join(ANSWERS)}, "
            f"but its answer has {', '.join(reply)}"
        )


def _reason(reply: dict[str, Any], quoted: bool = False) -> str:
    """What a harness says instead of a result, in one line."""
    said = next(reply[kind] for kind in ANSWERS if kind in reply)
    text = one_line(str(said or ""), SHOWN)
    if not text:
        return "without a reason"
    return f'"{text}"' if quoted else text


def _methods(said: dict[str, Any]) -> tuple[str, ...]:
    offered = said.get("methods")
    if not isinstance(offered, list) or not offered:
        raise _fault("start", f"must say its methods, a list of names, not {offered!r}")
    for name in offered:
        if name not in METHODS:
            near = meant(str(name))
            hint = f"; did you mean {near}?" if near else ""
            raise _fault("start", f"offers {name!r}, which is no method{hint}")
    return tuple(offered)


def _same(said: dict[str, Any], again: dict[str, Any]) -> None:
    """A harness that was started again is the one that is judged."""
    for key, default in DECLARED.items():
        before, now = said.get(key, default), again.get(key, default)
        if key == "methods" and isinstance(now, list):
            before, now = sorted(before), sorted(map(str, now))
        if now != before:
            raise _fault(
                "start", f"says {key} {now!r}, where it said {before!r} at first"
            )
