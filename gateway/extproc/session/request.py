"""The request half of a session: what Envoy tells of a request, and when it can be routed.

Where the body is needed it is held (FULL_DUPLEX_STREAMED, BUFFERED, BUFFERED_PARTIAL) and
nothing irrevocable is answered before the route is known; in STREAMED and NONE the headers have
to do. Called by ``Session`` only. Raises Refusal for what cannot be routed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from gateway.errors import PayloadTooLarge
from gateway.extproc.messages import (
    AnswerBody,
    AnswerHeaders,
    AnswerTrailers,
    AskAdmission,
    AskRoute,
    BodyMode,
    Command,
    Direction,
    RequestBody,
    RequestHeaders,
)
from gateway.extproc.session.chunking import chunks
from gateway.extproc.session.held_body import HeldBody
from gateway.extproc.session.held_rewrite import HeldRewrite
from gateway.extproc.session.limits import Limits
from gateway.extproc.session.request_head import NOT_SHOWN, RequestHead, destination, read_head
from gateway.extproc.session.room import Room
from gateway.request.model import InferenceRequest, ParsedBody, Route
from gateway.request.parse import read_body
from gateway.request.rewrite import with_model

REQUEST = Direction.REQUEST
DUPLEX = BodyMode.FULL_DUPLEX_STREAMED


class Phase(Enum):
    FRESH = auto()
    """Nothing has come yet."""
    ADMITTING = auto()
    """Headers have come; the director has been asked whether their body is worth holding."""
    HOLDING = auto()
    """Headers have come; the body is collected until it can be routed."""
    DECIDING = auto()
    """The director has been asked."""
    PASSING = auto()
    """Decided; what still comes is answered as it comes."""
    ENDED = auto()
    """The last message has been answered; a repeated end of stream is ignored."""


DEAF = (Phase.ENDED, Phase.DECIDING, Phase.ADMITTING)
"""Phases in which Envoy has nothing to say: all is said, or the director has to speak first."""


class Moment(Enum):
    """Which message a decision waits on, and so what has to be answered once it is made."""

    HEADERS_ALONE = auto()
    HEADERS_BEFORE_BODY = auto()
    BODY_END = auto()
    TRAILERS = auto()
    BUFFERED_BODY = auto()
    BUFFERED_TRAILERS = auto()


class RequestSide:
    """What is known of the request, and what is owed to Envoy for it."""

    def __init__(self, limits: Limits, new_request_id: Callable[[], str], room: Room) -> None:
        self.mode = DUPLEX
        self.head: RequestHead = NOT_SHOWN
        self.route: Route | None = None
        self.expects_stream = False
        """The body asked for a streamed answer."""
        self._limits = limits
        self._new_request_id = new_request_id
        self._phase = Phase.FRESH
        self._subset: tuple[str, ...] | None = None
        self._received = 0
        self._held = HeldBody(room)
        self._unroutable = False
        # What the decision waits on, and what it decides about.
        self._moment = Moment.HEADERS_ALONE
        self._moment_ends = False
        self._body = b""
        self._parsed: ParsedBody | None = None
        # What a rewrite changed, at once or while the body streams by.
        self._original_model = ""
        self._held_rewrite: HeldRewrite | None = None

    @property
    def body_bytes(self) -> int:
        """Bytes of body received, or declared where not all of them are shown to us."""
        return max(self._received, self.head.content_length or 0)

    @property
    def renamed(self) -> tuple[str, str] | None:
        """(model put into the body, model the client had named), if the body was changed."""
        original = self._original_model
        if self._held_rewrite is not None:
            original = self._held_rewrite.original
        if not original or self.route is None or self.route.rewrite_to is None:
            return None
        return self.route.rewrite_to, original

    @property
    def passed(self) -> bool:
        """Nothing of the request depends on us any more: what may still come is Envoy's own."""
        if self._phase is Phase.PASSING:
            return self.mode is BodyMode.NONE or self._buffers
        return self._phase is Phase.ENDED

    def give_up(self) -> None:
        """Route no more (a response has begun without us): pass the rest on as it is."""
        self._unroutable = True
        self._held_rewrite = None

    def forget_body(self) -> None:
        """The request has ended; nothing of it is held any more."""
        self._held.drop()

    # --- what Envoy tells -----------------------------------------------------------------------

    def on_headers(self, event: RequestHeaders) -> list[Command]:
        if self._phase is not Phase.FRESH:
            return []
        self.head = read_head(event.headers, self._new_request_id)
        self._subset = event.subset
        if event.end_of_stream:
            return self._decide(Moment.HEADERS_ALONE)
        if self.mode is BodyMode.STREAMED or self.mode is BodyMode.NONE:
            return self._decide(Moment.HEADERS_BEFORE_BODY)
        self._phase = Phase.ADMITTING
        if self.body_bytes > self._limits.max_body_bytes:
            raise self._too_large()
        return [AskAdmission(self.head.believed, self._subset)]

    def admitted(self) -> list[Command]:
        """The director takes no offence at the headers: let the body come."""
        if self._phase is not Phase.ADMITTING:
            return []
        self._phase = Phase.HOLDING
        # Envoy waits for this answer before it buffers, and holds the headers until the body's.
        return [] if self.mode is DUPLEX else [AnswerHeaders(REQUEST)]

    def on_body(self, event: RequestBody) -> list[Command]:
        phase = self._phase
        if phase in DEAF:
            return []
        if phase is Phase.PASSING and self._buffers:
            return []  # A buffered body is one message; only trailers may follow it.
        self._received += len(event.chunk)
        if event.subset is not None:
            self._subset = event.subset
        if phase is Phase.PASSING or (phase is Phase.FRESH and not self._buffers):
            return self._pass_on(event.chunk, event.end_of_stream)
        if self._unroutable:
            return self._pass_on_held(event.chunk, event.end_of_stream)
        self._held.add(event.chunk)
        if self._received > self._limits.max_body_bytes:
            raise self._too_large()
        if self._buffers:
            self._moment_ends = event.end_of_stream
            return self._decide(Moment.BUFFERED_BODY)
        return self._decide(Moment.BODY_END) if event.end_of_stream else []

    def on_trailers(self) -> list[Command]:
        phase = self._phase
        if phase in DEAF:
            return []
        if phase is Phase.HOLDING:
            return self._decide(Moment.BUFFERED_TRAILERS if self._buffers else Moment.TRAILERS)
        self._phase = Phase.ENDED
        return [AnswerTrailers(REQUEST)]

    # --- deciding -------------------------------------------------------------------------------

    def _decide(self, moment: Moment) -> list[Command]:
        self._moment = moment
        self._body = self._held.take()
        self._phase = Phase.DECIDING
        if self._unroutable:
            return self.decided(None)
        if not self.head.id:  # Not shown to us; what the client sent is left alone.
            self.head = replace(self.head, id=self._new_request_id())
        if moment is not Moment.HEADERS_ALONE and moment is not Moment.HEADERS_BEFORE_BODY:
            self._parsed = self._read()
            self.expects_stream = self._parsed.stream
        request = InferenceRequest(
            id=self.head.id,
            path=self.head.path,
            headers=self.head.believed,
            body=self._parsed,
            body_bytes=self.body_bytes,
            body_follows=moment is Moment.HEADERS_BEFORE_BODY and self.mode is BodyMode.STREAMED,
        )
        return [AskRoute(request, self._subset)]

    def _read(self) -> ParsedBody:
        partial = self.mode is BodyMode.BUFFERED_PARTIAL and not self._moment_ends
        return read_body(
            self.head.path,
            self.head.content_type,
            self.head.content_encoding,
            self._body,
            truncated=partial,
        )

    def decided(self, route: Route | None) -> list[Command]:
        """Answer all that waited on the decision; None lets the request pass unrouted."""
        if self._phase is not Phase.DECIDING:
            return []
        self.route = route
        body = self._rewritten()
        answers = self._answers(body if body is not None else self._body, body is not None)
        self._body, self._parsed = b"", None  # A long answer need not keep its prompt.
        return answers

    def _rewritten(self) -> bytes | None:
        """The body with the route's model in place of its own; None where nothing changes."""
        if self.route is None or self.route.rewrite_to is None:
            return None
        if self._moment is Moment.HEADERS_BEFORE_BODY and self.mode is BodyMode.STREAMED:
            self._held_rewrite = HeldRewrite(
                self.head.path,
                self.head.content_type,
                self.head.content_encoding,
                self.head.content_length,
                self.route.rewrite_to,
            )
            return None
        parsed = self._parsed
        if parsed is None or parsed.model_span is None or parsed.model == self.route.rewrite_to:
            return None
        self._original_model = parsed.model
        return with_model(self._body, parsed.model_span, self.route.rewrite_to)

    def _answers(self, body: bytes, rewritten: bool) -> list[Command]:
        moment, limit = self._moment, self._limits.chunk_bytes
        self._phase = Phase.ENDED
        match moment:
            case Moment.HEADERS_ALONE:
                return [self._answer_headers()]
            case Moment.HEADERS_BEFORE_BODY:
                self._phase = Phase.PASSING
                return [self._answer_headers(self._held_rewrite is not None)]
            case Moment.BODY_END:
                headers = self._answer_headers(rewritten)
                return [headers, *chunks(REQUEST, body, True, limit)]
            case Moment.TRAILERS:
                headers = self._answer_headers(rewritten)
                # Without a body Envoy takes a body answer here for a spurious message.
                passed = chunks(REQUEST, body, False, limit) if body else []
                return [headers, *passed, AnswerTrailers(REQUEST)]
            case Moment.BUFFERED_BODY:
                if not self._moment_ends:
                    self._phase = Phase.PASSING  # Trailers may follow.
                return [self._answer_buffered(body, rewritten)]
            case Moment.BUFFERED_TRAILERS:
                return [AnswerTrailers(REQUEST, self._destination, self._scores)]

    # --- answering ------------------------------------------------------------------------------

    @property
    def _buffers(self) -> bool:
        return self.mode is BodyMode.BUFFERED or self.mode is BodyMode.BUFFERED_PARTIAL

    @property
    def _destination(self) -> str | None:
        return destination(self.route) if self.route is not None else None

    @property
    def _scores(self) -> tuple[tuple[str, float], ...]:
        if self.route is None or not self.route.scores:
            return ()
        return tuple(self.route.scores.items())

    def _answer_headers(self, new_length: bool = False) -> AnswerHeaders:
        return AnswerHeaders(
            REQUEST,
            self.head.mutation(self.route, new_length=new_length),
            clear_route_cache=self.route is not None,
            destination=self._destination,
            scores=self._scores,
        )

    def _answer_buffered(self, body: bytes, rewritten: bool) -> AnswerBody:
        # BUFFERED: Envoy compares content-length with a changed body and fails the request if
        # they differ. BUFFERED_PARTIAL: what follows the part we saw makes any length a guess.
        length = len(body) if self.mode is BodyMode.BUFFERED else None
        return AnswerBody(
            REQUEST,
            replace=body if rewritten else None,
            mutation=self.head.mutation(self.route, new_length=rewritten, length=length),
            clear_route_cache=self.route is not None,
            destination=self._destination,
            scores=self._scores,
        )

    def _pass_on(self, chunk: bytes, end_of_stream: bool) -> list[Command]:
        self._phase = Phase.ENDED if end_of_stream else Phase.PASSING
        if self.mode is DUPLEX:
            return [*chunks(REQUEST, chunk, end_of_stream, self._limits.chunk_bytes)]
        if self._held_rewrite is not None:
            return [AnswerBody(REQUEST, self._held_rewrite.feed(chunk, end_of_stream))]
        return [AnswerBody(REQUEST)]

    def _pass_on_held(self, chunk: bytes, end_of_stream: bool) -> list[Command]:
        headers: list[Command] = [AnswerHeaders(REQUEST)] if self.mode is DUPLEX else []
        return [*headers, *self._pass_on(self._held.take() + chunk, end_of_stream)]

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"the request body is longer than the {self._limits.max_body_bytes} bytes allowed"
        )
