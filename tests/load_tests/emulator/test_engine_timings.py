"""Timings and decisions small enough to work out by hand: 10 ms a step, 1 ms a token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from load_tests.emulator.adapters import AdapterSlots
from load_tests.emulator.engine import DoesNotFit, Engine, EngineRequest, Generation, Phase
from tests.load_tests.emulator.scenarios import ROUND, chained, engine


def run(tested: Engine, now: float = 0.0) -> float:
    """Step until there is nothing to do; when that was."""
    while (step := tested.step(now)) is not None:
        now = step.ends_at
    return now


def ms(seconds: float | None) -> float:
    assert seconds is not None
    return round(seconds * 1000, 6)


def test_one_request_alone() -> None:
    tested = engine()
    g = tested.submit(EngineRequest(50, 3), 0.0)
    run(tested)
    assert ms(g.first_token_at) == 60  # one step of 50 tokens
    assert ms(g.finished_at) == 60 + 11 + 11  # two decodes of one token
    assert ms(g.tpot) == 11
    assert g.phase is Phase.DONE


def test_a_long_prompt_goes_in_chunks() -> None:
    tested = engine()
    g = tested.submit(EngineRequest(250, 1), 0.0)
    run(tested)
    assert ms(g.first_token_at) == (10 + 100) + (10 + 100) + (10 + 50)
    assert g.finished_at == g.first_token_at
    assert g.tpot is None


def test_decodes_come_first_and_prefill_takes_the_rest_of_the_budget() -> None:
    """Which is why one long prompt slows down everybody's next token."""
    tested = engine()
    talker = tested.submit(EngineRequest(10, 5), 0.0)
    first = tested.step(0.0)
    assert first is not None
    tested.submit(EngineRequest(150, 1), first.ends_at)
    second = tested.step(first.ends_at)
    assert second is not None
    assert (list(second.decoding), second.prefill_tokens) == ([talker], 99)
    assert ms(second.ends_at - second.starts_at) == 10 + 100


def test_prompts_share_a_step() -> None:
    tested = engine()
    both = [tested.submit(EngineRequest(30, 1), 0.0) for _ in range(2)]
    run(tested)
    assert [ms(g.first_token_at) for g in both] == [70, 70]


def test_a_shared_prefix_is_not_computed_again() -> None:
    tested = engine()
    names = chained([1, 2, 3])
    run(tested, 0.0)
    tested.submit(EngineRequest(50, 1, names), 0.0)
    now = run(tested)
    again = tested.submit(EngineRequest(50, 1, names), now)
    run(tested, now)
    assert again.cached_tokens == 48
    assert ms((again.first_token_at or 0.0) - now) == 10 + 2
    assert (tested.prefix_queries, tested.prefix_hits) == (100, 48)


def test_a_whole_prompt_in_the_cache_still_computes_its_last_block() -> None:
    """There must be a token to sample from; blocks are whole, so 16 are computed."""
    tested = engine()
    names = chained([1, 2, 3])
    tested.submit(EngineRequest(48, 1, names), 0.0)
    now = run(tested)
    again = tested.submit(EngineRequest(48, 1, names), now)
    run(tested, now)
    assert again.cached_tokens == 32


def test_a_prefix_can_be_hit_only_once_its_prefill_is_over() -> None:
    tested = engine()
    names = chained([1, 2])
    twins = [tested.submit(EngineRequest(32, 1, names), 0.0) for _ in range(2)]
    run(tested)
    assert [g.cached_tokens for g in twins] == [0, 0]


def test_a_known_answer_is_a_prefix_for_the_next_turn() -> None:
    tested = engine()
    names = chained([1, 2, 3, 4])
    tested.submit(EngineRequest(32, 33, names), 0.0)  # writes 32 + 32 tokens of KV
    now = run(tested)
    next_turn = tested.submit(EngineRequest(80, 1, names), now)
    run(tested, now)
    assert next_turn.cached_tokens == 64


def test_idle_prefixes_are_not_in_use() -> None:
    """vLLM reports what requests hold: a cache full of prefixes says 0."""
    tested = engine()
    tested.submit(EngineRequest(512, 1, chained(range(32))), 0.0)
    tested.step(0.0)
    assert tested.kv_used == 32 / 64
    run(tested, 1.0)
    assert (tested.kv_used, tested.kv.idle) == (0.0, 32)


def test_suffixes_are_forgotten_before_prefixes() -> None:
    """8 blocks: 4 remembered, 4 free. Taking 6 forgets the last two of the four."""
    tested = engine(replace(ROUND, kv_blocks=8))
    names = chained([1, 2, 3, 4])
    tested.submit(EngineRequest(64, 1, names), 0.0)
    now = run(tested)
    tested.submit(EngineRequest(96, 1), now)
    now = run(tested, now)
    again = tested.submit(EngineRequest(65, 1, names), now)
    run(tested, now)
    assert again.cached_tokens == 32


def test_the_last_admitted_is_preempted_and_comes_back_first() -> None:
    tested = engine(replace(ROUND, kv_blocks=4))
    first = tested.submit(EngineRequest(16, 40), 0.0)
    second = tested.submit(EngineRequest(16, 40), 0.0)
    third = tested.submit(EngineRequest(16, 1), 0.0)
    now, victims = 0.0, []
    order: list[Generation] = []
    while (step := tested.step(now)) is not None:
        now = step.ends_at
        victims += list(step.preempted)
        order += list(step.finished)
    assert victims[0] is second
    assert order == [third, first, second]
    assert second.preemptions == tested.preemptions == len(victims)
    assert first.preemptions == 0


def test_who_does_not_fit_now_keeps_everybody_behind_it_waiting() -> None:
    tested = engine(replace(ROUND, kv_blocks=10))
    tested.submit(EngineRequest(100, 20), 0.0)
    tested.submit(EngineRequest(60, 1), 0.0)
    small = tested.submit(EngineRequest(1, 1), 0.0)
    step = tested.step(0.0)
    step = tested.step(step.ends_at if step else 0.0)
    assert (tested.running, tested.waiting) == (1, 2)
    assert small.phase is Phase.WAITING


def test_at_most_max_sequences_run() -> None:
    tested = engine(replace(ROUND, max_sequences=2))
    for _ in range(3):
        tested.submit(EngineRequest(1, 5), 0.0)
    tested.step(0.0)
    assert (tested.running, tested.waiting) == (2, 1)


def test_what_can_never_fit_is_refused_at_once() -> None:
    with pytest.raises(DoesNotFit, match="1000 \\+ 100 tokens are more than the 1024"):
        engine().submit(EngineRequest(1000, 100), 0.0)


def test_an_aborted_request_gives_its_blocks_back_in_every_phase() -> None:
    tested = engine(replace(ROUND, max_sequences=2))
    talker = tested.submit(EngineRequest(16, 9), 0.0)
    step = tested.step(0.0)
    reader = tested.submit(EngineRequest(200, 9), 0.0)
    waiter = tested.submit(EngineRequest(16, 9), 0.0)
    tested.step(step.ends_at if step else 0.0)
    assert [g.phase.value for g in (talker, reader, waiter)] == ["decode", "prefill", "waiting"]
    for generation in (talker, reader, waiter):
        tested.abort(generation)
        tested.abort(generation)
    assert (tested.running, tested.waiting, tested.kv.used) == (0, 0, 0)
    assert tested.step(1.0) is None


def test_a_slow_replica_is_slow_in_every_step() -> None:
    tested = engine()
    tested.slowness = 3.0
    g = tested.submit(EngineRequest(50, 1), 0.0)
    run(tested)
    assert ms(g.first_token_at) == 180


def test_an_adapter_is_loaded_once_and_one_too_many_waits() -> None:
    slots = AdapterSlots(2, adapter_bytes=17e6)  # 1.5 ms + 8.5 ms
    tested = engine(adapters=slots)
    for name in ("a", "b", "c", "a"):
        tested.submit(EngineRequest(10, 3, adapter=name), 0.0)
    base = tested.submit(EngineRequest(10, 3), 0.0)
    step = tested.step(0.0)
    assert step is not None
    assert ms(step.ends_at) == 10 + 40 + 2 * 10
    assert (tested.running, tested.waiting, tested.deferred) == (4, 1, 1)
    assert base.phase is Phase.PREFILL
    assert (sorted(slots.running), tested.waiting_adapters) == (["a", "b"], ["c"])
    run(tested, step.ends_at)
    assert slots.running == []
    assert tested.deferred == 0
