"""Host conductors on a grpc.aio server: one coroutine per stream, which owns nothing but the loop.

Read and write are called by hand and not through an async generator: of 320 to 400 us of CPU per
request of four messages it saves at most a few, but every wait is then a line of ``_pump``.

What grpcio does not tell: a stream that was reset may show as its end (EOF) or as cancellation,
and a lost connection looks like neither more nor less than its streams being reset. The session
knows whether a response was whole, and ``Conductor.close`` asks it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gateway.extproc.conduct import Conductor
from gateway.extproc.streams import Streams, Watcher
from gateway.request.model import Ending
from loadstar.clock import Clock
from protos.extproc.v3 import external_processor_pb2 as pb

log = logging.getLogger(__name__)

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"

KEEPALIVE_SECONDS = 30
"""A proxy that is silent this long is pinged; one that has vanished would hold its streams, and
the credit they took, for ever."""
KEEPALIVE_TIMEOUT_SECONDS = 20
PING_SECONDS = 5
"""Pings of a proxy that come no faster than this are fine; grpc's own limit is five minutes, and
Envoy's connection_keepalive is often ten seconds."""
MAX_STREAMS = 65_536
"""Streams of one connection: one is one HTTP request, and a long answer keeps it open."""


class ExternalProcessor:
    """The ``Process`` method. ``new_conductor`` makes one for each stream."""

    def __init__(
        self,
        new_conductor: Callable[[], Conductor],
        streams: Streams,
        clock: Clock,
        watcher: Watcher | None = None,
    ) -> None:
        self._new_conductor = new_conductor
        self._streams = streams
        self._clock = clock
        self._watcher = watcher

    async def process(self, _requests: object, context: Any) -> None:
        """One stream, from its first message to its end, however it ends."""
        began = self._clock.now()
        self._streams.opened()
        if self._watcher is not None:
            self._watcher.stream_opened()
        conductor = self._new_conductor()
        code, broken = "Canceled", False
        try:
            await _pump(conductor, context)
            code = "OK"
        except DecodeError:
            # Not from a proxy: nobody who fails open is waiting for our answer.
            code, broken = "InvalidArgument", True
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a ProcessingRequest")
        except grpc.aio.InternalError:
            log.debug("a stream broke while it was written to")
        finally:
            cut_off = Ending.SHUTDOWN if self._streams.closing else Ending.CLIENT_GONE
            conductor.close(Ending.FAILED if broken else cut_off)
            self._streams.closed()
            if self._watcher is not None:
                self._watcher.stream_closed(code, self._clock.now() - began)


async def _pump(conductor: Conductor, context: Any) -> None:
    """Messages in, answers out, until Envoy or the conductor has nothing more to say."""
    read, write, end = context.read, context.write, grpc.aio.EOF
    while not conductor.done:
        message = await read()
        if message is end:
            return
        for answer in conductor.on(message):
            await write(answer)


def server(
    processor: ExternalProcessor, *, max_receive_bytes: int, max_send_bytes: int
) -> grpc.aio.Server:
    """A server with ``processor`` on it and no port yet."""
    made = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_receive_bytes),
            ("grpc.max_send_message_length", max_send_bytes),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            # Streams not yet taken up; past gRPC's own 1,000 a burst is refused at random.
            ("grpc.server.max_pending_requests", MAX_STREAMS),
            ("grpc.server.max_pending_requests_hard_limit", MAX_STREAMS),
            ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", PING_SECONDS * 1000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_SECONDS * 1000),
            # Two gateways on one port is a mistake to be told of, not one to be shared.
            ("grpc.so_reuseport", 0),
        ]
    )
    method = grpc.stream_stream_rpc_method_handler(
        processor.process,
        request_deserializer=pb.ProcessingRequest.FromString,
        response_serializer=pb.ProcessingResponse.SerializeToString,
    )
    made.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Process": method}),)
    )
    return made
