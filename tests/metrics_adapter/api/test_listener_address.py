"""An address that is none: the flag that gave it is named, and what to give instead."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from metrics_adapter.api.listener import CannotListen, listening
from metrics_adapter.api.refusals import of
from metrics_adapter.errors import MethodNotAllowed


class NoRim:
    """Nobody gets as far as asking it."""

    async def handle(self, request: Any) -> Any:
        raise NotImplementedError


async def test_an_address_that_is_none_names_its_flag() -> None:
    rim: Any = NoRim()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    port = listening(rim, rim, context, address="300.1.1.1", port=0, shared=False)
    with pytest.raises(CannotListen, match=r"--bind-address: '300\.1\.1\.1' is no address"):
        async with port:
            pass


def test_a_refused_method_is_told_which_are_allowed() -> None:
    answer = of(MethodNotAllowed("no"), {})
    assert (answer.status, dict(answer.headers)) == (405, {"Allow": "GET, HEAD"})
