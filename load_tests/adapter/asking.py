"""Questions put to an HTTPS server one after the other on a kept connection, and timed. Blocking.

A Go client and an HPA do the same: one connection, one request at a time.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from loadstar.clock import Clock

REQUEST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Way:
    """Where to ask, and as whom."""

    url: str
    tls: ssl.SSLContext
    headers: tuple[tuple[str, str], ...] = ()

    def connect(self) -> http.client.HTTPSConnection:
        place = urlsplit(self.url)
        assert place.hostname is not None
        return http.client.HTTPSConnection(
            place.hostname, place.port, timeout=REQUEST_SECONDS, context=self.tls
        )


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of each answer, and the bytes of the last."""

    seconds: tuple[float, ...]
    size_bytes: int

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.seconds, share))


def ask(connection: http.client.HTTPSConnection, way: Way, path: str) -> bytes:
    """One answer's body. Raises RuntimeError for any that is not 200."""
    connection.putrequest("GET", path, skip_accept_encoding=True)
    for name, value in way.headers:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
    return body


def one_by_one(way: Way, path: str, count: int, clock: Clock, *, warm: int = 20) -> Timed:
    """``count`` answers, after ``warm`` that do not count."""
    seconds = []
    size = 0
    with contextlib.closing(way.connect()) as connection:
        for number in range(warm + count):
            began = clock.now()
            size = len(ask(connection, way, path))
            if number >= warm:
                seconds.append(clock.now() - began)
    return Timed(tuple(seconds), size)


def at_a_rate(
    way: Way, paths: Sequence[str], rate: float, seconds: float, callers: int, clock: Clock
) -> tuple[Timed, int]:
    """Each path in turn, ``rate`` a second whatever the answers take; and how many came late.

    What an answer took is counted from when it was due, so that waiting for a free caller counts.
    """
    total = int(rate * seconds)
    took: list[float] = [0.0] * total
    late = [0] * callers
    began = clock.now() + 0.1
    paused = threading.Event()

    def call(caller: int) -> None:
        with contextlib.closing(way.connect()) as connection:
            for number in range(caller, total, callers):
                due = began + number / rate
                wait = due - clock.now()
                if wait > 0:
                    paused.wait(wait)
                elif wait < -0.05:
                    late[caller] += 1
                ask(connection, way, paths[number % len(paths)])
                took[number] = clock.now() - due

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Timed(tuple(took), 0), sum(late)
