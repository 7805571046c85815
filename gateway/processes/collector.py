"""The collector: the one process that discovers, scrapes, and answers for all who asks how it is.

It writes membership and columns to shared memory; the workers' picks reach it the same way. One
that is started again goes on from what stands there, slots included.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from functools import partial

from gateway.config.flags import Flags
from gateway.datalayer.membership import decode
from gateway.datalayer.shared_columns import SharedColumns, warm
from gateway.datalayer.shared_memory import SharedMemory
from gateway.datalayer.store import FIRST_CAPACITY, Datastore
from gateway.main import build
from gateway.processes.channel import READY, listen, say
from gateway.processes.child import Child
from gateway.processes.metrics_page import merged
from gateway.processes.telling import Telling
from gateway.publish import publishing
from gateway.running import settle
from gateway.serving.drain import StopSignals
from gateway.serving.health import health_server
from gateway.serving.listen import listen as open_port
from gateway.serving.listen import serving, shown
from gateway.serving.place import Place
from gateway.serving.policy_board import publish, published
from gateway.serving.policy_in_force import Unusable
from gateway.serving.policy_watch import watching
from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.25


def shared_store(memory: SharedMemory) -> tuple[Datastore, Telling]:
    """A store that hands out slots in ``memory``, and who writes every change there."""
    store = Datastore(columns=SharedColumns(memory, FIRST_CAPACITY))
    version, text = memory.membership.read(0)
    if version:
        store.adopt(decode(text))
    telling = Telling(store, memory.membership)
    store.on_applied(telling.tell)
    return store, telling


async def _beat(memory: SharedMemory) -> None:
    """Tell the supervisor that the loop turns."""
    while True:
        memory.beats[-1] += 1
        await asyncio.sleep(BEAT_SECONDS)


async def collect(child: Child, flags: Flags) -> None:
    """Collect until the supervisor closes the line. Raises as ``Gateway.serve`` does."""
    memory = child.memory
    warm(memory)
    store, telling = shared_store(memory)
    again = store.synced
    place = Place(
        store=store,
        page=merged(memory),
        served=lambda: bool(memory.serving.any()),
        # One that is started again goes on at once from what the workers have.
        given=published(memory.policy),
        policy_taken=partial(publish, memory.policy),
    )
    clock = SystemClock()
    if (watch := watching(flags, os.environ, clock)) is not None:
        place = replace(place, given=place.given or await watch.first(), policy_source=watch)
    try:
        gateway = build(flags, os.environ, clock, None, place)
    except Unusable as error:
        if watch is not None:
            await watch.tell(error)
        raise
    gateway.metrics.add(telling)
    try:
        await gateway.discovery.load(store)
    except ConfigError as error:
        if not again:
            raise
        log.error("endpoints as they were: %s", error)
    signals, over = StopSignals(), asyncio.Event()
    signals.listen()
    listen(child.line, lambda _message, _connection: None, over.set)
    host = flags.bind_address
    probes = health_server(gateway.health)
    health_port = open_port(probes, "grpc-health-port", host, flags.grpc_health_port, None)
    async with (
        serving(gateway.admin, "metrics-port", host, flags.metrics_port, gateway.admin_tls) as port,
        publishing(flags, gateway.signals, gateway.certificate) as signals_port,
        asyncio.TaskGroup() as tasks,
    ):
        followers = [
            tasks.create_task(gateway.discovery.run(store), name="discovery"),
            tasks.create_task(gateway.policy_source.run(gateway.policy), name="configuration"),
            tasks.create_task(_beat(memory), name="pulse"),
        ]
        if gateway.scraper is not None:
            followers.append(tasks.create_task(gateway.scraper.run(), name="scraper"))
        if gateway.certificate is not None and flags.enable_cert_reload and signals_port:
            followers.append(tasks.create_task(gateway.certificate.run(), name="certificate"))
        if gateway.admin_tls is not None:
            renews = gateway.admin_tls.run()
            followers.append(tasks.create_task(renews, name="metrics certificate"))
        await probes.start()
        gateway.readiness.started = True
        settle()
        log.info(
            "collecting",
            extra={
                "address": shown(host),
                "health_port": health_port,
                "metrics_port": port,
                "signals_port": signals_port,
                "endpoints": len(store.state.endpoints),
            },
        )
        say(child.line, b"%b %d %d" % (READY, health_port, port))
        stopping = tasks.create_task(signals.first.wait())
        ended = tasks.create_task(over.wait())
        await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        gateway.readiness.draining = True
        await over.wait()  # until the workers have drained, somebody must say NOT_SERVING
        await probes.stop(0)
        for task in (*followers, stopping):
            task.cancel()
