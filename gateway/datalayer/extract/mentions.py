"""Where a word stands in a large text: ``bytes.find`` again and again, at several times its speed.

A page of metrics is read for a handful of names, each of which means going through all of it. Here
the compiler compares 64 bytes at once. Pure; called by ``series``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loadstar.arrays import Bytes, Ints, kernel

_AT_ONCE = 64
"""Places returned by one call of the kernel."""
_STRIDE = 64
"""Bytes looked at together."""


def mentions(text: bytes, word: bytes) -> Iterator[int]:
    """Where ``word``, which is not empty, begins in ``text``; none overlaps another."""
    page, needle = np.frombuffer(text, np.uint8), np.frombuffer(word, np.uint8)
    found = np.empty(_AT_ONCE, np.int64)
    start, count = 0, _AT_ONCE
    while count == _AT_ONCE:
        count = _find(page, needle, start, found)
        places = found[:count].tolist()
        yield from places
        if places:
            start = places[-1] + len(word)


def warm_up() -> None:
    """Compile, before the first page comes: seconds once on a machine, milliseconds after that."""
    list(mentions(b"warm up", b"up"))


@kernel
def _find(text: Bytes, word: Bytes, start: int, found: Ints) -> int:
    """Fill ``found`` from ``start`` on; how many there are, at most as many as it has room for.

    Only where the first byte and the last are right is the rest looked at.
    """
    size, length, count, i = text.size, word.size, 0, start
    first, last = word[0], word[length - 1]
    while i + length <= size and count < found.size:
        while i + _STRIDE + length <= size and not _may_begin(text, i, length - 1, first, last):
            i += _STRIDE
        end = min(i + _STRIDE, size - length + 1)
        while i < end:
            if text[i] == first and text[i + length - 1] == last and _is_at(text, i, word):
                found[count] = i
                count += 1
                i += length
                break
            i += 1
    return count


@kernel
def _may_begin(text: Bytes, start: int, apart: int, first: int, last: int) -> bool:
    """Whether ``last`` stands ``apart`` bytes behind ``first`` anywhere in the next stride."""
    near = np.uint8(0)
    # Unsigned, as an index that may be negative keeps this from becoming a few instructions; so
    # would an early exit.
    i, j = np.uint64(start), np.uint64(start + apart)
    for k in range(_STRIDE):
        step = np.uint64(k)
        near |= np.uint8(text[i + step] == first) & np.uint8(text[j + step] == last)
    return bool(near)


@kernel
def _is_at(text: Bytes, at: int, word: Bytes) -> bool:
    right = 0
    while right < word.size and text[at + right] == word[right]:
        right += 1
    return right == word.size
