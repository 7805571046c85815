"""What the loop sees: demand from the feed or a file, supply from the cluster or a local fleet. IO.

Reflectors keep pods and nodes; nothing is asked for while they have never been in step, or have
lost the server for longer than the policy calls stale.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from autoscaler.actuate.providers.local import LocalFleet, local_supply
from autoscaler.controllers.reported import SaysDemand
from autoscaler.observe.cluster import (
    Cluster,
    NodeView,
    PodView,
    cordoned_nodes,
    empty_nodes,
    node_view,
    pod_view,
    supply,
)
from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.observe.lead_times import LeadTimes
from autoscaler.observe.observation import Demand, PoolSupply
from autoscaler.policy.model import ModelPolicy, Policy
from autoscaler.policy.pools import PoolPolicy
from loadstar.clock import Clock
from loadstar.files import contents
from loadstar.kube.client import Follows
from loadstar.kube.reflector import Reflector
from loadstar.kube.resources import NODES, PODS

SUPPLY_STALE_S = 120.0
"""An API server that restarts is away for less; what is older than this is not known."""


class ClusterSupply:
    """Pods and nodes, followed."""

    def __init__(
        self,
        kube: Follows,
        *,
        clock: Clock,
        rng: random.Random,
        lead_times: LeadTimes,
        policy: Callable[[], Policy | None],
        namespace: str = "",
    ) -> None:
        self._clock = clock
        self._lead_times = lead_times
        self._policy = policy
        self.pods: Reflector[PodView] = Reflector(
            kube,
            PODS,
            view=_pod,
            changed=lambda: None,
            clock=clock,
            rng=rng,
            namespace=namespace,
        )
        self.nodes: Reflector[NodeView] = Reflector(
            kube, NODES, view=_node, changed=lambda: None, clock=clock, rng=rng
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pods.run(), name="pods")
            tasks.create_task(self.nodes.run(), name="nodes")

    def cluster(self) -> Cluster | None:
        """All that is known; None while it is not, or not any more."""
        for each in (self.pods, self.nodes):
            away = not each.connected and self._clock.now() - each.heard_at > SUPPLY_STALE_S
            if not each.synced or away:
                return None
        return Cluster(
            pods=tuple(self.pods.objects.values()),
            nodes={node.name: node for node in self.nodes.objects.values()},
        )

    def empty(self, pool: PoolPolicy) -> frozenset[str]:
        """Nodes of ``pool`` that may be given back; none while that is not known."""
        found = self.cluster()
        return frozenset() if found is None else empty_nodes(found, pool)

    def cordoned(self, pool: PoolPolicy) -> frozenset[str] | None:
        """Nodes of ``pool`` that we keep pods from; None while that is not known."""
        found = self.cluster()
        return None if found is None else cordoned_nodes(found, pool)

    async def supply(
        self, model: ModelPolicy, pools: tuple[PoolPolicy, ...]
    ) -> Mapping[str, PoolSupply] | None:
        found = self.cluster()
        if found is None:
            return None
        policy = self._policy()
        if policy is not None:
            self._lead_times.learn(found, policy.models, policy.pools)
        return supply(found, model, pools)


class LocalSupply:
    """Replicas and nodes of a fleet on this machine."""

    def __init__(self, fleet: LocalFleet) -> None:
        self._fleet = fleet

    async def supply(
        self, model: ModelPolicy, pools: tuple[PoolPolicy, ...]
    ) -> Mapping[str, PoolSupply] | None:
        return local_supply(await self._fleet.state(), model, pools)


class FileDemand:
    """Demand that another program writes into a file, for trials and odd sources.

    ``{"models": {NAME: {"atS": unix seconds, "arrivalsRps": 3.5, "inputTokens": ...}}}``
    """

    LOOK_S = 1.0

    def __init__(self, path: Path, *, stale_after_s: float) -> None:
        self._path = path
        self.stale_after_s = stale_after_s
        self._models: Mapping[str, Mapping[str, object]] = {}
        self.problem = ""

    async def run(self) -> None:
        """Read it again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self.LOOK_S)

    async def look(self) -> None:
        """Read it once; what cannot be read leaves what was read before, until that is stale."""
        try:
            found = orjson.loads(await asyncio.to_thread(contents, self._path))
            self._models = dict(found["models"])
            self.problem = ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.problem = f"{self._path}: {error}"

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        said = self._models.get(model.name, {})
        at_s = said.get("atS")
        window_s = _number(said.get("windowS")) or 15.0
        if not isinstance(at_s, int | float) or abs(now_s - at_s) > self.stale_after_s:
            return Demand(window_s=window_s, arrivals_rps=None)
        return Demand(
            window_s=window_s,
            arrivals_rps=_number(said.get("arrivalsRps")),
            input_tokens=_number(said.get("inputTokens")),
            output_tokens=_number(said.get("outputTokens")),
            prefix_hit=_number(said.get("prefixHit")),
            queued_requests=_number(said.get("queuedRequests")),
            served_rps=_number(said.get("servedRps")),
            violating=_number(said.get("violating")),
        )


class HeardDemand:
    """Demand that gateways publish."""

    def __init__(self, feed: FeedDemand) -> None:
        self._feed = feed

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        return self._feed.demand(model.name, now_s, slo_ttft_s=model.slo_ttft_p95_s)


class Seeing:
    """Both halves, as the loop wants them."""

    def __init__(self, demand: SaysDemand, supply: ClusterSupply | LocalSupply) -> None:
        self._demand = demand
        self._supply = supply

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        return self._demand.demand(model, now_s)

    async def supply(
        self, model: ModelPolicy, pools: tuple[PoolPolicy, ...]
    ) -> Mapping[str, PoolSupply] | None:
        return await self._supply.supply(model, pools)


def _number(value: object) -> float | None:
    """A number that can be one of demand; anything else is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0.0 <= value < 1e12 else None


def _pod(document: dict[str, object]) -> PodView:
    try:
        return pod_view(document)
    except KeyError as error:
        raise ValueError(f"no {error}") from error


def _node(document: dict[str, object]) -> NodeView:
    try:
        return node_view(document)
    except KeyError as error:
        raise ValueError(f"no {error}") from error
