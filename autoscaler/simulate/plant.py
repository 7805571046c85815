"""One model's fleet under a demand, in steps of 5 s: what the controller sees, and what it does.

It knows the truth: real capacity, real lead times, faults. ``observe`` gives only what a live
collector would know, late as it would be; ``obey`` carries a decision out. Driven by ``run``.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.profiles import profile_of
from autoscaler.capacity.work import WorkModel
from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.policy.model import ModelPolicy, Policy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.faults import Timeline, unrolled
from autoscaler.simulate.fleet import Fleet, FleetShape
from autoscaler.simulate.fluid import STEP_S, FluidQueue, Served
from autoscaler.simulate.hpa import total_average
from autoscaler.simulate.hpa_behavior import SYNC_PERIOD_S, Bounds, Hpa
from autoscaler.simulate.plant_file import INSTANT, FaultKind, PlantSpec, PoolSpec, Spread
from autoscaler.simulate.provider import OWNED, Call, Pool, Provider

CA_RELEASE_S: Final = 600.0
OWN_RELEASE_S: Final = 120.0
P90_OF_MEDIAN: Final = 1.2
"""A lead time the policy states is a 90th percentile; uniform within 25 % its median is less."""
START_LOAD: Final = 0.7
START_LOOKED_AT_S: Final = 300.0
KV_OF_BATCH: Final = 0.9
"""KV cache in use when the batch is full."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Constants of a run that the simulator's oracle may know too, for each 5 s."""

    work_s: np.ndarray[tuple[int], np.dtype[np.float64]]  # replica-seconds a request
    prefill_share: np.ndarray[tuple[int], np.dtype[np.float64]]
    prefill_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    fixed_share: np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Step:
    """What one step came to."""

    arrived: float
    served: Served
    ready_speed: float  # reference replicas ready
    lost: float  # requests that sat on a replica that vanished


class Plant:
    """The fleet. ``owns_nodes`` False leaves all nodes to the cluster autoscaler."""

    def __init__(
        self,
        spec: PlantSpec,
        policy: Policy,
        model: ModelPolicy,
        demand: DemandSeries,
        seed: int,
        *,
        owns_nodes: bool = True,
        writes: bool = True,
        release_s: float | None = None,
        start_s: float = 0.0,
    ) -> None:
        self.spec, self.policy, self.model = spec, policy, model
        self.seed_rng = random.Random(seed)
        self.demand = demand.noisy(spec.noise_cv, np.random.default_rng(seed))
        self.start_s = start_s
        self.work = work_model(spec, model)
        self.truth = _truth(self.work, self.demand)
        self.factor = spec.replica.capacity_factor
        self.calls: list[Call] = []
        self.writes = writes
        self._release_s = release_s
        self._faults = Timeline(unrolled(spec.faults, demand.seconds))
        self._queue = FluidQueue(spec.abandon_after_s, model.slo_ttft_p95_s)
        self.providers: dict[str, Provider] = {}
        self.speeds: dict[str, float] = {}
        self.prices: dict[str, float] = {}
        for pool_spec in spec.pools:
            self._add_pool(pool_spec, owns_nodes)
        self._begin()
        self._step = 0
        self._floor: dict[str, int] = {}
        self._hpa = Hpa() if spec.backstop is not None else None
        self._hpa_next_s = 0.0
        self._hpa_size = sum(p.fleet.wanted for p in self.providers.values())
        self._recent: deque[Step] = deque(maxlen=64)
        self._load = 0.0
        self.steps_of_window = 3

    # --- construction -------------------------------------------------------------------------

    def _add_pool(self, spec: PoolSpec, owns_nodes: bool) -> None:
        known = next((p for p in self.policy.pools if p.name == spec.name), None)
        said = known or PoolPolicy(name=spec.name)
        # A policy that says nothing of how a pool is resized is simulated with the simplest way.
        mode = PoolMode.SET_SIZE if said.mode is PoolMode.OBSERVE else said.mode
        owned = owns_nodes and mode in OWNED
        zones = spec.zones or said.zones
        replicas = spec.replicas_per_unit or said.replicas_per_unit
        release_s = OWN_RELEASE_S if owned else CA_RELEASE_S
        if spec.release_after_s is not None and owns_nodes:
            release_s = spec.release_after_s
        if self._release_s is not None:
            release_s = self._release_s
        hazard = said.hazard_per_hour if spec.hazard_per_hour is None else spec.hazard_per_hour
        quota = said.quota_units if spec.quota_units is None else spec.quota_units
        shape = FleetShape(
            replicas_per_unit=replicas,
            node_lead=spec.node_lead_time or Spread(median_s=said.lead_time.node_s / P90_OF_MEDIAN),
            pod_lead=spec.pod_lead_time or Spread(median_s=said.lead_time.pod_s / P90_OF_MEDIAN),
            warm_lead=spec.warm_pod_lead_time,
            drain_s=self.spec.drain_s,
            hazard_per_hour=hazard,
            release_after_s=release_s,
        )
        fleet = Fleet(shape, self.seed_rng)
        pool = Pool(
            name=spec.name,
            mode=mode,
            nodes_per_unit=spec.nodes_per_unit or said.nodes_per_unit,
            replicas_per_unit=replicas,
            zones=zones,
            quota_units=quota,
            quota_hidden=spec.quota_hidden,
            release_after_s=release_s,
            owned=owned,
        )
        self.providers[spec.name] = Provider(
            pool,
            fleet,
            self._faults,
            self.seed_rng,
            self.calls.append,
            scan_s=self.spec.scan_s,
            operation_s=self.spec.operation_s,
        )
        self.speeds[spec.name] = spec.speed or said.relative_speed
        price = said.price_per_unit_hour
        if spec.price_per_unit_hour is not None:
            price = spec.price_per_unit_hour
        self.prices[spec.name] = price

    def _begin(self) -> None:
        """Units that are there at the start, with their replicas."""
        stated = [p for p in self.spec.pools if p.initial_units is not None]
        for pool in stated:
            provider = self.providers[pool.name]
            for _ in range(pool.initial_units or 0):
                zone = provider._emptiest()
                provider.fleet.add_ready(zone, 0.0, pods=provider.pool.replicas_per_unit)
        if stated:
            return
        wanted = self.spec.initial_replicas
        if wanted is None:
            n = max(1, round(START_LOOKED_AT_S / STEP_S))
            work = float(np.mean(self.demand.rate_rps[:n] * self.truth.work_s[:n]))
            wanted = math.ceil(work / self.factor / START_LOAD)
            wanted = min(max(wanted, self.model.min_replicas), self.model.max_replicas)
        for name, provider in self.providers.items():
            policy = next((p for p in self.policy.pools if p.name == name), None)
            most = policy.max_units if policy is not None else wanted
            if provider.pool.quota_units is not None:
                most = min(most, provider.pool.quota_units)
            per_unit = provider.pool.replicas_per_unit
            for _ in range(min(most, -(-wanted // per_unit))):
                zone = provider._emptiest()
                provider.fleet.add_ready(zone, 0.0, pods=per_unit)
                wanted -= per_unit
            wanted = max(0, wanted)

    # --- time ---------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Seconds since the start; the end of the last step."""
        return self._step * STEP_S

    def step(self) -> Step:
        """Let 5 s pass."""
        index = self._step
        self._step += 1
        now_s = self._step * STEP_S
        self._hit_by_faults(now_s)
        speed = 0.0
        replicas = 0
        lost = 0.0
        for name, provider in self.providers.items():
            fleet = provider.fleet
            speed += fleet.ready * self.speeds[name]
            replicas += fleet.ready
            fleet.advance(now_s)
            provider.tick(now_s)
            if fleet.lost_ready:
                lost += fleet.lost_ready * self._running_each(index)
                fleet.lost_ready = 0
        if self._hpa is not None and now_s >= self._hpa_next_s:
            self._hpa_next_s += SYNC_PERIOD_S
            self._backstop(now_s)
        arrived = float(self.demand.rate_rps[index]) * STEP_S
        factor = self.factor * self._faults.factor(FaultKind.CAPACITY, "")
        served = self._queue.step(
            arrived,
            float(self.truth.work_s[index]),
            speed * factor * STEP_S,
            float(replicas),
            float(self.truth.prefill_share[index]),
            float(self.truth.prefill_s[index]) / factor,
        )
        self._load = served.load
        step = Step(arrived, served, speed, lost)
        self._recent.append(step)
        return step

    def capacity_rps(self) -> float:
        """Requests a second that the ready replicas can do, of today's shape."""
        index = min(self._step, len(self.demand) - 1)
        speed = sum(p.fleet.ready * self.speeds[n] for n, p in self.providers.items())
        factor = self.factor * self._faults.factor(FaultKind.CAPACITY, "")
        return speed * factor / max(float(self.truth.work_s[index]), 1e-12)

    def longest_lead_s(self) -> float:
        """The longest that a new replica usually takes, in the slowest pool."""
        return max(p.fleet.longest_lead_s() for p in self.providers.values())

    @property
    def waiting_requests(self) -> float:
        """Requests in the queue now."""
        return self._queue.waiting_requests

    def _running_each(self, index: int) -> float:
        curve = self._curve(index)
        return self.work.concurrency * curve.concurrency(self._load)

    def _curve(self, index: int) -> ServiceCurve:
        truth = self.truth
        return ServiceCurve(
            float(truth.fixed_share[index]),
            float(truth.prefill_share[index]),
            float(truth.prefill_s[index]),
        )

    def _hit_by_faults(self, now_s: float) -> None:
        began, ended = self._faults.advance(now_s)
        for fault in began:
            if fault.kind in INSTANT:
                for name, provider in self.providers.items():
                    if fault.pool in ("", name):
                        provider.began(fault, now_s)
        for fault in ended:
            for name, provider in self.providers.items():
                if fault.pool in ("", name):
                    provider.ended(fault, now_s)
        if began or ended:
            for name, provider in self.providers.items():
                provider.fleet.slow = self._faults.factor(FaultKind.SLOW, name)

    # --- what is seen -------------------------------------------------------------------------

    def observe(self) -> Observation:
        """What a collector would know now: the fleet as it is, the metrics some seconds late."""
        late = round(self.spec.metrics_delay_s / STEP_S)
        index = self._step - late - 1
        known = index >= 0 and bool(self.demand.recorded[index])
        gap = any(True for _ in self._faults.active(FaultKind.METRICS_GAP, ""))
        supply: dict[str, PoolSupply] = {}
        load = self._recent[-1 - late].served.load if len(self._recent) > late else None
        batch = None
        if load is not None and known and not gap:
            batch = self._curve(index).concurrency(load)
        now_s = self.now_s
        for name, provider in self.providers.items():
            fleet = provider.fleet
            serving = batch if fleet.ready else None
            supply[name] = PoolSupply(
                replicas_ready=fleet.ready,
                replicas_starting=fleet.starting,
                replicas_draining=fleet.draining,
                units_ready=fleet.units_up,
                units_starting=fleet.units_starting + fleet.units_asked,
                utilization=serving,
                kv_cache_used=None if serving is None else KV_OF_BATCH * serving,
                quota_units=provider.quota_units(),
                stockout=provider.stockout(now_s),
            )
        demand = self._demand_seen(index, late) if known and not gap else _NOTHING
        return Observation(
            now_s=self.start_s + now_s, model=self.model.name, demand=demand, supply=supply
        )

    def _demand_seen(self, index: int, late: int) -> Demand:
        n = min(self.steps_of_window, index + 1, len(self._recent) - late)
        if n <= 0:
            return _NOTHING
        end = len(self._recent) - late
        steps = [self._recent[i] for i in range(end - n, end)]
        arrived = sum(s.arrived for s in steps)
        done = sum(s.served.done + s.served.abandoned for s in steps)
        late_requests = sum(s.served.late for s in steps)
        window_s = n * STEP_S
        return Demand(
            window_s=window_s,
            arrivals_rps=arrived / window_s,
            input_tokens=float(self.demand.input_tokens[index]),
            output_tokens=float(self.demand.output_tokens[index]),
            prefix_hit=float(self.demand.prefix_hit[index]),
            queued_requests=self._queue.waiting_requests,
            served_rps=sum(s.served.done for s in steps) / window_s,
            violating=min(1.0, late_requests / done) if done > 0 else 0.0,
        )

    # --- what is done -------------------------------------------------------------------------

    def obey(self, replicas: Mapping[str, int]) -> bool:
        """Carry a decision out; whether it changed any size that was asked for."""
        if not self.writes:
            return False
        changed = False
        for name, provider in self.providers.items():
            wanted = replicas.get(name, 0)
            if wanted != self._floor.get(name, provider.fleet.wanted):
                changed = True
                self._patch_workload(name, wanted)
            self._floor[name] = wanted
            units = -(-wanted // provider.pool.replicas_per_unit)
            provider.set_floor(units, self.now_s)
            if self._hpa is None and wanted != provider.fleet.wanted:
                provider.fleet.want(wanted, self.now_s)
        return changed

    def _patch_workload(self, name: str, replicas: int) -> None:
        self.calls.append(
            {
                "t_s": self.now_s,
                "api": "autoscaling/v2",
                "method": f"PATCH horizontalpodautoscalers/{self.model.name}-{name}",
                "body": {"spec": {"minReplicas": replicas}},
                "status": 200,
            }
        )

    def _backstop(self, now_s: float) -> None:
        """The HPA over the floor: its surplus goes to the first pool."""
        if self._hpa is None or self.spec.backstop is None:
            return
        floor = sum(self._floor.get(n, p.fleet.wanted) for n, p in self.providers.items())
        if not self._floor:
            floor = self.model.min_replicas
        seen = self.observe().demand
        work = None
        if seen.arrivals_rps is not None:
            work = seen.arrivals_rps * self.work.request_s(
                seen.input_tokens or 0.0, seen.output_tokens or 0.0, seen.prefix_hit or 0.0
            )
        target_milli = self.spec.backstop.load * 1000
        current = self._hpa_size
        proposal = total_average(None if work is None else work * 1000, target_milli, current)
        most = self.model.max_replicas
        least = min(max(floor, 1 if current else 0), most)
        self._hpa_size = self._hpa.sync(now_s, current, Bounds(least, most), [proposal])
        more = self._hpa_size - floor
        for name, provider in self.providers.items():
            wanted = self._floor.get(name, 0 if self._floor else self.model.min_replicas)
            size = max(0, wanted + more)
            more = 0
            if size != provider.fleet.wanted:
                provider.fleet.want(size, now_s)


_NOTHING: Final = Demand(window_s=15.0, arrivals_rps=None)


def work_model(spec: PlantSpec, model: ModelPolicy) -> WorkModel:
    """What a replica of speed 1 really spends on a request, before ``capacityFactor``."""
    replica = spec.replica
    profile = replica.profile or profile_of(model)
    work = WorkModel.of(profile)
    if replica.throughput_rps is None:
        return work
    factor = 1.0 / (
        replica.throughput_rps * work.request_s(replica.input_tokens, replica.output_tokens)
    )
    return WorkModel(
        per_request_s=work.per_request_s * factor,
        per_input_token_s=work.per_input_token_s * factor,
        per_output_token_s=work.per_output_token_s * factor,
        fixed_per_output_token_s=work.fixed_per_output_token_s * factor,
        concurrency=work.concurrency,
    )


def _truth(work: WorkModel, demand: DemandSeries) -> Truth:
    fresh = demand.input_tokens * (1.0 - demand.prefix_hit)
    prefill_s = work.per_request_s + fresh * work.per_input_token_s
    whole_s = np.maximum(prefill_s + demand.output_tokens * work.per_output_token_s, 1e-9)
    fixed_s = demand.output_tokens * work.fixed_per_output_token_s
    return Truth(whole_s, prefill_s / whole_s, prefill_s, fixed_s / whole_s)
