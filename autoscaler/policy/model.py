"""The autoscaling policy: what operators write, as frozen values. Defaults are right for most.

One document holds the models, the pools and the budget they share. ``load_policy`` reads it
strictly: every problem at once, each with its place. Decides nothing; read by all that decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from autoscaler.policy.consistency import contradictions
from autoscaler.policy.pools import PoolPolicy
from autoscaler.policy.profile import ProfilePolicy
from autoscaler.policy.schedule import SchedulePolicy
from loadstar.config.document import read
from loadstar.config.errors import ConfigError, did_you_mean
from loadstar.config.load import NOT_EMPTY, Fraction, Seconds, above, at_least, between, build, key


class Mode(StrEnum):
    """What becomes of a decision."""

    ACTIVE = "active"  # it is carried out
    ADVISORY = "advisory"  # it is published and recorded, and nothing is written
    OFF = "off"  # nothing is decided


class ServiceClass(StrEnum):
    """How much the loss of a pool may hurt."""

    INTERACTIVE = "interactive"
    BATCH = "batch"

    @property
    def survival(self) -> float:
        """Share of today's demand that must still be served without any one spot pool or zone."""
        return 1.0 if self is ServiceClass.INTERACTIVE else 0.8


WORKLOADS: Final = ("Deployment", "StatefulSet", "ReplicaSet", "LeaderWorkerSet")
MOST_REPLICAS: Final = 100_000
"""More is a slip of the pen, and sizes are looked at one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPolicy:
    """The workload that a variant's replicas are of, and what holds its floor."""

    kind: Annotated[str, NOT_EMPTY] = "Deployment"
    name: Annotated[str, NOT_EMPTY]
    namespace: str = ""
    """Empty: the model's."""
    hpa: str = ""
    scaled_object: str = ""

    def __post_init__(self) -> None:
        if self.kind not in WORKLOADS:
            hint = did_you_mean(self.kind, WORKLOADS)
            known = ", ".join(WORKLOADS)
            raise ValueError(f"kind {self.kind} cannot be scaled{hint}; known are {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPolicy:
    """One model on one pool."""

    pool: Annotated[str, NOT_EMPTY]
    target: TargetPolicy | None = None
    relative_speed: Annotated[float, above(0)] | None = None
    """Over the model's reference replica; absent: as ``profileRef`` tells, else the pool's."""
    profile_ref: str = ""
    """What a replica does here, as a shipped profile at the model's typical requests."""
    min_replicas: Annotated[int, at_least(0)] = 0
    max_replicas: Annotated[int, at_least(0)] | None = None

    def __post_init__(self) -> None:
        if self.max_replicas is not None and self.min_replicas > self.max_replicas:
            raise ValueError(
                f"minReplicas {self.min_replicas} is more than maxReplicas {self.max_replicas}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleDownPolicy:
    """How slowly to shrink."""

    window_s: Annotated[Seconds, at_least(0)] = field(default=900.0, metadata=key("window"))
    """Go down no sooner than this after going up, to the most that was wanted in a third of it."""
    per_minute: Annotated[Fraction, between(0.01, 1)] = 0.25
    after_stockout_s: Annotated[Seconds, at_least(0)] = field(
        default=1800.0, metadata=key("afterStockout")
    )
    """Give back nothing of a pool that could not deliver within this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleToZeroPolicy:
    """Whether, and after how long at rest, the last replica goes."""

    enabled: bool = False
    idle_s: Annotated[Seconds, above(0)] | None = field(default=None, metadata=key("idle"))
    """Absent: from how long the pauses were, against what a cold start costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPolicy:
    """What one model wants."""

    name: Annotated[str, NOT_EMPTY]
    namespace: str = "default"
    selector: Mapping[str, str] = field(default_factory=dict)
    engine: str = "vllm"
    slo_ttft_p95_s: Annotated[Seconds, above(0)] = field(default=2.0, metadata=key("sloTtftP95"))
    slo_tpot_p95_s: Annotated[Seconds, above(0)] = field(default=0.060, metadata=key("sloTpotP95"))
    service_class: ServiceClass = field(default=ServiceClass.INTERACTIVE, metadata=key("class"))
    min_replicas: Annotated[int, at_least(0)] = 1
    max_replicas: Annotated[int, between(1, MOST_REPLICAS)] = 64
    profile: ProfilePolicy | None = None
    profile_ref: str = ""
    """A shipped or fitted profile by its key; ``profile`` wins. Neither: the default profile."""
    typical_input_tokens: Annotated[float, at_least(0)] = 1000.0
    """Of a request, for ``profileRef``: what is measured takes over for work, not for the batch."""
    typical_output_tokens: Annotated[float, at_least(1)] = 200.0
    miss_rate: Annotated[Fraction, between(0.005, 0.5)] = 0.07
    """How often demand may exceed the forecast's upper bound before feedback corrects it."""
    violation_budget: Annotated[Fraction, between(0.0005, 0.2)] = 0.0035
    """Share of minutes that may violate the objective; the feedback steers to it."""
    scale_down: ScaleDownPolicy = ScaleDownPolicy()
    scale_to_zero: ScaleToZeroPolicy = ScaleToZeroPolicy()
    survive_zone_loss: bool = False
    """Whether today's demand must be served without any one zone, as it is without a spot pool."""
    schedules: tuple[SchedulePolicy, ...] = ()
    variants: tuple[VariantPolicy, ...] = ()
    """Absent: every pool, at the pool's relative speed."""

    def __post_init__(self) -> None:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"minReplicas {self.min_replicas} is more than maxReplicas {self.max_replicas}"
            )
        if self.min_replicas == 0 and not self.scale_to_zero.enabled:
            raise ValueError("minReplicas 0 needs scaleToZero: {enabled: true}")
        if self.scale_to_zero.enabled and self.min_replicas > 0:
            raise ValueError(
                f"scaleToZero cannot happen with minReplicas {self.min_replicas}; write 0"
            )
        pools = [variant.pool for variant in self.variants]
        for pool in pools:
            if pools.count(pool) > 1:
                raise ValueError(f'two variants name the pool "{pool}"; keep one')


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyPolicy:
    """The rails that hold whatever is forecast."""

    stale_after_s: Annotated[Seconds, above(0)] = field(default=45.0, metadata=key("staleAfter"))
    """Demand older than this is not known: nothing shrinks."""
    override_hold_s: Annotated[Seconds, at_least(0)] = field(
        default=900.0, metadata=key("overrideHold")
    )
    """How long to leave a size that somebody else has set."""
    min_reporting: Annotated[Fraction, between(0, 1)] = 0.6
    """Share of the replicas that must report for the supply to be known."""
    operations_per_hour: Annotated[int, at_least(1)] = 120
    kill_switch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The whole document."""

    models: Annotated[tuple[ModelPolicy, ...], NOT_EMPTY]
    pools: Annotated[tuple[PoolPolicy, ...], NOT_EMPTY]
    budget_per_hour: Annotated[float, above(0)] | None = None
    """The most that all pools together may cost in an hour; absent: no bound."""
    mode: Mode = Mode.ADVISORY
    period_s: Annotated[Seconds, between(1, 300)] = field(default=15.0, metadata=key("period"))
    safety: SafetyPolicy = SafetyPolicy()

    def model(self, name: str) -> ModelPolicy:
        """The model called ``name``; KeyError where the policy has none."""
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)

    def in_turn(self) -> tuple[ModelPolicy, ...]:
        """Models in the order in which they are served: the interactive first, then as written."""
        return tuple(
            sorted(self.models, key=lambda each: each.service_class is not ServiceClass.INTERACTIVE)
        )

    def pool(self, name: str) -> PoolPolicy:
        """The pool called ``name``; KeyError where the policy has none."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        raise KeyError(name)

    def variants(self, model: ModelPolicy) -> tuple[tuple[VariantPolicy, PoolPolicy], ...]:
        """Where ``model`` may run, in the policy's order."""
        if model.variants:
            return tuple((variant, self.pool(variant.pool)) for variant in model.variants)
        return tuple((VariantPolicy(pool=pool.name), pool) for pool in self.pools)


KIND = "AutoscalerPolicy"
API_VERSION = "loadstar.dev/v1alpha1"


def load_policy(document: object, place: str = "") -> Policy:
    """The policy in YAML or JSON text, or in a document already read. Raises ConfigError."""
    value = read(document) if isinstance(document, str | bytes) else document
    if isinstance(value, Mapping):
        value = _without_header(value, place)
    policy = build(Policy, value, place)
    problems = [problem.within(place) for problem in contradictions(policy)]
    if problems:
        raise ConfigError(problems)
    return policy


def _without_header(value: Mapping[str, object], place: str) -> dict[str, object]:
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if value.get(name, wanted) != wanted:
            raise ConfigError.of(_join(place, name), f"must be {wanted}")
    made = {name: item for name, item in value.items() if name not in ("apiVersion", "kind")}
    if made.get("mode") is False:
        made["mode"] = Mode.OFF.value  # what YAML makes of off without quotation marks
    return made


def _join(place: str, path: str) -> str:
    return f"{place}.{path}" if place else path
