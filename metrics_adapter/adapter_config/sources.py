"""Where values come from, as it is written: one class for each ``type`` under ``sources``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from loadstar.config.load import NOT_EMPTY, Seconds, above, at_least, between, one_of
from loadstar.feed.addresses import split
from loadstar.kube.selectors import parse as parse_selector

NO_WORDS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """Rows in a file, read again whenever it changes."""

    type: str
    path: Annotated[str, NOT_EMPTY]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSource:
    """The signals of gateways and autoscalers, pushed by them."""

    type: str
    addresses: tuple[Annotated[str, NOT_EMPTY], ...]
    """``host:port``; a name that stands for several addresses (a headless Service) is all."""
    plaintext: bool = False
    insecure_skip_verify: bool = False
    """Accept any certificate, as those are that gateways make for themselves."""
    ca_file: str = ""
    """The CA that publishers' certificates are of; empty is the system's."""
    server_name: str = ""
    """The name their certificates carry, where it is not the host's."""
    token_file: str = ""
    resolve_interval: Annotated[Seconds, above(0)] = 5.0

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("`addresses` must not be empty")
        if self.plaintext and (self.ca_file or self.insecure_skip_verify):
            raise ValueError("`plaintext` goes with neither `caFile` nor `insecureSkipVerify`")
        for address in self.addresses:
            split(address)


class Describes(Enum):
    """Whom the series of a page are about."""

    ITSELF = "itself"
    """The pod that serves it: model servers."""
    PODS = "pods"
    """The pods that labels of each series name: DCGM and TPU exporters, one to a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodsSource:
    """Metrics pages of pods, fetched by the adapter itself."""

    type: str
    selector: str = ""
    """Of pods, by label."""
    namespaces: tuple[str, ...] = ()
    """Empty is all."""
    scheme: Annotated[str, one_of("http", "https")] = "http"
    port: Annotated[int, between(0, 65535)] = 0
    """0: the annotation prometheus.io/port, else 8000."""
    path: str = "/metrics"
    ca_file: str = ""
    interval: Annotated[Seconds, at_least(1)] = 5.0
    timeout: Annotated[Seconds, above(0)] = 2.0
    concurrency: Annotated[int, between(1, 256)] = 32
    describes: Describes = Describes.ITSELF
    pod_label: str = "pod"
    namespace_label: str = "namespace"

    def __post_init__(self) -> None:
        parse_selector(self.selector)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromqlRule:
    """One query whose result is a metric."""

    metric: Annotated[str, NOT_EMPTY]
    query: Annotated[str, NOT_EMPTY]
    resource: str = ""
    """What the series describe, as ``pods``; empty makes it an external metric."""
    namespace_label: str = "namespace"
    name_label: str = ""
    """The label with the object's name; empty is the resource's singular."""
    namespaced: bool = True
    window: Annotated[Seconds, above(0)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSource:
    """A Prometheus-compatible HTTP API."""

    type: str
    url: Annotated[str, NOT_EMPTY]
    rules: tuple[PromqlRule, ...] = ()
    interval: Annotated[Seconds, at_least(1)] = 15.0
    timeout: Annotated[Seconds, above(0)] = 10.0
    ca_file: str = ""
    token_file: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: NO_WORDS)


AnySource: TypeAlias = FileSource | FeedSource | PodsSource | PrometheusSource

TYPES: Final[Mapping[str, type[AnySource]]] = MappingProxyType(
    {
        "file": FileSource,
        "feed": FeedSource,
        "pods": PodsSource,
        "prometheus": PrometheusSource,
    }
)
