"""The line between the supervisor and one of its children: small messages, and connections.

A child says READY once (the collector with its health and metrics ports behind it), and CLOSED for
each connection that it was handed and has ended; the supervisor hands connections. The end of the
line is the end of the other process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

READY = b"ready"
CLOSED = b"closed"
CONNECTION = b"connection"
_LONGEST = 64
_BATCH = 64
"""Messages taken at once, so that a busy line does not keep the loop from other work."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends. Messages are kept apart, and a full line refuses rather than blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def say(line: socket.socket, message: bytes) -> None:
    """Send ``message``. The other end may be gone: then it need not know."""
    try:
        line.send(message)
    except OSError:
        return


def hand(line: socket.socket, connection: socket.socket) -> bool:
    """Give ``connection`` away; False if the other end cannot take it now."""
    try:
        socket.send_fds(line, [CONNECTION], [connection.fileno()])
    except OSError:
        return False
    return True


def listen(
    line: socket.socket,
    said: Callable[[bytes, socket.socket | None], None],
    ended: Callable[[], None],
) -> None:
    """Call ``said`` for each message, with the connection it brings, and ``ended`` once."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        for _ in range(_BATCH):
            try:
                message, fds, _, _ = socket.recv_fds(line, _LONGEST, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                message, fds = b"", []
            if not message:
                loop.remove_reader(line)
                ended()
                return
            said(message, socket.socket(fileno=fds[0]) if fds else None)

    loop.add_reader(line, readable)
