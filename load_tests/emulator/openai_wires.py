"""OpenAI's completions, chat and embeddings: whole, or as chunks of one token each.

Chunks differ in few bytes, so what repeats is rendered once per answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import orjson

from load_tests.emulator.wire import Json, Naming, Said, Usage


class _OpenAi:
    """What OpenAI's two completion APIs share: chunks that differ in few bytes."""

    PREFIX: ClassVar[str]
    CHUNK: ClassVar[str]

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._id = f"{self.PREFIX}-{naming.id}"
        self._head = {"id": self._id, "object": self.CHUNK, "created": naming.created}
        head = orjson.dumps({**self._head, "model": naming.model})
        self._before = b"data: " + head[:-1] + b',"choices":[{"index":'

    def closing(self, said: Sequence[Said], usage: Usage) -> bytes:
        done = b"data: [DONE]\n\n"
        if not self._naming.include_usage:
            return done
        model = self._naming.model
        last = {**self._head, "model": model, "choices": [], "usage": _openai_usage(usage)}
        return b"data: " + orjson.dumps(last) + b"\n\n" + done


class Completions(_OpenAi):
    PREFIX = "cmpl"
    CHUNK = "text_completion"

    def opening(self, choice: int, usage: Usage) -> bytes:
        return b""

    def token(self, choice: int, text: bytes, reason: str | None) -> bytes:
        return b'%b%d,"text":"%b","logprobs":null,"finish_reason":%b,"stop_reason":null}]}\n\n' % (
            self._before,
            choice,
            text,
            _reason(reason),
        )

    def whole(self, said: Sequence[Said], usage: Usage) -> bytes:
        choices = [
            {
                "index": index,
                "text": choice.text,
                "logprobs": None,
                "finish_reason": choice.reason,
                "stop_reason": None,
            }
            for index, choice in enumerate(said)
        ]
        return orjson.dumps(
            {
                **self._head,
                "model": self._naming.model,
                "choices": choices,
                "usage": _openai_usage(usage),
            }
        )


class Chat(_OpenAi):
    PREFIX = "chatcmpl"
    CHUNK = "chat.completion.chunk"

    def opening(self, choice: int, usage: Usage) -> bytes:
        delta = b'%b%d,"delta":{"role":"assistant","content":""},"logprobs":null'
        return delta % (self._before, choice) + b',"finish_reason":null}]}\n\n'

    def token(self, choice: int, text: bytes, reason: str | None) -> bytes:
        return b'%b%d,"delta":{"content":"%b"},"logprobs":null,"finish_reason":%b}]}\n\n' % (
            self._before,
            choice,
            text,
            _reason(reason),
        )

    def whole(self, said: Sequence[Said], usage: Usage) -> bytes:
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice.text, "tool_calls": []},
                "logprobs": None,
                "finish_reason": choice.reason,
                "stop_reason": None,
            }
            for index, choice in enumerate(said)
        ]
        return orjson.dumps(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": self._naming.created,
                "model": self._naming.model,
                "choices": choices,
                "usage": _openai_usage(usage),
            }
        )


class Embeddings:
    """One short vector per input; never streamed."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming

    def opening(self, choice: int, usage: Usage) -> bytes:
        return b""

    def token(self, choice: int, text: bytes, reason: str | None) -> bytes:
        return b""

    def closing(self, said: Sequence[Said], usage: Usage) -> bytes:
        return b""

    def whole(self, said: Sequence[Said], usage: Usage) -> bytes:
        vectors = [
            {
                "index": index,
                "object": "embedding",
                "embedding": [byte / 128 - 1 for byte in choice.text.encode()[-4:]],
            }
            for index, choice in enumerate(said)
        ]
        return orjson.dumps(
            {
                "id": f"embd-{self._naming.id}",
                "object": "list",
                "created": self._naming.created,
                "model": self._naming.model,
                "data": vectors,
                "usage": {
                    "prompt_tokens": usage.prompt,
                    "total_tokens": usage.prompt,
                    "completion_tokens": 0,
                },
            }
        )


def _openai_usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt,
        "total_tokens": usage.prompt + usage.completion,
        "completion_tokens": usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def _reason(reason: str | None) -> bytes:
    return b"null" if reason is None else b'"' + reason.encode() + b'"'
