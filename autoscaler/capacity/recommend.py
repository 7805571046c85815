"""What to run a model on: accelerator, replicas, the target for an HPA, and the cost.

From profiles, objectives, a peak rate and a price table; cheapest first. Prices are the caller's:
none are shipped. Pure; the command prints it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from autoscaler.capacity.curve import ServiceCurve
from autoscaler.capacity.engine import Shape
from autoscaler.capacity.profiles import SHIPPED, CapacityProfile, Confidence
from autoscaler.capacity.work import WorkModel

_DEVIATIONS: Final = 2.0
"""Standard deviations of the requests in flight to have room for: small fleets need more each."""
_GROWTH_ROOM: Final = 0.85
"""Share of the sustainable rate to give an HPA as its target, for what comes while pods start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Objectives at the 95th percentile."""

    ttft_s: float = 2.0
    tpot_s: float = 0.060


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One way to serve the rate."""

    profile: str
    accelerator: str
    devices_per_replica: int
    replicas: int
    sustainable_rps: float  # of one replica, within the objectives
    hpa_target_rps: float  # averageValue on arrivals
    batch: int
    cost_per_hour: float | None  # None where the table has no price
    confidence: Confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A profile that cannot meet the objectives, and why."""

    profile: str
    why: str


def sustainable(profile: CapacityProfile, slo: Slo, shape: Shape) -> tuple[float, int] | str:
    """Requests a second of one replica and its batch; or why there are none."""
    linear = profile.engine.profile(shape, slo.tpot_s)
    if linear is None:
        return f"no batch holds {slo.tpot_s * 1000:g} ms a token at {shape.context():.0f} tokens"
    prefill_s = profile.engine.prefill_s(shape)
    if prefill_s >= slo.ttft_s:
        return f"one prefill takes {prefill_s:.2f} s, the objective is {slo.ttft_s:g} s"
    work = WorkModel.of(linear)
    curve = ServiceCurve.of(work, shape.input_tokens, shape.output_tokens, shape.prefix_hit)
    load = curve.sustainable_load(slo.ttft_s)
    request_s = work.request_s(shape.input_tokens, shape.output_tokens, shape.prefix_hit)
    return load / request_s, linear.concurrency


def replicas_for(rate_rps: float, per_replica_rps: float, batch: int) -> int:
    """Replicas for ``rate_rps``, with room for chance: it averages out only in large fleets."""
    load = rate_rps / per_replica_rps
    in_flight = max(load * batch, 0.0)
    return max(1, math.ceil(load + _DEVIATIONS * math.sqrt(in_flight) / batch - 1e-9))


def recommend(
    model: str,
    slo: Slo,
    rate_rps: float,
    shape: Shape,
    *,
    prices: Mapping[str, float] | None = None,
    profiles: Iterable[CapacityProfile] | None = None,
) -> tuple[list[Recommendation], list[Unfit]]:
    """Ways to serve ``rate_rps`` of ``model``, cheapest first, and profiles that cannot.

    ``prices`` are an hour of one device, by accelerator.
    """
    fit: list[Recommendation] = []
    unfit: list[Unfit] = []
    for profile in SHIPPED.values() if profiles is None else profiles:
        if profile.model != model:
            continue
        found = sustainable(profile, slo, shape)
        if isinstance(found, str):
            unfit.append(Unfit(profile=profile.key, why=found))
            continue
        per_replica, batch = found
        replicas = replicas_for(rate_rps, per_replica, batch)
        price = (prices or {}).get(profile.accelerator)
        fit.append(
            Recommendation(
                profile=profile.key,
                accelerator=profile.accelerator,
                devices_per_replica=profile.devices,
                replicas=replicas,
                sustainable_rps=per_replica,
                hpa_target_rps=_GROWTH_ROOM * per_replica,
                batch=batch,
                cost_per_hour=None if price is None else price * profile.devices * replicas,
                confidence=profile.confidence,
            )
        )
    fit.sort(
        key=lambda r: (
            r.cost_per_hour is None,
            r.cost_per_hour or 0.0,
            r.replicas * r.devices_per_replica,
            r.profile,
        )
    )
    return fit, unfit
