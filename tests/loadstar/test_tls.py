"""Certificates: what is made, what is refused and named, and what happens when files change."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from loadstar.tls import CertificateError, KeyPair, ReloadingPair, load, self_signed

WALL = 1_700_000_000.0


def write(directory: Path, pair: KeyPair) -> None:
    """As kubelet does: new files, moved over the old ones."""
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (directory / f".{name}").write_bytes(content)
        (directory / f".{name}").replace(directory / name)


def test_self_signed_is_for_servers_and_lasts_ten_years() -> None:
    pair = self_signed(WALL)
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    start = datetime.datetime.fromtimestamp(WALL - 60, datetime.UTC)
    assert certificate.subject.rfc4514_string() == "O=Inference Ext"
    assert certificate.not_valid_before_utc == start
    assert pair.not_after == certificate.not_valid_after_utc
    assert pair.not_after == start + datetime.timedelta(days=3650)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_self_signed_names_loopback_for_clients_that_must_check_a_name() -> None:
    certificate = x509.load_pem_x509_certificate(self_signed(WALL).certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]


def test_self_signed_is_rsa_where_it_has_to_be(tmp_path: Path) -> None:
    pair = self_signed(WALL, elliptic=False)
    write(tmp_path, pair)
    assert load(str(tmp_path)) == pair
    assert not pair.elliptic


def test_no_two_processes_share_a_key() -> None:
    assert self_signed(WALL).key != self_signed(WALL).key


def test_the_key_is_never_shown() -> None:
    assert "PRIVATE" not in repr(self_signed(WALL))


def test_a_pair_is_loaded_as_it_was_written(tmp_path: Path) -> None:
    pair = self_signed(WALL)
    write(tmp_path, pair)
    assert load(str(tmp_path)) == pair


def foreign_key(directory: Path) -> None:
    (directory / "tls.key").write_bytes(self_signed(WALL).key)


def rsa_key(directory: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (directory / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        pytest.param(
            lambda d: (d / "tls.crt").unlink(), "tls.crt: No such file or directory", id="no crt"
        ),
        pytest.param(
            lambda d: (d / "tls.key").unlink(), "tls.key: No such file or directory", id="no key"
        ),
        pytest.param(
            lambda d: (d / "tls.crt").write_text("x"), "tls.crt: not a PEM certificate", id="no PEM"
        ),
        pytest.param(
            lambda d: (d / "tls.key").write_text(""),
            "tls.key: not an unencrypted PEM private key",
            id="empty key",
        ),
        pytest.param(foreign_key, "tls.key: is not the key of {}/tls.crt", id="another's key"),
        pytest.param(rsa_key, "tls.key: is not the key of {}/tls.crt", id="a key of another kind"),
    ],
)
def test_a_pair_that_cannot_be_served_names_the_file(
    tmp_path: Path, spoil: object, problem: str
) -> None:
    write(tmp_path, self_signed(WALL))
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(CertificateError) as caught:
        load(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}/{problem.format(tmp_path)}"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        pytest.param(
            lambda: rsa.generate_private_key(65537, 1024),
            "tls.crt: cannot be served: ee key too small",
            id="too short",
        ),
        pytest.param(
            lambda: ec.generate_private_key(ec.SECP256K1()),
            "tls.key: must be on P-256, P-384 or P-521, not secp256k1",
            id="a curve that TLS lacks",
        ),
    ],
)
async def test_a_pair_that_no_handshake_survives_keeps_the_last_good_one(
    tmp_path: Path,
    key: Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey],
    problem: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, reloads = self_signed(WALL), Reloads()
    await asyncio.to_thread(write, tmp_path, first)
    files = ReloadingPair(str(tmp_path), first, reloads)
    await asyncio.to_thread(write, tmp_path, signed_by_itself(key()))
    await files.look()
    assert files.current == first
    assert reloads == [False]
    assert problem in caplog.text


def signed_by_itself(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> KeyPair:
    """A certificate of ``key``, as a careless script makes one."""
    now = datetime.datetime.fromtimestamp(WALL, datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    pem = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    elliptic = isinstance(key, ec.EllipticCurvePrivateKey)
    return KeyPair(made.public_bytes(encoding), pem, elliptic, made.not_valid_after_utc)


class Reloads(list[bool]):
    """What the metrics would have been told."""

    def __call__(self, ok: bool) -> None:
        self.append(ok)


async def test_a_changed_pair_is_taken_once(tmp_path: Path) -> None:
    first, second = self_signed(WALL), self_signed(WALL)
    await asyncio.to_thread(write, tmp_path, first)
    reloads = Reloads()
    files = ReloadingPair(str(tmp_path), first, reloads)
    await files.look()
    await asyncio.to_thread(write, tmp_path, second)
    await files.look()
    await files.look()
    assert files.current == second
    assert reloads == [True]


async def test_half_a_change_keeps_the_last_good_pair(tmp_path: Path) -> None:
    """Between the two renames the files do not belong together; that must never be served."""
    first, second = self_signed(WALL), self_signed(WALL)
    await asyncio.to_thread(write, tmp_path, first)
    reloads = Reloads()
    files = ReloadingPair(str(tmp_path), first, reloads)
    await asyncio.to_thread((tmp_path / "tls.crt").write_bytes, second.certificate)
    await files.look()
    await files.look()
    assert files.current == first
    assert reloads == [False]
    await asyncio.to_thread(write, tmp_path, second)
    await files.look()
    assert files.current == second
    assert reloads == [False, True]


async def test_files_that_vanish_keep_the_last_good_pair(tmp_path: Path) -> None:
    pair = self_signed(WALL)
    await asyncio.to_thread(write, tmp_path, pair)
    reloads = Reloads()
    files = ReloadingPair(str(tmp_path), pair, reloads)
    await asyncio.to_thread((tmp_path / "tls.key").unlink)
    await files.look()
    assert files.current == pair
    assert reloads == [False]


async def test_touching_the_files_is_no_renewal(tmp_path: Path) -> None:
    pair = self_signed(WALL)
    await asyncio.to_thread(write, tmp_path, pair)
    reloads = Reloads()
    files = ReloadingPair(str(tmp_path), pair, reloads)
    await files.look()
    await asyncio.to_thread(write, tmp_path, pair)
    await files.look()
    assert reloads == []


async def test_the_kind_of_key_stays_where_the_ciphers_depend_on_it(tmp_path: Path) -> None:
    first = self_signed(WALL)
    rsa_first = KeyPair(first.certificate, first.key, elliptic=False, not_after=first.not_after)
    await asyncio.to_thread(write, tmp_path, self_signed(WALL))
    reloads = Reloads()
    files = ReloadingPair(str(tmp_path), rsa_first, reloads, same_kind=True)
    await files.look()
    assert files.current == rsa_first
    assert reloads == [False]
