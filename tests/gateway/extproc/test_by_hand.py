"""What is read and written by hand is what protobuf reads and writes, to the byte."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.extproc import by_hand, decode
from gateway.extproc.decode import events, read
from gateway.extproc.encode import ProcessingResponse, response, serialized
from gateway.extproc.messages import (
    AnswerHeaders,
    Direction,
    Event,
    HeaderMutation,
    StreamBody,
)
from protos.extproc.v3 import external_processor_pb2 as pb

CHUNKS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 62_000, 2_097_152]).map(bytes),
)
NAMED = st.tuples(
    st.sampled_from(["", ":path", "X-Case", "x-request-id", "authorization"]),
    st.sampled_from(["", "text", "caf\u00e9"]),
    st.one_of(
        st.just(b""), st.binary(max_size=6), st.integers(100, 20_000).map(lambda size: b"v" * size)
    ),
)
SUBSETS = st.sampled_from([None, "", "10.0.0.1:8000", "a:1, b:2"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A serialized message with a piece of a body, mostly as Envoy writes it."""
    message = pb.ProcessingRequest()
    kind = draw(st.sampled_from(["request_body", "response_body"]))
    part = getattr(message, kind)
    part.SetInParent()
    part.body = draw(CHUNKS)
    part.end_of_stream = draw(st.booleans())
    part.end_of_stream_without_message = draw(st.booleans()) and draw(st.booleans())
    hint = draw(SUBSETS)
    if hint is not None:
        fields = {decode.SUBSET_KEY: hint}
        message.metadata_context.filter_metadata[decode.SUBSET_NAMESPACE].update(fields)
    elif draw(st.booleans()):
        message.metadata_context.SetInParent()
    message.observability_mode = draw(st.booleans()) and draw(st.booleans())
    serialized: bytes = message.SerializeToString()
    return serialized


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A serialized message with headers, mostly as Envoy writes it."""
    message = pb.ProcessingRequest()
    part = getattr(message, draw(st.sampled_from(["request_headers", "response_headers"])))
    part.SetInParent()
    for name, text, raw in draw(st.lists(NAMED, max_size=4)):
        part.headers.headers.add(key=name, value=text, raw_value=raw)
    part.end_of_stream = draw(st.booleans())
    if draw(st.booleans()):
        part.attributes["a"].update({"b": "c"})
    if draw(st.booleans()):
        modes = {"request_body_mode": 4, "response_body_mode": draw(st.integers(0, 7))}
        message.protocol_config.MergeFrom(pb.ProtocolConfiguration(**modes))
    context = message.metadata_context.filter_metadata
    hint, served = draw(SUBSETS), draw(SUBSETS)
    if hint is not None:
        context[decode.SUBSET_NAMESPACE].update({decode.SUBSET_KEY: hint})
    if served is not None:
        context[decode.SERVED_NAMESPACE].update({decode.SERVED_KEY: served})
    if draw(st.booleans()):
        message.attributes["envoy.filters.http.ext_proc"].update({"request.path": "/"})
    serialized: bytes = message.SerializeToString()
    return serialized


def by_protobuf(payload: bytes) -> list[Event] | str:
    try:
        return events(pb.ProcessingRequest.FromString(payload))
    except DecodeError:
        return "DecodeError"


def by_us(payload: bytes) -> list[Event] | str:
    try:
        return read(payload)
    except DecodeError:
        return "DecodeError"


@given(bodies())
def test_a_piece_of_a_body_is_read_alike(payload: bytes) -> None:
    assert by_us(payload) == by_protobuf(payload)
    assert by_us(payload) == by_protobuf(payload)  # the second time from memory


@given(heads())
def test_headers_are_read_alike(payload: bytes) -> None:
    assert by_us(payload) == by_protobuf(payload)
    assert by_us(payload) == by_protobuf(payload)  # the second time from memory


@given(st.one_of(bodies(), heads()), st.data())
def test_a_damaged_one_is_read_alike(payload: bytes, data: st.DataObject) -> None:
    damaged = bytearray(payload[:60] + payload[-60:])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    assert by_us(cut) == by_protobuf(cut)


@given(st.sampled_from([b"\x12", b"\x1a", b"\x22", b"\x2a"]), st.binary(max_size=24))
@example(b"\x12", b"\x00\x12\x00")
@example(b"\x12", b"\x02\x0a\x00\x2a\x00")
@example(b"\x1a", b"\x04\x0a\x02\x0a\x00")
@example(b"\x1a", b"\x06\x0a\x02\x0a\x00\x18\x01")
@example(b"\x1a", b"\x06\x0a\x02\x0a\x00\x18\x00")
@example(b"\x12", b"\x04\x0a\x02\x0a\x05")
@example(b"\x12", b"\x05\x0a\x03\x0a\x81\x00")
@example(b"\x2a", b"\x00B\x00B\x00")
@example(b"\x2a", b"\x04\x0a\x02ab\x2a\x00")
@example(b"\x22", b"\x02\x10\x00")
@example(b"\x22", b"\x85\x80\x00\x0a\x03abc")
@example(b"\x2a", b"\x06\x0a\x01a\x0a\x01b")
@example(b"\x2a", b"\x04\x10\x01\x0a\x00")
@example(b"\x2a", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
def test_anything_is_read_alike(first: bytes, rest: bytes) -> None:
    assert by_us(first + rest) == by_protobuf(first + rest)


@given(st.sampled_from(Direction), CHUNKS, st.booleans())
def test_a_streamed_piece_is_written_alike(
    direction: Direction, chunk: bytes, end_of_stream: bool
) -> None:
    answer = StreamBody(direction, chunk, end_of_stream)
    assert serialized(answer) == response(answer).SerializeToString()


@given(
    st.builds(
        AnswerHeaders,
        st.sampled_from(Direction),
        st.builds(
            HeaderMutation,
            st.lists(
                st.sampled_from([("x-gateway-destination-endpoint", "a:1"), ("x-b", "\udcff")]),
                max_size=2,
            ).map(tuple),
            st.sampled_from([(), ("content-length",)]),
        ),
        st.booleans(),
        st.sampled_from([None, "a:1", "b:2,a:1"]),
        st.sampled_from([(), (("a:1", 0.5),)]),
    )
)
@example(AnswerHeaders(Direction.RESPONSE))
def test_headers_are_written_alike_the_second_time_too(answer: AnswerHeaders) -> None:
    written = response(answer).SerializeToString()
    for _ in range(2):
        assert ProcessingResponse.FromString(serialized(answer)) == response(answer)
        assert len(serialized(answer)) == len(written)


def test_what_envoy_sends_most_is_read_by_hand() -> None:
    """The laws above would also hold if nothing were."""
    message = pb.ProcessingRequest(response_body={"body": b"data: {}\n\n"})
    message.metadata_context.SetInParent()
    payload = message.SerializeToString()
    assert by_hand.body(payload) == (b"data: {}\n\n", False, b"B\x00")
    message = pb.ProcessingRequest(request_headers={"end_of_stream": True})
    message.request_headers.headers.headers.add(key="a", raw_value=b"b")
    message.metadata_context.SetInParent()
    payload = message.SerializeToString()
    assert by_hand.headers(payload) == ([b"\x0a\x01a\x1a\x01b"], True, b"B\x00")
    assert by_hand.header(b"\x0a\x01a\x1a\x02b\xff") == ("a", "b\udcff")


def test_memory_of_contexts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[bytes, decode.Context] = {}
    monkeypatch.setattr(decode, "_contexts", known)
    for number in range(3 * decode.MOST_CONTEXTS):
        message = pb.ProcessingRequest(request_body={"body": b"x"})
        fields = {decode.SUBSET_KEY: f"10.0.0.1:{number}" + "x" * (number % 2 * 2_000)}
        message.metadata_context.filter_metadata[decode.SUBSET_NAMESPACE].update(fields)
        read(message.SerializeToString())
        assert len(known) <= decode.MOST_CONTEXTS
    assert max(map(len, known)) <= decode.LONGEST_REMEMBERED


def test_memory_of_headers_is_bounded_and_keeps_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[bytes, tuple[str, str]] = {}
    monkeypatch.setattr(decode, "_headers", known)
    for number in range(decode.MOST_HEADERS + 10):
        message = pb.ProcessingRequest(request_headers={})
        headers = message.request_headers.headers.headers
        headers.add(key=":path", raw_value=f"/{number}".encode() + b"x" * (number % 2 * 2_000))
        headers.add(key="Authorization", raw_value=b"Bearer secret")
        read(message.SerializeToString())
        assert len(known) <= decode.MOST_HEADERS
    assert max(map(len, known)) <= decode.LONGEST_REMEMBERED
    assert {name for name, _ in known.values()} == {":path"}
