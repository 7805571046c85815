"""How long capacity takes to come, as seen: per pool and path, from the times that objects carry.

A sample is taken once for each pod and node, when it is first seen ready. Bounded; survives a
restart as a small document. Pure.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from enum import StrEnum

from autoscaler.observe.cluster import Cluster, NodeView, PodView, pool_labels
from autoscaler.policy.model import ModelPolicy
from autoscaler.policy.pools import PoolPolicy

KEPT_SAMPLES = 200
ENOUGH = 5
"""Samples below which a policy's own figure is the better guess."""
REMEMBERED = 20_000
LONGEST_S = 7_200.0
"""More than this is somebody's experiment and not a lead time."""


class Path(StrEnum):
    """What was waited for."""

    NODE = "node"  # machine asked for until its node is ready
    WARM_POD = "warmPod"  # pod made until ready, on a node that was there before it
    COLD_POD = "coldPod"  # pod made until ready, its node made for it


class LeadTimes:
    """Samples in seconds, by (pool, path)."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], deque[float]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    def learn(
        self, cluster: Cluster, models: Iterable[ModelPolicy], pools: Iterable[PoolPolicy]
    ) -> int:
        """Take what is new in ``cluster``; how many samples that were."""
        listed = list(pools)
        taken = 0
        for node in cluster.nodes.values():
            place = _place(node, listed)
            if place and node.ready and node.ready_s is not None:
                taken += self._take(
                    f"n/{node.name}/{node.created_s}",
                    place,
                    Path.NODE,
                    node.ready_s - node.created_s,
                )
        selectors = [(model.namespace, model.selector) for model in models]
        for pod in cluster.pods:
            found = cluster.nodes.get(pod.node)
            if found is None or not pod.ready or pod.ready_s is None:
                continue
            place = _place(found, listed)
            if place and any(_is_of(pod, *each) for each in selectors):
                cold = found.created_s >= pod.created_s
                path = Path.COLD_POD if cold else Path.WARM_POD
                taken += self._take(f"p/{pod.uid}", place, path, pod.ready_s - pod.created_s)
        return taken

    def quantile_s(self, pool: str, path: Path, share: float = 0.9) -> float | None:
        """The lead time that ``share`` of the samples kept; None before there are enough."""
        samples = self._samples.get((pool, path))
        if samples is None or len(samples) < ENOUGH:
            return None
        ordered = sorted(samples)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    def known(self) -> dict[tuple[str, str], float]:
        """The 90th percentile of every (pool, path) of which there are enough samples."""
        found = {key: self.quantile_s(key[0], Path(key[1])) for key in self._samples}
        return {key: value for key, value in found.items() if value is not None}

    def to_document(self) -> dict[str, object]:
        return {f"{pool}/{path}": list(kept) for (pool, path), kept in self._samples.items()}

    @classmethod
    def of_document(cls, document: Mapping[str, object]) -> LeadTimes:
        """What ``to_document`` wrote; ValueError where it did not."""
        made = cls()
        for name, samples in document.items():
            pool, _, path = name.rpartition("/")
            if not isinstance(samples, list) or not all(
                isinstance(each, int | float) and 0 <= each <= LONGEST_S for each in samples
            ):
                raise ValueError(f"lead times of {name}: not a list of seconds")
            kept = deque((float(each) for each in samples), maxlen=KEPT_SAMPLES)
            made._samples[(pool, Path(path).value)] = kept
        return made

    def _take(self, key: str, pool: str, path: Path, seconds: float) -> int:
        if key in self._seen:
            return 0
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if not 0.0 <= seconds <= LONGEST_S:
            return 0
        kept = self._samples.setdefault((pool, path.value), deque(maxlen=KEPT_SAMPLES))
        kept.append(seconds)
        return 1


def _place(node: NodeView, pools: Iterable[PoolPolicy]) -> str:
    for pool in pools:
        if all(node.labels.get(key) == value for key, value in pool_labels(pool).items()):
            return pool.name
    return ""


def _is_of(pod: PodView, namespace: str, selector: Mapping[str, str]) -> bool:
    return pod.namespace == namespace and all(
        pod.labels.get(key) == value for key, value in selector.items()
    )
