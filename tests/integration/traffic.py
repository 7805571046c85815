"""A client of the whole path, and what it may expect: an answer, whole, within a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp

ANSWER_SECONDS = 20.0
"""Longer than anything here takes; a request that is not over by then hangs."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each server-sent event; the closing [DONE] as a string."""
        lines = [line for line in self.body.decode().split("\n") if line.startswith("data:")]
        return [
            "[DONE]" if line == "data: [DONE]" else json.loads(line.removeprefix("data:"))
            for line in lines
        ]


async def _reply(answer: aiohttp.ClientResponse) -> Reply:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status, headers, await answer.read())


def client() -> aiohttp.ClientSession:
    """Every request of it ends: with an answer, an error, or a TimeoutError that fails the test."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        connector=aiohttp.TCPConnector(limit=0),
    )


async def post(
    session: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str] | None = None
) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    # From a file, for aiohttp warns of large bodies; with its length, as every client sends it.
    sent["content-length"] = str(len(data))
    async with session.post(url, data=BytesIO(data), headers=sent) as answer:
        return await _reply(answer)


async def get(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None
) -> Reply:
    async with session.get(url, headers=headers) as answer:
        return await _reply(answer)


def chat(text: str, *, stream: bool, max_tokens: int = 8, model: str = "llama") -> dict[str, Any]:
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "stream": stream,
    }
    if stream:
        asked["stream_options"] = {"include_usage": True}
    return asked


def completion(
    text: str, *, stream: bool, max_tokens: int = 8, model: str = "llama"
) -> dict[str, Any]:
    asked = chat(text, stream=stream, max_tokens=max_tokens, model=model)
    del asked["messages"]
    return {**asked, "prompt": text}


async def samples(session: aiohttp.ClientSession, metrics_url: str, name: str) -> list[float]:
    """Every value of a metric family on the gateway's page."""
    page = (await get(session, metrics_url)).body.decode()
    return [
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith((f"{name}{{", f"{name} "))
    ]


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for what another process will make true; ``condition`` is a coroutine function."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 -- what is waited for raises no event
            await asyncio.sleep(0.05)
