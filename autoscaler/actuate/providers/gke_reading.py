"""GKE's and Compute's documents -> ``Reading``. Pure; called by the GKE provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autoscaler.actuate.nodepool.reading import Autoscaling, Instance, Operation, Reading, Zone
from autoscaler.actuate.refusals import is_quota, is_stockout


def reading(
    pool: Mapping[str, Any],
    groups: Mapping[str, Iterable[Mapping[str, Any]]],
    targets: Mapping[str, int],
    operation: Operation | None,
    empty_nodes: frozenset[str],
) -> Reading:
    """One look: ``groups`` and ``targets`` are the managed instances and target size by zone."""
    zones: dict[str, Zone] = {}
    empty: list[Instance] = []
    for zone, instances in sorted(groups.items()):
        listed = list(instances)
        ready = [_name(each) for each in listed if _is_ready(each)]
        codes = [code for each in listed for code in _codes(each)]
        zones[zone] = Zone(
            target=targets[zone],
            ready=len(ready),
            creating=sum(_is_coming(each) for each in listed),
            no_capacity=any(is_stockout(code) for code in codes),
            no_quota=any(is_quota(code) for code in codes),
            trouble=next((c for c in codes if not (is_stockout(c) or is_quota(c))), ""),
        )
        empty += [Instance(zone, name) for name in sorted(ready) if name in empty_nodes]
    return Reading(
        zones=zones,
        autoscaling=autoscaling(pool.get("autoscaling") or {}),
        status=str(pool.get("status", "")),
        conditions=tuple(str(each.get("code", "")) for each in pool.get("conditions", ())),
        operation=operation,
        empty=tuple(empty),
    )


def autoscaling(found: Mapping[str, Any]) -> Autoscaling:
    """A NodePoolAutoscaling; totals and per-zone limits exclude each other."""
    total = bool(found.get("totalMaxNodeCount"))
    return Autoscaling(
        enabled=bool(found.get("enabled", False)),
        total_min=int(found.get("totalMinNodeCount", 0)) if total else None,
        total_max=int(found["totalMaxNodeCount"]) if total else None,
        zone_min=int(found.get("minNodeCount", 0)),
        zone_max=int(found.get("maxNodeCount", 0)),
        location_policy=str(found.get("locationPolicy", "")),
        autoprovisioned=bool(found.get("autoprovisioned", False)),
    )


def failure(error: Mapping[str, Any]) -> str:
    """What is said of an operation that failed; "" of one that did not. A code may stand alone."""
    if not error:
        return ""
    return str(error.get("message") or f"failed with code {error.get('code', 'unknown')}")


def autoscaling_body(wanted: Autoscaling) -> dict[str, object]:
    """``wanted`` as the API takes it; all of it, for what is left out is reset."""
    body: dict[str, object] = {"enabled": wanted.enabled}
    if wanted.total_max is not None:
        body |= {"total_min_node_count": wanted.total_min, "total_max_node_count": wanted.total_max}
    else:
        body |= {"min_node_count": wanted.zone_min, "max_node_count": wanted.zone_max}
    if wanted.location_policy:
        body["location_policy"] = wanted.location_policy
    if wanted.autoprovisioned:
        body["autoprovisioned"] = True
    return body


def group_of(url: str) -> tuple[str, str]:
    """(zone, name) of an instance group's URL; raises ValueError for one that is none."""
    parts = url.rstrip("/").split("/")
    if len(parts) < 4 or parts[-4] != "zones":
        raise ValueError(f"{url!r} is not the URL of a zonal instance group")
    return parts[-3], parts[-1]


def _name(instance: Mapping[str, Any]) -> str:
    return str(instance.get("instance", "")).rsplit("/", 1)[-1]


def _is_ready(instance: Mapping[str, Any]) -> bool:
    return instance.get("instanceStatus") == "RUNNING" and instance.get("currentAction") == "NONE"


def _is_coming(instance: Mapping[str, Any]) -> bool:
    """Not one that failed, nor one that is on its way out."""
    leaves = instance.get("currentAction") in ("DELETING", "ABANDONING")
    return not (_is_ready(instance) or leaves or _codes(instance))


def _codes(instance: Mapping[str, Any]) -> list[str]:
    attempt = instance.get("lastAttempt") or {}
    errors = (attempt.get("errors") or {}).get("errors") or ()
    return [str(error.get("code", "")) for error in errors]
