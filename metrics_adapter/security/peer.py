"""The client certificate of a connection, as TLS has verified it: whose CA, and what it says.

The listener trusts two CAs that mean different things: the front proxy's, whose holders speak for
others, and the clients', whose holders speak for themselves. A common name alone does not tell
them apart, anybody with a client certificate may have the proxy's name in it; so what counts is
the CA that the verified chain ends in.
"""

from __future__ import annotations

import _ssl
import ssl
from dataclasses import dataclass
from typing import Any, Protocol


class Transport(Protocol):
    """What a connection tells of itself."""

    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A verified client certificate."""

    anchor: bytes
    """DER of the CA certificate that its chain ends in; empty where that cannot be known."""
    common_name: str
    organizations: tuple[str, ...]


def peer_of(transport: Transport | None) -> Peer | None:
    """The client's certificate; None where it showed none (or there is no TLS)."""
    if transport is None:
        return None
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    certificate = tls.getpeercert()
    if not certificate:
        return None
    subject: Any = certificate.get("subject", ())
    names = [pair for part in subject for pair in part]
    common = [value for key, value in names if key == "commonName"]
    return Peer(
        anchor=_anchor(tls),
        common_name=common[-1] if common else "",
        organizations=tuple(value for key, value in names if key == "organizationName"),
    )


def _anchor(tls: ssl.SSLObject) -> bytes:
    """The last certificate of the verified chain.

    Public since Python 3.13; before that only the object inside has it. Where neither answers (a
    resumed session keeps no chain), there is no anchor and so nobody is believed.
    """
    public: Any = getattr(tls, "get_verified_chain", None)
    if public is not None:
        chain: list[bytes] = public()
        return chain[-1] if chain else b""
    inner: Any = getattr(tls, "_sslobj", None)
    found = inner.get_verified_chain() if inner is not None else None
    return found[-1].public_bytes(_ssl.ENCODING_DER) if found else b""
