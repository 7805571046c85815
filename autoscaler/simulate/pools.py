"""The pools of a plant: what the file says of each, and what the policy says where it is silent."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from autoscaler.policy.model import Policy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from autoscaler.simulate.faults import Timeline
from autoscaler.simulate.fleet import Fleet
from autoscaler.simulate.plant_file import PlantSpec, PoolSpec, Spread
from autoscaler.simulate.provider import OWNED, Provider
from autoscaler.simulate.provider_calls import Call, Pool
from autoscaler.simulate.units import FleetShape, Tally

CA_RELEASE_S: Final = 600.0
OWN_RELEASE_S: Final = 120.0
P90_OF_MEDIAN: Final = 1.2
"""A lead time the policy states is a 90th percentile; uniform within 25 % its median is less."""
START_LOAD: Final = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who takes empty nodes away, and when."""

    owns_nodes: bool = True
    release_s: float | None = None
    """Instead of what pools say."""

    def release_after_s(self, stated_s: float | None, owned: bool) -> float:
        if self.release_s is not None:
            return self.release_s
        if stated_s is not None and self.owns_nodes:
            return stated_s
        return OWN_RELEASE_S if owned else CA_RELEASE_S


OURSELVES: Final = Owner()


@dataclass(frozen=True, slots=True)
class PlantPool:
    """A provider, and what a unit of it is worth."""

    provider: Provider
    price_per_unit_hour: float


def pool_of(
    spec: PoolSpec,
    plant: PlantSpec,
    policy: Policy,
    owner: Owner,
    faults: Timeline,
    rng: random.Random,
    record: Callable[[Call], None],
    *,
    writes: bool = True,
) -> PlantPool:
    """One pool, empty; ``writes`` False: nobody resizes it."""
    said = _said(policy, spec.name)
    # A policy that says nothing of how a pool is resized is simulated with the simplest way.
    mode = PoolMode.SET_SIZE if said.mode is PoolMode.OBSERVE else said.mode
    owned = owner.owns_nodes and mode in OWNED
    replicas = spec.replicas_per_unit or said.replicas_per_unit
    shape = FleetShape(
        replicas_per_unit=replicas,
        node_lead=spec.node_lead_time or Spread(median_s=said.lead_time.node_s / P90_OF_MEDIAN),
        pod_lead=spec.pod_lead_time or Spread(median_s=said.lead_time.pod_s / P90_OF_MEDIAN),
        warm_lead=spec.warm_pod_lead_time,
        drain_s=plant.drain_s,
        hazard_per_hour=_first(spec.hazard_per_hour, said.hazard_per_hour),
        release_after_s=owner.release_after_s(spec.release_after_s, owned),
    )
    pool = Pool(
        name=spec.name,
        mode=mode,
        nodes_per_unit=spec.nodes_per_unit or said.nodes_per_unit,
        replicas_per_unit=replicas,
        zones=spec.zones or said.zones,
        quota_units=said.quota_units if spec.quota_units is None else spec.quota_units,
        quota_hidden=spec.quota_hidden,
        max_units=said.max_units,
        owned=owned,
    )
    provider = Provider(
        pool,
        Fleet(shape, rng),
        faults,
        rng,
        record,
        scan_s=plant.scan_s,
        operation_s=plant.operation_s,
        writes=writes,
    )
    price = _first(spec.price_per_unit_hour, said.price_per_unit_hour)
    return PlantPool(provider, price)


@dataclass(slots=True)
class Share:
    """What one model has of the pools at the start."""

    tallies: Mapping[str, Tally]
    pools: tuple[str, ...]
    """Those it uses."""
    wanted: int
    """Replicas it wants more, where the plant does not state units."""


def begin(
    providers: Mapping[str, Provider], plant: PlantSpec, policy: Policy, shares: Sequence[Share]
) -> None:
    """Units that are there at the start, with their replicas: as stated, or as each share wants.

    What is only wanted stays within the policy's sizes and, at its prices, its budget.
    Stated units are one model's alone, or go to each of several as far as it wants any; who comes
    first in ``shares`` is served first, and units that nobody wants are empty.
    """
    stated = [spec for spec in plant.pools if spec.initial_units is not None]
    for spec in stated:
        provider = providers[spec.name]
        per_unit = provider.pool.replicas_per_unit
        users = [share for share in shares if spec.name in share.pools] or list(shares[:1])
        for _ in range(spec.initial_units or 0):
            taker = next((each for each in users if each.wanted > 0), users[0])
            full = len(shares) == 1 or taker.wanted > 0
            provider.add_ready(taker.tallies[spec.name], per_unit if full else 0)
            taker.wanted -= per_unit if full else 0
    if stated:
        return
    left = math.inf if policy.budget_per_hour is None else policy.budget_per_hour
    for share in shares:
        for name in share.pools:
            provider = providers[name]
            per_unit = provider.pool.replicas_per_unit
            have = provider.fleet.units_total()
            said = _said(policy, name)
            limits = [math.ceil(share.wanted / per_unit), said.max_units - have]
            if provider.pool.quota_units is not None:
                limits.append(provider.pool.quota_units - have)
            if said.price_per_unit_hour > 0 and left < math.inf:
                limits.append(math.floor(left / said.price_per_unit_hour))
            for _ in range(max(0, min(limits))):
                left -= said.price_per_unit_hour
                provider.add_ready(share.tallies[name], per_unit)
                share.wanted -= per_unit


def _said(policy: Policy, name: str) -> PoolPolicy:
    known = next((pool for pool in policy.pools if pool.name == name), None)
    return known or PoolPolicy(name=name)


def _first(value: float | None, other: float) -> float:
    return other if value is None else value
