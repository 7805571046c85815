"""Whose word is taken for who a caller is: CA certificates, and the headers of the front proxy.

Pure: it reads what ``kube-system/extension-apiserver-authentication`` holds, or what flags named,
into one value. ``trust_source`` keeps it current; ``authenticate`` and the listener go by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

NAMESPACE = "kube-system"
NAME = "extension-apiserver-authentication"

CLIENT_CA = "client-ca-file"
PROXY_CA = "requestheader-client-ca-file"
ALLOWED_NAMES = "requestheader-allowed-names"
USERNAME_HEADERS = "requestheader-username-headers"
GROUP_HEADERS = "requestheader-group-headers"
EXTRA_PREFIXES = "requestheader-extra-headers-prefix"
UID_HEADERS = "requestheader-uid-headers"


class UnusableTrust(Exception):
    """A CA bundle or a list of names that cannot be read; the message names the key."""


@dataclass(frozen=True, slots=True)
class Authority:
    """CA certificates: ``pem`` for the TLS library, ``ders`` to tell an anchor by."""

    pem: bytes = b""
    ders: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.ders)


@dataclass(frozen=True, slots=True)
class ProxyHeaders:
    """Which headers say who the caller is, when the front proxy sends them."""

    allowed_names: tuple[str, ...] = ()
    """Common names that the proxy's certificate may have; none means any."""
    username: tuple[str, ...] = ("X-Remote-User",)
    group: tuple[str, ...] = ("X-Remote-Group",)
    extra_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)
    uid: tuple[str, ...] = ()
    """None by default: a proxy that does not know the header would pass on the caller's own."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything a caller's certificate and headers are judged by."""

    proxy: Authority = field(default_factory=Authority)
    clients: Authority = field(default_factory=Authority)
    headers: ProxyHeaders = field(default_factory=ProxyHeaders)

    @property
    def pem(self) -> bytes:
        """Every CA that a client certificate may come from."""
        return b"\n".join(part for part in (self.proxy.pem, self.clients.pem) if part)


def authority(pem: bytes, place: str) -> Authority:
    """The certificates of ``pem``; raises UnusableTrust, naming ``place``."""
    if not pem.strip():
        return Authority()
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise UnusableTrust(f"{place}: not PEM certificates") from error
    # Written anew, so that comments and keys that stand between them go no further.
    ders = [certificate.public_bytes(Encoding.DER) for certificate in found]
    clean = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
    return Authority(clean, frozenset(ders))


def from_config_map(entries: Mapping[str, str]) -> Trust:
    """What the cluster's ConfigMap says. Raises UnusableTrust.

    Without a proxy CA there are no proxy headers, and without user headers there is no proxy: a
    half-written map must not make the other half believed.
    """
    proxy = authority(entries.get(PROXY_CA, "").encode(), f"{NAME}[{PROXY_CA}]")
    headers = ProxyHeaders(
        allowed_names=_names(entries, ALLOWED_NAMES),
        username=_names(entries, USERNAME_HEADERS),
        group=_names(entries, GROUP_HEADERS),
        extra_prefixes=_names(entries, EXTRA_PREFIXES),
        uid=_names(entries, UID_HEADERS),
    )
    return Trust(
        proxy=proxy if headers.username else Authority(),
        clients=authority(entries.get(CLIENT_CA, "").encode(), f"{NAME}[{CLIENT_CA}]"),
        headers=headers,
    )


def overridden(cluster: Trust, flags: Trust) -> Trust:
    """``cluster`` with what ``flags`` name instead: each CA, and the headers with the proxy's."""
    if flags.proxy:
        cluster = replace(cluster, proxy=flags.proxy, headers=flags.headers)
    if flags.clients:
        cluster = replace(cluster, clients=flags.clients)
    return cluster


def _names(entries: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = entries.get(name, "")
    if not text:
        return ()
    try:
        names = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnusableTrust(f"{NAME}[{name}]: not JSON") from error
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise UnusableTrust(f"{NAME}[{name}]: must be a list of strings")
    return tuple(each for each in names if each)
