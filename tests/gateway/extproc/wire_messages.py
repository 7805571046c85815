"""Build Envoy's messages for tests, as Envoy 1.40 sends them (header values in raw_value)."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToDict

from protos.extproc.v3 import external_processor_pb2 as pb

SUBSET = "x-gateway-destination-endpoint-subset"
SERVED = "x-gateway-destination-endpoint-served"


def request_headers(*items: tuple[str, str], end_of_stream: bool = False) -> Any:
    message = pb.ProcessingRequest()
    _headers(message.request_headers, items, end_of_stream)
    return message


def response_headers(*items: tuple[str, str], end_of_stream: bool = False) -> Any:
    message = pb.ProcessingRequest()
    _headers(message.response_headers, items, end_of_stream)
    return message


def request_body(chunk: bytes, end_of_stream: bool = True) -> Any:
    return pb.ProcessingRequest(request_body={"body": chunk, "end_of_stream": end_of_stream})


def response_body(chunk: bytes, end_of_stream: bool = False) -> Any:
    return pb.ProcessingRequest(response_body={"body": chunk, "end_of_stream": end_of_stream})


def with_metadata(message: Any, namespace: str, **values: object) -> Any:
    """``message`` with filter metadata; underscores in names stand for hyphens."""
    struct = message.metadata_context.filter_metadata[namespace]
    for name, value in values.items():
        struct[name.replace("_", "-")] = value
    return message


def _headers(part: Any, items: tuple[tuple[str, str], ...], end_of_stream: bool) -> None:
    part.end_of_stream = end_of_stream
    for name, value in items:
        part.headers.headers.add(key=name, raw_value=value.encode("utf-8", "surrogateescape"))


def plain(message: Any) -> Any:
    """``message`` as plain values, to compare whole."""
    return MessageToDict(message, preserving_proto_field_name=True)


def headers_set(message: Any, part: str) -> dict[str, str]:
    """The headers that ``message`` sets, by name."""
    owner = getattr(message, part)
    mutation = owner.headers if part == "immediate_response" else owner.response.header_mutation
    return {h.header.key: h.header.raw_value.decode() for h in mutation.set_headers}
