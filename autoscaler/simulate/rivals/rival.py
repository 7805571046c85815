"""What all rivals share: one number of replicas, spread over pools, and the view they decide by.

A rival knows replicas only; its nodes come and go with the cluster autoscaler. Each rival's rule is
in a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.profiles import profile_of
from autoscaler.capacity.work import WorkModel
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import ModelPolicy, Policy
from autoscaler.simulate.hpa import Pods
from autoscaler.simulate.hpa_behavior import Bounds
from autoscaler.sizing.decision import Decision, Reason


@dataclass(frozen=True, slots=True)
class View:
    """One observation as one fleet of equal replicas; None is not known."""

    now_s: float
    ready: int
    pending: int  # without a node
    loading: int  # on a node and not ready
    batch: float | None  # share of a replica's batch in use, mean of the ready
    kv: float | None
    queued: float | None
    work: float | None  # replica-seconds that come in, a second
    done: float | None  # replica-seconds completed, a second
    violating: float | None
    request_s: float
    input_tokens: float
    output_tokens: float
    sustainable: float  # load at which the objectives still hold

    def per_pod(self, value: float | None) -> Pods:
        """A metric of pods whose mean over the ready ones is ``value``."""
        if value is None or self.ready == 0:
            return Pods(0.0, 0, self.loading, self.pending)
        return Pods(value * 1000 * self.ready, self.ready, self.loading, self.pending)


@dataclass(slots=True)
class Fleet:
    """The policy as a rival reads it."""

    policy: Policy
    model: ModelPolicy
    work: WorkModel = field(init=False)
    _per_unit: Mapping[str, int] = field(init=False)
    _shape: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _known: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        self.work = WorkModel.of(profile_of(self.model))
        self._per_unit = {p.name: p.replicas_per_unit for _, p in self.policy.variants(self.model)}

    @property
    def bounds(self) -> Bounds:
        return Bounds(max(1, self.model.min_replicas), self.model.max_replicas)

    def view(self, seen: Observation) -> View:
        """What a rival may know of ``seen``."""
        demand = seen.demand
        shape = (demand.input_tokens, demand.output_tokens, demand.prefix_hit)
        if shape[0] is not None and shape[1] is not None:
            now = (shape[0], shape[1], shape[2] or 0.0)
            if now != self._shape:
                self._shape = now
                curve = ServiceCurve.of(self.work, *now)
                sustainable = curve.sustainable_load(self.model.slo_ttft_p95_s)
                self._known = (self.work.request_s(*now), sustainable)
        request_s, sustainable = self._known
        ready = pending = starting = 0
        batch = kv = 0.0
        known = False
        for name, pool in seen.supply.items():
            ready += pool.replicas_ready
            starting += pool.replicas_starting
            per_unit = self._per_unit.get(name, 1)
            pending += min(pool.replicas_starting, pool.units_starting * per_unit)
            if pool.utilization is not None and pool.kv_cache_used is not None:
                known = True
                batch += pool.replicas_ready * pool.utilization
                kv += pool.replicas_ready * pool.kv_cache_used
        known = known and ready > 0
        rate, served = demand.arrivals_rps, demand.served_rps
        return View(
            now_s=seen.now_s,
            ready=ready,
            pending=pending,
            loading=starting - pending,
            batch=batch / ready if known else None,
            kv=kv / ready if known else None,
            queued=demand.queued_requests,
            work=None if rate is None else rate * request_s,
            done=None if served is None else served * request_s,
            violating=demand.violating,
            request_s=request_s,
            input_tokens=self._shape[0] * (1.0 - self._shape[2]),
            output_tokens=self._shape[1],
            sustainable=sustainable,
        )

    def decision(self, view: View, replicas: int, before: int, **inputs: float | None) -> Decision:
        """``replicas`` in all, the first pools of the policy first."""
        replicas = min(max(replicas, self.model.min_replicas), self.model.max_replicas)
        left = replicas
        placed: dict[str, int] = {}
        for variant, pool in self.policy.variants(self.model):
            most = pool.limit_units() * pool.replicas_per_unit
            if variant.max_replicas is not None:
                most = min(most, variant.max_replicas)
            placed[pool.name] = max(0, min(left, most))
            left -= placed[pool.name]
        if replicas > before:
            reason = Reason.REACTIVE
        else:
            reason = Reason.SCALE_DOWN if replicas < before else Reason.STEADY
        known = {name: value for name, value in inputs.items() if value is not None}
        return Decision(replicas=placed, reason=reason, inputs={"replicas": replicas, **known})


def started_with(seen: Observation) -> int:
    """The size a rival finds when it is switched on."""
    return seen.replicas_expected()
