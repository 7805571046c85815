"""What holds for every engine after every step, and that it does what the obvious engine does."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.emulator.engine import Engine, EngineRequest, Generation, Phase
from tests.load_tests.emulator.naive_engine import NaiveEngine
from tests.load_tests.emulator.scenarios import ROUND, chained, engine, requests

TIGHT = replace(
    ROUND, kv_blocks=14, max_batched_tokens=40, max_sequences=4, kv_read_s_per_token=1e-5,
    attention_s_per_pair=1e-6,
)  # fmt: skip


@dataclass(frozen=True)
class Arrives:
    request: EngineRequest


@dataclass(frozen=True)
class Aborts:
    victim: int


@dataclass(frozen=True)
class Steps:
    count: int


Event: TypeAlias = Arrives | Aborts | Steps

events = st.lists(
    st.one_of(
        requests().map(Arrives),
        st.integers(0, 30).map(Aborts),
        st.integers(1, 40).map(Steps),
    ),
    max_size=40,
)


@given(events)
def test_it_does_what_the_obvious_engine_does(story: list[Event]) -> None:
    """Same steps to the nanosecond, same blocks, same hits, same victims."""
    play_both(story)


@pytest.mark.parametrize("seed", range(8))
def test_it_does_so_through_long_crowded_stories(seed: int) -> None:
    """Hypothesis likes short stories; full caches and preemptions come late in long ones."""
    rng = random.Random(seed)
    story: list[Event] = []
    for _ in range(2000):
        if rng.random() < 0.4:
            names = [rng.randint(0, 1) for _ in range(rng.randint(0, 6))]
            prompt = max(1, len(names) * 16 + rng.randint(-19, 30))
            story.append(Arrives(EngineRequest(prompt, rng.randint(1, 60), chained(names))))
        if rng.random() < 0.05:
            story.append(Aborts(rng.randrange(len(story) + 1)))
        story.append(Steps(rng.randint(0, 20)))
    fast = play_both(story)
    assert fast.preemptions > 50
    assert fast.prefix_hits > 1000


def play_both(story: list[Event]) -> Engine:
    fast, slow = engine(TIGHT), NaiveEngine(TIGHT)
    generations: list[Generation] = []
    names: dict[Generation, int] = {}
    now = 0.0
    for event in [*story, Steps(100_000)]:
        match event:
            case Arrives(request):
                generation = fast.submit(request, now)
                names[generation] = len(generations)
                slow.submit(len(generations), request)
                generations.append(generation)
            case Aborts(victim):
                if victim < len(generations):
                    fast.abort(generations[victim])
                    slow.abort(victim)
            case Steps(count):
                for _ in range(count):
                    step, expected = fast.step(now), slow.step(now)
                    assert (step is None) == (expected is None)
                    if step is None or expected is None:
                        break
                    assert abs(step.ends_at - expected.ends_at) < 1e-9
                    assert step.prefill_tokens == expected.prefill_tokens
                    assert {names[g] for g in step.decoding} == expected.decoding
                    assert [names[g] for g in step.prefilled] == expected.prefilled
                    assert sorted(names[g] for g in step.finished) == expected.finished
                    assert [names[g] for g in step.admitted] == expected.admitted
                    assert [names[g] for g in step.preempted] == expected.preempted
                    assert fast.kv.used == slow.used
                    now = step.ends_at
    assert fast.prefix_hits == slow.hits
    assert fast.kv.used == 0
    assert all(g.phase in (Phase.DONE, Phase.ABORTED) for g in generations)
    return fast


@given(events, st.sampled_from([1, 2]))
def test_blocks_are_conserved_and_nobody_is_lost(story: list[Event], unit_blocks: int) -> None:
    tested = engine(TIGHT, noise=0.1, unit_blocks=unit_blocks)
    generations: list[Generation] = []
    emitted: dict[Generation, int] = {}
    admitted: list[Generation] = []
    now = 0.0
    for event in [*story, Steps(10_000)]:
        match event:
            case Arrives(request):
                generations.append(tested.submit(request, now))
            case Aborts(victim):
                if victim < len(generations):
                    tested.abort(generations[victim])
            case Steps(count):
                for _ in range(count):
                    step = tested.step(now)
                    check_blocks(tested, generations)
                    if step is None:
                        break
                    assert step.ends_at > now
                    now = step.ends_at
                    for generation in [*step.decoding, *step.prefilled]:
                        emitted[generation] = emitted.get(generation, 0) + 1
                    admitted += [g for g in step.admitted if g not in admitted]
                    assert step.prefill_tokens + len(step.decoding) <= TIGHT.max_batched_tokens
                    assert tested.running <= TIGHT.max_sequences
    assert admitted == sorted(admitted, key=generations.index)  # first come, first served
    for generation in generations:
        if generation.phase is Phase.DONE:
            assert emitted[generation] == generation.request.output_tokens
        else:
            assert generation.phase is Phase.ABORTED
    assert tested.waiting == tested.running == tested.kv.used == 0


def check_blocks(tested: Engine, generations: list[Generation]) -> None:
    """Used blocks are exactly those that living generations hold, shared ones counted once."""
    leases = [g.lease for g in generations if g.lease is not None]
    shared = {unit for lease in leases for unit in lease.units}
    private = sum(lease.private for lease in leases)
    assert all(lease.private >= 0 for lease in leases)
    assert tested.kv.used == len(shared) * tested.kv.unit_blocks + private
    assert 0 <= tested.kv.used <= tested.kv.total
    assert tested.kv.used + tested.kv.available == tested.kv.total
    assert 0.0 <= tested.kv_used <= 1.0
    assert tested.running == sum(g.lease is not None for g in generations)
