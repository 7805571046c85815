"""The admin port: what is no HTTP is a 400 and no line of the log."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from gateway.serving.listen import serving


async def test_a_header_that_is_too_long_is_a_quiet_400(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(web.Application(), "metrics-port", "127.0.0.1", 0, None) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert status.split()[1] == b"400"
    assert caplog.records == []
