"""Requests as a fluid: one first-in-first-out queue of age buckets in front of all replicas.

Every 5 s the ready replicas do so much work, the oldest first. Who waits past the next step, is
abandoned, or meets too long a prefill is late. Called by ``plant`` once a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from loadstar.arrays import Floats, kernel

STEP_S = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """What became of one step."""

    done: float  # requests
    late: float  # requests known in this step to have missed the objective
    abandoned: float  # requests, among the late
    load: float  # share of the replicas' time in use, 0..1


class FluidQueue:
    """What waits, by age."""

    def __init__(self, abandon_after_s: float, ttft_s: float) -> None:
        ages = max(1, round(abandon_after_s / STEP_S))
        self._requests = np.zeros(ages + 1)
        self._work_s = np.zeros(ages + 1)  # of one request
        self._ttft_s = ttft_s
        self._ages_in_time = int(ttft_s // STEP_S)
        self._out = np.zeros(4)
        self.waiting_requests = 0.0
        self.waiting_work_s = 0.0

    def step(
        self,
        arrived: float,
        work_s: float,
        capacity_s: float,
        replicas: float,
        prefill_share: float,
        prefill_s: float,
    ) -> Served:
        """``arrived`` requests of ``work_s`` each meet ``capacity_s`` replica-seconds."""
        self.waiting_requests, self.waiting_work_s = _step(
            self._requests, self._work_s, arrived, work_s, capacity_s, replicas,
            prefill_share, prefill_s, self._ttft_s, self._ages_in_time, self._out,
        )  # fmt: skip
        done, late, abandoned, load = self._out
        return Served(float(done), float(late), float(abandoned), float(load))

    def overdue_requests(self) -> float:
        """Requests that have waited past the objective and still wait."""
        return float(self._requests[self._ages_in_time :].sum())


def late_share(
    load: float, replicas: float, prefill_share: float, prefill_s: float, ttft_s: float
) -> float:
    """Share of requests whose prefill waits behind others' prefills for longer than ``ttft_s``."""
    return float(_late_share(load, replicas, prefill_share, prefill_s, ttft_s))


@kernel
def _late_share(
    load: float, replicas: float, prefill_share: float, prefill_s: float, ttft_s: float
) -> float:
    if prefill_s <= 0.0 or replicas <= 0.0:
        return 0.0
    if ttft_s <= prefill_s:
        return 1.0
    busy = min(prefill_share * load, 0.999)
    tail_s = 2.0 * prefill_s / ((1.0 - busy) * math.sqrt(replicas))
    return busy * math.exp(-(ttft_s - prefill_s) / tail_s)


@kernel
def _step(
    requests: Floats,
    work_s: Floats,
    arrived: float,
    work_each_s: float,
    capacity_s: float,
    replicas: float,
    prefill_share: float,
    prefill_s: float,
    ttft_s: float,
    ages_in_time: int,
    out: Floats,
) -> tuple[float, float]:
    oldest = len(requests) - 1
    abandoned = requests[oldest]
    for age in range(oldest, 0, -1):
        requests[age] = requests[age - 1]
        work_s[age] = work_s[age - 1]
    requests[0] = arrived
    work_s[0] = work_each_s
    left_s = capacity_s
    done = 0.0
    late = abandoned
    in_time = 0.0
    for age in range(oldest, -1, -1):
        if requests[age] <= 0.0:
            continue
        if work_s[age] * requests[age] <= left_s:
            served = requests[age]
            requests[age] = 0.0
        else:
            served = left_s / work_s[age]
            requests[age] -= served
        left_s = max(0.0, left_s - served * work_s[age])
        done += served
        if age > ages_in_time:
            late += served
        else:
            in_time += served
    load = 1.0 - left_s / capacity_s if capacity_s > 0.0 else 0.0
    late += in_time * _late_share(load, replicas, prefill_share, prefill_s, ttft_s)
    out[0] = done
    out[1] = late
    out[2] = abandoned
    out[3] = load
    waiting = 0.0
    waiting_s = 0.0
    for age in range(oldest + 1):
        waiting += requests[age]
        waiting_s += requests[age] * work_s[age]
    return waiting, waiting_s
