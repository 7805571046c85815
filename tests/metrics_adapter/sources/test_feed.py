"""What gateways and autoscalers said, as an HPA then hears it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from loadstar.signals.model import (
    Desired,
    EndpointLoad,
    Histogram,
    PoolLoad,
    Snapshot,
)
from metrics_adapter.adapter_config import FeedSource, parse_config
from metrics_adapter.errors import NotFound, Stale
from metrics_adapter.query import ExternalQuery, Inventory, View, answer
from metrics_adapter.sources.feed import Feed
from metrics_adapter.store import Slot, Store
from tests.metrics_adapter.views import NAMESPACE, NOW, POOLS, ask, ask_outside, numbers, pod, pool


class Wall:
    def __init__(self) -> None:
        self.seconds = NOW

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return self.seconds


class Hearing:
    """A feed whose publishers are the test itself."""

    def __init__(self) -> None:
        config = parse_config("")
        self.clock = Wall()
        self.store = Store(config)
        self.store.know(Inventory([pod("a"), pod("b")], [pool()], known=True))
        source = FeedSource(type="feed", addresses=("gateway:1",))
        self.feed = Feed(source, self.clock, random.Random(1))
        self._slot: Slot | None = None
        self._open = self.store.slot("feed")
        self._slot = self._open.__enter__()
        self.feed.publish(self.store, self._slot)

    def hears(self, *snapshots: Snapshot) -> View:
        for snapshot in snapshots:
            self.clock.seconds = snapshot.observed_at
            self.feed.heard(snapshot)
        assert self._slot is not None
        self.feed.publish(self.store, self._slot)
        return self.store.view()


def endpoint(name: str, ago: float | None = 1.0, **numbers: float) -> EndpointLoad:
    return EndpointLoad(
        namespace=NAMESPACE,
        name=name,
        uid=f"uid-{name}",
        pool="chat",
        observed_at=None if ago is None else NOW - ago,
        **numbers,  # type: ignore[arg-type]  # fields that hold numbers
    )


def traffic(
    counters: Mapping[str, float] | None = None,
    *,
    queued: float | None = None,
    ttft: Sequence[float] = (),
    share: float | None = None,
) -> PoolLoad:
    histograms = {"ttft": Histogram((0.1, 0.2), tuple(ttft))} if ttft else {}
    return PoolLoad(
        namespace=NAMESPACE,
        pool="chat",
        model="meta-llama/Llama-3.1-8B",
        counters=counters or {},
        queued=queued,
        histograms=histograms,
        followed_share=share,
    )


def said(
    publisher: str,
    ago: float,
    *,
    endpoints: Sequence[EndpointLoad] = (),
    pools: Sequence[PoolLoad] = (),
    desired: Sequence[Desired] = (),
    started_ago: float = 1e5,
) -> Snapshot:
    return Snapshot(
        publisher=publisher,
        started_at=NOW - started_ago,
        observed_at=NOW - ago,
        endpoints=tuple(endpoints),
        pools=tuple(pools),
        desired=tuple(desired),
    )


def test_pages_that_several_gateways_read_count_once_and_their_picks_add_up() -> None:
    known = Hearing().hears(
        said("one", 1, endpoints=[endpoint("a", 3, waiting=9, inflight_requests=2)]),
        said("two", 0.5, endpoints=[endpoint("a", 1, waiting=4, inflight_requests=3)]),
    )

    assert numbers(ask(known, "queue_depth")) == {"a": 4.0}
    assert numbers(ask(known, "inflight_requests")) == {"a": 5.0}
    assert numbers(ask(known, "queue_depth", resource=POOLS, name="chat")) == {"chat": 4.0}


def test_picks_of_a_gateway_that_fell_silent_are_left_out_but_not_the_pages_it_read() -> None:
    hearing = Hearing()
    hearing.hears(said("one", 20, endpoints=[endpoint("a", 20, waiting=9, inflight_requests=2)]))
    known = hearing.hears(said("two", 0, endpoints=[endpoint("b", 1, waiting=4)]))

    assert numbers(ask(known, "queue_depth")) == {"a": 9.0, "b": 4.0}
    with pytest.raises(NotFound):
        ask(known, "inflight_requests")


def test_an_endpoint_that_was_never_read_has_no_queue() -> None:
    known = Hearing().hears(said("one", 0, endpoints=[endpoint("a", None, inflight_requests=0)]))

    assert numbers(ask(known, "inflight_requests")) == {"a": 0.0}
    with pytest.raises(NotFound):
        ask(known, "queue_depth")


def test_arrivals_of_all_gateways_add_up_to_a_rate() -> None:
    hearing = Hearing()
    known = hearing.store.view()
    for ago in range(120, -1, -1):
        count = (120 - ago) * 5.0
        known = hearing.hears(
            said("one", ago, pools=[traffic({"arrivals": count})]),
            said("two", ago, pools=[traffic({"arrivals": 2 * count})]),
        )

    (value,) = ask_outside(known, "requests_per_second", "pool=chat")
    assert value.value == pytest.approx(15.0)
    assert value.window_seconds == pytest.approx(60, abs=6)
    assert value.labels["model"] == "meta-llama--Llama-3.1-8B"
    assert numbers(ask(known, "requests_per_second", resource=POOLS, name="chat")) == {
        "chat": pytest.approx(15.0)
    }


def test_a_gateway_that_restarts_is_no_loss_of_traffic() -> None:
    hearing = Hearing()
    known = hearing.store.view()
    for ago in range(120, -1, -1):
        count = (120 - ago) * 5.0
        if ago > 40:
            known = hearing.hears(said("before", ago, pools=[traffic({"arrivals": 1e6 + count})]))
        else:
            after = traffic({"arrivals": (40 - ago) * 5.0})
            known = hearing.hears(said("after", ago, pools=[after], started_ago=40))

    assert [v.value for v in ask_outside(known, "requests_per_second")] == [pytest.approx(5.0)]


def test_a_subscriber_that_has_heard_little_says_nothing_yet() -> None:
    hearing = Hearing()
    hearing.hears(said("one", 2, pools=[traffic({"arrivals": 1e6})]))
    known = hearing.hears(said("one", 0, pools=[traffic({"arrivals": 1e6 + 9})]))

    with pytest.raises(NotFound):
        ask_outside(known, "requests_per_second")


def test_tokens_of_followed_responses_stand_for_all() -> None:
    hearing = Hearing()
    hearing.hears(said("one", 30, pools=[traffic({"output_tokens": 0}, share=0.1)]))
    known = hearing.hears(said("one", 0, pools=[traffic({"output_tokens": 300}, share=0.1)]))

    assert [v.value for v in ask_outside(known, "output_tokens_per_second")] == [
        pytest.approx(100.0)
    ]


def test_latencies_of_all_gateways_are_quantiles_of_all_requests() -> None:
    hearing = Hearing()
    hearing.hears(
        said("one", 30, pools=[traffic(ttft=[100, 0, 0])]),
        said("two", 30, pools=[traffic(ttft=[0, 0, 0])]),
    )
    known = hearing.hears(
        said("one", 0, pools=[traffic(ttft=[100, 10, 0])]),
        said("two", 0, pools=[traffic(ttft=[30, 0, 0])]),
    )

    (half,) = ask_outside(known, "time_to_first_token_ms_p50")
    (most,) = ask_outside(known, "time_to_first_token_ms_p90")
    assert half.value == pytest.approx(100 * 20 / 30)
    assert most.value == pytest.approx(160)


def test_queues_of_gateways_add_up_and_grow_old_when_all_are_silent() -> None:
    hearing = Hearing()
    known = hearing.hears(
        said("one", 1, pools=[traffic(queued=3)]), said("two", 0, pools=[traffic(queued=4)])
    )
    assert [v.value for v in ask_outside(known, "gateway_queue_depth")] == [7.0]

    hearing.clock.seconds = NOW + 30
    hearing.feed._changed = True
    assert ask_outside(hearing.hears(), "gateway_queue_depth")  # as last known, with its old time
    with pytest.raises(Stale):
        answer(hearing.store.view(), ExternalQuery(NAMESPACE, "gateway_queue_depth"), NOW + 100)


def test_wishes_are_told_of_the_workload_and_of_its_pool() -> None:
    wish = Desired(
        namespace=NAMESPACE,
        api_version="apps/v1",
        kind="Deployment",
        name="vllm",
        pool="chat",
        replicas=7,
        forecast_requests_per_second=12.5,
    )
    known = Hearing().hears(said("autoscaler", 0, desired=[wish]))

    assert numbers(ask(known, "desired_replicas", resource="deployments.apps", name="vllm")) == {
        "vllm": 7.0
    }
    assert [(v.labels, v.value) for v in ask_outside(known, "desired_replicas")] == [
        ({"pool": "chat"}, 7.0)
    ]
    assert [v.value for v in ask_outside(known, "forecast_requests_per_second")] == [12.5]


def test_replicas_that_began_to_listen_at_other_times_agree_after_a_window() -> None:
    early, late = Hearing(), Hearing()
    first = second = early.store.view()
    for ago in range(300, -1, -1):
        snapshot = said("one", ago, pools=[traffic({"arrivals": (300 - ago) ** 1.5})])
        first = early.hears(snapshot)
        second = late.hears(snapshot) if ago < 150 else first

    assert [v.value for v in ask_outside(first, "requests_per_second")] == pytest.approx(
        [v.value for v in ask_outside(second, "requests_per_second")], rel=0.05
    )
