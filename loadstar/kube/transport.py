"""HTTP to one API server: connections, credentials renewed in time, answers or errors. IO.

Every wait has an end and every answer a bound. ``client`` puts Kubernetes' words on it; nobody
else calls it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.kube.credentials import ROTATION_SECONDS, Connection, Credentials
from loadstar.kube.errors import ApiError, Unauthorized, Unreachable, from_status

CONNECT_SECONDS = 5.0
CALL_SECONDS = 30.0
CLOSING_SECONDS = 0.01
"""For connections that were dropped to be gone from the loop before it may end."""
MAX_ANSWER_BYTES = 64 << 20
"""Of one answer that is read whole; a page of a list is far below."""
MAX_ERROR_BYTES = 64 << 10
THREAD_BYTES = 256 << 10
"""Larger documents are parsed in a thread, so that streams do not wait for them."""
KEEPALIVE_IDLE_SECONDS, KEEPALIVE_EVERY_SECONDS, KEEPALIVE_LOST = 15, 5, 3
"""A watch is silent for minutes: without these a server that lost power is never noticed."""

log = logging.getLogger(__name__)

Params = Mapping[str, str]


class Transport:
    """An ``async with`` scope in which calls can be made."""

    def __init__(self, credentials: Credentials, clock: Clock, *, user_agent: str) -> None:
        self._credentials = credentials
        self._clock = clock
        self._user_agent = user_agent
        self._connection: Connection | None = None
        self._read_at = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> Transport:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=_kept_alive),
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            auto_decompress=True,
            trust_env=True,
        )
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(CLOSING_SECONDS)

    async def connection(self) -> Connection:
        """Where to and as whom, read again when old. Raises ConfigError if it never was good."""
        async with self._reading:
            age = self._clock.now() - self._read_at
            old = self._credentials.rotates and age >= ROTATION_SECONDS
            if self._connection is None or old:
                await self._read()
        assert self._connection is not None
        return self._connection

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        content_type: str = "application/json",
        seconds: float = CALL_SECONDS,
    ) -> Any:
        """The answer's document. Raises ApiError."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        async with self.stream(method, path, params, timeout, body, content_type) as answer:
            return await parsed(await read_bounded(answer, MAX_ANSWER_BYTES))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        params: Params | None,
        timeout: aiohttp.ClientTimeout,
        body: object = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer whose body is still to be read. Raises ApiError, also while it is read.

        Credentials that are refused are read again, once: they may have been rotated.
        """
        try:
            try:
                answer = await self._send(method, path, params, timeout, body, content_type)
            except Unauthorized:
                async with self._reading:
                    await self._read()
                answer = await self._send(method, path, params, timeout, body, content_type)
            try:
                yield answer
            finally:
                _let_go(answer)
        except TimeoutError as error:
            raise Unreachable(f"{method} {path}: no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{method} {path}: {str(error) or type(error).__name__}") from error

    async def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        timeout: aiohttp.ClientTimeout,
        body: object,
        content_type: str,
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "used outside its scope"
        try:
            to = await self.connection()
        except ConfigError as error:
            raise Unreachable(str(error)) from error
        headers = {}
        if to.authorization is not None:
            headers["Authorization"] = to.authorization
        data = None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = content_type
        answer = await self._session.request(
            method,
            to.server + path,
            params=params,
            data=data,
            headers=headers,
            timeout=timeout,
            ssl=True if to.tls is None else to.tls,
            server_hostname=to.server_name,
            proxy=to.proxy,
            allow_redirects=False,
        )
        if 200 <= answer.status < 300:
            return answer
        async with answer:
            raise await _refusal(answer)

    async def _read(self) -> None:
        """Read the credentials; bad ones keep the last good ones."""
        try:
            self._connection = await self._credentials.load()
        except ConfigError as error:
            if self._connection is None:
                raise
            log.error("credentials as they were: %s", error)
        self._read_at = self._clock.now()


def _let_go(answer: aiohttp.ClientResponse) -> None:
    """Give the connection back; one that is in the midst of an answer is dropped at once.

    Closing it in TLS's polite way would wait for a server that may have stopped listening.
    """
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    answer.release()


async def read_bounded(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body. Raises ApiError if it is longer than ``limit``."""
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > limit:
            raise ApiError(f"the answer is longer than {limit} bytes", status=answer.status)
        parts.append(part)
    return b"".join(parts)


async def parsed(text: bytes) -> Any:
    """The JSON document ``text`` is. Raises ApiError."""
    try:
        if len(text) < THREAD_BYTES:
            return orjson.loads(text)
        return await asyncio.to_thread(orjson.loads, text)
    except orjson.JSONDecodeError as error:
        raise ApiError(f"the answer is not JSON: {error}") from error


async def _refusal(answer: aiohttp.ClientResponse) -> ApiError:
    text = await answer.content.read(MAX_ERROR_BYTES)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = None
    said = answer.headers.get("Retry-After", "")
    return from_status(
        document,
        status=answer.status,
        retry_after=float(said) if said.isascii() and said.isdigit() else None,
        text=text.decode(errors="replace").strip(),
    )


def _kept_alive(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_LOST),
    ):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
