"""The least model server that Envoy can send to: says its name and how much it got."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def model_server(port: int) -> AsyncIterator[None]:
    """Answer every request on 127.0.0.1:``port`` with ``x-served-by: port`` and the body's size."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(text=str(len(body)), headers={"x-served-by": str(port)})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()
