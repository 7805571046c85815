"""Addresses as the proxy writes them, found in the pool: the subset hint and *served*.

The endpoint-picker protocol wants ``ip:port`` and compares whole endpoints, ports included (a
data-parallel pod has several). Here also: IPv6 with or without brackets, any case and any
spelling of zeros, blanks around an entry, and a bare address, which stands for every port of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from gateway.datalayer.state import Endpoint, PoolState

NOBODY: tuple[int, ...] = ()
PORT_DIGITS = 5


def canonical(address: str) -> str:
    """One spelling per IP address; IPv4 mapped into IPv6 is IPv4. A name is put in lower case."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address.lower()
    mapped = ip.ipv4_mapped if ip.version == 6 else None
    return str(mapped if mapped is not None else ip)


def port_number(text: str) -> int | None:
    """``text`` as a port, if it is nothing but a few decimal digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= PORT_DIGITS else None


class Addresses:
    """The endpoints of one epoch, by address; built once per epoch."""

    def __init__(self, state: PoolState) -> None:
        self._endpoints = state.endpoints
        self._by_destination: dict[str, list[int]] = {}
        self._by_pair: dict[tuple[str, int], list[int]] = {}
        self._by_address: dict[str, list[int]] = {}
        for i, endpoint in enumerate(state.endpoints):
            address = canonical(endpoint.address)
            self._by_destination.setdefault(endpoint.destination, []).append(i)
            self._by_pair.setdefault((address, endpoint.port), []).append(i)
            self._by_address.setdefault(address, []).append(i)

    def among(self, subset: Iterable[str]) -> tuple[Endpoint, ...]:
        """The endpoints that the entries of ``subset`` name, each once, in the pool's order."""
        wanted: set[int] = set()
        for entry in subset:
            wanted.update(self._matching(entry))
        return tuple(self._endpoints[i] for i in sorted(wanted))

    def find(self, destination: str) -> Endpoint | None:
        """The one endpoint that ``destination`` names; None if there is none, or several."""
        matches = self._matching(destination)
        return self._endpoints[matches[0]] if len(matches) == 1 else None

    def _matching(self, entry: str) -> Sequence[int]:
        """Positions of the endpoints that ``entry`` names; none for one that cannot be read."""
        known = self._by_destination.get(entry)
        if known is not None:
            return known
        entry = entry.strip()
        if entry.startswith("["):
            address, closed, rest = entry[1:].partition("]")
            if closed and not rest:
                return self._by_address.get(canonical(address), NOBODY)
            if not rest.startswith(":"):
                return NOBODY
            return self._pair(address, rest[1:])
        # 2001:db8::1:8000 reads as an address and as an address with a port. The protocol's
        # entries have ports, so that reading comes first.
        address, _, port = entry.rpartition(":")
        return self._pair(address, port) or self._by_address.get(canonical(entry), NOBODY)

    def _pair(self, address: str, port: str) -> Sequence[int]:
        number = port_number(port)
        return NOBODY if number is None else self._by_pair.get((canonical(address), number), NOBODY)
