"""What every API's way of writing an answer has in common: ``Wire``, and what it is told.

Pure: tokens in, bytes out. ``asking`` picks the wire by the path; ``exchange`` feeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import orjson

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, all its choices together."""

    prompt: int
    completion: int
    cached: int


@dataclass(frozen=True, slots=True)
class Said:
    """One choice of an answer."""

    text: str
    reason: str
    """``stop`` or ``length``"""


@dataclass(frozen=True, slots=True)
class Naming:
    """What an answer repeats from its request."""

    id: str
    model: str
    created: int
    """Unix seconds."""
    include_usage: bool = False
    """``stream_options.include_usage``: OpenAI's streams tell usage only when asked."""


class Wire(Protocol):
    """One answer in one API's words. ``token`` is called for every token, so it must be cheap."""

    def opening(self, choice: int, usage: Usage) -> bytes:
        """Events before a choice's first token; of ``usage`` only the prompt is known."""
        ...

    def token(self, choice: int, text: bytes, reason: str | None) -> bytes:
        """One token's event; ``reason`` is set on the choice's last."""
        ...

    def closing(self, said: Sequence[Said], usage: Usage) -> bytes:
        """Events after the last token of the last choice."""
        ...

    def whole(self, said: Sequence[Said], usage: Usage) -> bytes:
        """The body of an answer that is not streamed."""
        ...


def openai_error(status: int, kind: str, message: str, param: str | None = None) -> bytes:
    """An error body as vLLM writes it."""
    return orjson.dumps(
        {"error": {"message": message, "type": kind, "param": param, "code": status}}
    )
