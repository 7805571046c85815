"""Many publishers' snapshots -> what is known together. Pure.

``merge`` keeps the latest of each publisher: in any order, any grouping and any repetition the
same, so that every subscriber ends up with equal knowledge. What adds up (each gateway's own picks
and queues) and what is the same for all (a model server's own page, of which the freshest counts)
is told apart only when it is read, by ``endpoints``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from loadstar.signals.model import EndpointLoad, Snapshot

MAX_PUBLISHERS = 1024


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The latest snapshot of each publisher."""

    by_publisher: Mapping[str, Snapshot] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """In the order of the publishers' names, for sums that come out alike everywhere."""
        return tuple(self.by_publisher[name] for name in sorted(self.by_publisher))


def known(*snapshots: Snapshot) -> Knowledge:
    """What ``snapshots`` say, of whichever publishers they are."""
    found: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        before = found.get(snapshot.publisher)
        if before is None or _rank(snapshot) > _rank(before):
            found[snapshot.publisher] = snapshot
    return Knowledge(MappingProxyType(found))


def merge(one: Knowledge, other: Knowledge) -> Knowledge:
    """Both together. A publisher tells one thing at one moment, so ties are between equals."""
    return known(*one.by_publisher.values(), *other.by_publisher.values())


def current(knowledge: Knowledge, now: float, staleness: float) -> Knowledge:
    """Less what publishers said that have fallen silent (``now`` in Unix seconds).

    Of more than ``MAX_PUBLISHERS`` the latest are kept.
    """
    fresh = [
        snapshot for snapshot in knowledge.snapshots if abs(now - snapshot.observed_at) <= staleness
    ]
    if len(fresh) > MAX_PUBLISHERS:
        fresh = sorted(fresh, key=_rank)[-MAX_PUBLISHERS:]
    return known(*fresh)


def endpoints(snapshots: Iterable[Snapshot]) -> tuple[EndpointLoad, ...]:
    """Each endpoint once: the freshest page, and everybody's own picks added up."""
    found: dict[tuple[str, str, str, int], EndpointLoad] = {}
    for snapshot in snapshots:
        for load in snapshot.endpoints:
            before = found.get(load.key)
            found[load.key] = load if before is None else _together(before, load)
    return tuple(found[key] for key in sorted(found))


def _together(one: EndpointLoad, other: EndpointLoad) -> EndpointLoad:
    fresher = max(one, other, key=_freshness)
    return replace(
        fresher,
        inflight_requests=_sum(one.inflight_requests, other.inflight_requests),
        inflight_tokens=_sum(one.inflight_tokens, other.inflight_tokens),
    )


def _freshness(load: EndpointLoad) -> tuple[float, ...]:
    """Among pages of the same moment the fullest, so that the order of arrival decides nothing."""
    at = -1.0 if load.observed_at is None else load.observed_at
    numbers = (load.waiting, load.running, load.kv_used, load.kv_blocks, load.block_tokens)
    return (at, *(-1.0 if number is None else number for number in numbers))


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _rank(snapshot: Snapshot) -> tuple[float, float, str]:
    return snapshot.observed_at, snapshot.started_at, snapshot.publisher
