"""Carries decisions out while we lead: one task a pool and one a workload, each at its own pace.

A pool whose provider hangs delays only itself. The tasks read what is wanted now, not what was
wanted when they began to wait; every write of theirs passes the gate.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial

from autoscaler.actuate.circuit_book import CircuitBook
from autoscaler.actuate.cordons import Cordons
from autoscaler.actuate.gate import Call, Gate
from autoscaler.actuate.nodepool.driver import PoolDriver
from autoscaler.actuate.nodepool.learn import Patience
from autoscaler.actuate.nodepool.state import PoolState
from autoscaler.actuate.providers.catalog import Providers
from autoscaler.actuate.rungs import ladder
from autoscaler.actuate.rungs.documents import BUFFERS, BUFFERS_ALPHA
from autoscaler.actuate.rungs.driver import RoomDriver
from autoscaler.actuate.rungs.probe import served
from autoscaler.actuate.workload.driver import WorkloadDriver
from autoscaler.actuate.workload.plan import Written
from autoscaler.controllers.kube_calls import Kube
from autoscaler.controllers.pool_ticks import PoolTicks
from autoscaler.controllers.report import Report
from autoscaler.controllers.wanted import TargetKey, about_pool, standing_on
from autoscaler.controllers.workload_ticks import cluster_tick, local_tick
from autoscaler.errors import NotWritten, ProviderError
from autoscaler.observe.observation import PoolSupply
from autoscaler.observe.replica_loads import Replica
from autoscaler.policy.model import Policy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.clock import Clock
from loadstar.kube.errors import ApiError
from loadstar.kube.objects import ObjectRef

log = logging.getLogger(__name__)

TICK_TIMEOUT_S = 60.0
"""Of one look at one pool or workload: a handful of calls of some seconds each."""
ROOMS = (
    PoolMode.BUFFER,
    PoolMode.COMPUTE_CLASS,
    PoolMode.PLACEHOLDER,
    PoolMode.PROVISIONING_REQUEST,
)


class Acting:
    """``units``, ``targets`` and ``supply`` are set by the loop; ``run`` carries them out."""

    def __init__(
        self,
        *,
        gate: Gate,
        providers: Providers,
        kube: Kube | None,
        report: Report,
        clock: Clock,
        rng: random.Random,
        empty_nodes: Callable[[PoolPolicy], frozenset[str]],
        cordoned_nodes: Callable[[PoolPolicy], frozenset[str] | None] = lambda _pool: frozenset(),
        replicas: Callable[[TargetKey], tuple[Replica, ...]] | None = None,
    ) -> None:
        """``replicas`` gives a workload's pods and how busy they are, where that is known."""
        self.units: dict[str, int] = {}
        self.targets: dict[TargetKey, int] = {}
        self.supply: dict[str, PoolSupply] = {}
        """By pool, of all models together."""
        self.circuits = CircuitBook()
        self._gate = gate
        self._providers = providers
        self._kube = kube
        self._report = report
        self._clock = clock
        self._rng = rng
        self._empty_nodes = empty_nodes
        self._cordoned_nodes = cordoned_nodes
        self._pools: dict[tuple[str, ...], PoolState] = {}
        """What is known of a node pool, by its place; a new policy does not make it new."""
        self._written: dict[TargetKey, Written] = {}
        self._replicas = replicas

    async def run(self, policy: Policy) -> None:
        """Act on ``policy`` until cancelled."""
        self.circuits.begin()
        rungs = await self._served(policy)
        async with asyncio.TaskGroup() as tasks:
            for pool in policy.pools:
                loop = self._pool_loop(policy, pool, rungs)
                tasks.create_task(loop, name=f"pool {pool.name}")
            running: set[TargetKey] = set()
            while True:
                for key in list(self.targets):
                    if key not in running:
                        running.add(key)
                        workload = self._workload_loop(policy, key)
                        tasks.create_task(workload, name=f"workload {key.target.name}")
                await asyncio.sleep(1.0)

    async def _served(self, policy: Policy) -> frozenset[str]:
        """Of the APIs that rungs need, those that this cluster has."""
        if self._kube is None or not any(pool.mode in ladder.NEEDS for pool in policy.pools):
            return frozenset()
        return await served(self._kube, ladder.probes())

    async def _pool_loop(self, policy: Policy, pool: PoolPolicy, served: frozenset[str]) -> None:
        mode = ladder.rung(pool.mode, served)
        if mode is not pool.mode:
            text = f"pool {pool.name}: {pool.mode.value} is not served here; {mode.value} is used"
            log.warning(text)
        if mode in ROOMS:
            tick = self._room_tick(policy, pool, mode, served)
        elif mode in (PoolMode.SET_SIZE, PoolMode.FLOOR, PoolMode.LOCAL):
            tick = self._node_tick(policy, pool)
        else:
            return
        await self._forever(policy, f"pool {pool.name}", tick)

    def _pool_ticks(self, pool: PoolPolicy) -> PoolTicks:
        return PoolTicks(
            pool=pool,
            wanted=lambda: self.units.get(pool.name),
            supply=lambda: self.supply.get(pool.name),
            gate=self._gate,
            circuits=self.circuits,
            report=self._report,
            clock=self._clock,
        )

    def _node_tick(self, policy: Policy, pool: PoolPolicy) -> Callable[[], Awaitable[None]]:
        place = (pool.provider, pool.cluster, pool.location, pool.node_pool or pool.name)

        async def opened() -> PoolDriver:
            return PoolDriver(
                pool,
                await self._providers.open(pool, lambda: self._empty_nodes(pool)),
                self._gate,
                rng=self._rng,
                patience=Patience.of(pool, policy.safety.override_hold_s),
                cordons=self._cordons(pool),
                known=self._pools.get(place),
            )

        keep = partial(self._pools.__setitem__, place)
        return self._pool_ticks(pool).nodes(opened, keep, about_pool(policy, pool.name))

    def _cordons(self, pool: PoolPolicy) -> Cordons | None:
        if self._kube is None:
            return None
        return Cordons(self._kube, self._gate, partial(self._cordoned_nodes, pool))

    def _room_tick(
        self, policy: Policy, pool: PoolPolicy, mode: PoolMode, served: frozenset[str]
    ) -> Callable[[], Awaitable[None]]:
        target, namespace = standing_on(policy, pool.name)
        if target is None or self._kube is None:
            log.warning("pool %s: no workload to keep room for: name a target", pool.name)
            return _nothing
        alpha = ladder.CAPACITY_BUFFER not in served
        driver = RoomDriver(
            pool,
            mode,
            target,
            namespace,
            self._kube,
            self._gate,
            buffers=BUFFERS_ALPHA if alpha else BUFFERS,
        )
        return self._pool_ticks(pool).room(driver)

    async def _workload_loop(self, policy: Policy, key: TargetKey) -> None:
        local = self._providers.local

        def wanted() -> int | None:
            return self.targets.get(key)

        if self._kube is not None:
            driver = WorkloadDriver(
                key.target,
                key.namespace,
                self._kube,
                self._gate,
                override_s=policy.safety.override_hold_s,
                replicas=None if self._replicas is None else partial(self._replicas, key),
                known=self._written.get(key),
            )
            about = ObjectRef("apps/v1", key.target.kind, key.target.name, key.id[1])
            keep = partial(self._written.__setitem__, key)
            tick = cluster_tick(driver, about, wanted, keep, self._report, self._clock)
        elif local is not None:
            tick = local_tick(local, self._gate, key.target.name, wanted)
        else:
            return
        await self._forever(policy, f"workload {key.target.name}", tick)

    async def _forever(
        self, policy: Policy, part: str, tick: Callable[[], Awaitable[None]]
    ) -> None:
        said: Call | None = None
        while True:
            try:
                async with asyncio.timeout(TICK_TIMEOUT_S):
                    await tick()
            except NotWritten as error:
                said = self._kept_back(error, said)
            except (ProviderError, ApiError, TimeoutError) as error:
                self._report.failed(part, error)
            except Exception as error:  # one pool's surprise must not stop the others
                log.exception("%s failed", part)
                self._report.failed(part, error)
            await asyncio.sleep(policy.period_s * self._rng.uniform(0.95, 1.05))

    def _kept_back(self, error: NotWritten, said: Call | None) -> Call | None:
        """Tell, once for each different call, what would have been written."""
        if not self._gate.kept_back:
            return said
        call, why = self._gate.kept_back[-1]
        if call != said:
            log.info("not written: %s", error, extra={"call": call.method, "target": call.target})
            self._report.wrote(call, self._clock.wall(), outcome=f"kept back: {why}")
        return call


async def _nothing() -> None:
    return
