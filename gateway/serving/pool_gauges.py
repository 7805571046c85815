"""Gauges of the pool, computed from its state whenever somebody scrapes: nothing is pushed.

What is not known is left out: an average is over the endpoints that have said something, and an
endpoint that has not has no series. Called by prometheus_client, on another thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from gateway.datalayer.state import PoolState
from loadstar.arrays import Floats
from loadstar.clock import Clock

NEW, OLD = "llm_d_epp_", "inference_pool_"

AVERAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "kv_cache_utilization": ("kv_used", "share of KV-cache blocks in use, 0 to 1"),
        "queue_size": ("waiting", "requests waiting in a model server"),
        "running_requests": ("running", "requests running in a model server"),
    }
)


class PoolGauges:
    """Collector over whatever ``state()`` answers, for the pool called ``name``."""

    def __init__(self, name: str, state: Callable[[], PoolState], clock: Clock) -> None:
        self._name = name
        self._state = state
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        state = self._state()
        yield from self._counts(state)
        yield from self._averages(state)
        yield from self._per_endpoint(state)

    def _counts(self, state: PoolState) -> Iterator[Metric]:
        for shown in (NEW + "ready_endpoints", OLD + "ready_pods"):
            yield _gauge(
                shown, "Endpoints of the pool.", ["name"], [([self._name], len(state.endpoints))]
            )

    def _averages(self, state: PoolState) -> Iterator[Metric]:
        for name, (column, what) in AVERAGES.items():
            values: Floats = getattr(state.columns, column)[state.slots]
            known = values[~np.isnan(values)]
            mean = [([self._name], float(known.mean()))] if len(known) else []
            spread = [([self._name], float(known.std()))] if len(known) else []
            yield _gauge(f"{NEW}average_{name}", f"Mean over the pool: {what}.", ["name"], mean)
            yield _gauge(
                f"{OLD}average_{name}", f"Old name of {NEW}average_{name}.", ["name"], mean
            )
            yield _gauge(
                f"{NEW}std_dev_{name}",
                f"Standard deviation over the pool: {what}.",
                ["name"],
                spread,
            )

    def _per_endpoint(self, state: PoolState) -> Iterator[Metric]:
        columns, now = state.columns, self._clock.now()
        queued = [
            ([self._name, e.name], float(columns.waiting[e.slot]))
            for e in state.endpoints
            if not np.isnan(columns.waiting[e.slot])
        ]
        help = "Requests waiting in one model server."
        yield _gauge(
            NEW + "per_endpoint_queue_size", help, ["name", "model_server_endpoint"], queued
        )
        yield _gauge(OLD + "per_pod_queue_size", help, ["name", "model_server_pod"], queued)
        labels = ["name", "namespace", "endpoint_name"]
        requests, tokens = columns.inflight_requests, columns.inflight_tokens
        each = [([self._name, e.namespace, e.name], e.slot) for e in state.endpoints]
        yield _gauge(
            "loadstar_gateway_inflight_requests",
            "Requests sent to an endpoint from here and not yet ended.",
            labels,
            [(values, int(requests[slot])) for values, slot in each],
        )
        yield _gauge(
            "loadstar_gateway_inflight_tokens",
            "Estimated tokens of those requests.",
            labels,
            [(values, int(tokens[slot])) for values, slot in each],
        )
        yield _gauge(
            "loadstar_gateway_observation_age_seconds",
            "Age of what an endpoint last said of itself.",
            labels,
            [
                (values, now - float(columns.observed_at[slot]))
                for values, slot in each
                if np.isfinite(columns.observed_at[slot])
            ],
        )


def _gauge(
    name: str, help: str, labels: list[str], samples: Iterable[tuple[list[str], float]]
) -> Metric:
    metric = GaugeMetricFamily(name, help, labels=labels)
    for values, value in samples:
        metric.add_metric(values, value)
    return metric
