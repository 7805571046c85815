"""The EndpointPickerConfig document: its schema, gates and notices."""

from __future__ import annotations

import pytest

from gateway.config.defaults import DEFAULT, REFERENCE_DEFAULT
from gateway.config.gates import DEFAULTS, read_gates
from gateway.config.notices import notices
from gateway.config.picker import (
    DataLayerSpec,
    DetectorRef,
    EndpointPickerConfig,
    FlowControlSpec,
    PluginRef,
    PluginSpec,
    PriorityBand,
    RequestHandlerSpec,
    ResponseMode,
    ResponseProcessing,
    SchedulingPlugin,
    SchedulingProfile,
    SourceSpec,
    parse,
)
from loadstar.config.errors import ConfigError, Problems

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_whole_schema() -> None:
    text = (
        HEAD
        + """
featureGates: [flowControl, haPopulateNonLeaderDatastore=false]
plugins:
- name: prefix
  type: prefix-cache-scorer
  parameters: {matchLengthWeight: 0.5}
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: prefix, weight: 2}
  - pluginRef: max-score-picker
saturationDetector: {pluginRef: detector}
dataLayer:
  injectDefaults: false
  sources:
  - pluginRef: source
    extractors: [{pluginRef: extractor}]
  discovery: {pluginRef: files}
  peerDiscovery: {pluginRef: peers}
  crossReplicaSyncerPluginRef: syncer
  crossReplicaSyncInterval: 500ms
flowControl:
  maxBytes: 1Gi
  maxRequests: 1k
  defaultRequestTTL: 60s
  noEndpointRequestTTL: 5m
  defaultPriorityBand: {priority: 0, maxRequests: 100}
  defaultNegativePriorityBand: {priority: -1}
  priorityBands:
  - {priority: 10, maxBytes: 500M, fairnessPolicyRef: fair, orderingPolicyRef: order}
  usageLimitPolicyPluginRef: limit
  saturationDetector: {pluginRef: detector}
  enableEviction: true
requestHandler:
  parsers: [{pluginRef: openai-parser}]
parser: {pluginRef: openai-parser}
"""
    )
    assert parse(text) == EndpointPickerConfig(
        api_version="llm-d.ai/v1alpha1",
        kind="EndpointPickerConfig",
        feature_gates=("flowControl", "haPopulateNonLeaderDatastore=false"),
        plugins=(
            PluginSpec("prefix-cache-scorer", "prefix", {"matchLengthWeight": 0.5}),
            PluginSpec("max-score-picker"),
        ),
        scheduling_profiles=(
            SchedulingProfile(
                "default",
                (SchedulingPlugin("prefix", 2.0), SchedulingPlugin("max-score-picker")),
            ),
        ),
        data_layer=DataLayerSpec(
            inject_defaults=False,
            sources=(SourceSpec("source", (PluginRef("extractor"),)),),
            discovery=PluginRef("files"),
            peer_discovery=PluginRef("peers"),
            cross_replica_syncer_plugin_ref="syncer",
            cross_replica_sync_interval=0.5,
        ),
        flow_control=FlowControlSpec(
            max_bytes=2**30,
            max_requests=1000,
            default_request_ttl=60.0,
            no_endpoint_request_ttl=300.0,
            default_priority_band=PriorityBand(0, max_requests=100),
            default_negative_priority_band=PriorityBand(-1),
            priority_bands=(
                PriorityBand(
                    10,
                    max_bytes=500_000_000,
                    fairness_policy_ref="fair",
                    ordering_policy_ref="order",
                ),
            ),
            usage_limit_policy_plugin_ref="limit",
            saturation_detector=DetectorRef("detector"),
            enable_eviction=True,
        ),
        request_handler=RequestHandlerSpec((PluginRef("openai-parser"),)),
        saturation_detector=DetectorRef("detector"),
        parser=PluginRef("openai-parser"),
    )


def test_the_old_api_version_is_read_too() -> None:
    text = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig"
    assert parse(text).api_version == "inference.networking.x-k8s.io/v1alpha1"


def test_version_and_kind_need_not_be_written() -> None:
    assert parse("plugins: []") == EndpointPickerConfig(
        api_version="llm-d.ai/v1alpha1", kind="EndpointPickerConfig"
    )


def test_json_is_read_too() -> None:
    text = '{"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig", "plugins": []}'
    assert parse(text) == EndpointPickerConfig("llm-d.ai/v1alpha1", "EndpointPickerConfig")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "", ["the document is empty; it should be an EndpointPickerConfig"], id="empty"
        ),
        pytest.param(
            "apiVersion: llm-d.ai/v1\nkind: EndpointPicker",
            [
                "apiVersion: must be llm-d.ai/v1alpha1 or inference.networking.x-k8s.io/v1alpha1, "
                'not "llm-d.ai/v1"',
                'kind: must be EndpointPickerConfig, not "EndpointPicker"',
            ],
            id="another kind",
        ),
        pytest.param(
            HEAD + "schedulingProfiles: [{name: a, plugins: [{pluginRef: x, wieght: 2}]}]",
            ["schedulingProfiles[0].plugins[0].wieght: unknown key, did you mean weight?"],
            id="a typo",
        ),
        pytest.param(HEAD + "plugins: [{name: a}]", ["plugins[0].type: is required"], id="no type"),
        pytest.param(
            HEAD + "plugins: [{type: a, parameters: [1]}]",
            ["plugins[0].parameters: must be a mapping, not a list"],
            id="parameters",
        ),
        pytest.param(
            HEAD + "flowControl: {maxBytes: -1, defaultRequestTTL: 60}",
            [
                "flowControl.maxBytes: must be at least 0, not -1",
                "flowControl.defaultRequestTTL: must be text with a unit, not 60",
            ],
            id="quantities",
        ),
    ],
)
def test_what_does_not_fit_is_named(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param([], {}, id="defaults"),
        pytest.param(["flowControl"], {"flowControl": True}, id="bare is true"),
        pytest.param(["flowControl=true"], {"flowControl": True}, id="true"),
        pytest.param(["flowControl= T "], {"flowControl": True}, id="as Go reads it"),
        pytest.param(
            ["haPopulateNonLeaderDatastore=0"], {"haPopulateNonLeaderDatastore": False}, id="0"
        ),
        pytest.param(
            ["flowControl", "flowControl=false"], {"flowControl": False}, id="the last wins"
        ),
        pytest.param(
            ["dataLayer", "enableLegacyMetrics"], {"enableLegacyMetrics": True}, id="older gates"
        ),
    ],
)
def test_feature_gates(written: list[str], expected: dict[str, bool]) -> None:
    found = Problems()
    assert read_gates(written, found) == {**DEFAULTS, **expected}
    found.raise_if_any()


def test_a_gate_that_is_none_is_named() -> None:
    found = Problems()
    read_gates(["flowcontrol", "flowControl=maybe", "zzz"], found)
    with pytest.raises(ConfigError) as caught:
        found.raise_if_any()
    assert [str(problem) for problem in caught.value.problems] == [
        'featureGates[0]: unknown feature gate "flowcontrol", did you mean flowControl?',
        'featureGates[1]: "maybe" is neither true nor false',
        'featureGates[2]: unknown feature gate "zzz"',
    ]


def test_what_is_read_and_not_acted_on_is_said() -> None:
    text = (
        "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n"
        "saturationDetector: {}\nparser: {pluginRef: openai-parser}\n"
        "flowControl: {maxRequests: 5, defaultRequestTTL: 0s, priorityBands: [{priority: 1}]}\n"
    )
    told = notices(parse(text), {"flowControl": True, "enableLegacyMetrics": True})
    assert [notice.path for notice in told] == [
        "apiVersion",
        "featureGates",
        "featureGates",
        "saturationDetector",
        "parser",
        "flowControl.maxRequests",
        "flowControl.defaultRequestTTL",
        "flowControl.priorityBands",
    ]


@pytest.mark.parametrize("config", [DEFAULT, REFERENCE_DEFAULT], ids=["ours", "reference"])
def test_there_is_nothing_to_say_of_the_defaults(config: EndpointPickerConfig) -> None:
    assert notices(config, DEFAULTS) == ()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("", ResponseProcessing(ResponseMode.FULL, 0.05), id="not written"),
        pytest.param(
            "responseProcessing: {mode: headers}",
            ResponseProcessing(ResponseMode.HEADERS, 0.05),
            id="mode alone",
        ),
        pytest.param(
            "responseProcessing: {mode: adaptive, sampleShare: 20%}",
            ResponseProcessing(ResponseMode.ADAPTIVE, 0.2),
            id="a share in percent",
        ),
        pytest.param(
            "responseProcessing: {sampleShare: 1}",
            ResponseProcessing(ResponseMode.FULL, 1.0),
            id="a share as a number",
        ),
    ],
)
def test_how_far_responses_are_followed(written: str, expected: ResponseProcessing) -> None:
    assert parse(HEAD + written).response_processing == expected


@pytest.mark.parametrize(
    ("written", "path"),
    [
        pytest.param("{mode: header}", "responseProcessing.mode", id="no such mode"),
        pytest.param("{sampleShare: 1.5}", "responseProcessing.sampleShare", id="too large"),
        pytest.param("{sampleShare: -5%}", "responseProcessing.sampleShare", id="negative"),
        pytest.param("{share: 0.5}", "responseProcessing.share", id="unknown key"),
        pytest.param("full", "responseProcessing", id="not a mapping"),
    ],
)
def test_what_is_wrong_about_response_processing_is_named(written: str, path: str) -> None:
    (problem,) = problems(HEAD + f"responseProcessing: {written}")
    assert problem.startswith(f"{path}: ")


def test_where_responses_cannot_be_let_go_is_said() -> None:
    config = parse(HEAD + "responseProcessing: {mode: adaptive}")
    (notice,) = notices(config, DEFAULTS)
    assert notice.path == "responseProcessing.mode"
    assert "FULL_DUPLEX_STREAMED" in notice.message
