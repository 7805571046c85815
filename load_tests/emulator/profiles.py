"""What a model on an accelerator costs in seconds: a table of engine profiles and one formula.

The step-time model is a roofline smoothed at its corner: reading the weights (memory) against
multiplying by them (compute), plus KV reads, attention, and fixed overheads. Sources per row:
public fits and benchmarks, named in ``basis``. Used by ``engine``; needs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType

BLOCK_TOKENS = 16
"""Tokens per KV block: vLLM's default on GPU."""


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """One model server: what a step costs, and how much it holds."""

    name: str
    model: str
    accelerator: str
    weights_s: float
    """Seconds to read all weights once: the floor of every step."""
    compute_s_per_token: float
    """Seconds of matrix multiplication per token in the step, prefill or decode."""
    kv_read_s_per_token: float
    """Seconds to read the KV of one context token of a decoding sequence."""
    attention_s_per_pair: float
    """Seconds per (query, key) pair of prefill attention."""
    overhead_s: float
    """Seconds of each step that neither computes nor reads."""
    overhead_s_per_sequence: float
    """The same, per decoding sequence: sampling, detokenising."""
    kv_blocks: int
    """KV cache size in blocks of ``BLOCK_TOKENS`` tokens."""
    max_batched_tokens: int
    """Token budget of one step (``--max-num-batched-tokens``)."""
    max_sequences: int
    """Most sequences running at once (``--max-num-seqs``)."""
    basis: str
    """Where the numbers come from, and how far to trust them."""
    api_overhead_s: float = 0.0156
    """Seconds in the API server before the engine sees a request (BLIS, fitted on vLLM)."""

    def __post_init__(self) -> None:
        if self.max_sequences > self.max_batched_tokens:
            raise ValueError(f"{self.name}: every sequence needs one token of the step's budget")

    @property
    def kv_tokens(self) -> int:
        return self.kv_blocks * BLOCK_TOKENS

    def step_seconds(
        self, prefill_tokens: int, decodes: int, context_tokens: int, attention_pairs: float
    ) -> float:
        """Seconds of one step, without noise.

        ``context_tokens`` sums the contexts of the ``decodes`` decoding sequences;
        ``attention_pairs`` sums chunk * (tokens before it + chunk / 2) over prefill chunks.
        """
        compute = self.compute_s_per_token * (prefill_tokens + decodes)
        return (
            sqrt(self.weights_s * self.weights_s + compute * compute)
            + self.kv_read_s_per_token * context_tokens
            + self.attention_s_per_pair * attention_pairs
            + self.overhead_s
            + self.overhead_s_per_sequence * decodes
        )

    def prefill_seconds(self, tokens: int, cached: int = 0) -> float:
        """Seconds to prefill ``tokens`` after ``cached`` others on an idle engine, in chunks."""
        seconds, done = 0.0, cached
        end = cached + tokens
        while done < end:
            chunk = min(self.max_batched_tokens, end - done)
            seconds += self.step_seconds(chunk, 0, 0, chunk * (done + chunk / 2))
            done += chunk
        return seconds

    def inter_token_seconds(self, batch: int, context: int) -> float:
        """Seconds between tokens with ``batch`` sequences of ``context`` tokens decoding."""
        return self.step_seconds(0, batch, batch * context, 0.0)

    @property
    def peak_prefill_rate(self) -> float:
        """Most prompt tokens per second: one full step (a router's calibration constant)."""
        return self.max_batched_tokens / self.prefill_seconds(self.max_batched_tokens)


_ALL = (
    EngineProfile(
        name="L4-8B",
        model="Llama-3.1-8B bf16",
        accelerator="L4 24GB",
        weights_s=0.0667,
        compute_s_per_token=231e-6,
        kv_read_s_per_token=0.624e-6,
        attention_s_per_pair=12.4e-9,
        overhead_s=0.0015,
        overhead_s_per_sequence=20e-6,
        kv_blocks=2048,
        max_batched_tokens=2048,
        max_sequences=128,
        basis="roofline with the A40 efficiencies of Vidur; an estimate, low confidence",
    ),
    EngineProfile(
        name="A100-8B",
        model="Llama-3.1-8B bf16",
        accelerator="A100-80GB",
        weights_s=0.0115,
        compute_s_per_token=69e-6,
        kv_read_s_per_token=0.0918e-6,
        attention_s_per_pair=3.73e-9,
        overhead_s=0.0005,
        overhead_s_per_sequence=15e-6,
        kv_blocks=25_437,
        max_batched_tokens=8192,
        max_sequences=256,
        basis="fit of Vidur's A100 Llama-3-8B profile (3.8 % error) plus the LM head; high",
    ),
    EngineProfile(
        name="H100-8B",
        model="Llama-3.1-8B bf16",
        accelerator="H100-80GB",
        weights_s=0.0066,
        compute_s_per_token=23.1e-6,
        kv_read_s_per_token=0.0559e-6,
        attention_s_per_pair=1.178e-9,
        overhead_s=0.0003,
        overhead_s_per_sequence=15e-6,
        kv_blocks=25_437,
        max_batched_tokens=8192,
        max_sequences=256,
        basis="llm-d WVA tutorial (ITL 7.0 ms alone, 8.7 ms at 64); Vidur's H100 7B fit; high",
    ),
    EngineProfile(
        name="H100x2-32B",
        model="Qwen3-32B bf16",
        accelerator="2x H100-80GB",
        weights_s=0.0135,
        compute_s_per_token=50e-6,
        kv_read_s_per_token=0.0559e-6,
        attention_s_per_pair=2.12e-9,
        overhead_s=0.003,
        overhead_s_per_sequence=15e-6,
        kv_blocks=19_208,
        max_batched_tokens=8192,
        max_sequences=256,
        basis="llm-d's measured peak prefill of 15.9 to 20.5 thousand tokens/s at TP2; high",
    ),
    EngineProfile(
        name="H100x4-70B",
        model="Llama-3.3-70B bf16",
        accelerator="4x H100-80GB",
        weights_s=0.0171,
        compute_s_per_token=58e-6,
        kv_read_s_per_token=0.0349e-6,
        attention_s_per_pair=1.473e-9,
        overhead_s=0.003,
        overhead_s_per_sequence=15e-6,
        kv_blocks=29_937,
        max_batched_tokens=8192,
        max_sequences=256,
        basis="fit of Vidur's H100 Llama-2-70B TP4 profile plus all-reduce; medium",
    ),
    EngineProfile(
        name="v6e-8-27B",
        model="Gemma-3-27B bf16",
        accelerator="TPU v6e-8 (2x4)",
        weights_s=0.0087,
        compute_s_per_token=31e-6,
        kv_read_s_per_token=0.0645e-6,
        attention_s_per_pair=0.692e-9,
        overhead_s=0.003,
        overhead_s_per_sequence=20e-6,
        kv_blocks=23_250,
        max_batched_tokens=4096,
        max_sequences=256,
        basis="scaled from llm-d's 26,290 tokens/s of Qwen3-32B on v6e TP8; low to medium",
    ),
    EngineProfile(
        name="v5e-8-27B",
        model="Gemma-3-27B bf16",
        accelerator="TPU v5e-8 (2x4)",
        weights_s=0.0174,
        compute_s_per_token=138e-6,
        kv_read_s_per_token=0.129e-6,
        attention_s_per_pair=3.22e-9,
        overhead_s=0.003,
        overhead_s_per_sequence=20e-6,
        kv_blocks=7000,
        max_batched_tokens=2048,
        max_sequences=128,
        basis="the v6e row's efficiency at v5e's peak; an estimate, low confidence",
    ),
)

PROFILES: Mapping[str, EngineProfile] = MappingProxyType({p.name: p for p in _ALL})
