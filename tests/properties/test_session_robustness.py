"""Whatever protobuf lets through, in whatever order: a stream never raises and never leaks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Shed
from gateway.extproc.conduct import Conductor
from gateway.extproc.session import Limits
from gateway.request.model import Ending, Route
from protos.extproc.v3 import external_processor_pb2 as pb
from tests.fakes.clock import ManualClock
from tests.gateway.extproc.scripted_director import HERE, Bug, ScriptedDirector

NAMES = [":path", ":status", "content-length", "content-type", "content-encoding", "x-request-id"]
VALUES = [
    b"",
    b"/v1/chat/completions",
    b"/v1/messages",
    b"200",
    b"text/event-stream",
    b"application/json",
    b"gzip",
    b"18446744073709551616",
    b"-1",
    b"5",
    b"\xff\x00\r\n",
]
BODIES = [
    b"",
    b"{",
    b'{"model":"m","messages":[{"role":"user","content":"x"}]}',
    b'data: {"model":"t","usage":{"prompt_tokens":"NaN","completion_tokens":-1}}\n\n',
    b"\x00\xff" * 700,
]
METHODS = ["admit_early", "route", "responding", "first_token", "finish"]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Failures are logged, as they should be; thousands of them help nobody."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@st.composite
def known_messages(draw: st.DrawFn) -> Any:
    message = pb.ProcessingRequest()
    if draw(st.integers(0, 3)) == 0:
        message.protocol_config.request_body_mode = draw(st.integers(-1, 9))
        message.protocol_config.response_body_mode = draw(st.integers(-1, 9))
    if draw(st.integers(0, 3)) == 0:
        namespace = draw(st.sampled_from(["envoy.lb", "envoy.lb.subset_hint", ""]))
        struct = message.metadata_context.filter_metadata[namespace]
        struct[f"x-gateway-destination-endpoint-{draw(st.sampled_from(['subset', 'served']))}"] = (
            draw(st.sampled_from([None, 1.5, True, "", "a:1,b:2", [], [["a:1"], 3], {"a": []}]))
        )
    kind = draw(st.sampled_from(["headers", "body", "trailers", "none"]))
    side = draw(st.sampled_from(["request", "response"]))
    ends = draw(st.booleans())
    if kind == "headers":
        part = getattr(message, f"{side}_headers")
        part.end_of_stream = ends
        pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES))
        for name, value in draw(st.lists(pairs, max_size=6)):
            part.headers.headers.add(key=name, raw_value=value)
    elif kind == "body":
        part = getattr(message, f"{side}_body")
        part.body = draw(st.sampled_from(BODIES))
        part.end_of_stream = ends
    elif kind == "trailers":
        getattr(message, f"{side}_trailers").SetInParent()
    return message


@st.composite
def wild_messages(draw: st.DrawFn) -> Any:
    """Whatever parses of a damaged message."""
    encoded = bytearray(draw(known_messages()).SerializeToString())
    for _ in range(draw(st.integers(0, 4))):
        if encoded:
            encoded[draw(st.integers(0, len(encoded) - 1))] = draw(st.integers(0, 255))
    message = pb.ProcessingRequest()
    try:
        message.ParseFromString(bytes(encoded))
    except DecodeError:
        return pb.ProcessingRequest()
    return message


DIRECTORS = st.builds(
    ScriptedDirector,
    answer=st.sampled_from(
        [
            HERE,
            Route(("10.0.0.1:8000",), 1, follow=False),
            Route(("[::1]:1", "b:2"), 1, rewrite_to="t", scores={"b:2": float("nan")}),
            Shed("busy"),
            Bug("secret"),
        ]
    ),
    headers=st.sampled_from([(), (("x-session-token", "\ud800"),)]),
    breaks=st.frozensets(st.sampled_from(METHODS), max_size=1),
    early=st.sampled_from([None, None, Shed("busy")]),
)


@given(
    st.lists(known_messages() | wild_messages(), max_size=12),
    DIRECTORS,
    st.sampled_from(Ending),
)
def test_no_sequence_of_messages_raises_or_leaks(
    messages: list[Any], director: ScriptedDirector, ending: Ending
) -> None:
    limits = Limits(max_body_bytes=2000, chunk_bytes=500)
    stream = Conductor(director, ManualClock(), limits, lambda: "id")
    answers: list[Any] = []
    for message in messages:
        was_done = stream.done
        now = stream.on(message)
        assert not (was_done and now), "nothing follows the end"
        answers += now
    stream.close(ending)
    stream.close(ending)

    assert len(director.finished) == director.taken <= 1
    kinds = [answer.WhichOneof("response") for answer in answers]
    if "immediate_response" in kinds:
        assert kinds.index("immediate_response") == len(kinds) - 1
        assert not any(kind.startswith("response_") for kind in kinds[:-1])
    for answer in answers:
        assert len(answer.SerializeToString()) < 64 * 1024
        assert b"secret" not in answer.SerializeToString()
