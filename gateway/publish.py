"""What this gateway tells of load: its endpoints and its own traffic, as SignalFeed snapshots.

Traffic is read off the counters that Prometheus sees, so that the two cannot disagree, and with
several workers it is the sum over them, dead ones included. Called by ``main`` and the collector
once a second, and only while somebody subscribes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from gateway.config.flags import Flags
from gateway.datalayer.state import Endpoint, PoolState
from gateway.metrics import Metrics
from gateway.metrics.families import GatewayFamilies
from gateway.serving.listen import CannotListen
from gateway.traffic import own_loads
from loadstar import tls
from loadstar.clock import Clock
from loadstar.feed.publish import CannotPublish, Publisher
from loadstar.signals.model import OWN, SCRAPED, EndpointLoad, PoolLoad, Snapshot
from loadstar.tls_grpc import credentials

Traffic: TypeAlias = Callable[[], Awaitable[tuple[PoolLoad, ...]]]

_RANK: Final = re.compile(r"-rank-\d+$")
SHORTEST_INTERVAL_S: Final = 0.05
BUSY_SHARE: Final = 0.05
"""Of a core, at most, for adding up what several workers count."""


def traffic(
    metrics: Metrics,
    of_all: Callable[[], GatewayFamilies] | None,
    namespace: str,
    pool: str,
    clock: Clock,
) -> Traffic:
    """Of this process alone, or ``of_all`` whose counts that adds up."""
    if of_all is not None:
        return MergedTraffic(of_all, namespace, pool, clock)

    async def own() -> tuple[PoolLoad, ...]:
        return own_loads(metrics.families, namespace, pool)

    return own


class MergedTraffic:
    """What the counts of several workers come to, asked for no more often than it is cheap."""

    def __init__(
        self, counted: Callable[[], GatewayFamilies], namespace: str, pool: str, clock: Clock
    ) -> None:
        self._counted = counted
        self._namespace = namespace
        self._pool = pool
        self._clock = clock
        self._loads: tuple[PoolLoad, ...] = ()
        self._again_at = -float("inf")

    async def __call__(self) -> tuple[PoolLoad, ...]:
        began = self._clock.now()
        if began >= self._again_at:
            # In a thread: it waits for each of them.
            self._loads = await asyncio.to_thread(
                lambda: own_loads(self._counted(), self._namespace, self._pool)
            )
            now = self._clock.now()
            self._again_at = now + (now - began) / BUSY_SHARE
        return self._loads


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Makes snapshots."""

    publisher: str
    """Names this run of this process."""
    pool: str
    started_at: float
    """Unix seconds; 0 where the counters go on from another run's."""
    state: Callable[[], PoolState]
    traffic: Traffic
    clock: Clock

    async def snapshot(self) -> Snapshot:
        """All that is known now."""
        pools = await self.traffic()
        now, wall = self.clock.now(), self.clock.wall()
        return Snapshot(
            publisher=self.publisher,
            started_at=self.started_at,
            observed_at=wall,
            endpoints=endpoint_loads(self.state(), self.pool, wall - now),
            pools=pools,
        )


def endpoint_loads(state: PoolState, pool: str, to_wall: float) -> tuple[EndpointLoad, ...]:
    """What the columns say of each endpoint; ``to_wall`` makes Unix seconds of the clock's."""
    columns = state.columns
    loads = []
    for endpoint in state.endpoints:
        slot = endpoint.slot
        observed = float(columns.observed_at[slot])
        known = observed > -np.inf
        scraped = {
            name: _known(getattr(columns, name)[slot]) if known else None for name in SCRAPED
        }
        own = {name: float(getattr(columns, name)[slot]) for name in OWN}
        loads.append(
            EndpointLoad(
                namespace=endpoint.namespace,
                name=pod_name(endpoint),
                uid=endpoint.uid,
                port=endpoint.port,
                pool=pool,
                observed_at=observed + to_wall if known else None,
                **scraped,
                **own,
            )
        )
    return tuple(loads)


def pod_name(endpoint: Endpoint) -> str:
    """The pod's: one with several ports is several endpoints, each with its rank."""
    return _RANK.sub("", endpoint.name) if endpoint.uid else endpoint.name


def _known(value: Any) -> float | None:
    number = float(value)
    return None if np.isnan(number) else number


@contextlib.asynccontextmanager
async def publishing(
    flags: Flags, signals: Signals, certificate: tls.ReloadingPair | None
) -> AsyncIterator[int | None]:
    """Serve SignalFeed while inside; gives its port, None without one. Raises CannotListen."""
    if flags.signals_port is None:
        yield None
        return
    publisher = Publisher(
        signals.snapshot,
        token=lambda: _token(flags.signals_token_file),
        every_seconds=max(flags.signals_interval, SHORTEST_INTERVAL_S),
    )
    served = None
    if certificate is not None:
        served = credentials(lambda: certificate.current, reloads=flags.enable_cert_reload)
    try:
        port = await publisher.start(flags.bind_address, flags.signals_port, served)
    except CannotPublish as error:
        raise CannotListen(
            "signals-port", flags.bind_address, flags.signals_port, "already in use, or not allowed"
        ) from error
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(publisher.run(), name="signals")
        try:
            yield port
        finally:
            running.cancel()
            await publisher.stop()


def _token(path: str) -> str:
    """Read at each subscription, so that it can be replaced; one that is gone opens nothing."""
    if not path:
        return ""
    try:
        return Path(path).read_text().strip() or _NOBODYS
    except OSError:
        return _NOBODYS


_NOBODYS: Final = "\0"
"""A token that no header can carry."""
