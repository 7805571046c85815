"""The wire transport passes the HTTP/2 and HPACK conformance suite, without exclusions.

A request that is not gRPC gets a plain answer, so every case of the suite applies.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from gateway.extproc.wire.limits import WireLimits
from gateway.extproc.wire.server import WireServer
from gateway.request.model import Ending
from loadstar.clock import SystemClock
from tests.conformance.gotools import H2SPEC, NoGo, tool


class Echo:
    """A call that answers each message with itself."""

    done = False
    status = 0
    may_be_let_go = False

    def message(self, payload: bytes) -> Sequence[bytes]:
        return [payload]

    def too_large(self) -> Sequence[bytes]:
        return []

    def half_closed(self) -> None:
        return

    def close(self, ending: Ending) -> None:
        return


@pytest.mark.slow
@pytest.mark.timeout(700)
async def test_h2spec_passes_every_case() -> None:
    try:
        h2spec = await asyncio.to_thread(tool, H2SPEC)
    except NoGo as missing:
        pytest.skip(str(missing))
    async with WireServer(
        open_call=lambda path: Echo(),
        clock=SystemClock(),
        limits=WireLimits(),
        host="127.0.0.1",
        port=0,
    ) as server:
        run = await asyncio.create_subprocess_exec(
            h2spec, "-h", "127.0.0.1", "-p", str(server.port), "-o", "2",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(90):
            report = (await run.communicate())[0].decode()
    failures = report[report.find("Failures:") :] if "Failures:" in report else ""
    assert re.search(r"\d+ tests, \d+ passed, 0 skipped, 0 failed", report), failures
    assert int(re.findall(r"(\d+) tests", report)[0]) >= 145
