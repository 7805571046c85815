"""The prefix index behaves as one ordered dictionary per slot would."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.prefix.blocks import block_hashes
from gateway.prefix.index import PrefixIndex

SLOTS = 3
# Few letters: prompts share beginnings, so they compete and build on each other.
prompts = st.text("ab", max_size=14).map(lambda text: block_hashes((text.encode(),), 9, 1, 100))
slots = st.integers(0, SLOTS - 1)


class Model:
    """One slot: hashes, oldest first."""

    def __init__(self) -> None:
        self.held: OrderedDict[int, None] = OrderedDict()

    def record(self, hashes: Sequence[int], room: int) -> None:
        for block in reversed(hashes[:room]):
            self.held.pop(block, None)
            while len(self.held) >= room:
                self.held.popitem(last=False)
            self.held[block] = None
        while len(self.held) > room:
            self.held.popitem(last=False)

    def match(self, hashes: Sequence[int]) -> int:
        for count, block in enumerate(hashes):
            if block not in self.held:
                return count
        return len(hashes)


class IndexIsALruPerSlot(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 20))
    def start(self, capacity: int) -> None:
        self.index = PrefixIndex(SLOTS, capacity)
        self.models = [Model() for _ in range(SLOTS)]

    @rule(slot=slots, hashes=prompts)
    def record(self, slot: int, hashes: Sequence[int]) -> None:
        self.index.record(slot, hashes)
        self.models[slot].record(hashes, self.index.capacity)

    @rule(slot=slots, hashes=prompts, limit=st.integers(0, 25))
    def record_in_a_smaller_endpoint(self, slot: int, hashes: Sequence[int], limit: int) -> None:
        self.index.record(slot, hashes, limit)
        self.models[slot].record(hashes, min(limit, self.index.capacity))

    @rule(slot=slots)
    def drop(self, slot: int) -> None:
        self.index.drop(slot)
        self.models[slot] = Model()

    @rule(hashes=prompts)
    def match(self, hashes: Sequence[int]) -> None:
        matched = self.index.match(hashes, np.arange(SLOTS, dtype=np.int64))
        assert matched.tolist() == [model.match(hashes) for model in self.models]

    @invariant()
    def sizes_agree(self) -> None:
        if hasattr(self, "index"):
            sizes = [self.index.size(slot) for slot in range(SLOTS)]
            assert sizes == [len(model.held) for model in self.models]
            assert len(self.index) == sum(sizes)


IndexIsALruPerSlot.TestCase.settings = settings(stateful_step_count=80)
TestIndexIsALruPerSlot = IndexIsALruPerSlot.TestCase
