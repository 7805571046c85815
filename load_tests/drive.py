"""The open-loop client: sends each request when it is due, whatever became of those before.

A closed loop would slow down with the server and hide its queue. Late sends are the client's own
fault and are counted in every sample (``delay_s``), never hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from load_tests.client import Connection, Exchange
from load_tests.envoy_config import Address
from load_tests.measure import Sample
from load_tests.workload import Arrival, body
from loadstar.clock import Clock

REQUEST_SECONDS = 180.0
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send, for which model, with which extra headers."""

    address: Address
    model: str
    headers: Mapping[str, str]

    def request(self, path: str, content: bytes) -> bytes:
        lines = [
            f"POST {path} HTTP/1.1",
            f"host: {self.address.text}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def target(address: Address, model: str, **headers: str) -> Target:
    """A target; underscores in header names become dashes."""
    return Target(address, model, {k.replace("_", "-"): v for k, v in headers.items()})


class Driver:
    """Sends workloads to one target over kept connections."""

    def __init__(self, target: Target, clock: Clock, *, request_s: float = REQUEST_SECONDS) -> None:
        self._target = target
        self._clock = clock
        self._request_s = request_s
        self._idle: list[Connection] = []
        self.open = 0
        """Requests under way."""

    async def run(
        self, arrivals: Sequence[Arrival], seen: Callable[[Arrival, Sample], None]
    ) -> None:
        """Send every arrival at its time from now on; ``seen`` gets each sample as it ends."""
        began = self._clock.now()
        try:
            async with asyncio.TaskGroup() as requests:
                for arrival in arrivals:
                    # Made before it is due, so that making it delays nothing.
                    content = body(arrival, self._target.model)
                    due = began + arrival.at_s
                    if (ahead := due - self._clock.now()) > 0:
                        await asyncio.sleep(ahead)
                    requests.create_task(self._one(arrival, content, due, seen))
        finally:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    async def _one(
        self,
        arrival: Arrival,
        content: bytes,
        due: float,
        seen: Callable[[Arrival, Sample], None],
    ) -> None:
        exchange = Exchange()
        sent = self._clock.now()
        self.open += 1
        try:
            async with asyncio.timeout(self._request_s):
                await self._exchange(self._target.request(arrival.path, content), exchange)
        except TimeoutError:
            exchange.error = "timeout"
        except OSError as error:
            exchange.error = type(error).__name__
        finally:
            self.open -= 1
        ended = self._clock.now()
        seen(arrival, sample(arrival, exchange, due, sent, ended, len(content)))

    async def _exchange(self, request: bytes, exchange: Exchange) -> None:
        connection = await self._connection()
        if await connection.ask(request, exchange):
            self._idle.append(connection)
        else:
            connection.close()

    async def _connection(self) -> Connection:
        while self._idle:
            # The one used last is the least likely to have been closed for idleness.
            if (kept := self._idle.pop()).usable:
                return kept
        address = self._target.address
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._clock.now), address.host, address.port
            )
        return connection


def sample(
    arrival: Arrival, exchange: Exchange, due: float, sent: float, ended: float, size: int
) -> Sample:
    """What one exchange was, in the words of the report."""
    usage = exchange.usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    times = exchange.token_times
    return Sample(
        scheduled_at=due,
        sent_at=sent,
        first_at=times[0] if times and exchange.status == 200 else None,
        ended_at=ended,
        status=exchange.status,
        error=exchange.error,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=_count(cached),
        output_tokens=_count(usage.get("completion_tokens")),
        served_by=exchange.served_by,
        group=arrival.group,
        request_bytes=size,
        gaps_s=tuple(b - a for a, b in pairwise(times)),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None
