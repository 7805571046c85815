"""``lora-affinity-scorer``: adapter loaded, else room for it, else on its way, else neither."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.datalayer.state import LoraState
from gateway.scheduling.belief import believed
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats

LOADED, ROOM, COMING, NO_ROOM = 1.0, 0.8, 0.6, 0.0


@dataclass(frozen=True, slots=True)
class LoraAffinity:
    """1 if the target model is a running adapter, 0.8 if one more fits, 0.6 if it waits, else 0."""

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        adapters = candidates.columns.lora
        scores = [suitability(adapters[s], cycle.target_model) for s in candidates.slots.tolist()]
        return believed(np.array(scores, np.float64), candidates.confidence)


def suitability(adapters: LoraState, model: str) -> float:
    """How well an endpoint with ``adapters`` can serve ``model``."""
    if model in adapters.running:
        return LOADED
    if len(adapters.running) + len(adapters.waiting) < adapters.max_adapters:
        return ROOM
    if model in adapters.waiting:
        return COMING
    return NO_ROOM
