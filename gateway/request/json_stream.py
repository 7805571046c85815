"""Watch one value in JSON that arrives in pieces, plain or as server-sent events.

Says where in each piece the value of a key begins and ends: the key at the top of an object, or
inside one named object at the top. Never looks into strings or anything deeper, so text that
merely looks like the key is not taken for it. Keeps a few registers between pieces and copies
nothing; ``usage`` and ``rename`` decide what to do with the bytes. Lenient: what is not JSON is
passed over, and in an event stream the next event starts afresh.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.request.json_token import hex_digit, short_escape, text_end
from loadstar.arrays import Bytes, Ints, kernel

BEGIN: Final = 0
"""The value's first byte is here."""
END: Final = 1
"""The value's last byte is just before."""
PAUSE: Final = 2
"""The value goes on, but the line (SSE) ends here."""
RESUME: Final = 3
"""The value goes on here, after the next line's ``data:``."""

_MOST_MARKS = 16

# Registers: what is remembered from one piece to the next. Marks found follow them.
(
    _FRAME,  # what kind of line the byte stands in, in an event stream
    _MATCHED,  # bytes of the BOM or of "data:" seen
    _AFTER_CR,  # the last byte was CR: a LF belongs to it
    _TOKEN,  # inside a key, string or scalar
    _ESCAPE,  # 1 after a backslash, 2..5 before the hex digits of \u
    _CODE,  # value of the hex digits so far
    _DEPTH,  # open brackets
    _INSIDE,  # depth of the bracket if its keys matter, else 0
    _WANT,  # what stands next in such a bracket
    _LEAF_AT,  # bytes of the key that agree with the leaf's name; -1 if it is another key
    _PARENT_AT,  # the same for the parent's name
    _WATCHED,  # depth at which the value being watched stands; 0 if none
    _LEAF_SIZE,
) = range(13)
_MARKS = 13

_PLAIN, _BOM, _LINE_START, _DATA, _OTHER_LINE = range(5)
_NO_TOKEN, _KEY, _STRING, _SCALAR = range(4)
_NO_MATTER, _A_KEY, _A_COLON, _A_VALUE, _A_COMMA = range(5)
_IN_DATA, _ELSEWHERE, _DATA_BEGINS, _LINE_ENDS, _EVENT_ENDS = range(5)

_BOM_BYTES = np.frombuffer(b"\xef\xbb\xbf", np.uint8)
_FIELD = np.frombuffer(b"data:", np.uint8)
_LF, _CR, _QUOTE, _BACKSLASH, _U, _BRACE = 0x0A, 0x0D, 0x22, 0x5C, 0x75, 0x7B
_NO_LETTER, _NOT_A_LETTER = -2, -1

_OTHER, _SPACE, _A_QUOTE, _OPENING, _CLOSING, _A_COLON_SIGN, _A_COMMA_SIGN = range(7)
_BEGINS_VALUE = (_OTHER, _A_QUOTE, _OPENING)


def _kinds() -> Bytes:
    kinds = np.full(256, _OTHER, np.uint8)
    for kind, signs in (
        (_SPACE, b" \n\r\t"),
        (_A_QUOTE, b'"'),
        (_OPENING, b"{["),
        (_CLOSING, b"}]"),
        (_A_COLON_SIGN, b":"),
        (_A_COMMA_SIGN, b","),
    ):
        kinds[list(signs)] = kind
    return kinds


_KIND = _kinds()


class ValueWatch:
    """Where the value of ``leaf`` stands, at the top of each object or in its ``parent``."""

    __slots__ = ("_names", "_registers", "between_events")

    def __init__(self, leaf: str, parent: str, event_stream: bool) -> None:
        """``parent`` is "" for none. Names are plain ASCII."""
        self._names: Bytes = np.frombuffer(f"{leaf}{parent}".encode("ascii"), np.uint8)
        self._registers: Ints = np.zeros(_MARKS + 2 * _MOST_MARKS, np.int64)
        self._registers[_FRAME] = _BOM if event_stream else _PLAIN
        self._registers[_LEAF_SIZE] = len(leaf)
        self.between_events = False
        """An event stream stands at the start of a line, with no event begun."""

    def feed(self, piece: bytes) -> list[tuple[int, int]]:
        """(mark, offset in ``piece``) in order; marks are BEGIN, END, PAUSE and RESUME."""
        marks: list[tuple[int, int]] = []
        text = np.frombuffer(piece, np.uint8)
        registers = self._registers
        at = 0
        while at < len(piece):
            at, count, self.between_events = _read(text, at, self._names, registers)
            if count:
                flat = registers[_MARKS : _MARKS + 2 * count].tolist()
                marks.extend(zip(flat[::2], flat[1::2], strict=True))
        return marks


@kernel
def _read(text: Bytes, start: int, names: Bytes, registers: Ints) -> tuple[int, int, bool]:
    """Read from ``start`` until the piece or the room for marks ends.

    Returns (end, marks found, whether the stream now stands between events).

    One function over local variables: handing arrays to smaller ones costs ten times the time.
    """
    frame, matched, after_cr = registers[_FRAME], registers[_MATCHED], registers[_AFTER_CR]
    token, escape, code = registers[_TOKEN], registers[_ESCAPE], registers[_CODE]
    depth, inside, want = registers[_DEPTH], registers[_INSIDE], registers[_WANT]
    leaf_at, parent_at = registers[_LEAF_AT], registers[_PARENT_AT]
    watched = registers[_WATCHED]
    leaf_size = registers[_LEAF_SIZE]
    parent_size = names.size - leaf_size
    marks = _MARKS
    i = start - 1
    while i + 1 < text.size and marks + 4 <= registers.size:  # a byte makes two marks at most
        i += 1
        c = int(text[i])

        if frame != _PLAIN:
            frame, matched, after_cr, what = _step_in_line(c, frame, matched, after_cr)
            if what == _EVENT_ENDS:
                token, escape, depth, inside, watched = _NO_TOKEN, 0, 0, 0, 0
            elif what == _LINE_ENDS and watched:
                registers[marks], registers[marks + 1] = PAUSE, i
                if token == _SCALAR:
                    registers[marks], token, watched, want = END, _NO_TOKEN, 0, _A_COMMA
                marks += 2
            elif what == _DATA_BEGINS and watched:
                registers[marks], registers[marks + 1] = RESUME, i + 1
                marks += 2
            if what != _IN_DATA:
                continue

        if token in (_STRING, _KEY):
            if escape == 0 and c == _QUOTE:
                if token == _KEY:
                    want = _A_COLON
                elif inside == depth:
                    want = _A_COMMA
                    if watched == depth:
                        registers[marks], registers[marks + 1] = END, i + 1
                        marks += 2
                        watched = 0
                token = _NO_TOKEN
            elif token == _STRING and escape == 0 and c != _BACKSLASH:
                i = text_end(text, i + 1) - 1  # this byte passes, even if JSON forbids it here
            else:
                escape, code, letter = _step_in_string(c, escape, code)
                if token == _KEY and letter != _NO_LETTER:
                    if leaf_at >= 0:
                        same = leaf_at < leaf_size and names[leaf_at] == letter
                        leaf_at = leaf_at + 1 if same else -1
                    if parent_at >= 0:
                        same = parent_at < parent_size and names[leaf_size + parent_at] == letter
                        parent_at = parent_at + 1 if same else -1
            continue

        kind = _KIND[c]
        if token == _SCALAR:
            if kind in (_OTHER, _A_QUOTE):
                continue
            registers[marks], registers[marks + 1] = END, i
            marks += 2
            token, watched, want = _NO_TOKEN, 0, _A_COMMA
        if kind == _SPACE:
            continue
        named = want == _A_VALUE and inside == depth and depth > 0
        if named and watched == 0 and leaf_at == leaf_size and kind in _BEGINS_VALUE:
            registers[marks], registers[marks + 1] = BEGIN, i
            marks += 2
            watched = depth
            if kind == _OTHER:
                token = _SCALAR
        if kind == _A_QUOTE:
            token = _STRING
            if inside == depth and want == _A_KEY:
                token, leaf_at, parent_at = _KEY, 0, 0
        elif kind == _OPENING:
            is_parent = named and depth == 1 and parent_size > 0 and parent_at == parent_size
            depth += 1
            if c == _BRACE and (depth == 1 or is_parent):
                inside, want = depth, _A_KEY
        elif kind == _CLOSING:
            if depth > 0:
                depth -= 1
            if inside > depth:
                inside = depth
            if watched and watched == depth:
                registers[marks], registers[marks + 1] = END, i + 1
                marks += 2
                watched = 0
            if inside == depth:
                want = _A_COMMA
        elif inside == depth:
            if kind == _A_COLON_SIGN and want == _A_COLON:
                want = _A_VALUE
            elif kind == _A_COMMA_SIGN:
                want = _A_KEY

    registers[_FRAME], registers[_MATCHED], registers[_AFTER_CR] = frame, matched, after_cr
    registers[_TOKEN], registers[_ESCAPE], registers[_CODE] = token, escape, code
    registers[_DEPTH], registers[_INSIDE], registers[_WANT] = depth, inside, want
    registers[_LEAF_AT], registers[_PARENT_AT] = leaf_at, parent_at
    registers[_WATCHED] = watched
    between_events = frame == _LINE_START and matched == 0 and depth == 0 and token == _NO_TOKEN
    return i + 1, (marks - _MARKS) // 2, between_events


@kernel
def _step_in_line(c: int, frame: int, matched: int, after_cr: int) -> tuple[int, int, int, int]:
    """Follow the lines of an event stream: the first three of the registers, and what ``c`` is."""
    if frame == _BOM:
        if c == _BOM_BYTES[matched]:
            whole = matched + 1 == _BOM_BYTES.size
            return (_LINE_START, 0, 0, _ELSEWHERE) if whole else (_BOM, matched + 1, 0, _ELSEWHERE)
        frame = _LINE_START if matched == 0 else _OTHER_LINE
    if c == _LF and after_cr:
        return frame, matched, 0, _ELSEWHERE
    if c in (_LF, _CR):
        blank = frame == _LINE_START and matched == 0
        what = _EVENT_ENDS if blank else _LINE_ENDS if frame == _DATA else _ELSEWHERE
        return _LINE_START, 0, int(c == _CR), what
    if frame == _DATA:
        return _DATA, 0, 0, _IN_DATA
    if frame == _OTHER_LINE or c != _FIELD[matched]:
        return _OTHER_LINE, 0, 0, _ELSEWHERE
    if matched + 1 == _FIELD.size:
        return _DATA, 0, 0, _DATA_BEGINS
    return _LINE_START, matched + 1, 0, _ELSEWHERE


@kernel
def _step_in_string(c: int, escape: int, code: int) -> tuple[int, int, int]:
    """Follow the escapes of a string: the two registers, and the character if one is complete."""
    if escape == 0:
        return (1, 0, _NO_LETTER) if c == _BACKSLASH else (0, 0, c)
    if escape == 1:
        return (2, 0, _NO_LETTER) if c == _U else (0, 0, short_escape(c))
    digit = hex_digit(c)
    if digit < 0:
        return 0, 0, _NOT_A_LETTER
    code = code * 16 + digit
    return (0, 0, code) if escape == 5 else (escape + 1, code, _NO_LETTER)
