"""Images with labels: MNIST from its four IDX files, and scikit-learn's digits.

An IDX file of bytes begins with big-endian 32-bit numbers: 2048 plus the number of
axes, and the length of each axis.  The bytes follow, the last axis fastest, and nothing
after them.  MNIST has images (N, 28, 28) and labels (N,); a file may be as it is or
compressed by gzip.

Structure is enforced; content is compared.  A file of the right structure whose content
is not the official one is used, with a warning, which whoever publishes a result must
pass on.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refimpl.arrays import Array, frozen
from refimpl.errors import InvalidData, InvalidParameter, MissingData, MissingExtra

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]

NAMES = ("mnist", "digits")
CLASSES = 10
FOLDER_VARIABLE = "REFIMPL_DATA"
DIGITS_TEST = 360
"""The last of the 1797 digits: a fifth of them."""

_SIDE = 28
_MAGIC = 0x0800  # bytes; the number of axes is added
_GZIP = b"\x1f\x8b"
_MOST = 2**26  # bytes; the largest of the four files has 47 million
_BLOCK = 2**20
_DIGITS_WHITE = 16
_HOW = (
    "put the four files of MNIST into a folder and name it by --data-dir or by the "
    f"environment variable {FOLDER_VARIABLE}, or let `refimpl fetch` download them "
    "(--data digits needs no file)"
)


@dataclass(frozen=True, eq=False)
class Split:
    """Examples to train with, or to test with; both arrays are read-only.

    Attributes
    ----------
    images : ndarray, shape (N, pixels)
        float64 from 0 to 1; an image is a row, its own rows one after the other.
    labels : ndarray, shape (N,)
        int64 from 0 to 9.
    """

    images: Array
    labels: Labels


@dataclass(frozen=True, eq=False)
class Data:
    """Images of the ten digits.

    Attributes
    ----------
    name : str
        ``"mnist"`` or ``"digits"``.
    train, test : Split
    warnings : tuple of str
        A sentence for each file that is not the official one; every record and table
        made from the data carries them.
    """

    name: str
    train: Split
    test: Split
    warnings: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return int(self.train.images.shape[1])

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return CLASSES


@dataclass(frozen=True)
class IdxFile:
    """One of the four files.

    Attributes
    ----------
    name : str
        The official name, without ``.gz``.
    axes : int
        3 for images, 1 for labels.
    md5 : str
        Of the official content.
    gzip_md5 : str
        Of the official compressed file, which is what is downloaded.
    """

    name: str
    axes: int
    md5: str
    gzip_md5: str

    @property
    def names(self) -> tuple[str, ...]:
        """Under what names the file is looked for; the first that is there is read."""
        dotted = self.name.replace("-idx", ".idx")
        return (self.name, f"{self.name}.gz", dotted, f"{dotted}.gz")


FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        3,
        "6bbc9ace898e44ae57da46a324031adb",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        1,
        "a25bea736e30d166cdddb491f175f624",
        "d53e105ee54ea40749a09fcbcd1e9432",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        3,
        "2646ac647ad5339dbf082846283269ea",
        "9fb629c4189551a2d022fa330f9573f3",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        1,
        "27ae3e4e09519cfbb04c329615203637",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)
"""Images and labels to train with, then to test with."""


def load(name: str, folder: str | Path | None = None) -> Data:
    """The images and labels of one data set.

    Parameters
    ----------
    name : str
        ``"mnist"`` or ``"digits"``.
    folder : str or Path, optional
        Where the files of MNIST are; by default what the environment variable
        ``REFIMPL_DATA`` names.  The digits need none.

    Raises
    ------
    InvalidParameter
        If there are no data of that name.
    MissingData
        If no folder is named, or a file is not in it.
    InvalidData
        If a file cannot be read or is not what its format says.
    MissingExtra
        If the digits are asked for and scikit-learn is not installed.
    """
    if name == "mnist":
        return _mnist(data_folder(folder))
    if name == "digits":
        return _digits()
    raise InvalidParameter(f"data must be one of {', '.join(NAMES)}, got {name!r}")


def data_folder(folder: str | Path | None = None) -> Path:
    """The folder of MNIST: the one given, or the one the environment names.

    Raises
    ------
    MissingData
        If there is neither.
    """
    chosen = folder or os.environ.get(FOLDER_VARIABLE)
    if not chosen:
        raise MissingData(f"no folder of data is named: {_HOW}")
    return Path(chosen)


def find(folder: Path, file: IdxFile) -> Path | None:
    """Where a file is, under one of its names; None if it is not there."""
    paths = (folder / name for name in file.names)
    return next((path for path in paths if path.is_file()), None)


def content(path: Path) -> bytes:
    """The bytes of a file, decompressed if gzip wrote them, whatever its name.

    Raises
    ------
    InvalidData
        If it cannot be read or decompressed, or is larger than any of MNIST's.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            return _all(path, gzip.GzipFile(fileobj=file) if zipped else file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidData(f"{path} is damaged, gzip says: {error}") from error
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror}") from error


def _all(path: Path, file: IO[bytes] | gzip.GzipFile) -> bytes:
    """What is in an open file, but not the 1 GB that gzip packs into 1 MB."""
    blocks, count = [], 0
    while block := file.read(_BLOCK):
        blocks.append(block)
        count += len(block)
        if count > _MOST:
            raise InvalidData(
                f"{path} is too large: it has more than {_MOST} bytes, any of MNIST "
                "fewer"
            )
    return b"".join(blocks)


def md5(data: bytes) -> str:
    """The MD5 in hexadecimal, against accidents and not against attacks."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# --- MNIST


class _Read(NamedTuple):
    """A file that was read; warnings has a sentence if it is not the official one."""

    path: Path
    values: Bytes
    warnings: tuple[str, ...]


def _mnist(folder: Path) -> Data:
    paths = [find(folder, file) for file in FILES]
    missing = [f.name for f, path in zip(FILES, paths, strict=True) if path is None]
    if missing:
        raise MissingData(
            f"{folder} does not hold {', '.join(missing)} (nor any .gz): {_HOW}"
        )
    read = [_read(path, f) for path, f in zip(paths, FILES, strict=True) if path]
    train, test = _split(*read[:2]), _split(*read[2:])
    warnings = tuple(sentence for one in read for sentence in one.warnings)
    return Data("mnist", train, test, warnings)


def _read(path: Path, file: IdxFile) -> _Read:
    """One file, checked by itself."""
    data = content(path)
    values = _parse(path, data, file.axes)
    if file.axes == 1:
        _check_labels(path, values)
    elif values.shape[1:] != (_SIDE, _SIDE):
        rows, columns = values.shape[1:]
        raise InvalidData(
            f"{path} holds images of {rows} x {columns} pixels, those of MNIST have "
            f"{_SIDE} x {_SIDE}"
        )
    found = md5(data)
    differs = (
        f"{path.name} is not the official file of MNIST: the MD5 of its content is "
        f"{found}, the official one is {file.md5}"
    )
    return _Read(path, values, (differs,) if found != file.md5 else ())


def _parse(path: Path, data: bytes, axes: int) -> Bytes:
    """The array of an IDX file of bytes."""
    header = struct.Struct(f">{1 + axes}I")
    if len(data) < header.size:
        raise InvalidData(
            f"{path} has {len(data)} bytes, fewer than the {header.size} of its header"
        )
    magic, *shape = header.unpack_from(data)
    if magic != _MAGIC + axes:
        raise InvalidData(
            f"{path} begins with the number {magic}, an IDX file of bytes with {axes} "
            f"{'axes' if axes > 1 else 'axis'} with {_MAGIC + axes}"
        )
    expected = header.size + math.prod(shape)
    if len(data) != expected:
        raise InvalidData(
            f"{path} is too {'short' if len(data) < expected else 'long'}: its header "
            f"announces {expected} bytes in all, it has {len(data)}"
        )
    if not all(shape):
        what = "images of 0 pixels" if shape[0] else "0 examples"
        raise InvalidData(f"{path} is empty: its header announces {what}")
    return np.frombuffer(data, np.uint8, offset=header.size).reshape(shape)


def _check_labels(path: Path, labels: Bytes) -> None:
    bad = labels >= CLASSES
    if bad.any():
        i = int(bad.argmax())
        raise InvalidData(
            f"{path} has the label {labels[i]} at index {i}, labels are 0 to "
            f"{CLASSES - 1}"
        )


def _split(images: _Read, labels: _Read) -> Split:
    """Images and labels that belong together."""
    if len(images.values) != len(labels.values):
        raise InvalidData(
            f"{images.path} holds {len(images.values)} images, but {labels.path} "
            f"{len(labels.values)} labels"
        )
    return _scaled(images.values, labels.values, 255)


def _scaled(pixels: NDArray[Any], labels: NDArray[Any], white: int) -> Split:
    """Pixels 0, ..., white become the float64 nearest to pixel / white."""
    flat = pixels.reshape(len(pixels), -1)
    images: Array = np.divide(flat, white, dtype=np.float64)
    copied: Labels = labels.astype(np.int64)
    copied.flags.writeable = False
    return Split(frozen(images), copied)


# --- digits


def _digits() -> Data:
    """8 x 8 images from scikit-learn: the first 1437 to train, the last 360 to test."""
    bunch = _load_digits()()
    train, test = (
        _scaled(bunch.data[part], bunch.target[part], _DIGITS_WHITE)
        for part in (slice(None, -DIGITS_TEST), slice(-DIGITS_TEST, None))
    )
    return Data("digits", train, test)


def _load_digits() -> Any:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise MissingExtra(
            "the digits need scikit-learn, which the extra `experiments` brings: "
            'pip install "local-entropy-oracle[experiments]"'
        ) from None
    return load_digits
