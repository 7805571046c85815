"""Demand is what gateways counted, whoever restarts, comes, goes or falls silent."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.observe.observation import Demand
from loadstar.signals.model import EndpointLoad, Histogram, PoolLoad, Snapshot

START_S = 1_700_000_000.0
BOUNDS = (0.5, 1.0, 2.0)


def snapshot(
    at_s: float,
    arrivals: float | None,
    *,
    publisher: str = "a",
    started_at_s: float = START_S - 1_000.0,
    queued: float | None = None,
    histograms: Mapping[str, Histogram] | None = None,
    counters: Mapping[str, float] | None = None,
    endpoints: tuple[EndpointLoad, ...] = (),
    followed_share: float | None = None,
) -> Snapshot:
    counted = dict(counters or {})
    if arrivals is not None:
        counted["arrivals"] = arrivals
    pool = PoolLoad(
        namespace="llm",
        pool="pool",
        model="llama",
        counters=counted,
        queued=queued,
        histograms=histograms or {},
        followed_share=followed_share,
    )
    return Snapshot(
        publisher=publisher,
        started_at=started_at_s,
        observed_at=at_s,
        pools=(pool,),
        endpoints=endpoints,
    )


def steady(
    feed: FeedDemand, rate: float, seconds: int, *, publisher: str = "a", first: float = 0.0
) -> float:
    """Arrivals at ``rate`` for so long; the time after it."""
    for second in range(seconds + 1):
        at_s = START_S + second
        feed.heard(snapshot(at_s, first + rate * second, publisher=publisher))
    return START_S + seconds


def demand(feed: FeedDemand, now_s: float) -> Demand:
    return feed.demand("llama", now_s, slo_ttft_s=2.0)


def test_a_rate_is_growth_over_the_window() -> None:
    feed = FeedDemand()
    now_s = steady(feed, 7.0, 60)
    assert demand(feed, now_s).arrivals_rps == pytest.approx(7.0)


def test_gateways_add_up() -> None:
    feed = FeedDemand()
    steady(feed, 7.0, 60)
    now_s = steady(feed, 5.0, 60, publisher="b", first=900.0)
    assert demand(feed, now_s).arrivals_rps == pytest.approx(12.0)


def test_nothing_heard_is_not_known_and_not_zero() -> None:
    feed = FeedDemand()
    assert demand(feed, START_S) == Demand(window_s=15.0, arrivals_rps=None)
    now_s = steady(feed, 7.0, 60)
    assert feed.demand("other", now_s, slo_ttft_s=2.0).arrivals_rps is None


def test_a_counter_that_does_not_grow_is_zero() -> None:
    feed = FeedDemand()
    now_s = steady(feed, 0.0, 60)
    assert demand(feed, now_s).arrivals_rps == 0.0


def test_silence_is_not_known_after_a_while() -> None:
    feed = FeedDemand()
    now_s = steady(feed, 7.0, 60)
    assert demand(feed, now_s + 44.0).arrivals_rps == pytest.approx(7.0)
    assert demand(feed, now_s + 46.0).arrivals_rps is None


def test_one_gateway_that_falls_silent_takes_its_own_part_along() -> None:
    feed = FeedDemand()
    steady(feed, 7.0, 20, publisher="gone")
    now_s = steady(feed, 5.0, 90)
    assert demand(feed, now_s).arrivals_rps == pytest.approx(5.0)


def test_a_restart_is_another_publisher_that_counts_from_its_start() -> None:
    feed = FeedDemand()
    now_s = steady(feed, 6.0, 60)
    for second in range(5):
        again = snapshot(now_s + second, 6.0 * second, publisher="a2", started_at_s=now_s)
        feed.heard(again)
    found = demand(feed, now_s + 4.0).arrivals_rps
    assert found == pytest.approx(12.0)  # the old one's last window lasts until it is stale
    assert demand(feed, now_s + 46.0).arrivals_rps == pytest.approx(6.0)


def test_queues_of_gateways_and_engines_wait_together() -> None:
    feed = FeedDemand()
    load = EndpointLoad(
        namespace="llm", name="pod", pool="pool", observed_at=START_S + 29.0, waiting=4.0
    )
    for second in range(31):
        feed.heard(snapshot(START_S + second, 2.0 * second, queued=3.0, endpoints=(load,)))
        other = snapshot(START_S + second, 0.0, publisher="b", queued=1.0, endpoints=(load,))
        feed.heard(other)
    # One page of a model server, however many gateways read it; each gateway's queue is its own.
    assert demand(feed, START_S + 30.0).queued_requests == 8.0


def test_sizes_hits_and_violations_are_of_the_window_alone() -> None:
    feed = FeedDemand()
    for second in range(61):
        late = max(0, second - 50)
        histograms = {
            "ttft": Histogram(BOUNDS, (10.0 * second, 0.0, 0.0, 5.0 * late)),
            "input_length": Histogram((1_000.0,), (10.0 * second, 0.0), 800.0 * 10.0 * second),
            "output_length": Histogram((1_000.0,), (10.0 * second, 0.0), 200.0 * 10.0 * second),
            "e2e": Histogram((1.0,), (4.0 * second, 0.0)),
        }
        counters = {"input_tokens": 8_000.0 * second, "cached_tokens": 2_000.0 * second}
        feed.heard(
            snapshot(
                START_S + second,
                10.0 * second,
                histograms=histograms,
                counters=counters,
                followed_share=0.5,
            )
        )
    found = demand(feed, START_S + 60.0)
    assert found.input_tokens == pytest.approx(800.0)
    assert found.output_tokens == pytest.approx(200.0)
    assert found.prefix_hit == pytest.approx(0.25)
    assert found.served_rps == pytest.approx(8.0)  # half of them are followed
    assert found.violating == pytest.approx(50.0 / 200.0, abs=0.02)


def test_an_older_snapshot_changes_nothing() -> None:
    feed = FeedDemand()
    now_s = steady(feed, 7.0, 60)
    feed.heard(snapshot(now_s - 30.0, 99_999.0))
    assert demand(feed, now_s).arrivals_rps == pytest.approx(7.0)


def test_memory_is_bounded() -> None:
    feed = FeedDemand()
    for number in range(1_000):
        feed.heard(snapshot(START_S + number, 1.0, publisher=f"p{number}"))
    assert len(feed._newest) == len(feed._growth.spans()) == 256


@given(st.lists(st.floats(0.0, 100.0), min_size=16, max_size=80))
def test_a_rate_is_never_negative_and_never_more_than_the_highest(rates: list[float]) -> None:
    feed = FeedDemand()
    total = 0.0
    for second, rate in enumerate(rates):
        total += rate
        feed.heard(snapshot(START_S + second, total))
    found = demand(feed, START_S + len(rates) - 1.0).arrivals_rps
    assert found is not None
    assert 0.0 <= found <= max(rates) * 1.0001 + 1e-9
