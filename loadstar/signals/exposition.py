"""Prometheus text -> the samples of one family, found by scanning bytes. Pure.

Not a parser of pages: a model server's page is 50 KB, of which a reader wants some ten lines, so
everything else is passed over by ``bytes.find``. Reads the Prometheus text format 0.0.4 and
OpenMetrics 1.0. The gateway's extractors give it excerpts, the metrics adapter whole pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

MOST_MENTIONS = 10_000
"""Of one name on one page. vLLM keeps a series for every set of LoRA adapters it ever ran, so
thousands are honest; a page made to keep us busy is not read to its end."""

_REMEMBERED_BLOCKS = 512
_REMEMBERED_BLOCK_BYTES = 4096
_REMEMBERED_LINES = 512
_LONG_LINE_BYTES = 256
_MOST_INDENT = 64
_BLANKS = b" \t"
_AFTER_NAME = b"{ \t"

# Every repetition is possessive, so a line is read once however odd it is.
_NAME = rb"[a-zA-Z_][a-zA-Z0-9_]*+"
_EQUALS = rb"[ \t]*+=[ \t]*+"
_STRING = rb'(?:[^"\\\n]++|\\[^\n])*+'
_BLOCK = rb"(?:" + _NAME + _EQUALS + rb'"' + _STRING + rb'"[ \t]*+(?:,[ \t]*+|(?=\})))*+'
# What follows the name: labels, value, and then at most a timestamp and an exemplar.
_REST = re.compile(
    rb"[ \t]*+(?:\{[ \t]*+(" + _BLOCK + rb")\}[ \t]*+)?"
    rb"([^ \t\r\n#{_]++)"
    rb"(?:[ \t]++[-+]?[0-9]++(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)?"
    rb"[ \t]*+(?:\#[^\n]*+)?\r?(?:\n|\Z)"
)
_EACH_LABEL = re.compile(rb"(" + _NAME + rb")" + _EQUALS + rb'"(' + _STRING + rb')"')
_ESCAPE = re.compile(r'\\([\\n"])')
_UNESCAPED = MappingProxyType({"\\": "\\", "n": "\n", '"': '"'})


class Sample(NamedTuple):
    """One series at one moment; the value may be NaN or infinite."""

    block: bytes
    """What stands between the braces, as it stands there."""
    value: float

    @property
    def labels(self) -> Mapping[str, str]:
        """Name -> value, unescaped."""
        if len(self.block) <= _REMEMBERED_BLOCK_BYTES:
            return _remembered(self.block)
        return _labels(self.block)


class Found(NamedTuple):
    """The samples of a family, in the order of the page."""

    samples: list[Sample]
    unreadable: int
    """Lines that name the family but cannot be read: neither counted as zero nor as anything."""


def samples(page: bytes, name: bytes) -> Found:
    """Every sample called exactly ``name`` (not ``name_total``, not a comment about it)."""
    found: list[Sample] = []
    unreadable = 0
    for number, at in enumerate(_mentions(page, name)):
        if number == MOST_MENTIONS:
            return Found(found, unreadable + 1)
        end = at + len(name)
        if page[end : end + 1] in _AFTER_NAME and end < len(page) and _starts_line(page, at):
            sample = _sample(page, end)
            if sample is None:
                unreadable += 1
            else:
                found.append(sample)
    return Found(found, unreadable)


def _mentions(page: bytes, name: bytes) -> Iterator[int]:
    at = page.find(name)
    while at >= 0:
        yield at
        at = page.find(name, at + len(name))


def _starts_line(page: bytes, at: int) -> bool:
    """Whether nothing but blanks stands before ``at`` on its line."""
    before = page[max(0, at - _MOST_INDENT) : at].rstrip(_BLANKS)
    return before.endswith(b"\n") or (not before and at < _MOST_INDENT)


def _sample(page: bytes, at: int) -> Sample | None:
    if page.startswith(b"{", at):
        end = page.find(b"\n", at, at + _REMEMBERED_BLOCK_BYTES) + 1
        if end - at >= _LONG_LINE_BYTES:
            return _of_long_line(page[at:end])
    return _read(page, at)


@lru_cache(_REMEMBERED_LINES)
def _of_long_line(rest: bytes) -> Sample | None:
    """Information in labels: the same on every page."""
    return _read(rest, 0)


def _read(text: bytes, at: int) -> Sample | None:
    match = _REST.match(text, at)
    if match is None:
        return None
    try:
        return Sample(match[1] or b"", float(match[2]))
    except ValueError:
        return None


@lru_cache(_REMEMBERED_BLOCKS)
def _remembered(block: bytes) -> Mapping[str, str]:
    """The labels of a gauge stay as they are, only its value moves."""
    return _labels(block)


def _labels(block: bytes) -> Mapping[str, str]:
    return MappingProxyType(
        {match[1].decode(): _text(match[2]) for match in _EACH_LABEL.finditer(block)}
    )


def _text(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: _UNESCAPED[match[1]], text)
