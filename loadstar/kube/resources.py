"""Which kinds of objects there are for us, and where the API server keeps them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind, as the API's paths name it."""

    group: str
    """Empty is the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of a collection, an object or a part of one.

        Without ``namespace`` the collection is that of all namespaces.
        """
        parts = ["apis", self.group] if self.group else ["api"]
        parts.append(self.version)
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name) if part]
        parts += subresource.split("/") if subresource else []
        return "/" + "/".join(quote(part, safe=":") for part in parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


POOL_GROUP = "inference.networking.k8s.io"
ALPHA_GROUP = "inference.networking.x-k8s.io"
LLMD_GROUP = "llm-d.ai"

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
HPAS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
API_SERVICES = Resource(
    "apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False
)
TOKEN_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False
)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
INFERENCE_POOLS = Resource(POOL_GROUP, "v1", "inferencepools", "InferencePool")
INFERENCE_OBJECTIVES = Resource(LLMD_GROUP, "v1", "inferenceobjectives", "InferenceObjective")
INFERENCE_OBJECTIVES_BEFORE_V1 = Resource(
    LLMD_GROUP, "v1alpha2", "inferenceobjectives", "InferenceObjective"
)
INFERENCE_OBJECTIVES_ALPHA = Resource(
    ALPHA_GROUP, "v1alpha2", "inferenceobjectives", "InferenceObjective"
)
MODEL_REWRITES = Resource(LLMD_GROUP, "v1alpha2", "inferencemodelrewrites", "InferenceModelRewrite")
MODEL_REWRITES_ALPHA = Resource(
    ALPHA_GROUP, "v1alpha2", "inferencemodelrewrites", "InferenceModelRewrite"
)
INFERENCE_POOLS_ALPHA = Resource(ALPHA_GROUP, "v1alpha2", "inferencepools", "InferencePool")
