"""The port: HTTP/1.1 over TLS, bounded, and left in good order. IO."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from metrics_adapter.api.connections import Connections, Listener
from metrics_adapter.api.rim import Rim

KEEPALIVE_SECONDS = 120.0
"""Longer than Go's clients keep idle connections (90 s): who closes first should be they."""
MAX_LINE_BYTES = 64 * 1024
MAX_HEADERS = 1024
"""A user of a thousand groups comes with a header for each."""
HANDSHAKE_SECONDS = 10.0
BACKLOG = 512
DRAIN_SECONDS = 10.0


class CannotListen(Exception):
    """The port could not be opened."""


@contextlib.asynccontextmanager
async def listening(
    rim: Rim,
    connections: Connections,
    context: ssl.SSLContext,
    *,
    address: str,
    port: int,
    shared: bool,
) -> AsyncIterator[int]:
    """Serve while inside; gives the port. On the way out requests under way are finished."""
    loop = asyncio.get_running_loop()
    server = Listener(
        connections,
        rim.handle,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        max_headers=MAX_HEADERS,
        # Nobody has a body to send: what is left of one is not waited for.
        lingering_time=0.0,
        auto_decompress=False,
    )
    runner = web.ServerRunner(server)
    await runner.setup()
    try:
        opened = await loop.create_server(
            server,
            address or None,
            port,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            backlog=BACKLOG,
            reuse_port=shared or None,
        )
    except socket.gaierror as error:
        raise CannotListen(
            f"--bind-address: {address!r} is no address and no name of one: give one of this"
            " machine, or none to listen on all"
        ) from error
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise CannotListen(f"--secure-port: cannot listen on {address or '*'}:{port}: {why}") from (
            error
        )
    try:
        yield opened.sockets[0].getsockname()[1]
    finally:
        opened.close()
        server.pre_shutdown()
        await server.shutdown(DRAIN_SECONDS)
        await runner.cleanup()
