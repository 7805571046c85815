"""An emulated server on a real port, and a client for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from load_tests.emulator.options import Options
from load_tests.emulator.server import EmulatedServer, listening
from load_tests.ports import free_ports

FAST = Options(speed=1000.0, noise=0.0)


@asynccontextmanager
async def serving(options: Options = FAST) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A client for a server of ``options``, and the server's ``ip:port``."""
    async with serving_with(options) as (session, name, _):
        yield session, name


@asynccontextmanager
async def serving_with(
    options: Options,
) -> AsyncIterator[tuple[aiohttp.ClientSession, str, EmulatedServer]]:
    port = free_ports(1)[0]
    async with (
        listening("127.0.0.1", port, options) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session, f"127.0.0.1:{port}", server


async def metric(session: aiohttp.ClientSession, name: str) -> float | None:
    async with session.get("/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith(f"{name}{{"):
                return float(line.rpartition(" ")[2])
    return None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110 (the engine is asked; it does not tell)
            await asyncio.sleep(0.002)
