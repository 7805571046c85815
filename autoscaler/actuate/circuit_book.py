"""Which pools cannot deliver now, and what quota a refusal taught: what the next decision heeds.

Pools with a provider's own API tell it themselves; for those that a cluster's autoscaler fills, and
where the provider cannot be asked, it shows only in units that do not come. No IO.
"""

from __future__ import annotations

import math
from collections import deque

from autoscaler.actuate.nodepool.circuit import Circuit
from autoscaler.actuate.nodepool.delivery import DELIVERY_S

TOLD_S = 600.0
"""A driver that has not looked for so long acts no more: under advice, or another leads."""


class CircuitBook:
    """By pool name."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, bool, int | None]] = {}
        self._circuits: dict[str, Circuit] = {}
        self._asked: dict[str, deque[tuple[float, int, int]]] = {}
        """(when, units asked for, units there), as far back as a delivery takes."""

    def begin(self) -> None:
        """Nobody has asked for anything yet: what was asked for by others is theirs to wait for."""
        self._asked.clear()

    def note(self, pool: str, *, is_open: bool, quota_units: int | None, now_s: float) -> None:
        """What a pool's own driver found."""
        self._told[pool] = (now_s, is_open, quota_units)

    def waits(
        self,
        pool: str,
        *,
        asked: int,
        ready: int,
        now_s: float,
        failed: bool = False,
        delivery_s: float = DELIVERY_S,
    ) -> None:
        """``pool`` was asked for so many units and has so many; ``failed``: it said it cannot.

        Late is what was asked for all of ``delivery_s`` and was never there: where
        ever more is asked for, some units are always on their way.
        """
        circuit = self._circuits.get(pool, Circuit())
        if circuit.is_open(now_s):
            return
        waiting = self._asked.setdefault(pool, deque())
        waiting.append((now_s, asked, ready))
        before_s = now_s - delivery_s
        while len(waiting) > 1 and waiting[1][0] < before_s:
            waiting.popleft()
        _, wanted, there = zip(*waiting, strict=True)
        late = waiting[0][0] < before_s and min(wanted) > max(there)
        if late or (failed and asked > ready):
            self._circuits[pool] = circuit.failed(now_s)
            waiting.clear()

    def is_open(self, pool: str, now_s: float) -> bool:
        """Whether to count on ``pool`` for no more than it has."""
        told, _ = self._known(pool, now_s)
        return told or self._circuits.get(pool, Circuit()).is_open(now_s)

    def quota_units(self, pool: str, now_s: float) -> int | None:
        """The bound that a refusal taught, if any."""
        return self._known(pool, now_s)[1]

    def _known(self, pool: str, now_s: float) -> tuple[bool, int | None]:
        told_s, is_open, quota_units = self._told.get(pool, (-math.inf, False, None))
        return (is_open, quota_units) if now_s - told_s <= TOLD_S else (False, None)
