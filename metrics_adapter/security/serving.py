"""What the listener shows and whom it believes, both exchangeable between two handshakes.

One listening context lives as long as the port. Each handshake is handed the newest context by its
SNI callback, which swaps the certificate and the trusted CAs together, with or without SNI.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence

from loadstar import tls
from metrics_adapter.security.peer import Peer
from metrics_adapter.security.trust import Trust

SUITES: Mapping[str, str] = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{ours}"
    for key in ("ECDSA", "RSA")
    for go, ours in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    )
}
"""TLS 1.2 suites with forward secrecy, by Go's names, and what OpenSSL calls them."""


class Serving:
    """The certificate and the trust in force. ``context`` is what the port listens with."""

    def __init__(
        self, pair: tls.KeyPair, trust: Trust, shape: Callable[[ssl.SSLContext], None]
    ) -> None:
        """``shape`` sets what flags say of versions and suites on each new context."""
        self._shape = shape
        self.pair = pair
        self.trust = trust
        self._current = self._made()
        self.context = self._made()
        self.context.sni_callback = self._swap
        self._on_trust: list[Callable[[], object]] = []

    def trusts(self, peer: Peer) -> bool:
        """Whether the CA that ``peer`` came with is still one of those that count."""
        return peer.anchor in self.trust.proxy.ders or peer.anchor in self.trust.clients.ders

    def on_trust(self, call: Callable[[], object]) -> None:
        """Call when the trust has changed."""
        self._on_trust.append(call)

    def renew(self, pair: tls.KeyPair) -> None:
        """Show ``pair`` from the next handshake on."""
        if pair != self.pair:
            self.pair = pair
            self._current = self._made()

    def believe(self, trust: Trust) -> None:
        """Judge callers by ``trust`` from now on."""
        if trust != self.trust:
            self.trust = trust
            self._current = self._made()
            for call in self._on_trust:
                call()

    def _swap(
        self, handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext
    ) -> None:
        handshake.context = self._current

    def _made(self) -> ssl.SSLContext:
        context = tls.server_context(self.pair, alpn=("http/1.1",))
        # Asked for and not required: probes and bearers of tokens have none. Without a CA to
        # verify it by, one that is shown ends the handshake.
        context.verify_mode = ssl.CERT_OPTIONAL
        # A CA may itself be one that another has signed; it is trusted all the same.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.trust.pem:
            context.load_verify_locations(cadata=self.trust.pem.decode("ascii"))
        # A resumed session would outlive a CA that is trusted no more, and keeps no chain.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        self._shape(context)
        return context


def shaped(minimum: ssl.TLSVersion, suites: str) -> Callable[[ssl.SSLContext], None]:
    """What ``--tls-min-version`` and ``--tls-cipher-suites`` (OpenSSL's names) ask for."""

    def shape(context: ssl.SSLContext) -> None:
        context.minimum_version = max(minimum, ssl.TLSVersion.TLSv1_2)
        if suites:
            context.set_ciphers(suites)

    return shape


def openssl_names(suites: Sequence[str]) -> str:
    """Go's names as OpenSSL's list; those of TLS 1.3 are left aside. Raises ValueError."""
    known = []
    for name in suites:
        short = name.removesuffix("_SHA256") if name.endswith("POLY1305_SHA256") else name
        full = f"{short}_SHA256" if short.endswith("POLY1305") else name
        if full in SUITES:
            known.append(SUITES[full])
        elif not name.startswith(("TLS_AES_", "TLS_CHACHA20_")):
            raise ValueError(f"{name} is not one of {', '.join(SUITES)}")
    if suites and not known:
        raise ValueError("none of them is for TLS 1.2; --tls-min-version=VersionTLS13 says that")
    return ":".join(known)
