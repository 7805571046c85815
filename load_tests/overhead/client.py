"""A closed-loop load generator in a process of its own, so that its CPU is nobody else's.

``python -m load_tests.overhead.client PORT WORKLOAD CONNECTIONS SECONDS`` keeps one request open
on each connection until the time is over, lets those end, and prints a ``Burst`` as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from load_tests.overhead.http_end import MessageEnd
from load_tests.overhead.workloads import NUMBER_BYTES, WORKLOADS, Workload, request_parts
from loadstar.clock import Clock, SystemClock

HOST = "127.0.0.1"
LAST_ANSWERS_SECONDS = 20.0
"""For requests still open when the time is over; then they have failed."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What one client saw. Times in seconds."""

    requests: int
    """Answered with 200."""
    failed: int
    seconds: float
    p50: float
    p99: float


class _Load:
    """What the connections of one client share."""

    def __init__(self, workload: Workload, connections: int, seconds: float, clock: Clock) -> None:
        self.clock = clock
        self.before, self.after = request_parts(workload)
        self.latencies: list[float] = []
        self.failed = 0
        self.until = clock.now() + seconds
        self.open = connections
        self.over = asyncio.Event()
        self._number = int(clock.wall() * 1e6) << 8
        """Of the next request: no two runs ask the same, or prefix caches would know it all."""

    def request(self) -> list[bytes]:
        self._number += 1
        return [self.before, b"%0*x" % (NUMBER_BYTES, self._number), self.after]

    def left(self) -> None:
        self.open -= 1
        if not self.open:
            self.over.set()


class _Connection(asyncio.Protocol):
    """One request after another."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._end = MessageEnd()
        self._began = 0.0
        self._asking = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport says without being one.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        load = self._load
        if not self._end.feed(data):
            return
        now = load.clock.now()
        self._asking = False
        if self._end.head.startswith(b"HTTP/1.1 200"):
            load.latencies.append(now - self._began)
        else:
            load.failed += 1
        if now < load.until:
            self._ask()
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.failed += self._asking
        self._load.left()

    def _ask(self) -> None:
        if self._transport is not None:
            self._asking = True
            self._began = self._load.clock.now()
            self._transport.writelines(self._load.request())


async def burst(
    port: int, workload: Workload, connections: int, seconds: float, clock: Clock
) -> Burst:
    """Ask ``connections`` at a time for ``seconds``."""
    loop = asyncio.get_running_loop()
    load = _Load(workload, connections, seconds, clock)
    began = clock.now()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load), HOST, port)
    try:
        async with asyncio.timeout(seconds + LAST_ANSWERS_SECONDS):
            await load.over.wait()
    except TimeoutError:
        load.failed += load.open
    took = clock.now() - began
    ordered = sorted(load.latencies) or [float("nan")]
    return Burst(
        requests=len(load.latencies),
        failed=load.failed,
        seconds=took,
        p50=ordered[len(ordered) // 2],
        p99=ordered[len(ordered) * 99 // 100],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    work = burst(
        given.port, WORKLOADS[given.workload], given.connections, given.seconds, SystemClock()
    )
    print(json.dumps(asdict(uvloop.run(work))))


if __name__ == "__main__":
    main()
