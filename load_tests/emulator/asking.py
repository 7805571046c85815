"""From a request's bytes to what it asks of the engine, or to the refusal that vLLM would give.

Pure. One row per generating API in ``APIS``. Called by ``server``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from load_tests.emulator import prompts
from load_tests.emulator.event_wires import Messages, Responses
from load_tests.emulator.exchange import Ask
from load_tests.emulator.http1_head import Request
from load_tests.emulator.openai_wires import Chat, Completions, Embeddings
from load_tests.emulator.options import Options
from load_tests.emulator.wire import Naming, Wire

MAX_COPIES = 128
"""Most choices per prompt, as OpenAI has it."""


class Refused(Exception):
    """A request that is answered with an error: ``kind`` is vLLM's name of it."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param


@dataclass(frozen=True, slots=True)
class Api:
    """One generating endpoint."""

    prompts: Callable[[prompts.Body], list[bytes]]
    wire: Callable[[Naming], Wire]
    default_tokens: int | None
    """Without ``max_tokens``; None lets the model decide."""
    generates: bool = True
    copies: bool = False
    """Whether it knows ``n``: several answers to one prompt."""


APIS: Mapping[str, Api] = MappingProxyType(
    {
        "/v1/completions": Api(prompts.completion_prompts, Completions, 16, copies=True),
        "/v1/chat/completions": Api(prompts.chat_prompt, Chat, None, copies=True),
        "/v1/responses": Api(prompts.responses_prompt, Responses, None),
        "/v1/messages": Api(prompts.anthropic_prompt, Messages, None),
        "/v1/embeddings": Api(prompts.embedding_prompts, Embeddings, 1, generates=False),
    }
)


class Asking:
    """Understands requests for one server; ``adapters`` is the live set of its adapters."""

    def __init__(self, options: Options, models: tuple[str, ...], adapters: Mapping[str, str]):
        self._options = options
        self._models = models
        self._adapters = adapters

    def ask(self, request: Request, *, name: str, created: int) -> Ask:
        """What ``request``, to a path in ``APIS``, asks; ``name`` is its id unless it has one.

        ``created`` is Unix seconds. Raises Refused.
        """
        api = APIS[request.path]
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError as e:
            raise Refused(400, "BadRequestError", f"invalid JSON: {e}") from None
        if not isinstance(body, dict):
            raise Refused(400, "BadRequestError", "the body is not a JSON object")
        model = self._known_model(body.get("model"))
        adapter = model if model in self._adapters else None
        try:
            texts = api.prompts(body)
            copies = min(_whole(body, ("n",)) or 1, MAX_COPIES) if api.copies else 1
            wanted = _whole(body, ("max_completion_tokens", "max_output_tokens", "max_tokens"))
        except prompts.BadBody as e:
            raise Refused(400, "BadRequestError", str(e)) from None
        salt = f"{body.get('cache_salt') or ''}\0{adapter or ''}"
        stream_options = body.get("stream_options")
        asked_usage = isinstance(stream_options, dict) and stream_options.get("include_usage")
        own = request.headers.get("x-request-id") or name
        naming = Naming(own, model, created, bool(asked_usage))
        room = self._options.room
        choices = []
        for text in texts:
            prompt = self._fitting(text, room)
            length, reason = 1, "stop"
            if api.generates:
                length, reason = _length(api, prompt, wanted)
            length = max(1, min(length, room - prompts.count(prompt)))
            choices += [(prompt, length, reason)] * copies
        return Ask(
            path=request.path,
            method=request.method,
            received_bytes=len(request.body),
            wire=api.wire(naming),
            streamed=api.generates and body.get("stream") is True,
            salt=salt,
            adapter=adapter,
            choices=choices,
            copies=copies,
            headers=echoed_id(request),
        )

    def _known_model(self, model: object) -> str:
        if model is None:
            return self._models[0]
        if not isinstance(model, str):
            raise Refused(400, "BadRequestError", "model: a text is needed", "model")
        if self._options.models and model not in self._models and model not in self._adapters:
            raise Refused(404, "NotFoundError", f"The model `{model}` does not exist.", "model")
        return model

    def _fitting(self, text: bytes, room: int) -> bytes:
        """``text``, cut to leave room for one token. Raises Refused if cutting is not wanted."""
        tokens = prompts.count(text)
        if tokens < room:
            return text
        if self._options.reject_overlong:
            raise Refused(
                400,
                "BadRequestError",
                f"This model's maximum context length is {room} tokens. However, your prompt "
                f"has {tokens}.",
            )
        return text[: (room - 1) * prompts.BYTES_PER_TOKEN]


def _length(api: Api, prompt: bytes, wanted: int | None) -> tuple[int, str]:
    """How many tokens, and why it ends. What was asked for is always given in full."""
    limit = api.default_tokens if wanted is None else wanted
    if limit is None:
        return prompts.natural_length(prompt), "stop"
    return limit, "length"


def _whole(body: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of ``names`` that is there, as a number from 1 on. Raises BadBody."""
    for name in names:
        value = body.get(name)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise prompts.BadBody(f"{name}: a whole number from 1 on is needed")
            return value
    return None


def echoed_id(request: Request) -> str:
    """The header line that repeats the request's id, if it has one."""
    asked = request.headers.get("x-request-id")
    return f"x-request-id: {asked}\r\n" if asked else ""
