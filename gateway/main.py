"""The table of contents: what a gateway is made of, in the order in which each part needs others.

``build`` constructs and does no network IO; ``Gateway.serve`` opens the ports, runs every task
in one group, and drains. Nothing below this file reads flags or the environment.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import ssl
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway.config.flags import Flags
from gateway.datalayer.confidence import confidence
from gateway.datalayer.discovery import Discovery
from gateway.datalayer.inflight import InFlight
from gateway.datalayer.kubernetes.discovery import KubernetesDiscovery
from gateway.datalayer.scrape import Scraper
from gateway.datalayer.store import Datastore
from gateway.director import Director, Settings
from gateway.director.intent import UNREAD
from gateway.extproc.conduct import Conductor
from gateway.extproc.conduct import Director as AnyDirector
from gateway.extproc.session import Limits
from gateway.extproc.streams import Streams
from gateway.extproc.warm import warm
from gateway.metrics import Metrics
from gateway.plugins.load import load
from gateway.prefix.exchange import Exchange
from gateway.publish import Signals, publishing, traffic
from gateway.scheduling.plugin_type import Settings as PluginSettings
from gateway.serving.credentials import CIPHERS_VARIABLE, ciphers, only_rsa
from gateway.serving.discovering import WatchGauges, discovering
from gateway.serving.drain import StopSignals, drained
from gateway.serving.health import Health, Readiness, health_server
from gateway.serving.listen import listen, serving, shown
from gateway.serving.measured import MeasuredPolicy
from gateway.serving.pages import config_page, endpoints_page
from gateway.serving.policy_file import PolicyFile
from gateway.serving.policy_given import Given, Refusal, fallback_of, given_by
from gateway.serving.policy_in_force import Loaded, PolicyInForce, PolicySource
from gateway.serving.pool_gauges import PoolGauges
from gateway.serving.scraping import scraping
from gateway.serving.settling import settling
from gateway.serving.traced import TracedDirector
from gateway.serving.transports import Hosted, transport
from loadstar import tls
from loadstar.arrays import not_kept
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.telemetry.admin import Guard, admin_app
from loadstar.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

POOL_NAME = "epp"
"""The reference's name of a pool that was given none."""
GC_THRESHOLD = 50_000
"""New containers before the youngest are collected. Requests leave no cycles behind, so a
collection finds nothing; but each open stream holds some, and at Python's own settings opening
5,000 of them stops the loop for 53 ms at once. With this, and with what was made at start frozen,
3 ms (measured)."""
CUT_OFF_SECONDS = 0.2
"""For the last answers to leave before open streams are cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is given to this process and not made by it. By default it is the only one."""

    store: Datastore = field(default_factory=Datastore)
    exchange: Exchange | None = None
    """Where prefix producers hear from other workers."""
    collects: bool = True
    """Whether the pool's gauges are this process's to show."""
    page: Callable[[CollectorRegistry], CollectorRegistry] = lambda own: own
    """What /metrics shows, given this process's own."""
    served: Callable[[], bool] = lambda: True
    """Whether somebody takes connections; without, health is NOT_SERVING."""
    given: Given | None = None
    """The configuration to begin with; None is what the command line or its file says."""
    policy_source: PolicySource | None = None
    """Where later ones come from; None is the file."""
    policy_taken: Callable[[Given], None] = lambda given: None
    """Hears of every configuration that is in force, the first included."""


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
    admin_tls: ssl.SSLContext | None
    streams: Streams
    hosted: Hosted
    health: Health
    readiness: Readiness
    signals: Signals
    settle: Callable[[float], None]
    """Gives back what answers that nobody follows should have given back by a time."""

    async def serve(self, signals: StopSignals) -> bool:
        """Serve until a signal, then drain. True if every stream ended by itself.

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
            log.info("stopping", extra={"streams_cut_off": self.streams.open})
            self.streams.closing = True
            await ext_proc.stop(0 if signals.again else CUT_OFF_SECONDS)
            await probes.stop(0)
            for task in followers:
                task.cancel()
        return clean

    def _followers(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs beside the servers until the end: name and task."""
        yield "discovery", self.discovery.run(self.store)
        yield "configuration", self.policy_source.run(self.policy)
        yield "settling", settling(self.settle, self.clock)
        if self.scraper is not None:
            yield "scraper", self.scraper.run()
        if self.certificate is not None and self.flags.enable_cert_reload:
            yield "certificate", self.certificate.run()


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

    policy = PolicyInForce(
        given_by(flags) if place.given is None else place.given,
        load=load_policy,
        measured=lambda built: MeasuredPolicy(built, metrics, clock.now),
        store=store,
        taken=taken,
        refused=refused,
        clock=clock,
        fallback=fallback_of(flags),
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
    warm(clock)
    if not_kept:
        log.warning("kernels are compiled at every start: NUMBA_CACHE_DIR can name a directory")
    streams = Streams(clock)
    readiness = Readiness(lambda: store.synced, place.served, lambda: store.missing)
    health = Health(readiness)
    hosted = Hosted(
        new_conductor=lambda: Conductor(
            asked, clock, limits, partial(request_id, rng), partial(metrics.refused, UNREAD)
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
    guard = _guard(flags)
    log.info("metrics and debug pages: %s", guard)
    page = place.page(metrics.registry)
    pool_namespace = flags.pool_namespace or environment.get("NAMESPACE", "") or "default"
    pool_name = flags.pool_name or POOL_NAME
    signals = Signals(
        publisher=uuid4().hex,  # not of the seed: another run must be another publisher
        pool=pool_name,
        started_at=0.0 if store.synced else clock.wall(),
        state=lambda: store.state,
        traffic=traffic(metrics, page, pool_namespace, pool_name, clock),
        clock=clock,
    )
    admin = admin_app(
        registry=page,
        why_not_ready=readiness.why_not,
        pages={
            "/configz": lambda: config_page(flags, policy),
            "/debug/endpoints": lambda: endpoints_page(store.state, clock.now()),
        },
        guard=guard,
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
        certificate=_certificate(flags, environment, clock, metrics),
        admin=admin,
        admin_tls=_admin_tls(flags),
        streams=streams,
        hosted=hosted,
        health=health,
        readiness=readiness,
        signals=signals,
        settle=director.settle,
    )


def settle() -> None:
    """Take what was made so far out of the garbage collector's sight, and let it look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


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


def _certificate(
    flags: Flags, environment: MutableMapping[str, str], clock: Clock, metrics: Metrics
) -> tls.ReloadingPair | None:
    """What the ext_proc port serves; None is plaintext. Raises CertificateError, ConfigError."""
    if not flags.secure_serving:
        return None
    if flags.cert_path:
        pair = tls.load(flags.cert_path)
    else:
        pair = tls.self_signed(clock.wall(), elliptic=not only_rsa(flags.tls_cipher_suites))
    try:
        suites = ciphers(flags.tls_min_version, flags.tls_cipher_suites, elliptic=pair.elliptic)
    except ValueError as error:
        raise ConfigError.of("--tls-cipher-suites", str(error)) from error
    if suites is not None:
        environment[CIPHERS_VARIABLE] = suites
    return tls.ReloadingPair(
        flags.cert_path,
        pair,
        lambda ok: metrics.reloaded("certificate", ok=ok),
        same_kind=suites is not None,
    )


def _guard(flags: Flags) -> Guard:
    by_certificate = bool(flags.metrics_client_ca_file)
    return Guard(
        open=not flags.metrics_endpoint_auth or by_certificate, token_file=flags.metrics_token_file
    )


def _admin_tls(flags: Flags) -> ssl.SSLContext | None:
    if not flags.metrics_cert_dir:
        return None
    context = tls.server_context(tls.load(flags.metrics_cert_dir))
    if flags.metrics_client_ca_file:
        tls.require_clients_of(context, flags.metrics_client_ca_file)
    return context
