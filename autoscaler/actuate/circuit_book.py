"""Which pools cannot deliver now, and what quota a refusal taught: what the next decision heeds.

Pools with a provider's own API tell it themselves; for those that a cluster's autoscaler fills, it
shows only in units that do not come. No IO.
"""

from __future__ import annotations

from autoscaler.actuate.nodepool.circuit import Circuit

DELIVERY_S = 900.0
"""The cluster autoscaler's own limit for a node to come."""


class CircuitBook:
    """By pool name."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[bool, int | None]] = {}
        self._circuits: dict[str, Circuit] = {}
        self._short_since: dict[str, float] = {}

    def note(self, pool: str, *, is_open: bool, quota_units: int | None) -> None:
        """What a pool's own driver found."""
        self._told[pool] = (is_open, quota_units)

    def waits(self, pool: str, *, short: bool, now_s: float, failed: bool = False) -> None:
        """Whether ``pool`` has fewer units than were asked for; ``failed``: it said it cannot."""
        circuit = self._circuits.get(pool, Circuit())
        if not short:
            self._short_since.pop(pool, None)
            return
        since_s = self._short_since.setdefault(pool, now_s)
        if (failed or now_s - since_s > DELIVERY_S) and not circuit.is_open(now_s):
            self._circuits[pool] = circuit.failed(now_s)
            self._short_since[pool] = self._circuits[pool].open_until_s

    def is_open(self, pool: str, now_s: float) -> bool:
        """Whether to count on ``pool`` for no more than it has."""
        told = self._told.get(pool, (False, None))[0]
        return told or self._circuits.get(pool, Circuit()).is_open(now_s)

    def quota_units(self, pool: str) -> int | None:
        return self._told.get(pool, (False, None))[1]
