"""One text, in every way JSON may spell it."""

from __future__ import annotations

import json

import pytest

from gateway.request.json_text import Agreement, Spelling, quoted

NAME = 'a/"é😀\\'


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(json.dumps(NAME, ensure_ascii=False).encode(), id="plain"),
        pytest.param(json.dumps(NAME).encode(), id="ascii"),
        pytest.param(rb'"a\/\"\u00E9\uD83D\uDE00\\"', id="upper-case hex"),
        pytest.param(
            rb'"\u0061\u002f\u0022\u00e9\ud83d\ude00\u005c"', id="every character escaped"
        ),
    ],
)
def test_every_spelling_is_recognised_whole_and_at_every_cut(token: bytes) -> None:
    spelling = Spelling(NAME)
    assert spelling.compare(token) is Agreement.WHOLE
    for cut in range(1, len(token)):
        assert spelling.compare(token[:cut]) is Agreement.SO_FAR


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b'"b', id="another letter"),
        pytest.param(b'"a/\\"\xc3\xa9\xf0\x9f\x98\x80\\\\x"', id="longer"),
        pytest.param(b'"A', id="case matters"),
        pytest.param(rb'"\u0062', id="another letter, escaped"),
        pytest.param(b"null", id="not a string"),
        pytest.param(b'{"a', id="an object"),
        pytest.param(b'"a/"', id="shorter"),
    ],
)
def test_what_is_not_the_name_is_known_at_once(token: bytes) -> None:
    assert Spelling(NAME).compare(token) is Agreement.NOT


def test_an_escaped_backslash_does_not_start_an_escape() -> None:
    assert Spelling("\\u00E9").compare(rb'"\\u00E9"') is Agreement.WHOLE
    assert Spelling("\\u00E9").compare(rb'"\\u00e9"') is Agreement.NOT


def test_quoting_never_fails() -> None:
    assert quoted("a\udcffb") == b'"a?b"'
