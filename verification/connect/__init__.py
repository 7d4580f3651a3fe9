"""Ways to reach a subject: in the judge's own process, or in one of its own."""

from __future__ import annotations

from typing import Any

from verification.connect.command import TIME_LIMIT, Command
from verification.connect.in_process import DEFAULT, load
from verification.errors import UsageError

__all__ = ["Command", "connect", "load"]


def connect(
    subject: str | None = None,
    command: str | None = None,
    time_limit: float | None = None,
) -> Any:
    """The subject that a command line names.

    Parameters
    ----------
    subject : str, optional
        ``package.module:object``, see `verification.connect.in_process.load`; by
        default `refimpl`.
    command : str, optional
        A harness, see `verification.connect.command.Command`, in place of a subject.
    time_limit : float, optional
        Seconds that a call of the harness may take.

    Raises
    ------
    CannotStart
        If the subject cannot be loaded, or the harness cannot be started.
    UsageError
        If both are given, or a time limit without a harness.
    """
    if command is None:
        if time_limit is not None:
            raise UsageError("a time limit is kept for a --command only")
        return load(DEFAULT if subject is None else subject)
    if subject is not None:
        raise UsageError("a subject is named by --subject or by --command, not both")
    return Command(command, TIME_LIMIT if time_limit is None else time_limit)
