"""Conduct one ext_proc stream: decode, ask the session, ask the director, encode.

Transport-neutral: a host owns one Conductor per gRPC stream, gives it each message and sends
what it returns. Everything runs at once, in order, on the host's thread. This is the rim of the
session: failures of ours are caught here, logged in one line, and never become a gRPC error,
which a proxy that fails open would take for leave to go on. At ``-v 4`` it tells what became of
each request, at 5 of each message too; never what they say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError

from gateway.errors import Broken, Refusal
from gateway.extproc.decode import ProcessingRequest, events, read
from gateway.extproc.encode import ProcessingResponse, response, serialized
from gateway.extproc.messages import (
    Admitted,
    Answer,
    AnswerHeaders,
    AnswerImmediately,
    AskAdmission,
    AskResponse,
    AskRoute,
    Command,
    Event,
    Finished,
    FirstToken,
    Refused,
    Responding,
    Routed,
    StreamBody,
)
from gateway.extproc.session import Limits, Room, Session
from gateway.request.model import Ending, Headers, InferenceRequest, Outcome, Route
from loadstar.clock import Clock
from loadstar.telemetry.logging import TRACE

log = logging.getLogger(__name__)

Said = TypeVar("Said")
Written = TypeVar("Written")

LAST_RESORT = AnswerImmediately(
    status=500,
    headers=(("content-type", "application/json"),),
    body=b'{"error":{"message":"the gateway failed","type":"internal_error"}}',
    details="internal_error",
)
"""For when not even the refusal can be written."""


class Director(Protocol):
    """Who routes requests and follows what becomes of them."""

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        """Let a request's body come. Raises Refusal if its headers alone say it is in vain."""
        ...

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        """Choose endpoints for ``request`` and take credit for it. Raises Refusal."""
        ...

    def responding(
        self,
        ticket: int,
        status: int | None,
        served: str | None,
        now: float,
        *,
        streamed: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        """Response headers have come; returns headers to add to them.

        ``streamed``: they say that events follow.
        """
        ...

    def first_token(self, ticket: int, now: float) -> None:
        """The first bytes of the response's body have come."""
        ...

    def finish(self, ticket: int, outcome: Outcome, now: float) -> None:
        """The stream of a routed request has ended; called exactly once for each route."""
        ...


class Conductor:
    """One stream's worth of conversation. Not shared between streams, not thread-safe."""

    def __init__(
        self,
        director: Director,
        clock: Clock,
        limits: Limits,
        new_request_id: Callable[[], str],
        on_refusal: Callable[[str], None] | None = None,
        room: Room | None = None,
    ) -> None:
        """``on_refusal`` hears the code of each refusal that was not the director's: a request
        that cannot be read, is too long, or comes while the process ends. ``room`` is for the
        bodies of all streams together."""
        self._director = director
        self._clock = clock
        self._session = Session(limits, new_request_id, room)
        self._ticket: int | None = None
        """Of the route that is not given back yet."""
        self._abandoned = False
        self._on_refusal = on_refusal
        self._directors_refusal = False
        self._tells_all = log.isEnabledFor(TRACE)

    @property
    def done(self) -> bool:
        """The host should end the stream with OK: nothing more will be answered."""
        return self._abandoned or self._session.closed is not None

    @property
    def may_be_let_go(self) -> bool:
        """If the host ends the stream with OK now, the client still gets its whole answer."""
        return not self._abandoned and self._session.may_be_let_go

    def on(self, message: ProcessingRequest) -> list[ProcessingResponse]:
        """What to send to Envoy, in order, because it sent ``message``. Raises nothing."""
        if self._tells_all and not self.done:
            told_of = {"kind": message.WhichOneof("request"), "bytes": message.ByteSize()}
            log.log(TRACE, "message", extra={"request_id": self._session.request_id, **told_of})
        return self._hear(message, events, response)

    def on_payload(self, payload: bytes) -> list[bytes]:
        """The same, serialized on both sides, for less.

        Raises:
            DecodeError: ``payload`` is no ProcessingRequest.
        """
        if self._tells_all:
            message = ProcessingRequest.FromString(payload)
            return [answer.SerializeToString() for answer in self.on(message)]
        return self._hear(payload, read, serialized)

    def refuse(self, refusal: Refusal) -> list[ProcessingResponse]:
        """What to send to Envoy because its host cannot take the request. Raises nothing."""
        return self._hear(refusal, lambda refused: [Refused(refused)], response)

    def close(self, ending: Ending) -> None:
        """The stream has ended. Gives back what is still taken; more calls do nothing.

        Pass COMPLETE or CLIENT_GONE when Envoy ended or reset the stream (the session knows which
        of the two it was), PROXY_GONE when its connection broke, SHUTDOWN when we end it.
        """
        try:
            self._carry_out(self._session.close(ending), [])
        except Exception as broken:  # The rim, as above; the ticket is given back below.
            self._complain(broken)
        self._give_back(Outcome(Ending.FAILED, None))

    # --- inside ---------------------------------------------------------------------------------

    def _hear(
        self, said: Said, decode: Callable[[Said], list[Event]], encode: Callable[[Answer], Written]
    ) -> list[Written]:
        if self.done:
            return []
        told: list[Event] = []
        try:
            told = decode(said)
            answers: list[Answer] = []
            for event in told:
                commands = self._session.on(event)
                if commands:
                    self._carry_out(commands, answers)
            return [encode(answer) for answer in answers]
        except DecodeError:
            raise
        except Exception as broken:  # The rim: whatever it is, this one request pays for it.
            self._complain(broken)
            return self._recover(told, encode)

    def _tell(self, event: Event, answers: list[Answer]) -> None:
        self._carry_out(self._session.on(event), answers)

    def _carry_out(self, commands: list[Command], answers: list[Answer]) -> None:
        for command in commands:
            match command:
                case StreamBody() | AnswerHeaders():  # Nine of ten, in a streamed answer.
                    answers.append(command)
                case AskAdmission():
                    self._tell(self._admit(command), answers)
                case AskRoute():
                    self._tell(self._route(command), answers)
                case AskResponse():
                    self._tell(self._responding(command), answers)
                case FirstToken():
                    self._first_token(command)
                case Finished():
                    self._give_back(command.outcome)
                case AnswerImmediately():
                    self._refused(command)
                    answers.append(command)
                case _:
                    answers.append(command)

    def _admit(self, ask: AskAdmission) -> Event:
        try:
            self._director.admit_early(ask.headers, ask.subset, self._clock.now())
        except Refusal as refusal:
            self._directors_refusal = True
            return Refused(refusal)
        except Exception as broken:  # Only a chance to save work is lost: ``route`` asks again.
            self._complain(broken)
        return Admitted()

    def _route(self, ask: AskRoute) -> Event:
        try:
            route = self._director.route(ask.request, ask.subset, self._clock.now())
        except Refusal as refusal:
            self._directors_refusal = True
            return Refused(refusal)
        except Exception as broken:  # The director's rim: the client still gets an answer.
            self._complain(broken)
            return Refused(Broken("the gateway failed to choose an endpoint"))
        self._ticket = route.ticket
        if log.isEnabledFor(logging.DEBUG):
            where = {"model": ask.request.model, "destinations": ",".join(route.destinations)}
            log.debug("routed", extra={"request_id": ask.request.id, **where})
        return Routed(route)

    def _refused(self, answer: AnswerImmediately) -> None:
        if self._on_refusal is not None and not self._directors_refusal:
            self._on_refusal(answer.details)
        if log.isEnabledFor(logging.DEBUG):
            why = {"status": answer.status, "code": answer.details}
            log.debug("refused", extra={"request_id": self._session.request_id, **why})

    def _responding(self, ask: AskResponse) -> Event:
        try:
            now, streamed = self._clock.now(), self._session.answer_streamed
            headers = self._director.responding(
                ask.ticket, ask.status, ask.served, now, streamed=streamed
            )
            return Responding(headers)
        except Exception as broken:  # The response is fine; only our headers are missing.
            self._complain(broken)
            return Responding()

    def _first_token(self, told: FirstToken) -> None:
        try:
            self._director.first_token(told.ticket, self._clock.now())
        except Exception as broken:  # Bookkeeping must not break a response.
            self._complain(broken)

    def _give_back(self, outcome: Outcome) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return
        if log.isEnabledFor(logging.DEBUG):
            how = {"ending": outcome.ending.value, "status": outcome.status}
            log.debug("ended", extra={"request_id": self._session.request_id, **how})
        try:
            self._director.finish(ticket, outcome, self._clock.now())
        except Exception as broken:  # Bookkeeping must not break a response.
            self._complain(broken)

    def _recover(self, told: list[Event], encode: Callable[[Answer], Written]) -> list[Written]:
        """Refuse the request, or once its response has begun pass everything on unchanged.

        Answers already made for the message are dropped with it; it is told again to a session
        that no longer reads what it passes.
        """
        answers: list[Answer] = []
        try:
            self._carry_out(self._session.fail(), answers)
            if self._session.done:
                return [encode(answer) for answer in answers]
            for event in told:
                self._tell(event, answers)
            if answers:
                return [encode(answer) for answer in answers]
        except Exception as broken:  # Nothing of ours works: say the least there is to say.
            self._complain(broken)
        # Envoy goes on without us once the stream ends; unanswered it would wait for us.
        self._abandoned = True
        self._give_back(Outcome(Ending.FAILED, None))
        return [] if self._session.response_begun else [encode(LAST_RESORT)]

    def _complain(self, broken: Exception) -> None:
        """One line: which request, what kind of failure, where. Never its text: that may quote
        a prompt or a header."""
        frame = broken.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "unknown"
        log.error(
            "request %r failed with %s at %s",
            self._session.request_id,
            type(broken).__name__,
            where,
        )
