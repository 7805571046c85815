"""A serving certificate and CA bundles in files, taken again when they change.

``--tls-cert-file``, ``--client-ca-file`` and ``--requestheader-client-ca-file`` come through here;
a file that is not good leaves the last good one in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from loadstar.aio.changes import Changes
from loadstar.tls import CertificateError, KeyPair, read

log = logging.getLogger(__name__)


def pair_of(certificate: bytes, key: bytes, names: tuple[str, str]) -> KeyPair:
    """``certificate`` and its ``key`` (PEM); ``names`` are for the message of CertificateError."""
    shown, secret = names
    try:
        first = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError as error:
        raise CertificateError(f"{shown}: not a PEM certificate") from error
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{secret}: not an unencrypted PEM private key") from error
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{secret}: must be an RSA or ECDSA key")
    ours, its = (
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (private.public_key(), first.public_key())
    )
    if ours != its:
        raise CertificateError(f"{secret}: is not the key of {shown}")
    return KeyPair(
        certificate=certificate,
        key=key,
        elliptic=isinstance(private, ec.EllipticCurvePrivateKey),
        not_after=first.not_valid_after_utc,
    )


def read_pair(certificate_file: str, key_file: str) -> KeyPair:
    """The pair of two files. Raises CertificateError."""
    return pair_of(read(certificate_file), read(key_file), (certificate_file, key_file))


async def follow(paths: tuple[str, ...], take: Callable[[], Awaitable[None]], what: str) -> None:
    """Call ``take`` whenever one of ``paths`` changes, until cancelled.

    ``take`` raises CertificateError or ValueError for files that are not good.
    """
    changes = Changes(Path(path) for path in paths)
    await changes.look()
    # What changed between the first reading and this first look is taken now.
    while True:
        try:
            await take()
        except (CertificateError, ValueError) as error:
            log.error("%s not renewed, the last good one stays: %s", what, error)
        await changes.next()


async def reread(path: str) -> bytes:
    """``read`` in a thread."""
    return await asyncio.to_thread(read, path)
