"""After warm-up, no request waits for a compiler."""

from __future__ import annotations

from types import ModuleType

import pytest

from gateway.request import json_object, json_stream
from gateway.request.model import Dialect
from gateway.request.parse import read_body
from gateway.request.rename import ModelRenamer
from gateway.request.usage import UsageReader
from gateway.request.warm_up import warm_up


@pytest.mark.parametrize(("module", "kernel"), [(json_object, "_scan"), (json_stream, "_read")])
def test_what_requests_bring_is_compiled_already(module: ModuleType, kernel: str) -> None:
    warm_up()
    compiled = list(getattr(module, kernel).signatures)
    read_body("/v1/chat/completions", "", "", b'\xef\xbb\xbf{"model":"m","messages":[1.5,null]}')
    read_body("/v1/other", "text/plain", "", b"")
    for event_stream in (True, False):
        UsageReader(Dialect.ANTHROPIC, event_stream).feed(b'{"message":{"usage":')
        renamer = ModelRenamer(Dialect.RESPONSES, event_stream, "m", "n")
        renamer.feed(b'data: {"response":{"model":"m"}}', end_of_stream=True)
    assert list(getattr(module, kernel).signatures) == compiled
