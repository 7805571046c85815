"""Usage and model names in responses do not depend on where the response is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.request.model import Dialect, Usage
from gateway.request.rename import ModelRenamer
from gateway.request.usage import UsageReader

OLD, NEW = 'llama/"v2"é', "llama"

counts = st.none() | st.integers(0, 10**6)
usages = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": counts,
        "completion_tokens": counts,
        "prompt_tokens_details": st.none() | st.fixed_dictionaries({"cached_tokens": counts}),
    },
)
tricky = st.sampled_from(
    [OLD, OLD + "x", OLD[:-1], NEW, '{"model":"' + OLD + '"}', '"usage":{"prompt_tokens":1}', "\\"]
)
texts = tricky | st.text(max_size=8)
inner = st.recursive(
    texts | st.integers() | st.booleans() | st.none(),
    lambda more: (
        st.lists(more, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "usage", "response", "x"]), more, max_size=3)
    ),
    max_leaves=6,
)
bodies: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "id": texts,
        "model": texts,
        "usage": usages,
        "response": st.fixed_dictionaries(
            {}, optional={"model": texts, "usage": usages, "x": inner}
        ),
        "choices": inner,
    },
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[dict[str, object]]]:
    """An event stream as some server might write it, and the objects in it."""
    events = draw(st.lists(bodies, max_size=4))
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    out = [draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))]
    for event in events:
        text = json.dumps(
            event, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.just(1))
        )
        prefix = draw(st.sampled_from([b"data: ", b"data:"]))
        if draw(st.booleans()):
            out += (b': "model":"x"', end, b'event: {"usage', end)
        out += (prefix + line + end for line in text.encode("utf-8", "surrogatepass").split(b"\n"))
        out.append(end)
    out.append(draw(st.sampled_from([b"", b"data: [DONE]" + end + end])))
    return b"".join(out), events


cuts = st.lists(st.floats(0, 1), max_size=8)
dialects = st.sampled_from([Dialect.CHAT, Dialect.RESPONSES])


def cut_at(stream: bytes, where: list[float]) -> list[bytes]:
    edges = [0, *sorted(int(w * len(stream)) for w in where), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def rename(pieces: list[bytes], dialect: Dialect, event_stream: bool) -> bytes:
    renamer = ModelRenamer(dialect, event_stream, OLD, NEW)
    out = [renamer.feed(piece, end_of_stream=False) for piece in pieces]
    return b"".join((*out, renamer.feed(b"", end_of_stream=True)))


def read(pieces: list[bytes], dialect: Dialect, event_stream: bool) -> Usage:
    reader = UsageReader(dialect, event_stream)
    for piece in pieces:
        reader.feed(piece)
    return reader.usage


def mapped_back(body: dict[str, object], dialect: Dialect) -> dict[str, object]:
    out = {**body, **({"model": NEW} if body.get("model") == OLD else {})}
    response = body.get("response")
    if dialect is Dialect.RESPONSES and isinstance(response, dict) and response.get("model") == OLD:
        out["response"] = {**response, "model": NEW}
    return out


def last_said(bodies: list[dict[str, object]], dialect: Dialect) -> Usage:
    said = Usage()
    for body in bodies:
        places = {"usage": body.get("usage"), "response": body.get("response")}
        for key in body:
            usage = places.get(key)
            if key == "response":
                whole = usage if dialect is Dialect.RESPONSES and isinstance(usage, dict) else {}
                usage = whole.get("usage")
            if not isinstance(usage, dict):
                continue
            details = usage.get("prompt_tokens_details") or {}
            new = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
            said.input_tokens = said.input_tokens if new[0] is None else new[0]
            said.output_tokens = said.output_tokens if new[1] is None else new[1]
            cached = details.get("cached_tokens")
            said.cached_tokens = said.cached_tokens if cached is None else cached
    return said


def events_of(stream: bytes) -> list[dict[str, object]]:
    """The objects of an event stream, by the rules of the HTML standard."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    out = []
    for event in text.split(b"\n\n"):
        lines = [line.removeprefix(b"data:") for line in event.split(b"\n") if line[:5] == b"data:"]
        if lines and b"".join(lines).strip() != b"[DONE]":
            out.append(json.loads(b"\n".join(lines)))
    return out


@given(streams(), cuts, dialects)
def test_names_in_a_stream(
    stream: tuple[bytes, list[dict[str, object]]], where: list[float], dialect: Dialect
) -> None:
    raw, events = stream
    expected = rename([raw], dialect, event_stream=True)
    assert events_of(expected) == [mapped_back(event, dialect) for event in events]
    assert rename(cut_at(raw, where), dialect, event_stream=True) == expected
    assert rename([raw[i : i + 1] for i in range(len(raw))], dialect, True) == expected


@given(bodies, cuts, dialects, st.booleans())
def test_names_in_json(
    body: dict[str, object], where: list[float], dialect: Dialect, ascii_only: bool
) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    expected = rename([raw], dialect, event_stream=False)
    assert json.loads(expected) == mapped_back(body, dialect)
    assert rename(cut_at(raw, where), dialect, event_stream=False) == expected


@given(streams(), cuts, dialects)
def test_usage_in_a_stream(
    stream: tuple[bytes, list[dict[str, object]]], where: list[float], dialect: Dialect
) -> None:
    raw, events = stream
    expected = last_said(events, dialect)
    assert read([raw], dialect, event_stream=True) == expected
    assert read(cut_at(raw, where), dialect, event_stream=True) == expected
    assert read([raw[i : i + 1] for i in range(len(raw))], dialect, True) == expected


@pytest.mark.parametrize("event_stream", [False, True], ids=["json", "events"])
@given(st.lists(st.binary(max_size=40) | st.sampled_from([b'{"model":', b'"usage":', b"data:"])))
def test_garbage_passes_unharmed(event_stream: bool, pieces: list[bytes]) -> None:
    assert rename(pieces, Dialect.CHAT, event_stream) == b"".join(pieces)
    assert isinstance(read(pieces, Dialect.CHAT, event_stream), Usage)
