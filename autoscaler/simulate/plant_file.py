"""The plant file: what a simulated fleet is really like, as frozen values.

What it does not say of a pool, the policy says; a difference between the two is what the controller
has wrong. Bare numbers are seconds where a time is meant. Read by ``commands``, acted on by
``plant``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, TypeAlias

from autoscaler.policy.model import Policy
from autoscaler.policy.profile import ProfilePolicy
from loadstar.config import units
from loadstar.config.document import read
from loadstar.config.errors import ConfigError, Problem, did_you_mean
from loadstar.config.load import (
    NOT_EMPTY,
    Fraction,
    Parse,
    above,
    at_least,
    between,
    build,
    key,
)

Time: TypeAlias = Annotated[float, Parse(units.duration, numbers=True), at_least(0)]


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
    capacity_factor: Annotated[float, above(0)] = 1.0
    """True capacity over what is said above: 0.75 is a profile that promises a third too much."""


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


class FaultKind(StrEnum):
    """What can go wrong."""

    STOCKOUT = "stockout"  # units asked for do not come until it is over
    PREEMPT = "preempt"  # units are taken away, at once
    QUOTA = "quota"  # the provider's limit becomes ``units``
    METRICS_GAP = "metricsGap"  # nothing is known of demand
    CAPACITY = "capacity"  # replicas do ``factor`` times the work
    SLOW = "slow"  # lead times are ``factor`` times as long
    CONFLICT = "conflict"  # somebody else's operation holds the pool
    API_ERROR = "apiError"  # mutating calls are answered ``status``
    RESIZE = "resize"  # somebody sets the pool to ``units``
    UNDO = "undo"  # the cluster autoscaler takes the newest ``units`` back
    NODE_LOSS = "nodeLoss"  # one node of ``units`` units fails: a slice is gone until repaired


INSTANT = frozenset({FaultKind.PREEMPT, FaultKind.RESIZE, FaultKind.UNDO, FaultKind.NODE_LOSS})
NEEDS_POOL = frozenset({FaultKind.QUOTA, FaultKind.RESIZE, FaultKind.UNDO})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong from ``at`` on, for ``duration``."""

    kind: FaultKind
    at_s: Time = field(metadata=key("at"))
    duration_s: Time = field(default=0.0, metadata=key("duration"))
    every_s: Annotated[Time, above(0)] | None = field(default=None, metadata=key("every"))
    """Again after this long, until the end."""
    pool: str = ""
    """Empty: every pool."""
    zone: str = ""
    """Empty: every zone."""
    units: Annotated[int, at_least(0)] | None = None
    share: Annotated[Fraction, between(0, 1)] | None = None
    factor: Annotated[float, above(0)] = 1.0
    status: Annotated[int, between(400, 599)] = 503
    late: bool = False
    """Of a stockout: what was asked for and given up comes all the same, when it is over."""

    def __post_init__(self) -> None:
        if self.kind in INSTANT and self.duration_s > 0:
            raise ValueError(f"{self.kind} happens at once: remove duration")
        if self.kind not in INSTANT and self.duration_s == 0 and self.kind not in LASTING:
            raise ValueError(f"{self.kind} needs a duration")
        if self.kind in NEEDS_POOL and not self.pool:
            raise ValueError(f"{self.kind} needs a pool")
        if self.kind in (FaultKind.QUOTA, FaultKind.RESIZE) and self.units is None:
            raise ValueError(f"{self.kind} needs units")
        if self.every_s is not None and self.every_s <= self.duration_s:
            raise ValueError("every must be longer than duration")


LASTING = frozenset({FaultKind.QUOTA, FaultKind.CAPACITY, FaultKind.SLOW})
"""Without a duration these last until the end."""


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
    metrics_delay_s: Time = field(default=15.0, metadata=key("metricsDelay"))
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
    names = [pool.name for pool in policy.pools]
    problems = []
    for index, pool in enumerate(spec.pools):
        if pool.name not in names:
            hint = did_you_mean(pool.name, names)
            where = _at(place, f"pools[{index}].name")
            problems.append(Problem(where, f'the policy has no pool "{pool.name}"{hint}'))
    for index, fault in enumerate(spec.faults):
        if fault.pool and fault.pool not in names:
            hint = did_you_mean(fault.pool, names)
            where = _at(place, f"faults[{index}].pool")
            problems.append(Problem(where, f'the policy has no pool "{fault.pool}"{hint}'))
    if problems:
        raise ConfigError(problems)
    given = {pool.name: pool for pool in spec.pools}
    return replace(spec, pools=tuple(given.get(n) or PoolSpec(name=n) for n in names))


def _plain(value: object) -> object:
    """``value`` with the short forms written out: times as distributions, pools by name."""
    if not isinstance(value, Mapping):
        return value
    whole = dict(value)
    pools = whole.get("pools")
    if isinstance(pools, Mapping):
        whole["pools"] = [
            {"name": name, **pool} if isinstance(pool, Mapping) else {"name": name}
            for name, pool in pools.items()
            if isinstance(pool, Mapping | None)
        ]
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
