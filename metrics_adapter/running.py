"""An adapter that was built, from its open port to the last request. ``main`` builds it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loadstar.clock import Clock
from metrics_adapter import policy_file
from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.api.connections import Connections
from metrics_adapter.api.health import Health
from metrics_adapter.api.listener import listening
from metrics_adapter.api.rim import Rim
from metrics_adapter.clients import Clients
from metrics_adapter.config.flags import Flags
from metrics_adapter.memory import settle
from metrics_adapter.metrics import Metrics
from metrics_adapter.policy_watch import PolicyWatch
from metrics_adapter.security.authorize import AccessReviews
from metrics_adapter.security.certificate_files import follow, read_pair
from metrics_adapter.security.managed import Managed
from metrics_adapter.security.serving import Serving
from metrics_adapter.security.token_reviews import TokenReviews
from metrics_adapter.security.trust_source import TrustSource
from metrics_adapter.sources.running import Sources
from metrics_adapter.store import Store

log = logging.getLogger(__name__)

GAUGES_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Adapter:
    """The parts, built and not yet running."""

    flags: Flags
    clock: Clock
    rng: random.Random
    metrics: Metrics
    config: AdapterConfig
    store: Store
    sources: Sources
    policy_watch: PolicyWatch | None
    serving: Serving
    trust: TrustSource
    managed: Managed | None
    health: Health
    connections: Connections
    rim: Rim
    clients: Clients | None
    reviews: Mapping[str, AccessReviews | TokenReviews]

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``, then leave. Raises CannotListen, ConfigError."""
        flags = self.flags
        async with (
            listening(
                self.rim,
                self.connections,
                self.serving.context,
                address=flags.bind_address,
                port=flags.secure_port,
                shared=flags.permit_port_sharing,
            ) as port,
            asyncio.TaskGroup() as tasks,
        ):
            running = [tasks.create_task(run, name=name) for name, run in self._followers()]
            settle()
            log.info(
                "serving",
                extra={
                    "address": flags.bind_address or "*",
                    "port": port,
                    "apis": [f"{g}/{v}" for g, each in self.rim.served.items() for v in each],
                },
            )
            await stop.wait()
            self.health.leaving = True
            log.info("leaving: not ready from now on")
            await asyncio.sleep(flags.shutdown_delay_duration)
            for task in running:
                task.cancel()

    def _followers(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs beside the port until the end: name and task."""
        flags = self.flags
        yield "sources", self.sources.run()
        if self.policy_watch is not None:
            yield "configuration", self.policy_watch.run()
        else:
            use = self.sources.reconfigure
            yield "configuration", policy_file.follow(flags.config, self.config, use, self.metrics)
        yield "trust files", self.trust.follow_files()
        if self.clients is not None and not flags.authentication_skip_lookup:
            yield (
                "trust",
                self.trust.follow_cluster(self.clients.authentication, self.clock, self.rng),
            )
        if flags.tls_cert_file:
            paths = (flags.tls_cert_file, flags.tls_private_key_file)
            yield "certificate", follow(paths, self._reread_certificate, "serving certificate")
        if self.managed is not None:
            yield "managed certificate", self.managed.run()
        yield "gauges", self._gauges()

    async def _reread_certificate(self) -> None:
        flags = self.flags
        self.serving.renew(
            await asyncio.to_thread(read_pair, flags.tls_cert_file, flags.tls_private_key_file)
        )

    async def _gauges(self) -> None:
        """Keep up what is a state and not an event, until cancelled."""
        while True:
            self.metrics.inflight(self.rim.most_under_way)
            self.rim.most_under_way = self.rim.under_way
            self.metrics.certificate_until(self.serving.pair.not_after.timestamp())
            self.metrics.trust_changed(self.trust.changed_at)
            for kind, reviews in self.reviews.items():
                counts = reviews.kept.counts
                self.metrics.reviews(kind, counts.hits, counts.shared, counts.asked, counts.failed)
            await asyncio.sleep(GAUGES_SECONDS)
