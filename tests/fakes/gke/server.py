"""The fake on a real socket, for what only a socket can show: timeouts, resets, real headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.fakes.gke.routes import Api


@asynccontextmanager
async def serving(api: Api, *, slow_s: float = 0.0) -> AsyncIterator[str]:
    """Serve ``api`` on loopback while inside; gives ``host:port``. Answers take ``slow_s``."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        await asyncio.sleep(slow_s)
        answer = api.answer(request.method, str(request.url), body)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
