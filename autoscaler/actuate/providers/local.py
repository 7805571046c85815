"""The embedded provider: nodes and replicas are processes of a fleet on this machine, over HTTP.

    GET  /v1/fleet               {"pools": {NAME: {"target", "ready", "creating", "empty": [...]}},
                                  "workloads": {NAME: {"replicas", "pools": {POOL: {"ready",
                                  "starting", "draining"}}}}}
    POST /v1/pools/NAME          {"nodes": n}          both answer at once; nodes and replicas come
    POST /v1/workloads/NAME      {"replicas": n}       after the lead times that the fleet was given

Anything that speaks this is a fleet: the demo's, or a test's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from autoscaler.actuate.nodepool.reading import Instance, Reading, Zone
from autoscaler.actuate.nodepool.state import Accepted, Release, SetSize, Write
from autoscaler.actuate.refusals import of_response
from autoscaler.errors import Invalid, Unavailable
from autoscaler.observe.observation import PoolSupply
from autoscaler.policy.model import ModelPolicy
from autoscaler.policy.pools import PoolPolicy

ZONE = "local"
TIMEOUT_S = 5.0


class LocalFleet:
    """One fleet; ``session`` is the caller's to close."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self._session = session

    async def state(self) -> dict[str, Any]:
        """All of it. Raises ProviderError."""
        return await self._call("GET", "/v1/fleet")

    async def set_nodes(self, pool: str, nodes: int) -> None:
        await self._call("POST", f"/v1/pools/{pool}", {"nodes": nodes})

    async def set_replicas(self, workload: str, replicas: int) -> None:
        await self._call("POST", f"/v1/workloads/{workload}", {"replicas": replicas})

    async def _call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.request(
                method, self._url + path, json=body, timeout=timeout
            ) as answer:
                if answer.status >= 300:
                    text = (await answer.text())[:500]
                    raise of_response(answer.status, text, answer.headers)
                found: dict[str, Any] = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {self._url}{path}: {type(error).__name__}") from error


class LocalPool:
    """PoolApi of one pool of the fleet."""

    def __init__(self, fleet: LocalFleet, name: str) -> None:
        self._fleet = fleet
        self._name = name

    async def read(self, operation: str) -> Reading:
        """The pool as it is; what was asked of it is done by the time it was answered."""
        found = (await self._fleet.state())["pools"].get(self._name)
        if found is None:
            return Reading()
        zone = Zone(
            target=int(found["target"]),
            ready=int(found["ready"]),
            creating=int(found.get("creating", 0)),
            no_capacity=bool(found.get("noCapacity", False)),
        )
        empty = tuple(Instance(ZONE, str(name)) for name in found.get("empty", ()))
        return Reading(zones={ZONE: zone}, empty=empty)

    async def write(self, write: Write) -> Accepted:
        match write:
            case SetSize(per_zone):
                await self._fleet.set_nodes(self._name, per_zone)
            case Release(instances):
                # The fleet gives back empty nodes first, and the caller has counted them.
                target = (await self._fleet.state())["pools"][self._name]["target"]
                await self._fleet.set_nodes(self._name, int(target) - len(instances))
            case _:
                raise Invalid("a local pool has no autoscaling of its own")
        return Accepted("")


def local_supply(
    state: Mapping[str, Any], model: ModelPolicy, pools: tuple[PoolPolicy, ...]
) -> dict[str, PoolSupply]:
    """What ``model`` has on each pool, as the fleet says. Pure."""
    found: dict[str, PoolSupply] = {}
    for variant in model.variants:
        pool = next((each for each in pools if each.name == variant.pool), None)
        if pool is None:
            continue
        # A workload that the fleet was never asked for has no replicas, and it is the one to know.
        name = variant.target.name if variant.target else model.name
        workload = state["workloads"].get(name, {"pools": {}})
        has = workload["pools"].get(pool.node_pool or pool.name, {})
        nodes = state["pools"].get(pool.node_pool or pool.name, {})
        ready = int(nodes.get("ready", 0)) // pool.nodes_per_unit
        target = int(nodes.get("target", 0)) // pool.nodes_per_unit
        found[pool.name] = PoolSupply(
            replicas_ready=int(has.get("ready", 0)),
            replicas_starting=int(has.get("starting", 0)),
            replicas_draining=int(has.get("draining", 0)),
            units_ready=ready,
            units_starting=max(0, target - ready),
        )
    return found
