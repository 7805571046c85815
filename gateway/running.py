"""A gateway that was built, from its open ports to the last stream. ``main`` builds it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.config.flags import Flags
from gateway.datalayer.discovery import Discovery
from gateway.datalayer.scrape import Scraper
from gateway.datalayer.store import Datastore
from gateway.extproc.streams import Streams
from gateway.metrics import Metrics
from gateway.publish import Signals, publishing
from gateway.serving.drain import StopSignals, drained
from gateway.serving.health import Health, Readiness, health_server
from gateway.serving.listen import listen, serving, shown
from gateway.serving.policy_in_force import PolicyInForce, PolicySource
from gateway.serving.settling import settling
from gateway.serving.transports import Hosted, transport
from loadstar import tls
from loadstar.clock import Clock
from loadstar.tls_port import TlsPort

log = logging.getLogger(__name__)

GC_THRESHOLD = 50_000
"""New containers before the youngest are collected. Requests leave no cycles behind, so a
collection finds nothing; but each open stream holds some, and at Python's own settings opening
5,000 of them stops the loop for 53 ms at once. With this, and with what was made at start frozen,
3 ms (measured)."""
CUT_OFF_SECONDS = 0.2
"""For the last answers to leave before open streams are cut off."""


@dataclass(slots=True, kw_only=True)
class Gateway:
    """The parts, built and not yet running."""

    flags: Flags
    clock: Clock
    metrics: Metrics
    store: Datastore
    discovery: Discovery
    scraper: Scraper | None
    policy: PolicyInForce
    policy_source: PolicySource
    certificate: tls.ReloadingPair | None
    admin: web.Application
    admin_tls: TlsPort | None
    streams: Streams
    hosted: Hosted
    health: Health
    readiness: Readiness
    signals: Signals
    settle: Callable[[float], None]
    """Gives back what answers that nobody follows should have given back by a time."""

    async def serve(self, signals: StopSignals) -> bool:
        """Serve until a signal, then drain. True if no answer was cut off.

        Raises ConfigError if the endpoints cannot be loaded, CannotListen if a port cannot be had.
        """
        flags, host = self.flags, self.flags.bind_address
        await self.discovery.load(self.store)
        ext_proc = transport(flags, self.hosted, self.certificate)
        probes = health_server(self.health)
        grpc_port = await ext_proc.start()
        health_port = listen(probes, "grpc-health-port", host, flags.grpc_health_port, None)
        async with (
            serving(self.admin, "metrics-port", host, flags.metrics_port, self.admin_tls) as admin,
            publishing(flags, self.signals, self.certificate) as signals_port,
            asyncio.TaskGroup() as tasks,
        ):
            followers = [tasks.create_task(run, name=name) for name, run in self._followers()]
            await probes.start()
            self.readiness.started = True
            settle()
            log.info(
                "serving",
                extra={
                    "address": shown(host),
                    "grpc_port": grpc_port,
                    "health_port": health_port,
                    "metrics_port": admin,
                    "signals_port": signals_port,
                    "tls": flags.secure_serving,
                    "endpoints": len(self.store.state.endpoints),
                },
            )
            await signals.first.wait()
            self.readiness.draining = True
            clean = await drained(self.streams, flags.drain_timeout, self.clock, signals)
            self.streams.closing = True
            cut_off = await ext_proc.stop(0 if signals.again else CUT_OFF_SECONDS)
            log.info("stopping", extra={"streams_cut_off": cut_off})
            await probes.stop(0)
            for task in followers:
                task.cancel()
        return clean or not cut_off

    def _followers(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs beside the servers until the end: name and task."""
        yield "discovery", self.discovery.run(self.store)
        yield "configuration", self.policy_source.run(self.policy)
        yield "settling", settling(self.settle, self.clock)
        if self.scraper is not None:
            yield "scraper", self.scraper.run()
        if self.certificate is not None and self.flags.enable_cert_reload:
            yield "certificate", self.certificate.run()
        if self.admin_tls is not None:
            yield "metrics certificate", self.admin_tls.run()


def settle() -> None:
    """Take what was made so far out of the garbage collector's sight, and let it look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
