"""Controllers by name: ours and its rivals, each with its usual knob and the grid to tune it on.

One literal table, read by the commands ``simulate`` and ``backtest`` and by the targets' harness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from autoscaler.observe.history import History
from autoscaler.simulate.demand import DemandSeries
from autoscaler.simulate.fluid import STEP_S
from autoscaler.simulate.plant import Plant
from autoscaler.simulate.rivals import wva
from autoscaler.simulate.rivals.apa import Apa
from autoscaler.simulate.rivals.dynamo import Dynamo
from autoscaler.simulate.rivals.hpas import HpaController, on_arrivals, on_kv_cache, on_queue
from autoscaler.simulate.rivals.kpa import Kpa
from autoscaler.simulate.rivals.oracle import Oracle
from autoscaler.simulate.rivals.rival import Fleet
from autoscaler.simulate.rivals.simple import React, Static
from autoscaler.sizing.decision import Controller
from autoscaler.sizing.planner import Planner

OURS: Final = "predictive"
STEPS_OF_MINUTE: Final = 12
DAY_STEPS: Final = 17280


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How to make a controller, and the knob that tuning turns."""

    make: Callable[[Plant, float], Controller]
    what: str
    knob: float = 0.0
    grid: tuple[float, ...] = ()
    above: float = 0.0
    """What a knob must be more than."""
    owns_nodes: bool = False
    """Whether it releases nodes itself; the others leave that to the cluster autoscaler."""
    release_s: float | None = None
    """How long its empty nodes stay, where that is part of what it is."""

    def controller(self, plant: Plant, knob: float | None = None) -> Controller:
        """For ``plant``, with the usual knob unless one is given."""
        return self.make(plant, self.knob if knob is None else knob)


def _predictive(plant: Plant, _: float) -> Controller:
    history = None
    if plant.history is not None:
        history = remembered(plant.history, plant.start_s)
    return Planner.of(plant.policy, plant.model.name, history=history)


def remembered(demand: DemandSeries, end_s: float) -> History:
    """A history that ends at ``end_s``, minute by minute."""
    history = History()
    begin_s = end_s - demand.seconds
    for step in range(STEPS_OF_MINUTE - 1, len(demand), STEPS_OF_MINUTE):
        minute = slice(step - STEPS_OF_MINUTE + 1, step + 1)
        known = bool(demand.recorded[minute].all())
        history.add(
            begin_s + (step + 1) * STEP_S,
            float(demand.rate_rps[minute].mean()) if known else None,
            float(np.mean(demand.input_tokens[minute] * (1.0 - demand.prefix_hit[minute]))),
            float(np.mean(demand.output_tokens[minute])),
        )
    return history


def _fleet(plant: Plant) -> Fleet:
    return Fleet(plant.policy, plant.model)


def _static(plant: Plant, knob: float) -> Controller:
    """``knob`` times what the busiest minute of the first day needs."""
    work = (plant.demand.rate_rps * plant.truth.work_s)[:DAY_STEPS]
    whole = max(1, len(work) // STEPS_OF_MINUTE) * STEPS_OF_MINUTE
    busiest = float(np.max(np.mean(np.resize(work, whole).reshape(-1, STEPS_OF_MINUTE), axis=1)))
    return Static(_fleet(plant), max(1, math.ceil(knob * busiest / 0.9)))


_SHARES = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_KV = (0.05, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7)
_KV_FULL = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8)
_BATCH = (0.06, 0.1, 0.14, 0.18, 0.24, 0.3, 0.4, 0.55, 0.7)

CONTROLLERS: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        OURS: Entry(
            make=_predictive,
            what="the policy's own controller",
            owns_nodes=True,
        ),
        "hpa-queue": Entry(
            make=lambda plant, knob: HpaController(_fleet(plant), (on_queue(knob),)),
            what="HPA on waiting requests a pod",
            knob=10.0,
            grid=(0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0),
        ),
        "hpa-kv": Entry(
            make=lambda plant, knob: HpaController(_fleet(plant), (on_kv_cache(knob),)),
            what="HPA on the KV cache's use",
            knob=0.7,
            grid=_KV,
        ),
        "hpa-queue-kv": Entry(
            make=lambda plant, knob: HpaController(
                _fleet(plant), (on_queue(10.0), on_kv_cache(knob))
            ),
            what="HPA on both",
            knob=0.7,
            grid=_KV,
        ),
        "hpa-rate": Entry(
            make=lambda plant, knob: HpaController(_fleet(plant), (on_arrivals(knob),)),
            what="HPA on arriving work, with a perfect profile",
            knob=0.8,
            grid=_SHARES,
        ),
        "kpa": Entry(
            make=lambda plant, knob: Kpa(_fleet(plant), knob),
            what="Knative's autoscaler on concurrency",
            knob=0.7,
            grid=_BATCH,
        ),
        "apa": Entry(
            make=lambda plant, knob: Apa(_fleet(plant), knob),
            what="AIBrix's APA on the KV cache, its window mended",
            knob=0.5,
            grid=_KV,
        ),
        "apa-shipped": Entry(
            make=lambda plant, knob: Apa(_fleet(plant), knob, shipped=True),
            what="the same as it is shipped",
            knob=0.5,
            grid=_KV,
        ),
        "wva": Entry(
            make=lambda plant, knob: wva.tokens(_fleet(plant), knob),
            what="the variant autoscaler's token rule (v2)",
            knob=0.8,
            grid=_KV_FULL,
        ),
        "wva-v1": Entry(
            make=lambda plant, knob: wva.saturation(_fleet(plant), knob),
            what="its saturation rule (v1)",
            knob=0.8,
            grid=_KV_FULL,
        ),
        "wva-old": Entry(
            make=lambda plant, knob: wva.optimizer(_fleet(plant), knob),
            what="its queueing optimizer, on completions",
            knob=1.0,
            grid=_SHARES,
        ),
        "dynamo": Entry(
            make=lambda plant, knob: Dynamo(_fleet(plant), knob),
            what="Dynamo's planner: Kalman floor and load steps",
            knob=1.0,
            grid=_SHARES,
        ),
        "static": Entry(
            make=_static,
            what="one size, from the first day's peak",
            knob=1.0,
            grid=(0.8, 1.0, 1.2, 1.4, 1.7, 2.0),
        ),
        "react": Entry(
            make=lambda plant, knob: React(_fleet(plant), knob),
            what="ours without the forecast",
            knob=0.0,
            grid=(-0.05, 0.0, 0.05, 0.1, 0.2, 0.3),
            above=-1.0,
            owns_nodes=True,
        ),
        "oracle": Entry(
            make=lambda plant, knob: Oracle(_fleet(plant), plant, knob),
            what="perfect knowledge of demand",
            release_s=0.0,
            knob=0.92,
            grid=(0.5, 0.6, 0.7, 0.8, 0.84, 0.88, 0.92, 0.96, 1.0),
            owns_nodes=True,
        ),
    }
)
ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {"wva-v2": "wva", "hpa": "hpa-rate", "hpa-rps": "hpa-rate", "loadstar": OURS, "planner": OURS}
)
