"""A source that is a Prometheus-compatible API: Prometheus, Managed Prometheus, Thanos. IO.

Each rule is one query every interval, whoever asks for its metric; samples keep Prometheus' own
times. It is for what comes from nowhere else: what gateways and pods say themselves is fresher.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from loadstar.clock import Clock
from metrics_adapter.adapter_config import PrometheusSource, PromqlRule
from metrics_adapter.query import Column, Published, Row, column
from metrics_adapter.sources.promql_answers import described, rows
from metrics_adapter.store import Store, TooMuch

log = logging.getLogger(__name__)

MOST_ANSWER_BYTES: Final = 32 << 20
_QUERY_PATH: Final = "/api/v1/query"


class Promql:
    """Asks the queries of its rules, one after another, every interval."""

    def __init__(self, config: PrometheusSource, clock: Clock) -> None:
        """Raises ValueError for a rule about objects that are not known here."""
        for rule in config.rules:
            described(rule)
        self.name = f"prometheus {config.url}"
        self._config = config
        self._clock = clock
        self._rows: dict[PromqlRule, list[Row]] = {}
        self._failing: dict[str, str] = {}

    @property
    def problem(self) -> str:
        """Which queries fail, and why."""
        return "; ".join(f"{metric}: {why}" for metric, why in sorted(self._failing.items()))

    async def run(self, store: Store) -> None:
        """Publish to ``store`` until cancelled."""
        connector = aiohttp.TCPConnector(ssl=await self._tls())
        timeout = aiohttp.ClientTimeout(total=self._config.timeout)
        with store.slot(self.name) as slot:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                while True:
                    began = self._clock.now()
                    for rule in self._config.rules:
                        await self._ask(session, rule)
                    try:
                        slot.publish(self._published(), self._clock.wall())
                    except TooMuch as error:
                        log.error("answers are not all kept: %s", error)
                    took = self._clock.now() - began
                    await asyncio.sleep(max(self._config.interval - took, 1.0))

    async def _ask(self, session: aiohttp.ClientSession, rule: PromqlRule) -> None:
        url = self._config.url.rstrip("/") + _QUERY_PATH
        try:
            headers = await self._headers()
            async with session.post(
                url, data={"query": rule.query}, headers=headers, allow_redirects=False
            ) as answer:
                text = await answer.content.read(MOST_ANSWER_BYTES + 1)
                while chunk := await answer.content.read(MOST_ANSWER_BYTES):
                    text += chunk
                    if len(text) > MOST_ANSWER_BYTES:
                        raise ValueError(f"an answer of more than {MOST_ANSWER_BYTES} bytes")
            self._rows[rule] = rows(rule, orjson.loads(text))
            self._failing.pop(rule.metric, None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            why = (str(error) or type(error).__name__)[:300]
            if self._failing.get(rule.metric) != why:
                log.warning("%s: %s as last known: %s", self.name, rule.metric, why)
            self._failing[rule.metric] = why

    async def _headers(self) -> dict[str, str]:
        headers = dict(self._config.headers)
        if self._config.token_file:
            # Read each time: such tokens are short-lived and replaced in place.
            token = await asyncio.to_thread(Path(self._config.token_file).read_text)
            headers["Authorization"] = f"Bearer {token.strip()}"
        return headers

    def _published(self) -> Published:
        found: dict[tuple[str, str], tuple[Column, ...]] = {}
        for rule, known in self._rows.items():
            if known:
                resource = described(rule)
                key = str(resource), rule.metric
                found[key] = (*found.get(key, ()), column(resource, known))
        return Published(found)

    async def _tls(self) -> ssl.SSLContext | bool:
        if not self._config.ca_file:
            return True
        return await asyncio.to_thread(ssl.create_default_context, cafile=self._config.ca_file)
