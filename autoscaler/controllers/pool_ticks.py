"""One look at one pool, at its nodes or at the room kept in it, towards the units wanted now.

Each is called again and again by the task that ``acting`` keeps for the pool.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from autoscaler.actuate.circuit_book import CircuitBook
from autoscaler.actuate.gate import Gate
from autoscaler.actuate.nodepool.delivery import delivery_s
from autoscaler.actuate.nodepool.driver import PoolDriver
from autoscaler.actuate.nodepool.state import PoolState
from autoscaler.actuate.rungs.driver import RoomDriver
from autoscaler.controllers.report import Report
from autoscaler.errors import ProviderError
from autoscaler.observe.observation import PoolSupply
from autoscaler.policy.pools import PoolPolicy
from loadstar.clock import Clock
from loadstar.kube.objects import ObjectRef

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTicks:
    """The looks at ``pool``; what they find is noted in ``circuits`` and told to ``report``."""

    pool: PoolPolicy
    wanted: Callable[[], int | None]
    """Units; None while no decision speaks of the pool."""
    supply: Callable[[], PoolSupply | None]
    """Of all models together; None while it is not known."""
    gate: Gate
    circuits: CircuitBook
    report: Report
    clock: Clock

    def nodes(
        self,
        opened: Callable[[], Awaitable[PoolDriver]],
        keep: Callable[[PoolState], None],
        about: ObjectRef | None,
    ) -> Callable[[], Awaitable[None]]:
        """Of a pool whose nodes we order.

        ``opened`` is asked once, when units are first wanted; ``keep`` is told what the driver
        knows after each look. Events are told on ``about``.
        """
        pool = self.pool
        driver: PoolDriver | None = None

        async def tick() -> None:
            nonlocal driver
            if self.wanted() is None:
                return
            if driver is None:
                driver = await opened()
            now_s, units = self.clock.now(), self.wanted()
            if units is None:  # taken back while it was being opened
                return
            try:
                done = await driver.tick(units, now_s)
            except ProviderError:
                self._waits(units, now_s)
                raise
            finally:
                keep(driver.state)
            self._waits(units if driver.is_stuck(done) else 0, now_s)
            self.report.pool(pool.name, done, self.clock.wall(), about)
            self.circuits.note(
                pool.name,
                is_open=driver.stocked_out(now_s),
                quota_units=driver.quota_units(now_s),
                now_s=now_s,
            )

        return tick

    def _waits(self, asked: int, now_s: float) -> None:
        """So many units are wanted and nothing moves: as ever, where we only advise."""
        seen = self.supply()
        if seen is not None and self.gate.acts:
            self.circuits.waits(
                self.pool.name,
                asked=asked,
                ready=seen.units_ready,
                now_s=now_s,
                delivery_s=delivery_s(self.pool),
            )

    def room(self, driver: RoomDriver) -> Callable[[], Awaitable[None]]:
        """Of a pool whose nodes the cluster brings, for room that we keep in it."""
        name = self.pool.name

        async def tick() -> None:
            units = self.wanted()
            if units is None:
                return
            now_s = self.clock.now()
            seen = self.supply() or PoolSupply(replicas_ready=0)
            room = await driver.tick(units, seen.replicas_ready + seen.replicas_starting, now_s)
            if room.written:
                log.info("room kept", extra={"pool": name, "written": list(room.written)})
            for warning in filter(None, (room.refused, room.lesser)):
                log.warning(warning, extra={"pool": name})
            self.circuits.waits(
                name,
                asked=units,
                ready=seen.units_ready,
                now_s=now_s,
                failed=bool(room.refused),
                delivery_s=delivery_s(self.pool),
            )

        return tick
