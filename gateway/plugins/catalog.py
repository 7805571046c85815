"""Every plugin type an EndpointPickerConfig may name, and why the reference's others are missing.

One literal table; to add a plugin is to write its file and one line here.
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.config.data_sources import (
    CoreMetrics,
    FileDiscovery,
    MetricsSource,
    ModelsExtractor,
    ModelsSource,
    NotificationSource,
)
from gateway.config.notices import NOT_QUEUED
from gateway.plugins.detectors.concurrency import ConcurrencyParameters, concurrency_detector
from gateway.plugins.detectors.utilization import UtilizationParameters, utilization_detector
from gateway.plugins.filters.by_label import ByLabel, by_label
from gateway.plugins.filters.label_selector import LabelSelector, label_selector
from gateway.plugins.filters.named_by_header import NamedByHeader
from gateway.plugins.filters.prefix_affinity import AffinityParameters, prefix_affinity
from gateway.plugins.filters.roles import decode_filter, encode_filter, prefill_filter
from gateway.plugins.filters.session_affinity import session_pin
from gateway.plugins.filters.utilization import UtilizationFilter
from gateway.plugins.handlers.single import SingleProfile
from gateway.plugins.pickers.max_score import MaxScore
from gateway.plugins.pickers.power_of_two import PowerOfTwo
from gateway.plugins.pickers.random_choice import RandomChoice
from gateway.plugins.pickers.weighted_random import WeightedRandom
from gateway.plugins.producers.approx_prefix import approx_prefix
from gateway.plugins.scorers.active_request import ActiveRequests
from gateway.plugins.scorers.context_length import ContextLengthParameters, context_length
from gateway.plugins.scorers.kv_cache import KvCache
from gateway.plugins.scorers.load_aware import LoadAware
from gateway.plugins.scorers.lora_affinity import LoraAffinity
from gateway.plugins.scorers.no_hit_lru import NoHitLruParameters, no_hit_lru
from gateway.plugins.scorers.predicted_cost import PredictedCostParameters, predicted_cost
from gateway.plugins.scorers.prefix_cache import PrefixCacheParameters, prefix_cache
from gateway.plugins.scorers.queue_depth import QueueDepth
from gateway.plugins.scorers.running_requests import RunningRequests
from gateway.plugins.scorers.session_affinity import session_affinity
from gateway.plugins.scorers.token_load import TokenLoadParameters, token_load
from gateway.scheduling.plugin_type import (
    Catalog,
    NoParameters,
    Parser,
    PluginType,
    Policy,
    ServedReporter,
    StaticLimit,
)
from gateway.scheduling.producer_parameters import InflightLoad, PrefixParameters
from gateway.scheduling.sessions import SessionParameters

_ALWAYS_ON = "is always on here and changes only how token loads are counted"
_BY_PATH = "is accepted; which dialect a request speaks is told by its path"
_NOT_BUILT = "has no effect in this version"
_OF_A_PROFILE = frozenset({"scorer", "picker"})
"""The reference's example of running without Kubernetes gives these to the profile handler."""

TYPES = MappingProxyType(
    {
        # filters
        "label-selector-filter": PluginType(LabelSelector, label_selector),
        "by-label-selector": PluginType(
            LabelSelector, label_selector, "is deprecated, use label-selector-filter"
        ),
        "by-label": PluginType(ByLabel, by_label, "is deprecated, use label-selector-filter"),
        "decode-filter": PluginType(NoParameters, decode_filter),
        "prefill-filter": PluginType(NoParameters, prefill_filter),
        "encode-filter": PluginType(NoParameters, encode_filter),
        "utilization-filter": PluginType(UtilizationFilter),
        "prefix-cache-affinity-filter": PluginType(AffinityParameters, prefix_affinity),
        "session-affinity-filter": PluginType(SessionParameters, session_pin),
        "header-based-testing-filter": PluginType(
            NamedByHeader, notice="lets clients choose their endpoint: for conformance tests only"
        ),
        # filters that are saturation detectors
        "utilization-detector": PluginType(UtilizationParameters, utilization_detector),
        "concurrency-detector": PluginType(ConcurrencyParameters, concurrency_detector),
        # scorers
        "queue-scorer": PluginType(QueueDepth),
        "running-requests-size-scorer": PluginType(RunningRequests),
        "kv-cache-utilization-scorer": PluginType(KvCache),
        "load-aware-scorer": PluginType(LoadAware),
        "active-request-scorer": PluginType(ActiveRequests),
        "token-load-scorer": PluginType(TokenLoadParameters, token_load),
        "lora-affinity-scorer": PluginType(LoraAffinity),
        "prefix-cache-scorer": PluginType(PrefixCacheParameters, prefix_cache),
        "no-hit-lru-scorer": PluginType(NoHitLruParameters, no_hit_lru),
        "session-affinity-scorer": PluginType(SessionParameters, session_affinity),
        "context-length-aware": PluginType(ContextLengthParameters, context_length),
        "predicted-cost-scorer": PluginType(PredictedCostParameters, predicted_cost),
        # pickers
        "max-score-picker": PluginType(MaxScore),
        "random-picker": PluginType(RandomChoice),
        "weighted-random-picker": PluginType(WeightedRandom),
        "power-of-two-picker": PluginType(PowerOfTwo),
        # profile handlers
        "single-profile-handler": PluginType(SingleProfile, unread=_OF_A_PROFILE),
        # producers
        "approx-prefix-cache-producer": PluginType(PrefixParameters, approx_prefix),
        "inflight-load-producer": PluginType(InflightLoad, notice=_ALWAYS_ON),
        # data layer
        "file-discovery": PluginType(FileDiscovery),
        "metrics-data-source": PluginType(MetricsSource),
        "core-metrics-extractor": PluginType(CoreMetrics),
        "models-data-source": PluginType(ModelsSource, notice=_NOT_BUILT),
        "models-data-extractor": PluginType(ModelsExtractor, notice=_NOT_BUILT),
        "k8s-notification-source": PluginType(NotificationSource, notice=_NOT_BUILT),
        "endpoint-notification-source": PluginType(NotificationSource, notice=_NOT_BUILT),
        # request parsers
        "openai-parser": PluginType(Parser),
        "anthropic-parser": PluginType(Parser),
        "vllmhttp-parser": PluginType(Parser, notice=_BY_PATH),
        "sglanghttp-parser": PluginType(Parser, notice=_BY_PATH),
        "passthrough-parser": PluginType(Parser, notice=_BY_PATH),
        # flow control
        "global-strict-fairness-policy": PluginType(Policy, notice=NOT_QUEUED),
        "round-robin-fairness-policy": PluginType(Policy, notice=NOT_QUEUED),
        "fcfs-ordering-policy": PluginType(Policy, notice=NOT_QUEUED),
        "edf-ordering-policy": PluginType(Policy, notice=NOT_QUEUED),
        "slo-deadline-ordering-policy": PluginType(Policy, notice=NOT_QUEUED),
        "static-usage-limit-policy": PluginType(StaticLimit, notice=NOT_QUEUED),
        # conformance tests
        "destination-endpoint-served-verifier": PluginType(ServedReporter),
    }
)

_DISAGGREGATION = "prefill and decode on different endpoints are not scheduled in this version"
_KV_EVENTS = "it needs KV events, which this version does not read"
_LATENCY = "it needs the latency predictor's servers, which this version does not call"
_TOKENIZER = "prompts are not tokenized in this version; their size is estimated from their bytes"
_ATTRIBUTES = "it needs endpoint attributes beyond queue, running, KV cache and LoRA adapters"
_QUEUE = "requests are not queued in this version"
_REPLICAS = "replicas and clusters share no state in this version"
_MULTIMODAL = "images and other media are not told apart in this version"

UNBUILT = MappingProxyType(
    {
        "disagg-profile-handler": _DISAGGREGATION,
        "pd-profile-handler": _DISAGGREGATION,
        "disagg-headers-handler": _DISAGGREGATION,
        "prefill-header-handler": _DISAGGREGATION,
        "prefix-based-pd-decider": _DISAGGREGATION,
        "always-disagg-pd-decider": _DISAGGREGATION,
        "always-disagg-multimodal-decider": _DISAGGREGATION,
        "disaggregatedset-rollout-screener": _DISAGGREGATION,
        "data-parallel-profile-handler": (
            "it is deprecated; list every rank's port as an endpoint of its own"
        ),
        "header-profile-handler": "only single-profile-handler chooses profiles in this version",
        "precise-prefix-cache-scorer": _KV_EVENTS,
        "precise-prefix-cache-producer": _KV_EVENTS,
        "p2p-source-producer": _KV_EVENTS,
        "burst-prefix-cache-producer": "requests are not held back to be batched",
        "latency-scorer": _LATENCY,
        "predicted-latency-producer": _LATENCY,
        "slo-headroom-tier-filter": _LATENCY,
        "latency-slo-admitter": _LATENCY,
        "probabilistic-admitter": "admission plugins are not run in this version",
        "token-producer": _TOKENIZER,
        "tokenizer": _TOKENIZER,
        "mm-embeddings-cache-producer": _MULTIMODAL,
        "mm-embeddings-cache-scorer": _MULTIMODAL,
        "session-id-producer": "use session-affinity-scorer with strategy session_id and a header",
        "agent-identity": "flows are named by the fairness-id header only",
        "endpoint-attribute-scorer": _ATTRIBUTES,
        "endpoint-attribute-filter": _ATTRIBUTES,
        "header-label-affinity-scorer": "use label-selector-filter",
        "topology-affinity-scorer": _ATTRIBUTES,
        "topology-affinity-filter": _ATTRIBUTES,
        "topology-extractor": _ATTRIBUTES,
        "dcgm-data-source": _ATTRIBUTES,
        "dcgm-extractor": _ATTRIBUTES,
        "request-attribute-reporter": "expressions over token usage are not evaluated",
        "vllmgrpc-parser": "gRPC requests are not parsed in this version",
        "vertexai-parser": "gRPC requests are not parsed in this version",
        "program-aware-fairness": _QUEUE,
        "priority-holdback-policy": _QUEUE,
        "soft-reflective-ceiling-policy": _QUEUE,
        "sheddable-eviction-filter": _QUEUE,
        "priority-then-time-eviction-order-policy": _QUEUE,
        "cross-replica-publisher": _REPLICAS,
        "multicluster-file-discovery": _REPLICAS,
        "multicluster-metrics-data-source": _REPLICAS,
        "multicluster-metrics-extractor": _REPLICAS,
        "multicluster-queue-scorer": _REPLICAS,
        "multicluster-kv-cache-utilization-scorer": _REPLICAS,
        "multicluster-prefix-cache-scorer": _REPLICAS,
        "multicluster-approx-prefix-cache-producer": _REPLICAS,
        "multicluster-session-affinity-filter": _REPLICAS,
    }
)

CATALOG = Catalog(TYPES, UNBUILT)
