"""Read what routing needs out of a request body, without building its tree or changing a byte.

The session calls ``read_body`` once per request, when the body is whole (or as much of it as the
proxy buffers). What is not one of the known APIs passes through as OPAQUE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import orjson

from gateway.errors import BadRequest
from gateway.request.classify import dialect_of
from gateway.request.json_object import Keys, TopLevel, top_level
from gateway.request.model import Dialect, ParsedBody

_OPAQUE = ParsedBody(Dialect.OPAQUE, model="", model_span=None)
_LONGEST_NUMBER = 20
"""Characters; a 64-bit integer has no more, and a longer number is no token count."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where an API keeps its prompt and its output limit."""

    prompt: str
    """The field that must be there."""
    holds: str
    """What the field must hold, for the error message."""
    prompt_may_be_text: bool = True
    instead_of_prompt: tuple[str, ...] = ()
    """Fields that make the prompt optional: it is kept elsewhere."""
    before_prompt: tuple[str, ...] = ()
    """Fields that an engine's template puts before the prompt, in that order."""
    output_limits: tuple[str, ...] = ()
    """Fields that bound the output, the one that wins first."""


_SHAPES: Mapping[Dialect, _Shape] = MappingProxyType(
    {
        Dialect.COMPLETIONS: _Shape(
            "prompt",
            "a string, a list of strings or a list of token ids",
            instead_of_prompt=("prompt_embeds",),
            output_limits=("max_tokens",),
        ),
        Dialect.CHAT: _Shape(
            "messages",
            "a list of messages",
            prompt_may_be_text=False,
            before_prompt=("tools",),
            output_limits=("max_completion_tokens", "max_tokens"),
        ),
        Dialect.RESPONSES: _Shape(
            "input",
            "a string or a list of items",
            instead_of_prompt=("previous_response_id", "prompt", "conversation"),
            before_prompt=("instructions", "tools"),
            output_limits=("max_output_tokens",),
        ),
        Dialect.EMBEDDINGS: _Shape(
            "input",
            "a string, a list of strings or a list of token ids",
            instead_of_prompt=("messages",),  # engines embed conversations too, images and all
            before_prompt=("messages",),
        ),
        Dialect.ANTHROPIC: _Shape(
            "messages",
            "a list of messages",
            prompt_may_be_text=False,
            before_prompt=("tools", "system"),
            output_limits=("max_tokens",),
        ),
    }
)

_KEYS = Keys(
    sorted(
        {"model", "stream", "cache_salt"}.union(
            *(
                (s.prompt, *s.instead_of_prompt, *s.before_prompt, *s.output_limits)
                for s in _SHAPES.values()
            )
        )
    )
)


def read_body(
    path: str, content_type: str, content_encoding: str, body: bytes, truncated: bool = False
) -> ParsedBody:
    """What routing needs of ``body``; header values are "" where the header is absent.

    ``truncated`` says that ``body`` is only the beginning: what is missing is then no error, and
    the prompt is what there is of it. Raises BadRequest, naming the place and the mend, if the
    body claims to be JSON for a known API and is not; a body of another content type (curl says
    application/x-www-form-urlencoded of JSON) is only read if it fits.
    """
    if content_encoding.strip().lower() not in ("", "identity"):
        return _OPAQUE
    dialect = dialect_of(path)
    found = top_level(body, _KEYS)
    shape = _SHAPES.get(dialect)
    if shape is None:
        return _opaque(body, found, truncated)
    try:
        return _read(dialect, shape, body, found, truncated)
    except BadRequest:
        if _is_json(content_type):
            raise
        return _opaque(body, found, truncated)


def _is_json(content_type: str) -> bool:
    """Whether the header promises JSON; without one, the path does."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in ("", "application/json", "text/json") or media_type.endswith("+json")


def _read(
    dialect: Dialect, shape: _Shape, body: bytes, found: TopLevel, truncated: bool
) -> ParsedBody:
    if found.problem is not None and not (truncated and found.ended_early):
        raise BadRequest(f"body, byte {found.problem.at}: {found.problem.what}; send a JSON object")
    model = _model(body, found, truncated)
    prompt = _prompt(shape, body, found, truncated)
    return ParsedBody(
        dialect,
        model=model,
        model_span=found.values.get("model"),
        prompt=prompt,
        prompt_bytes=sum(map(len, prompt)),
        stream=_raw(body, found, "stream") == b"true",
        max_output_tokens=_output_limit(shape, body, found),
        cache_salt=_text(body, found, "cache_salt") or "",
    )


def _opaque(body: bytes, found: TopLevel, truncated: bool) -> ParsedBody:
    """An unknown body; if it is JSON that names a model, the model can still be rewritten."""
    whole = found.problem is None or (truncated and found.ended_early)
    model = _text(body, found, "model") if whole else None
    if not model:
        return _OPAQUE
    return ParsedBody(Dialect.OPAQUE, model=model, model_span=found.values["model"])


def _model(body: bytes, found: TopLevel, truncated: bool) -> str:
    if "model" not in found.values:
        if truncated:
            return ""
        raise BadRequest("model: missing; name the model as a string", param="model")
    model = _text(body, found, "model")
    if model is None:
        raise BadRequest("model: must be a string of valid UTF-8", param="model")
    if not model:
        raise BadRequest("model: empty; name the model", param="model")
    return model


def _prompt(shape: _Shape, body: bytes, found: TopLevel, truncated: bool) -> tuple[bytes, ...]:
    """The raw JSON of what becomes the prompt, in template order.

    The last piece loses its closing bracket or quote, so that the bytes of a conversation begin
    with the bytes of every earlier turn of it.
    """
    pieces = [_raw(body, found, name) for name in shape.before_prompt]
    span = _prompt_span(shape, body, found)
    if span is not None:
        pieces.append(body[span[0] : span[1]])
    elif not truncated and all(
        _raw(body, found, name) in (None, b"null") for name in shape.instead_of_prompt
    ):
        raise BadRequest(f"{shape.prompt}: missing; it must be {shape.holds}", param=shape.prompt)
    return tuple(piece for piece in pieces if piece is not None and piece != b"null")


def _prompt_span(shape: _Shape, body: bytes, found: TopLevel) -> tuple[int, int] | None:
    """[start, end) of the prompt field without its closing bracket; None if absent or null."""
    begin, end = found.values.get(
        shape.prompt, (found.unfinished.get(shape.prompt, len(body)), len(body))
    )
    opening = body[begin : begin + 1]
    if opening in (b"", b"n"):
        return None
    if opening != b"[" and not (shape.prompt_may_be_text and opening == b'"'):
        raise BadRequest(f"{shape.prompt}: must be {shape.holds}", param=shape.prompt)
    if shape.prompt not in found.values:  # cut short: there is nothing to take off
        return begin, end
    end -= 1
    while opening == b"[" and body[end - 1] in b" \t\r\n":
        end -= 1
    if end == begin + 1:
        raise BadRequest(f"{shape.prompt}: empty; it must be {shape.holds}", param=shape.prompt)
    return begin, end


def _raw(body: bytes, found: TopLevel, name: str) -> bytes | None:
    """The JSON of a top-level value as it stands in the body."""
    span = found.values.get(name)
    return None if span is None else body[span[0] : span[1]]


def _text(body: bytes, found: TopLevel, name: str) -> str | None:
    """The value of ``name`` if it is a string that can be decoded."""
    raw = _raw(body, found, name)
    if raw is None or not raw.startswith(b'"'):
        return None
    try:
        text: str = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return text


def _output_limit(shape: _Shape, body: bytes, found: TopLevel) -> int | None:
    """The first limit that is a token count; what is wrong with others the model server says."""
    for name in shape.output_limits:
        raw = _raw(body, found, name)
        if raw is not None and len(raw) <= _LONGEST_NUMBER and raw.isdigit():
            return int(raw)
    return None
