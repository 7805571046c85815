"""Run every workload against every picker in turn, A B A B, and against none.

Each picker has an Envoy of its own, all in front of the same backends, and only one of them is
driven at a time: what else this machine does hits all of them alike.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from load_tests.envoy import RunningEnvoy, envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.overhead.client import LAST_ANSWERS_SECONDS, Burst
from load_tests.overhead.pickers import Picker
from load_tests.overhead.workloads import WORKLOADS
from load_tests.ports import free_ports
from load_tests.process import ChildFailed, child

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
WARM_UP_SECONDS = 0.5
START_SECONDS = 20.0
NONE = "none"
"""Name of the Envoy without a picker."""
MESSAGES = "http.inference.ext_proc.stream_msgs_sent"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    cases: tuple[tuple[str, int], ...]
    """(workload, connections)."""
    seconds: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Round:
    """One burst through one picker, or none."""

    workload: str
    connections: int
    picker: str
    burst: Burst
    picker_cpu_seconds: float
    """0 where there is no picker."""
    envoy_cpu_seconds: float
    messages: int
    """What Envoy sent to the picker."""


async def run(
    plan: Plan,
    pickers: Sequence[Picker],
    endpoints: Sequence[Address],
    workdir: Path,
    say: Callable[[str], None],
) -> list[Round]:
    """All rounds. Raises ChildFailed where a process of ours does not work."""
    done: list[Round] = []
    async with AsyncExitStack() as scope:
        fronts: list[tuple[Picker | None, RunningEnvoy, int]] = []
        for picker in (None, *pickers):
            proxy = _envoy_plan(picker, endpoints)
            name = f"envoy-{NONE if picker is None else picker.name}"
            running = await scope.enter_async_context(envoy(proxy, workdir=workdir, name=name))
            fronts.append((picker, running, proxy.listen.port))
        for (workload, connections), number in product(plan.cases, range(plan.rounds)):
            say(f"{workload} on {connections} connections, round {number + 1} of {plan.rounds}")
            for picker, running, port in fronts:
                if number == 0:
                    await _drive(port, workload, connections, WARM_UP_SECONDS)
                done.append(await _round(picker, running, port, workload, connections, plan))
    return done


async def _round(
    picker: Picker | None,
    running: RunningEnvoy,
    port: int,
    workload: str,
    connections: int,
    plan: Plan,
) -> Round:
    async def spent() -> tuple[float, float, int]:
        own = 0.0 if picker is None else await asyncio.to_thread(picker.cpu_seconds)
        told = (await running.stats(MESSAGES)).get(MESSAGES, 0)
        return own, await running.process.cpu_seconds(), told

    before = await spent()
    seen = await _drive(port, workload, connections, plan.seconds)
    after = await spent()
    return Round(
        workload=workload,
        connections=connections,
        picker=NONE if picker is None else picker.name,
        burst=seen,
        picker_cpu_seconds=after[0] - before[0],
        envoy_cpu_seconds=after[1] - before[1],
        messages=after[2] - before[2],
    )


async def _drive(port: int, workload: str, connections: int, seconds: float) -> Burst:
    """One client process, from start to end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load_tests.overhead.client"),
        *(str(port), workload, str(connections), str(seconds)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(START_SECONDS + seconds + LAST_ANSWERS_SECONDS):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ChildFailed(f"the client ended with {process.returncode}")
    return Burst(**json.loads(printed))


def _envoy_plan(picker: Picker | None, endpoints: Sequence[Address]) -> EnvoyPlan:
    listen, admin = (Address(HOST, port) for port in free_ports(2))
    if picker is None:
        return EnvoyPlan(listen, admin, Balancing.ROUND_ROBIN, tuple(endpoints))
    asked = PickerPlan(picker.address, tls=picker.tls, response_body=picker.response_body)
    return EnvoyPlan(listen, admin, Balancing.ORIGINAL_DST, tuple(endpoints), asked)


@asynccontextmanager
async def backends(
    first_port: int | None, count: int, gap_ms: float, workdir: Path
) -> AsyncIterator[tuple[Address, ...]]:
    """``count`` backends on consecutive ports, listening."""
    ports = free_ports(count) if first_port is None else range(first_port, first_port + count)
    command = [
        *(sys.executable, "-m", "load_tests.overhead.backend"),
        *(str(ports[0]), str(count), "--gap-ms", str(gap_ms)),
    ]

    async def listening() -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, ports[-1])
        except OSError:
            return False
        writer.close()
        return True

    async with child("backends", command, logs=workdir, cwd=ROOT) as process:
        await process.ready(listening, within_s=START_SECONDS, what="listening")
        yield tuple(Address(HOST, port) for port in ports)


def cases(
    workloads: Sequence[str], connections: Sequence[int] | None
) -> tuple[tuple[str, int], ...]:
    """Every workload on every number of ``connections``; None takes those that become it."""
    return tuple(
        (name, number)
        for name in workloads
        for number in connections or WORKLOADS[name].connections
    )
