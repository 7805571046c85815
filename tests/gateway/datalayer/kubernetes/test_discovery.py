"""A store that follows an API server: pods, pools, policies, and a server that lets go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.config.command_line import parse
from gateway.datalayer.kubernetes.discovery import KubernetesDiscovery
from gateway.datalayer.kubernetes.wanted import wanted
from gateway.datalayer.store import Datastore
from gateway.request.model_rules import ModelRewrite, Rule, Target
from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError
from loadstar.kube.credentials import Credentials
from loadstar.kube.resources import (
    INFERENCE_OBJECTIVES,
    INFERENCE_OBJECTIVES_ALPHA,
    INFERENCE_OBJECTIVES_BEFORE_V1,
    INFERENCE_POOLS,
    INFERENCE_POOLS_ALPHA,
    MODEL_REWRITES_ALPHA,
    PODS,
)
from tests.loadstar.kube.fake_api import FakeApi, Refusal, kubeconfig, serving
from tests.loadstar.kube.kube_fixtures import kubeconfig_may_block

__all__ = ["kubeconfig_may_block"]

PATIENCE = 10.0
BY_NAME = ("--pool-name=llama", "--pool-namespace=lab")


def add_pod(api: FakeApi, name: str, address: str | None = None, **fields: Any) -> None:
    ready = fields.pop("ready", True)
    labels = fields.pop("labels", {"app": "vllm"})
    metadata = {"labels": labels, **fields.pop("metadata", {})}
    status = {
        "podIP": f"10.0.0.{ord(name[0])}" if address is None else address,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    api.put(PODS, name, "lab", metadata=metadata, status=status, **fields)


def add_pool(api: FakeApi, app: str = "vllm", ports: tuple[int, ...] = (8000,)) -> None:
    spec = {
        "selector": {"matchLabels": {"app": app}},
        "targetPorts": [{"number": port} for port in ports],
    }
    api.put(INFERENCE_POOLS, "llama", "lab", spec=spec)


def cluster(*pods: str) -> FakeApi:
    api = FakeApi()
    api.installed |= {PODS.path(), INFERENCE_POOLS.path()}
    add_pool(api)
    for name in pods:
        add_pod(api, name)
    return api


def spec_of(document: dict[str, Any]) -> dict[str, Any]:
    return {"spec": document["spec"]}


@dataclass
class Follows:
    """A store, and the server that it follows."""

    api: FakeApi
    store: Datastore
    discovery: KubernetesDiscovery
    epochs: int = 0

    @property
    def members(self) -> list[str]:
        return [f"{e.name}@{e.destination}" for e in self.store.state.endpoints]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - nothing announces what these tests wait for
                await asyncio.sleep(0.005)

    async def until_names(self, *names: str) -> None:
        await self.until(
            lambda: (
                self.store.synced
                and [e.name for e in self.store.state.endpoints] == [f"{n}-rank-0" for n in names]
            )
        )


@asynccontextmanager
async def following(
    api: FakeApi, tmp_path: Path, *argv: str, environment: dict[str, str] | None = None
) -> AsyncIterator[Follows]:
    store = Datastore()
    flags, _notes = parse(argv or BY_NAME)
    async with serving(api) as url:
        config = await asyncio.to_thread(kubeconfig, tmp_path / "config", url)
        discovery = KubernetesDiscovery(
            Credentials(str(config), environment={}),
            lambda namespace: wanted(flags, environment or {}, namespace),
            clock=SystemClock(),
            rng=random.Random(1),
        )
        follows = Follows(api, store, discovery)

        def counted() -> None:
            follows.epochs += 1

        store.on_applied(counted)
        await discovery.load(store)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(discovery.run(store))
            yield follows
            running.cancel()


async def test_pods_come_change_and_go(tmp_path: Path) -> None:
    api = cluster("a", "b")
    add_pod(api, "x", labels={"app": "other"})
    add_pod(api, "n", ready=False)
    async with following(api, tmp_path) as follows:
        await follows.until_names("a", "b")
        assert follows.members == ["a-rank-0@10.0.0.97:8000", "b-rank-0@10.0.0.98:8000"]
        assert follows.epochs == 1
        add_pod(api, "n")
        await follows.until_names("a", "b", "n")
        add_pod(api, "a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
        await follows.until_names("b", "n")
        api.remove(PODS, "b", "lab")
        await follows.until_names("n")
        assert follows.store.endpoint("lab", "n-rank-0") is not None


async def test_a_burst_of_changes_is_one_epoch(tmp_path: Path) -> None:
    api = cluster()
    async with following(api, tmp_path) as follows:
        await follows.until_names()
        for name in "abcdefghij":
            add_pod(api, name)
        await follows.until_names(*"abcdefghij")
        assert follows.epochs <= 3


async def test_another_selector_or_other_ports_take_effect_at_once(tmp_path: Path) -> None:
    api = cluster("a")
    add_pod(api, "z", labels={"app": "sglang"})
    async with following(api, tmp_path) as follows:
        await follows.until_names("a")
        add_pool(api, app="sglang")
        await follows.until_names("z")
        add_pool(api, app="sglang", ports=(9000, 9001))
        await follows.until(
            lambda: follows.members == ["z-rank-0@10.0.0.122:9000", "z-rank-1@10.0.0.122:9001"]
        )


async def test_a_pool_that_is_deleted_is_missed_until_it_is_back(tmp_path: Path) -> None:
    api = cluster("a")
    async with following(api, tmp_path) as follows:
        await follows.until_names("a")
        assert follows.store.missing == ""
        api.remove(INFERENCE_POOLS, "llama", "lab")
        await follows.until(lambda: bool(follows.store.missing))
        assert follows.store.missing == "InferencePool lab/llama does not exist"
        assert follows.members == []
        add_pool(api)
        await follows.until_names("a")
        assert follows.store.missing == ""


async def test_a_pool_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    api = FakeApi()
    add_pod(api, "a")
    async with following(api, tmp_path) as follows:
        await follows.until(lambda: bool(api.lists("inferencepools")))
        assert not follows.store.synced  # not even the kind is known here
        add_pool(api)
        await follows.until_names("a")


async def test_a_pod_replaced_under_its_name_and_address_is_another_server(
    tmp_path: Path,
) -> None:
    api = cluster("a")
    async with following(api, tmp_path) as follows:
        await follows.until_names("a")
        left: list[str] = []
        joined: list[str] = []
        follows.store.on_left(lambda endpoint: left.append(endpoint.uid))
        follows.store.on_joined(lambda endpoint: joined.append(endpoint.uid))
        before = follows.store.state.endpoints[0].uid
        api.remove(PODS, "a", "lab")
        add_pod(api, "a")
        await follows.until(lambda: bool(joined))
        (endpoint,) = follows.store.state.endpoints
        assert left == [before]
        assert joined == [endpoint.uid]
        assert endpoint.uid != before


async def test_objectives_and_rewrites_of_the_pool(tmp_path: Path) -> None:
    api = cluster("a")
    ref = {"name": "llama", "group": "inference.networking.k8s.io"}
    api.put(INFERENCE_OBJECTIVES_ALPHA, "batch", "lab", spec={"poolRef": ref, "priority": -10})
    rules = [{"targets": [{"modelRewrite": "v1"}]}]
    api.put(MODEL_REWRITES_ALPHA, "canary", "lab", spec={"poolRef": ref, "rules": rules})
    async with following(api, tmp_path) as follows:
        await follows.until(lambda: follows.store.objectives == {"batch": -10})
        assert follows.store.rewrites == (ModelRewrite("canary", (Rule((), (Target(0, "v1"),)),)),)
        api.remove(MODEL_REWRITES_ALPHA, "canary", "lab")
        await follows.until(lambda: follows.store.rewrites == ())


async def test_where_the_newer_group_is_installed_the_older_is_not_asked(tmp_path: Path) -> None:
    api = cluster("a")
    ref = {"name": "llama", "group": "inference.networking.k8s.io"}
    api.put(INFERENCE_OBJECTIVES_ALPHA, "old", "lab", spec={"poolRef": ref, "priority": 1})
    api.put(INFERENCE_OBJECTIVES_BEFORE_V1, "new", "lab", spec={"poolRef": ref, "priority": 2})
    async with following(api, tmp_path) as follows:
        await follows.until(lambda: follows.store.objectives == {"new": 2})


async def test_objectives_of_v1_count_beside_those_of_the_version_before(tmp_path: Path) -> None:
    api = cluster("a")
    ref = {"name": "llama", "group": "inference.networking.k8s.io"}
    api.put(INFERENCE_OBJECTIVES_ALPHA, "old", "lab", spec={"poolRef": ref, "priority": 1})
    api.put(INFERENCE_OBJECTIVES_BEFORE_V1, "new", "lab", spec={"poolRef": ref, "priority": 2})
    # One object, as a server that converts nothing shows it in both versions.
    api.put(INFERENCE_OBJECTIVES_BEFORE_V1, "both", "lab", spec={"poolRef": ref, "priority": 3})
    api.put(INFERENCE_OBJECTIVES, "both", "lab", spec={"priority": 3})
    gold = {"poolSelector": {"matchLabels": {"tier": "gold"}}, "priority": 4}
    api.put(INFERENCE_OBJECTIVES, "gold", "lab", spec=gold)
    async with following(api, tmp_path) as follows:
        await follows.until(lambda: follows.store.objectives == {"new": 2, "both": 3})
        pool = api.objects[INFERENCE_POOLS.path(), "lab", "llama"]
        api.put(
            INFERENCE_POOLS, "llama", "lab", metadata={"labels": {"tier": "gold"}}, **spec_of(pool)
        )
        await follows.until(lambda: follows.store.objectives.get("gold") == 4)
        assert follows.members == ["a-rank-0@10.0.0.97:8000"]


async def test_each_collection_is_told_of_once_whatever_its_versions(tmp_path: Path) -> None:
    """Two lines of one name would make a Prometheus refuse the whole page."""
    async with following(cluster("a"), tmp_path) as follows:
        await follows.until_names("a")
        await follows.until(lambda: all(w.connected for w in follows.discovery.watches()))
        assert sorted(w.resource for w in follows.discovery.watches()) == [
            "inferencemodelrewrites.inference.networking.x-k8s.io",
            "inferencemodelrewrites.llm-d.ai",
            "inferenceobjectives.inference.networking.x-k8s.io",
            "inferenceobjectives.llm-d.ai",
            "inferencepools.inference.networking.k8s.io",
            "pods",
        ]


async def test_a_selector_on_the_command_line_needs_no_pool(tmp_path: Path) -> None:
    api = FakeApi()
    add_pod(api, "a", metadata={"annotations": {"llm-d.ai/active-ports": "8001"}})
    argv = ("--endpoint-selector=app in (vllm),!canary", "--endpoint-target-ports=8000,8001")
    async with following(api, tmp_path, *argv, environment={"NAMESPACE": "lab"}) as follows:
        await follows.until(lambda: follows.members == ["a-rank-1@10.0.0.97:8001"])
    assert api.calls("pods")[0].query["labelSelector"] == "app=vllm,!canary"
    assert not api.calls("inferencepools")


async def test_the_alpha_group_of_pools(tmp_path: Path) -> None:
    api = FakeApi()
    add_pod(api, "a")
    spec = {"selector": {"app": "vllm"}, "targetPortNumber": 8000}
    api.put(INFERENCE_POOLS_ALPHA, "llama", "lab", spec=spec)
    async with following(
        api, tmp_path, *BY_NAME, "--pool-group=inference.networking.x-k8s.io"
    ) as follows:
        await follows.until_names("a")


async def test_a_server_that_resets_forgets_and_refuses_loses_nothing(tmp_path: Path) -> None:
    api = cluster("a")
    async with following(api, tmp_path) as follows:
        await follows.until_names("a")
        for round_, name in enumerate("bcdef"):
            api.refusals.append(Refusal(429, "TooManyRequests", path="pods"))
            api.refusals.append(Refusal(500, "InternalError", path="inferencepools"))
            if round_ % 2:
                api.forget()
            api.cut()
            add_pod(api, name)
            await follows.until_names(*"abcdef"[: round_ + 2])


async def test_a_server_that_is_away_leaves_the_last_state(tmp_path: Path) -> None:
    api = cluster("a", "b")
    async with following(api, tmp_path) as follows:
        await follows.until_names("a", "b")
        api.refusals.append(Refusal(503, times=30))
        api.cut()
        await asyncio.sleep(0.5)
        assert follows.members == ["a-rank-0@10.0.0.97:8000", "b-rank-0@10.0.0.98:8000"]
        assert follows.epochs == 1
        api.refusals.clear()
        api.remove(PODS, "b", "lab")
        await follows.until_names("a")


@pytest.mark.parametrize(
    ("argv", "environment", "credentials", "shown"),
    [
        (("--pool-name=p",), {}, "", "InferencePool default/p"),
        (("--pool-name=p",), {}, "mine", "InferencePool mine/p"),
        (("--pool-name=p",), {"NAMESPACE": "env"}, "mine", "InferencePool env/p"),
        (("--pool-name=p", "--pool-namespace=f"), {"NAMESPACE": "env"}, "", "InferencePool f/p"),
        (
            ("--endpoint-selector=a=b", "--endpoint-target-ports=1"),
            {},
            "",
            "pods of default with a=b",
        ),
    ],
)
def test_what_is_followed(
    argv: tuple[str, ...], environment: dict[str, str], credentials: str, shown: str
) -> None:
    flags, _notes = parse(argv)
    assert str(wanted(flags, environment, credentials)) == shown


def test_pods_without_a_pool_are_known_by_their_pickers_deployment() -> None:
    flags, _notes = parse(("--endpoint-selector=a=b", "--endpoint-target-ports=1"))
    assert wanted(flags, {"POD_NAME": "my-epp-5d8f7c-x2x4z"}).name == "my-epp"
    assert wanted(flags, {}).name == ""


def test_the_port_of_metrics_goes_with_what_is_followed() -> None:
    flags, _notes = parse(("--pool-name=p", "--model-server-metrics-port=9100"))
    assert wanted(flags, {}).metrics_port == 9100
    flags, _notes = parse(("--pool-name=p",))
    assert wanted(flags, {}).metrics_port is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--pool-name=p", "--pool-group=example.com"), "--pool-group: must be inference"),
        (("--endpoint-selector=a in b", "--endpoint-target-ports=1"), "--endpoint-selector: exp"),
    ],
)
def test_what_cannot_be_followed_is_said(argv: tuple[str, ...], message: str) -> None:
    flags, _notes = parse(argv)
    with pytest.raises(ConfigError, match=message):
        wanted(flags, {})


async def test_credentials_that_are_not_there_keep_it_from_starting(tmp_path: Path) -> None:
    flags, _notes = parse(BY_NAME)
    discovery = KubernetesDiscovery(
        Credentials(str(tmp_path / "none"), environment={}),
        lambda namespace: wanted(flags, {}, namespace),
        clock=SystemClock(),
        rng=random.Random(1),
    )
    with pytest.raises(ConfigError, match="no such file"):
        await discovery.load(Datastore())
