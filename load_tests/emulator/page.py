"""The /metrics page of vLLM 0.32 as an emulated server shows it: every family, its labels, order.

The families are the engine's interface; values come from an ``Engine`` and its ``Ledger``. What an
emulated engine has none of (multi-modal cache, external KV) is there and stays zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from load_tests.emulator.engine import Engine
from load_tests.emulator.exposition import Gauges, Sheet, labels, number
from load_tests.emulator.host_families import add_http, add_process
from load_tests.emulator.ledger import Histogram, Ledger
from load_tests.emulator.profiles import BLOCK_TOKENS

LORA_SERIES_KEPT = 256
"""vLLM never drops an old label set of its adapter series; we do, after this many."""

Histograms = tuple[tuple[str, str, Histogram], ...]


class VllmPage:
    """One server's page. ``created_at`` is Unix seconds; so is what ``wall`` returns."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self, engine: Engine, ledger: Ledger, *, model: str, wall: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._wall = wall
        self._created = wall()
        self._of = {"engine": "0", "model_name": model}
        self._adapters: dict[tuple[str, str], float] = {}
        self._sheet = Sheet()
        add_process(self._sheet, self._created)
        self._work()
        self._state()
        self._caches()
        self._requests()
        self._histograms(self._sizes())
        self._histograms(self._latencies())
        self._adapter_info()
        self._config()
        add_http(self._sheet, ledger, self._created)

    def render(self, gauges: Gauges = Gauges.TRUE) -> bytes:
        self._sheet.gauges = gauges
        return self._sheet.render().encode()

    def note_adapters(self) -> None:
        """Stamp the series of the adapters at work now; call it when that may have changed."""
        slots = self._engine.adapters
        if slots is None:
            return
        running = slots.running
        # As vLLM 0.32 does: both labels list every adapter that runs or waits.
        names = ",".join(dict.fromkeys([*running, *self._engine.waiting_adapters]))
        self._adapters.pop((names, names), None)
        self._adapters[names, names] = self._wall()
        if len(self._adapters) > LORA_SERIES_KEPT:
            del self._adapters[next(iter(self._adapters))]

    def _with(self, **more: str) -> str:
        return labels({**self._of, **more})

    def _work(self) -> None:
        for name, about in (
            ("vllm:estimated_flops_per_gpu", "Floating point operations per GPU, estimated."),
            ("vllm:estimated_read_bytes_per_gpu", "Bytes read from memory per GPU, estimated."),
            ("vllm:estimated_write_bytes_per_gpu", "Bytes written to memory, estimated."),
        ):
            self._never(name, about)

    def _state(self) -> None:
        sheet, engine, of = self._sheet, self._engine, self._with()
        sheet.load(
            "vllm:num_requests_running",
            "Requests in the batches that the model executes.",
            [(of, lambda: engine.running)],
        )
        sheet.load(
            "vllm:num_requests_waiting",
            "Requests that wait to be processed.",
            [(of, lambda: engine.waiting)],
        )
        sheet.load(
            "vllm:num_requests_waiting_by_reason",
            "Waiting requests by reason: 'capacity' waits for room in the schedule, 'deferred' for "
            "something transient such as an adapter slot. The reasons add up to all that wait.",
            [
                (self._with(reason="capacity"), lambda: engine.waiting - engine.deferred),
                (self._with(reason="deferred"), lambda: engine.deferred),
            ],
        )
        states = {"awake": 1.0, "weights_offloaded": 0.0, "discard_all": 0.0}
        sheet.constant(
            "vllm:engine_sleep_state",
            "gauge",
            "Whether the engine sleeps, and how deep; awake 1 means that it does not.",
            {self._with(sleep_state=state): value for state, value in states.items()},
        )
        sheet.load(
            "vllm:kv_cache_usage_perc",
            "Share of the KV cache in use; 1 is all of it.",
            [(of, lambda: engine.kv_used)],
        )

    def _caches(self) -> None:
        sheet, engine, ledger, of = self._sheet, self._engine, self._ledger, self._with()
        queries = "Tokens looked up in the prefix cache."
        hits = "Tokens found in the prefix cache."
        self._count("vllm:prefix_cache_queries", queries, lambda: engine.prefix_queries)
        self._count("vllm:prefix_cache_hits", hits, lambda: engine.prefix_hits)
        for name, about in (
            ("vllm:external_prefix_cache_queries", "Tokens looked up in other servers' caches."),
            ("vllm:external_prefix_cache_hits", "Tokens found in other servers' caches."),
            ("vllm:mm_cache_queries", "Items looked up in the multi-modal cache."),
            ("vllm:mm_cache_hits", "Items found in the multi-modal cache."),
        ):
            self._never(name, about)
        preempted = "Times a request was preempted."
        self._count("vllm:num_preemptions", preempted, lambda: engine.preemptions)
        self._count("vllm:prompt_tokens", "Prompt tokens processed.", lambda: ledger.prompt_tokens)
        sheet.counter(
            "vllm:prompt_tokens_by_source",
            "Prompt tokens by where their KV came from.",
            [
                (
                    self._with(source="local_compute"),
                    lambda: ledger.prompt_tokens - ledger.cached_prompt_tokens,
                ),
                (self._with(source="local_cache_hit"), lambda: ledger.cached_prompt_tokens),
                (self._with(source="external_kv_transfer"), _zero),
            ],
            self._created,
        )
        cached = "Prompt tokens whose KV was cached, here or elsewhere."
        self._count("vllm:prompt_tokens_cached", cached, lambda: ledger.cached_prompt_tokens)
        tiers = ("host", "p2p", "disk", "external_unspecified")
        sheet.counter(
            "vllm:prompt_tokens_cached_by_source",
            "Cached prompt tokens by the tier that had them: device memory, host memory, disk, "
            "another instance (p2p) or not said.",
            [
                (self._with(source="device"), lambda: ledger.cached_prompt_tokens),
                *((self._with(source=tier), _zero) for tier in tiers),
            ],
            self._created,
        )
        generated = "Tokens generated."
        sheet.counter(
            "vllm:generation_tokens",
            generated,
            [(of, lambda: ledger.generation_tokens)],
            self._created,
        )

    def _requests(self) -> None:
        finished = self._ledger.finished
        reasons = ("stop", "length", "abort", "error", "repetition")
        self._sheet.counter(
            "vllm:request_success",
            "Requests processed, by how they ended.",
            [(self._with(finished_reason=r), partial(finished.__getitem__, r)) for r in reasons],
            self._created,
        )
        model = self._of["model_name"]
        limits = ("max_num_queued_reqs", "max_num_queued_tokens")
        self._sheet.counter(
            "vllm:admission_rejections",
            "Requests refused because the queue was at a limit.",
            [(labels({"model_name": model, "reason": limit}), _zero) for limit in limits],
            self._created,
        )

    def _sizes(self) -> Histograms:
        ledger = self._ledger
        return (
            ("request_prompt_tokens", "Prompt tokens.", ledger.request_prompt_tokens),
            ("request_generation_tokens", "Tokens generated.", ledger.request_generation_tokens),
            ("iteration_tokens_total", "Tokens in one engine step.", ledger.step_tokens),
            (
                "request_max_num_generation_tokens",
                "Most generation tokens asked for.",
                ledger.request_max_tokens,
            ),
            ("request_params_n", "The request parameter n.", ledger.request_choices),
            (
                "request_params_max_tokens",
                "The request parameter max_tokens.",
                ledger.request_max_tokens,
            ),
        )

    def _latencies(self) -> Histograms:
        ledger = self._ledger
        return (
            ("time_to_first_token_seconds", "Time to the first token.", ledger.first_token_s),
            ("inter_token_latency_seconds", "Time between tokens.", ledger.inter_token_s),
            (
                "request_time_per_output_token_seconds",
                "A request's mean time per output token after the first.",
                ledger.per_output_token_s,
            ),
            ("e2e_request_latency_seconds", "Whole requests.", ledger.e2e_s),
            ("request_queue_time_seconds", "Time waiting.", ledger.queue_s),
            ("request_inference_time_seconds", "Time running.", ledger.inference_s),
            ("request_prefill_time_seconds", "Time in prefill.", ledger.prefill_s),
            ("request_decode_time_seconds", "Time in decode.", ledger.decode_s),
            ("request_num_preemptions", "Preemptions of a request.", ledger.request_preemptions),
            (
                "request_prefill_kv_computed_tokens",
                "Prompt tokens computed, without cached ones.",
                ledger.request_computed_tokens,
            ),
        )

    def _histograms(self, histograms: Histograms) -> None:
        for name, about, histogram in histograms:
            self._sheet.histogram(
                f"vllm:{name}", f"Histogram. {about}", self._of, histogram, self._created
            )

    def _adapter_info(self) -> None:
        slots = self._engine.adapters
        if slots is None:
            return
        name = "vllm:lora_requests_info"
        head = f"# HELP {name} Adapters at work, and when.\n# TYPE {name} gauge\n"
        most = str(slots.slots)

        def text() -> str:
            # Old label sets stay: a reader takes the one with the largest value.
            return head + "".join(
                f"{name}{labels(_adapter_labels(most, *names))} {number(at)}\n"
                for names, at in sorted(self._adapters.items())
            )

        self._sheet.text(text)

    def _config(self) -> None:
        engine = self._engine
        settings = {
            "block_size": str(BLOCK_TOKENS),
            "cache_dtype": "auto",
            "effective_attention_block_size": str(BLOCK_TOKENS),
            "enable_prefix_caching": "True",
            "engine": "0",
            "gpu_memory_utilization": "0.92",
            "kv_cache_size_tokens": str(engine.profile.kv_tokens),
            "kv_offloading_backend": "native",
            "kv_offloading_size": "None",
            "num_cpu_blocks": "None",
            "num_gpu_blocks": str(engine.profile.kv_blocks),
            "num_gpu_blocks_override": "None",
            "prefix_caching_hash_algo": "sha256",
            "sliding_window": "None",
            "user_specified_block_size": "False",
        }
        about = "Settings of the KV cache."
        self._sheet.constant("vllm:cache_config_info", "gauge", about, {labels(settings): 1.0})

    def _count(self, name: str, about: str, read: Callable[[], float]) -> None:
        self._sheet.counter(name, about, [(self._with(), read)], self._created)

    def _never(self, name: str, about: str) -> None:
        """A counter of something that an emulated engine does not have."""
        self._sheet.constant(f"{name}_total", "counter", about, {self._with(): 0.0})
        self._sheet.constant(f"{name}_created", "gauge", about, {self._with(): self._created})


def _adapter_labels(most: str, running: str, waiting: str) -> dict[str, str]:
    return {
        "max_lora": most,
        "running_lora_adapters": running,
        "waiting_lora_adapters": waiting,
    }


def _zero() -> float:
    return 0.0
