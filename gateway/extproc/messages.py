"""Our own words for the ext_proc conversation: events in, commands out.

Nothing here knows protobuf, gRPC or asyncio. ``decode`` makes events of Envoy's messages, the
session turns events into commands, ``encode`` makes Envoy's messages of the commands that are
answers, and ``conduct`` carries the others to the director.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TypeAlias

from gateway.errors import Refusal
from gateway.request.model import Headers, InferenceRequest, Outcome, Route
from loadstar.records import record


class BodyMode(Enum):
    """How Envoy sends a body (``ProcessingMode.BodySendMode``)."""

    NONE = 0
    STREAMED = 1
    BUFFERED = 2
    BUFFERED_PARTIAL = 3
    FULL_DUPLEX_STREAMED = 4


class Direction(Enum):
    REQUEST = "request"
    RESPONSE = "response"


# --- events: what Envoy or the director told us -------------------------------------------------


@record
class Announced:
    """The body modes of ``protocol_config``; comes first, if at all."""

    request_body: BodyMode
    response_body: BodyMode


@record
class RequestHeaders:
    headers: Headers
    end_of_stream: bool
    subset: tuple[str, ...] | None = None
    """The subset hint: ``ip:port`` entries; None is no hint, () is an empty one (a 503)."""


@record
class RequestBody:
    chunk: bytes
    end_of_stream: bool
    subset: tuple[str, ...] | None = None
    """The subset hint, if this message repeats it (Envoy may attach metadata to any message)."""


@record
class RequestTrailers:
    pass


@record
class ResponseHeaders:
    headers: Headers
    end_of_stream: bool
    served: str | None = None
    """The endpoint that really served, as Envoy's metadata says; None if not said."""


@record
class ResponseBody:
    chunk: bytes
    end_of_stream: bool


@record
class ResponseTrailers:
    pass


@record
class Admitted:
    """The director's answer to AskAdmission; Refused is the other."""


@record
class Routed:
    """The director's answer to AskRoute."""

    route: Route


@record
class Refused:
    """The director's other answer to AskAdmission and AskRoute; also failures of our own."""

    refusal: Refusal


@record
class Responding:
    """The director's answer to AskResponse: headers to add to the client's response."""

    headers: tuple[tuple[str, str], ...] = ()


Event: TypeAlias = (
    Announced
    | RequestHeaders
    | RequestBody
    | RequestTrailers
    | ResponseHeaders
    | ResponseBody
    | ResponseTrailers
    | Admitted
    | Routed
    | Refused
    | Responding
)


# --- commands: what we tell Envoy ---------------------------------------------------------------


@record
class HeaderMutation:
    """Headers to set (replacing what is there) and to remove."""

    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


NO_MUTATION = HeaderMutation()


@record
class AnswerHeaders:
    """Answer a headers message."""

    direction: Direction
    mutation: HeaderMutation = NO_MUTATION
    clear_route_cache: bool = False
    destination: str | None = None
    """Comma list for dynamic metadata ``envoy.lb``; identical to the header of that name."""
    scores: tuple[tuple[str, float], ...] = ()


@record
class StreamBody:
    """One chunk of a FULL_DUPLEX_STREAMED body; at most 62,000 bytes."""

    direction: Direction
    chunk: bytes
    end_of_stream: bool


@record
class AnswerBody:
    """Answer one body message of the STREAMED, BUFFERED and BUFFERED_PARTIAL modes."""

    direction: Direction
    replace: bytes | None = None
    """None leaves the chunk as it is; b"" drops it."""
    mutation: HeaderMutation = NO_MUTATION
    clear_route_cache: bool = False
    destination: str | None = None
    scores: tuple[tuple[str, float], ...] = ()


@record
class AnswerTrailers:
    direction: Direction
    destination: str | None = None
    """Dynamic metadata only; for a buffered request that turned out to have no body at all."""
    scores: tuple[tuple[str, float], ...] = ()


@record
class AnswerImmediately:
    """ImmediateResponse: the request ends here, with this answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    details: str
    """For Envoy's access log (%RESPONSE_CODE_DETAILS%)."""


# --- commands: what we ask or tell the director -------------------------------------------------


@record
class AskAdmission:
    """A body is about to be held: do the headers alone say that it would be in vain?

    Answered by Admitted or Refused.
    """

    headers: Headers
    subset: tuple[str, ...] | None


@record
class AskRoute:
    """Choose an endpoint; answered by Routed or Refused."""

    request: InferenceRequest
    subset: tuple[str, ...] | None


@record
class AskResponse:
    """Response headers have come; answered by Responding."""

    ticket: int
    status: int | None
    served: str | None


@record
class FirstToken:
    """The first piece of the response body has passed."""

    ticket: int


@record
class Finished:
    """The stream has ended, however it ended; sent exactly once for every route taken."""

    ticket: int
    outcome: Outcome = field(compare=True)


Answer: TypeAlias = AnswerHeaders | StreamBody | AnswerBody | AnswerTrailers | AnswerImmediately
Ask: TypeAlias = AskAdmission | AskRoute | AskResponse | FirstToken | Finished
Command: TypeAlias = Answer | Ask
