"""A model's days as observations, seeded, and a ledger of what was decided about them."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from autoscaler.ledger.entries import Decided, Wrote
from autoscaler.ledger.files import LedgerFiles
from autoscaler.ledger.starts import WARM_S, begun, start
from autoscaler.observe.history import History
from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.sizing.fleet import PlannerFleet

POLICY = """\
mode: active
models:
- name: llama
  minReplicas: 1
  maxReplicas: 40
pools:
- name: gpu
  maxUnits: 40
"""
START_S = 1_700_000_000.0
PERIOD_S = 15.0


def observations(count: int, seed: int = 1) -> Iterator[Observation]:
    """A day's wave with noise, now and then nothing heard."""
    rng = random.Random(seed)
    ready = 2
    for index in range(count):
        now_s = START_S + index * PERIOD_S
        rate = 40.0 * (1.2 + math.sin(now_s / 13_750.0)) * rng.uniform(0.8, 1.2)
        heard = rng.uniform(0.0, 1.0) > 0.02
        yield Observation(
            now_s=now_s,
            model="llama",
            demand=Demand(
                window_s=PERIOD_S,
                arrivals_rps=rate if heard else None,
                input_tokens=800.0 + rng.uniform(-50.0, 50.0) if heard else None,
                output_tokens=200.0 + rng.uniform(-20.0, 20.0) if heard else None,
                queued_requests=float(rng.randrange(0, 4)),
                served_rps=rate,
                violating=rng.uniform(0.0, 0.02),
            ),
            supply={"gpu": PoolSupply(replicas_ready=ready, units_ready=ready)},
        )
        ready = max(1, ready + rng.choice((-1, 0, 0, 1)))


def record(folder: Path, count: int = 400, *, segment_bytes: int = 1 << 30) -> list[Path]:
    """Drive a controller as the live loop does, and write its ledger."""
    lately: deque[Observation] = deque(maxlen=int(WARM_S / PERIOD_S))
    fleet: PlannerFleet | None = None
    paths: list[Path] = []
    with LedgerFiles(folder, segment_bytes=segment_bytes) as ledger:
        for seen in observations(count):
            if fleet is None or ledger.is_full:
                history = History() if fleet is None else fleet.planners["llama"].history
                first = start(seen.now_s, POLICY, {"llama": history}, tuple(lately))
                paths.append(ledger.begin(seen.now_s, [first]))
                fleet = begun(first)
            decision = fleet.decide({"llama": seen})["llama"]
            lately.append(seen)
            ledger.append([Decided(at_s=seen.now_s, seen=seen, decision=decision, mode="active")])
        wrote = Wrote(
            at_s=seen.now_s,
            model="llama",
            pool="gpu",
            api="gke",
            method="setSize",
            target="gpu",
            body={"nodeCount": 5},
        )
        ledger.append([wrote])
    return paths
