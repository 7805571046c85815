"""Ports: where to listen, and the one line that says why that did not work."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from loadstar.tls_port import TlsPort

ANY = "[::]"
"""All addresses; grpcio falls back to IPv4 where there is no IPv6."""


class CannotListen(Exception):
    """A port could not be opened; the message says which flag chose it."""

    def __init__(self, flag: str, address: str, port: int, why: str) -> None:
        super().__init__(f"--{flag}: cannot listen on {shown(address)}:{port}: {why}")


class NotOfClients(logging.Filter):
    """Leaves out requests that are no HTTP: whoever sent one was told 400, and that is all."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


HTTP = logging.getLogger("gateway.serving.http")
HTTP.addFilter(NotOfClients())


def shown(address: str) -> str:
    """``address`` as it stands before a port; "" is all addresses."""
    if not address:
        return ANY
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def listen(
    server: grpc.aio.Server, flag: str, address: str, port: int, credentials: Any | None
) -> int:
    """Open ``port`` (0 for one the system chooses) and return its number. Raises CannotListen."""
    target = f"{shown(address)}:{port}"
    try:
        if credentials is None:
            return int(server.add_insecure_port(target))
        return int(server.add_secure_port(target, credentials))
    except RuntimeError as error:
        raise CannotListen(flag, address, port, "already in use, or not allowed") from error


@contextlib.asynccontextmanager
async def serving(
    app: web.Application, flag: str, address: str, port: int, secured: TlsPort | None
) -> AsyncIterator[int]:
    """Serve ``app`` over HTTP while inside; gives the port. Raises CannotListen.

    Whoever calls runs ``secured``.
    """
    context = None if secured is None else secured.context
    runner = web.AppRunner(app, access_log=None, logger=HTTP)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address or None, port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise CannotListen(flag, address, port, why) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
