"""Serving certificates: made in memory, or read from files and read again when they change.

It knows PEM, not servers: the gateway's hosts turn a ``KeyPair`` into grpcio's credentials.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

log = logging.getLogger(__name__)

ORGANIZATION = "Inference Ext"
"""The reference's O=; the gateways that look at it at all look for this."""
SELF_SIGNED_DAYS = 3650
RELOAD_SECONDS = 1.0
"""How often files are looked at: a stat call each, and kubelet swaps a mounted secret at most
once a minute."""


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


def self_signed(wall: float) -> KeyPair:
    """A new self-signed pair, valid from ``wall`` (Unix seconds) for ten years.

    ECDSA P-256, where the reference takes RSA-4096: making the latter's key costs 0.1 to 1 s of
    start-up here, and every handshake some milliseconds of signing; P-256 costs 0.02 ms for each.
    Proxies accept any certificate from an endpoint picker, so the name and the kind are free.
    """
    key = ec.generate_private_key(ec.SECP256R1())
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
        elliptic=True,
        not_after=end,
    )


def load(directory: str) -> KeyPair:
    """The pair in ``directory``'s tls.crt and tls.key. Raises CertificateError.

    What is checked here is what would otherwise fail later, at a client's handshake: that both
    parse, that the key is RSA or ECDSA, and that it is the certificate's.
    """
    crt, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
    certificate_pem, key_pem = _read(crt), _read(key)
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
    if _spki(private.public_key()) != _spki(certificate.public_key()):
        raise CertificateError(f"{key}: is not the key of {crt}")
    return KeyPair(
        certificate=certificate_pem,
        key=key_pem,
        elliptic=isinstance(private, ec.EllipticCurvePrivateKey),
        not_after=certificate.not_valid_after_utc,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
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
        self._on_reload = on_reload
        self._same_kind = same_kind
        self._seen: Signature = ()
        self.current = first

    async def run(self) -> None:
        """Look at the files for ever; file access happens in a thread. Cancelled to end."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take the files if they have changed and are good; otherwise keep what there is."""
        try:
            pair = await asyncio.to_thread(self._changed)
        except CertificateError as error:
            self._on_reload(False)
            log.error("certificate not renewed, the last good one stays: %s", error)
            return
        if pair is not None and pair != self.current:
            self.current = pair
            self._on_reload(True)
            log.info("certificate renewed, valid until %s", pair.not_after.isoformat())

    def _changed(self) -> KeyPair | None:
        seen = tuple(_signature(Path(self._directory, name)) for name in ("tls.crt", "tls.key"))
        if seen == self._seen:
            return None
        # Remembered before reading: a bad pair is reported once, until it changes again.
        self._seen = seen
        pair = load(self._directory)
        if self._same_kind and pair.elliptic != self.current.elliptic:
            raise CertificateError(
                f"{self._directory}: the new key is of another kind (RSA, ECDSA)"
            )
        return pair


def _signature(path: Path) -> tuple[int, int, int]:
    """What changes when a file does; kubelet swaps a symlink, so the inode tells."""
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)
