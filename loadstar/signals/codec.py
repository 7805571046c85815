"""Snapshot <-> protos.signals.v1: the only file that knows both. Pure.

``decode`` raises ValueError for what cannot be, and passes over no field: a number that is not
finite, or a histogram of another shape, is not known.
"""

from __future__ import annotations

import itertools
import math
from types import MappingProxyType

from google.protobuf.message import DecodeError

from loadstar.signals.model import (
    COUNTERS,
    HISTOGRAMS,
    OWN,
    SCRAPED,
    Desired,
    EndpointLoad,
    Histogram,
    PoolLoad,
    Snapshot,
)
from protos.signals.v1 import signals_pb2 as pb

SERVICE = "loadstar.signals.v1.SignalFeed"
WATCH = "Watch"

_ENDPOINT = ("observed_at", *SCRAPED, *OWN)
_DESIRED = ("replicas", "forecast_requests_per_second", "horizon_seconds")


def encode(snapshot: Snapshot) -> bytes:
    """``snapshot`` as a message."""
    message = pb.Snapshot(
        publisher=snapshot.publisher,
        started_at=snapshot.started_at,
        observed_at=snapshot.observed_at,
    )
    for load in snapshot.endpoints:
        endpoint = message.endpoints.add(
            namespace=load.namespace, name=load.name, uid=load.uid, port=load.port, pool=load.pool
        )
        _set(endpoint, load, _ENDPOINT)
    for pool in snapshot.pools:
        entry = message.pools.add(
            namespace=pool.namespace, pool=pool.pool, model=pool.model, **pool.counters
        )
        _set(entry, pool, ("queued", "running", "followed_share"))
        for name, histogram in pool.histograms.items():
            written = getattr(entry, name)
            written.bounds.extend(histogram.bounds)
            written.counts.extend(histogram.counts)
            written.sum = histogram.sum
    for wish in snapshot.desired:
        desired = message.desired.add(
            namespace=wish.namespace,
            api_version=wish.api_version,
            kind=wish.kind,
            name=wish.name,
            pool=wish.pool,
            model=wish.model,
            reason=wish.reason,
        )
        _set(desired, wish, _DESIRED)
    return message.SerializeToString()


def decode(text: bytes) -> Snapshot:
    """The snapshot that ``text`` is. Raises ValueError."""
    try:
        message = pb.Snapshot.FromString(text)
    except DecodeError as error:
        raise ValueError(f"not a snapshot: {error}") from None
    if not message.publisher:
        raise ValueError("a snapshot names no publisher")
    if not (math.isfinite(message.started_at) and math.isfinite(message.observed_at)):
        raise ValueError("a snapshot has no time")
    return Snapshot(
        publisher=message.publisher,
        started_at=message.started_at,
        observed_at=message.observed_at,
        endpoints=tuple(_endpoint(load) for load in message.endpoints),
        pools=tuple(_pool(pool) for pool in message.pools),
        desired=tuple(_desired(wish) for wish in message.desired),
    )


def request(subscriber: str) -> bytes:
    """What a subscriber asks with."""
    return pb.WatchRequest(subscriber=subscriber).SerializeToString()


def subscriber(text: bytes) -> str:
    """Who asks; whoever cannot say it is nobody in particular."""
    try:
        return pb.WatchRequest.FromString(text).subscriber
    except DecodeError:
        return ""


def _set(message: object, value: object, names: tuple[str, ...]) -> None:
    for name in names:
        known = getattr(value, name)
        if known is not None:
            setattr(message, name, known)


def _known(message: pb.EndpointLoad | pb.PoolLoad | pb.Desired, name: str) -> float | None:
    if not message.HasField(name):  # type: ignore[arg-type]  # one of its own optional fields
        return None
    value = float(getattr(message, name))
    return value if math.isfinite(value) else None


def _endpoint(load: pb.EndpointLoad) -> EndpointLoad:
    return EndpointLoad(
        namespace=load.namespace,
        name=load.name,
        uid=load.uid,
        port=load.port,
        pool=load.pool,
        observed_at=_known(load, "observed_at"),
        waiting=_known(load, "waiting"),
        running=_known(load, "running"),
        kv_used=_known(load, "kv_used"),
        kv_blocks=_known(load, "kv_blocks"),
        block_tokens=_known(load, "block_tokens"),
        inflight_requests=_known(load, "inflight_requests"),
        inflight_tokens=_known(load, "inflight_tokens"),
    )


def _pool(pool: pb.PoolLoad) -> PoolLoad:
    counters = {name: _known(pool, name) for name in COUNTERS}
    histograms = {
        name: _histogram(getattr(pool, name))
        for name in HISTOGRAMS
        if pool.HasField(name)  # type: ignore[arg-type]  # one of its own fields
    }
    return PoolLoad(
        namespace=pool.namespace,
        pool=pool.pool,
        model=pool.model,
        counters=MappingProxyType({n: v for n, v in counters.items() if v is not None}),
        queued=_known(pool, "queued"),
        running=_known(pool, "running"),
        histograms=MappingProxyType({n: h for n, h in histograms.items() if h is not None}),
        followed_share=_known(pool, "followed_share"),
    )


def _histogram(written: pb.Histogram) -> Histogram | None:
    bounds, counts = tuple(written.bounds), tuple(written.counts)
    rising = all(low < high for low, high in itertools.pairwise(bounds))
    finite = all(map(math.isfinite, (*bounds, *counts)))
    if len(counts) != len(bounds) + 1 or not rising or not finite:
        return None
    return Histogram(bounds, counts, written.sum)


def _desired(wish: pb.Desired) -> Desired:
    return Desired(
        namespace=wish.namespace,
        kind=wish.kind,
        name=wish.name,
        api_version=wish.api_version,
        pool=wish.pool,
        model=wish.model,
        replicas=_known(wish, "replicas"),
        forecast_requests_per_second=_known(wish, "forecast_requests_per_second"),
        horizon_seconds=_known(wish, "horizon_seconds"),
        reason=wish.reason,
    )
