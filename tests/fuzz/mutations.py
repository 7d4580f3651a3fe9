"""Bytes that are nearly right: a few changes, drawn from a generator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["WORDS", "mutated", "of_seed"]

Random = np.random.Generator

_DEEP = (*(60, 400, 990), 10_000)

WORDS = [
    *(b"", b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0", b"1e-400"),
    *(b"{}", b"[]", b'""', b'"0x1p-3"', b'"nan"', b'"\\ud800"', b"1" * 30, b"9" * 5000),
    *(b"[" * deep + b"]" * deep for deep in _DEEP),
    *(b'{"a":' * deep + b"1" + b"}" * deep for deep in _DEEP),
    *(b"[" * 2000, b'{"a":' * 1200, b"(" * 300, b"-" * 300),
    *(b"\xff", b"\0", b"\r", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\n\n", b"\x1f\x8b"),
    *(b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1", b"\x80\0\0\0"),
    *(b"(1099511627776,)", b"|O", b"<f8", b">f8", b"|V4294967295"),
    *(b"PK\3\4", b"\x93NUMPY"),
]

_ODD = [
    *(None, True, -1, 0, 1, 2, 10**400, -(2**63), 2**64, 0.5, 1e308, 5e-324, ""),
    *("0x1p+5000", "1e99999999999999999999", "\ud800", "a\nb", "nan", "sgd"),
    *([], [[]], {}, [0], [None], {"a": 1}, [1, [2]], [[1, 2], [3]], [1e200] * 3),
    {"kind": "quadratic"},
]


def of_seed(seed: int) -> Random:
    """The generator of a mutation."""
    return np.random.default_rng(seed)


def mutated(content: bytes, rng: Random, others: Sequence[bytes] = ()) -> bytes:
    """The bytes after one to four changes."""
    for _ in range(rng.integers(1, 5)):
        change = _CHANGES[rng.integers(len(_CHANGES))]
        content = change(content, rng, others)
    return content


def _span(content: bytes, rng: Random, longest: int = 64) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(rng.integers(1, longest)))


def _flipped(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    if not content:
        return b"\0"
    changed = bytearray(content)
    changed[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _removed(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def _cut(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    return content[: _span(content, rng)[0]]


def _repeated(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    start, stop = _span(content, rng)
    return content[:stop] + content[start:]


def _replaced(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    start, stop = _span(content, rng, 8)
    return content[:start] + WORDS[rng.integers(len(WORDS))] + content[stop:]


def _crossed(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    if not others:
        return content
    other = others[rng.integers(len(others))]
    return content[: _span(content, rng)[0]] + other[_span(other, rng)[0] :]


def _in_json(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    """One line that is JSON, with an odd value somewhere, or without some."""
    lines = content.split(b"\n")
    i = int(rng.integers(len(lines)))
    try:
        value = json.loads(lines[i])
    except (ValueError, RecursionError):
        return content
    lines[i] = json.dumps(_odd(value, rng)).encode()
    return b"\n".join(lines)


def _odd(value: Any, rng: Random) -> Any:
    here = rng.random() < 0.2 or not isinstance(value, dict | list) or not value
    if here:
        return _ODD[rng.integers(len(_ODD))]
    if isinstance(value, list):
        i = int(rng.integers(len(value)))
        return [_odd(one, rng) if k == i else one for k, one in enumerate(value)]
    key = list(value)[rng.integers(len(value))]
    if rng.random() < 0.15:
        return {k: v for k, v in value.items() if k != key}
    return {k: _odd(v, rng) if k == key else v for k, v in value.items()}


_CHANGES: list[Callable[[bytes, Random, Sequence[bytes]], bytes]] = [
    *(_flipped, _removed, _cut, _repeated, _replaced, _crossed),
    *(_in_json, _in_json, _in_json, _in_json),
]
