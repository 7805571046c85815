"""Every open connection: bounded in number, each with the certificate it was opened with.

A connection outlives the handshake, and with it the CA that it was judged by. So the peer's CA is
looked at again at each request, and idle connections of a CA that has gone are closed at once: the
other side opens a new one, where a request that were refused here would be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from metrics_adapter.security.peer import Peer, Transport, peer_of

MAX_OPEN = 4096
"""Some 60 KB each with their TLS state. An aggregator opens one per request under way."""


@dataclass(slots=True)
class Connection:
    """One of them."""

    peer: Peer | None
    transport: Any
    busy: int = 0


class Connections:
    """Kept by the protocol object that aiohttp makes for each."""

    def __init__(self, *, most: int = MAX_OPEN) -> None:
        self._most = most
        self._open: dict[int, Connection] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, key: int, transport: Transport) -> bool:
        """Remember it; False where there are too many."""
        if len(self._open) >= self._most:
            self.refused += 1
            return False
        self._open[key] = Connection(peer_of(transport), transport)
        return True

    def closed(self, key: int) -> None:
        self._open.pop(key, None)

    def of(self, key: int) -> Connection | None:
        return self._open.get(key)

    def close_idle(self, trusted: Callable[[Peer], bool]) -> int:
        """Close those that do nothing and whose certificate is not trusted now; how many."""
        chosen = [
            each
            for each in self._open.values()
            if not each.busy and each.peer is not None and not trusted(each.peer)
        ]
        for each in chosen:
            each.transport.close()
        return len(chosen)


class Listener(web.Server):
    """aiohttp's server, with its connections counted in ``kept``."""

    def __init__(self, kept: Connections, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._kept = kept

    def connection_made(self, handler: web.RequestHandler, transport: Any) -> None:
        super().connection_made(handler, transport)
        if not self._kept.opened(id(handler), transport):
            transport.abort()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self._kept.closed(id(handler))
        super().connection_lost(handler, exc)
