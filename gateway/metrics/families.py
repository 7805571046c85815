"""Every metric the gateway exports, declared once: names, labels, buckets, older names.

``llm_d_epp_*`` are the llm-d router's names, each also shown under the names it had before, which
dashboards still use. What is new here is ``loadstar_gateway_*``. Gauges of the pool are not here:
``gateway.serving.pool_gauges`` reads them from the store when somebody scrapes.
"""

from __future__ import annotations

from gateway.metrics.buckets import (
    INPUT_TOKENS,
    LATENCY,
    NTPOT,
    OUTPUT_TOKENS,
    PICK,
    PREFIX_BYTES,
    RATIO,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    SCRAPE,
    STREAM,
    TPOT,
    TTFT,
)
from loadstar.telemetry.metrics import Alias, Families, alias

SAMPLED = " Of followed responses only: see loadstar_gateway_response_sample_share."
"""What metrics say that the body of a response is needed for."""

REQUEST_LABELS = ("model_name", "target_model_name", "fairness_id", "priority")


def _objective(name: str, *labels: str) -> Alias:
    return alias(f"inference_objective_{name}", "model_name", "target_model_name", *labels)


def _extension(name: str, *labels: str, **renamed: str) -> Alias:
    return alias(f"inference_extension_{name}", *labels, **renamed)


class GatewayFamilies(Families):
    """The gateway's metric families, as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.total = self.counter(
            "llm_d_epp_request_total",
            "Requests that were understood.",
            *REQUEST_LABELS,
            also=[_objective("request_total", "priority")],
        )
        self.errors = self.counter(
            "llm_d_epp_request_error_total",
            "Requests refused here, or answered with an error status by the model server.",
            *REQUEST_LABELS,
            "error_code",
            also=[_objective("request_error_total", "error_code")],
        )
        self.running = self.gauge(
            "llm_d_epp_request_running",
            "Requests sent to an endpoint and not yet ended, or let go at the response's headers.",
            *REQUEST_LABELS,
            also=[alias("inference_objective_running_requests", "model_name")],
        )
        self.duration = self.histogram(
            "llm_d_epp_request_duration_seconds",
            "From the request's headers to the end of the response." + SAMPLED,
            *REQUEST_LABELS,
            buckets=LATENCY,
            also=[_objective("request_duration_seconds")],
        )
        self.request_bytes = self.histogram(
            "llm_d_epp_request_size_bytes",
            "Length of the request body.",
            *REQUEST_LABELS,
            buckets=REQUEST_BYTES,
            also=[_objective("request_sizes")],
        )
        self.response_bytes = self.histogram(
            "llm_d_epp_response_size_bytes",
            "Length of the response body." + SAMPLED,
            *REQUEST_LABELS,
            buckets=RESPONSE_BYTES,
            also=[_objective("response_sizes")],
        )
        self.ttft = self.histogram(
            "llm_d_epp_request_ttft_seconds",
            "From the request's headers to the first piece of the response body." + SAMPLED,
            *REQUEST_LABELS,
            "streaming",
            buckets=TTFT,
            also=[_objective("request_ttft_seconds")],
        )
        self.tpot = self.histogram(
            "llm_d_epp_request_streaming_tpot_seconds",
            "Time per output token after the first, of streamed responses." + SAMPLED,
            *REQUEST_LABELS,
            buckets=TPOT,
            also=[_objective("request_tpot_seconds")],
        )
        self.ntpot = self.histogram(
            "llm_d_epp_request_ntpot_seconds",
            "Whole duration per output token." + SAMPLED,
            *REQUEST_LABELS,
            buckets=NTPOT,
            also=[_objective("normalized_time_per_output_token_seconds")],
        )
        self.input_tokens = self.histogram(
            "llm_d_epp_request_input_tokens",
            "Prompt tokens, as the model server reported them." + SAMPLED,
            *REQUEST_LABELS,
            buckets=INPUT_TOKENS,
            also=[_objective("input_tokens")],
        )
        self.output_tokens = self.histogram(
            "llm_d_epp_request_output_tokens",
            "Generated tokens, as the model server reported them." + SAMPLED,
            *REQUEST_LABELS,
            buckets=OUTPUT_TOKENS,
            also=[_objective("output_tokens")],
        )
        self.cached_tokens = self.histogram(
            "llm_d_epp_request_cached_tokens",
            "Prompt tokens the model server took from its cache, as it reported them." + SAMPLED,
            *REQUEST_LABELS,
            buckets=INPUT_TOKENS,
            also=[_objective("prompt_cached_tokens")],
        )
        self.scheduling = self.histogram(
            "llm_d_epp_scheduler_e2e_duration_seconds",
            "Time to choose an endpoint.",
            buckets=PICK,
            also=[_extension("scheduler_e2e_duration_seconds")],
        )
        self.attempts = self.counter(
            "llm_d_epp_scheduler_attempts_total",
            "Choices made, and those that found nothing.",
            "status",
            "target_model_name",
            "endpoint_name",
            "namespace",
            "port",
            also=[
                _extension(
                    "scheduler_attempts_total",
                    "status",
                    "target_model_name",
                    pod_name="endpoint_name",
                    namespace="namespace",
                    port="port",
                )
            ],
        )
        self.plugins = self.histogram(
            "llm_d_epp_plugin_duration_seconds",
            "Time spent in one plugin at one extension point.",
            "extension_point",
            "plugin_type",
            "plugin_name",
            buckets=PICK,
            also=[
                _extension(
                    "plugin_duration_seconds",
                    "extension_point",
                    "plugin_type",
                    "plugin_name",
                )
            ],
        )
        self.prefix_size = self.gauge(
            "llm_d_epp_prefix_indexer_size",
            "Blocks in the prefix index.",
            "plugin_name",
            "plugin_type",
            also=[_extension("prefix_indexer_size")],
        )
        self.prefix_ratio = self.histogram(
            "llm_d_epp_prefix_indexer_hit_ratio",
            "Share of a prompt that the best endpoint is believed to hold.",
            "plugin_name",
            "plugin_type",
            buckets=RATIO,
            also=[_extension("prefix_indexer_hit_ratio")],
        )
        self.prefix_bytes = self.histogram(
            "llm_d_epp_prefix_indexer_hit_bytes",
            "Bytes of a prompt that the best endpoint is believed to hold.",
            "plugin_name",
            "plugin_type",
            buckets=PREFIX_BYTES,
            also=[_extension("prefix_indexer_hit_bytes")],
        )
        self.rewrites = self.counter(
            "llm_d_epp_model_rewrite_decisions_total",
            "Model names replaced, by the rule that did it.",
            "model_rewrite_name",
            "model_name",
            "target_model",
            also=[
                _extension(
                    "model_rewrite_decisions_total",
                    "model_rewrite_name",
                    "model_name",
                    "target_model",
                )
            ],
        )
        self.polls = self.counter(
            "llm_d_epp_datalayer_poll_errors_total",
            "Scrapes of a model server that brought nothing.",
            "source_type",
            also=[alias("llm_d_inference_scheduler_datalayer_poll_errors_total", "source_type")],
        )
        self.extracts = self.counter(
            "llm_d_epp_datalayer_extract_errors_total",
            "Pages that came but lacked a signal.",
            "source_type",
            "extractor_type",
            also=[
                alias(
                    "llm_d_inference_scheduler_datalayer_extract_errors_total",
                    "source_type",
                    "extractor_type",
                )
            ],
        )
        self.info = self.gauge(
            "llm_d_epp_info",
            "What is running: always 1.",
            "commit",
            "build_ref",
            also=[_extension("info", "commit", "build_ref")],
        )
        self.streams = self.gauge(
            "llm_d_epp_extproc_streams_inflight", "ext_proc streams now open."
        )
        self.stream_seconds = self.histogram(
            "llm_d_epp_extproc_stream_duration_seconds",
            "How long an ext_proc stream stayed open.",
            buckets=STREAM,
        )
        self.stream_codes = self.counter(
            "llm_d_epp_extproc_streams_total", "ext_proc streams ended, by gRPC status.", "code"
        )
        self.endings = self.counter(
            "loadstar_gateway_requests_ended_total", "How routed requests ended.", "ending"
        )
        self.responses = self.counter(
            "loadstar_gateway_responses_total",
            "Responses that began, and whether they were followed to their end or let go at their "
            "headers (responseProcessing).",
            "followed",
        )
        self.share = self.gauge(
            "loadstar_gateway_response_sample_share",
            "Share of the last 1000 responses that were followed to their end: what the metrics "
            "of durations and tokens rest on.",
        )
        self.refusals = self.counter(
            "loadstar_gateway_refusals_total",
            "Requests the gateway answered itself, by the code in the answer.",
            "code",
        )
        self.elsewhere = self.counter(
            "loadstar_gateway_served_elsewhere_total",
            "Responses from another endpoint than the first pick, by where that is known from.",
            "endpoint",
        )
        self.plugin_failures = self.counter(
            "loadstar_gateway_plugin_failures_total",
            "Plugins that raised; the request went on without them.",
            "plugin_name",
            "extension_point",
        )
        self.live = self.gauge(
            "loadstar_gateway_requests_live", "Requests routed and not yet ended; zero when idle."
        )
        self.avoided = self.gauge(
            "loadstar_gateway_endpoints_avoided", "Endpoints the circuit breaker keeps out."
        )
        self.scrapes = self.histogram(
            "loadstar_gateway_scrape_duration_seconds",
            "Time from asking a model server for its metrics page until it was there.",
            buckets=SCRAPE,
        )
        self.scrape_failures = self.counter(
            "loadstar_gateway_scrape_failures_total",
            "Metrics pages that did not come, by reason.",
            "reason",
        )
        self.reloads = self.counter(
            "loadstar_gateway_reloads_total",
            "Files re-read while running, and whether what they said was taken.",
            "file",
            "outcome",
        )
        self.reload_refused = self.gauge(
            "loadstar_gateway_reload_refused",
            "1 while the newest version of a file (config: the ConfigMap too) was refused, and an "
            "older one is in force.",
            "file",
        )
