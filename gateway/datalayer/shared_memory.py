"""The memory that the processes of one gateway share: where each thing lies in it, and who writes.

Every cell has one writer, named here, so that there is no lock to die with. What is longer than a
cell is on a ``Board``. One process makes it (an anonymous file); the others map the descriptor
they inherit. No kernels here: the supervisor maps it too, and should stay small.
"""

from __future__ import annotations

import mmap
import os
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SLOTS = 65_536
MEMBERSHIP_BYTES = 16 << 20
LORA_BYTES = 2048
PAGE_BYTES = 16 << 20
POLICY_BYTES = (1 << 20) + 4096
"""A configuration as large as may be, and where it came from."""
RING_WORDS = 1 << 17
"""Words of prefix news a worker may be ahead of the slowest reader: some 3,000 prompts."""
GONE = np.iinfo(np.int64).max
"""In ``seen``: no such process, so it will pick nothing."""
_READS = 10
_ALIGNMENT = 4096


class Board:
    """One text per row, replaced whole. One writer a row; readers never wait.

    Each text is written beside its predecessor and then made the current one, so a writer that
    dies on the way leaves the old text, and a reader that was overtaken by two sees it by the
    version (or by the checksum) and reads again.
    """

    def __init__(
        self, versions: NDArray[np.int64], heads: NDArray[np.int64], text: NDArray[np.uint8]
    ) -> None:
        """``versions`` [rows], ``heads`` [rows, 2, (length, crc)], ``text`` [rows, 2, bytes]."""
        self.versions = versions
        self._heads = heads
        self._text = text

    @property
    def room(self) -> int:
        """The longest text, in bytes."""
        return int(self._text.shape[2])

    def write(self, row: int, text: bytes) -> None:
        """Replace the text of ``row``. Raises ValueError if it is too long."""
        if len(text) > self.room:
            raise ValueError(f"{len(text)} bytes do not fit into {self.room}")
        version = int(self.versions[row]) + 1
        half = version & 1
        self._text[row, half, : len(text)] = np.frombuffer(text, np.uint8)
        self._heads[row, half] = len(text), zlib.crc32(text)
        self.versions[row] = version

    def read(self, row: int) -> tuple[int, bytes]:
        """Version and text of ``row``; version 0 is never written, or not to be had just now."""
        for _ in range(_READS):
            version = int(self.versions[row])
            if version == 0:
                break
            length, crc = self._heads[row, version & 1].tolist()
            text = self._text[row, version & 1, : max(0, min(length, self.room))].tobytes()
            if int(self.versions[row]) == version and zlib.crc32(text) == crc:
                return version, text
        return 0, b""


@dataclass(frozen=True, slots=True, eq=False)
class SharedMemory:
    """Arrays over one mapping."""

    fd: int
    workers: int
    slots: int
    seen: NDArray[np.int64]
    """[workers] Newest epoch that a worker's picks are of. By the worker; ``GONE`` by the
    supervisor while there is none."""
    serving: NDArray[np.int64]
    """[workers] 1 while a worker takes connections. By the supervisor."""
    beats: NDArray[np.int64]
    """[workers + 1] Raised while the loop turns, by the worker; the last by the collector."""
    asked: NDArray[np.int64]
    """[1] How often metrics were asked of the workers. By the collector."""
    measured: NDArray[np.float64]
    """[6, slots] What was scraped. By the collector."""
    counted: NDArray[np.int64]
    """[workers, 3, slots] Requests, tokens and prefill tokens in flight. By the worker; zeroed by
    the supervisor when it is dead."""
    membership: Board
    """One row. By the collector."""
    lora: Board
    """A row per slot. By the collector."""
    pages: Board
    """A row of metrics per worker, by the worker; the last is of the dead, by the collector."""
    policy: Board
    """One row: the configuration to serve with, where one process reads it for all. By the
    collector."""
    heads: NDArray[np.int64]
    """[workers] Words ever written to a worker's ring. By the worker."""
    rings: NDArray[np.uint64]
    """[workers, RING_WORDS] Prefix news. By the worker."""

    def bury(self, worker: int) -> None:
        """Take back all that a dead worker held. By the supervisor, after it has waited for it."""
        self.serving[worker] = 0
        self.counted[worker] = 0
        self.seen[worker] = GONE


def create(workers: int, slots: int = MAX_SLOTS) -> SharedMemory:
    """New memory. Pages are given by the system only as they are used."""
    memory = attach(os.memfd_create("loadstar-gateway"), workers, slots)
    memory.measured[:5] = np.nan
    memory.measured[5] = -np.inf
    memory.seen[:] = GONE
    return memory


def attach(fd: int, workers: int, slots: int = MAX_SLOTS) -> SharedMemory:
    """The memory behind an inherited descriptor, made with the same numbers."""
    shapes: dict[str, tuple[type, tuple[int, ...]]] = {
        "seen": (np.int64, (workers,)),
        "serving": (np.int64, (workers,)),
        "beats": (np.int64, (workers + 1,)),
        "asked": (np.int64, (1,)),
        "heads": (np.int64, (workers,)),
        "measured": (np.float64, (6, slots)),
        "counted": (np.int64, (workers, 3, slots)),
        "rings": (np.uint64, (workers, RING_WORDS)),
    }
    boards = {
        "membership": (1, MEMBERSHIP_BYTES),
        "lora": (slots, LORA_BYTES),
        "pages": (workers + 1, PAGE_BYTES),
        "policy": (1, POLICY_BYTES),
    }
    for name, (rows, size) in boards.items():
        shapes[f"{name} versions"] = np.int64, (rows,)
        shapes[f"{name} heads"] = np.int64, (rows, 2, 2)
        shapes[f"{name} text"] = np.uint8, (rows, 2, size)
    places: dict[str, int] = {}
    total = 0
    for name, (kind, shape) in shapes.items():
        places[name] = total
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        total += -(-size // _ALIGNMENT) * _ALIGNMENT
    os.ftruncate(fd, total)
    mapping = mmap.mmap(fd, total)

    def array(name: str) -> NDArray[Any]:
        kind, shape = shapes[name]
        return np.ndarray(shape, kind, mapping, places[name])

    def board(name: str) -> Board:
        return Board(array(f"{name} versions"), array(f"{name} heads"), array(f"{name} text"))

    return SharedMemory(
        fd=fd,
        workers=workers,
        slots=slots,
        seen=array("seen"),
        serving=array("serving"),
        beats=array("beats"),
        asked=array("asked"),
        measured=array("measured"),
        counted=array("counted"),
        membership=board("membership"),
        lora=board("lora"),
        pages=board("pages"),
        policy=board("policy"),
        heads=array("heads"),
        rings=array("rings"),
    )
