"""Small engines and small requests for the emulator's tests, by hand and by hypothesis."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from load_tests.emulator.adapters import AdapterSlots
from load_tests.emulator.engine import Engine, EngineRequest
from load_tests.emulator.profiles import PROFILES, EngineProfile

ROUND = replace(
    PROFILES["H100-8B"],
    name="round numbers",
    weights_s=0.0,
    compute_s_per_token=0.001,
    kv_read_s_per_token=0.0,
    attention_s_per_pair=0.0,
    overhead_s=0.01,
    overhead_s_per_sequence=0.0,
    kv_blocks=64,
    max_batched_tokens=100,
    max_sequences=8,
    api_overhead_s=0.0,
)
"""10 ms a step and 1 ms a token, so that timings can be worked out by hand."""


def engine(
    profile: EngineProfile = ROUND,
    *,
    noise: float = 0.0,
    unit_blocks: int = 1,
    adapters: AdapterSlots | None = None,
) -> Engine:
    return Engine(
        profile, rng=random.Random(1), noise=noise, unit_blocks=unit_blocks, adapters=adapters
    )


def chained(names: Sequence[int]) -> tuple[int, ...]:
    """Distinct hashes such that equal prefixes of ``names`` give equal hashes."""
    hashes, seed = [], 1
    for name in names:
        seed = hash((seed, name)) & (2**62 - 1)
        hashes.append(seed)
    return tuple(hashes)


@st.composite
def requests(draw: st.DrawFn) -> EngineRequest:
    """Prompts that often share their beginning, in a cache that often overflows."""
    names = draw(st.lists(st.integers(0, 1), max_size=6))
    return EngineRequest(
        prompt_tokens=draw(st.integers(max(1, len(names) * 16 - 20), len(names) * 16 + 30)),
        output_tokens=draw(st.integers(1, 60)),
        hashes=chained(names),
    )
