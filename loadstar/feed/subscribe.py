"""The subscriber's end: a stream from every replica behind the given addresses. IO.

A name is resolved again and again, so that replicas that come are heard and those that go are let
go. Each has its own task; one that is slow or away delays only itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from loadstar.feed.addresses import Address, split
from loadstar.feed.trust import Trust, channel
from loadstar.signals.codec import SERVICE, WATCH, decode, request
from loadstar.signals.model import Snapshot

log = logging.getLogger(__name__)

RESOLVE_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 10.0
"""A publisher speaks every second; one that does not for so long is asked anew."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
MAX_REPLICAS: Final = 256
MAX_MESSAGE_BYTES: Final = 64 << 20

_METHOD: Final = f"/{SERVICE}/{WATCH}"


class Subscription:
    """``run`` hears every replica; each snapshot goes to ``heard``."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        trust: Trust,
        name: str,
        heard: Callable[[Snapshot], None],
        rng: random.Random,
        resolve_seconds: float = RESOLVE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """``addresses`` are ``host:port``. Raises ValueError for one that is not."""
        self._asked = tuple(split(address) for address in addresses)
        self._trust = trust
        self._name = name
        self._heard = heard
        self._rng = rng
        self._resolve_seconds = resolve_seconds
        self._silence_seconds = silence_seconds
        self._streams: dict[Address, asyncio.Task[None]] = {}
        self._known: dict[str, set[Address]] = {}
        self._spoke: set[Address] = set()
        self.problems: dict[Address | str, str] = {}
        """Why an address, or a name, is not heard."""

    @property
    def replicas(self) -> tuple[Address, ...]:
        """Those that are listened to now, or tried."""
        return tuple(sorted(self._streams))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                found = await self._resolved()
                for gone in self._streams.keys() - found:
                    self._streams.pop(gone).cancel()
                    self.problems.pop(gone, None)
                for address in sorted(found - self._streams.keys()):
                    follow = self._follow(address)
                    self._streams[address] = tasks.create_task(follow, name=f"signals {address}")
                await asyncio.sleep(self._resolve_seconds)

    async def _resolved(self) -> set[Address]:
        """Every address behind the names; of a name that cannot be asked, those that it had."""
        found: set[Address] = set()
        loop = asyncio.get_running_loop()
        for host, port in self._asked:
            try:
                infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                self.problems[host] = f"{host} cannot be resolved: {error.strerror or error}"
                found |= self._known.get(host, set())
                continue
            self.problems.pop(host, None)
            addresses = {(str(info[4][0]), int(info[4][1])) for info in infos}
            self._known[host] = _one_family(addresses)
            found |= self._known[host]
        return set(sorted(found)[:MAX_REPLICAS])

    async def _follow(self, address: Address) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._listen(address)
                why = "it ended the stream"
            except TimeoutError:
                why = f"silent for {self._silence_seconds:g} s"
            except grpc.aio.AioRpcError as error:
                why = f"{error.code().name}: {(error.details() or '')[:200]}"
            except (OSError, ValueError) as error:
                why = str(error)[:200]
            if address in self._spoke:
                self._spoke.discard(address)
                pause = FIRST_PAUSE_SECONDS
            if self.problems.get(address) != why:
                log.warning("signals of %s:%d: %s", *address, why)
            self.problems[address] = why
            await asyncio.sleep(pause * self._rng.uniform(0.7, 1.3))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _listen(self, address: Address) -> None:
        """Until the stream ends, whichever way."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        async with asyncio.timeout(self._silence_seconds):
            connection = await channel(self._trust, *address, options)
        async with connection:
            watch = connection.unary_stream(_METHOD)
            stream = watch(request(self._name), metadata=await self._metadata())
            while True:
                async with asyncio.timeout(self._silence_seconds):
                    text = await stream.read()
                if text is grpc.aio.EOF:
                    return
                self._heard(decode(text))
                self._spoke.add(address)
                self.problems.pop(address, None)

    async def _metadata(self) -> list[tuple[str, str]]:
        if not self._trust.token_file:
            return []
        text = await asyncio.to_thread(Path(self._trust.token_file).read_text)
        return [("authorization", f"Bearer {text.strip()}")]


def _one_family(addresses: Iterable[Address]) -> set[Address]:
    """IPv4 where there is any: a replica with two addresses must not be heard twice."""
    every = set(addresses)
    four = {address for address in every if ":" not in address[0]}
    return four or every
