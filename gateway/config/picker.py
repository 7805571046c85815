"""The EndpointPickerConfig document: its whole schema, in both API versions, as frozen values.

Shape only: which plugin types exist and what their parameters mean is for
``gateway.scheduling.build``, which takes what this file returns. ``main`` reads the file and
calls ``parse``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, TypeAlias

from loadstar.config.document import read
from loadstar.config.errors import ConfigError
from loadstar.config.load import (
    NOT_EMPTY,
    Fraction,
    Seconds,
    Whole,
    at_least,
    between,
    build,
    key,
    one_of,
)

API_VERSION = "llm-d.ai/v1alpha1"
OLD_API_VERSION = "inference.networking.x-k8s.io/v1alpha1"
KIND = "EndpointPickerConfig"

Name: TypeAlias = Annotated[str, NOT_EMPTY]
Size: TypeAlias = Annotated[Whole, at_least(0)]


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """One plugin instance. ``parameters`` is what was written, or None."""

    type: Name
    name: str = ""
    """What references call it; its type if empty."""
    parameters: Mapping[str, object] | None = None

    @property
    def known_as(self) -> str:
        return self.name or self.type


@dataclass(frozen=True, slots=True)
class PluginRef:
    plugin_ref: Name


@dataclass(frozen=True, slots=True)
class DetectorRef:
    """The saturation detector; the default one if ``plugin_ref`` is empty."""

    plugin_ref: str = ""


@dataclass(frozen=True, slots=True)
class SchedulingPlugin:
    """A plugin used in a profile; ``weight`` is for scorers, 1 if None."""

    plugin_ref: Name
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class SchedulingProfile:
    name: Name
    plugins: tuple[SchedulingPlugin, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A data source and the extractors that read what it fetches."""

    plugin_ref: Name
    extractors: tuple[PluginRef, ...] = ()


@dataclass(frozen=True, slots=True)
class DataLayerSpec:
    inject_defaults: bool = True
    """Add the default metrics source and extractor where no metrics source is named."""
    sources: tuple[SourceSpec, ...] = ()
    discovery: PluginRef | None = None
    """Where endpoints come from; None is Kubernetes."""
    peer_discovery: PluginRef | None = None
    cross_replica_syncer_plugin_ref: str = ""
    cross_replica_sync_interval: Seconds | None = None


@dataclass(frozen=True, slots=True)
class PriorityBand:
    priority: int = 0
    max_bytes: Size | None = None
    max_requests: Size | None = None
    fairness_policy_ref: str = ""
    ordering_policy_ref: str = ""


@dataclass(frozen=True, slots=True)
class FlowControlSpec:
    max_bytes: Size | None = None
    max_requests: Size | None = None
    default_request_ttl: Seconds | None = field(default=None, metadata=key("defaultRequestTTL"))
    no_endpoint_request_ttl: Seconds | None = field(
        default=None, metadata=key("noEndpointRequestTTL")
    )
    default_priority_band: PriorityBand | None = None
    default_negative_priority_band: PriorityBand | None = None
    priority_bands: tuple[PriorityBand, ...] = ()
    usage_limit_policy_plugin_ref: str = ""
    saturation_detector: DetectorRef | None = None
    enable_eviction: bool = False


@dataclass(frozen=True, slots=True)
class RequestHandlerSpec:
    parsers: tuple[PluginRef, ...] = ()


class ResponseMode(Enum):
    """How far responses are followed."""

    FULL = "full"
    """To their end: exact accounts, token usage, TTFT and TPOT of every request."""
    HEADERS = "headers"
    """To their headers: the cheapest; no usage, and accounts by expectation."""
    ADAPTIVE = "adaptive"
    """A sampled share in full, the rest to their headers: expectations stay calibrated."""


@dataclass(frozen=True, slots=True)
class ResponseProcessing:
    """Loadstar's own section ``responseProcessing``, which the reference does not have."""

    mode: ResponseMode = ResponseMode.FULL
    sample_share: Annotated[Fraction, between(0, 1)] = 0.05
    """Of responses that ``adaptive`` follows to their end. One in twenty is some per second where
    the cost of following matters, and a twentieth of that cost."""


@dataclass(frozen=True, slots=True)
class EndpointPickerConfig:
    """The document as written; nothing is defaulted that was not said."""

    api_version: Annotated[str, one_of(API_VERSION, OLD_API_VERSION)] = API_VERSION
    kind: Annotated[str, one_of(KIND)] = KIND
    """Neither need be written, as in the reference: only one thing can stand here."""
    feature_gates: tuple[str, ...] = ()
    plugins: tuple[PluginSpec, ...] = ()
    scheduling_profiles: tuple[SchedulingProfile, ...] = ()
    data_layer: DataLayerSpec | None = None
    flow_control: FlowControlSpec | None = None
    request_handler: RequestHandlerSpec | None = None
    saturation_detector: DetectorRef | None = None
    """Older place of ``flowControl.saturationDetector``, which goes before it."""
    response_processing: ResponseProcessing = ResponseProcessing()
    parser: PluginRef | None = None
    """Older form of ``requestHandler.parsers``, which goes before it."""


def parse(text: str | bytes) -> EndpointPickerConfig:
    """The document in ``text`` (YAML or JSON).

    Raises:
        ConfigError: with every place that does not fit the schema.
    """
    document = read(text)
    if document is None:
        raise ConfigError.of("", f"the document is empty; it should be an {KIND}")
    return build(EndpointPickerConfig, document)
