"""The fake cloud itself: pools, zones, machines, operations and what goes wrong, on a given clock.

No HTTP here: ``routes`` speaks it. Nothing moves unless the clock has; ``settle`` plays all that
happened since it was last asked, second by second where it matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

STEP_S = 5.0
CA_UNNEEDED_S = 600.0


@dataclass
class Machine:
    """One virtual machine; ``ready_at_s`` is when its node serves."""

    name: str
    zone: str
    created_at_s: float
    ready_at_s: float
    busy: bool = False
    going: bool = False


@dataclass
class Group:
    """A managed instance group: its target, its machines, and why the last attempt failed."""

    zone: str
    target: int = 0
    machines: list[Machine] = field(default_factory=list)
    error: str = ""
    made: int = 0


@dataclass
class Pool:
    """A node pool; ``quota`` counts nodes of all zones."""

    name: str
    zones: tuple[str, ...]
    autoscaling: dict[str, object] = field(default_factory=dict)
    slice_nodes: int = 0
    """More than 0: a multi-host slice of so many nodes."""
    quota: float = math.inf
    node_s: float = 120.0
    status: str = "RUNNING"
    conditions: list[str] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    spot: bool = False
    demanded: int = 0
    """Nodes that pods ask for; what the fake cluster autoscaler keeps."""
    unneeded_since_s: float | None = None

    def __post_init__(self) -> None:
        self.groups = {zone: Group(zone) for zone in self.zones}

    @property
    def nodes(self) -> list[Machine]:
        return [machine for group in self.groups.values() for machine in group.machines]


@dataclass
class Operation:
    name: str
    kind: str
    pool: str
    starts_at_s: float
    ends_at_s: float
    error: str = ""
    apply: Callable[[], str] | None = None
    applied: bool = False


@dataclass
class Fault:
    """The next ``times`` requests whose ``method`` matches are answered with this."""

    method: str
    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    happens_anyway: bool = False
    """The request is carried out and its answer lost."""


@dataclass
class Call:
    """One request, as it was answered."""

    t_s: float
    method: str
    pool: str
    body: dict[str, object]
    status: int


class Cloud:
    """Pools by name; ``now`` is seconds of the test's clock."""

    def __init__(self, now: Callable[[], float], *, operation_s: float = 20.0) -> None:
        self.now = now
        self.operation_s = operation_s
        self.pools: dict[str, Pool] = {}
        self.operations: dict[str, Operation] = {}
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.dry: dict[str, list[tuple[float, float, str]]] = {}
        """Zone -> (from, until, code) in which no machine can be had there."""
        self.overlaps = 0
        """Times that a mutating request came while one was in flight on the same pool."""
        self._numbered = 0
        self._settled_s = now()

    def add(self, pool: Pool, size: int = 0) -> Pool:
        """A pool with ``size`` ready nodes in each zone."""
        self.pools[pool.name] = pool
        for group in pool.groups.values():
            group.target = size
            for _ in range(size):
                self._make(pool, group, self.now() - pool.node_s)
        return pool

    def stockout(
        self,
        zone: str,
        seconds: float,
        *,
        after_s: float = 0.0,
        code: str = "ZONE_RESOURCE_POOL_EXHAUSTED",
    ) -> None:
        """Every attempt to make a machine in ``zone`` fails with ``code``."""
        start = self.now() + after_s
        self.dry.setdefault(zone, []).append((start, start + seconds, code))

    def preempt(self, pool: str, count: int = 1) -> None:
        """Take ``count`` ready machines; their group makes new ones in time."""
        self.settle()
        for machine in list(self.pools[pool].nodes)[:count]:
            self.pools[pool].groups[machine.zone].machines.remove(machine)

    def resize_by_hand(self, pool: str, per_zone: int) -> None:
        """What a person does in the console."""
        self.settle()
        for group in self.pools[pool].groups.values():
            group.target = per_zone

    def busy(self, pool: str, count: int) -> None:
        """Put work on the first ``count`` machines."""
        self.settle()
        for index, machine in enumerate(self.pools[pool].nodes):
            machine.busy = index < count

    def foreign_operation(self, pool: str, seconds: float, kind: str = "UPGRADE_NODES") -> str:
        """An upgrade or repair that nobody here started."""
        return self._operation(kind, pool, seconds).name

    def fail_next(self, fault: Fault) -> None:
        self.faults.append(fault)

    def running(self, pool: str) -> Operation | None:
        self.settle()
        for operation in self.operations.values():
            if operation.pool == pool and operation.ends_at_s > self.now():
                return operation
        return None

    def mutate(self, kind: str, pool: str, apply: Callable[[], str]) -> Operation:
        """Start a mutating operation; the caller has checked that none is running."""
        operation = self._operation(kind, pool, self.operation_s)
        operation.apply = apply
        return operation

    def _operation(self, kind: str, pool: str, seconds: float) -> Operation:
        self._numbered += 1
        name = f"operation-{1_700_000_000_000 + self._numbered}-{self._numbered:08x}"
        made = Operation(name, kind, pool, self.now(), self.now() + seconds)
        self.operations[name] = made
        return made

    def settle(self) -> None:
        """Play what has happened up to now."""
        now = self.now()
        while self._settled_s < now:
            self._settled_s = min(self._settled_s + STEP_S, now)
            self._step(self._settled_s)
        self._step(now)

    def _step(self, t: float) -> None:
        for operation in self.operations.values():
            if operation.apply is not None and not operation.applied and t > operation.starts_at_s:
                operation.applied = True
                operation.error = operation.apply()
        for pool in self.pools.values():
            self._autoscale(pool, t)
            for group in pool.groups.values():
                self._fill(pool, group, t)

    def _fill(self, pool: Pool, group: Group, t: float) -> None:
        group.machines = [machine for machine in group.machines if not machine.going]
        while len(group.machines) > group.target:
            victim = next((m for m in reversed(group.machines) if m.ready_at_s > t), None)
            group.machines.remove(victim or group.machines[-1])
        group.error = ""
        while len(group.machines) < group.target:
            if code := self._is_dry(group.zone, t):
                group.error = code
                return
            if len(pool.nodes) + 1 > pool.quota:
                group.error = "QUOTA_EXCEEDED"
                return
            self._make(pool, group, t)

    def _make(self, pool: Pool, group: Group, t: float) -> None:
        group.made += 1
        name = f"gke-{pool.name}-{group.zone}-{group.made:04d}"
        group.machines.append(Machine(name, group.zone, t, t + pool.node_s))

    def _is_dry(self, zone: str, t: float) -> str:
        """The code with which attempts fail now; "" while they do not."""
        spells = self.dry.get(zone, ())
        return next((code for start, end, code in spells if start <= t < end), "")

    def _autoscale(self, pool: Pool, t: float) -> None:
        """The cluster autoscaler: up at once to what pods ask for, down after ten idle minutes."""
        if not pool.autoscaling.get("enabled"):
            return
        floor = int(str(pool.autoscaling.get("totalMinNodeCount") or 0))
        wanted = max(pool.demanded, floor)
        have = sum(group.target for group in pool.groups.values())
        if wanted > have:
            self._spread(pool, wanted)
        if wanted >= have:
            pool.unneeded_since_s = None
        elif pool.unneeded_since_s is None:
            pool.unneeded_since_s = t
        elif t - pool.unneeded_since_s >= CA_UNNEEDED_S:
            self._spread(pool, wanted)
            pool.unneeded_since_s = None

    @staticmethod
    def _spread(pool: Pool, nodes: int) -> None:
        share, rest = divmod(nodes, len(pool.zones))
        for index, group in enumerate(pool.groups.values()):
            group.target = share + (index < rest)
