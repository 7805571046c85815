"""Token usage as the engines report it, in every shape it comes in."""

from __future__ import annotations

import json

import pytest

from gateway.request.model import Dialect, Usage
from gateway.request.usage import UsageReader

NOTHING = Usage()


def of_json(body: object, dialect: Dialect = Dialect.CHAT) -> Usage:
    reader = UsageReader(dialect, event_stream=False)
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader.usage


def of_events(*events: object, dialect: Dialect = Dialect.CHAT) -> Usage:
    return of_stream(
        b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in events), dialect
    )


def of_stream(stream: bytes, dialect: Dialect = Dialect.CHAT, cut: int = 1 << 20) -> Usage:
    reader = UsageReader(dialect, event_stream=True)
    for start in range(0, len(stream), cut):
        reader.feed(stream[start : start + cut])
    return reader.usage


def test_openai_json() -> None:
    body = {
        "choices": [{"message": {"content": '"usage":{"prompt_tokens":99}'}}],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }
    assert of_json(body) == Usage(input_tokens=7, output_tokens=3, cached_tokens=4)


def test_usage_is_found_wherever_it_stands_in_megabytes() -> None:
    text = {"choices": ["usage: {" * 100_000]}
    usage = {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    for body in ({**usage, **text}, {**text, **usage}):
        assert of_json(body) == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"choices": [{"usage": {"prompt_tokens": 9}}]}, id="in an array"),
        pytest.param({"metadata": {"usage": {"prompt_tokens": 9}}}, id="in another object"),
        pytest.param([{"usage": {"prompt_tokens": 9}}], id="no object at the top"),
        pytest.param({"response": {"usage": {"prompt_tokens": 9}}}, id="another dialect's place"),
        pytest.param({"usage": {"usage": {"prompt_tokens": 9}}}, id="inside itself"),
        pytest.param({"my_usage": {"prompt_tokens": 9}}, id="a longer key"),
        pytest.param({"usage": None}, id="null"),
        pytest.param({"usage": [{"prompt_tokens": 9}]}, id="a list"),
        pytest.param({"usage": "prompt_tokens"}, id="text"),
        pytest.param({"usage": {"prompt_tokens": "9"}}, id="text for a number"),
        pytest.param({"usage": {"prompt_tokens": True}}, id="true for a number"),
        pytest.param({"usage": {"prompt_tokens": -1}}, id="negative"),
        pytest.param({"usage": {"prompt_tokens": 10**30}}, id="beyond counting"),
        pytest.param({"usage": {"prompt_tokens": 1.5}}, id="a fraction"),
        pytest.param({"usage": {"prompt_tokens_details": [1]}}, id="details of another type"),
        pytest.param({"usage": {"x": "y" * 100_000, "prompt_tokens": 9}}, id="too long to keep"),
        pytest.param(b'{"usage": {"prompt_tokens": 9', id="cut"),
        pytest.param(b'{"usage": {"prompt_tokens" 9}}', id="broken"),
        pytest.param(bytes(range(256)) * 20, id="not JSON"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_not_said_is_none(body: object) -> None:
    assert of_json(body) == NOTHING


def test_a_wrong_field_spoils_no_other() -> None:
    body = {"usage": {"prompt_tokens": None, "completion_tokens": 3}}
    assert of_json(body) == Usage(output_tokens=3)


def test_embeddings_have_no_output() -> None:
    body = {"data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    assert of_json(body, Dialect.EMBEDDINGS) == Usage(input_tokens=8)


def test_an_event_stream_says_it_once_at_the_end() -> None:
    events = [{"choices": [{"delta": {"content": "hi"}}], "usage": None}] * 3
    last = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}
    assert of_events(*events, last) == Usage(input_tokens=5, output_tokens=3)


def test_continuous_usage_counts_by_its_last() -> None:
    events = [{"usage": {"prompt_tokens": 5, "completion_tokens": n}} for n in range(4)]
    assert of_events(*events, {"usage": None}) == Usage(input_tokens=5, output_tokens=3)


def test_the_responses_api_says_it_in_its_last_event() -> None:
    events = [
        {"type": "response.created", "response": {"id": "r", "usage": None}},
        {"type": "response.output_text.delta", "delta": '"usage":{"input_tokens":9}'},
        {
            "type": "response.completed",
            "response": {
                "output": [{"usage": {"input_tokens": 9}}, "x" * 200_000],
                "usage": {
                    "input_tokens": 5,
                    "input_tokens_details": {"cached_tokens": 2},
                    "output_tokens": 6,
                },
            },
        },
    ]
    expected = Usage(input_tokens=5, output_tokens=6, cached_tokens=2)
    assert of_events(*events, dialect=Dialect.RESPONSES) == expected
    assert of_json({"usage": {"input_tokens": 5}}, Dialect.RESPONSES) == Usage(input_tokens=5)


def test_anthropic_counts_the_cached_part_of_the_prompt_apart_and_we_do_not() -> None:
    events = [
        {
            "type": "message_start",
            "message": {
                "usage": {
                    "input_tokens": 10,
                    "cache_read_input_tokens": 100,
                    "cache_creation_input_tokens": 20,
                    "output_tokens": 1,
                }
            },
        },
        {"type": "content_block_delta", "delta": {"text": '"usage"'}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}},
    ]
    expected = Usage(input_tokens=130, output_tokens=15, cached_tokens=100)
    assert of_events(*events, dialect=Dialect.ANTHROPIC) == expected


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b'data: {"usage":{"prompt_tokens":5}}\n\ndata: [DONE]\n\n', id="LF"),
        pytest.param(b'data: {"usage":{"prompt_tokens":5}}\r\n\r\ndata: [DONE]\r\n\r\n', id="CRLF"),
        pytest.param(b'data: {"usage":{"prompt_tokens":5}}\r\rdata: [DONE]\r\r', id="CR"),
        pytest.param(b'data:{"usage":{"prompt_tokens":5}}\n\ndata:[DONE]\n\n', id="no space"),
        pytest.param(b'\xef\xbb\xbfdata: {"usage":{"prompt_tokens":5}}\n\n', id="BOM"),
        pytest.param(
            b': "usage":{"prompt_tokens":1}\nevent: "{"\nid: 1\n'
            b'data: {"usage":{"prompt_tokens":5}}\n\n',
            id="comments and other fields",
        ),
        pytest.param(
            b'data: {"usage"\r\ndata: :{"prompt_tokens"\r\ndata::5}}\r\n\r\n', id="over many lines"
        ),
        pytest.param(
            b'data: {"a":"broken\n\ndata: {"usage":{"prompt_tokens":5}}\n\n',
            id="after a broken event",
        ),
        pytest.param(
            b'data: "text\n\ndata: {}\n\ndata: {"usage":{"prompt_tokens":5}}\n\n', id="after text"
        ),
        pytest.param(
            b'data: {"a":1}\ndata: {"usage":{"prompt_tokens":5}}\n', id="no blank line between"
        ),
        pytest.param(b'data: {"us\\u0061ge":{"prompt_tokens":5}}\n\n', id="escaped key"),
    ],
)
def test_server_sent_events_cut_anywhere(stream: bytes, cut: int) -> None:
    assert of_stream(stream, cut=cut) == Usage(input_tokens=5)
