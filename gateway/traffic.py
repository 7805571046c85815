"""Traffic by target model, read off the gateway's own counters. Pure; ``publish`` tells it.

Straight from them, which costs a millisecond where a page of all metrics takes a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.metrics.families import GatewayFamilies
from loadstar.signals.model import Histogram, PoolLoad
from loadstar.telemetry import metrics as telemetry

MODEL: Final = "target_model_name"
CODE: Final = "error_code"
_REFUSED_FOR_ROOM: Final = "ResourceExhausted"
_CLIENTS_FAULT: Final = frozenset({"BadRequest", "PayloadTooLarge"})
_TOO_MANY: Final = 429
_SERVERS_FAULT: Final = 500
_INFINITE: Final = float("inf")


class Tally:
    """Adds up what is counted, by model."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[str, float]] = {}
        self._gauges: dict[str, dict[str, float]] = {}
        self._buckets: dict[str, dict[str, dict[float, float]]] = {}
        self._sums: dict[str, dict[str, float]] = {}
        self.share: float | None = None

    def count(self, model: str, name: str, value: float) -> None:
        _add(self._counters, model, name, value)

    def gauge(self, model: str, name: str, value: float) -> None:
        _add(self._gauges, model, name, value)

    def refused(self, model: str, code: str, count: float) -> None:
        """Refusals were not counted as requests; answers with an error status were."""
        if code.isdigit():
            if int(code) >= _SERVERS_FAULT or int(code) == _TOO_MANY:
                self.count(model, "errors", count)
            return
        if code in _CLIENTS_FAULT:
            return
        self.count(model, "arrivals", count)
        self.count(model, "shed" if code == _REFUSED_FOR_ROOM else "errors", count)

    def bucket(self, model: str, name: str, bound: float, count: float) -> None:
        """``count`` observations in the bucket that ends at ``bound``, and in no other."""
        known = self._buckets.setdefault(model, {}).setdefault(name, {})
        known[bound] = known.get(bound, 0.0) + count

    def observed(self, model: str, name: str, total: float) -> None:
        """Observations of a histogram come to ``total``."""
        _add(self._sums, model, name, total)

    def loads(self, namespace: str, pool: str) -> tuple[PoolLoad, ...]:
        """One for each model."""
        for known in self._counters.values():
            # Of what is counted from the first request on, no count is none.
            known.setdefault("shed", 0.0)
            known.setdefault("errors", 0.0)
        models = sorted(self._counters.keys() | self._gauges.keys() | self._buckets.keys())
        return tuple(
            PoolLoad(
                namespace=namespace,
                pool=pool,
                model=model,
                counters=MappingProxyType(self._counters.get(model, {})),
                running=self._gauges.get(model, {}).get("running"),
                histograms=MappingProxyType(
                    {
                        name: _histogram(known, self._sums.get(model, {}).get(name, 0.0))
                        for name, known in self._buckets.get(model, {}).items()
                    }
                ),
                followed_share=self.share,
            )
            for model in models
        )


def own_loads(families: GatewayFamilies, namespace: str, pool: str) -> tuple[PoolLoad, ...]:
    """From what ``families`` have counted. Safe beside the thread that writes them."""
    tally = Tally()
    for (model,), counter in _series(families.total, MODEL):
        tally.count(model, "arrivals", counter.value)
    for (model, code), counter in _series(families.errors, MODEL, CODE):
        tally.refused(model, code, counter.value)
    for (model,), gauge in _series(families.running, MODEL):
        tally.gauge(model, "running", gauge.value)
    for name, family in (
        ("e2e", families.duration),
        ("ttft", families.ttft),
        ("tpot", families.tpot),
        ("input_length", families.input_tokens),
        ("output_length", families.output_tokens),
    ):
        for (model,), histogram in _series(family, MODEL):
            tally.observed(model, name, histogram.sum)
            for bound, count in zip((*histogram.bounds, _INFINITE), histogram.counts, strict=True):
                tally.bucket(model, name, bound, count)
    for name, family in (
        ("input_tokens", families.input_tokens),
        ("output_tokens", families.output_tokens),
        ("cached_tokens", families.cached_tokens),
    ):
        for (model,), histogram in _series(family, MODEL):
            tally.count(model, name, histogram.sum)
    tally.share = families.share.labels().value
    return tally.loads(namespace, pool)


def _series(
    family: telemetry.Family[telemetry.Series], *labels: str
) -> list[tuple[tuple[str, ...], telemetry.Series]]:
    """Each series of ``family`` and its values of ``labels``."""
    at = [family.label_names.index(label) for label in labels]
    # list() of a dict's items is one step of the interpreter: the writer may add series meanwhile.
    return [
        (tuple(values[i] for i in at), series) for values, series in list(family.series.items())
    ]


def _add(into: dict[str, dict[str, float]], model: str, name: str, value: float) -> None:
    known = into.setdefault(model, {})
    known[name] = known.get(name, 0.0) + value


def _histogram(counts: Mapping[float, float], total: float) -> Histogram:
    bounds = sorted(counts)
    return Histogram(
        tuple(bound for bound in bounds if bound != _INFINITE),
        tuple(float(counts[bound]) for bound in bounds),
        total,
    )
