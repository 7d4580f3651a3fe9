"""A line now and then of what takes minutes."""

from __future__ import annotations

import time

__all__ = ["Countdown"]

EVERY = 30.0  # seconds between two lines


class Countdown:
    """Tells how much is done, and the time left; begins when it is made."""

    def __init__(self) -> None:
        self._begun = self._said = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    def line(self, done: int, of: int, more: str = "") -> str | None:
        """What is to be said now, if it is time for it."""
        now = time.monotonic()
        if now - self._said < EVERY:
            return None
        self._said = now
        left = (now - self._begun) / done * (of - done)
        return f"{done} of {of} done, {more}{left:.0f} s left"
