"""What a backslash means in a JSON string, for the kernels that compare keys byte by byte.

Numba's disk cache looks only at the file of the kernel it loads: after a change here, remove the
``__pycache__`` of this package.
"""

from __future__ import annotations

from loadstar.arrays import kernel


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
