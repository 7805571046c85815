"""Node pools of GKE: Google's container client, and Compute for what that client cannot tell.

``nodePools.get`` does not say how large a pool is, so sizes come from its instance groups. Google's
REST transport blocks, so each call runs in a thread; nothing is retried here, for a mutating call
must be read about before it is repeated. Built by the provider catalog.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud.container_v1 import ClusterManagerClient
from google.cloud.container_v1.services.cluster_manager.transports.rest import (
    ClusterManagerRestTransport,
)
from google.protobuf.json_format import MessageToDict

from autoscaler.actuate.nodepool.reading import Instance, Operation, Reading
from autoscaler.actuate.nodepool.state import Accepted, Release, SetFloor, SetSize, Write
from autoscaler.actuate.providers import gke_reading
from autoscaler.actuate.refusals import of_response
from autoscaler.errors import Gone, Invalid, ProviderError, Unavailable

TIMEOUT_S = 8.0
"""Of one request; below what the gate wants left of the lease."""
MOST_PAGES = 40
"""Of one group's instances, 500 each: more than GKE lets a node pool have in a zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where a cluster is."""

    project: str
    location: str
    name: str

    @property
    def place(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def path(self) -> str:
        return f"{self.place}/clusters/{self.name}"


class Google:
    """The two APIs with one identity. ``scheme`` and the hosts are other than Google's in tests."""

    def __init__(
        self,
        credentials: Any,
        *,
        container_host: str = "container.googleapis.com",
        compute_host: str = "compute.googleapis.com",
        scheme: str = "https",
    ) -> None:
        self.transport = ClusterManagerRestTransport(
            host=container_host, credentials=credentials, url_scheme=scheme
        )
        self._credentials = credentials
        self.container = ClusterManagerClient(transport=self.transport)
        make: Any = AuthorizedSession  # Google's has no annotations; it is a requests.Session
        self.session: requests.Session = make(credentials)
        self.compute = f"{scheme}://{compute_host}/compute/v1"

    @property
    def service_account(self) -> str:
        """The account that asks, where it is one and known; "" for a person's own."""
        account = str(getattr(self._credentials, "service_account_email", ""))
        return account if "@" in account else ""

    def close(self) -> None:
        close: Any = self.transport.close
        close()
        self.session.close()

    def authorize(self, given_up: threading.Event) -> None:
        """Have a token at hand. Raises Unavailable, also where nobody waits for the write any more.

        Fetching one may take minutes where who grants it hangs, and the thread that waits for it
        cannot be cancelled: without this, a write would go out long after it was given up.
        """
        fetch: Any = Request
        try:
            if not self._credentials.valid:
                self._credentials.refresh(fetch())
        except (requests.RequestException, GoogleAuthError) as error:
            raise Unavailable(f"no token: {type(error).__name__}") from error
        if given_up.is_set():
            raise Unavailable("no token in time; nothing was asked")

    def request(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request to Compute or a sibling of it; raises ProviderError."""
        try:
            response = self.session.request(method, url, json=body, timeout=TIMEOUT_S)
        except (requests.RequestException, GoogleAuthError) as error:
            raise Unavailable(f"{method} {url}: {type(error).__name__}") from error
        if response.status_code >= 300:
            raise of_response(response.status_code, _message(response), response.headers)
        found: dict[str, Any] = response.json()
        return found

    def ask(self, method: str, body: Mapping[str, object]) -> dict[str, Any]:
        """One call of the container API as a plain document; raises ProviderError."""
        call = getattr(self.container, method)
        try:
            answer = call(request=body, timeout=TIMEOUT_S, retry=None)
        except GoogleAPICallError as error:
            headers = getattr(error.response, "headers", None) or {}
            raise of_response(int(error.code or 500), error.message or "", headers) from error
        except (RetryError, requests.RequestException, GoogleAuthError) as error:
            raise Unavailable(f"{method}: {type(error).__name__}") from error
        found: dict[str, Any] = MessageToDict(type(answer).pb(answer))
        return found


class GkePool:
    """PoolApi of one GKE node pool. ``empty_nodes`` names the nodes that nothing runs on."""

    def __init__(
        self,
        google: Google,
        cluster: Cluster,
        node_pool: str,
        *,
        empty_nodes: Callable[[], frozenset[str]],
    ) -> None:
        self._google = google
        self._cluster = cluster
        self._pool = node_pool
        self._empty_nodes = empty_nodes
        self._groups: dict[str, str] = {}
        """Zone -> instance group, as last read."""

    async def read(self, operation: str) -> Reading:
        return await asyncio.to_thread(self._read, operation)

    async def write(self, write: Write) -> Accepted:
        given_up = threading.Event()
        try:
            return await asyncio.to_thread(self._write, write, given_up)
        finally:
            given_up.set()

    @property
    def _name(self) -> str:
        return f"{self._cluster.path}/nodePools/{self._pool}"

    def _read(self, operation: str) -> Reading:
        watched = self._operation(operation) if operation else None
        try:
            pool = self._google.ask("get_node_pool", {"name": self._name})
        except Gone:
            return Reading(operation=watched)
        # One that is being created has no groups yet, and the client leaves out what is empty.
        urls = pool.get("instanceGroupUrls", ())
        self._groups = dict(gke_reading.group_of(url) for url in urls)
        groups: dict[str, list[Mapping[str, Any]]] = {}
        targets: dict[str, int] = {}
        for zone, name in self._groups.items():
            url = self._group_url(zone, name)
            targets[zone] = int(self._google.request("GET", url).get("targetSize", 0))
            groups[zone] = self._instances(url)
        return gke_reading.reading(pool, groups, targets, watched, self._empty_nodes())

    def _instances(self, url: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        page = ""
        for _ in range(MOST_PAGES):
            query = f"?pageToken={quote(page, safe='')}" if page else ""
            answer = self._google.request("POST", f"{url}/listManagedInstances{query}")
            found += answer.get("managedInstances", ())
            page = str(answer.get("nextPageToken", ""))
            if not page:
                return found
        raise Unavailable(f"{url}/listManagedInstances: more than {MOST_PAGES} pages")

    def _operation(self, operation: str) -> Operation:
        """How ``operation`` fares; ``zone/name`` is one of Compute's. One forgotten is over."""
        zone, _, name = operation.rpartition("/")
        try:
            if zone:
                url = f"{self._zone_url(zone)}/operations/{name}"
                found = self._google.request("GET", url)
                errors = (found.get("error") or {}).get("errors") or ()
                message = "; ".join(str(each.get("message", each.get("code"))) for each in errors)
            else:
                path = f"{self._cluster.place}/operations/{name}"
                found = self._google.ask("get_operation", {"name": path})
                message = gke_reading.failure(found.get("error") or {})
        except Gone:
            return Operation(name=operation, done=True)
        return Operation(name=operation, done=found.get("status") == "DONE", error=message)

    def _write(self, write: Write, given_up: threading.Event) -> Accepted:
        self._google.authorize(given_up)
        match write:
            case SetSize(per_zone):
                body: dict[str, object] = {"name": self._name, "node_count": per_zone}
                return Accepted(str(self._google.ask("set_node_pool_size", body)["name"]))
            case SetFloor(autoscaling):
                body = {
                    "name": self._name,
                    "autoscaling": gke_reading.autoscaling_body(autoscaling),
                }
                return Accepted(str(self._google.ask("set_node_pool_autoscaling", body)["name"]))
            case Release(instances):
                return self._release(instances)

    def _release(self, instances: tuple[Instance, ...]) -> Accepted:
        zone = instances[0].zone
        if any(instance.zone != zone for instance in instances):
            raise Invalid("nodes of several zones cannot be given back by one request")
        urls = [f"{self._zone_url(zone)}/instances/{each.name}" for each in instances]
        url = f"{self._group_url(zone, self._groups[zone])}/deleteInstances"
        found = self._google.request("POST", url, {"instances": urls})
        return Accepted(f"{zone}/{found['name']}")

    def _zone_url(self, zone: str) -> str:
        return f"{self._google.compute}/projects/{self._cluster.project}/zones/{zone}"

    def _group_url(self, zone: str, name: str) -> str:
        return f"{self._zone_url(zone)}/instanceGroupManagers/{name}"


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]


def cluster_of(cluster: str, location: str, project: str) -> Cluster:
    """The cluster of a pool; ``cluster`` may be a full path. ProviderError for half a name."""
    parts = cluster.split("/")
    if len(parts) == 6 and parts[::2] == ["projects", "locations", "clusters"]:
        return Cluster(project=parts[1], location=parts[3], name=parts[5])
    if not (cluster and location and project):
        raise ProviderError(
            "a GKE pool needs cluster, location and a project (--project, or cluster written as "
            "projects/P/locations/L/clusters/C)"
        )
    return Cluster(project=project, location=location, name=cluster)
