"""Which pool to follow, from the command line: by its name, or by a selector of pods. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.flags import Flags
from loadstar.config.errors import ConfigError
from loadstar.kube import selectors
from loadstar.kube.resources import (
    ALPHA_GROUP,
    INFERENCE_POOLS,
    INFERENCE_POOLS_ALPHA,
    POOL_GROUP,
    Resource,
)

POOLS: Mapping[str, Resource] = {
    POOL_GROUP: INFERENCE_POOLS,
    ALPHA_GROUP: INFERENCE_POOLS_ALPHA,
}
DEFAULT_NAMESPACE = "default"
HASHES_OF_A_DEPLOYMENT = 2
"""Words that a Deployment and its ReplicaSet add to a pod's name."""


@dataclass(frozen=True, slots=True)
class ByName:
    """An InferencePool says which pods and ports."""

    name: str
    resource: Resource


@dataclass(frozen=True, slots=True)
class BySelector:
    """The command line says which pods and ports."""

    selector: str
    target_ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to follow."""

    namespace: str
    pool: ByName | BySelector
    name: str
    """By which objectives and rewrites mean the pool, and metrics show it; empty is any."""
    group: str = POOL_GROUP
    metrics_port: int | None = None
    """Where pods serve their metrics, if not on their target port."""

    def __str__(self) -> str:
        match self.pool:
            case ByName(name, resource):
                return f"{resource.kind} {self.namespace}/{name}"
            case BySelector(selector):
                return f"pods of {self.namespace} with {selector}"


def asked_for(flags: Flags) -> bool:
    """Whether the command line asks for Kubernetes at all."""
    return bool(flags.pool_name or flags.endpoint_selector)


def wanted(flags: Flags, environment: Mapping[str, str], namespace: str = "") -> Wanted:
    """What the command line asks for. Raises ConfigError.

    ``namespace`` is the one that credentials are in: taken where neither flag nor $NAMESPACE says.
    """
    where = (
        flags.pool_namespace or environment.get("NAMESPACE", "") or namespace or DEFAULT_NAMESPACE
    )
    metrics_port = flags.model_server_metrics_port or None
    if flags.pool_name:
        resource = POOLS.get(flags.pool_group)
        if resource is None:
            raise ConfigError.of(
                "--pool-group", f"must be {' or '.join(POOLS)}, not {flags.pool_group!r}"
            )
        by_name = ByName(flags.pool_name, resource)
        return Wanted(where, by_name, flags.pool_name, flags.pool_group, metrics_port)
    try:
        selector = selectors.parse(flags.endpoint_selector)
    except ValueError as error:
        raise ConfigError.of("--endpoint-selector", str(error)) from error
    ports = tuple(dict.fromkeys(flags.endpoint_target_ports))
    by_selector = BySelector(str(selector), ports)
    return Wanted(where, by_selector, own_name(environment), metrics_port=metrics_port)


def own_name(environment: Mapping[str, str]) -> str:
    """The name of the Deployment that this pod is of: pools without a name are known by it."""
    words = environment.get("POD_NAME", "").split("-")
    return "-".join(words[:-HASHES_OF_A_DEPLOYMENT])
