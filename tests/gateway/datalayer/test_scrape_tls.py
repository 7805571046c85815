"""Scraping over TLS: unverified by default, verified where a CA is given."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config.data_sources import MetricsSource
from gateway.datalayer.page_client import PageClient
from gateway.datalayer.page_response import Reason, ScrapeFailed
from gateway.datalayer.scrape_tls import tls_context
from loadstar.config.errors import ConfigError

PAGE = b"kv 1\n"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """(certificate, key) of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "stranger"):
        certificate(made, name)
    return made


@asynccontextmanager
async def serving(folder: Path, *, asks_for_client: bool = False) -> AsyncIterator[int]:
    """The port of a model server that serves TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if asks_for_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "client.crt")

    serving_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving_now.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE)
                writer.write(head + PAGE)
                await writer.drain()
                await reader.read()  # until the client leaves
        finally:
            writer.transport.abort()
            serving_now.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        # A TLS transport takes some turns to go; left behind it would trouble another test.
        while serving_now:  # noqa: ASYNC110 -- a fake may poll
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)


async def fetch(port: int, context: ssl.SSLContext | None) -> bytes:
    client = PageClient("127.0.0.1", port, tls=context)
    try:
        async with asyncio.timeout(5):
            return await client.fetch()
    finally:
        client.close()


def test_plain_http_needs_no_context() -> None:
    assert tls_context(MetricsSource()) is None


async def test_any_certificate_will_do_by_default(folder: Path) -> None:
    async with serving(folder) as port:
        assert await fetch(port, tls_context(MetricsSource(scheme="https"))) == PAGE


async def test_a_ca_is_enough_where_certificates_are_verified(folder: Path) -> None:
    source = MetricsSource(
        scheme="https", insecure_skip_verify=False, ca_cert_path=str(folder / "server.crt")
    )
    async with serving(folder) as port:
        assert await fetch(port, tls_context(source)) == PAGE


async def test_a_stranger_is_refused_where_certificates_are_verified(folder: Path) -> None:
    source = MetricsSource(
        scheme="https", insecure_skip_verify=False, ca_cert_path=str(folder / "stranger.crt")
    )
    async with serving(folder) as port:
        with pytest.raises(ScrapeFailed) as raised:
            await fetch(port, tls_context(source))
    assert raised.value.reason is Reason.CONNECT


async def test_the_gateway_shows_its_own_certificate_when_asked(folder: Path) -> None:
    source = MetricsSource(
        scheme="https",
        client_cert_path=str(folder / "client.crt"),
        client_key_path=str(folder / "client.key"),
    )
    async with serving(folder, asks_for_client=True) as port:
        assert await fetch(port, tls_context(source)) == PAGE


async def test_tls_against_a_plain_server_fails_as_a_connection(folder: Path) -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ScrapeFailed) as raised:
            await fetch(port, tls_context(MetricsSource(scheme="https")))
    assert raised.value.reason is Reason.CONNECT


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (MetricsSource(scheme="https", ca_cert_path="/nowhere/ca.crt"), "caCertPath"),
        (
            MetricsSource(scheme="https", client_cert_path="/nowhere/a", client_key_path="/b"),
            "clientCertPath",
        ),
    ],
)
def test_a_file_that_is_not_there_is_named(source: MetricsSource, place: str) -> None:
    with pytest.raises(ConfigError, match=f"^{place}: /nowhere/"):
        tls_context(source)
