"""Accepts connections and gives each to the worker that has fewest.

Envoy opens few and keeps them for hours, one per thread of its own: left to the kernel's hash
(SO_REUSEPORT), two of four may share a worker for a day while another has none.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.processes.channel import hand

PAUSE_SECONDS = 1.0
"""After the system refused to give a connection (no descriptors left)."""
_BATCH = 64

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Taker:
    """A worker that takes connections, as the acceptor sees it."""

    line: socket.socket
    connections: int = 0


class Acceptor:
    """Watches one listening socket; what comes while nobody takes waits in its backlog."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._takers: set[Taker] = set()

    def join(self, taker: Taker) -> None:
        """``taker`` takes connections from now on."""
        self._takers.add(taker)
        self._watch()

    def leave(self, taker: Taker) -> None:
        """No longer."""
        if taker not in self._takers:
            return
        self._takers.remove(taker)
        if not self._takers:
            asyncio.get_running_loop().remove_reader(self._listening)

    def close(self) -> None:
        """Take no more, and free the port."""
        asyncio.get_running_loop().remove_reader(self._listening)
        self._takers.clear()
        self._listening.close()

    def _watch(self) -> None:
        if self._takers:
            asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                connection, _peer = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                log.error("cannot accept connections for a while: %s", error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listening)
                loop.call_later(PAUSE_SECONDS, self._watch)
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if give(connection, self._takers) is None:
                    log.error("no worker takes a connection: it is closed")


def give(connection: socket.socket, takers: Iterable[Taker]) -> Taker | None:
    """Hand ``connection`` to the taker with fewest; to the next if one's line is full."""
    for taker in sorted(takers, key=lambda taker: taker.connections):
        if hand(taker.line, connection):
            taker.connections += 1
            return taker
    return None
