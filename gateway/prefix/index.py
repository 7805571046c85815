"""Which endpoint is believed to hold which prefix: a bounded LRU of block hashes per slot.

Approximate: it remembers what was sent where, and forgets the least recently used blocks when an
endpoint's share is full, as the endpoint's own cache would. The prefix producer records decisions
and asks for matches; it also says when an endpoint has left.

Layout: flat arrays with one row per slot, so that the memory is fixed by the two capacities
(about 25 bytes a block, given by the operating system only as rows are used) and the whole can
later live in shared memory.
A row is an open-addressing table (linear probing, backward-shift deletion: no tombstones) of node
numbers, and a doubly linked list of those nodes from newest to oldest. Of its table a row uses a
power of two of buckets that doubles as it fills: an endpoint that holds little touches one page of
memory, where the whole table's width would make each new block touch another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loadstar.arrays import Ints, kernel, zeros_in_small_pages

DEFAULT_CAPACITY = 31_250
"""Blocks per endpoint, the reference's ``lruCapacityPerServer``."""

# Columns of ``_lists``: the row's LRU list and its free nodes. Node 0 is "none".
_SIZE, _NEWEST, _OLDEST, _FREE, _UNUSED, _BUCKETS = range(6)
_NEWER, _OLDER = 0, 1
FIRST_BUCKETS = 1024
"""Of a row's table, at first: one page of memory."""


class PrefixIndex:
    """Block hashes per slot. Not thread-safe; no method fails or grows."""

    def __init__(self, slots: int, capacity: int = DEFAULT_CAPACITY) -> None:
        """Room for ``capacity`` blocks in each of ``slots`` rows."""
        if slots < 1 or capacity < 1:
            raise ValueError(f"{slots} slots of {capacity} blocks: both must be at least 1")
        self.slots = slots
        self.capacity = capacity
        buckets = 1 << (2 * capacity - 1).bit_length()  # at most half full
        self._table: NDArray[np.int32] = zeros_in_small_pages((slots, buckets), np.int32)
        self._hashes: NDArray[np.uint64] = zeros_in_small_pages((slots, capacity + 1), np.uint64)
        self._links: NDArray[np.int32] = zeros_in_small_pages((slots, capacity + 1, 2), np.int32)
        self._lists = np.zeros((slots, 6), np.int32)

    def match(self, hashes: Sequence[int], slots: Ints) -> Ints:
        """How many leading blocks of a prompt each of ``slots`` holds.

        ``hashes`` are the prompt's chained block hashes. The answer has one entry per row of the
        index (as ``PrefixMatch.matched_blocks`` wants it), 0 for rows that were not asked about.
        Asking changes nothing, not even what is oldest.
        """
        matched: Ints = np.zeros(self.slots, np.int64)
        self.match_into(matched, hashes, slots, 0)
        return matched

    def match_into(self, matched: Ints, hashes: Sequence[int], slots: Ints, first: int) -> None:
        """The same for an index whose row 0 is slot ``first``, written to ``matched[slot]``.

        Slots that are not of this index are passed over.
        """
        if len(hashes) and len(slots):
            _match(_array(hashes), slots, first, self._table, self._hashes, self._lists, matched)

    def record(
        self, slot: int, hashes: Sequence[int] | NDArray[np.uint64], limit: int | None = None
    ) -> None:
        """Remember that the prompt with these chained hashes was sent to ``slot``.

        ``limit`` (at most ``capacity``) is the number of blocks this endpoint can hold; older
        blocks beyond it are forgotten. Of a prompt longer than that the beginning is kept.
        """
        room = self.capacity if limit is None else max(0, min(limit, self.capacity))
        _record(
            _array(hashes),
            room,
            self._table[slot],
            self._hashes[slot],
            self._links[slot],
            self._lists[slot],
        )

    def drop(self, slot: int) -> None:
        """Forget all about ``slot``: its endpoint has left."""
        if self._lists[slot, _UNUSED]:
            self._table[slot, : self._lists[slot, _BUCKETS]] = 0
            self._lists[slot] = 0

    def size(self, slot: int) -> int:
        """Blocks remembered for ``slot``."""
        return int(self._lists[slot, _SIZE])

    def __len__(self) -> int:
        """Blocks remembered for all slots together."""
        return int(self._lists[:, _SIZE].sum())


def _array(hashes: Sequence[int] | NDArray[np.uint64]) -> NDArray[np.uint64]:
    return np.asarray(hashes, np.uint64)


@kernel
def _match(
    hashes: NDArray[np.uint64],
    slots: Ints,
    first: int,
    table: NDArray[np.int32],
    held: NDArray[np.uint64],
    lists: NDArray[np.int32],
    matched: Ints,
) -> None:
    """Bisect: ``_record`` lets a block outlive all that follow it, so the held ones lead."""
    for slot in slots:
        row = slot - first
        if not 0 <= row < table.shape[0] or lists[row, _SIZE] == 0:
            continue
        mask = lists[row, _BUCKETS] - 1
        low, high = 0, hashes.size  # the first ``low`` are held, those from ``high`` on are not
        probe = 1  # most endpoints hold nothing: look at the first block first
        while low < high:
            if _bucket(hashes[probe - 1], mask, table[row], held[row]) >= 0:
                low = probe
            else:
                high = probe - 1
            probe = (low + high + 1) // 2
        matched[slot] = low


@kernel
def _record(
    hashes: NDArray[np.uint64],
    room: int,
    table: NDArray[np.int32],
    held: NDArray[np.uint64],
    links: NDArray[np.int32],
    row: NDArray[np.int32],
) -> None:
    """Touch from the last block to the first, so that a prefix is always newer than its suffixes.

    The oldest block is then always one that no held block builds on, and evicting it leaves no
    hole in any prompt.
    """
    if row[_BUCKETS] == 0:
        row[_BUCKETS] = min(FIRST_BUCKETS, table.size)
    mask = row[_BUCKETS] - 1
    for i in range(min(hashes.size, room) - 1, -1, -1):
        bucket = _bucket(hashes[i], mask, table, held)
        if bucket >= 0:
            node = table[bucket]
            _unlink(node, links, row)
        else:
            while row[_SIZE] >= room:
                _evict(table, held, links, row)
            node = _take(links, row)
            held[node] = hashes[i]
            if 2 * (row[_SIZE] + 1) > row[_BUCKETS] < table.size:
                _widen(table, held, links, row)
                mask = row[_BUCKETS] - 1
            _place(node, mask, table, held)
            row[_SIZE] += 1
        _link_newest(node, links, row)
    while row[_SIZE] > room:
        _evict(table, held, links, row)


@kernel
def _home(block: np.uint64, mask: int) -> int:
    return int(np.int64(block & np.uint64(mask)))  # the hash is already well mixed


@kernel
def _bucket(block: np.uint64, mask: int, table: NDArray[np.int32], held: NDArray[np.uint64]) -> int:
    """Where ``block`` stands in the table's first ``mask`` + 1 buckets; -1 if it does not."""
    bucket = _home(block, mask)
    while table[bucket] != 0:
        if held[table[bucket]] == block:
            return bucket
        bucket = (bucket + 1) & mask
    return -1


@kernel
def _place(node: int, mask: int, table: NDArray[np.int32], held: NDArray[np.uint64]) -> None:
    """Put a node that is not there into the table."""
    bucket = _home(held[node], mask)
    while table[bucket] != 0:
        bucket = (bucket + 1) & mask
    table[bucket] = node


@kernel
def _widen(
    table: NDArray[np.int32],
    held: NDArray[np.uint64],
    links: NDArray[np.int32],
    row: NDArray[np.int32],
) -> None:
    """Use twice the buckets: every node finds its place anew."""
    for bucket in range(row[_BUCKETS]):
        table[bucket] = 0
    row[_BUCKETS] *= 2
    node = row[_NEWEST]
    while node != 0:
        _place(node, row[_BUCKETS] - 1, table, held)
        node = links[node, _OLDER]


@kernel
def _take(links: NDArray[np.int32], row: NDArray[np.int32]) -> int:
    """A node nobody uses: one given back, else the next that never was used."""
    node = int(row[_FREE])
    if node != 0:
        row[_FREE] = links[node, _OLDER]
        return node
    row[_UNUSED] += 1
    return int(row[_UNUSED])


@kernel
def _evict(
    table: NDArray[np.int32],
    held: NDArray[np.uint64],
    links: NDArray[np.int32],
    row: NDArray[np.int32],
) -> None:
    node = row[_OLDEST]
    mask = row[_BUCKETS] - 1
    _remove(_bucket(held[node], mask, table, held), mask, table, held)
    _unlink(node, links, row)
    links[node, _OLDER] = row[_FREE]
    row[_FREE] = node
    row[_SIZE] -= 1


@kernel
def _remove(hole: int, mask: int, table: NDArray[np.int32], held: NDArray[np.uint64]) -> None:
    """Empty a bucket, and move up whatever had been pushed past it."""
    bucket = (hole + 1) & mask
    while table[bucket] != 0:
        home = _home(held[table[bucket]], mask)
        if (bucket - home) & mask >= (bucket - hole) & mask:
            table[hole] = table[bucket]
            hole = bucket
        bucket = (bucket + 1) & mask
    table[hole] = 0


@kernel
def _link_newest(node: int, links: NDArray[np.int32], row: NDArray[np.int32]) -> None:
    links[node, _NEWER] = 0
    links[node, _OLDER] = row[_NEWEST]
    if row[_NEWEST] != 0:
        links[row[_NEWEST], _NEWER] = node
    else:
        row[_OLDEST] = node
    row[_NEWEST] = node


@kernel
def _unlink(node: int, links: NDArray[np.int32], row: NDArray[np.int32]) -> None:
    newer, older = links[node, _NEWER], links[node, _OLDER]
    if newer != 0:
        links[newer, _OLDER] = older
    else:
        row[_NEWEST] = older
    if older != 0:
        links[older, _NEWER] = newer
    else:
        row[_OLDEST] = newer
