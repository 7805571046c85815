"""The sizes a node pool can have: whole units, the same count in every zone, slices all or nothing.

Pure arithmetic between units (what is planned), nodes (what is billed) and the per-zone count
(what ``setSize`` takes). Called by what chooses the next step and by what counts supply.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.policy.pools import PoolKind, PoolPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one pool's sizes are made of."""

    nodes_per_unit: int = 1
    zones: int = 1
    atomic: bool = False
    """A slice of several hosts: 0 nodes or all of them, and nothing between."""
    min_nodes: int = 0
    max_nodes: int = 1_000

    @classmethod
    def of(cls, pool: PoolPolicy, zones: int) -> Shape:
        """The shape of ``pool``, whose node pool spans ``zones`` zones.

        A multi-host TPU pool is one slice: its size never changes, it is there or it is not.
        """
        atomic = pool.kind is PoolKind.TPU and pool.nodes_per_unit > 1
        most = 1 if atomic else pool.max_units
        return cls(
            nodes_per_unit=pool.nodes_per_unit,
            zones=1 if atomic else max(zones, 1),
            atomic=atomic,
            min_nodes=min(pool.min_units, most) * pool.nodes_per_unit,
            max_nodes=min(pool.max_units, most) * pool.nodes_per_unit,
        )

    def nodes(self, units: int) -> int:
        """Nodes of ``units`` units."""
        return units * self.nodes_per_unit

    def units(self, nodes: int) -> int:
        """Whole units in ``nodes`` ready nodes; a slice that misses one is none."""
        return max(nodes, 0) // self.nodes_per_unit

    def bounded(self, nodes: int, quota_nodes: int | None = None) -> int:
        """``nodes`` within the policy's bounds and the quota; a slice is never cut."""
        most = self.max_nodes if quota_nodes is None else min(self.max_nodes, quota_nodes)
        inside = min(max(nodes, self.min_nodes), most)
        return inside - inside % self.nodes_per_unit if self.atomic else inside

    def per_zone(self, nodes: int, at_least: int = 0, quota_nodes: int | None = None) -> int:
        """The count for ``setSize``: enough for ``nodes``, within bounds, never below ``at_least``.

        ``at_least`` is what the fullest zone has ready: less would take nodes that serve. The
        bound wins over enough: 4 in 3 zones is 6, or 3 where no more than 5 are allowed.
        """
        most = self.max_nodes if quota_nodes is None else min(self.max_nodes, quota_nodes)
        enough = -(-nodes // self.zones)
        count = min(enough, most // self.zones)
        if self.atomic:
            count -= count % self.nodes_per_unit
        return max(count, at_least)

    def valid(self, per_zone: int) -> bool:
        """Whether the provider can have that count at all."""
        if self.atomic:
            return per_zone in (0, self.nodes_per_unit)
        return per_zone >= 0
