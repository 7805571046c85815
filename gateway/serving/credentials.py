"""A key pair and the TLS flags -> what each transport serves TLS with.

grpcio reads its TLS 1.2 cipher suites from the environment, once, and has no setting for a lowest
version. TLS 1.3 alone is had by offering only TLS 1.2 suites that the key cannot sign for, so that
no 1.2 handshake succeeds; ``main`` puts ``ciphers`` into the environment before it uses grpcio.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from loadstar.tls import KeyPair, ReloadingPair, server_context
from loadstar.tls_port import renewing

CIPHERS_VARIABLE = "GRPC_SSL_CIPHER_SUITES"

SUITES: Mapping[str, str] = MappingProxyType(
    {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    }
)
"""Go's name -> OpenSSL's, of the TLS 1.2 suites that HTTP/2 allows (RFC 9113, appendix A)."""

TLS13_SUITES = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
ONLY_ECDSA = "ECDHE-ECDSA-AES128-GCM-SHA256"
ONLY_RSA = "ECDHE-RSA-AES128-GCM-SHA256"


def ciphers(min_version: str, suites: Sequence[str], *, elliptic: bool) -> str | None:
    """What to put into ``CIPHERS_VARIABLE``; None leaves grpcio's own list.

    Raises ValueError if ``suites`` has an unknown name, or none that the key can serve.
    """
    wanted = [suite.strip() for suite in suites if suite.strip() not in TLS13_SUITES]
    unknown = [suite for suite in wanted if suite not in SUITES]
    if unknown:
        raise ValueError(f"unknown or not allowed by HTTP/2: {', '.join(unknown)}")
    if min_version == "VersionTLS13":
        return ONLY_RSA if elliptic else ONLY_ECDSA
    if not wanted:
        return None
    kind = "ECDSA" if elliptic else "RSA"
    if not any(f"_{kind}_" in suite for suite in wanted):
        raise ValueError(f"none of them can be served with the {kind} key")
    return ":".join(SUITES[suite] for suite in wanted)


def only_rsa(suites: Sequence[str]) -> bool:
    """Whether TLS 1.2 ``suites`` are asked for of which none goes with an ECDSA key."""
    kinds = {"_ECDSA_" in suite for suite in suites if suite.strip() not in TLS13_SUITES}
    return kinds == {False}


def wire_context(
    certificate: ReloadingPair, min_version: str, suites: Sequence[str]
) -> ssl.SSLContext:
    """The wire transport's TLS: HTTP/2 by ALPN, the pair renewed from the next handshake on.

    Raises ValueError as ``ciphers`` does.
    """

    def made(pair: KeyPair) -> ssl.SSLContext:
        context = server_context(pair, alpn=("h2",))
        wanted = ciphers("", suites, elliptic=pair.elliptic)
        if wanted is not None:
            context.set_ciphers(wanted)
        if min_version == "VersionTLS13":
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    return renewing(certificate, made)
