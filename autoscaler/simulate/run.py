"""Drive a controller against a plant from beginning to end, in virtual time.

The loop is boring: 5 s pass, then every ``period_s`` observe, decide, obey. Called by the commands
``simulate`` and ``backtest`` and by the targets' harness.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from autoscaler.simulate.fluid import STEP_S
from autoscaler.simulate.plant import Plant
from autoscaler.simulate.record import Minute, Recorder
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
    nodes_of = {name: p.pool.nodes_per_unit for name, p in plant.providers.items()}
    fleets = [(n, p.fleet, plant.prices[n], nodes_of[n]) for n, p in plant.providers.items()]
    plant.steps_of_window = every
    work_s, factor = plant.truth.work_s, plant.factor
    believed_s = plant.believed.work_s
    minute = Minute()
    for index in range(len(plant.demand)):
        step = plant.step()
        minute.arrived += step.arrived
        minute.finished += step.served.done + step.served.abandoned
        minute.late += step.served.late + step.lost
        minute.believed_work_s += step.arrived * believed_s[index]
        minute.capacity_s += step.ready_speed * STEP_S
        minute.capacity_requests += step.ready_speed * STEP_S * factor / work_s[index]
        for _, fleet, price, nodes in fleets:
            units = fleet.billed_units()
            minute.unit_cost += units * price * STEP_S / 3600.0
            minute.node_s += units * nodes * STEP_S
        if (index + 1) % every == 0:
            seen = plant.observe()
            began = timed() if timed is not None else 0.0
            decision = controller.decide(seen)
            if timed is not None:
                recorder.decide_s.append(timed() - began)
            changed = plant.obey(decision.replicas)
            recorder.decision(first_t_s + plant.now_s, plant.now_s, decision, changed)
        if (index + 1) % STEPS_A_MINUTE == 0 or index + 1 == len(plant.demand):
            minute.queue = plant.waiting_requests
            minute.replicas_ready = sum(f.ready for _, f, _, _ in fleets)
            if index + 1 == len(plant.demand):
                _close(minute, plant.overdue_requests(), recorder)
            # Who sat on a replica that vanished had been counted as served, maybe minutes before:
            # what a minute cannot hold is left to the next.
            left = max(0.0, minute.late - minute.finished)
            minute.late -= left
            recorder.minutes.append(minute)
            minute = Minute(late=left)
    return recorder


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
