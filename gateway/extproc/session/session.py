"""One HTTP request as Envoy tells it: a state machine without IO, clock or log.

``on`` takes what Envoy or the director said and returns what to tell them, in order. AskAdmission
wants Admitted or Refused in return, AskRoute wants Routed or Refused, AskResponse wants
Responding, each before anything else is told. Whatever happens, every route taken is given back
by exactly one Finished.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import Broken, Refusal
from gateway.extproc.messages import (
    Admitted,
    Announced,
    Command,
    Event,
    Finished,
    Refused,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    Responding,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    Routed,
)
from gateway.extproc.session.limits import Limits
from gateway.extproc.session.refusals import immediate
from gateway.extproc.session.request import RequestSide
from gateway.extproc.session.response import ResponseSide, Taken
from gateway.extproc.session.room import Room
from gateway.request.model import Ending, Outcome


class Session:
    """The conversation about one HTTP request."""

    def __init__(
        self, limits: Limits, new_request_id: Callable[[], str], room: Room | None = None
    ) -> None:
        """``room`` bounds what all sessions hold together; None is one of its own."""
        room = Room(limits.max_body_bytes) if room is None else room
        self._request = RequestSide(limits, new_request_id, room)
        self._response = ResponseSide(limits)
        self._taken: Taken | None = None
        self._given_back = False
        self.closed: Ending | None = None
        """How the conversation has ended; None while it goes on."""

    @property
    def request_id(self) -> str:
        """The request's id, the client's or ours; empty before its headers have come."""
        return self._request.head.id

    @property
    def done(self) -> bool:
        """Nothing more will be answered: the stream may be ended."""
        return self.closed is not None

    @property
    def response_begun(self) -> bool:
        """Parts of a response may have reached the client: it can no longer be replaced."""
        return self._response.begun

    @property
    def answer_streamed(self) -> bool:
        """The response's headers say that it is a stream of events."""
        return self._response.streamed

    @property
    def may_be_let_go(self) -> bool:
        """Request and answer go on as they should if we end the stream here."""
        request, response = self._request, self._response
        if self.closed is not None or self._taken is None or not request.passed:
            return False
        if response.begun:
            return response.may_be_let_go
        return response.does_without_us and request.renamed is None

    def on(self, event: Event) -> list[Command]:
        """What follows from ``event``, in the order it has to be told."""
        if self.closed is not None:
            return self._too_late(event)
        try:
            commands = self._commands(event)
        except Refusal as refusal:
            return self._refuse(refusal)
        if self._response.ended:
            commands = [*commands, *self.close(Ending.COMPLETE)]
        return commands

    def close(self, ending: Ending) -> list[Command]:
        """The stream has ended; ``ending`` is what its host believes of how.

        A host cannot tell a client that left from one that was served: Envoy ends the stream the
        same way. So COMPLETE and CLIENT_GONE mean that Envoy ended it, and what was seen of the
        response decides between the two.
        """
        if self.closed is not None:
            return []
        if ending is Ending.COMPLETE or ending is Ending.CLIENT_GONE:
            ending = Ending.COMPLETE if self._response.complete else Ending.CLIENT_GONE
        self.closed = ending
        self._request.forget_body()
        return self._give_back(ending)

    def fail(self) -> list[Command]:
        """Something of ours broke: refuse while that is possible, else become transparent.

        Once a response has begun its bytes must reach the client; from here on they pass
        unchanged and unread.
        """
        if self.closed is not None:
            return []
        if self._response.begun:
            self._response.give_up()
            self._request.give_up()
            return []
        return self._refuse(Broken("the gateway failed to handle this request"))

    # --- inside ---------------------------------------------------------------------------------

    def _commands(self, event: Event) -> list[Command]:
        match event:
            case ResponseBody():
                return self._response.on_body(event.chunk, event.end_of_stream, self._taken)
            case RequestBody():
                return self._request.on_body(event)
            case RequestHeaders():
                return self._request.on_headers(event)
            case Announced():
                self._request.mode = event.request_body
                self._response.mode = event.response_body
                return []
            case Routed():
                return self._routed(event)
            case ResponseHeaders():
                return self._response_headers(event)
            case Responding():
                return self._responding(event)
            case Admitted():
                return self._request.admitted()
            case Refused():
                return self._refuse(event.refusal)
            case RequestTrailers():
                return self._request.on_trailers()
            case ResponseTrailers():
                return self._response.on_trailers()

    def _routed(self, event: Routed) -> list[Command]:
        request = self._request
        # Before anything that may fail: from here on the route has to be given back.
        self._taken = Taken(event.route.ticket, request.head.dialect, request.expects_stream)
        return request.decided(event.route)

    def _response_headers(self, event: ResponseHeaders) -> list[Command]:
        if self._taken is None:
            # Envoy or another filter answered before there was a route; it may still read on.
            self._request.give_up()
        return self._response.on_headers(event, self._taken, self._request.renamed)

    def _responding(self, event: Responding) -> list[Command]:
        answers = self._response.responding(event.headers)
        request = self._request
        unwanted = request.route is not None and not request.route.follow
        if unwanted and request.passed and self._response.may_be_let_go:
            self.closed = Ending.LET_GO
            return [*answers, *self._give_back(Ending.LET_GO)]
        return answers

    def _refuse(self, refusal: Refusal) -> list[Command]:
        if self._response.begun:
            self._request.give_up()
            return self._request.decided(None)
        answer = immediate(refusal, self._request.head.path, self._request.head.id)
        ending = Ending.FAILED if isinstance(refusal, Broken) else Ending.REFUSED
        self.closed = ending
        self._request.forget_body()
        return [answer, *self._give_back(ending)]

    def _too_late(self, event: Event) -> list[Command]:
        """A route that was chosen while its request went away is given back at once."""
        if isinstance(event, Routed) and self._taken is None and self.closed is not None:
            self._taken = Taken(event.route.ticket, self._request.head.dialect, False)
            return self._give_back(self.closed)
        return []

    def _give_back(self, ending: Ending) -> list[Command]:
        if self._taken is None or self._given_back:
            return []
        self._given_back = True
        response = self._response
        outcome = Outcome(
            ending=ending,
            status=response.status,
            usage=response.usage,
            request_bytes=self._request.body_bytes,
            response_bytes=response.body_bytes,
            streamed=response.streamed,
        )
        return [Finished(self._taken.ticket, outcome)]
