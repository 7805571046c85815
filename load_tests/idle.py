"""What scraping costs: the CPU of a gateway's data layer while nobody sends a request.

``python -m load_tests.idle [--endpoints 8,100] [--seconds 20] [--json]`` starts that many fake
model servers, each with a metrics page of 52 KB, in one process, and the real datastore and
scraper in another, and reads the latter's CPU from /proc: once with pages that stay as they are
(idle) and once with pages that all change every time (busy, the worst there is). The oldest
signal of any endpoint is looked at ten times a second; its worst age is printed. ``--gateway``
measures a whole gateway instead, ``--clients`` compares HTTP clients page by page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from gateway.config.data_sources import CoreMetrics, MetricsSource
from gateway.datalayer.discovered import EndpointSpec
from gateway.datalayer.extract.catalog import engines
from gateway.datalayer.page_client import PageClient
from gateway.datalayer.scrape import Scraper
from gateway.datalayer.scrape_plan import pace
from gateway.datalayer.store import Datastore
from load_tests import words
from load_tests.idle_clients import clients, rendered
from load_tests.idle_servers import HOST, START_SECONDS, answers
from load_tests.ports import free_ports
from load_tests.process import Child, child
from loadstar.clock import SystemClock

REFRESH_SECONDS = 0.05
STALENESS_SECONDS = 2.0
WARM_UP_SECONDS = 3.0
LOOK_SECONDS = 0.1
BUDGETS = {8: 5.0, 100: 25.0}
"""Endpoints -> per cent of a core allowed while idle."""

GATEWAY_CONFIG = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: file-discovery
  parameters: {{path: {path}}}
- type: queue-scorer
- type: max-score-picker
- type: single-profile-handler
schedulingProfiles:
- name: default
  plugins: [{{pluginRef: queue-scorer}}, {{pluginRef: max-score-picker}}]
dataLayer:
  discovery: {{pluginRef: file-discovery}}
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement."""

    endpoints: int
    fleet: str
    """``idle`` or ``busy``."""
    percent_of_core: float
    scrapes_per_second: float
    cpu_us_per_scrape: float
    seconds: float
    oldest_signal_s: float | None
    """The worst age that any endpoint's signals had at any look; None of a whole gateway."""
    budget_percent: float | None
    """None where nothing is promised."""

    @property
    def kept(self) -> bool:
        return self.budget_percent is None or self.percent_of_core <= self.budget_percent


async def measure(
    endpoints: int, *, moving: bool, seconds: float, gateway: bool, folder: Path
) -> Figure:
    """CPU of the data layer (or a whole gateway) over ``endpoints`` fake servers."""
    ports = free_ports(endpoints)
    kind = f"{'busy' if moving else 'idle'}-{endpoints}"
    ages: Path | None = None
    async with AsyncExitStack() as stack:
        servers = [sys.executable, "-m", "load_tests.idle_servers", str(ports[0]), str(endpoints)]
        serving = await stack.enter_async_context(
            child(f"servers-{kind}", servers + ["--moving"] * moving, logs=folder)
        )
        served = PageClient(HOST, ports[-1], "/served")
        stack.callback(served.close)
        await serving.ready(answers(served), within_s=START_SECONDS, what="serving")
        if gateway:
            command = await asyncio.to_thread(_gateway, ports, folder)
        else:
            command = [sys.executable, "-m", "load_tests.idle", "--scrape"]
            ages = folder / f"ages-{kind}"
            command += [str(ports[0]), str(endpoints), str(ages)]
        measured = await stack.enter_async_context(child(f"scraper-{kind}", command, logs=folder))
        before = int(await served.fetch())
        await measured.ready(
            _has_served(served, before, endpoints), within_s=START_SECONDS, what="scraping"
        )
        await asyncio.sleep(WARM_UP_SECONDS)
        looks = await asyncio.to_thread(_ages, ages)
        cpu, pages, elapsed = await _over(seconds, measured, served)
        seen = (await asyncio.to_thread(_ages, ages))[len(looks) :]
    return Figure(
        endpoints=endpoints,
        fleet="busy" if moving else "idle",
        percent_of_core=100 * cpu / elapsed,
        scrapes_per_second=pages / elapsed,
        cpu_us_per_scrape=1e6 * cpu / pages if pages else 0.0,
        seconds=elapsed,
        oldest_signal_s=max(seen, default=None),
        budget_percent=None if moving else BUDGETS.get(endpoints),
    )


def _ages(path: Path | None) -> list[float]:
    """The looks written so far."""
    if path is None or not path.exists():
        return []
    return [float(line) for line in path.read_text().split()]


async def _over(seconds: float, measured: Child, served: PageClient) -> tuple[float, int, float]:
    """(CPU seconds, pages, seconds) of a while."""
    clock = SystemClock()
    started, cpu, pages = clock.now(), await measured.cpu_seconds(), int(await served.fetch())
    await asyncio.sleep(seconds)
    cpu = await measured.cpu_seconds() - cpu
    return cpu, int(await served.fetch()) - pages, clock.now() - started


def _has_served(served: PageClient, before: int, more: int) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        return int(await served.fetch()) >= before + more

    return probe


def _gateway(ports: Sequence[int], folder: Path) -> list[str]:
    """The command of a gateway over ``ports``."""
    listed = [
        {"name": f"server-{port}", "address": HOST, "port": str(port), "labels": {}}
        for port in ports
    ]
    path = folder / f"endpoints-{len(ports)}.json"
    path.write_text(json.dumps({"endpoints": listed}))
    own = free_ports(3)
    return [
        *(sys.executable, "-m", "gateway", "--secure-serving=false", "--tracing=false"),
        "--workers=1",
        *(f"--grpc-port={own[0]}", f"--grpc-health-port={own[1]}", f"--metrics-port={own[2]}"),
        *("--pool-name=idle", f"--config-text={GATEWAY_CONFIG.format(path=path)}"),
    ]


async def scrape(first_port: int, endpoints: int, ages: Path) -> None:
    """The process that is measured: the data layer alone, as ``main`` builds it.

    The age of its oldest signal goes to ``ages``, ten times a second.
    """
    clock = SystemClock()
    store = Datastore()
    store.sync(
        [
            EndpointSpec(name=f"server-{port}", address=HOST, port=port)
            for port in range(first_port, first_port + endpoints)
        ]
    )
    scraper = Scraper(
        store,
        engines(CoreMetrics()),
        source=MetricsSource(),
        pace=pace(REFRESH_SECONDS, STALENESS_SECONDS),
        clock=clock,
        rng=random.Random(1),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(scraper.run())
        with await asyncio.to_thread(ages.open, "w", 1) as out:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                state = store.state
                oldest = clock.now() - float(state.columns.observed_at[state.slots].min())
                out.write(f"{oldest:.4f}\n")


def _table(figures: Sequence[Figure]) -> str:
    lines = ["endpoints  fleet  % of a core  scrapes/s  CPU us/scrape  oldest s  budget"]
    for f in figures:
        budget = "" if f.budget_percent is None else f"{f.budget_percent:g} %"
        verdict = "" if f.budget_percent is None else (" kept" if f.kept else " MISSED")
        lines.append(
            f"{f.endpoints:9d}  {f.fleet:5s}  {f.percent_of_core:11.2f}  "
            f"{f.scrapes_per_second:9.1f}  {f.cpu_us_per_scrape:13.1f}  {_age(f):>8s}  "
            f"{budget}{verdict}"
        )
    return "\n".join(lines)


def _age(figure: Figure) -> str:
    return "" if figure.oldest_signal_s is None else f"{figure.oldest_signal_s:.2f}"


async def _run(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        if arguments.clients:
            figures = await clients(1000, Path(folder))
            print(json.dumps(figures) if arguments.json else rendered(figures))
            return 0
        measured = [
            await measure(
                endpoints,
                moving=moving,
                seconds=arguments.seconds,
                gateway=arguments.gateway,
                folder=Path(folder),
            )
            for endpoints in arguments.endpoints
            for moving in (False, True)
        ]
    print(json.dumps([asdict(f) for f in measured]) if arguments.json else _table(measured))
    return 0 if all(figure.kept for figure in measured) else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--endpoints", type=words.several(words.count), default=[8, 100], help="e.g. 8,100"
    )
    parser.add_argument("--seconds", type=words.positive, default=20.0, help="per measurement")
    parser.add_argument("--gateway", action="store_true", help="measure a whole gateway")
    parser.add_argument("--clients", action="store_true", help="compare HTTP clients and readers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--scrape", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scrape:
        first_port, endpoints, ages = arguments.scrape
        uvloop.run(scrape(int(first_port), int(endpoints), Path(ages)))
        return 0
    return uvloop.run(_run(arguments))


if __name__ == "__main__":
    sys.exit(main())
