"""How one replica slows as it fills: load against concurrency, and the load that keeps the SLO.

Load 1 is all the work a replica can do. The running batch grows faster than the load does, so a
batch that looks half empty is a replica nearly full. Pure algebra.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from autoscaler.capacity.work import WorkModel

HIGHEST_LOAD: Final = 0.92
"""Above it the queue left by any burst takes minutes to drain, whatever the request's shape."""
LOWEST_LOAD: Final = 0.30
_LATE: Final = 0.03
"""Share of requests that may be late to their first token on a replica in steady state."""
_ROUTED_AMONG: Final = 4
"""Replicas among which a router can choose; more would flatter small fleets."""


@dataclass(frozen=True, slots=True)
class ServiceCurve:
    """A replica under requests of one shape."""

    fixed_share: float  # f: the work of decode steps' fixed cost, of all work
    prefill_share: float  # g: the work of prefill, of all work
    prefill_s: float  # a prefill nobody delays

    @classmethod
    def of(
        cls, work: WorkModel, input_tokens: float, output_tokens: float, prefix_hit: float = 0.0
    ) -> ServiceCurve:
        whole = work.request_s(input_tokens, output_tokens, prefix_hit)
        prefill = work.prefill_s(input_tokens, prefix_hit)
        return cls(
            fixed_share=work.fixed_share(input_tokens, output_tokens, prefix_hit),
            prefill_share=prefill / whole if whole > 0 else 0.0,
            prefill_s=prefill,
        )

    def concurrency(self, load: float) -> float:
        """Share of the batch in use, 0..1, at ``load``."""
        load = min(max(load, 0.0), 1.0)
        below = 1.0 - (1.0 - self.fixed_share) * load
        return self.fixed_share * load / below if below > 0 else 1.0

    def load(self, concurrency: float) -> float:
        """The load, 0..1, at which ``concurrency`` (share of the batch) is in use."""
        share = min(max(concurrency, 0.0), 1.0)
        return share / (self.fixed_share + share * (1.0 - self.fixed_share)) if share > 0 else 0.0

    def late(self, load: float, ttft_s: float, replicas: float) -> float:
        """Share of requests that wait behind others' prefills until after ``ttft_s``."""
        if self.prefill_s <= 0:
            return 0.0
        if ttft_s <= self.prefill_s:
            return 1.0
        busy = min(self.prefill_share * load, 0.999)
        tail_s = 2.0 * self.prefill_s / ((1.0 - busy) * math.sqrt(max(replicas, 1.0)))
        return busy * math.exp(-(ttft_s - self.prefill_s) / tail_s)

    def sustainable_load(self, ttft_s: float) -> float:
        """The highest load at which few enough first tokens are late."""
        if self.late(HIGHEST_LOAD, ttft_s, _ROUTED_AMONG) <= _LATE:
            return HIGHEST_LOAD
        low, high = LOWEST_LOAD, HIGHEST_LOAD
        for _ in range(20):
            middle = (low + high) / 2
            if self.late(middle, ttft_s, _ROUTED_AMONG) <= _LATE:
                low = middle
            else:
                high = middle
        return low
