"""Kubernetes Events: what an operator should see next to the object it is about.

``record`` costs nothing and never waits; ``run`` sends. What repeats is one Event whose count
grows; an object that says too much is cut short by a token bucket; what does not get out, because
the server is away or RBAC forbids it, is dropped. Logs have it all anyway.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from loadstar.clock import Clock
from loadstar.kube.client import Document
from loadstar.kube.conditions import timestamp
from loadstar.kube.errors import ApiError, NotFound
from loadstar.kube.objects import ObjectRef
from loadstar.kube.resources import EVENTS, Resource

Kind: TypeAlias = Literal["Normal", "Warning"]

MAX_WAITING = 256
MAX_REMEMBERED = 1024
"""Events whose repetition is recognised, and objects whose rate is limited."""
BURST = 25
REFILL_SECONDS = 300.0
"""As kubectl's users are used to: 25 at once for one object, then one in five minutes."""
FORGET_SECONDS = 3000.0
"""The server forgets events after an hour; an old one is not counted on."""
MAX_MESSAGE = 1024

log = logging.getLogger(__name__)


class Writes(Protocol):
    """The two calls that events need."""

    async def create(
        self, resource: Resource, document: Document, namespace: str = "", *, subresource: str = ""
    ) -> Document: ...

    async def patch(
        self, resource: Resource, name: str, namespace: str, change: object
    ) -> Document: ...


@dataclass(frozen=True, slots=True)
class Said:
    """One thing to say."""

    about: ObjectRef
    kind: Kind
    reason: str
    message: str

    @property
    def id(self) -> tuple[str, ...]:
        """What makes a repetition."""
        about = self.about
        return (
            *(about.kind, about.namespace, about.name, about.uid),
            *(self.kind, self.reason, self.message),
        )


@dataclass(slots=True)
class _Sent:
    name: str
    count: int
    at: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class EventRecorder:
    """Says things about objects, in the name of ``component``."""

    def __init__(self, kube: Writes, clock: Clock, *, component: str, instance: str = "") -> None:
        self._kube = kube
        self._clock = clock
        self._component = component
        self._instance = instance or component
        self._waiting: deque[Said] = deque()
        self._some = asyncio.Event()
        self._sent: OrderedDict[tuple[str, ...], _Sent] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self.dropped = 0
        """Events that were not sent, for whatever reason."""

    def record(self, about: ObjectRef, kind: Kind, reason: str, message: str) -> None:
        """Say it soon. ``reason`` is one CamelCase word."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append(Said(about, kind, reason, message[:MAX_MESSAGE]))
        self._some.set()

    async def run(self) -> None:
        """Send what was said, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                await self._send(self._waiting.popleft())

    async def _send(self, said: Said) -> None:
        if not self._may(said.about):
            self.dropped += 1
            return
        try:
            await self._write(said)
        except ApiError as error:
            self.dropped += 1
            log.info("event %s on %s not sent: %s", said.reason, said.about.name, error)

    async def _write(self, said: Said) -> None:
        now, stamp = self._clock.now(), timestamp(self._clock.wall())
        namespace = said.about.namespace or "default"
        known = self._sent.get(said.id)
        if known is not None and now - known.at < FORGET_SECONDS:
            change = {"count": known.count + 1, "lastTimestamp": stamp}
            try:
                await self._kube.patch(EVENTS, known.name, namespace, change)
            except NotFound:
                pass  # the server has forgotten it: say it anew
            else:
                known.count, known.at = known.count + 1, now
                self._sent.move_to_end(said.id)
                return
        name = _name(said, self._clock.wall())
        await self._kube.create(EVENTS, self._document(said, name, namespace, stamp), namespace)
        _remember(self._sent, said.id, _Sent(name, 1, now))

    def _document(self, said: Said, name: str, namespace: str, stamp: str) -> dict[str, Any]:
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": said.about.document,
            "type": said.kind,
            "reason": said.reason,
            "message": said.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }

    def _may(self, about: ObjectRef) -> bool:
        """Take a token of the object's bucket, if it has one."""
        id = (about.kind, about.namespace, about.name)
        now = self._clock.now()
        bucket = self._buckets.get(id) or _Bucket(BURST, now)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL_SECONDS)
        bucket.at = now
        _remember(self._buckets, id, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _remember(known: OrderedDict[tuple[str, ...], Any], id: tuple[str, ...], value: object) -> None:
    known[id] = value
    known.move_to_end(id)
    if len(known) > MAX_REMEMBERED:
        known.popitem(last=False)


def _name(said: Said, wall: float) -> str:
    """Unique per object, thing said and moment; a valid object name."""
    digest = hashlib.blake2s(repr((said.id, wall)).encode(), digest_size=8).hexdigest()
    return f"{said.about.name[:200].strip('.-') or 'object'}.{digest}"
