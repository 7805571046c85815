"""From a request's body to what the engine sees: prompt text, token counts, chained block hashes.

There is no tokenizer: four bytes of the templated prompt are one token, so equal text prefixes
are equal token prefixes, and an answer quoted in the next turn is found in the cache as a real
engine finds it. Pure. Called by ``server``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from xxhash import xxh3_64_intdigest

from load_tests.emulator.profiles import BLOCK_TOKENS

BYTES_PER_TOKEN = 4
BLOCK_BYTES = BLOCK_TOKENS * BYTES_PER_TOKEN

Body: TypeAlias = Mapping[str, Any]

_WORDS = """
air ant arm bay bed bee boy bud cat cow cup day dew dog ear egg elk elm eye fan fig fir fox gem hat
hay hen ice ink ivy jam jar key kid lab leg map mud net nut oak oar owl pea pen pie pig ram ray rye
sea sky sun tea tin toe van wax web wig yak zoo gum log
"""
VOCABULARY = tuple(f" {word}".encode() for word in _WORDS.split())
"""What an emulated model says: 64 words of four bytes, in a circle that begins anywhere."""
_CIRCLE = b"".join(VOCABULARY)


class BadBody(ValueError):
    """The body is not what the API takes; the message says what is wrong."""


def count(text: bytes) -> int:
    """Tokens of ``text``, at least one."""
    return max(1, -(-len(text) // BYTES_PER_TOKEN))


def chain(text: bytes, salt: str = "") -> list[int]:
    """One hash per full block of ``text``, each of all text up to its end."""
    view = memoryview(text)
    last = xxh3_64_intdigest(salt.encode())
    hashes = []
    for start in range(0, len(text) - BLOCK_BYTES + 1, BLOCK_BYTES):
        last = xxh3_64_intdigest(view[start : start + BLOCK_BYTES], last)
        hashes.append(last)
    return hashes


class Answer:
    """The text that follows a prompt: which words depends on the prompt, one word per token."""

    __slots__ = ("_first", "_pad", "tokens")

    def __init__(self, prompt: bytes, tokens: int) -> None:
        self.tokens = tokens
        self._first = xxh3_64_intdigest(prompt[-1024:]) % len(VOCABULARY)
        # The first word is wide enough to begin the next token on a multiple of four bytes.
        self._pad = b" " * (-len(prompt) % BYTES_PER_TOKEN)

    def token(self, index: int) -> bytes:
        """Its ``index``-th token; JSON needs no escapes for it."""
        word = VOCABULARY[(self._first + index) % len(VOCABULARY)]
        return word if index else self._pad + word

    def text(self) -> bytes:
        start = self._first * BYTES_PER_TOKEN
        end = start + self.tokens * BYTES_PER_TOKEN
        return self._pad + (_CIRCLE * (end // len(_CIRCLE) + 1))[start:end]


def natural_length(prompt: bytes) -> int:
    """How many tokens the emulated model says when nobody limits it: 32 to 287, by the prompt."""
    return 32 + xxh3_64_intdigest(prompt) % 256


def completion_prompts(body: Body) -> list[bytes]:
    """The prompts of /v1/completions: a text, token ids, or a list of either."""
    match body.get("prompt"):
        case str() as text:
            return [text.encode("utf-8", "surrogatepass")]
        case [int(), *_] as ids:
            return [_token_ids(ids)]
        case [str(), *_] as texts:
            return [_text(text, "prompt") for text in texts]
        case [[int(), *_], *_] as lists:
            return [_token_ids(ids) for ids in lists]
        case _:
            raise BadBody("prompt: a text, a list of texts, or token ids are needed")


def embedding_prompts(body: Body) -> list[bytes]:
    """The inputs of /v1/embeddings; the same shapes as ``prompt``."""
    if "messages" in body:
        return chat_prompt(body)
    if "input" not in body:
        raise BadBody("input: field required")
    return completion_prompts({"prompt": body["input"]})


def chat_prompt(body: Body) -> list[bytes]:
    """The one prompt of /v1/chat/completions, templated."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadBody("messages: a list of messages is needed")
    return [_template(messages)]


def anthropic_prompt(body: Body) -> list[bytes]:
    """The one prompt of /v1/messages: the system text comes first."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadBody("messages: a list of messages is needed")
    system = body.get("system")
    first = [{"role": "system", "content": system}] if system else []
    return [_template([*first, *messages])]


def responses_prompt(body: Body) -> list[bytes]:
    """The one prompt of /v1/responses: instructions, then the input."""
    asked = body.get("input")
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list) or not asked:
        raise BadBody("input: a text or a list of items is needed")
    instructions = body.get("instructions")
    first = [{"role": "system", "content": instructions}] if instructions else []
    return [_template([*first, *asked])]


def _template(messages: Iterable[object]) -> bytes:
    """``<|role|>content`` per message and the assistant's turn, as a chat template does it."""
    parts = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadBody(f"messages[{index}]: an object is needed")
        role = message.get("role", message.get("type", "user"))
        parts.append(f"<|{role}|>{_content(message)}\n")
    parts.append("<|assistant|>")
    return "".join(parts).encode("utf-8", "surrogatepass")


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content", "")
    match content:
        case str():
            return content
        case list():
            return "".join(_part(part) for part in content)
        case None:
            return str(message.get("tool_calls", ""))
        case _:
            raise BadBody("content: a text or a list of parts is needed")


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        text = part.get("text")
        # A picture is as long as its URL: what counts is that equal ones are equal.
        return text if isinstance(text, str) else str(part)
    raise BadBody("content: a part is a text or an object")


def _token_ids(ids: object) -> bytes:
    if not isinstance(ids, list) or not all(isinstance(i, int) and 0 <= i < 2**32 for i in ids):
        raise BadBody("prompt: token ids are whole numbers from 0 on")
    return b"".join(i.to_bytes(BYTES_PER_TOKEN, "big") for i in ids)


def _text(value: object, where: str) -> bytes:
    if not isinstance(value, str):
        raise BadBody(f"{where}: texts and token ids do not mix")
    return value.encode("utf-8", "surrogatepass")
