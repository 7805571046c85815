"""The scheduling vocabulary: what filters, scorers, pickers and producers take and give.

Scores and masks are arrays aligned with the candidates, in candidate order; never maps.
Plugins are synchronous and do no IO. Those that learn (prefix index, sessions, LRU) keep their
state in memory, bounded.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gateway.datalayer.state import Columns, Endpoint, PoolState
from gateway.request.model import InferenceRequest
from gateway.scheduling.failures import Failure, Failures
from loadstar.arrays import Bools, Floats, Ints
from loadstar.records import record


@record
class Candidates:
    """Endpoints still in the running. ``slots[i]`` is the column row of ``endpoints[i]``."""

    endpoints: tuple[Endpoint, ...]
    slots: Ints
    columns: Columns
    confidence: Floats
    """0..1 per candidate: how far its scraped signals can be believed; 1 is fresh, 0 is stale."""

    def __len__(self) -> int:
        return len(self.endpoints)


@record
class PrefixMatch:
    """How much of a prompt each endpoint is believed to hold."""

    hashes: Sequence[int]
    """Chained block hashes of the prompt (up to the configured limit)."""
    block_tokens: int
    matched_blocks: Ints
    """Leading blocks held, per column slot (length = columns.capacity)."""
    total_blocks: int


@dataclass(slots=True)
class Cycle:
    """One scheduling of one request: its inputs, and what producers found out for it."""

    request: InferenceRequest
    target_model: str
    """The model the endpoint will be asked for, after rewrites."""
    priority: int
    state: PoolState
    now: float
    rng: random.Random
    prefix: PrefixMatch | None = None
    prefixes: dict[str, PrefixMatch] = field(default_factory=dict)
    """By name of the producing plugin, where a profile has several."""
    notes: dict[object, object] = field(default_factory=dict)
    """What a plugin found while scoring and wants to know again when told of the decision; by
    the plugin itself."""
    failures: Failures = field(default_factory=list[Failure])
    """Told of plugins that raised and were passed over."""

    def matched(self, producer: str) -> PrefixMatch | None:
        """What ``producer`` found; what anyone found if it is not there; None if nobody did."""
        return self.prefixes.get(producer, self.prefix)


@record
class ProfileResult:
    """What one profile chose: endpoints best first, and the scores of all candidates."""

    picked: tuple[Endpoint, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    """destination -> total score, for ``--emit-endpoint-scores`` and the debug log."""


@record
class Decision:
    """Where a request goes, and why."""

    endpoints: tuple[Endpoint, ...]
    """Best first; the first is credited until another is seen to have served."""
    profile: str
    results: Mapping[str, ProfileResult] = field(default_factory=dict)
    request_headers: tuple[tuple[str, str], ...] = ()
    """Headers plugins want the model server to see."""


@runtime_checkable
class Filter(Protocol):
    """Keep some candidates. An all-False mask ends the profile with NothingFits."""

    def keep(self, cycle: Cycle, candidates: Candidates) -> Bools: ...


@runtime_checkable
class Scorer(Protocol):
    """Score every candidate from 0 (worst) to 1 (best); the profile clamps and weighs."""

    def score(self, cycle: Cycle, candidates: Candidates) -> Floats: ...


@runtime_checkable
class Picker(Protocol):
    """Order the candidates to use, best first: indices into the candidates."""

    def pick(self, cycle: Cycle, candidates: Candidates, scores: Floats) -> Ints: ...


@runtime_checkable
class ProfileHandler(Protocol):
    """Which profiles to run, and which result is the primary one."""

    @property
    def most_profiles(self) -> int | None:
        """How many profiles a configuration may have; None is any number."""
        ...

    def profiles(
        self, cycle: Cycle, available: Sequence[str], done: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        """Names to run next, given results so far; empty ends the loop."""
        ...

    def decide(self, cycle: Cycle, done: Mapping[str, ProfileResult]) -> Decision: ...


@runtime_checkable
class Producer(Protocol):
    """Finds out something about the request before scoring (prefix matches)."""

    def produce(self, cycle: Cycle) -> None: ...


@runtime_checkable
class Learner(Protocol):
    """Told of every decision (primary endpoint first), and of who really served it."""

    def picked(self, cycle: Cycle, decision: Decision) -> None: ...

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        """Another endpoint than the first pick served it (a retry)."""
        ...


@runtime_checkable
class Forgetter(Protocol):
    """Told when an endpoint has left the pool, so that what is known of its slot is dropped."""

    def left(self, endpoint: Endpoint) -> None: ...


@runtime_checkable
class CatchesUp(Protocol):
    """Learns from other workers; told now and then, so that a worker without requests keeps up."""

    def catch_up(self) -> None: ...


@runtime_checkable
class PrefixHolder(Protocol):
    """Remembers blocks of prompts."""

    @property
    def blocks_held(self) -> int:
        """How many, for all endpoints together."""
        ...


@runtime_checkable
class ResponseHeaderPlugin(Protocol):
    """Adds headers to the client's response once the serving endpoint is known."""

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]: ...


@runtime_checkable
class SaturationDetector(Protocol):
    """How full a pool is: 0 idle, 1 and more full. What is not known counts as full."""

    def saturation(self, state: PoolState, now: float) -> float: ...
