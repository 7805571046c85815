"""Accelerator quota against what the policy may come to want. Pure; documents in, findings out.

Older families have a quota of their own in the region; newer ones share one with a dimension for
the family. Spot and flex-start draw on the preemptible quota where there is one. TPUs have theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autoscaler.actuate.preflight.finding import ASKER, Finding, Level
from autoscaler.policy.pools import PoolKind, PoolPolicy

_TPU_CHIPS = re.compile(r"-(\d+)t$")
_MEMORY = re.compile(r"_\d+GB$")


@dataclass(frozen=True, slots=True)
class Need:
    """Chips of one family, that pools drawing on one quota may want together."""

    family: str  # as machines are labelled: nvidia-l4, tpu-v5-lite-podslice
    kind: PoolKind
    preemptible: bool
    chips: int
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit, and how much of it is used where that is known."""

    id: str
    limit: float
    usage: float | None = None
    family: str = ""
    """As its dimension has it, where there is one."""


def chips_per_node(node_pool: Mapping[str, Any]) -> tuple[str, int]:
    """Family and chips of a node pool's machines, from its document; ("", 0) for none."""
    config = node_pool.get("config") or {}
    for accelerator in config.get("accelerators") or ():
        return str(accelerator.get("acceleratorType", "")), int(
            accelerator.get("acceleratorCount", 0)
        )
    found = _TPU_CHIPS.search(str(config.get("machineType", "")))
    if found:
        return str(config["machineType"]).rpartition("-")[0], int(found[1])
    return "", 0


def needs(
    pools: Iterable[PoolPolicy], node_pools: Mapping[str, Mapping[str, Any]]
) -> tuple[Need, ...]:
    """What the pools may come to want at their maxUnits, by the quota that it draws on."""
    found: dict[tuple[str, PoolKind, bool], tuple[int, tuple[str, ...]]] = {}
    for pool in pools:
        document = node_pools.get(pool.node_pool or pool.name)
        family, chips = ("", 0) if document is None else chips_per_node(document)
        if not chips:
            continue
        key = (family, pool.kind, pool.spot or pool.flex_start)
        before, names = found.get(key, (0, ()))
        want = pool.max_units * pool.nodes_per_unit * chips
        found[key] = (before + want, (*names, pool.name))
    return tuple(
        Need(family, kind, preemptible, chips, names)
        for (family, kind, preemptible), (chips, names) in sorted(found.items())
    )


def judge(
    need: Need,
    regional: Iterable[Mapping[str, Any]],
    infos: Iterable[Mapping[str, Any]],
    *,
    project: str,
    region: str,
) -> Finding:
    """Whether ``need`` fits: ``regional`` are a region's quotas, ``infos`` the quota API's."""
    quota = _regional(need, regional) or _by_family(need, infos, region)
    subject = f"quota of {need.family}{' (preemptible)' if need.preemptible else ''} in {region}"
    pools = ", ".join(need.pools)
    if quota is None:
        return Finding(
            Level.UNKNOWN, subject, f"no quota found for the {need.chips} chips of {pools}"
        )
    used = "" if quota.usage is None else f", {quota.usage:g} in use"
    text = f"{quota.limit:g} chips{used}; {pools} may want {need.chips}"
    if quota.limit >= need.chips:
        return Finding(Level.OK, subject, text)
    dimensions = f"region={region}"
    if quota.family:
        kind = "tpu" if need.kind is PoolKind.TPU else "gpu"
        dimensions += f",{kind}_family={quota.family}"
    return Finding(
        Level.SHORT,
        subject,
        text,
        f"gcloud beta quotas preferences create --project={project} "
        f"--service=compute.googleapis.com --quota-id={quota.id} "
        f"--preferred-value={need.chips} --dimensions={dimensions} --email={ASKER}",
    )


def judge_global(chips: int, quotas: Iterable[Mapping[str, Any]], project: str) -> Finding | None:
    """The quota of GPUs in all regions together, where the project has one."""
    for quota in quotas:
        if quota.get("metric") == "GPUS_ALL_REGIONS":
            limit, used = float(quota.get("limit", 0)), float(quota.get("usage", 0))
            text = f"{limit:g} GPUs, {used:g} in use; the pools may want {chips}"
            if limit >= chips:
                return Finding(Level.OK, "quota of GPUs in all regions", text)
            command = (
                f"gcloud beta quotas preferences create --project={project} "
                f"--service=compute.googleapis.com --quota-id=GPUS-ALL-REGIONS-per-project "
                f"--preferred-value={chips} --email={ASKER}"
            )
            return Finding(Level.SHORT, "quota of GPUs in all regions", text, command)
    return None


def _regional(need: Need, quotas: Iterable[Mapping[str, Any]]) -> Quota | None:
    """``PREEMPTIBLE_NVIDIA_L4_GPUS`` before ``NVIDIA_L4_GPUS``, of what is preemptible."""
    if need.kind is PoolKind.TPU:
        return None
    plain = [f"{word}_GPUS" for word in _words(need.family)]
    preemptible = [f"PREEMPTIBLE_{each}" for each in plain]
    wanted = [*preemptible, *plain] if need.preemptible else plain
    by_metric = {str(each.get("metric")): each for each in quotas}
    for metric in wanted:
        found = by_metric.get(metric)
        if found is not None:
            return Quota(
                f"{metric.replace('_', '-')}-per-project-region",
                float(found.get("limit", 0)),
                float(found.get("usage", 0)),
            )
    return None


def _by_family(need: Need, infos: Iterable[Mapping[str, Any]], region: str) -> Quota | None:
    """The entry of the quota API for our family and region."""
    tpu = need.kind is PoolKind.TPU
    metric = "tpus_per_tpu_family" if tpu else "gpus_per_gpu_family"
    dimension = "tpu_family" if tpu else "gpu_family"
    families = (_tpu(need.family),) if tpu else _words(need.family)
    wanted = [f"preemptible_{metric}", metric] if need.preemptible else [metric]
    listed = list(infos)
    for name in wanted:
        for info in listed:
            if str(info.get("metric", "")).rpartition("/")[2] != name:
                continue
            for each in info.get("dimensionsInfos") or ():
                said = each.get("dimensions") or {}
                family = _word(str(said.get(dimension, "")))
                if family in families and said.get("region", region) == region:
                    limit = float((each.get("details") or {}).get("value", 0))
                    return Quota(str(info.get("quotaId", name)), limit, family=family)
    return None


def _words(family: str) -> tuple[str, ...]:
    """What a family may be called: newer ones are named without the memory that machines name."""
    word = _word(family)
    return tuple(dict.fromkeys((word, _MEMORY.sub("", word)))) if "A100" not in word else (word,)


def _word(family: str) -> str:
    """``nvidia-h100-80gb`` -> ``NVIDIA_H100_80GB``, less what the old metrics leave out."""
    word = family.upper().replace("-", "_")
    # An A100 with 40 GB is NVIDIA_A100, and the L4's and T4's old names have a brand before them.
    return word.replace("NVIDIA_TESLA_", "NVIDIA_")


def _tpu(family: str) -> str:
    """A TPU machine's family as the quota has it: ``ct5lp`` is CT5LP."""
    return family.partition("-")[0].upper()
