"""``approx-prefix-cache-producer``: which endpoints were lately sent the beginning of this prompt.

Approximate: it remembers what was sent where, in bounded memory, and asks no engine. Finds
matches before scoring, learns from every decision, forgets endpoints that left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.datalayer.state import Columns, Endpoint
from gateway.prefix.blocks import block_hashes, prefix_seed
from gateway.prefix.exchange import Inbox
from gateway.prefix.index import PrefixIndex
from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.producer_parameters import PrefixParameters
from gateway.scheduling.sizes import BYTES_PER_TOKEN
from gateway.scheduling.types import Cycle, Decision, PrefixMatch
from loadstar.arrays import Floats, Ints, kernel

PREFILL_PROFILE = "prefill"
SHELF_SLOTS = 1024
"""Endpoints per index; a pool that grows gets one more, and nothing is copied or forgotten. Rows
cost address space until they are used, not memory."""


class ApproxPrefix:
    """``Cycle.prefixes[name]``; also ``Cycle.prefix``, unless another was first."""

    def __init__(self, name: str, parameters: PrefixParameters, inbox: Inbox | None = None) -> None:
        """``inbox`` is shared with namesakes in other workers, where there are some."""
        self._name = name
        self._parameters = parameters
        self._inbox = inbox
        self._shelves: list[PrefixIndex] = []

    def produce(self, cycle: Cycle) -> None:
        body = cycle.request.body
        if body is None or not body.prompt_bytes:
            return
        self.catch_up()
        state = cycle.state
        block_tokens = self._block_tokens(state.columns, state.slots)
        hashes = block_hashes(
            body.prompt,
            prefix_seed(cycle.target_model, body.cache_salt),
            block_tokens * BYTES_PER_TOKEN,
            self._parameters.max_blocks(block_tokens),
        )
        match = PrefixMatch(
            hashes=hashes,
            block_tokens=block_tokens,
            matched_blocks=self._match(hashes, state.slots, state.columns.capacity),
            total_blocks=len(hashes),
        )
        cycle.prefixes[self._name] = match
        if cycle.prefix is None:
            cycle.prefix = match

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        """The endpoint (and the one that prefills, if another) will hold this prompt."""
        self.served(cycle, decision, decision.endpoints[0])
        prefill = decision.results.get(PREFILL_PROFILE)
        if prefill is not None and prefill.picked and decision.profile != PREFILL_PROFILE:
            self.served(cycle, decision, prefill.picked[0])

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        match = cycle.prefixes.get(self._name)
        if match is None or match.total_blocks == 0:
            return
        limit = self._holds(cycle.state.columns, endpoint.slot, match.block_tokens)
        self._record(endpoint.slot, match.hashes, limit)
        if self._inbox is not None:
            self._inbox.tell(endpoint.slot, match.hashes, limit)

    def catch_up(self) -> None:
        """Learn what other workers have sent where."""
        if self._inbox is not None:
            for sent in self._inbox.news():
                self._record(sent.slot, sent.hashes, sent.limit)

    def left(self, endpoint: Endpoint) -> None:
        shelf, row = divmod(endpoint.slot, SHELF_SLOTS)
        if shelf < len(self._shelves):
            self._shelves[shelf].drop(row)

    def blocks(self, endpoint: Endpoint) -> int:
        """How many blocks ``endpoint`` is believed to hold."""
        shelf, row = divmod(endpoint.slot, SHELF_SLOTS)
        return self._shelves[shelf].size(row) if shelf < len(self._shelves) else 0

    def _record(
        self, slot: int, hashes: Sequence[int] | NDArray[np.uint64], limit: int | None
    ) -> None:
        shelf, row = divmod(slot, SHELF_SLOTS)
        while len(self._shelves) <= shelf:
            capacity = self._parameters.lru_capacity_per_server
            self._shelves.append(PrefixIndex(SHELF_SLOTS, capacity))
        self._shelves[shelf].record(row, hashes, limit)

    @property
    def blocks_held(self) -> int:
        """How many blocks all endpoints together are believed to hold."""
        return sum(map(len, self._shelves))

    def _match(self, hashes: Sequence[int], slots: Ints, capacity: int) -> Ints:
        """Leading blocks held, per slot."""
        matched = np.zeros(capacity, np.int64)
        for number, shelf in enumerate(self._shelves):
            shelf.match_into(matched, hashes, slots, number * SHELF_SLOTS)
        return matched

    def _block_tokens(self, columns: Columns, slots: Ints) -> int:
        """Tokens per block: an engine caches whole blocks only, so no less than its own."""
        if not self._parameters.auto_tune:
            return self._parameters.block_tokens
        return int(_largest(columns.block_tokens, slots, float(self._parameters.block_tokens)))

    def _holds(self, columns: Columns, slot: int, block_tokens: int) -> int | None:
        """Blocks of ``block_tokens`` that fit the endpoint's cache; None if it does not say."""
        if not self._parameters.auto_tune:
            return None
        tokens = float(columns.kv_blocks[slot]) * float(columns.block_tokens[slot])
        return max(int(tokens / block_tokens), 1) if tokens > 0 else None


def approx_prefix(parameters: PrefixParameters, wiring: Wiring) -> ApproxPrefix:
    exchange = wiring.settings.exchange
    inbox = None if exchange is None else exchange.inbox(wiring.name)
    return ApproxPrefix(wiring.name, parameters, inbox)


@kernel
def _largest(column: Floats, slots: Ints, floor: float) -> float:
    largest = floor
    for i in range(slots.size):
        if column[slots[i]] > largest:  # NaN is not
            largest = column[slots[i]]
    return largest
