"""A worker: everything that answers Envoy, over a pool that the collector keeps.

It listens on no port. Connections come from the supervisor; who is in the pool, what was scraped
and what the other workers sent where come through shared memory, looked at every few
milliseconds and, where a pick needs it, at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import replace

from gateway.config.flags import Flags
from gateway.datalayer.membership import decode
from gateway.datalayer.shared_columns import SharedColumns, warm
from gateway.datalayer.shared_memory import SharedMemory
from gateway.datalayer.store import FIRST_CAPACITY, Datastore
from gateway.main import build
from gateway.metrics import Metrics
from gateway.prefix.exchange import Exchange
from gateway.processes.channel import CLOSED, READY, listen, say
from gateway.processes.child import Child
from gateway.processes.cores import bodies_bytes
from gateway.processes.metrics_page import page
from gateway.running import CUT_OFF_SECONDS, Gateway, settle
from gateway.serving.drain import StopSignals, drained
from gateway.serving.place import Place
from gateway.serving.policy_board import PolicyBoard, published
from gateway.serving.settling import settling
from gateway.serving.transports import WireTransport
from loadstar.clock import SystemClock
from loadstar.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.01
"""How old the pool's membership may be, beside what the collector takes to see a change."""
CATCH_UP_LOOKS = 2
"""Looks between two readings of other workers' news; a pick reads it anyway."""
ANSWER_SECONDS = 0.02
"""How soon a question for metrics is seen."""


class Follower:
    """Keeps a worker's copy of the pool in step with shared memory."""

    def __init__(self, memory: SharedMemory, worker: int) -> None:
        self._memory = memory
        self._worker = worker
        self._version = 0
        memory.seen[worker] = 0  # before the first look: what is decided from now on waits for us
        self.exchange = Exchange(memory.heads, memory.rings, worker)
        self.store = Datastore(columns=SharedColumns(memory, FIRST_CAPACITY, worker))

    @property
    def behind(self) -> bool:
        """Whether the pool's members have changed since they were last looked at."""
        return int(self._memory.membership.versions[0]) != self._version

    def look(self) -> None:
        """Take over whatever is new."""
        if self.behind:
            version, text = self._memory.membership.read(0)
            if version:
                self._version = version
                self.store.adopt(decode(text))
                self.exchange.living = frozenset(self.store.state.slots.tolist())
        # What is picked from here on is of this epoch.
        self._memory.seen[self._worker] = self.store.state.epoch
        columns = self.store.columns
        if isinstance(columns, SharedColumns):
            columns.refresh_lora()


async def work(child: Child, flags: Flags, tracing: Tracing | None) -> bool:
    """Serve until a signal, then drain. True if no answer was cut off."""
    memory, follower = child.memory, Follower(child.memory, child.number)
    warm(memory)
    place = Place(
        store=follower.store,
        exchange=follower.exchange,
        collects=False,
        bodies_bytes=bodies_bytes(flags, memory.workers),
        # Good, whatever the file says by now: one that dies must not be kept out by a mistake.
        given=published(memory.policy),
    )
    if flags.config_map:
        place = replace(place, policy_source=PolicyBoard(memory.policy))
    gateway = build(flags, os.environ, SystemClock(), tracing, place)
    follower.look()
    signals = StopSignals()
    signals.listen()
    wire = WireTransport(flags, gateway.hosted, gateway.certificate)
    adopt = wire.start_adopting()

    async def serve(connection: socket.socket) -> None:
        try:
            await adopt(connection)
        except Exception:
            log.exception("a connection failed inside the gateway")
        finally:
            say(child.line, CLOSED)

    connections: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as tasks:

        def said(_message: bytes, connection: socket.socket | None) -> None:
            if connection is not None:
                connection.setblocking(False)
                serving = tasks.create_task(serve(connection), name="connection")
                connections.add(serving)
                serving.add_done_callback(connections.discard)

        followers = [
            tasks.create_task(_follow(gateway, follower, memory, child.number), name="pool"),
            tasks.create_task(_show(gateway.metrics, memory, child.number), name="page"),
            tasks.create_task(gateway.policy_source.run(gateway.policy), name="configuration"),
            tasks.create_task(settling(gateway.settle, gateway.clock), name="settling"),
        ]
        if gateway.certificate is not None and flags.enable_cert_reload:
            followers.append(tasks.create_task(gateway.certificate.run(), name="certificate"))
        gateway.readiness.started = True
        settle()
        # The supervisor gone without a word is a stop signal too.
        listen(child.line, said, signals.first.set)
        say(child.line, READY)
        await signals.first.wait()
        gateway.readiness.draining = True
        clean = await drained(gateway.streams, flags.drain_timeout, gateway.clock, signals)
        gateway.streams.closing = True
        asyncio.get_running_loop().remove_reader(child.line)
        cut_off = await wire.stop(0 if signals.again else CUT_OFF_SECONDS)
        log.info("stopping", extra={"streams_cut_off": cut_off})
        for task in (*followers, *connections):
            task.cancel()
    return clean or not cut_off


async def _follow(gateway: Gateway, follower: Follower, memory: SharedMemory, worker: int) -> None:
    looks = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        looks += 1
        memory.beats[worker] += 1
        # Before a change too: what is left of a slot's last owner must not reach its next.
        if follower.behind or looks % CATCH_UP_LOOKS == 0:
            gateway.policy.built.scheduler.catch_up()
        follower.look()


async def _show(metrics: Metrics, memory: SharedMemory, worker: int) -> None:
    """Write the page of this worker whenever the collector asks for it.

    One that cannot be written is shown as it was: what is counted must not end what serves.
    """
    answered = 0
    while True:
        await asyncio.sleep(ANSWER_SECONDS)
        asked = int(memory.asked[0])
        if asked != answered:
            answered = asked
            # In a thread: thousands of series take longer than a stream should wait.
            try:
                text = await asyncio.to_thread(page, metrics, os.getpid(), asked)
                memory.pages.write(worker, text)
            except Exception:  # The rim of the page; the next question may be answered.
                log.exception("the metrics of this worker are not shown")
