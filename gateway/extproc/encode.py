"""Answers -> ProcessingResponse. The only file that writes Envoy's messages.

Total: no answer of a session fails to encode. Messages are never changed once returned, so the
commonest ones are built once. Called by ``conduct``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from gateway.extproc import by_hand
from gateway.extproc.messages import (
    NO_MUTATION,
    Answer,
    AnswerBody,
    AnswerHeaders,
    AnswerImmediately,
    AnswerTrailers,
    Direction,
    HeaderMutation,
    StreamBody,
)
from gateway.extproc.session.control_headers import DESTINATION
from protos.extproc.v3 import external_processor_pb2 as pb

ProcessingResponse: TypeAlias = pb.ProcessingResponse

NAMESPACE = "envoy.lb"
SCORES = "x-gateway-destination-endpoint-scores"
OVERWRITE = pb.HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
REMEMBERED_ANSWERS = 4096
REQUEST = Direction.REQUEST
REQUEST_BODY, RESPONSE_BODY = by_hand.ANSWER_REQUEST_BODY, by_hand.ANSWER_RESPONSE_BODY


def serialized(answer: Answer) -> bytes:
    """``response`` of ``answer``, serialized."""
    if type(answer) is StreamBody:
        kind = REQUEST_BODY if answer.direction is REQUEST else RESPONSE_BODY
        return by_hand.stream_body(kind, answer.chunk, answer.end_of_stream)
    if type(answer) is AnswerHeaders and answer.scores == () and len(answer.mutation.set) <= 1:
        # To say where a request goes, and no more: as many answers as there are endpoints.
        return _headers_said_before(
            answer.direction is REQUEST,
            answer.mutation.set,
            answer.mutation.remove,
            answer.clear_route_cache,
            answer.destination,
        )
    message: bytes = response(answer).SerializeToString()
    return message


@lru_cache(maxsize=REMEMBERED_ANSWERS)
def _headers_said_before(
    of_request: bool,
    ours: tuple[tuple[str, str], ...],
    remove: tuple[str, ...],
    clear_route_cache: bool,
    destination: str | None,
) -> bytes:
    """A serialized AnswerHeaders without scores."""
    direction = REQUEST if of_request else Direction.RESPONSE
    mutation = HeaderMutation(ours, remove)
    answer = AnswerHeaders(direction, mutation, clear_route_cache, destination)
    message: bytes = response(answer).SerializeToString()
    return message


def response(answer: Answer) -> ProcessingResponse:
    """The one message that says ``answer``."""
    match answer:
        case StreamBody():
            return _stream_body(answer)
        case AnswerBody():
            return _answer_body(answer)
        case AnswerHeaders():
            return _answer_headers(answer)
        case AnswerTrailers():
            return _answer_trailers(answer)
        case AnswerImmediately():
            return _answer_immediately(answer)


def _stream_body(answer: StreamBody) -> ProcessingResponse:
    message = pb.ProcessingResponse()
    part = message.request_body if answer.direction is REQUEST else message.response_body
    streamed = part.response.body_mutation.streamed_response
    streamed.body = answer.chunk
    streamed.end_of_stream = answer.end_of_stream
    streamed.SetInParent()
    return message


def _answer_headers(answer: AnswerHeaders) -> ProcessingResponse:
    plain = answer.mutation is NO_MUTATION and answer.destination is None
    if plain and not answer.clear_route_cache:
        return PLAIN_HEADERS[answer.direction]
    message = pb.ProcessingResponse()
    part = message.request_headers if answer.direction is REQUEST else message.response_headers
    _common(part.response, answer.mutation, answer.clear_route_cache)
    _dynamic_metadata(message, answer.destination, answer.scores)
    return message


def _answer_body(answer: AnswerBody) -> ProcessingResponse:
    plain = answer.mutation is NO_MUTATION and answer.destination is None
    if plain and answer.replace is None and not answer.clear_route_cache:
        return PLAIN_BODY[answer.direction]
    message = pb.ProcessingResponse()
    part = message.request_body if answer.direction is REQUEST else message.response_body
    _common(part.response, answer.mutation, answer.clear_route_cache)
    if answer.replace:
        part.response.body_mutation.body = answer.replace
    elif answer.replace is not None:
        part.response.body_mutation.clear_body = True
    _dynamic_metadata(message, answer.destination, answer.scores)
    return message


def _answer_trailers(answer: AnswerTrailers) -> ProcessingResponse:
    message = pb.ProcessingResponse()
    request = answer.direction is REQUEST
    (message.request_trailers if request else message.response_trailers).SetInParent()
    _dynamic_metadata(message, answer.destination, answer.scores)
    return message


def _answer_immediately(answer: AnswerImmediately) -> ProcessingResponse:
    message = pb.ProcessingResponse()
    immediate = message.immediate_response
    immediate.status.code = answer.status
    immediate.body = answer.body
    immediate.details = answer.details
    _set_headers(immediate.headers, answer.headers)
    return message


def _common(common: Any, mutation: HeaderMutation, clear_route_cache: bool) -> None:
    common.SetInParent()
    if mutation.set or mutation.remove:
        _set_headers(common.header_mutation, mutation.set)
        common.header_mutation.remove_headers.extend(mutation.remove)
    if clear_route_cache:
        common.clear_route_cache = True


def _set_headers(mutation: Any, items: Iterable[tuple[str, str]]) -> None:
    for name, value in items:
        option = mutation.set_headers.add()
        option.header.key = name
        option.header.raw_value = _bytes(value)
        # Said aloud: proxies differ in what they take an unset action for.
        option.append_action = OVERWRITE


def _bytes(value: str) -> bytes:
    """A header value as bytes: those it was decoded from, or at worst a readable stand-in."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


def _dynamic_metadata(
    message: ProcessingResponse, destination: str | None, scores: tuple[tuple[str, float], ...]
) -> None:
    if destination is None:
        return
    fields = message.dynamic_metadata.fields[NAMESPACE].struct_value.fields
    fields[DESTINATION].string_value = destination
    if scores:
        by_endpoint = fields[SCORES].struct_value.fields
        for endpoint, score in scores:
            by_endpoint[endpoint].number_value = score


def _plain(oneof: str) -> ProcessingResponse:
    message = pb.ProcessingResponse()
    getattr(message, oneof).response.SetInParent()
    return message


PLAIN_HEADERS = {d: _plain(f"{d.value}_headers") for d in Direction}
PLAIN_BODY = {d: _plain(f"{d.value}_body") for d in Direction}
