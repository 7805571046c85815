"""The object scanner agrees with a whole JSON parser, on JSON and on what is nearly JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.request.json_object import Keys, top_level

NAMES = ("model", "messages", "stream")
KEYS = Keys(NAMES)

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES) | st.text(), values)
spaces = st.text(" \n\r\t", max_size=2)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """An object as some writer might write it: any spacing, escapes, repeated keys."""
    ascii_only = draw(st.booleans())
    members = []
    for key, value in draw(st.lists(st.tuples(st.sampled_from(NAMES) | st.text(), values))):
        name = json.dumps(key, ensure_ascii=ascii_only)
        if draw(st.booleans()):
            name = '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in key) + '"'
            name = name if json.loads(name) == key else json.dumps(key)
        text = json.dumps(value, ensure_ascii=ascii_only, indent=draw(st.sampled_from([None, 1])))
        members.append(f"{draw(spaces)}{name}{draw(spaces)}:{draw(spaces)}{text}{draw(spaces)}")
    return f"{draw(spaces)}{{{','.join(members)}}}{draw(spaces)}"


def parsed(text: bytes) -> object:
    """What RFC 8259 makes of it; None if it is not JSON."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return None


@given(texts())
def test_the_last_value_of_each_key_is_found(text: str) -> None:
    body = text.encode()
    found = top_level(body, KEYS)
    whole = parsed(body)
    assert isinstance(whole, dict)
    assert found.problem is None
    assert found.unfinished == {}
    assert {name: json.loads(body[a:b]) for name, (a, b) in found.values.items()} == {
        name: whole[name] for name in NAMES if name in whole
    }


edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([*'{}[]",:\\u0-+.eE tfn\x01', "", "\n"])),
    min_size=1,
    max_size=3,
)


@given(texts(), edits)
def test_nearly_json_is_judged_as_a_parser_judges_it(
    text: str, changes: list[tuple[float, str]]
) -> None:
    for where, sign in changes:
        at = int(where * len(text))
        text = text[:at] + sign + text[at + 1 :]
    body = text.encode()
    assert (top_level(body, KEYS).problem is None) == isinstance(parsed(body), dict)


@given(objects, st.floats(0, 1))
def test_every_beginning_of_an_object_only_ends_early(
    value: dict[str, object], share: float
) -> None:
    body = json.dumps(value).encode()
    cut = body[: int(share * len(body))]
    if cut != body:
        found = top_level(cut, KEYS)
        assert found.ended_early
        for name, (a, b) in found.values.items():
            assert json.loads(cut[a:b]) == value[name]


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    problem = top_level(body, KEYS).problem
    if problem is not None:
        assert 0 <= problem.at <= len(body)
