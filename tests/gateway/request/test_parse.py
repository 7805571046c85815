"""What routing reads of a body, what it refuses, and what it lets pass unread."""

from __future__ import annotations

import json

import pytest

from gateway.errors import BadRequest
from gateway.request.model import Dialect, ParsedBody
from gateway.request.parse import read_body

JSON = "application/json"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
OPAQUE = ParsedBody(Dialect.OPAQUE, model="", model_span=None)


def read(body: bytes | str, path: str = CHAT, content_type: str = JSON) -> ParsedBody:
    return read_body(path, content_type, "", body.encode() if isinstance(body, str) else body)


def refusal(body: bytes | str, path: str = CHAT) -> tuple[str | None, str]:
    with pytest.raises(BadRequest) as caught:
        read(body, path)
    return caught.value.param, caught.value.message


def test_a_chat_request_is_read_whole() -> None:
    body = (
        b'{"stream": true, "model": "llama", "max_tokens": 9, "max_completion_tokens": 12,'
        b' "cache_salt": "s\\u00e9", "tools": [{"type": "function"}],'
        b' "messages": [ {"role": "user", "content": "hi"} ], "temperature": 0.5}'
    )
    assert read(body) == ParsedBody(
        Dialect.CHAT,
        model="llama",
        model_span=(26, 33),
        prompt=(b'[{"type": "function"}]', b'[ {"role": "user", "content": "hi"}'),
        prompt_bytes=57,
        stream=True,
        max_output_tokens=12,
        cache_salt="sé",
    )


@pytest.mark.parametrize(
    ("path", "body", "dialect", "prompt", "limit"),
    [
        pytest.param(
            COMPLETIONS,
            '{"prompt":"a b ","model":"m","max_tokens":3}',
            Dialect.COMPLETIONS,
            (b'"a b ',),
            3,
            id="completions",
        ),
        pytest.param(
            COMPLETIONS,
            '{"model":"m","prompt":[[1,2],[3]]}',
            Dialect.COMPLETIONS,
            (b"[[1,2],[3]",),
            None,
            id="completions of tokens",
        ),
        pytest.param(
            COMPLETIONS,
            '{"model":"m","prompt":null,"prompt_embeds":"AAAA"}',
            Dialect.COMPLETIONS,
            (),
            None,
            id="completions of embeddings",
        ),
        pytest.param(
            "/v1/responses",
            '{"input":"q","tools":[1],"instructions":"be","model":"m","max_output_tokens":5}',
            Dialect.RESPONSES,
            (b'"be"', b"[1]", b'"q'),
            5,
            id="responses",
        ),
        pytest.param(
            "/v1/responses",
            '{"model":"m","previous_response_id":"r"}',
            Dialect.RESPONSES,
            (),
            None,
            id="responses that go on",
        ),
        pytest.param(
            "/v1/responses",
            '{"model":"m","prompt":{"id":"p"}}',
            Dialect.RESPONSES,
            (),
            None,
            id="responses from a template",
        ),
        pytest.param(
            "/v1/messages",
            '{"model":"m","max_tokens":7,"messages":[1],"system":"s","tools":[2]}',
            Dialect.ANTHROPIC,
            (b"[2]", b'"s"', b"[1"),
            7,
            id="Anthropic",
        ),
        pytest.param(
            "/v1/embeddings",
            '{"model":"m","input":[1,2]}',
            Dialect.EMBEDDINGS,
            (b"[1,2",),
            None,
            id="embeddings",
        ),
        pytest.param(
            "/v1/embeddings",
            '{"model":"m","messages":[{"role":"user","content":"a"}]}',
            Dialect.EMBEDDINGS,
            (b'[{"role":"user","content":"a"}]',),
            None,
            id="embeddings of a conversation",
        ),
    ],
)
def test_the_prompt_is_what_the_engine_templates_in_its_order(
    path: str, body: str, dialect: Dialect, prompt: tuple[bytes, ...], limit: int | None
) -> None:
    parsed = read(body, path)
    assert (parsed.dialect, parsed.model, parsed.prompt) == (dialect, "m", prompt)
    assert parsed.max_output_tokens == limit
    assert parsed.prompt_bytes == sum(map(len, prompt))


@pytest.mark.parametrize("space", ["", " ", "\r\n\t"], ids=repr)
def test_a_longer_conversation_begins_with_the_bytes_of_the_shorter(space: str) -> None:
    turns = [{"role": "user", "content": f"turn {n}"} for n in range(4)]
    bodies = [
        '{"model":"m","messages":['
        + ",".join(json.dumps(turn) for turn in turns[:count])
        + f"{space}]}}"
        for count in (1, 4)
    ]
    shorter, longer = (b"".join(read(body).prompt) for body in bodies)
    assert longer.startswith(shorter)
    assert b"turn 0" in shorter


def test_other_fields_do_not_change_the_prompt() -> None:
    plain = read('{"model":"m","messages":[1]}')
    dressed = read('{"user":"u","temperature":1,"messages":[1],"stream":false,"model":"m"}')
    assert plain.prompt == dressed.prompt


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        pytest.param("", None, "byte 0: it is empty", id="empty"),
        pytest.param("[]", None, "byte 0: a JSON object must begin here", id="not an object"),
        pytest.param('{"model"', None, "byte 8: it ends before", id="cut"),
        pytest.param('{"messages":[1]}', "model", "model: missing", id="no model"),
        pytest.param('{"model":null,"messages":[1]}', "model", "must be a string", id="null model"),
        pytest.param('{"model":7,"messages":[1]}', "model", "must be a string", id="number model"),
        pytest.param('{"model":"","messages":[1]}', "model", "empty", id="empty model"),
        pytest.param(
            b'{"model":"\xff","messages":[1]}', "model", "valid UTF-8", id="model of other bytes"
        ),
        pytest.param(
            '{"model":"\\ud800","messages":[1]}', "model", "valid UTF-8", id="half a surrogate"
        ),
        pytest.param('{"model":"m"}', "messages", "messages: missing", id="no messages"),
        pytest.param(
            '{"model":"m","messages":null}', "messages", "messages: missing", id="null messages"
        ),
        pytest.param('{"model":"m","messages":[ ]}', "messages", "empty", id="no message"),
        pytest.param('{"model":"m","messages":"hi"}', "messages", "a list", id="text messages"),
        pytest.param('{"model":"m","messages":{}}', "messages", "a list", id="object messages"),
        pytest.param('{"model":"m","messages":nul}', None, "byte 24: a JSON value", id="typo"),
        pytest.param('{"model":"m","messages":[NaN]}', None, "byte 25", id="NaN is not JSON"),
        pytest.param('{"model":"m","messages":[1]} {}', None, "byte 29: nothing", id="two objects"),
    ],
)
def test_a_refusal_names_the_place(body: bytes | str, param: str | None, words: str) -> None:
    named, message = refusal(body)
    assert named == param
    assert words in message


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        pytest.param(COMPLETIONS, '{"model":"m","prompt":""}', "prompt", id="empty prompt"),
        pytest.param(COMPLETIONS, '{"model":"m","prompt":{}}', "prompt", id="object prompt"),
        pytest.param(COMPLETIONS, '{"model":"m","prompt":3}', "prompt", id="number prompt"),
        pytest.param("/v1/responses", '{"model":"m"}', "input", id="no input"),
        pytest.param(
            "/v1/responses",
            '{"model":"m","previous_response_id":null}',
            "input",
            id="a null id carries no prompt",
        ),
        pytest.param("/v1/embeddings", '{"model":"m","input":[]}', "input", id="nothing to embed"),
        pytest.param("/v1/messages", '{"model":"m","messages":1}', "messages", id="Anthropic"),
    ],
)
def test_each_api_needs_its_prompt(path: str, body: str, param: str) -> None:
    assert refusal(body, path)[0] == param


@pytest.mark.parametrize(
    ("field", "stream", "limit"),
    [
        pytest.param('"stream":"yes"', False, None, id="stream of another type is off"),
        pytest.param('"stream":1', False, None, id="1 is not true"),
        pytest.param('"max_tokens":"9"', False, None, id="limit as text"),
        pytest.param('"max_tokens":-1', False, None, id="negative limit"),
        pytest.param('"max_tokens":1e2', False, None, id="limit as a float"),
        pytest.param(f'"max_tokens":{"9" * 5000}', False, None, id="limit beyond any machine"),
        pytest.param('"max_completion_tokens":null,"max_tokens":4', False, 4, id="null defers"),
        pytest.param('"stream":false,"stream":true', True, None, id="the last of a key counts"),
    ],
)
def test_odd_fields_that_routing_can_do_without_are_left_to_the_model_server(
    field: str, stream: bool, limit: int | None
) -> None:
    parsed = read(f'{{"model":"m","messages":[1],{field}}}')
    assert (parsed.stream, parsed.max_output_tokens) == (stream, limit)


def test_the_last_model_counts_and_keys_may_be_escaped() -> None:
    parsed = read(b'{"model":"a","messages":[{"model":"inner"}],"mod\\u0065l":"b"}')
    assert (parsed.model, parsed.model_span) == ("b", (57, 60))


def test_a_byte_order_mark_is_allowed() -> None:
    parsed = read(b'\xef\xbb\xbf{"model":"m","messages":[1]}')
    assert (parsed.model, parsed.model_span) == ("m", (12, 15))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model":"m","messages":[1],"' + b"k" * 1_000_000 + b'":1}', id="long key"),
        pytest.param(
            b'{"model":"m","messages":[1]' + b',"k":1' * 200_000 + b"}", id="a great many keys"
        ),
        pytest.param(
            b'{"model":"m","messages":[1],"a":' + b"[" * 9_000 + b"]" * 9_000 + b"}", id="deep"
        ),
        pytest.param(b'{"model":"m","messages":[1],"a":"\xff\xfe"}', id="not UTF-8 elsewhere"),
        pytest.param(b'{"model":"m","messages":[1],"a":1e99999}', id="a number of no size"),
    ],
)
def test_strange_bodies_are_read_all_the_same(body: bytes) -> None:
    parsed = read(body)
    assert (parsed.model, parsed.prompt) == ("m", (b"[1",))


def test_nesting_without_end_is_refused() -> None:
    assert "levels deep" in refusal(b'{"model":"m","messages":' + b"[" * 1_000_000)[1]


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"],
)
def test_these_promise_json(content_type: str) -> None:
    with pytest.raises(BadRequest):
        read("no", content_type=content_type)


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"],
)
def test_another_content_type_is_read_if_it_fits_and_else_passes(content_type: str) -> None:
    fits = '{"model":"m","messages":[1]}'
    assert read(fits, content_type=content_type) == read(fits)
    assert read("a=b", content_type=content_type) == OPAQUE
    assert read("", content_type=content_type) == OPAQUE
    assert read('{"model":"m"}', content_type=content_type) == ParsedBody(
        Dialect.OPAQUE, model="m", model_span=(9, 12)
    )


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        pytest.param(
            '{"query":"q","model":"m"}',
            ParsedBody(Dialect.OPAQUE, model="m", model_span=(21, 24)),
            id="a model can be rewritten",
        ),
        pytest.param('{"model":7}', OPAQUE, id="model of another type"),
        pytest.param('{"model":"m"', OPAQUE, id="not whole"),
        pytest.param("--x\r\n", OPAQUE, id="not JSON"),
        pytest.param("", OPAQUE, id="empty"),
    ],
)
def test_an_unknown_path_is_never_refused(body: str, parsed: ParsedBody) -> None:
    assert read(body, "/v1/rerank") == parsed


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "gzip, identity"])
def test_an_encoded_body_is_opaque(encoding: str) -> None:
    assert read_body(CHAT, JSON, encoding, b'{"model":"m","messages":[1]}') == OPAQUE


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_identity_is_no_encoding(encoding: str) -> None:
    assert read_body(CHAT, JSON, encoding, b'{"model":"m","messages":[1]}').model == "m"


@pytest.mark.parametrize(
    ("body", "model", "prompt", "limit"),
    [
        pytest.param('{"model":"m","messages":[1,2', "m", (b"[1,2",), None, id="in the prompt"),
        pytest.param('{"messages":[1],"mod', "", (b"[1",), None, id="before the model"),
        pytest.param('{"messages":[1],"model":"lla', "", (b"[1",), None, id="in the model"),
        pytest.param('{"model":"m","messages":[1],"max_tokens":1', "m", (b"[1",), None, id="digit"),
        pytest.param('{"model":"m","messages":', "m", (), None, id="before the prompt"),
        pytest.param("", "", (), None, id="before anything"),
    ],
)
def test_of_a_truncated_body_what_is_complete_is_taken(
    body: str, model: str, prompt: tuple[bytes, ...], limit: int | None
) -> None:
    parsed = read_body(CHAT, JSON, "", body.encode(), truncated=True)
    assert (parsed.dialect, parsed.model, parsed.prompt) == (Dialect.CHAT, model, prompt)
    assert parsed.max_output_tokens == limit
    assert (parsed.model_span is None) == (model == "")


def test_a_truncated_body_that_can_become_no_json_is_refused() -> None:
    with pytest.raises(BadRequest, match="byte 1"):
        read_body(CHAT, JSON, "", b"{model", truncated=True)
