"""A Prometheus API on a real port: answers range queries from functions of time, and misbehaves.

It knows a question by the name of the metric in it. Like the real one it refuses more than 11,000
points, leaves out instants without a value, and writes numbers as text.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

MOST_POINTS = 11_000
Curve = Callable[[float], float | None]
"""A value at a Unix time; None where there is none."""


class FakePrometheus:
    """``curves`` by a part of the question; ``faults`` are used up one a request."""

    def __init__(self, curves: Mapping[str, Curve]) -> None:
        self.curves = dict(curves)
        self.faults: list[web.Response | str | None] = []
        """Answers instead of what is true: ``hang``, ``cut``, a response; None behaves."""
        self.extra: dict[str, Any] = {}
        """More keys of each answer: warnings, infos."""
        self.asked: list[Mapping[str, str]] = []
        self.authorizations: list[str] = []
        self.most_points = MOST_POINTS
        self.url = ""
        self.awake = asyncio.Event()

    async def range(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.authorizations.append(request.headers.get("Authorization", ""))
        fault = self.faults.pop(0) if self.faults else None
        if fault == "hang":
            await self.awake.wait()
        if fault == "cut":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(fault, web.Response):
            return fault
        start, end = float(request.query["start"]), float(request.query["end"])
        step = float(request.query["step"])
        points = int((end - start) / step) + 1
        if points > self.most_points:
            return refused(
                400,
                "exceeded maximum resolution of 11,000 points per timeseries. "
                "Try decreasing the query resolution (?step=XX)",
            )
        curve = next((c for part, c in self.curves.items() if part in request.query["query"]), None)
        values = []
        for index in range(points):
            at_s = start + index * step
            value = None if curve is None else curve(at_s)
            if value is not None:
                values.append([at_s, _text(value)])
        result = [{"metric": {}, "values": values}] if values else []
        data = {"resultType": "matrix", "result": result}
        return web.json_response({"status": "success", "data": data, **self.extra})


def refused(status: int, why: str, kind: str = "bad_data") -> web.Response:
    """An error as Prometheus writes it."""
    body = {"status": "error", "errorType": kind, "error": why}
    return web.json_response(body, status=status)


def _text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return f"{value:+}".replace("inf", "Inf") if math.isinf(value) else repr(value)


@asynccontextmanager
async def serving(fake: FakePrometheus) -> AsyncIterator[FakePrometheus]:
    """``fake`` on a loopback port, in ``fake.url``."""
    app = web.Application()
    app.router.add_get("/api/v1/query_range", fake.range)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        fake.awake.set()
        await runner.cleanup()
