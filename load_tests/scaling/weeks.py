"""The demands of the targets: ServeGen weeks by path, seeded synthetic ones otherwise.

Every week is scaled so that its busiest minutes need the same number of replicas. Seeds redraw what
is finer than a trace's ten minutes; of a synthetic week, everything.
"""

from __future__ import annotations

import functools
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from autoscaler.capacity.work import WorkModel
from autoscaler.policy.profile import ProfilePolicy
from autoscaler.simulate.demand import DemandSeries, of_rates
from autoscaler.simulate.synthetic import WEEKS
from autoscaler.simulate.traces import read_any

INPUT_TOKENS: Final = 1100.0
OUTPUT_TOKENS: Final = 211.0
FULL: Final = 0.92
PEAK_REPLICAS: Final = 32
SMALL_REPLICAS: Final = 5
MINUTE_STEPS: Final = 12
PEAK_QUANTILE: Final = 0.999


@dataclass(frozen=True, slots=True)
class Week:
    """A demand: where it comes from, and which days are for what."""

    name: str
    file: str = ""
    days: int = 14
    train: tuple[int, int] = (3, 7)
    judged: tuple[int, int] = (7, 14)
    peak_replicas: int = PEAK_REPLICAS


REAL: Final = (
    Week("m-small", "servegen_language_m-small.csv.xz"),
    Week("m-large", "servegen_language_m-large_days0-9.csv.xz", 10, (3, 7), (7, 10)),
)
SYNTHETIC: Final = tuple(
    Week(name, peak_replicas=SMALL_REPLICAS if name == "small-fleet" else PEAK_REPLICAS)
    for name in WEEKS
)
COLD: Final = Week("mm-image", "servegen_multimodal_mm-image.csv.xz", 1, (0, 1), (0, 1))
COLD_DIURNAL: Final = Week("diurnal-cold", days=1, train=(0, 1), judged=(0, 1))
ALL: Final[Mapping[str, Week]] = MappingProxyType(
    {week.name: week for week in (*REAL, *SYNTHETIC, COLD, COLD_DIURNAL)}
)


@functools.lru_cache(maxsize=4)
def demand(week: Week, data: Path | None, seed: int) -> DemandSeries:
    """The whole of ``week``."""
    rng = np.random.default_rng([seed, *week.name.encode()])
    if week.file:
        if data is None:
            raise ValueError(f"{week.name} needs --data, the directory with {week.file}")
        path = data / week.file
        with lzma.open(path, "rt", encoding="utf-8", newline="") as lines:
            series = read_any(
                lines, str(path), rng, input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS
            )
    else:
        rates = WEEKS[week.name.removesuffix("-cold")](week.days, rng)
        series = of_rates(rates, input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS)
    return series.scaled(week.peak_replicas * FULL / busiest_work(series))


def busiest_work(series: DemandSeries) -> float:
    """Work a second of all but the very busiest minutes."""
    each_s = WorkModel.of(ProfilePolicy()).request_s(INPUT_TOKENS, OUTPUT_TOKENS)
    whole = len(series) // MINUTE_STEPS * MINUTE_STEPS
    minutes = series.rate_rps[:whole].reshape(-1, MINUTE_STEPS).mean(axis=1)
    return float(np.quantile(minutes, PEAK_QUANTILE)) * each_s
