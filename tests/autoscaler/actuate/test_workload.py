"""The replicas of a workload follow the decision, whoever scales it besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.actuate.gate import Gate
from autoscaler.actuate.workload.documents import LEADER_WORKER_SETS, SCALED_OBJECTS
from autoscaler.actuate.workload.driver import FIELD_MANAGER, LOOKS, WorkloadDriver
from autoscaler.actuate.workload.plan import Count, Floor, Workload, Written, changes
from autoscaler.errors import Advisory, NotLeader
from autoscaler.policy.model import Mode, TargetPolicy
from loadstar.kube.errors import ApiError, Conflict, NotFound, ServerError, Unreachable
from loadstar.kube.resources import DEPLOYMENTS, HPAS, Resource
from tests.fakes.kube_documents import KubeDocuments, Write

OVERRIDE_S = 900.0


def cluster(
    replicas: int = 2,
    *,
    floor: int | None = 2,
    ceiling: int = 10,
    resource: Resource = DEPLOYMENTS,
    keda: bool = False,
) -> KubeDocuments:
    kube = KubeDocuments()
    metadata = {"name": "vllm", "namespace": "prod"}
    kube.put(resource, {"metadata": dict(metadata), "spec": {"replicas": replicas}})
    hpa: dict[str, Any] = {"metadata": dict(metadata), "spec": {"maxReplicas": ceiling}}
    if floor is not None:
        hpa["spec"]["minReplicas"] = floor
    if keda:
        hpa["metadata"]["ownerReferences"] = [{"kind": "ScaledObject", "name": "vllm"}]
        scaled = {"minReplicaCount": floor, "maxReplicaCount": ceiling}
        kube.put(SCALED_OBJECTS, {"metadata": dict(metadata), "spec": scaled})
    kube.put(HPAS, hpa)
    return kube


def driver(
    kube: KubeDocuments,
    *,
    hpa: str = "vllm",
    kind: str = "Deployment",
    mode: Mode = Mode.ACTIVE,
    leads: bool = True,
    known: Written | None = None,
) -> WorkloadDriver:
    target = TargetPolicy(kind=kind, name="vllm", hpa=hpa)
    gate = Gate(mode=lambda: mode, leads=lambda _seconds: leads)
    return WorkloadDriver(target, "prod", kube, gate, override_s=OVERRIDE_S, known=known)


async def test_a_floor_is_applied_as_the_one_field_of_ours() -> None:
    kube = cluster()
    await driver(kube).tick(6, 0.0)
    what = "horizontalpodautoscalers.autoscaling/vllm"
    assert kube.writes == [Write("apply", what, {"minReplicas": 6}, FIELD_MANAGER)]
    assert kube.at(HPAS, "vllm", "prod")["spec"] == {"minReplicas": 6, "maxReplicas": 10}


async def test_a_floor_is_written_once() -> None:
    kube = cluster()
    one = driver(kube)
    for now_s in (0.0, 15.0, 30.0):
        await one.tick(6, now_s)
    assert len(kube.writes) == 1


async def test_a_floor_never_passes_the_hpas_own_maximum() -> None:
    kube = cluster(ceiling=5)
    await driver(kube).tick(9, 0.0)
    assert kube.at(HPAS, "vllm", "prod")["spec"]["minReplicas"] == 5


async def test_an_hpa_without_a_floor_has_one_of_1() -> None:
    kube = cluster(floor=None)
    await driver(kube).tick(1, 0.0)
    assert kube.writes == []


async def test_kedas_floor_is_its_scaled_objects() -> None:
    kube = cluster(keda=True)
    await driver(kube).tick(6, 0.0)
    assert [(w.verb, w.what, w.body) for w in kube.writes] == [
        ("apply", "scaledobjects.keda.sh/vllm", {"minReplicaCount": 6})
    ]


async def test_from_0_an_hpa_must_be_woken_by_the_count() -> None:
    kube = cluster(replicas=0, floor=1)
    await driver(kube).tick(3, 0.0)
    assert [(w.verb, w.body["spec"] if w.verb != "apply" else w.body) for w in kube.writes] == [
        ("apply", {"minReplicas": 3}),
        ("patch scale", {"replicas": 3}),
    ]


async def test_to_0_the_hpa_is_put_to_rest_by_the_count() -> None:
    kube = cluster(replicas=2, floor=2)
    await driver(kube).tick(0, 0.0)
    assert kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] == 0
    assert kube.at(HPAS, "vllm", "prod")["spec"]["minReplicas"] == 1


async def test_without_an_hpa_the_count_is_set() -> None:
    kube = cluster()
    sized = await driver(kube, hpa="").tick(5, 0.0)
    assert sized.written == (Count(5),)
    assert kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] == 5


async def test_a_leader_worker_set_counts_groups() -> None:
    kube = cluster(resource=LEADER_WORKER_SETS)
    await driver(kube, hpa="", kind="LeaderWorkerSet").tick(5, 0.0)
    assert kube.at(LEADER_WORKER_SETS, "vllm", "prod")["spec"]["replicas"] == 5


@dataclass
class Racing(KubeDocuments):
    """Each of ``between`` happens to the Deployment after it was read and before it is written."""

    between: list[dict[str, Any]] = field(default_factory=list)

    async def patch(self, resource: Resource, *args: Any, **named: Any) -> dict[str, Any]:
        if self.between:
            document = self.at(resource, "vllm", "prod")
            self.put(resource, document | self.between.pop(0))
        return await super().patch(resource, *args, **named)


def racing(*between: dict[str, Any]) -> Racing:
    kube = Racing(between=list(between))
    document = {"metadata": {"name": "vllm", "namespace": "prod"}, "spec": {"replicas": 2}}
    kube.put(DEPLOYMENTS, document)
    return kube


async def test_a_count_is_written_though_a_pod_turned_ready_in_between() -> None:
    kube = racing({"status": {"readyReplicas": 1}}, {"status": {"readyReplicas": 2}})
    sized = await driver(kube, hpa="").tick(5, 0.0)
    assert sized.written == (Count(5),)
    assert kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] == 5


async def test_a_count_that_somebody_sets_in_between_is_left_alone() -> None:
    kube = racing({"spec": {"replicas": 7}})
    one = driver(kube, hpa="")
    sized = await one.tick(5, 0.0)
    assert (sized.written, sized.override) == ((), "7 replicas, not the 2 set here")
    assert kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] == 7
    assert (await one.tick(5, OVERRIDE_S)).written == (Count(5),)


async def test_a_count_that_changes_at_every_look_waits_for_the_next_tick() -> None:
    kube = racing(*({"status": {"readyReplicas": n}} for n in range(LOOKS)))
    one = driver(kube, hpa="")
    with pytest.raises(Conflict):
        await one.tick(5, 0.0)
    await one.tick(5, 15.0)
    assert kube.at(DEPLOYMENTS, "vllm", "prod")["spec"]["replicas"] == 5


async def test_a_floor_that_somebody_else_sets_is_left_alone_for_a_while() -> None:
    kube = cluster()
    one = driver(kube)
    await one.tick(6, 0.0)
    kube.at(HPAS, "vllm", "prod")["spec"]["minReplicas"] = 4
    sized = await one.tick(6, 15.0)
    assert sized.override == "a floor of 4 replicas, not the 6 set here"
    assert (await one.tick(6, 900.0)).written == ()
    assert (await one.tick(6, 930.0)).written == (Floor(6),)


async def test_a_workload_that_is_gone_is_an_error_and_no_size() -> None:
    with pytest.raises(NotFound):
        await driver(KubeDocuments()).tick(3, 0.0)


async def test_advisory_mode_writes_nothing() -> None:
    kube = cluster(replicas=0)
    with pytest.raises(Advisory):
        await driver(kube, mode=Mode.ADVISORY).tick(6, 0.0)
    with pytest.raises(Advisory):
        await driver(kube, hpa="", mode=Mode.OFF).tick(6, 0.0)
    assert kube.writes == []


async def test_who_does_not_lead_writes_nothing() -> None:
    kube = cluster()
    with pytest.raises(NotLeader):
        await driver(kube, leads=False).tick(6, 0.0)
    assert kube.writes == []


@given(
    st.integers(0, 20),
    st.none() | st.integers(0, 20),
    st.none() | st.integers(1, 20),
    st.integers(0, 20),
)
def test_one_look_is_enough(
    replicas: int, floor: int | None, ceiling: int | None, wanted: int
) -> None:
    """What is written once is not written again, and never passes the ceiling."""
    seen = Workload(
        replicas=replicas,
        floor=floor,
        ceiling=ceiling if floor is not None else None,
        floor_may_be_zero=floor == 0,
    )
    after = seen
    for change in changes(Written(), seen, wanted, 0.0):
        match change:
            case Floor(n):
                after = Workload(
                    replicas=after.replicas,
                    floor=n,
                    ceiling=after.ceiling,
                    floor_may_be_zero=seen.floor_may_be_zero,
                )
            case Count(n):
                after = Workload(
                    replicas=n,
                    floor=after.floor,
                    ceiling=after.ceiling,
                    floor_may_be_zero=seen.floor_may_be_zero,
                )
        assert seen.ceiling is None or change.replicas <= seen.ceiling or change == Count(wanted)
    assert changes(Written(), after, wanted, 0.0) == ()


@pytest.mark.parametrize("error", [Unreachable("reset"), ServerError("etcd", status=500)])
async def test_a_floor_that_was_set_unanswered_is_nobodys_override(error: ApiError) -> None:
    kube = cluster()
    one = driver(kube)
    await one.tick(2, 0.0)
    kube.lost = [error]
    with pytest.raises(type(error)):
        await one.tick(6, 15.0)
    after = await one.tick(7, 30.0)
    assert after.override == ""
    assert [write.body for write in kube.writes] == [{"minReplicas": 6}, {"minReplicas": 7}]


async def test_a_count_that_was_set_unanswered_is_nobodys_override() -> None:
    kube = cluster(floor=None)
    one = driver(kube, hpa="")
    await one.tick(2, 0.0)
    kube.lost = [Unreachable("reset")]
    with pytest.raises(Unreachable):
        await one.tick(6, 15.0)
    assert (await one.tick(6, 30.0)).override == ""
    assert len(kube.writes) == 1


async def test_an_override_is_respected_by_the_next_driver_too() -> None:
    """A new policy makes a new one; the person who set the floor knows nothing of that."""
    kube = cluster()
    one = driver(kube)
    await one.tick(6, 0.0)
    kube.at(HPAS, "vllm", "prod")["spec"]["minReplicas"] = 3
    assert (await one.tick(6, 15.0)).override
    two = driver(kube, known=one.written)
    for now_s in (30.0, OVERRIDE_S):
        await two.tick(6, now_s)
    assert len(kube.writes) == 1
    await two.tick(6, 15.0 + OVERRIDE_S)
    assert len(kube.writes) == 2
