"""Envoy's ext_proc filter as its sources describe it: what it sends when, what it accepts.

A double that behaves. ``Half`` is one direction of one HTTP stream: it offers the next message
Envoy would send, and raises ``Spurious`` for an answer Envoy would fail the stream for. It knows
nothing of sessions, so that it can judge them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.extproc.messages import (
    Answer,
    AnswerBody,
    AnswerHeaders,
    AnswerImmediately,
    AnswerTrailers,
    BodyMode,
    Direction,
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    StreamBody,
)
from gateway.request.model import Headers

RECOMMENDED_CHUNK = 64 * 1024


class Spurious(AssertionError):
    """Envoy would fail the stream, or wait for ever."""


@dataclass(frozen=True)
class HttpMessage:
    """A request or a response, and how much of it the filter's configuration shows."""

    direction: Direction
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    mode: BodyMode
    has_trailers: bool = False
    shows_headers: bool = True
    shows_trailers: bool = True
    buffer_limit: int = 1 << 30
    """Bytes of a BUFFERED_PARTIAL body that are shown."""

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class Half:
    """One direction of a stream: sends the message, takes the answers, forwards what passes."""

    def __init__(self, message: HttpMessage) -> None:
        self.message = message
        self.forwarded = bytearray()
        self.begun = False
        self._to_send: deque[Event] = deque(_events(message))
        self._unanswered: deque[Event] = deque()
        self._duplex_ended = False

    @property
    def unanswered(self) -> bool:
        """A message has been sent that waits for its answer."""
        return bool(self._unanswered)

    @property
    def sent_all(self) -> bool:
        return not self._to_send

    @property
    def passed(self) -> bool:
        """All that this direction waits for has been answered."""
        return self.sent_all and not self._unanswered and not self._owes_end

    @property
    def has_bytes_to_send(self) -> bool:
        """Some of the body that is shown has not been shown yet."""
        return any(isinstance(e, RequestBody | ResponseBody) and e.chunk for e in self._to_send)

    @property
    def said_its_end(self) -> bool:
        """The last message was a body with the end of stream, which some versions repeat."""
        last = _events(self.message)[-1:]
        return self.passed and any(_is_body(e) and not _is_open_body(e) for e in last)

    @property
    def headers_passed(self) -> bool:
        """The headers have gone on, so that the other side may answer."""
        if self.message.mode in (BodyMode.STREAMED, BodyMode.NONE):
            return not any(_is_headers(e) for e in (*self._to_send, *self._unanswered))
        return self.passed

    @property
    def can_send(self) -> bool:
        if not self._to_send:
            return False
        if self.message.mode is BodyMode.FULL_DUPLEX_STREAMED or not self._unanswered:
            return True
        # Without full duplex Envoy waits, but streams chunks ahead of their answers.
        return _is_body(self._to_send[0]) and all(_is_body(e) for e in self._unanswered)

    def send(self) -> Event:
        event = self._to_send.popleft()
        self.begun = True
        self._unanswered.append(event)
        return event

    def take(self, answer: Answer) -> None:
        """Do what ``answer`` says, or refuse it as Envoy does."""
        duplex = self.message.mode is BodyMode.FULL_DUPLEX_STREAMED
        match answer:
            case AnswerHeaders():
                self._answered(_is_headers, answer)
            case StreamBody():
                self._stream(answer, duplex)
            case AnswerBody():
                if duplex:
                    raise Spurious(f"{answer} in full duplex")
                self._replace(self._answered(_is_body, answer), answer)
            case AnswerTrailers():
                if duplex:
                    while self._unanswered and _is_body(self._unanswered[0]):
                        self._unanswered.popleft()
                    self._duplex_ended = True
                self._answered(_is_trailers, answer)
            case AnswerImmediately():
                raise Spurious("not an answer to one direction")

    @property
    def _owes_end(self) -> bool:
        """A duplex body whose end the processor has been told and has not passed on."""
        duplex = self.message.mode is BodyMode.FULL_DUPLEX_STREAMED
        has_more = bool(self.message.chunks) or self.message.has_trailers
        return duplex and has_more and not self._duplex_ended

    def _answered(self, kind: Callable[[Event], bool], answer: Answer) -> Event:
        if not self._unanswered or not kind(self._unanswered[0]):
            raise Spurious(f"{answer} answers none of {list(self._unanswered)}")
        return self._unanswered.popleft()

    def _stream(self, answer: StreamBody, duplex: bool) -> None:
        if not duplex:
            raise Spurious(f"{answer} outside full duplex")
        if self._unanswered and _is_headers(self._unanswered[0]):
            raise Spurious("body before headers")
        if self._duplex_ended:
            raise Spurious("body after its end")
        if len(answer.chunk) > RECOMMENDED_CHUNK:
            raise Spurious(f"a chunk of {len(answer.chunk)} bytes")
        self.forwarded += answer.chunk
        if answer.end_of_stream:
            if self.message.has_trailers:
                raise Spurious("the end of the stream before its trailers")
            if not self.sent_all:
                raise Spurious("the end of a stream that has not ended")
            self._duplex_ended = True
            self._unanswered.clear()
        else:
            while self._unanswered and _is_open_body(self._unanswered[0]):
                self._unanswered.popleft()

    def _replace(self, event: Event, answer: AnswerBody) -> None:
        chunk = event.chunk if isinstance(event, RequestBody | ResponseBody) else b""
        body = chunk if answer.replace is None else answer.replace
        if self.message.mode is BodyMode.BUFFERED and answer.replace is not None:
            self._check_length(answer, len(body))
        self.forwarded += body
        if self.message.mode is BodyMode.BUFFERED_PARTIAL:
            self.forwarded += self.message.body[self.message.buffer_limit :]

    def _check_length(self, answer: AnswerBody, length: int) -> None:
        headers = dict(self.message.headers) if self.message.shows_headers else {}
        for name in answer.mutation.remove:
            headers.pop(name, None)
        headers.update(answer.mutation.set)
        if headers.get("content-length", str(length)) != str(length):
            raise Spurious("mismatch between content length and the length of the mutated body")


def _events(message: HttpMessage) -> list[Event]:
    """Every message the filter will send for this direction, in order."""
    request = message.direction is Direction.REQUEST
    ends_at_headers = not message.chunks and not message.has_trailers
    events: list[Event] = []
    if message.shows_headers:
        headers = Headers(message.headers)
        kind = RequestHeaders if request else ResponseHeaders
        events.append(kind(headers, ends_at_headers))
    chunks = _shown(message)
    for i, chunk in enumerate(chunks):
        last = i == len(chunks) - 1 and not message.has_trailers
        cut = message.mode is BodyMode.BUFFERED_PARTIAL and len(chunk) < len(message.body)
        kind_of_body = RequestBody if request else ResponseBody
        events.append(kind_of_body(chunk, last and not cut))
    if message.has_trailers and message.shows_trailers:
        events.append(RequestTrailers() if request else ResponseTrailers())
    return events


def _shown(message: HttpMessage) -> Sequence[bytes]:
    match message.mode:
        case BodyMode.NONE:
            return ()
        case BodyMode.STREAMED | BodyMode.FULL_DUPLEX_STREAMED:
            return message.chunks
        case BodyMode.BUFFERED:
            return (message.body,) if message.chunks else ()
        case BodyMode.BUFFERED_PARTIAL:
            return (message.body[: message.buffer_limit],) if message.chunks else ()


def _is_headers(event: Event) -> bool:
    return isinstance(event, RequestHeaders | ResponseHeaders)


def _is_body(event: Event) -> bool:
    return isinstance(event, RequestBody | ResponseBody)


def _is_open_body(event: Event) -> bool:
    return isinstance(event, RequestBody | ResponseBody) and not event.end_of_stream


def _is_trailers(event: Event) -> bool:
    return isinstance(event, RequestTrailers | ResponseTrailers)
