"""What preflight asks Google: pools as they are, quota and permissions. Blocking; looks only."""

from __future__ import annotations

from typing import Any

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
