"""Several models on the same pools: each has its planner; quota, pool sizes and budget are shared.

The interactive are asked before the batch, then in the policy's order. Who comes later may have
what is left; who comes earlier may take from a lesser class what that class can do without, and
from nobody whose demand is not known. The live loop drives this; one model alone is a fleet too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import Policy, ServiceClass
from autoscaler.sizing.decision import Decision
from autoscaler.sizing.nodes import standing_units
from autoscaler.sizing.planner import Planner, Shares


class PlannerFleet:
    """Decides for all models of a policy."""

    def __init__(self, policy: Policy, planners: Mapping[str, Planner]) -> None:
        self.policy = policy
        self.period_s = policy.period_s
        self.planners = dict(planners)
        self._order = [model.name for model in policy.in_turn()]

    @classmethod
    def of(cls, policy: Policy, *, histories: Mapping[str, History] | None = None) -> PlannerFleet:
        """The planners of every model, each with its history where there is one."""
        known = histories or {}
        return cls(
            policy,
            {
                model.name: Planner.of(policy, model.name, history=known.get(model.name))
                for model in policy.models
            },
        )

    def decide(self, seen: Mapping[str, Observation]) -> dict[str, Decision]:
        """A decision for each model of ``seen``; together they keep quota and budget."""
        asked = [name for name in self._order if name in seen]
        for name in asked:
            self.planners[name].notice(seen[name])
        decided: dict[str, Decision] = {}
        for name in asked:
            decided[name] = self.planners[name].decide(
                seen[name], left_for(name, self.policy, self.planners, seen, decided)
            )
        return {name: decided[name] for name in seen if name in decided}


def left_for(
    name: str,
    policy: Policy,
    planners: Mapping[str, Planner],
    seen: Mapping[str, Observation],
    decided: Collection[str],
) -> Shares:
    """What the others leave to ``name``: all but what they have, or must have where they yield.

    ``decided`` are those that have had their turn already. Whoever records decisions for replay
    keeps the answer beside the observation.
    """
    roofs = _roofs(policy, planners, seen)
    left, kept = dict(roofs), dict(roofs)
    budget = policy.budget_per_hour
    mine = planners[name].model.service_class
    for other, planner in planners.items():
        if other == name:
            continue
        observation_of = seen.get(other)
        yields = (
            other not in decided
            and observation_of is not None
            and observation_of.demand.arrivals_rps is not None
            and mine is ServiceClass.INTERACTIVE
            and planner.model.service_class is ServiceClass.BATCH
        )
        for book in planner.books:
            held = book.least_units() if yields else book.units
            left[book.pool.name] -= held
            # Orders that the roof has fallen below go in their model's turn, before what serves.
            stands = book.units if other in decided else min(held, standing_units([book]))
            kept[book.pool.name] -= stands
            if budget is not None:
                budget -= held * book.pool.price_per_unit_hour
    for book in planners[name].books:
        pool = book.pool.name
        serves = min(book.units, standing_units([book]))
        left[pool] = max(left[pool], min(serves, kept[pool]))
    return Shares(
        budget_per_hour=None if budget is None else max(0.0, budget),
        units={pool: max(0, units) for pool, units in left.items()},
    )


def _roofs(
    policy: Policy, planners: Mapping[str, Planner], seen: Mapping[str, Observation]
) -> dict[str, int]:
    """The most units of each pool that all models may have together.

    The provider's word on quota may be lower than the policy's, and bounds what is added: what
    stands already may stay, or change hands.
    """
    roofs = {pool.name: pool.limit_units() for pool in policy.pools}
    quotas: dict[str, int] = {}
    for observation in seen.values():
        for pool, supply in observation.supply.items():
            if pool in roofs and supply.quota_units is not None:
                quotas[pool] = min(quotas.get(pool, supply.quota_units), supply.quota_units)
    for pool, quota in quotas.items():
        books = [b for each in planners.values() for b in each.books if b.pool.name == pool]
        roofs[pool] = min(roofs[pool], max(quota, standing_units(books)))
    return roofs
