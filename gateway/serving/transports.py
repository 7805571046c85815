"""The two hosts of the ext_proc stream behind one seam: our own wire transport, and grpcio.

``wire`` is the default: it costs a fraction of grpcio's CPU per message and answers the same (a
differential test says so). ``grpcio`` stays as the partner of that test, and as a way out.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gateway.config.flags import Flags
from gateway.extproc.conduct import Conductor
from gateway.extproc.grpcio import ExternalProcessor, server
from gateway.extproc.streams import Streams, Watcher
from gateway.extproc.wire.hosted import calls
from gateway.extproc.wire.limits import WireLimits
from gateway.extproc.wire.server import WireServer
from gateway.serving.credentials import wire_context
from gateway.serving.health import Health, add_health
from gateway.serving.listen import CannotListen, listen
from loadstar import tls
from loadstar.clock import Clock
from loadstar.tls_grpc import credentials

FLAG = "grpc-port"
STREAMS_TO_SHARE = 100
"""What a proxy should have on one connection where there are several workers: beyond that it opens
another, which goes to the worker that has fewest. No fewer than HTTP/2 recommends (RFC 9113):
a client that keeps more open at once than it may have on one connection waits for itself."""


class Transport(Protocol):
    """A server of ext_proc streams that is not listening yet."""

    async def start(self) -> int:
        """Listen; the port. Raises CannotListen."""
        ...

    async def stop(self, grace_seconds: float) -> int:
        """Take nothing new, give the last answers ``grace_seconds`` to leave, end the rest.

        How many answers ended with their streams: those that the proxy cannot go on with alone.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """What a transport hosts, whichever it is."""

    new_conductor: Callable[[], Conductor]
    streams: Streams
    clock: Clock
    watcher: Watcher | None = None
    health: Health | None = None
    """To answer health checks on the same port."""


def transport(flags: Flags, hosted: Hosted, certificate: tls.ReloadingPair | None) -> Transport:
    """The transport that ``--transport`` names."""
    if flags.transport == "grpcio":
        return GrpcioTransport(flags, hosted, certificate)
    return WireTransport(flags, hosted, certificate)


class WireTransport:
    """``gateway.extproc.wire`` on the running loop."""

    def __init__(self, flags: Flags, hosted: Hosted, certificate: tls.ReloadingPair | None) -> None:
        self._flags = flags
        limits = WireLimits(max_message_bytes=flags.max_receive_bytes)
        if flags.workers != 1:
            limits = replace(limits, announced_streams=STREAMS_TO_SHARE)
        self._server = WireServer(
            open_call=calls(
                hosted.new_conductor,
                hosted.streams,
                hosted.clock,
                watcher=hosted.watcher,
                health_status=hosted.health.status if hosted.health is not None else None,
            ),
            clock=hosted.clock,
            limits=limits,
            host=flags.bind_address.strip("[]") or None,
            port=flags.grpc_port,
            tls=None
            if certificate is None
            else wire_context(certificate, flags.tls_min_version, flags.tls_cipher_suites),
        )

    def start_adopting(self) -> Callable[[socket.socket], Coroutine[Any, Any, None]]:
        """Listen nowhere; serve each connection that is given to what is returned."""
        self._server.start_ticking()
        return self._server.adopt

    async def start(self) -> int:
        try:
            await self._server.start()
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            flags = self._flags
            raise CannotListen(FLAG, flags.bind_address, flags.grpc_port, why) from error
        return self._server.port

    async def stop(self, grace_seconds: float) -> int:
        return await self._server.stop(grace_seconds)


class GrpcioTransport:
    """``gateway.extproc.grpcio``."""

    def __init__(self, flags: Flags, hosted: Hosted, certificate: tls.ReloadingPair | None) -> None:
        self._flags = flags
        self._streams = hosted.streams
        processor = ExternalProcessor(
            hosted.new_conductor, hosted.streams, hosted.clock, hosted.watcher
        )
        self._server = server(
            processor,
            max_receive_bytes=flags.max_receive_bytes,
            max_send_bytes=flags.max_send_bytes,
        )
        if hosted.health is not None:
            add_health(self._server, hosted.health)
        self._credentials = (
            None
            if certificate is None
            else credentials(lambda: certificate.current, reloads=flags.enable_cert_reload)
        )

    async def start(self) -> int:
        flags = self._flags
        port = listen(self._server, FLAG, flags.bind_address, flags.grpc_port, self._credentials)
        await self._server.start()
        return port

    async def stop(self, grace_seconds: float) -> int:
        open_streams = self._streams.open
        await self._server.stop(grace_seconds)
        return open_streams
