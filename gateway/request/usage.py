"""Token usage out of a response as it passes, JSON or event stream, in bounded memory.

The session feeds every piece of the response body and reads ``usage`` at the end. What cannot be
understood is passed over: a model server's odd answer is no error of ours.
"""

from __future__ import annotations

import orjson

from gateway.request.carrier import carrier_of
from gateway.request.json_stream import BEGIN, END, RESUME, ValueWatch
from gateway.request.model import Dialect, Usage

_LONGEST_USAGE = 65_536
"""Bytes of a usage object worth keeping; real ones have some hundreds."""
_MOST_TOKENS = 2**53
"""A count that JSON readers agree on; more is nonsense."""

_COUNTS = ("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens")
_ANTHROPIC_COUNTS = ("cache_read_input_tokens", "cache_creation_input_tokens")
_DETAILS = ("prompt_tokens_details", "input_tokens_details")


class UsageReader:
    """Reads the ``usage`` objects of one response; later ones win, field by field."""

    __slots__ = ("_anthropic", "_event_stream", "_inside", "_kept", "_said", "_watch")

    def __init__(self, dialect: Dialect, event_stream: bool) -> None:
        self._anthropic = dialect is Dialect.ANTHROPIC
        self._event_stream = event_stream
        self._watch = ValueWatch("usage", carrier_of(dialect), event_stream)
        self._kept = b""  # a usage object as far as it has come
        self._inside = False  # the next byte belongs to it
        self._said: dict[str, int] = {}

    @property
    def usage(self) -> Usage:
        """What has been said so far.

        ``input_tokens`` is the whole prompt, cached or not, in every dialect. Anthropic's own
        ``input_tokens`` is only what neither came from the cache nor went into it, so its cache
        reads and writes are added to it.
        """
        said = self._said
        tokens = said.get("prompt_tokens", said.get("input_tokens"))
        if tokens is not None:
            tokens += sum(said.get(name, 0) for name in _ANTHROPIC_COUNTS)
        return Usage(
            input_tokens=tokens,
            output_tokens=said.get("completion_tokens", said.get("output_tokens")),
            cached_tokens=said.get("cached_tokens", said.get("cache_read_input_tokens")),
        )

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the body, cut anywhere. Never raises."""
        if self._has_no_usage(chunk):
            return
        start = 0 if self._inside else len(chunk)
        for mark, at in self._watch.feed(chunk):
            if mark in (BEGIN, RESUME):
                self._kept = self._kept if mark == RESUME else b""
                self._inside, start = True, at
            else:
                self._keep(chunk[start:at])
                self._inside, start = False, len(chunk)
                if mark == END:
                    self._learn()
        if self._inside:
            self._keep(chunk[start:])

    def _has_no_usage(self, chunk: bytes) -> bool:
        # Nearly every piece of a stream is one or more whole events without usage. Skipping those
        # leaves the watch where reading them would have left it. (A key may be spelt with \u.)
        return (
            self._event_stream
            and b"usage" not in chunk
            and b"\\u" not in chunk
            and chunk.endswith((b"\n\n", b"\r\n\r\n"))
            and self._watch.between_events
        )

    def _keep(self, piece: bytes) -> None:
        if len(self._kept) <= _LONGEST_USAGE:
            self._kept += piece

    def _learn(self) -> None:
        text, self._kept = self._kept, b""
        if len(text) > _LONGEST_USAGE:
            return
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        if not isinstance(said, dict):
            return
        for name in (*_COUNTS, *_ANTHROPIC_COUNTS) if self._anthropic else _COUNTS:
            self._note(name, said.get(name))
        for name in _DETAILS:
            details = said.get(name)
            if isinstance(details, dict):
                self._note("cached_tokens", details.get("cached_tokens"))

    def _note(self, name: str, count: object) -> None:
        # bool is an int to Python, but no count
        if type(count) is int and 0 <= count <= _MOST_TOKENS:
            self._said[name] = count
