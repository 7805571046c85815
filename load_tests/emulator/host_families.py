"""The families of a metrics page that any Python web server has: process, interpreter, HTTP.

What ``prometheus_client`` and FastAPI's instrumentator add to vLLM's own. Used by ``page``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from load_tests.emulator.exposition import Buckets, Labels, Sheet, head, labels, number
from load_tests.emulator.ledger import Ledger


def add_process(sheet: Sheet, created: float) -> None:
    """Interpreter and process; only the CPU time is alive."""
    generations = [labels({"generation": str(g)}) for g in range(3)]
    for name, about in (
        ("python_gc_objects_collected_total", "Objects the collector freed"),
        ("python_gc_objects_uncollectable_total", "Objects the collector could not free"),
        ("python_gc_collections_total", "Times a generation was collected"),
    ):
        sheet.constant(name, "counter", about, dict.fromkeys(generations, 0.0))
    version = {"major": "3", "minor": "12", "patchlevel": "1", "version": "3.12.1"}
    python = labels({"implementation": "CPython", **version})
    sheet.constant("python_info", "gauge", "The Python that runs this", {python: 1.0})
    for name, about, value in (
        ("process_virtual_memory_bytes", "Virtual memory in bytes.", 4.7e9),
        ("process_resident_memory_bytes", "Resident memory in bytes.", 1.1e9),
        ("process_start_time_seconds", "Start since the Unix epoch.", created),
    ):
        sheet.constant(name, "gauge", about, {"": value})
    about = "User and system CPU time in seconds."
    sheet.values("process_cpu_seconds_total", "counter", about, [("", _cpu_seconds)])
    sheet.constant("process_open_fds", "gauge", "Open file descriptors.", {"": 71.0})
    sheet.constant("process_max_fds", "gauge", "Most file descriptors.", {"": 20_000.0})


def add_http(sheet: Sheet, ledger: Ledger, created: float) -> None:
    """HTTP exchanges; handlers appear with their first request."""

    def requests() -> Iterator[tuple[Labels, float]]:
        for (handler, method, status), count in ledger.http_requests.items():
            yield {"handler": handler, "method": method, "status": status}, count

    sheet.text(lambda: _lines("http_requests_total", "counter", REQUESTS, requests()))
    sheet.text(lambda: _lines("http_requests_created", "gauge", REQUESTS, _at(requests(), created)))
    sheet.text(lambda: _sizes(ledger, "request", RECEIVED, created))
    sheet.text(lambda: _sizes(ledger, "response", SENT, created))
    sheet.histogram(
        "http_request_duration_highr_seconds",
        "Seconds per HTTP request, many buckets, all handlers together.",
        {},
        ledger.http_seconds,
        created,
    )
    sheet.text(_Durations(ledger, created))


REQUESTS = "HTTP requests by method, status and handler."
RECEIVED = "Body bytes of requests by handler, as their headers declare them."
SENT = "Body bytes of responses by handler, as their headers declare them."
DURATIONS = "Seconds per HTTP request by handler, few buckets."


def _sizes(ledger: Ledger, way: str, about: str, created: float) -> str:
    amounts = ledger.http_request_bytes if way == "request" else ledger.http_response_bytes
    name = f"http_{way}_size_bytes"
    lines = [head(name, "summary", about)]
    for handler, amount in amounts.items():
        count = sum(n for key, n in ledger.http_requests.items() if key[0] == handler)
        of = labels({"handler": handler})
        lines.append(f"{name}_count{of} {number(count)}\n{name}_sum{of} {number(amount)}\n")
    handlers = (({"handler": handler}, created) for handler in amounts)
    return "".join(lines) + _lines(f"{name}_created", "gauge", about, handlers)


class _Durations:
    """One small histogram per handler and method that was seen."""

    NAME = "http_request_duration_seconds"

    def __init__(self, ledger: Ledger, created: float) -> None:
        self._ledger = ledger
        self._created = created
        self._buckets: dict[tuple[str, str], Buckets] = {}

    def __call__(self) -> str:
        seen = self._ledger.http_handler_seconds
        parts = [head(self.NAME, "histogram", DURATIONS)]
        for key, histogram in seen.items():
            if key not in self._buckets:
                self._buckets[key] = Buckets(self.NAME, _handler(key), histogram)
            parts.append(self._buckets[key]())
        made = ((_handler(key), self._created) for key in seen)
        return "".join(parts) + _lines(f"{self.NAME}_created", "gauge", DURATIONS, made)


def _handler(key: tuple[str, str]) -> Labels:
    return {"handler": key[0], "method": key[1]}


def _at(samples: Iterator[tuple[Labels, float]], value: float) -> Iterator[tuple[Labels, float]]:
    return ((of, value) for of, _ in samples)


def _lines(name: str, kind: str, about: str, samples: Iterator[tuple[Labels, float]]) -> str:
    lines = "".join(f"{name}{labels(of)} {number(value)}\n" for of, value in samples)
    return head(name, kind, about) + lines


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system
