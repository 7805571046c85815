"""Where endpoints come from: the interface behind which a file and Kubernetes stand."""

from __future__ import annotations

from typing import Protocol

from gateway.datalayer.store import Datastore


class Discovery(Protocol):
    """Finds the pool's endpoints, objectives and rewrites and keeps the store in step with them."""

    async def load(self, store: Datastore) -> None:
        """Bring the store to the first complete state, where that can be had at once.

        Then ``store.synced`` is true; what another process has to say may come later. Raises
        ConfigError, naming the place, for what keeps the process from starting.
        """
        ...

    async def run(self, store: Datastore) -> None:
        """Keep the store in step until cancelled, loading first if nobody did.

        What goes wrong after the first load is logged and counted; the last good state stays.
        """
        ...


class ReloadCounts(Protocol):
    """Who counts: the gateway's metrics."""

    def reloaded(self, file: str, *, ok: bool) -> None:
        """``file`` (``endpoints``) changed, and was taken or refused."""
        ...


class NoReloadCounts:
    """Counts nothing."""

    def reloaded(self, file: str, *, ok: bool) -> None: ...
