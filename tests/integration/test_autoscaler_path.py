"""The whole loop with real requests: Envoy, gateway, its signals, the autoscaler, and new replicas.

Requests go through a real Envoy; the autoscaler hears of them from the gateway alone, has a local
fleet start processes, and the gateway finds those in its watched file.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from autoscaler.ledger.entries import Decided
from autoscaler.ledger.files import read
from autoscaler.replay import replay
from load_tests.envoy import envoy
from load_tests.envoy_config import Address
from load_tests.fleet import FleetPlan, GatewayPlan, ModelServers, RunningGateway, gateway
from load_tests.fleet import _proxy_plan as proxy_plan
from load_tests.local.server import HOST, LocalFleetServer, Processes, serving
from load_tests.local.state import FleetState, Phase, PoolPlan
from load_tests.ports import free_ports
from load_tests.process import child
from loadstar.clock import SystemClock
from tests.integration.autoscaler_process import ROOT

pytestmark = [pytest.mark.envoy, pytest.mark.slow, pytest.mark.timeout(180)]

RATE_RPS = 6.0
POLICY = """\
mode: active
period: 1s
models:
- name: llama
  maxReplicas: 3
  # As slow as a replica must be for six requests a second to need several.
  profile: {prefillPerToken: 2ms, decodePerSequence: 1ms, concurrency: 16}
  variants:
  - pool: gpu
    target: {name: llama}
pools:
- name: gpu
  provider: local
  mode: local
  maxUnits: 3
"""


class Traffic:
    """Requests at a steady rate, whatever becomes of them."""

    def __init__(self, address: Address) -> None:
        self._url = f"http://{address.text}/v1/chat/completions"
        self.statuses: Counter[int] = Counter()

    async def run(self) -> None:
        """Send until cancelled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                tasks.create_task(self._one(session, number))
                await asyncio.sleep(1.0 / RATE_RPS)

    async def _one(self, session: aiohttp.ClientSession, number: int) -> None:
        # No two begin alike, or they would all go where the first one's prefix is.
        said = {"role": "user", "content": f"{number} of many: " * 100}
        body = {"model": "llama", "messages": [said], "max_tokens": 16}
        with contextlib.suppress(aiohttp.ClientError):
            async with session.post(self._url, json=body) as answer:
                await answer.read()
                self.statuses[answer.status] += 1


async def until(holds: object, within_s: float, what: str) -> None:
    assert callable(holds)
    for _ in range(int(within_s / 0.2)):
        if holds():
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"not within {within_s:g} s: {what}")


async def test_requests_bring_replicas_that_then_serve_them(tmp_path: Path) -> None:
    state = FleetState({"gpu": PoolPlan(name="gpu", nodes=1, node_s=1.0, most=3)}, pod_s=2.0)
    state.set_replicas("llama", 1)
    server = LocalFleetServer(state, Processes(speed=5.0), SystemClock(), tmp_path)
    signals = free_ports(1)[0]
    policy, ledger = tmp_path / "policy.yaml", tmp_path / "ledger"
    await asyncio.to_thread(policy.write_text, POLICY)

    def ready() -> int:
        return sum(replica.phase is Phase.READY for replica in state.replicas)

    async with serving(server) as url:
        await until(lambda: ready() == 1, 30, "the first replica")
        first = Address(HOST, next(iter(server._running.values()))[2])
        plan = FleetPlan(gateway=GatewayPlan(flags=("--signals-port", str(signals))))
        async with gateway(plan.gateway, [first], tmp_path) as picker:
            await asyncio.to_thread(_follow, server, picker)
            servers = ModelServers((first,), picker.process)
            proxy = proxy_plan(plan, servers, picker)
            command = [
                *(sys.executable, "-m", "autoscaler", f"--policy-file={policy}"),
                *(f"--signals={HOST}:{signals}", "--signals-insecure-skip-verify"),
                *(f"--local-fleet={url}", f"--ledger-dir={ledger}"),
                *("--metrics-port=0", f"--bind-address={HOST}"),
            ]
            async with (
                envoy(proxy, workdir=tmp_path),
                child("autoscaler", command, logs=tmp_path, cwd=ROOT),
                asyncio.TaskGroup() as tasks,
            ):
                traffic = Traffic(proxy.listen)
                sending = tasks.create_task(traffic.run())
                await until(lambda: ready() == 3, 60, "three replicas")
                await asyncio.sleep(6.0)
                sending.cancel()
            served = [await _served(port) for _, _, port in list(server._running.values())]
    entries = await asyncio.to_thread(lambda: list(read(ledger)))
    decided = [each for each in entries if isinstance(each, Decided)]
    heard = [each.seen.demand for each in decided][-1]
    assert heard.arrivals_rps == pytest.approx(RATE_RPS, rel=0.25)
    assert heard.input_tokens is not None
    assert heard.output_tokens == pytest.approx(16.0, abs=1.0)
    assert all(each.same for each in replay(entries))
    assert len([count for count in served if count > 0]) == 3
    assert traffic.statuses[200] > 0.95 * sum(traffic.statuses.values())


async def _served(port: int) -> float:
    """Requests that a replica has finished, by its own metrics."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{HOST}:{port}/metrics") as answer,
    ):
        page = await answer.text()
    lines = [line for line in page.splitlines() if line.startswith("vllm:request_success_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _follow(server: LocalFleetServer, picker: RunningGateway) -> None:
    """From here on the fleet writes the file that the gateway watches."""
    server.endpoints_file = picker.endpoints_file
    server._shown = None
