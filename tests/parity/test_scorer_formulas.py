"""Scorers give the reference's numbers: tables worked out by hand from its published formulas."""

from __future__ import annotations

import pytest

from gateway.datalayer.state import LoraState
from gateway.plugins.scorers.active_request import ActiveRequests
from gateway.plugins.scorers.context_length import ContextLength
from gateway.plugins.scorers.kv_cache import KvCache
from gateway.plugins.scorers.load_aware import LoadAware
from gateway.plugins.scorers.lora_affinity import LoraAffinity
from gateway.plugins.scorers.no_hit_lru import NoHitLru
from gateway.plugins.scorers.prefix_cache import PrefixCache
from gateway.plugins.scorers.queue_depth import QueueDepth
from gateway.plugins.scorers.running_requests import RunningRequests
from gateway.plugins.scorers.token_load import TokenLoad
from gateway.scheduling.types import Decision
from tests.builders import candidates, cycle, endpoint, pool, prefix_match, request


@pytest.mark.parametrize(
    ("waiting", "scores"),
    [
        pytest.param([10, 5, 0], [0.0, 0.5, 1.0], id="(10-q)/(10-0)"),
        pytest.param([7, 3, 4], [0.0, 1.0, 0.75], id="(7-q)/(7-3)"),
        pytest.param([5, 5], [1.0, 1.0], id="all equal: 1"),
        pytest.param([0], [1.0], id="alone: 1"),
    ],
)
def test_queue_scorer(waiting: list[float], scores: list[float]) -> None:
    state = pool(waiting=waiting)
    assert QueueDepth().score(cycle(state), candidates(state)).tolist() == scores


def test_running_requests_size_scorer() -> None:
    state = pool(running=[2, 10, 4])
    assert RunningRequests().score(cycle(state), candidates(state)).tolist() == [1.0, 0.0, 0.75]


def test_kv_cache_utilization_scorer() -> None:
    state = pool(kv_used=[0.0, 0.25, 1.0])
    assert KvCache().score(cycle(state), candidates(state)).tolist() == [1.0, 0.75, 0.0]


@pytest.mark.parametrize(
    ("threshold", "waiting", "scores"),
    [
        pytest.param(128, [0, 32, 64, 128, 500], [0.5, 0.375, 0.25, 0.0, 0.0], id="default"),
        pytest.param(10, [0, 5, 10], [0.5, 0.25, 0.0], id="threshold 10"),
    ],
)
def test_load_aware_scorer(threshold: int, waiting: list[float], scores: list[float]) -> None:
    state = pool(waiting=waiting)
    assert LoadAware(threshold).score(cycle(state), candidates(state)).tolist() == scores


@pytest.mark.parametrize(
    ("scorer", "inflight", "scores"),
    [
        pytest.param(ActiveRequests(), [0, 3, 6], [1.0, 0.5, 0.0], id="(6-n)/6"),
        pytest.param(ActiveRequests(), [0, 0], [1.0, 1.0], id="all idle"),
        pytest.param(ActiveRequests(), [4, 4], [0.0, 0.0], id="all equally busy: 0"),
        pytest.param(ActiveRequests(idle_threshold=2), [2, 3, 6], [1.0, 0.5, 0.0], id="2 is idle"),
        pytest.param(
            ActiveRequests(max_busy_score=0.5), [0, 3, 6], [1.0, 0.25, 0.0], id="a gap below idle"
        ),
        pytest.param(ActiveRequests(max_busy_score=0.0), [0, 3], [1.0, 0.0], id="idle or nothing"),
    ],
)
def test_active_request_scorer(
    scorer: ActiveRequests, inflight: list[int], scores: list[float]
) -> None:
    state = pool(inflight_requests=inflight)
    assert scorer.score(cycle(state), candidates(state)).tolist() == scores


def test_token_load_scorer_counts_what_is_before_the_first_token_and_this_request() -> None:
    """1 - min(in flight + own uncached, T) / T, with a prompt of 100 tokens, 32 of them cached."""
    state = pool(inflight_prefill=[0, 132, 2000, 100])
    match = prefix_match(state, [2, 2, 0, 0], total=7, block_tokens=16)
    scorer = TokenLoad(threshold=1000.0, until_the_end=False, producer="p")
    asked = cycle(state, request=request("x" * 400), prefix=match)
    assert scorer.score(asked, candidates(state)).tolist() == pytest.approx(
        [1 - 0.068, 1 - 0.2, 0.0, 1 - 0.2]
    )


def test_token_load_scorer_may_count_until_the_end() -> None:
    state = pool(inflight_tokens=[500, 0], inflight_prefill=[0, 0])
    scorer = TokenLoad(threshold=1000.0, until_the_end=True, producer="p")
    asked = cycle(state, request=request("x" * 400))
    assert scorer.score(asked, candidates(state)).tolist() == pytest.approx([0.4, 0.9])


def test_lora_affinity_scorer() -> None:
    adapters = [
        LoraState(running=frozenset({"mine"}), max_adapters=1),
        LoraState(running=frozenset({"a"}), waiting=frozenset({"b"}), max_adapters=3),
        LoraState(running=frozenset({"a"}), waiting=frozenset({"mine"}), max_adapters=2),
        LoraState(running=frozenset({"a"}), waiting=frozenset({"b"}), max_adapters=2),
        LoraState(waiting=frozenset({"mine"}), max_adapters=2),
        LoraState(),
    ]
    state = pool(lora=adapters)
    scores = LoraAffinity().score(cycle(state, target_model="mine"), candidates(state))
    assert scores.tolist() == [1.0, 0.8, 0.6, 0.0, 0.8, 0.0]


@pytest.mark.parametrize(
    ("weight", "scale", "scores"),
    [
        pytest.param(0.0, 8192.0, [0.0, 0.25, 1.0], id="share of the prompt"),
        pytest.param(1.0, 128.0, [0.0, 0.0625, 1.0], id="(tokens/128)^2: 32, 128"),
        pytest.param(0.5, 256.0, [0.0, 0.1328125, 0.625], id="half of each"),
        pytest.param(1.0, 64.0, [0.0, 0.25, 1.0], id="long enough is 1"),
    ],
)
def test_prefix_cache_scorer(weight: float, scale: float, scores: list[float]) -> None:
    state = pool()
    match = prefix_match(state, [0, 2, 8], total=8, block_tokens=16)
    scorer = PrefixCache("p", weight, scale)
    assert scorer.score(cycle(state, prefix=match), candidates(state)).tolist() == scores


def test_prefix_cache_scorer_without_a_match_is_zero() -> None:
    state = pool()
    assert PrefixCache("p").score(cycle(state), candidates(state)).tolist() == [0.0, 0.0, 0.0]


def test_no_hit_lru_scorer() -> None:
    """Never used: 1, 1-1/3, 1-2/3 in order; then by age; each cold request makes its own newest."""
    state, scorer = pool(size=4), NoHitLru("p")

    def cold(pick: int) -> list[float]:
        asked = cycle(state)
        scores = scorer.score(asked, candidates(state)).tolist()
        scorer.picked(asked, Decision((state.endpoints[pick],), "default"))
        return [round(score, 9) for score in scores]

    third = round(1 / 3, 9)
    assert cold(0) == [1.0, round(2 / 3, 9), third, 0.0]
    assert cold(2) == [0.0, 1.0, round(2 / 3, 9), third]  # 1 and 2 and 3 never, then 0
    assert cold(0) == [third, 1.0, 0.0, round(2 / 3, 9)]  # 1, 3 never; then 0, then 2
    assert cold(1) == [0.0, 1.0, third, round(2 / 3, 9)]  # 1, 3 never; then 2, then 0


def test_no_hit_lru_scorer_has_no_opinion_on_warm_requests_and_does_not_count_them() -> None:
    state, scorer = pool(size=2), NoHitLru("p")
    asked = cycle(state, prefix=prefix_match(state, [0, 1], total=4))
    assert scorer.score(asked, candidates(state)).tolist() == [0.5, 0.5]
    scorer.picked(asked, Decision((state.endpoints[0],), "default"))
    assert len(scorer) == 0


@pytest.mark.parametrize(
    ("label", "tokens", "score"),
    [
        pytest.param("0-2000", 1000, 0.3 + 0.7 * (0.7 / 1.2 + 0.3 * 0.5), id="in range"),
        pytest.param("0-10000", 0, 0.3 + 0.7 * (0.7 / 2 + 0.3), id="wider, all the room"),
        pytest.param("1000-1000", 1000, 1.0, id="exactly"),
        pytest.param("0-500", 1500, 0.15, id="1000 too long: 0.3/2"),
        pytest.param("2000-4000", 1000, 0.15, id="1000 too short: 0.3/2"),
        pytest.param(None, 1000, 0.5, id="no label"),
        pytest.param("many", 1000, 0.0, id="unreadable"),
        pytest.param("5-1", 3, 0.0, id="upside down"),
    ],
)
def test_context_length_aware(label: str | None, tokens: int, score: float) -> None:
    labels = {} if label is None else {"llm-d.ai/context-length-range": label}
    state = pool(endpoint(labels=labels))
    asked = cycle(state, request=request("x" * (4 * tokens)))
    assert ContextLength().score(asked, candidates(state)).tolist() == pytest.approx([score])
