"""The API a request speaks, told from its path alone. Called by the session and by read_body."""

from __future__ import annotations

from functools import lru_cache

from gateway.request.model import Dialect

_REMEMBERED_PATHS = 256

_BY_SUFFIX: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", Dialect.CHAT),
    ("/completions", Dialect.COMPLETIONS),
    ("/responses", Dialect.RESPONSES),
    ("/embeddings", Dialect.EMBEDDINGS),
    ("/messages", Dialect.ANTHROPIC),
    ("/messages/count_tokens", Dialect.ANTHROPIC),
)


@lru_cache(_REMEMBERED_PATHS)
def dialect_of(path: str) -> Dialect:
    """The dialect of ``path`` (with or without a query), whatever prefix it stands behind.

    The end of the path decides, so that ``/v1/...``, ``/openai/v1/...`` and
    ``/openai/deployments/x/...`` are the same API. Anything else is OPAQUE.
    """
    bare = path.partition("?")[0].partition("#")[0].rstrip("/")
    for suffix, dialect in _BY_SUFFIX:
        if bare.endswith(suffix):
            return Dialect.OPAQUE if _is_assistants_thread(bare) else dialect
    return Dialect.OPAQUE


def _is_assistants_thread(bare: str) -> bool:
    # OpenAI's /v1/threads/{id}/messages ends like Anthropic's path and is not it.
    return bare.endswith("/messages") and bare.split("/")[-3:-2] == ["threads"]
