"""Reading MNIST and the digits: files made here, each fault in one of them."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.errors import (
    InvalidData,
    InvalidParameter,
    MissingData,
    MissingExtra,
    RefimplError,
)
from refimpl.experiments import data
from refimpl.experiments.data import load

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (f.name for f in data.FILES)


def idx(values: Any, magic: int | None = None) -> bytes:
    """An IDX file of bytes, written from its description and not by the reader."""
    array = np.asarray(values, dtype=np.uint8)
    numbers = [0x800 + array.ndim if magic is None else magic, *array.shape]
    return b"".join(struct.pack(">I", n) for n in numbers) + array.tobytes()


def small(n_train: int = 9, n_test: int = 4) -> dict[str, bytes]:
    """Four files of the right structure, by name; every pixel value occurs."""
    files = {}
    sizes = ((TRAIN_IMAGES, TRAIN_LABELS, n_train), (TEST_IMAGES, TEST_LABELS, n_test))
    for images, labels, n in sizes:
        pixels = np.arange(n * 784) * 7 % 256
        files[images] = idx(pixels.reshape(n, 28, 28))
        files[labels] = idx(np.arange(n) % 10)
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(autouse=True)
def no_folder_from_outside(monkeypatch: pytest.MonkeyPatch) -> str:
    outside = os.environ.get("REFIMPL_DATA", "")
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    return outside


# --- what is read


def test_examples_are_rows_between_0_and_1(tmp_path: Path) -> None:
    d = load("mnist", write(tmp_path, small()))
    assert (d.name, d.pixels, d.classes) == ("mnist", 784, 10)
    for split, n in ((d.train, 9), (d.test, 4)):
        assert split.images.dtype == np.float64
        assert split.labels.dtype == np.int64
        assert not split.images.flags.writeable
        assert not split.labels.flags.writeable
        # each pixel is the float64 nearest to k / 255, by exact arithmetic
        exact = [float(Fraction(7 * i % 256, 255)) for i in range(n * 784)]
        np.testing.assert_array_equal(split.images.ravel(), exact)
        assert split.images.shape == (n, 784)
        np.testing.assert_array_equal(split.labels, range(n))
    assert (d.train.images.min(), d.train.images.max()) == (0.0, 1.0)


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("compressed", [False, True])
def test_names_and_compression(
    tmp_path: Path, dotted: bool, suffix: str, compressed: bool
) -> None:
    """Names with a dot, and browsers that unpack or keep the suffix."""
    for name, content in small().items():
        written = (name.replace("-idx", ".idx") if dotted else name) + suffix
        (tmp_path / written).write_bytes(
            gzip.compress(content) if compressed else content
        )
    plain = tmp_path / "plain"
    plain.mkdir()
    one, other = load("mnist", tmp_path), load("mnist", write(plain, small()))
    np.testing.assert_array_equal(one.train.images, other.train.images)
    np.testing.assert_array_equal(one.test.labels, other.test.labels)


def test_the_folder_is_given_or_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    write(here, small(n_train=2))
    write(there, small(n_train=3))
    monkeypatch.setenv("REFIMPL_DATA", str(there))
    assert len(load("mnist").train.labels) == 3
    assert len(load("mnist", str(here)).train.labels) == 2


# --- the official content


def test_a_file_that_differs_is_used_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = small()
    official = [
        replace(f, md5=hashlib.md5(files[f.name]).hexdigest()) for f in data.FILES
    ]
    monkeypatch.setattr(data, "FILES", official)
    assert load("mnist", write(tmp_path, files)).warnings == ()

    changed = bytearray(files[TRAIN_IMAGES])
    changed[16] = 1  # the first pixel, which is 0
    (tmp_path / TRAIN_IMAGES).unlink()
    (tmp_path / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(bytes(changed)))
    d = load("mnist", tmp_path)
    assert d.train.images[0, 0] == 1 / 255
    (warning,) = d.warnings
    assert warning == (
        f"{TRAIN_IMAGES}.gz is not the official file of MNIST: the MD5 of its content "
        f"is {hashlib.md5(changed).hexdigest()}, the official one is "
        f"{hashlib.md5(files[TRAIN_IMAGES]).hexdigest()}"
    )


def test_every_file_that_differs_is_named(tmp_path: Path) -> None:
    warnings = load("mnist", write(tmp_path, small())).warnings
    assert [w.split()[0] for w in warnings] == [f.name for f in data.FILES]


# --- faults

WITH = small()
FAULTS = {
    "empty": (TRAIN_IMAGES, b"", "0 bytes, fewer than the 16 of its header"),
    "header cut off": (TEST_LABELS, WITH[TEST_LABELS][:7], "7 bytes, fewer than the 8"),
    "labels for images": (
        TRAIN_IMAGES,
        WITH[TRAIN_LABELS] + bytes(16),
        "begins with the number 2049, .* 3 axes with 2051",
    ),
    "images for labels": (
        TRAIN_LABELS,
        WITH[TRAIN_IMAGES],
        "begins with the number 2051, .* 1 axis with 2049",
    ),
    "little-endian": (
        TEST_LABELS,
        struct.pack("<II", 2049, 4) + bytes(4),
        "begins with the number 17301504",
    ),
    "numbers, not bytes": (TEST_LABELS, idx([1, 2], 0xD01), "the number 3329"),
    "cut off": (
        TEST_IMAGES,
        WITH[TEST_IMAGES][:-1],
        "too short: its header announces 3152 bytes in all, it has 3151",
    ),
    "too long": (
        TEST_IMAGES,
        WITH[TEST_IMAGES] + b"\0",
        "too long: its header announces 3152 bytes in all, it has 3153",
    ),
    "sizes that overflow": (
        TRAIN_IMAGES,
        struct.pack(">IIII", 2051, 2**31, 2**31, 4),
        "too short: its header announces 18446744073709551632 bytes",
    ),
    "no examples": (TEST_LABELS, idx(np.zeros(0)), "announces 0 examples"),
    "small images": (
        TRAIN_IMAGES,
        idx(np.zeros((9, 14, 56))),
        "images of 14 x 56 pixels, those of MNIST have 28 x 28",
    ),
    "a label of 10": (
        TRAIN_LABELS,
        idx([0, 1, 2, 3, 10, 5, 11, 7, 8]),
        "has the label 10 at index 4, labels are 0 to 9",
    ),
    "a label too few": (TRAIN_LABELS, idx(range(8)), "holds 9 images, but .* 8 labels"),
    "an image too few": (
        TEST_IMAGES,
        idx(np.zeros((3, 28, 28))),
        "holds 3 images, but .* 4 labels",
    ),
    "gzip cut off": (
        TRAIN_IMAGES,
        gzip.compress(WITH[TRAIN_IMAGES])[:-9],
        "is damaged, gzip says: Compressed file ended",
    ),
    "gzip checksum": (
        TRAIN_LABELS,
        gzip.compress(WITH[TRAIN_LABELS])[:-8] + bytes(8),
        "is damaged, gzip says: CRC check failed",
    ),
    "gzip body": (
        TEST_IMAGES,
        gzip.compress(WITH[TEST_IMAGES])[:10] + b"\xff" * 40,
        "is damaged, gzip says: Error -3",
    ),
    "gzip and more": (
        TEST_LABELS,
        gzip.compress(WITH[TEST_LABELS]) + b"more",
        "is damaged, gzip says: Not a gzipped file",
    ),
    "gzip of nothing like it": (
        TEST_LABELS,
        gzip.compress(b"<html>404</html>"),
        "begins with the number",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_that_names_the_file(
    tmp_path: Path, fault: str
) -> None:
    name, content, said = FAULTS[fault]
    write(tmp_path, {**small(), name: content})
    with pytest.raises(InvalidData, match=said) as caught:
        load("mnist", tmp_path)
    sentence = str(caught.value)
    assert str(tmp_path / name) in sentence
    assert "\n" not in sentence
    assert issubclass(InvalidData, InvalidParameter)


def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    write(tmp_path, small())
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InvalidData, match=f"{TRAIN_IMAGES} cannot be read: Permission"):
        load("mnist", tmp_path)


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(tmp_path: Path) -> None:
    """100 kB that would be 100 MB; no more than the largest of MNIST is made."""
    write(tmp_path, small())
    packed = gzip.compress(bytes(10**8), mtime=0)
    (tmp_path / TRAIN_IMAGES).write_bytes(packed)
    with pytest.raises(InvalidData, match="too large: it has more than 67108864 bytes"):
        load("mnist", tmp_path)


# --- what is not there

HOW = r"--data-dir or by the environment variable REFIMPL_DATA.*`refimpl fetch`"


@pytest.mark.parametrize("empty", [False, True])
def test_no_folder_is_named(monkeypatch: pytest.MonkeyPatch, empty: bool) -> None:
    if empty:
        monkeypatch.setenv("REFIMPL_DATA", "")
    with pytest.raises(MissingData, match=rf"no folder of data is named: .*{HOW}"):
        load("mnist")
    assert issubclass(MissingData, RefimplError)
    assert issubclass(MissingData, OSError)


def test_missing_files_are_named_all_at_once(tmp_path: Path) -> None:
    files = small()
    del files[TRAIN_LABELS], files[TEST_IMAGES]
    write(tmp_path, files)
    said = rf"does not hold {TRAIN_LABELS}, {TEST_IMAGES} \(nor any \.gz\): .*{HOW}"
    with pytest.raises(MissingData, match=said):
        load("mnist", tmp_path)
    with pytest.raises(MissingData, match=f"nowhere does not hold {TRAIN_IMAGES}, "):
        load("mnist", tmp_path / "nowhere")


def test_unknown_data() -> None:
    with pytest.raises(InvalidParameter, match="one of mnist, digits, got 'cifar'"):
        load("cifar")


# --- the digits


def test_the_digits_and_their_split() -> None:
    d = load("digits")
    assert (d.name, d.pixels, d.classes, d.warnings) == ("digits", 64, 10, ())
    assert d.train.images.shape == (1437, 64)
    assert d.test.images.shape == (360, 64)
    images = np.concatenate([d.train.images, d.test.images])
    labels = np.concatenate([d.train.labels, d.test.labels])
    counts = images * 16  # exact: a power of two
    assert set(np.unique(counts)) == set(range(17))
    # the published file in its published order, every byte of it
    content = counts.astype(np.uint8).tobytes() + labels.astype(np.uint8).tobytes()
    assert hashlib.md5(content).hexdigest() == "7696c07daa6d85010f8268703ab8b067"
    assert np.bincount(d.test.labels).min() >= 33
    for split in (d.train, d.test):
        assert split.images.dtype == np.float64
        assert split.labels.dtype == np.int64
        assert not split.images.flags.writeable


def test_the_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match=r"scikit-learn.*oracle\[experiments\]"):
        load("digits")


# --- MNIST itself


def test_mnist_itself(no_folder_from_outside: str) -> None:
    """Known facts of MNIST: sizes, first labels, frequencies, mean and spread."""
    if not no_folder_from_outside:
        pytest.skip(
            "needs MNIST: `refimpl fetch` brings its four files, REFIMPL_DATA names "
            "their folder"
        )
    d = load("mnist", no_folder_from_outside)
    assert d.train.images.shape == (60000, 784)
    assert d.test.images.shape == (10000, 784)
    assert d.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert d.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    per_class = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(d.train.labels).tolist() == per_class
    # the figures everybody normalises by, printed with four digits; the training
    # images may differ by 1/255 in few pixels, which moves neither digit
    assert abs(d.train.images.mean() - 0.1307) < 1e-4
    assert abs(d.train.images.std() - 0.3081) < 1e-4
    assert len(d.warnings) <= len(data.FILES)
