"""Who reports and how busy each is, joined by UID; where nobody looks, silence means nothing."""

from __future__ import annotations

import pytest

from autoscaler.observe.cluster import Cluster, PodView, pod_view
from autoscaler.observe.replica_loads import (
    PodLoad,
    Replica,
    Reporting,
    by_pod,
    replicas,
    reporting,
)
from autoscaler.policy.model import ModelPolicy
from loadstar.signals.model import EndpointLoad

NOW_S = 10_000.0
STALE_S = 45.0
MODEL = ModelPolicy(name="llama", namespace="llm", selector={"app": "vllm"})


def pod(
    name: str,
    *,
    ready_for_s: float | None = 600.0,
    terminating: bool = False,
    replica_set: str = "vllm-abc",
    cost: int | None = None,
    app: str = "vllm",
) -> PodView:
    return PodView(
        name=name,
        namespace="llm",
        uid=f"uid-{name}",
        labels={"app": app, "pod-template-hash": "abc"},
        node="",
        phase="Running",
        ready=ready_for_s is not None,
        terminating=terminating,
        created_s=0.0,
        scheduled_s=None,
        ready_s=None if ready_for_s is None else NOW_S - ready_for_s,
        placing={},
        stays=False,
        replica_set=replica_set,
        deletion_cost=cost,
    )


def load(
    name: str, *, age_s: float | None = 1.0, running: float | None = 2.0, port: int = 8000
) -> EndpointLoad:
    return EndpointLoad(
        namespace="llm",
        name=name,
        uid=f"uid-{name}",
        port=port,
        observed_at=None if age_s is None else NOW_S - age_s,
        running=running,
        waiting=1.0,
    )


def heard(pods: list[PodView], loads: list[EndpointLoad]) -> Reporting | None:
    cluster = Cluster(pods=tuple(pods))
    return reporting(cluster, MODEL, by_pod(loads), now_s=NOW_S, stale_after_s=STALE_S)


@pytest.mark.parametrize(
    ("silent", "found"),
    [
        pytest.param(load("b"), Reporting(2, 2), id="all report"),
        pytest.param(load("b", age_s=STALE_S + 1.0), Reporting(1, 2), id="one said it long ago"),
        pytest.param(load("b", age_s=None), Reporting(1, 2), id="one was never heard"),
    ],
)
def test_a_replica_reports_that_was_heard_of_lately(silent: EndpointLoad, found: Reporting) -> None:
    assert heard([pod("a"), pod("b")], [load("a"), silent]) == found


def test_one_that_no_gateway_lists_does_not_report() -> None:
    assert heard([pod("a"), pod("b")], [load("a")]) == Reporting(1, 2)


def test_one_replaced_under_its_name_does_not_report_for_its_successor() -> None:
    old = EndpointLoad(namespace="llm", name="a", uid="uid-of-another", observed_at=NOW_S)
    assert heard([pod("a")], [old]) == Reporting(0, 1)


def test_who_cannot_have_been_heard_yet_is_not_counted() -> None:
    pods = [
        pod("a"),
        pod("new", ready_for_s=10.0),
        pod("loading", ready_for_s=None),
        pod("leaving", terminating=True),
        pod("other", app="envoy"),
    ]
    assert heard(pods, [load("a")]) == Reporting(1, 1)


def test_where_nobody_is_due_or_nobody_looks_nothing_is_said() -> None:
    assert heard([], [load("a")]) is None
    assert heard([pod("new", ready_for_s=10.0)], [load("a")]) is None
    assert heard([pod("a")], []) is None
    elsewhere = EndpointLoad(namespace="other", name="a", uid="u", observed_at=NOW_S)
    assert heard([pod("a")], [elsewhere]) is None
    by_file = EndpointLoad(namespace="llm", name="a", observed_at=NOW_S)
    assert heard([pod("a")], [by_file]) is None


def test_the_ports_of_a_pod_are_one_replica() -> None:
    loads = [load("a", age_s=50.0), load("a", age_s=2.0, port=8001)]
    assert by_pod(loads) == {("llm", "uid-a"): PodLoad(NOW_S - 2.0, 6.0)}
    silent = load("a", running=None, port=8001)
    assert by_pod([loads[0], silent]) == {("llm", "uid-a"): PodLoad(NOW_S - 1.0, None)}


def test_a_workloads_replicas_are_its_own_pods_that_stay() -> None:
    pods = (
        pod("b", cost=7),
        pod("a"),
        pod("other", replica_set="vllm-big-abc"),
        pod("gone", terminating=True),
        pod("stale"),
        pod("loading", ready_for_s=None),
    )
    loads = by_pod([load("a"), load("b", running=0.0), load("stale", age_s=60.0)])
    cluster = Cluster(pods=pods)

    def of(kind: str, name: str) -> tuple[Replica, ...]:
        return replicas(cluster, kind, name, "llm", loads, now_s=NOW_S, stale_after_s=STALE_S)

    assert of("Deployment", "vllm") == (
        Replica("a", True, 3.0, None),
        Replica("b", True, 1.0, 7),
        Replica("loading", False, None, None),
        Replica("stale", True, None, None),
    )
    assert [each.name for each in of("Deployment", "vllm-big")] == ["other"]
    assert of("ReplicaSet", "vllm-abc") == of("Deployment", "vllm")
    assert of("StatefulSet", "vllm") == ()


@pytest.mark.parametrize(
    ("said", "cost"), [("-5", -5), ("12", 12), ("many", None), ("", None), (None, None)]
)
def test_a_pods_document_says_whose_it_is_and_what_its_end_costs(
    said: str | None, cost: int | None
) -> None:
    key = "controller.kubernetes.io/pod-deletion-cost"
    found = pod_view(
        {
            "metadata": {
                "name": "a",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"kind": "ReplicaSet", "name": "vllm-abc"}],
                "annotations": {} if said is None else {key: said},
            }
        }
    )
    assert (found.replica_set, found.deletion_cost, found.stays) == ("vllm-abc", cost, False)
