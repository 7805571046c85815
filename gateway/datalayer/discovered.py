"""What a discovery finds out: endpoints, objectives and model rewrites. Values only.

``endpoints_file`` and ``kubernetes.assemble`` make them, the store takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.datalayer.state import NO_LABELS, Endpoint
from gateway.request.model_rules import ModelRewrite

NO_OBJECTIVES: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """A model server that should be in the pool; the store makes an ``Endpoint`` of it."""

    name: str
    address: str
    """An IP address, IPv6 without brackets."""
    port: int
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    metrics_port: int | None = None
    """Where /metrics is served; None means ``port``."""
    uid: str = ""
    """Which server this is, where names and addresses come again: the pod's UID."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name: who it is, whatever its address."""
        return self.namespace, self.name

    def describes(self, endpoint: Endpoint) -> bool:
        """Whether ``endpoint``, which has this key and place, is just so."""
        return (
            self.metrics_port == endpoint.metrics_port
            and self.uid == endpoint.uid
            and self.labels == endpoint.labels
        )

    def at(self, slot: int) -> Endpoint:
        """The endpoint of this spec in row ``slot``."""
        return Endpoint(
            name=self.name,
            namespace=self.namespace,
            address=self.address,
            port=self.port,
            slot=slot,
            labels=self.labels,
            metrics_port=self.metrics_port,
            uid=self.uid,
        )


@dataclass(frozen=True, slots=True)
class Discovered:
    """Everything one discovery knows at one moment."""

    endpoints: tuple[EndpointSpec, ...] = ()
    objectives: Mapping[str, int] = field(default_factory=lambda: NO_OBJECTIVES)
    """Objective name -> priority; negative is sheddable."""
    rewrites: tuple[ModelRewrite, ...] = ()
    """In the order of precedence."""
    missing: str = ""
    """Why there is no pool to speak of, in a sentence; empty where there is one, were it empty."""
