"""``--pool-name`` and ``--endpoint-selector``: the pool's endpoints from the Kubernetes API. IO.

``load`` only makes sure that there is something to call: a picker starts, and says NOT_SERVING,
where the API server or the pool is not there yet. ``run`` does the rest, through ``follow``.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator

from gateway.datalayer.kubernetes.follow import Following, WatchState
from gateway.datalayer.kubernetes.wanted import Wanted
from gateway.datalayer.store import Datastore
from loadstar.clock import Clock
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials

USER_AGENT = "loadstar-gateway"

log = logging.getLogger(__name__)


class KubernetesDiscovery:
    """Fills the store with what the API server says, and follows that."""

    def __init__(
        self,
        credentials: Credentials,
        wanted: Callable[[str], Wanted],
        *,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """``wanted`` says what to follow, given the namespace that the credentials are in."""
        self._credentials = credentials
        self._wants = wanted
        self._clock = clock
        self._rng = rng
        self._wanted: Wanted | None = None
        self._following: Following | None = None

    def watches(self) -> Iterator[WatchState]:
        """How each collection is followed; none before ``run``."""
        if self._following is not None:
            yield from self._following.watches()

    async def load(self, store: Datastore) -> None:
        """Read the credentials. Raises ConfigError; waits for no server."""
        connection = await self._credentials.load()
        self._wanted = self._wants(connection.namespace)
        log.info("following %s at %s", self._wanted, connection.server)

    async def run(self, store: Datastore) -> None:
        """Keep the store in step until cancelled."""
        if self._wanted is None:
            await self.load(store)
        assert self._wanted is not None
        async with KubeClient(self._credentials, self._clock, user_agent=USER_AGENT) as kube:
            self._following = Following(kube, self._wanted, store, self._clock, self._rng)
            await self._following.run()
