"""Pods and nodes become supply; lead times are learned from the times they carry."""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.observe.cluster import (
    Cluster,
    NodeView,
    PodView,
    empty_nodes,
    node_view,
    pod_view,
    supply,
)
from autoscaler.observe.lead_times import ENOUGH, LeadTimes, Path
from autoscaler.observe.observation import PoolSupply
from autoscaler.policy.model import ModelPolicy
from autoscaler.policy.pools import PoolPolicy

MODEL = ModelPolicy(name="llama", namespace="llm", selector={"app": "llama"})
L4 = PoolPolicy(name="l4", node_pool="l4-pool")
SPOT = PoolPolicy(name="spot", labels={"cloud.google.com/gke-spot": "true"})
SLICE = PoolPolicy(name="v5e", node_pool="v5e-pool", nodes_per_unit=4)


def pod(
    name: str,
    node: str = "",
    *,
    ready: bool = True,
    terminating: bool = False,
    phase: str = "Running",
    placing: dict[str, str] | None = None,
    app: str = "llama",
    namespace: str = "llm",
    stays: bool = False,
    created_s: float = 0.0,
    ready_s: float | None = None,
) -> PodView:
    return PodView(
        name=name,
        namespace=namespace,
        uid=f"uid-{name}",
        labels={"app": app},
        node=node,
        phase=phase,
        ready=ready,
        terminating=terminating,
        created_s=created_s,
        scheduled_s=None,
        ready_s=ready_s,
        placing=placing or {},
        stays=stays,
    )


def node(
    name: str,
    pool: str = "l4-pool",
    *,
    ready: bool = True,
    cordoned: bool = False,
    created_s: float = 0.0,
    ready_s: float | None = None,
    labels: dict[str, str] | None = None,
) -> NodeView:
    return NodeView(
        name=name,
        labels={"cloud.google.com/gke-nodepool": pool, **(labels or {})},
        ready=ready,
        created_s=created_s,
        ready_s=ready_s,
        cordoned=cordoned,
    )


def cluster(*things: PodView | NodeView) -> Cluster:
    return Cluster(
        pods=tuple(each for each in things if isinstance(each, PodView)),
        nodes={each.name: each for each in things if isinstance(each, NodeView)},
    )


def test_replicas_are_counted_where_they_stand_and_by_what_they_are() -> None:
    seen = cluster(
        node("n1"),
        node("n2"),
        node("s1", "other", labels={"cloud.google.com/gke-spot": "true"}),
        pod("a", "n1"),
        pod("b", "n1", ready=False),
        pod("c", "n2", terminating=True),
        pod("d", "s1"),
        pod("e", "n2", phase="Failed"),
        pod("f", "n2", app="another"),
        pod("g", "n2", namespace="elsewhere"),
    )
    assert supply(seen, MODEL, [L4, SPOT]) == {
        "l4": PoolSupply(replicas_ready=1, replicas_starting=1, replicas_draining=1, units_ready=2),
        "spot": PoolSupply(replicas_ready=1, units_ready=1),
    }


def test_a_pod_without_a_node_counts_where_its_selector_will_have_it() -> None:
    spot = {"cloud.google.com/gke-spot": "true"}
    seen = cluster(
        pod("a", ready=False, phase="Pending", placing=spot),
        pod("b", ready=False, phase="Pending"),
    )
    found = supply(seen, MODEL, [L4, SPOT])
    assert (found["l4"].replicas_starting, found["spot"].replicas_starting) == (1, 1)


def test_a_pod_that_is_ready_on_a_foreign_node_is_nobodys() -> None:
    seen = cluster(node("x", "cpu-pool"), pod("a", "x"))
    assert supply(seen, MODEL, [L4, SPOT])["l4"].replicas_ready == 0


def test_a_slice_that_misses_a_node_is_not_there() -> None:
    nodes = [node(f"t{n}", "v5e-pool", ready=n != 2) for n in range(4)]
    found = supply(cluster(*nodes), MODEL, [SLICE])["v5e"]
    assert (found.units_ready, found.units_starting) == (0, 1)
    whole = [node(f"t{n}", "v5e-pool") for n in range(4)]
    found = supply(cluster(*whole), MODEL, [SLICE])["v5e"]
    assert (found.units_ready, found.units_starting) == (1, 0)


def test_a_node_is_empty_when_nothing_on_it_would_be_missed() -> None:
    seen = cluster(
        node("busy"),
        node("system"),
        node("done"),
        node("new", ready=False),
        pod("a", "busy", app="another", namespace="elsewhere"),
        pod("b", "system", stays=True),
        pod("c", "done", phase="Succeeded"),
    )
    assert empty_nodes(seen, L4) == {"system", "done"}


def test_a_node_that_a_pod_is_leaving_is_not_empty_yet() -> None:
    seen = cluster(node("n1"), pod("a", "n1", terminating=True))
    assert empty_nodes(seen, L4) == frozenset()


def test_views_of_documents() -> None:
    document: dict[str, Any] = {
        "metadata": {
            "name": "a",
            "namespace": "llm",
            "uid": "u",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"kind": "DaemonSet", "name": "d"}],
        },
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": "Running",
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "lastTransitionTime": "2026-01-01T00:02:30Z",
                }
            ],
        },
    }
    view = pod_view(document)
    assert view.ready
    assert view.ready_s == view.created_s + 150.0
    assert (view.node, view.stays, view.terminating) == ("n1", True, False)
    assert node_view(document).ready_s == view.ready_s


@pytest.mark.parametrize("document", [{}, {"metadata": {"name": "a"}}])
def test_what_is_no_pod_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        pod_view(document)


def test_lead_times_tell_a_warm_slot_from_a_new_node() -> None:
    times = LeadTimes()
    things: list[PodView | NodeView] = []
    for n in range(ENOUGH):
        things.append(node(f"old{n}", created_s=-9_000.0, ready_s=-8_800.0))
        things.append(pod(f"w{n}", f"old{n}", created_s=0.0, ready_s=90.0 + n))
        things.append(node(f"new{n}", created_s=20.0, ready_s=260.0))
        things.append(pod(f"c{n}", f"new{n}", created_s=10.0, ready_s=400.0))
    seen = cluster(*things)
    assert times.learn(seen, [MODEL], [L4]) == 4 * ENOUGH
    assert times.learn(seen, [MODEL], [L4]) == 0  # each only once
    assert times.known() == {
        ("l4", "node"): 240.0,
        ("l4", "warmPod"): 94.0,
        ("l4", "coldPod"): 390.0,
    }


def test_a_few_samples_are_not_enough_to_believe() -> None:
    times = LeadTimes()
    seen = cluster(node("n", created_s=0.0, ready_s=100.0))
    times.learn(seen, [MODEL], [L4])
    assert times.quantile_s("l4", Path.NODE) is None


def test_lead_times_survive_as_a_document_and_bad_ones_are_refused() -> None:
    times = LeadTimes()
    nodes = [node(f"n{n}", created_s=0.0, ready_s=100.0 + n) for n in range(ENOUGH)]
    times.learn(cluster(*nodes), [MODEL], [L4])
    assert LeadTimes.of_document(times.to_document()).known() == times.known()
    for bad in ({"l4/node": "x"}, {"l4/node": [-1.0]}, {"l4/other": [1.0]}):
        with pytest.raises(ValueError, match=r".+"):
            LeadTimes.of_document(bad)
