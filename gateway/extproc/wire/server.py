"""The rim of the wire transport: sockets, TLS and time around the sans-IO connection.

One protocol object per peer: parse all of a read, answer all of it in one write. Calls are
synchronous, so there is no task per stream and nothing to cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import cast

from gateway.extproc.wire.calls import Call, OpenCall
from gateway.extproc.wire.connection import Connection
from gateway.extproc.wire.events import Gone, HalfClosed, Opened, Received, TooLarge, WireEvent
from gateway.extproc.wire.headers import RequestHead
from gateway.extproc.wire.limits import WireLimits
from gateway.request.model import Ending
from loadstar.aio.steps import ahead_seconds, phase_seconds
from loadstar.clock import Clock

OK = 0
UNIMPLEMENTED = 12
TICK_SECONDS = 1.0
NOT_GRPC = b"This is a gRPC endpoint (envoy.service.ext_proc.v3.ExternalProcessor).\n"
WRITE_HIGH_WATER_BYTES = 1 << 20
LISTEN_BACKLOG = 1024
LEAVE_SECONDS = 1.0
"""For a peer to take what was last written to it; one that does not read is then cut off."""


class _Peer(asyncio.Protocol):
    """One connection: bytes to the Connection, its events to the calls, its answers back."""

    def __init__(self, server: WireServer) -> None:
        self._server = server
        self._clock = server.clock
        self._connection = Connection(server.limits, server.clock.now())
        self._calls: dict[int, Call | None] = {}
        self._transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio.Transport, but behave as one.
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.peers) >= self._server.limits.max_connections:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._server.peers.add(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        events = self._connection.receive(data, self._clock.now())
        if events:
            self._act(events)
        self._flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.peers.discard(self)
        self._transport = None
        self._act(self._connection.lost())
        for call in list(self._calls.values()):
            if call is not None:
                call.close(Ending.PROXY_GONE)
        self._calls.clear()
        self.gone.set()

    def pause_writing(self) -> None:
        self._connection.writable = False

    def resume_writing(self) -> None:
        self._connection.resume()
        self._flush()

    # --- what the server asks -------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self._act(self._connection.tick(now))
        self._flush()

    def drain(self, *, final: bool) -> None:
        self._connection.drain(final=final)
        self._flush()

    def shut(self) -> int:
        """End every call, then the connection; how many were cut off.

        What can do without us is told to: a call cut off without a word ends the answer with it.
        """
        cut_off = 0
        for stream_id, call in list(self._calls.items()):
            if call is not None:
                if call.may_be_let_go:
                    self._connection.finish(stream_id, OK)
                else:
                    cut_off += 1
                call.close(Ending.SHUTDOWN)
        self._calls.clear()
        self._flush()
        if self._transport is not None:
            self._transport.close()
        return cut_off

    async def abort(self) -> None:
        """Cut the connection off, whatever is still unwritten, if it has not gone by itself."""
        if self._transport is not None:
            self._transport.abort()
            await self.gone.wait()

    # --- inside ---------------------------------------------------------------------------------

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        out = self._connection.take()
        if out:
            transport.write(out)
        if self._connection.closing:
            transport.close()

    def _act(self, events: list[WireEvent]) -> None:
        calls = self._calls
        for event in events:
            if isinstance(event, Received):
                call = calls.get(event.stream_id)
                if call is not None and not call.done:
                    self._answer(event.stream_id, call, call.message(event.payload))
            elif isinstance(event, Opened):
                calls[event.stream_id] = self._open(event.stream_id, event.head, event.grpc)
            elif isinstance(event, HalfClosed):
                self._half_closed(event.stream_id)
            elif isinstance(event, Gone):
                call = calls.pop(event.stream_id, None)
                if call is not None:
                    lost = self._transport is None or self._connection.closing
                    call.close(Ending.PROXY_GONE if lost else Ending.CLIENT_GONE)
            elif isinstance(event, TooLarge):
                call = calls.get(event.stream_id)
                if call is not None and not call.done:
                    self._answer(event.stream_id, call, call.too_large())

    def _open(self, stream_id: int, head: RequestHead, grpc: bool) -> Call | None:
        if not grpc:
            return None  # answered once the request has ended
        call = self._server.open_call(head.path) if head.method == b"POST" else None
        if call is None:
            self._connection.finish(stream_id, UNIMPLEMENTED, "unknown method")
        return call

    def _answer(self, stream_id: int, call: Call, answers: Sequence[bytes]) -> None:
        if answers:
            self._connection.send(stream_id, answers)
        if call.done:
            self._end(stream_id, call)

    def _end(self, stream_id: int, call: Call) -> None:
        self._connection.finish(stream_id, call.status)
        self._calls.pop(stream_id, None)
        call.close(Ending.COMPLETE)

    def _half_closed(self, stream_id: int) -> None:
        if stream_id not in self._calls:
            return
        call = self._calls[stream_id]
        if call is None:
            del self._calls[stream_id]
            self._connection.answer_plain(stream_id, 200, NOT_GRPC)
            return
        call.half_closed()
        self._end(stream_id, call)


class WireServer:
    """Listens, ticks, stops. ``async with`` starts and stops it."""

    def __init__(
        self,
        *,
        open_call: OpenCall,
        clock: Clock,
        limits: WireLimits,
        host: str | None = None,
        port: int = 9002,
        unix_path: str | None = None,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        self.open_call = open_call
        self.clock = clock
        self.limits = limits
        self.peers: set[_Peer] = set()
        self._host = host
        self._port = port
        self._unix_path = unix_path
        self._tls = tls
        self._reuse_port = reuse_port
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port listened on (of use when 0 was asked for)."""
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the server is not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> WireServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop(0.0)

    async def start(self) -> None:
        """Listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        handshake = self._handshake_seconds
        if self._unix_path is not None:
            self._server = await loop.create_unix_server(
                self._peer,
                self._unix_path,
                ssl=self._tls,
                ssl_handshake_timeout=handshake,
                backlog=LISTEN_BACKLOG,
            )
        else:
            self._server = await loop.create_server(
                self._peer,
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=handshake,
                reuse_port=self._reuse_port or None,
                backlog=LISTEN_BACKLOG,
            )
        self.start_ticking()

    def start_ticking(self) -> None:
        """All that a server which only adopts needs to start."""
        loop = asyncio.get_running_loop()
        ahead = ahead_seconds(TICK_SECONDS, loop.time(), phase_seconds())
        self._ticking = loop.call_later(ahead, self._tick)

    async def adopt(self, accepted: socket.socket) -> None:
        """Serve a connection that another process has accepted, to its end. Raises nothing."""
        peer = self._peer()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: peer,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds,
            )
        except OSError:  # TLS that failed or took too long included
            accepted.close()
            return
        await peer.gone.wait()

    @property
    def _handshake_seconds(self) -> float | None:
        return self.limits.handshake_seconds if self._tls is not None else None

    async def stop(self, grace_seconds: float) -> int:
        """Take nothing new, let what is written leave, then end every stream and connection.

        How many calls were cut off that could not do without us.
        """
        if self._server is not None:
            self._server.close()
        for peer in list(self.peers):
            peer.drain(final=False)
        if grace_seconds and self.peers:
            await asyncio.sleep(grace_seconds)
        if self._ticking is not None:
            self._ticking.cancel()
        leaving = list(self.peers)
        cut_off = sum(peer.shut() for peer in leaving)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                for peer in leaving:
                    await peer.gone.wait()
        for peer in leaving:
            await peer.abort()
        if self._server is not None:
            await self._server.wait_closed()
        return cut_off

    def _peer(self) -> _Peer:
        return _Peer(self)

    def _tick(self) -> None:
        now = self.clock.now()
        for peer in list(self.peers):
            peer.tick(now)
        self.start_ticking()
