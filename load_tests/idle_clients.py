"""HTTP clients and readers of metrics pages against each other: CPU of one page.

``python -m load_tests.idle --clients`` prints it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from gateway.config.data_sources import CoreMetrics
from gateway.datalayer.extract.catalog import engines
from gateway.datalayer.page_client import PageClient
from load_tests.idle_page import page
from load_tests.idle_servers import HOST, START_SECONDS, answers
from load_tests.ports import free_ports
from load_tests.process import child


async def clients(pages: int, folder: Path) -> dict[str, float]:
    """CPU microseconds of one page: fetched by ours and by aiohttp, read by ours and by the
    Python Prometheus client."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "load_tests.idle_servers", str(port), "1"]
    async with child("servers-clients", command, logs=folder) as serving:
        ours = PageClient(HOST, port)
        await serving.ready(answers(ours), within_s=START_SECONDS, what="serving")
        async with aiohttp.ClientSession() as session:

            async def theirs() -> None:
                async with session.get(f"http://{HOST}:{port}/metrics") as response:
                    await response.read()

            figures = {
                "fetch, PageClient": await _cpu_us(ours.fetch, pages),
                "fetch, aiohttp": await _cpu_us(theirs, pages),
            }
        ours.close()
    text = page()
    extract = engines(CoreMetrics()).default.extract

    async def read_ours() -> None:
        extract(text)

    async def read_theirs() -> None:
        list(text_string_to_metric_families(text.decode()))

    figures["read, ours"] = await _cpu_us(read_ours, pages)
    figures["read, prometheus_client"] = await _cpu_us(read_theirs, max(pages // 50, 1))
    return figures


async def _cpu_us(work: Callable[[], Awaitable[object]], times: int) -> float:
    """The least CPU microseconds of one ``work`` over five batches."""
    batches = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(times):
            await work()
        batches.append((time.process_time() - started) / times)
    return 1e6 * min(batches)


def rendered(figures: dict[str, float]) -> str:
    """A line each."""
    return "\n".join(f"{name:24s} {us:9.1f} us of CPU a page" for name, us in figures.items())
