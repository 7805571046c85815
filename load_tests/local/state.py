"""Which nodes and replicas a local fleet has, wants, and starts next. No IO; ``now`` comes in.

A node is a place for replicas that opens after its lead time; a replica takes a free place and is
started there. Shrinking takes empty nodes only, and the newest replicas first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """What one pool's nodes are like."""

    name: str
    nodes: int = 0
    node_s: float = 4.0
    places: int = 1
    most: int = 64


class Phase(StrEnum):
    WAITING = "waiting"  # for a place
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class Node:
    name: str
    pool: str
    ready_at_s: float


@dataclass(slots=True)
class Replica:
    """``until_s`` is when its phase ends by itself."""

    name: str
    workload: str
    phase: Phase = Phase.WAITING
    node: str = ""
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Start:
    replica: str


@dataclass(frozen=True, slots=True)
class Stop:
    replica: str


@dataclass(slots=True)
class FleetState:
    """``step`` moves everything to ``now`` and says which processes to start and stop."""

    pools: dict[str, PoolPlan]
    pod_s: float = 2.0
    drain_s: float = 1.0
    targets: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    node_seconds: float = 0.0
    loading: set[str] = field(default_factory=set)
    """Replicas whose process does not answer yet: they are not ready, whatever the time."""
    _made: int = 0
    _at_s: float | None = None

    def set_nodes(self, pool: str, nodes: int) -> None:
        """KeyError for a pool that there is not; ValueError for a size that it cannot have."""
        if not 0 <= nodes <= self.pools[pool].most:
            raise ValueError(f"{pool} has 0 to {self.pools[pool].most} nodes, not {nodes}")
        self.targets[pool] = nodes

    def set_replicas(self, workload: str, replicas: int) -> None:
        if replicas < 0:
            raise ValueError(f"{replicas} replicas of {workload}")
        self.wanted[workload] = replicas

    def step(self, now_s: float) -> list[Start | Stop]:
        """Everything that has become due."""
        if self._at_s is not None:
            self.node_seconds += len(self.nodes) * (now_s - self._at_s)
        self._at_s = now_s
        for plan in self.pools.values():
            self._size(plan, now_s)
        done: list[Start | Stop] = []
        for workload in sorted({*self.wanted, *(each.workload for each in self.replicas)}):
            self._scale(workload, now_s)
        for replica in list(self.replicas):
            done += self._move(replica, now_s)
        return done

    def document(self, now_s: float) -> dict[str, Any]:
        """As the provider's protocol has it."""
        pools = {}
        for plan in self.pools.values():
            nodes = [node for node in self.nodes if node.pool == plan.name]
            ready = [node for node in nodes if node.ready_at_s <= now_s]
            pools[plan.name] = {
                "target": self.targets.get(plan.name, plan.nodes),
                "ready": len(ready),
                "creating": len(nodes) - len(ready),
                "empty": [node.name for node in ready if not self._on(node.name)],
            }
        workloads = {}
        for name, wanted in self.wanted.items():
            by_pool = {pool: {"ready": 0, "starting": 0, "draining": 0} for pool in self.pools}
            for replica in self.replicas:
                if replica.workload == name:
                    by_pool[self._pool_of(replica)][_COUNTED[replica.phase]] += 1
            workloads[name] = {"replicas": wanted, "pools": by_pool}
        return {"pools": pools, "workloads": workloads, "nodeSeconds": self.node_seconds}

    def _size(self, plan: PoolPlan, now_s: float) -> None:
        mine = [node for node in self.nodes if node.pool == plan.name]
        target = self.targets.setdefault(plan.name, plan.nodes)
        for _ in range(target - len(mine)):
            self._made += 1
            made = Node(f"{plan.name}-{self._made}", plan.name, now_s + plan.node_s)
            self.nodes.append(made)
        coming_first = sorted(mine, key=lambda node: -node.ready_at_s)
        spare = [node for node in coming_first if not self._on(node.name)]
        for node in spare[: max(0, len(mine) - target)]:
            self.nodes.remove(node)

    def _scale(self, workload: str, now_s: float) -> None:
        mine = [
            each
            for each in self.replicas
            if each.workload == workload and each.phase is not Phase.DRAINING
        ]
        wanted = self.wanted.get(workload, 0)
        for _ in range(wanted - len(mine)):
            self._made += 1
            self.replicas.append(Replica(f"{workload}-{self._made}", workload))
        for replica in mine[::-1][: max(0, len(mine) - wanted)]:
            if replica.phase is Phase.WAITING:
                self.replicas.remove(replica)
            else:
                replica.phase, replica.until_s = Phase.DRAINING, now_s + self.drain_s

    def _move(self, replica: Replica, now_s: float) -> list[Start | Stop]:
        if replica.phase is Phase.WAITING:
            replica.node = self._place(now_s)
            if replica.node:
                replica.phase, replica.until_s = Phase.LOADING, now_s + self.pod_s
                return [Start(replica.name)]
        elif replica.phase is Phase.LOADING and now_s >= replica.until_s:
            if replica.name not in self.loading:
                replica.phase = Phase.READY
        elif replica.phase is Phase.DRAINING and now_s >= replica.until_s:
            self.replicas.remove(replica)
            return [Stop(replica.name)]
        return []

    def _place(self, now_s: float) -> str:
        """A ready node with a free place; "" for none."""
        for node in self.nodes:
            free = self.pools[node.pool].places - self._on(node.name)
            if node.ready_at_s <= now_s and free > 0:
                return node.name
        return ""

    def _on(self, node: str) -> int:
        return sum(replica.node == node for replica in self.replicas)

    def _pool_of(self, replica: Replica) -> str:
        for node in self.nodes:
            if node.name == replica.node:
                return node.pool
        return next(iter(self.pools))


_COUNTED = {
    Phase.WAITING: "starting",
    Phase.LOADING: "starting",
    Phase.READY: "ready",
    Phase.DRAINING: "draining",
}
