"""A project at Google and a cluster that answer as they are told to, for the tests of preflight.

Google's own client speaks to the fake; the cluster's answers are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.commands.preflight_google import at_google
from autoscaler.policy.model import Policy, load_policy
from loadstar.kube.errors import NotFound
from loadstar.kube.resources import Resource
from tests.fakes.clock import ManualClock
from tests.fakes.gke.cloud import Cloud, Pool
from tests.fakes.gke.in_process import HOST, Answers, google
from tests.fakes.gke.routes import CLUSTER, LOCATION, PROJECT, Answer, Api, Project

ZONE = "us-central1-a"
WHERE = f"{{cluster: {CLUSTER}, location: {LOCATION}, "
CLASS_L4 = "/apis/cloud.google.com/v1/computeclasses/l4"


class Answering:
    api: Api

    def answer(self, method: str, url: str, body: bytes = b"") -> Answer:
        return self.api.answer(method, url, body)


ANSWERS: Answers = (SWITCH := Answering())
GOOGLE = google(ANSWERS)


class Machines(Api):
    """The fake, whose pools have accelerators."""

    def __init__(self, cloud: Cloud, project: Project, configs: Mapping[str, Any]) -> None:
        super().__init__(cloud, project)
        self._configs = configs

    def _described(self, pool: Pool) -> dict[str, Any]:
        return {**super()._described(pool), **self._configs.get(pool.name, {})}


def gpus(name: str, count: int) -> dict[str, Any]:
    return {"config": {"accelerators": [{"acceleratorType": name, "acceleratorCount": count}]}}


def findings(
    pools: str, project: Project, configs: Mapping[str, Any], *clouded: Pool
) -> list[Finding]:
    cloud = Cloud(ManualClock().now)
    for pool in clouded:
        cloud.add(pool)
    SWITCH.api = Machines(cloud, project, configs)
    policy = load_policy(f"models: [{{name: m}}]\npools:\n{pools}")
    found = at_google(policy, GOOGLE, PROJECT, manager=f"http://{HOST}", quotas=f"http://{HOST}")
    assert [c.method for c in cloud.calls if c.method in ("setSize", "setAutoscaling")] == []
    return found


def short(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.level is Level.SHORT]


class Cluster:
    """Answers reviews; ``denied`` are (verb, resource)."""

    def __init__(
        self,
        denied: set[tuple[str, str]],
        served: Mapping[str, list[str]],
        objects: Mapping[str, Any] | None = None,
    ) -> None:
        self.denied, self.served, self.objects = denied, served, objects or {}

    async def raw(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        if path == "/version":
            return {"gitVersion": "v1.36.3"}
        if path in self.objects:
            return self.objects[path]
        if path not in self.served:
            raise NotFound(path, status=404)
        return {"resources": [{"name": each} for each in self.served[path]]}

    async def create(
        self,
        resource: Resource,
        document: dict[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> dict[str, Any]:
        asked = document["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) not in self.denied
        return {"status": {"allowed": allowed}}


def policy(mode: str) -> Policy:
    return load_policy(
        "models:\n- name: m\n  namespace: llm\n  variants:\n"
        "  - {pool: l4, target: {name: vllm, hpa: vllm}}\n"
        f"pools:\n- {{name: l4, mode: {mode}}}\n"
    )
