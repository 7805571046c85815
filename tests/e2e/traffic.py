"""A client of the Gateway: it names the endpoints that may serve, and reads who did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import urllib3

from tests.controlplane.processes import wait_until
from tests.e2e.gateway_api import GATEWAY_IP, GATEWAY_PORT

SELECTION = "test-epp-endpoint-selection"
TOLD = "x-conformance-test-served-endpoint"
SERVED_BY = "x-served-by"
CONCURRENCY = 10
TIMEOUT_SECONDS = 10.0
SETTLE_SECONDS = 30.0
"""For a change to have reached Istio, Envoy and the picker."""
SHORT = json.dumps({"model": "m", "prompt": "hello", "max_tokens": 2}).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and from where."""

    status: int
    served_by: str | None
    """What the model server calls itself: ``ip:port``."""
    told: str | None
    """What the picker tells the client of who served, as it heard from Envoy."""
    body: bytes


class Client:
    """Sends to one hostname of the Gateway."""

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname
        self._pool = urllib3.HTTPConnectionPool(
            GATEWAY_IP, GATEWAY_PORT, maxsize=CONCURRENCY, timeout=TIMEOUT_SECONDS, retries=False
        )

    def close(self) -> None:
        self._pool.close()

    def ask(
        self,
        to: Iterable[str] = (),
        *,
        method: str = "POST",
        path: str = "/v1/completions",
        body: bytes | None = SHORT,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request that may go to any of ``to``: ``ip``, or ``ip:port``."""
        sent = {"Host": self._hostname, "Content-Type": "application/json", **(headers or {})}
        named = ",".join(to)
        if named:
            sent[SELECTION] = named
        answer = self._pool.request(method, path, body=body, headers=sent)
        found = answer.headers
        return Answer(answer.status, found.get(SERVED_BY), found.get(TOLD), answer.data)

    def ask_many(self, count: int, to: Iterable[str] = ()) -> list[Answer]:
        """``count`` requests, ten at a time."""
        named = tuple(to)
        with ThreadPoolExecutor(CONCURRENCY) as threads:
            return list(threads.map(lambda _: self.ask(named), range(count)))


def statuses(answers: Iterable[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def servers(answers: Iterable[Answer]) -> Counter[str | None]:
    return Counter(answer.served_by for answer in answers)


def until_followed(client: Client, endpoint: str) -> None:
    """Return once picks of ``endpoint`` are followed (again)."""
    wait_until(
        lambda: servers(client.ask_many(5, [endpoint])) == {endpoint: 5},
        within_s=SETTLE_SECONDS,
        what=f"requests for {endpoint} are served there",
    )
