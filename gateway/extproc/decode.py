"""ProcessingRequest -> events. The only file that reads Envoy's messages.

Total: whatever protobuf accepts becomes some list of events, the empty one for a message that
says nothing we know. Called by ``conduct``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

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

ProcessingRequest: TypeAlias = pb.ProcessingRequest

SUBSET_NAMESPACE = "envoy.lb.subset_hint"
SUBSET_KEY = "x-gateway-destination-endpoint-subset"
SERVED_NAMESPACE = "envoy.lb"
SERVED_KEY = "x-gateway-destination-endpoint-served"

LONGEST_HINT, MOST_HINTS = 1024, 512  # bytes of metadata remembered, and how many of them

MODES = {mode.value: mode for mode in BodyMode}


def read(payload: bytes) -> list[Event]:
    """What a serialized message tells: as ``events`` of it, for less where it is a body's piece.

    Raises:
        DecodeError: it is no ProcessingRequest.
    """
    first = payload[0] if payload else 0
    if first == by_hand.RESPONSE_BODY or first == by_hand.REQUEST_BODY:
        parts = by_hand.body(payload)
        if parts is not None:
            chunk, end_of_stream, rest = parts
            if not rest:
                hint = None
            elif rest in _hints:
                hint = _hints[rest]
            elif by_hand.is_one_field(rest, by_hand.METADATA):
                hint = _learn(rest)
            else:
                return events(ProcessingRequest.FromString(payload))
            if first == by_hand.RESPONSE_BODY:
                return [ResponseBody(chunk, end_of_stream)]
            return [RequestBody(chunk, end_of_stream, hint)]
    return events(ProcessingRequest.FromString(payload))


_hints: dict[bytes, tuple[str, ...] | None] = {}
"""Encoded metadata -> the subset hint in it: every message of a stream repeats the same."""


def _learn(encoded: bytes) -> tuple[str, ...] | None:
    """Read encoded metadata, and remember it. Raises DecodeError."""
    hint = subset(ProcessingRequest.FromString(encoded))
    if len(encoded) <= LONGEST_HINT:
        if len(_hints) >= MOST_HINTS:
            _hints.clear()
        _hints[encoded] = hint
    return hint


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
    return Headers(
        [
            (
                item.key.lower(),
                raw.decode("utf-8", "surrogateescape") if (raw := item.raw_value) else item.value,
            )
            for item in part.headers.headers
        ]
    )


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
