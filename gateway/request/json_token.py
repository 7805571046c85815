"""The smallest parts of a JSON text, as kernels: strings, escapes, numbers, true, false, null.

Called by the kernels of ``json_object`` and ``json_stream``. Numba's disk cache looks only at the
file of the kernel it loads: after a change here, remove this package's ``__pycache__``.
"""

from __future__ import annotations

import numpy as np

from loadstar.arrays import Bytes, kernel

# How reading a token ended.
OK, ENDED, CONTROL, ESCAPE, VALUE = range(5)

_QUOTE, _BACKSLASH = 0x22, 0x5C
_TRUE, _FALSE, _NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
_STRIDE = 32


@kernel
def text_end(text: Bytes, i: int) -> int:
    """The first quote, backslash or control character from ``i`` on; else the end of the text."""
    while i + _STRIDE <= text.size:
        special = False
        for k in range(_STRIDE):  # no early exit: this becomes a few vector instructions
            c = text[i + k]
            special |= (c == _QUOTE) | (c == _BACKSLASH) | (c < 0x20)
        if special:
            break
        i += _STRIDE
    while i < text.size and text[i] != _QUOTE and text[i] != _BACKSLASH and text[i] >= 0x20:
        i += 1
    return i


@kernel
def hex_digit(c: int) -> int:
    """The value of a hexadecimal digit; -1 if ``c`` is none."""
    if 0x30 <= c <= 0x39:
        return c - 0x30
    if 0x61 <= c <= 0x66:
        return c - 0x57
    if 0x41 <= c <= 0x46:
        return c - 0x37
    return -1


@kernel
def short_escape(c: int) -> int:
    """The character that a backslash and ``c`` stand for; -1 if that is no escape."""
    if c in (0x22, 0x2F, 0x5C):  # " / \
        return c
    if c == 0x62:
        return 0x08
    if c == 0x66:
        return 0x0C
    if c == 0x6E:
        return 0x0A
    if c == 0x72:
        return 0x0D
    if c == 0x74:
        return 0x09
    return -1


@kernel
def string_end(text: Bytes, opening: int) -> tuple[int, int]:
    """(what went wrong, where) or (OK, the end after the closing quote)."""
    size = text.size
    i = opening + 1
    while i < size:
        i = text_end(text, i)
        if i == size:
            break
        if text[i] == _QUOTE:
            return OK, i + 1
        if text[i] != _BACKSLASH:
            return CONTROL, i
        if i + 1 == size:
            break
        c = text[i + 1]
        i += 2
        if c == 0x75:  # u
            for _ in range(4):
                if i == size:
                    return ENDED, size
                if hex_digit(text[i]) < 0:
                    return ESCAPE, i
                i += 1
        elif short_escape(c) < 0:
            return ESCAPE, i - 1
    return ENDED, size


@kernel
def literal_end(text: Bytes, start: int) -> tuple[int, int]:
    """A number, true, false or null. One that touches the end of the text may not be whole."""
    size = text.size
    c = text[start]
    if c == 0x2D or 0x30 <= c <= 0x39:
        return _number(text, start)
    word = _TRUE if c == 0x74 else _FALSE if c == 0x66 else _NULL
    for k in range(len(word)):
        if start + k == size:
            return ENDED, size
        if text[start + k] != word[k]:
            return VALUE, start
    return OK, start + len(word)


@kernel
def _number(text: Bytes, start: int) -> tuple[int, int]:
    size = text.size
    i = start
    if text[i] == 0x2D:
        i += 1
    digits = i
    i = _skip_digits(text, i)
    if i < size and (i == digits or (text[digits] == 0x30 and i > digits + 1)):
        return VALUE, start
    if i < size and text[i] == 0x2E:
        digits = i + 1
        i = _skip_digits(text, digits)
        if i < size and i == digits:
            return VALUE, start
    if i < size and (text[i] == 0x65 or text[i] == 0x45):
        i += 1
        if i < size and (text[i] == 0x2B or text[i] == 0x2D):
            i += 1
        digits = i
        i = _skip_digits(text, digits)
        if i < size and i == digits:
            return VALUE, start
    if i == size:
        return ENDED, size
    return OK, i


@kernel
def _skip_digits(text: Bytes, i: int) -> int:
    while i < text.size and 0x30 <= text[i] <= 0x39:
        i += 1
    return i
