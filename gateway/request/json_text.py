"""Text as JSON writes it: quoting a string, and recognising one in whichever way it is escaped.

Not a parser. Used where a model name is put into a body or looked for in a response.
"""

from __future__ import annotations

import re
from enum import Enum

import orjson

_SHORT = {'"': b'\\"', "\\": b"\\\\", "/": b"\\/", "\b": b"\\b", "\f": b"\\f", "\n": b"\\n"} | {
    "\r": b"\\r",
    "\t": b"\\t",
}
_MUST_ESCAPE = frozenset('"\\') | {chr(code) for code in range(0x20)}
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,4}|.)", re.DOTALL)


def well_formed(text: str) -> str:
    """``text`` with a question mark for what UTF-8 cannot carry (halves of surrogate pairs).

    Header values are decoded with surrogateescape, so any byte may end up in a name or message.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def quoted(text: str) -> bytes:
    """``text`` as a JSON string, quotes included; never fails."""
    return orjson.dumps(well_formed(text))


class Agreement(Enum):
    """How far a piece of JSON agrees with a text."""

    WHOLE = "whole"  # it is one spelling of the text, to the closing quote
    SO_FAR = "so far"  # it ends where a spelling may go on
    NOT = "not"


class Spelling:
    """Every way JSON may spell one text: plain, ``\\uXXXX`` or a short escape, per character."""

    __slots__ = ("_text", "plain")

    def __init__(self, text: str) -> None:
        self.plain = quoted(text)
        """The usual spelling, quotes included."""
        self._text = well_formed(text)

    def compare(self, token: bytes) -> Agreement:
        """Compare the beginning of a JSON value, or the whole of it."""
        if token == self.plain:
            return Agreement.WHOLE
        if not token.startswith(b'"'):
            return Agreement.NOT
        canonical = _ESCAPE.sub(_lower_hex, token) if b"\\" in token else token
        at = 1
        for character in self._text:
            forms = _spellings(character)
            for form in forms:
                if canonical.startswith(form, at):
                    at += len(form)
                    break
            else:
                rest = canonical[at:]
                cut = any(form.startswith(rest) for form in forms)
                return Agreement.SO_FAR if cut else Agreement.NOT
        match canonical[at:]:
            case b'"':
                return Agreement.WHOLE
            case b"":
                return Agreement.SO_FAR
            case _:
                return Agreement.NOT


def _lower_hex(escape: re.Match[bytes]) -> bytes:
    found = escape[0]
    return found.lower() if found[1:2] == b"u" else found


def _spellings(character: str) -> tuple[bytes, ...]:
    utf16 = character.encode("utf-16-be").hex()
    units = [f"\\u{utf16[i : i + 4]}".encode() for i in range(0, len(utf16), 4)]
    forms = [b"".join(units)]
    if character in _SHORT:
        forms.append(_SHORT[character])
    if character not in _MUST_ESCAPE:
        forms.append(character.encode())
    return tuple(forms)
