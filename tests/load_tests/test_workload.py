"""Workloads: seeded, at the rate asked for, sharing exactly what they say they share."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.arrival_times import Times, bursts, gamma, poisson, within
from load_tests.workload import (
    BYTES_PER_TOKEN,
    Arrival,
    Block,
    Conversation,
    Message,
    PrefixFree,
    Shape,
    SharedPrefix,
    body,
    spread,
    text,
    warmed,
    zipf,
)

LONG_S = 4000.0
SHAPES = [SharedPrefix(), Conversation(), PrefixFree()]


def gaps(times: Times) -> tuple[float, float]:
    """Mean and coefficient of variation of the gaps over a long time."""
    between = [b - a for a, b in pairwise(within(times, LONG_S))]
    return float(np.mean(between)), float(np.std(between) / np.mean(between))


@pytest.mark.parametrize(
    ("process", "cv"),
    [
        pytest.param(lambda rng: poisson(10, rng), 1.0, id="poisson"),
        pytest.param(lambda rng: gamma(10, 3.0, rng), 3.0, id="gamma, clumped"),
        pytest.param(lambda rng: gamma(10, 0.2, rng), 0.2, id="gamma, almost even"),
    ],
)
def test_arrivals_have_the_rate_and_variation_asked_for(
    process: Callable[[random.Random], Times], cv: float
) -> None:
    mean, variation = gaps(process(random.Random(1)))
    assert mean == pytest.approx(0.1, rel=0.05)
    assert variation == pytest.approx(cv, rel=0.05)


def test_bursts_keep_the_mean_rate_and_vary_more_than_poisson() -> None:
    mean, variation = gaps(bursts(10, random.Random(1)))
    assert mean == pytest.approx(0.1, rel=0.1)
    assert variation > 1.2


@given(st.integers(0, 2**63), st.integers(1, 600))
def test_a_block_is_as_long_as_its_tokens_and_always_the_same(number: int, tokens: int) -> None:
    block = Block(number, tokens)
    text.cache_clear()
    first = text(block)
    text.cache_clear()
    assert text(block) == first
    assert len(first.encode()) == tokens * BYTES_PER_TOKEN


@given(st.sets(st.integers(0, 10_000), min_size=2, max_size=40))
def test_different_blocks_differ_from_their_first_token_on(numbers: set[int]) -> None:
    beginnings = {text(Block(number, 64))[: 2 * BYTES_PER_TOKEN] for number in numbers}
    assert len(beginnings) == len(numbers)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_the_same_seed_gives_the_same_workload_and_another_another(shape: Shape) -> None:
    def made(seed: int) -> list[Arrival]:
        return warmed(shape, 20, 10, random.Random(seed))

    assert made(1) == made(1)
    assert made(1) != made(2)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_times_ascend_and_the_warm_up_comes_first(shape: Shape) -> None:
    arrivals = warmed(shape, 20, 10, random.Random(1))
    times = [a.at_s for a in arrivals]
    assert times == sorted(times)
    marks = [a.warmup for a in arrivals]
    assert marks == sorted(marks, reverse=True)


def test_a_shared_prefix_is_shared_byte_for_byte_and_its_question_is_not() -> None:
    shape = SharedPrefix(groups=2, prefix_tokens=100, question_tokens=20)
    arrivals = shape.arrivals([float(i) for i in range(50)], random.Random(1))
    prompts = [(a.group, orjson.loads(body(a, "m"))["prompt"]) for a in arrivals]
    heads = {(group, prompt[:400]) for group, prompt in prompts}
    assert len(heads) == 2
    assert len({prompt for _, prompt in prompts}) == 50


def test_the_warm_up_of_shared_prefixes_asks_every_group_once() -> None:
    shape = SharedPrefix(groups=7)
    made = shape.warmup(poisson(1, random.Random(1)), random.Random(1))
    assert sorted(a.group for a in made) == list(range(7))
    assert all(a.warmup for a in made)


def test_each_turn_of_a_conversation_repeats_all_before_it() -> None:
    times = within(poisson(5, random.Random(1)), 120)
    arrivals = Conversation(think_s=2).arrivals(times, random.Random(1))
    begun: set[tuple[Message, ...]] = set()
    turns = Counter(len(a.messages) for a in arrivals)
    for arrival in arrivals:
        if len(arrival.messages) > 2:
            assert arrival.messages[:-2] in begun
        begun.add(arrival.messages)
    assert turns[2] > turns[4] > turns[6] > 0
    assert set(turns) <= {2 * n for n in range(1, 60)}


def test_a_conversation_thinks_between_its_turns() -> None:
    times = [i * 0.1 for i in range(400)]
    arrivals = Conversation(think_s=3).arrivals(times, random.Random(1))
    asked = {a.messages: a.at_s for a in arrivals}
    pauses = [a.at_s - asked[a.messages[:-2]] for a in arrivals if a.messages[:-2] in asked]
    assert min(pauses) >= 3


def test_prefix_free_prompts_share_nothing() -> None:
    arrivals = PrefixFree().arrivals([0.0] * 50, random.Random(1))
    assert len({a.messages[0].blocks[0].id for a in arrivals}) == 50


def test_a_body_is_a_streamed_request_for_exactly_this_many_tokens() -> None:
    messages = (Message("system", (Block(1, 3),)), Message("user", (Block(2, 2), Block(3, 2))))
    arrival = Arrival(0, messages, output_tokens=9, group=1)
    assert arrival.path == "/v1/chat/completions"
    assert orjson.loads(body(arrival, "llama")) == {
        "model": "llama",
        "max_tokens": 9,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": text(Block(1, 3))},
            {"role": "user", "content": text(Block(2, 2)) + text(Block(3, 2))},
        ],
    }


def test_zipf_prefers_the_first_and_exponent_zero_none() -> None:
    rng = random.Random(1)
    skewed, even = zipf(10, 1.0), zipf(10, 0.0)
    drawn = Counter(skewed(rng) for _ in range(10_000))
    assert drawn[0] / drawn[9] == pytest.approx(10, rel=0.3)
    assert Counter(even(rng) for _ in range(10_000))[0] == pytest.approx(1000, rel=0.15)


@given(st.integers(1, 5000), st.floats(0, 2), st.integers(0, 1000))
def test_lengths_are_at_least_one_token(mean: int, cv: float, seed: int) -> None:
    assert spread(mean, cv, random.Random(seed)) >= 1


def test_lengths_have_the_mean_and_variation_asked_for() -> None:
    rng = random.Random(1)
    drawn = np.array([spread(1000, 0.5, rng) for _ in range(20_000)])
    assert drawn.mean() == pytest.approx(1000, rel=0.02)
    assert drawn.std() / drawn.mean() == pytest.approx(0.5, rel=0.05)
