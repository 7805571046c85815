"""The /metrics pages of engines other than vLLM, as far as a router or an autoscaler reads them.

Names and labels are each engine's own; the load behind them is the same emulated engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from load_tests.emulator.engine import Engine
from load_tests.emulator.exposition import Gauges, Sheet, labels
from load_tests.emulator.ledger import Ledger
from load_tests.emulator.page import VllmPage
from load_tests.emulator.profiles import BLOCK_TOKENS


class Page(Protocol):
    """One server's metrics page."""

    content_type: str

    def render(self, gauges: Gauges = Gauges.TRUE) -> bytes: ...

    def note_adapters(self) -> None:
        """Take note of the adapters at work now, where the page tells of them."""
        ...


class MakePage(Protocol):
    def __call__(
        self, engine: Engine, ledger: Ledger, *, model: str, wall: Callable[[], float]
    ) -> Page: ...


class _SheetPage:
    """What the pages here have in common: a sheet filled once."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self, engine: Engine, ledger: Ledger, *, model: str, wall: Callable[[], float]
    ) -> None:
        self.engine = engine
        self.ledger = ledger
        self.model = model
        self.sheet = Sheet()
        self.fill()

    def fill(self) -> None:
        """Add the families to ``self.sheet``."""

    def render(self, gauges: Gauges = Gauges.TRUE) -> bytes:
        self.sheet.gauges = gauges
        return self.sheet.render().encode()

    def note_adapters(self) -> None:
        return


class SglangPage(_SheetPage):
    def fill(self) -> None:
        sheet, engine, ledger = self.sheet, self.engine, self.ledger
        pairs = {"engine_type": "unified", "model_name": self.model, "tp_rank": "0", "pp_rank": "0"}
        of = labels(pairs)
        queue, running = "Requests in the waiting queue.", "Requests that run."
        sheet.load("sglang:num_queue_reqs", queue, [(of, lambda: engine.waiting)])
        sheet.load("sglang:num_running_reqs", running, [(of, lambda: engine.running)])
        sheet.load("sglang:token_usage", "Share of the KV in use.", [(of, lambda: engine.kv_used)])
        sheet.load("sglang:cache_hit_rate", "Prefix cache hit rate.", [(of, self._hit_rate)])
        sheet.constant(
            "sglang:cache_config_info",
            "gauge",
            "Settings of the KV cache.",
            {
                labels(
                    {
                        **pairs,
                        "num_pages": str(engine.profile.kv_blocks),
                        "page_size": str(BLOCK_TOKENS),
                    }
                ): 1.0
            },
        )
        for name, about, read in (
            ("sglang:prompt_tokens", "Prompt tokens.", lambda: ledger.prompt_tokens),
            ("sglang:generation_tokens", "Tokens generated.", lambda: ledger.generation_tokens),
            ("sglang:num_requests", "Requests done.", lambda: sum(ledger.finished.values())),
        ):
            sheet.counter(name, about, [(of, read)], None)
        for name, about, histogram in (
            ("sglang:time_to_first_token_seconds", "Time to first token.", ledger.first_token_s),
            ("sglang:inter_token_latency_seconds", "Time between tokens.", ledger.inter_token_s),
            ("sglang:e2e_request_latency_seconds", "Whole requests.", ledger.e2e_s),
        ):
            sheet.histogram(name, about, pairs, histogram, None)

    def _hit_rate(self) -> float:
        asked = self.engine.prefix_queries
        return self.engine.prefix_hits / asked if asked else 0.0


class JetstreamPage(_SheetPage):
    def fill(self) -> None:
        sheet, engine, ledger = self.sheet, self.engine, self.ledger
        pairs = {"id": "jetstream-0", "model_name": self.model.replace("-", "_")}
        of = labels(pairs)
        slots = engine.profile.max_sequences
        for name in ("jetstream_prefill_backlog_size", "num_requests_waiting"):
            sheet.load(name, "Requests that wait for prefill.", [(of, lambda: engine.waiting)])
        sheet.load(
            "jetstream_slots_used_percentage",
            "Share of the decode slots in use.",
            [(labels({**pairs, "idx": "0"}), lambda: engine.running / slots)],
        )
        sheet.load(
            "kv_cache_utilization_perc", "Share of the KV in use.", [(of, lambda: engine.kv_used)]
        )
        for name, about, histogram in (
            ("jetstream_time_to_first_token", "Time to first token.", ledger.first_token_s),
            ("jetstream_time_per_output_token", "Per token.", ledger.per_output_token_s),
            ("jetstream_time_per_request", "Whole requests.", ledger.e2e_s),
            ("jetstream_queue_duration", "Time waiting.", ledger.queue_s),
            ("jetstream_request_input_length", "Tokens in.", ledger.request_prompt_tokens),
            ("jetstream_request_output_length", "Tokens out.", ledger.request_generation_tokens),
        ):
            sheet.histogram(name, about, pairs, histogram, None)


class TritonPage(_SheetPage):
    """Triton with the TensorRT-LLM backend: few families, told apart by a label."""

    def fill(self) -> None:
        engine = self.engine
        blocks = engine.profile.kv_blocks

        def of(key: str, value: str) -> str:
            return labels({"model": "tensorrt_llm", "version": "1", key: value})

        kind, block = "request_type", "kv_cache_block_type"
        self.sheet.load(
            "nv_trt_llm_request_metrics",
            "Requests by type.",
            [
                (of(kind, "waiting"), lambda: engine.waiting),
                (of(kind, "scheduled"), lambda: engine.running),
                (of(kind, "active"), lambda: engine.running + engine.waiting),
                (of(kind, "max"), lambda: engine.profile.max_sequences),
                (of(kind, "context"), lambda: 0),
            ],
        )
        self.sheet.load(
            "nv_trt_llm_kv_cache_block_metrics",
            "KV cache blocks by type.",
            [
                (of(block, "fraction"), lambda: engine.kv_used),
                (of(block, "tokens_per"), lambda: BLOCK_TOKENS),
                (of(block, "used"), lambda: engine.kv.used),
                (of(block, "free"), lambda: blocks - engine.kv.used),
                (of(block, "max"), lambda: blocks),
            ],
        )


class TrtllmServePage(_SheetPage):
    def fill(self) -> None:
        sheet, engine, ledger = self.sheet, self.engine, self.ledger
        pairs = {"engine_type": "trtllm", "model_name": self.model}
        of = labels(pairs)
        for name, about, read in (
            ("num_requests_waiting", "Requests that wait.", lambda: engine.waiting),
            ("num_requests_running", "Requests that run.", lambda: engine.running),
            ("kv_cache_utilization", "Share of the KV in use.", lambda: engine.kv_used),
            ("kv_cache_tokens_per_block", "Tokens per block.", lambda: BLOCK_TOKENS),
            ("kv_cache_max_blocks", "Blocks in all.", lambda: engine.profile.kv_blocks),
        ):
            sheet.load(f"trtllm_{name}", about, [(of, read)])
        for name, about, histogram in (
            ("time_to_first_token_seconds", "Time to first token.", ledger.first_token_s),
            ("time_per_output_token_seconds", "Per token.", ledger.per_output_token_s),
            ("e2e_request_latency_seconds", "Whole requests.", ledger.e2e_s),
            ("request_queue_time_seconds", "Time waiting.", ledger.queue_s),
        ):
            sheet.histogram(f"trtllm_{name}", about, pairs, histogram, None)


class TgiPage(_SheetPage):
    """Text Generation Inference: a queue and a batch, nothing about its KV."""

    def fill(self) -> None:
        sheet, engine, ledger = self.sheet, self.engine, self.ledger
        sheet.load("tgi_queue_size", "Requests that wait.", [("", lambda: engine.waiting)])
        sheet.load("tgi_batch_current_size", "Requests that run.", [("", lambda: engine.running)])
        done = "Requests done."
        sheet.values(
            "tgi_request_count", "counter", done, [("", lambda: sum(ledger.finished.values()))]
        )
        for name, about, histogram in (
            ("tgi_request_duration", "Whole requests.", ledger.e2e_s),
            ("tgi_request_queue_duration", "Time waiting.", ledger.queue_s),
            ("tgi_request_mean_time_per_token_duration", "Per token.", ledger.per_output_token_s),
            ("tgi_request_generated_tokens", "Tokens out.", ledger.request_generation_tokens),
            ("tgi_request_input_length", "Tokens in.", ledger.request_prompt_tokens),
        ):
            sheet.histogram(name, about, {}, histogram, None)


PAGES: Mapping[str, MakePage] = MappingProxyType(
    {
        "vllm": VllmPage,
        "sglang": SglangPage,
        "jetstream": JetstreamPage,
        "triton": TritonPage,
        "trtllm-serve": TrtllmServePage,
        "tgi": TgiPage,
    }
)
