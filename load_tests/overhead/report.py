"""From rounds to figures: what one request costs through each picker, and against a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from load_tests.overhead.rounds import NONE, Round
from load_tests.tables import ratio, table


@dataclass(frozen=True, slots=True)
class Figure:
    """One workload through one picker, all rounds together. NaN is not known."""

    workload: str
    connections: int
    picker: str
    requests: int
    failed: int
    cpu_us: float
    """CPU of the picker, per request."""
    versus_baseline: float
    """The same as a multiple of the baseline's."""
    requests_per_core_second: float
    """How many requests one core of the picker would carry: 1 / CPU per request."""
    envoy_cpu_us: float
    messages: float
    """Messages that Envoy sent to the picker, per request."""
    p50_ms: float
    p99_ms: float
    added_p50_ms: float
    """Above the Envoy without a picker; medians over the rounds."""
    added_p99_ms: float


def figures(rounds: Sequence[Round], baseline: str) -> list[Figure]:
    """One figure for each workload, number of connections and picker, in their order."""
    groups: dict[tuple[str, int, str], list[Round]] = {}
    for done in rounds:
        groups.setdefault((done.workload, done.connections, done.picker), []).append(done)
    return [
        _figure(group, groups.get((workload, connections, baseline)), plain)
        for (workload, connections, picker), group in groups.items()
        if picker != NONE
        for plain in [groups[workload, connections, NONE]]
    ]


def _figure(group: list[Round], base: list[Round] | None, plain: list[Round]) -> Figure:
    first, cpu = group[0], _per_request([r.picker_cpu_seconds for r in group], group)
    base_cpu = _per_request([r.picker_cpu_seconds for r in base], base) if base else math.nan
    p50, p99 = _latencies(group)
    plain_p50, plain_p99 = _latencies(plain)
    return Figure(
        workload=first.workload,
        connections=first.connections,
        picker=first.picker,
        requests=sum(r.burst.requests for r in group),
        failed=sum(r.burst.failed for r in group),
        cpu_us=1e6 * cpu,
        versus_baseline=cpu / base_cpu if base_cpu else math.nan,
        requests_per_core_second=1 / cpu if cpu else math.nan,
        envoy_cpu_us=1e6 * _per_request([r.envoy_cpu_seconds for r in group], group),
        messages=_per_request([r.messages for r in group], group),
        p50_ms=1e3 * p50,
        p99_ms=1e3 * p99,
        added_p50_ms=1e3 * (p50 - plain_p50),
        added_p99_ms=1e3 * (p99 - plain_p99),
    )


def _per_request(spent: Sequence[float], group: Sequence[Round]) -> float:
    requests = sum(r.burst.requests for r in group)
    return sum(spent) / requests if requests else math.nan


def _latencies(group: Sequence[Round]) -> tuple[float, float]:
    return median(r.burst.p50 for r in group), median(r.burst.p99 for r in group)


def render(shown: Sequence[Figure], baseline: str) -> str:
    """The table for the terminal."""
    headings = (
        *("workload", "conns", "picker", "CPU us/req", f"vs {baseline}", "req/s/core"),
        *("Envoy us/req", "msgs/req", "added p50 ms", "added p99 ms", "requests", "failed"),
    )
    rows = [
        (
            *(f.workload, str(f.connections), f.picker, f"{f.cpu_us:,.1f}"),
            *(ratio(f.versus_baseline), f"{f.requests_per_core_second:,.0f}"),
            *(f"{f.envoy_cpu_us:,.0f}", f"{f.messages:.1f}"),
            *(f"{f.added_p50_ms:.2f}", f"{f.added_p99_ms:.2f}", str(f.requests), str(f.failed)),
        )
        for f in shown
    ]
    return table(headings, rows)
