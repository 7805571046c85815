"""Pods and Prometheus asked over real sockets, by servers that misbehave; and sources replaced."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError
from metrics_adapter.adapter_config import parse_config
from metrics_adapter.errors import NotFound
from metrics_adapter.query import CustomQuery, Inventory, Pod, Value, answer
from metrics_adapter.sources import Sources
from metrics_adapter.store import Store

CLOCK = SystemClock()


@dataclass
class Server:
    """Answers as it is told to: a page, a status, or never."""

    page: str = ""
    status: int = 200
    hangs: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form.get("query", request.path)))
        self.headers.append(request.headers.get("Authorization", ""))
        if self.hangs:
            await self.released.wait()
        return web.Response(text=self.page, status=self.status)


@contextlib.asynccontextmanager
async def served(server: Server) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        server.released.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running(config: str, *pods: Pod) -> AsyncIterator[tuple[Store, Sources]]:
    parsed = parse_config(config)
    store = Store(parsed)
    if pods:
        store.know(Inventory(pods, known=True))
    sources = Sources(store, parsed, None, CLOCK, random.Random(1))
    task = asyncio.get_running_loop().create_task(sources.run())
    try:
        yield store, sources
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def told(store: Store, metric: str = "queue_depth") -> dict[str, float]:
    try:
        query = CustomQuery("v1beta2", "pods", "lab", "*", metric)
        values: list[Value] = answer(store.view(), query, CLOCK.wall())
    except NotFound:
        return {}
    return {value.described.name: value.value for value in values if value.described}


def pod(name: str, port: int) -> Pod:
    return Pod("lab", name, f"uid-{name}", {"app": "vllm"}, 0.0, "", (), "127.0.0.1", port)


async def test_pods_are_read_and_one_that_hangs_or_fails_delays_only_itself() -> None:
    good, hanging = Server("vllm:num_requests_waiting 3\n"), Server(hangs=True)
    failing = Server("vllm:num_requests_waiting 9\n", status=500)
    async with served(good) as one, served(hanging) as two, served(failing) as three:
        config = "sources: [{type: pods, selector: app=vllm, interval: 1s, timeout: 300ms}]"
        pods = pod("good", one), pod("hanging", two), pod("failing", three)
        async with running(config, *pods) as (store, sources):
            await until(lambda: told(store) == {"good": 3.0})
            await until(lambda: "2 pods cannot be read" in str(sources.problems))
            good.page = "vllm:num_requests_waiting 5\n"
            hanging.hangs, hanging.page = False, "vllm:num_requests_waiting 1\n"
            hanging.released.set()
            await until(lambda: told(store) == {"good": 5.0, "hanging": 1.0})
            store.know(Inventory([pods[1]], known=True))
            assert told(store) == {"hanging": 1.0}


async def test_prometheus_is_asked_each_rule_with_the_token_of_the_moment(tmp_path: Path) -> None:
    token = tmp_path / "token"
    await asyncio.to_thread(token.write_text, "first\n")
    result = f'{{"metric": {{"namespace": "lab", "pod": "a"}}, "value": [{CLOCK.wall()}, "7"]}}'
    server = Server(
        f'{{"status": "success", "data": {{"resultType": "vector", "result": [{result}]}}}}'
    )
    async with served(server) as port:
        config = f"""
        sources:
        - type: prometheus
          url: http://127.0.0.1:{port}
          tokenFile: {token}
          interval: 1s
          rules: [{{metric: mine, query: "sum(x) by (pod)", resource: pods}}]
        """
        async with running(config) as (store, sources):
            await until(lambda: told(store, "mine") == {"a": 7.0})
            assert server.asked[0] == "sum(x) by (pod)"
            assert server.headers[0] == "Bearer first"
            await asyncio.to_thread(token.write_text, "second")
            server.page = "<html>"
            await until(lambda: bool(sources.problems))
            assert server.headers[-1] == "Bearer second"
            assert told(store, "mine") == {"a": 7.0}  # as last known, until it is too old


async def test_a_source_that_stays_runs_on_through_a_reload(tmp_path: Path) -> None:
    def row(name: str) -> str:
        described = f"{{kind: Pod, namespace: lab, name: {name}}}"
        return f"samples: [{{object: {described}, metric: m, value: 1, timestamp: now}}]"

    one, two = tmp_path / "one", tmp_path / "two"
    await asyncio.to_thread(one.write_text, row("one"))
    await asyncio.to_thread(two.write_text, row("two"))

    def config(*paths: Path) -> str:
        listed = ", ".join(f"{{type: file, path: {path}}}" for path in paths)
        return f"sources: [{listed}]"

    async with running(config(one)) as (store, sources):
        await until(lambda: told(store, "m") == {"one": 1.0})
        (slot,) = store.slots
        sources.reconfigure(parse_config(config(one, two)))
        assert told(store, "m") == {"one": 1.0}
        await until(lambda: told(store, "m") == {"one": 1.0, "two": 1.0})
        assert store.slots[0] is slot
        sources.reconfigure(parse_config(config(two)))
        await until(lambda: told(store, "m") == {"two": 1.0})
        bad = parse_config("metrics: [{name: a, kind: expression, expression: b}]")
        with pytest.raises(ConfigError):
            sources.reconfigure(bad)
        assert told(store, "m") == {"two": 1.0}


async def test_a_rule_about_objects_that_are_not_known_is_refused() -> None:
    config = "sources: [{type: prometheus, url: u, rules: [{metric: m, query: q, resource: x}]}]"

    with pytest.raises(ConfigError, match="metrics of x are not known here"):
        async with running(config):
            pass
