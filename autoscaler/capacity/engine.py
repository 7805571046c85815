"""An engine on an accelerator as step times, and what follows for requests of one shape.

A step that decodes n sequences and prefills T tokens reads the weights once and computes on the
tokens; which of the two is slower rules. From that: a replica's batch under its objectives, and the
linear profile that the planner works with. Pure algebra.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from autoscaler.policy.profile import ProfilePolicy

_KV_IN_USE: Final = 0.9
"""Share of the KV cache that may be planned on: the rest is what growing sequences need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Mean tokens of a request."""

    input_tokens: float
    output_tokens: float
    prefix_hit: float = 0.0

    def uncached(self) -> float:
        return self.input_tokens * (1.0 - self.prefix_hit)

    def context(self) -> float:
        """Mean tokens that a decoding sequence holds."""
        return self.input_tokens + self.output_tokens / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineModel:
    """Step times of one replica (all its devices together)."""

    weights_s: float  # to read the weights once
    token_s: float  # to compute one token
    kv_read_s: float  # per token of context read by a decoding sequence
    attention_s: float  # per pair of tokens of a prompt
    overhead_s: float  # of a step
    sequence_s: float  # of a step per sequence
    kv_tokens: int
    max_sequences: int

    def decode_step_s(self, sequences: float, context: float) -> float:
        """One step of ``sequences`` that hold ``context`` tokens each."""
        compute = math.hypot(self.weights_s, self.token_s * sequences)
        each = self.sequence_s + self.kv_read_s * context
        return compute + self.overhead_s + each * sequences

    def prefill_s(self, shape: Shape) -> float:
        """Compute of one prompt, less what a prefix cache spares."""
        tokens = shape.uncached()
        cached = shape.input_tokens - tokens
        return tokens * (self.token_s + self.attention_s * (cached + tokens / 2.0))

    def batch(self, shape: Shape, tpot_s: float) -> int:
        """Sequences at once within ``tpot_s``, the KV cache and the engine's limit; 0: none."""
        if shape.output_tokens <= 0:
            return self.max_sequences
        most = min(self.max_sequences, int(_KV_IN_USE * self.kv_tokens / max(shape.context(), 1.0)))
        low, high = 0, max(0, most)
        while low < high:
            middle = (low + high + 1) // 2
            if self._tpot_s(middle, shape) <= tpot_s:
                low = middle
            else:
                high = middle - 1
        return low

    def _tpot_s(self, sequences: int, shape: Shape) -> float:
        """Time per output token at full load, when every other sequence's prefill comes between."""
        step = self.decode_step_s(sequences, shape.context())
        return step + (sequences - 1) * self.prefill_s(shape) / shape.output_tokens

    def profile(self, shape: Shape, tpot_s: float) -> ProfilePolicy | None:
        """The linear profile at ``shape``; None where not even one sequence meets ``tpot_s``."""
        batch = self.batch(shape, tpot_s)
        if batch < 1:
            return None
        alone = self.decode_step_s(0.0, shape.context())
        slope = (self.decode_step_s(batch, shape.context()) - alone) / batch
        tokens = max(shape.uncached(), 1.0)
        return ProfilePolicy(
            decode_base_s=alone,
            decode_per_sequence_s=slope,
            prefill_per_token_s=self.prefill_s(shape) / tokens
            if shape.uncached()
            else self.token_s,
            concurrency=batch,
        )
