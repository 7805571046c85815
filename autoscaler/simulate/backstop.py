"""A real HPA on arrivals over the controller's floor: what still scales when the floor is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.capacity.work import WorkModel
from autoscaler.observe.observation import Demand
from autoscaler.simulate.hpa import total_average
from autoscaler.simulate.hpa_behavior import SYNC_PERIOD_S, Bounds, Hpa


class Backstop:
    """One HPA for all pools; what it wants beyond the floor goes to the first pool."""

    def __init__(self, load: float, work: WorkModel, size: int, most: int) -> None:
        self._load = load
        self._work = work
        self._size = size
        self._most = most
        self._hpa = Hpa()
        self._next_s = 0.0

    def due(self, now_s: float) -> bool:
        """Whether a sync is."""
        return now_s >= self._next_s

    def sizes(self, now_s: float, floor: Mapping[str, int], seen: Demand) -> dict[str, int]:
        """Replicas by pool after this sync."""
        self._next_s += SYNC_PERIOD_S
        work = None
        if seen.arrivals_rps is not None:
            work = seen.arrivals_rps * self._work.request_s(
                seen.input_tokens or 0.0, seen.output_tokens or 0.0, seen.prefix_hit or 0.0
            )
        proposal = total_average(
            None if work is None else work * 1000, self._load * 1000, self._size
        )
        whole = sum(floor.values())
        least = min(max(whole, 1 if self._size else 0), self._most)
        self._size = self._hpa.sync(now_s, self._size, Bounds(least, self._most), [proposal])
        more = self._size - whole
        made: dict[str, int] = {}
        for name, replicas in floor.items():
            made[name] = max(0, replicas + more)
            more = 0
        return made
