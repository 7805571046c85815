"""Decisions of all models -> units of each pool and replicas of each workload. Pure.

Several models may share a pool, and several variants a workload: what they want adds up, within
what the policy allows the pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoscaler.policy.model import ModelPolicy, Policy, TargetPolicy
from autoscaler.sizing.decision import Decision
from loadstar.kube.objects import ObjectRef


@dataclass(frozen=True, slots=True)
class TargetKey:
    """One workload; the model and pools whose decision sizes it."""

    target: TargetPolicy
    namespace: str
    model: str

    @property
    def id(self) -> tuple[str, str, str]:
        return self.target.kind, self.target.namespace or self.namespace, self.target.name


def units(policy: Policy, decisions: Mapping[str, Decision]) -> dict[str, int]:
    """Units wanted per pool. A pool about which no decision speaks is not in it."""
    found: dict[str, int] = {}
    for name in sorted(decisions):
        for pool_name, wanted in decisions[name].replicas.items():
            pool = policy.pool(pool_name)
            # Models do not share units: each has its own last one, part full.
            found[pool_name] = found.get(pool_name, 0) + -(-wanted // pool.replicas_per_unit)
    return {
        name: min(max(count, policy.pool(name).min_units), policy.pool(name).limit_units())
        for name, count in found.items()
    }


def targets(policy: Policy, decisions: Mapping[str, Decision]) -> dict[TargetKey, int]:
    """Replicas wanted per workload."""
    found: dict[TargetKey, int] = {}
    known: dict[tuple[str, str, str], TargetKey] = {}
    for model in policy.models:
        decision = decisions.get(model.name)
        if decision is None:
            continue
        for variant in model.variants:
            if variant.target is None or variant.pool not in decision.replicas:
                continue
            key = TargetKey(variant.target, model.namespace, model.name)
            key = known.setdefault(key.id, key)
            found[key] = found.get(key, 0) + decision.replicas[variant.pool]
    return found


def cost_per_hour(policy: Policy, wanted: Mapping[str, int]) -> float:
    """What so many units cost an hour, by the policy's prices."""
    return sum(policy.pool(name).price_per_unit_hour * count for name, count in wanted.items())


def about(model: ModelPolicy) -> ObjectRef | None:
    """The object that a model's events are told on: its first workload."""
    for variant in model.variants:
        if variant.target is not None:
            target = variant.target
            place = target.namespace or model.namespace
            return ObjectRef("apps/v1", target.kind, target.name, place)
    return None


def standing_on(policy: Policy, pool: str) -> tuple[TargetPolicy | None, str]:
    """The first workload that stands on ``pool``, and its model's namespace; or None."""
    for model in policy.models:
        for variant in model.variants:
            if variant.pool == pool and variant.target is not None:
                return variant.target, model.namespace
    return None, ""


def about_pool(policy: Policy, pool: str) -> ObjectRef | None:
    """The object that a pool's events are told on: the workload that needs it."""
    target, namespace = standing_on(policy, pool)
    if target is None:
        return None
    return ObjectRef("apps/v1", target.kind, target.name, target.namespace or namespace)
