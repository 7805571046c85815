"""Who sells which pool: a provider's name -> what reads and resizes its pools.

A further provider (EKS node groups, Karpenter, Cluster API) is one more file with a ``PoolApi``
and one more line here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from autoscaler.actuate.nodepool.driver import PoolApi
from autoscaler.actuate.providers.gke import GkePool, Google, cluster_of
from autoscaler.actuate.providers.local import LocalFleet, LocalPool
from autoscaler.errors import Denied, Invalid, ProviderError
from autoscaler.policy.pools import PoolPolicy
from loadstar.config.errors import did_you_mean

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(slots=True, kw_only=True)
class Providers:
    """Opens pools; connections are made at the first use and shared."""

    project: str = ""
    local: LocalFleet | None = None
    google: Google | None = None

    async def open(self, pool: PoolPolicy, empty_nodes: Callable[[], frozenset[str]]) -> PoolApi:
        """The API of ``pool``. Raises ProviderError."""
        if pool.provider not in PROVIDERS:
            hint = did_you_mean(pool.provider, PROVIDERS)
            raise Invalid(f"no provider {pool.provider!r}{hint}; there are {', '.join(PROVIDERS)}")
        return await PROVIDERS[pool.provider](self, pool, empty_nodes)

    def close(self) -> None:
        if self.google is not None:
            self.google.close()


async def _gke(
    providers: Providers, pool: PoolPolicy, empty_nodes: Callable[[], frozenset[str]]
) -> PoolApi:
    if providers.google is None:
        providers.google = await asyncio.to_thread(_default_google)
    cluster = cluster_of(pool.cluster, pool.location, providers.project)
    return GkePool(providers.google, cluster, pool.node_pool or pool.name, empty_nodes=empty_nodes)


def _default_google() -> Google:
    """With the identity of the environment: workload identity in a pod, else the user's."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        raise Denied(f"no Google credentials: {error}") from error
    return Google(credentials)


async def _local(
    providers: Providers, pool: PoolPolicy, empty_nodes: Callable[[], frozenset[str]]
) -> PoolApi:
    if providers.local is None:
        raise ProviderError("a local pool needs --local-fleet, the URL of a fleet")
    return LocalPool(providers.local, pool.node_pool or pool.name)


Opens = Callable[[Providers, PoolPolicy, Callable[[], frozenset[str]]], Awaitable[PoolApi]]
PROVIDERS: dict[str, Opens] = {"gke": _gke, "local": _local}
