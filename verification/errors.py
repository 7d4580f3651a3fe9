"""The expected errors of the judge, and whom each of them concerns.

======================  ==============================================  =========
error                   who                                             exit code
======================  ==============================================  =========
`NotRun`                nobody: a case the subject does not offer       none
`SubjectFault`          the subject: the check fails                    1
`OracleFault`           the judge: no verdict may be trusted            3
`UsageError`            the command line                                4
======================  ==============================================  =========
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

__all__ = [
    "CannotStart",
    "NotFinite",
    "NotProvided",
    "NotRun",
    "OracleFault",
    "SubjectFault",
    "UnknownCheck",
    "UsageError",
    "VerificationError",
    "in_one_line",
    "one_line",
]


class VerificationError(Exception):
    """Base of every expected error of the judge."""


class NotRun(VerificationError):
    """A case does not apply to the subject; the message says why."""


class NotProvided(NotRun):
    """The subject lacks a method.

    Parameters
    ----------
    name : str
        The method's name in `verification.subject.Subject`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the subject has no method {name}")
        self.name = name


class SubjectFault(VerificationError):
    """The subject raised, changed an argument, or answered in a wrong form."""


class NotFinite(SubjectFault):
    """The subject answered infinity or NaN, which is no answer of a check."""


class OracleFault(VerificationError):
    """The judge itself is wrong; the subject is not to blame."""


class UsageError(VerificationError):
    """The command line asks for something that cannot be done."""


class CannotStart(UsageError):
    """The subject could not be loaded."""


class UnknownCheck(UsageError):
    """No check has this id.

    Parameters
    ----------
    wanted : str
        What was asked for.
    known : sequence of str
        The ids that exist.
    kind : str
        What has such ids.
    """

    def __init__(self, wanted: str, known: Sequence[str], kind: str = "check") -> None:
        families = {name.rsplit("-", 1)[0] for name in known} - {*known}
        near = get_close_matches(wanted.upper(), [*known, *sorted(families)], n=3)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "`verification list` shows the checks there are."
        )
        super().__init__(f"there is no {kind} {wanted!r}; {hint}")
        self.wanted, self.known, self.near = wanted, tuple(known), tuple(near)


def one_line(text: str, limit: int) -> str:
    """A text without line ends, and without its end if it has more characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def in_one_line(exc: BaseException, limit: int = 300) -> str:
    """Type, text and last traceback line of an exception, in one line.

    Parameters
    ----------
    exc : BaseException
        What was raised.
    limit : int
        Longest text shown, in characters.
    """
    text = one_line(str(exc), limit)
    said = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    frames = traceback.extract_tb(exc.__traceback__)
    if not frames:
        return said
    last = frames[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}, in {last.name}"
    return f"{said} [{where}: {last.line}]" if last.line else f"{said} [{where}]"
