"""A datastore whose members come and go, for the laws of in-flight accounting."""

from __future__ import annotations

import random

from gateway.datalayer.discovered import EndpointSpec
from gateway.datalayer.state import Endpoint
from gateway.datalayer.store import Datastore


class Churn:
    """Changes the members of ``store``, and counts what the account has to survive."""

    def __init__(self, *, capacity: int, members: int = 0) -> None:
        self.store = Datastore(capacity)
        self.left_busy = 0
        """Members that left with requests in flight."""
        self.reused = 0
        """Slots that went to another member."""
        self._specs: list[EndpointSpec] = []
        self._slots: set[int] = set()
        self._names = 0
        for _ in range(members):
            self.join()

    @property
    def members(self) -> tuple[Endpoint, ...]:
        return self.store.state.endpoints

    def join(self) -> None:
        self._names += 1
        address = f"10.1.{self._names // 250}.{self._names % 250}"
        self._specs.append(EndpointSpec(f"pod-{self._names}", address, 8000))
        for member in self.store.sync(self._specs).added:
            self.reused += member.slot in self._slots
            self._slots.add(member.slot)

    def leave(self, index: int) -> None:
        self.left_busy += self.row(self.members[index].slot)[0] > 0
        del self._specs[index]
        self.store.sync(self._specs)

    def churn(self, rng: random.Random, least: int, most: int) -> None:
        """One member more or one less, by chance, between ``least`` and ``most``."""
        if len(self.members) <= least or (len(self.members) < most and rng.random() < 0.5):
            self.join()
        else:
            self.leave(rng.randrange(len(self.members)))

    def row(self, slot: int) -> tuple[int, int, int]:
        """(requests, tokens, prefill tokens) in flight on ``slot``."""
        c = self.store.columns
        return (
            int(c.inflight_requests[slot]),
            int(c.inflight_tokens[slot]),
            int(c.inflight_prefill[slot]),
        )

    def rows(self) -> list[tuple[int, int, int]]:
        """``row`` of every slot."""
        return [self.row(slot) for slot in range(self.store.columns.capacity)]
