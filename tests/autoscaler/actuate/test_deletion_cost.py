"""The least busy go first: marked before the workload shrinks, which never fails for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.actuate.gate import Gate
from autoscaler.actuate.workload.deletion_cost import LOWEST, MOST_AT_ONCE, OURS, marks
from autoscaler.actuate.workload.driver import WorkloadDriver
from autoscaler.actuate.workload.marking import EVERY_S, Marking
from autoscaler.errors import Advisory, TooManyWrites
from autoscaler.observe.replica_loads import Replica
from autoscaler.policy.model import Mode, TargetPolicy
from loadstar.kube.errors import Forbidden
from loadstar.kube.resources import DEPLOYMENTS, PODS, Resource
from tests.fakes.kube_documents import KubeDocuments

KEY = "controller.kubernetes.io/pod-deletion-cost"

DOING = st.tuples(
    st.booleans(),
    st.sampled_from([None, 0.0, 1.0, 2.5, 40.0, 1e7]),
    st.sampled_from([None, None, LOWEST, LOWEST + 3, 5, -7]),
    st.sampled_from(["", "m", "n", "o"]),
)
REPLICAS = st.lists(DOING, max_size=10).map(
    lambda rows: [Replica(f"p{number}", *row) for number, row in enumerate(rows)]
)


def replica(
    name: str,
    requests: float | None,
    *,
    ready: bool = True,
    cost: int | None = None,
    node: str = "",
) -> Replica:
    return Replica(name, ready, requests, cost, node)


@pytest.mark.parametrize(
    ("there", "leaving", "written"),
    [
        pytest.param(
            [replica("a", 9.0), replica("b", 1.0), replica("c", 4.0)],
            2,
            {"b": LOWEST + 1, "c": LOWEST + 4},
            id="the least busy are marked, the least of them lowest",
        ),
        pytest.param(
            [replica("a", 9.0), replica("b", None), replica("c", 4.0)],
            2,
            {"c": LOWEST + 4, "a": LOWEST + 9},
            id="whose load is not known is not marked",
        ),
        pytest.param(
            [replica("a", 9.0), replica("b", None, ready=False), replica("c", 4.0)],
            2,
            {"c": LOWEST + 4},
            id="those that are not ready go before any other",
        ),
        pytest.param(
            [replica("a", 9.0, cost=LOWEST + 2), replica("b", 1.0)],
            1,
            {"a": None, "b": LOWEST + 1},
            id="one that has become busy stays after all",
        ),
        pytest.param(
            [replica("a", 3.0, cost=LOWEST + 2), replica("b", 8.0)],
            1,
            {},
            id="who is marked already is not marked anew",
        ),
        pytest.param(
            [replica("a", 3.0, cost=LOWEST + 2), replica("b", 8.0)],
            0,
            {"a": None},
            id="nobody goes any more",
        ),
        pytest.param(
            [replica("a", 0.0, cost=100), replica("b", 8.0)],
            1,
            {"b": LOWEST + 8},
            id="what somebody else has annotated is theirs",
        ),
        pytest.param([replica("a", 1.0)], -3, {}, id="a workload that grows"),
        pytest.param(
            [
                replica("a", 5.0, node="m"),
                replica("b", 0.0, node="m"),
                replica("c", 3.0, node="n"),
                replica("d", 1.0, node="n"),
            ],
            2,
            {"c": LOWEST + 3, "d": LOWEST + 1},
            id="two of one node, though one of the other's is less busy",
        ),
        pytest.param(
            [
                replica("a", 5.0, node="m"),
                replica("b", 5.0, node="m"),
                replica("c", 0.0, node="m"),
                replica("d", 9.0, node="n"),
                replica("e", 1.0, node="n"),
            ],
            1,
            {"e": LOWEST + 1},
            id="one of the node that is nearest to being empty",
        ),
        pytest.param(
            [
                replica("a", 0.0, node="m"),
                replica("b", None, node="m"),
                replica("c", 9.0, node="n"),
                replica("d", 9.0, node="n"),
                replica("e", 9.0, node="n", ready=False),
            ],
            3,
            {"c": LOWEST + 9, "d": LOWEST + 9},
            id="a node is empty without a pod that goes anyway, and never of one that is unknown",
        ),
    ],
)
def test_marks(there: list[Replica], leaving: int, written: dict[str, int | None]) -> None:
    assert marks(there, leaving) == written


@given(there=REPLICAS, leaving=st.integers(-2, 12))
def test_marks_name_no_more_than_leave_and_only_what_is_ours(
    there: list[Replica], leaving: int
) -> None:
    known = {each.name: each for each in there}
    found = marks(there, leaving)
    assert len(found) <= MOST_AT_ONCE
    for name, cost in found.items():
        before = known[name].deletion_cost
        assert before is None or before in OURS
        assert (cost is None) == (before is not None)
        assert cost is None or cost in OURS
    assert sum(cost is not None for cost in found.values()) <= max(0, leaving)


@given(there=REPLICAS, leaving=st.integers(0, 12))
def test_once_written_nothing_more_is(there: list[Replica], leaving: int) -> None:
    costs = {each.name: each.deletion_cost for each in there}
    costs.update(marks(there, leaving))
    assert marks([_with(each, costs[each.name]) for each in there], leaving) == {}


def _with(each: Replica, cost: int | None) -> Replica:
    return Replica(each.name, each.ready, each.requests, cost, each.node)


def test_a_large_fleet_is_marked_a_batch_at_a_time() -> None:
    there = [replica(f"p{number:03}", float(number)) for number in range(100)]
    assert list(marks(there, 50)) == [f"p{number:03}" for number in range(MOST_AT_ONCE)]


class Pods(KubeDocuments):
    """Documents whose metadata can be patched; a pod that has gone is not found."""

    async def patch(
        self, resource: Resource, name: str, namespace: str, change: Any, **more: Any
    ) -> dict[str, Any]:
        if resource != PODS:
            return await super().patch(resource, name, namespace, change, **more)
        self._write("patch", f"{resource}/{name}", change, more["field_manager"])
        found = self.at(resource, name, namespace)
        annotations = found["metadata"].setdefault("annotations", {})
        for key, value in change["metadata"]["annotations"].items():
            if value is None:
                annotations.pop(key, None)
            else:
                annotations[key] = value
        return found

    def costs(self) -> dict[str, str]:
        return {
            name: document["metadata"]["annotations"][KEY]
            for (plural, _, name), document in self.objects.items()
            if plural == "pods" and KEY in document["metadata"].get("annotations", {})
        }


class Bench:
    """Four pods of a Deployment, of which ``busy`` says what each does."""

    def __init__(self, *, mode: Mode = Mode.ACTIVE, kind: str = "Deployment", most: int = 100):
        self.busy: dict[str, float] = {"a": 5.0, "b": 0.0, "c": 7.0, "d": 2.0}
        self.kube = Pods()
        metadata = {"name": "vllm", "namespace": "prod"}
        self.kube.put(DEPLOYMENTS, {"metadata": metadata, "spec": {"replicas": 4}})
        for name in self.busy:
            self.kube.put(PODS, {"metadata": {"name": name, "namespace": "prod"}})
        self.gate = Gate(
            mode=lambda: mode,
            leads=lambda _seconds: True,
            per_hour=lambda: most,
            now=lambda: 1.0,
        )
        self.driver = WorkloadDriver(
            TargetPolicy(kind=kind, name="vllm"),
            "prod",
            self.kube,
            self.gate,
            override_s=900.0,
            replicas=self.replicas,
        )

    def replicas(self) -> tuple[Replica, ...]:
        costs = self.kube.costs()
        return tuple(
            Replica(name, True, requests, int(costs[name]) if name in costs else None)
            for name, requests in self.busy.items()
        )

    def wrote(self) -> list[str]:
        return [f"{each.verb} {each.what}" for each in self.kube.writes]


async def test_pods_are_marked_before_the_count_is_written() -> None:
    bench = Bench()
    await bench.driver.tick(2, 0.0)
    assert bench.kube.costs() == {"b": str(LOWEST), "d": str(LOWEST + 2)}
    assert bench.wrote() == ["patch pods/b", "patch pods/d", "patch scale deployments.apps/vllm"]
    assert {each.manager for each in bench.kube.writes} == {"loadstar-autoscaler"}


async def test_a_workload_that_grows_marks_nobody() -> None:
    bench = Bench()
    await bench.driver.tick(6, 0.0)
    assert bench.wrote() == ["patch scale deployments.apps/vllm"]


async def test_marks_are_taken_back_when_nobody_goes() -> None:
    bench = Bench()
    await bench.driver.tick(2, 0.0)
    bench.kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] = 2
    await bench.driver.tick(2, EVERY_S)
    assert bench.kube.costs() == {}


async def test_marks_change_no_more_than_once_a_minute() -> None:
    bench = Bench()
    marking = Marking(
        "vllm", "prod", bench.kube, bench.gate, replicas=bench.replicas, field_manager="m"
    )
    await marking.tick(1, 0.0)
    assert bench.kube.costs() == {"b": str(LOWEST)}
    bench.busy["b"] = 30.0
    await marking.tick(1, EVERY_S - 1.0)
    assert bench.kube.costs() == {"b": str(LOWEST)}
    await marking.tick(1, EVERY_S)
    assert bench.kube.costs() == {"d": str(LOWEST + 2)}


async def test_all_marks_of_a_look_are_one_write_of_the_hour() -> None:
    bench = Bench(most=2)
    await bench.driver.tick(1, 0.0)
    assert len(bench.kube.costs()) == 3
    assert bench.kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] == 1
    with pytest.raises(TooManyWrites):
        await bench.driver.tick(6, 0.0)


async def test_without_the_right_it_shrinks_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.kube.refuse.append(Forbidden('cannot patch resource "pods"', status=403))
    await bench.driver.tick(3, 0.0)
    assert bench.kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] == 3
    assert [record.message for record in caplog.records] == [
        'pods are not marked, any of them may go first: cannot patch resource "pods"'
    ]


async def test_a_pod_that_has_gone_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    del bench.kube.objects["pods", "prod", "b"]
    await bench.driver.tick(2, 0.0)
    assert bench.kube.costs() == {"d": str(LOWEST + 2)}
    assert caplog.records == []


async def test_advisory_marks_nobody() -> None:
    bench = Bench(mode=Mode.ADVISORY)
    with pytest.raises(Advisory):
        await bench.driver.tick(2, 0.0)
    assert bench.kube.writes == []
    assert [call.method for call, _ in bench.gate.kept_back] == ["mark", "scale"]
