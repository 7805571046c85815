"""Follows one collection of the API: list, then watch, for as long as it takes. IO.

What is known stays known: when the server is away, restarts or forgets, ``objects`` keeps the
last state, and ``connected`` and ``heard_at`` say how old that is. Consumers are level-based: they
are told that something changed and read all of ``objects``; no event is handed on.

Bounded: objects are kept as what ``view`` makes of them, and their number has a limit.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeAlias, TypeVar

from loadstar.clock import Clock
from loadstar.kube.backoff import Backoff
from loadstar.kube.client import Document, Follows
from loadstar.kube.errors import (
    ApiError,
    Forbidden,
    Gone,
    NotFound,
    ServerError,
    ServerTimeout,
    TooManyRequests,
    Unreachable,
    from_status,
)
from loadstar.kube.resources import Resource

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]
"""Namespace and name."""

WATCH_SECONDS = 300.0
"""How long one watch lasts; the server ends it, and the next goes on where it stopped."""
SHORT_WATCH_SECONDS = 1.0
"""A watch that ends sooner and brought nothing is a failure: do not spin."""
ABSENT_SECONDS = 15.0
"""Between two looks for a kind that is optional and not there; and for so long a kind that was
there must be missing, for a server that starts may not know it yet."""
MAX_OBJECTS = 20_000
"""Far beyond what one pool or namespace holds; what is more is refused, not half known. Who
follows a whole cluster says another bound."""

_PASSES = (Unreachable, TooManyRequests, ServerError)
"""After these a watch goes on from where it was."""

log = logging.getLogger(__name__)


class Reflector(Generic[T]):
    """The collection as last heard of; ``run`` keeps it so."""

    def __init__(
        self,
        source: Follows,
        resource: Resource,
        *,
        view: Callable[[Document], T],
        changed: Callable[[], None],
        clock: Clock,
        rng: random.Random,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        optional: bool = False,
        most: int = MAX_OBJECTS,
    ) -> None:
        """``view`` makes what is kept of an object, or raises ValueError: then it is left out.

        ``changed`` is called after ``objects`` differ, and when they are first known. An
        ``optional`` kind that is not installed, or not allowed, is empty, quietly. More than
        ``most`` objects are an error, and the last known ones stay.
        """
        self._source = source
        self.resource = resource
        self._view = view
        self._changed = changed
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(rng)
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._optional = optional
        self._most = most
        self._objects: dict[Key, T] = {}
        self._version = ""
        self._missing_since: float | None = None
        self._said = ""
        self.synced = False
        """Whether the collection was known once."""
        self.installed = False
        """Whether the server has the kind, as far as we were told."""
        self.connected = False
        """Whether the last call worked: ``objects`` are as the server has them."""
        self.heard_at = float("-inf")
        """Clock.now() of the last word from the server."""
        self.lists = 0
        """Times that everything was listed: the first, and after each forgotten version."""

    @property
    def objects(self) -> Mapping[Key, T]:
        """What is known, by namespace and name. Live: do not keep it across an await."""
        return MappingProxyType(self._objects)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Gone as error:
                log.info("%s: listing again: %s", self.resource, error)
                self._version = ""
                await asyncio.sleep(self._backoff.next())
            except ApiError as error:
                await self._failed(error)

    async def _list(self) -> None:
        found: dict[Key, T] = {}
        version = ""
        pages = self._source.pages(
            self.resource, self._namespace, labels=self._labels, fields=self._fields
        )
        async for page in pages:
            for document in page.items:
                self._keep(found, document)
            version = page.resource_version
            if len(found) > self._most:
                raise ApiError(f"more than {self._most} objects")
        self.lists += 1
        self._version = version
        self._missing_since = None
        self._heard()
        self._take(found)

    def _take(self, found: dict[Key, T], *, installed: bool = True) -> None:
        """``found`` is all there is."""
        differs = found != self._objects or installed != self.installed or not self.synced
        self.installed = installed
        self._objects = found
        self.synced = True
        if differs:
            self._changed()

    async def _watch(self) -> None:
        started = self._clock.now()
        # Not all of one minute at once, after a server has restarted.
        seconds = WATCH_SECONDS * self._rng.uniform(0.9, 1.1)
        heard = False
        events = self._source.watch(
            self.resource,
            self._namespace,
            since=self._version,
            seconds=seconds,
            labels=self._labels,
            fields=self._fields,
            opened=self._heard,
        )
        async for event in events:
            if event.type == "ERROR":
                raise from_status(event.object)
            self._version = str(event.object["metadata"]["resourceVersion"])
            self._heard()
            self._backoff.reset()
            heard = True
            if event.type != "BOOKMARK":
                self._happened(event.type, event.object)
        self._heard()
        if heard or self._clock.now() - started >= SHORT_WATCH_SECONDS:
            self._backoff.reset()
        else:
            await asyncio.sleep(self._backoff.next())

    def _happened(self, kind: str, document: Document) -> None:
        before = self._objects.get(_key(document))
        if kind == "DELETED":
            self._objects.pop(_key(document), None)
            changed = before is not None
        elif before is None and len(self._objects) >= self._most:
            raise ApiError(f"more than {self._most} objects")
        else:
            self._keep(self._objects, document)
            changed = self._objects.get(_key(document)) != before
        if changed:
            self._changed()

    def _keep(self, objects: dict[Key, T], document: Document) -> None:
        key = _key(document)
        try:
            objects[key] = self._view(document)
        except ValueError as error:
            objects.pop(key, None)
            log.warning("%s %s/%s is left out: %s", self.resource, *key, error)

    def _heard(self) -> None:
        self.heard_at = self._clock.now()
        if self._said or not self.connected:
            log.info("%s: followed", self.resource, extra={"namespace": self._namespace})
        self.connected, self._said = True, ""

    async def _failed(self, error: ApiError) -> None:
        """Say so once, decide what stays known, and wait."""
        self.connected = False
        if not isinstance(error, _PASSES) or isinstance(error, ServerTimeout):
            self._version = ""  # the server answered and did not like it: begin anew
        absent = self._optional and isinstance(error, NotFound | Forbidden)
        surely = False
        if absent:
            now = self._clock.now()
            if self._missing_since is None:
                self._missing_since = now
            surely = now - self._missing_since >= ABSENT_SECONDS or not self._objects
            if not self.synced or (surely and isinstance(error, NotFound)):
                self._take({}, installed=False)
            if surely and isinstance(error, NotFound):
                self.connected, self.heard_at = True, now  # there is nothing, and we know it
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            level = logging.INFO if absent else logging.WARNING
            log.log(level, "%s as last known: %s", self.resource, said)
            self._said = said
        if surely:
            await asyncio.sleep(ABSENT_SECONDS * self._rng.uniform(0.8, 1.2))
        else:
            await asyncio.sleep(self._backoff.next(error.retry_after))


def _key(document: Document) -> Key:
    try:
        metadata = document["metadata"]
        return str(metadata.get("namespace") or ""), str(metadata["name"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ApiError(f"an object without a name: {error!r}") from error
