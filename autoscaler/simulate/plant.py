"""One model's fleet under a demand, in steps of 5 s: what the controller sees, and what it does.

It knows the truth: real capacity, real lead times, faults. ``observe`` gives only what a live
collector would know, late as it would be; ``obey`` carries a decision out. Driven by ``run``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from autoscaler.capacity.profiles import profile_of, speed_of
from autoscaler.capacity.work import WorkModel
from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.policy.model import ModelPolicy, Policy
from autoscaler.simulate.backstop import Backstop
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.fault import FaultKind
from autoscaler.simulate.fluid import STEP_S, FluidQueue, Served
from autoscaler.simulate.plant_file import PlantSpec
from autoscaler.simulate.pools import START_LOAD
from autoscaler.simulate.provider import Provider
from autoscaler.simulate.provider_calls import Call, workload_call
from autoscaler.simulate.site import Site
from autoscaler.simulate.truth import Truth, work_model
from autoscaler.simulate.units import Tally

START_LOOKED_AT_S: Final = 300.0
KV_OF_BATCH: Final = 0.9
"""KV cache in use when the batch is full."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step came to."""

    arrived: float
    served: Served
    ready_speed: float  # reference replicas that those ready are worth
    lost: float  # requests that sat on a replica that vanished


class Plant:
    """One model's replicas and queue at a site."""

    def __init__(
        self,
        spec: PlantSpec,
        policy: Policy,
        model: ModelPolicy,
        demand: DemandSeries,
        seed: int,
        site: Site,
        *,
        uses: tuple[str, ...],
        start_s: float = 0.0,
        history: DemandSeries | None = None,
    ) -> None:
        """Nothing serves before ``begin``; ``uses`` are its pools. ``seed`` is the noise's."""
        self.spec, self.policy, self.model = spec, policy, model
        self.demand = demand.noisy(spec.noise_cv, np.random.default_rng(seed))
        self.start_s = start_s
        self.history = history
        self.site, self.uses = site, uses
        self.work = work_model(spec, model)
        self.truth = Truth.of(self.work, self.demand)
        self.believed = Truth.of(WorkModel.of(profile_of(model)), self.demand)
        self.factor = spec.replica.capacity_factor
        self.steps_of_window = 3
        self._queue = FluidQueue(spec.abandon_after_s, model.slo_ttft_p95_s)
        self.tallies = {name: Tally() for name in site.providers}
        self._pools = [(n, p.fleet, self.tallies[n]) for n, p in site.providers.items()]
        believed = {
            pool.name: speed_of(model, variant, pool) for variant, pool in policy.variants(model)
        }
        self.speeds = {
            p.name: p.speed or believed.get(p.name, policy.pool(p.name).relative_speed)
            for p in spec.pools
        }
        self._workloads = {name: (f"{model.name}-{name}",) * 2 for name in site.providers}
        for variant, pool in policy.variants(model):
            if (target := variant.target) is not None:
                self._workloads[pool.name] = (target.hpa or target.name, target.name)
        self._step = 0
        self._counted = (0.0, 0.0, 0)
        self._floor: dict[str, int] = {}
        self._backstop: Backstop | None = None
        self._recent: deque[Step] = deque(maxlen=64)
        self._load = 0.0

    @property
    def providers(self) -> Mapping[str, Provider]:
        """By pool."""
        return self.site.providers

    @property
    def calls(self) -> list[Call]:
        """All calls of the site."""
        return self.site.calls

    def begin(self) -> None:
        """The replicas of the start are there: whoever follows sizes begins from them."""
        if self.spec.backstop is not None:
            self._backstop = Backstop(
                self.spec.backstop.load, self.work, self.size(), self.model.max_replicas
            )

    def first_replicas(self) -> int:
        """Replicas at the start, where the plant does not say."""
        if self.spec.initial_replicas is not None:
            return self.spec.initial_replicas
        n = max(1, round(START_LOOKED_AT_S / STEP_S))
        work = float(np.mean(self.demand.rate_rps[:n] * self.truth.work_s[:n]))
        wanted = math.ceil(work / self.factor / START_LOAD)
        return min(max(wanted, self.model.min_replicas), self.model.max_replicas)

    # --- time ---------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Seconds since the start; the end of the last step."""
        return self._step * STEP_S

    def step(self) -> Step:
        """Let 5 s pass, of a plant that is alone."""
        now_s = (self._step + 1) * STEP_S
        self.site.strike(now_s)
        self.count()
        self.site.advance(now_s)
        return self.serve()

    def count(self) -> None:
        """See what is ready to serve in the step that begins."""
        nominal = speed = 0.0
        replicas = 0
        faults = self.site.faults
        for name, _, tally in self._pools:
            nominal += tally.ready * self.speeds[name]
            speed += tally.ready * self.speeds[name] * faults.factor(FaultKind.CAPACITY, name)
            replicas += tally.ready
        self._counted = (nominal, speed, replicas)

    def serve(self) -> Step:
        """What comes of the step, with what was counted."""
        index = self._step
        self._step += 1
        now_s = self._step * STEP_S
        nominal, speed, replicas = self._counted
        lost = 0.0
        for _, _, tally in self._pools:
            if tally.lost_ready:
                lost += tally.lost_ready * self._running_each(index)
                tally.lost_ready = 0
        if self._backstop is not None and self._backstop.due(now_s):
            self._follow(self._backstop, now_s)
        arrived = float(self.demand.rate_rps[index]) * STEP_S
        factor = self.factor * (speed / nominal if nominal > 0 else 1.0)
        served = self._queue.step(
            arrived,
            float(self.truth.work_s[index]),
            speed * self.factor * STEP_S,
            float(replicas),
            float(self.truth.prefill_share[index]),
            float(self.truth.prefill_s[index]) / factor,
        )
        self._load = served.load
        step = Step(arrived, served, speed, lost)
        self._recent.append(step)
        return step

    def longest_lead_s(self) -> float:
        """The longest that a new replica usually takes, in the slowest pool."""
        return max(p.fleet.longest_lead_s() for p in self.providers.values())

    def size(self) -> int:
        """Replicas that are asked for now, in all pools."""
        return sum(tally.wanted for tally in self.tallies.values())

    @property
    def waiting_requests(self) -> float:
        """Requests in the queue now."""
        return self._queue.waiting_requests

    def overdue_requests(self) -> float:
        """Requests in the queue that are late already, whenever they are served."""
        return self._queue.overdue_requests()

    def _running_each(self, index: int) -> float:
        curve = self.truth.curve(index)
        return self.work.concurrency * curve.concurrency(self._load)

    def _follow(self, backstop: Backstop, now_s: float) -> None:
        floor = {name: self._floor.get(name, 0) for name in self.uses}
        if not self._floor:
            floor[next(iter(floor))] = self.model.min_replicas
        for name, size in backstop.sizes(now_s, floor, self.observe().demand).items():
            self._want(name, size, now_s)

    # --- what is seen -------------------------------------------------------------------------

    def observe(self) -> Observation:
        """What a collector would know now: the fleet as it is, the metrics some seconds late."""
        late = round(self.spec.metrics_delay_s / STEP_S)
        index = self._step - late - 1
        known = index >= 0 and bool(self.demand.recorded[index])
        gap = any(True for _ in self.site.faults.active(FaultKind.METRICS_GAP, ""))
        supply: dict[str, PoolSupply] = {}
        load = self._recent[-1 - late].served.load if len(self._recent) > late else None
        batch = None
        if load is not None and known and not gap:
            batch = self.truth.curve(index).concurrency(load)
        now_s = self.now_s
        for name, fleet, tally in self._pools:
            provider = self.site.providers[name]
            serving = batch if tally.ready else None
            supply[name] = PoolSupply(
                replicas_ready=tally.ready,
                replicas_starting=tally.starting,
                replicas_draining=tally.draining,
                units_ready=fleet.units_up,
                units_starting=fleet.units_starting + fleet.units_asked,
                utilization=serving,
                kv_cache_used=None if serving is None else KV_OF_BATCH * serving,
                quota_units=provider.quota_units(now_s),
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
        if not self.site.writes:
            return False
        changed = False
        for name, provider in self.site.providers.items():
            tally = self.tallies[name]
            wanted = replicas.get(name, 0)
            if wanted != self._floor.get(name, tally.wanted):
                changed = True
                self.calls.append(workload_call(self.now_s, *self._workloads[name], wanted))
            self._floor[name] = wanted
            units = -(-wanted // provider.pool.replicas_per_unit)
            self.site.set_floor(name, tally, units, self.now_s)
            if self._backstop is None:
                self._want(name, wanted, self.now_s)
        return changed

    def _want(self, pool: str, replicas: int, now_s: float) -> None:
        tally = self.tallies[pool]
        if replicas != tally.wanted:
            self.site.providers[pool].fleet.want(tally, replicas, now_s)


_NOTHING: Final = Demand(window_s=15.0, arrivals_rps=None)
