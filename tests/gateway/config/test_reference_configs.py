"""A configuration written for the llm-d router is taken as it is, or refused naming the plugin.

Each one here uses only what the router documents: its sections, plugin types and parameters.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gateway.check import check
from gateway.plugins.catalog import TYPES, UNBUILT
from loadstar.config.errors import Remark

VERSIONS = ("llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1")


def wrong(text: str, version: str = VERSIONS[0]) -> list[str]:
    """What ``loadstar check`` has against it, which is what start-up and a reload have."""
    document: dict[str, Any] = yaml.safe_load(text)
    document = {"apiVersion": version, "kind": "EndpointPickerConfig", **document}
    return [str(p) for p in check(document, "") if not isinstance(p, Remark)]


TAKEN = {
    "the built-in default, written out": """
plugins:
- {type: queue-scorer}
- {type: kv-cache-utilization-scorer}
- {type: prefix-cache-scorer}
- {type: max-score-picker}
- {type: single-profile-handler}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
  - {pluginRef: max-score-picker}
""",
    "nothing but a header": "{}",
    "prefix affinity before token load, as its guides recommend": """
plugins:
- type: approx-prefix-cache-producer
  parameters: {maxPrefixBlocksToMatch: 2048, lruCapacityPerServer: 31250}
- type: inflight-load-producer
- type: prefix-cache-affinity-filter
  parameters: {affinityThreshold: 0.8, explorationProbability: 0.01, maxTTFTPenaltyMs: 18000}
- type: token-load-scorer
  parameters: {queueThresholdTokens: 4194304}
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: prefix-cache-affinity-filter}
  - {pluginRef: token-load-scorer, weight: 1}
  - {pluginRef: max-score-picker}
""",
    "the prefix index under the names of its parameters": """
plugins:
- type: prefix-cache-scorer
  name: prefix
  parameters: {autoTune: true, blockSizeTokens: 16, maxPrefixBlocksToMatch: 256,
               lruCapacityPerServer: 31250}
- {type: queue-scorer, name: queue}
- type: max-score-picker
  parameters: {maxNumOfEndpoints: 2}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: prefix, weight: 50}, {pluginRef: queue}, {pluginRef: max-score-picker}]
""",
    "LoRA adapters": """
plugins: [{type: lora-affinity-scorer}, {type: running-requests-size-scorer},
          {type: weighted-random-picker}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: lora-affinity-scorer, weight: 1}, {pluginRef: running-requests-size-scorer},
            {pluginRef: weighted-random-picker}]
""",
    "labels, load and context length": """
plugins:
- {type: label-selector-filter, name: gpus, parameters: {matchLabels: {gpu: h100}}}
- {type: load-aware-scorer, parameters: {threshold: 128}}
- {type: active-request-scorer, parameters: {idleThreshold: 0, maxBusyScore: 1.0}}
- {type: context-length-aware, parameters: {label: llm-d.ai/context-length-range,
                                            enableFiltering: false}}
- {type: no-hit-lru-scorer, parameters: {lruSize: 1024}}
- {type: random-picker}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: gpus}, {pluginRef: load-aware-scorer}, {pluginRef: active-request-scorer},
            {pluginRef: context-length-aware}, {pluginRef: no-hit-lru-scorer},
            {pluginRef: random-picker}]
""",
    "sections of flow control, data layer and parsers": """
featureGates: [flowControl]
plugins:
- {type: queue-scorer}
- {type: utilization-detector, parameters: {queueDepthThreshold: 5, kvCacheUtilThreshold: 0.8,
                                            metricsStalenessThreshold: 200ms}}
- {type: metrics-data-source, parameters: {scheme: http, path: /metrics, insecureSkipVerify: true}}
- {type: core-metrics-extractor}
- {type: round-robin-fairness-policy}
- {type: fcfs-ordering-policy}
- {type: openai-parser}
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}]}]
flowControl:
  maxBytes: 4Gi
  maxRequests: 10000
  defaultRequestTTL: 60s
  saturationDetector: {pluginRef: utilization-detector}
  defaultPriorityBand: {maxBytes: 1Gi}
  priorityBands:
  - {priority: 100, maxBytes: 2Gi, maxRequests: 5000, orderingPolicyRef: fcfs-ordering-policy,
     fairnessPolicyRef: round-robin-fairness-policy}
  - {priority: -1, maxRequests: 100}
dataLayer:
  sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}]
requestHandler: {parsers: [{pluginRef: openai-parser}]}
""",
    "the older places of a detector and a parser": """
plugins: [{type: queue-scorer}, {type: openai-parser},
          {type: concurrency-detector, parameters: {maxConcurrency: 100}}]
saturationDetector: {pluginRef: concurrency-detector}
parser: {pluginRef: openai-parser}
""",
    "without Kubernetes": """
plugins:
- {type: file-discovery, parameters: {path: /etc/endpoints.yaml, watchFile: true}}
- {type: queue-scorer}
- {type: max-score-picker}
dataLayer: {discovery: {pluginRef: file-discovery}}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer}, {pluginRef: max-score-picker}]}
""",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_it_is_taken_unchanged(text: str, version: str) -> None:
    assert wrong(text, version) == []


DISAGGREGATED = """
plugins:
- type: prefix-cache-scorer
- type: queue-scorer
- type: prefill-filter
- type: decode-filter
- type: max-score-picker
- type: prefix-based-pd-decider
  parameters: {nonCachedTokens: 16}
- type: disagg-profile-handler
  parameters: {deciders: {prefill: prefix-based-pd-decider}}
schedulingProfiles:
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: max-score-picker},
            {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: queue-scorer, weight: 1}]
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker},
            {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: queue-scorer, weight: 1}]
"""
PRECISE = """
plugins:
- type: precise-prefix-cache-scorer
  parameters: {tokenProcessorConfig: {blockSize: 16}, kvEventsConfig: {topicFilter: kv@}}
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins: [{pluginRef: precise-prefix-cache-scorer}, {pluginRef: max-score-picker}]
"""
PREDICTED = """
plugins: [{type: predicted-latency-producer, parameters: {samplingMean: 1000}},
          {type: latency-scorer, parameters: {ttftWeight: 0.8}}, {type: latency-slo-admitter}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: latency-scorer}]}]
"""


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        pytest.param(
            DISAGGREGATED, {5: "prefix-based-pd-decider", 6: "disagg-profile-handler"}, id="P/D"
        ),
        pytest.param(PRECISE, {0: "precise-prefix-cache-scorer"}, id="KV events"),
        pytest.param(
            PREDICTED,
            {0: "predicted-latency-producer", 1: "latency-scorer", 2: "latency-slo-admitter"},
            id="predicted latency",
        ),
    ],
)
def test_or_it_is_refused_naming_each_plugin_and_why(text: str, refused: dict[int, str]) -> None:
    problems = wrong(text)
    expected = {index: name for index, name in refused.items() if name not in TYPES}
    assert len(problems) == len(expected)
    for (index, name), problem in zip(expected.items(), problems, strict=True):
        assert problem.startswith(f"plugins[{index}].type: ")
        assert name in problem
        assert UNBUILT[name] in problem


def test_whatever_the_router_has_is_known_by_name() -> None:
    """To be unknown is to be mistyped: an operator who moves here must be told more than that."""
    named = """
        active-request-scorer agent-identity always-disagg-multimodal-decider
        always-disagg-pd-decider approx-prefix-cache-producer burst-prefix-cache-producer by-label
        by-label-selector concurrency-detector context-length-aware core-metrics-extractor
        data-parallel-profile-handler decode-filter destination-endpoint-served-verifier
        disagg-profile-handler disaggregatedset-rollout-screener dcgm-data-source
        edf-ordering-policy encode-filter endpoint-attribute-filter endpoint-attribute-scorer
        endpoint-notification-source fcfs-ordering-policy file-discovery
        global-strict-fairness-policy header-based-testing-filter header-profile-handler
        inflight-load-producer k8s-notification-source kv-cache-utilization-scorer
        label-selector-filter latency-scorer latency-slo-admitter load-aware-scorer
        lora-affinity-scorer max-score-picker metrics-data-source models-data-extractor
        models-data-source no-hit-lru-scorer p2p-source-producer pd-profile-handler
        precise-prefix-cache-producer precise-prefix-cache-scorer predicted-latency-producer
        prefill-filter prefix-based-pd-decider prefix-cache-affinity-filter prefix-cache-scorer
        priority-holdback-policy priority-then-time-eviction-order-policy probabilistic-admitter
        program-aware-fairness queue-scorer random-picker request-attribute-reporter
        round-robin-fairness-policy running-requests-size-scorer session-affinity-filter
        session-affinity-scorer session-id-producer sheddable-eviction-filter
        single-profile-handler slo-deadline-ordering-policy slo-headroom-tier-filter
        soft-reflective-ceiling-policy static-usage-limit-policy token-load-scorer token-producer
        topology-affinity-filter topology-affinity-scorer utilization-detector utilization-filter
        weighted-random-picker
    """
    assert [name for name in named.split() if name not in TYPES and name not in UNBUILT] == []
