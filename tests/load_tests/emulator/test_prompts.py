"""What a real engine would have cached, seen from the text alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.emulator.prompts import (
    Answer,
    BadBody,
    anthropic_prompt,
    chain,
    chat_prompt,
    completion_prompts,
    count,
    embedding_prompts,
    responses_prompt,
)


@given(st.binary(max_size=600), st.binary(max_size=300), st.binary(max_size=300))
def test_shared_text_shares_exactly_its_full_blocks(base: bytes, one: bytes, two: bytes) -> None:
    first, second = chain(base + one), chain(base + two)
    pairs = enumerate(zip(base + one, base + two, strict=False))
    shortest = len(base) + min(len(one), len(two))
    common = next((i for i, (a, b) in pairs if a != b), shortest)
    shared = common // 64
    assert first[:shared] == second[:shared]
    assert set(first[shared:]).isdisjoint(second[shared:])


def test_a_salt_shares_nothing() -> None:
    text = bytes(640)
    assert set(chain(text, "tenant-a")).isdisjoint(chain(text, "tenant-b"))


@given(st.text(max_size=200), st.integers(1, 100), st.text(max_size=50))
def test_the_next_turn_of_a_chat_begins_with_the_last_and_its_answer(
    question: str, tokens: int, next_question: str
) -> None:
    asked = [{"role": "user", "content": question}]
    (prompt,) = chat_prompt({"messages": asked})
    answer = Answer(prompt, tokens)
    said = prompt + answer.text()
    turn = [
        *asked,
        {"role": "assistant", "content": answer.text().decode()},
        {"role": "user", "content": next_question},
    ]
    (continued,) = chat_prompt({"messages": turn})
    assert continued.startswith(said)
    assert count(said) == count(prompt) + tokens
    assert chain(continued)[: len(chain(said))] == chain(said)


@given(st.binary(max_size=100), st.integers(1, 300))
def test_an_answer_is_the_sum_of_its_tokens(prompt: bytes, tokens: int) -> None:
    answer = Answer(prompt, tokens)
    assert b"".join(answer.token(i) for i in range(tokens)) == answer.text()


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        pytest.param("ab", [b"ab"], id="a text"),
        pytest.param(["ab", "c"], [b"ab", b"c"], id="texts"),
        pytest.param([1, 258], [b"\0\0\0\1\0\0\1\2"], id="token ids are four bytes each"),
        pytest.param([[1], [2]], [b"\0\0\0\1", b"\0\0\0\2"], id="lists of token ids"),
    ],
)
def test_completion_prompts(prompts: object, expected: list[bytes]) -> None:
    assert completion_prompts({"prompt": prompts}) == expected
    assert embedding_prompts({"input": prompts}) == expected


@pytest.mark.parametrize("bad", [None, 7, [], [None], ["a", 1], [[1], "a"], [1, -1], [1, 2**32]])
def test_what_is_no_prompt(bad: object) -> None:
    with pytest.raises(BadBody, match="prompt"):
        completion_prompts({"prompt": bad})


def test_templates() -> None:
    parts = [{"type": "text", "text": "see "}, {"type": "text", "text": "this"}]
    user: dict[str, Any] = {"role": "user", "content": parts}
    expected = [b"<|system|>be kind\n<|user|>see this\n<|assistant|>"]
    assert chat_prompt({"messages": [{"role": "system", "content": "be kind"}, user]}) == expected
    assert anthropic_prompt({"system": "be kind", "messages": [user]}) == expected
    assert responses_prompt({"instructions": "be kind", "input": [user]}) == expected
    assert responses_prompt({"input": "hi"}) == [b"<|user|>hi\n<|assistant|>"]


@pytest.mark.parametrize("bad", [{}, {"messages": []}, {"messages": "hi"}, {"messages": [1]}])
def test_what_is_no_chat(bad: dict[str, Any]) -> None:
    with pytest.raises(BadBody, match="messages"):
        chat_prompt(bad)
