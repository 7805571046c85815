"""The metrics served unless the configuration says otherwise. A literal table, and only that.

Names on the left are what an HPA writes. ``series`` are what model servers and exporters call the
same thing, ``feed`` what the gateways know of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from metrics_adapter.adapter_config import Fold, Kind, MetricEntry


def _gauge(name: str, *series: str, feed: str = "", **more: object) -> MetricEntry:
    return MetricEntry(name=name, series=series, feed=feed, **more)  # type: ignore[arg-type]  # fields by name


def _rate(name: str, *series: str, feed: str = "", help: str) -> MetricEntry:
    return MetricEntry(
        name=name, kind=Kind.RATE, series=series, feed=feed, external=True, help=help
    )


def _latency(name: str, *series: str, feed: str, help: str) -> MetricEntry:
    return MetricEntry(
        name=name,
        kind=Kind.LATENCY,
        series=series,
        feed=feed,
        scale=1000.0,
        external=True,
        help=help,
    )


def _derived(name: str, expression: str, *, external: bool = False, help: str) -> MetricEntry:
    return MetricEntry(
        name=name, kind=Kind.EXPRESSION, expression=expression, external=external, help=help
    )


QUEUE: Final = (
    "vllm:num_requests_waiting",
    "sglang:num_queue_reqs",
    "jetstream_prefill_backlog_size",
    "num_requests_waiting",
    'nv_trt_llm_request_metrics{request_type="waiting"}',
    "trtllm_num_requests_waiting",
    "tgi_queue_size",
)
RUNNING: Final = (
    "vllm:num_requests_running",
    "sglang:num_running_reqs",
    'nv_trt_llm_request_metrics{request_type="scheduled"}',
    "trtllm_num_requests_running",
    "tgi_batch_current_size",
)
KV_CACHE: Final = (
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
    "sglang:token_usage",
    "kv_cache_utilization_perc",
    'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}',
    "trtllm_kv_cache_utilization",
)

DEFAULTS: Final[tuple[MetricEntry, ...]] = (
    _gauge(
        "kv_cache_utilization",
        *KV_CACHE,
        feed="kv_used",
        fold=Fold.AVG,
        aggregate=Fold.AVG,
        at_most=1.0,
        external=True,
        help="Share of the KV cache that requests hold, 0 to 1.",
    ),
    _gauge(
        "queue_depth",
        *QUEUE,
        feed="waiting",
        external=True,
        help="Requests waiting in model servers.",
    ),
    _gauge(
        "running_requests",
        *RUNNING,
        feed="running",
        external=True,
        help="Requests being computed.",
    ),
    _gauge(
        "inflight_requests",
        feed="inflight_requests",
        external=True,
        help="Requests sent to model servers and not yet answered.",
    ),
    _gauge("inflight_tokens", feed="inflight_tokens", help="Tokens those are expected to cost."),
    _gauge(
        "gateway_queue_depth",
        feed="queued",
        external=True,
        help="Requests that gateways hold back until a model server has room.",
    ),
    _rate(
        "requests_per_second",
        "vllm:request_success_total",
        "sglang:num_requests_total",
        "tgi_request_success",
        feed="arrivals",
        help="Requests; at gateways every arrival, those queued and shed included.",
    ),
    _rate("shed_requests_per_second", feed="shed", help="Requests refused for want of room."),
    _rate("errors_per_second", feed="errors", help="Requests that ended in an error."),
    _rate(
        "input_tokens_per_second",
        "vllm:prompt_tokens_total",
        "sglang:prompt_tokens_total",
        feed="input_tokens",
        help="Prompt tokens.",
    ),
    _rate(
        "output_tokens_per_second",
        "vllm:generation_tokens_total",
        "sglang:generation_tokens_total",
        feed="output_tokens",
        help="Generated tokens.",
    ),
    _rate(
        "prefix_cache_hit_tokens_per_second",
        "vllm:prefix_cache_hits_total",
        feed="cached_tokens",
        help="Prompt tokens found in a prefix cache.",
    ),
    _rate(
        "prefix_cache_query_tokens_per_second",
        "vllm:prefix_cache_queries_total",
        feed="input_tokens",
        help="Prompt tokens looked for in a prefix cache.",
    ),
    _latency(
        "model_latency_ms",
        "vllm:e2e_request_latency_seconds",
        "sglang:e2e_request_latency_seconds",
        "jetstream_time_per_request",
        feed="e2e",
        help="A request's whole duration, in milliseconds.",
    ),
    _latency(
        "time_to_first_token_ms",
        "vllm:time_to_first_token_seconds",
        "sglang:time_to_first_token_seconds",
        "jetstream_time_to_first_token",
        feed="ttft",
        help="Until the first token, in milliseconds.",
    ),
    _latency(
        "time_per_output_token_ms",
        "vllm:request_time_per_output_token_seconds",
        "vllm:inter_token_latency_seconds",
        "sglang:inter_token_latency_seconds",
        "jetstream_time_per_output_token",
        feed="tpot",
        help="Between tokens after the first, in milliseconds.",
    ),
    _gauge(
        "gpu_utilization_percent",
        "DCGM_FI_DEV_GPU_UTIL",
        fold=Fold.AVG,
        aggregate=Fold.AVG,
        help="Share of time in which the GPU did something, 0 to 100.",
    ),
    _gauge(
        "gpu_memory_used_mib",
        "DCGM_FI_DEV_FB_USED",
        help="GPU memory in use, in MiB.",
    ),
    _gauge("gpu_memory_free_mib", "DCGM_FI_DEV_FB_FREE", help="GPU memory not in use, in MiB."),
    _gauge(
        "tpu_duty_cycle_percent",
        "duty_cycle",
        fold=Fold.AVG,
        aggregate=Fold.AVG,
        help="Share of time in which the TPU computed, 0 to 100.",
    ),
    _gauge("tpu_memory_used_bytes", "memory_used", help="TPU memory in use."),
    _gauge("tpu_memory_total_bytes", "memory_total", help="TPU memory there is."),
    _gauge(
        "desired_replicas",
        feed="desired_replicas",
        fold=Fold.MAX,
        external=True,
        help="Replicas that the autoscaler wants; in an HPA, an AverageValue of 1.",
    ),
    _gauge(
        "forecast_requests_per_second",
        feed="forecast_requests_per_second",
        external=True,
        help="Requests that the autoscaler expects when a replica started now would serve.",
    ),
    _derived(
        "kv_cache_utilization_percent",
        "100 * kv_cache_utilization",
        external=True,
        help="The same from 0 to 100, of which an HPA sees three digits more.",
    ),
    _derived(
        "prefix_cache_hit_ratio",
        "min(prefix_cache_hit_tokens_per_second / prefix_cache_query_tokens_per_second, 1)",
        external=True,
        help="Share of prompt tokens found in a prefix cache; unknown while there are no prompts.",
    ),
    _derived(
        "error_rate",
        "min(errors_per_second / max(requests_per_second, 0.001), 1)",
        external=True,
        help="Share of requests that end in an error.",
    ),
    MetricEntry(
        name="saturation",
        kind=Kind.EXPRESSION,
        expression="max(kv_cache_utilization / 0.8, queue_depth / 5)",
        per_pod=True,
        aggregate=Fold.AVG,
        help="1 is where a pod takes no more without waiting.",
    ),
    _derived(
        "pending_requests",
        "queue_depth + gateway_queue_depth",
        external=True,
        help="Everything that waits: what scales a pool up from zero.",
    ),
    _derived(
        "gpu_memory_utilization",
        "gpu_memory_used_mib / (gpu_memory_used_mib + gpu_memory_free_mib)",
        help="Share of the GPU's memory in use, 0 to 1.",
    ),
    _derived(
        "tpu_memory_utilization",
        "tpu_memory_used_bytes / tpu_memory_total_bytes",
        help="Share of the TPU's memory in use, 0 to 1.",
    ),
)


def table(own: Iterable[MetricEntry], *, defaults: bool = True) -> tuple[MetricEntry, ...]:
    """The defaults with ``own`` beside them or in the place of those of the same name."""
    entries = {entry.name: entry for entry in DEFAULTS} if defaults else {}
    entries.update({entry.name: entry for entry in own})
    return tuple(entries.values())
