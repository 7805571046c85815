"""A pool that has none to give is left for the next one, and what was ordered of it is taken back.

The planner, the drivers and Google's client over two pools of the fake cloud, in virtual time.
"""

from __future__ import annotations

import random
from functools import partial

from autoscaler.actuate.circuit_book import CircuitBook
from autoscaler.actuate.gate import Gate
from autoscaler.actuate.nodepool.driver import PoolDriver
from autoscaler.actuate.nodepool.state import What
from autoscaler.actuate.providers.gke import Cluster, GkePool
from autoscaler.controllers.wanted import units
from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.policy.model import Mode, load_policy
from autoscaler.sizing.decision import Decision
from autoscaler.sizing.fleet import PlannerFleet
from tests.autoscaler.actuate.pool_bench import ANSWERING, GOOGLE
from tests.fakes.clock import ManualClock
from tests.fakes.gke.cloud import Cloud, Pool
from tests.fakes.gke.routes import CLUSTER, LOCATION, PROJECT, Api

TICK_S = 15.0
POLICY = """\
mode: active
models:
- {name: m, minReplicas: 2, maxReplicas: 20}
pools:
- {name: cheap, mode: setSize, maxUnits: 20, pricePerUnitHour: 1}
- {name: dear, mode: setSize, maxUnits: 20, pricePerUnitHour: 3}
"""


class Site:
    """Two pools, whose every ready node is a ready replica."""

    def __init__(self) -> None:
        self.clock = ManualClock(now=0.0)
        self.cloud = Cloud(self.clock.now)
        self.policy = load_policy(POLICY)
        self.fleet = PlannerFleet.of(self.policy)
        self.circuits = CircuitBook()
        self.told: list[tuple[str, What]] = []
        self.decision: Decision | None = None
        self.api = Api(self.cloud)
        gate = Gate(mode=lambda: Mode.ACTIVE, leads=lambda _seconds: True)
        self.drivers: dict[str, PoolDriver] = {}
        for number, (name, size) in enumerate((("cheap", 3), ("dear", 0))):
            self.cloud.add(Pool(name, (f"us-central1-{'ab'[number]}",), node_s=60.0), size)
            place = Cluster(project=PROJECT, location=LOCATION, name=CLUSTER)
            api = GkePool(GOOGLE, place, name, empty_nodes=partial(self.api.empty_nodes, name))
            self.drivers[name] = PoolDriver(self.policy.pool(name), api, gate, rng=random.Random(1))

    def supply(self, name: str) -> PoolSupply:
        now_s = self.clock.now()
        nodes = self.cloud.pools[name].nodes
        ready = sum(machine.ready_at_s <= now_s for machine in nodes)
        return PoolSupply(
            replicas_ready=ready,
            replicas_starting=len(nodes) - ready,
            units_ready=ready,
            units_starting=len(nodes) - ready,
            quota_units=self.circuits.quota_units(name, now_s),
            stockout=self.circuits.is_open(name, now_s),
        )

    async def run(self, rate_rps: float, seconds: float) -> None:
        ANSWERING.api = self.api
        end_s = self.clock.now() + seconds
        while self.clock.now() < end_s:
            self.cloud.settle()
            demand = Demand(
                window_s=TICK_S,
                arrivals_rps=rate_rps,
                input_tokens=800.0,
                output_tokens=200.0,
                queued_requests=0.0,
            )
            seen = Observation(
                now_s=self.clock.wall(),
                model="m",
                demand=demand,
                supply={name: self.supply(name) for name in self.drivers},
            )
            decisions = self.fleet.decide({"m": seen})
            self.decision = decisions["m"]
            wanted = units(self.policy, decisions)
            now_s = self.clock.now()
            for name, driver in self.drivers.items():
                tick = await driver.tick(wanted[name], now_s)
                self.told += [(name, each.what) for each in tick.happened]
                self.circuits.note(
                    name,
                    is_open=driver.stocked_out(now_s),
                    quota_units=driver.quota_units(now_s),
                    now_s=now_s,
                )
            self.clock.advance(TICK_S)

    def targets(self) -> dict[str, int]:
        self.cloud.settle()
        pools = self.cloud.pools.values()
        return {pool.name: sum(g.target for g in pool.groups.values()) for pool in pools}


async def test_a_stockout_of_the_cheap_pool_is_made_up_for_by_the_dear_one() -> None:
    site = Site()
    await site.run(30.0, 300.0)
    before = site.targets()
    assert before["dear"] == 0
    site.cloud.stockout("us-central1-a", 1_800.0)
    await site.run(120.0, 600.0)
    after = site.targets()
    ready = {name: site.supply(name).replicas_ready for name in site.drivers}
    assert ("cheap", What.STOCKOUT) in site.told
    assert after["cheap"] == ready["cheap"] == before["cheap"]  # nothing is left on order
    assert after["dear"] == ready["dear"] > 0
    assert site.decision is not None
    assert site.decision.total() == sum(ready.values())


async def test_a_quota_of_the_cheap_pool_is_made_up_for_too() -> None:
    site = Site()
    await site.run(30.0, 300.0)
    site.cloud.pools["cheap"].quota = 4
    await site.run(120.0, 600.0)
    after = site.targets()
    assert ("cheap", What.QUOTA) in site.told
    assert after["cheap"] == 4
    assert after["dear"] > 0
    assert site.cloud.overlaps == 0
