"""Which API a path belongs to."""

from __future__ import annotations

import pytest

from gateway.request.classify import dialect_of
from gateway.request.model import Dialect


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        pytest.param("/v1/chat/completions", Dialect.CHAT, id="chat"),
        pytest.param("/v1/completions", Dialect.COMPLETIONS, id="completions"),
        pytest.param("/v1/responses", Dialect.RESPONSES, id="responses"),
        pytest.param("/v1/embeddings", Dialect.EMBEDDINGS, id="embeddings"),
        pytest.param("/v1/messages", Dialect.ANTHROPIC, id="messages"),
        pytest.param("/v1/messages/count_tokens", Dialect.ANTHROPIC, id="count tokens"),
        pytest.param("/openai/v1/chat/completions", Dialect.CHAT, id="behind a prefix"),
        pytest.param(
            "/openai/deployments/x/chat/completions?api-version=1", Dialect.CHAT, id="with a query"
        ),
        pytest.param(
            "/v1/completions?a=/chat/completions", Dialect.COMPLETIONS, id="query is not path"
        ),
        pytest.param("/v1/completions#/embeddings", Dialect.COMPLETIONS, id="fragment is not path"),
        pytest.param("/v1/chat/completions/", Dialect.CHAT, id="trailing slash"),
        pytest.param("/completions", Dialect.COMPLETIONS, id="no prefix at all"),
        pytest.param("/v1/threads/t1/messages", Dialect.OPAQUE, id="assistants, not Anthropic"),
        pytest.param("/v1/Chat/Completions", Dialect.OPAQUE, id="paths have case"),
        pytest.param("/v1/mycompletions", Dialect.OPAQUE, id="only whole segments"),
        pytest.param("/v1/responses/resp_1", Dialect.OPAQUE, id="a stored response"),
        pytest.param("/v1/audio/transcriptions", Dialect.OPAQUE, id="unknown"),
        pytest.param("/", Dialect.OPAQUE, id="root"),
        pytest.param("", Dialect.OPAQUE, id="no path"),
    ],
)
def test_the_end_of_the_path_decides(path: str, dialect: Dialect) -> None:
    assert dialect_of(path) is dialect
