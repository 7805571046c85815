"""The loop: every period, for each model, observe, decide, record, and say what is wanted.

It trusts no event and re-reads everything; it does not decide while what it would look at is not
known. Acting is elsewhere and has its own pace. Every process runs this; only the leader's writes
pass the gate, so that another is warm when it takes over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from autoscaler.controllers.acting import Acting
from autoscaler.controllers.deciding import Deciding
from autoscaler.controllers.history_store import HistoryStore
from autoscaler.controllers.policy_in_force import InForce, PolicyInForce
from autoscaler.controllers.report import Report
from autoscaler.controllers.wanted import TargetKey, about, cost_per_hour, targets, units
from autoscaler.ledger.entries import Decided
from autoscaler.ledger.files import LedgerFiles
from autoscaler.ledger.starts import start
from autoscaler.observe.history import History
from autoscaler.observe.lead_times import LeadTimes
from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.observe.recall import Past
from autoscaler.policy.model import Mode, ModelPolicy
from autoscaler.policy.pools import PoolPolicy
from autoscaler.sizing.decision import Decision
from loadstar.aio.alarm import Alarm
from loadstar.clock import Clock

log = logging.getLogger(__name__)

KEEP_S = 300.0
"""How often histories go to the disk; no more than this is forgotten by a crash."""


class Sees(Protocol):
    """What there is to see."""

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        """What came in lately for ``model``."""
        ...

    async def supply(
        self, model: ModelPolicy, pools: tuple[PoolPolicy, ...]
    ) -> Mapping[str, PoolSupply] | None:
        """What it has; None while that is not known."""
        ...


def _nobody(_targets: Mapping[TargetKey, int], _decisions: Mapping[str, Decision]) -> None:
    return


class Loop:
    """Runs until cancelled; ``wake`` cuts the wait for the next period short."""

    def __init__(
        self,
        *,
        force: PolicyInForce,
        sees: Sees,
        acting: Acting,
        report: Report,
        store: HistoryStore,
        lead_times: LeadTimes,
        ledger: Path | None,
        clock: Clock,
        leads: Callable[[], bool],
        told: Callable[[Mapping[TargetKey, int], Mapping[str, Decision]], None] = _nobody,
    ) -> None:
        """``told`` hears what is wanted, after each tick."""
        self._force = force
        self._sees = sees
        self._acting = acting
        self._report = report
        self._store = store
        self._lead_times = lead_times
        self._ledger = None if ledger is None else LedgerFiles(ledger)
        self._clock = clock
        self._leads = leads
        self._told = told
        self._alarm = Alarm()
        self._deciding: Deciding | None = None
        self._number = 0
        self._recalled: dict[str, Past] = {}
        self._kept_at_s = clock.now()
        self.ticked_at_s: float | None = None

    def wake(self) -> None:
        """Look now."""
        self._alarm.ring()

    def history(self, model: str) -> History | None:
        """What is known of ``model``, to read at once; None before it is decided for."""
        return None if self._deciding is None else self._deciding.histories().get(model)

    def recall(self, model: str, past: Past) -> None:
        """Fill what is not known of ``model`` from ``past``: begins all models again, warm."""
        self._recalled[model] = past
        self._number = 0
        self.wake()

    async def run(self) -> None:
        """Until cancelled; what is known then is kept."""
        try:
            while True:
                began = self._clock.now()
                await self._safely("loop", self.tick)
                force = self._force.current
                period_s = 1.0 if force is None else force.policy.period_s
                await self._alarm.sleep(max(0.0, began + period_s - self._clock.now()))
        finally:
            await self.close()

    async def close(self) -> None:
        """Keep what is known, and end the ledger."""
        await asyncio.to_thread(self._store.keep, self._documents(), self._lead_times)
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.__exit__, None, None, None)

    async def tick(self) -> None:
        """One period."""
        force = self._force.current
        if force is None:
            return
        if self._number != force.number or (self._ledger is not None and self._ledger.is_full):
            await self._begin(force)
        seen: dict[str, Observation] = {}
        wall_s = self._clock.wall()
        for model in force.policy.models:
            look = partial(self._look, force, model, wall_s, seen)
            await self._safely(f"model {model.name}", look)
        decisions = await self._decided(seen) if seen else {}
        policy = force.policy
        wanted = units(policy, decisions)
        # Under off nothing is wanted: what was before it must not be there when it ends.
        off = self._force.mode is Mode.OFF
        self._acting.units = {} if off else wanted
        self._acting.targets = {} if off else targets(policy, decisions)
        self._acting.supply = {} if off else _together(seen.values())
        self._told(targets(policy, decisions), decisions)
        for name, count in wanted.items():
            self._report.metrics.pool_units.labels(name, "wanted").set(count)
        cost = cost_per_hour(policy, wanted)
        self._report.state(self._force, leads=self._leads(), cost=cost)
        self._report.lead_times(self._lead_times.known())
        self.ticked_at_s = self._clock.now()
        await self._write_down()

    async def _begin(self, force: InForce) -> None:
        """A new policy, or a new segment of the ledger: every model begins again, warm."""
        at_s = self._clock.wall()
        known = self._deciding.histories() if self._deciding else {}
        histories: dict[str, History] = {}
        for model in force.policy.models:
            found = known.get(model.name)
            if found is None:
                found = await asyncio.to_thread(self._store.history, model.name)
            past = self._recalled.pop(model.name, None)
            histories[model.name] = found if past is None else found.filled(past.first, past.rows)
        if self._deciding is None:
            line = start(at_s, force.text, histories, ())
        else:
            line = await asyncio.to_thread(self._deciding.again, at_s, force.text, histories)
        self._deciding = await asyncio.to_thread(Deciding, line)
        self._number = force.number
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.begin, at_s, [line])

    async def _look(
        self, force: InForce, model: ModelPolicy, wall_s: float, seen: dict[str, Observation]
    ) -> None:
        """Put what there is to see of ``model`` into ``seen``, where that is known."""
        pools = tuple(pool for _, pool in force.policy.variants(model))
        supply = await self._sees.supply(model, pools)
        if supply is None:
            log.info("supply is not known: no decision", extra={"model": model.name})
            return
        now_s = self._clock.now()
        seen[model.name] = Observation(
            now_s=wall_s,
            model=model.name,
            demand=self._sees.demand(model, wall_s),
            supply={name: self._heeded(name, each, now_s) for name, each in supply.items()},
        )

    async def _decided(self, seen: dict[str, Observation]) -> dict[str, Decision]:
        assert self._deciding is not None
        began_s = self._clock.now()
        decisions = await self._deciding.decide(seen)
        took_s = (self._clock.now() - began_s) / len(seen)
        force = self._force.current
        for name, decision in decisions.items():
            decided = Decided(
                at_s=seen[name].now_s,
                seen=seen[name],
                decision=decision,
                mode=self._force.mode.value,
                leads=self._leads(),
            )
            told_on = None if force is None else about(force.policy.model(name))
            self._report.decided(decided, told_on, took_s)
        return decisions

    def _heeded(self, pool: str, supply: PoolSupply, now_s: float) -> PoolSupply:
        """``supply`` with what acting has found out about the pool."""
        circuits = self._acting.circuits
        return PoolSupply(
            replicas_ready=supply.replicas_ready,
            replicas_starting=supply.replicas_starting,
            replicas_draining=supply.replicas_draining,
            units_ready=supply.units_ready,
            units_starting=supply.units_starting,
            utilization=supply.utilization,
            kv_cache_used=supply.kv_cache_used,
            quota_units=circuits.quota_units(pool, now_s),
            stockout=circuits.is_open(pool, now_s),
        )

    async def _write_down(self) -> None:
        entries, self._report.entries = self._report.entries, []
        if self._ledger is not None and entries:
            try:
                await asyncio.to_thread(self._ledger.append, entries)
            except (OSError, ValueError) as error:
                self._report.metrics.ledger_errors.labels().inc(len(entries))
                log.error("the ledger cannot be written: %s", error)
        if self._clock.now() - self._kept_at_s >= KEEP_S:
            self._kept_at_s = self._clock.now()
            documents = self._documents()
            await asyncio.to_thread(self._store.keep, documents, self._lead_times)

    def _documents(self) -> dict[str, dict[str, object]]:
        if self._deciding is None:
            return {}
        return {name: each.to_document() for name, each in self._deciding.histories().items()}

    async def _safely(self, part: str, run: Callable[[], Awaitable[None]]) -> None:
        """One part's failure is told, and the others go on."""
        try:
            await run()
        except Exception as error:
            log.exception("%s failed", part)
            self._report.failed(part, error)


def _together(seen: Iterable[Observation]) -> dict[str, PoolSupply]:
    """Pools that models share: their replicas add up, the units are the same ones."""
    found: dict[str, PoolSupply] = {}
    for observation in seen:
        for name, each in observation.supply.items():
            before = found.get(name, PoolSupply(replicas_ready=0))
            found[name] = PoolSupply(
                replicas_ready=before.replicas_ready + each.replicas_ready,
                replicas_starting=before.replicas_starting + each.replicas_starting,
                units_ready=max(before.units_ready, each.units_ready),
                units_starting=max(before.units_starting, each.units_starting),
            )
    return found
