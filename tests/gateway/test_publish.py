"""What a gateway tells of load: the same that its metrics show, for each target model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.director.measures import Traffic
from gateway.metrics import Metrics
from gateway.publish import MergedTraffic, Signals, endpoint_loads, pod_name, traffic
from gateway.traffic import own_loads
from loadstar.signals.codec import decode, encode
from loadstar.signals.model import EndpointLoad, PoolLoad
from tests.builders import endpoint, pool

LLAMA = Traffic("llama", "llama-v2", "tenant", 0)
OTHER = Traffic("chat", "llama-v2", "other", -1)


class Wall:
    def now(self) -> float:
        return 100.0

    def wall(self) -> float:
        return 5_100.0


def finish(metrics: Metrics, traffic: Traffic, **changed: Any) -> None:
    facts: dict[str, Any] = {
        "ending": "complete",
        "status": 200,
        "seconds": 3.0,
        "seconds_per_output_token": 0.02,
        "input_tokens": 100,
        "output_tokens": 50,
        "cached_tokens": 60,
        "response_bytes": 9000,
        "streamed": True,
    }
    metrics.finished(traffic, **(facts | changed))


def told(metrics: Metrics) -> PoolLoad:
    (load,) = own_loads(metrics.families, "lab", "chat")
    return load


def test_traffic_is_told_by_target_model_whoever_it_was_for() -> None:
    metrics = Metrics()
    for whose in (LLAMA, LLAMA, OTHER):
        metrics.routed(whose, 2000)
    metrics.first_token(LLAMA, 0.2, True)
    finish(metrics, LLAMA)

    load = told(metrics)

    assert load.key == ("lab", "chat", "llama-v2")
    assert load.counters == {
        "arrivals": 3.0,
        "shed": 0.0,
        "errors": 0.0,
        "input_tokens": 100.0,
        "output_tokens": 50.0,
        "cached_tokens": 60.0,
    }
    assert (load.running, load.queued, load.followed_share) == (2.0, None, 1.0)
    ttft = load.histograms["ttft"]
    assert sum(ttft.counts) == 1.0
    assert ttft.sum == pytest.approx(0.2)
    bucket = ttft.counts.index(1.0)
    assert ttft.bounds[bucket - 1] < 0.2 <= ttft.bounds[bucket]


def test_every_arrival_counts_however_it_was_answered() -> None:
    """A request that was shed is demand; one that was malformed is not."""
    metrics = Metrics()
    metrics.routed(LLAMA, 1)
    finish(metrics, LLAMA, status=503)
    metrics.routed(LLAMA, 1)
    finish(metrics, LLAMA, status=404)
    for code in ("shed", "shed", "no_endpoint", "invalid_request"):
        metrics.refused(LLAMA, code)

    load = told(metrics)

    assert (load.counters["arrivals"], load.counters["shed"], load.counters["errors"]) == (5, 2, 2)


def test_endpoints_say_what_was_scraped_when_and_what_is_not_known_is_left_out() -> None:
    state = pool(
        endpoint(0),
        endpoint(1),
        waiting=[3.0, None],
        observed_at=[99.0, -np.inf],
        inflight_requests=[2, 0],
    )

    first, second = endpoint_loads(state, "chat", to_wall=5000.0)

    assert first == EndpointLoad(
        namespace="default",
        name="pod-0",
        port=8000,
        pool="chat",
        observed_at=5099.0,
        waiting=3.0,
        running=0.0,
        kv_used=0.0,
        kv_blocks=1000.0,
        block_tokens=16.0,
        inflight_requests=2.0,
        inflight_tokens=0.0,
    )
    assert (second.observed_at, second.waiting, second.running) == (None, None, None)
    assert second.inflight_requests == 0.0


def test_endpoints_of_one_pod_are_told_under_the_pods_name() -> None:
    of_a_pod = replace(endpoint(name="vllm-0-rank-1"), uid="u1")

    assert pod_name(of_a_pod) == "vllm-0"
    assert pod_name(endpoint(name="vllm-0-rank-1")) == "vllm-0-rank-1"


async def test_a_snapshot_is_what_is_told_and_can_be_read() -> None:
    metrics = Metrics()
    metrics.routed(LLAMA, 2000)
    signals = Signals(
        publisher="p",
        pool="chat",
        started_at=5_000.0,
        state=lambda: pool(endpoint(0)),
        traffic=traffic(metrics, None, "lab", "chat", Wall()),
        clock=Wall(),
    )

    snapshot = await signals.snapshot()

    assert (snapshot.observed_at, snapshot.started_at) == (5_100.0, 5_000.0)
    assert [load.counters["arrivals"] for load in snapshot.pools] == [1.0]
    assert decode(encode(snapshot)) == snapshot


async def test_what_several_workers_count_is_added_up_no_more_often_than_is_cheap() -> None:
    metrics = Metrics()
    metrics.routed(LLAMA, 1)
    clock = Ticking()
    merged = traffic(Metrics(), lambda: metrics.families, "lab", "chat", clock)

    assert isinstance(merged, MergedTraffic)
    (before,) = await merged()
    metrics.routed(LLAMA, 1)
    (kept,) = await merged()
    clock.seconds += 60
    (after,) = await merged()

    arrivals = [load.counters["arrivals"] for load in (before, kept, after)]
    assert arrivals == [1.0, 1.0, 2.0]


class Ticking:
    """A clock on which every look takes a tenth of a second."""

    seconds = 100.0

    def now(self) -> float:
        self.seconds += 0.1
        return self.seconds

    def wall(self) -> float:
        return self.now()
