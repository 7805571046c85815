"""The listening socket that several processes share: opened once, by their parent."""

from __future__ import annotations

import os
import socket

from gateway.serving.listen import CannotListen

BACKLOG = 1024


def open_port(flag: str, address: str, port: int) -> socket.socket:
    """A socket on ``address`` ("" is all, IPv6 included where there is). Raises CannotListen."""
    try:
        if not address and socket.has_dualstack_ipv6():
            listening = socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        else:
            host = address.strip("[]")
            found = socket.getaddrinfo(host or None, port, flags=socket.AI_PASSIVE)
            family, _, _, _, place = found[0]
            listening = socket.create_server(
                (str(place[0]), port),
                family=socket.AF_INET6 if family == socket.AF_INET6 else socket.AF_INET,
                backlog=BACKLOG,
            )
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise CannotListen(flag, address, port, why) from error
    listening.setblocking(False)
    return listening
