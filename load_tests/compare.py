"""Policies against each other: the same seeded workload on the same fleet, cold for each.

Sizes the workload and runs it; what the runs come to is in ``compare_report``. Called by
``python -m load_tests compare`` and the demo.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from load_tests.arrival_times import poisson, within
from load_tests.capacity import requests_needed, saturation
from load_tests.drive import Driver, target
from load_tests.emulator.profiles import PROFILES
from load_tests.fleet import Fleet, FleetPlan, GatewayPlan, Policy, ServersPlan, fleet
from load_tests.measure import Sample
from load_tests.workload import Arrival, Shape, SharedPrefix, warmed
from loadstar.clock import Clock

MODEL = "emulated"

# Prefixes of 72,000 tokens in all: twice what one L4 can cache, a quarter of what eight can.
COMPARED = SharedPrefix(
    groups=48, prefix_tokens=1500, question_tokens=100, output_tokens=30, length_cv=0.3
)


@dataclass(frozen=True, slots=True)
class Settings:
    """One comparison."""

    policies: tuple[Policy, ...] = (Policy.LOADSTAR, Policy.ROUND_ROBIN, Policy.LEAST_REQUEST)
    servers: int = 8
    profile: str = "L4-8B"
    shape: Shape = COMPARED
    load: float = 0.75
    seconds: float = 60.0
    seed: int = 1
    speed: float = 1.0
    gateway: GatewayPlan = field(default_factory=GatewayPlan)
    logs: Path | None = None
    """Where configurations and logs stay; None throws them away."""


@dataclass(frozen=True, slots=True)
class Result:
    """One policy's run."""

    policy: Policy
    samples: Sequence[Sample]
    """Without the warm-up."""
    wall_s: float
    cpu_s: dict[str, float]
    """CPU seconds by process during the run."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The workload of a comparison, and how it was sized."""

    arrivals: Sequence[Arrival]
    rate: float
    """Requests per wall-clock second."""
    saturation: float
    """The fleet's under round robin, per wall-clock second."""


def offered(settings: Settings) -> Offered:
    """The seeded workload at ``load`` times the fleet's saturation throughput. Pure."""
    profile = PROFILES[settings.profile]
    rng = random.Random(settings.seed)
    typical = settings.shape.arrivals([0.0] * 100, rng)
    tokens = sum(a.prompt_tokens for a in typical) // len(typical)
    count = requests_needed(profile, settings.servers, tokens)
    # Times matter to shapes with a memory (turns of a chat), so they come at a plausible rate.
    backlog = settings.shape.arrivals(within(poisson(20, rng), count / 20), rng)
    most = saturation(backlog, profile, settings.servers) * settings.speed
    rate = settings.load * most
    return Offered(warmed(settings.shape, rate, settings.seconds, rng), rate, most)


async def compare(
    settings: Settings, clock: Clock, progress: Callable[[str], None]
) -> tuple[Offered, list[Result]]:
    """Run every policy in turn; ``progress`` hears what is going on."""
    workload = offered(settings)
    counted = sum(not a.warmup for a in workload.arrivals)
    progress(
        f"{counted} requests at {workload.rate:.1f}/s after {len(workload.arrivals) - counted} to "
        f"warm up; {settings.load:.0%} of what {settings.servers} x {settings.profile} complete "
        f"under round robin ({workload.saturation:.1f}/s at speed {settings.speed:g})"
    )
    results = []
    for policy in settings.policies:
        with _workdir(settings.logs, policy) as workdir:
            plan = FleetPlan(
                policy=policy,
                servers=ServersPlan(settings.servers, settings.profile, settings.speed),
                gateway=settings.gateway,
            )
            progress(f"{policy.value}: starting")
            async with fleet(plan, workdir) as running:
                progress(f"{policy.value}: running for {workload.arrivals[-1].at_s:.0f} s")
                results.append(await _measured(running, policy, workload.arrivals, clock))
    return workload, results


@contextlib.contextmanager
def _workdir(logs: Path | None, policy: Policy) -> Iterator[Path]:
    if logs is None:
        with tempfile.TemporaryDirectory(prefix="loadstar-compare-") as made:
            yield Path(made)
    else:
        kept = logs / policy.value
        kept.mkdir(parents=True, exist_ok=True)
        yield kept


async def _measured(
    running: Fleet, policy: Policy, arrivals: Sequence[Arrival], clock: Clock
) -> Result:
    samples: list[Sample] = []

    def seen(arrival: Arrival, sample: Sample) -> None:
        if not arrival.warmup:
            samples.append(sample)

    before = {p.name: await p.cpu_seconds() for p in running.processes()}
    began = clock.now()
    await Driver(target(running.address, MODEL), clock).run(arrivals, seen)
    wall = clock.now() - began
    used = {p.name: await p.cpu_seconds() - before[p.name] for p in running.processes()}
    return Result(policy, samples, wall, used)
