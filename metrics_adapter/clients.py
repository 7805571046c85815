"""The connections to the API server, as whom each kind of question is asked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from loadstar.clock import Clock
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials
from metrics_adapter.config.flags import Flags

USER_AGENT = "loadstar-metrics-adapter"


@dataclass(frozen=True, slots=True)
class Clients:
    """The API server, as whom each kind of question is asked; None with --bare."""

    watch: KubeClient
    authentication: KubeClient
    authorization: KubeClient


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
