"""Filters keep the endpoints that satisfy them, and nobody else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.config.defaults import DEFAULT
from gateway.config.picker import parse
from gateway.plugins.catalog import CATALOG
from gateway.plugins.filters.named_by_header import NamedByHeader
from gateway.plugins.filters.prefix_affinity import PrefixAffinity
from gateway.plugins.filters.utilization import Condition, Metric, UtilizationFilter
from gateway.scheduling.build import build
from gateway.scheduling.plugin_type import Settings
from gateway.scheduling.types import Filter
from loadstar.arrays import Floats
from loadstar.config.errors import ConfigError
from tests.builders import candidates, cycle, endpoint, pool, prefix_match, request

NAN = None


def believe(observed_at: Floats, now: float) -> Floats:
    return (now - observed_at <= 2.0).astype(float)


def configured(plugin_type: str, parameters: str = "{}") -> Filter:
    """The filter as an operator gets it."""
    text = (
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
        f"plugins: [{{type: {plugin_type}, parameters: {parameters}}}]"
    )
    built = build(parse(text), CATALOG, Settings(believe), DEFAULT)
    (named,) = built.scheduler.profiles["default"].filters
    return named.filter


def kept(tested: Filter, *labels: Mapping[str, str]) -> list[bool]:
    state = pool(*(endpoint(slot, labels=each) for slot, each in enumerate(labels)))
    return [bool(keep) for keep in tested.keep(cycle(state), candidates(state))]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param("{}", [1, 1, 1], id="empty: everybody"),
        pytest.param("{matchLabels: {app: a}}", [1, 0, 0], id="label"),
        pytest.param("{matchLabels: {app: a, gpu: l4}}", [0, 0, 0], id="all labels"),
        pytest.param(
            "{matchExpressions: [{key: app, operator: In, values: [a, b]}]}", [1, 1, 0], id="In"
        ),
        pytest.param(
            "{matchExpressions: [{key: app, operator: NotIn, values: [a]}]}",
            [0, 1, 1],
            id="NotIn holds without the label",
        ),
        pytest.param("{matchExpressions: [{key: app, operator: Exists}]}", [1, 1, 0], id="Exists"),
        pytest.param(
            "{matchExpressions: [{key: app, operator: DoesNotExist}]}", [0, 0, 1], id="DoesNotExist"
        ),
        pytest.param(
            "{matchLabels: {app: b}, matchExpressions: [{key: gpu, operator: Exists}]}",
            [0, 1, 0],
            id="both",
        ),
    ],
)
@pytest.mark.parametrize("name", ["label-selector-filter", "by-label-selector"])
def test_label_selector(name: str, selector: str, expected: list[int]) -> None:
    found = kept(configured(name, selector), {"app": "a"}, {"app": "b", "gpu": "h100"}, {})
    assert found == [bool(keep) for keep in expected]


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        ("{matchLabels: {'-a': b}}", "'-a' is not a label key"),
        ("{matchLabels: {a: 'b c'}}", "a: 'b c' is not a label value"),
        ("{matchExpressions: [{key: a, operator: In}]}", "a: In needs at least one value"),
        (
            "{matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
            "a: Exists takes no values",
        ),
        ("{matchExpressions: [{key: a, operator: in, values: [b]}]}", "did you mean In?"),
        ("{matchExpressions: [{key: a, operator: Gt, values: ['5']}]}", "Gt cannot be said"),
    ],
)
def test_a_selector_that_is_none_is_refused(selector: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured("label-selector-filter", selector)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param("{label: app, validValues: [a, b]}", [1, 1, 0], id="values"),
        pytest.param(
            "{label: app, validValues: [a], allowsNoLabel: true}", [1, 0, 1], id="or none"
        ),
    ],
)
def test_by_label(parameters: str, expected: list[int]) -> None:
    found = kept(configured("by-label", parameters), {"app": "a"}, {"app": "b"}, {})
    assert found == [bool(keep) for keep in expected]


ROLES = [
    "decode",
    "prefill",
    "encode",
    "prefill-decode",
    "encode-prefill",
    "both",
    "encode-prefill-decode",
    "other",
    None,
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "decode-filter",
            ["decode", "prefill-decode", "both", "encode-prefill-decode", None],
        ),
        (
            "prefill-filter",
            ["prefill", "prefill-decode", "encode-prefill", "both", "encode-prefill-decode"],
        ),
        ("encode-filter", ["encode", "encode-prefill", "encode-prefill-decode"]),
    ],
)
def test_roles(name: str, expected: list[str | None]) -> None:
    labels = [{} if role is None else {"llm-d.ai/role": role} for role in ROLES]
    mask = kept(configured(name), *labels)
    assert [role for role, keep in zip(ROLES, mask, strict=True) if keep] == expected


def test_labels_are_read_anew_when_the_pool_changes() -> None:
    """A slot's next tenant has labels of its own."""
    tested = configured("decode-filter")
    assert kept(tested, {"llm-d.ai/role": "decode"}) == [True]
    assert kept(tested, {"llm-d.ai/role": "prefill"}) == [False]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param([(Metric.WAITING, 5)], [1, 1, 0, 0], id="at most; unknown is above"),
        pytest.param([(Metric.KV_CACHE, 0.5)], [1, 0, 1, 0], id="share"),
        pytest.param([(Metric.ACTIVE, 2)], [0, 1, 1, 1], id="in flight is always known"),
        pytest.param([(Metric.WAITING, 5), (Metric.KV_CACHE, 0.5)], [1, 0, 0, 0], id="all of them"),
        pytest.param([(Metric.RUNNING, 0)], [1, 1, 1, 1], id="known of nobody: says nothing"),
    ],
)
def test_utilization(conditions: list[tuple[Metric, float]], expected: list[int]) -> None:
    state = pool(
        waiting=[0, 5, 6, NAN],
        kv_used=[0.5, 0.51, 0.1, NAN],
        running=NAN,
        inflight_requests=[3, 2, 0, 0],
    )
    tested = UtilizationFilter(tuple(Condition(metric, most) for metric, most in conditions))
    assert tested.keep(cycle(state), candidates(state)).tolist() == [bool(e) for e in expected]


def test_utilization_does_not_believe_what_is_stale() -> None:
    state = pool(waiting=[0, 9, 0])
    tested = UtilizationFilter((Condition(Metric.WAITING, 5),))
    old = candidates(state, confidence=[0.0, 1.0, 1.0])
    assert tested.keep(cycle(state), old).tolist() == [False, False, True]


@pytest.mark.parametrize("fallback", [True, False])
def test_utilization_may_fall_back_to_everybody(fallback: bool) -> None:
    state = pool(waiting=[8, 9])
    tested = UtilizationFilter((Condition(Metric.WAITING, 5),), fallback_on_empty=fallback)
    assert tested.keep(cycle(state), candidates(state)).tolist() == [fallback, fallback]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("{}", "plugins[0].parameters.conditions: is required"),
        ("{conditions: []}", "plugins[0].parameters.conditions: must not be empty"),
        (
            "{conditions: [{metric: kv-cache-utilization, maxValue: 80}]}",
            "plugins[0].parameters.conditions[0]: maxValue of kv-cache-utilization is a fraction",
        ),
        (
            "{conditions: [{metric: kv-cache, maxValue: 1}]}",
            "plugins[0].parameters.conditions[0].metric: must be one of",
        ),
        (
            "{conditions: [{metric: waiting-queue}]}",
            "plugins[0].parameters.conditions[0].maxValue: is required",
        ),
    ],
)
def test_caps_that_are_none_are_refused(parameters: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured("utilization-filter", parameters)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("10.0.0.1", [1, 1, 0, 0], id="an address is any port of it"),
        pytest.param("10.0.0.1:3002", [0, 1, 0, 0], id="address and port"),
        pytest.param("10.0.0.1:3000, 10.0.0.1:3002,", [1, 1, 0, 0], id="two ranks of one pod"),
        pytest.param("10.0.0.2:3000,[2600::1]:3000", [0, 0, 1, 1], id="IPv6 with a port"),
        pytest.param("2600::1", [0, 0, 0, 1], id="bare IPv6"),
        pytest.param("[2600::1]", [0, 0, 0, 1], id="IPv6 in brackets"),
        pytest.param("10.0.0.1:9", [0, 0, 0, 0], id="another port"),
        pytest.param("", [0, 0, 0, 0], id="nothing named"),
        pytest.param(None, [0, 0, 0, 0], id="no header"),
    ],
)
def test_named_by_header(header: str | None, expected: list[int]) -> None:
    state = pool(
        endpoint(0, address="10.0.0.1", port=3000),
        endpoint(1, address="10.0.0.1", port=3002),
        endpoint(2, address="10.0.0.2", port=3000),
        endpoint(3, address="2600::1", port=3000),
    )
    headers = {} if header is None else {"test-epp-endpoint-selection": header}
    asked = cycle(state, request=request(headers=headers))
    assert NamedByHeader().keep(asked, candidates(state)).tolist() == [bool(e) for e in expected]


@pytest.mark.parametrize(
    ("matched", "before", "expected"),
    [
        pytest.param([9, 1, 0], [0, 0, 0], [1, 0, 0], id="stay with who holds 80 %"),
        pytest.param([8, 9, 0], [0, 0, 0], [1, 1, 0], id="all who do"),
        pytest.param([7, 1, 0], [0, 0, 0], [1, 1, 1], id="nobody does"),
        pytest.param([9, 9, 8], [0, 0, 0], [1, 1, 1], id="all do"),
        pytest.param([9, 1, 0], [1000, 0, 500], [1, 0, 0], id="1000 tokens behind is bearable"),
        pytest.param([9, 1, 0], [1001, 0, 500], [1, 1, 1], id="more is not"),
        pytest.param([9, 9, 0], [5000, 100, 0], [1, 1, 0], id="the best holder counts"),
    ],
)
def test_prefix_affinity(matched: list[int], before: list[int], expected: list[int]) -> None:
    state = pool(inflight_prefill=before)
    asked = cycle(state, prefix=prefix_match(state, matched, total=10))
    tested = PrefixAffinity(0.8, 0.0, 1000.0, until_the_end=False, producer="p")
    assert tested.keep(asked, candidates(state)).tolist() == [bool(e) for e in expected]


def test_prefix_affinity_explores_as_often_as_it_is_told() -> None:
    state = pool()
    asked = cycle(state, prefix=prefix_match(state, [10, 0, 0], total=10))
    tested = PrefixAffinity(0.8, 0.25, 1000.0, until_the_end=False, producer="p")
    explored = sum(tested.keep(asked, candidates(state)).all() for _ in range(2000))
    assert explored / 2000 == pytest.approx(0.25, abs=0.04)


def test_prefix_affinity_says_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match="latencyPredictor needs the latency predictor"):
        configured("prefix-cache-affinity-filter", "{ttftSource: latencyPredictor}")
