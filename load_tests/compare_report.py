"""What runs of the same workload come to: the table, the ratios, the promises, JSON. Pure.

``python -m load_tests compare`` prints it, and with ``--assert`` fails when Loadstar does not hold
what the project promises of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from load_tests.compare import Offered, Result, Settings
from load_tests.fleet import Policy
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

MOST_OF_ROUND_ROBIN = 0.5
"""Promise: Loadstar's p99 TTFT is at most this share of round robin's."""
DRIVER_LAG_S = 0.1
"""Above this p99 schedule delay the client, not the fleet, was measured."""

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
