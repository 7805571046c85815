"""The metrics pages read back by the official Python parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from load_tests.emulator.adapters import AdapterSlots
from load_tests.emulator.engine import Engine, EngineRequest
from load_tests.emulator.exposition import Gauges, labels, number
from load_tests.emulator.ledger import TOKENS, Histogram, Ledger
from load_tests.emulator.other_pages import PAGES, Page
from tests.fakes.clock import ManualClock
from tests.load_tests.emulator.scenarios import engine

LOAD = {
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"),
    "jetstream": (
        "jetstream_slots_used_percentage",
        "num_requests_waiting",
        "kv_cache_utilization_perc",
    ),
    "triton": ("nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"),
    "trtllm-serve": (
        "trtllm_num_requests_running",
        "trtllm_num_requests_waiting",
        "trtllm_kv_cache_utilization",
    ),
    "tgi": ("tgi_batch_current_size", "tgi_queue_size"),
}


class Server:
    """An engine, its ledger and a page, without ports."""

    def __init__(self, kind: str = "vllm", slots: AdapterSlots | None = None) -> None:
        self.clock = ManualClock()
        self.engine: Engine = engine(adapters=slots)
        self.ledger = Ledger(api_overhead_s=0.015)
        self.page: Page = PAGES[kind](
            self.engine, self.ledger, model="tiny-llm", wall=self.clock.wall
        )
        self.now = 0.0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            step = self.engine.step(self.now)
            if step is None:
                return
            self.now = step.ends_at
            self.ledger.stepped(step)
            for generation in step.finished:
                self.ledger.ended(generation, "length")

    def read(self, gauges: Gauges = Gauges.TRUE) -> dict[str, dict[str, float]]:
        """sample name -> labels as text, without those every sample has -> value"""
        samples: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(self.page.render(gauges).decode()):
            for sample in family.samples:
                rest = {k: v for k, v in sample.labels.items() if k not in ("engine", "model_name")}
                samples.setdefault(sample.name, {})[labels(rest)] = sample.value
        return samples


def test_a_busy_server_says_so() -> None:
    server = Server()
    for _ in range(10):
        server.engine.submit(EngineRequest(32, 20), 0.0)
    server.run(3)
    page = server.read()
    assert page["vllm:num_requests_running"] == {"": 8.0}
    assert page["vllm:num_requests_waiting"] == {"": 2.0}
    assert page["vllm:num_requests_waiting_by_reason"] == {
        '{reason="capacity"}': 2.0,
        '{reason="deferred"}': 0.0,
    }
    assert page["vllm:kv_cache_usage_perc"] == {"": server.engine.kv.used / 64}
    assert page["vllm:iteration_tokens_total_count"] == {"": 3.0}


def test_counters_and_histograms_of_one_request() -> None:
    server = Server()
    server.engine.submit(EngineRequest(50, 3), 0.0)  # first token at 60 ms, then 11 ms each
    server.run(10)
    page = server.read()
    assert page["vllm:prompt_tokens_total"] == {"": 50.0}
    assert page["vllm:generation_tokens_total"] == {"": 3.0}
    assert page["vllm:request_success_total"]['{finished_reason="length"}'] == 1.0
    first = page["vllm:time_to_first_token_seconds_bucket"]
    assert (first['{le="0.06"}'], first['{le="0.08"}'], first['{le="+Inf"}']) == (0.0, 1.0, 1.0)
    assert page["vllm:time_to_first_token_seconds_sum"][""] == pytest.approx(0.075)
    assert page["vllm:inter_token_latency_seconds_count"] == {"": 2.0}
    assert page["vllm:inter_token_latency_seconds_sum"][""] == pytest.approx(0.022)
    assert page["vllm:request_time_per_output_token_seconds_sum"][""] == pytest.approx(0.011)
    assert page["vllm:e2e_request_latency_seconds_sum"][""] == pytest.approx(0.097)
    assert page["vllm:request_prompt_tokens_sum"] == {"": 50.0}


def test_the_page_has_the_weight_of_a_real_one() -> None:
    server = Server(slots=AdapterSlots(2))
    server.ledger.answered("/v1/completions", "POST", 200, 300, 600, 0.2)
    page = server.page.render()
    assert 45_000 < len(page) < 60_000
    assert page.count(b"# TYPE") == 93
    assert b'vllm:cache_config_info{block_size="16",' in page
    assert b'num_gpu_blocks="64"' in page


def test_every_family_is_described_once_before_its_samples() -> None:
    server = Server(slots=AdapterSlots(2))
    server.ledger.answered("/v1/completions", "POST", 200, 300, 600, 0.2)
    described: list[str] = []
    for line in server.page.render().decode().splitlines():
        if line.startswith("# TYPE "):
            described.append(line.split()[2])
        elif not line.startswith("#"):
            assert line.startswith(described[-1])
    assert len(described) == len(set(described))


def test_adapter_series_keep_their_old_label_sets() -> None:
    """A reader must take the one with the largest value: the others are history."""
    server = Server(slots=AdapterSlots(2))
    server.engine.submit(EngineRequest(10, 2, adapter="sql"), 0.0)
    server.page.note_adapters()
    server.run(1)
    server.clock.advance(1.0)
    server.page.note_adapters()
    server.run(5)
    server.clock.advance(1.0)
    server.page.note_adapters()
    start = 1_700_000_000.0
    assert server.read()["vllm:lora_requests_info"] == {
        '{max_lora="2",running_lora_adapters="sql",waiting_lora_adapters="sql"}': start + 1.0,
        '{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""}': start + 2.0,
    }


def test_without_adapters_there_is_no_adapter_series() -> None:
    assert "vllm:lora_requests_info" not in Server().read()


@pytest.mark.parametrize("kind", sorted(PAGES))
def test_faults_spoil_the_load_and_nothing_else(kind: str) -> None:
    server = Server(kind)
    server.engine.submit(EngineRequest(32, 20), 0.0)
    server.run(2)
    healthy, missing, spoilt = (server.read(g) for g in (Gauges.TRUE, Gauges.MISSING, Gauges.NAN))
    load = set(LOAD[kind])
    assert load <= set(healthy)
    assert load.isdisjoint(missing)
    for name in load:
        assert all(math.isnan(value) for value in spoilt[name].values())
    kept = set(missing) - {"process_cpu_seconds_total"}
    assert {n: healthy[n] for n in kept} == {n: missing[n] for n in kept}


@given(st.lists(st.tuples(st.floats(0, 5000), st.integers(1, 400_000)), max_size=30))
def test_a_histogram_reads_back_as_it_was_observed(observed: list[tuple[float, int]]) -> None:
    server = Server()
    histogram = server.ledger.request_prompt_tokens
    for value, times in observed:
        histogram.observe(value, times)
        server.page.render()
    buckets = server.read()["vllm:request_prompt_tokens_bucket"]
    for bound in TOKENS:
        expected = sum(times for value, times in observed if value <= bound)
        assert buckets[f'{{le="{bound}"}}'] == expected
    assert buckets['{le="+Inf"}'] == sum(times for _, times in observed)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0, "0.0", id="zero"),
        pytest.param(16.0, "16.0", id="whole"),
        pytest.param(0.6901960784313725, "0.6901960784313725", id="share"),
        pytest.param(999_999, "999999.0", id="still plain"),
        pytest.param(1_234_567, "1.234567e+06", id="millions as Go prints them"),
        pytest.param(1.7954131160544991e9, "1.7954131160544991e+09", id="a moment"),
        pytest.param(1_000_000, "1e+06", id="a million"),
        pytest.param(-3.0, "-3.0", id="negative"),
        pytest.param(math.nan, "NaN", id="not a number"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_label_values_are_escaped() -> None:
    assert labels({"b": 'a"\\\n', "a": "1"}) == '{a="1",b="a\\"\\\\\\n"}'


def test_histogram_bounds_are_inclusive() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 2.1):
        histogram.observe(value)
    assert (histogram.counts, histogram.count, histogram.total) == ([1, 2, 1], 4, 6.6)
