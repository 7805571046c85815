"""Several models on the same pools: each has its planner; quota, pool sizes and budget are shared.

The interactive are asked before the batch, then in the policy's order. Who comes later may have
what is left; who comes earlier may take from a lesser class what that class can do without, and
from nobody whose demand is not known. The live loop drives this; one model alone is a fleet too.
"""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import Policy
from autoscaler.sizing.decision import Decision
from autoscaler.sizing.planner import Planner
from autoscaler.sizing.sharing import left_for


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
