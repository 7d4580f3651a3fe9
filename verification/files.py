"""Files that take their name when they are whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["draft", "is_draft", "replace"]


def draft(place: Path) -> Path:
    """Where this process keeps a file until it is whole, beside its place.

    What a killed process left there hinders nobody, and no pattern of names finds it.
    """
    return place.with_name(f".{place.name}.{os.getpid()}.part")


def is_draft(place: Path) -> bool:
    """Whether some process keeps, or kept, what is not whole there."""
    return place.name.startswith(".") and place.suffix == ".part"


def replace(place: Path, content: bytes) -> None:
    """Give a file its content; whoever looks finds the old one or the new one, whole.

    Raises
    ------
    OSError
        If it cannot be written, for example on a full disk: it is then as it was.
    """
    new = draft(place)
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a disk may say only now that it is full
        os.replace(new, place)
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
