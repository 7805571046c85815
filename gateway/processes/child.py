"""What makes a process one of a gateway's: its role, what it inherits, and its parent's end.

Started fresh (not forked from a process with threads), as ``python -m gateway.processes``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.datalayer.shared_memory import SharedMemory, attach

COLLECTOR = "collector"
WORKER = "worker"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """A process's place among its siblings."""

    role: str
    number: int
    """Which worker; 0 for the collector."""
    memory: SharedMemory
    line: socket.socket
    """To the supervisor."""


def command(
    role: str, number: int, memory: SharedMemory, line: socket.socket, argv: Sequence[str]
) -> list[str]:
    """The command line of such a child; it must inherit both descriptors."""
    place = (role, number, memory.workers, os.getpid(), memory.fd, line.fileno())
    return [sys.executable, "-m", "gateway.processes", *map(str, place), *argv]


def inherit(place: Sequence[str]) -> Child:
    """Take up the place that ``command`` wrote, and die with the parent from here on."""
    number, workers, parent, memory, line = map(int, place[1:])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)  # it died before the line above
    return Child(place[0], number, attach(memory, workers), socket.socket(fileno=line))


PLACE_WORDS = 6
"""Words of the command line that ``inherit`` takes."""
