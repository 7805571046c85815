"""The objects of the scenario: a Gateway, pools with their pickers, routes to them. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.controlplane.api import Object

NAMESPACE = "inference"
GATEWAY = "gw"
GATEWAY_SERVICE = "gw-istio"
GATEWAY_IP = "10.77.0.10"
GATEWAY_PORT = 8085
GATEWAY_LABELS = {
    "gateway.networking.k8s.io/gateway-name": GATEWAY,
    "istio.io/gateway-name": GATEWAY,
}
POOL_GROUP = "inference.networking.k8s.io"
ROUTE_GROUP = "gateway.networking.k8s.io"
PICKER_PORT = 9002
H2C = "kubernetes.io/h2c"
PICKER_ACCOUNT = "picker"


@dataclass(frozen=True, slots=True)
class Pool:
    """An InferencePool, the address of its picker, and those of its model servers."""

    name: str
    picker_ip: str
    pod_ips: tuple[str, ...]
    ports: tuple[int, ...] = (3000,)
    fails_open: bool = False
    app_protocol: str = "http"
    picked_by_header: bool = True
    """The conformance configuration, in which requests name their endpoints; else the default."""

    @property
    def picker(self) -> str:
        """The Service, and the pod behind it."""
        return f"{self.name}-picker"

    @property
    def labels(self) -> Mapping[str, str]:
        return {"app": self.name}

    @property
    def hostname(self) -> str:
        return f"{self.name}.example.com"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every ``ip:port``, pods first."""
        return tuple(f"{ip}:{port}" for ip in self.pod_ips for port in self.ports)


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def gateway() -> list[Object]:
    """A Gateway that nobody deploys for us: its address is a Service of our own Envoy."""
    return [
        {
            "apiVersion": f"{ROUTE_GROUP}/v1",
            "kind": "Gateway",
            "metadata": _named(GATEWAY),
            "spec": {
                "gatewayClassName": "istio",
                "addresses": [
                    {
                        "type": "Hostname",
                        "value": f"{GATEWAY_SERVICE}.{NAMESPACE}.svc.cluster.local",
                    }
                ],
                "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            },
        },
        _service(GATEWAY_SERVICE, GATEWAY_LABELS, "http", 80, GATEWAY_PORT),
    ]


def pool(one: Pool) -> list[Object]:
    """The pool and its picker's Service, to be reached over TLS with a certificate of its own."""
    return [
        {
            "apiVersion": f"{POOL_GROUP}/v1",
            "kind": "InferencePool",
            "metadata": _named(one.name),
            "spec": {
                "selector": {"matchLabels": dict(one.labels)},
                "appProtocol": one.app_protocol,
                "targetPorts": [{"number": port} for port in one.ports],
                "endpointPickerRef": {
                    "name": one.picker,
                    "port": {"number": PICKER_PORT},
                    "failureMode": "FailOpen" if one.fails_open else "FailClose",
                },
            },
        },
        _service(one.picker, {"app": one.picker}, "http2", PICKER_PORT, PICKER_PORT),
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": _named(one.picker),
            "spec": {
                "host": f"{one.picker}.{NAMESPACE}.svc.cluster.local",
                "trafficPolicy": {"tls": {"mode": "SIMPLE", "insecureSkipVerify": True}},
            },
        },
    ]


def picker_rights(pools: Sequence[Pool]) -> list[Object]:
    """What the pickers' service account may do: read their pools, pods and what these are for."""
    group = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": PICKER_ACCOUNT, "namespace": NAMESPACE}
    read = ["list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": read},
        {
            "apiGroups": [POOL_GROUP],
            "resources": ["inferencepools"],
            "resourceNames": [each.name for each in pools],
            "verbs": read,
        },
        {
            "apiGroups": ["inference.networking.x-k8s.io", "llm-d.ai"],
            "resources": ["inferenceobjectives", "inferencemodelrewrites"],
            "verbs": read,
        },
    ]
    role = {"apiGroup": group, "kind": "Role", "name": PICKER_ACCOUNT}
    named = _named(PICKER_ACCOUNT)
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": named, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": named,
            "roleRef": role,
            "subjects": [account],
        },
    ]


def route(
    name: str, hostname: str, backends: Sequence[tuple[Pool, int]], *, port: int | None = None
) -> Object:
    """Everything for ``hostname`` to pools, by weight; ``port`` is one that pools do not need."""
    return _route(
        name, hostname, [{"backendRefs": [_backend(one, weight, port) for one, weight in backends]}]
    )


def route_by_path(name: str, hostname: str, rules: Sequence[tuple[str, Pool]]) -> Object:
    """Each path prefix of ``hostname`` to a pool; the prefix is not sent on."""
    return _route(
        name,
        hostname,
        [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
                "filters": [
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {
                            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
                        },
                    }
                ],
                "backendRefs": [_backend(one, 1)],
            }
            for prefix, one in rules
        ],
    )


def _route(name: str, hostname: str, rules: list[Object]) -> Object:
    return {
        "apiVersion": f"{ROUTE_GROUP}/v1",
        "kind": "HTTPRoute",
        "metadata": _named(name),
        "spec": {"parentRefs": [{"name": GATEWAY}], "hostnames": [hostname], "rules": rules},
    }


def _backend(one: Pool, weight: int, port: int | None = None) -> Object:
    reference = {"group": POOL_GROUP, "kind": "InferencePool", "name": one.name}
    return {**reference, "weight": weight, **({} if port is None else {"port": port})}


def _named(name: str) -> Object:
    return {"name": name, "namespace": NAMESPACE}


def _service(
    name: str, selector: Mapping[str, str], port_name: str, port: int, target: int
) -> Object:
    listed = {"name": port_name, "port": port, "targetPort": target, "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _named(name),
        "spec": {"selector": dict(selector), "ports": [listed]},
    }
