"""Serving certificates: made in memory, or read from files and read again when they change.

It knows PEM, not servers: the gateway's hosts turn a ``KeyPair`` into grpcio's credentials.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from loadstar.aio.changes import Changes
from loadstar.files import contents

log = logging.getLogger(__name__)

ORGANIZATION = "Inference Ext"
"""The reference's O=; the gateways that look at it at all look for this."""
SELF_SIGNED_DAYS = 3650
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
"""Those with a signature in TLS 1.3; with a key on another no handshake succeeds."""
LOOPBACK = (
    x509.DNSName("localhost"),
    x509.IPAddress(IPv4Address("127.0.0.1")),
    x509.IPAddress(IPv6Address("::1")),
)


class CertificateError(Exception):
    """A certificate or key that cannot be served; the message names the file."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)
    elliptic: bool
    """Whether the key is ECDSA (else RSA): it decides which TLS 1.2 suites can be served."""
    not_after: datetime.datetime


def self_signed(wall: float, *, elliptic: bool = True) -> KeyPair:
    """A new self-signed pair, valid from ``wall`` (Unix seconds) for ten years.

    ECDSA P-256, where the reference takes RSA-4096: making the latter's key costs 0.1 to 1 s of
    start-up here, and every handshake some milliseconds of signing; P-256 costs 0.02 ms for each.
    ``elliptic=False`` is RSA-2048, for clients that know nothing else.
    Proxies accept any certificate from an endpoint picker, so the name and the kind are free. It
    names this machine's loopback, for clients that cannot be told to check no name (grpc's own).
    """
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if elliptic:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION)])
    # A minute of grace: a proxy whose clock is behind would call it not yet valid.
    start = datetime.datetime.fromtimestamp(wall - 60, datetime.UTC)
    end = start + datetime.timedelta(days=SELF_SIGNED_DAYS)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(LOOPBACK), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        elliptic=elliptic,
        not_after=end,
    )


def load(directory: str) -> KeyPair:
    """The pair in ``directory``'s tls.crt and tls.key. Raises CertificateError.

    What is checked here is what would otherwise fail later, at a client's handshake: that both
    parse, that the key is RSA or ECDSA on a curve of TLS, that it is the certificate's, and that
    both are strong enough for OpenSSL.
    """
    crt, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
    certificate_pem, key_pem = read(crt), read(key)
    try:
        certificate = x509.load_pem_x509_certificates(certificate_pem)[0]
    except ValueError as error:
        raise CertificateError(f"{crt}: not a PEM certificate") from error
    try:
        private = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{key}: not an unencrypted PEM private key") from error
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{key}: must be an RSA or ECDSA key")
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name not in CURVES:
        raise CertificateError(f"{key}: must be on P-256, P-384 or P-521, not {private.curve.name}")
    if _spki(private.public_key()) != _spki(certificate.public_key()):
        raise CertificateError(f"{key}: is not the key of {crt}")
    pair = KeyPair(
        certificate=certificate_pem,
        key=key_pem,
        elliptic=isinstance(private, ec.EllipticCurvePrivateKey),
        not_after=certificate.not_valid_after_utc,
    )
    try:
        server_context(pair)
    except ssl.SSLError as error:
        why = (error.reason or str(error)).replace("_", " ").lower()
        raise CertificateError(f"{crt}: cannot be served: {why}") from error
    return pair


def read(path: str | Path) -> bytes:
    """What a file of PEM says. Raises CertificateError."""
    try:
        return contents(path)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error


def _spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


Signature = tuple[tuple[int, int, int], ...]


class ReloadingPair:
    """The pair of a directory, renewed when its files change. ``current`` is always servable."""

    def __init__(
        self,
        directory: str,
        first: KeyPair,
        on_reload: Callable[[bool], None],
        *,
        same_kind: bool = False,
    ) -> None:
        """``same_kind`` refuses an RSA key after an ECDSA one and the reverse."""
        self._directory = directory
        self._changes = Changes(Path(directory, name) for name in ("tls.crt", "tls.key"))
        self._on_reload = on_reload
        self._same_kind = same_kind
        self._on_renewal: list[Callable[[KeyPair], None]] = []
        self.current = first

    def on_renewal(self, use: Callable[[KeyPair], None]) -> None:
        """Call ``use`` with each new pair, on the loop that runs ``run``."""
        self._on_renewal.append(use)

    async def run(self) -> None:
        """Take changes as they come, until cancelled."""
        while True:
            await self._changes.next()
            await self._take()

    async def look(self) -> None:
        """Take the files if they have changed; keep what there is if they are not good."""
        if await self._changes.look():
            await self._take()

    def renew(self, pair: KeyPair) -> None:
        """Serve ``pair`` from now on."""
        self.current = pair
        for use in self._on_renewal:
            use(pair)

    async def _take(self) -> None:
        try:
            pair = await asyncio.to_thread(load, self._directory)
            if self._same_kind and pair.elliptic != self.current.elliptic:
                raise CertificateError(f"{self._directory}: the key is of another kind than before")
        except CertificateError as error:
            self._on_reload(False)
            log.error("certificate not renewed, the last good one stays: %s", error)
            return
        if pair != self.current:
            self.renew(pair)
            self._on_reload(True)
            log.info("certificate renewed, valid until %s", pair.not_after.isoformat())


def server_context(pair: KeyPair, *, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """A context that serves ``pair``, for servers of the standard library."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols(list(alpn))
    use(context, pair)
    return context


def use(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Serve ``pair`` from the next handshake on."""
    # The standard library takes keys from files only; this one is in memory and has no name.
    descriptor = os.memfd_create("tls")
    try:
        os.write(descriptor, pair.certificate + b"\n" + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
