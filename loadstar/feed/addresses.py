"""Where a publisher is, as it is written: ``host:port``. Pure."""

from __future__ import annotations

from typing import TypeAlias

Address: TypeAlias = tuple[str, int]
"""Host and port."""


def split(address: str) -> Address:
    """``host:port``, ``[ip6]:port`` -> both. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{address[:80]!r} is not host:port")
    return host, int(port)
