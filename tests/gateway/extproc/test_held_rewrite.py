"""Changing the model of a streamed body: the bytes that arrive, chunk by chunk."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extproc.session.held_rewrite import MOST_HELD, HeldRewrite

PATH = "/v1/completions"
BODY = b'{"prompt":"the \\"model\\":\\"x\\"","model":"llama","n":1}'
CHANGED = b'{"prompt":"the \\"model\\":\\"x\\"","model":"big-llama","n":1}'


def rewrite(declared: int | None) -> HeldRewrite:
    return HeldRewrite(PATH, "application/json", "", declared, "big-llama")


def arrived(held: HeldRewrite, chunks: list[bytes], ends: bool = True) -> bytes:
    last = len(chunks) - 1
    replaced = [held.feed(chunk, ends and i == last) for i, chunk in enumerate(chunks)]
    return b"".join(
        chunk if new is None else new for chunk, new in zip(chunks, replaced, strict=True)
    )


@given(st.lists(st.integers(0, len(BODY)), max_size=6), st.booleans())
def test_with_a_length_the_model_is_found_however_it_is_split(at: list[int], ends: bool) -> None:
    """Also where trailers follow, so that no chunk says it is the last."""
    cuts = [0, *sorted(at), len(BODY)]
    chunks = [BODY[a:b] for a, b in pairwise(cuts)]
    assert arrived(rewrite(len(BODY)), chunks, ends) == CHANGED


@given(st.lists(st.integers(0, len(BODY)), max_size=6), st.booleans())
def test_without_a_length_nothing_is_held(at: list[int], ends: bool) -> None:
    cuts = [0, *sorted(at), len(BODY)]
    held = rewrite(None)
    for i, (a, b) in enumerate(pairwise(cuts)):
        new = held.feed(BODY[a:b], ends and i == len(cuts) - 2)
        assert new is None or new.startswith(BODY[a:b][:1])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"not json at all", id="not JSON"),
        pytest.param(b'{"prompt":"x"}', id="no model"),
        pytest.param(b'{"model":"big-llama","prompt":"x"}', id="already that model"),
        pytest.param(b'{"model":7,"prompt":"x"}', id="not a string"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_cannot_be_changed_arrives_as_it_was(body: bytes) -> None:
    held = rewrite(len(body))
    assert arrived(held, [body[:5], body[5:]]) == body
    assert held.original == ""


def test_no_more_is_held_than_is_reasonable() -> None:
    """A body that names no model in its first megabyte passes on."""
    chunk = b'{"prompt":"' + b"x" * (MOST_HELD // 2)
    held = rewrite(10 * MOST_HELD)
    assert held.feed(chunk, False) == b""
    assert held.feed(chunk, False) == chunk + chunk
    assert held.feed(chunk, False) is None
