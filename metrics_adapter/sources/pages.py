"""A source that fetches pods' metrics pages itself. IO; ``page_reading`` makes values of them.

Every pod has its own moment in each interval, the same on every replica, so that replicas read
the same pages at the same time and tell the same. A slow pod delays only itself.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from typing import Final

import aiohttp

from loadstar.clock import Clock
from loadstar.kube.resources import PODS
from loadstar.kube.selectors import EVERYTHING
from loadstar.kube.selectors import parse as parse_selector
from metrics_adapter.adapter_config import Describes, PodsSource
from metrics_adapter.catalog import Metric
from metrics_adapter.query import Inventory, Pod, Published
from metrics_adapter.query.assemble import Page, Words, assemble
from metrics_adapter.sources.page_layout import Layouts
from metrics_adapter.sources.page_reading import Named, Reader
from metrics_adapter.store import Slot, Store, TooMuch

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25
PUBLISH_SECONDS: Final = 1.0
BUSY_SHARE: Final = 0.1
DEFAULT_PORT: Final = 8000
MOST_PAGE_BYTES: Final = 8 << 20


class Pages:
    """Follows the pods of the inventory that the configuration selects."""

    def __init__(self, config: PodsSource, clock: Clock) -> None:
        """Raises ValueError for a selector that cannot be read."""
        self.name = f"pods {config.selector or 'all'}"
        self._config = config
        self._clock = clock
        self._selector = parse_selector(config.selector) if config.selector else EVERYTHING
        self._readers: dict[str, Reader] = {}
        self._pages: dict[str, list[Page]] = {}
        self._under_way: set[str] = set()
        self._failing: dict[str, str] = {}
        self._words, self._layouts = Words(), Layouts()
        self._metrics: tuple[Metric, ...] = ()
        self._chosen: tuple[Inventory | None, list[Pod]] = (None, [])
        """The pods to read, and of which inventory: going through a whole cluster takes a while."""
        self._living: set[str] = set()
        """Their UIDs."""
        self._changed = False

    @property
    def problem(self) -> str:
        """How many pods cannot be read, and why the first cannot."""
        if not self._failing:
            return ""
        first = min(self._failing)
        return f"{len(self._failing)} pods cannot be read; of {first}: {self._failing[first]}"

    async def run(self, store: Store) -> None:
        """Publish to ``store`` until cancelled."""
        connector = aiohttp.TCPConnector(limit=self._config.concurrency, ssl=await self._tls())
        timeout = aiohttp.ClientTimeout(total=self._config.timeout)
        with store.slot(self.name) as slot:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                asyncio.TaskGroup() as tasks,
            ):
                tasks.create_task(self._publishing(slot), name=f"publish {self.name}")
                ticks = max(round(self._config.interval / TICK_SECONDS), 1)
                while True:
                    tick = int(self._clock.wall() / TICK_SECONDS)
                    pods = self._wanted(store)
                    for pod in pods:
                        due = zlib.crc32(pod.uid.encode()) % ticks == tick % ticks
                        if due and pod.uid not in self._under_way:
                            self._under_way.add(pod.uid)
                            tasks.create_task(self._read(session, pod), name=f"read {pod.name}")
                    until = (tick + 1) * TICK_SECONDS - self._clock.wall()
                    await asyncio.sleep(max(until, 0.01))

    def _wanted(self, store: Store) -> list[Pod]:
        """The pods to read; what is known of others is forgotten."""
        view = store.view()
        metrics = tuple(metric for metric in view.catalog.entries if metric.series)
        if metrics != self._metrics:
            self._metrics = metrics
            self._readers.clear()
        if self._chosen[0] is view.inventory:
            return self._chosen[1]
        spaces = self._config.namespaces
        pods = [
            pod
            for pod in view.inventory.pods.values()
            if pod.address
            and (not spaces or pod.namespace in spaces)
            and self._selector.matches(pod.labels)
        ]
        living = self._living = {pod.uid for pod in pods}
        for gone in [uid for uid in self._pages if uid not in living]:
            del self._pages[gone]
            self._changed = True
        for known in (self._readers, self._failing):
            for uid in [uid for uid in known if uid not in living]:
                del known[uid]
        self._chosen = view.inventory, pods
        return pods

    async def _read(self, session: aiohttp.ClientSession, pod: Pod) -> None:
        config = self._config
        port = config.port or pod.metrics_port or DEFAULT_PORT
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        url = f"{config.scheme}://{host}:{port}{config.path}"
        try:
            at = self._clock.wall()
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise ValueError(f"status {answer.status}")
                page = await answer.content.read(MOST_PAGE_BYTES + 1)
                while chunk := await answer.content.read(MOST_PAGE_BYTES):
                    page += chunk
                    if len(page) > MOST_PAGE_BYTES:
                        raise ValueError(f"a page of more than {MOST_PAGE_BYTES} bytes")
            if pod.uid not in self._living:
                return  # it went while its page was on the way
            self._pages[pod.uid] = self._reader(pod).read(page, at)
            self._changed = True
            self._failing.pop(pod.uid, None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # What it last said stays, and grows old.
            if pod.uid in self._living:
                self._failing[pod.uid] = f"{url}: {str(error) or type(error).__name__}"[:300]
        finally:
            self._under_way.discard(pod.uid)

    def _reader(self, pod: Pod) -> Reader:
        reader = self._readers.get(pod.uid)
        if reader is None:
            named = None
            if self._config.describes is Describes.PODS:
                named = Named(self._config.namespace_label, self._config.pod_label)
            reader = self._readers[pod.uid] = Reader(
                self._metrics,
                self._words,
                self._layouts,
                key=pod.key,
                uid=pod.uid,
                named=named,
            )
        return reader

    async def _publishing(self, slot: Slot) -> None:
        while True:
            began = self._clock.now()
            if self._changed:
                self._changed = False
                pages = [page for several in self._pages.values() for page in several]
                try:
                    published = Published(assemble(PODS, pages, self._words))
                    slot.publish(published, self._clock.wall())
                except TooMuch as error:
                    log.error("pages are not all kept: %s", error)
            took = self._clock.now() - began
            await asyncio.sleep(max(PUBLISH_SECONDS, took / BUSY_SHARE))

    async def _tls(self) -> ssl.SSLContext | bool:
        if self._config.scheme != "https" or not self._config.ca_file:
            return True
        return await asyncio.to_thread(ssl.create_default_context, cafile=self._config.ca_file)
