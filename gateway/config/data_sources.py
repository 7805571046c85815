"""Parameters of the data layer's plugins: where endpoints come from and how they are scraped.

Values only; ``gateway.datalayer`` acts on them. Names, defaults and bounds are the reference's
(``file-discovery``, ``metrics-data-source``, ``core-metrics-extractor``, ``models-data-source``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from loadstar.config.load import NOT_EMPTY, Seconds, at_least, between, key, one_of

ENGINE_LABEL = "llm-d.ai/engine-type"
DEFAULT_ENGINE = "vllm"
RESERVED_ENGINE = "default"

Scheme: TypeAlias = Annotated[str, one_of("http", "https")]
Port: TypeAlias = Annotated[int, between(1, 65535)]


@dataclass(frozen=True, slots=True)
class FileDiscovery:
    """``file-discovery``: endpoints are listed in a file."""

    path: Annotated[str, NOT_EMPTY]
    watch_file: bool = False
    """Read the file again whenever it changes."""


@dataclass(frozen=True, slots=True)
class MetricsSource:
    """``metrics-data-source``: how a model server's metrics page is fetched."""

    scheme: Scheme = "http"
    path: str = "/metrics"
    port: Port | None = None
    """For every endpoint; None leaves each its own."""
    insecure_skip_verify: bool = True
    ca_cert_path: str = field(default="", metadata=key("caCertPath"))
    client_cert_path: str = ""
    client_key_path: str = ""
    interval: Annotated[Seconds, at_least(0)] = 0.0
    """Between two scrapes of one endpoint; 0 is ``--refresh-metrics-interval``."""

    def __post_init__(self) -> None:
        _both_or_neither(self.client_cert_path, self.client_key_path)


@dataclass(frozen=True, slots=True)
class ModelsSource:
    """``models-data-source``: how a model server's list of models is fetched."""

    scheme: Scheme = "http"
    path: str = "/v1/models"
    insecure_skip_verify: bool = True
    ca_cert_path: str = field(default="", metadata=key("caCertPath"))
    client_cert_path: str = ""
    client_key_path: str = ""
    interval: Annotated[Seconds, at_least(0)] = 0.0

    def __post_init__(self) -> None:
        _both_or_neither(self.client_cert_path, self.client_key_path)


@dataclass(frozen=True, slots=True)
class CustomMetric:
    attribute_key: Annotated[str, NOT_EMPTY]
    metric_spec: Annotated[str, NOT_EMPTY]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Metric names of one engine; each spec is a PromQL instant vector selector, "" is none."""

    name: Annotated[str, NOT_EMPTY]
    queued_requests_spec: str = ""
    running_requests_spec: str = ""
    kv_usage_spec: str = field(default="", metadata=key("kvUsageSpec"))
    lora_spec: str = ""
    cache_info_spec: str = ""
    cache_block_size_label_name: str = ""
    """Label of ``cache_info_spec``; "" is ``block_size``."""
    cache_num_blocks_label_name: str = ""
    """Label of ``cache_info_spec``; "" is ``num_gpu_blocks``."""
    cache_block_size_spec: str = ""
    cache_num_blocks_spec: str = ""
    custom_metrics: tuple[CustomMetric, ...] = ()

    def __post_init__(self) -> None:
        if self.name == RESERVED_ENGINE:
            raise ValueError(f'an engine cannot be called "{RESERVED_ENGINE}"')


@dataclass(frozen=True, slots=True)
class CoreMetrics:
    """``core-metrics-extractor``: which engine an endpoint runs and what its metrics are called."""

    engine_label_key: str = ENGINE_LABEL
    default_engine: str = DEFAULT_ENGINE
    engine_configs: tuple[EngineConfig, ...] = ()
    """Go before the built-in ones of the same name."""

    def __post_init__(self) -> None:
        names = [engine.name for engine in self.engine_configs]
        if len(set(names)) < len(names):
            raise ValueError("two engineConfigs have the same name")


@dataclass(frozen=True, slots=True)
class ModelsExtractor:
    """``models-data-extractor``."""


@dataclass(frozen=True, slots=True)
class NotificationSource:
    """``k8s-notification-source`` and ``endpoint-notification-source``."""

    group: str = ""
    version: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class DataLayer:
    """What the data layer is to do, with every reference resolved."""

    discovery: FileDiscovery | None = None
    """None is Kubernetes."""
    metrics: MetricsSource | None = None
    """None: nothing is scraped (``injectDefaults: false`` and no source)."""
    extractor: CoreMetrics = field(default_factory=CoreMetrics)
    models: ModelsSource | None = None


def _both_or_neither(certificate: str, private_key: str) -> None:
    if bool(certificate) != bool(private_key):
        raise ValueError("clientCertPath and clientKeyPath must be set together")
