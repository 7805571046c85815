"""A small production on one machine: emulated servers as pods, our gateway, Envoy, real Kubernetes.

Pods live at 127.0.1.N and one port, each a process of its own that can be killed; the API server
knows them because the site says so, as a kubelet would. Used by ``test_kubernetes_scenario``.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml

from load_tests.envoy import RunningEnvoy, envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.fleet import GATEWAY_READY_SECONDS, HOST, ROOT, serving
from load_tests.ports import free_ports
from load_tests.process import Child, child
from loadstar.clock import SystemClock
from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane
from tests.integration.traffic import chat, client, get

POOL, POLICY = "llama", "policy"
SERVERS_READY_SECONDS = 60.0
STARTING_AT_ONCE = 4
PAUSE_SECONDS = 0.1
"""Between two requests of one client."""
T = TypeVar("T")
CLOCK = SystemClock()


def policy(*weights: tuple[str, int]) -> str:
    """An EndpointPickerConfig that scores by the labels ``example.com/x`` and ``/y``."""
    scorers = [
        {
            "name": axis,
            "type": "context-length-aware",
            "parameters": {"label": f"example.com/{axis}"},
        }
        for axis in "xy"
    ]
    picks = [{"pluginRef": name, "weight": weight} for name, weight in weights]
    document = {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": [*scorers, {"type": "queue-scorer"}, {"type": "max-score-picker"}],
        "schedulingProfiles": [
            {"name": "default", "plugins": [*picks, {"pluginRef": "max-score-picker"}]}
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)


EVEN = policy(("queue-scorer", 1))
FOR_X, FOR_Y = policy(("x", 10), ("y", 1)), policy(("x", 1), ("y", 10))
NEAR, FAR = "0-1000", "100000-200000"
"""Ranges of context lengths: short requests fit the first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request, as its client saw it."""

    sent_at: float
    ended_at: float
    status: int
    """0: no answer."""
    server: str
    """Number of the pod that served it; empty if none did."""
    said: str = ""
    """The beginning of an answer that was not 200."""


@dataclass
class Load:
    """Clients that ask, one request after another, until the scope ends."""

    url: str
    answers: list[Answer] = field(default_factory=list)

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in self.answers if answer.sent_at >= moment]

    def failed(self, moment: float = 0.0) -> list[Answer]:
        return [answer for answer in self.since(moment) if answer.status != 200]

    def served(self, moment: float) -> Counter[str]:
        return Counter(answer.server for answer in self.since(moment))

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncIterator[None]:
        async with client() as session, asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(self._ask(session, n)) for n in range(clients)]
            yield
            for task in asking:
                task.cancel()

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> None:
        url = f"{self.url}/v1/chat/completions"
        count = 0
        while True:
            count += 1
            body = chat(f"client {number}, question {count}", stream=bool(count % 2), max_tokens=4)
            sent_at, status, server, said = CLOCK.now(), 0, "", ""
            try:
                async with session.post(url, json=body) as answer:
                    text = await answer.text()
                    status = answer.status
                    server = answer.headers.get("x-served-by", "")
                    whole = status != 200 or not count % 2 or text.rstrip().endswith("[DONE]")
                    if status != 200 or not whole:
                        status, said = (status if status != 200 else 0), text[:200]
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                said = repr(error)[:200]
            number_of = server.split(":")[0].rpartition(".")[2]
            self.answers.append(Answer(sent_at, CLOCK.now(), status, number_of, said))
            await asyncio.sleep(PAUSE_SECONDS)


@dataclass
class Site:
    """Everything, and what can be done to it."""

    plane: ControlPlane
    namespace: str
    workdir: Path
    port: int
    scope: AsyncExitStack
    servers: dict[int, Child] = field(default_factory=dict)
    kills: list[float] = field(default_factory=list)

    async def do(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Something that blocks."""
        return await asyncio.to_thread(call, *args, **kwargs)

    async def apply(self, *documents: Object) -> None:
        await self.do(self.plane.objects.apply, list(documents))

    def pool(self) -> Object:
        return {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": POOL, "namespace": self.namespace},
            "spec": {
                "selector": {"matchLabels": {"app": "vllm"}},
                "targetPorts": [{"number": self.port}],
            },
        }

    def config_map(self, text: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": POLICY, "namespace": self.namespace},
            "data": {"picker.yaml": text},
        }

    async def start(self, numbers: Sequence[int]) -> None:
        """Server processes, and then pods that say they are ready."""
        waiting = asyncio.Semaphore(STARTING_AT_ONCE)

        async def one(number: int) -> None:
            async with waiting:
                host = f"127.0.1.{number}"
                command = [
                    *(sys.executable, "-m", "load_tests.emulator", "--host", host),
                    *("--port", str(self.port), "--speed", "20", "--exit-with-parent"),
                ]
                running = child(f"m-{number}", command, logs=self.workdir, cwd=ROOT, grace_s=1)
                process = await self.scope.enter_async_context(running)
                url = f"http://{host}:{self.port}/health"
                await process.ready(
                    lambda: _answers(url), within_s=SERVERS_READY_SECONDS, what="ready"
                )
                self.servers[number] = process

        async with asyncio.TaskGroup() as tasks:
            for number in numbers:
                tasks.create_task(one(number))
        for number in numbers:
            near_x = number % 2 == 1
            await self.do(
                self.plane.objects.ready_pod,
                f"m-{number}",
                ip=f"127.0.1.{number}",
                namespace=self.namespace,
                ports=[self.port],
                labels={
                    "app": "vllm",
                    "example.com/x": NEAR if near_x else FAR,
                    "example.com/y": FAR if near_x else NEAR,
                },
            )

    async def stop(self, numbers: Sequence[int], *, grace_s: float) -> None:
        """As Kubernetes does: the pods are going, then after a while the processes are killed."""
        for number in numbers:
            pod = await self.do(self.plane.objects.get, "v1", "Pod", f"m-{number}", self.namespace)
            assert pod is not None
            await self.do(self.plane.objects.delete, pod, grace_s=0)
        await asyncio.sleep(grace_s)
        for number in numbers:
            self.kills.append(CLOCK.now())
            self.servers.pop(number).send(signal.SIGKILL)

    def in_flight_to_a_killed_server(self, answer: Answer) -> bool:
        return any(answer.sent_at <= kill <= answer.ended_at for kill in self.kills)


@dataclass(frozen=True, slots=True)
class RunningPicker:
    """Our gateway, as it runs."""

    address: Address
    health: Address
    admin: str
    process: Child

    async def ready(self) -> bool:
        return await asyncio.to_thread(serving, self.health)

    async def metric(self, line: str) -> float | None:
        """The value of the sample that is called exactly so; None if there is none."""
        async with client() as session:
            text = (await get(session, f"{self.admin}/metrics")).body.decode()
        found = [each for each in text.splitlines() if each.startswith(f"{line} ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else None

    async def page(self, path: str) -> Any:
        async with client() as session:
            return (await get(session, f"{self.admin}{path}")).json


@asynccontextmanager
async def picker(site: Site, workers: int, kubeconfig: Path) -> AsyncIterator[RunningPicker]:
    """The gateway after the site's pool and ConfigMap, once its health says SERVING."""
    grpc_port, health_port, metrics_port = free_ports(3)
    command: list[str | Path] = [
        *(sys.executable, "-m", "gateway", "--bind-address", HOST),
        *("--kubeconfig", kubeconfig),
        *("--pool-name", POOL, "--pool-namespace", site.namespace),
        *("--config-map", f"{site.namespace}/{POLICY}"),
        *("--grpc-port", str(grpc_port), "--grpc-health-port", str(health_port)),
        *("--metrics-port", str(metrics_port), "--metrics-endpoint-auth=false"),
        *("--workers", str(workers), "--drain-timeout", "1s"),
    ]
    health = Address(HOST, health_port)
    async with child("gateway", command, logs=site.workdir, cwd=ROOT, grace_s=8) as process:
        running = RunningPicker(
            Address(HOST, grpc_port), health, f"http://{HOST}:{metrics_port}", process
        )
        await process.ready(running.ready, within_s=GATEWAY_READY_SECONDS, what="SERVING")
        yield running


@asynccontextmanager
async def proxy(site: Site, running: RunningPicker) -> AsyncIterator[RunningEnvoy]:
    """A real Envoy that asks the gateway."""
    listen, admin = (Address(HOST, port) for port in free_ports(2))
    plan = EnvoyPlan(
        listen, admin, Balancing.ORIGINAL_DST, picker=PickerPlan(running.address, tls=True)
    )
    async with envoy(plan, workdir=site.workdir) as up:
        yield up


async def _answers(url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.get(url) as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
