"""Which pods should go first when a workload shrinks: whole nodes, and the least busy. Pure.

A node is given back when nothing stands on it any more, so pods of several nodes that go free none.

A ReplicaSet lets pods that are not ready go first and then those of the lowest deletion cost; pods
without the annotation cost 0. So only those that should go are marked, below everybody, and the
mark is taken back from those that stay after all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from autoscaler.observe.cluster import DELETION_COST
from autoscaler.observe.replica_loads import Replica

LOWEST: Final = -1_000_000
"""Of a pod with nothing to do. Far below what people write, far above the smallest there is."""
OURS: Final = range(LOWEST, LOWEST // 2)
"""Costs that are marks of ours; any other is somebody else's and stays."""
MOST_AT_ONCE: Final = 32


def marks(replicas: Sequence[Replica], leaving: int) -> dict[str, int | None]:
    """Costs to write by pod, so that ``leaving`` of ``replicas`` go; None takes a mark away.

    Nothing about the others: while the same pods are to go, what they are doing meanwhile changes
    no mark. A pod whose load is not known is not marked.
    """
    unready = sum(not replica.ready for replica in replicas)
    wanted = min(max(0, leaving - unready), MOST_AT_ONCE)
    going = {each.name: _cost(each.requests or 0.0) for each in _leavers(replicas, wanted)}
    marked = {each.name for each in replicas if each.deletion_cost in OURS}
    found: dict[str, int | None] = dict.fromkeys(sorted(marked - going.keys()))
    found.update({name: cost for name, cost in going.items() if name not in marked})
    return dict(list(found.items())[:MOST_AT_ONCE])


def _leavers(replicas: Sequence[Replica], wanted: int) -> list[Replica]:
    """``wanted`` of those that may be marked: of the nodes that they can empty, the least busy
    first, then the least busy pods of the node that is nearest to being empty.
    """
    nodes: dict[str, list[Replica]] = {}
    for each in replicas:
        if each.ready:  # others go anyway
            nodes.setdefault(each.node or each.name, []).append(each)
    found: list[Replica] = []
    for pods in sorted(nodes.values(), key=_busy):
        if len(pods) <= wanted - len(found) and all(_may_go(each) for each in pods):
            found += pods
    rest = [(len(pods), *_busy([each]), each) for pods in nodes.values() for each in pods]
    chosen = {each.name for each in found}
    rest = [row for row in rest if _may_go(row[-1]) and row[-1].name not in chosen]
    rest.sort(key=lambda row: row[:-1])
    return found + [row[-1] for row in rest[: wanted - len(found)]]


def _busy(pods: Sequence[Replica]) -> tuple[float, bool, str]:
    """Requests a pod; of equals those that are marked already, then by name."""
    total = sum(math.inf if each.requests is None else each.requests for each in pods)
    new = any(each.deletion_cost is None for each in pods)
    return total / len(pods), new, min(each.name for each in pods)


def _may_go(replica: Replica) -> bool:
    return replica.requests is not None and _is_ours(replica.deletion_cost)


def document(cost: int | None) -> dict[str, object]:
    """The merge patch of a pod's metadata."""
    said = None if cost is None else str(cost)
    return {"metadata": {"annotations": {DELETION_COST: said}}}


def _is_ours(cost: int | None) -> bool:
    return cost is None or cost in OURS


def _cost(requests: float) -> int:
    return min(LOWEST + int(requests), OURS.stop - 1)
