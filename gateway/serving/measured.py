"""A policy whose scheduler also counts how much of each prompt its endpoint is believed to hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.config.picker import ResponseProcessing
from gateway.datalayer.state import Endpoint
from gateway.director.policy import Policy, Scheduler
from gateway.scheduling.types import Cycle, Decision, SaturationDetector

PRODUCER = "approx-prefix-cache-producer"
BYTES_PER_TOKEN = 4
"""As everywhere a prompt's tokens are estimated from its bytes."""


class PrefixCounts(Protocol):
    """Who counts: the gateway's metrics."""

    def prefix_matched(
        self, plugin_name: str, plugin_type: str, matched_bytes: int, total_bytes: int
    ) -> None: ...


class MeasuredScheduler:
    """``Scheduler`` around another one."""

    def __init__(self, scheduler: Scheduler, counts: PrefixCounts) -> None:
        self._scheduler = scheduler
        self._counts = counts

    def schedule(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Decision:
        """As the scheduler's."""
        decision = self._scheduler.schedule(cycle, endpoints)
        slot = decision.endpoints[0].slot
        for name, match in cycle.prefixes.items():
            block_bytes = match.block_tokens * BYTES_PER_TOKEN
            matched = int(match.matched_blocks[slot]) * block_bytes
            self._counts.prefix_matched(name, PRODUCER, matched, match.total_blocks * block_bytes)
        return decision

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        """As the scheduler's."""
        self._scheduler.picked(cycle, decision)

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        """As the scheduler's."""
        self._scheduler.served(cycle, decision, endpoint)

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        """As the scheduler's."""
        return self._scheduler.response_headers(cycle, endpoint)


class MeasuredPolicy:
    """``Policy`` with a measured scheduler."""

    def __init__(self, policy: Policy, counts: PrefixCounts) -> None:
        self._scheduler = MeasuredScheduler(policy.scheduler, counts)
        self._saturation = policy.saturation
        self._response_processing = policy.response_processing

    @property
    def scheduler(self) -> Scheduler:
        return self._scheduler

    @property
    def saturation(self) -> SaturationDetector:
        return self._saturation

    @property
    def response_processing(self) -> ResponseProcessing:
        return self._response_processing
