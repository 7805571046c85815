"""Questions to the metrics adapter, as an HPA asks them: told as ``curl``, and asked. IO."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
import orjson

from load_tests.day.terms import MODEL

NAMESPACE: Final = "default"
EXTERNAL: Final = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}"
CUSTOM: Final = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}"
QUESTIONS: Final = (
    f"{EXTERNAL}/requests_per_second",
    f"{CUSTOM}/pods/*/kv_cache_utilization_percent",
    f"{CUSTOM}/pods/*/queue_depth",
    f"{CUSTOM}/deployments.apps/{MODEL}/desired_replicas",
)
ANSWER_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """To one question; ``said`` is empty where it was not answered with a value."""

    command: str
    said: str


def value(body: bytes) -> str:
    """The values of a list of metric values, with spaces between; "" where it is none."""
    try:
        items = orjson.loads(body)["items"]
        return " ".join(str(item["value"]) for item in items)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


async def ask(url: str, questions: Sequence[str] = QUESTIONS) -> list[Answer]:
    """Ask each of ``questions``. The certificate is one that the adapter made for itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    found = []
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for question in questions:
            asked = url + question
            try:
                async with session.get(asked, ssl=context) as answer:
                    body = await answer.read()
                    said = value(body) if answer.status == 200 else ""
            except (aiohttp.ClientError, OSError, TimeoutError):
                said = ""
            found.append(Answer(f"curl -sk '{asked}'", said))
    return found
