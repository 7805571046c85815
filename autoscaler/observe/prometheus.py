"""Range queries to a Prometheus API: Prometheus, Thanos, Mimir, Managed Prometheus. IO.

One request at a time, each bounded in time and bytes; no redirect is followed, for it would carry
the token elsewhere. What an answer says is ``range_answers``'.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
import orjson
from numpy.typing import NDArray

from autoscaler.observe.range_answers import AskLater, AskLess, AskNoMore, Span, refusal, values

MOST_ANSWER_BYTES: Final = 8 << 20
GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/monitoring.read"
_PATH: Final = "/api/v1/query_range"

Token = Callable[[], Awaitable[str]]
"""A bearer token that is good now; "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the API is, and as whom it is asked."""

    url: str
    ca_file: str = ""
    token: Token
    timeout_s: float
    selector: str = ""
    """Label matchers that every series asked for must meet: one cluster's, one namespace's."""


class Prometheus:
    """One API, within ``opened``."""

    def __init__(self, address: Address, session: aiohttp.ClientSession) -> None:
        self._url = address.url.rstrip("/") + _PATH
        self._session = session
        self._token = address.token
        self._timeout = aiohttp.ClientTimeout(total=address.timeout_s)
        self._timeout_s = address.timeout_s

    async def ask(self, expression: str, span: Span) -> NDArray[np.float64]:
        """A value for each instant of ``span``. Raises NoAnswer."""
        parameters = {
            "query": expression,
            "start": str(span.first_s),
            "end": str(span.last_s),
            "step": str(span.step_s),
            "timeout": f"{self._timeout_s:g}s",
        }
        try:
            token = await self._token()
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            # GET: Managed Prometheus takes no forms.
            async with self._session.get(
                self._url,
                params=parameters,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                text = await _bounded(answer.content)
                status = answer.status
        except TimeoutError:
            raise AskLess(f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
            raise AskNoMore(f"{type(error).__name__}: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise AskLater(str(error) or type(error).__name__) from None
        document = _document(text)
        if status != 200:
            raise refusal(status, document)
        return values(document, span)


@asynccontextmanager
async def opened(address: Address) -> AsyncIterator[Prometheus]:
    """The API at ``address``. Raises AskNoMore where its CA file is none."""
    trusted: ssl.SSLContext | bool = True
    if address.ca_file:
        try:
            trusted = await asyncio.to_thread(ssl.create_default_context, cafile=address.ca_file)
        except OSError as error:
            raise AskNoMore(f"--prometheus-ca-file {address.ca_file}: {error}") from None
    connector = aiohttp.TCPConnector(ssl=trusted, limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Prometheus(address, session)


def token_of_file(path: str) -> Token:
    """The token in a file, read each time: such tokens are replaced in place. None for ""."""

    async def read() -> str:
        if not path:
            return ""
        return (await asyncio.to_thread(Path(path).read_text)).strip()

    return read


def token_of_google() -> Token:
    """The application-default credentials' token for reading metrics, refreshed as it expires."""
    known: list[Any] = []

    def fresh() -> str:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            if not known:
                known.append(google.auth.default(scopes=[GOOGLE_SCOPE])[0])
            if not known[0].valid:
                make: Any = Request
                known[0].refresh(make())
        except GoogleAuthError as error:
            raise AskLater(f"Google's credentials: {error}") from None
        return str(known[0].token)

    async def ask() -> str:
        return await asyncio.to_thread(fresh)

    return ask


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    text = b""
    while chunk := await content.readany():
        text += chunk
        if len(text) > MOST_ANSWER_BYTES:
            raise AskLess(f"an answer of more than {MOST_ANSWER_BYTES >> 20} MiB")
    return text


def _document(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
