"""The model's name mapped back in responses: there, and nowhere else."""

from __future__ import annotations

import pytest

from gateway.request.model import Dialect
from gateway.request.rename import ModelRenamer


def renamed(
    body: bytes, dialect: Dialect = Dialect.CHAT, event_stream: bool = False, old: str = "big-v2"
) -> bytes:
    return ModelRenamer(dialect, event_stream, old, "big").feed(body, end_of_stream=True)


@pytest.mark.parametrize(
    ("dialect", "body", "expected"),
    [
        pytest.param(
            Dialect.CHAT, b'{"id":1, "model" : "big-v2"}', b'{"id":1, "model" : "big"}', id="top"
        ),
        pytest.param(Dialect.CHAT, b'{"model":"big\\u002dv2"}', b'{"model":"big"}', id="escaped"),
        pytest.param(
            Dialect.CHAT, b'{"mod\\u0065l":"big-v2"}', b'{"mod\\u0065l":"big"}', id="escaped key"
        ),
        pytest.param(
            Dialect.CHAT,
            b'{"a":"x\n\x00y","model":"big-v2"}',
            b'{"a":"x\n\x00y","model":"big"}',
            id="after control characters that JSON forbids",
        ),
        pytest.param(
            Dialect.RESPONSES,
            b'{"type":"x","response":{"model":"big-v2"},"model":"big-v2"}',
            b'{"type":"x","response":{"model":"big"},"model":"big"}',
            id="in the response",
        ),
        pytest.param(
            Dialect.ANTHROPIC,
            b'{"message":{"usage":{},"model":"big-v2"}}',
            b'{"message":{"usage":{},"model":"big"}}',
            id="in the message",
        ),
    ],
)
def test_the_name_is_mapped_back(dialect: Dialect, body: bytes, expected: bytes) -> None:
    assert renamed(body, dialect) == expected


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        pytest.param(Dialect.CHAT, b'{"model":"big-v2x"}', id="a longer name"),
        pytest.param(Dialect.CHAT, b'{"model":"big-v"}', id="a shorter name"),
        pytest.param(Dialect.CHAT, b'{"a":"\\"model\\":\\"big-v2\\""}', id="in content"),
        pytest.param(Dialect.CHAT, b'{"a":"model","b":"big-v2"}', id="model as a value"),
        pytest.param(Dialect.CHAT, b'{"metadata":{"model":"big-v2"}}', id="nested"),
        pytest.param(
            Dialect.CHAT, b'{"response":{"model":"big-v2"}}', id="another dialect's place"
        ),
        pytest.param(Dialect.CHAT, b'{"choices":[{"model":"big-v2"}]}', id="in an array"),
        pytest.param(Dialect.CHAT, b'[{"model":"big-v2"}]', id="no object at the top"),
        pytest.param(Dialect.RESPONSES, b'{"response":[{"model":"big-v2"}]}', id="array parent"),
        pytest.param(Dialect.RESPONSES, b'{"x":{"response":{"model":"big-v2"}}}', id="too deep"),
        pytest.param(Dialect.RESPONSES, b'{"response":{"a":{"model":"big-v2"}}}', id="deeper"),
        pytest.param(Dialect.CHAT, b'{"model":["big-v2"]}', id="a list"),
        pytest.param(Dialect.CHAT, b'{"model":null,"a":"big-v2"}', id="null"),
        pytest.param(Dialect.CHAT, b'\x1f\x8b\x08\x00garbage{"', id="not JSON"),
        pytest.param(Dialect.CHAT, b"", id="nothing"),
    ],
)
def test_nothing_else_is_touched(dialect: Dialect, body: bytes) -> None:
    assert renamed(body, dialect) == body


EVENT = b'data: {"model":"big-v2","choices":[{"delta":{"content":"model: big-v2"}}]}\n\n'


def test_each_event_of_a_stream_is_mapped() -> None:
    stream = b": ping\n\n" + EVENT * 40 + b"data: [DONE]\n\n"
    expected = stream.replace(b'{"model":"big-v2"', b'{"model":"big"')
    assert renamed(stream, event_stream=True) == expected


def test_a_name_cut_anywhere_is_mapped_and_only_the_name_is_held_back() -> None:
    expected = EVENT.replace(b'{"model":"big-v2"', b'{"model":"big"')
    begin, end = EVENT.index(b'"big-v2"'), EVENT.index(b'"big-v2"') + len(b'"big-v2"')
    for cut in range(len(EVENT) + 1):
        renamer = ModelRenamer(Dialect.CHAT, True, "big-v2", "big")
        first = renamer.feed(EVENT[:cut], end_of_stream=False)
        held = cut - begin if begin < cut < end else 0
        assert first == expected[: len(first)]
        assert len(first) == (cut - held if cut < end else cut - len(b"-v2"))
        assert first + renamer.feed(EVENT[cut:], end_of_stream=True) == expected


def test_what_cannot_become_the_name_is_not_held_back() -> None:
    renamer = ModelRenamer(Dialect.CHAT, False, "big-v2", "big")
    assert renamer.feed(b'{"model":"bik', end_of_stream=False) == b'{"model":"bik'
    assert renamer.feed(b'-v2"}', end_of_stream=False) == b'-v2"}'


def test_a_stream_that_ends_inside_the_name_loses_nothing() -> None:
    renamer = ModelRenamer(Dialect.CHAT, False, "big-v2", "big")
    assert renamer.feed(b'{"model":"big', end_of_stream=False) == b'{"model":'
    assert renamer.feed(b"-v", end_of_stream=False) == b""
    assert renamer.feed(b"", end_of_stream=True) == b'"big-v'


def test_a_line_that_breaks_inside_the_name_passes_as_it_came() -> None:
    stream = b'data: {"model":"big\ndata: -v2"}\n\n' + EVENT
    expected = b'data: {"model":"big\ndata: -v2"}\n\n' + renamed(EVENT, event_stream=True)
    renamer = ModelRenamer(Dialect.CHAT, True, "big-v2", "big")
    parts = [renamer.feed(stream[i : i + 1], i + 1 == len(stream)) for i in range(len(stream))]
    assert b"".join(parts) == expected
