"""What a request is to the rest of the gateway, and what became of it. No behaviour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from loadstar.records import record


class Headers:
    """HTTP headers as received: lower-case names, order and repeats kept.

    Values are ``str`` decoded as UTF-8 with surrogateescape, so that any bytes survive.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: tuple[tuple[str, str], ...] = tuple(items)

    def get(self, name: str, default: str = "") -> str:
        """The last value of ``name`` (lower case), as Envoy would use it; else ``default``."""
        for key, value in reversed(self._items):
            if key == name:
                return value
        return default

    def all(self, name: str) -> list[str]:
        """Every value of ``name``, in order."""
        return [value for key, value in self._items if key == name]

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self._items)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Headers({list(self._items)!r})"


class Dialect(Enum):
    """Which API a request speaks; it decides how errors, usage and model names look."""

    COMPLETIONS = "openai-completions"
    CHAT = "openai-chat"
    RESPONSES = "openai-responses"
    EMBEDDINGS = "openai-embeddings"
    ANTHROPIC = "anthropic-messages"
    OPAQUE = "opaque"  # not understood: routed on headers alone, never rewritten


@record
class ParsedBody:
    """What routing needs of a body; the bytes themselves stay where they are."""

    dialect: Dialect
    model: str
    model_span: tuple[int, int] | None
    """[start, end) of the model's JSON string in the body, quotes included."""
    prompt: tuple[bytes, ...] = ()
    """The raw JSON bytes that become the prompt, in the order the engine will template them."""
    prompt_bytes: int = 0
    """Total length of ``prompt``; tokens are estimated as a quarter of it."""
    stream: bool = False
    max_output_tokens: int | None = None
    cache_salt: str = ""


@record
class InferenceRequest:
    """One request that asks for an endpoint."""

    id: str
    path: str
    headers: Headers
    body: ParsedBody | None
    """None when it is routed on headers alone."""
    body_bytes: int = 0
    """Length of the body where known (received or declared), else 0."""
    body_follows: bool = False
    """``body`` is None only because it has not come yet (STREAMED): it can still be rewritten."""

    @property
    def model(self) -> str:
        return self.body.model if self.body is not None else ""


@dataclass(slots=True)
class Usage:
    """Tokens as the model server reported them; None is 'not said', never 0."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None


class Ending(Enum):
    """How a stream ended. Every one gives back what the pick had taken."""

    COMPLETE = "complete"  # the response ended
    LET_GO = "let-go"  # its headers came, and the route did not want the rest followed
    REFUSED = "refused"  # we answered it ourselves
    CLIENT_GONE = "client-gone"  # Envoy cancelled the stream before the response ended
    PROXY_GONE = "proxy-gone"  # the connection to Envoy broke
    FAILED = "failed"  # our own error
    SHUTDOWN = "shutdown"  # drain deadline


@record
class Outcome:
    """What became of one routed request."""

    ending: Ending
    status: int | None
    """The upstream's ``:status``; None if none was seen."""
    usage: Usage = field(default_factory=Usage)
    request_bytes: int = 0
    response_bytes: int = 0
    streamed: bool = False


@record
class Route:
    """The director's answer for one request: where it goes and what to change on the way."""

    destinations: tuple[str, ...]
    """``ip:port``, best first, at least one."""
    ticket: int
    """Names what the director took for this request; goes back with ``responding``/``finish``."""
    rewrite_to: str | None = None
    """The model value to put into the body; None leaves the bytes alone."""
    request_headers: tuple[tuple[str, str], ...] = ()
    """Headers the model server should see, set over what the client sent."""
    scores: Mapping[str, float] | None = None
    """destination -> total score, for ``--emit-endpoint-scores``."""
    follow: bool = True
    """Read the response to its end. False ends the ext_proc stream once the response's headers
    are answered (``Ending.LET_GO``), where no byte of the body can be lost by that."""
