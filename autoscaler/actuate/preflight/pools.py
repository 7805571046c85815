"""Node pools as they are against what the policy takes them for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.actuate.providers.gke_reading import autoscaling
from autoscaler.policy.pools import PoolKind, PoolMode, PoolPolicy


def judge(
    pool: PoolPolicy, node_pools: Mapping[str, Mapping[str, Any]], place: str
) -> list[Finding]:
    """What there is to say of ``pool``; ``place`` are gcloud's flags of its cluster."""
    name = pool.node_pool or pool.name
    subject = f"pool {pool.name}"
    found = node_pools.get(name)
    if found is None:
        known = ", ".join(sorted(node_pools)) or "none"
        return [Finding(Level.SHORT, subject, f"no node pool {name}; the cluster has {known}")]
    findings = [*_maximum(pool, found, place), *_mode(pool, found), *_zones(pool, found)]
    findings += _atomic(pool, found)
    for condition in found.get("conditions") or ():
        code = str(condition.get("code", ""))
        if code in ("GCE_STOCKOUT", "GCE_QUOTA_EXCEEDED"):
            findings.append(Finding(Level.NOTE, subject, f"its last growth ended in {code}"))
    findings += _bought_as(pool, found)
    return findings or [Finding(Level.OK, subject, f"node pool {name} is as the policy has it")]


def _bought_as(pool: PoolPolicy, found: Mapping[str, Any]) -> list[Finding]:
    """Spot, flex-start or neither; what is queued is not for workloads that come and go."""
    subject = f"pool {pool.name}"
    findings = []
    config = found.get("config") or {}
    for key, said, real in (
        ("spot", pool.spot, bool(config.get("spot"))),
        ("flexStart", pool.flex_start, bool(config.get("flexStart"))),
    ):
        if said != real:
            words = (key, f"not {key}") if said else (f"nothing of {key}", key)
            text = f"the policy says {words[0]}, it is {words[1]}"
            mend = f"write {key}: {str(real).lower()}"
            findings.append(Finding(Level.SHORT, subject, text, mend))
    if (found.get("queuedProvisioning") or {}).get("enabled"):
        text = "its nodes are only for pods that name a queued request, as a workload's cannot"
        mend = "make a pool of flex-start without queued provisioning"
        findings.append(Finding(Level.SHORT, subject, text, mend))
    elif life := str(config.get("maxRunDuration", "")):
        text = f"each of its nodes goes {life} after it came"
        findings.append(Finding(Level.NOTE, subject, text, "expect replicas to be replaced then"))
    return findings


def _maximum(pool: PoolPolicy, found: Mapping[str, Any], place: str) -> list[Finding]:
    limits = autoscaling(found.get("autoscaling") or {})
    if not limits.enabled:
        return []
    zones = len(found.get("locations") or ()) or 1
    most, wanted = limits.ceiling_nodes(zones), pool.max_units * pool.nodes_per_unit
    if most >= wanted:
        return []
    name = pool.node_pool or pool.name
    # Limits by zone and in total exclude each other, in the pool as on the command line.
    limit = f"--max-nodes={-(-wanted // zones)}"
    if limits.total_max is not None:
        limit = f"--total-max-nodes={wanted}"
    command = f"gcloud container node-pools update {name} {place} --enable-autoscaling {limit}"
    text = f"it grows to {most} nodes at most, maxUnits may want {wanted}"
    return [Finding(Level.SHORT, f"pool {pool.name}", text, command)]


def _mode(pool: PoolPolicy, found: Mapping[str, Any]) -> list[Finding]:
    on = bool((found.get("autoscaling") or {}).get("enabled"))
    subject = f"pool {pool.name}"
    if pool.mode is PoolMode.SET_SIZE and on:
        text = "mode setSize, and the pool has autoscaling on: it would be undone, so never written"
        return [Finding(Level.SHORT, subject, text, "write mode: buffer, or floor")]
    if pool.mode is PoolMode.FLOOR and not on:
        text = "mode floor, and the pool has autoscaling off: there is no floor"
        return [Finding(Level.SHORT, subject, text, "write mode: setSize, or switch it on")]
    asks_pods = (PoolMode.BUFFER, PoolMode.COMPUTE_CLASS, PoolMode.PLACEHOLDER)
    if pool.mode in asks_pods and not on:
        text = f"mode {pool.mode.value}, and nothing adds nodes to it: autoscaling is off"
        return [
            Finding(Level.SHORT, subject, text, "switch autoscaling on, or write mode: setSize")
        ]
    return []


def _zones(pool: PoolPolicy, found: Mapping[str, Any]) -> list[Finding]:
    there = set(found.get("locations") or ())
    subject = f"pool {pool.name}"
    findings = []
    if pool.zones and set(pool.zones) != there:
        text = (
            f"the policy says {', '.join(sorted(pool.zones))}, it is in {', '.join(sorted(there))}"
        )
        mend = f"write zones: [{', '.join(sorted(there))}]"
        findings.append(Finding(Level.SHORT, subject, text, mend))
    if pool.mode is PoolMode.SET_SIZE and len(there) > 1:
        text = f"setSize counts per zone: sizes are multiples of {len(there)} nodes"
        findings.append(Finding(Level.NOTE, subject, text, "use one pool a zone for finer steps"))
    return findings


def _atomic(pool: PoolPolicy, found: Mapping[str, Any]) -> list[Finding]:
    """A multi-host slice: its topology says how many nodes it has, and it has no other size."""
    topology = str((found.get("placementPolicy") or {}).get("tpuTopology", ""))
    if pool.kind is not PoolKind.TPU or not topology:
        return []
    machine = str((found.get("config") or {}).get("machineType", ""))
    chips = machine.rpartition("-")[2].removesuffix("t")
    if not chips.isdecimal():
        return []
    nodes = 1
    for side in topology.lower().split("x"):
        nodes *= int(side)
    nodes //= int(chips)
    subject = f"pool {pool.name}"
    findings = []
    if nodes != pool.nodes_per_unit:
        text = f"topology {topology} of {machine} has {nodes} nodes, not {pool.nodes_per_unit}"
        findings.append(Finding(Level.SHORT, subject, text, f"write nodesPerUnit: {nodes}"))
    if nodes > 1 and pool.max_units > 1:
        text = f"one slice is all that a node pool can be; maxUnits is {pool.max_units}"
        findings.append(Finding(Level.NOTE, subject, text, "make one node pool a slice"))
    return findings
