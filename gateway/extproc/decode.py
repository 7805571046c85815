"""ProcessingRequest -> events. The only file that reads Envoy's messages.

Total: whatever protobuf accepts becomes some list of events, the empty one for a message that
says nothing we know. Called by ``conduct``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from gateway.extproc import by_hand
from gateway.extproc.messages import (
    Announced,
    BodyMode,
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from gateway.request.model import Headers
from protos.extproc.v3 import external_processor_pb2 as pb

ProcessingRequest: TypeAlias = pb.ProcessingRequest

SUBSET_NAMESPACE = "envoy.lb.subset_hint"
SUBSET_KEY = "x-gateway-destination-endpoint-subset"
SERVED_NAMESPACE = "envoy.lb"
SERVED_KEY = "x-gateway-destination-endpoint-served"

MODES = {mode.value: mode for mode in BodyMode}

LONGEST_REMEMBERED = 1024  # bytes of one encoded thing
MOST_CONTEXTS, MOST_HEADERS = 512, 2048
NOT_REMEMBERED = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "x-goog-api-key",
        "x-request-id",
    }
)
"""Headers that are nobody's to keep, or never the same twice."""


class Context(NamedTuple):
    """What a message says besides its headers or its piece of a body."""

    announced: tuple[Event, ...]
    subset: tuple[str, ...] | None
    served: str | None


NOTHING = Context((), None, None)


def read(payload: bytes) -> list[Event]:
    """What a serialized message tells: as ``events`` of it, for less.

    Raises:
        DecodeError: it is no ProcessingRequest.
    """
    first = payload[0] if payload else 0
    if first == by_hand.RESPONSE_BODY or first == by_hand.REQUEST_BODY:
        body = by_hand.body(payload)
        context = None if body is None else _context(body[2])
        if body is not None and context is not None:
            if first == by_hand.RESPONSE_BODY:
                return [*context.announced, ResponseBody(body[0], body[1])]
            return [*context.announced, RequestBody(body[0], body[1], context.subset)]
    elif first == by_hand.REQUEST_HEADERS or first == by_hand.RESPONSE_HEADERS:
        parts = by_hand.headers(payload)
        context = None if parts is None else _context(parts[2])
        if parts is not None and context is not None:
            sent = Headers([_headers.get(item) or _learn_header(item) for item in parts[0]])
            if first == by_hand.RESPONSE_HEADERS:
                return [*context.announced, ResponseHeaders(sent, parts[1], context.served)]
            return [*context.announced, RequestHeaders(sent, parts[1], context.subset)]
    return events(ProcessingRequest.FromString(payload))


_contexts: dict[bytes, Context] = {}
"""By their encoding: all messages of a stream, and the first ones of all, repeat the same."""

_headers: dict[bytes, tuple[str, str]] = {}
"""Name and value of a header, by the encoding of both."""


def _context(encoded: bytes) -> Context | None:
    """What stands after the headers or the body; None if that is another one of these.

    Raises DecodeError.
    """
    if not encoded:
        return NOTHING
    known = _contexts.get(encoded)
    return known if known is not None else _learn_context(encoded)


def _learn_context(encoded: bytes) -> Context | None:
    message = ProcessingRequest.FromString(encoded)
    if message.WhichOneof("request") is not None:
        return None
    with_modes = message.HasField("protocol_config")
    context = Context(
        (announced(message.protocol_config),) if with_modes else (),
        subset(message),
        served(message),
    )
    if len(encoded) <= LONGEST_REMEMBERED:
        if len(_contexts) >= MOST_CONTEXTS:
            _contexts.clear()
        _contexts[encoded] = context
    return context


def _learn_header(encoded: bytes) -> tuple[str, str]:
    """Name and value of an encoded ``HeaderValue``. Raises DecodeError."""
    read = by_hand.header(encoded)
    if read is None:
        known = _named(pb.HeaderValue.FromString(encoded))
    else:
        known = read[0].lower(), read[1]
    if len(encoded) <= LONGEST_REMEMBERED and known[0] not in NOT_REMEMBERED:
        if len(_headers) >= MOST_HEADERS:
            _headers.clear()
        _headers[encoded] = known
    return known


def events(message: ProcessingRequest) -> list[Event]:
    """What ``message`` tells; the announcement of body modes, if it carries one, comes first."""
    told: list[Event] = []
    if message.HasField("protocol_config"):
        told.append(announced(message.protocol_config))
    match message.WhichOneof("request"):
        case "response_body":
            body = message.response_body
            told.append(ResponseBody(body.body, body.end_of_stream))
        case "request_body":
            body = message.request_body
            told.append(RequestBody(body.body, body.end_of_stream, subset(message)))
        case "request_headers":
            part = message.request_headers
            told.append(RequestHeaders(headers(part), part.end_of_stream, subset(message)))
        case "response_headers":
            part = message.response_headers
            told.append(ResponseHeaders(headers(part), part.end_of_stream, served(message)))
        case "request_trailers":
            told.append(RequestTrailers())
        case "response_trailers":
            told.append(ResponseTrailers())
        case _:
            pass  # Unset, or newer than these stubs.
    return told


def announced(config: Any) -> Announced:
    """The body modes of a ``ProtocolConfiguration``.

    A mode this code does not know (GRPC, or a later one) is answered like the duplex one, which
    it extends.
    """
    duplex = BodyMode.FULL_DUPLEX_STREAMED
    return Announced(
        MODES.get(config.request_body_mode, duplex), MODES.get(config.response_body_mode, duplex)
    )


def headers(part: Any) -> Headers:
    """The headers of an ``HttpHeaders``, names in lower case, ``raw_value`` before ``value``."""
    return Headers([_named(item) for item in part.headers.headers])


def _named(item: Any) -> tuple[str, str]:
    raw = item.raw_value
    value = raw.decode("utf-8", "surrogateescape") if raw else item.value
    return item.key.lower(), value


def subset(message: ProcessingRequest) -> tuple[str, ...] | None:
    """The subset hint: a list, or a comma string, of ``ip:port``.

    None is no hint. A hint of another kind names nothing: it binds us to the empty set rather
    than to none, for the proxy did restrict the choice.
    """
    value = metadata(message, SUBSET_NAMESPACE, SUBSET_KEY)
    if value is None:
        return None
    entries = value.list_value.values if value.HasField("list_value") else (value,)
    names = (name.strip() for entry in entries for name in entry.string_value.split(","))
    return tuple(name for name in names if name)


def served(message: ProcessingRequest) -> str | None:
    """The endpoint that served, as Envoy's load balancer says; None if it does not."""
    value = metadata(message, SERVED_NAMESPACE, SERVED_KEY)
    return (value.string_value or None) if value is not None else None


def metadata(message: ProcessingRequest, namespace: str, key: str) -> Any | None:
    """One ``google.protobuf.Value`` of the message's filter metadata, None if absent."""
    if not message.HasField("metadata_context"):
        return None
    # get(), for indexing a protobuf map would add what is missing.
    struct = message.metadata_context.filter_metadata.get(namespace)
    return struct.fields.get(key) if struct is not None else None
