"""Policies against each other: the same seeded workload on the same fleet, cold for each.

``python -m load_tests compare`` prints the table and the ratios, and with ``--assert`` fails when
Loadstar does not hold what the project promises of it.
"""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from load_tests.capacity import requests_needed, saturation
from load_tests.drive import Driver, target
from load_tests.emulator.profiles import PROFILES
from load_tests.fleet import Fleet, FleetPlan, GatewayPlan, Policy, ServersPlan, fleet
from load_tests.measure import (
    SLO_CLASSES,
    Report,
    Sample,
    Slo,
    bootstrap,
    goodput,
    hit_share,
    inference_perf,
    mean,
    quantile,
    served_spread,
)
from load_tests.tables import ms, percent, ratio, table
from load_tests.workload import Arrival, Shape, SharedPrefix, poisson, warmed, within
from loadstar.clock import Clock

MODEL = "emulated"
MOST_OF_ROUND_ROBIN = 0.5
"""Promise: Loadstar's p99 TTFT is at most this share of round robin's."""
DRIVER_LAG_S = 0.1
"""Above this p99 schedule delay the client, not the fleet, was measured."""

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


# --- what is printed ----------------------------------------------------------------------------

HEADINGS = (
    "policy",
    "requests",
    "errors",
    "TTFT mean",
    "p50",
    "p90",
    "p99",
    "TPOT p99",
    "e2e p50",
    "e2e p99",
    "hit",
    "busiest",
    "late p99",
    "gateway CPU",
)


def render(settings: Settings, results: Sequence[Result]) -> str:
    """The table, the ratios with their intervals, and what spoils the measurement, if anything."""
    lines = [table(HEADINGS, [row(settings, r) for r in results]), ""]
    lines += _ratios(settings, results)
    lines += [_goodputs(results, slo, settings.speed) for slo in SLO_CLASSES]
    if settings.speed != 1:
        lines.append(f"Times are by the wall clock; the engines ran at speed {settings.speed:g}.")
    lines += [f"CAUTION: {warning}" for warning in cautions(results)]
    return "\n".join(lines)


def row(settings: Settings, result: Result) -> tuple[str, ...]:
    ok = [s for s in result.samples if s.ok]
    ttft = [s.ttft_s for s in ok]
    e2e = [s.e2e_s for s in ok]
    gateway = result.cpu_s.get("gateway", math.nan) / result.wall_s
    return (
        result.policy.value,
        str(len(result.samples)),
        str(len(result.samples) - len(ok)),
        ms(mean(ttft)),
        *(ms(quantile(ttft, q)) for q in (50, 90, 99)),
        ms(quantile([s.tpot_s for s in ok], 99)),
        ms(quantile(e2e, 50)),
        ms(quantile(e2e, 99)),
        percent(hit_share(ok)),
        ratio(served_spread(ok, settings.servers)),
        ms(quantile([s.delay_s for s in result.samples], 99)),
        percent(gateway),
    )


def _ratios(settings: Settings, results: Sequence[Result]) -> list[str]:
    ours = next((r for r in results if r.policy is Policy.LOADSTAR), None)
    if ours is None:
        return []
    mine = [s.ttft_s for s in ours.samples if s.ok]
    lines = []
    for result in results:
        if result is ours:
            continue
        theirs = [s.ttft_s for s in result.samples if s.ok]
        low, high = bootstrap(mine, theirs, lambda v: quantile(v, 99), seed=settings.seed)
        lines.append(
            f"TTFT of loadstar over {result.policy.value}: "
            f"mean {mean(mine) / mean(theirs):.2f}, "
            f"p99 {quantile(mine, 99) / quantile(theirs, 99):.2f} (95 %: {low:.2f} to {high:.2f})"
        )
    return lines


def _goodputs(results: Sequence[Result], slo: Slo, speed: float) -> str:
    shares = (f"{r.policy.value} {percent(goodput(r.samples, slo.at(speed)))}" for r in results)
    return (
        f"goodput {slo.name} (TTFT {slo.ttft_s:g} s, TPOT {slo.tpot_s * 1000:g} ms): "
        f"{', '.join(shares)}"
    )


def cautions(results: Sequence[Result]) -> list[str]:
    """Why the figures may not be what they seem."""
    found = []
    for result in results:
        late = quantile([s.delay_s for s in result.samples], 99)
        if late > DRIVER_LAG_S:
            found.append(
                f"{result.policy.value}: the client itself was {ms(late)} late (p99); "
                "lower --speed or --load"
            )
    return found


def broken_promises(results: Sequence[Result]) -> list[str]:
    """What ``--assert`` fails on; needs Loadstar and at least one of the two it is held against."""
    p99 = {r.policy: quantile([s.ttft_s for s in r.samples if s.ok], 99) for r in results}
    broken = [
        f"{r.policy.value}: {sum(not s.ok for s in r.samples)} requests failed"
        for r in results
        if any(not s.ok for s in r.samples)
    ]
    ours = p99.get(Policy.LOADSTAR, math.nan)
    # Written so that NaN, which is no measurement, breaks the promise.
    if Policy.ROUND_ROBIN in p99 and not ours <= MOST_OF_ROUND_ROBIN * p99[Policy.ROUND_ROBIN]:
        broken.append(
            f"p99 TTFT {ms(ours)} is more than {MOST_OF_ROUND_ROBIN:g} of round robin's "
            f"{ms(p99[Policy.ROUND_ROBIN])}"
        )
    if Policy.LEAST_REQUEST in p99 and not ours < p99[Policy.LEAST_REQUEST]:
        broken.append(
            f"p99 TTFT {ms(ours)} is not below least request's {ms(p99[Policy.LEAST_REQUEST])}"
        )
    return broken


def report(settings: Settings, workload: Offered, results: Sequence[Result]) -> Report:
    """All runs as JSON: inference-perf's summary for each, and where the CPU went."""
    return {
        result.policy.value: inference_perf(result.samples, workload.rate)
        | {
            "goodput": {
                slo.name: goodput(result.samples, slo.at(settings.speed)) for slo in SLO_CLASSES
            },
            "cpu_seconds": result.cpu_s,
            "served_by": served(result.samples),
        }
        for result in results
    }


def served(samples: Sequence[Sample]) -> dict[str, int]:
    """Requests by who served them."""
    names = sorted({s.served_by for s in samples})
    return {name: sum(s.served_by == name for s in samples) for name in names}
