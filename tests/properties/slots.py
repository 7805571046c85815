"""A store's slots, as the data layer promises them: for the laws of in-flight accounting."""

from __future__ import annotations

import random

from gateway.datalayer.state import Columns, Endpoint, PoolState, pool_state
from tests.builders import endpoint


class Slots:
    """Members come and go. A slot is reused only when nothing of ours is in flight on its row,
    and new columns replace the old ones when no slot is left."""

    def __init__(self, capacity: int = 2) -> None:
        self.columns = Columns(capacity)
        self.members: list[Endpoint] = []
        self.reused = 0
        self.grown = 0
        self._epoch = 0
        self._names = 0
        self._used: set[int] = set()

    @property
    def state(self) -> PoolState:
        return pool_state(self._epoch, tuple(self.members), self.columns)

    def join(self) -> Endpoint:
        """A new member, on the lowest free slot."""
        taken = {member.slot for member in self.members}
        busy = self.columns.inflight_requests
        free = [s for s in range(self.columns.capacity) if s not in taken and busy[s] == 0]
        if not free:
            free = [self.columns.capacity]
            self._grow()
        slot = free[0]
        self.reused += slot in self._used
        self._used.add(slot)
        self._names += 1
        self._epoch += 1
        member = endpoint(slot, name=f"pod-{self._names}", address=f"10.1.0.{self._names % 250}")
        self.members.append(member)
        return member

    def leave(self, index: int) -> None:
        del self.members[index]
        self._epoch += 1

    def churn(self, rng: random.Random, least: int, most: int) -> None:
        """One member more or one less, by chance, between ``least`` and ``most``."""
        if len(self.members) <= least or (len(self.members) < most and rng.random() < 0.5):
            self.join()
        else:
            self.leave(rng.randrange(len(self.members)))

    def row(self, slot: int) -> tuple[int, int, int]:
        """(requests, tokens, prefill tokens) in flight on ``slot``."""
        c = self.columns
        return (
            int(c.inflight_requests[slot]),
            int(c.inflight_tokens[slot]),
            int(c.inflight_prefill[slot]),
        )

    def rows(self) -> list[tuple[int, int, int]]:
        """``row`` of every slot."""
        return [self.row(slot) for slot in range(self.columns.capacity)]

    def _grow(self) -> None:
        old, new = self.columns, Columns(2 * self.columns.capacity)
        new.inflight_requests[: old.capacity] = old.inflight_requests
        new.inflight_tokens[: old.capacity] = old.inflight_tokens
        new.inflight_prefill[: old.capacity] = old.inflight_prefill
        # Whoever still writes into the old arrays writes where nobody reads: make it show.
        old.inflight_requests[:] = -(10**9)
        self.columns = new
        self.grown += 1
