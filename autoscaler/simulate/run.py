"""Drive a controller against a plant from beginning to end, in virtual time.

The loop is boring: 5 s pass, then every ``period_s`` observe, decide, obey. Called by the commands
``simulate`` and ``backtest`` and by the targets' harness; ``together`` does it for several models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from autoscaler.simulate.fluid import STEP_S
from autoscaler.simulate.plant import Plant, Step
from autoscaler.simulate.record import Minute, Recorder
from autoscaler.simulate.site import Site
from autoscaler.sizing.decision import Controller

STEPS_A_MINUTE = round(60 / STEP_S)


def run(
    plant: Plant,
    controller: Controller,
    *,
    first_t_s: float = 0.0,
    timed: Callable[[], float] | None = None,
) -> Recorder:
    """Every step of the demand; ``timed`` reads a clock around each decision."""
    recorder = Recorder(sized=plant.size())
    every = max(1, round(controller.period_s / STEP_S))
    plant.steps_of_window = every
    tape, bill = Tape(plant, recorder), Bill(plant.site)
    for index in range(len(plant.demand)):
        tape.add(index, plant.step())
        bill.add(tape.minute)
        if (index + 1) % every == 0:
            seen = plant.observe()
            began = timed() if timed is not None else 0.0
            decision = controller.decide(seen)
            if timed is not None:
                recorder.decide_s.append(timed() - began)
            changed = plant.obey(decision.replicas)
            recorder.decision(first_t_s + plant.now_s, plant.now_s, decision, changed)
        last = index + 1 == len(plant.demand)
        if (index + 1) % STEPS_A_MINUTE == 0 or last:
            tape.close(last=last)
    return recorder


class Tape:
    """What one model's steps come to, minute by minute."""

    def __init__(self, plant: Plant, recorder: Recorder) -> None:
        self.plant = plant
        self.recorder = recorder
        self.minute = Minute()
        self._work_s, self._factor = plant.truth.work_s, plant.factor
        self._believed_s = plant.believed.work_s

    def add(self, index: int, step: Step) -> None:
        """Count one step."""
        minute = self.minute
        minute.arrived += step.arrived
        minute.finished += step.served.done + step.served.abandoned
        minute.late += step.served.late + step.lost
        minute.believed_work_s += step.arrived * self._believed_s[index]
        capacity_s = step.ready_speed * STEP_S
        minute.capacity_s += capacity_s
        minute.capacity_requests += capacity_s * self._factor / self._work_s[index]

    def close(self, *, last: bool) -> Minute:
        """End the minute; returns what it came to."""
        minute, plant = self.minute, self.plant
        minute.queue = plant.waiting_requests
        minute.replicas_ready = sum(tally.ready for tally in plant.tallies.values())
        if last:
            _close(minute, plant.overdue_requests(), self.recorder)
        # Who sat on a replica that vanished had been counted as served, maybe minutes before:
        # what a minute cannot hold is left to the next.
        left = max(0.0, minute.late - minute.finished)
        minute.late -= left
        self.recorder.minutes.append(minute)
        self.minute = Minute(late=left)
        return minute


class Bill:
    """What the units of a site cost."""

    def __init__(self, site: Site) -> None:
        self._pools = [
            (provider.fleet, site.prices[name], provider.pool.nodes_per_unit)
            for name, provider in site.providers.items()
        ]

    def add(self, minute: Minute) -> None:
        """Charge one step."""
        for fleet, price, nodes in self._pools:
            units = fleet.billed_units()
            minute.unit_cost += units * price * STEP_S / 3600.0
            minute.node_s += units * nodes * STEP_S


class SplitBill:
    """The same, and each model's part: a pool is paid for in proportion to the units in use."""

    def __init__(self, site: Site, plants: Sequence[Plant]) -> None:
        self._site = site
        self._bill = Bill(site)
        self._plants = plants

    def add(self, whole: Minute, parts: Sequence[Minute]) -> None:
        """Charge one step: ``parts`` are the plants' minutes, in their order."""
        self._bill.add(whole)
        for name, provider in self._site.providers.items():
            units = provider.fleet.billed_units()
            if not units:
                continue
            on = provider.fleet.billed_to()
            used = [on.get(plant.tallies[name], 0) for plant in self._plants]
            if not any(used):  # nobody's yet: of all who may use the pool alike
                used = [int(name in plant.uses) for plant in self._plants]
            if not any(used):
                used = [1] * len(self._plants)
            each_s = units * STEP_S / sum(used)
            for count, part in zip(used, parts, strict=True):
                part.unit_cost += count * each_s * self._site.prices[name] / 3600.0
                part.node_s += count * each_s * provider.pool.nodes_per_unit


def _close(last: Minute, overdue: float, recorder: Recorder) -> None:
    """Count in the ``last`` minute who waits on and is late already, and who is left from before.

    Nobody is late twice, however often what served them was taken away.
    """
    before = recorder.minutes
    arrived = last.arrived + sum(m.arrived for m in before)
    last.finished += overdue
    last.late = min(last.late + overdue, arrived - sum(m.late for m in before))
    last.finished = max(last.finished, last.late)


def violation_share(minute: Minute) -> float:
    """Late requests of those that ended in ``minute``; NaN where none did."""
    return minute.late / minute.finished if minute.finished else math.nan
