"""What a pick costs as the pool grows: CPU of one routed request, in one process, no socket.

``python -m load_tests.picking [--endpoints 8,100,1000,8000] [--json]`` builds the gateway's own
parts with the default profile, gives every endpoint signals that differ, and lets Envoy's messages
for a 4 KB prompt that nobody has seen run through session, director and scheduler. What grows with
the pool is scoring and nothing else. Pools take turns; the least of several batches counts. Exit
status 1 if 1,000 endpoints cost more than the bound above 8.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.config.command_line import parse
from gateway.datalayer.extract.load import EndpointLoad
from gateway.main import build
from gateway.request.model import Ending
from gateway.running import Gateway, settle
from loadstar.clock import Clock, SystemClock
from protos.extproc.v3.external_processor_pb2 import ProcessingRequest

BATCHES = 9
PICKS = 300
PROMPT_WORDS = 800
BOUND_US = 60.0
"""A pick among 1,000 endpoints may cost this much more than one among 8."""
SIGNALS_EVERY = 50
"""Picks between two reports of every endpoint: none may grow stale."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One size of pool."""

    endpoints: int
    us_per_request: float
    us_more_than_smallest: float


class Pool:
    """A gateway over so many endpoints that all have been scraped."""

    def __init__(self, endpoints: int, folder: Path, clock: Clock) -> None:
        self.endpoints = endpoints
        self.least_us = float("inf")
        self._clock = clock
        self._rng = random.Random(endpoints)
        listed = folder / f"endpoints-{endpoints}.json"
        rows = [
            {"name": f"s-{i}", "address": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", "port": "8000"}
            for i in range(endpoints)
        ]
        listed.write_text(json.dumps({"endpoints": rows}))
        config = {
            "apiVersion": "llm-d.ai/v1alpha1",
            "kind": "EndpointPickerConfig",
            "plugins": [{"type": "file-discovery", "parameters": {"path": str(listed)}}],
            "dataLayer": {"discovery": {"pluginRef": "file-discovery"}},
        }
        flags, _ = parse(
            ["--secure-serving=false", "--workers=1", f"--config-text={json.dumps(config)}"]
        )
        self._gateway: Gateway = build(flags, {}, clock, None)

    async def load(self) -> None:
        """Find the endpoints and report signals of each."""
        await self._gateway.discovery.load(self._gateway.store)
        self.report()

    def report(self) -> None:
        """Signals of every endpoint, as a scrape would bring them."""
        now, rng = self._clock.now(), self._rng
        for endpoint in self._gateway.store.state.endpoints:
            load = EndpointLoad(rng.randrange(9), rng.randrange(40), rng.random(), 20_000, 16)
            self._gateway.store.observed(endpoint, load, now)

    def batch(self) -> None:
        """Route ``PICKS`` requests; remember the least CPU."""
        spent = 0.0
        for done in range(PICKS):
            if done % SIGNALS_EVERY == 0:
                self.report()
            messages = _request(self._rng)
            conductor = self._gateway.hosted.new_conductor()
            started = time.process_time()
            answers = [conductor.on_payload(message) for message in messages]
            conductor.close(Ending.CLIENT_GONE)
            spent += time.process_time() - started
            if not any(answers):
                raise RuntimeError("nothing was routed")
        self.least_us = min(self.least_us, 1e6 * spent / PICKS)


def _request(rng: random.Random) -> tuple[bytes, bytes]:
    """Envoy's two messages about a completion whose prompt nobody has seen."""
    prompt = " ".join(f"{rng.randrange(10_000):04d}" for _ in range(PROMPT_WORDS))
    items = [
        (":path", "/v1/completions"),
        (":method", "POST"),
        ("content-type", "application/json"),
    ]
    headers = ProcessingRequest(
        request_headers={
            "headers": {"headers": [{"key": k, "raw_value": v.encode()} for k, v in items]}
        },
        protocol_config={
            "request_body_mode": "FULL_DUPLEX_STREAMED",
            "response_body_mode": "FULL_DUPLEX_STREAMED",
        },
    )
    body = json.dumps({"model": "llama", "prompt": prompt, "max_tokens": 64}).encode()
    whole = ProcessingRequest(request_body={"body": body, "end_of_stream": True})
    return headers.SerializeToString(), whole.SerializeToString()


async def measure(sizes: Sequence[int]) -> list[Figure]:
    """One figure for each size, smallest first."""
    with tempfile.TemporaryDirectory() as folder:
        pools = [Pool(size, Path(folder), SystemClock()) for size in sorted(sizes)]
        for pool in pools:
            await pool.load()
        settle()
        for _ in range(BATCHES):
            for pool in pools:
                pool.batch()
    smallest = pools[0].least_us
    return [Figure(p.endpoints, p.least_us, p.least_us - smallest) for p in pools]


def _table(figures: Sequence[Figure]) -> str:
    lines = ["endpoints  us a request  more than the smallest pool"]
    lines += [
        f"{f.endpoints:9d}  {f.us_per_request:12.1f}  {f.us_more_than_smallest:12.1f}"
        for f in figures
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--endpoints", default="8,100,1000,8000", help="sizes of the pool")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(measure([int(part) for part in arguments.endpoints.split(",")]))
    print(json.dumps([asdict(f) for f in figures]) if arguments.json else _table(figures))
    kept = all(f.us_more_than_smallest <= BOUND_US for f in figures if f.endpoints <= 1000)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
