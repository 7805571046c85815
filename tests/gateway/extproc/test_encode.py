"""Our answers in Envoy's words, compared whole."""

from __future__ import annotations

import base64

import pytest
from google.protobuf.json_format import ParseDict

from gateway.extproc.encode import response
from gateway.extproc.messages import (
    Answer,
    AnswerBody,
    AnswerHeaders,
    AnswerImmediately,
    AnswerTrailers,
    Direction,
    HeaderMutation,
    StreamBody,
)
from protos.extproc.v3 import external_processor_pb2 as pb
from tests.gateway.extproc.wire_messages import plain

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
DESTINATION = "x-gateway-destination-endpoint"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def overwrite(name: str, value: bytes) -> dict[str, object]:
    return {
        "header": {"key": name, "raw_value": b64(value)},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(
            AnswerHeaders(
                REQUEST,
                HeaderMutation(((DESTINATION, "[::1]:80,b:1"),), ("x-old",)),
                clear_route_cache=True,
                destination="[::1]:80,b:1",
                scores=(("[::1]:80", 0.5),),
            ),
            {
                "request_headers": {
                    "response": {
                        "header_mutation": {
                            "set_headers": [overwrite(DESTINATION, b"[::1]:80,b:1")],
                            "remove_headers": ["x-old"],
                        },
                        "clear_route_cache": True,
                    }
                },
                "dynamic_metadata": {
                    "envoy.lb": {
                        DESTINATION: "[::1]:80,b:1",
                        f"{DESTINATION}-scores": {"[::1]:80": 0.5},
                    }
                },
            },
            id="a route",
        ),
        pytest.param(
            AnswerHeaders(RESPONSE), {"response_headers": {"response": {}}}, id="plain headers"
        ),
        pytest.param(
            AnswerHeaders(RESPONSE, HeaderMutation((("x-a", "\udcff"),))),
            {
                "response_headers": {
                    "response": {"header_mutation": {"set_headers": [overwrite("x-a", b"\xff")]}}
                }
            },
            id="header bytes come back as they were",
        ),
        pytest.param(
            AnswerHeaders(RESPONSE, HeaderMutation((("x-a", "\ud800"),))),
            {
                "response_headers": {
                    "response": {"header_mutation": {"set_headers": [overwrite("x-a", b"?")]}}
                }
            },
            id="a header no bytes can say does not fail",
        ),
        pytest.param(
            StreamBody(REQUEST, b"ab", end_of_stream=True),
            {
                "request_body": {
                    "response": {
                        "body_mutation": {
                            "streamed_response": {"body": b64(b"ab"), "end_of_stream": True}
                        }
                    }
                }
            },
            id="a chunk that ends",
        ),
        pytest.param(
            StreamBody(RESPONSE, b"", end_of_stream=False),
            {"response_body": {"response": {"body_mutation": {"streamed_response": {}}}}},
            id="an empty chunk is still a streamed response",
        ),
        pytest.param(AnswerBody(REQUEST), {"request_body": {"response": {}}}, id="left as it is"),
        pytest.param(
            AnswerBody(RESPONSE, b"new", HeaderMutation((("content-length", "3"),))),
            {
                "response_body": {
                    "response": {
                        "header_mutation": {"set_headers": [overwrite("content-length", b"3")]},
                        "body_mutation": {"body": b64(b"new")},
                    }
                }
            },
            id="replaced",
        ),
        pytest.param(
            AnswerBody(REQUEST, b""),
            {"request_body": {"response": {"body_mutation": {"clear_body": True}}}},
            id="dropped",
        ),
        pytest.param(
            AnswerBody(REQUEST, destination="a:1", clear_route_cache=True),
            {
                "request_body": {"response": {"clear_route_cache": True}},
                "dynamic_metadata": {"envoy.lb": {DESTINATION: "a:1"}},
            },
            id="a buffered route",
        ),
        pytest.param(AnswerTrailers(RESPONSE), {"response_trailers": {}}, id="trailers"),
        pytest.param(
            AnswerTrailers(REQUEST, destination="a:1"),
            {
                "request_trailers": {},
                "dynamic_metadata": {"envoy.lb": {DESTINATION: "a:1"}},
            },
            id="a route known at the trailers",
        ),
        pytest.param(
            AnswerImmediately(429, (("content-type", "application/json"),), b"{}", "shed"),
            {
                "immediate_response": {
                    "status": {"code": 429},
                    "headers": {"set_headers": [overwrite("content-type", b"application/json")]},
                    "body": b64(b"{}"),
                    "details": "shed",
                }
            },
            id="a refusal",
        ),
    ],
)
def test_every_answer(answer: Answer, message: dict[str, object]) -> None:
    encoded = response(answer)
    assert plain(encoded) == message
    assert encoded.SerializeToString() == response(answer).SerializeToString()
    assert ParseDict(message, pb.ProcessingResponse()) == encoded
