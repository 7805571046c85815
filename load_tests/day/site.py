"""One fleet of the day: Envoy, gateway, emulated servers that come and go. Everything is a scope.

``side`` is what both controllers get alike; ``autoscaler`` and ``adapter`` are the products' own
processes beside it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoscaler.controllers.history_store import HistoryStore
from autoscaler.observe.lead_times import LeadTimes
from gateway.extproc.messages import BodyMode
from load_tests.day import terms as told
from load_tests.day.shape import Day, history
from load_tests.day.terms import MODEL, POOL, Terms
from load_tests.envoy import RunningEnvoy, envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.fleet import HOST, ROOT, GatewayPlan, RunningGateway, gateway
from load_tests.local.server import LOOK_S, LocalFleetServer, Processes, serving
from load_tests.local.state import FleetState, Phase, PoolPlan
from load_tests.ports import free_ports
from load_tests.process import Child, ChildFailed, child
from loadstar.clock import Clock, ScaledClock

SIGNALS_EVERY: Final = "100ms"
SPARES: Final = 3
FIRST_READY_S: Final = 60.0
GATEWAY_LOOKS_S: Final = 1.0
"""How often a gateway reads its endpoints file, in real seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One fleet that is up."""

    name: str
    fleet: LocalFleetServer
    fleet_url: str
    gateway: RunningGateway
    signals: str
    envoy: RunningEnvoy
    address: Address


@asynccontextmanager
async def side(
    name: str, day: Day, terms: Terms, clock: Clock, folder: Path
) -> AsyncIterator[Side]:
    """Up, with the replicas of the beginning ready."""
    workdir = folder / name
    await asyncio.to_thread(workdir.mkdir)
    async with AsyncExitStack() as scope:
        state = FleetState(
            {
                POOL: PoolPlan(
                    name=POOL,
                    nodes=terms.at_first,
                    node_s=terms.node_s / day.factor,
                    most=terms.most,
                )
            },
            pod_s=terms.pod_s / day.factor,
            drain_s=terms.drain_s / day.factor,
        )
        state.set_replicas(MODEL, terms.at_first)
        processes = Processes(
            profile=told.PROFILE, model=MODEL, spare=SPARES, listed_early_s=GATEWAY_LOOKS_S
        )
        fleet = LocalFleetServer(state, processes, clock, workdir)
        url = await scope.enter_async_context(serving(fleet))
        await _first_ready(state, terms.at_first, clock)
        signals, listen, admin = free_ports(3)
        first = [Address(HOST, port) for port in fleet.ports()]
        plan = GatewayPlan(
            flags=("--signals-port", str(signals), "--signals-interval", SIGNALS_EVERY)
        )
        picker = await scope.enter_async_context(gateway(plan, first, workdir))
        await asyncio.to_thread(fleet.list_in, picker.endpoints_file)
        proxy = EnvoyPlan(
            Address(HOST, listen),
            Address(HOST, admin),
            Balancing.ORIGINAL_DST,
            tuple(first),
            PickerPlan(
                picker.address,
                tls=plan.tls,
                request_body=BodyMode.FULL_DUPLEX_STREAMED,
                response_body=BodyMode.FULL_DUPLEX_STREAMED,
            ),
        )
        running = await scope.enter_async_context(envoy(proxy, workdir=workdir))
        yield Side(
            name=name,
            fleet=fleet,
            fleet_url=url,
            gateway=picker,
            signals=f"{HOST}:{signals}",
            envoy=running,
            address=proxy.listen,
        )


async def _first_ready(state: FleetState, count: int, clock: Clock) -> None:
    """Raises ChildFailed where the first replicas do not come."""
    until = clock.now() + FIRST_READY_S
    while clock.now() < until:
        if sum(each.phase is Phase.READY for each in state.replicas) >= count:
            return
        await asyncio.sleep(LOOK_S)
    raise ChildFailed(f"{count} model servers were not ready after {FIRST_READY_S:g} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAutoscaler:
    metrics_url: str
    signals: str
    ledger: Path
    process: Child


@asynccontextmanager
async def autoscaler(
    one: Side, day: Day, terms: Terms, clock: ScaledClock, midnight_s: float, folder: Path
) -> AsyncIterator[RunningAutoscaler]:
    """The autoscaler over ``one``, with the days before as its history; ``clock`` is its own."""
    state, ledger, policy = folder / "state", folder / "ledger", folder / "policy.yaml"

    def prepare() -> None:
        policy.write_text(told.policy(day, terms))
        known = history(day, midnight_s).to_document()
        HistoryStore(state).keep({MODEL: known}, LeadTimes())

    await asyncio.to_thread(prepare)
    metrics, signals = free_ports(2)
    command = [
        *(sys.executable, "-m", "autoscaler", f"--policy-file={policy}"),
        *(f"--signals={one.signals}", "--signals-insecure-skip-verify"),
        *(f"--local-fleet={one.fleet_url}", f"--ledger-dir={ledger}", f"--state-dir={state}"),
        *(f"--metrics-port={metrics}", f"--signals-port={signals}", f"--bind-address={HOST}"),
        *(f"--clock-factor={clock.factor:g}", f"--clock-agreed-at={clock.agreed_s:.6f}"),
    ]
    async with child("autoscaler", command, logs=folder, cwd=ROOT) as process:
        yield RunningAutoscaler(
            metrics_url=f"http://{HOST}:{metrics}/metrics",
            signals=f"{HOST}:{signals}",
            ledger=ledger,
            process=process,
        )


@asynccontextmanager
async def adapter(signals: Sequence[str], folder: Path) -> AsyncIterator[str]:
    """The metrics adapter, hearing ``signals``; gives its URL."""
    config = folder / "adapter.yaml"
    await asyncio.to_thread(config.write_text, told.adapter(list(signals)))
    port = free_ports(1)[0]
    command = [
        *(sys.executable, "-m", "metrics_adapter", "--bare"),
        *(f"--secure-port={port}", f"--config={config}"),
    ]
    async with child("adapter", command, logs=folder, cwd=ROOT):
        yield f"https://{HOST}:{port}"
