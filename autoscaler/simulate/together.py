"""Several models at one site: each with its demand, all with the same pools, quota and budget.

The policy's own controller shares as the live loop does, with the same code; rivals know nothing
of each other, as HPAs do, and meet at the provider. Called by the command ``simulate``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autoscaler.observe.history import History
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import Policy
from autoscaler.simulate.catalog import CONTROLLERS, OURS, remembered
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.fluid import STEP_S
from autoscaler.simulate.plant import Plant
from autoscaler.simulate.plant_file import PlantSpec, matched
from autoscaler.simulate.pools import Owner, Share, begin
from autoscaler.simulate.provider_calls import Call
from autoscaler.simulate.record import Minute, Recorder, covered, outcome
from autoscaler.simulate.run import STEPS_A_MINUTE, SplitBill, Tape
from autoscaler.simulate.scenario import start_of
from autoscaler.simulate.site import Site
from autoscaler.simulate.truth import informed
from autoscaler.sizing.decision import Decision
from autoscaler.sizing.fleet import PlannerFleet

NOISE_APART = 1_000_003
"""Between the seeds of two models' noise, which is not the same noise."""


@dataclass(frozen=True, slots=True)
class Decides:
    """What decides for all models every ``period_s``."""

    period_s: float
    decide: Callable[[Mapping[str, Observation]], Mapping[str, Decision]]


class Apart(ValueError):
    """Demands or a plant that several models cannot have together; the text says the mend."""


@dataclass(slots=True)
class Run:
    """What came of it: each model's records, the whole's minutes, and all calls."""

    controller: str
    models: dict[str, Recorder]
    calls: list[Call]
    whole: Recorder = field(default_factory=Recorder)

    def document(self, first_t_s: float = 0.0) -> dict[str, Any]:
        """The JSON of the contract, for all models, and ``models`` with each one's part."""
        parts = {n: outcome(self.controller, r, []) for n, r in self.models.items()}
        documents = {name: part.document(first_t_s) for name, part in parts.items()}
        kept = [covered(recorder, 0.0, float("inf")) for recorder in self.models.values()]
        total = sum(of for _, of in kept)
        decisions = [
            {"model": name, **decision}
            for name, recorder in self.models.items()
            for decision in recorder.decisions
        ]
        for document in documents.values():
            for key in ("controller", "calls"):
                del document[key]  # these are the site's
        return {
            **outcome(self.controller, self.whole, self.calls).document(first_t_s),
            "actions": sum(part.actions for part in parts.values()),
            "flaps": sum(part.flaps for part in parts.values()),
            "coverage": round(sum(held for held, _ in kept) / total, 6) if total else None,
            "decisions": sorted(decisions, key=lambda each: each["t_s"]),
            "models": documents,
        }


def run_together(
    spec: PlantSpec,
    policy: Policy,
    demands: Mapping[str, DemandSeries],
    *,
    seed: int = 1,
    first_t_s: float = 0.0,
    histories: Mapping[str, DemandSeries] | None = None,
    controller: str = OURS,
    knob: float | None = None,
    writes: bool = True,
) -> Run:
    """Every step of ``demands``, by model. Raises Apart."""
    spec = matched(spec, policy)
    _check(spec, demands)
    models = tuple(informed(spec, m) for m in policy.models if m.name in demands)
    policy = replace(policy, models=models)
    entry = CONTROLLERS[controller]
    site = Site(
        spec,
        policy,
        max(each.seconds for each in demands.values()),
        seed,
        Owner(owns_nodes=entry.owns_nodes, release_s=entry.release_s),
        writes,
    )
    start_s = start_of(first_t_s)
    known = histories or {}
    plants = [
        Plant(
            spec,
            policy,
            model,
            demands[model.name],
            seed + NOISE_APART * number,
            site,
            uses=tuple(pool.name for _, pool in policy.variants(model)),
            start_s=start_s,
            history=known.get(model.name),
        )
        for number, model in enumerate(models)
    ]
    turn = [model.name for model in policy.in_turn()]
    first = sorted(plants, key=lambda each: turn.index(each.model.name))
    shares = [Share(each.tallies, each.uses, each.first_replicas()) for each in first]
    begin(site.providers, spec, policy, shares)
    for plant in plants:
        plant.begin()
    decides = _fleet(policy, plants) if controller == OURS else _each(controller, plants, knob)
    return _driven(controller, site, plants, decides, first_t_s)


def _driven(
    name: str,
    site: Site,
    plants: list[Plant],
    decides: Decides,
    first_t_s: float,
) -> Run:
    every = max(1, round(decides.period_s / STEP_S))
    tapes = {p.model.name: Tape(p, Recorder(sized=p.size())) for p in plants}
    made = Run(name, {model: tape.recorder for model, tape in tapes.items()}, site.calls)
    bill, whole = SplitBill(site, plants), Minute()
    for plant in plants:
        plant.steps_of_window = every
    steps = len(plants[0].demand)
    for index in range(steps):
        now_s = (index + 1) * STEP_S
        site.strike(now_s)
        for plant in plants:
            plant.count()
        site.advance(now_s)
        for tape in tapes.values():
            tape.add(index, tape.plant.serve())
        bill.add(whole, [tape.minute for tape in tapes.values()])
        if (index + 1) % every == 0:
            decisions = decides.decide({plant.model.name: plant.observe() for plant in plants})
            for model, decision in decisions.items():
                tape = tapes[model]
                changed = tape.plant.obey(decision.replicas)
                tape.recorder.decision(first_t_s + now_s, now_s, decision, changed)
        last = index + 1 == steps
        if (index + 1) % STEPS_A_MINUTE == 0 or last:
            for tape in tapes.values():
                _add(whole, tape.close(last=last))
            made.whole.minutes.append(whole)
            whole = Minute()
    return made


def _fleet(policy: Policy, plants: list[Plant]) -> Decides:
    """Ours, for all models."""
    histories: dict[str, History] = {
        plant.model.name: remembered(plant.history, plant.start_s)
        for plant in plants
        if plant.history is not None
    }
    return Decides(policy.period_s, PlannerFleet.of(policy, histories=histories).decide)


def _each(controller: str, plants: list[Plant], knob: float | None) -> Decides:
    """One rival for each model."""
    entry = CONTROLLERS[controller]
    made = {plant.model.name: entry.controller(plant, knob) for plant in plants}
    period_s = next(iter(made.values())).period_s
    return Decides(period_s, lambda seen: {n: made[n].decide(each) for n, each in seen.items()})


def _add(whole: Minute, part: Minute) -> None:
    whole.arrived += part.arrived
    whole.finished += part.finished
    whole.late += part.late
    whole.capacity_s += part.capacity_s
    whole.capacity_requests += part.capacity_requests
    whole.queue += part.queue
    whole.replicas_ready += part.replicas_ready


def _check(spec: PlantSpec, demands: Mapping[str, DemandSeries]) -> None:
    lengths = {name: each.seconds for name, each in demands.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {seconds:g} s" for name, seconds in lengths.items())
        raise Apart(f"demands of several models must be as long as each other: {told}")
    for key, said in (
        ("profile", spec.replica.profile),
        ("throughputRps", spec.replica.throughput_rps),
    ):
        if said is not None:
            raise Apart(
                f"replica.{key} is of one model; of several, write models[].profile in the policy"
            )
