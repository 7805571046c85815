"""What was sent where, told among workers: each has a ring of its own and reads all others'.

So every worker keeps an index of its own, which only it writes: no lock, no race, and no process
whose death loses it. News is applied before a prompt is looked up, which makes it as fresh as the
picks of the others. A reader that was overtaken skips to the newest: the index is approximate
anyway, and an endpoint's own cache forgets too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEAD_WORDS = 4
"""Producer, slot, limit (plus one; 0 is none), number of hashes."""


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A prompt with these chained hashes was sent to ``slot``, which holds ``limit`` blocks."""

    slot: int
    hashes: NDArray[np.uint64]
    limit: int | None


class Exchange:
    """The rings of all workers, as one of them sees them."""

    def __init__(self, heads: NDArray[np.int64], rings: NDArray[np.uint64], worker: int) -> None:
        """``heads`` [workers]: words ever written; ``rings`` [workers, words, a power of two]."""
        self._heads = heads
        self._rings = rings
        self._worker = worker
        self.living: frozenset[int] = frozenset()
        """Slots of the pool's present members; news of others came too late."""

    def tell(self, producer: int, slot: int, hashes: Sequence[int], limit: int | None) -> None:
        """Let the other workers know. What would fill half a ring is not told."""
        ring = self._rings[self._worker]
        count = _HEAD_WORDS + len(hashes)
        if count > ring.size // 2 or slot not in self.living:
            return
        news = np.empty(count, np.uint64)
        news[:_HEAD_WORDS] = producer, slot, 0 if limit is None else limit + 1, len(hashes)
        news[_HEAD_WORDS:] = np.asarray(hashes, np.uint64)
        head = int(self._heads[self._worker])
        start = head & (ring.size - 1)
        first = min(count, ring.size - start)
        ring[start : start + first] = news[:first]
        ring[: count - first] = news[first:]
        self._heads[self._worker] = head + count

    def inbox(self, name: str) -> Inbox:
        """For the producer ``name``: news of its namesakes from now on."""
        return Inbox(self, zlib.crc32(name.encode()))

    def ends(self) -> list[int]:
        """Where each ring now ends."""
        return [int(head) for head in self._heads]

    def since(self, start: list[int]) -> Iterator[NDArray[np.uint64]]:
        """Words that others wrote after ``start``, whose entries move to the end of each ring."""
        size = self._rings.shape[1]
        for worker, head in enumerate(self._heads.tolist()):
            if worker == self._worker or head == start[worker]:
                continue
            begin, start[worker] = start[worker], head
            if not 0 < head - begin <= size // 2:
                continue  # overtaken, or begun anew
            at, count = begin & (size - 1), head - begin
            first = min(count, size - at)
            ring = self._rings[worker]
            words = np.concatenate((ring[at : at + first], ring[: count - first]))
            # What is being written now reaches at most another half beyond the end.
            if int(self._heads[worker]) - begin <= size // 2:
                yield words


class Inbox:
    """One producer's place in every ring."""

    def __init__(self, exchange: Exchange, producer: int) -> None:
        self._exchange = exchange
        self._producer = producer
        self._read = exchange.ends()

    def tell(self, slot: int, hashes: Sequence[int], limit: int | None) -> None:
        """Tell namesakes in the other workers."""
        self._exchange.tell(self._producer, slot, hashes, limit)

    def news(self) -> Iterator[Sent]:
        """What they told since this was last asked."""
        for words in self._exchange.since(self._read):
            at = 0
            while at + _HEAD_WORDS <= words.size:
                producer, slot, limit, count = words[at : at + _HEAD_WORDS].tolist()
                at += _HEAD_WORDS
                if producer == self._producer and slot in self._exchange.living:
                    yield Sent(slot, words[at : at + count], limit - 1 if limit else None)
                at += count
