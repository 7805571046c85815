"""Room in a cluster is asked for by the best means that it serves, once, and given back."""

from __future__ import annotations

from typing import Any

import pytest

from autoscaler.actuate.gate import Gate
from autoscaler.actuate.rungs import documents, ladder
from autoscaler.actuate.rungs.driver import Room, RoomDriver
from autoscaler.errors import Advisory
from autoscaler.policy.model import Mode, TargetPolicy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.kube.errors import ApiError, Invalid, NotFound, ServerError, Unreachable
from loadstar.kube.resources import DEPLOYMENTS
from tests.fakes.kube_documents import KubeDocuments

POD = {
    "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "containers": [
        {
            "name": "vllm",
            "resources": {"requests": {"cpu": "7500m"}, "limits": {"nvidia.com/gpu": 2}},
        },
        {"name": "proxy", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
    ],
}

L4 = {"gpu": {"type": "nvidia-l4", "count": 2}}


def cluster() -> KubeDocuments:
    kube = KubeDocuments()
    metadata = {"name": "vllm", "namespace": "prod"}
    spec: dict[str, Any] = {"replicas": 3, "template": {"spec": POD}}
    kube.put(DEPLOYMENTS, {"metadata": metadata, "spec": spec})
    kube.put(documents.CLASSES, {"metadata": {"name": "l4"}, "spec": {"priorities": [L4]}})
    return kube


def room(
    kube: KubeDocuments,
    mode: PoolMode,
    *,
    operate: Mode = Mode.ACTIVE,
    replicas_per_unit: int = 1,
    nodes_per_unit: int = 1,
) -> RoomDriver:
    pool = PoolPolicy(
        name="L4 spot",
        mode=mode,
        compute_class="l4",
        replicas_per_unit=replicas_per_unit,
        nodes_per_unit=nodes_per_unit,
    )
    gate = Gate(mode=lambda: operate, leads=lambda _seconds: True)
    return RoomDriver(pool, mode, TargetPolicy(name="vllm"), "prod", kube, gate)


@pytest.mark.parametrize(
    ("asked", "served", "used"),
    [
        (PoolMode.BUFFER, [ladder.CAPACITY_BUFFER], PoolMode.BUFFER),
        (PoolMode.BUFFER, [ladder.CAPACITY_BUFFER_ALPHA], PoolMode.BUFFER),
        (PoolMode.BUFFER, [], PoolMode.PLACEHOLDER),
        (PoolMode.COMPUTE_CLASS, [], PoolMode.PLACEHOLDER),
        (PoolMode.PROVISIONING_REQUEST, [], PoolMode.OBSERVE),
        (PoolMode.SET_SIZE, [], PoolMode.SET_SIZE),
        (PoolMode.FLOOR, [ladder.CAPACITY_BUFFER], PoolMode.FLOOR),
    ],
)
def test_the_best_means_at_or_below_the_one_asked(
    asked: PoolMode, served: list[str], used: PoolMode
) -> None:
    assert ladder.rung(asked, served) is used


async def test_a_buffer_holds_what_real_pods_do_not_stand_on_yet() -> None:
    kube = cluster()
    await room(kube, PoolMode.BUFFER).tick(5, 3, 0.0)
    buffer = kube.at(documents.BUFFERS, "loadstar-l4-spot", "prod")
    assert buffer["spec"] == {
        "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
        "scalableRef": {"apiGroup": "apps", "kind": "Deployment", "name": "vllm"},
        "replicas": 2,
    }


async def test_a_buffer_shrinks_to_nothing_as_the_pods_come() -> None:
    kube = cluster()
    one = room(kube, PoolMode.BUFFER)
    for replicas in (3, 4, 5, 6):
        await one.tick(5, replicas, 0.0)
    assert [w.body["replicas"] for w in kube.writes] == [2, 1, 0]


async def test_what_has_not_changed_is_applied_again_only_now_and_then() -> None:
    kube = cluster()
    one = room(kube, PoolMode.BUFFER)
    for tick in range(41):
        await one.tick(5, 3, tick * 15.0)
    assert len(kube.writes) == 3  # at 0, 300 and 600 seconds


async def test_placeholders_stand_where_the_model_would_and_ask_for_as_much() -> None:
    kube = cluster()
    await room(kube, PoolMode.PLACEHOLDER).tick(5, 3, 0.0)
    made = kube.at(DEPLOYMENTS, "loadstar-l4-spot", "prod")["spec"]
    pod = made["template"]["spec"]
    assert made["replicas"] == 2
    assert pod["nodeSelector"] == POD["nodeSelector"]
    assert pod["tolerations"] == POD["tolerations"]
    assert pod["priorityClassName"] == "loadstar-placeholder"
    assert pod["containers"][0]["resources"]["requests"] == {
        "cpu": "8",
        "memory": "1Gi",
        "nvidia.com/gpu": "2",
    }
    assert kube.at(documents.PRIORITIES, "loadstar-placeholder")["value"] == -10


async def test_a_class_keeps_all_nodes_that_are_wanted_whatever_stands_on_them() -> None:
    kube = cluster()
    one = room(kube, PoolMode.COMPUTE_CLASS, nodes_per_unit=4)
    for now_s, units in ((0.0, 5), (15.0, 5), (30.0, 6), (45.0, 0)):
        await one.tick(units, 3, now_s)
    assert [w.body for w in kube.writes] == [
        {"minimumCapacity": {"targetNodeCount": nodes}} for nodes in (20, 24, 0)
    ]
    assert kube.at(documents.CLASSES, "l4")["spec"]["priorities"] == [L4]  # nobody else's field


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(None, id="dropped without a word"),
        pytest.param(Invalid("priority 0 names no machine", status=422), id="invalid"),
        pytest.param(
            ServerError(".spec.minimumCapacity: field not declared in schema", status=500),
            id="unknown",
        ),
    ],
)
async def test_a_class_that_keeps_no_minimum_buffers_what_the_missing_pods_ask_for(
    refusal: ApiError | None,
) -> None:
    kube = cluster()
    if refusal is None:
        kube.pruned = {"minimumCapacity"}
    else:
        kube.refuse = [refusal]
    one = room(kube, PoolMode.COMPUTE_CLASS)
    assert "no minimumCapacity" in (await one.tick(5, 3, 0.0)).lesser
    await one.tick(5, 3, 15.0)
    assert kube.at(documents.CLASSES, "l4")["spec"]["buffers"] == [
        {
            "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
            "limits": {"cpu": "16", "memory": "2Gi", "nvidia.com/gpu": "4"},
        }
    ]


async def test_a_class_that_keeps_neither_leaves_it_to_placeholders() -> None:
    kube = cluster()
    kube.pruned = {"minimumCapacity", "buffers"}
    one = room(kube, PoolMode.COMPUTE_CLASS)
    for form in ("minimumCapacity", "buffers"):
        assert f"no {form}" in (await one.tick(5, 3, 0.0)).lesser
    assert (await one.tick(5, 3, 15.0)).lesser == ""
    assert kube.at(DEPLOYMENTS, "loadstar-l4-spot", "prod")["spec"]["replicas"] == 2


async def test_trouble_of_the_servers_own_is_no_reason_for_lesser_means() -> None:
    kube = cluster()
    kube.refuse = [ServerError("etcd leader changed", status=500)]
    one = room(kube, PoolMode.COMPUTE_CLASS)
    with pytest.raises(ServerError):
        await one.tick(5, 3, 0.0)
    assert (await one.tick(5, 3, 15.0)).written == (
        "computeclasses.cloud.google.com/l4 minimumCapacity 5",
    )


async def test_a_class_that_is_not_there_is_not_made() -> None:
    kube = cluster()
    del kube.objects["computeclasses", "", "l4"]
    with pytest.raises(NotFound, match="l4"):
        await room(kube, PoolMode.COMPUTE_CLASS).tick(5, 3, 0.0)
    assert kube.writes == []


async def test_a_slice_is_requested_whole_and_one_at_a_time() -> None:
    kube = cluster()
    one = room(kube, PoolMode.PROVISIONING_REQUEST, nodes_per_unit=4)
    assert (await one.tick(2, 0, 0.0)).written == ("+loadstar-l4-spot-1",)
    assert (await one.tick(2, 0, 15.0)).written == ("+loadstar-l4-spot-2",)
    assert await one.tick(2, 0, 30.0) == Room()
    first = kube.at(documents.REQUESTS, "loadstar-l4-spot-1", "prod")["spec"]
    assert first["podSets"] == [{"podTemplateRef": {"name": "loadstar-l4-spot-1"}, "count": 4}]


async def test_a_request_that_failed_is_told_taken_back_and_not_repeated_at_once() -> None:
    kube = cluster()
    one = room(kube, PoolMode.PROVISIONING_REQUEST)
    await one.tick(1, 0, 0.0)
    made = kube.at(documents.REQUESTS, "loadstar-l4-spot-1", "prod")
    failed = {"type": "Failed", "status": "True", "message": "no L4 in us-central1-a"}
    made["status"] = {"conditions": [failed]}
    after = await one.tick(1, 0, 15.0)
    assert after == Room(
        written=("-loadstar-l4-spot-1",),
        refused="loadstar-l4-spot-1: no L4 in us-central1-a",
    )
    assert (await one.tick(1, 0, 30.0)).written == ("+loadstar-l4-spot-1",)


@pytest.mark.parametrize("condition", ["Failed", "BookingExpired", "CapacityRevoked"])
async def test_a_request_that_came_to_nothing_is_taken_back_once_and_its_unit_asked_for_anew(
    condition: str,
) -> None:
    kube = cluster()
    one = room(kube, PoolMode.PROVISIONING_REQUEST)
    for now_s in (0.0, 15.0):
        await one.tick(2, 0, now_s)
    made = kube.at(documents.REQUESTS, "loadstar-l4-spot-1", "prod")
    made["status"] = {"conditions": [{"type": condition, "status": "True"}]}
    assert (await one.tick(2, 0, 30.0)).written == ("-loadstar-l4-spot-1",)
    assert (await one.tick(2, 0, 45.0)).written == ("+loadstar-l4-spot-3",)
    assert await one.tick(2, 0, 60.0) == Room()
    requests = [each.verb for each in kube.writes if "provisioningrequests" in each.what]
    assert requests == ["apply", "apply", "delete", "apply"]


async def test_a_request_whose_answer_was_lost_is_not_made_twice() -> None:
    kube = cluster()
    one = room(kube, PoolMode.PROVISIONING_REQUEST)
    await one.tick(1, 0, 0.0)
    kube.lost = [None, Unreachable("reset")]  # the template's arrives, the request's does not
    with pytest.raises(Unreachable):
        await one.tick(2, 0, 15.0)
    kube.lost = []
    assert await one.tick(2, 0, 45.0) == Room()
    names = [name for plural, _, name in kube.objects if plural == "provisioningrequests"]
    assert names == ["loadstar-l4-spot-1", "loadstar-l4-spot-2"]


async def test_what_is_wanted_no_more_is_taken_back_newest_first() -> None:
    kube = cluster()
    one = room(kube, PoolMode.PROVISIONING_REQUEST)
    for now_s in (0.0, 15.0, 30.0):
        await one.tick(3, 0, now_s)
    after = await one.tick(1, 0, 45.0)
    assert after.written == ("-loadstar-l4-spot-3", "-loadstar-l4-spot-2")


@pytest.mark.parametrize(
    "mode",
    [PoolMode.BUFFER, PoolMode.COMPUTE_CLASS, PoolMode.PLACEHOLDER, PoolMode.PROVISIONING_REQUEST],
)
async def test_advisory_mode_writes_nothing(mode: PoolMode) -> None:
    kube = cluster()
    with pytest.raises(Advisory):
        await room(kube, mode, operate=Mode.ADVISORY).tick(5, 3, 0.0)
    assert kube.writes == []
