"""Test vectors: inputs, answers of 30 certified digits, and what must not be answered.

`generate` derives and writes the folder ``v1``, `judge` judges answers from any
language against it, `lint` says what is wrong with it.  ``verification vectors`` is the
command; the format is explained in the documentation, page "Vectors".
"""

from pathlib import Path

__all__ = ["FOLDER", "VERSION"]

#: Where the vectors are.
FOLDER = Path(__file__).parent / "v1"

#: Of the vectors: new tests raise the second number, corrected ones the third.
VERSION = "1.0.0"
