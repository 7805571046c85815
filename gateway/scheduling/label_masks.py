"""A mask by labels, worked out once per membership: labels never change within an epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gateway.datalayer.state import Endpoint
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools


class LabelMask:
    """Keeps the endpoints whose labels satisfy ``matches``."""

    def __init__(self, matches: Callable[[Mapping[str, str]], bool]) -> None:
        self._matches = matches
        self._members: tuple[Endpoint, ...] | None = None
        self._by_slot: Bools = np.zeros(0, np.bool_)

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        members = cycle.state.endpoints
        if members is not self._members:
            by_slot = np.zeros(candidates.columns.capacity, np.bool_)
            for endpoint in members:
                by_slot[endpoint.slot] = self._matches(endpoint.labels)
            self._members, self._by_slot = members, by_slot
        kept: Bools = self._by_slot[candidates.slots]
        return kept
