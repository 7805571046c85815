"""A metrics page as large and as shaped as that of vLLM 0.32 under load: 52 KB, 640 lines.

For measuring and testing readers of pages: names, labels, order and size are the engine's, all
values but the load are constants. ``emulator.page`` is the page of an engine that lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

_BORN = "1.7954131160548e+09"
_FINE = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5)
_TTFT = (*_FINE, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5)
_PER_TOKEN_ALL = (*_PER_TOKEN, 10.0, 20.0, 40.0, 80.0)
_REQUEST = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
_REQUEST_ALL = (*_REQUEST, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0)
_TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
_ITERATION = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0)

_HISTOGRAMS: Mapping[str, Sequence[float]] = {
    "vllm:request_prompt_tokens": _TOKENS,
    "vllm:request_generation_tokens": _TOKENS,
    "vllm:iteration_tokens_total": (*_ITERATION, 16384.0),
    "vllm:request_max_num_generation_tokens": _TOKENS,
    "vllm:request_params_n": (1.0, 2.0, 5.0, 10.0, 20.0),
    "vllm:request_params_max_tokens": _TOKENS,
    "vllm:time_to_first_token_seconds": _TTFT,
    "vllm:inter_token_latency_seconds": _PER_TOKEN_ALL,
    "vllm:request_time_per_output_token_seconds": _PER_TOKEN_ALL,
    "vllm:e2e_request_latency_seconds": _REQUEST_ALL,
    "vllm:request_queue_time_seconds": _REQUEST_ALL,
    "vllm:request_inference_time_seconds": _REQUEST_ALL,
    "vllm:request_prefill_time_seconds": _REQUEST_ALL,
    "vllm:request_decode_time_seconds": _REQUEST_ALL,
    "vllm:request_num_preemptions": (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0),
    "vllm:request_prefill_kv_computed_tokens": _TOKENS,
}
_COUNTERS: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = {
    "vllm:prefix_cache_queries": (),
    "vllm:prefix_cache_hits": (),
    "vllm:external_prefix_cache_queries": (),
    "vllm:external_prefix_cache_hits": (),
    "vllm:mm_cache_queries": (),
    "vllm:mm_cache_hits": (),
    "vllm:num_preemptions": (),
    "vllm:prompt_tokens": (),
    "vllm:prompt_tokens_by_source": (
        ("source", ("local_compute", "local_cache_hit", "external_kv_transfer")),
    ),
    "vllm:prompt_tokens_cached": (),
    "vllm:prompt_tokens_cached_by_source": (
        ("source", ("device", "host", "p2p", "disk", "external_unspecified")),
    ),
    "vllm:generation_tokens": (),
    "vllm:request_success": (
        ("finished_reason", ("stop", "length", "abort", "error", "repetition")),
    ),
}
_CACHE_SETTINGS: Mapping[str, str] = {
    "cache_dtype": "auto",
    "enable_prefix_caching": "True",
    "gpu_memory_utilization": "0.92",
    "is_attention_free": "False",
    "kv_cache_dtype_skip_layers": "[]",
    "kv_cache_memory_bytes": "None",
    "kv_offloading_backend": "native",
    "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None",
    "mamba_cache_dtype": "auto",
    "mamba_cache_mode": "none",
    "mamba_ssm_cache_dtype": "float32",
    "num_cpu_blocks": "None",
    "num_gpu_blocks_override": "None",
    "prefix_caching_hash_algo": "sha256",
    "sliding_window": "None",
    "user_specified_block_size": "True",
}


def page(
    waiting: float = 20.0,
    running: float = 16.0,
    kv_used: float = 0.69,
    *,
    model: str = "Llama-3.1-8B-Instruct-FP8",
    engines: int = 1,
) -> bytes:
    """The page of a server of ``engines`` data-parallel ranks, each with the load given."""
    ranks = [{"engine": str(rank), "model_name": model} for rank in range(engines)]
    lines: list[str] = [
        *_family("python_gc_collections_total", "counter", [({"generation": "0"}, "1438.0")]),
        *_family("process_resident_memory_bytes", "gauge", [({}, "1.080864768e+09")]),
        *_family("process_cpu_seconds_total", "counter", [({}, "19.81")]),
        *_gauge("vllm:num_requests_running", ranks, running),
        *_gauge("vllm:num_requests_waiting", ranks, waiting),
        *_family(
            "vllm:num_requests_waiting_by_reason",
            "gauge",
            [({**rank, "reason": "capacity"}, str(waiting)) for rank in ranks],
        ),
        *_gauge("vllm:kv_cache_usage_perc", ranks, kv_used),
    ]
    for name, extra in _COUNTERS.items():
        lines += _counter(name, [{**rank, **more} for rank in ranks for more in _labels(extra)])
    for name, bounds in _HISTOGRAMS.items():
        lines += _histogram(name, ranks, bounds)
    lines += _family(
        "vllm:cache_config_info",
        "gauge",
        [
            ({**rank, **_CACHE_SETTINGS, "block_size": "16", "num_gpu_blocks": "27000"}, "1.0")
            for rank in ranks
        ],
    )
    handlers = [{"handler": "/v1/completions", "method": "POST"}]
    lines += _counter("http_requests", [{**handler, "status": "2xx"} for handler in handlers])
    lines += _histogram("http_request_duration_highr_seconds", [{}], _REQUEST_ALL)
    lines += _histogram("http_request_duration_seconds", handlers, (0.1, 0.5, 1.0))
    return "".join(lines).encode()


def _labels(names: Sequence[tuple[str, Sequence[str]]]) -> Iterator[dict[str, str]]:
    for values in product(*(values for _, values in names)):
        yield dict(zip((name for name, _ in names), values, strict=True))


def _line(name: str, labels: Mapping[str, str], value: str) -> str:
    inner = ",".join(f'{label}="{labels[label]}"' for label in sorted(labels))
    return f"{name}{{{inner}}} {value}\n" if inner else f"{name} {value}\n"


def _family(
    name: str, kind: str, samples: Iterable[tuple[Mapping[str, str], str]]
) -> Iterator[str]:
    about = name.partition(":")[2].replace("_", " ") or name
    yield f"# HELP {name} What the engine counted as {about} since it was started.\n"
    yield f"# TYPE {name} {kind}\n"
    for labels, value in samples:
        yield _line(name, labels, value)


def _gauge(name: str, ranks: Sequence[Mapping[str, str]], value: float) -> Iterator[str]:
    return _family(name, "gauge", [(rank, str(float(value))) for rank in ranks])


def _counter(name: str, series: Sequence[Mapping[str, str]]) -> Iterator[str]:
    yield from _family(f"{name}_total", "counter", [(labels, "5353.0") for labels in series])
    yield from _family(f"{name}_created", "gauge", [(labels, _BORN) for labels in series])


def _histogram(
    name: str, series: Sequence[Mapping[str, str]], bounds: Sequence[float]
) -> Iterator[str]:
    yield from _family(name, "histogram", ())
    for labels in series:
        for bound in (*map(str, bounds), "+Inf"):
            yield _line(f"{name}_bucket", {**labels, "le": bound}, "3.0")
        yield _line(f"{name}_count", labels, "3.0")
        yield _line(f"{name}_sum", labels, "12.25")
    yield from _family(f"{name}_created", "gauge", [(labels, _BORN) for labels in series])
