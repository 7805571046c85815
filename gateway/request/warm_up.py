"""Load the compiled kernels of this package before the first request. Called at start-up."""

from __future__ import annotations

from gateway.request.model import Dialect
from gateway.request.parse import read_body
from gateway.request.rename import ModelRenamer
from gateway.request.usage import UsageReader


def warm_up() -> None:
    """Run each kernel once; seconds when they must be compiled, milliseconds from the cache."""
    read_body("/v1/completions", "", "", b'{"model":"m","prompt":"p","n":1}')
    event = b'data: {"model":"m","usage":{"prompt_tokens":1}}\n\n'
    UsageReader(Dialect.CHAT, event_stream=True).feed(event)
    ModelRenamer(Dialect.CHAT, event_stream=True, old="m", new="n").feed(event, True)
