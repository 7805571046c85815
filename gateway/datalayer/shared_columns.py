"""Columns over shared memory: what the collector scrapes, and what every worker has in flight.

Each process makes one over the same memory. The collector writes what is measured, a worker its
own row of what is in flight; sums over the workers are made when they are read, so they are as
fresh as the picks of the others.
"""

from __future__ import annotations

import numpy as np
import orjson

from gateway.datalayer.shared_memory import SharedMemory
from gateway.datalayer.state import MEASURED, NO_LORA, Columns, LoraState
from loadstar.arrays import Ints, kernel


class SharedColumns(Columns):
    """The first ``capacity`` rows of ``memory``. ``worker`` is whose part is ``own_*``.

    Without a worker (the collector) ``own_*`` are rows of nobody, and stay zero.
    """

    def __init__(self, memory: SharedMemory, capacity: int, worker: int | None = None) -> None:
        if capacity > memory.slots:
            raise ValueError(f"{capacity} endpoints, but shared memory is for {memory.slots}")
        self.capacity = capacity
        self._memory = memory
        self._worker = worker
        for number, name in enumerate(MEASURED):
            setattr(self, name, memory.measured[number, :capacity])
        self.observed_at = memory.measured[len(MEASURED), :capacity]
        own = np.zeros((3, capacity), np.int64) if worker is None else memory.counted[worker]
        self.own_requests, self.own_tokens, self.own_prefill = own[:, :capacity]
        self._sums: Ints = np.zeros((3, capacity), np.int64)
        self.lora = [NO_LORA] * capacity
        self._lora_versions: Ints = np.zeros(capacity, np.int64)
        self.refresh_lora()

    @property
    def inflight_requests(self) -> Ints:
        return self._sum(0)

    @property
    def inflight_tokens(self) -> Ints:
        return self._sum(1)

    @property
    def inflight_prefill(self) -> Ints:
        return self._sum(2)

    def settled(self, slot: int, epoch: int) -> bool:
        """Every worker has seen that the slot was given up, and every credit has come back.

        In this order: once all have seen it, what is in flight there can only fall.
        """
        memory = self._memory
        return bool(memory.seen.min() >= epoch and not memory.counted[:, 0, slot].any())

    def set_lora(self, slot: int, lora: LoraState) -> None:
        if self.lora[slot] != lora:
            self.lora[slot] = lora
            self._memory.lora.write(slot, _encode(lora, self._memory.lora.room))

    def refresh_lora(self) -> None:
        """Take over the adapters that another process has noted since."""
        versions = self._memory.lora.versions[: self.capacity]
        for slot in np.flatnonzero(versions != self._lora_versions).tolist():
            version, text = self._memory.lora.read(slot)
            if version:
                self._lora_versions[slot] = version
                self.lora[slot] = _decode(text)

    def grown(self, capacity: int) -> SharedColumns:
        """More rows of the same memory; nothing is copied. Raises ValueError if it has no more."""
        most = self._memory.slots
        wanted = min(capacity, most) if self.capacity < most else capacity
        return SharedColumns(self._memory, wanted, self._worker)

    def _sum(self, which: int) -> Ints:
        sums: Ints = self._sums[which]
        _add_up(self._memory.counted, which, sums)
        return sums


def warm(memory: SharedMemory) -> None:
    """Compile, before the first request does."""
    _add_up(memory.counted, 0, np.zeros(1, np.int64))


@kernel
def _add_up(counted: Ints, which: int, sums: Ints) -> None:
    for slot in range(sums.size):
        total = 0
        for worker in range(counted.shape[0]):
            total += counted[worker, which, slot]
        sums[slot] = total


def _encode(lora: LoraState, room: int) -> bytes:
    """JSON, with as many adapters as fit: the waiting ones go first, then running ones."""
    running, waiting = sorted(lora.running), sorted(lora.waiting)
    while len(text := orjson.dumps((running, waiting, lora.max_adapters))) > room:
        (waiting or running).pop()
    return text


def _decode(text: bytes) -> LoraState:
    running, waiting, most = orjson.loads(text)
    return LoraState(frozenset(running), frozenset(waiting), most)
