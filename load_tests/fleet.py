"""A whole deployment on this machine: emulated model servers, the gateway, Envoy, all on loopback.

Everything is a scope: entered, it is up and answers; left, however, it is gone. Used by compare
and demo, and by the integration tests, which also take the parts one by one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.extproc.messages import BodyMode
from load_tests.envoy import RunningEnvoy, envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.ports import free_ports, preferred_port
from load_tests.process import Child, child

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[1]
SERVERS_READY_SECONDS = 60.0
# The first start on a machine compiles the kernels; later ones take them from the disk.
GATEWAY_READY_SECONDS = 150.0
PROBE_SECONDS = 2.0
EXT_PROC_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"


class Policy(Enum):
    """Who chooses the model server: our gateway, or one of Envoy's own policies."""

    LOADSTAR = "loadstar"
    ROUND_ROBIN = "round_robin"
    LEAST_REQUEST = "least_request"
    RANDOM = "random"


ENVOY_POLICY = {
    Policy.ROUND_ROBIN: Balancing.ROUND_ROBIN,
    Policy.LEAST_REQUEST: Balancing.LEAST_REQUEST,
    Policy.RANDOM: Balancing.RANDOM,
}


@dataclass(frozen=True, slots=True)
class ServersPlan:
    """Emulated model servers, all alike, in one process."""

    count: int = 4
    profile: str = "H100-8B"
    speed: float = 1.0
    """Engine seconds per second of ours."""
    flags: tuple[str, ...] = ()
    """More flags of ``python -m load_tests.emulator``."""


@dataclass(frozen=True, slots=True)
class ModelServers:
    addresses: tuple[Address, ...]
    process: Child


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """Our gateway as the fleet starts it; the defaults are the product's defaults."""

    config: dict[str, Any] = field(default_factory=dict)
    """An EndpointPickerConfig without discovery; {} takes the built-in default profile."""
    tls: bool = True
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningGateway:
    address: Address
    health: Address
    metrics_url: str
    endpoints_file: Path
    process: Child


@dataclass(frozen=True, slots=True)
class FleetPlan:
    policy: Policy = Policy.LOADSTAR
    servers: ServersPlan = ServersPlan()
    gateway: GatewayPlan = GatewayPlan()
    body: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    balancing: Balancing = Balancing.ORIGINAL_DST
    """How Envoy learns of our pick; only with LOADSTAR."""
    failure_mode_allow: bool = False
    listen_ports: tuple[int, int] | None = None
    """Envoy's port and its admin port, if they are free; None takes any."""


@dataclass(frozen=True, slots=True)
class Fleet:
    envoy: RunningEnvoy
    address: Address
    """Where clients send."""
    servers: ModelServers
    gateway: RunningGateway | None

    def processes(self) -> list[Child]:
        gateway = [] if self.gateway is None else [self.gateway.process]
        return [self.envoy.process, *gateway, self.servers.process]


@asynccontextmanager
async def fleet(plan: FleetPlan, workdir: Path) -> AsyncIterator[Fleet]:
    """Everything in ``plan``, up and answering; configuration and logs lie in ``workdir``."""
    async with AsyncExitStack() as scope:
        servers = await scope.enter_async_context(model_servers(plan.servers, workdir))
        picker = None
        if plan.policy is Policy.LOADSTAR:
            picker = await scope.enter_async_context(
                gateway(plan.gateway, servers.addresses, workdir)
            )
        proxy = _proxy_plan(plan, servers, picker)
        running = await scope.enter_async_context(envoy(proxy, workdir=workdir))
        yield Fleet(running, proxy.listen, servers, picker)


def _proxy_plan(plan: FleetPlan, servers: ModelServers, picker: RunningGateway | None) -> EnvoyPlan:
    ports = free_ports(2) if plan.listen_ports is None else map(preferred_port, plan.listen_ports)
    listen, admin = (Address(HOST, port) for port in ports)
    if picker is None:
        return EnvoyPlan(listen, admin, ENVOY_POLICY[plan.policy], servers.addresses)
    return EnvoyPlan(
        listen,
        admin,
        plan.balancing,
        servers.addresses,
        PickerPlan(
            picker.address,
            tls=plan.gateway.tls,
            request_body=plan.body,
            response_body=plan.body,
            failure_mode_allow=plan.failure_mode_allow,
        ),
    )


@asynccontextmanager
async def model_servers(
    plan: ServersPlan, workdir: Path, name: str = "model-servers"
) -> AsyncIterator[ModelServers]:
    """``plan.count`` emulated servers on consecutive ports, each answering ``/health``."""
    ports = free_ports(plan.count)
    command = [
        *(sys.executable, "-m", "load_tests.emulator"),
        *("--port", str(ports[0]), "--count", str(plan.count)),
        *("--profile", plan.profile, "--speed", f"{plan.speed:g}"),
        *plan.flags,
        "--exit-with-parent",
    ]
    addresses = tuple(Address(HOST, port) for port in ports)
    async with (
        child(name, command, logs=workdir, cwd=ROOT) as process,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS)) as session,
    ):

        async def all_answer() -> bool:
            try:
                for address in addresses:
                    async with session.get(f"http://{address.text}/health") as answer:
                        if answer.status != 200:
                            return False
            except (aiohttp.ClientError, OSError, TimeoutError):
                return False
            return True

        await process.ready(all_answer, within_s=SERVERS_READY_SECONDS, what="ready")
        yield ModelServers(addresses, process)


@asynccontextmanager
async def gateway(
    plan: GatewayPlan, endpoints: Sequence[Address], workdir: Path, name: str = "gateway"
) -> AsyncIterator[RunningGateway]:
    """The gateway over ``endpoints`` from a watched file; yields once its health says SERVING."""
    endpoints_file = workdir / f"{name}-endpoints.yaml"
    config_file = workdir / f"{name}-config.yaml"
    listed = {
        "endpoints": [
            {"name": f"server-{i}", "address": e.host, "port": str(e.port)}
            for i, e in enumerate(endpoints)
        ]
    }
    await asyncio.to_thread(_write, endpoints_file, listed)
    await asyncio.to_thread(_write, config_file, picker_config(plan.config, endpoints_file))
    grpc_port, health_port, metrics_port = free_ports(3)
    command: list[str | Path] = [
        *(sys.executable, "-m", "gateway"),
        *("--config-file", config_file),
        *("--grpc-port", str(grpc_port), "--grpc-health-port", str(health_port)),
        *("--metrics-port", str(metrics_port), "--metrics-endpoint-auth=false"),
        f"--secure-serving={'true' if plan.tls else 'false'}",
        *("--bind-address", HOST),
        # Nobody else sends here: after the last stream there is nothing to wait for.
        *("--drain-timeout", "1s"),
        # One process beside Envoy and the emulated servers on this machine; ``flags`` may say more.
        "--workers=1",
        *plan.flags,
    ]
    health = Address(HOST, health_port)
    async with child(name, command, logs=workdir, cwd=ROOT, grace_s=5) as process:
        await process.ready(
            lambda: asyncio.to_thread(serving, health),
            within_s=GATEWAY_READY_SECONDS,
            what="SERVING",
        )
        yield RunningGateway(
            Address(HOST, grpc_port),
            health,
            f"http://{HOST}:{metrics_port}/metrics",
            endpoints_file,
            process,
        )


def picker_config(config: dict[str, Any], endpoints_file: Path) -> dict[str, Any]:
    """An EndpointPickerConfig that finds its endpoints in a file, else as ``config`` has it."""
    discovery = {
        "name": "endpoints",
        "type": "file-discovery",
        "parameters": {"path": str(endpoints_file), "watchFile": True},
    }
    return {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        **config,
        "plugins": [*config.get("plugins", []), discovery],
        "dataLayer": {**config.get("dataLayer", {}), "discovery": {"pluginRef": "endpoints"}},
    }


def serving(health: Address) -> bool:
    """Whether the gateway's health service says SERVING. Blocks for at most two seconds.

    Not grpc.aio: its channels outlive their loop, and these loops come and go.
    """
    request = health_pb2.HealthCheckRequest(service=EXT_PROC_SERVICE)
    with grpc.insecure_channel(health.text) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=PROBE_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
