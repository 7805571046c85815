"""The table of contents: what a gateway is made of, in the order in which each part needs others.

``build`` constructs and does no network IO; ``Gateway.serve`` (``running``) opens the ports, runs
every task in one group, and drains. Nothing below this file reads the environment.
"""

from __future__ import annotations

import logging
import random
from collections.abc import MutableMapping
from functools import partial
from importlib.metadata import version
from uuid import UUID, uuid4

from gateway.config.flags import Flags
from gateway.datalayer.confidence import confidence
from gateway.datalayer.inflight import InFlight
from gateway.datalayer.kubernetes.discovery import KubernetesDiscovery
from gateway.datalayer.scrape import Scraper
from gateway.director import Director, Settings
from gateway.director.intent import UNREAD
from gateway.extproc.conduct import Conductor
from gateway.extproc.conduct import Director as AnyDirector
from gateway.extproc.session import Limits, Room
from gateway.extproc.streams import Streams
from gateway.extproc.warm import warm
from gateway.metrics import Metrics
from gateway.plugins.load import load
from gateway.prefix.exchange import Exchange
from gateway.publish import Signals, traffic
from gateway.running import Gateway
from gateway.scheduling.plugin_type import Settings as PluginSettings
from gateway.serving.discovering import WatchGauges, discovering
from gateway.serving.health import Health, Readiness
from gateway.serving.measured import MeasuredPolicy
from gateway.serving.pages import config_page, endpoints_page
from gateway.serving.place import Place
from gateway.serving.policy_file import PolicyFile
from gateway.serving.policy_given import Given, Refusal, fallback_of, given_by
from gateway.serving.policy_in_force import Loaded, PolicyInForce
from gateway.serving.pool_gauges import PoolGauges
from gateway.serving.scraping import scraping
from gateway.serving.secured import admin_tls, certificate, guard
from gateway.serving.traced import TracedDirector
from gateway.serving.transports import Hosted
from loadstar.arrays import not_kept
from loadstar.clock import Clock
from loadstar.telemetry.admin import admin_app
from loadstar.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

POOL_NAME = "epp"
"""The reference's name of a pool that was given none."""


def build(
    flags: Flags,
    environment: MutableMapping[str, str],
    clock: Clock,
    tracing: Tracing | None,
    place: Place | None = None,
) -> Gateway:
    """Every part, in the order in which each needs the others.

    Reads the configuration and the certificate, compiles kernels, opens nothing. Raises
    ConfigError or CertificateError.
    """
    rng = random.Random(flags.seed)
    metrics = Metrics()
    metrics.running_build(environment.get("LOADSTAR_COMMIT", "unknown"), version("loadstar"))

    # What is known of the model servers, and the policy that decides on it.
    place = Place() if place is None else place
    store = place.store
    scraper: Scraper | None = None
    plugin_settings = _plugin_settings(flags, place.exchange)

    def load_policy(text: bytes) -> Loaded:
        built = load(text, plugin_settings)
        return Loaded(built, scraping(built.data_layer, flags))

    def taken(given: Given, loaded: Loaded) -> None:
        if scraper is not None and (new := loaded.scraping) is not None:
            scraper.reconfigure(new.engines, new.source, new.pace, new.tls)
        metrics.reloaded("config", ok=True)
        place.policy_taken(given)

    def refused(_refusal: Refusal) -> None:
        metrics.reloaded("config", ok=False)

    given = given_by(flags) if place.given is None else place.given
    policy = PolicyInForce(
        given,
        load=load_policy,
        measured=lambda built: MeasuredPolicy(built, metrics, clock.now),
        store=store,
        taken=taken,
        refused=refused,
        clock=clock,
        fallback=fallback_of(flags, given.text),
    )
    place.policy_taken(policy.given)
    for notice in policy.built.notices:
        log.warning("configuration: %s", notice)
    if (how := policy.loaded.scraping) is not None:
        scraper = Scraper(
            store,
            how.engines,
            source=how.source,
            pace=how.pace,
            clock=clock,
            rng=random.Random(rng.random()),
            tls=how.tls,
            counts=metrics,
        )
    plugin = policy.built.data_layer.discovery
    discovery = discovering(plugin, flags, environment, clock, rng, metrics)

    # Who routes, and the stream that asks.
    director = Director(
        store=store,
        policy=policy.current,
        inflight=InFlight(lambda: store.columns),
        measures=metrics,
        clock=clock,
        rng=rng,
        settings=Settings(
            emit_scores=flags.emit_endpoint_scores,
            subset_filter=not flags.disable_endpoint_subset_filter,
        ),
    )
    asked: AnyDirector = director if tracing is None else TracedDirector(director, tracing)
    limits = Limits(
        max_body_bytes=flags.max_body_bytes,
        conformance_echo=flags.conformance_echo or policy.built.report_served,
    )
    room = Room(place.bodies_bytes or flags.max_body_bytes)
    warm(clock)
    if not_kept:
        log.warning("kernels are compiled at every start: NUMBA_CACHE_DIR can name a directory")
    streams = Streams(clock)
    readiness = Readiness(lambda: store.synced, place.served, lambda: store.missing)
    health = Health(readiness)
    hosted = Hosted(
        new_conductor=lambda: Conductor(
            asked, clock, limits, partial(request_id, rng), partial(metrics.refused, UNREAD), room
        ),
        streams=streams,
        clock=clock,
        watcher=metrics if flags.enable_grpc_stream_metrics else None,
        health=health if flags.health_checking else None,
    )

    # What others may see of it.
    if place.collects:
        metrics.add(PoolGauges(flags.pool_name or POOL_NAME, lambda: store.state, clock))
        if isinstance(discovery, KubernetesDiscovery):
            metrics.add(WatchGauges(discovery, clock))
    readers = guard(flags)
    log.info("metrics and debug pages: %s", readers)
    of_all = None if place.page is None else place.page(metrics)
    pool_namespace = flags.pool_namespace or environment.get("NAMESPACE", "") or "default"
    pool_name = flags.pool_name or POOL_NAME
    signals = Signals(
        publisher=uuid4().hex,  # not of the seed: another run must be another publisher
        pool=pool_name,
        started_at=0.0 if store.synced else clock.wall(),
        state=lambda: store.state,
        traffic=traffic(
            metrics, None if of_all is None else of_all.counted, pool_namespace, pool_name, clock
        ),
        clock=clock,
    )
    admin = admin_app(
        registry=metrics.registry if of_all is None else of_all.registry,
        why_not_ready=readiness.why_not,
        pages={
            "/configz": lambda: config_page(flags, policy),
            "/debug/endpoints": lambda: endpoints_page(store.state, clock.now()),
        },
        guard=readers,
        tasks=flags.enable_pprof,
    )
    return Gateway(
        flags=flags,
        clock=clock,
        metrics=metrics,
        store=store,
        discovery=discovery,
        scraper=scraper,
        policy=policy,
        policy_source=place.policy_source or PolicyFile(flags.config_file),
        certificate=certificate(
            flags, environment, clock, lambda ok: metrics.reloaded("certificate", ok=ok)
        ),
        admin=admin,
        admin_tls=admin_tls(flags, lambda ok: metrics.reloaded("metrics-certificate", ok=ok)),
        streams=streams,
        hosted=hosted,
        health=health,
        readiness=readiness,
        signals=signals,
        settle=director.settle,
    )


def request_id(rng: random.Random) -> str:
    """A random UUID (version 4), from the process's one source of chance."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def _plugin_settings(flags: Flags, exchange: Exchange | None) -> PluginSettings:
    staleness = flags.metrics_staleness_threshold
    return PluginSettings(
        confidence=lambda observed_at, now: confidence(observed_at, now, staleness),
        staleness=staleness,
        exchange=exchange,
    )
