"""What is asked and answered in each workload: sizes, and the bytes of one request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MODEL = "overhead"
ANSWER_HEADER = "x-answer-chunks"
"""How many events the backend shall stream; 0 asks for one small JSON answer."""
NUMBER_BYTES = 16


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request."""

    name: str
    body_bytes: int
    """Size of the request's JSON."""
    chunks: int
    """Events of the streamed answer; 0 is a plain JSON answer of 200 bytes."""
    connections: tuple[int, ...]
    """Where nothing else is asked for. Streams are slow by nature: only many of them at once cost
    so much that what the picker does besides, such as scraping, is lost in it."""


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        workload.name: workload
        for workload in (
            Workload("json", 200, 0, (1, 16, 256)),
            Workload("sse-64", 200, 64, (64,)),
            Workload("sse-256", 200, 256, (64,)),
            Workload("prompt-32k", 32 << 10, 0, (16,)),
            Workload("prompt-220k", 220_000, 0, (16,)),
            Workload("prompt-1m", 1 << 20, 0, (16,)),
        )
    }
)
PROSE = "It was the best of times, it was the worst of times, it was the age of wisdom. "


def request_parts(workload: Workload) -> tuple[bytes, bytes]:
    """A whole HTTP request in two parts: NUMBER_BYTES of the caller's go between them.

    They stand in the middle of the prompt: its first half is one that prefix caches know, its
    second half is new, as in a conversation that goes on.
    """
    streamed = "true" if workload.chunks else "false"
    opening = f'{{"model":"{MODEL}","stream":{streamed},"messages":[{{"role":"user","content":"'
    closing = '"}]}'
    length = workload.body_bytes - len(opening) - len(closing) - NUMBER_BYTES
    prose = (PROSE * (length // len(PROSE) + 1))[:length]
    before, after = opening + prose[: length // 2], prose[length // 2 :] + closing
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        "host: overhead\r\n"
        "content-type: application/json\r\n"
        "accept: */*\r\n"
        "user-agent: overhead\r\n"
        f"{ANSWER_HEADER}: {workload.chunks}\r\n"
        f"content-length: {workload.body_bytes}\r\n\r\n"
    )
    return (head + before).encode(), after.encode()
