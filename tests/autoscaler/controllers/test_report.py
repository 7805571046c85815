"""What is told of what happened, in the words that reach an operator."""

from __future__ import annotations

import asyncio

from autoscaler.controllers.report import Report
from autoscaler.metrics import Metrics
from loadstar.config.errors import MOST_IN_BRIEF, ConfigError, Problem
from loadstar.kube.events import EventRecorder
from loadstar.kube.objects import ObjectRef
from tests.fakes.clock import ManualClock
from tests.fakes.config_maps import FakeConfigMaps


async def test_the_event_of_a_refused_policy_says_how_many_more_problems_there_are() -> None:
    """It has room for some; whoever mends only those would be refused again, without warning."""
    api = FakeConfigMaps()
    events = EventRecorder(api, ManualClock(), component="autoscaler")
    about = ObjectRef("v1", "ConfigMap", "autoscaler", "prod")
    problems = [Problem(f"pools[{n}]", "is wrong") for n in range(MOST_IN_BRIEF + 2)]
    Report(Metrics(), events).policy_refused(about, ConfigError(problems))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(events.run())
        while not api.events:  # noqa: ASYNC110 -- what is sent raises no event
            await asyncio.sleep(0)
        sending.cancel()
    said = api.events[0]
    assert (said["type"], said["reason"]) == ("Warning", "PolicyRefused")
    assert said["message"].startswith("pools[0]: is wrong; pools[1]: is wrong; ")
    assert said["message"].endswith("pools[4]: is wrong; and 2 more, see the log")
