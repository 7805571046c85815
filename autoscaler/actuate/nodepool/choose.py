"""The one next step that brings a pool nearer to its size, or why there is none. Pure.

Never more than one operation in flight; never ``setSize`` on a pool that its own autoscaler
resizes; never less than what serves; a slice whole or not at all. Called by the driver each look.
"""

from __future__ import annotations

from dataclasses import replace

from autoscaler.actuate.nodepool.reading import Instance, Reading
from autoscaler.actuate.nodepool.shape import Shape
from autoscaler.actuate.nodepool.state import (
    PoolState,
    Release,
    SetFloor,
    SetSize,
    Stay,
    Step,
    Why,
)
from autoscaler.policy.pools import PoolMode

MOST_RELEASED = 50
"""Nodes given back by one request; the rest follow."""


def choose(
    state: PoolState,
    reading: Reading,
    units: int,
    *,
    shape: Shape,
    mode: PoolMode,
    now_s: float,
) -> Step:
    """The next step towards ``units`` units."""
    if state.operation:
        return Stay(Why.OPERATION)
    if now_s < state.retry_at_s:
        return Stay(Why.BACKING_OFF)
    if reading.gone:
        return Stay(Why.GONE)
    if now_s < state.held_until_s:
        return Stay(Why.FOREIGN)
    if mode in (PoolMode.SET_SIZE, PoolMode.LOCAL):
        step = _size(state, reading, units, shape, now_s)
    elif mode is PoolMode.FLOOR:
        step = _floor(state, reading, units, shape, now_s)
    else:
        step = Stay(Why.OBSERVED)
    if step == state.refused and now_s < state.refused_until_s:
        return Stay(Why.REFUSED)
    return step


def _size(state: PoolState, reading: Reading, units: int, shape: Shape, now_s: float) -> Step:
    if reading.autoscaling.enabled:
        return Stay(Why.AUTOSCALED)
    if not reading.settled:
        return Stay(Why.OPERATION)
    quota = state.quota(now_s)
    if quota is not None:  # it bounds what is added: what is there or coming may stay
        quota = max(quota, state.expected(reading))
    asked = shape.bounded(shape.nodes(units))
    within = shape.bounded(shape.nodes(units), quota)
    wanted = shape.per_zone(within, quota_nodes=quota) * shape.zones
    held_by = Why.QUOTA if within < asked else None
    keep = reading.fullest_zone()
    if state.circuit.is_open(now_s) and wanted > state.expected(reading):
        # Giving up an order keeps what came of it and takes back the rest; left standing, it
        # would be filled some hours later, when nobody needs it.
        wanted = shape.bounded(state.expected(reading))
        held_by = Why.STOCKOUT
    if held_by is not None and not state.overdue:
        keep = reading.fullest_zone(coming=True)
    target = reading.target_nodes
    if wanted > target:
        count = shape.per_zone(wanted, reading.fullest_zone(), quota)
        grows = count * shape.zones > target and shape.valid(count)
        return SetSize(count) if grows else Stay(held_by or Why.BOUND)
    if wanted < target:
        return _shrink(reading, wanted, keep, shape, held_by)
    if held_by is not None:
        return Stay(held_by)
    return Stay(Why.AT_SIZE if reading.ready_nodes >= target else Why.ARRIVING)


def _shrink(reading: Reading, wanted: int, keep: int, shape: Shape, held_by: Why | None) -> Step:
    """First what has not come, which serves nobody; then nodes that are empty, by name.

    ``setSize`` chooses its victims itself, so it is never used to shrink below what is ready.
    """
    ready = reading.ready_nodes
    if shape.atomic:
        serving = ready >= shape.nodes_per_unit and len(reading.empty) < ready
        return Stay(Why.DRAINING) if serving else SetSize(0)
    count = max(-(-wanted // shape.zones), keep)
    if reading.target_nodes > ready and count * shape.zones < reading.target_nodes:
        return SetSize(count)
    victims = _victims(reading, ready - wanted, shape)
    return Release(victims) if victims else Stay(held_by or Why.DRAINING)


def _victims(reading: Reading, surplus: int, shape: Shape) -> tuple[Instance, ...]:
    """Empty nodes of one zone, that with most ready: a request goes to one zone's group only."""
    by_zone: dict[str, list[Instance]] = {}
    for instance in reading.empty:
        by_zone.setdefault(instance.zone, []).append(instance)
    if not by_zone:
        return ()
    zone = min(by_zone, key=lambda name: (-reading.zones[name].ready, name))
    count = min(surplus, len(by_zone[zone]), MOST_RELEASED)
    count -= count % shape.nodes_per_unit
    return tuple(by_zone[zone][:count])


def _floor(state: PoolState, reading: Reading, units: int, shape: Shape, now_s: float) -> Step:
    now = reading.autoscaling
    if not now.enabled:
        return Stay(Why.NOT_AUTOSCALED)
    if not reading.settled:
        return Stay(Why.OPERATION)
    floor = now.floor_nodes(shape.zones)
    quota = state.quota(now_s)
    wanted = shape.bounded(shape.nodes(units), quota)
    wanted = min(wanted, now.ceiling_nodes(shape.zones))
    if state.circuit.is_open(now_s):
        wanted = min(wanted, max(floor, state.expected(reading)))
    if now.total_max is not None:
        better = replace(now, total_min=wanted)
    else:
        better = replace(now, zone_min=min(-(-wanted // shape.zones), now.zone_max))
    if better.floor_nodes(shape.zones) != floor:
        return SetFloor(better)
    if state.circuit.is_open(now_s):
        return Stay(Why.STOCKOUT)
    return Stay(Why.AT_SIZE if reading.ready_nodes >= wanted else Why.ARRIVING)
