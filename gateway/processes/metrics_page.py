"""One page of metrics for several processes: each writes down what it counted, one adds it up.

Counters and histograms are summed over all processes, and over those that have died: a sum that
fell would look like a restart of the whole. A gauge is summed over the living, but for those that
say the same everywhere. Called by workers (``page``) and the collector's admin port.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from prometheus_client import CollectorRegistry, Metric

from gateway.datalayer.shared_memory import SharedMemory
from gateway.metrics import Metrics
from gateway.metrics.families import GatewayFamilies
from gateway.processes.counted import NOTHING, Counted, add, counted, unwritten, written

LOOK_SECONDS = 0.002
LOOKS = 500
"""For the workers' pages; one that is stuck is shown as it was."""
LARGEST_OF = ("process_start_time_seconds", "process_max_fds", "python_info")
"""What the system says of a process of which the largest is shown, not the sum."""

Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
Beside: TypeAlias = dict[str, tuple[str, str, dict[Sample, float]]]
"""Of metrics that nobody counts, a few a process: name -> help, type, samples."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one process says."""

    pid: int
    """0 is no process."""
    asked: int
    """Which question it answers."""
    counted: Counted
    beside: Beside


NO_PAGE = Page(0, 0, NOTHING, {})


def page(metrics: Metrics, pid: int, asked: int) -> bytes:
    """Everything in ``metrics``, for ``read``; ``pid`` and ``asked`` tell whose and of when."""
    beside = [
        (name, help, kind, list(samples.items()))
        for name, (help, kind, samples) in _gather(metrics.beside).items()
    ]
    return orjson.dumps((pid, asked, written(counted(metrics.families)), beside))


def read(text: bytes) -> Page:
    """What ``page`` was given."""
    if not text:
        return NO_PAGE
    pid, asked, said, beside = orjson.loads(text)
    return Page(pid, asked, unwritten(said), {name: _unwritten(row) for name, *row in beside})


class MergedPage:
    """A prometheus_client Collector of ``own`` and every worker's metrics. Used in threads."""

    def __init__(self, own: Metrics, memory: SharedMemory) -> None:
        self._own = own
        self._memory = memory
        self._lock = threading.Lock()
        self._last: dict[int, Page] = {}
        """What each worker last said."""
        self._read: dict[int, tuple[int, Page]] = {}
        """What stood on each worker's page at a version of it."""
        self._dead = GatewayFamilies()
        add(self._dead, read(memory.pages.read(memory.workers)[1]).counted, dead=True)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def counted(self) -> GatewayFamilies:
        """What all have counted. Waits for those who are asked: to be called in a thread."""
        with self._lock:  # two at once would bury the dead twice
            self._ask()
            return self._sum()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            beside = _gather(self._own.beside)
            self._ask()
            total = self._sum()
            for said in self._last.values():
                _add_beside(beside, said.beside)
        yield from total.collect()
        for name, (help, kind, samples) in sorted(beside.items()):
            metric = Metric(name, help, kind)
            for (sample, labels), value in samples.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric

    def _sum(self) -> GatewayFamilies:
        total = GatewayFamilies()
        add(total, counted(self._own.families))
        for said in self._last.values():
            add(total, said.counted)
        add(total, counted(self._dead))
        return total

    def _ask(self) -> None:
        """Bring ``_last`` up to date, and bury those of whom another has taken the place."""
        memory = self._memory
        asked = int(memory.asked[0]) + 1
        memory.asked[0] = asked
        workers = range(memory.workers)
        for _ in range(LOOKS):
            if not any(memory.serving[w] and self._look(w).asked < asked for w in workers):
                break
            time.sleep(LOOK_SECONDS)
        for worker in workers:
            said, before = self._look(worker), self._last.get(worker, NO_PAGE)
            if before.pid and before.pid != said.pid:
                add(self._dead, before.counted, dead=True)
                buried = orjson.dumps((0, 0, written(counted(self._dead)), ()))
                memory.pages.write(memory.workers, buried)
            if said.pid:
                self._last[worker] = said

    def _look(self, worker: int) -> Page:
        """What stands on the worker's page; read again only when it has changed."""
        version, said = self._read.get(worker, (0, NO_PAGE))
        if int(self._memory.pages.versions[worker]) != version:
            version, text = self._memory.pages.read(worker)
            said = read(text)
            self._read[worker] = version, said
        return said


def merged(memory: SharedMemory) -> Callable[[Metrics], MergedPage]:
    """From a process's own metrics to the page that shows all."""
    return lambda own: MergedPage(own, memory)


def _gather(registry: CollectorRegistry) -> Beside:
    """Everything in ``registry``."""
    return {
        metric.name: (
            metric.documentation,
            metric.type,
            {(s.name, tuple(s.labels.items())): float(s.value) for s in metric.samples},
        )
        for metric in registry.collect()
    }


def _add_beside(total: Beside, more: Beside) -> None:
    for name, (help, kind, samples) in more.items():
        sums = total.setdefault(name, (help, kind, {}))[2]
        for key, value in samples.items():
            have = sums.get(key, 0.0)
            sums[key] = max(have, value) if name in LARGEST_OF else have + value


def _unwritten(row: Any) -> tuple[str, str, dict[Sample, float]]:
    help, kind, samples = row
    return help, kind, {(name, tuple(map(tuple, labels))): v for (name, labels), v in samples}
