"""What preflight asks a cluster: rights one by one, and which rungs it serves. Looks only."""

from __future__ import annotations

from typing import Protocol

from autoscaler.actuate.preflight import classes, rights
from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.actuate.rungs import ladder
from autoscaler.actuate.rungs.documents import CLASSES, class_of
from autoscaler.actuate.rungs.probe import served
from autoscaler.policy.model import Policy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.config.errors import ConfigError
from loadstar.kube.calls import Creates, ReadsPaths
from loadstar.kube.errors import ApiError, NotFound
from loadstar.kube.resources import Resource

SELF_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False
)


class Kube(ReadsPaths, Creates, Protocol):
    """Looks, and asks what it may; ``loadstar.kube.client.KubeClient`` has these."""


async def in_cluster(policy: Policy, kube: Kube) -> list[Finding]:
    """Rights, API versions and rungs of the cluster."""
    try:
        version = await kube.raw("/version")
    except (ApiError, ConfigError) as error:
        return [Finding(Level.UNKNOWN, "cluster", str(error), "give --kubeconfig")]
    found = [Finding(Level.OK, "cluster", f"Kubernetes {version.get('gitVersion', '?')}")]
    for access in rights.in_cluster(policy):
        found += await _may(kube, access)
    for pool in policy.pools:
        if pool.mode in ladder.NEEDS:
            found.append(await _rung(kube, pool.name, pool.mode))
            if pool.mode is PoolMode.COMPUTE_CLASS and found[-1].level is Level.OK:
                found += await _class(kube, pool)
    return found


async def _class(kube: Kube, pool: PoolPolicy) -> list[Finding]:
    name = class_of(pool)
    try:
        document = await kube.raw(CLASSES.path("", name))
    except NotFound:
        document = None
    except ApiError as error:
        return [Finding(Level.UNKNOWN, f"pool {pool.name}", str(error))]
    return classes.judge(pool.name, name, document)


async def _may(kube: Kube, access: rights.Access) -> list[Finding]:
    document = {
        "apiVersion": SELF_REVIEWS.api_version,
        "kind": SELF_REVIEWS.kind,
        "metadata": {},
        "spec": access.spec(),
    }
    try:
        answer = await kube.create(SELF_REVIEWS, document)
    except ApiError as error:
        return [Finding(Level.UNKNOWN, f"right to {access}", str(error))]
    if (answer.get("status") or {}).get("allowed"):
        return [Finding(Level.OK, f"right to {access}", "granted")]
    return [Finding(Level.SHORT, f"right to {access}", "not granted", access.mend)]


async def _rung(kube: Kube, pool: str, mode: PoolMode) -> Finding:
    there = await served(kube, ladder.NEEDS[mode])
    used = ladder.rung(mode, there)
    subject = f"pool {pool}"
    if used is mode:
        text = f"mode {mode.value} is served ({', '.join(sorted(there))})"
        return Finding(Level.OK, subject, text)
    text = f"mode {mode.value} is not served here; {used.value} will be used"
    if used is not PoolMode.OBSERVE:
        return Finding(Level.NOTE, subject, text)
    mend = f"the cluster must serve {' or '.join(ladder.NEEDS[mode])}; or write another mode"
    return Finding(Level.SHORT, subject, text, mend)
