"""Many publishers' snapshots: the same knowledge in whatever order they are heard."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.signals.codec import decode, encode, request, subscriber
from loadstar.signals.merge import current, endpoints, known, merge
from loadstar.signals.model import (
    COUNTERS,
    HISTOGRAMS,
    Desired,
    EndpointLoad,
    Histogram,
    PoolLoad,
    Snapshot,
)
from protos.generate import outdated
from protos.signals.v1 import signals_pb2 as pb

numbers = st.none() | st.floats(0, 1e6)
words = st.sampled_from(["", "a", "b", "meta-llama/Llama-3.1-8B"])

loads = st.builds(
    EndpointLoad,
    namespace=st.sampled_from(["lab", "prod"]),
    name=st.sampled_from(["vllm-0", "vllm-1"]),
    uid=st.sampled_from(["", "u1"]),
    port=st.sampled_from([8000, 8001]),
    pool=words,
    observed_at=numbers,
    waiting=numbers,
    running=numbers,
    kv_used=numbers,
    kv_blocks=numbers,
    block_tokens=numbers,
    inflight_requests=numbers,
    inflight_tokens=numbers,
)
histograms = st.lists(st.floats(0, 100), min_size=1, max_size=4, unique=True).flatmap(
    lambda bounds: st.builds(
        Histogram,
        st.just(tuple(sorted(bounds))),
        st.lists(
            st.integers(0, 99).map(float), min_size=len(bounds) + 1, max_size=len(bounds) + 1
        ).map(tuple),
        st.floats(0, 1e6),
    )
)
pools = st.builds(
    PoolLoad,
    namespace=st.just("lab"),
    pool=words,
    model=words,
    counters=st.dictionaries(st.sampled_from(COUNTERS), st.floats(0, 1e9)),
    queued=numbers,
    running=numbers,
    histograms=st.dictionaries(st.sampled_from(HISTOGRAMS), histograms, max_size=2),
    followed_share=numbers,
)
wishes = st.builds(
    Desired,
    namespace=st.just("lab"),
    kind=words,
    name=words,
    api_version=words,
    pool=words,
    model=words,
    replicas=numbers,
    forecast_requests_per_second=numbers,
    horizon_seconds=numbers,
    reason=words,
)
snapshots = st.builds(
    Snapshot,
    publisher=st.sampled_from(["p", "q", "r"]),
    started_at=st.floats(0, 1e9),
    observed_at=st.integers(0, 30).map(float),
    endpoints=st.lists(loads, max_size=3).map(tuple),
    pools=st.lists(pools, max_size=2).map(tuple),
    desired=st.lists(wishes, max_size=1).map(tuple),
)
# Of few publishers, moments and endpoints, so that they meet.
few = st.builds(
    lambda publisher, at, found: Snapshot(
        publisher=publisher,
        started_at=0.0,
        observed_at=at,
        endpoints=tuple(
            EndpointLoad(
                namespace="lab", name=name, observed_at=seen, waiting=seen, inflight_requests=picks
            )
            for name, seen, picks in found
        ),
    ),
    st.sampled_from("pqr"),
    st.integers(0, 5).map(float),
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.none() | st.integers(0, 3).map(float),
            st.none() | st.integers(0, 9).map(float),
        ),
        max_size=2,
    ),
)
# A publisher tells one thing at one moment.
histories = st.lists(few, max_size=4, unique_by=lambda s: (s.publisher, s.observed_at))


@given(snapshots)
def test_what_is_written_is_read(snapshot: Snapshot) -> None:
    assert decode(encode(snapshot)) == snapshot


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xff", encode(Snapshot(publisher="p", started_at=0.0, observed_at=math.nan))],
)
def test_what_is_no_snapshot_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        decode(text)


def test_numbers_that_are_none_are_not_known() -> None:
    message = pb.Snapshot(publisher="p")
    message.endpoints.add(name="a", waiting=math.nan, running=math.inf, kv_used=0.0)
    message.pools.add(arrivals=math.nan, shed=3).e2e.counts.extend([1, 2])

    snapshot = decode(message.SerializeToString())

    assert snapshot.endpoints == (EndpointLoad(namespace="", name="a", kv_used=0.0),)
    assert snapshot.pools == (PoolLoad(namespace="", pool="", model="", counters={"shed": 3.0}),)


def test_who_asks_is_read_and_whoever_cannot_say_is_nobody() -> None:
    assert subscriber(request("adapter")) == "adapter"
    assert subscriber(b"\xff") == ""


def test_the_generated_code_is_what_the_proto_file_says() -> None:
    assert outdated() == []


@given(histories, histories, histories)
def test_merging_is_the_same_in_any_order_grouping_and_repetition(
    one: list[Snapshot], two: list[Snapshot], three: list[Snapshot]
) -> None:
    told: dict[tuple[str, float], Snapshot] = {}
    for snapshot in (*one, *two, *three):
        told.setdefault((snapshot.publisher, snapshot.observed_at), snapshot)
    a, b, c = (
        known(*(told[s.publisher, s.observed_at] for s in part)) for part in (one, two, three)
    )

    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a
    assert merge(a, known()) == a


@given(histories)
def test_of_each_publisher_the_latest_is_known(history: list[Snapshot]) -> None:
    latest = {
        publisher: max(s.observed_at for s in history if s.publisher == publisher)
        for publisher in {s.publisher for s in history}
    }

    assert {s.publisher: s.observed_at for s in known(*history).snapshots} == latest


@given(histories)
def test_each_endpoint_is_told_once_with_everybodys_picks(history: list[Snapshot]) -> None:
    told = endpoints(known(*history).snapshots)

    assert len({load.key for load in told}) == len(told)
    every = [load for snapshot in known(*history).snapshots for load in snapshot.endpoints]
    for load in told:
        same = [each for each in every if each.key == load.key]
        picks = [e.inflight_requests for e in same if e.inflight_requests is not None]
        assert load.inflight_requests == (pytest.approx(sum(picks)) if picks else None)
        ages = [-1.0 if e.observed_at is None else e.observed_at for e in same]
        assert (-1.0 if load.observed_at is None else load.observed_at) == max(ages)


def test_a_pod_replaced_under_its_name_is_another_endpoint() -> None:
    before = EndpointLoad(namespace="lab", name="a", uid="1", waiting=9, observed_at=5)
    after = EndpointLoad(namespace="lab", name="a", uid="2", waiting=0, observed_at=1)

    told = endpoints(
        [Snapshot(publisher="p", started_at=0, observed_at=9, endpoints=(before, after))]
    )

    assert told == (before, after)


def test_publishers_that_fell_silent_are_left_out() -> None:
    knowledge = known(
        Snapshot(publisher="p", started_at=0, observed_at=100),
        Snapshot(publisher="q", started_at=0, observed_at=89),
        Snapshot(publisher="r", started_at=0, observed_at=500),
    )

    assert [s.publisher for s in current(knowledge, 100, 10).snapshots] == ["p"]
