"""Parameters of producers, which scorers and filters must know to be wired to them.

Names, defaults and precedence are the reference's ``approx-prefix-cache-producer`` and
``inflight-load-producer``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from gateway.scheduling.plugin_type import Wiring
from loadstar.config.load import at_least, key

DEFAULT_INFLIGHT = "inflight-load-producer"

BLOCK_TOKENS = 64
"""Tokens of one hashed block. The reference's floor: 16, an engine's own block, would cost four
times the memory for a match that is hardly finer."""
MAX_TOKENS = 131_072
MAX_BLOCKS = 2_048
CAPACITY_PER_SERVER = 31_250
"""Blocks remembered per endpoint: 500K tokens of KV cache in blocks of 16."""


@dataclass(frozen=True, slots=True)
class PrefixParameters:
    """How prompts are cut into blocks, and how many are remembered per endpoint."""

    auto_tune: bool = True
    """Take the block size, where larger, and the capacity from what the endpoints report."""
    block_size_tokens: Annotated[int, at_least(1)] = BLOCK_TOKENS
    block_size: Annotated[int, at_least(0)] = 0
    """Deprecated name of ``block_size_tokens``."""
    max_prefix_blocks_to_match: Annotated[int, at_least(0)] = MAX_BLOCKS
    """Only if ``max_prefix_tokens_to_match`` is 0; 0 is no limit."""
    max_prefix_tokens_to_match: Annotated[int, at_least(0)] = MAX_TOKENS
    lru_capacity_per_server: Annotated[int, at_least(1)] = field(
        default=CAPACITY_PER_SERVER, metadata=key("lruCapacityPerServer")
    )

    @classmethod
    def of(
        cls,
        *,
        auto_tune: bool | None,
        block_size: int | None,
        block_size_tokens: int | None,
        max_prefix_blocks_to_match: int | None,
        max_prefix_tokens_to_match: int | None,
        lru_capacity_per_server: int | None,
    ) -> PrefixParameters | None:
        """The defaults with what is given; None if nothing is."""
        given: dict[str, int | bool] = {
            name: value
            for name, value in {
                "auto_tune": auto_tune,
                "block_size": block_size,
                "block_size_tokens": block_size_tokens,
                "max_prefix_blocks_to_match": max_prefix_blocks_to_match,
                "max_prefix_tokens_to_match": max_prefix_tokens_to_match,
                "lru_capacity_per_server": lru_capacity_per_server,
            }.items()
            if value is not None
        }
        if not given:
            return None
        made = replace(cls(), **given)  # type: ignore[arg-type]  # each name has its own type
        if max_prefix_blocks_to_match is not None and max_prefix_tokens_to_match is None:
            # Said in blocks by somebody who knew no limit in tokens: theirs is the one meant.
            made = replace(made, max_prefix_tokens_to_match=0)
        return made

    @property
    def block_tokens(self) -> int:
        """Tokens of one block."""
        if self.block_size and self.block_size_tokens == BLOCK_TOKENS:
            return self.block_size
        return self.block_size_tokens

    def max_blocks(self, block_tokens: int) -> int:
        """Blocks of ``block_tokens`` to look at, at most; never more than ``HARD_LIMIT``."""
        if self.max_prefix_tokens_to_match > 0:
            return min(self.max_prefix_tokens_to_match // block_tokens, HARD_LIMIT)
        return min(self.max_prefix_blocks_to_match or HARD_LIMIT, HARD_LIMIT)


HARD_LIMIT = 1 << 16
"""Blocks of one prompt: a million tokens in blocks of 16. Keeps an unlimited match bounded."""


@dataclass(frozen=True, slots=True)
class InflightLoad:
    """``inflight-load-producer``: the account is always kept; this says what is counted."""

    add_estimated_output_tokens: bool = False
    """Count tokens until the response ends, output included; else until the first token."""
    output_ratio: Annotated[float, at_least(0)] = 1.5
    max_estimated_output_tokens: Annotated[int, at_least(0)] | None = None
    prefix_match_info_producer_name: str = ""
    sync_cross_replica_state: bool = True


def counted_until_the_end(wiring: Wiring, named: str = "") -> bool:
    """Whether token loads count requests until they end, rather than until their first token.

    As the inflight-load-producer ``named`` says, else the configured one; the default one need
    not be written down to be referred to. Raises ValueError for a name that is not there.
    """
    inflight = wiring.parameters(InflightLoad, "" if named == DEFAULT_INFLIGHT else named)
    return inflight is not None and inflight.add_estimated_output_tokens
