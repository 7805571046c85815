"""Free loopback ports for the processes of a fleet."""

from __future__ import annotations

import os
import socket

# Below the range that Linux takes for outgoing connections (from 32768), so that no client's
# socket sits on a port between our look and the server's bind.
LOWEST, HIGHEST = 20_000, 32_000


class NoFreePorts(RuntimeError):
    """No run of free ports was found; something else on this machine holds them."""


_next = LOWEST + os.getpid() * 97 % (HIGHEST - LOWEST)


def free_ports(count: int, host: str = "127.0.0.1") -> range:
    """``count`` consecutive ports that nothing listens on, different at every call.

    Raises NoFreePorts after one round through the range.
    """
    global _next  # one counter per process, so that two calls never meet
    tried = 0
    while tried < HIGHEST - LOWEST:
        if _next + count > HIGHEST:
            _next = LOWEST
        ports = range(_next, _next + count)
        if all(_is_free(host, port) for port in ports):
            _next += count
            return ports
        _next += 1
        tried += 1
    raise NoFreePorts(f"no {count} consecutive free ports on {host} in {LOWEST}..{HIGHEST}")


def preferred_port(port: int, host: str = "127.0.0.1") -> int:
    """``port`` if nothing listens on it, else a free one: for addresses a person will type."""
    return port if _is_free(host, port) else free_ports(1, host)[0]


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
