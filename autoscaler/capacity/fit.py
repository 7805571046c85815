"""A replica's step times from a sweep of measured load: the profile of your own engine.

Time per output token grows with the sequences that decode and with the prefills that come between;
that is linear in the three unknowns, so a sweep of a few rates is enough. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls

from autoscaler.capacity.bench import BenchPoint
from autoscaler.policy.profile import ProfilePolicy

_LEAST_POINTS: Final = 3
_QUIET_SHARE: Final = 0.5
"""Points below this share of the busiest one's decoding sequences tell a first token alone."""
_TTFT_WEIGHT: Final = 0.3
_BEYOND: Final = 1.5
"""How far beyond the fullest batch that was measured the profile may be believed."""


class CannotFit(ValueError):
    """The points do not tell a profile; the message says what to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A profile, and how well it tells what was measured."""

    profile: ProfilePolicy
    points: int
    mean_error: float  # of the time per output token, relative
    most_decoding: float
    """The fullest batch that was measured."""


def fit(points: Sequence[BenchPoint], tpot_s: float) -> Fit:
    """The profile of ``points``, with the batch that keeps ``tpot_s``. Raises CannotFit."""
    models = sorted({point.model for point in points if point.model})
    if len(models) > 1:
        raise CannotFit(f"results of several models: {', '.join(models)}; give those of one")
    usable = [p for p in points if p.output_tokens > 1.5 and p.tpot_s > 0 and p.rate_rps > 0]
    if len(usable) < _LEAST_POINTS:
        raise CannotFit(
            f"{len(usable)} usable results; measure at least {_LEAST_POINTS} request rates, from "
            "nearly idle to nearly full, with streaming on"
        )
    busiest = max(point.decoding() for point in usable)
    quietest = min(point.decoding() for point in usable)
    if busiest < 2.0 * quietest:
        raise CannotFit(
            f"all results decode about {busiest:.1f} sequences at once; spread the request rates"
        )
    rows: list[list[float]] = []
    seen: list[float] = []
    for point in usable:
        prefills = point.rate_rps * point.input_tokens * point.tpot_s
        weight = 1.0 / point.tpot_s
        rows.append([weight, weight * point.decoding(), weight * prefills, 0.0])
        seen.append(1.0)
        if point.decoding() <= quietest + _QUIET_SHARE * (busiest - quietest):
            # The first token waits for half a step on average before its own prefill runs.
            near = _TTFT_WEIGHT / max(point.ttft_s, 1e-6)
            rows.append([0.0, 0.0, near * point.input_tokens, near])
            seen.append(near * max(point.ttft_s - point.tpot_s / 2.0, 0.0))
    found, _ = nnls(np.array(rows), np.array(seen))
    base, slope, prefill, extra = (float(value) for value in found)
    if base <= 0 or slope + prefill <= 0:
        raise CannotFit("time per output token does not grow with load; raise the request rates")
    said = [
        base + slope * p.decoding() + prefill * p.rate_rps * p.input_tokens * p.tpot_s
        for p in usable
    ]
    errors = [abs(s / p.tpot_s - 1.0) for s, p in zip(said, usable, strict=True)]
    shape = usable[-1]
    per_output = prefill * shape.input_tokens / shape.output_tokens
    batch = (tpot_s - base + per_output) / max(slope + per_output, 1e-9)
    batch = min(batch, _BEYOND * busiest)
    if batch < 1:
        raise CannotFit(
            f"one sequence alone takes {base * 1000:.1f} ms a token; the objective less"
        )
    profile = ProfilePolicy(
        decode_base_s=base,
        decode_per_sequence_s=max(slope, 1e-9),
        prefill_per_token_s=max(prefill, 1e-9),
        prefill_base_s=extra,
        concurrency=int(batch),
    )
    return Fit(
        profile=profile,
        points=len(usable),
        mean_error=sum(errors) / len(errors),
        most_decoding=busiest,
    )
