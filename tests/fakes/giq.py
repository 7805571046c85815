"""The Inference Quickstart recommender on a real port, with engines whose step times are known.

Pages as it pages, prices as it prices: an hour's price shared over tokens. Refuses as Google does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BASE_S, SLOPE_S, PREFILL_S = 0.012, 0.00015, 0.00008
INPUT, OUTPUT = 512.0, 128.0
PRICE_PER_HOUR = 3.6
RATES = (0.25, 1.0, 3.0, 6.0, 10.0, 13.0)
MODEL = "google/gemma-2-9b-it"


def stats(rate: float, *, slower: float = 1.0) -> dict[str, Any]:
    """One load on an engine, in the recommender's whole milliseconds."""
    busy = slower * (SLOPE_S * rate * (OUTPUT - 1) + PREFILL_S * rate * INPUT)
    tpot_s = slower * BASE_S / (1.0 - busy)
    ttft_s = tpot_s / 2 + slower * PREFILL_S * INPUT
    ntpot_s = (ttft_s + tpot_s * (OUTPUT - 1)) / OUTPUT
    per_million = PRICE_PER_HOUR / 3600 / (rate * (INPUT / 4.0 + OUTPUT)) * 1e6
    return {
        "queriesPerSecond": rate,
        "outputTokensPerSecond": round(rate * OUTPUT),
        "ntpotMilliseconds": round(ntpot_s * 1e3),
        "ttftMilliseconds": round(ttft_s * 1e3),
        "cost": [
            {
                "costPerMillionOutputTokens": {
                    "units": str(int(per_million)),
                    "nanos": int(per_million % 1 * 1e9),
                },
                "pricingModel": "on-demand",
                "outputInputCostRatio": 4,
            }
        ],
    }


def profile(
    accelerator: str = "nvidia-l4", rates: tuple[float, ...] = RATES, **more: Any
) -> dict[str, Any]:
    """One setup with what was measured of it."""
    return {
        "modelServerInfo": {"model": MODEL, "modelServer": "vllm", "modelServerVersion": "v0.7.2"},
        "acceleratorType": accelerator,
        "instanceType": "g2-standard-12" if accelerator == "nvidia-l4" else "a3-highgpu-1g",
        "resourcesUsed": {"acceleratorCount": 1},
        "workloadSpec": {
            "averageInputLength": INPUT,
            "averageOutputLength": OUTPUT,
            "useCase": "code completion",
        },
        "performanceStats": [stats(rate) for rate in rates],
        **more,
    }


class FakeGiq:
    """``faults`` are answered first, one a request: (status, error details, headers)."""

    def __init__(self, profiles: list[dict[str, Any]] | None = None) -> None:
        self.profiles = [profile(), profile("nvidia-h100-80gb")] if profiles is None else profiles
        self.faults: list[tuple[int, Mapping[str, Any], Mapping[str, str]]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.url = ""

    def answer(self, verb: str, body: dict[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """The status and document of one request."""
        page = int(body.get("pageToken", 0))
        if verb == "models:fetch":
            return 200, {"models": sorted({p["modelServerInfo"]["model"] for p in self.profiles})}
        if verb == "profiles:fetch":
            found = [p for p in self.profiles if p["modelServerInfo"]["model"] == body["model"]]
            best = [{**p, "performanceStats": p["performanceStats"][-1:]} for p in found]
            more = {"nextPageToken": str(page + 1)} if page + 1 < len(best) else {}
            return 200, {"profile": best[page : page + 1], **more}
        if verb == "benchmarkingData:fetch":
            info = body["modelServerInfo"]
            found = [p for p in self.profiles if p["modelServerInfo"] == info]
            # One profile a load, as it likes to answer.
            split = [{**p, "performanceStats": [s]} for p in found for s in p["performanceStats"]]
            return 200, {"profile": split}
        return 404, {"error": {"code": 404, "message": f"no {verb}"}}


@contextmanager
def serving(fake: FakeGiq) -> Iterator[FakeGiq]:
    """``fake`` on a loopback port, in ``fake.url``."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else {}
            verb = self.path.partition("/v1/")[2].partition("?")[0]
            fake.asked.append((verb, body))
            headers: Mapping[str, str] = {}
            if fake.faults:
                status, document, headers = fake.faults.pop(0)
            else:
                status, document = fake.answer(verb, body)
            data = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _do

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
