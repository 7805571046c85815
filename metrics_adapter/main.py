"""The table of contents: what an adapter is made of, in the order in which each part needs others.

``build`` constructs and does no network IO; ``Adapter.serve`` opens the port, runs every task in
one group, and drains. Nothing below this file reads flags or the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from loadstar import tls
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials
from metrics_adapter import policy_file
from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.api.audit import Audit
from metrics_adapter.api.connections import Connections
from metrics_adapter.api.discovery import EVERY_API, Served
from metrics_adapter.api.documents import Documents
from metrics_adapter.api.gate import Gate
from metrics_adapter.api.health import Health
from metrics_adapter.api.listener import listening
from metrics_adapter.api.parse import CUSTOM_GROUP, EXTERNAL_GROUP
from metrics_adapter.api.rim import Limits, Rim
from metrics_adapter.config import flags as defaults
from metrics_adapter.config.flags import Flags
from metrics_adapter.memory import settle
from metrics_adapter.metrics import Metrics
from metrics_adapter.security.authorize import AccessReviews, AlwaysAllowed, Authorizer
from metrics_adapter.security.certificate_files import follow, read_pair
from metrics_adapter.security.managed import Managed, Names
from metrics_adapter.security.serving import Serving, openssl_names, shaped
from metrics_adapter.security.token_reviews import TokenReviews
from metrics_adapter.security.trust import ProxyHeaders, Trust, UnusableTrust
from metrics_adapter.security.trust_source import TrustSource
from metrics_adapter.sources.running import Sources
from metrics_adapter.store import Store

log = logging.getLogger(__name__)

GAUGES_SECONDS = 1.0
USER_AGENT = "loadstar-metrics-adapter"


@dataclass(frozen=True, slots=True)
class Clients:
    """The API server, as whom each kind of question is asked; None with --bare."""

    watch: KubeClient
    authentication: KubeClient
    authorization: KubeClient


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
        yield (
            "configuration",
            policy_file.follow(flags.config, self.config, self._reconfigure, self.metrics),
        )
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

    def _reconfigure(self, config: AdapterConfig) -> None:
        self.sources.reconfigure(config)

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


@contextlib.asynccontextmanager
async def clients(
    flags: Flags, environment: Mapping[str, str], clock: Clock
) -> AsyncIterator[Clients | None]:
    """The connections to the API server, open while inside. Raises ConfigError."""
    if flags.bare:
        yield None
        return
    async with contextlib.AsyncExitStack() as scope:
        opened: dict[str, KubeClient] = {}

        async def client(kubeconfig: str) -> KubeClient:
            if kubeconfig not in opened:
                made = KubeClient(
                    Credentials(kubeconfig, environment=environment), clock, user_agent=USER_AGENT
                )
                opened[kubeconfig] = await scope.enter_async_context(made)
                await made.connection()  # credentials that are no good are said at once
            return opened[kubeconfig]

        yield Clients(
            watch=await client(flags.kubeconfig),
            authentication=await client(flags.authentication_kubeconfig or flags.kubeconfig),
            authorization=await client(flags.authorization_kubeconfig or flags.kubeconfig),
        )


def build(
    flags: Flags,
    config: AdapterConfig,
    clients: Clients | None,
    clock: Clock,
    audit: Audit,
) -> Adapter:
    """Every part, in the order in which each needs the others.

    Reads certificates. Raises ConfigError or CertificateError.
    """
    rng = random.Random(secrets.randbits(64))
    metrics = Metrics()

    # What is known of pods and models.
    store = Store(config)
    sources = Sources(store, config, None if clients is None else clients.watch, clock, rng)

    # What is shown to callers, and whom to believe of what they say.
    serving = Serving(_first_pair(flags, clock), Trust(), _shape(flags))
    trust = TrustSource(
        client_ca_file=flags.client_ca_file,
        proxy_ca_file=flags.requestheader_client_ca_file,
        headers=_headers(flags),
        believe=serving.believe,
    )
    try:
        trust.load()
    except UnusableTrust as error:
        raise ConfigError.of("", str(error)) from error
    managed = _managed(flags, clients, clock, serving, metrics)
    connections = Connections()
    serving.on_trust(lambda: connections.close_idle(serving.trusts))

    # Who asks, and whether they may.
    tokens = None
    authorizer: Authorizer = AlwaysAllowed()
    reviews: dict[str, AccessReviews | TokenReviews] = {}
    if clients is not None:
        tokens = reviews["token"] = TokenReviews(
            clients.authentication,
            clock,
            key=secrets.token_bytes(32),
            seconds=flags.authentication_token_webhook_cache_ttl,
            audiences=flags.api_audiences,
            measure=metrics.reviewed,
        )
        authorizer = reviews["access"] = AccessReviews(
            clients.authorization,
            clock,
            paths=flags.authorization_always_allow_paths or defaults.HEALTH_PATHS,
            allow_seconds=flags.authorization_webhook_cache_authorized_ttl,
            deny_seconds=flags.authorization_webhook_cache_unauthorized_ttl,
            measure=metrics.reviewed,
        )
    gate = Gate(lambda: serving.trust, tokens, authorizer, metrics)

    # What they get.
    health = Health()
    if clients is not None and not flags.authentication_skip_lookup:
        tolerated = flags.authentication_tolerate_lookup_failure
        health.ready["informer-sync"] = lambda: (
            "" if trust.known.is_set() or tolerated else "the cluster's CAs are not known yet"
        )
    if sources.objects is not None:
        objects = sources.objects
        health.ready["pods"] = lambda: "" if objects.synced else "pods were not listed yet"
    if managed is not None:
        health.ready["serving-certificate"] = lambda: (
            "" if managed.ready.is_set() else "no certificate that the API server would accept yet"
        )
    rim = Rim(
        documents=Documents(store.view, _served(flags), metrics.registry, version("loadstar")),
        gate=gate,
        health=health,
        connections=connections,
        metrics=metrics,
        audit=audit,
        clock=clock,
        rng=rng,
        trusts=serving.trusts,
        limits=Limits(flags.max_requests_inflight, flags.request_timeout),
    )
    return Adapter(
        flags=flags,
        clock=clock,
        rng=rng,
        metrics=metrics,
        config=config,
        store=store,
        sources=sources,
        serving=serving,
        trust=trust,
        managed=managed,
        health=health,
        connections=connections,
        rim=rim,
        clients=clients,
        reviews=reviews,
    )


def _served(flags: Flags) -> Served:
    on = {
        CUSTOM_GROUP: flags.enable_custom_metrics_api,
        EXTERNAL_GROUP: flags.enable_external_metrics_api,
    }
    return {group: versions for group, versions in EVERY_API.items() if on[group]}


def _first_pair(flags: Flags, clock: Clock) -> tls.KeyPair:
    """What is shown until something better is known. Raises CertificateError."""
    if flags.tls_cert_file:
        return read_pair(flags.tls_cert_file, flags.tls_private_key_file)
    return tls.self_signed(clock.wall())


def _shape(flags: Flags) -> Callable[[ssl.SSLContext], None]:
    minimum = {
        "VersionTLS13": ssl.TLSVersion.TLSv1_3,
    }.get(flags.tls_min_version, ssl.TLSVersion.TLSv1_2)
    try:
        return shaped(minimum, openssl_names(flags.tls_cipher_suites))
    except ValueError as error:
        raise ConfigError.of("--tls-cipher-suites", str(error)) from error


def _headers(flags: Flags) -> ProxyHeaders:
    return ProxyHeaders(
        allowed_names=flags.requestheader_allowed_names,
        username=flags.requestheader_username_headers or defaults.USERNAME_HEADERS,
        group=flags.requestheader_group_headers or defaults.GROUP_HEADERS,
        extra_prefixes=flags.requestheader_extra_headers_prefix or defaults.EXTRA_PREFIXES,
        uid=flags.requestheader_uid_headers,
    )


def _managed(
    flags: Flags, clients: Clients | None, clock: Clock, serving: Serving, metrics: Metrics
) -> Managed | None:
    if flags.managed_certificate_secret is None or flags.service is None or clients is None:
        return None
    names = Names(
        secret=flags.managed_certificate_secret,
        service=flags.service,
        api_services=tuple(
            f"{version}.{group}"
            for group, versions in _served(flags).items()
            for version in versions
        ),
    )

    def serve(pair: tls.KeyPair) -> None:
        serving.renew(pair)
        metrics.reloaded("certificate", ok=True)

    return Managed(
        clients.watch,
        clock,
        names,
        authority_seconds=flags.managed_ca_lifetime,
        certificate_seconds=flags.managed_certificate_lifetime,
        serve=serve,
    )
