"""What a change of the policy interrupts, and what interrupts nothing."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp

from autoscaler.actuate.providers.local import LocalFleet
from autoscaler.config import parse
from autoscaler.parts import Parts
from tests.fakes.clock import ManualClock

POLICY = "mode: active\nmodels: [{name: chat}]\npools: [{name: a100}]\n"


async def test_only_a_policy_that_was_taken_begins_the_acting_anew(tmp_path: Path) -> None:
    """Neither one that is refused nor the same text again, as after any touch of its ConfigMap."""
    file = tmp_path / "policy.yaml"
    await asyncio.to_thread(file.write_text, POLICY)
    words = ["--policy-file", str(file), "--demand-file", str(file)]
    flags = await asyncio.to_thread(parse, [*words, "--local-fleet=http://127.0.0.1:1"])
    clock = ManualClock()
    begun = 0
    async with aiohttp.ClientSession() as session:
        fleet = LocalFleet(flags.local_fleet, session)
        parts = Parts(flags, clock, clock, random.Random(1), None, fleet)

        def again() -> None:
            nonlocal begun
            begun += 1

        parts.leading.again = again  # type: ignore[method-assign]  # counts what it is told
        for text, times in (
            (POLICY, 1),
            (POLICY, 1),
            ("models: []\n", 1),
            (POLICY + "safety: {killSwitch: true}\n", 2),
            (POLICY, 3),
        ):
            parts.force.offer(text, "test")
            parts.policy_changed()
            assert begun == times
