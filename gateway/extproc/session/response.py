"""The response half of a session: pass the answer on as it comes, and read it on the way.

Nothing is held back but the few bytes a model name may be split over. Every message Envoy sends
is answered in the words of its body mode. Called by ``Session`` only.
"""

from __future__ import annotations

from enum import Enum, auto

from gateway.extproc.messages import (
    NO_MUTATION,
    AnswerBody,
    AnswerHeaders,
    AnswerTrailers,
    AskResponse,
    BodyMode,
    Command,
    Direction,
    FirstToken,
    HeaderMutation,
    ResponseHeaders,
    StreamBody,
)
from gateway.extproc.session.chunking import chunks
from gateway.extproc.session.control_headers import CONTENT_LENGTH
from gateway.extproc.session.lengths import declared_length
from gateway.extproc.session.limits import Limits
from gateway.request.model import Dialect, Usage
from gateway.request.rename import ModelRenamer
from gateway.request.usage import UsageReader
from loadstar.records import record

RESPONSE = Direction.RESPONSE
SERVED_ECHO = "x-conformance-test-served-endpoint"
PLAIN = frozenset({"", "identity"})
NO_HEADERS: list[Command] = [AnswerHeaders(RESPONSE)]
NO_BODY: list[Command] = [AnswerBody(RESPONSE)]


class Phase(Enum):
    FRESH = auto()
    ASKED = auto()
    """Headers have come and the director has been asked for headers to add."""
    PASSING = auto()
    ENDED = auto()


@record
class Taken:
    """What the response half has to know of a request that was routed."""

    ticket: int
    dialect: Dialect
    expects_stream: bool


class ResponseSide:
    """What is known of the response, and what is owed to Envoy for it."""

    def __init__(self, limits: Limits) -> None:
        self.mode = BodyMode.FULL_DUPLEX_STREAMED
        self.begun = False
        self.status: int | None = None
        self.streamed = False
        self.body_bytes = 0
        self._limits = limits
        self._phase = Phase.FRESH
        self._transparent = False
        self._ends_at_headers = False
        self._served: str | None = None
        self._declared: int | None = None
        self._delivered = False
        self._first_token_of: int | None = None
        self._usage: UsageReader | None = None
        self._readable_as: Dialect | None = None
        """What the body is to be read as, once the first of it has come."""
        self._renamer: ModelRenamer | None = None

    @property
    def ended(self) -> bool:
        """The last message of the response has been answered."""
        return self._phase is Phase.ENDED

    @property
    def complete(self) -> bool:
        """Envoy owes us no more of this response, whether or not it has said so."""
        if self._phase is Phase.ENDED:
            return True
        if self._phase is not Phase.PASSING:
            return False
        if self.mode is BodyMode.NONE:
            return True
        if self._buffers:
            return self._delivered
        return self._is_whole

    @property
    def may_be_let_go(self) -> bool:
        """The headers are answered, and the body reaches the client if the stream ends here.

        Never in FULL_DUPLEX_STREAMED: there Envoy keeps no copy of what it has sent us, and it
        sends the body without waiting for our answer to the headers. What is on its way when the
        stream ends is lost, with no error to anybody (Envoy 1.40; ``test_let_go_with_envoy``).
        """
        return self._phase is Phase.PASSING and self.does_without_us

    @property
    def does_without_us(self) -> bool:
        """What is still to come of it reaches the client as it should if the stream ends."""
        return self.mode is not BodyMode.FULL_DUPLEX_STREAMED and self._renamer is None

    @property
    def _is_whole(self) -> bool:
        """As many bytes have come as were declared."""
        return self._declared is not None and self.body_bytes >= self._declared

    @property
    def _buffers(self) -> bool:
        return self.mode is BodyMode.BUFFERED or self.mode is BodyMode.BUFFERED_PARTIAL

    @property
    def usage(self) -> Usage:
        return self._usage.usage if self._usage is not None else Usage()

    def give_up(self) -> None:
        """Read and change nothing more; still answer every message."""
        self._transparent = True
        self._usage = self._renamer = self._first_token_of = self._readable_as = None
        if self._phase is Phase.ASKED:
            self._phase = Phase.FRESH

    # --- what Envoy tells -----------------------------------------------------------------------

    def on_headers(
        self, event: ResponseHeaders, taken: Taken | None, renamed: tuple[str, str] | None
    ) -> list[Command]:
        """``renamed``: the model the server was asked for, and the one the client knows."""
        if self._phase is not Phase.FRESH:
            return []
        self.begun = True
        self._ends_at_headers = event.end_of_stream
        sent = dict(event.headers)
        status = sent.get(":status", "")
        self.status = int(status) if len(status) == 3 and status.isdecimal() else None
        self._declared = declared_length(sent.get(CONTENT_LENGTH))
        if taken is None or self._transparent:
            self._phase = Phase.ENDED if event.end_of_stream else Phase.PASSING
            return NO_HEADERS
        self._served = event.served
        self.streamed = "text/event-stream" in sent.get("content-type", "").lower()
        encoding = sent.get("content-encoding")
        readable = encoding is None or encoding.strip().lower() in PLAIN
        if not event.end_of_stream and self.mode is not BodyMode.NONE:
            self._read_body_of(taken, readable)
            # Where a trailer is announced, a STREAMED answer could not bring bytes held back.
            safe = "trailer" not in sent or self.mode is BodyMode.FULL_DUPLEX_STREAMED
            if renamed is not None and readable and safe:
                self._renamer = ModelRenamer(taken.dialect, self.streamed, *renamed)
        self._phase = Phase.ASKED
        return [AskResponse(taken.ticket, self.status, event.served)]

    def responding(self, headers: tuple[tuple[str, str], ...]) -> list[Command]:
        """The director has said which headers to add."""
        if self._phase is not Phase.ASKED:
            return []
        if self._limits.conformance_echo and self._served is not None:
            headers = (*headers, (SERVED_ECHO, self._served))
        remove: tuple[str, ...] = ()
        # A buffered answer gets its new length with its body; any other has none once renamed.
        renaming = self._renamer is not None and self._declared is not None
        if renaming and self.mode is not BodyMode.BUFFERED:
            remove = (CONTENT_LENGTH,)
        self._phase = Phase.ENDED if self._ends_at_headers else Phase.PASSING
        if not headers and not remove:
            return NO_HEADERS
        return [AnswerHeaders(RESPONSE, HeaderMutation(headers, remove))]

    def on_body(self, chunk: bytes, end_of_stream: bool, taken: Taken | None) -> list[Command]:
        phase = self._phase
        if phase is Phase.ENDED or (self._delivered and self._buffers):
            return []
        if phase is Phase.FRESH:
            self._begin_without_headers(taken)
        first: list[Command] = []
        if chunk:
            self.body_bytes += len(chunk)
            if self._usage is not None:
                self._usage.feed(chunk)
            elif self._readable_as is not None:
                self._usage = UsageReader(self._readable_as, self.streamed)
                self._usage.feed(chunk)
            if self._first_token_of is not None:
                first = [FirstToken(self._first_token_of)]
                self._first_token_of = None
        replaced = chunk
        if self._renamer is not None:
            replaced = self._renamer.feed(chunk, end_of_stream or self._buffers or self._is_whole)
        self._phase = Phase.ENDED if end_of_stream else Phase.PASSING
        if self.mode is BodyMode.FULL_DUPLEX_STREAMED:
            if len(replaced) <= self._limits.chunk_bytes:
                return [*first, StreamBody(RESPONSE, replaced, end_of_stream)]
            return [*first, *chunks(RESPONSE, replaced, end_of_stream, self._limits.chunk_bytes)]
        self._delivered = True
        if replaced is chunk or replaced == chunk:
            return [*first, *NO_BODY]
        mutation = NO_MUTATION
        if self.mode is BodyMode.BUFFERED and self._declared is not None:
            mutation = HeaderMutation(((CONTENT_LENGTH, str(len(replaced))),))
        return [*first, AnswerBody(RESPONSE, replaced, mutation)]

    def on_trailers(self) -> list[Command]:
        if self._phase is Phase.ENDED:
            return []
        self.begun = True
        self._phase = Phase.ENDED
        rest: list[Command] = []
        if self._renamer is not None and self.mode is BodyMode.FULL_DUPLEX_STREAMED:
            tail = self._renamer.feed(b"", True)
            if tail:
                rest = [*chunks(RESPONSE, tail, False, self._limits.chunk_bytes)]
        return [*rest, AnswerTrailers(RESPONSE)]

    # --- reading --------------------------------------------------------------------------------

    def _begin_without_headers(self, taken: Taken | None) -> None:
        """Response headers are not shown to us: the request has to tell what the body is."""
        self.begun = True
        if taken is not None and not self._transparent:
            self.streamed = taken.expects_stream
            self._read_body_of(taken, readable=True)

    def _read_body_of(self, taken: Taken, readable: bool) -> None:
        self._first_token_of = taken.ticket
        if readable:
            self._readable_as = taken.dialect
