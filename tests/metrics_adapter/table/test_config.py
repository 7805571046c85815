"""The configuration: what an operator may write, and how he hears what is wrong."""

from __future__ import annotations

import pytest

from loadstar.config.errors import ConfigError
from metrics_adapter.adapter_config import (
    FeedSource,
    FileSource,
    Fold,
    PodsSource,
    parse_config,
)
from metrics_adapter.catalog import catalog


def test_sources_alone_are_a_configuration() -> None:
    config = parse_config("sources: [{type: file, path: F}]")

    assert config.sources == (FileSource(type="file", path="F"),)
    assert (config.staleness, config.quorum, config.defaults) == (60.0, 0.5, True)


def test_the_whole_of_it() -> None:
    config = parse_config(
        """
        apiVersion: loadstar.dev/v1alpha1
        kind: MetricsAdapterConfig
        staleness: 30s
        quorum: 80%
        sources:
        - {type: feed, addresses: ["gateways:9004", "[2001:db8::1]:9004"], caFile: /ca.crt}
        - {type: pods, selector: app=vllm, interval: 10s}
        metrics:
        - {name: batch, from: [my_batch], aggregate: max, aggregates: {nodes: avg}}
        """
    )

    assert (config.staleness, config.quorum) == (30.0, 0.8)
    assert config.sources == (
        FeedSource(
            type="feed", addresses=("gateways:9004", "[2001:db8::1]:9004"), ca_file="/ca.crt"
        ),
        PodsSource(type="pods", selector="app=vllm", interval=10.0),
    )
    assert config.metrics[0].folded("nodes") is Fold.AVG
    assert config.metrics[0].folded("services") is Fold.MAX


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sources: [{type: fill}]", "sources[0].type: must be one of file, feed, pods, prometheus"),
        ("sources: [{type: file}]", "sources[0].path: is required"),
        ("sources: [{type: file, path: a, pathh: b}]", "pathh: unknown key, did you mean path?"),
        ("sources: [{type: feed, addresses: [x]}]", "'x' is not host:port"),
        ("sources: [{type: feed, addresses: []}]", "`addresses` must not be empty"),
        ("sources: [{type: pods, selector: 'a=b c'}]", "sources[0]: expected"),
        ("metrics: [{name: a/b, from: [x]}]", "metrics[0].name: must be a metric name"),
        ("metrics: [{name: a, from: [x]}, {name: a, from: [y]}]", "metrics[1].name: a is there"),
        ("metrics: [{name: a, kind: expression}]", "an expression has `expression`"),
        ("metrics: [{name: a, expression: b}]", "`expression` goes with kind: expression"),
        ("metrics: [{name: a, from: [x], smooth: sum}]", "`smooth` is avg"),
        ("metrics: [{name: a, from: [x], quantile: max}]", "`quantile` is p50"),
        ("metrics: [{name: a, from: [x], aliases: [b/c]}]", "must not contain a slash"),
        ("metrics: [{name: a, from: ['x{']}]", "metrics[0].from[0]: "),
        (
            "metrics: [{name: a, kind: expression, expression: queue_dept + 1}]",
            "metrics[0].expression: there is no metric queue_dept, did you mean queue_depth?",
        ),
        (
            "metrics: [{name: a, kind: expression, expression: b}, "
            "{name: b, kind: expression, expression: a}]",
            "a would be made of itself",
        ),
        ("staleness: 60", "staleness: must be text with a unit"),
        ("kind: EndpointPickerConfig", "kind: must be MetricsAdapterConfig"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        catalog(parse_config(text))

    assert problem in str(refused.value)


def test_an_entry_takes_the_place_of_a_default_of_its_name() -> None:
    table = catalog(parse_config("metrics: [{name: queue_depth, from: [mine]}]"))

    metric = table.resolve("queue_depth")
    assert metric is not None
    assert metric.entry.series == ("mine",)
    assert table.resolve("vllm:num_requests_waiting") is None
    assert table.resolve("prometheus.googleapis.com|mine|gauge") is metric


def test_the_defaults_are_consistent_and_every_expression_is_of_metrics_that_exist() -> None:
    table = catalog(parse_config(""))

    assert {"kv_cache_utilization", "queue_depth", "requests_per_second"} <= set(table.metrics)
    assert {"model_latency_ms", "model_latency_ms_p99"} <= set(table.metrics)
    for alias, name in {
        "prometheus.googleapis.com|vllm:num_requests_waiting|gauge": "queue_depth",
        "prometheus.googleapis.com|vllm:prompt_tokens_total|counter": "input_tokens_per_second",
        "prometheus.googleapis.com|DCGM_FI_DEV_GPU_UTIL|gauge": "gpu_utilization_percent",
        "vllm:gpu_cache_usage_perc": "kv_cache_utilization",
    }.items():
        metric = table.resolve(alias)
        assert metric is not None
        assert metric.entry.name == name
