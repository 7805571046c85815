"""The fake's HTTP: container v1, compute v1, quotas and permissions, as their clients speak them.

``answer`` is a plain function of a request, so that it can be served in process, without a socket,
or by a real server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.gke.cloud import Call, Cloud, Group, Machine, Operation, Pool

PROJECT, LOCATION, CLUSTER = "demo", "us-central1", "llm"
_PARENT = f"/v1/projects/{PROJECT}/locations/{LOCATION}"
NO_WORDS = "-"
"""The error of an operation that fails with a code alone."""
_POOL = re.compile(rf"{_PARENT}/clusters/{CLUSTER}/nodePools/([^/:]+)(?::(\w+))?$")
_OPERATION = re.compile(rf"{_PARENT}/operations/([^/:]+)(?::cancel)?$")
_GROUP = re.compile(
    rf"/compute/v1/projects/{PROJECT}/zones/([^/]+)/instanceGroupManagers/([^/]+)(?:/(\w+))?$"
)
_ZONE_OPERATION = re.compile(rf"/compute/v1/projects/{PROJECT}/zones/([^/]+)/operations/([^/]+)$")
_STATUS = {
    400: "FAILED_PRECONDITION",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Project:
    """What the quota and permission APIs say."""

    regional: list[dict[str, Any]] = field(default_factory=list)
    project: list[dict[str, Any]] = field(default_factory=list)
    infos: list[dict[str, Any]] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)


class Api:
    """Answers requests to ``cloud`` and remembers them."""

    def __init__(self, cloud: Cloud, project: Project | None = None) -> None:
        self.cloud = cloud
        self.project = project or Project()
        self.page_size = 0
        """Instances a page; 0: all in one."""

    def answer(self, method: str, url: str, body: bytes = b"") -> Answer:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        asked: dict[str, Any] = json.loads(body) if body else {}
        name, pool = _what(method, path)
        self.cloud.settle()
        fault = next((f for f in self.cloud.faults if f.method == name and f.times > 0), None)
        headers: dict[str, str] = {}
        try:
            if fault is not None:
                fault.times -= 1
                headers = fault.headers
                if fault.happens_anyway:
                    self._route(method, path, asked)
                raise Refused(fault.status, fault.message)
            answer = Answer(200, self._paged(self._route(method, path, asked), query))
        except Refused as refusal:
            answer = Answer(refusal.status, _error(refusal.status, str(refusal)), headers)
        self.cloud.calls.append(Call(self.cloud.now(), name, pool, asked, answer.status))
        return answer

    def _paged(self, body: dict[str, Any], query: Mapping[str, list[str]]) -> dict[str, Any]:
        """One page of a list; the token is of letters that a URL must escape."""
        instances = body.get("managedInstances")
        if not self.page_size or instances is None:
            return body
        token = query.get("pageToken", ["+/="])[0]
        if not token.startswith("+/="):
            raise Refused(400, f"Invalid value for pageToken: {token!r}")
        start = int(token[3:] or 0)
        end = start + self.page_size
        page = {**body, "managedInstances": instances[start:end]}
        if end < len(instances):
            page["nextPageToken"] = f"+/={end}"
        return page

    def _route(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if found := _POOL.match(path):
            return self._pool(method, found[1], found[2] or "", body)
        if found := _OPERATION.match(path) or _ZONE_OPERATION.match(path):
            name = found[found.lastindex or 1]
            if name not in self.cloud.operations:
                raise Refused(404, f"operation {name} not found")
            operation = self.cloud.operations[name]
            if "/compute/" in path:
                done = operation.ends_at_s <= self.cloud.now()
                return {"name": name, "status": "DONE" if done else "RUNNING"}
            return self._operation(operation)
        if found := _GROUP.match(path):
            return self._group(found[1], found[2], found[3] or "", body)
        return self._other(path, body)

    def _other(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == f"{_PARENT}/clusters/{CLUSTER}":
            pools = [self._described(pool) for pool in self.cloud.pools.values()]
            return {
                "name": CLUSTER,
                "location": LOCATION,
                "currentMasterVersion": "1.35.4-gke.1000",
                "nodePools": pools,
            }
        if path == f"{_PARENT}/clusters/{CLUSTER}/nodePools":
            return {"nodePools": [self._described(pool) for pool in self.cloud.pools.values()]}
        if path == f"/compute/v1/projects/{PROJECT}/regions/{LOCATION}":
            return {"name": LOCATION, "quotas": self.project.regional}
        if path == f"/compute/v1/projects/{PROJECT}":
            return {"name": PROJECT, "quotas": self.project.project}
        if path.endswith(":testIamPermissions"):
            wanted = body.get("permissions", [])
            return {"permissions": [p for p in wanted if p not in self.project.denied]}
        if path.endswith("/quotaInfos"):
            return {"quotaInfos": self.project.infos}
        raise Refused(404, f"{path} is not served")

    def _pool(self, method: str, name: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        pool = self.cloud.pools.get(name)
        if pool is None:
            raise Refused(404, f"Not found: node pool {name}.")
        if method == "GET":
            return self._described(pool)
        if verb == "setSize":
            return self._set_size(pool, int(body.get("nodeCount", 0)))
        if verb == "setAutoscaling":
            wanted = dict(body.get("autoscaling", {}))
            return self._start("SET_NODE_POOL_MANAGEMENT", pool, _setter(pool, wanted))
        raise Refused(404, f"{verb} is not served")

    def _set_size(self, pool: Pool, per_zone: int) -> dict[str, Any]:
        if pool.slice_nodes and per_zone not in (0, pool.slice_nodes):
            raise Refused(400, f"a multi-host TPU pool has 0 or {pool.slice_nodes} nodes")

        def apply() -> str:
            for group in pool.groups.values():
                group.target = per_zone
            return ""

        return self._start("SET_NODE_POOL_SIZE", pool, apply)

    def _start(self, kind: str, pool: Pool, apply: Callable[[], str]) -> dict[str, Any]:
        running = self.cloud.running(pool.name)
        if running is not None:
            self.cloud.overlaps += 1
            raise Refused(400, f"Cluster is running incompatible operation {running.name}.")
        return self._operation(self.cloud.mutate(kind, pool.name, apply))

    def _operation(self, operation: Operation) -> dict[str, Any]:
        done = operation.ends_at_s <= self.cloud.now()
        shown: dict[str, Any] = {
            "name": operation.name,
            "operationType": operation.kind,
            "status": "DONE" if done else "RUNNING",
            "zone": LOCATION,
        }
        if done and operation.error:
            words = {} if operation.error == NO_WORDS else {"message": operation.error}
            shown["error"] = {"code": 8, **words}
        return shown

    def _described(self, pool: Pool) -> dict[str, Any]:
        compute = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones"
        short = any(len(g.machines) < g.target for g in pool.groups.values())
        made = pool.status != "PROVISIONING"  # its groups come once it has been created
        return {
            "name": pool.name,
            "status": "RUNNING_WITH_ERROR" if short and pool.status == "RUNNING" else pool.status,
            "conditions": [{"code": code} for code in pool.conditions],
            "locations": list(pool.zones),
            "config": {"spot": pool.spot},
            "initialNodeCount": 1,
            "autoscaling": dict(pool.autoscaling),
            "instanceGroupUrls": [
                f"{compute}/{zone}/instanceGroupManagers/gke-{pool.name}-grp"
                for zone in pool.zones
                if made
            ],
        }

    def _group(self, zone: str, name: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        pool = self.cloud.pools.get(name.removeprefix("gke-").removesuffix("-grp"))
        if pool is None or zone not in pool.groups:
            raise Refused(404, f"instance group manager {name} not found")
        group = pool.groups[zone]
        if verb == "listManagedInstances":
            return {"managedInstances": self._managed(group)}
        if verb == "deleteInstances":
            return self._delete(pool, group, [str(url) for url in body["instances"]])
        return {"name": name, "targetSize": group.target}

    def _managed(self, group: Group) -> list[dict[str, Any]]:
        now = self.cloud.now()
        shown = [_instance(machine, now) for machine in group.machines]
        missing = group.target - len(group.machines)
        if group.error and missing > 0:
            attempt = {"errors": {"errors": [{"code": group.error, "message": group.error}]}}
            shown += [{"currentAction": "CREATING", "lastAttempt": attempt}] * missing
        return shown

    def _delete(self, pool: Pool, group: Group, urls: list[str]) -> dict[str, Any]:
        names = {url.rsplit("/", 1)[-1] for url in urls}
        if not names <= {machine.name for machine in group.machines}:
            raise Refused(400, "an instance is not a member of the group")

        def apply() -> str:
            group.machines = [m for m in group.machines if m.name not in names]
            group.target -= len(names)
            return ""

        shown = self._start("DELETE_INSTANCES", pool, apply)
        return {"name": shown["name"], "status": shown["status"]}

    def empty_nodes(self, pool: str) -> frozenset[str]:
        """The nodes that serve and on which no pod runs: what Kubernetes would say."""
        self.cloud.settle()
        now = self.cloud.now()
        return frozenset(
            machine.name
            for machine in self.cloud.pools[pool].nodes
            if machine.ready_at_s <= now and not machine.busy
        )


def _setter(pool: Pool, wanted: Mapping[str, Any]) -> Callable[[], str]:
    def apply() -> str:
        pool.autoscaling = dict(wanted)
        return ""

    return apply


def _instance(machine: Machine, now_s: float) -> dict[str, Any]:
    ready = machine.ready_at_s <= now_s
    url = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{machine.zone}"
    return {
        "instance": f"{url}/instances/{machine.name}",
        "instanceStatus": "RUNNING" if ready else "PROVISIONING",
        "currentAction": "NONE" if ready else "CREATING",
    }


def _what(method: str, path: str) -> tuple[str, str]:
    """The request's short name and its pool."""
    if found := _POOL.match(path):
        return found[2] or method.lower(), found[1]
    if _OPERATION.match(path) or _ZONE_OPERATION.match(path):
        return "operation", ""
    if found := _GROUP.match(path):
        return found[3] or "group", found[2].removeprefix("gke-").removesuffix("-grp")
    return path.rsplit("/", 1)[-1].rsplit(":", 1)[-1], ""


def _error(status: int, message: str) -> dict[str, Any]:
    word = _STATUS.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": message, "status": word}}
