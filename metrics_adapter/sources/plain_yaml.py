"""The YAML that files of samples are written in, read several times faster than any YAML. Pure.

A list of mappings, of scalars and of mappings of scalars, in block or flow style, without quotes
that escape, anchors, tags, folded text or nulls. ``read`` gives None for all else, which is then
read as the YAML it is; what it does read, it reads as that would (a test compares the two).
Every scalar is text.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

Plain: TypeAlias = "dict[str, Plain] | list[Plain] | str"

# A colon or a dash is part of a word where no blank follows.
_WORD: Final = r"-?[A-Za-z0-9_+./][A-Za-z0-9_+./|@%-]*(?::[A-Za-z0-9_+./|@%-]+)*"
_KEY: Final = r"[A-Za-z_][A-Za-z0-9_./-]*"
_LINE: Final = re.compile(
    rf"(?P<indent> *)(?P<dash>- )?(?:(?P<key>{_KEY}):"
    rf"(?: +(?:(?P<word>{_WORD})|'(?P<single>[^'\n]*)'|\"(?P<double>[^\"\\\n]*)\""
    r"|(?P<flow>\{[^\n#]*\})))?|(?P<item>\{[^\n#]*\}))?[ ]*(?:\n|\Z)"
)
_TOKEN: Final = re.compile(
    rf" *(?:(?P<mark>[{{}},])|(?:(?P<word>{_WORD})|'(?P<single>[^'\n]*)'"
    rf"|\"(?P<double>[^\"\\\n]*)\")(?P<colon>:(?= ))?)"
)
_SCALAR: Final = rf"(?:{_WORD}|'[^'\n]*'|\"[^\"\\\n]*\")"
_FLAT: Final = re.compile(rf"\{{(?: *{_KEY}: +{_SCALAR} *(?:, +{_KEY}: +{_SCALAR} *)*)?\}}")
_PAIR: Final = re.compile(rf"({_KEY}): +(?:({_WORD})|'([^'\n]*)'|\"([^\"\\\n]*)\")")
"""Of a mapping of scalars alone, which is what most are: one match instead of a dozen."""
_NULLS: Final = frozenset({"null", "Null", "NULL"})


class _NotPlain(Exception):
    """It may be YAML all the same."""


def read(text: str) -> Any:
    """The document, or None if it is not of this plain kind."""
    try:
        return _read(text)
    except _NotPlain:
        return None


def _read(text: str) -> Plain:
    found: list[Plain] = []
    name: str | None = None
    items_indent = -1
    row: dict[str, Plain] | None = None
    inner: dict[str, Plain] | None = None
    inner_indent = -1
    waiting: str | None = None
    at, end = 0, len(text)
    while at < end:
        match = _LINE.match(text, at)
        if match is None or match.end() == at:
            raise _NotPlain
        at = match.end()
        indent_text, dash, key, word, single, double, flow, item = match.groups()
        if key is None and item is None:
            if dash:
                raise _NotPlain
            continue
        indent = len(indent_text)
        if name is None:
            if indent or dash or key is None or match.lastgroup != "key":
                raise _NotPlain
            name = key
            continue
        if dash:
            if waiting is not None or (items_indent not in (-1, indent)):
                raise _NotPlain
            items_indent, inner = indent, None
            row = {}
            found.append(row)
            if item is not None:
                row.update(_flow(item))
                row = None
                continue
            indent += 2
        elif item is not None or row is None:
            raise _NotPlain
        into = row
        if indent != items_indent + 2:
            if waiting is not None and inner is None and indent > items_indent + 2:
                inner, inner_indent = {}, indent
                row[waiting] = inner
                waiting = None
            if inner is None or indent != inner_indent:
                raise _NotPlain
            into = inner
        elif waiting is not None:
            raise _NotPlain  # a key without a value is null
        else:
            inner = None
        if key in into:
            raise _NotPlain
        if flow is not None:
            into[key] = _flow(flow)
        elif word is not None:
            if word in _NULLS:
                raise _NotPlain
            into[key] = word
        elif single is not None or double is not None:
            into[key] = double if single is None else single
        elif into is row:
            waiting = key
        else:
            raise _NotPlain
    if name is None or waiting is not None or not found:
        raise _NotPlain
    return {name: found}


def _flow(text: str) -> dict[str, Plain]:
    """``{a: b, c: {d: e}}``."""
    if _FLAT.fullmatch(text) is not None:
        pairs = _PAIR.findall(text)
        flat: dict[str, Plain] = {
            key: word or single or double for key, word, single, double in pairs
        }
        if len(flat) < len(pairs) or any(word in _NULLS for _, word, _, _ in pairs):
            raise _NotPlain
        return flat
    tokens = _Tokens(text)
    if tokens.next() != ("mark", "{"):
        raise _NotPlain
    made = _mapping(tokens, 0)
    if tokens.left:
        raise _NotPlain
    return made


class _Tokens:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def left(self) -> bool:
        return bool(self._text[self._at :].strip(" "))

    def next(self) -> tuple[str, str]:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise _NotPlain
        self._at = match.end()
        mark, word, single, double, colon = match.groups()
        if mark:
            return "mark", mark
        if colon:
            if word is None or word in _NULLS:
                raise _NotPlain
            return "key", word
        if word is not None:
            if word in _NULLS:
                raise _NotPlain
            return "scalar", word
        return "scalar", double if single is None else single


def _mapping(tokens: _Tokens, depth: int) -> dict[str, Plain]:
    if depth > 2:
        raise _NotPlain
    made: dict[str, Plain] = {}
    kind, text = tokens.next()
    if (kind, text) == ("mark", "}"):
        return made
    while True:
        if kind != "key" or text in made:
            raise _NotPlain
        key = text
        kind, text = tokens.next()
        if (kind, text) == ("mark", "{"):
            made[key] = _mapping(tokens, depth + 1)
        elif kind == "scalar":
            made[key] = text
        else:
            raise _NotPlain
        mark = tokens.next()
        if mark == ("mark", "}"):
            return made
        if mark != ("mark", ","):
            raise _NotPlain
        kind, text = tokens.next()
