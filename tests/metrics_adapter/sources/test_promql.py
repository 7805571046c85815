"""Answers of a Prometheus API, and rules of another adapter that become ours."""

from __future__ import annotations

from typing import Any

import pytest

from loadstar.config.document import read
from loadstar.config.errors import ConfigError
from metrics_adapter.adapter_config import PrometheusSource, PromqlRule, parse_config
from metrics_adapter.importer import import_rules, main
from metrics_adapter.query import Row
from metrics_adapter.sources.promql_answers import rows


def answered(*series: tuple[dict[str, str], str]) -> Any:
    result = [{"metric": labels, "value": [1000.5, value]} for labels, value in series]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def test_series_become_rows_of_the_objects_that_their_labels_name() -> None:
    rule = PromqlRule(metric="m", query="q", resource="pods", window=60.0)
    answer = answered(
        ({"__name__": "x", "namespace": "lab", "pod": "a", "model_name": "b/c"}, "1.5"),
        ({"namespace": "lab"}, "2"),
    )

    assert rows(rule, answer) == [
        Row(("lab", "a"), {"model_name": "b/c", "model": "b--c"}, 1.5, 1000.5, 60)
    ]


def test_series_of_no_object_are_external() -> None:
    answer = answered(({"namespace": "lab", "queue": "x"}, "NaN"))

    (row,) = rows(PromqlRule(metric="m", query="q"), answer)
    (everywhere,) = rows(PromqlRule(metric="m", query="q", namespaced=False), answer)

    assert (row.key, everywhere.key) == (("lab", ""), ("", ""))
    assert row.labels == {"namespace": "lab", "queue": "x"}
    assert row.value != row.value


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"status": "error", "error": "parse error"}, "the query failed: parse error"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "gives a matrix"),
        ([], "the query failed"),
    ],
)
def test_what_is_no_answer_is_refused(answer: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        rows(PromqlRule(metric="m", query="q"), answer)


RULES = """
rules:
- seriesQuery: '{__name__="vllm:num_requests_waiting",namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {matches: "^vllm:(.*)$", as: "vllm_${1}"}
  metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
- seriesQuery: 'http_requests_total{kubernetes_pod_name!=""}'
  seriesFilters: [{isNot: "_seconds_"}]
  resources: {template: "kubernetes_<<.Resource>>_name"}
  name: {matches: "^(.*)_total$"}
  metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'
- seriesQuery: '{__name__=~"^container_.*"}'
  metricsQuery: 'x'
- seriesQuery: 'a'
  resources: {overrides: {pod: {resource: pod}}}
  metricsQuery: 'sum(<<.Series>>{<<index .LabelValuesByName "pod">>})'
externalRules:
- seriesQuery: 'queue_length'
  resources: {namespaced: false}
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>}) by (queue)'
resourceRules: {cpu: {}}
"""


def test_rules_are_imported_and_what_is_not_is_listed() -> None:
    imported = import_rules(read(RULES))
    (source,) = parse_config(imported.document("http://p:9090")).sources

    assert isinstance(source, PrometheusSource)
    assert source.rules == (
        PromqlRule(
            metric="vllm_num_requests_waiting",
            query='sum(vllm:num_requests_waiting{namespace!="",pod!="",namespace!="",pod!=""})'
            " by (namespace,pod)",
            resource="pods",
        ),
        PromqlRule(
            metric="http_requests",
            query='sum(rate(http_requests_total{kubernetes_pod_name!="",'
            'kubernetes_namespace_name!="",kubernetes_pod_name!=""}[2m]))'
            " by (kubernetes_namespace_name,kubernetes_pod_name)",
            resource="pods",
            name_label="kubernetes_pod_name",
            namespace_label="kubernetes_namespace_name",
        ),
        PromqlRule(metric="queue_length", query="max(queue_length{}) by (queue)", namespaced=False),
    )
    assert imported.left_out == [
        "rules[2]: seriesQuery '{__name__=~\"^container_.*\"}' finds series by pattern; name one, "
        "in a rule of its own",
        'rules[3]: metricsQuery: <<index .LabelValuesByName "pod">> depends on each request',
        "resourceRules: CPU and memory are metrics-server's, at metrics.k8s.io",
    ]


def test_the_command_prints_the_configuration_and_what_is_left_out(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rules.yaml"
    indented = RULES.replace("\n", "\n    ")
    file.write_text(f"kind: ConfigMap\ndata:\n  config.yaml: |{indented}")

    assert main([str(file), "--prometheus-url", "https://p"]) == 0

    out, err = capsys.readouterr()
    (source,) = parse_config(out).sources
    assert isinstance(source, PrometheusSource)
    assert (source.url, len(source.rules)) == ("https://p", 3)
    assert err.count("not imported: ") == 3
    assert main([str(tmp_path / "none")]) == 2


def test_what_is_no_set_of_rules_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither rules nor externalRules"):
        import_rules(read("a: b"))
