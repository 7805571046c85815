"""One workload against one gateway that is already up: ``python -m load_tests drive``."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from load_tests.drive import Driver, Target
from load_tests.measure import Sample, hit_share, label, mean, quantile
from load_tests.tables import ms, percent, table
from load_tests.workload import Arrival, Shape, warmed
from loadstar.clock import Clock

HEADINGS = (
    "requests",
    "failed",
    "TTFT mean",
    "p50",
    "p99",
    "TPOT p99",
    "e2e p99",
    "hit",
    "late p99",
)


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, and how fast."""

    shape: Shape
    rate: float
    seconds: float
    cv: float = 1.0


async def drive(load: Load, to: Target, seed: int, clock: Clock) -> list[Sample]:
    """Warm up, then send the load; the samples without the warm-up."""
    arrivals = warmed(load.shape, load.rate, load.seconds, random.Random(seed), cv=load.cv)
    samples: list[Sample] = []

    def seen(arrival: Arrival, sample: Sample) -> None:
        if not arrival.warmup:
            samples.append(sample)

    await Driver(to, clock).run(arrivals, seen)
    return samples


def render(samples: Sequence[Sample]) -> str:
    """One line of figures, and what failed."""
    ok = [s for s in samples if s.ok]
    ttft = [s.ttft_s for s in ok]
    line = (
        str(len(samples)),
        str(len(samples) - len(ok)),
        ms(mean(ttft)),
        ms(quantile(ttft, 50)),
        ms(quantile(ttft, 99)),
        ms(quantile([s.tpot_s for s in ok], 99)),
        ms(quantile([s.e2e_s for s in ok], 99)),
        percent(hit_share(ok)),
        ms(quantile([s.delay_s for s in samples], 99)),
    )
    failures = Counter(label(s) for s in samples if not s.ok)
    return "\n".join([table(HEADINGS, [line]), *(f"{n} x {what}" for what, n in failures.items())])
