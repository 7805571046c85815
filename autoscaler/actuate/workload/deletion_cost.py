"""Which pods should go first when a workload shrinks: those with the fewest requests. Pure.

A ReplicaSet lets pods that are not ready go first and then those of the lowest deletion cost; pods
without the annotation cost 0. So only those that should go are marked, below everybody, and the
mark is taken back from those that stay after all.
"""

from __future__ import annotations

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
    free = [each for each in replicas if each.ready and _is_ours(each.deletion_cost)]
    known = sorted(
        (each.requests, each.deletion_cost is None, each.name)
        for each in free
        if each.requests is not None
    )
    going = {name: _cost(requests) for requests, _, name in known[:wanted]}
    marked = {each.name for each in replicas if each.deletion_cost in OURS}
    found: dict[str, int | None] = dict.fromkeys(sorted(marked - going.keys()))
    found.update({name: cost for name, cost in going.items() if name not in marked})
    return dict(list(found.items())[:MOST_AT_ONCE])


def document(cost: int | None) -> dict[str, object]:
    """The merge patch of a pod's metadata."""
    said = None if cost is None else str(cost)
    return {"metadata": {"annotations": {DELETION_COST: said}}}


def _is_ours(cost: int | None) -> bool:
    return cost is None or cost in OURS


def _cost(requests: float) -> int:
    return min(LOWEST + int(requests), OURS.stop - 1)
