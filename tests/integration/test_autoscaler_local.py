"""The whole loop on one machine: a fleet of processes grows before its replicas, and shrinks again.

The autoscaler is a process of its own and asks no Kubernetes for anything.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from autoscaler.ledger.entries import Wrote
from autoscaler.ledger.files import read
from autoscaler.replay import replay
from load_tests.local.server import LocalFleetServer, Processes, serving
from load_tests.local.state import FleetState, Phase, PoolPlan
from load_tests.process import child
from loadstar.clock import SystemClock
from tests.integration.autoscaler_process import ROOT, Demand

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

POLICY = """\
mode: active
period: 1s
models:
- name: llama
  maxReplicas: 4
  scaleDown: {window: 4s, perMinute: 100%}
  variants:
  - pool: gpu
    target: {name: llama}
pools:
- name: gpu
  provider: local
  mode: local
  maxUnits: 4
  leadTime: {node: 2s, pod: 1s}
"""


async def until(holds: object, within_s: float, what: str, demand: Demand) -> None:
    assert callable(holds)
    try:
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.to_thread(demand.say)
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not within {within_s:g} s: {what}") from None


async def _answers(url: str) -> bool:
    """Whether a process is there behind it, within some seconds."""
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                async with session.get(url) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)
    return False


async def test_processes_come_with_demand_and_go_with_it(tmp_path: Path) -> None:
    state = FleetState({"gpu": PoolPlan(name="gpu", node_s=1.5, most=4)}, pod_s=1.0, drain_s=0.2)
    server = LocalFleetServer(state, Processes(speed=10.0), SystemClock(), tmp_path)
    policy, ledger = tmp_path / "policy.yaml", tmp_path / "ledger"
    demand = Demand(tmp_path / "demand.json")
    await asyncio.to_thread(policy.write_text, POLICY)
    await asyncio.to_thread(demand.say, 3.0)

    def ready() -> int:
        return sum(replica.phase is Phase.READY for replica in state.replicas)

    async with serving(server) as url:
        command = [
            *(sys.executable, "-m", "autoscaler"),
            *(f"--policy-file={policy}", f"--demand-file={demand.path}", f"--local-fleet={url}"),
            *(f"--ledger-dir={ledger}", "--metrics-port=0", "--bind-address=127.0.0.1"),
        ]
        async with child("autoscaler", command, logs=tmp_path, cwd=ROOT):
            await until(lambda: ready() >= 1, 40, "a replica", demand)
            await asyncio.to_thread(demand.say, 60.0)
            await until(lambda: ready() == 4, 40, "more replicas", demand)
            port = next(iter(server._running.values()))[2]
            assert await _answers(f"http://127.0.0.1:{port}/health")
            await asyncio.to_thread(demand.say, 1.0)
            # How far down is the planner's to say, who may remember the minute that was; nodes
            # must follow.
            await until(lambda: len(state.nodes) < 4, 170, "an empty node to go", demand)
            assert ready() <= len(state.nodes)
    entries = await asyncio.to_thread(lambda: list(read(ledger)))
    assert {each.method for each in entries if isinstance(each, Wrote)} >= {"setSize", "scale"}
    assert all(each.same for each in replay(entries))
    assert server._running == {}
