"""The plant file: what a simulated fleet is really like, as frozen values.

What it does not say of a pool, the policy says; a difference between the two is what the controller
has wrong. Bare numbers are seconds where a time is meant. Read by ``commands``, acted on by
``plant``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

from autoscaler.policy.model import Policy
from autoscaler.policy.profile import ProfilePolicy
from autoscaler.simulate.fault import Fault, Time
from loadstar.config.document import read
from loadstar.config.errors import ConfigError, Problem, did_you_mean
from loadstar.config.load import (
    NOT_EMPTY,
    Fraction,
    above,
    at_least,
    between,
    build,
    key,
)

LONGEST_DELAY_S = 300.0
"""Metrics that come later than this are none."""


class Shape(StrEnum):
    """How a duration scatters about its median."""

    UNIFORM = "uniform"  # median x (1 - spread .. 1 + spread)
    LOGNORMAL = "lognormal"  # exp(normal), spread its sigma: a long tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A duration by its distribution; ``240s`` alone is ``{median: 240s}``."""

    median_s: Annotated[Time, at_least(0)] = field(metadata=key("median"))
    spread: Annotated[Fraction, between(0, 1)] = 0.25
    shape: Shape = Shape.UNIFORM


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSpec:
    """What one replica of speed 1 really does."""

    profile: ProfilePolicy | None = None
    """Step times; absent: the policy's profile of the model."""
    throughput_rps: Annotated[float, above(0)] | None = None
    """At full load, of requests of ``inputTokens`` and ``outputTokens``: scales the profile."""
    input_tokens: Annotated[float, at_least(0)] = 1100.0
    output_tokens: Annotated[float, at_least(0)] = 200.0
    """Of the requests that ``throughputRps`` counts."""
    capacity_factor: Annotated[float, above(0)] = 1.0
    """True capacity over what is said above: 0.75 is a profile that promises a third too much."""

    def __post_init__(self) -> None:
        if self.throughput_rps is not None and self.input_tokens + self.output_tokens == 0:
            raise ValueError("throughputRps needs requests with tokens; write outputTokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """One pool as it really is; whatever is absent is as the policy has it."""

    name: Annotated[str, NOT_EMPTY]
    node_lead_time: Spread | None = None
    pod_lead_time: Spread | None = None
    warm_pod_lead_time: Spread = Spread(median_s=90.0)
    """Of a pod on a node that is already there."""
    price_per_unit_hour: Annotated[float, at_least(0)] | None = None
    replicas_per_unit: Annotated[int, at_least(1)] | None = None
    nodes_per_unit: Annotated[int, at_least(1)] | None = None
    zones: tuple[Annotated[str, NOT_EMPTY], ...] = ()
    quota_units: Annotated[int, at_least(0)] | None = field(default=None, metadata=key("quota"))
    quota_hidden: bool = False
    """The controller learns of the quota only by being refused."""
    speed: Annotated[float, above(0)] | None = None
    hazard_per_hour: Annotated[float, at_least(0)] | None = None
    initial_units: Annotated[int, at_least(0)] | None = None
    release_after_s: Time | None = field(default=None, metadata=key("releaseAfter"))
    """Rest after which an empty unit goes; absent: 120 s where the controller owns the nodes, else
    the cluster autoscaler's 600 s."""

    def __post_init__(self) -> None:
        if len(set(self.zones)) < len(self.zones):
            raise ValueError("zones names one twice; keep one")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackstopSpec:
    """A real HPA on arrivals over the controller's floor."""

    load: Annotated[Fraction, between(0.05, 1)] = 0.9
    """Share of full load that one replica is given by its target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantSpec:
    """The whole document."""

    pools: tuple[PoolSpec, ...] = ()
    """Those that are not here are as the policy has them."""
    replica: ReplicaSpec = ReplicaSpec()
    faults: tuple[Fault, ...] = ()
    initial_replicas: Annotated[int, at_least(0)] | None = None
    """Ready at the start; absent: what the first minutes need at 70 % load, within the policy."""
    noise_cv: Annotated[float, between(0, 5)] = 0.0
    """Variation of the arrivals of each 5 s about the demand's rate; 0: exactly as written."""
    abandon_after_s: Annotated[Time, at_least(5)] = field(
        default=120.0, metadata=key("abandonAfter")
    )
    drain_s: Time = field(default=60.0, metadata=key("drain"))
    metrics_delay_s: Annotated[Time, between(0, LONGEST_DELAY_S)] = field(
        default=15.0, metadata=key("metricsDelay")
    )
    scan_s: Time = field(default=10.0, metadata=key("clusterAutoscalerScan"))
    operation_s: Time = field(default=30.0, metadata=key("operationTime"))
    """How long a resize holds its pool against the next."""
    backstop: BackstopSpec | None = None


_DURATIONS = ("nodeLeadTime", "podLeadTime", "warmPodLeadTime")


def load_plant(document: object, place: str = "") -> PlantSpec:
    """The plant in YAML or JSON text, or in a document already read. Raises ConfigError."""
    value = read(document) if isinstance(document, str | bytes) else document
    spec = build(PlantSpec, _plain(value), place)
    problems: list[Problem] = []
    names = [pool.name for pool in spec.pools]
    for index, name in enumerate(names):
        if name in names[:index]:
            problems.append(Problem(_at(place, f"pools[{index}].name"), f'"{name}" is there twice'))
    if problems:
        raise ConfigError(problems)
    return spec


def matched(spec: PlantSpec, policy: Policy, place: str = "") -> PlantSpec:
    """``spec`` with every pool of the policy in it, in the policy's order.

    Raises ConfigError where it has a pool, or a fault of one, that the policy does not know: nobody
    would ever use it.
    """
    said = {pool.name: pool for pool in policy.pools}
    given = {pool.name: pool for pool in spec.pools}
    problems = []
    for index, pool in enumerate(spec.pools):
        where = _at(place, f"pools[{index}]")
        if pool.name not in said:
            hint = did_you_mean(pool.name, list(said))
            message = f'the policy has no pool "{pool.name}"{hint}'
            problems.append(Problem(f"{where}.name", message))
            continue
        limit = said[pool.name].quota_units if pool.quota_units is None else pool.quota_units
        if pool.initial_units is not None and limit is not None and pool.initial_units > limit:
            message = f"{pool.initial_units} is more than the pool's quota, {limit}"
            problems.append(Problem(f"{where}.initialUnits", message))
    zones = {n: (given[n].zones if n in given else ()) or p.zones for n, p in said.items()}
    for index, fault in enumerate(spec.faults):
        problems += _nowhere(fault, zones, _at(place, f"faults[{index}]"))
    if problems:
        raise ConfigError(problems)
    return replace(spec, pools=tuple(given.get(n) or PoolSpec(name=n) for n in said))


def _nowhere(fault: Fault, zones: Mapping[str, tuple[str, ...]], where: str) -> list[Problem]:
    """What is wrong with the place that a fault hits; ``zones`` are those of each pool."""
    if fault.pool and fault.pool not in zones:
        hint = did_you_mean(fault.pool, list(zones))
        return [Problem(f"{where}.pool", f'the policy has no pool "{fault.pool}"{hint}')]
    hit = zones[fault.pool] if fault.pool else sorted({z for each in zones.values() for z in each})
    if fault.zone and fault.zone not in hit:
        whose = f'the pool "{fault.pool}" is' if fault.pool else "any pool is"
        hint = did_you_mean(fault.zone, list(hit))
        return [Problem(f"{where}.zone", f'"{fault.zone}" is no zone that {whose} in{hint}')]
    return []


def _plain(value: object) -> object:
    """``value`` with the short forms written out: times as distributions, pools by name."""
    if not isinstance(value, Mapping):
        return value
    whole = dict(value)
    pools = whole.get("pools")
    if isinstance(pools, Mapping):
        for name, pool in pools.items():
            if not isinstance(pool, Mapping | None):
                raise ConfigError.of(f"pools.{name}", f"must be a mapping, not {pool!r}")
        whole["pools"] = [{"name": name, **(pool or {})} for name, pool in pools.items()]
    if isinstance(whole.get("pools"), list):
        whole["pools"] = [_plain_pool(pool) for pool in whole["pools"]]
    return whole


def _plain_pool(pool: object) -> object:
    if isinstance(pool, str):
        return {"name": pool}
    if not isinstance(pool, Mapping):
        return pool
    made = dict(pool)
    for name in _DURATIONS:
        if isinstance(made.get(name), str | int | float):
            made[name] = {"median": made[name]}
    return made


def _at(place: str, path: str) -> str:
    return f"{place}.{path}" if place else path
