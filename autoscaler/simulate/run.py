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
    recorder = Recorder()
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
            # What still waits at the very end has not been late yet; nothing is made up for it.
            minute.late = min(minute.late, minute.finished) if minute.finished else 0.0
            recorder.minutes.append(minute)
            minute = Minute()
    return recorder


def violation_share(minute: Minute) -> float:
    """Late requests of those that ended in ``minute``; NaN where none did."""
    return minute.late / minute.finished if minute.finished else math.nan
