"""One emulated model server on one port: the APIs in front of a ``Replica``.

OpenAI completions, chat, responses and embeddings, Anthropic messages, models, adapters, health,
metrics, and ``/_fault`` to break it. With ``echo`` it only says what it received.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from weakref import WeakSet

import orjson

from load_tests.emulator.adapters import AdapterSlots
from load_tests.emulator.asking import APIS, Asking, Refused, echoed_id
from load_tests.emulator.engine import Engine
from load_tests.emulator.exchange import HttpExchange
from load_tests.emulator.exposition import Gauges
from load_tests.emulator.faults import BadFault, Faults, Metrics, changed, described
from load_tests.emulator.http1 import Connection
from load_tests.emulator.http1_head import Request
from load_tests.emulator.ledger import Ledger
from load_tests.emulator.options import Options
from load_tests.emulator.other_pages import PAGES
from load_tests.emulator.replica import Replica
from load_tests.emulator.wire import (
    openai_error,
)
from loadstar.clock import Clock, SystemClock

BACKLOG = 1024
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class EmulatedServer:
    """Handles the requests of one port; make it inside a running loop."""

    def __init__(self, name: str, options: Options, clock: Clock | None = None) -> None:
        self._name = name
        self._options = options
        self._clock = SystemClock() if clock is None else clock
        self._models = options.models or (options.profile.model.split()[0],)
        self._faults = options.faults
        self._chance = random.Random(f"{options.seed} {name} faults")
        self._ids = itertools.count(1)
        self._connections: WeakSet[Connection] = WeakSet()
        self._boot()

    def _boot(self) -> None:
        """Everything that dies with the process: engine, cache, counters, loaded adapters."""
        options = self._options
        self._loaded = dict.fromkeys(options.adapters, "") if options.max_loras else {}
        self._asking = Asking(options, self._models, self._loaded)
        self._ledger = Ledger(options.profile.api_overhead_s)
        engine = Engine(
            options.profile,
            rng=random.Random(f"{options.seed} {self._name} engine"),
            noise=options.noise,
            adapters=AdapterSlots(options.max_loras) if options.max_loras else None,
        )
        self._page = PAGES[options.engine](
            engine, self._ledger, model=self._models[0], wall=self._clock.wall
        )
        self._frozen = self._page.render()
        self.replica = Replica(engine, self._ledger, self._page, speed=options.speed)
        self._apply(self._faults)

    def connection(self) -> Connection:
        """The protocol of one more client."""
        headers = f"server: emulated\r\nx-served-by: {self._name}\r\n"
        connection = Connection(self.handle, headers)
        self._connections.add(connection)
        return connection

    def handle(self, request: Request, connection: Connection) -> None:
        """Answer ``request`` on ``connection``, now or when the engine is done."""
        if self._options.echo and request.path != "/_fault":
            self._echo(request, connection)
            return
        if request.path in APIS and request.method == "POST":
            self._generate(request, connection)
            return
        match request.method, request.path:
            case "GET" | "HEAD", "/health" | "/ping" | "/v1/health/ready" | "/v2/health/ready":
                sick = self._faults.unhealthy
                connection.respond(503 if sick else 200, b"", JSON)
            case "GET" | "HEAD", "/metrics":
                self._metrics(connection)
            case "GET", "/v1/models":
                connection.respond(200, self._list_models())
            case "GET", "/version":
                connection.respond(200, b'{"version":"0.32.0"}')
            case "POST", "/v1/load_lora_adapter" | "/v1/unload_lora_adapter":
                self._change_adapter(request, connection)
            case "GET", "/_stats":
                connection.respond(200, orjson.dumps(self._stats()))
            case "GET" | "POST" | "DELETE", "/_fault":
                self._fault(request, connection)
            case _:
                known = request.path in APIS
                status = HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND
                connection.respond(status, orjson.dumps({"detail": status.phrase}))

    def close(self) -> None:
        """Stop the engine and break what is left of the connections."""
        self.replica.close()
        for connection in list(self._connections):
            connection.abort()

    def _echo(self, request: Request, connection: Connection) -> None:
        said = {
            "served_by": self._name,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": dict(request.headers),
            "length": len(request.body),
            "sha256": hashlib.sha256(request.body).hexdigest(),
        }
        connection.respond(200, orjson.dumps(said), JSON, echoed_id(request))

    def _generate(self, request: Request, connection: Connection) -> None:
        if self._chance.random() < self._faults.error_rate:
            status = self._faults.error_status
            message = "this server was told to fail"
            error = openai_error(status, "InternalServerError", message)
            connection.respond(status, error, JSON, echoed_id(request))
            return
        try:
            name = f"{self._name}-{next(self._ids)}"
            ask = self._asking.ask(request, name=name, created=int(self._clock.wall()))
        except Refused as refused:
            body = openai_error(refused.status, refused.kind, str(refused), refused.param)
            connection.respond(refused.status, body, JSON, echoed_id(request))
            return
        drop_after = None
        if self._chance.random() < self._faults.drop_rate:
            drop_after = self._faults.drop_after_tokens
        exchange = HttpExchange(
            ask,
            connection,
            self.replica,
            self._ledger,
            token_batch=self._options.token_batch,
            drop_after_tokens=drop_after,
        )
        exchange.begin(self._options.profile.api_overhead_s / self._options.speed)

    def _metrics(self, connection: Connection) -> None:
        delay = self._faults.metrics_delay_s
        if delay:
            self.replica.later(delay, lambda: self._answer_metrics(connection))
        else:
            self._answer_metrics(connection)

    def _answer_metrics(self, connection: Connection) -> None:
        if self._faults.metrics is Metrics.ERROR:
            connection.respond(500, b"told to fail", TEXT)
        elif self._faults.metrics is not Metrics.SILENT:
            connection.respond(200, self._metrics_page(), self._page.content_type)

    def _metrics_page(self) -> bytes:
        match self._faults.metrics:
            case Metrics.MISSING:
                return self._page.render(Gauges.MISSING)
            case Metrics.NAN:
                return self._page.render(Gauges.NAN)
            case Metrics.FROZEN:
                return self._frozen
            case Metrics.GARBAGE:
                return b"<html>\xff\x00 vllm:num_requests_waiting{ 1.0 \n</html>"
            case _:
                return self._page.render()

    def _list_models(self) -> bytes:
        created = int(self._clock.wall())
        parent = self._models[0]
        room = self._options.max_model_tokens
        common = {"object": "model", "created": created, "owned_by": "vllm"}
        own: list[dict[str, Any]] = [
            {"id": name, **common, "root": name, "parent": None, "max_model_len": room}
            for name in self._models
        ]
        own += [
            {"id": name, **common, "root": path, "parent": parent}
            for name, path in self._loaded.items()
        ]
        return orjson.dumps({"object": "list", "data": own})

    def _change_adapter(self, request: Request, connection: Connection) -> None:
        try:
            body = orjson.loads(request.body)
            name = body["lora_name"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            message = "'lora_name' and 'lora_path' are needed"
            connection.respond(400, openai_error(400, "InvalidUserInput", message))
            return
        if not self._options.max_loras:
            message = "adapters are not enabled: start with --max-loras"
            connection.respond(404, openai_error(404, "NotFoundError", message))
        elif request.path == "/v1/load_lora_adapter":
            self._loaded[name] = str(body.get("lora_path", ""))
            connection.respond(200, f"Success: LoRA adapter '{name}' added.".encode(), TEXT)
        elif self._loaded.pop(name, None) is None:
            message = f"the adapter '{name}' is not loaded"
            connection.respond(404, openai_error(404, "NotFoundError", message))
        else:
            connection.respond(200, f"Success: LoRA adapter '{name}' removed.".encode(), TEXT)

    def _stats(self) -> dict[str, Any]:
        """How the emulator itself fares: a large lag means that this machine was too busy."""
        engine = self.replica.engine
        return {
            "worst_lag_s": self.replica.worst_lag_s,
            "steps": self.replica.steps,
            "running": engine.running,
            "waiting": engine.waiting,
            "kv_used": engine.kv_used,
            "prefix_queries": engine.prefix_queries,
            "prefix_hits": engine.prefix_hits,
            "preemptions": engine.preemptions,
            "finished": dict(self._ledger.finished),
            "generation_tokens": self._ledger.generation_tokens,
            "prompt_tokens": self._ledger.prompt_tokens,
        }

    def _fault(self, request: Request, connection: Connection) -> None:
        """GET shows the faults, POST changes some, DELETE mends all; ``restart`` is an act."""
        try:
            wanted = orjson.loads(request.body) if request.method == "POST" else {}
            if not isinstance(wanted, dict):
                raise BadFault("an object of faults is needed")
            restart = wanted.pop("restart", False)
            base = Faults() if request.method == "DELETE" else self._faults
            faults = changed(base, wanted)
        except (orjson.JSONDecodeError, BadFault) as e:
            connection.respond(400, orjson.dumps({"error": str(e)}))
            return
        self._apply(faults)
        if restart:
            self._restart(spare=connection)
        connection.respond(200, orjson.dumps(described(faults)))

    def _restart(self, spare: Connection) -> None:
        """Die and come back at once; only the client that asked for it keeps its connection."""
        self.replica.close()
        for connection in set(self._connections) - {spare}:
            connection.abort()
        self._boot()

    def _apply(self, faults: Faults) -> None:
        if faults.metrics is Metrics.FROZEN and self._faults.metrics is not Metrics.FROZEN:
            self._frozen = self._page.render()
        self._faults = faults
        self.replica.engine.slowness = faults.slowness
        self.replica.stall(faults.stalled)


@asynccontextmanager
async def listening(host: str, port: int, options: Options) -> AsyncIterator[EmulatedServer]:
    """An emulated server on ``host:port`` for as long as the scope lasts. Raises OSError."""
    emulated = EmulatedServer(f"{host}:{port}", options)
    server = await asyncio.get_running_loop().create_server(
        emulated.connection, host, port, backlog=BACKLOG
    )
    try:
        yield emulated
    finally:
        server.close()
        emulated.close()
