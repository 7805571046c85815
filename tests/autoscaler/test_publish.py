"""What is wanted is published for as long as the service runs, and takes nothing down with it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from autoscaler.publish import Wishes, publishing
from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError
from loadstar.tls import KeyPair, self_signed
from tests.fakes.clock import ManualClock
from tests.grpc_fixtures import grpc_is_gone, grpc_may_lock

__all__ = ["grpc_is_gone", "grpc_may_lock"]


async def test_a_policy_that_is_wrong_at_the_start_is_told_as_without_subscribers() -> None:
    """Wrapped in a group it was a traceback and exit status 1, where 2 says what to mend."""
    clock = ManualClock()
    served = publishing(Wishes(clock), clock, host="127.0.0.1", port=0, cert_dir="", token_file="")
    with pytest.raises(ConfigError, match="models: is required"):
        async with served:
            raise ConfigError.of("models", "is required")


def written(folder: Path) -> KeyPair:
    """A new pair in ``folder``."""
    pair = self_signed(SystemClock().wall())
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (folder / f".{name}").write_bytes(content)
        (folder / f".{name}").replace(folder / name)
    return pair


async def shown(port: int) -> bytes:
    """The certificate that a new subscriber is shown, DER."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return certificate


async def test_a_renewed_certificate_is_shown_to_the_next_subscriber(tmp_path: Path) -> None:
    clock = ManualClock()
    first = await asyncio.to_thread(written, tmp_path)
    served = publishing(
        Wishes(clock), clock, host="127.0.0.1", port=0, cert_dir=str(tmp_path), token_file=""
    )
    async with served as port:
        assert await shown(port) == ssl.PEM_cert_to_DER_cert(first.certificate.decode())
        pair = await asyncio.to_thread(written, tmp_path)
        renewed = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
        async with asyncio.timeout(10):
            while await shown(port) != renewed:  # noqa: ASYNC110 -- a renewal raises no event
                await asyncio.sleep(0.1)
