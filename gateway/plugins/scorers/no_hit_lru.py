"""``no-hit-lru-scorer``: requests that hit no cache go where the last one went longest ago.

Cold requests fill caches; taking endpoints in turn lets the caches grow evenly. Keeps the order
in which endpoints were given cold requests, bounded by ``lruSize``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.datalayer.state import Endpoint
from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.producer_parameters import PrefixParameters
from gateway.scheduling.types import Candidates, Cycle, Decision
from loadstar.arrays import Floats
from loadstar.config.load import at_least

WARM = 0.5
PREFILL_PROFILE = "prefill"


@dataclass(frozen=True, slots=True)
class NoHitLruParameters:
    prefix_plugin_type: str = ""
    """Deprecated and without effect, as in the reference."""
    prefix_plugin_name: str = ""
    """Deprecated and without effect, as in the reference."""
    lru_size: Annotated[int, at_least(1)] = 1024
    prefix_match_info_producer_name: str = ""


class NoHitLru:
    """0.5 for all when any candidate holds part of the prompt; else 1 - rank / (n - 1).

    Never used ranks first (in slot order), then least recently used.
    """

    def __init__(self, producer: str, lru_size: int = 1024) -> None:
        self._producer = producer
        self._lru_size = lru_size
        self._used: OrderedDict[str, None] = OrderedDict()
        """Endpoint ids, the longest ago first."""

    def __len__(self) -> int:
        return len(self._used)

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        match = cycle.matched(self._producer)
        cold = match is None or not match.matched_blocks[candidates.slots].any()
        cycle.notes[self] = cold
        if not cold:
            return np.full(len(candidates), WARM)
        count = len(candidates)
        if count == 1:
            return np.ones(1)
        position = {name: index for index, name in enumerate(self._used)}
        never = {e.slot for e in candidates.endpoints if e.id not in position}
        rank = {slot: index for index, slot in enumerate(sorted(never))}
        ranks = [
            rank[endpoint.slot] if endpoint.slot in never else len(never) + position[endpoint.id]
            for endpoint in candidates.endpoints
        ]
        scores: Floats = np.maximum(1.0 - np.array(ranks) / (count - 1), 0.0)
        return scores

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        """A cold request makes its endpoint the most recently used (a prefill endpoint too)."""
        if not cycle.notes.get(self, False):
            return
        self._use(decision.endpoints[0])
        prefill = decision.results.get(PREFILL_PROFILE)
        if prefill is not None and prefill.picked and decision.profile != PREFILL_PROFILE:
            self._use(prefill.picked[0])

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        if cycle.notes.get(self, False):
            self._use(endpoint)

    def left(self, endpoint: Endpoint) -> None:
        self._used.pop(endpoint.id, None)

    def _use(self, endpoint: Endpoint) -> None:
        self._used[endpoint.id] = None
        self._used.move_to_end(endpoint.id)
        if len(self._used) > self._lru_size:
            self._used.popitem(last=False)


def no_hit_lru(parameters: NoHitLruParameters, wiring: Wiring) -> NoHitLru:
    """Raises ValueError for a producer name that is not configured."""
    producer = wiring.prefix_producer(PrefixParameters, parameters.prefix_match_info_producer_name)
    return NoHitLru(producer, parameters.lru_size)
