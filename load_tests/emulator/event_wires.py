"""OpenAI's responses and Anthropic's messages: streams of named events around one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import orjson

from load_tests.emulator.wire import Json, Naming, Said, Usage


class Responses:
    """OpenAI's Responses API, one text message as output. There is no ``[DONE]``."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._item = f"msg_{naming.id}"
        self._sequence = 0

    def opening(self, choice: int, usage: Usage) -> bytes:
        started = {"response": self._response("in_progress", [], None)}
        item = self._message("", "in_progress") | {"content": []}
        return (
            self._event("response.created", started)
            + self._event("response.in_progress", started)
            + self._event("response.output_item.added", {"output_index": 0, "item": item})
            + self._event("response.content_part.added", {**self._place(), "part": _output("")})
        )

    def token(self, choice: int, text: bytes, reason: str | None) -> bytes:
        return self._event("response.output_text.delta", {**self._place(), "delta": text.decode()})

    def closing(self, said: Sequence[Said], usage: Usage) -> bytes:
        text = said[0].text
        item = self._message(text, "completed")
        return (
            self._event("response.output_text.done", {**self._place(), "text": text})
            + self._event("response.content_part.done", {**self._place(), "part": _output(text)})
            + self._event("response.output_item.done", {"output_index": 0, "item": item})
            + self._event(
                "response.completed", {"response": self._response("completed", [item], usage)}
            )
        )

    def whole(self, said: Sequence[Said], usage: Usage) -> bytes:
        item = self._message(said[0].text, "completed")
        return orjson.dumps(self._response("completed", [item], usage))

    def _place(self) -> Json:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _message(self, text: str, status: str) -> Json:
        return {
            "id": self._item,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [_output(text)],
        }

    def _response(self, status: str, output: Sequence[Json], usage: Usage | None) -> Json:
        tokens = None
        if usage is not None:
            tokens = {
                "input_tokens": usage.prompt,
                "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.completion,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.prompt + usage.completion,
            }
        return {
            "id": f"resp_{self._naming.id}",
            "object": "response",
            "created_at": self._naming.created,
            "status": status,
            "model": self._naming.model,
            "output": list(output),
            "usage": tokens,
        }

    def _event(self, kind: str, more: Json) -> bytes:
        event = {"type": kind, "sequence_number": self._sequence, **more}
        self._sequence += 1
        return _named_event(kind, event)


class Messages:
    """Anthropic's Messages API, one text block as content."""

    _REASONS: ClassVar[Mapping[str, str]] = {"stop": "end_turn", "length": "max_tokens"}

    def __init__(self, naming: Naming) -> None:
        self._naming = naming

    def opening(self, choice: int, usage: Usage) -> bytes:
        start = {"type": "message_start", "message": self._message([], None, usage, 0)}
        block = {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        }
        return _named_event("message_start", start) + _named_event("content_block_start", block)

    def token(self, choice: int, text: bytes, reason: str | None) -> bytes:
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":"%b"}}\n\n' % text
        )

    def closing(self, said: Sequence[Said], usage: Usage) -> bytes:
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": self._REASONS[said[0].reason], "stop_sequence": None},
            "usage": {"output_tokens": usage.completion},
        }
        return (
            _named_event("content_block_stop", {"type": "content_block_stop", "index": 0})
            + _named_event("message_delta", delta)
            + _named_event("message_stop", {"type": "message_stop"})
        )

    def whole(self, said: Sequence[Said], usage: Usage) -> bytes:
        content = [{"type": "text", "text": said[0].text}]
        reason = self._REASONS[said[0].reason]
        return orjson.dumps(self._message(content, reason, usage, usage.completion))

    def _message(
        self, content: Sequence[Json], reason: str | None, usage: Usage, output_tokens: int
    ) -> Json:
        return {
            "id": f"msg_{self._naming.id}",
            "type": "message",
            "role": "assistant",
            "model": self._naming.model,
            "content": list(content),
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {
                # Anthropic counts what the cache had apart from the rest.
                "input_tokens": usage.prompt - usage.cached,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": usage.cached,
                "output_tokens": output_tokens,
            },
        }


def _output(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": []}


def _named_event(kind: str, event: Json) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
