"""Which rights the policy takes, at Google and in the cluster. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from autoscaler.actuate.preflight.finding import ASKER, Finding, Level
from autoscaler.actuate.rungs.documents import CLASSES, class_of
from autoscaler.actuate.workload.documents import SCALABLE
from autoscaler.policy.model import Policy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.kube.resources import Resource

LOOKING = (
    "container.clusters.get",
    "container.operations.get",
    "compute.instanceGroupManagers.get",
)
RESIZING = ("container.clusters.update", "compute.instanceGroupManagers.update")


SCALES = "loadstar-autoscaler-scales"
"""The cluster role of ours that each namespace with models binds."""


@dataclass(frozen=True, slots=True)
class Access:
    """One right in the cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    component: str = ""
    """Of our manifests, which gives it; without one the base does."""

    @property
    def mend(self) -> str:
        """How the autoscaler's own account comes by it."""
        if self.component:
            return f"add the component manifests/base/autoscaler/{self.component} to your overlay"
        if not self.namespace:
            return "kubectl apply -k manifests/base/autoscaler"
        return (
            f"kubectl --namespace={self.namespace} create rolebinding {SCALES} "
            f"--clusterrole={SCALES} --serviceaccount=loadstar:loadstar-autoscaler"
        )

    def spec(self) -> dict[str, object]:
        """For a SelfSubjectAccessReview."""
        said = {
            "verb": self.verb,
            "group": self.group,
            "resource": self.resource,
            "namespace": self.namespace,
            "name": self.name,
            "subresource": self.subresource,
        }
        return {"resourceAttributes": {key: value for key, value in said.items() if value}}

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{'.' + self.group if self.group else ''}{where}"


def at_google(policy: Policy) -> tuple[str, ...]:
    """The permissions of the project that the policy's pools take."""
    modes = {pool.mode for pool in policy.pools if pool.provider == "gke"}
    if not modes & {PoolMode.SET_SIZE, PoolMode.FLOOR}:
        return ()
    return (*LOOKING, *RESIZING) if PoolMode.SET_SIZE in modes else (*LOOKING, RESIZING[0])


def in_cluster(policy: Policy) -> tuple[Access, ...]:
    """The rights in the cluster that the policy takes."""
    found: dict[Access, None] = {}
    for resource in ("pods", "nodes"):
        for verb in ("list", "watch"):
            found[Access(verb, "", resource)] = None
    modes = {pool.name: pool.mode for pool in policy.pools}
    if PoolMode.SET_SIZE in modes.values():  # nodes are cordoned before they are given back
        found[Access("patch", "", "nodes", component="sizes")] = None
    for model in policy.models:
        for variant in model.variants:
            target = variant.target
            if target is None or target.kind not in SCALABLE:
                continue
            place = target.namespace or model.namespace
            kind = SCALABLE[target.kind]
            for verb in ("get", "patch"):
                scale = Access(verb, kind.group, kind.plural, place, target.name, "scale")
                found[scale] = None
                if target.hpa:
                    hpa = "horizontalpodautoscalers"
                    found[Access(verb, "autoscaling", hpa, place, target.hpa)] = None
                if target.scaled_object:
                    name = target.scaled_object
                    found[Access(verb, "keda.sh", "scaledobjects", place, name)] = None
            found[Access("create", "", "events", place)] = None
            found |= dict.fromkeys(_of_room(policy.pool(variant.pool), kind, place))
    return tuple(found)


def _of_room(pool: PoolPolicy, kind: Resource, place: str) -> Iterator[Access]:
    """What keeping room for a workload of ``kind`` takes: applying what is not there makes it."""
    rooms = "rooms"
    if pool.mode is PoolMode.BUFFER:
        for verb in ("create", "patch"):
            yield Access(verb, "autoscaling.x-k8s.io", "capacitybuffers", place)
    if pool.mode in (PoolMode.PLACEHOLDER, PoolMode.PROVISIONING_REQUEST):
        yield Access("get", kind.group, kind.plural, place, component=rooms)
    if pool.mode is PoolMode.PLACEHOLDER:
        for verb in ("create", "patch"):
            yield Access(verb, "apps", "deployments", place, component=rooms)
        yield Access("create", "scheduling.k8s.io", "priorityclasses", component=rooms)
    if pool.mode is PoolMode.COMPUTE_CLASS:
        for verb in ("get", "patch"):
            name = class_of(pool)
            yield Access(verb, CLASSES.group, CLASSES.plural, name=name, component=rooms)
    if pool.mode is PoolMode.PROVISIONING_REQUEST:
        for verb in ("list", "create", "patch", "delete"):
            group = "autoscaling.x-k8s.io"
            yield Access(verb, group, "provisioningrequests", place, component=rooms)
        for verb in ("create", "patch"):
            yield Access(verb, "", "podtemplates", place, component=rooms)


def judge_google(
    wanted: Iterable[str], granted: Collection[str], project: str, account: str = ""
) -> list[Finding]:
    """One finding for what is missing, or one that all is there.

    ``account`` is the service account that was asked for, where it is one.
    """
    member = f"serviceAccount:{account}" if account else f"user:{ASKER}"
    missing = [each for each in wanted if each not in granted]
    if not missing:
        return [Finding(Level.OK, "permissions", "all that the pools' modes take")]
    return [
        Finding(
            Level.SHORT,
            f"permission {each}",
            "not granted",
            f"gcloud projects add-iam-policy-binding {project} --member={member} "
            f"--role={_role(each)}",
        )
        for each in missing
    ]


def _role(permission: str) -> str:
    """The smallest predefined role that has ``permission``."""
    if permission.startswith("compute."):
        return "roles/compute.instanceAdmin.v1"
    return (
        "roles/container.clusterAdmin"
        if permission.endswith("update")
        else ("roles/container.clusterViewer")
    )
