"""Envoy's side of an ext_proc stream, and a director that remembers what it was told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio

from gateway.config.command_line import parse
from gateway.errors import NoEndpoint
from gateway.extproc.conduct import Conductor
from gateway.extproc.grpcio import SERVICE
from gateway.extproc.session import Limits
from gateway.extproc.streams import Streams, Watcher
from gateway.request.model import Headers, InferenceRequest, Outcome, Route
from gateway.serving.transports import Hosted, Transport, transport
from loadstar.clock import SystemClock
from loadstar.tls import ReloadingPair
from protos.extproc.v3 import external_processor_pb2 as pb

DESTINATION = "10.0.0.1:8000"
MIB = 1 << 20


@dataclass
class Recorder:
    """A director that sends everything to one endpoint, or refuses everything."""

    refuses: bool = False
    routed: list[InferenceRequest] = field(default_factory=list)
    finished: list[Outcome] = field(default_factory=list)

    def admit_early(self, headers: Headers, subset: tuple[str, ...] | None, now: float) -> None:
        """Everything may come."""

    def route(self, request: InferenceRequest, subset: tuple[str, ...] | None, now: float) -> Route:
        if self.refuses:
            raise NoEndpoint("the pool has no ready endpoint")
        self.routed.append(request)
        return Route(destinations=(DESTINATION,), ticket=len(self.routed))

    def responding(
        self,
        ticket: int,
        status: int | None,
        served: str | None,
        now: float,
        *,
        streamed: bool = False,
    ) -> tuple[tuple[str, str], ...]:
        return ()

    def first_token(self, ticket: int, now: float) -> None:
        pass

    def finish(self, ticket: int, outcome: Outcome, now: float) -> None:
        self.finished.append(outcome)


@dataclass
class Host:
    """A running server, and what a test wants of it."""

    port: int
    server: Transport
    streams: Streams
    director: Recorder


@contextlib.asynccontextmanager
async def hosting(
    director: Recorder | None = None,
    certificate: ReloadingPair | None = None,
    watcher: Watcher | None = None,
    kind: str = "wire",
    reloads: bool = False,
    flags: tuple[str, ...] = (),
) -> AsyncIterator[Host]:
    """The real host on loopback, over TLS if there is a ``certificate``."""
    director = Recorder() if director is None else director
    clock = SystemClock()
    streams = Streams(clock)
    settings, _ = parse(
        [f"--transport={kind}", "--bind-address=127.0.0.1", "--grpc-port=0", "--workers=1", *flags]
    )
    made = transport(
        replace(settings, enable_cert_reload=reloads),
        Hosted(
            new_conductor=lambda: Conductor(director, clock, Limits(), lambda: "generated-id"),
            streams=streams,
            clock=clock,
            watcher=watcher,
        ),
        certificate,
    )
    port = await made.start()
    try:
        yield Host(port, made, streams, director)
    finally:
        await made.stop(0)


def process(channel: grpc.aio.Channel) -> Any:
    """A new stream on ``channel``."""
    method = channel.stream_stream(
        f"/{SERVICE}/Process",
        request_serializer=pb.ProcessingRequest.SerializeToString,
        response_deserializer=pb.ProcessingResponse.FromString,
    )
    return method()


@contextlib.asynccontextmanager
async def connected(port: int, root: bytes | None = None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the host, over TLS if there is a ``root`` to trust."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if root is None:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
    else:
        trusted = grpc.ssl_channel_credentials(root_certificates=root)
        channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", trusted, options)
    try:
        yield channel
    finally:
        await channel.close()


def request_headers(
    *,
    end: bool = False,
    path: str = "/v1/completions",
    response_mode: str = "FULL_DUPLEX_STREAMED",
) -> Any:
    """The first message of a request, as Envoy sends it; its body comes in full duplex."""
    method = "GET" if end else "POST"
    items = [(":path", path), (":method", method), ("x-request-id", "r-1")]
    return pb.ProcessingRequest(
        request_headers={
            "headers": {"headers": [{"key": k, "raw_value": v.encode()} for k, v in items]},
            "end_of_stream": end,
        },
        protocol_config={
            "request_body_mode": "FULL_DUPLEX_STREAMED",
            "response_body_mode": response_mode,
        },
    )


def request_body(body: bytes, *, end: bool = True) -> Any:
    return pb.ProcessingRequest(request_body={"body": body, "end_of_stream": end})


def response_headers(status: str = "200") -> Any:
    return pb.ProcessingRequest(
        response_headers={
            "headers": {"headers": [{"key": ":status", "raw_value": status.encode()}]}
        }
    )


def response_body(body: bytes, *, end: bool = True) -> Any:
    return pb.ProcessingRequest(response_body={"body": body, "end_of_stream": end})


COMPLETION = b'{"model":"llama","prompt":"hello"}'
