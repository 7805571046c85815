"""What services tell each other of load, as values: snapshots of endpoints, pools and wishes. Pure.

``codec`` puts them on the wire, ``merge`` makes one of many. None is 'not known', never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLoad:
    """One model server, as one publisher knows it."""

    namespace: str
    name: str
    uid: str = ""
    port: int = 0
    pool: str = ""
    observed_at: float | None = None
    """Unix seconds at which its metrics page was read."""
    waiting: float | None = None
    running: float | None = None
    kv_used: float | None = None
    kv_blocks: float | None = None
    block_tokens: float | None = None
    inflight_requests: float | None = None
    """This publisher's own; those of several add up. So too the tokens."""
    inflight_tokens: float | None = None

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Who it is: a pod replaced under its name is another."""
        return self.namespace, self.name, self.uid, self.port


SCRAPED = ("waiting", "running", "kv_used", "kv_blocks", "block_tokens")
"""Fields of ``EndpointLoad`` that come from its metrics page."""
OWN = ("inflight_requests", "inflight_tokens")


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations by bucket, counted from the publisher's start."""

    bounds: tuple[float, ...]
    """Upper bounds; one more bucket follows the last."""
    counts: tuple[float, ...]
    sum: float = 0.0

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds) + 1:
            raise ValueError("a histogram has one bucket more than bounds")

    def since(self, before: Histogram | None) -> Histogram | None:
        """What came after ``before``, of the same publisher; None where bounds cannot compare."""
        if before is None:
            return self
        if before.bounds != self.bounds:
            return None
        counts = tuple(max(0.0, n - b) for n, b in zip(self.counts, before.counts, strict=True))
        return Histogram(self.bounds, counts, max(0.0, self.sum - before.sum))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLoad:
    """Requests for one model of one pool, at one publisher."""

    namespace: str
    pool: str
    model: str
    counters: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Those of ``COUNTERS`` that are known; they never fall."""
    queued: float | None = None
    running: float | None = None
    histograms: Mapping[str, Histogram] = field(default_factory=lambda: NO_HISTOGRAMS)
    """Those of ``HISTOGRAMS`` that are known."""
    followed_share: float | None = None
    """Share of responses of which tokens and durations are known."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.namespace, self.pool, self.model

    def counted(self, name: str, since: PoolLoad | None) -> float | None:
        """Growth of a counter after ``since``, of the same publisher; None is from zero."""
        now = self.counters.get(name)
        if now is None:
            return None
        return max(0.0, now - (0.0 if since is None else since.counters.get(name, 0.0)))


COUNTERS = ("arrivals", "shed", "errors", "input_tokens", "output_tokens", "cached_tokens")
FOLLOWED = frozenset({"input_tokens", "output_tokens", "cached_tokens"})
"""Counters of followed responses only."""
HISTOGRAMS = ("e2e", "ttft", "tpot", "input_length", "output_length")
NOTHING: Mapping[str, float] = MappingProxyType({})
NO_HISTOGRAMS: Mapping[str, Histogram] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What an autoscaler wants of a workload, and why."""

    namespace: str
    kind: str
    name: str
    api_version: str = ""
    pool: str = ""
    model: str = ""
    replicas: float | None = None
    forecast_requests_per_second: float | None = None
    horizon_seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that one publisher knows at one moment. Times are Unix seconds."""

    publisher: str
    """One run of one process."""
    started_at: float
    """When its counters were zero; 0 if that is not known."""
    observed_at: float
    endpoints: tuple[EndpointLoad, ...] = ()
    pools: tuple[PoolLoad, ...] = ()
    desired: tuple[Desired, ...] = ()
