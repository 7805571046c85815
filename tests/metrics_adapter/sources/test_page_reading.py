"""Metrics pages one after another: gauges, growth with resets, and whom a series is about."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.kube.resources import PODS
from metrics_adapter.adapter_config import parse_config
from metrics_adapter.catalog import catalog
from metrics_adapter.errors import NotFound
from metrics_adapter.query import Published, View
from metrics_adapter.query.assemble import Page, Words, assemble
from metrics_adapter.query.inventory import Inventory
from metrics_adapter.sources.page_layout import Layouts
from metrics_adapter.sources.page_reading import Named, Reader
from tests.metrics_adapter.views import NOW, ask, numbers, pod

VLLM = b"""# HELP vllm:num_requests_waiting Number of requests waiting.
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B"} 3.0
vllm:num_requests_waiting{engine="1",model_name="meta-llama/Llama-3.1-8B"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="meta-llama/Llama-3.1-8B"} 0.75
"""


class Following:
    """One pod's pages, and what is told of them at the end."""

    def __init__(self, config: str = "", named: Named | None = None) -> None:
        self.words = Words()
        self.catalog = catalog(parse_config(config))
        metrics = [metric for metric in self.catalog.entries if metric.series]
        self.reader = Reader(
            metrics, self.words, Layouts(), key=("lab", "a"), uid="uid-a", named=named
        )
        self.pages: list[Page] = []

    def read(self, page: bytes | str, ago: float) -> Following:
        text = page if isinstance(page, bytes) else page.encode()
        self.pages = self.reader.read(text, NOW - ago)
        return self

    @property
    def view(self) -> View:
        columns = assemble(PODS, self.pages, self.words)
        inventory = Inventory([pod("a"), pod("b")], known=True)
        return View(self.catalog, (Published(columns),), inventory)

    def told(self, metric: str, series: str = "") -> dict[str, float]:
        return numbers(ask(self.view, metric, series=series)) if self.knows(metric) else {}

    def knows(self, name: str) -> bool:
        metric = self.catalog.resolve(name)
        return metric is not None and ("pods", metric.entry.name) in self.view.by_metric


def test_gauges_of_ranks_become_one_and_models_can_be_selected() -> None:
    following = Following().read(VLLM, 1)

    assert following.told("queue_depth") == {"a": 7.0}
    assert following.told("kv_cache_utilization") == {"a": 0.5}
    assert following.told("queue_depth", "model=meta-llama--Llama-3.1-8B") == {"a": 7.0}
    assert not following.knows("running_requests")


def test_other_engines_say_the_same_in_other_words() -> None:
    triton = """
nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 2
nv_trt_llm_request_metrics{model="m",request_type="scheduled",version="1"} 5
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="m"} 0.5
"""
    following = Following().read(triton, 1)

    assert following.told("queue_depth") == {"a": 2.0}
    assert following.told("running_requests") == {"a": 5.0}
    assert following.told("kv_cache_utilization") == {"a": 0.5}


@pytest.mark.parametrize(
    "page", ["vllm:num_requests_waiting NaN\n", "vllm:num_requests_waiting x\n", "", "\xff\x00"]
)
def test_what_cannot_be_read_is_not_known(page: str) -> None:
    assert not Following().read(page, 1).knows("queue_depth")


def tokens(count: float) -> str:
    return f'vllm:generation_tokens_total{{model_name="m"}} {count}\n'


def test_a_rate_is_growth_within_the_window() -> None:
    following = Following()
    for ago, count in ((60, 1000), (40, 1200), (20, 1800), (0, 2200)):
        following.read(tokens(count), ago)

    (value,) = ask(following.view, "output_tokens_per_second")

    assert value.value == pytest.approx(20.0)
    assert value.window_seconds == 60


def test_one_page_has_no_rate_which_is_not_zero() -> None:
    following = Following().read(tokens(1000), 10)

    assert not following.knows("output_tokens_per_second")
    assert following.read(tokens(1000), 0).told("output_tokens_per_second") == {"a": 0.0}


def test_a_counter_that_fell_was_reset_and_counts_from_zero() -> None:
    following = Following()
    for ago, count in ((30, 1000), (20, 1300), (10, 50), (0, 100)):
        following.read(tokens(count), ago)

    assert following.told("output_tokens_per_second") == {"a": pytest.approx(400 / 30)}


def test_what_grew_before_the_window_is_forgotten() -> None:
    following = Following()
    for ago in range(600, -1, -5):
        following.read(tokens(1e6 if ago < 300 else 0), ago)

    assert following.told("output_tokens_per_second") == {"a": 0.0}


def latency(*counts: int) -> str:
    bounds = ["0.1", "0.2", "+Inf"]
    cumulative = np.cumsum(counts)
    return "".join(
        f'vllm:time_to_first_token_seconds_bucket{{le="{bound}",model_name="m"}} {count}\n'
        for bound, count in zip(bounds, cumulative, strict=True)
    )


def test_a_latency_is_of_the_windows_requests_alone() -> None:
    following = Following()
    following.read(latency(1000, 0, 0), 30)
    following.read(latency(1000, 10, 0), 0)

    assert following.told("time_to_first_token_ms_p50") == {"a": pytest.approx(150.0)}


def test_a_histogram_that_was_reset_goes_on() -> None:
    following = Following()
    following.read(latency(1000, 0, 0), 30)
    following.read(latency(0, 4, 0), 0)

    assert following.told("time_to_first_token_ms_p50") == {"a": pytest.approx(150.0)}


def test_a_histogram_that_was_reset_counts_anew_in_every_bucket() -> None:
    """Also in those whose count is by chance no less than before."""
    following = Following()
    following.read(latency(1, 0, 999), 30)
    following.read(latency(2, 2, 0), 0)

    assert following.told("time_to_first_token_ms_p50") == {"a": pytest.approx(100.0)}


def test_exporters_tell_of_the_pods_that_they_name() -> None:
    page = """
DCGM_FI_DEV_GPU_UTIL{gpu="0",pod="a",namespace="lab"} 40
DCGM_FI_DEV_GPU_UTIL{gpu="1",pod="a",namespace="lab"} 60
DCGM_FI_DEV_GPU_UTIL{gpu="2",exported_pod="b",exported_namespace="lab",pod="",namespace=""} 90
DCGM_FI_DEV_GPU_UTIL{gpu="3",pod="",namespace=""} 100
"""
    following = Following(named=Named("namespace", "pod")).read(page, 1)

    assert following.told("gpu_utilization_percent") == {"a": 50.0, "b": 90.0}


def test_labels_that_the_table_keeps_can_be_selected_by() -> None:
    page = 'my_queue{shard="0"} 1\nmy_queue{shard="1"} 5\n'
    config = "metrics: [{name: mine, from: [my_queue], labels: [shard]}]"
    following = Following(config).read(page, 1)

    assert following.told("mine") == {"a": 6.0}
    assert following.told("mine", "shard=1") == {"a": 5.0}


def test_a_page_with_thousands_of_series_is_told_as_one() -> None:
    page = "".join(f'my_queue{{shard="{i}"}} 1\n' for i in range(5000))
    config = "metrics: [{name: mine, from: [my_queue], labels: [shard]}]"
    following = Following(config).read(page, 1)

    assert following.told("mine") == {"a": 5000.0}
    assert len(following.view.columns("pods", "mine")[0].value) == 1


def test_a_gauge_may_be_smoothed_over_its_window() -> None:
    config = "metrics: [{name: mine, from: [x], smooth: max, window: 30s}]"
    following = Following(config)
    for ago, value in ((40, 9), (20, 5), (0, 1)):
        following.read(f"x {value}\n", ago)

    assert following.told("mine") == {"a": 5.0}


def test_a_series_that_appears_later_has_grown_from_zero() -> None:
    following = Following().read(tokens(100), 20)
    later = tokens(100) + 'vllm:generation_tokens_total{model_name="adapter"} 60\n'

    following.read(later, 0)

    assert following.told("output_tokens_per_second", "model=adapter") == {"a": 3.0}
    assert following.told("output_tokens_per_second", "model=m") == {"a": 0.0}


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=10))
def test_growth_is_never_negative_and_never_more_than_was_counted(counts: list[int]) -> None:
    following = Following()
    for step, count in enumerate(counts):
        following.read(tokens(count), 2 * (len(counts) - step))

    (rate,) = following.told("output_tokens_per_second").values()

    grown = sum(
        after - before if after >= before else after for before, after in itertools.pairwise(counts)
    )
    assert rate == pytest.approx(grown / (2 * (len(counts) - 1)))


def test_without_kubernetes_pods_that_are_read_are_those_that_there_are() -> None:
    following = Following().read(VLLM, 1)
    known = View(following.catalog, following.view.published)

    assert numbers(ask(known, "queue_depth")) == {"a": 7.0}
    with pytest.raises(NotFound, match="there are no pods matching app=vllm"):
        ask(known, "queue_depth", selecting="app=vllm")


@given(
    st.lists(
        st.binary(max_size=80)
        | st.sampled_from([VLLM, tokens(5).encode(), latency(1, 2, 3).encode()])
        | st.sampled_from(
            [b'vllm:e2e_request_latency_seconds_bucket{le="x"} 1\n', b"duty_cycle 9\n"]
        ),
        max_size=4,
    )
)
def test_no_page_is_too_odd_to_be_passed_over(pages: list[bytes]) -> None:
    following = Following()
    for step, page in enumerate(pages):
        following.read(page, 10 - step)
        assert all(np.isfinite(each.value).all() for each in following.pages)
