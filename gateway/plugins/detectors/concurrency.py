"""``concurrency-detector``: how full endpoints are by what this gateway has sent them.

Rests on the gateway's own account, so it is never stale. As a filter it is a hard limit: when
nobody is below it, nobody fits (a 429), as in the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import numpy as np

from gateway.datalayer.state import Columns, PoolState
from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.producer_parameters import counted_until_the_end
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Bools, Floats, Ints
from loadstar.config.load import at_least

FULL = 1.0


class Mode(Enum):
    REQUESTS = "requests"
    TOKENS = "tokens"
    HYBRID = "hybrid"
    """Per endpoint, whichever of the two is fuller."""


@dataclass(frozen=True, slots=True)
class ConcurrencyParameters:
    max_concurrency: Annotated[int, at_least(1)] = 100
    """Requests in flight at which an endpoint is full."""
    max_token_concurrency: Annotated[int, at_least(1)] = 1_000_000
    concurrency_mode: Mode = Mode.REQUESTS
    headroom: Annotated[float, at_least(0)] = 0.0
    """As a filter, how far above the limits an endpoint may be: 0.2 is 20 %."""
    in_flight_load_producer_name: str = ""


@dataclass(frozen=True, slots=True)
class ConcurrencyDetector:
    """Everything in flight / everything that may be; in hybrid mode the mean over endpoints."""

    max_requests: float
    max_tokens: float
    mode: Mode
    headroom: float
    until_the_end: bool

    def saturation(self, state: PoolState, now: float) -> float:
        if not state.endpoints:
            return FULL
        requests, tokens = self._shares(state.columns, state.slots)
        match self.mode:
            case Mode.REQUESTS:
                return float(requests.mean())
            case Mode.TOKENS:
                return float(tokens.mean())
            case Mode.HYBRID:
                return float(np.maximum(requests, tokens).mean())

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools:
        """Below the limit with headroom, which is rounded down to a whole number."""
        requests, tokens = self._shares(candidates.columns, candidates.slots)
        below_requests: Bools = requests * self.max_requests < self._limit(self.max_requests)
        below_tokens: Bools = tokens * self.max_tokens < self._limit(self.max_tokens)
        match self.mode:
            case Mode.REQUESTS:
                return below_requests
            case Mode.TOKENS:
                return below_tokens
            case Mode.HYBRID:
                return below_requests & below_tokens

    def _limit(self, most: float) -> float:
        return float(int(most * (1.0 + self.headroom)))

    def _shares(self, columns: Columns, slots: Ints) -> tuple[Floats, Floats]:
        column = columns.inflight_tokens if self.until_the_end else columns.inflight_prefill
        return (
            columns.inflight_requests[slots] / self.max_requests,
            column[slots] / self.max_tokens,
        )


def concurrency_detector(parameters: ConcurrencyParameters, wiring: Wiring) -> ConcurrencyDetector:
    """Raises ValueError for a producer name that is not configured."""
    return ConcurrencyDetector(
        max_requests=float(parameters.max_concurrency),
        max_tokens=float(parameters.max_token_concurrency),
        mode=parameters.concurrency_mode,
        headroom=parameters.headroom,
        until_the_end=counted_until_the_end(wiring, parameters.in_flight_load_producer_name),
    )
