"""One look at one workload, in a cluster or on this machine, towards the size that is wanted now.

Each is called again and again by the task that ``acting`` keeps for the workload.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from autoscaler.actuate.gate import Call, Gate
from autoscaler.actuate.providers.local import LocalFleet
from autoscaler.actuate.workload.driver import WorkloadDriver
from autoscaler.actuate.workload.plan import Written
from autoscaler.controllers.report import Report
from loadstar.clock import Clock
from loadstar.kube.objects import ObjectRef

log = logging.getLogger(__name__)


def local_tick(
    fleet: LocalFleet, gate: Gate, name: str, wanted: Callable[[], int | None]
) -> Callable[[], Awaitable[None]]:
    """A workload of the embedded fleet."""

    async def tick() -> None:
        replicas = wanted()
        has = (await fleet.state())["workloads"].get(name, {}).get("replicas")
        if replicas is None or replicas == has:
            return
        call = Call(api="local", method="scale", target=name, body={"replicas": replicas})
        async with gate.writing(call):
            await fleet.set_replicas(name, replicas)

    return tick


def cluster_tick(
    driver: WorkloadDriver,
    about: ObjectRef,
    wanted: Callable[[], int | None],
    keep: Callable[[Written], None],
    report: Report,
    clock: Clock,
) -> Callable[[], Awaitable[None]]:
    """A workload of the cluster; ``keep`` is told what the driver knows after each look."""

    async def tick() -> None:
        replicas = wanted()
        if replicas is None:
            return
        try:
            done = await driver.tick(replicas, clock.now())
        finally:
            keep(driver.written)
        if done.override:
            report.event(about, "ManualOverride", done.override, warns=True)
            log.warning(done.override, extra={"workload": about.name})
        for change in done.written:
            text = f"{type(change).__name__.lower()} of {change.replicas} replicas set"
            report.event(about, "FloorRaised", text, warns=False)

    return tick
