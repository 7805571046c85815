"""Half an hour of everything at once: ``python -m load_tests.soak --minutes 30``.

Streams, whole answers, large bodies, clients that leave at any moment, an Envoy that restarts and a
gateway worker that is killed, over and over. At the end: did a request hang, did the gateway's
account of what is in flight return to zero, did its memory stay flat after the warm-up?
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from load_tests import words
from load_tests.envoy import envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.fleet import (
    HOST,
    GatewayPlan,
    RunningGateway,
    ServersPlan,
    gateway,
    model_servers,
)
from load_tests.ports import free_ports
from loadstar.clock import SystemClock

HANG_SECONDS = 60.0
"""Longer than any answer takes here; a request that is not over by then hangs."""
SETTLE_SECONDS = 20.0
FLAT = 1.05
"""Resident memory at the end over that after the warm-up."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Tally:
    """What has happened so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    hung: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since start, resident bytes of the gateway and its workers)."""
    kills: int = 0
    restarts: int = 0


async def client(
    session: aiohttp.ClientSession, url: str, rng: random.Random, tally: Tally, over: asyncio.Event
) -> None:
    """One client after another: each asks for something, and half of them leave early."""
    while not over.is_set():
        kind = rng.choices(["stream", "whole", "large", "get", "bad"], [45, 30, 5, 10, 10])[0]
        try:
            async with asyncio.timeout(HANG_SECONDS):
                tally.outcomes[f"{kind} {await ask(session, url, kind, rng)}"] += 1
        except TimeoutError:
            tally.hung += 1
        except (aiohttp.ClientError, OSError):
            tally.outcomes[f"{kind} cut off"] += 1
            await asyncio.sleep(0.2)
        await asyncio.sleep(rng.expovariate(5.0))


async def ask(session: aiohttp.ClientSession, url: str, kind: str, rng: random.Random) -> str:
    """Send one request and read its answer, or part of it; the status, or "left"."""
    if kind == "get":
        async with session.get(f"{url}/v1/models") as answer:
            await answer.read()
            return str(answer.status)
    if kind == "bad":
        async with session.post(f"{url}/v1/completions", data=b'{"model":') as answer:
            await answer.read()
            return str(answer.status)
    words = 40_000 if kind == "large" else rng.randint(20, 2_000)
    prefix = f"Conversation {rng.randint(0, 40)}: " + "so it goes on and on " * 30
    body = {
        "model": f"model-{rng.randint(0, 3)}",
        "messages": [{"role": "user", "content": prefix + "word " * words}],
        "max_tokens": rng.randint(5, 150),
        "stream": kind == "stream",
    }
    leaves = rng.random() < 0.4
    patience = rng.expovariate(2.0) if leaves else HANG_SECONDS
    try:
        async with (
            asyncio.timeout(patience),
            session.post(f"{url}/v1/chat/completions", json=body) as answer,
        ):
            async for _ in answer.content.iter_any():
                if leaves and rng.random() < 0.1:
                    answer.close()
                    return "left"
            return str(answer.status)
    except TimeoutError:
        if leaves:
            return "left"
        raise


@contextlib.asynccontextmanager
async def load(url: str, clients: int, seed: int, tally: Tally) -> AsyncIterator[None]:
    """``clients`` clients for as long as the scope lasts; left, all of them have ended."""
    over = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
        for number in range(clients):
            rng = random.Random(seed * 1000 + number)
            tasks.create_task(client(session, url, rng, tally, over))
        try:
            yield
        finally:
            over.set()


def family(pid: int) -> list[int]:
    """``pid`` and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of ``pid`` and its descendants."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * PAGE_BYTES
    return total


async def in_flight(session: aiohttp.ClientSession, picker: RunningGateway) -> float:
    """Everything the gateway believes to be under way; 0 when idle."""
    names = ("loadstar_gateway_inflight_", "loadstar_gateway_requests_live")
    async with session.get(picker.metrics_url) as answer:
        page = await answer.text()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(names)
    )


async def settled(picker: RunningGateway) -> bool:
    """Whether the account returns to zero once nobody asks for anything."""
    async with aiohttp.ClientSession() as session:
        for _ in range(int(SETTLE_SECONDS * 4)):
            with contextlib.suppress(aiohttp.ClientError, OSError):
                if await in_flight(session, picker) == 0:
                    return True
            await asyncio.sleep(0.25)
    return False


async def soak(minutes: float, clients: int, seed: int, flags: Sequence[str]) -> tuple[Tally, int]:
    """Run it; the tally, and how often the account did not return to zero."""
    clock, rng, tally, drifts = SystemClock(), random.Random(seed), Tally(), 0
    began = clock.now()
    with tempfile.TemporaryDirectory(prefix="loadstar-soak-") as folder:
        workdir = Path(folder)
        listen, admin = free_ports(2)
        async with (
            model_servers(ServersPlan(count=4, speed=10.0), workdir) as servers,
            gateway(GatewayPlan(flags=tuple(flags)), servers.addresses, workdir) as picker,
        ):
            plan = EnvoyPlan(
                Address(HOST, listen),
                Address(HOST, admin),
                Balancing.ORIGINAL_DST,
                picker=PickerPlan(picker.address),
            )
            round_seconds = max(20.0, min(120.0, minutes * 60 / 10))
            while clock.now() - began < minutes * 60:
                async with envoy(plan, workdir=workdir) as running:
                    async with load(running.url, clients, rng.getrandbits(30), tally):
                        await asyncio.sleep(round_seconds / 2)
                        workers = family(picker.process.pid)[1:]
                        if workers:
                            os.kill(rng.choice(workers), signal.SIGKILL)
                            tally.kills += 1
                        await asyncio.sleep(round_seconds / 2)
                    if not await settled(picker):
                        drifts += 1
                    at, size = clock.now() - began, resident_bytes(picker.process.pid)
                    tally.memory.append((at, size))
                    print(
                        f"{at:6.0f} s  {sum(tally.outcomes.values())} requests, {tally.hung} hung, "
                        f"{drifts} drifts, gateway {size / 2**20:.1f} MiB",
                        flush=True,
                    )
                # Its streams are cut off here: the next round begins with what that leaves.
                tally.restarts += 1
    return tally, drifts


def main(argv: Sequence[str]) -> int:
    """0 if nothing hung, drifted or grew."""
    parser = argparse.ArgumentParser(prog="load_tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=words.positive, default=30.0)
    parser.add_argument("--clients", type=words.count, default=24)
    parser.add_argument("--seed", type=words.seed, default=1)
    parser.add_argument("flags", nargs="*", help="flags for the gateway, after --")
    args = parser.parse_args(argv)
    tally, drifts = asyncio.run(soak(args.minutes, args.clients, args.seed, args.flags))
    for outcome, count in sorted(tally.outcomes.items()):
        print(f"{outcome:20s} {count}")
    # The first quarter warms up: caches, the prefix index and the allocator fill.
    warm = tally.memory[max(0, len(tally.memory) // 4 - 1) if len(tally.memory) > 1 else 0][1]
    growth = tally.memory[-1][1] / warm
    print(
        f"{tally.restarts} Envoy restarts, {tally.kills} workers killed, {tally.hung} hung, "
        f"{drifts} drifts, memory x {growth:.3f} after the warm-up"
    )
    return 0 if not tally.hung and not drifts and growth <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
