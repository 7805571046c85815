"""A broken server breaks as it was told, and mends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from load_tests.emulator.faults import Faults
from tests.load_tests.emulator.served import FAST, metric, serving, serving_with, until

BODY: dict[str, Any] = {"prompt": "x" * 100, "max_tokens": 5}


async def change(session: aiohttp.ClientSession, **faults: object) -> None:
    async with session.post("/_fault", json=faults) as answer:
        assert answer.status == 200, await answer.text()


async def test_errors() -> None:
    async with serving(replace(FAST, faults=Faults(error_rate=1.0))) as (session, _):
        async with session.post("/v1/completions", json=BODY) as answer:
            assert answer.status == 500
        await change(session, error_status=503)
        async with session.post("/v1/completions", json=BODY) as answer:
            assert answer.status == 503
        async with session.delete("/_fault") as answer:
            assert (await answer.json())["error_rate"] == 0.0
        async with session.post("/v1/completions", json=BODY) as answer:
            assert answer.status == 200


async def test_a_fault_that_does_not_exist() -> None:
    async with (
        serving() as (session, _),
        session.post("/_fault", json={"eror_rate": 1}) as answer,
    ):
        assert answer.status == 400
        assert "eror_rate: unknown fault" in (await answer.json())["error"]


async def test_a_stalled_engine_answers_when_it_goes_on() -> None:
    async with serving(replace(FAST, faults=Faults(stalled=True))) as (session, _):

        async def ask() -> int:
            async with session.post("/v1/completions", json=BODY) as answer:
                return answer.status

        async def waits() -> bool:
            return await metric(session, "vllm:num_requests_waiting") == 1.0

        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(ask())
            await until(waits)
            assert not asked.done()
            await change(session, stalled=False)
        assert asked.result() == 200


async def test_a_connection_that_breaks_in_the_middle() -> None:
    async with serving() as (session, _):
        await change(session, drop_rate=1.0, drop_after_tokens=3)
        body = {**BODY, "stream": True}
        async with session.post("/v1/completions", json=body) as answer:
            assert answer.status == 200
            events = [await answer.content.readuntil(b"\n\n") for _ in range(3)]
            assert all(event.startswith(b"data: {") for event in events)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        with pytest.raises(aiohttp.ClientError):
            await session.post("/v1/completions", json=BODY)


async def test_a_restart_breaks_connections_and_forgets_everything() -> None:
    body = {"prompt": "x" * 1000, "max_tokens": 2}
    async with serving_with(FAST) as (session, _, server):
        for expected in (0, 240):
            async with session.post("/v1/completions", json=body) as answer:
                usage = (await answer.json())["usage"]
            assert usage["prompt_tokens_details"]["cached_tokens"] == expected
        await change(session, stalled=True)
        long = {**BODY, "max_tokens": 1000}

        async def ask() -> None:
            with pytest.raises(aiohttp.ClientError):
                await session.post("/v1/completions", json=long)

        async def waits() -> bool:
            return server.replica.engine.waiting == 1

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask())
            await until(waits)
            await change(session, restart=True, stalled=False)
        assert await metric(session, "vllm:prompt_tokens_total") == 0.0
        async with session.post("/v1/completions", json=body) as answer:
            usage = (await answer.json())["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


async def test_a_slow_server() -> None:
    async with serving_with(FAST) as (session, _, server):
        await change(session, slowness=3.0)
        assert server.replica.engine.slowness == 3.0


async def test_an_unhealthy_server() -> None:
    async with serving() as (session, _):
        statuses = []
        for unhealthy in (False, True):
            await change(session, unhealthy=unhealthy)
            async with session.get("/health") as answer:
                statuses.append(answer.status)
    assert statuses == [200, 503]


async def test_metrics_that_lie() -> None:
    async with serving() as (session, _):
        tokens = "vllm:prompt_tokens_total"
        await change(session, metrics="frozen")
        async with session.post("/v1/completions", json=BODY) as answer:
            await answer.read()
        assert await metric(session, tokens) == 0.0
        await change(session, metrics="ok")
        assert await metric(session, tokens) == 25.0
        await change(session, metrics="missing")
        assert await metric(session, "vllm:num_requests_running") is None
        assert await metric(session, tokens) == 25.0
        await change(session, metrics="error")
        async with session.get("/metrics") as answer:
            assert answer.status == 500
        await change(session, metrics="garbage")
        async with session.get("/metrics") as answer:
            assert (await answer.read()).startswith(b"<html>")


async def test_metrics_that_do_not_answer() -> None:
    short = aiohttp.ClientTimeout(total=0.05)
    async with serving() as (session, _):
        for fault in ({"metrics": "silent"}, {"metrics": "ok", "metrics_delay_s": 1.0}):
            await change(session, **fault)
            with pytest.raises(TimeoutError):
                await session.get("/metrics", timeout=short)
