"""Logs: one line each, JSON for machines or a console for people, written by a thread of its own.

Callers use the standard ``logging``; ``extra={...}`` becomes fields of the line. A full pipe or a
slow disk never stalls the event loop: records wait in a bounded queue, and what does not fit is
dropped and counted. An error that repeats is shown a few times and then summed up.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import queue
import sys
from collections import OrderedDict
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener
from typing import TextIO

import orjson

from loadstar.config.errors import ConfigError, Problem
from loadstar.telemetry.legible import legible, legible_value

VERBOSE = 15
TRACE = 5
LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, VERBOSE, logging.DEBUG, TRACE)
"""By ``-v``: 0 errors, 1 warnings, 2 events, 3 changes, 4 each request, 5 each message."""

OURS = ("autoscaler", "gateway", "loadstar", "metrics_adapter")
"""Whose loggers ``-v`` is about. Libraries only warn: below that they tell of their own insides,
numba 8 MB when it compiles, hpack every header it decodes, an ``authorization`` too."""

MAX_WAITING = 10_000
"""Records that may wait for the writer; some megabytes."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def level(verbosity: int) -> int:
    """The logging level of ``-v``."""
    return LEVELS[max(0, min(verbosity, len(LEVELS) - 1))]


class JsonLines(logging.Formatter):
    """``{"ts":…,"level":…,"logger":…,"msg":…,<extra>}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except orjson.JSONEncodeError:  # bytes of a client that are no UTF-8, most likely
            return orjson.dumps(legible_value(line)).decode()


class Console(logging.Formatter):
    """``19:02:23.123 INFO  gateway.main  message  key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f"  {key}={value}" for key, value in fields(record).items())
        clock = _timestamp(record)[11:23]
        text = f"{clock} {record.levelname:<7} {record.name}  {record.getMessage()}{extra}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return legible(text)


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What ``extra`` added to ``record``."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def cannot_start(log: logging.Logger, error: Exception) -> None:
    """Say why a process ends before it serves: each problem of a configuration by itself."""
    for problem in error.problems if isinstance(error, ConfigError) else (error,):
        log.error("cannot start: %s", problem, stacklevel=2)


class Repeats(logging.Filter):
    """Lets a warning or error through ``limit`` times in ``seconds``; then counts.

    Records are the same when their logger and their text before ``%`` formatting are, and tell of
    the same ``Problem`` if of one. The next one let through says how many were not.
    """

    def __init__(self, limit: int = 5, seconds: float = 10.0, kinds: int = 1024) -> None:
        super().__init__()
        self._limit = limit
        self._seconds = seconds
        self._kinds = kinds
        self._seen: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()
        """Kind -> [start of its window, let through, held back]."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        # Each of what is wrong with a text is to be mended: none is the repeat of another.
        told = record.args if isinstance(record.args, tuple) else ()
        problems = (str(each) for each in told if isinstance(each, Problem))
        kind = (record.name, str(record.msg), *problems)
        window = self._seen.get(kind)
        if window is None or record.created - window[0] >= self._seconds:
            if window is not None and window[2]:
                record.repeats_not_shown = int(window[2])
            window = self._seen[kind] = [record.created, 0, 0]
            self._seen.move_to_end(kind)
            if len(self._seen) > self._kinds:
                self._seen.popitem(last=False)
        if window[1] >= self._limit:
            window[2] += 1
            return False
        window[1] += 1
        return True


class Enqueue(QueueHandler):
    """Hands records to the writer's thread; drops, and counts, what the queue cannot hold."""

    def __init__(self, waiting: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(waiting)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # Arguments may change before the writer comes to them; the rest may wait for it.
        record.msg, record.args = record.getMessage(), None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1
            return
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            record.lines_dropped = dropped


@contextlib.contextmanager
def logs(verbosity: int, form: str = "", stream: TextIO | None = None) -> Iterator[Enqueue]:
    """Log to ``stream`` (stderr) while inside; everything logged is written on the way out.

    ``form`` is ``json``, ``console`` or "" for console on a terminal and JSON elsewhere.
    """
    stream = sys.stderr if stream is None else stream
    console = form == "console" or (form == "" and stream.isatty())
    writer = logging.StreamHandler(stream)
    writer.setFormatter(Console() if console else JsonLines())
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(MAX_WAITING)
    handler = Enqueue(waiting)
    handler.addFilter(Repeats())
    listener = QueueListener(waiting, writer)
    for number, name in ((VERBOSE, "VERBOSE"), (TRACE, "TRACE")):
        logging.addLevelName(number, name)
    root = logging.getLogger()
    before, root.handlers = root.handlers, [handler]
    old_level = root.level
    root.setLevel(max(level(verbosity), logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(level(verbosity))
    logging.captureWarnings(True)
    listener.start()
    try:
        yield handler
    finally:
        listener.stop()
        logging.captureWarnings(False)
        root.handlers = before
        root.setLevel(old_level)
        for name in OURS:
            logging.getLogger(name).setLevel(logging.NOTSET)
