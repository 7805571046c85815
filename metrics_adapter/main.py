"""The table of contents: what an adapter is made of, in the order in which each part needs others.

``build`` constructs and does no network IO; ``Adapter.serve`` (``running``) opens the port, runs
every task in one group, and drains. Nothing below reads the environment.
"""

from __future__ import annotations

import random
import secrets
from importlib.metadata import version

from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.kube.config_map import ConfigMapRef
from metrics_adapter import from_flags
from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.api.audit import Audit
from metrics_adapter.api.connections import Connections
from metrics_adapter.api.documents import Documents
from metrics_adapter.api.gate import Gate
from metrics_adapter.api.health import Health
from metrics_adapter.api.rim import Limits, Rim
from metrics_adapter.clients import Clients
from metrics_adapter.config import flags as defaults
from metrics_adapter.config.flags import Flags
from metrics_adapter.metrics import Metrics
from metrics_adapter.policy_watch import PolicyWatch
from metrics_adapter.running import Adapter
from metrics_adapter.security.authorize import AccessReviews, AlwaysAllowed, Authorizer
from metrics_adapter.security.serving import Serving
from metrics_adapter.security.token_reviews import TokenReviews
from metrics_adapter.security.trust import Trust, UnusableTrust
from metrics_adapter.security.trust_source import TrustSource
from metrics_adapter.sources.running import Sources
from metrics_adapter.store import Store


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
    policy_watch: PolicyWatch | None = None
    if flags.config_map and clients is not None:
        policy_watch = PolicyWatch(
            ConfigMapRef.parse(flags.config_map),
            clients.watch,
            config,
            sources.reconfigure,
            metrics,
            clock=clock,
            rng=random.Random(rng.random()),
        )

    # What is shown to callers, and whom to believe of what they say.
    serving = Serving(from_flags.first_pair(flags, clock), Trust(), from_flags.shape(flags))
    trust = TrustSource(
        client_ca_file=flags.client_ca_file,
        proxy_ca_file=flags.requestheader_client_ca_file,
        headers=from_flags.headers(flags),
        believe=serving.believe,
    )
    try:
        trust.load()
    except UnusableTrust as error:
        raise ConfigError.of("", str(error)) from error
    managed = from_flags.managed(flags, clients, clock, serving, metrics)
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
    if (watch := policy_watch) is not None:
        health.ready["configuration"] = lambda: "" if watch.looked else "the ConfigMap is not read"
    if managed is not None:
        health.ready["serving-certificate"] = lambda: (
            "" if managed.ready.is_set() else "no certificate that the API server would accept yet"
        )
    rim = Rim(
        documents=Documents(
            store.view, from_flags.served(flags), metrics.registry, version("loadstar")
        ),
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
        policy_watch=policy_watch,
        serving=serving,
        trust=trust,
        managed=managed,
        health=health,
        connections=connections,
        rim=rim,
        clients=clients,
        reviews=reviews,
    )
