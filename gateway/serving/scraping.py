"""What a configuration and the flags together say of scraping, as ``Scraper`` takes it.

Reads the files that a data source over TLS names. Called by ``main`` for every configuration, so
that one whose scraping cannot work is refused as a whole.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace

from gateway.config.data_sources import DataLayer, MetricsSource
from gateway.config.flags import Flags
from gateway.datalayer.extract.catalog import Engines, engines
from gateway.datalayer.scrape_plan import Pace, pace
from gateway.datalayer.scrape_tls import tls_context


@dataclass(frozen=True, slots=True, eq=False)
class Scraping:
    """How model servers' metrics pages are fetched and read."""

    engines: Engines
    source: MetricsSource
    pace: Pace
    tls: ssl.SSLContext | None


def scraping(data_layer: DataLayer, flags: Flags) -> Scraping | None:
    """None: nothing is scraped. Raises ConfigError."""
    readers = engines(data_layer.extractor)
    if data_layer.metrics is None:
        return None
    source = with_flags(data_layer.metrics, flags)
    if source.port is None and data_layer.discovery is not None:
        # Pods found through Kubernetes have it already, where it can be meant.
        source = replace(source, port=flags.model_server_metrics_port or None)
    return Scraping(
        engines=readers,
        source=source,
        pace=pace(
            flags.refresh_metrics_interval, flags.metrics_staleness_threshold, source.interval
        ),
        tls=tls_context(source),
    )


def with_flags(source: MetricsSource, flags: Flags) -> MetricsSource:
    """``source``, with the reference's older flags where it says nothing itself."""
    unsaid = MetricsSource()
    return replace(
        source,
        scheme=flags.model_server_metrics_scheme
        if source.scheme == unsaid.scheme
        else source.scheme,
        path=flags.model_server_metrics_path if source.path == unsaid.path else source.path,
        insecure_skip_verify=source.insecure_skip_verify
        and flags.model_server_metrics_https_insecure_skip_verify,
    )
