"""``predicted-cost-scorer``: the endpoint that costs least, this request and others counted.

Not in the reference. It predicts each endpoint's time to this request's first token, and adds
what the request costs everybody else: work taken from a busy fleet, slower decode steps, memory.
Feeds on this gateway's own account, which is never stale; scraped metrics add what others sent
and warn of a full KV cache, as far as they are believed. With its own requests counted the moment
they are sent, a hot prefix spreads over more endpoints as soon as waiting for its home costs more
than computing it again.

For endpoint r, prompt of L tokens of which h are held, u = L - h to compute, o expected output:

    own    = a*u + b*u*(h + u/2)                             compute this prompt
    before = a*(pending tokens of r)                         compute what waits before it
    step   = t + c*(requests of r) + d*(tokens of r)         one decode step there
    first  = before + own + step*(1 + (pending + u)/C)       time to the first token
    work   = 6*rate*(mean before)*own                        price of work, by the backlog
    decode = 0.1*o*(c*requests + d*tokens)                   others' time per output token
    memory = 0.3*u/capacity*o*step*F/(1.03 - F)              price of memory, F the fleet's use
    risk   = o*step/2*max(0, (full - 0.9)/0.1)               preemption of r when nearly full
    cost   = first + work + decode + memory + risk           and score = least cost / cost

Without the price of work, choosing by time to first token alone loses its cache affinity exactly
when the fleet saturates, and does not find it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from gateway.datalayer.state import Endpoint
from gateway.scheduling.plugin_type import Wiring
from gateway.scheduling.producer_parameters import PrefixParameters
from gateway.scheduling.sizes import prompt_tokens
from gateway.scheduling.types import Candidates, Cycle, Decision
from loadstar.arrays import Floats, Ints, kernel
from loadstar.config.load import Seconds, above, at_least

RATE_MEMORY = 10.0
"""Seconds over which the arrival rate is averaged: a few bursts long, shorter than a trend."""
WORK_PRICE = 6.0
"""Flat between 1 and 12 in simulation on conversation traces."""
DECODE_PRICE = 0.1
"""More buys shorter steps with lost cache affinity."""
MEMORY_PRICE = 0.3
NEARLY_FULL = 0.9
"""Share of the KV cache from which engines begin to preempt."""
CROWDED_AT = 1.03
"""Keeps the price of memory finite at a use of 1."""

NOTHING_HELD: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class PredictedCostParameters:
    """What an engine's time goes into. An error of two in any of them costs little.

    The defaults are an 8B model on an accelerator between an L4 (six times slower) and an H100
    (twice as fast); on emulated fleets of L4, A100 and H100 they are within a tenth of each one's
    own. Only their proportions decide, so turn them for a model of another shape rather than for
    a faster machine.
    """

    time_per_prompt_token: Annotated[Seconds, above(0)] = 50e-6
    time_per_token_pair: Annotated[Seconds, at_least(0)] = 2.5e-9
    step_time: Annotated[Seconds, above(0)] = 10e-3
    step_time_per_request: Annotated[Seconds, at_least(0)] = 300e-6
    """Far more than a step really grows by: with the true value (10 us on an H100) one prefix that
    everybody asks for stays on too few endpoints; on emulated fleets that doubled its p99 time to
    first token, and nothing else got better by it."""
    step_time_per_token: Annotated[Seconds, at_least(0)] = 100e-9
    chunk_tokens: Annotated[int, at_least(1)] = 4096
    """Prompt tokens an engine computes in one step."""
    expected_output_tokens: Annotated[int, at_least(1)] = 200
    """For a request that says no limit; the smaller of the two for one that does."""
    kv_capacity_tokens: Annotated[int, at_least(1)] = 400_000
    """For an endpoint that does not report its KV cache."""
    prefix_match_info_producer_name: str = ""


class PredictedCost:
    """1 for the least cost, 0.5 for twice as much."""

    def __init__(self, parameters: PredictedCostParameters, producer: str) -> None:
        self._parameters = parameters
        self._producer = producer
        self._rate = 0.0
        self._counted_at: float | None = None
        self._coefficients = np.array(
            [
                parameters.time_per_prompt_token,
                parameters.time_per_token_pair,
                parameters.step_time,
                parameters.step_time_per_request,
                parameters.step_time_per_token,
                float(parameters.chunk_tokens),
                float(parameters.kv_capacity_tokens),
            ]
        )

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats:
        columns = candidates.columns
        match = cycle.matched(self._producer)
        return _scores(
            candidates.slots,
            candidates.confidence,
            columns.waiting,
            columns.running,
            columns.kv_used,
            columns.kv_blocks,
            columns.block_tokens,
            columns.inflight_requests,
            columns.inflight_tokens,
            columns.inflight_prefill,
            match.matched_blocks if match is not None and match.total_blocks else NOTHING_HELD,
            match.block_tokens if match is not None else 0,
            float(max(prompt_tokens(cycle.request), 1)),
            self._output(cycle),
            self.arrivals_per_second(cycle.now),
            self._coefficients,
        )

    def arrivals_per_second(self, now: float) -> float:
        """Of the whole pool, averaged over the last ``RATE_MEMORY`` seconds."""
        if self._counted_at is None:
            return 0.0
        return self._rate * math.exp(-max(now - self._counted_at, 0.0) / RATE_MEMORY)

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self._rate = self.arrivals_per_second(cycle.now) + 1.0 / RATE_MEMORY
        self._counted_at = cycle.now

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        """A retry is no new arrival."""

    def _output(self, cycle: Cycle) -> float:
        body, expected = cycle.request.body, self._parameters.expected_output_tokens
        if body is None or body.max_output_tokens is None:
            return float(expected)
        return float(max(min(expected, body.max_output_tokens), 0))


def predicted_cost(parameters: PredictedCostParameters, wiring: Wiring) -> PredictedCost:
    """Raises ValueError for a producer name that is not configured."""
    producer = wiring.prefix_producer(PrefixParameters, parameters.prefix_match_info_producer_name)
    return PredictedCost(parameters, producer)


@kernel
def _scores(
    slots: Ints,
    confidence: Floats,
    waiting: Floats,
    running: Floats,
    kv_used: Floats,
    kv_blocks: Floats,
    block_tokens: Floats,
    inflight_requests: Ints,
    inflight_tokens: Ints,
    inflight_prefill: Ints,
    matched: Ints,
    block_tokens_matched: int,
    prompt: float,
    output: float,
    rate: float,
    coefficients: Floats,
) -> Floats:
    a, b, t, c, d, chunk, usual_capacity = coefficients
    count = slots.size
    pending = np.empty(count)
    requests = np.empty(count)
    tokens = np.empty(count)
    capacity = np.empty(count)
    full = np.empty(count)
    total_pending, total_full = 0.0, 0.0
    for i in range(count):
        slot, trust = slots[i], min(max(confidence[i], 0.0), 1.0)
        requests[i] = inflight_requests[slot]
        tokens[i] = inflight_tokens[slot]
        pending[i] = inflight_prefill[slot]
        # What others sent: a queue longer than all of ours cannot be ours alone. Their size is
        # not known; they are taken to be like this one.
        if trust > 0.0 and waiting[slot] > requests[i]:  # NaN is not
            foreign = trust * (waiting[slot] - requests[i])
            pending[i] += foreign * prompt
            tokens[i] += foreign * prompt
        if trust > 0.0 and waiting[slot] + running[slot] > requests[i]:
            requests[i] += trust * (waiting[slot] + running[slot] - requests[i])
        room = kv_blocks[slot] * block_tokens[slot]
        capacity[i] = room if room > 0.0 else usual_capacity
        full[i] = tokens[i] / capacity[i]
        if trust > 0.0 and kv_used[slot] > full[i]:
            full[i] += trust * (kv_used[slot] - full[i])
        total_pending += pending[i]
        total_full += min(full[i], 1.0)
    mean_before = a * total_pending / count
    mean_full = total_full / count
    work_price = WORK_PRICE * rate / count * mean_before
    memory_price = MEMORY_PRICE * output * mean_full / (CROWDED_AT - mean_full)
    costs = np.empty(count)
    least = np.inf
    for i in range(count):
        held = float(matched[slots[i]] * block_tokens_matched) if matched.size else 0.0
        uncached = max(prompt - held, 1.0)
        own = a * uncached + b * uncached * (held + uncached / 2.0)
        slower = c * requests[i] + d * tokens[i]
        step = t + slower
        first = a * pending[i] + own + step * (1.0 + (pending[i] + uncached) / chunk)
        nearly = full[i] + (uncached + output / 2.0) / capacity[i] - NEARLY_FULL
        costs[i] = (
            first
            + work_price * own
            + DECODE_PRICE * output * slower
            + memory_price * uncached / capacity[i] * step
            + output * step / 2.0 * max(0.0, nearly / (1.0 - NEARLY_FULL))
        )
        least = min(least, costs[i])
    for i in range(count):
        # A page may say numbers that no sum survives; what costs no number is chosen last.
        if costs[i] <= least:
            costs[i] = 1.0
        elif costs[i] < np.inf:
            costs[i] = least / costs[i]
        else:
            costs[i] = 0.0
    return costs
