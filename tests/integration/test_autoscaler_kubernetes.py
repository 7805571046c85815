"""Floors, reloads and failover against a real API server and the real HPA controller.

The process runs by its service account's token, with the rights of manifests/base/autoscaler.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoscaler.ledger.entries import Decided, Wrote
from autoscaler.replay import replay
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.integration.autoscaler_process import ACCOUNT, Autoscaler, Demand, grant

MANIFESTS = Path(__file__).parents[2] / "manifests/base/autoscaler"

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]

POLICY = """\
mode: {mode}
period: 1s
models:
- name: llama
  namespace: {namespace}
  selector: {{app: llama}}
  minReplicas: {least}
  maxReplicas: 40
  variants:
  - pool: gpu
    target: {{name: llama, hpa: llama}}
pools:
- name: gpu
  maxUnits: 40
"""


class Scene:
    """A deployment under an HPA, a policy, a demand, and processes that look at them."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path) -> None:
        self.plane, self.namespace, self.folder = plane, namespace, folder
        self.demand = Demand(folder / "demand.json")
        self.demand.say(5.0)
        labels = {"app": "llama"}
        pod = {"containers": [{"name": "m", "image": "none"}]}
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        plane.objects.apply(self._document("apps/v1", "Deployment", "llama", spec))
        metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
        hpa = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
            "minReplicas": 1,
            "maxReplicas": 30,
            "metrics": [{"type": "Resource", "resource": metric}],
        }
        kind = "HorizontalPodAutoscaler"
        plane.objects.apply(self._document("autoscaling/v2", kind, "llama", hpa))

    def _document(self, version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}

    def policy(self, *, mode: str = "active", least: int = 1, text: str = "") -> None:
        said = text or POLICY.format(mode=mode, namespace=self.namespace, least=least)
        self.plane.objects.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": ACCOUNT, "namespace": self.namespace},
                "data": {"autoscaler.yaml": said},
            }
        )

    def process(self, name: str) -> Autoscaler:
        kubeconfig = self.plane.service_account_kubeconfig(self.namespace, ACCOUNT)
        arguments = {
            "config-map": f"{self.namespace}/{ACCOUNT}",
            "demand-file": str(self.demand.path),
            "lease-namespace": self.namespace,
            "identity": name,
        }
        return Autoscaler(self.folder / name, kubeconfig, arguments)

    def floor(self) -> int:
        hpa = self.plane.objects.get(
            "autoscaling/v2", "HorizontalPodAutoscaler", "llama", self.namespace
        )
        assert hpa is not None
        return int(hpa["spec"]["minReplicas"])

    def replicas(self) -> int:
        found = self.plane.objects.get("apps/v1", "Deployment", "llama", self.namespace)
        assert found is not None
        return int(found["spec"]["replicas"])

    def leader(self) -> str:
        lease = self.plane.objects.get("coordination.k8s.io/v1", "Lease", ACCOUNT, self.namespace)
        return str(lease["spec"].get("holderIdentity", "")) if lease else ""

    def events(self) -> list[tuple[str, str]]:
        found = self.plane.objects.list("v1", "Event", self.namespace)
        return [(each["involvedObject"]["kind"], each["reason"]) for each in found]

    def wait(self, holds: Any, within_s: float, what: str) -> None:
        """Keep saying what comes in until ``holds``."""

        def look() -> bool:
            self.demand.say()
            return bool(holds())

        wait_until(look, within_s=within_s, what=what)


@pytest.fixture
def scene(control_plane: ControlPlane, kube_namespace: str, tmp_path: Path) -> Iterator[Scene]:
    wide = grant(control_plane, kube_namespace)
    yield Scene(control_plane, kube_namespace, tmp_path)
    for document in wide:
        control_plane.objects.delete(document)


def test_the_manifests_are_right(control_plane: ControlPlane, kube_namespace: str) -> None:
    """Every document of the base and of its component, by the server's own strict validation."""
    files = sorted(MANIFESTS.rglob("*.yaml"))
    documents = [
        document
        for file in files
        if file.name not in ("kustomization.yaml", "autoscaler.yaml")
        for document in yaml.safe_load_all(file.read_text())
    ]
    assert {each["kind"] for each in documents} >= {"StatefulSet", "Role", "NetworkPolicy"}
    for document in documents:
        if not document["kind"].startswith("Cluster"):
            document["metadata"]["namespace"] = kube_namespace
        control_plane.objects.dry_run(document)


def test_a_floor_takes_effect_at_the_hpas_next_sync(scene: Scene) -> None:
    scene.policy()
    with scene.process("one") as one:
        scene.demand.say(60.0)
        scene.wait(lambda: scene.floor() > 1, 30, "a floor")
        raised = scene.floor()
        # The HPA has no metric to go by, and goes to its floor all the same: within a sync (2 s).
        scene.wait(lambda: scene.replicas() >= raised, 5, "the HPA's sync")
        scene.wait(lambda: ("Deployment", "FloorRaised") in scene.events(), 10, "an event")
        scene.demand.say(150.0)
        scene.wait(lambda: scene.floor() > raised, 20, "a higher floor")
        scene.wait(lambda: scene.replicas() == scene.floor(), 5, "the HPA's sync")
    hpa = scene.plane.objects.get(
        "autoscaling/v2", "HorizontalPodAutoscaler", "llama", scene.namespace
    )
    assert hpa is not None
    (ours,) = [m for m in hpa["metadata"]["managedFields"] if m["manager"] == ACCOUNT]
    assert (ours["operation"], ours["fieldsV1"]) == ("Apply", {"f:spec": {"f:minReplicas": {}}})
    again = list(replay(one.entries()))
    assert again
    assert all(each.same for each in again)


def test_advisory_mode_writes_nothing_but_says_what_it_would(scene: Scene) -> None:
    scene.policy(mode="advisory")
    with scene.process("one") as one:
        scene.demand.say(60.0)
        scene.wait(lambda: one.said("not written"), 30, "a write kept back")
        time.sleep(2.0)  # and still nothing
        assert scene.floor() == 1
        kept = [e for e in one.entries() if isinstance(e, Wrote)]
        assert {each.outcome for each in kept} == {"kept back: advisory"}
        assert kept[0].body["minReplicas"] == max(
            e.decision.total() for e in one.entries()[:3] if isinstance(e, Decided)
        )


def test_a_changed_policy_holds_at_once_and_a_wrong_one_changes_nothing(scene: Scene) -> None:
    scene.policy()
    with scene.process("one"):
        scene.wait(lambda: scene.leader() == "one", 30, "a leader")
        scene.policy(least=9)
        scene.wait(lambda: scene.floor() >= 9, 10, "the new floor")
        scene.policy(text="mode: active\nmodles: []\n")
        scene.wait(lambda: ("ConfigMap", "PolicyRefused") in scene.events(), 10, "an event")
        time.sleep(2.0)
        assert scene.floor() >= 9
        scene.policy(least=12)
        scene.wait(lambda: scene.floor() >= 12, 10, "the next floor")


def test_somebody_elses_floor_is_left_alone(scene: Scene) -> None:
    scene.policy(least=5)
    with scene.process("one"):
        scene.wait(lambda: scene.floor() == 5, 30, "a floor")
        time.sleep(1.5)  # it has been seen once as our own
        hpa = scene.plane.objects.get(
            "autoscaling/v2", "HorizontalPodAutoscaler", "llama", scene.namespace
        )
        assert hpa is not None
        scene.plane.objects.patch(hpa, {"spec": {"minReplicas": 2}})
        scene.wait(lambda: ("Deployment", "ManualOverride") in scene.events(), 10, "an event")
        time.sleep(3.0)
        assert scene.floor() == 2


@pytest.mark.slow
def test_a_leader_that_was_stopped_never_writes_beside_the_next(scene: Scene) -> None:
    """Frozen for longer than its lease, it goes on into a world where another leads."""
    scene.policy()
    rate, resumed_at = 60.0, 0.0
    scene.demand.say(rate)
    with scene.process("a") as a:
        scene.wait(lambda: scene.leader() == "a" and scene.floor() > 1, 40, "a leads")
        with scene.process("b") as b:
            scene.wait(lambda: b.said("policy taken"), 20, "b is warm")
            a.stop()
            stopped_at = time.time()  # noqa: TID251  # compared with two processes' own clocks
            began = stopped_at
            scene.wait(lambda: scene.leader() == "b", 40, "b leads")
            took_s = time.time() - began  # noqa: TID251  # reported, not asserted closely
            for step in range(12):  # demand goes on rising, so that whoever leads has to write
                rate += 12.0
                scene.demand.say(rate)
                time.sleep(0.75)
                if step == 3:
                    a.go_on()
                    resumed_at = time.time()  # noqa: TID251  # as above
            scene.wait(lambda: scene.replicas() == scene.floor(), 10, "the HPA follows")
            late = [
                each
                for each in a.entries()
                if isinstance(each, Wrote) and each.outcome == "sent" and each.at_s > stopped_at
            ]
            by_b = [each for each in b.entries() if isinstance(each, Wrote)]
            seen = [each for each in a.entries() if isinstance(each, Decided)]
    assert late == []
    assert [each for each in by_b if each.outcome == "sent" and each.at_s > resumed_at]
    assert [each for each in seen if each.at_s > resumed_at and not each.leads]
    assert took_s < 30.0
