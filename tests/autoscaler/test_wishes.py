"""Of several processes that all decide, only the leader says what is wanted."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp

from autoscaler.actuate.providers.local import LocalFleet
from autoscaler.config import parse
from autoscaler.controllers.wanted import TargetKey
from autoscaler.parts import Parts
from autoscaler.policy.model import TargetPolicy
from autoscaler.sizing.decision import Decision, Reason
from loadstar.kube.leadership import Fence
from loadstar.signals.model import Desired
from tests.fakes.clock import ManualClock

LASTS_S = 10.0


async def test_wishes_are_told_by_the_leader_and_by_nobody_else(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    await asyncio.to_thread(policy.write_text, "models: []\n")
    words = ["--policy-file", str(policy), "--demand-file", str(policy)]
    flags = await asyncio.to_thread(parse, [*words, "--local-fleet=http://127.0.0.1:1"])
    clock = ManualClock(now=0.0)
    wanted = {TargetKey(TargetPolicy(kind="Deployment", name="vllm"), "llm", "llama"): 4}
    decisions = {"llama": Decision(replicas={"gpu": 4}, reason=Reason.STEADY)}

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        fleet = LocalFleet("http://127.0.0.1:1", session)
        parts = Parts(flags, clock, clock, random.Random(1), None, fleet)

        async def told() -> tuple[Desired, ...]:
            parts.loop._told(wanted, decisions)
            return (await parts.wishes.snapshot()).desired

        assert await told() == ()
        leads = asyncio.Event()

        async def act() -> None:
            leads.set()

        fence = Fence(1, "us", clock, LASTS_S, 0.0)
        leading = tasks.create_task(parts.leading.lead(fence, act))
        await leads.wait()
        (wish,) = await told()
        assert (wish.namespace, wish.kind, wish.name) == ("llm", "Deployment", "vllm")
        assert (wish.model, wish.replicas, wish.reason) == ("llama", 4.0, Reason.STEADY.value)
        clock.advance(LASTS_S + 1.0)  # another leads by now
        assert await told() == ()
        leading.cancel()
