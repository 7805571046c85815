"""What the fields of a policy mean together: pools that are there, sizes and money that suffice.

Pure; called by ``model.load_policy`` once each field is right by itself. What is found here would
otherwise show as a fleet that silently stays below its floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.config.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from autoscaler.policy.model import ModelPolicy, Policy, VariantPolicy

CENT = 1e-6
"""Sums of prices are compared to this."""


def contradictions(policy: Policy) -> Iterator[Problem]:
    """Everything that cannot be meant, with paths from the document's root."""
    yield from _twice("models", policy.models)
    yield from _twice("pools", policy.pools)
    yield from _one_class(policy.pools)
    names = [pool.name for pool in policy.pools]
    known = []
    for m, model in enumerate(policy.models):
        strange = [(v, each) for v, each in enumerate(model.variants) if each.pool not in names]
        for v, variant in strange:
            hint = did_you_mean(variant.pool, names)
            yield Problem(f"models[{m}].variants[{v}].pool", f'no pool "{variant.pool}"{hint}')
        if not strange:
            known.append(model)
            yield from _sizes(policy, model, f"models[{m}]")
    yield from _money(policy, known)


def _twice(path: str, named: Sequence[ModelPolicy | PoolPolicy]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, each in enumerate(named):
        if each.name in seen:
            yield Problem(f"{path}[{index}].name", f'"{each.name}" is there twice')
        seen.add(each.name)


def _one_class(pools: Sequence[PoolPolicy]) -> Iterator[Problem]:
    """A ComputeClass keeps one minimum of nodes: two pools would overwrite each other's."""
    owners: dict[str, str] = {}
    for index, pool in enumerate(pools):
        if pool.mode is not PoolMode.COMPUTE_CLASS:
            continue
        name = pool.compute_class or pool.name
        if name in owners:
            said = f'"{name}" is the class of pool "{owners[name]}" too; give each its own'
            yield Problem(f"pools[{index}].computeClass", said)
        owners.setdefault(name, pool.name)


def _sizes(policy: Policy, model: ModelPolicy, path: str) -> Iterator[Problem]:
    least, most = model.min_replicas, model.max_replicas
    pairs = policy.variants(model)
    room = sum(_room(variant, pool) for variant, pool in pairs)
    if room < least:
        yield Problem(
            f"{path}.minReplicas", f"{least} is more than the {room} that its pools can hold"
        )
        return
    floor = 0
    for v, (variant, pool) in enumerate(pairs):
        held = pool.limit_units() * pool.replicas_per_unit
        if variant.min_replicas > held:
            yield Problem(
                f"{path}.variants[{v}].minReplicas",
                f'{variant.min_replicas} is more than the {held} that pool "{pool.name}" can hold',
            )
        floor += variant.min_replicas
    if floor > most:
        yield Problem(
            f"{path}.maxReplicas",
            f"{most} is less than the variants' minReplicas together, {floor}",
        )
    for s, schedule in enumerate(model.schedules):
        if schedule.min_replicas is not None and schedule.min_replicas > most:
            yield Problem(
                f"{path}.schedules[{s}].minReplicas",
                f"{schedule.min_replicas} is more than maxReplicas {most}",
            )
    sizes = _whole_sizes(pairs, most)
    if sizes >> max(least, 1) == 0:
        largest = sizes.bit_length() - 1
        yield Problem(
            f"{path}.maxReplicas",
            f"whole units of its pools make {largest} replicas and then more than {most}: "
            f"none from minReplicas {least} on; raise it",
        )


def _room(variant: VariantPolicy, pool: PoolPolicy) -> int:
    """Replicas that one pool has whole units for, at most."""
    held = pool.limit_units() * pool.replicas_per_unit
    if variant.max_replicas is not None:
        held = min(held, variant.max_replicas)
    return held - held % pool.replicas_per_unit


def _whole_sizes(pairs: Sequence[tuple[VariantPolicy, PoolPolicy]], most: int) -> int:
    """The sizes up to ``most`` that whole units make: bit n is set where n replicas can be had."""
    inside = (1 << (most + 1)) - 1
    made = 1
    for variant, pool in pairs:
        units = min(_room(variant, pool), most) // pool.replicas_per_unit
        part = 1
        while units > 0:  # 1, 2, 4, ... and the rest: their sums are every count up to ``units``
            taken = min(part, units)
            made |= (made << (taken * pool.replicas_per_unit)) & inside
            units -= taken
            part *= 2
    return made


def _money(policy: Policy, models: Sequence[ModelPolicy]) -> Iterator[Problem]:
    budget = policy.budget_per_hour
    if budget is None:
        return
    floor = sum(pool.min_units * pool.price_per_unit_hour for pool in policy.pools)
    if floor > budget + CENT:
        yield Problem(
            "budgetPerHour", f"{budget:g} is less than the pools' minUnits cost, {floor:g}"
        )
        return
    served = sum(pool.min_units * pool.replicas_per_unit for pool in policy.pools)
    more = sum(model.min_replicas for model in models) - served
    if floor > 0 and more > 0:
        cheapest = min(pool.price_per_replica_hour() for pool in policy.pools)
        floor += more * cheapest
        if floor > budget + CENT:
            said = "the pools' minUnits and the models' minReplicas beyond them cost"
            yield Problem("budgetPerHour", f"{budget:g} is less than {said}, {floor:.4g}")
            return
    least = sum(_least_cost(policy, model) for model in models)
    if least > budget + CENT:
        yield Problem(
            "budgetPerHour", f"{budget:g} is less than the models' minReplicas cost, {least:.4g}"
        )


def _least_cost(policy: Policy, model: ModelPolicy) -> float:
    """What ``minReplicas`` cost an hour at the very least: of one pool whole units, of several
    the cheapest parts of them, for which mix is cheapest is not asked here.
    """
    pairs = policy.variants(model)
    if model.min_replicas == 0:
        return 0.0
    if len(pairs) == 1:
        pool = pairs[0][1]
        return -(-model.min_replicas // pool.replicas_per_unit) * pool.price_per_unit_hour
    cost, left = 0.0, model.min_replicas
    for variant, pool in sorted(pairs, key=lambda pair: pair[1].price_per_replica_hour()):
        taken = min(left, _room(variant, pool))
        cost += taken * pool.price_per_replica_hour()
        left -= taken
    return max(cost, min(pool.price_per_unit_hour for _, pool in pairs))
