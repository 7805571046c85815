"""What Envoy's messages mean."""

from __future__ import annotations

import pytest

from gateway.extproc.decode import events
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
from tests.gateway.extproc.wire_messages import (
    SERVED,
    SUBSET,
    request_body,
    request_headers,
    response_headers,
    with_metadata,
)

PATH = (":path", "/v1/models")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        pytest.param(
            {"request_headers": {"end_of_stream": True}},
            [RequestHeaders(Headers(), end_of_stream=True)],
            id="request headers",
        ),
        pytest.param(
            {"request_body": {"body": b"ab", "end_of_stream": True}},
            [RequestBody(b"ab", end_of_stream=True)],
            id="request body",
        ),
        pytest.param({"request_trailers": {}}, [RequestTrailers()], id="request trailers"),
        pytest.param(
            {"response_headers": {}},
            [ResponseHeaders(Headers(), end_of_stream=False)],
            id="response headers",
        ),
        pytest.param(
            {"response_body": {"body": b"ab"}},
            [ResponseBody(b"ab", end_of_stream=False)],
            id="response body",
        ),
        pytest.param({"response_trailers": {}}, [ResponseTrailers()], id="response trailers"),
        pytest.param({}, [], id="nothing"),
        pytest.param(
            {
                "protocol_config": {"request_body_mode": 2, "response_body_mode": 1},
                "request_trailers": {},
            },
            [Announced(BodyMode.BUFFERED, BodyMode.STREAMED), RequestTrailers()],
            id="modes come first",
        ),
        pytest.param(
            {"protocol_config": {}},
            [Announced(BodyMode.NONE, BodyMode.NONE)],
            id="an empty announcement says NONE",
        ),
        pytest.param(
            {"protocol_config": {"request_body_mode": 5, "response_body_mode": 77}},
            [Announced(BodyMode.FULL_DUPLEX_STREAMED, BodyMode.FULL_DUPLEX_STREAMED)],
            id="modes of the future are answered like full duplex",
        ),
    ],
)
def test_every_kind_of_message(message: dict[str, object], told: list[Event]) -> None:
    assert events(pb.ProcessingRequest(**message)) == told


def test_headers_keep_order_and_repeats_and_lose_only_their_case() -> None:
    message = request_headers(("Accept", "a"), ("X-B", "1"), ("accept", "b"))
    assert events(message) == [
        RequestHeaders(Headers([("accept", "a"), ("x-b", "1"), ("accept", "b")]), False)
    ]


@pytest.mark.parametrize(
    ("value", "raw_value", "read"),
    [
        pytest.param("old", b"", "old", id="value alone"),
        pytest.param("", b"new", "new", id="raw value alone"),
        pytest.param("old", b"new", "new", id="raw value wins"),
        pytest.param("", "größe".encode(), "größe", id="utf-8"),
        pytest.param("", b"\xff\xfe", "\udcff\udcfe", id="any bytes survive"),
    ],
)
def test_header_values(value: str, raw_value: bytes, read: str) -> None:
    message = pb.ProcessingRequest()
    message.request_headers.headers.headers.add(key="x", value=value, raw_value=raw_value)
    assert events(message) == [RequestHeaders(Headers([("x", read)]), False)]


@pytest.mark.parametrize(
    ("hint", "subset"),
    [
        pytest.param(["10.0.0.1:80", "[::1]:80"], ("10.0.0.1:80", "[::1]:80"), id="list"),
        pytest.param("10.0.0.1:80, 10.0.0.2:80", ("10.0.0.1:80", "10.0.0.2:80"), id="string"),
        pytest.param([], (), id="empty list"),
        pytest.param("", (), id="empty string"),
        pytest.param(" , ", (), id="commas only"),
        pytest.param(["10.0.0.1:80", 7, None, ""], ("10.0.0.1:80",), id="only strings count"),
        pytest.param(8000, (), id="a number names nothing"),
        pytest.param(None, (), id="null names nothing"),
        pytest.param({"a": "10.0.0.1:80"}, (), id="a struct names nothing"),
    ],
)
def test_the_subset_hint_binds_however_it_is_written(hint: object, subset: tuple[str, ...]) -> None:
    message = request_headers(PATH)
    message.metadata_context.filter_metadata["envoy.lb.subset_hint"][SUBSET] = hint
    assert events(message) == [RequestHeaders(Headers([PATH]), False, subset)]


@pytest.mark.parametrize(
    "namespace",
    [
        pytest.param("envoy.lb", id="another namespace"),
        pytest.param("envoy.lb.subset_hint.x", id="a longer namespace"),
    ],
)
def test_no_hint_is_not_an_empty_hint(namespace: str) -> None:
    message = with_metadata(request_headers(PATH), namespace, **{SUBSET: ["10.0.0.1:80"]})
    assert events(message) == [RequestHeaders(Headers([PATH]), False, None)]


def test_a_hint_of_another_name_is_no_hint() -> None:
    message = with_metadata(request_headers(PATH), "envoy.lb.subset_hint", other=["10.0.0.1:80"])
    assert events(message) == [RequestHeaders(Headers([PATH]), False, None)]


def test_the_hint_may_come_with_the_body() -> None:
    message = with_metadata(request_body(b"x"), "envoy.lb.subset_hint", **{SUBSET: "10.0.0.1:80"})
    assert events(message) == [RequestBody(b"x", True, ("10.0.0.1:80",))]


@pytest.mark.parametrize(
    ("value", "served"),
    [
        pytest.param("10.0.0.2:8000", "10.0.0.2:8000", id="said"),
        pytest.param("", None, id="said empty"),
        pytest.param(3, None, id="not a string"),
    ],
)
def test_the_endpoint_that_served(value: object, served: str | None) -> None:
    message = with_metadata(response_headers((":status", "200")), "envoy.lb", **{SERVED: value})
    assert events(message) == [ResponseHeaders(Headers([(":status", "200")]), False, served)]


def test_reading_metadata_adds_none() -> None:
    message = with_metadata(request_headers(PATH), "other", key="value")
    before = message.SerializeToString(deterministic=True)
    events(message)
    assert message.SerializeToString(deterministic=True) == before
