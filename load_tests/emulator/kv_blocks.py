"""The KV cache of one engine: blocks in use, blocks that only remember, blocks that are free.

Pure bookkeeping, no time. A *unit* is ``unit_blocks`` consecutive blocks known by one chained
hash: one block as in vLLM, or more where a trace names longer pieces. Called by ``engine``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class Lease:
    """The blocks that one generation holds: shared units by hash, and private blocks."""

    __slots__ = ("committed", "private", "units")

    def __init__(self, units: list[int], private: int) -> None:
        self.units = units
        self.private = private
        self.committed = len(units)  # units looked at so far: shared or found to be duplicates

    def blocks(self, unit_blocks: int) -> int:
        return len(self.units) * unit_blocks + self.private


class KvBlocks:
    """``total`` blocks, of which the free and the idle can be taken.

    Idle units keep their content until taken, least recently freed first. They are not in use:
    a cache full of prefixes has ``used == 0``, as vLLM reports it.
    """

    def __init__(self, total: int, unit_blocks: int = 1) -> None:
        self.total = total
        self.unit_blocks = unit_blocks
        self._free = total
        self._idle_blocks = 0
        self._users: dict[int, int] = {}  # hash -> generations that hold it; 0 means idle
        # hash, or a negative number for blocks nobody can ask for -> how many blocks
        self._idle: OrderedDict[int, int] = OrderedDict()
        self._last_anonymous = 0

    @property
    def used(self) -> int:
        return self.total - self._free - self._idle_blocks

    @property
    def available(self) -> int:
        """Blocks that can be taken now: free ones, and idle ones at the price of a memory."""
        return self._free + self._idle_blocks

    @property
    def idle(self) -> int:
        return self._idle_blocks

    def match(self, hashes: Sequence[int], most: int) -> int:
        """How many leading units of ``hashes`` are cached, at most ``most``."""
        users = self._users
        hits = 0
        for unit in hashes:
            if hits == most or unit not in users:
                break
            hits += 1
        return hits

    def admit(self, hashes: Sequence[int], hits: int, blocks: int) -> Lease | None:
        """Hold the first ``hits`` units and take the rest of ``blocks``; None if they don't fit."""
        users, idle = self._users, self._idle
        shared = list(hashes[:hits])
        resting = sum(1 for unit in shared if not users[unit]) * self.unit_blocks
        private = blocks - hits * self.unit_blocks
        if private > self._free + self._idle_blocks - resting:
            return None
        for unit in shared:
            if not users[unit]:
                del idle[unit]
            users[unit] += 1
        self._idle_blocks -= resting
        self._take(private)
        return Lease(shared, private)

    def extend(self, lease: Lease) -> bool:
        """Take one more private block; False if every block is in use."""
        if not self._free + self._idle_blocks:
            return False
        self._take(1)
        lease.private += 1
        return True

    def commit(self, lease: Lease, hashes: Sequence[int], units: int) -> None:
        """The first ``units`` units are computed: from now on others can hit them."""
        users = self._users
        for unit in hashes[lease.committed : units]:
            # Two that computed the same at the same time: the second's copy stays its own.
            if unit not in users:
                users[unit] = 1
                lease.units.append(unit)
                lease.private -= self.unit_blocks
        lease.committed = max(lease.committed, min(units, len(hashes)))

    def release(self, lease: Lease) -> None:
        """Give all back, the tail first: what comes back last is forgotten last."""
        users, idle = self._users, self._idle
        if lease.private:
            self._last_anonymous -= 1
            idle[self._last_anonymous] = lease.private
            self._idle_blocks += lease.private
            lease.private = 0
        for unit in reversed(lease.units):
            users[unit] -= 1
            if not users[unit]:
                idle[unit] = self.unit_blocks
                self._idle_blocks += self.unit_blocks
        lease.units = []

    def _take(self, blocks: int) -> None:
        while self._free < blocks:
            unit, size = self._idle.popitem(last=False)
            if unit >= 0:
                del self._users[unit]
            self._idle_blocks -= size
            self._free += size
        self._free -= blocks
