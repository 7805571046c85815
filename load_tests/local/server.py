"""A local fleet over HTTP: the provider protocol in front, emulated model servers behind.

Each replica is a process of ``load_tests.emulator``; those that are ready are kept in an endpoints
file, which a gateway watches. Everything that was started ends with the scope.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web

from load_tests.local.state import FleetState, Phase, Start, Stop
from load_tests.ports import free_ports
from load_tests.process import Child, child
from loadstar.clock import Clock

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
LOOK_S = 0.1


@dataclass(slots=True, kw_only=True)
class Processes:
    """How replicas are started; not ``real``: they are only counted."""

    profile: str = "H100-8B"
    speed: float = 1.0
    model: str = "llama"
    real: bool = True
    spare: int = 0
    """Kept running beforehand, so that an interpreter's start is no part of a lead time."""
    listed_early_s: float = 0.0
    """How long before a replica is ready its address is in the file, for who looks seldom."""


class LocalFleetServer:
    """``serving`` runs it."""

    def __init__(
        self, state: FleetState, processes: Processes, clock: Clock, workdir: Path
    ) -> None:
        self.state = state
        self.endpoints_file = workdir / "endpoints.json"
        self._processes = processes
        self._clock = clock
        self._workdir = workdir
        self._running: dict[str, tuple[AsyncExitStack, Child, int]] = {}
        self._spares: list[tuple[AsyncExitStack, Child, int]] = []
        self._shown: list[int] | None = None

    def list_in(self, path: Path) -> None:
        """From here on keep the endpoints in ``path``, for example a gateway's own file."""
        self.endpoints_file = path
        self._shown = None

    def ports(self) -> list[int]:
        """Of the replicas that run."""
        return [port for _, _, port in self._running.values()]

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/fleet", self._fleet)
        app.router.add_post("/v1/pools/{name}", self._pool)
        app.router.add_post("/v1/workloads/{name}", self._workload)
        return app

    async def run(self) -> None:
        """Move the fleet on until cancelled; then end every process."""
        try:
            async with asyncio.TaskGroup() as endings:
                while True:
                    await self._step(endings)
                    await asyncio.sleep(LOOK_S)
        finally:
            for stack, _, _ in (*self._running.values(), *self._spares):
                await stack.aclose()
            self._running.clear()
            self._spares.clear()

    async def _step(self, endings: asyncio.TaskGroup) -> None:
        now_s = self._clock.now()
        for due in self.state.step(now_s):
            match due:
                case Start(name) if self._processes.real:
                    await self._start(name)
                case Stop(name) if name in self._running:
                    stack, _, _ = self._running.pop(name)
                    endings.create_task(stack.aclose(), name=f"end {name}")
                case _:
                    pass
        if self._processes.real and len(self._spares) < self._processes.spare:
            self._spares.append(await self._launched(f"spare-{free_ports(1)[0]}"))
        for name in list(self.state.loading):
            if name not in self._running or await _answers(self._running[name][2]):
                self.state.loading.discard(name)
        ports = [self._running[name][2] for name in self._listed(now_s) if name in self._running]
        if ports != self._shown:
            self._shown = ports
            await asyncio.to_thread(self._write, ports)

    def _listed(self, now_s: float) -> list[str]:
        """Replicas for the endpoints file."""
        early_s = self._processes.listed_early_s
        return [
            each.name
            for each in self.state.replicas
            if each.phase is Phase.READY
            or (
                each.phase is Phase.LOADING
                and each.name not in self.state.loading
                and each.until_s - now_s <= early_s
            )
        ]

    async def _start(self, name: str) -> None:
        self.state.loading.add(name)
        self._running[name] = self._spares.pop(0) if self._spares else await self._launched(name)

    async def _launched(self, name: str) -> tuple[AsyncExitStack, Child, int]:
        port = free_ports(1)[0]
        stack = AsyncExitStack()
        processes = self._processes
        command = [
            *(sys.executable, "-m", "load_tests.emulator", "--port", str(port)),
            *("--profile", processes.profile, "--speed", f"{processes.speed:g}"),
            *("--model", processes.model, "--exit-with-parent"),
        ]
        made = await stack.enter_async_context(
            child(name, command, logs=self._workdir, cwd=ROOT, grace_s=1.0)
        )
        return stack, made, port

    def _write(self, ports: list[int]) -> None:
        endpoints = [
            {"name": f"replica-{port}", "address": HOST, "port": str(port)} for port in ports
        ]
        new = self.endpoints_file.with_suffix(".new")
        new.write_bytes(orjson.dumps({"endpoints": endpoints}))
        new.replace(self.endpoints_file)

    async def _fleet(self, _request: web.Request) -> web.Response:
        return web.json_response(self.state.document(self._clock.now()))

    async def _pool(self, request: web.Request) -> web.Response:
        nodes = (await request.json()).get("nodes")
        try:
            self.state.set_nodes(request.match_info["name"], int(nodes))
        except KeyError:
            return web.Response(status=404, text="no such pool")
        except (ValueError, TypeError) as error:
            return web.Response(status=400, text=str(error))
        return web.json_response({})

    async def _workload(self, request: web.Request) -> web.Response:
        replicas = (await request.json()).get("replicas")
        try:
            self.state.set_replicas(request.match_info["name"], int(replicas))
        except (ValueError, TypeError) as error:
            return web.Response(status=400, text=str(error))
        return web.json_response({})


async def _answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        async with asyncio.timeout(LOOK_S):
            _, writer = await asyncio.open_connection(HOST, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@asynccontextmanager
async def serving(server: LocalFleetServer, port: int = 0) -> AsyncIterator[str]:
    """Run ``server`` while inside; gives its URL."""
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        bound = runner.addresses[0][1]
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.run(), name="local fleet")
            try:
                yield f"http://{HOST}:{bound}"
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
    finally:
        await runner.cleanup()
