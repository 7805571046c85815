"""TLS of a port that goes on listening while its certificate is renewed.

A port listens with one context for its lifetime; each handshake is handed the newest one. Loading a
pair into the same context would not do: OpenSSL keeps one certificate for each kind of key, and
would go on serving an ECDSA one beside the RSA one that replaced it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from loadstar import tls

Handshake: TypeAlias = ssl.SSLObject | ssl.SSLSocket


def renewing(
    pair: tls.ReloadingPair, made: Callable[[tls.KeyPair], ssl.SSLContext]
) -> ssl.SSLContext:
    """What to listen with; ``made`` of the newest pair is what a handshake is given, with or
    without SNI. Raises as ``made`` does of the first."""
    context = current = made(pair.current)

    def renew(new: tls.KeyPair) -> None:
        nonlocal current
        current = made(new)

    def swap(handshake: Handshake, name: str | None, _: ssl.SSLContext) -> None:
        handshake.context = current

    pair.on_renewal(renew)
    context.sni_callback = swap
    return context


class TlsPort:
    """``context`` serves the pair of a directory; ``run`` beside the port renews it."""

    def __init__(
        self,
        directory: str,
        on_reload: Callable[[bool], None] = lambda _ok: None,
        *,
        client_ca_file: str = "",
    ) -> None:
        """Clients need a certificate of ``client_ca_file``, if given, as it is now.

        Reads the files. Raises CertificateError.
        """
        self._clients_of = _authorities(Path(client_ca_file)) if client_ca_file else ""
        self._pair = tls.ReloadingPair(directory, tls.load(directory), on_reload)
        self.context = renewing(self._pair, self._made)

    async def run(self) -> None:
        """Take changes as they come, until cancelled."""
        await self._pair.run()

    def _made(self, pair: tls.KeyPair) -> ssl.SSLContext:
        context = tls.server_context(pair)
        if self._clients_of:
            context.load_verify_locations(cadata=self._clients_of)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _authorities(file: Path) -> str:
    """The CAs of a file, PEM, as a context takes them. Raises CertificateError."""
    try:
        text = tls.read(file).decode("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except (ValueError, ssl.SSLError) as error:
        raise tls.CertificateError(f"{file}: no PEM certificates: {error}") from error
    return text
