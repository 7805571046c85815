"""Documents are read strictly: nothing is guessed, and nothing can blow up."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.config.document import MAX_BYTES, read
from loadstar.config.errors import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", None, id="empty"),
        pytest.param("# nothing\n", None, id="only a comment"),
        pytest.param(
            "a: 1\nb: [x, 2.5, true, ~]", {"a": 1, "b": ["x", 2.5, True, None]}, id="YAML"
        ),
        pytest.param('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}, id="JSON"),
        pytest.param('{\n\t"a": 1\n}', {"a": 1}, id="JSON indented with tabs"),
        pytest.param("{a: 1, b: c}", {"a": 1, "b": "c"}, id="YAML in braces"),
        pytest.param("a: 1e3", {"a": 1000.0}, id="an exponent without a point is a number"),
        pytest.param("a: 1:30", {"a": "1:30"}, id="no base-60 numbers"),
        pytest.param("a: 2026-01-31", {"a": "2026-01-31"}, id="no dates"),
        pytest.param("a: '8000'", {"a": "8000"}, id="quoted is text"),
        pytest.param("8000: x\non: y", {"8000": "x", "on": "y"}, id="keys are what was written"),
        pytest.param("\ufeffa: 1", {"a": 1}, id="byte order mark"),
        pytest.param(
            "base: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}",
            {"base": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}},
            id="merge key",
        ),
        pytest.param("a: &x [1]\nb: *x", {"a": [1], "b": [1]}, id="alias"),
    ],
)
def test_a_document_is_its_plain_values(text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("a: 1\nb:\n  c: 1\n  c: 2", "b.c: line 4: given twice", id="duplicate key"),
        pytest.param('{"a": 1, "a": 2}', "a: given twice", id="duplicate key in JSON"),
        pytest.param(
            "a: 1\n---\nb: 2",
            "not YAML: line 2, column 1: but found another document",
            id="two documents",
        ),
        pytest.param("? [a]\n: b", "line 1: a key must be a string", id="a list as a key"),
        pytest.param("~: b", "line 1: a key must be a string", id="null as a key"),
        pytest.param(
            "a: [1,\n  {b: !!python/name:os.system x}]",
            "a[1].b: line 2: the tag 'tag:yaml.org,2002:python/name:os.system' is not supported",
            id="a tag that would run code",
        ),
        pytest.param(
            "a: !secret x", "a: line 1: the tag '!secret' is not supported", id="a tag of its own"
        ),
        pytest.param(
            "a: *b", "not YAML: line 1, column 4: found undefined alias", id="undefined alias"
        ),
        pytest.param("a: &a [*a]", "nested deeper than 64 levels", id="an alias of itself"),
        pytest.param("a: {<<: [1]}", "a.<<: only mappings can be merged", id="merging a list"),
        pytest.param(
            "[" * 100_000,
            "not YAML: line 1, column 1001: exceeded maximum nesting depth",
            id="deep YAML",
        ),
        pytest.param(
            '{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper than 64 levels", id="deep JSON"
        ),
        pytest.param(
            '{"a": [{"b": "x\\ud83d"}]}',
            "a[0].b: \\ud83d is half a character",
            id="half a character",
        ),
        pytest.param('{"a": {"\\ude00": 1}}', "a: \\ude00 is half a character", id="half a key"),
        pytest.param("[" * 66 + "]" * 66, "nested deeper than 64 levels", id="a little too deep"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value) == problem


def test_an_alias_bomb_is_defused() -> None:
    """Seven lines that would be ten million values."""
    with pytest.raises(ConfigError, match="more than 200000 values, counting aliases"):
        read(BOMB)


def test_a_document_has_a_largest_size() -> None:
    with pytest.raises(ConfigError, match=f"{MAX_BYTES + 1} bytes are more than the {MAX_BYTES}"):
        read(b"#" * (MAX_BYTES + 1))


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(ConfigError, match="not UTF-8: invalid start byte at byte 3"):
        read(b"a: \xff")


@pytest.mark.parametrize("digits", [5000, 100_000])
@pytest.mark.parametrize("form", ["a: {}", '{{"a": {}}}'], ids=["YAML", "JSON"])
def test_a_number_of_many_digits_is_refused_not_computed(form: str, digits: int) -> None:
    with pytest.raises(ConfigError):
        read(form.format("9" * digits))


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_json_document_is_read_as_json(value: object) -> None:
    found = read(json.dumps({"value": value}))
    assert found == {"value": value}


@given(st.text(max_size=200))
def test_no_text_does_worse_than_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        read(text)
