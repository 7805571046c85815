"""One page of metrics for several processes: each writes its samples down, one adds them up.

Counters and histograms are summed over all processes, and over those that have died: a sum that
fell would look like a restart of the whole. A gauge is summed over the living, but for those that
say the same everywhere. Called by workers (``page``) and the collector's admin port.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import orjson
from prometheus_client import CollectorRegistry, Metric

from gateway.datalayer.shared_memory import SharedMemory

LOOK_SECONDS = 0.002
LOOKS = 500
"""For the workers' pages; one that is stuck is shown as it was."""
EVERYWHERE_ALIKE = (
    "llm_d_epp_info",
    "inference_extension_info",
    "llm_d_epp_prefix_indexer_size",
    "inference_extension_prefix_indexer_size",
    "loadstar_gateway_endpoints_avoided",
    "loadstar_gateway_reload_refused",
    "loadstar_gateway_response_sample_share",
    "process_start_time_seconds",
    "process_max_fds",
    "python_info",
)
"""Gauges of which the largest is shown, not the sum."""

Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
Samples: TypeAlias = dict[Sample, float]
Families: TypeAlias = dict[str, tuple[str, str, Samples]]
"""Name -> help, type, samples."""


def page(registry: CollectorRegistry, pid: int, asked: int) -> bytes:
    """Everything in ``registry``, for ``read``; ``pid`` and ``asked`` tell whose and of when."""
    return orjson.dumps((pid, asked, _written(gather(registry))))


def read(text: bytes) -> tuple[int, int, Families]:
    """What ``page`` was given."""
    if not text:
        return 0, 0, {}
    pid, asked, families = orjson.loads(text)
    return pid, asked, _unwritten(families)


def gather(registry: CollectorRegistry) -> Families:
    """Everything in ``registry``."""
    return {
        metric.name: (
            metric.documentation,
            metric.type,
            {(s.name, tuple(s.labels.items())): float(s.value) for s in metric.samples},
        )
        for metric in registry.collect()
    }


def add(total: Families, more: Families, *, dead: bool = False) -> None:
    """Add ``more`` to ``total``; of a dead process only what never falls."""
    for name, (help, kind, samples) in more.items():
        if dead and kind not in ("counter", "histogram"):
            continue
        sums = total.setdefault(name, (help, kind, {}))[2]
        for key, value in samples.items():
            if name in EVERYWHERE_ALIKE:
                sums[key] = max(sums.get(key, value), value)
            else:
                sums[key] = sums.get(key, 0.0) + value


class MergedPage:
    """A prometheus_client Collector of ``own`` and every worker's metrics. Used in threads."""

    def __init__(self, own: CollectorRegistry, memory: SharedMemory) -> None:
        self._own = own
        self._memory = memory
        self._lock = threading.Lock()
        self._last: dict[int, tuple[int, Families]] = {}
        """Each worker's process and what it last said."""
        self._dead = read(memory.pages.read(memory.workers)[1])[2]

    def collect(self) -> Iterator[Metric]:
        with self._lock:  # two scrapes at once would bury the dead twice
            total = gather(self._own)
            self._ask()
            for _, families in self._last.values():
                add(total, families)
            add(total, self._dead)
        for name, (help, kind, samples) in sorted(total.items()):
            metric = Metric(name, help, kind)
            for (sample, labels), value in samples.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric

    def _ask(self) -> None:
        """Bring ``_last`` up to date, and bury those of whom another has taken the place."""
        memory = self._memory
        asked = int(memory.asked[0]) + 1
        memory.asked[0] = asked
        waiting = {worker for worker in range(memory.workers) if memory.serving[worker]}
        for _ in range(LOOKS):
            if not waiting:
                break
            time.sleep(LOOK_SECONDS)
            waiting = {
                worker
                for worker in waiting
                if memory.serving[worker] and read(memory.pages.read(worker)[1])[1] < asked
            }
        for worker in range(memory.workers):
            pid, _, families = read(memory.pages.read(worker)[1])
            before, last = self._last.get(worker, (0, {}))
            if before and before != pid:
                add(self._dead, last, dead=True)
                memory.pages.write(memory.workers, orjson.dumps((0, 0, _written(self._dead))))
            if pid:
                self._last[worker] = pid, families


def merged(memory: SharedMemory) -> Callable[[CollectorRegistry], CollectorRegistry]:
    """From a process's own registry to the one that shows all."""

    def over(own: CollectorRegistry) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(MergedPage(own, memory))
        return registry

    return over


def _written(families: Families) -> dict[str, Any]:
    return {
        name: (help, kind, list(samples.items()))
        for name, (help, kind, samples) in families.items()
    }


def _unwritten(families: dict[str, Any]) -> Families:
    return {
        name: (
            help,
            kind,
            {
                (sample, tuple((k, v) for k, v in labels)): math.nan if value is None else value
                for (sample, labels), value in samples
            },
        )
        for name, (help, kind, samples) in families.items()
    }
