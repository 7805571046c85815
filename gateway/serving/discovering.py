"""Which discovery the configuration and the command line ask for: a file, or Kubernetes.

A ``file-discovery`` plugin goes before the flags: a picker that is given its endpoints needs no
cluster, and ``--pool-name`` is then only what metrics call the pool. Called by ``main``.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from gateway.config.data_sources import FileDiscovery as FilePlugin
from gateway.config.flags import Flags
from gateway.datalayer.discovery import Discovery, ReloadCounts
from gateway.datalayer.file_discovery import FileDiscovery
from gateway.datalayer.kubernetes.discovery import KubernetesDiscovery
from gateway.datalayer.kubernetes.wanted import asked_for, wanted
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.kube.credentials import Credentials

CONNECTED = "loadstar_gateway_watch_connected"
HEARD_AGE = "loadstar_gateway_watch_heard_age_seconds"

log = logging.getLogger(__name__)


def discovering(
    plugin: FilePlugin | None,
    flags: Flags,
    environment: Mapping[str, str],
    clock: Clock,
    rng: random.Random,
    counts: ReloadCounts,
) -> Discovery:
    """The one discovery. Raises ConfigError if none is asked for."""
    if plugin is not None:
        if flags.endpoint_selector:
            log.warning("--endpoint-selector has no effect: dataLayer.discovery names a file")
        return FileDiscovery(plugin.path, watch=plugin.watch_file, counts=counts)
    if not asked_for(flags):
        raise ConfigError.of(
            "dataLayer.discovery",
            "there is none: give --pool-name or --endpoint-selector to find endpoints through "
            "Kubernetes, or name a file-discovery plugin",
        )
    return KubernetesDiscovery(
        Credentials(flags.kubeconfig, environment=environment),
        lambda namespace: wanted(flags, environment, namespace),
        clock=clock,
        rng=random.Random(rng.random()),
    )


class WatchGauges:
    """Collector: whether what is known of the cluster is up to date, and how old it is if not."""

    def __init__(self, discovery: KubernetesDiscovery, clock: Clock) -> None:
        self._discovery = discovery
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            CONNECTED, "1 while a kind is followed; 0: as last known.", labels=["resource"]
        )
        age = GaugeMetricFamily(
            HEARD_AGE,
            "Since the API server last said something of a kind; quiet ones say so each minute.",
            labels=["resource"],
            unit="seconds",
        )
        now = self._clock.now()
        for watch in self._discovery.watches():
            connected.add_metric([watch.resource], float(watch.connected))
            if watch.heard_at > float("-inf"):
                age.add_metric([watch.resource], now - watch.heard_at)
        yield connected
        yield age
