"""The documents, byte for byte as an HPA decodes them."""

from __future__ import annotations

import math
from fractions import Fraction

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadstar.kube.quantity import milli
from loadstar.kube.selectors import parse as selector
from metrics_adapter.api.quantities import quantity
from metrics_adapter.api.render import label_selector, render
from metrics_adapter.errors import BadRequest, NotFound
from metrics_adapter.query import CustomQuery, Described, ExternalQuery, Value

AT = 1_795_413_091.9  # 2026-11-23T05:51:31.9Z
VALUE = Value("kv_cache_usage", 0.873, AT, 60, Described("Pod", "v1", "lab", "vllm-0"))


def question(version: str, series: str = "model=qwen") -> CustomQuery:
    return CustomQuery(
        version, "pods", "lab", "*", "kv_cache_usage", metric_selector=selector(series)
    )


def test_v1beta2() -> None:
    assert render(question("v1beta2"), [VALUE]) == (
        b'{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},'
        b'"items":[{"describedObject":{"kind":"Pod","namespace":"lab","name":"vllm-0",'
        b'"apiVersion":"v1"},"metric":{"name":"kv_cache_usage","selector":{"matchLabels":'
        b'{"model":"qwen"}}},"timestamp":"2026-11-23T05:51:31Z","windowSeconds":60,'
        b'"value":"873m"}]}'
    )


def test_v1beta1() -> None:
    assert render(question("v1beta1", ""), [VALUE._replace(window_seconds=None)]) == (
        b'{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},'
        b'"items":[{"describedObject":{"kind":"Pod","namespace":"lab","name":"vllm-0",'
        b'"apiVersion":"v1"},"metricName":"kv_cache_usage","timestamp":"2026-11-23T05:51:31Z",'
        b'"value":"873m","selector":null}]}'
    )


def test_external() -> None:
    values = [
        Value("llm_queue_depth", 12.0, AT, 30, labels={"model": "qwen", "pool": "px"}),
        Value("llm_queue_depth", 2000.0, AT),
    ]

    assert render(ExternalQuery("lab", "llm_queue_depth"), values) == (
        b'{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1",'
        b'"metadata":{},"items":[{"metricName":"llm_queue_depth","metricLabels":{"model":"qwen",'
        b'"pool":"px"},"timestamp":"2026-11-23T05:51:31Z","window":30,"value":"12"},'
        b'{"metricName":"llm_queue_depth","metricLabels":{},"timestamp":"2026-11-23T05:51:31Z",'
        b'"value":"2k"}]}'
    )


def test_what_has_no_namespace_says_none() -> None:
    described = Described("Node", "v1", "", "n1")

    document = orjson.loads(render(question("v1beta2"), [VALUE._replace(described=described)]))

    assert document["items"][0]["describedObject"] == {
        "kind": "Node",
        "name": "n1",
        "apiVersion": "v1",
    }


def test_a_value_that_no_quantity_can_say_is_left_out_of_the_list() -> None:
    """One such would make an HPA refuse all of it."""
    values = [VALUE._replace(value=value) for value in (math.nan, math.inf, 1e30, 0.5)]

    document = orjson.loads(render(question("v1beta2"), values))

    assert [item["value"] for item in document["items"]] == ["500m"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a=b,c=d", {"matchLabels": {"a": "b", "c": "d"}}),
        (
            "a,!b,c in (x,y),d!=z",
            {
                "matchExpressions": [
                    {"key": "a", "operator": "Exists"},
                    {"key": "b", "operator": "DoesNotExist"},
                    {"key": "c", "operator": "In", "values": ["x", "y"]},
                    {"key": "d", "operator": "NotIn", "values": ["z"]},
                ]
            },
        ),
        (
            "a=b,a=c",
            {
                "matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "a", "operator": "In", "values": ["c"]}],
            },
        ),
    ],
)
def test_a_selector_is_repeated_as_an_object(text: str, expected: object) -> None:
    assert label_selector(selector(text)) == expected


def test_a_comparison_has_no_such_form() -> None:
    with pytest.raises(BadRequest, match="a>5"):
        label_selector(selector("a>5"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "500m"),
        (1.5, "1500m"),
        (5, "5"),
        (2000, "2k"),
        (12000, "12k"),
        (1500, "1500"),
        (1.23456789, "1235m"),
        (-1, "-1"),
        (0.0004, "0"),
        (1e6, "1M"),
    ],
)
def test_quantities(value: float, text: str) -> None:
    assert quantity(value) == text


@given(st.floats(-1e12, 1e12) | st.integers(-(10**9), 10**9).map(lambda n: n / 2000))
@example(1.0005)
@example(0.0005)
@example(4398046511103.9995)
def test_quantities_are_those_of_exact_arithmetic(value: float) -> None:
    assert quantity(value) == milli(value)


@given(st.floats(0, 1e9))
@example(1.0005)  # a float a little less than that, and rounded up as what is written
def test_quantities_are_within_half_a_thousandth(value: float) -> None:
    text = quantity(value)
    scales = {"m": Fraction(1, 1000), "k": Fraction(1000), "M": Fraction(10**6)}
    scale = scales.get(text[-1], Fraction(10**9 if text[-1] == "G" else 1))
    number = Fraction(text.rstrip("mkMG")) * scale
    assert abs(number - Fraction(repr(value))) <= Fraction(1, 2000)


@pytest.mark.parametrize("value", [1e30, -1e30, math.inf])
def test_a_list_of_which_nothing_can_be_said_is_not_an_empty_one(value: float) -> None:
    unsayable = VALUE._replace(value=value)
    with pytest.raises(NotFound, match="larger than one can be"):
        render(question("v1beta2"), [unsayable])
    outside = Value("llm_queue_depth", value, AT)
    with pytest.raises(NotFound, match="the metric llm_queue_depth as a quantity"):
        render(ExternalQuery("lab", "llm_queue_depth"), [outside])
    assert render(question("v1beta2"), [unsayable, VALUE]) == render(question("v1beta2"), [VALUE])
