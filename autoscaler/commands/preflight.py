"""``loadstar preflight``: is all there that the policy takes? Looks only; exit status tells. IO.

Gathers documents from Google, the cluster and the gateways, and prints what the rules in
``autoscaler.actuate.preflight`` make of them, with the command that mends what is short.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from autoscaler.actuate.preflight import pools as pool_rules
from autoscaler.actuate.preflight import quota as quota_rules
from autoscaler.actuate.preflight import rights
from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.actuate.providers.gke import Cluster, Google, cluster_of
from autoscaler.actuate.rungs import ladder
from autoscaler.errors import ProviderError
from autoscaler.policy.model import Policy, load_policy
from autoscaler.policy.pools import PoolKind, PoolMode
from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError, did_you_mean
from loadstar.feed.subscribe import Subscription
from loadstar.feed.trust import Trust
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials
from loadstar.kube.errors import ApiError
from loadstar.kube.resources import Resource
from loadstar.signals.model import Snapshot

SELF_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False
)
LISTEN_S = 5.0
"""Gateways speak every second."""


class Kube(Protocol):
    async def raw(self, path: str, params: Mapping[str, str] | None = None) -> Any: ...

    async def create(
        self,
        resource: Resource,
        document: dict[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> dict[str, Any]: ...


def main(argv: Sequence[str]) -> int:
    """0 if nothing is short, 1 if something is, 2 for a line or policy to mend."""
    parser = argparse.ArgumentParser(
        prog="loadstar preflight",
        description="Say what is short for a policy: quota, pools, rights, APIs, metrics.",
    )
    parser.add_argument("--policy", type=Path, required=True, help="the policy's file")
    parser.add_argument("--project", default="", help="the Google Cloud project of its pools")
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--skip-google", action="store_true")
    parser.add_argument("--skip-cluster", action="store_true")
    parser.add_argument("--signals", default="", help="host:port,... where gateways publish")
    parser.add_argument("--signals-insecure-skip-verify", action="store_true")
    parser.add_argument("--signals-plaintext", action="store_true")
    given = parser.parse_args(argv)
    try:
        policy = load_policy(given.policy.read_text())
        findings = asyncio.run(_findings(policy, given))
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"loadstar preflight: {error}\n")
        return 2
    return told(findings)


def told(findings: Iterable[Finding]) -> int:
    """Print ``findings``; the exit status."""
    listed = list(findings)
    for finding in listed:
        sys.stdout.writelines(f"{line}\n" for line in finding.lines())
    count = {level: sum(each.level is level for each in listed) for level in Level}
    words = ", ".join(f"{count[level]} {level.value}" for level in Level if count[level])
    sys.stdout.write(f"{words or 'nothing to look at'}\n")
    return 1 if count[Level.SHORT] or count[Level.UNKNOWN] else 0


async def _findings(policy: Policy, given: argparse.Namespace) -> list[Finding]:
    found: list[Finding] = []
    if not given.skip_google and any(_is_at_google(pool.provider) for pool in policy.pools):
        found += await asyncio.to_thread(_with_google, policy, given.project)
    if not given.skip_cluster:
        credentials = Credentials(given.kubeconfig, environment=os.environ)
        async with KubeClient(credentials, SystemClock(), user_agent="loadstar-preflight") as kube:
            found += await in_cluster(policy, kube)
    if given.signals:
        trust = Trust(
            plaintext=given.signals_plaintext,
            insecure_skip_verify=given.signals_insecure_skip_verify,
        )
        found += await heard(policy, given.signals.split(","), trust)
    return found


def _is_at_google(provider: str) -> bool:
    return provider == "gke"


def _with_google(policy: Policy, project: str) -> list[Finding]:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    from autoscaler.actuate.providers.catalog import SCOPE

    try:
        credentials, own = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        mend = "gcloud auth application-default login, or --skip-google"
        return [Finding(Level.UNKNOWN, "Google", str(error), mend)]
    google_apis = Google(credentials)
    try:
        return at_google(policy, google_apis, project or own or "")
    finally:
        google_apis.close()


def at_google(
    policy: Policy,
    google: Google,
    project: str,
    *,
    manager: str = "https://cloudresourcemanager.googleapis.com",
    quotas: str = "https://cloudquotas.googleapis.com",
) -> list[Finding]:
    """Everything that Google's APIs can tell. Blocking."""
    found: list[Finding] = []
    by_cluster: dict[Cluster, list[str]] = {}
    for pool in policy.pools:
        if not _is_at_google(pool.provider):
            continue
        try:
            cluster = cluster_of(pool.cluster, pool.location, project)
        except ProviderError as error:
            found.append(Finding(Level.SHORT, f"pool {pool.name}", str(error)))
            continue
        by_cluster.setdefault(cluster, []).append(pool.name)
    for cluster, names in by_cluster.items():
        found += _of_cluster(policy, google, cluster, names, quotas)
    wanted = rights.at_google(policy)
    for name in sorted({cluster.project for cluster in by_cluster}) if wanted else ():
        url = f"{manager}/v1/projects/{name}:testIamPermissions"
        try:
            granted = google.request("POST", url, {"permissions": list(wanted)})
        except ProviderError as error:
            found.append(Finding(Level.UNKNOWN, "permissions", str(error)))
        else:
            found += rights.judge_google(wanted, granted.get("permissions", ()), name)
    return found


def _of_cluster(
    policy: Policy, google: Google, cluster: Cluster, names: list[str], quotas: str
) -> list[Finding]:
    chosen = [pool for pool in policy.pools if pool.name in names]
    try:
        document = google.ask("get_cluster", {"name": cluster.path})
    except ProviderError as error:
        return [Finding(Level.UNKNOWN, f"cluster {cluster.name}", str(error))]
    node_pools = {str(each["name"]): each for each in document.get("nodePools") or ()}
    found: list[Finding] = []
    for pool in chosen:
        found += pool_rules.judge(pool, node_pools)
    region = "-".join(cluster.location.split("-")[:2])
    regional = _quotas(google, f"{google.compute}/projects/{cluster.project}/regions/{region}")
    infos_url = (
        f"{quotas}/v1/projects/{cluster.project}/locations/global/services/"
        "compute.googleapis.com/quotaInfos"
    )
    infos = _listed(google, infos_url, "quotaInfos")
    needed = quota_rules.needs(chosen, node_pools)
    for need in needed:
        found.append(
            quota_rules.judge(need, regional, infos, project=cluster.project, region=region)
        )
    gpus = sum(need.chips for need in needed if need.kind is PoolKind.GPU)
    if gpus:
        project = _quotas(google, f"{google.compute}/projects/{cluster.project}")
        judged = quota_rules.judge_global(gpus, project, cluster.project)
        found += [judged] if judged else []
    return found


def _quotas(google: Google, url: str) -> list[dict[str, Any]]:
    try:
        return list(google.request("GET", url).get("quotas") or ())
    except ProviderError:
        return []


def _listed(google: Google, url: str, key: str) -> list[dict[str, Any]]:
    """Every page of a list; what cannot be read is empty, and then a quota is not found."""
    found: list[dict[str, Any]] = []
    page = ""
    try:
        while True:
            answer = google.request("GET", url + (f"?pageToken={page}" if page else ""))
            found += answer.get(key) or ()
            page = str(answer.get("nextPageToken") or "")
            if not page:
                return found
    except ProviderError:
        return found


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
    return found


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
    mend = "kubectl apply -k manifests/base/autoscaler, and bind its roles in that namespace"
    return [Finding(Level.SHORT, f"right to {access}", "not granted", mend)]


async def _rung(kube: Kube, pool: str, mode: PoolMode) -> Finding:
    served = []
    for probe in ladder.NEEDS[mode]:
        group_version, _, plural = probe.rpartition("/")
        try:
            listed = await kube.raw(f"/apis/{group_version}")
        except ApiError:
            continue
        if any(each.get("name") == plural for each in listed.get("resources", ())):
            served.append(probe)
    used = ladder.rung(mode, served)
    subject = f"pool {pool}"
    if used is mode:
        return Finding(Level.OK, subject, f"mode {mode.value} is served ({', '.join(served)})")
    text = f"mode {mode.value} is not served here; {used.value} will be used"
    return Finding(Level.NOTE if used is not PoolMode.OBSERVE else Level.SHORT, subject, text)


async def heard(policy: Policy, addresses: Sequence[str], trust: Trust) -> list[Finding]:
    """Whether gateways speak, and of the very models that the policy names."""
    snapshots: dict[str, Snapshot] = {}

    def hear(snapshot: Snapshot) -> None:
        snapshots[snapshot.publisher] = snapshot

    try:
        subscription = Subscription(
            addresses, trust=trust, name="preflight", heard=hear, rng=random.Random(0)
        )
    except ValueError as error:
        return [Finding(Level.SHORT, "signals", str(error))]
    try:
        async with asyncio.timeout(LISTEN_S):
            await subscription.run()
    except TimeoutError:
        pass
    if not snapshots:
        why = "; ".join(subscription.problems.values()) or f"silent for {LISTEN_S:g} s"
        return [Finding(Level.SHORT, "signals", why, "gateways publish with --signals-port")]
    models = {pool.model for each in snapshots.values() for pool in each.pools}
    found = [Finding(Level.OK, "signals", f"{len(snapshots)} gateways speak")]
    for model in policy.models:
        if model.name in models:
            found.append(Finding(Level.OK, f"model {model.name}", "its demand is heard"))
        else:
            # A name that differs by a letter looks like no demand at all, for ever.
            hint = did_you_mean(model.name, models)
            text = f"no gateway speaks of it{hint}"
            found.append(Finding(Level.NOTE, f"model {model.name}", text))
    return found
