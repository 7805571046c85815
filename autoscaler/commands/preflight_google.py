"""What preflight asks Google: pools as they are, quota and permissions. Blocking; looks only."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from autoscaler.actuate.preflight import pools as pool_rules
from autoscaler.actuate.preflight import quota as quota_rules
from autoscaler.actuate.preflight import rights
from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.actuate.providers.gke import Cluster, Google, cluster_of
from autoscaler.errors import ProviderError
from autoscaler.policy.model import Policy
from autoscaler.policy.pools import PoolKind


def is_at_google(provider: str) -> bool:
    return provider == "gke"


def with_google(policy: Policy, project: str) -> list[Finding]:
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
        if not is_at_google(pool.provider):
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
            account = google.service_account
            found += rights.judge_google(wanted, granted.get("permissions", ()), name, account)
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
    place = f"--project={cluster.project} --location={cluster.location} --cluster={cluster.name}"
    for pool in chosen:
        found += pool_rules.judge(pool, node_pools, place)
    region = "-".join(cluster.location.split("-")[:2])
    regional_url = f"{google.compute}/projects/{cluster.project}/regions/{region}"
    unread: list[Finding] = []
    regional = _listed(google, regional_url, "quotas", unread)
    infos_url = (
        f"{quotas}/v1/projects/{cluster.project}/locations/global/services/"
        "compute.googleapis.com/quotaInfos"
    )
    infos = _listed(google, infos_url, "quotaInfos", unread)
    needed = quota_rules.needs(chosen, node_pools)
    judged = [
        quota_rules.judge(need, regional, infos, project=cluster.project, region=region)
        for need in needed
    ]
    found += judged
    if any(each.level is Level.UNKNOWN for each in judged):
        found += unread  # why it was not found; where all were, it was not missed
    gpus = sum(need.chips for need in needed if need.kind is PoolKind.GPU)
    if gpus:
        project_url = f"{google.compute}/projects/{cluster.project}"
        project = _listed(google, project_url, "quotas", found)
        everywhere = quota_rules.judge_global(gpus, project, cluster.project)
        found += [everywhere] if everywhere else []
    return found


def _listed(google: Google, url: str, key: str, findings: list[Finding]) -> list[dict[str, Any]]:
    """Every page of a list; why it cannot be read, where it cannot, is one of ``findings``."""
    found: list[dict[str, Any]] = []
    page = ""
    try:
        while True:
            query = f"?pageToken={quote(page, safe='')}" if page else ""
            answer = google.request("GET", url + query)
            found += answer.get(key) or ()
            page = str(answer.get("nextPageToken") or "")
            if not page:
                return found
    except ProviderError as error:
        where = url.partition("/projects/")[2]
        findings.append(Finding(Level.UNKNOWN, f"quotas of {where}", str(error)))
        return found
