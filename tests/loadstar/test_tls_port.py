"""A port shows the newest certificate to each new connection, and asks of clients what it did."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from loadstar.clock import SystemClock
from loadstar.tls import CertificateError, KeyPair, self_signed
from loadstar.tls_port import TlsPort
from tests.controlplane.pki import Authority
from tests.controlplane.pki import KeyPair as Files
from tests.loadstar.test_tls import write


@pytest.fixture(autouse=True)
def key_pairs_may_be_handed_over(_no_blocking_in_the_loop: BlockBuster) -> None:
    """They go to the TLS library through a file that is memory."""
    _no_blocking_in_the_loop.functions["os.write"].deactivate()


def made(*, elliptic: bool = True) -> KeyPair:
    return self_signed(SystemClock().wall(), elliptic=elliptic)


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


@contextlib.asynccontextmanager
async def listening(secured: TlsPort) -> AsyncIterator[int]:
    """A port that says ``hello``, and renews its certificate."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=secured.context)
    async with server, asyncio.TaskGroup() as tasks:
        renewing = tasks.create_task(secured.run())
        yield server.sockets[0].getsockname()[1]
        renewing.cancel()


def client(shows: Files | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shows is not None:
        context.load_cert_chain(shows.cert, shows.key)
    return context


async def asked(port: int, shows: Files | None = None) -> bytes | None:
    """The certificate that a client is shown, DER; None where the client is turned away."""
    context = await asyncio.to_thread(client, shows)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        said = await reader.read()  # with TLS 1.3 only now it is known whether we are let in
        writer.close()
    except OSError:
        return None
    return certificate if said == b"hello" else None


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 -- a renewal raises no event here
            await asyncio.sleep(0.02)


async def test_a_renewed_pair_is_shown_and_a_bad_one_leaves_the_last(tmp_path: Path) -> None:
    """Also of another kind, of which the first would be served on beside it."""
    pairs = [made(), made(elliptic=False), made()]
    await asyncio.to_thread(write, tmp_path, pairs[0])
    reloads: list[bool] = []
    secured = await asyncio.to_thread(TlsPort, str(tmp_path), reloads.append)
    async with listening(secured) as port:
        assert await asked(port) == der(pairs[0])
        for pair in pairs[1:]:
            reloads.clear()
            await asyncio.to_thread(write, tmp_path, pair)
            await until(lambda: reloads == [True])
            assert await asked(port) == der(pair)
        reloads.clear()
        await asyncio.to_thread((tmp_path / "tls.key").write_text, "nonsense")
        await until(lambda: reloads == [False])
        assert await asked(port) == der(pairs[-1])


async def test_clients_show_theirs_after_a_renewal_as_before(tmp_path: Path) -> None:
    pairs = [made(), made()]
    await asyncio.to_thread(write, tmp_path, pairs[0])
    ours, other = await asyncio.to_thread(
        lambda: [Authority(tmp_path / name, name) for name in ("ours", "other")]
    )
    known, stranger = await asyncio.to_thread(lambda: [each.leaf("bob") for each in (ours, other)])
    reloads: list[bool] = []
    secured = await asyncio.to_thread(
        lambda: TlsPort(str(tmp_path), reloads.append, client_ca_file=str(ours.cert))
    )
    async with listening(secured) as port:
        for pair in pairs:
            assert await asked(port, known) == der(pair)
            assert await asked(port, stranger) is None
            assert await asked(port) is None
            await asyncio.to_thread(write, tmp_path, pairs[1])
            await until(lambda: reloads == [True])


@pytest.mark.parametrize("text", ["", "nonsense", "\u00b5"])
def test_authorities_that_are_none_are_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, made())
    (tmp_path / "ca.crt").write_text(text)
    with pytest.raises(CertificateError, match="no PEM certificates"):
        TlsPort(str(tmp_path), client_ca_file=str(tmp_path / "ca.crt"))
