"""What objects that are made of pods tell: sums, means, quantiles, and expressions over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.kube.resources import INFERENCE_POOLS, NAMESPACES
from metrics_adapter.adapter_config import Fold
from metrics_adapter.errors import NotFound, Stale
from metrics_adapter.query import Described, Value
from metrics_adapter.query.folding import fold, quantile
from tests.metrics_adapter.views import (
    NAMESPACE,
    NOW,
    POOLS,
    ask,
    deployment,
    numbers,
    pod,
    pool,
    row,
    told,
    view,
)

THREE = [pod("a"), pod("b"), pod("c")]
QUEUES = told("queue_depth", row("a", 1, ago=3), row("b", 2), row("c", 6))


def one(values: list[Value]) -> float:
    (value,) = values
    return value.value


@pytest.mark.parametrize(
    ("resource", "name", "namespace"),
    [
        pytest.param(POOLS, "chat", NAMESPACE, id="pool"),
        pytest.param("deployments.apps", "vllm", NAMESPACE, id="deployment"),
        pytest.param("namespaces", NAMESPACE, None, id="namespace"),
        pytest.param("nodes", "node-1", None, id="node"),
    ],
)
def test_queues_of_an_objects_pods_add_up(resource: str, name: str, namespace: str | None) -> None:
    known = view(QUEUES, pods=THREE, groups=[pool()])

    (value,) = ask(known, "queue_depth", resource=resource, name=name, namespace=namespace)

    assert (value.value, value.at) == (9.0, NOW - 3)


def test_what_describes_a_namespace_lives_in_none() -> None:
    known = view(QUEUES, pods=THREE)

    (value,) = ask(known, "queue_depth", resource="namespaces", name=NAMESPACE, namespace=None)

    assert value.described == Described("Namespace", "v1", "", NAMESPACE)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("sum", 9.0), ("avg", 3.0), ("min", 1.0), ("max", 6.0), ("p50", 2.0), ("p90", 5.2)],
)
def test_pods_add_up_as_the_table_says(how: str, expected: float) -> None:
    config = f"metrics: [{{name: m, from: [x], aggregate: max, aggregates: {{{POOLS}: {how}}}}}]"
    known = view(
        told("m", row("a", 1), row("b", 2), row("c", 6)), pods=THREE, groups=[pool()], config=config
    )

    assert one(ask(known, "m", resource=POOLS, name="chat")) == pytest.approx(expected)
    assert one(ask(known, "m", resource="deployments.apps", name="vllm")) == 6.0


def test_an_object_of_whose_pods_too_few_are_known_has_no_sum() -> None:
    """Half of the pods' queues are not a smaller queue."""
    known = view(
        told("queue_depth", row("a", 1), row("b", 2, ago=99), row("c", 6, ago=70)),
        pods=THREE,
        groups=[pool()],
    )

    with pytest.raises(Stale, match="70 s ago"):
        ask(known, "queue_depth", resource=POOLS, name="chat")

    known = view(told("queue_depth", row("a", 1)), pods=THREE, groups=[pool()])
    with pytest.raises(NotFound, match=r"1 of 3 pods are known, and 50 % must be$"):
        ask(known, "queue_depth", resource=POOLS, name="chat")


@pytest.mark.parametrize(("how", "expected"), [("sum", 12.0), ("avg", 4.0), ("max", 6.0)])
def test_a_pod_that_fell_silent_is_taken_to_be_like_the_others(how: str, expected: float) -> None:
    """An autoscaler that is told of two thirds of a load takes a third of the replicas away."""
    known = view(
        told("m", row("a", 9, ago=99), row("b", 2), row("c", 6)),
        pods=THREE,
        groups=[pool()],
        config=f"metrics: [{{name: m, from: [x], aggregate: {how}}}]",
    )

    assert one(ask(known, "m", resource=POOLS, name="chat")) == expected


def test_a_pod_that_has_yet_to_tell_adds_nothing() -> None:
    """New ones come in numbers; to take them for as busy as the old would bring more of them."""
    known = view(told("queue_depth", row("a", 1), row("b", 2)), pods=THREE, groups=[pool()])

    assert one(ask(known, "queue_depth", resource=POOLS, name="chat")) == 3.0


@pytest.mark.parametrize(
    ("resource", "name"), [(POOLS, "chat"), ("deployments.apps", "vllm"), ("namespaces", NAMESPACE)]
)
def test_pods_that_still_load_their_model_are_not_waited_for(resource: str, name: str) -> None:
    """Or nothing would be known of a pool for as long as it grows."""
    loading = [pod(f"new-{number}", been_ready=False) for number in range(6)]
    known = view(QUEUES, pods=[*THREE, *loading], groups=[pool()])

    assert one(ask(known, "queue_depth", resource=resource, name=name)) == 9.0


@pytest.mark.parametrize(("resource", "name"), [("namespaces", NAMESPACE), ("nodes", "node-1")])
def test_where_other_pods_live_too_those_count_that_serve_a_model(resource: str, name: str) -> None:
    others = [pod(f"other-{number}", app="other") for number in range(9)]

    known = view(QUEUES, pods=[*THREE, *others], groups=[pool()])
    assert one(ask(known, "queue_depth", resource=resource, name=name)) == 9.0

    # Of a pool's pods it is known that they do, whoever has told of them.
    known = view(told("queue_depth", row("a", 1)), pods=[*THREE, *others], groups=[pool()])
    with pytest.raises(NotFound, match="1 of 3 pods are known"):
        ask(known, "queue_depth", resource=resource, name=name)


def test_the_leader_of_a_group_of_pods_tells_for_its_workers() -> None:
    sets, index = "leaderworkersets.leaderworkerset.x-k8s.io", "worker-index"
    pods = [
        replace(
            pod(f"lws-{group}-{worker}", owner=(sets, "lws")),
            labels={f"leaderworkerset.sigs.k8s.io/{index}": str(worker)},
        )
        for group in range(3)
        for worker in range(4)
    ]

    known = view(told("queue_depth", row("lws-0-0", 3), row("lws-1-0", 4)), pods=pods)
    assert one(ask(known, "queue_depth", resource=sets, name="lws")) == 7.0

    known = view(told("queue_depth", row("lws-0-0", 3)), pods=pods)
    with pytest.raises(NotFound, match="1 of 3 pods are known"):
        ask(known, "queue_depth", resource=sets, name="lws")


def test_a_pool_without_pods_has_nobody_waiting() -> None:
    known = view(pods=[], groups=[pool()])

    assert one(ask(known, "queue_depth", resource=POOLS, name="chat")) == 0.0
    with pytest.raises(NotFound, match="no source has told a value"):
        ask(known, "kv_cache_utilization", resource=POOLS, name="chat")
    with pytest.raises(NotFound, match="no source has told a value"):
        ask(known, "queue_depth", resource=POOLS, name="other")


def test_a_row_about_the_object_itself_comes_before_its_pods() -> None:
    known = view(
        QUEUES,
        told("queue_depth", row("chat", 40), resource=INFERENCE_POOLS),
        pods=THREE,
        groups=[pool()],
    )

    assert one(ask(known, "queue_depth", resource=POOLS, name="chat")) == 40.0


def test_every_pool_of_a_namespace_can_be_asked_for() -> None:
    known = view(
        QUEUES,
        pods=[*THREE, pod("d", app="x")],
        groups=[pool(), pool("none", app="none"), pool("more", app="x")],
    )

    assert numbers(ask(known, "queue_depth", resource=POOLS)) == {"chat": 9.0, "none": 0.0}


def test_deployments_can_be_chosen_by_their_own_labels() -> None:
    known = view(
        told("queue_depth", row("a", 3), row("b", 4)),
        pods=[pod("a"), pod("b")],
        groups=[deployment("vllm", tier="gold"), deployment("idle", tier="tin")],
    )

    def chosen(selecting: str) -> dict[str, float]:
        return numbers(ask(known, "queue_depth", resource="deployments.apps", selecting=selecting))

    assert chosen("tier=gold") == {"vllm": 7}
    assert chosen("tier in (gold,tin)") == {"vllm": 7, "idle": 0}
    assert chosen("") == {"vllm": 7, "idle": 0}
    with pytest.raises(NotFound, match=r"there are no deployments\.apps matching app=vllm in the"):
        chosen("app=vllm")


def test_where_workloads_may_not_be_read_their_labels_are_said_to_be_unknown() -> None:
    known = view(told("queue_depth", row("a", 3)), pods=[pod("a")])

    assert numbers(ask(known, "queue_depth", resource="deployments.apps")) == {"vllm": 3}
    with pytest.raises(NotFound, match=r"the labels of deployments\.apps are not known here"):
        ask(known, "queue_depth", resource="deployments.apps", selecting="tier=gold")


def test_a_ratio_of_a_pool_is_the_ratio_of_its_sums() -> None:
    known = view(
        told("prefix_cache_hit_tokens_per_second", row("a", 90), row("b", 10), row("c", 0)),
        told("prefix_cache_query_tokens_per_second", row("a", 100), row("b", 100), row("c", 50)),
        pods=THREE,
        groups=[pool()],
    )

    assert numbers(ask(known, "prefix_cache_hit_ratio")) == {"a": 0.9, "b": 0.1, "c": 0.0}
    assert one(ask(known, "prefix_cache_hit_ratio", resource=POOLS, name="chat")) == 0.4


def test_an_expression_per_pod_is_worked_out_before_pods_add_up() -> None:
    known = view(
        told("queue_depth", row("a", 5), row("b", 0), row("c", 0)),
        told("kv_cache_utilization", row("a", 0.4), row("b", 0.8), row("c", 0.4)),
        pods=THREE,
        groups=[pool()],
    )

    assert numbers(ask(known, "saturation")) == {"a": 1.0, "b": 1.0, "c": 0.5}
    assert one(ask(known, "saturation", resource=POOLS, name="chat")) == pytest.approx(2.5 / 3)


def test_an_expression_of_something_unknown_is_unknown() -> None:
    known = view(
        told("queue_depth", row("a", 5)), told("kv_cache_utilization", row("b", 0.8)), pods=THREE
    )

    with pytest.raises(NotFound):
        ask(known, "saturation")


def test_latencies_of_a_pool_are_quantiles_of_all_its_requests() -> None:
    """Not means of its pods' quantiles: b's hundred fast requests count for a hundred."""
    slow = row("a", np.nan, counts=[0, 0, 1, 0], window=60)
    fast = row("b", np.nan, counts=[99, 0, 0, 0], window=60)
    known = view(
        told("model_latency_ms", slow, fast, bounds=[1.0, 2.0, 4.0, np.inf]),
        pods=[pod("a"), pod("b")],
        groups=[pool()],
    )

    def chat(metric: str, series: str = "") -> float:
        return one(ask(known, metric, resource=POOLS, name="chat", series=series))

    assert numbers(ask(known, "model_latency_ms_p50")) == {"a": 3000.0, "b": 500.0}
    assert chat("model_latency_ms_p50") == pytest.approx(1000 * 50 / 99)
    assert chat("model_latency_ms_p99") == pytest.approx(1000.0)
    assert chat("model_latency_ms") == chat("model_latency_ms_p90")
    assert chat("model_latency_ms", "quantile=p99") == chat("model_latency_ms_p99")
    with pytest.raises(NotFound, match="no series matches"):
        chat("model_latency_ms", "quantile=p42")


def test_latencies_are_not_those_of_the_few_pods_that_still_answer() -> None:
    rows = [row("a", np.nan, counts=[9, 0]), row("b", np.nan, counts=[0, 9], ago=99)]
    bounds = [1.0, np.inf]

    known = view(told("model_latency_ms", *rows, bounds=bounds), pods=THREE, groups=[pool()])
    assert one(ask(known, "model_latency_ms", resource=POOLS, name="chat")) == pytest.approx(900.0)

    rows.append(row("c", np.nan, counts=[0, 9], ago=70))
    known = view(told("model_latency_ms", *rows, bounds=bounds), pods=THREE, groups=[pool()])
    with pytest.raises(Stale, match="1 of 3 pods are known"):
        ask(known, "model_latency_ms", resource=POOLS, name="chat")


def test_a_window_without_requests_has_no_latency() -> None:
    known = view(
        told("model_latency_ms", row("a", np.nan, counts=[0, 0]), bounds=[1.0, np.inf]),
        pods=[pod("a")],
    )

    with pytest.raises(NotFound):
        ask(known, "model_latency_ms")


def test_namespaces_may_be_told_of_directly() -> None:
    known = view(told("tokens", row(NAMESPACE, 7, namespace=""), resource=NAMESPACES))

    assert numbers(ask(known, "tokens", resource="namespaces", name=NAMESPACE, namespace=None)) == {
        NAMESPACE: 7.0
    }


groups = st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), max_size=30)


@given(groups, st.sampled_from(list(Fold)))
def test_folding_many_groups_at_once_is_folding_each(
    pairs: list[tuple[int, int]], how: Fold
) -> None:
    values = np.array([value for _, value in pairs], np.float64)
    group = np.array([index for index, _ in pairs], np.int32)

    folded = fold(values, group, 4, how)

    for index in range(4):
        own = [float(value) for g, value in pairs if g == index]
        if not own:
            assert np.isnan(folded[index])
        elif how.value.startswith("p"):
            assert folded[index] == pytest.approx(np.percentile(own, float(how.value[1:])))
        else:
            mean = sum(own) / len(own)
            expected = {"sum": sum(own), "avg": mean, "min": min(own), "max": max(own)}
            assert folded[index] == pytest.approx(expected[how.value])


@given(st.lists(st.integers(0, 20), min_size=4, max_size=4), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_that_holds_its_rank(counts: list[int], share: float) -> None:
    bounds = np.array([1.0, 2.0, 4.0, np.inf])

    (value,) = quantile(bounds, np.array([counts], np.float64), share)

    if not sum(counts):
        assert np.isnan(value)
        return
    bucket = int(np.searchsorted(np.cumsum(counts), share * sum(counts), side="left"))
    low = [0.0, 1.0, 2.0, 4.0][bucket]
    high = [1.0, 2.0, 4.0, 4.0][bucket]
    assert low <= value <= high
