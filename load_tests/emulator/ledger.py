"""What an emulated server has done since it started: counters and histograms, fed step by step.

Pure and in engine seconds. ``page`` renders it under the metric names of an engine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from load_tests.emulator.engine import Generation, Step

# vLLM's buckets.
FIRST_TOKEN_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
PER_TOKEN_S = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
)  # fmt: skip
REQUEST_S = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
STEP_TOKENS = (1.0, *(float(2**power) for power in range(3, 15)))
PREEMPTIONS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
CHOICES = (1.0, 2.0, 5.0, 10.0, 20.0)
HTTP_FINE_S = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0,
    7.5, 10.0, 30.0, 60.0,
)  # fmt: skip
HTTP_COARSE_S = (0.1, 0.5, 1.0)


class Histogram:
    """Counts per bucket, Prometheus fashion: a value belongs to the first bound >= it."""

    __slots__ = ("bounds", "count", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # not cumulative; the last is above all bounds
        self.count = 0
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.count += times
        self.total += value * times


class Ledger:
    """One server's history. ``api_overhead_s`` is what clients wait before the engine counts."""

    def __init__(self, api_overhead_s: float = 0.0) -> None:
        self._api_overhead_s = api_overhead_s
        self._last_end: float | None = None
        self.prompt_tokens = 0
        self.cached_prompt_tokens = 0
        self.generation_tokens = 0
        self.finished: Counter[str] = Counter()  # reason -> requests
        self.http_requests: Counter[tuple[str, str, str]] = Counter()  # handler, method, status
        self.http_request_bytes: Counter[str] = Counter()
        self.http_response_bytes: Counter[str] = Counter()
        self.http_seconds = Histogram(HTTP_FINE_S)
        self.http_handler_seconds: dict[tuple[str, str], Histogram] = {}  # by handler, method
        self.step_tokens = Histogram(STEP_TOKENS)
        self.first_token_s = Histogram(FIRST_TOKEN_S)
        self.inter_token_s = Histogram(PER_TOKEN_S)
        self.per_output_token_s = Histogram(PER_TOKEN_S)
        self.e2e_s = Histogram(REQUEST_S)
        self.queue_s = Histogram(REQUEST_S)
        self.inference_s = Histogram(REQUEST_S)
        self.prefill_s = Histogram(REQUEST_S)
        self.decode_s = Histogram(REQUEST_S)
        self.request_prompt_tokens = Histogram(TOKENS)
        self.request_generation_tokens = Histogram(TOKENS)
        self.request_max_tokens = Histogram(TOKENS)
        self.request_computed_tokens = Histogram(TOKENS)
        self.request_choices = Histogram(CHOICES)
        self.request_preemptions = Histogram(PREEMPTIONS)

    def stepped(self, step: Step) -> None:
        """Count a step that has ended."""
        decodes = len(step.decoding)
        self.step_tokens.observe(step.prefill_tokens + decodes)
        self.generation_tokens += decodes
        if decodes:
            # Whoever decodes got its last token when the step before ended.
            since = step.starts_at if self._last_end is None else self._last_end
            self.inter_token_s.observe(step.ends_at - since, decodes)
        self._last_end = step.ends_at
        for generation in step.prefilled:
            self.generation_tokens += 1
            if generation.first_token_at == step.ends_at:
                self.prompt_tokens += generation.request.prompt_tokens
                self.cached_prompt_tokens += generation.cached_tokens
                waited = step.ends_at - generation.arrived_at + self._api_overhead_s
                self.first_token_s.observe(waited)

    def ended(self, generation: Generation, reason: str) -> None:
        """Count a request that finished: ``reason`` is ``stop`` or ``length``."""
        self.finished[reason] += 1
        admitted, first = generation.admitted_at, generation.first_token_at
        end = generation.finished_at
        if admitted is None or first is None or end is None:
            raise ValueError("it has not finished")
        request = generation.request
        self.queue_s.observe(admitted - generation.arrived_at)
        self.prefill_s.observe(first - admitted)
        self.decode_s.observe(end - first)
        self.inference_s.observe(end - admitted)
        self.e2e_s.observe(end - generation.arrived_at + self._api_overhead_s)
        if generation.tpot is not None:
            self.per_output_token_s.observe(generation.tpot)
        self.request_prompt_tokens.observe(request.prompt_tokens)
        self.request_generation_tokens.observe(request.output_tokens)
        self.request_max_tokens.observe(request.output_tokens)
        self.request_computed_tokens.observe(request.prompt_tokens - generation.cached_tokens)
        self.request_choices.observe(1)
        self.request_preemptions.observe(generation.preemptions)

    def aborted(self) -> None:
        self.finished["abort"] += 1

    def answered(
        self, handler: str, method: str, status: int, received: int, sent: int, seconds: float
    ) -> None:
        """Count one HTTP exchange; ``received`` and ``sent`` are body bytes."""
        self.http_requests[handler, method, f"{status // 100}xx"] += 1
        self.http_request_bytes[handler] += received
        self.http_response_bytes[handler] += sent
        self.http_seconds.observe(seconds)
        if (handler, method) not in self.http_handler_seconds:
            self.http_handler_seconds[handler, method] = Histogram(HTTP_COARSE_S)
        self.http_handler_seconds[handler, method].observe(seconds)
