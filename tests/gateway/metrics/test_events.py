"""What happens to a request, as the metrics tell it: under the reference's names, old and new."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from gateway.director.measures import Measures, Traffic
from gateway.errors import STATUS
from gateway.metrics import Metrics
from gateway.metrics.events import ERROR_CODES
from loadstar.telemetry.metrics import MAX_SERIES

TRAFFIC = Traffic("llama", "llama-lora", "tenant", -1)
LABELS = 'fairness_id="tenant",model_name="llama",priority="-1",target_model_name="llama-lora"'
MODELS = 'model_name="llama",target_model_name="llama-lora"'


def value(metrics: Metrics, sample: str) -> float | None:
    """The value of one sample line; None if it is not there."""
    for line in generate_latest(metrics.registry).decode().splitlines():
        name, _, number = line.rpartition(" ")
        if name == sample:
            return float(number)
    return None


def finish(metrics: Measures, **changed: object) -> None:
    facts: dict[str, object] = {
        "ending": "complete",
        "status": 200,
        "seconds": 3.0,
        "seconds_per_output_token": 0.02,
        "input_tokens": 100,
        "output_tokens": 50,
        "cached_tokens": 0,
        "response_bytes": 9000,
        "streamed": True,
    }
    metrics.finished(TRAFFIC, **(facts | changed))  # type: ignore[arg-type]  # by name, as above


def test_a_streamed_request_from_pick_to_end() -> None:
    metrics = Metrics()
    metrics.routed(TRAFFIC, 2000)
    assert value(metrics, f"llm_d_epp_request_running{{{LABELS}}}") == 1
    metrics.scheduled(0.0003, "llama-lora", "pod-a", "default", 8000)
    metrics.first_token(TRAFFIC, 0.2, True)
    finish(metrics)
    shown = {
        f"llm_d_epp_request_total{{{LABELS}}}": 1,
        'inference_objective_request_total{model_name="llama",priority="-1",'
        'target_model_name="llama-lora"}': 1,
        f"llm_d_epp_request_running{{{LABELS}}}": 0,
        'inference_objective_running_requests{model_name="llama"}': 0,
        f"llm_d_epp_request_size_bytes_sum{{{LABELS}}}": 2000,
        f"inference_objective_request_sizes_sum{{{MODELS}}}": 2000,
        f"llm_d_epp_request_duration_seconds_sum{{{LABELS}}}": 3,
        f"inference_objective_request_duration_seconds_count{{{MODELS}}}": 1,
        f"llm_d_epp_response_size_bytes_sum{{{LABELS}}}": 9000,
        'llm_d_epp_request_ttft_seconds_sum{fairness_id="tenant",model_name="llama",'
        'priority="-1",streaming="true",target_model_name="llama-lora"}': 0.2,
        f"llm_d_epp_request_streaming_tpot_seconds_sum{{{LABELS}}}": 0.02,
        f"llm_d_epp_request_ntpot_seconds_sum{{{LABELS}}}": 0.06,
        f"llm_d_epp_request_input_tokens_sum{{{LABELS}}}": 100,
        f"inference_objective_input_tokens_sum{{{MODELS}}}": 100,
        f"llm_d_epp_request_output_tokens_sum{{{LABELS}}}": 50,
        f"llm_d_epp_request_cached_tokens_count{{{LABELS}}}": 1,
        f"inference_objective_prompt_cached_tokens_count{{{MODELS}}}": 1,
        "llm_d_epp_scheduler_e2e_duration_seconds_count": 1,
        'loadstar_gateway_requests_ended_total{ending="complete"}': 1,
    }
    assert {sample: value(metrics, sample) for sample in shown} == shown


def test_what_the_server_did_not_report_is_not_recorded_as_zero() -> None:
    metrics = Metrics()
    metrics.routed(TRAFFIC, 10)
    finish(
        metrics,
        input_tokens=None,
        output_tokens=None,
        cached_tokens=None,
        seconds_per_output_token=None,
    )
    for name in ("input_tokens", "output_tokens", "cached_tokens", "ntpot_seconds"):
        assert value(metrics, f"llm_d_epp_request_{name}_count{{{LABELS}}}") == 0


def test_a_client_that_left_says_nothing_of_durations() -> None:
    metrics = Metrics()
    metrics.routed(TRAFFIC, 10)
    finish(metrics, ending="client-gone", status=None)
    assert value(metrics, f"llm_d_epp_request_duration_seconds_count{{{LABELS}}}") == 0
    assert value(metrics, f"llm_d_epp_request_running{{{LABELS}}}") == 0
    assert value(metrics, 'loadstar_gateway_requests_ended_total{ending="client-gone"}') == 1


@pytest.mark.parametrize(
    ("status", "counted"),
    [pytest.param(503, 1, id="server error"), pytest.param(200, None, id="success")],
)
def test_an_upstream_error_is_counted_by_its_status(status: int, counted: int | None) -> None:
    metrics = Metrics()
    metrics.routed(TRAFFIC, 10)
    finish(metrics, status=status)
    old = f'inference_objective_request_error_total{{error_code="{status}",{MODELS}}}'
    assert value(metrics, old) == counted


@pytest.mark.parametrize(
    ("code", "error_code"),
    [
        pytest.param("shed", "ResourceExhausted", id="shed"),
        pytest.param("no_endpoint", "ServiceUnavailable", id="no endpoint"),
        pytest.param("invalid_request", "BadRequest", id="bad request"),
        pytest.param("internal_error", "Internal", id="ours"),
    ],
)
def test_a_refusal_is_counted_in_the_references_words_and_in_ours(
    code: str, error_code: str
) -> None:
    metrics = Metrics()
    metrics.refused(TRAFFIC, code)
    shown = f'inference_objective_request_error_total{{error_code="{error_code}",{MODELS}}}'
    assert value(metrics, shown) == 1
    assert value(metrics, f'loadstar_gateway_refusals_total{{code="{code}"}}') == 1


def test_every_refusal_has_a_word_of_the_reference() -> None:
    assert set(ERROR_CODES) == {refusal.code for refusal in STATUS}


@pytest.mark.parametrize(
    ("pod", "sample"),
    [
        pytest.param(
            "pod-a",
            '{endpoint_name="pod-a",namespace="ns",port="8000",status="success",'
            'target_model_name="m"}',
            id="found",
        ),
        pytest.param(
            "",
            '{endpoint_name="",namespace="",port="",status="failure",target_model_name="m"}',
            id="nothing fitted",
        ),
    ],
)
def test_scheduling_attempts(pod: str, sample: str) -> None:
    metrics = Metrics()
    metrics.scheduled(0.001, "m", pod, "ns" if pod else "", 8000 if pod else 0)
    assert value(metrics, "llm_d_epp_scheduler_attempts_total" + sample) == 1
    # The exposition sorts labels by name, and the old one sorts after the namespace.
    name, namespace, *rest = sample.strip("{}").split(",")
    old = ",".join([namespace, name.replace("endpoint_name", "pod_name"), *rest])
    assert value(metrics, f"inference_extension_scheduler_attempts_total{{{old}}}") == 1


def test_clients_cannot_grow_the_metrics_without_end() -> None:
    """Thousands of invented models and tenants: bounded series, and gauges still balance."""
    metrics = Metrics()
    invented = [Traffic(f"m-{n}", f"t-{n}", f"f-{n}", n) for n in range(2 * MAX_SERIES)]
    for traffic in invented:
        metrics.routed(traffic, 1)
    for traffic in invented:
        metrics.finished(
            traffic,
            ending="complete",
            status=200,
            seconds=1,
            seconds_per_output_token=None,
            input_tokens=None,
            output_tokens=None,
            cached_tokens=None,
            response_bytes=1,
            streamed=False,
        )
    running = next(m for m in metrics.registry.collect() if m.name == "llm_d_epp_request_running")
    assert len(running.samples) == MAX_SERIES + 1
    assert {sample.value for sample in running.samples} == {0.0}


REFERENCE = """
llm_d_epp_request_total llm_d_epp_request_error_total llm_d_epp_request_duration_seconds
llm_d_epp_request_size_bytes llm_d_epp_response_size_bytes llm_d_epp_request_input_tokens
llm_d_epp_request_output_tokens llm_d_epp_request_cached_tokens llm_d_epp_request_running
llm_d_epp_request_ntpot_seconds llm_d_epp_request_ttft_seconds
llm_d_epp_request_streaming_tpot_seconds llm_d_epp_scheduler_e2e_duration_seconds
llm_d_epp_scheduler_attempts_total llm_d_epp_plugin_duration_seconds llm_d_epp_info
llm_d_epp_model_rewrite_decisions_total llm_d_epp_datalayer_poll_errors_total
llm_d_epp_datalayer_extract_errors_total llm_d_epp_prefix_indexer_size
llm_d_epp_prefix_indexer_hit_ratio llm_d_epp_prefix_indexer_hit_bytes
llm_d_epp_extproc_streams_inflight llm_d_epp_extproc_stream_duration_seconds
llm_d_epp_extproc_streams_total
inference_objective_request_total inference_objective_request_error_total
inference_objective_request_duration_seconds inference_objective_request_ttft_seconds
inference_objective_request_tpot_seconds inference_objective_request_sizes
inference_objective_response_sizes inference_objective_input_tokens
inference_objective_output_tokens inference_objective_prompt_cached_tokens
inference_objective_normalized_time_per_output_token_seconds inference_objective_running_requests
inference_extension_scheduler_e2e_duration_seconds inference_extension_scheduler_attempts_total
inference_extension_plugin_duration_seconds inference_extension_prefix_indexer_size
inference_extension_prefix_indexer_hit_ratio inference_extension_prefix_indexer_hit_bytes
inference_extension_info inference_extension_model_rewrite_decisions_total
llm_d_inference_scheduler_datalayer_poll_errors_total
llm_d_inference_scheduler_datalayer_extract_errors_total
"""


def test_the_references_names_are_all_there() -> None:
    shown = set(Metrics().names())
    wanted = {name.removesuffix("_total") for name in REFERENCE.split()}
    assert wanted - shown == set()


def test_no_name_is_declared_twice() -> None:
    names = Metrics().names()
    assert len(names) == len(set(names))


def test_the_sample_share_is_that_of_the_responses_followed() -> None:
    metrics = Metrics()
    for ending in ("complete", "let-go", "let-go", "client-gone"):
        finish(metrics, ending=ending)
    finish(metrics, ending="client-gone", status=None)  # no response: nothing to follow
    assert value(metrics, "loadstar_gateway_response_sample_share") == 0.5
    assert value(metrics, 'loadstar_gateway_responses_total{followed="true"}') == 2
    assert value(metrics, 'loadstar_gateway_responses_total{followed="false"}') == 2


def test_the_sample_share_follows_a_change_of_mode() -> None:
    metrics = Metrics()
    for ending in ["complete"] * 3000 + ["let-go"] * 5000:
        finish(metrics, ending=ending)
    share = value(metrics, "loadstar_gateway_response_sample_share")
    assert share is not None
    assert share < 0.01


def test_a_response_let_go_says_nothing_of_durations() -> None:
    metrics = Metrics()
    finish(metrics, ending="let-go", output_tokens=None, input_tokens=None, cached_tokens=None)
    assert value(metrics, f"llm_d_epp_request_duration_seconds_count{{{LABELS}}}") == 0
    assert value(metrics, f"llm_d_epp_response_size_bytes_count{{{LABELS}}}") == 0
