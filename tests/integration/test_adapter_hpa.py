"""A real HPA on the adapter's metrics comes to exactly the replicas that arithmetic predicts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from loadstar.clock import SystemClock
from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import NotInTime, wait_until
from tests.integration.adapter_lab import (
    EXTERNAL,
    MANIFESTS,
    Adapter,
    external,
    installed,
    sample,
    serves,
)

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]

LOAD = "test_load"
SETTLE_SECONDS = 7.0
"""More than three syncs of 2 s: whoever holds now holds."""
WITHIN_SECONDS = 40.0
CRDS = MANIFESTS / "crds"
POOL = "inference.networking.k8s.io/v1"


@pytest.fixture(scope="module")
def behind(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Adapter]:
    with installed(control_plane, tmp_path_factory.mktemp("adapter")) as made:
        yield made


# -- metrics as an HPA writes them ------------------------------------------------------------


def pods(target: str) -> Object:
    metric = {"name": LOAD}
    return {
        "type": "Pods",
        "pods": {"metric": metric, "target": {"type": "AverageValue", "averageValue": target}},
    }


def outside(name: str, target: str, kind: str = "AverageValue") -> Object:
    key = "averageValue" if kind == "AverageValue" else "value"
    return {
        "type": "External",
        "external": {"metric": {"name": name}, "target": {"type": kind, key: target}},
    }


def of(kind: str, api: str, name: str, metric: str, target: str, how: str = "Value") -> Object:
    key = "averageValue" if how == "AverageValue" else "value"
    return {
        "type": "Object",
        "object": {
            "describedObject": {"apiVersion": api, "kind": kind, "name": name},
            "metric": {"name": metric},
            "target": {"type": how, key: target},
        },
    }


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A Deployment, what is known of it, and the size that follows."""

    name: str
    replicas: int
    metrics: Sequence[Object]
    to: int
    running: int = 0
    """Pods that run; the others are pending."""
    loads: Sequence[float] = ()
    """Of the running ones, in order; those beyond are running and have no sample."""
    rows: Sequence[Object] = ()
    min: int = 1
    behavior: Object | None = None
    condition: tuple[str, str, str] | None = None
    """Type, status and reason that the HPA must give."""
    extra: dict[str, Any] = field(default_factory=dict)


def vectors(ns: str) -> list[Vector]:
    def queue(name: str, total: float) -> tuple[Sequence[Object], Sequence[Object]]:
        return [outside(name, "1")], [external(ns, name, total)]

    made = [
        Vector(name="a", replicas=4, running=4, loads=[0.9] * 4, metrics=[pods("500m")], to=8),
        Vector(name="b", replicas=4, running=4, loads=[0.549] * 4, metrics=[pods("500m")], to=4),
        Vector(name="c", replicas=4, running=4, loads=[0.9] * 3, metrics=[pods("500m")], to=6),
        Vector(name="d", replicas=4, running=4, loads=[0.1] * 3, metrics=[pods("500m")], to=2),
        Vector(name="e", replicas=4, running=2, loads=[0.9] * 2, metrics=[pods("500m")], to=4),
        Vector(name="f", replicas=4, running=2, loads=[2.0] * 2, metrics=[pods("500m")], to=8),
        Vector(name="g", replicas=4, running=4, loads=[0.9] * 2, metrics=[pods("500m")], to=4),
    ]
    for number, total, to in (
        # Exactly ten percent more or less is within the tolerance still.
        *((20, 21, 20), (20, 22, 20), (20, 23, 23), (20, 18, 20), (20, 17, 17)),
        *((10, 9, 10), (10, 11, 10), (10, 12, 12), (11, 12, 11)),
    ):
        name = f"h-{number}-{total}"
        metrics, rows = queue(name, total)
        made.append(Vector(name=name, replicas=number, metrics=metrics, rows=rows, to=to))
    made += [
        Vector(
            name="i",
            replicas=4,
            running=3,
            metrics=[outside("i", "100", "Value")],
            # Two series of one metric add up.
            rows=[external(ns, "i", 150, pool="a"), external(ns, "i", 50, pool="b")],
            to=6,
        ),
        Vector(
            name="j",
            replicas=0,
            metrics=[outside("j", "1")],
            rows=[external(ns, "j", 5)],
            to=0,
            condition=("ScalingActive", "False", "ScalingDisabled"),
        ),
        Vector(
            name="k",
            replicas=4,
            min=9,
            metrics=[outside("k", "1")],
            rows=[external(ns, "k", 4)],
            behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}},
            to=9,
        ),
        Vector(
            name="l-down",
            replicas=5,
            metrics=[outside("l-down", "1"), outside("nobody-has-this", "1")],
            rows=[external(ns, "l-down", 3)],
            to=5,
        ),
        Vector(
            name="l-up",
            replicas=5,
            metrics=[outside("l-up", "1"), outside("nobody-has-this", "1")],
            rows=[external(ns, "l-up", 8)],
            to=8,
        ),
        Vector(
            name="pool-value",
            replicas=3,
            running=2,
            metrics=[of("InferencePool", POOL, "px", "queue_depth", "10")],
            rows=[sample("InferencePool", ns, "px", "queue_depth", 30)],
            to=6,
        ),
        Vector(
            name="pool-average",
            replicas=5,
            metrics=[of("InferencePool", POOL, "px", "running_requests", "10", how="AverageValue")],
            rows=[sample("InferencePool", ns, "px", "running_requests", 61)],
            to=7,
        ),
        Vector(
            name="namespace",
            replicas=6,
            metrics=[of("Namespace", "v1", ns, "queue_depth", "10", how="AverageValue")],
            rows=[sample("Namespace", ns, ns, "queue_depth", 25)],
            to=3,
        ),
    ]
    return made


# -- the cluster that they are tried in -------------------------------------------------------


def deployment(ns: str, name: str, replicas: int) -> Object:
    labels = {"app": name}
    containers = [{"name": "server", "image": "none.invalid/server"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": ns},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def autoscaler(ns: str, vector: Vector) -> Object:
    spec: Object = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": vector.name},
        "minReplicas": vector.min,
        "maxReplicas": 100,
        "metrics": list(vector.metrics),
    }
    if vector.behavior is not None:
        spec["behavior"] = vector.behavior
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": vector.name, "namespace": ns},
        "spec": spec,
    }


def members(plane: ControlPlane, ns: str, name: str) -> list[Object]:
    found = plane.objects.list("v1", "Pod", ns, f"app={name}")
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def size(plane: ControlPlane, ns: str, name: str) -> int:
    found = plane.objects.get("apps/v1", "Deployment", name, ns)
    assert found is not None
    replicas: int = found["spec"]["replicas"]
    return replicas


def rescales(plane: ControlPlane, ns: str) -> dict[str, list[int]]:
    """The sizes that each HPA has set, in order."""
    found: dict[str, list[tuple[str, int]]] = {}
    for event in plane.objects.list("v1", "Event", ns):
        if event["reason"] == "SuccessfulRescale":
            number = int(event["message"].removeprefix("New size: ").partition(";")[0])
            name = event["involvedObject"]["name"]
            found.setdefault(name, []).append((event["metadata"]["creationTimestamp"], number))
    return {name: [number for _, number in sorted(each)] for name, each in found.items()}


def condition(plane: ControlPlane, ns: str, name: str, kind: str) -> tuple[str, str, str]:
    found = plane.objects.get("autoscaling/v2", "HorizontalPodAutoscaler", name, ns) or {}
    for each in found.get("status", {}).get("conditions") or ():
        if each["type"] == kind:
            return each["type"], each["status"], each["reason"]
    return kind, "", ""


def deployed(plane: ControlPlane, ns: str, vector: Vector) -> list[str]:
    """Wait for its pods and play the kubelet for those that run; their names."""
    wait_until(
        lambda: len(members(plane, ns, vector.name)) == vector.replicas,
        within_s=WITHIN_SECONDS,
        what=f"{vector.name} has its pods",
    )
    running = members(plane, ns, vector.name)[: vector.running]
    for pod in running:
        # A list leaves out what its items are.
        plane.objects.patch_pod_status({"apiVersion": "v1", "kind": "Pod", **pod}, ip="127.0.0.1")
    return [str(pod["metadata"]["name"]) for pod in running]


def test_sizes_are_exactly_those_of_the_arithmetic(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    """All at once, as the HPA controller meets them; each first step must be the predicted one."""
    plane, ns = control_plane, kube_namespace
    cases = vectors(ns)
    plane.objects.apply(CRDS)
    plane.objects.apply(inference_pool(ns))
    for case in cases:
        plane.objects.apply(deployment(ns, case.name, case.replicas))
    rows: list[Object] = []
    for case in cases:
        names = deployed(plane, ns, case)
        rows += [
            sample("Pod", ns, name, LOAD, load)
            for name, load in zip(names, case.loads, strict=False)
        ]
        rows += case.rows
    behind.tell(rows)
    wait_until(
        lambda: behind_knows(behind, ns, "h-20-22"), within_s=5, what="the samples are there"
    )
    for case in cases:
        plane.objects.apply(autoscaler(ns, case))
    moves = {case.name: case.to for case in cases if case.to != case.replicas}
    with contextlib.suppress(NotInTime):  # what follows says who has not
        wait_until(
            lambda: set(moves) <= set(rescales(plane, ns)),
            within_s=WITHIN_SECONDS,
            what="everybody who has to has moved",
        )
    pause(SETTLE_SECONDS)
    first = {name: sizes[0] for name, sizes in rescales(plane, ns).items()}
    assert first == moves
    for case in cases:
        if case.condition is not None:
            assert condition(plane, ns, case.name, case.condition[0]) == case.condition
        elif case.name != "l-down":
            active = condition(plane, ns, case.name, "ScalingActive")
            assert active == ("ScalingActive", "True", "ValidMetricFound"), case.name


def test_a_pool_follows_its_load_up_and_down(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    """And never below the highest size wanted within the window: 10, 9, 6, 4 stay 10."""
    plane, ns = control_plane, kube_namespace
    steady = Vector(
        name="held",
        replicas=10,
        metrics=[outside("held", "1")],
        behavior={"scaleDown": {"stabilizationWindowSeconds": 300}},
        to=10,
    )
    follows = Vector(name="follows", replicas=2, metrics=[outside("follows", "1")], to=0)
    for case in (steady, follows):
        plane.objects.apply(deployment(ns, case.name, case.replicas))
        deployed(plane, ns, case)
        plane.objects.apply(autoscaler(ns, case))
    for held, wanted in ((10, 6), (9, 9), (6, 4), (4, 1)):
        behind.tell([external(ns, "held", held), external(ns, "follows", wanted)])
        wait_until(
            lambda wanted=wanted: size(plane, ns, "follows") == wanted,  # type: ignore[misc]
            within_s=WITHIN_SECONDS,
            what=f"follows has {wanted}",
        )
        pause(3)  # the other HPA has seen it too
        assert size(plane, ns, "held") == 10
    # From two, an HPA goes no further than four at once.
    assert rescales(plane, ns) == {"follows": [4, 6, 9, 4, 1]}
    assert condition(plane, ns, "held", "AbleToScale")[2] == "ScaleDownStabilized"


def test_to_zero_and_back_on_a_queue_outside(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    plane, ns = control_plane, kube_namespace
    case = Vector(name="z", replicas=2, min=0, metrics=[outside("zero", "4")], to=0)
    plane.objects.apply(deployment(ns, "z", 2))
    deployed(plane, ns, case)
    behind.tell([external(ns, "zero", 0)])
    plane.objects.apply(autoscaler(ns, case))
    wait_until(lambda: size(plane, ns, "z") == 0, within_s=WITHIN_SECONDS, what="z is at zero")
    behind.tell([external(ns, "zero", 9)])
    wait_until(lambda: size(plane, ns, "z") == 3, within_s=WITHIN_SECONDS, what="z is back")


def inference_pool(ns: str) -> Object:
    return {
        "apiVersion": POOL,
        "kind": "InferencePool",
        "metadata": {"name": "px", "namespace": ns},
        "spec": {
            "selector": {"matchLabels": {"app": "none"}},
            "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
        },
    }


def behind_knows(behind: Adapter, ns: str, metric: str) -> bool:
    return serves(behind.plane, f"/apis/{EXTERNAL}/v1beta1/namespaces/{ns}/{metric}")


def pause(seconds: float) -> None:
    """For what must not happen; nothing can be waited for."""
    clock = SystemClock()
    until = clock.now() + seconds
    wait_until(lambda: clock.now() >= until, within_s=seconds + 5, what="time passes")
