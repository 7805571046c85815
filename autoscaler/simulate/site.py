"""What models of a simulation share: pools with their quota, faults, the calls that were made.

One model alone has a site to itself. Time passes for all at once: faults strike, each plant counts
what serves in this step, then pools advance, then each plant serves. Called by ``plant``.
"""

from __future__ import annotations

import random

from autoscaler.policy.model import Policy
from autoscaler.simulate.fault import INSTANT, FaultKind
from autoscaler.simulate.faults import Timeline, unrolled
from autoscaler.simulate.plant_file import PlantSpec
from autoscaler.simulate.pools import Owner, pool_of
from autoscaler.simulate.provider_calls import Call
from autoscaler.simulate.units import Tally


class Site:
    """The pools of a plant. ``writes`` False is a controller that only advises."""

    def __init__(
        self, spec: PlantSpec, policy: Policy, seconds: float, seed: int, owner: Owner, writes: bool
    ) -> None:
        rng = random.Random(seed)
        self.writes = writes
        self.calls: list[Call] = []
        self.faults = Timeline(unrolled(spec.faults, seconds))
        pools = {
            pool.name: pool_of(
                pool, spec, policy, owner, self.faults, rng, self.calls.append, writes=writes
            )
            for pool in spec.pools
        }
        self.providers = {name: pool.provider for name, pool in pools.items()}
        self.prices = {name: pool.price_per_unit_hour for name, pool in pools.items()}
        self._floors: dict[str, dict[Tally, int]] = {name: {} for name in pools}

    def strike(self, now_s: float) -> None:
        """Let the faults happen that are due."""
        began, ended = self.faults.advance(now_s)
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
                provider.fleet.slow = self.faults.factor(FaultKind.SLOW, name)

    def advance(self, now_s: float) -> None:
        """Let every pool do what is due by ``now_s``."""
        for provider in self.providers.values():
            provider.fleet.advance(now_s)
            provider.tick(now_s)

    def set_floor(self, pool: str, tally: Tally, units: int, now_s: float) -> None:
        """One model wants ``units`` of a pool to be there; the pool is told what all want."""
        floors = self._floors[pool]
        floors[tally] = units
        self.providers[pool].set_floor(sum(floors.values()), now_s)
