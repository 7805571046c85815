"""Schedules one request that nobody sent, so that no real one waits for a kernel to compile."""

from __future__ import annotations

import random

from gateway.datalayer.state import Columns, Endpoint, pool_state
from gateway.errors import NothingFits
from gateway.request.model import Dialect, Headers, InferenceRequest, ParsedBody
from gateway.scheduling.scheduler import Scheduler
from gateway.scheduling.types import Cycle, SaturationDetector

PROMPT = b"Once upon a time. " * 64


def warm(scheduler: Scheduler, saturation: SaturationDetector) -> None:
    """Run everything once over a pool of its own; what plugins learn of it is forgotten."""
    endpoints = tuple(Endpoint(f"warm-{slot}", "", "127.0.0.1", 1 + slot, slot) for slot in (0, 1))
    columns = Columns(2)
    for column in (columns.waiting, columns.running, columns.kv_used):
        column[:] = 0.0
    columns.observed_at[:] = 0.0
    state = pool_state(0, endpoints, columns)
    body = ParsedBody(Dialect.COMPLETIONS, "warm", None, (PROMPT,), len(PROMPT))
    request = InferenceRequest("warm", "/v1/completions", Headers(), body, len(PROMPT))
    cycle = Cycle(request, "warm", 0, state, now=0.0, rng=random.Random(0))
    saturation.saturation(state, now=0.0)
    # A second time with something learnt, when also the kernels that find it run.
    for _ in range(2):
        try:
            decision = scheduler.schedule(cycle, endpoints)
        except NothingFits:  # a filter that asks for labels or headers nobody has here
            continue
        scheduler.picked(cycle, decision)
    for endpoint in endpoints:
        scheduler.left(endpoint)
