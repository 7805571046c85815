"""Of a page of metrics, the lines that an engine is read by: a dozen out of many hundred.

Everything else is passed over in one go, 64 bytes at once. What is left is short enough to be
searched by name without a thought, and to be remembered: a server that rests says the same of its
load on every page, whatever else moves there. Pure; called for every page by ``catalog``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from gateway.datalayer.extract.load import EndpointLoad
from loadstar.arrays import Bytes, Ints, kernel

TESTS: Final = 3
"""Of one byte of a line; it is looked at further where one of them holds."""
_REMEMBERED = 512
_REMEMBERED_BYTES = 4096
_AT_ONCE = 64
"""Lines returned by one call of the kernel."""
_STRIDE = 64
"""Bytes looked at together."""
_MOST_INDENT = 63
"""Blanks before a name, as ``loadstar.signals.exposition`` allows them."""
_NEWLINE, _SPACE, _TAB, _BRACE = 10, 32, 9, 123


class Excerpt:
    """Called with a page, returns those of its lines that are samples of ``families``."""

    def __init__(self, families: Sequence[bytes]) -> None:
        """``families`` are names, at least one of them, none empty. Raises ValueError."""
        if not families or not all(families):
            raise ValueError(f"names of families, not {list(families)}")
        self._words = np.frombuffer(b"".join(families), np.uint8)
        self._ends = np.cumsum([len(name) for name in families])
        # The first byte in which they differ, or the last of the shortest.
        columns = list(zip(*families, strict=False))
        telling = next((k for k, column in enumerate(columns) if len(set(column)) > 1), -1)
        self._apart = 1 + telling % len(columns)
        self._tests = np.array(byte_tests(set(columns[telling])), np.uint8)

    def __call__(self, page: bytes) -> bytes:
        """The lines in their order, each as it stands there."""
        text = np.frombuffer(page, np.uint8)
        found = np.empty((_AT_ONCE, 2), np.int64)
        parts: list[bytes] = []
        start, count = 0, _AT_ONCE
        while count == _AT_ONCE:
            count = _find(text, self._words, self._ends, self._apart, self._tests, start, found)
            spans = found[:count].tolist()
            parts += [page[begin:end] for begin, end in spans]
            if spans:
                start = spans[-1][1]
        return b"".join(parts)


def byte_tests(wanted: Iterable[int]) -> list[tuple[int, int]]:
    """``TESTS`` of (mask, value): byte & mask == value in one of them for all that are ``wanted``.

    For as few others as can be found by uniting, again and again, those two that are nearest.
    """
    tests = [(0xFF, byte) for byte in sorted(wanted)]
    while len(tests) > TESTS:
        united = [
            (mask & other & ~(value ^ second) & 0xFF, value, (mask, value), (other, second))
            for (mask, value), (other, second) in itertools.combinations(tests, 2)
        ]
        mask, value, one, two = max(united, key=lambda each: each[0].bit_count())
        tests = [test for test in tests if test not in (one, two)] + [(mask, value & mask)]
    return (tests * TESTS)[:TESTS]


def extractor(
    read: Callable[[bytes], EndpointLoad], families: Sequence[bytes]
) -> Callable[[bytes], EndpointLoad]:
    """``read``, a pure function of the samples of ``families``, without the rest of the page."""
    if not families:
        return read
    excerpt, known = Excerpt(families), lru_cache(_REMEMBERED)(read)

    def extract(page: bytes) -> EndpointLoad:
        lines = excerpt(page)
        return known(lines) if len(lines) <= _REMEMBERED_BYTES else read(lines)

    return extract


def warm_up() -> None:
    """Compile, before the first page comes: seconds once on a machine, milliseconds after that."""
    Excerpt([b"up"])(b"up 1\n")


@kernel
def _find(
    text: Bytes, words: Bytes, ends: Ints, apart: int, tests: Bytes, start: int, found: Ints
) -> int:
    """Fill ``found`` with (begin, end) of lines from ``start`` on, where a line begins.

    Returns how many there are, at most as many as it has room for.
    """
    size, count = text.size, 0
    if start < size:
        end = _wanted_until(text, start, words, ends)
        if end > 0:
            found[0, 0], found[0, 1], count = start, end, 1
            start = end - 1
    i = start
    while i < size and count < found.shape[0]:
        while i + _STRIDE + apart <= size and not _may_begin(text, i, apart, tests):
            i += _STRIDE
        stop = min(i + _STRIDE, size)
        while i < stop:
            if text[i] == _NEWLINE:
                end = _wanted_until(text, i + 1, words, ends)
                if end > 0:
                    found[count, 0], found[count, 1] = i + 1, end
                    count += 1
                    i = end - 1  # its newline begins the next line
                    break
            i += 1
    return count


@kernel
def _may_begin(text: Bytes, start: int, apart: int, tests: Bytes) -> bool:
    """Whether a newline in this stride is followed by a line that may be wanted or is indented."""
    near = np.uint8(0)
    mask_a, a, mask_b, b = tests[0, 0], tests[0, 1], tests[1, 0], tests[1, 1]
    mask_c, c = tests[2, 0], tests[2, 1]
    newline, space = np.uint8(_NEWLINE), np.uint8(_SPACE)
    # Unsigned, as an index that may be negative keeps this from becoming a few instructions; so
    # would an early exit.
    i, j = np.uint64(start), np.uint64(start + apart)
    for k in range(_STRIDE):
        step = np.uint64(k)
        byte = text[j + step]
        told = np.uint8(byte & mask_a == a) | np.uint8(byte & mask_b == b)
        told |= np.uint8(byte & mask_c == c) | np.uint8(text[i + step + np.uint64(1)] <= space)
        near |= np.uint8(text[i + step] == newline) & told
    return bool(near)


@kernel
def _wanted_until(text: Bytes, begin: int, words: Bytes, ends: Ints) -> int:
    """Where the line that starts at ``begin`` ends, newline included; 0 if nobody asks for it."""
    size, at, first = text.size, begin, 0
    while at < size and at - begin < _MOST_INDENT and text[at] in (_SPACE, _TAB):
        at += 1
    for last in ends:
        after = at + last - first
        if after < size and text[after] in (_BRACE, _SPACE, _TAB):
            right = 0
            while first + right < last and text[at + right] == words[first + right]:
                right += 1
            if first + right == last:
                while after + 1 < size and text[after] != _NEWLINE:
                    after += 1
                return int(after + 1)
        first = last
    return 0
