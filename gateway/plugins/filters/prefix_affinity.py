"""``prefix-cache-affinity-filter``: stay with the endpoints that hold most of the prompt.

Unless the best of them would start so much later than the best of the others that computing the
prompt again is cheaper. Time to the first token is estimated from this gateway's own account.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.producer_parameters import PrefixParameters, counted_until_the_end
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools
from loadstar.config.load import at_least, between, key

PEAK_TOKENS_PER_SECOND = 15_928.0
"""The reference's calibration: a 32B model on two H100."""


@dataclass(frozen=True, slots=True)
class AffinityParameters:
    affinity_threshold: Annotated[float, between(0, 1)] = 0.8
    """Share of the prompt from which an endpoint counts as holding it; 0 keeps everybody."""
    exploration_probability: Annotated[float, between(0, 1)] = 0.0
    max_ttft_penalty_ms: Annotated[float, at_least(0)] = field(
        default=18_000.0, metadata=key("maxTTFTPenaltyMs")
    )
    """Milliseconds the cached endpoints may start later; 0 is any."""
    ttft_source: str = "prefillThroughput"
    peak_prefill_throughput: Annotated[float, at_least(0)] = PEAK_TOKENS_PER_SECOND
    prefix_match_info_producer_name: str = ""
    latency_prediction_info_producer_name: str = ""
    in_flight_load_producer_name: str = ""

    def __post_init__(self) -> None:
        if self.ttft_source == "latencyPredictor":
            raise ValueError(
                "ttftSource latencyPredictor needs the latency predictor, which is not built; "
                "use prefillThroughput"
            )
        if self.ttft_source != "prefillThroughput":
            raise ValueError(f'ttftSource must be prefillThroughput, not "{self.ttft_source}"')
        if self.max_ttft_penalty_ms > 0 and self.peak_prefill_throughput == 0:
            raise ValueError("peakPrefillThroughput must be more than 0")


@dataclass(frozen=True, slots=True)
class PrefixAffinity:
    threshold: float
    exploration: float
    most_tokens_behind: float
    """Tokens the best holder may have before it beyond the best other; inf is any."""
    until_the_end: bool
    producer: str

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        everybody = np.ones(len(candidates), np.bool_)
        match = cycle.matched(self.producer)
        if len(candidates) < 2 or self.threshold <= 0 or match is None or match.total_blocks == 0:
            return everybody
        if self.exploration > 0 and cycle.rng.random() < self.exploration:
            return everybody
        shares = match.matched_blocks[candidates.slots] / match.total_blocks
        holders: Bools = shares >= self.threshold
        if not holders.any() or holders.all():
            return everybody
        columns = candidates.columns
        column = columns.inflight_tokens if self.until_the_end else columns.inflight_prefill
        before = column[candidates.slots]
        behind = before[holders].min() - before[~holders].min()
        return everybody if behind > self.most_tokens_behind else holders


def prefix_affinity(parameters: AffinityParameters, wiring: Wiring) -> PrefixAffinity:
    """Raises ValueError for a producer name that is not configured."""
    penalty = parameters.max_ttft_penalty_ms
    return PrefixAffinity(
        threshold=parameters.affinity_threshold,
        exploration=parameters.exploration_probability,
        most_tokens_behind=(
            penalty / 1000 * parameters.peak_prefill_throughput if penalty else np.inf
        ),
        until_the_end=counted_until_the_end(wiring, parameters.in_flight_load_producer_name),
        producer=wiring.prefix_producer(
            PrefixParameters, parameters.prefix_match_info_producer_name
        ),
    )
