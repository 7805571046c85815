"""TLS as clients see it: which certificate is served, which versions and suites are taken."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys

import pytest

from gateway.serving.credentials import (
    CIPHERS_VARIABLE,
    ONLY_ECDSA,
    ONLY_RSA,
    ciphers,
    only_rsa,
)
from loadstar.clock import SystemClock
from loadstar.tls import KeyPair, ReloadingPair, self_signed
from tests.gateway.hosting.conversation import hosting

ECDSA_128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
RSA_256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"


def now() -> float:
    return SystemClock().wall()


@pytest.mark.parametrize(
    ("min_version", "suites", "elliptic", "expected"),
    [
        pytest.param("", (), True, None, id="nothing said"),
        pytest.param("VersionTLS10", (), True, None, id="1.0 is the floor of 1.2"),
        pytest.param("VersionTLS12", (), True, None, id="1.2 is the floor"),
        pytest.param("VersionTLS13", (), True, ONLY_RSA, id="1.3 with an ECDSA key"),
        pytest.param("VersionTLS13", (), False, ONLY_ECDSA, id="1.3 with an RSA key"),
        pytest.param("", (ECDSA_128,), True, "ECDHE-ECDSA-AES128-GCM-SHA256", id="one suite"),
        pytest.param(
            "",
            (RSA_256, ECDSA_128),
            False,
            "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
            id="several, in order",
        ),
        pytest.param("", ("TLS_AES_128_GCM_SHA256",), True, None, id="those of 1.3 are fixed"),
    ],
)
def test_flags_become_grpcios_list_of_ciphers(
    min_version: str, suites: tuple[str, ...], elliptic: bool, expected: str | None
) -> None:
    assert ciphers(min_version, suites, elliptic=elliptic) == expected


@pytest.mark.parametrize(
    ("suites", "problem"),
    [
        pytest.param(("TLS_RSA_WITH_RC4_128_SHA",), "not allowed by HTTP/2", id="broken suite"),
        pytest.param((RSA_256,), "none of them can be served with the ECDSA key", id="other key"),
    ],
)
def test_suites_that_cannot_be_served_are_refused(suites: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ciphers("", suites, elliptic=True)


@pytest.mark.parametrize(
    ("suites", "rsa"),
    [
        pytest.param((), False, id="nothing said"),
        pytest.param((RSA_256,), True, id="RSA alone"),
        pytest.param((RSA_256, ECDSA_128), False, id="either will do"),
        pytest.param(("TLS_AES_128_GCM_SHA256",), False, id="those of 1.3 go with any key"),
        pytest.param(("TLS_AES_128_GCM_SHA256", RSA_256), True, id="1.3, and RSA below it"),
    ],
)
def test_the_key_is_of_the_kind_that_the_suites_go_with(suites: tuple[str, ...], rsa: bool) -> None:
    assert only_rsa(suites) == rsa
    assert ciphers("", suites, elliptic=not rsa) != ""


async def served(port: int) -> bytes:
    """The certificate that a new connection is shown, DER."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


KINDS = pytest.mark.parametrize("kind", ["wire", "grpcio"])


def pair_holder(pair: KeyPair) -> ReloadingPair:
    return ReloadingPair("", pair, lambda ok: None)


@KINDS
async def test_a_renewed_certificate_is_served_to_the_next_connection(kind: str) -> None:
    pairs = [self_signed(now()), self_signed(now())]
    certificate = pair_holder(pairs[0])
    async with hosting(certificate=certificate, kind=kind, reloads=True) as host:
        assert await served(host.port) == der(pairs[0])
        certificate.renew(pairs[1])
        assert await served(host.port) == der(pairs[1])
        assert await served(host.port) == der(pairs[1])


@KINDS
async def test_a_key_of_another_kind_leaves_nothing_of_the_first(kind: str) -> None:
    """Both kinds would do for a client that takes either, and the first would be served on."""
    pairs = [self_signed(now()), self_signed(now(), elliptic=False)]
    certificate = pair_holder(pairs[0])
    async with hosting(certificate=certificate, kind=kind, reloads=True) as host:
        certificate.renew(pairs[1])
        assert await served(host.port) == der(pairs[1])
        certificate.renew(pairs[0])
        assert await served(host.port) == der(pairs[0])


@KINDS
async def test_without_reload_the_first_certificate_stays(kind: str) -> None:
    pairs = [self_signed(now()), self_signed(now())]
    certificate = pair_holder(pairs[0])
    async with hosting(certificate=certificate, kind=kind) as host:
        certificate.current = pairs[1]
        assert await served(host.port) == der(pairs[0])


HANDSHAKES = """
import asyncio, ssl, sys
from tests.gateway.hosting.conversation import hosting
from loadstar.clock import SystemClock
from loadstar.tls import ReloadingPair, self_signed

async def shake(port, version):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return "refused"
    cipher = writer.get_extra_info("cipher")[0]
    writer.close()
    return cipher

async def main():
    pair = self_signed(SystemClock().wall())
    certificate = ReloadingPair("", pair, lambda ok: None)
    kind, *flags = sys.argv[1:]
    async with hosting(certificate=certificate, kind=kind, flags=tuple(flags)) as host:
        print(await shake(host.port, ssl.TLSVersion.TLSv1_2))
        print(await shake(host.port, ssl.TLSVersion.TLSv1_3))

asyncio.run(main())
"""


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize(
    ("min_version", "suites", "tls12", "tls13"),
    [
        pytest.param("VersionTLS13", (), "refused", "TLS_AES_256_GCM_SHA384", id="only 1.3"),
        pytest.param(
            "VersionTLS12",
            (ECDSA_128,),
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "TLS_AES_256_GCM_SHA384",
            id="one suite of 1.2",
        ),
    ],
)
async def test_versions_and_suites_hold_on_the_wire(
    kind: str, min_version: str, suites: tuple[str, ...], tls12: str, tls13: str
) -> None:
    """In a process of its own: grpcio reads the variable once."""
    chosen = ciphers(min_version, suites, elliptic=True)
    assert chosen is not None
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HANDSHAKES, kind),
        *(f"--tls-min-version={min_version}", f"--tls-cipher-suites={','.join(suites)}"),
        env={**os.environ, CIPHERS_VARIABLE: chosen, "GRPC_VERBOSITY": "NONE"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    assert out.decode().split() == [tls12, tls13]
