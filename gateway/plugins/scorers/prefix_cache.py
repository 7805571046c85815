"""``prefix-cache-scorer``: the more of the prompt an endpoint is believed to hold, the better."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.producer_parameters import PrefixParameters
from gateway.scheduling.types import Candidates, Cycle
from loadstar.arrays import Floats, Ints, kernel
from loadstar.config.load import at_least, between, key

SCALE_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class PrefixCacheParameters:
    """What the reference's scorer takes, and what its ancestor took for the producer's part."""

    prefix_match_info_producer_name: str = ""
    match_length_weight: Annotated[float, between(0, 1)] = 0.0
    """How much the length of the match counts, beside its share of the prompt."""
    match_length_scale_tokens: int = SCALE_TOKENS
    """A match of this many tokens counts in full."""
    auto_tune: bool | None = None
    block_size: Annotated[int, at_least(1)] | None = None
    hash_block_size: Annotated[int, at_least(1)] | None = None
    block_size_tokens: Annotated[int, at_least(1)] | None = None
    max_prefix_blocks_to_match: Annotated[int, at_least(0)] | None = None
    max_prefix_tokens_to_match: Annotated[int, at_least(0)] | None = None
    lru_capacity_per_server: Annotated[int, at_least(1)] | None = field(
        default=None, metadata=key("lruCapacityPerServer")
    )

    def __post_init__(self) -> None:
        if self.match_length_weight > 0 and self.match_length_scale_tokens <= 0:
            raise ValueError(
                "matchLengthScaleTokens must be more than 0 when matchLengthWeight is, "
                f"not {self.match_length_scale_tokens}"
            )

    def own_producer(self) -> PrefixParameters | None:
        """The producer this scorer asks for itself; None if it says nothing of one."""
        return PrefixParameters.of(
            auto_tune=self.auto_tune,
            block_size=self.block_size if self.block_size is not None else self.hash_block_size,
            block_size_tokens=self.block_size_tokens,
            max_prefix_blocks_to_match=self.max_prefix_blocks_to_match,
            max_prefix_tokens_to_match=self.max_prefix_tokens_to_match,
            lru_capacity_per_server=self.lru_capacity_per_server,
        )


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """w * min(1, matched tokens / scale)^2 + (1 - w) * matched / total blocks."""

    producer: str
    length_weight: float = 0.0
    scale_tokens: float = float(SCALE_TOKENS)

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        match = cycle.matched(self.producer)
        if match is None or match.total_blocks == 0:
            return np.zeros(len(candidates))
        return _held(
            match.matched_blocks,
            candidates.slots,
            match.total_blocks,
            match.block_tokens / self.scale_tokens,
            self.length_weight,
        )


def prefix_cache(parameters: PrefixCacheParameters, wiring: Wiring) -> PrefixCache:
    """Raises ValueError for a producer name that is not configured."""
    return PrefixCache(
        producer=wiring.prefix_producer(
            PrefixParameters,
            parameters.prefix_match_info_producer_name,
            parameters.own_producer(),
        ),
        length_weight=parameters.match_length_weight,
        scale_tokens=float(max(parameters.match_length_scale_tokens, 1)),
    )


@kernel
def _held(matched: Ints, slots: Ints, total: int, block_share: float, weight: float) -> Floats:
    scores = np.empty(slots.size)
    for i in range(slots.size):
        blocks = matched[slots[i]]
        length = min(1.0, blocks * block_share)
        scores[i] = weight * length * length + (1.0 - weight) * blocks / total
    return scores
