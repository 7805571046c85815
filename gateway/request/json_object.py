"""Find the values of a few top-level keys of a JSON object, in one pass over its bytes.

The whole text is checked against RFC 8259 (all but the UTF-8 inside strings); nothing is decoded
and no tree is built, so a megabyte of messages costs what reading it costs. ``parse`` decodes the
few short values that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from gateway.request.json_token import (
    CONTROL,
    ENDED,
    ESCAPE,
    OK,
    VALUE,
    hex_digit,
    literal_end,
    short_escape,
    string_end,
)
from loadstar.arrays import Bytes, Ints, kernel
from loadstar.records import record

MAX_DEPTH = 10_000
"""Nesting beyond this is refused; model servers give up far earlier (CPython at about 1,000)."""

_ABSENT = -1
_UNFINISHED = -2

# What went wrong beyond single tokens.
_NOT_OBJECT, _KEY, _COLON, _COMMA, _TRAILING, _DEEP = range(10, 16)

_PROBLEMS: Mapping[int, str] = MappingProxyType(
    {
        _NOT_OBJECT: "a JSON object must begin here",
        _KEY: "a key in double quotes must stand here",
        _COLON: "a ':' must follow the key",
        VALUE: "a JSON value must stand here",
        _COMMA: "a ',' or the closing bracket must follow the value",
        _TRAILING: "nothing may follow the object",
        CONTROL: "a control character in a string must be escaped",
        ESCAPE: "this is no JSON escape",
        _DEEP: f"nesting may be at most {MAX_DEPTH} levels deep",
    }
)

# What may stand next.
_TOP, _FIRST_KEY, _NEXT_KEY, _A_COLON, _FIRST_ITEM, _A_VALUE, _AFTER_VALUE, _NOTHING = range(8)

_QUOTE, _BACKSLASH, _COMMA_SIGN, _COLON_SIGN = 0x22, 0x5C, 0x2C, 0x3A
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = 0x7B, 0x7D, 0x5B, 0x5D
_SPACE = (0x20, 0x0A, 0x0D, 0x09)


@record
class Problem:
    """Why the text is not a JSON object, and where."""

    at: int
    """Byte offset; the length of the text if it ends too early."""
    what: str


NONE_UNFINISHED: Mapping[str, int] = MappingProxyType({})


@record
class TopLevel:
    """Where the values of the keys asked for stand: [start, end) in the text.

    A repeated key has its last value, as in ``json.loads``. If the text was cut, a value that
    stood at the cut is in ``unfinished`` with its start.
    """

    values: Mapping[str, tuple[int, int]]
    unfinished: Mapping[str, int]
    problem: Problem | None
    ended_early: bool
    """The text is the beginning of a JSON object; ``problem`` says so too."""


class Keys:
    """The keys to look for, prepared for the kernel. Plain ASCII without quotes or backslashes."""

    __slots__ = ("ends", "joined", "names")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.joined: Bytes = np.frombuffer("".join(names).encode("ascii"), np.uint8)
        self.ends: Ints = np.cumsum([len(name) for name in names]).astype(np.int64)


def top_level(text: bytes, keys: Keys) -> TopLevel:
    """Where ``keys`` stand in ``text``, and whether it is a JSON object. A UTF-8 BOM is skipped."""
    start = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    names = keys.names
    found: Ints = np.empty((len(names), 3), np.int64)
    code, at, count = _find(np.frombuffer(text, np.uint8), start, keys.joined, keys.ends, found)
    rows = found[:count].tolist()
    if code == OK:
        values = {names[row]: (begin, end) for row, begin, end in rows}
        return TopLevel(values, NONE_UNFINISHED, None, False)
    values = {}
    unfinished: dict[str, int] = {}
    for row, begin, end in rows:
        if end == _UNFINISHED:
            unfinished[names[row]] = begin
        else:
            values[names[row]] = (begin, end)
    if code == ENDED:
        problem = Problem(
            at, "it ends before the object is closed" if at > start else "it is empty"
        )
    else:
        problem = Problem(at, _PROBLEMS[code])
    return TopLevel(values, unfinished, problem, code == ENDED)


@kernel
def _find(text: Bytes, start: int, names: Bytes, ends: Ints, found: Ints) -> tuple[int, int, int]:
    """(what went wrong, where, how many rows of ``found`` are filled with (name, begin, end))."""
    spans = np.empty((ends.size, 2), np.int64)
    code, at = _scan(text, start, names, ends, spans)
    count = 0
    for row in range(ends.size):
        if spans[row, 1] != _ABSENT:
            found[count, 0], found[count, 1], found[count, 2] = row, spans[row, 0], spans[row, 1]
            count += 1
    return code, at, count


@kernel
def _scan(text: Bytes, start: int, names: Bytes, ends: Ints, spans: Ints) -> tuple[int, int]:
    """Fill ``spans`` for the keys in ``names``; (what went wrong, where)."""
    spans[:] = _ABSENT
    size = text.size
    open_brackets = np.empty(MAX_DEPTH, np.uint8)
    depth = 0
    want = _TOP
    member = -1  # row of spans for the current top-level value; -1 if nobody asked for it
    i = start
    while i < size:
        c = text[i]
        if c in _SPACE:
            i += 1
        elif (
            (want == _AFTER_VALUE and c in (_CLOSE_OBJECT, _CLOSE_ARRAY))
            or (want == _FIRST_KEY and c == _CLOSE_OBJECT)
            or (want == _FIRST_ITEM and c == _CLOSE_ARRAY)
        ):
            if c != open_brackets[depth - 1] + 2:  # '{' and '}', '[' and ']' are two apart
                return _COMMA, i
            i += 1
            depth -= 1
            want = _AFTER_VALUE if depth > 0 else _NOTHING
            if depth == 1 and member >= 0:
                spans[member, 1] = i
        elif want == _AFTER_VALUE:
            if c != _COMMA_SIGN:
                return _COMMA, i
            want = _NEXT_KEY if open_brackets[depth - 1] == _OPEN_OBJECT else _A_VALUE
            i += 1
        elif want in (_FIRST_KEY, _NEXT_KEY):
            if c != _QUOTE:
                return _KEY, i
            key = i + 1
            code, i = string_end(text, i)
            if code != OK:
                return code, i
            if depth == 1:
                member = _which(text, key, i - 1, names, ends)
            want = _A_COLON
        elif want == _A_COLON:
            if c != _COLON_SIGN:
                return _COLON, i
            want = _A_VALUE
            i += 1
        elif want == _NOTHING:
            return _TRAILING, i
        elif want == _TOP and c != _OPEN_OBJECT:
            return _NOT_OBJECT, i
        else:
            if depth == 1 and member >= 0:
                spans[member, 0] = i
                spans[member, 1] = _UNFINISHED
            if c in (_OPEN_OBJECT, _OPEN_ARRAY):
                if depth == MAX_DEPTH:
                    return _DEEP, i
                open_brackets[depth] = c
                depth += 1
                want = _FIRST_KEY if c == _OPEN_OBJECT else _FIRST_ITEM
                i += 1
                continue
            code, i = string_end(text, i) if c == _QUOTE else literal_end(text, i)
            if code != OK:
                return code, i
            want = _AFTER_VALUE
            if depth == 1 and member >= 0:
                spans[member, 1] = i
    if want == _NOTHING:
        return OK, i
    return ENDED, size


@kernel
def _which(text: Bytes, start: int, end: int, names: Bytes, ends: Ints) -> int:
    """The index of the name that the key in text[start:end] spells; -1 if none."""
    begin = 0
    for row in range(ends.size):
        if _spells(text, start, end, names, begin, ends[row]):
            return row
        begin = ends[row]
    return -1


@kernel
def _spells(text: Bytes, start: int, end: int, names: Bytes, begin: int, stop: int) -> bool:
    """Whether a valid, perhaps escaped key is the same as the ASCII names[begin:stop]."""
    i = start
    for k in range(begin, stop):
        if i >= end:
            return False
        c = int(text[i])
        i += 1
        if c == _BACKSLASH:
            c = int(text[i])
            i += 1
            if c == 0x75:
                c = 0
                for _ in range(4):
                    c = c * 16 + hex_digit(text[i])
                    i += 1
            else:
                c = short_escape(c)
        if c != names[k]:
            return False
    return i == end
