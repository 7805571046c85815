"""``token-load-scorer``: the fewer tokens an endpoint has before it, the better.

Counts what this gateway has sent and this request, so it is never stale: prompt tokens not yet
computed, and with
``addEstimatedOutputTokens`` of the inflight-load-producer everything until the response ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.producer_parameters import PrefixParameters, counted_until_the_end
from gateway.scheduling.sizes import uncached_tokens
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints, kernel
from loadstar.config.load import at_least

THRESHOLD_TOKENS = 4_194_304
"""The reference's: 128 requests of 32K tokens."""


@dataclass(frozen=True, slots=True)
class TokenLoadParameters:
    queue_threshold_tokens: Annotated[int, at_least(1)] = THRESHOLD_TOKENS
    in_flight_load_producer_name: str = ""


@dataclass(frozen=True, slots=True)
class TokenLoad:
    """1 - min(t, T) / T for t tokens in flight and of this request, T the threshold."""

    threshold: float
    until_the_end: bool
    """Count a request until it ends, output included; else until its first token."""
    producer: str

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        columns = candidates.columns
        return _light(
            columns.inflight_tokens if self.until_the_end else columns.inflight_prefill,
            candidates.slots,
            uncached_tokens(cycle.request, cycle.matched(self.producer), candidates),
            self.threshold,
        )


def token_load(parameters: TokenLoadParameters, wiring: Wiring) -> TokenLoad:
    """Raises ValueError for a producer name that is not configured."""
    return TokenLoad(
        threshold=float(parameters.queue_threshold_tokens),
        until_the_end=counted_until_the_end(wiring, parameters.in_flight_load_producer_name),
        producer=wiring.prefix_producer(PrefixParameters),
    )


@kernel
def _light(inflight: Ints, slots: Ints, own: Floats, threshold: float) -> Floats:
    scores = np.empty(slots.size)
    for i in range(slots.size):
        tokens = max(inflight[slots[i]] + own[i], 0.0)
        scores[i] = 1.0 - min(tokens, threshold) / threshold
    return scores
