"""Requests as work: the seconds of one reference replica that they cost.

Work is linear in the rates of requests, uncached input tokens and output tokens, so that a history
of rates is a history of work under any profile. Used by the planner and by ``recommend``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler.policy.profile import ProfilePolicy


@dataclass(frozen=True, slots=True)
class WorkModel:
    """What a full replica spends on each thing, in seconds."""

    per_request_s: float
    per_input_token_s: float
    per_output_token_s: float
    fixed_per_output_token_s: float
    """The part of ``per_output_token_s`` that a step costs however few sequences it runs."""
    concurrency: int

    @classmethod
    def of(cls, profile: ProfilePolicy) -> WorkModel:
        fixed = profile.decode_base_s / profile.concurrency
        return cls(
            per_request_s=profile.prefill_base_s,
            per_input_token_s=profile.prefill_per_token_s,
            per_output_token_s=profile.decode_per_sequence_s + fixed,
            fixed_per_output_token_s=fixed,
            concurrency=profile.concurrency,
        )

    def request_s(
        self, input_tokens: float, output_tokens: float, prefix_hit: float = 0.0
    ) -> float:
        """Replica-seconds of one request."""
        return (
            self.per_request_s
            + input_tokens * (1.0 - prefix_hit) * self.per_input_token_s
            + output_tokens * self.per_output_token_s
        )

    def rate(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Work a second of rows (requests, uncached input tokens, output tokens) a second."""
        weights = (self.per_request_s, self.per_input_token_s, self.per_output_token_s)
        return np.asarray(rows @ np.array(weights), dtype=np.float64)

    def fixed_share(self, input_tokens: float, output_tokens: float, prefix_hit: float) -> float:
        """Share of a request's work that batching spreads thin: f of the service curve."""
        whole = self.request_s(input_tokens, output_tokens, prefix_hit)
        return output_tokens * self.fixed_per_output_token_s / whole if whole > 0 else 1.0

    def prefill_s(self, input_tokens: float, prefix_hit: float) -> float:
        """Seconds until the first token of a request that waits for nobody."""
        return self.per_request_s + input_tokens * (1.0 - prefix_hit) * self.per_input_token_s
