"""One line per request that was answered: who asked what, whether they might, what they got.

The lines are Kubernetes audit events of level Metadata, so that what reads those reads these. They
are written by a thread of their own from a bounded queue; a slow disk delays no answer, and what
does not fit is dropped and counted in the next line.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import queue
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from logging.handlers import QueueListener, RotatingFileHandler

import orjson

from loadstar.telemetry.logging import Enqueue
from metrics_adapter.security.attributes import Attributes
from metrics_adapter.security.identity import User

MAX_WAITING = 10_000
MAX_TEXT = 2048
"""Characters kept of what a caller wrote: a path, an agent."""
STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What there is to say of one request."""

    audit_id: str
    uri: str
    what: Attributes | None
    user: User | None
    source: str
    agent: str
    code: int
    message: str
    """The refusal's; empty for an answer."""
    decision: str
    reason: str
    received_at: float
    """Unix seconds."""
    answered_at: float


def line(event: Event) -> bytes:
    """``event`` as JSON."""
    said: dict[str, object] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": event.audit_id,
        "stage": "ResponseComplete",
        "requestURI": event.uri[:MAX_TEXT],
        "verb": event.what.verb if event.what else "",
        "sourceIPs": [event.source] if event.source else [],
        "userAgent": event.agent[:MAX_TEXT],
        "responseStatus": {"metadata": {}, "code": event.code},
        "requestReceivedTimestamp": _stamp(event.received_at),
        "stageTimestamp": _stamp(event.answered_at),
    }
    if event.user is not None:
        said["user"] = {
            "username": event.user.name,
            **({"uid": event.user.uid} if event.user.uid else {}),
            "groups": list(event.user.groups),
            **({"extra": dict(event.user.extra)} if event.user.extra else {}),
        }
    if event.what is not None and event.what.resource:
        asked = {
            "resource": event.what.resource,
            "namespace": event.what.namespace,
            "name": event.what.name,
            "apiGroup": event.what.group,
            "apiVersion": event.what.version,
            "subresource": event.what.subresource,
        }
        said["objectRef"] = {key: value for key, value in asked.items() if value}
    if event.message:
        said["responseStatus"] = {
            "metadata": {},
            "status": "Failure",
            "message": event.message[:MAX_TEXT],
            "code": event.code,
        }
    if event.decision:
        said["annotations"] = {
            "authorization.k8s.io/decision": event.decision,
            "authorization.k8s.io/reason": event.reason,
        }
    return orjson.dumps(said, default=str)


def _stamp(wall: float) -> str:
    moment = datetime.datetime.fromtimestamp(wall, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Audit:
    """Where the lines go. Without a handler, nowhere."""

    def __init__(self, handler: Enqueue | None = None) -> None:
        self._handler = handler

    def __bool__(self) -> bool:
        return self._handler is not None

    def tell(self, event: Event) -> None:
        if self._handler is None:
            return
        text = line(event).decode()
        self._handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, text, None, None))


class _Lines(logging.Formatter):
    """The line as it is, after one that counts those that did not fit."""

    def format(self, record: logging.LogRecord) -> str:
        dropped = getattr(record, "lines_dropped", 0)
        note = f'{{"auditLinesDropped":{dropped}}}\n' if dropped else ""
        return note + record.getMessage()


@contextlib.contextmanager
def audit_log(path: str, *, max_bytes: int, backups: int) -> Iterator[Audit]:
    """An ``Audit`` that writes to ``path`` ("-" is standard output, "" nowhere) while inside.

    Raises OSError for a file that cannot be opened.
    """
    if not path:
        yield Audit()
        return
    writer: logging.Handler
    if path == STANDARD_OUTPUT:
        writer = logging.StreamHandler(sys.stdout)
    else:
        writer = RotatingFileHandler(path, maxBytes=max_bytes, backupCount=backups)
    writer.setFormatter(_Lines())
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(MAX_WAITING)
    listener = QueueListener(waiting, writer)
    listener.start()
    try:
        yield Audit(Enqueue(waiting))
    finally:
        listener.stop()
        writer.close()
