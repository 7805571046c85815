"""A request costs what of its prompt is not cached, and what the model usually answers."""

from __future__ import annotations

import pytest

from gateway.director.demand import OUTPUT_PRIOR, Demand, OutputLengths, cached_tokens, demand
from gateway.request.model import Dialect, Headers, InferenceRequest
from tests.builders import pool, prefix_match, request

STATE = pool(size=2)


def header_only(body_bytes: int) -> InferenceRequest:
    return InferenceRequest("r", "/v1/chat/completions", Headers(), None, body_bytes)


def test_what_an_endpoint_holds_is_not_prefilled_again() -> None:
    asked, prefix = request("x" * 400), prefix_match(STATE, [0, 3], total=6)
    assert demand(asked, prefix, slot=0, expected_output=50) == Demand(150, 100)
    assert demand(asked, prefix, slot=1, expected_output=50) == Demand(102, 52)


def test_more_cached_than_asked_for_costs_nothing() -> None:
    prefix = prefix_match(STATE, [99, 0], total=99)
    assert demand(request("x" * 400), prefix, slot=0, expected_output=0) == Demand(0, 0)


def test_nothing_is_cached_where_nobody_looked() -> None:
    assert cached_tokens(None, slot=0) == 0


def test_nothing_is_cached_on_an_endpoint_younger_than_the_match() -> None:
    assert cached_tokens(prefix_match(STATE, [5, 5], total=5), slot=7) == 0


@pytest.mark.parametrize(
    ("asked", "output"),
    [
        pytest.param(request("x" * 4), 50, id="as the model usually answers"),
        pytest.param(request("x" * 4, max_output_tokens=9), 9, id="at most what is asked for"),
        pytest.param(request("x" * 4, max_output_tokens=900), 50, id="a high limit says little"),
        pytest.param(request("x" * 4, max_output_tokens=-1), 0, id="a limit below zero"),
        pytest.param(request("x" * 4, dialect=Dialect.EMBEDDINGS), 0, id="embeddings"),
        pytest.param(header_only(0), 0, id="a GET generates nothing"),
        pytest.param(header_only(4), 50, id="a body not seen may be a prompt"),
    ],
)
def test_expected_output(asked: InferenceRequest, output: int) -> None:
    tokens, prefill = demand(asked, None, slot=0, expected_output=50)
    assert tokens - prefill == output


def test_a_model_never_heard_of_is_expected_to_answer_like_most() -> None:
    assert OutputLengths().expected("llama") == OUTPUT_PRIOR


def test_lengths_are_learnt_per_model_and_follow_a_shift() -> None:
    lengths = OutputLengths()
    for _ in range(200):
        lengths.observe("terse", 10)
        lengths.observe("verbose", 1000)
    assert 10 <= lengths.expected("terse") <= 11
    assert 998 <= lengths.expected("verbose") <= 1000
    for _ in range(200):
        lengths.observe("verbose", 100)
    assert 100 <= lengths.expected("verbose") <= 103


def test_the_first_answers_count_most() -> None:
    lengths = OutputLengths()
    lengths.observe("llama", 600)
    assert lengths.expected("llama") == (OUTPUT_PRIOR + 600) / 2


def test_models_are_forgotten_that_were_not_seen_for_longest() -> None:
    lengths = OutputLengths(max_models=2)
    lengths.observe("a", 400)
    lengths.observe("b", 400)
    lengths.observe("a", 400)
    lengths.observe("c", 400)
    assert len(lengths) == 2
    assert [lengths.expected(model) > OUTPUT_PRIOR for model in "abc"] == [True, False, True]
