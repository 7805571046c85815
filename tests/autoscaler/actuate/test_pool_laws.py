"""What holds of a pool whatever the cloud does: hypothesis writes the cloud's worst days."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.actuate.nodepool.choose import choose
from autoscaler.actuate.nodepool.learn import Patience, answered, look
from autoscaler.actuate.nodepool.reading import Operation, Reading
from autoscaler.actuate.nodepool.shape import Shape
from autoscaler.actuate.nodepool.state import (
    Accepted,
    Outcome,
    PoolState,
    Release,
    SetFloor,
    SetSize,
    Stay,
)
from autoscaler.actuate.providers import gke_reading
from autoscaler.actuate.refusals import of_response
from autoscaler.errors import ProviderError
from autoscaler.policy.pools import PoolKind, PoolMode, PoolPolicy
from tests.fakes.clock import ManualClock
from tests.fakes.gke.cloud import Cloud, Fault, Pool
from tests.fakes.gke.routes import CLUSTER, LOCATION, PROJECT, Api

ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
MESSAGES = (
    (400, "nodeCount is out of range"),
    (400, "Cluster is currently being created, deleted, updated or repaired"),
    (403, "QUOTA_EXCEEDED: NVIDIA_H100_GPUS"),
    (403, 'Required "container.clusters.update" permission'),
    (404, "Not found: node pool"),
    (409, "the resource was modified"),
    (429, "slow down"),
    (500, "internal"),
    (503, "try later"),
)


@dataclass(frozen=True)
class Blow:
    """One thing that the cloud does to us, in some tick."""

    kind: str
    number: int


blows = st.builds(
    Blow,
    st.sampled_from(
        [
            *("want", "stockout", "trouble", "quota", "preempt"),
            *("hand", "upgrade", "work", "fail", "busy"),
        ]
    ),
    st.integers(0, 12),
)


class Night:
    """A pool and what decides about it, without threads: one HTTP answer after the other."""

    def __init__(self, pool: Pool, policy: PoolPolicy, size: int) -> None:
        self.clock = ManualClock(now=0.0)
        self.cloud = Cloud(self.clock.now)
        self.pool = self.cloud.add(pool, size)
        self.api = Api(self.cloud)
        self.policy = policy
        self.state = PoolState()
        self.units = 0
        self.rng = random.Random(0)
        self.in_flight: str = ""

    def strike(self, blow: Blow) -> None:
        zone = self.pool.zones[blow.number % len(self.pool.zones)]
        match blow.kind:
            case "want":
                self.units = blow.number
            case "stockout":
                self.cloud.stockout(zone, 60.0 * blow.number)
            case "trouble":
                self.cloud.stockout(zone, 60.0 * blow.number, code="IP_SPACE_EXHAUSTED")
            case "work":
                self.pool.status = "RECONCILING" if blow.number % 2 else "RUNNING"
            case "quota":
                self.pool.quota = blow.number
            case "preempt":
                self.cloud.preempt(self.pool.name, blow.number % 3)
            case "hand":
                step = self.pool.slice_nodes or 1
                self.cloud.resize_by_hand(self.pool.name, blow.number % 3 * step % (2 * step))
            case "upgrade":
                self.cloud.foreign_operation(self.pool.name, 30.0 * blow.number)
            case "fail":
                status, message = MESSAGES[blow.number % len(MESSAGES)]
                anyway = status >= 500 and blow.number > 8
                fault = Fault("setSize", status, message, happens_anyway=anyway)
                self.cloud.fail_next(fault)
            case _:
                self.cloud.busy(self.pool.name, blow.number)

    def tick(self) -> tuple[Reading, object]:
        now = self.clock.now()
        reading = self.read()
        shape = Shape.of(self.policy, len(self.pool.zones))
        self.state, _ = look(self.state, reading, shape=shape, patience=Patience(), now_s=now)
        step = choose(
            self.state, reading, self.units, shape=shape, mode=self.policy.mode, now_s=now
        )
        if not isinstance(step, Stay):
            outcome = self.write(step)
            self.state, _ = answered(
                self.state,
                step,
                outcome,
                reading=reading,
                shape=shape,
                now_s=now,
                rng=self.rng,
            )
        self.clock.advance(15.0)
        return reading, step

    def get(self, method: str, path: str, body: bytes = b"") -> Any:
        answer = self.api.answer(method, f"http://x{path}", body)
        if answer.status >= 300:
            message = answer.body["error"]["message"]
            raise of_response(answer.status, message, answer.headers)
        return answer.body

    def read(self) -> Reading:
        place = f"/v1/projects/{PROJECT}/locations/{LOCATION}"
        operation = None
        if self.state.operation:
            name = self.state.operation
            shown = self.cloud.operations[name]
            done = shown.ends_at_s <= self.clock.now()
            operation = Operation(name=name, done=done, error=shown.error if done else "")
        pool = self.get("GET", f"{place}/clusters/{CLUSTER}/nodePools/{self.pool.name}")
        groups = {zone: self.group(zone, "/listManagedInstances") for zone in self.pool.zones}
        return gke_reading.reading(
            pool,
            {zone: found["managedInstances"] for zone, found in groups.items()},
            {zone: self.group(zone, "")["targetSize"] for zone in self.pool.zones},
            operation,
            self.api.empty_nodes(self.pool.name),
        )

    def group(self, zone: str, verb: str) -> Any:
        path = f"/compute/v1/projects/{PROJECT}/zones/{zone}/instanceGroupManagers"
        return self.get("POST" if verb else "GET", f"{path}/gke-{self.pool.name}-grp{verb}")

    def write(self, step: SetSize | SetFloor | Release) -> Outcome:

        assert isinstance(step, SetSize | Release)
        try:
            if isinstance(step, SetSize):
                place = f"/v1/projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}"
                body = f'{{"nodeCount": {step.per_zone}}}'.encode()
                path = f"{place}/nodePools/{self.pool.name}:setSize"
            else:
                zone = step.instances[0].zone
                path = f"/compute/v1/projects/{PROJECT}/zones/{zone}/instanceGroupManagers"
                path += f"/gke-{self.pool.name}-grp/deleteInstances"
                names = ",".join(f'"x/{each.name}"' for each in step.instances)
                body = f'{{"instances": [{names}]}}'.encode()
            return Accepted(str(self.get("POST", path, body)["name"]))
        except ProviderError as error:
            return error


nights = st.lists(st.lists(blows, max_size=2), min_size=1, max_size=60)


def check(night: Night, reading: Reading, step: object) -> None:
    if isinstance(step, SetSize):
        assert not reading.autoscaling.enabled
        assert step.per_zone * len(reading.zones) <= max(
            night.policy.max_units * night.policy.nodes_per_unit,
            reading.fullest_zone(coming=True) * len(reading.zones),
        )
        if not night.pool.slice_nodes:  # what serves is never cut by a size
            assert step.per_zone >= reading.fullest_zone()
        else:
            assert step.per_zone in (0, night.pool.slice_nodes)
            serves = reading.ready_nodes == night.pool.slice_nodes
            if step.per_zone == 0 and serves:  # one that works is not taken apart
                assert len(reading.empty) == reading.ready_nodes
    if isinstance(step, Release):
        assert len({each.zone for each in step.instances}) == 1
        assert not {m.name for m in night.pool.nodes if m.busy} & {i.name for i in step.instances}


@given(nights, st.sampled_from([ZONES[:1], ZONES]), st.integers(0, 3))
def test_a_gpu_pool_on_any_night(
    night: list[list[Blow]], zones: tuple[str, ...], size: int
) -> None:
    """One operation in flight, nothing that serves is taken, and bounds hold."""
    pool = Pool("gpu", zones)
    bench = Night(pool, PoolPolicy(name="gpu", mode=PoolMode.SET_SIZE, max_units=12), size)
    for struck in night:
        for blow in struck:
            bench.strike(blow)
        before = bench.state.operation
        reading, step = bench.tick()
        check(bench, reading, step)
        if before and bench.state.operation == before:
            assert isinstance(step, Stay)


@given(nights, st.sampled_from([0, 4]))
def test_a_slice_on_any_night(night: list[list[Blow]], size: int) -> None:
    """It is asked for whole, and one that misses a node counts for nothing."""
    pool = Pool("tpu", ZONES[:1], slice_nodes=4, node_s=30.0)
    policy = PoolPolicy(
        name="tpu", kind=PoolKind.TPU, mode=PoolMode.SET_SIZE, nodes_per_unit=4, max_units=2
    )
    bench = Night(pool, policy, size)
    bench.units = size // 4
    bench.cloud.busy("tpu", size)
    shape = Shape.of(policy, 1)
    for struck in night:
        for blow in struck:
            bench.strike(blow)
        reading, step = bench.tick()
        check(bench, reading, step)
        assert shape.units(reading.ready_nodes) == (reading.ready_nodes == 4)


@given(nights)
def test_an_autoscaled_pool_is_never_resized(night: list[list[Blow]]) -> None:
    pool = Pool("gpu", ZONES[:1], autoscaling={"enabled": True, "totalMaxNodeCount": 9})
    bench = Night(pool, PoolPolicy(name="gpu", mode=PoolMode.SET_SIZE), 1)
    for struck in night:
        for blow in struck:
            bench.strike(blow)
        bench.tick()
    assert [c for c in bench.cloud.calls if c.method in ("setSize", "deleteInstances")] == []


@given(nights)
def test_the_same_night_twice_is_the_same_calls(night: list[list[Blow]]) -> None:
    def calls() -> list[tuple[float, str, str, int]]:
        bench = Night(Pool("gpu", ZONES), PoolPolicy(name="gpu", mode=PoolMode.SET_SIZE), 1)
        for struck in night:
            for blow in struck:
                bench.strike(blow)
            bench.tick()
        return [(c.t_s, c.method, str(c.body), c.status) for c in bench.cloud.calls]

    assert calls() == calls()


@pytest.mark.timeout(240)  # thorough looks at a thousand nights of two hours
@settings(max_examples=max(10, settings().max_examples // 4))
@given(nights, st.integers(0, 8))
def test_when_the_cloud_is_well_again_the_size_is_reached(
    night: list[list[Blow]], units: int
) -> None:
    """However it went, an hour or two of quiet ends at the size that is wanted, and rests."""
    bench = Night(Pool("gpu", ZONES[:1]), PoolPolicy(name="gpu", mode=PoolMode.SET_SIZE), 1)
    for struck in night:
        for blow in struck:
            bench.strike(blow)
        bench.tick()
    bench.cloud.dry.clear()
    bench.cloud.faults.clear()
    bench.pool.status = "RUNNING"
    bench.pool.quota = 100
    bench.cloud.busy(bench.pool.name, 0)
    bench.units = units
    for _ in range(300):
        bench.tick()
    reading, step = bench.tick()
    assert isinstance(step, Stay)
    assert (reading.target_nodes, reading.ready_nodes) == (units, units)
