"""What the listener shows and whom it believes, both exchangeable between two handshakes.

One listening context lives as long as the port. Each handshake is handed the newest context by its
SNI callback, which swaps the certificate and the trusted CAs together, with or without SNI.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from loadstar import tls
from metrics_adapter.security.trust import Trust


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
        self._on_trust: list[Callable[[], None]] = []

    def on_trust(self, call: Callable[[], None]) -> None:
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
