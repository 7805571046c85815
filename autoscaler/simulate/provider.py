"""What gets units for one pool, and what the provider says to it.

Two ways: ``owned`` nodes are resized by our calls, one operation at a time; others come and go with
the cluster autoscaler, and our calls only raise its floor. Every mutating call is written down with
its answer. Called by ``plant`` at every tick.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from autoscaler.policy.pools import PoolMode
from autoscaler.simulate.availability import Availability
from autoscaler.simulate.fault import Fault, FaultKind
from autoscaler.simulate.faults import Timeline
from autoscaler.simulate.fleet import Fleet
from autoscaler.simulate.provider_calls import Call, Pool, floor_call, holds_pool, resize_call
from autoscaler.simulate.units import Tally, Unit, UnitState

OWNED: Final = frozenset({PoolMode.SET_SIZE, PoolMode.LOCAL, PoolMode.PROVISIONING_REQUEST})
"""Modes in which nodes go when we say so."""
SEEN_AFTER_S: Final = 60.0
"""An accepted request that brings nothing for this long is a stockout."""
BACK_OFF_S: Final = 300.0
BACK_OFF_MOST_S: Final = 1800.0
BACK_OFF_RESET_S: Final = 3 * 3600.0
QUOTA_BELIEVED_S: Final = 1800.0
"""How long a limit that a refusal taught is not asked beyond."""
RETRY_S: Final = 15.0
RETRY_MOST_S: Final = 120.0
OK, REFUSED, CONFLICT = 200, 403, 400


class Provider:
    """One pool's supply of units."""

    def __init__(
        self,
        pool: Pool,
        fleet: Fleet,
        faults: Timeline,
        rng: random.Random,
        record: Callable[[Call], None],
        *,
        scan_s: float,
        operation_s: float,
        writes: bool = True,
    ) -> None:
        self.pool = pool
        self.fleet = fleet
        self._faults = faults
        self._at = Availability(pool, fleet, faults)
        self._rng = rng
        self._record = record
        self._scan_s = scan_s
        self._operation_s = operation_s
        self._writes = writes
        self._busy_until_s = 0.0
        self._retry_at_s = 0.0
        self._retry_s = RETRY_S
        self._learned_units = 0
        self._learned_until_s = 0.0
        self._back_off_s = BACK_OFF_S
        self._stockout_until_s = 0.0
        self._last_stockout_s = -BACK_OFF_RESET_S
        self._given_up_late = 0
        self._floor_units: int | None = None
        self._foreign_until_s = 0.0

    def add_ready(self, tally: Tally, pods: int) -> None:
        """A unit that is there from the start, with ``pods`` ready replicas of one model."""
        self.fleet.add_ready(tally, self._at.emptiest(self.pool.zones), 0.0, pods=pods)

    # --- what the controller may know ---------------------------------------------------------

    def quota_units(self, now_s: float) -> int | None:
        """The limit as far as the controller knows it."""
        known = [self._learned_units] if now_s < self._learned_until_s else []
        if not self.pool.quota_hidden and (limit := self._at.limit_units()) is not None:
            known.append(limit)
        return min(known) if known else None

    def stockout(self, now_s: float) -> bool:
        """Whether the pool has failed to deliver and the back-off lasts."""
        return now_s < self._stockout_until_s

    # --- time ---------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Ask for what pods lack, give back what has rested, notice what does not come."""
        if self.fleet.settled():
            return
        self._notice_stockout(now_s)
        if not self.pool.owned:
            self._autoscale(now_s)
        elif not self._writes:
            self._grow(now_s)
        elif now_s >= self._busy_until_s and now_s >= self._retry_at_s:
            self._resize(now_s)

    def set_floor(self, units: int, now_s: float) -> None:
        """Tell the cluster autoscaler's side how many units the controller wants to be there."""
        if self.pool.owned or self.pool.mode is PoolMode.OBSERVE or units == self._floor_units:
            return
        api, method, body = floor_call(self.pool, units)
        if now_s < self._retry_at_s or (holds_pool(body) and now_s < self._busy_until_s):
            return
        if self._ask(now_s, api, method, body) == OK:
            self._floor_units = units

    def began(self, fault: Fault, now_s: float) -> None:
        """An instantaneous fault hits this pool."""
        hit = [u for u in self.fleet.units if fault.zone in ("", u.zone)]
        up = [u for u in hit if u.state is Unit.UP]
        if fault.kind is FaultKind.PREEMPT:
            for unit in self._sample(up, fault):
                self.fleet.remove(unit, now_s)
        elif fault.kind is FaultKind.NODE_LOSS:
            for unit in self._sample(up, fault):
                self.fleet.lose_node(unit, now_s)
        elif fault.kind is FaultKind.UNDO:
            for unit in sorted(hit, key=lambda u: -u.number)[: fault.units or 1]:
                self.fleet.remove(unit, now_s)
        elif fault.kind is FaultKind.RESIZE:
            self._resized_by_others(fault.units or 0, now_s)

    def ended(self, fault: Fault, now_s: float) -> None:
        """A lasting fault is over: what was held up starts, what was given up may come late."""
        if fault.kind is FaultKind.QUOTA:
            self._learned_until_s = now_s
        if fault.kind is not FaultKind.STOCKOUT:
            return
        for unit in [u for u in self.fleet.units if u.state is Unit.ASKED]:
            if not self._at.is_dry(unit.zone):
                self.fleet.start(unit, now_s)
        if fault.late:
            for _ in range(self._at.room(self._given_up_late)):
                self.fleet.add(now_s, self._at.open_zone(), held=False)
            self._given_up_late = 0

    # --- the cluster autoscaler's way ---------------------------------------------------------

    def _autoscale(self, now_s: float) -> None:
        self._grow(now_s)
        for unit in self.fleet.unneeded():
            if unit.state is Unit.ASKED:
                self._forget(unit, now_s)
        if self.fleet.units_up:
            for unit in self.fleet.rested(now_s):
                self.fleet.remove(unit, now_s)

    def _grow(self, now_s: float) -> None:
        """Units for the pods that lack one, as many as the provider lets the pool have.

        All that happens to a pool of ours while nobody may write: its group makes again what it
        has lost.
        """
        for _ in range(self._at.room(self.fleet.unplaced_units())):
            zone = self._at.open_zone()
            delay_s = self._scan_s * self._rng.random()
            self.fleet.add(now_s, zone, held=self._at.is_dry(zone), delay_s=delay_s)

    # --- our own way --------------------------------------------------------------------------

    def _resize(self, now_s: float) -> None:
        fleet = self.fleet
        more = fleet.unplaced_units()
        going = fleet.unneeded()
        going += fleet.rested(now_s) if fleet.units_up else []
        have = fleet.units_total()
        if not more and not going:
            return
        zones = max(1, len(self.pool.zones))
        at_least = have + more - len(going)
        target = -(-at_least // zones) * zones  # nodeCount is per zone
        known = self._learned_units if now_s < self._learned_until_s else None
        if not self.pool.quota_hidden:
            known = self.pool.quota_units
        limit = self.pool.max_units if known is None else min(known, self.pool.max_units)
        if target > limit:  # which bounds what is added, and takes back nothing that is there
            target = min(target, max(have, limit // zones * zones))
        if target == have or have - target > len(going):
            return  # as it should be, or nearer only by taking nodes that serve
        api, method, body = resize_call(self.pool, target // zones)
        status = self._ask(now_s, api, method, body)
        if status != OK:
            return
        for unit in going[: max(0, have - target)]:
            if unit.state is Unit.ASKED:
                self._forget(unit, now_s)
            else:
                fleet.remove(unit, now_s)
        for _ in range(max(0, target - have)):
            zone = self._at.emptiest(self.pool.zones)
            fleet.add(now_s, zone, held=self._at.is_dry(zone))

    def _ask(self, now_s: float, api: str, method: str, body: dict[str, Any]) -> int:
        status, message = self._answer(now_s, body)
        call: Call = {"t_s": now_s, "api": api, "method": method, "body": body, "status": status}
        if message:
            call["message"] = message
        self._record(call)
        if status == OK:
            self._retry_s = RETRY_S
            if holds_pool(body):
                self._busy_until_s = now_s + self._operation_s
        elif status == CONFLICT:
            self._retry_at_s = self._foreign_until_s
        else:
            self._retry_at_s = now_s + self._retry_s
            self._retry_s = min(2 * self._retry_s, RETRY_MOST_S)
        return status

    def _answer(self, now_s: float, body: dict[str, Any]) -> tuple[int, str]:
        name = self.pool.name
        for fault in self._faults.active(FaultKind.API_ERROR, name):
            return fault.answer, "the provider is not well"
        for fault in self._faults.active(FaultKind.CONFLICT, name):
            self._foreign_until_s = fault.at_s + fault.duration_s
            return CONFLICT, f"Cluster is running incompatible operation operation-{name}-foreign"
        limit = self._at.limit_units()
        if limit is not None and "nodeCount" in body:
            units = body["nodeCount"] * max(1, len(self.pool.zones)) // self.pool.nodes_per_unit
            if units > limit and units > self.fleet.units_total():
                self._learned_units = min(limit, self.fleet.units_total())
                self._learned_until_s = now_s + QUOTA_BELIEVED_S
                return REFUSED, "QUOTA_EXCEEDED"
        return OK, ""

    # --- both ---------------------------------------------------------------------------------

    def _notice_stockout(self, now_s: float) -> None:
        if not self.fleet.units_asked:
            return
        late = any(
            u.state is Unit.ASKED and now_s - u.asked_s >= SEEN_AFTER_S for u in self.fleet.units
        )
        if not late or now_s < self._stockout_until_s:
            return
        if now_s - self._last_stockout_s > BACK_OFF_RESET_S:
            self._back_off_s = BACK_OFF_S
        self._last_stockout_s = now_s
        self._stockout_until_s = now_s + self._back_off_s
        self._back_off_s = min(2 * self._back_off_s, BACK_OFF_MOST_S)

    def _forget(self, unit: UnitState, now_s: float) -> None:
        if any(f.late for f in self._faults.active(FaultKind.STOCKOUT, self.pool.name, unit.zone)):
            self._given_up_late += 1
        self.fleet.remove(unit, now_s)

    def _resized_by_others(self, units: int, now_s: float) -> None:
        have = self.fleet.units_total()
        for unit in sorted(self.fleet.units, key=lambda u: -u.number)[: max(0, have - units)]:
            self.fleet.remove(unit, now_s)
        for _ in range(self._at.room(max(0, units - have))):
            self.fleet.add(now_s, self._at.emptiest(self.pool.zones), held=False)

    def _sample(self, units: list[UnitState], fault: Fault) -> list[UnitState]:
        count = fault.units if fault.units is not None else 0
        if fault.units is None:
            count = round((1.0 if fault.share is None else fault.share) * len(units))
        return self._rng.sample(units, min(count, len(units)))
