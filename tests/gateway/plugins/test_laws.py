"""Laws every plugin keeps, whatever the pool looks like."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.defaults import DEFAULT, REFERENCE_DEFAULT
from gateway.datalayer.state import LoraState, PoolState, pool_state
from gateway.plugins.catalog import CATALOG
from gateway.plugins.detectors.concurrency import ConcurrencyDetector, Mode
from gateway.plugins.detectors.utilization import UtilizationDetector
from gateway.plugins.filters.named_by_header import NamedByHeader
from gateway.plugins.filters.prefix_affinity import PrefixAffinity
from gateway.plugins.filters.session_affinity import SessionPin
from gateway.plugins.filters.utilization import Condition, Metric, UtilizationFilter
from gateway.plugins.pickers.max_score import MaxScore
from gateway.plugins.pickers.power_of_two import PowerOfTwo
from gateway.plugins.pickers.random_choice import RandomChoice
from gateway.plugins.pickers.weighted_random import WeightedRandom
from gateway.plugins.scorers.active_request import ActiveRequests
from gateway.plugins.scorers.context_length import ContextLength
from gateway.plugins.scorers.kv_cache import KvCache
from gateway.plugins.scorers.load_aware import LoadAware
from gateway.plugins.scorers.lora_affinity import LoraAffinity
from gateway.plugins.scorers.no_hit_lru import NoHitLru
from gateway.plugins.scorers.predicted_cost import PredictedCost, PredictedCostParameters
from gateway.plugins.scorers.prefix_cache import PrefixCache
from gateway.plugins.scorers.queue_depth import QueueDepth
from gateway.plugins.scorers.running_requests import RunningRequests
from gateway.plugins.scorers.session_affinity import SessionAffinity
from gateway.plugins.scorers.token_load import TokenLoad
from gateway.scheduling.build import build
from gateway.scheduling.plugin_type import Settings
from gateway.scheduling.sessions import TokenSessions
from gateway.scheduling.types import Candidates, Cycle, Filter, Picker, Scorer
from loadstar.arrays import Floats
from tests.builders import NOW, cycle, pool, prefix_match, request

SCORERS: dict[str, Callable[[], Scorer]] = {
    "queue": QueueDepth,
    "running": RunningRequests,
    "kv-cache": KvCache,
    "load-aware": LoadAware,
    "active": ActiveRequests,
    "token-load": lambda: TokenLoad(1000.0, until_the_end=False, producer="p"),
    "lora": LoraAffinity,
    "prefix": lambda: PrefixCache("p", 0.5, 64.0),
    "no-hit-lru": lambda: NoHitLru("p"),
    "session": lambda: SessionAffinity(TokenSessions()),
    "context-length": ContextLength,
    "predicted-cost": lambda: PredictedCost(PredictedCostParameters(), "p"),
}
FILTERS: dict[str, Callable[[], Filter]] = {
    "utilization": lambda: UtilizationFilter((Condition(Metric.WAITING, 5),)),
    "utilization-detector": lambda: UtilizationDetector(5.0, 0.8, 2.0, 0.1),
    "concurrency-detector": lambda: ConcurrencyDetector(10.0, 1e3, Mode.HYBRID, 0.1, False),
    "prefix-affinity": lambda: PrefixAffinity(0.5, 0.0, 500.0, False, "p"),
    "session": lambda: SessionPin(TokenSessions()),
    "named": NamedByHeader,
}
PICKERS: dict[str, Callable[[int], Picker]] = {
    "max-score": MaxScore,
    "random": RandomChoice,
    "weighted-random": WeightedRandom,
    "power-of-two": PowerOfTwo,
}

numbers = st.none() | st.floats(0, 1e6) | st.integers(0, 50).map(float)
shares = st.none() | st.floats(0, 1.5)
adapters = st.builds(
    LoraState,
    running=st.frozensets(st.sampled_from("abc")),
    waiting=st.frozensets(st.sampled_from("abc")),
    max_adapters=st.integers(0, 4),
)


@st.composite
def pools(draw: st.DrawFn) -> tuple[PoolState, Floats, Cycle]:
    """A pool in any condition, how far it is believed, and a request with some match."""
    size = draw(st.integers(1, 9))

    def column(values: st.SearchStrategy[float | None]) -> list[float | None]:
        return draw(st.lists(values, min_size=size, max_size=size))

    def counts(most: int) -> list[int]:
        return draw(st.lists(st.integers(0, most), min_size=size, max_size=size))

    state = pool(
        waiting=column(numbers),
        running=column(numbers),
        kv_used=column(shares),
        kv_blocks=column(numbers),
        block_tokens=column(numbers),
        inflight_requests=counts(50),
        inflight_tokens=counts(10**6),
        inflight_prefill=counts(10**5),
        lora=draw(st.lists(adapters, min_size=size, max_size=size)),
    )
    believed = np.array(draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    asked = cycle(
        state,
        request=request(
            "x" * draw(st.integers(0, 4000)),
            headers={"x-session-token": "ZGVmYXVsdC9wb2QtMQ=="},
        ),
        target_model=draw(st.sampled_from("abz")),
    )
    total = draw(st.integers(0, 20))
    asked.prefix = prefix_match(
        state, [draw(st.integers(0, total)) for _ in range(size)], total=total
    )
    return state, believed, asked


def among(state: PoolState, confidence: Floats, order: list[int]) -> Candidates:
    return Candidates(
        endpoints=tuple(state.endpoints[index] for index in order),
        slots=state.slots[order],
        columns=state.columns,
        confidence=confidence[order],
    )


@pytest.mark.parametrize("name", SCORERS)
@given(pools(), st.randoms(use_true_random=False))
def test_scores_are_within_zero_and_one_and_follow_their_candidate(
    name: str, drawn: tuple[PoolState, Floats, Cycle], shuffler: random.Random
) -> None:
    state, confidence, asked = drawn
    order = list(range(len(state.endpoints)))
    scores = SCORERS[name]().score(asked, among(state, confidence, order))
    assert scores.shape == (len(order),)
    assert ((scores >= 0) & (scores <= 1)).all()
    shuffler.shuffle(order)
    again = SCORERS[name]().score(asked, among(state, confidence, order))
    assert again == pytest.approx(scores[order])


@pytest.mark.parametrize("name", FILTERS)
@given(pools(), st.randoms(use_true_random=False))
def test_filters_judge_each_candidate_wherever_it_stands(
    name: str, drawn: tuple[PoolState, Floats, Cycle], shuffler: random.Random
) -> None:
    state, confidence, asked = drawn
    order = list(range(len(state.endpoints)))
    mask = FILTERS[name]().keep(asked, among(state, confidence, order))
    assert mask.dtype == np.bool_
    assert mask.shape == (len(order),)
    shuffler.shuffle(order)
    again = FILTERS[name]().keep(asked, among(state, confidence, order))
    assert again.tolist() == mask[order].tolist()


@pytest.mark.parametrize("name", PICKERS)
@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 10), min_size=1, max_size=12),
    st.integers(1, 15),
    st.integers(0, 2**32),
)
def test_pickers_give_distinct_candidates_and_the_same_for_the_same_seed(
    name: str, scored: list[float], most: int, seed: int
) -> None:
    state = pool(size=len(scored))

    def pick() -> list[int]:
        everybody = among(state, np.ones(len(scored)), list(range(len(scored))))
        chosen = PICKERS[name](most).pick(cycle(state, seed=seed), everybody, np.array(scored))
        return [int(index) for index in chosen]

    found = pick()
    assert len(found) == len(set(found)) == min(most, len(scored))
    assert set(found) <= set(range(len(scored)))
    assert pick() == found
    if name in ("max-score", "power-of-two"):
        ranked = [scored[index] for index in found]
        assert ranked == sorted(ranked, reverse=True)


@pytest.mark.parametrize("config", [DEFAULT, REFERENCE_DEFAULT], ids=["ours", "reference"])
@given(st.integers(0, 2**32), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_the_same_seed_and_story_give_the_same_decisions(
    config: object, seed: int, prompts: list[int]
) -> None:
    assert isinstance(config, type(DEFAULT))

    def story() -> list[str]:
        scheduler = build(config, CATALOG, Settings(_believe), DEFAULT).scheduler
        state, rng = pool(size=4), random.Random(seed)
        told = []
        for number, prompt in enumerate(prompts):
            asked = cycle(state, request=request(f"{prompt}" * 900), now=NOW + number / 10)
            asked.rng = rng
            decision = scheduler.schedule(asked, state.endpoints)
            scheduler.picked(asked, decision)
            told.append(decision.endpoints[0].name)
        return told

    assert story() == story()


@given(pools())
def test_the_default_profile_always_decides(drawn: tuple[PoolState, Floats, Cycle]) -> None:
    state, confidence, asked = drawn
    scheduler = build(
        DEFAULT, CATALOG, Settings(lambda observed_at, now: confidence), DEFAULT
    ).scheduler
    decision = scheduler.schedule(replace(asked, prefix=None), state.endpoints)
    assert decision.endpoints[0] in state.endpoints
    (result,) = decision.results.values()
    assert all(math.isfinite(score) for score in result.scores.values())
    if (confidence > 0).any():
        assert confidence[state.endpoints.index(decision.endpoints[0])] > 0


def test_an_endpoint_the_membership_has_lost_is_no_trouble() -> None:
    """Candidates may be of an epoch that has just passed."""
    old = pool(size=3)
    new = pool_state(2, old.endpoints[:1], old.columns)
    scheduler = build(DEFAULT, CATALOG, Settings(_believe), DEFAULT).scheduler
    decision = scheduler.schedule(cycle(new), old.endpoints)
    assert decision.endpoints[0] in old.endpoints


def _believe(observed_at: Floats, now: float) -> Floats:
    return (now - observed_at <= 1e9).astype(float)
