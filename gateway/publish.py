"""What this gateway tells of load: its endpoints and its own traffic, as SignalFeed snapshots.

Traffic is read off the counters that Prometheus sees, so that the two cannot disagree, and with
several workers it is the sum over them, dead ones included. Called by ``main`` and the collector
once a second, and only while somebody subscribes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry, Metric

from gateway.config.flags import Flags
from gateway.datalayer.state import Endpoint, PoolState
from gateway.serving.credentials import credentials
from gateway.serving.listen import CannotListen
from loadstar import tls
from loadstar.clock import Clock
from loadstar.feed.publish import CannotPublish, Publisher
from loadstar.signals.model import OWN, SCRAPED, EndpointLoad, Histogram, PoolLoad, Snapshot

_RANK: Final = re.compile(r"-rank-\d+$")
_REFUSED_FOR_ROOM: Final = "ResourceExhausted"
_CLIENTS_FAULT: Final = frozenset({"BadRequest", "PayloadTooLarge"})
_TOO_MANY: Final = 429
_SERVERS_FAULT: Final = 500

_HISTOGRAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "llm_d_epp_request_duration_seconds": "e2e",
        "llm_d_epp_request_ttft_seconds": "ttft",
        "llm_d_epp_request_streaming_tpot_seconds": "tpot",
        "llm_d_epp_request_input_tokens": "input_length",
        "llm_d_epp_request_output_tokens": "output_length",
    }
)
_SUMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "llm_d_epp_request_input_tokens_sum": "input_tokens",
        "llm_d_epp_request_output_tokens_sum": "output_tokens",
        "llm_d_epp_request_cached_tokens_sum": "cached_tokens",
    }
)
_QUEUED: Final = "llm_d_epp_flow_control_queue_size"
"""Of gateways that hold requests back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Makes snapshots."""

    publisher: str
    """Names this run of this process."""
    namespace: str
    pool: str
    started_at: float
    """Unix seconds; 0 where the counters go on from another run's."""
    state: Callable[[], PoolState]
    registry: CollectorRegistry
    clock: Clock

    async def snapshot(self) -> Snapshot:
        """All that is known now."""
        # In a thread: with several workers it waits for each of them.
        families = await asyncio.to_thread(lambda: list(self.registry.collect()))
        now, wall = self.clock.now(), self.clock.wall()
        return Snapshot(
            publisher=self.publisher,
            started_at=self.started_at,
            observed_at=wall,
            endpoints=endpoint_loads(self.state(), self.pool, wall - now),
            pools=pool_loads(families, self.namespace, self.pool),
        )


def endpoint_loads(state: PoolState, pool: str, to_wall: float) -> tuple[EndpointLoad, ...]:
    """What the columns say of each endpoint; ``to_wall`` makes Unix seconds of the clock's."""
    columns = state.columns
    loads = []
    for endpoint in state.endpoints:
        slot = endpoint.slot
        observed = float(columns.observed_at[slot])
        known = observed > -np.inf
        scraped = {
            name: _known(getattr(columns, name)[slot]) if known else None for name in SCRAPED
        }
        own = {name: float(getattr(columns, name)[slot]) for name in OWN}
        loads.append(
            EndpointLoad(
                namespace=endpoint.namespace,
                name=pod_name(endpoint),
                uid=endpoint.uid,
                port=endpoint.port,
                pool=pool,
                observed_at=observed + to_wall if known else None,
                **scraped,
                **own,
            )
        )
    return tuple(loads)


def pod_name(endpoint: Endpoint) -> str:
    """The pod's: one with several ports is several endpoints, each with its rank."""
    return _RANK.sub("", endpoint.name) if endpoint.uid else endpoint.name


def pool_loads(families: Iterable[Metric], namespace: str, pool: str) -> tuple[PoolLoad, ...]:
    """Traffic by target model, summed over everything else that it is counted by."""
    counters: dict[str, dict[str, float]] = {}
    gauges: dict[str, dict[str, float]] = {}
    buckets: dict[str, dict[str, dict[float, float]]] = {}
    sums: dict[str, dict[str, float]] = {}
    share: float | None = None
    for family in families:
        histogram = _HISTOGRAMS.get(family.name)
        for sample in family.samples:
            name = sample.name
            if name == "loadstar_gateway_response_sample_share":
                share = sample.value
                continue
            model = sample.labels.get("target_model_name")
            if model is None:
                continue
            if name == "llm_d_epp_request_total":
                _add(counters, model, "arrivals", sample.value)
            elif name == "llm_d_epp_request_error_total":
                _refused(counters, model, sample.labels.get("error_code", ""), sample.value)
            elif name == "llm_d_epp_request_running":
                _add(gauges, model, "running", sample.value)
            elif name == _QUEUED:
                _add(gauges, model, "queued", sample.value)
                _add(counters, model, "arrivals", sample.value)
            elif name in _SUMS:
                _add(counters, model, _SUMS[name], sample.value)
            if histogram is None:
                continue
            if name.endswith("_bucket"):
                bound = float(sample.labels["le"])
                by_bound = buckets.setdefault(model, {}).setdefault(histogram, {})
                by_bound[bound] = by_bound.get(bound, 0.0) + sample.value
            elif name.endswith("_sum"):
                _add(sums, model, histogram, sample.value)
    for known in counters.values():
        # Of what is counted from the first request on, no count is none.
        known.setdefault("shed", 0.0)
        known.setdefault("errors", 0.0)
    models = sorted(counters.keys() | gauges.keys() | buckets.keys())
    return tuple(
        PoolLoad(
            namespace=namespace,
            pool=pool,
            model=model,
            counters=MappingProxyType(counters.get(model, {})),
            queued=gauges.get(model, {}).get("queued"),
            running=gauges.get(model, {}).get("running"),
            histograms=MappingProxyType(
                {
                    name: _histogram(cumulative, sums.get(model, {}).get(name, 0.0))
                    for name, cumulative in buckets.get(model, {}).items()
                }
            ),
            followed_share=share,
        )
        for model in models
    )


def _refused(counters: dict[str, dict[str, float]], model: str, code: str, count: float) -> None:
    """Refusals were not counted as requests; answers with an error status were."""
    if code.isdigit():
        if int(code) >= _SERVERS_FAULT or int(code) == _TOO_MANY:
            _add(counters, model, "errors", count)
        return
    if code in _CLIENTS_FAULT:
        return
    _add(counters, model, "arrivals", count)
    _add(counters, model, "shed" if code == _REFUSED_FOR_ROOM else "errors", count)


def _add(into: dict[str, dict[str, float]], model: str, name: str, value: float) -> None:
    known = into.setdefault(model, {})
    known[name] = known.get(name, 0.0) + value


def _histogram(cumulative: Mapping[float, float], total: float) -> Histogram:
    bounds = sorted(cumulative)
    counts = np.diff([cumulative[bound] for bound in bounds], prepend=0.0)
    return Histogram(
        tuple(bound for bound in bounds if bound != float("inf")),
        tuple(float(count) for count in counts),
        total,
    )


def _known(value: Any) -> float | None:
    number = float(value)
    return None if np.isnan(number) else number


@contextlib.asynccontextmanager
async def publishing(
    flags: Flags, signals: Signals, certificate: tls.ReloadingPair | None
) -> AsyncIterator[int | None]:
    """Serve SignalFeed while inside; gives its port, None without one. Raises CannotListen."""
    if flags.signals_port is None:
        yield None
        return
    publisher = Publisher(signals.snapshot, token=lambda: _token(flags.signals_token_file))
    served = None
    if certificate is not None:
        served = credentials(lambda: certificate.current, reloads=flags.enable_cert_reload)
    try:
        port = await publisher.start(flags.bind_address, flags.signals_port, served)
    except CannotPublish as error:
        raise CannotListen(
            "signals-port", flags.bind_address, flags.signals_port, "already in use, or not allowed"
        ) from error
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(publisher.run(), name="signals")
        try:
            yield port
        finally:
            running.cancel()
            await publisher.stop()


def _token(path: str) -> str:
    """Read at each subscription, so that it can be replaced; one that is gone opens nothing."""
    if not path:
        return ""
    try:
        return Path(path).read_text().strip() or _NOBODYS
    except OSError:
        return _NOBODYS


_NOBODYS: Final = "\0"
"""A token that no header can carry."""
