"""One pool's units and pods in virtual time: what starts, is ready, drains, rests and goes.

It obeys: ``want`` pods of a model, ``add`` and ``remove`` units, which models do not share. Who
asks for units, and what a provider says to it, is in ``provider``. Called by ``plant``.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter

from autoscaler.simulate.plant_file import Spread
from autoscaler.simulate.units import FleetShape, Pod, PodState, Tally, Unit, UnitState, drawn


class Fleet:
    """One pool. Times only go forward: ``advance`` before anything else at an instant."""

    def __init__(self, shape: FleetShape, rng: random.Random) -> None:
        self._shape = shape
        self._rng = rng
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, str, UnitState | PodState, int]] = []
        self.units: list[UnitState] = []
        self._waiting: list[PodState] = []
        self.units_up = 0
        self.units_starting = 0
        self.units_asked = 0
        self.units_resting = 0
        self.slow = 1.0

    # --- asked from outside -----------------------------------------------------------------------

    def want(self, tally: Tally, replicas: int, now_s: float) -> None:
        """Have ``replicas`` pods: new ones go where there is room, the youngest go first."""
        tally.wanted = replicas
        have = tally.ready + tally.starting
        for _ in range(replicas - have):
            pod = PodState(Pod.WAITING, tally)
            tally.starting += 1
            self._place(pod, now_s)
        if have > replicas:
            self._give_up(tally, have - replicas, now_s)

    def settled(self) -> bool:
        """Whether nothing is on its way, missing or at rest: nothing to do for a provider."""
        moving = self.units_asked or self.units_starting or self.units_resting
        return not (moving or self._waiting)

    def unplaced_units(self) -> int:
        """Units that the pods without one need."""
        waiting: dict[Tally, int] = {}
        for pod in self._waiting:
            waiting[pod.of] = waiting.get(pod.of, 0) + 1
        return sum(-(-pods // self._shape.replicas_per_unit) for pods in waiting.values())

    def units_total(self) -> int:
        """All units there are or that were asked for."""
        return self.units_up + self.units_starting + self.units_asked

    def billed_units(self) -> int:
        """Units that are paid for: from their start on."""
        return self.units_up + self.units_starting

    def billed_to(self) -> Counter[Tally]:
        """Units that are paid for and have pods on them, or will, by the model of these."""
        paid = (Unit.UP, Unit.STARTING)
        return Counter(u.pods[0].of for u in self.units if u.pods and u.state in paid)

    def add(self, now_s: float, zone: str, *, held: bool, delay_s: float = 0.0) -> UnitState:
        """Ask for one unit; ``held`` ones start when ``start`` is called."""
        unit = UnitState(next(self._numbers), zone, Unit.ASKED, now_s)
        self.units.append(unit)
        self.units_asked += 1
        self._fill(unit)
        if not held:
            self.start(unit, now_s + delay_s)
        return unit

    def start(self, unit: UnitState, now_s: float) -> None:
        """The provider begins to build an asked unit."""
        unit.state = Unit.STARTING
        self.units_asked -= 1
        self.units_starting += 1
        self._later(now_s + self._lead(self._shape.node_lead), "up", unit, unit.life)

    def add_ready(self, tally: Tally, zone: str, now_s: float, *, pods: int) -> None:
        """A unit that is there from the start, with ``pods`` ready replicas of one model."""
        unit = UnitState(next(self._numbers), zone, Unit.UP, now_s)
        self.units.append(unit)
        self.units_up += 1
        for _ in range(pods):
            unit.pods.append(PodState(Pod.READY, tally, unit))
        tally.ready += pods
        tally.wanted += pods
        self._mortal(unit, now_s)
        if not pods:
            self._rests(unit, now_s)

    def remove(self, unit: UnitState, now_s: float, *, orphans: bool = True) -> None:
        """The unit is gone at once, whatever runs on it; its pods are made again elsewhere."""
        self._count_unit(unit, -1)
        self._busy(unit)
        unit.state = Unit.GONE
        unit.life += 1
        self.units.remove(unit)
        self._orphan(unit, now_s, again=orphans)

    def lose_node(self, unit: UnitState, now_s: float) -> None:
        """One node of a unit fails: nothing of it serves until it has been built again."""
        self._count_unit(unit, -1)
        unit.state = Unit.STARTING
        unit.life += 1
        self._busy(unit)
        self._count_unit(unit, 1)
        self._orphan(unit, now_s, again=True)
        self._later(now_s + self._lead(self._shape.node_lead), "up", unit, unit.life)

    def rested(self, now_s: float) -> list[UnitState]:
        """Units that have been empty for long enough, the longest first."""
        if not self.units_resting:
            return []
        limit_s = self._shape.release_after_s
        return sorted(
            (
                u
                for u in self.units
                if u.state is Unit.UP
                and u.empty_since_s is not None
                and now_s - u.empty_since_s >= limit_s
            ),
            key=lambda u: (u.empty_since_s or 0.0, u.number),
        )

    def longest_lead_s(self) -> float:
        """The longest, or nearly, from asking for a node to a ready replica."""
        leads = (self._shape.node_lead, self._shape.pod_lead)
        return sum(lead.median_s * (1.0 + lead.spread) for lead in leads)

    def unneeded(self) -> list[UnitState]:
        """Units that are asked for or starting and that no pod waits for."""
        if not self.units_asked and not self.units_starting:
            return []
        return [u for u in self.units if u.state in (Unit.ASKED, Unit.STARTING) and not u.pods]

    # --- time -------------------------------------------------------------------------------------

    def advance(self, now_s: float) -> None:
        """Let everything happen that was due by ``now_s``."""
        while self._events and self._events[0][0] <= now_s:
            at_s, _, what, subject, life = heapq.heappop(self._events)
            if subject.life != life:
                continue
            if isinstance(subject, UnitState):
                if what == "up":
                    self._unit_up(subject, at_s)
                elif subject.state is Unit.UP:
                    self.remove(subject, at_s)  # preempted
            elif what == "ready":
                subject.state = Pod.READY
                subject.of.starting -= 1
                subject.of.ready += 1
            else:
                self._pod_gone(subject, at_s)

    def _unit_up(self, unit: UnitState, now_s: float) -> None:
        unit.state = Unit.UP
        self.units_starting -= 1
        self.units_up += 1
        self._mortal(unit, now_s)
        self._fill(unit)
        for pod in unit.pods:
            self._load(pod, now_s, self._shape.pod_lead)
        if not unit.pods:
            self._rests(unit, now_s)

    def _place(self, pod: PodState, now_s: float) -> None:
        room = self._shape.replicas_per_unit
        best: UnitState | None = None
        for unit in self.units:
            if unit.takes(pod.of, room) and (best is None or unit.state is Unit.UP):
                best = unit
                if unit.state is Unit.UP:
                    break
        if best is None:
            self._waiting.append(pod)
            return
        pod.unit = best
        best.pods.append(pod)
        if best.state is Unit.UP:
            self._busy(best)
            self._load(pod, now_s, self._shape.warm_lead)

    def _load(self, pod: PodState, now_s: float, lead: Spread) -> None:
        pod.state = Pod.LOADING
        self._later(now_s + self._lead(lead), "ready", pod, pod.life)

    def _give_up(self, tally: Tally, count: int, now_s: float) -> None:
        for place in range(len(self._waiting) - 1, -1, -1):
            if not count:
                return
            if self._waiting[place].of is tally:
                del self._waiting[place]
                tally.starting -= 1
                count -= 1
        if not count:
            return
        order = sorted(self.units, key=lambda u: (u.state.value, -u.number))
        for stage in (Pod.WAITING, Pod.LOADING, Pod.READY):
            for unit in order:
                for pod in [p for p in unit.pods if p.state is stage and p.of is tally]:
                    if not count:
                        return
                    self._let_go(pod, now_s)
                    count -= 1

    def _let_go(self, pod: PodState, now_s: float) -> None:
        pod.life += 1
        if pod.state is Pod.READY:
            pod.state = Pod.DRAINING
            pod.of.ready -= 1
            pod.of.draining += 1
            self._later(now_s + self._shape.drain_s, "drained", pod, pod.life)
        else:
            pod.of.starting -= 1
            self._leave(pod, now_s)

    def _pod_gone(self, pod: PodState, now_s: float) -> None:
        pod.of.draining -= 1
        self._leave(pod, now_s)

    def _leave(self, pod: PodState, now_s: float) -> None:
        pod.state = Pod.GONE
        unit = pod.unit
        if unit is not None:
            unit.pods.remove(pod)
            if not unit.pods and unit.state is Unit.UP:
                self._rests(unit, now_s)
            elif self._waiting and unit.state is Unit.UP:
                self._refill(unit, now_s)

    def _busy(self, unit: UnitState) -> None:
        if unit.empty_since_s is not None:
            unit.empty_since_s = None
            self.units_resting -= 1

    def _rests(self, unit: UnitState, now_s: float) -> None:
        unit.empty_since_s = now_s
        self.units_resting += 1
        self._refill(unit, now_s)

    def _refill(self, unit: UnitState, now_s: float) -> None:
        if unit.state is Unit.UP and (pod := self._next(unit)) is not None:
            pod.unit = unit
            unit.pods.append(pod)
            self._busy(unit)
            self._load(pod, now_s, self._shape.warm_lead)

    def _fill(self, unit: UnitState) -> None:
        """Give a unit that is not up yet as many waiting pods as it has room for."""
        while (pod := self._next(unit)) is not None:
            pod.unit = unit
            unit.pods.append(pod)

    def _next(self, unit: UnitState) -> PodState | None:
        """The pod that has waited longest of those that ``unit`` takes, waiting no more."""
        room = self._shape.replicas_per_unit
        if len(unit.pods) >= room:
            return None
        for place, pod in enumerate(self._waiting):
            if unit.takes(pod.of, room):
                return self._waiting.pop(place)
        return None

    def _orphan(self, unit: UnitState, now_s: float, *, again: bool) -> None:
        pods, unit.pods = unit.pods, []
        for pod in pods:
            pod.life += 1
            if pod.state is Pod.READY:
                pod.of.ready -= 1
                pod.of.lost_ready += 1
            elif pod.state is Pod.DRAINING:
                pod.of.draining -= 1
            else:
                pod.of.starting -= 1
            dying = pod.state is Pod.DRAINING
            pod.state = Pod.GONE
            if again and not dying:
                pod.of.starting += 1
                self._place(PodState(Pod.WAITING, pod.of), now_s)

    def _mortal(self, unit: UnitState, now_s: float) -> None:
        if self._shape.hazard_per_hour > 0:
            lives_s = 3600.0 * self._rng.expovariate(self._shape.hazard_per_hour)
            self._later(now_s + lives_s, "preempted", unit, unit.life)

    def _count_unit(self, unit: UnitState, by: int) -> None:
        if unit.state is Unit.UP:
            self.units_up += by
        elif unit.state is Unit.STARTING:
            self.units_starting += by
        elif unit.state is Unit.ASKED:
            self.units_asked += by

    def _lead(self, spread: Spread) -> float:
        return drawn(spread, self._rng) * self.slow

    def _later(self, at_s: float, what: str, subject: UnitState | PodState, life: int) -> None:
        heapq.heappush(self._events, (at_s, next(self._numbers), what, subject, life))
