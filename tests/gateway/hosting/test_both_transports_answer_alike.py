"""Any conversation, valid or not, gets the same answers, status and bookkeeping on both hosts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.command_line import parse
from gateway.errors import NoEndpoint
from gateway.extproc.conduct import Conductor
from gateway.extproc.session import Limits
from gateway.extproc.streams import Streams
from gateway.extproc.wire.messages import PREFIX, MessageReader
from gateway.request.model import InferenceRequest, Outcome, Route
from gateway.serving.transports import Hosted, transport
from loadstar.clock import SystemClock
from protos.extproc.v3 import external_processor_pb2 as pb
from tests.gateway.extproc.scripted_director import HERE, ScriptedDirector
from tests.gateway.extproc.wire.peer import REQUEST
from tests.gateway.hosting.conversation import COMPLETION

LIMITS = Limits(max_body_bytes=2_000)
ENOUGH_SECONDS = 10.0
KINDS = ("wire", "grpcio")


@dataclass(frozen=True, slots=True)
class Script:
    """How the director of one conversation behaves."""

    answer: Route | Exception = HERE
    headers: tuple[tuple[str, str], ...] = ()
    breaks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a conversation: to the proxy, and to the director."""

    answers: tuple[bytes, ...]
    status: str
    """``grpc-status``."""
    asked: list[tuple[InferenceRequest, tuple[str, ...] | None]]
    responses: list[tuple[int, int | None, str | None]]
    first_tokens: list[int]
    finished: list[tuple[int, Outcome]]


@dataclass(slots=True)
class Stage:
    """Both hosts, up, and the director that whoever is asked next will ask."""

    runner: asyncio.Runner
    ports: dict[str, int] = field(default_factory=dict)
    streams: dict[str, Streams] = field(default_factory=dict)
    director: ScriptedDirector = field(default_factory=ScriptedDirector)

    def play(self, kind: str, script: Script, conversation: Sequence[bytes]) -> Seen:
        self.director = ScriptedDirector(script.answer, script.headers, script.breaks)
        return self.runner.run(self._play(kind, conversation))

    async def _play(self, kind: str, conversation: Sequence[bytes]) -> Seen:
        async with asyncio.timeout(ENOUGH_SECONDS):
            told, status = await _converse(self.ports[kind], conversation)
            while self.streams[kind].open:  # noqa: ASYNC110 -- a host's end raises no event here
                await asyncio.sleep(0.001)
        director = self.director
        return Seen(
            told,
            status,
            director.asked,
            director.responses,
            director.first_tokens,
            director.finished,
        )


async def _converse(port: int, conversation: Sequence[bytes]) -> tuple[tuple[bytes, ...], str]:
    """Say everything at once and half-close: the answers, and the gRPC status.

    Over plain h2 frames, for grpc.aio calls it an internal error of its own when a server ends a
    stream before all has been said, as an ext_proc server may.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    client.initiate_connection()
    client.send_headers(1, REQUEST)
    for message in conversation:
        client.send_data(1, PREFIX.pack(0, len(message)) + message)
    client.end_stream(1)
    writer.write(client.data_to_send())
    received, status = b"", ""
    while not status:
        read = await reader.read(1 << 16)
        assert read, "the connection was closed"
        for event in client.receive_data(read):
            if isinstance(event, h2.events.DataReceived):
                received += event.data or b""
            elif isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
                status = dict(event.headers or ()).get(b"grpc-status", b"").decode()
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                status = status or f"broken: {event!r}"
    writer.close()
    await writer.wait_closed()
    return tuple(MessageReader(1 << 20).feed(received)), status


async def _enter(stage: Stage, scope: AsyncExitStack) -> None:
    clock = SystemClock()
    for kind in KINDS:
        flags, _ = parse([f"--transport={kind}", "--bind-address=127.0.0.1", "--grpc-port=0"])
        streams = stage.streams[kind] = Streams(clock)
        hosted = Hosted(
            new_conductor=lambda: Conductor(stage.director, clock, LIMITS, lambda: "new-id"),
            streams=streams,
            clock=clock,
        )
        server = transport(flags, hosted, None)
        stage.ports[kind] = await server.start()
        scope.push_async_callback(server.stop, 0)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Broken directors are logged, as they should be, a thousand times here."""
    caplog.set_level(logging.CRITICAL, "gateway.extproc.conduct")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        made, scope = Stage(runner), AsyncExitStack()
        runner.run(_enter(made, scope))
        yield made
        runner.run(scope.aclose())


# --- conversations ------------------------------------------------------------------------------

MODES = st.sampled_from(
    ["NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED", "GRPC"]
)
ANNOUNCED = st.one_of(
    st.just({"request_body_mode": 4, "response_body_mode": 4}),
    st.fixed_dictionaries({"request_body_mode": MODES, "response_body_mode": MODES}),
    st.none(),
)
HEADERS = st.lists(
    st.sampled_from(
        [
            (":path", b"/v1/chat/completions"),
            (":path", b"/v1/completions"),
            (":status", b"200"),
            (":status", b"503"),
            ("x-request-id", b"r-1"),
            ("content-type", b"text/event-stream"),
            ("content-length", b"30"),
            ("content-length", b"99999"),
            ("x-gateway-destination-endpoint", b"6.6.6.6:6"),
            ("x-odd", b"\xff\xfe"),
        ]
    ),
    max_size=6,
)
BODIES = st.one_of(
    st.sampled_from(
        [
            COMPLETION,
            COMPLETION[:20],
            COMPLETION[20:],
            b"",
            b'{"model":"llama","stream":true,"messages":[{"role":"user","content":"hi"}]}',
            b'data: {"model":"other","choices":[{"delta":{"content":"a"}}]}\n\n',
            b'data: {"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
            b"x" * 1_500,
            b"y" * 6_000,
        ]
    ),
    st.binary(max_size=40),
)
METADATA = st.sampled_from(
    [
        {},
        {"envoy.lb": {"x-gateway-destination-endpoint-served": "10.0.0.2:8000"}},
        {"envoy.lb.subset_hint": {"x-gateway-destination-endpoint-subset": "10.0.0.1:8000"}},
    ]
)


@st.composite
def messages(draw: st.DrawFn, kind: str) -> bytes:
    """One serialized ProcessingRequest of the ``kind``."""
    made = pb.ProcessingRequest()
    part = getattr(made, kind)
    part.SetInParent()
    if kind.endswith("headers"):
        for key, value in draw(HEADERS):
            part.headers.headers.add(key=key, raw_value=value)
    elif kind.endswith("body"):
        part.body = draw(BODIES)
    if not kind.endswith("trailers"):
        part.end_of_stream = draw(st.booleans())
    for namespace, values in draw(METADATA).items():
        made.metadata_context.filter_metadata[namespace].update(values)
    announced = draw(ANNOUNCED) if kind == "request_headers" else None
    if announced is not None:
        made.protocol_config.CopyFrom(pb.ProtocolConfiguration(**announced))
    serialized: bytes = made.SerializeToString()
    return serialized


ORDER = (
    *("request_headers", "request_body", "request_body", "request_trailers"),
    *("response_headers", "response_body", "response_body", "response_trailers"),
)
IN_ORDER = st.tuples(*(st.lists(messages(kind), max_size=1) for kind in ORDER)).map(
    lambda parts: [message for part in parts for message in part]
)
ANYHOW = st.lists(st.one_of(*(messages(kind) for kind in dict.fromkeys(ORDER))), max_size=8)
GARBLED = st.lists(
    st.one_of(
        messages("request_headers"), messages("request_body"), st.binary(max_size=30), st.just(b"")
    ),
    max_size=6,
)
SCRIPTS = st.builds(
    Script,
    answer=st.sampled_from(
        [
            HERE,
            Route(destinations=("10.0.0.1:8000", "[::1]:8001"), ticket=7, rewrite_to="other"),
            Route(destinations=("10.0.0.1:8000",), ticket=8, request_headers=(("x-a", "b"),)),
            NoEndpoint("the pool has no ready endpoint"),
        ]
    ),
    headers=st.sampled_from([(), (("x-served-by", "10.0.0.1:8000"),)]),
    breaks=st.one_of(
        st.just(frozenset()),
        st.frozensets(st.sampled_from(["route", "responding", "first_token", "finish"])),
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(120)
@given(script=SCRIPTS, conversation=st.one_of(IN_ORDER, IN_ORDER, ANYHOW, GARBLED))
@settings(max_examples=1000, deadline=None)
def test_any_conversation_goes_alike(
    stage: Stage, script: Script, conversation: list[bytes]
) -> None:
    assert stage.play("wire", script, conversation) == stage.play("grpcio", script, conversation)


def test_what_is_compared_is_a_conversation(stage: Stage) -> None:
    """The test above would also pass if nothing were ever said."""
    conversation = [
        pb.ProcessingRequest(
            request_headers={}, protocol_config={"request_body_mode": 4, "response_body_mode": 4}
        ),
        pb.ProcessingRequest(request_body={"body": COMPLETION, "end_of_stream": True}),
        pb.ProcessingRequest(response_headers={}),
        pb.ProcessingRequest(response_body={"body": b"{}", "end_of_stream": True}),
    ]
    told = [message.SerializeToString() for message in conversation]
    wire, grpcio = (stage.play(kind, Script(), told) for kind in KINDS)
    assert wire == grpcio
    assert len(wire.answers) == 4
    assert wire.status == "0"
    assert [len(wire.asked), len(wire.responses), len(wire.first_tokens)] == [1, 1, 1]
    assert [outcome.response_bytes for _, outcome in wire.finished] == [2]
