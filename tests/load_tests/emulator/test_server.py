"""An emulated server on a real port, asked as clients ask it."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from tests.load_tests.emulator.served import FAST, metric, serving, serving_with, until


async def events(answer: aiohttp.ClientResponse) -> list[str]:
    """The data of each server-sent event."""
    text = await answer.text()
    return [
        line.removeprefix("data: ")
        for event in text.split("\n\n")
        for line in event.splitlines()
        if line.startswith("data: ")
    ]


async def test_a_completion() -> None:
    async with serving() as (session, name):
        body = {"model": "m", "prompt": "hello world", "max_tokens": 4}
        headers = {"x-request-id": "abc"}
        async with session.post("/v1/completions", json=body, headers=headers) as answer:
            said = await answer.json()
            assert answer.headers["x-served-by"] == name
            assert answer.headers["x-request-id"] == "abc"
    assert said.pop("created") > 0
    assert said == {
        "id": "cmpl-abc",
        "object": "text_completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "text": said["choices"][0]["text"],
                "logprobs": None,
                "finish_reason": "length",
                "stop_reason": None,
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "total_tokens": 7,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }
    assert len(said["choices"][0]["text"].split()) == 4


@pytest.mark.parametrize("token_batch", [1, 4])
async def test_a_streamed_chat_is_one_event_per_token_and_usage_when_asked(
    token_batch: int,
) -> None:
    async with serving(replace(FAST, token_batch=token_batch)) as (session, _):
        body = {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "max_completion_tokens": 6,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with session.post("/v1/chat/completions", json=body) as answer:
            assert answer.content_type == "text/event-stream"
            *chunks, done = await events(answer)
        whole_body = {key: value for key, value in body.items() if "stream" not in key}
        async with session.post("/v1/chat/completions", json=whole_body) as answer:
            whole = await answer.json()
    assert done == "[DONE]"
    role, *tokens, usage = map(json.loads, chunks)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [t["choices"][0]["finish_reason"] for t in tokens] == [None] * 5 + ["length"]
    text = "".join(t["choices"][0]["delta"]["content"] for t in tokens)
    assert text == whole["choices"][0]["message"]["content"]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 6
    assert {c["id"] for c in (role, *tokens, usage)} == {role["id"]}


async def test_without_a_limit_the_model_decides_when_to_stop() -> None:
    async with serving() as (session, _):
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        async with session.post("/v1/chat/completions", json=body) as answer:
            said = await answer.json()
    assert said["choices"][0]["finish_reason"] == "stop"
    assert 32 <= said["usage"]["completion_tokens"] < 288


async def test_the_next_turn_finds_the_last_one_in_the_cache() -> None:
    async with serving() as (session, _):
        messages = [{"role": "user", "content": "tell me all about it " * 20}]
        body: dict[str, Any] = {"model": "m", "messages": messages, "max_tokens": 50}
        async with session.post("/v1/chat/completions", json=body) as answer:
            first = await answer.json()
        messages.append(first["choices"][0]["message"])
        messages.append({"role": "user", "content": "and then?"})
        async with session.post("/v1/chat/completions", json=body) as answer:
            second = await answer.json()
        used = first["usage"]["total_tokens"] - 1  # the last token said has no KV yet
        cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert cached == used // 16 * 16 > first["usage"]["prompt_tokens"]
        assert await metric(session, "vllm:prefix_cache_hits_total") == cached


async def test_several_prompts_and_several_answers() -> None:
    async with serving() as (session, _):
        body = {"model": "m", "prompt": ["one", "another one"], "n": 2, "max_tokens": 3}
        async with session.post("/v1/completions", json=body) as answer:
            said = await answer.json()
        async with session.post("/v1/completions", json={**body, "stream": True}) as answer:
            *chunks, done = await events(answer)
    texts = [choice["text"] for choice in said["choices"]]
    assert [choice["index"] for choice in said["choices"]] == [0, 1, 2, 3]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    assert said["usage"] == {
        "prompt_tokens": 1 + 3,
        "completion_tokens": 12,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    streamed = ["", "", "", ""]
    for chunk in map(json.loads, chunks):
        streamed[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert (streamed, done) == (texts, "[DONE]")


async def test_anthropic_messages_whole_and_streamed() -> None:
    async with serving() as (session, _):
        body = {
            "model": "claude",
            "max_tokens": 3,
            "system": "be kind",
            "messages": [{"role": "user", "content": "hi"}],
        }
        async with session.post("/v1/messages", json=body) as answer:
            whole = await answer.json()
        async with session.post("/v1/messages", json={**body, "stream": True}) as answer:
            streamed = [json.loads(event) for event in await events(answer)]
    assert whole["type"] == "message"
    assert whole["model"] == "claude"
    assert whole["stop_reason"] == "max_tokens"
    assert whole["usage"]["output_tokens"] == 3
    assert [event["type"] for event in streamed] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    text = "".join(e["delta"]["text"] for e in streamed[2:5])
    assert text == whole["content"][0]["text"]
    assert streamed[-2]["usage"] == {"output_tokens": 3}
    assert streamed[0]["message"]["usage"]["input_tokens"] == whole["usage"]["input_tokens"]


async def test_responses_whole_and_streamed() -> None:
    async with serving() as (session, _):
        body = {"model": "m", "input": "hi", "max_output_tokens": 2}
        async with session.post("/v1/responses", json=body) as answer:
            whole = await answer.json()
        async with session.post("/v1/responses", json={**body, "stream": True}) as answer:
            streamed = [json.loads(event) for event in await events(answer)]
    text = whole["output"][0]["content"][0]["text"]
    assert (whole["status"], whole["usage"]["output_tokens"]) == ("completed", 2)
    assert [event["sequence_number"] for event in streamed] == list(range(len(streamed)))
    assert "".join(e["delta"] for e in streamed if "delta" in e) == text
    assert streamed[-1]["type"] == "response.completed"
    assert streamed[-1]["response"]["usage"] == whole["usage"]


async def test_embeddings() -> None:
    async with serving() as (session, _):
        body = {"model": "e", "input": ["hello", "hello", "other"]}
        async with session.post("/v1/embeddings", json=body) as answer:
            said = await answer.json()
    one, two, three = (entry["embedding"] for entry in said["data"])
    assert one == two != three
    assert said["usage"]["prompt_tokens"] == 6


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(b"{", 400, "invalid JSON", id="not JSON"),
        pytest.param(b"[]", 400, "not a JSON object", id="no object"),
        pytest.param(b'{"model":"served"}', 400, "prompt", id="no prompt"),
        pytest.param(b'{"model":7,"prompt":"x"}', 400, "model", id="model is a number"),
        pytest.param(b'{"model":"other","prompt":"x"}', 404, "`other` does not", id="unknown"),
        pytest.param(b'{"prompt":"x","max_tokens":0}', 400, "max_tokens", id="no tokens"),
        pytest.param(b'{"prompt":"x","n":true}', 400, "n:", id="n is a truth"),
        pytest.param(
            b'{"prompt":"' + b"x" * 5000 + b'"}', 400, "maximum context length is 1000", id="long"
        ),
    ],
)
async def test_what_is_refused(body: bytes, status: int, message: str) -> None:
    options = replace(FAST, models=("served",), max_model_tokens=1000, reject_overlong=True)
    async with (
        serving(options) as (session, _),
        session.post("/v1/completions", data=body) as answer,
    ):
        error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (status, status)
        assert message in error["message"]


async def test_what_is_too_long_is_cut_short_unless_told_otherwise() -> None:
    async with serving(replace(FAST, max_model_tokens=1000)) as (session, _):
        body = {"prompt": "x" * 5000, "max_tokens": 50}
        async with session.post("/v1/completions", json=body) as answer:
            usage = (await answer.json())["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (999, 1)


async def test_a_client_that_leaves_frees_the_engine() -> None:
    async with serving_with(replace(FAST, speed=1.0)) as (session, _, server):
        body = {"prompt": "x" * 400, "max_tokens": 10_000, "stream": True}
        async with session.post("/v1/completions", json=body) as answer:
            await answer.content.readline()
            engine = server.replica.engine
            assert engine.running == 1
            answer.close()

        async def free() -> bool:
            return engine.running == 0 and engine.kv.used == 0

        await until(free)
        name = 'vllm:request_success_total{engine="0",finished_reason="abort"'
        async with session.get("/metrics") as page:
            (line,) = [x for x in (await page.text()).splitlines() if x.startswith(name)]
    assert line.endswith(" 1.0")


async def test_large_bodies() -> None:
    async with serving(replace(FAST, max_model_tokens=2000)) as (session, _):
        body = io.BytesIO(b'{"max_tokens":1,"prompt":"' + b"x" * 10_000_000 + b'"}')
        async with session.post("/v1/completions", data=body) as answer:
            assert (await answer.json())["usage"]["prompt_tokens"] == 1999


async def test_echo_says_what_arrived() -> None:
    async with serving(replace(FAST, echo=True)) as (session, name):
        body = bytes(range(256)) * 4000
        async with session.post("/any/path?x=1", data=body, headers={"X-A": "b"}) as answer:
            said = await answer.json()
        async with session.get("/health") as answer:
            got = await answer.json()
    assert said["headers"]["x-a"] == "b"
    assert (said["method"], said["path"], said["query"]) == ("POST", "/any/path", "x=1")
    assert (said["length"], said["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert (said["served_by"], got["method"]) == (name, "GET")


async def test_models_and_adapters() -> None:
    options = replace(FAST, models=("base",), max_loras=2, adapters=("sql",))
    async with serving(options) as (session, _):

        async def models() -> list[str]:
            async with session.get("/v1/models") as answer:
                return [model["id"] for model in (await answer.json())["data"]]

        async def ask(model: str) -> int:
            body = {"model": model, "prompt": "x", "max_tokens": 1}
            async with session.post("/v1/completions", json=body) as answer:
                return answer.status

        assert await models() == ["base", "sql"]
        assert [await ask(name) for name in ("base", "sql", "tone")] == [200, 200, 404]
        body = {"lora_name": "tone", "lora_path": "/tone"}
        async with session.post("/v1/load_lora_adapter", json=body) as answer:
            assert answer.status == 200
        assert await models() == ["base", "sql", "tone"]
        assert await ask("tone") == 200
        async with session.post("/v1/unload_lora_adapter", json={"lora_name": "sql"}) as answer:
            assert answer.status == 200
        async with session.post("/v1/unload_lora_adapter", json={"lora_name": "sql"}) as answer:
            assert answer.status == 404
        assert await models() == ["base", "tone"]


async def test_unknown_paths_and_methods() -> None:
    async with serving() as (session, _):
        async with session.get("/nowhere") as answer:
            assert answer.status == 404
        async with session.get("/v1/completions") as answer:
            assert answer.status == 405
