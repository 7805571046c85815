"""A certificate authority of our own: when it is made, announced, used and forgotten. Pure.

The API server checks our certificate against the CAs in our APIServices. So a new CA is announced
there well before anything is signed with it, and an old one stays until it has expired: at every
moment each replica's certificate is good by the bundle, whichever replica is ahead.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from loadstar.tls import KeyPair

COMMON_NAME = "loadstar metrics adapter"
RENEW_SHARE = 2 / 3
"""Of its life that a certificate or CA is used before it is replaced."""
ANNOUNCE_SECONDS = 300.0
ANNOUNCE_SHARE = 0.05
"""How long a CA is announced before it signs: five minutes, or less where lives are short."""
GRACE_SECONDS = 60.0
"""Valid from a little earlier than made: clocks differ."""

CURRENT_CERTIFICATE, CURRENT_KEY = "ca.crt", "ca.key"
NEXT_CERTIFICATE, NEXT_KEY, NEXT_SINCE = "next.crt", "next.key", "next-since"
OLD = "old.crt"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that signs."""

    certificate: bytes
    key: bytes = field(repr=False)
    not_before: float
    not_after: float

    @property
    def life_seconds(self) -> float:
        return self.not_after - self.not_before

    @property
    def renew_at(self) -> float:
        return self.not_before + RENEW_SHARE * self.life_seconds


@dataclass(frozen=True, slots=True)
class Authorities:
    """The CA in use, the one announced, and those whose certificates may still be shown."""

    current: Authority
    next: Authority | None = None
    next_since: float = 0.0
    old: tuple[bytes, ...] = ()

    @property
    def bundle(self) -> bytes:
        """Every CA to be trusted, in an order that all replicas agree on."""
        more = () if self.next is None else (self.next.certificate,)
        return b"".join((self.current.certificate, *more, *self.old))


def plan(
    have: Authorities | None, wall: float, life_seconds: float, *, published: bool
) -> Authorities:
    """What should be at ``wall``; ``have`` itself where nothing is to be done.

    ``published`` says that the API server has the whole of ``have.bundle``: before that nothing
    new signs.
    """
    if have is None or have.current.not_after <= wall:
        # Nothing of it can be shown any more; what is new is trusted as soon as it is announced.
        return Authorities(new_authority(wall, life_seconds))
    old = tuple(each for each in have.old if _not_after(each) > wall)
    if old != have.old:
        have = replace(have, old=old)
    if have.next is None:
        if wall < have.current.renew_at:
            return have
        return replace(have, next=new_authority(wall, life_seconds), next_since=wall)
    # By the life of the one in use: it may have been made for another than is wanted now.
    announced = min(ANNOUNCE_SECONDS, ANNOUNCE_SHARE * have.current.life_seconds)
    if not published or wall - have.next_since < announced:
        return have
    return Authorities(have.next, old=(have.current.certificate, *have.old))


def new_authority(wall: float, life_seconds: float) -> Authority:
    """A CA that may sign leaves and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Named apart, so that whoever looks for an issuer by name finds the right one of several.
    common = f"{COMMON_NAME} {round(wall * 1000)}"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    builder = (
        _builder(name, name, key, wall, life_seconds)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, SHA256())
    return _authority(certificate.public_bytes(Encoding.PEM), _pem(key))


def issue(
    authority: Authority, names: tuple[str, ...], wall: float, life_seconds: float
) -> KeyPair:
    """A serving certificate for ``names`` and this machine, living no longer than its CA."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = load_pem_private_key(authority.key, password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    life_seconds = min(life_seconds, authority.not_after - wall)
    known = x509.SubjectAlternativeName(
        [
            *(x509.DNSName(name) for name in (*names, "localhost")),
            x509.IPAddress(IPv4Address("127.0.0.1")),
        ]
    )
    certificate = (
        _builder(subject, issuer.subject, key, wall, life_seconds)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(known, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, SHA256())
    )
    return KeyPair(
        certificate=certificate.public_bytes(Encoding.PEM),
        key=_pem(key),
        elliptic=True,
        not_after=certificate.not_valid_after_utc,
    )


def write(authorities: Authorities) -> dict[str, bytes]:
    """As the data of a Secret."""
    data = {
        CURRENT_CERTIFICATE: authorities.current.certificate,
        CURRENT_KEY: authorities.current.key,
        OLD: b"".join(authorities.old),
    }
    if authorities.next is not None:
        data[NEXT_CERTIFICATE] = authorities.next.certificate
        data[NEXT_KEY] = authorities.next.key
        data[NEXT_SINCE] = str(authorities.next_since).encode()
    return data


def read(data: Mapping[str, bytes]) -> Authorities | None:
    """From the data of a Secret; None for one that nobody has written yet. Raises ValueError."""
    if not data.get(CURRENT_CERTIFICATE) or not data.get(CURRENT_KEY):
        return None
    following = None
    if data.get(NEXT_CERTIFICATE) and data.get(NEXT_KEY):
        following = _authority(data[NEXT_CERTIFICATE], data[NEXT_KEY])
    old = data.get(OLD, b"")
    return Authorities(
        _authority(data[CURRENT_CERTIFICATE], data[CURRENT_KEY]),
        following,
        float(data.get(NEXT_SINCE, b"0")) if following else 0.0,
        tuple(
            each.public_bytes(Encoding.PEM)
            for each in (x509.load_pem_x509_certificates(old) if old.strip() else ())
        ),
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    wall: float,
    life_seconds: float,
) -> x509.CertificateBuilder:
    start = datetime.datetime.fromtimestamp(wall - GRACE_SECONDS, datetime.UTC)
    end = datetime.datetime.fromtimestamp(wall + life_seconds, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    """For a leaf (``sign``) or a CA."""
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(certificate: bytes, key: bytes) -> Authority:
    parsed = x509.load_pem_x509_certificate(certificate)
    load_pem_private_key(key, password=None)
    return Authority(
        certificate,
        key,
        parsed.not_valid_before_utc.timestamp() + GRACE_SECONDS,
        parsed.not_valid_after_utc.timestamp(),
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _not_after(certificate: bytes) -> float:
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
