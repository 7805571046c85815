"""A plant, a policy and a demand, ready to be run under any controller by name. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from autoscaler.policy.model import Mode, ModelPolicy, Policy
from autoscaler.simulate.catalog import CONTROLLERS, OURS
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.plant import Plant
from autoscaler.simulate.plant_file import PlantSpec, matched
from autoscaler.simulate.pools import OURSELVES, Owner, Share, begin
from autoscaler.simulate.record import Outcome, Recorder, outcome
from autoscaler.simulate.run import run
from autoscaler.simulate.site import Site
from autoscaler.simulate.truth import informed

MONDAY_S: Final = 1_767_571_200.0
"""Midnight of Monday 5 January 2026, UTC: where a demand begins that has no date of its own."""
A_DATE_S: Final = 1e9
"""Times beyond it are seconds since 1970."""


def may_write(policy: Policy) -> bool:
    """Whether the policy lets its controller write at all."""
    return policy.mode is Mode.ACTIVE and not policy.safety.kill_switch


def start_of(first_t_s: float) -> float:
    """Unix seconds at which a demand begins whose first row says ``first_t_s``."""
    return first_t_s if first_t_s >= A_DATE_S else MONDAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything but the controller."""

    plant: PlantSpec
    policy: Policy
    demand: DemandSeries
    seed: int = 1
    model: str = ""
    """Empty: the policy's first."""
    first_t_s: float = 0.0
    history: DemandSeries | None = None
    """What came before the demand, up to its first step; for those who learn."""
    everybody_owns_nodes: bool | None = None
    """Whether controllers release nodes themselves; None: each as it is."""

    def built(self, controller: str) -> Plant:
        """The plant as ``controller`` is to find it."""
        entry = CONTROLLERS[controller]
        owns = entry.owns_nodes if self.everybody_owns_nodes is None else self.everybody_owns_nodes
        release_s = entry.release_s
        if self.everybody_owns_nodes is False:
            owns, release_s = False, None
        spec = matched(self.plant, self.policy)
        said = self.policy.model(self.model) if self.model else self.policy.models[0]
        model = informed(spec, said)
        return alone(
            spec,
            replace(self.policy, models=(model,)),  # it has all pools to itself
            model,
            self.demand,
            self.seed,
            owner=Owner(owns_nodes=owns, release_s=release_s),
            writes=controller != OURS or may_write(self.policy),
            start_s=start_of(self.first_t_s),
            history=self.history,
        )

    def recorded(
        self,
        controller: str = OURS,
        knob: float | None = None,
        timed: Callable[[], float] | None = None,
    ) -> tuple[Recorder, Plant]:
        """One run from beginning to end."""
        plant = self.built(controller)
        made = CONTROLLERS[controller].controller(plant, knob)
        return run(plant, made, first_t_s=self.first_t_s, timed=timed), plant

    def outcome(
        self,
        controller: str = OURS,
        knob: float | None = None,
        *,
        from_s: float = 0.0,
        to_s: float = float("inf"),
    ) -> Outcome:
        """The figures of one run."""
        recorder, plant = self.recorded(controller, knob)
        return outcome(controller, recorder, plant.calls, from_s=from_s, to_s=to_s)

    def cut(self, from_s: float, to_s: float) -> Scenario:
        """The same with the part of the demand between two times."""
        return replace(
            self,
            demand=self.demand.between(from_s, to_s),
            first_t_s=self.first_t_s + from_s if self.first_t_s >= A_DATE_S else self.first_t_s,
        )


def alone(
    spec: PlantSpec,
    policy: Policy,
    model: ModelPolicy,
    demand: DemandSeries,
    seed: int,
    *,
    owner: Owner = OURSELVES,
    writes: bool = True,
    start_s: float = 0.0,
    history: DemandSeries | None = None,
) -> Plant:
    """A plant in which one model has all pools to itself, with the replicas of the start."""
    site = Site(spec, policy, demand.seconds, seed, owner, writes)
    uses = tuple(site.providers)
    made = Plant(
        spec, policy, model, demand, seed, site, uses=uses, start_s=start_s, history=history
    )
    begin(site.providers, spec, policy, [Share(made.tallies, uses, made.first_replicas())])
    made.begin()
    return made
