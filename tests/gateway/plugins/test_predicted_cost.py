"""The predicted cost weighs what it should, in the direction it should."""

from __future__ import annotations

import math

import pytest

from gateway.datalayer.state import PoolState
from gateway.plugins.scorers.predicted_cost import PredictedCost, PredictedCostParameters
from gateway.scheduling.types import Cycle, Decision
from tests.builders import NOW, candidates, cycle, pool, prefix_match, request

A, B, T, CHUNK = 50e-6, 2.5e-9, 10e-3, 4096
"""The default coefficients, as in the scorer's formula."""


def scorer() -> PredictedCost:
    return PredictedCost(PredictedCostParameters(), "p")


def scores(
    state: PoolState, *, matched: list[int] | None = None, tokens: int = 4000, confidence: float = 1
) -> list[float]:
    asked = cycle(state, request=request("x" * (4 * tokens)))
    if matched is not None:
        asked.prefix = prefix_match(state, matched, total=tokens // 16, block_tokens=16)
    found = scorer().score(asked, candidates(state, confidence=confidence))
    return [float(score) for score in found]


def own(uncached: float, held: float = 0.0) -> float:
    return A * uncached + B * uncached * (held + uncached / 2)


def test_the_time_to_the_first_token_by_hand() -> None:
    """Idle but for prompts waiting; 4000 tokens, nothing held, nothing decoded, no arrivals."""
    state = pool(inflight_prefill=[0, 2000], kv_blocks=1000, block_tokens=16)
    idle = own(4000) + T * (1 + 4000 / CHUNK)
    busy = A * 2000 + own(4000) + T * (1 + 6000 / CHUNK)
    assert scores(state) == pytest.approx([1.0, idle / busy])


def test_held_tokens_need_not_be_computed() -> None:
    state = pool(size=2, kv_blocks=100_000)
    found = scores(state, matched=[0, 250])
    whole = own(4000) + T * (1 + 4000 / CHUNK)
    one_token = own(1, held=4000) + T * (1 + 1 / CHUNK)
    assert found == pytest.approx([one_token / whole, 1.0])


def test_all_alike_is_all_ones() -> None:
    assert scores(pool(size=5)) == [1.0] * 5


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(pool(inflight_prefill=[0, 500]), id="prompts before it"),
        pytest.param(pool(inflight_requests=[0, 40]), id="requests in flight"),
        pytest.param(pool(inflight_tokens=[0, 9000]), id="tokens in flight"),
        pytest.param(pool(waiting=[0, 4], running=0), id="somebody else's queue"),
        pytest.param(pool(running=[0, 50]), id="somebody else's decoding"),
        pytest.param(pool(kv_used=[0.2, 0.97]), id="a KV cache that is nearly full"),
    ],
)
def test_every_kind_of_load_costs(state: PoolState) -> None:
    unloaded, loaded = scores(state)
    assert unloaded == 1.0
    assert loaded < 1.0


def test_scraped_load_counts_as_far_as_it_is_believed() -> None:
    state = pool(waiting=[0, 8])
    fresh, old, stale = (scores(state, confidence=trust)[1] for trust in (1.0, 0.5, 0.0))
    assert fresh < old < stale == 1.0


def test_our_own_requests_in_the_scraped_queue_are_not_counted_twice() -> None:
    ours = pool(waiting=[0, 8], running=0, inflight_requests=[8, 8])
    assert scores(ours) == [1.0, 1.0]


def test_what_is_not_known_costs_nothing_and_breaks_nothing() -> None:
    state = pool(waiting=None, running=None, kv_used=None, kv_blocks=None, block_tokens=None)
    assert scores(state) == [1.0, 1.0, 1.0]


def test_a_hot_prefix_stays_until_waiting_costs_more_than_computing() -> None:
    """4000 tokens take 0.22 s: worth a queue of 3000 tokens (0.15 s), not one of 6000."""
    near = pool(inflight_prefill=[3000, 0], kv_blocks=100_000)
    far = pool(inflight_prefill=[6000, 0], kv_blocks=100_000)
    home_near, other_near = scores(near, matched=[250, 0])
    home_far, other_far = scores(far, matched=[250, 0])
    assert home_near > other_near
    assert home_far < other_far


def test_a_busy_fleet_prices_work_and_so_keeps_affinity() -> None:
    """The same queues: with arrivals, computing 4000 tokens anew takes from everybody."""
    state = pool(inflight_prefill=[6000, 2000], kv_blocks=100_000)
    asked = cycle(state, request=request("x" * 16_000))
    asked.prefix = prefix_match(state, [250, 0], total=250)
    tested = scorer()
    quiet = tested.score(asked, candidates(state))
    for _ in range(400):
        tested.picked(asked, Decision((state.endpoints[0],), "default"))
    busy = tested.score(asked, candidates(state))
    assert quiet[0] / quiet[1] < busy[0] / busy[1]
    assert busy[0] > busy[1]


def test_the_arrival_rate_is_averaged_over_ten_seconds() -> None:
    tested, state = scorer(), pool()
    decision = Decision((state.endpoints[0],), "default")

    def arrives(now: float) -> Cycle:
        asked = cycle(state, now=now)
        tested.picked(asked, decision)
        return asked

    for tick in range(600):
        arrives(NOW + tick * 0.1)
    last = NOW + 59.9
    assert tested.arrivals_per_second(last) == pytest.approx(10.0, rel=0.02)
    assert tested.arrivals_per_second(last + 10) == pytest.approx(10 / math.e, rel=0.02)
    tested.served(arrives(last), decision, state.endpoints[1])
    assert tested.arrivals_per_second(last - 5) <= 10.2


def test_no_arrivals_is_no_rate() -> None:
    assert scorer().arrivals_per_second(NOW) == 0.0


def test_an_expensive_decode_goes_where_steps_are_short() -> None:
    """Slower steps are priced by the output to expect; a single token pays nearly none."""
    state = pool(inflight_tokens=[100_000, 0], kv_blocks=100_000)
    short = cycle(state, request=request("x" * 400, max_output_tokens=1))
    usual = cycle(state, request=request("x" * 400))
    crowded_short = scorer().score(short, candidates(state))[0]
    crowded_usual = scorer().score(usual, candidates(state))[0]
    assert crowded_usual < crowded_short < 1.0


@pytest.mark.parametrize("size", [0, 1, 10_000_000])
def test_any_prompt_gets_a_score(size: int) -> None:
    state = pool(size=2)
    asked = cycle(state, request=request(b"x" * size))
    assert scorer().score(asked, candidates(state)).tolist() == [1.0, 1.0]
