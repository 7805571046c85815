"""What tests do with objects: apply, judge without storing, patch, delete, play pods and nodes.

On behalf of one user, who may be refused: ``ControlPlane.objects`` is the administrator's,
``ControlPlane.objects_of`` anybody else's. Blocking; from a coroutine, ``asyncio.to_thread``.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from loadstar.clock import SystemClock
from tests.controlplane.api import APPLY, MERGE, Api, ApiError, NoSuchKind, Object
from tests.controlplane.processes import wait_until

FIELD_MANAGER = "loadstar-tests"
ESTABLISHED_SECONDS = 10.0
DELETED_SECONDS = 20.0
CRD = "CustomResourceDefinition"
# What the others stand on, in this order; the rest in the order it came.
FIRST = ("Namespace", CRD)

Documents = str | Path | Object | Iterable[Object]
"""YAML text, a file or folder of it, one object, or several."""


def documents(given: Documents) -> list[Object]:
    """The objects of ``given``, in the order in which they can be applied."""
    match given:
        case Path() if given.is_dir():
            found = [each for file in sorted(given.glob("*.yaml")) for each in documents(file)]
        case Path():
            found = documents(given.read_text())
        case str():
            found = [each for each in yaml.safe_load_all(given) if each is not None]
        case Mapping():
            found = [dict(given)]
        case _:
            found = list(given)
    flat = [each for one in found for each in (one["items"] if one["kind"] == "List" else [one])]
    return sorted(flat, key=lambda o: FIRST.index(o["kind"]) if o["kind"] in FIRST else len(FIRST))


class Objects:
    """Objects as one user may see and change them. ``namespace`` is for those that name none."""

    def __init__(self, api: Api, namespace: str = "default") -> None:
        self.api = api
        self._namespace = namespace

    # -- any kind ---------------------------------------------------------------------------

    def apply(self, given: Documents, field_manager: str = FIELD_MANAGER) -> list[Object]:
        """Server-side apply; CRDs are established before what follows them. What is stored."""
        answers = []
        for document in documents(given):
            answer = self._apply(document, {"fieldManager": field_manager, "force": "true"})
            if document["kind"] == CRD:
                self.wait_condition(answer, "Established", within_s=ESTABLISHED_SECONDS)
            answers.append(answer)
        return answers

    def dry_run(self, given: Documents, field_manager: str = FIELD_MANAGER) -> list[Object]:
        """What the server would store, defaults and all. Raises ApiError where it would refuse.

        Namespaces and CRDs are applied for real: the rest could not be judged without them.
        """
        answers = []
        for document in documents(given):
            if document["kind"] in FIRST:
                answers += self.apply(document, field_manager)
                continue
            query = {"fieldManager": field_manager, "force": "true", "dryRun": "All"}
            answers.append(self._apply(document, {**query, "fieldValidation": "Strict"}))
        return answers

    def get(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> Object | None:
        """None if there is no such object."""
        try:
            return self.api.request("GET", self._path(api_version, kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, selector: str = ""
    ) -> list[Object]:
        path = self._path(api_version, kind, namespace)
        answer = self.api.request("GET", path, query={"labelSelector": selector})
        # The server says of a list's items neither; with them, an item can be patched or deleted.
        return [{"apiVersion": api_version, "kind": kind, **each} for each in answer["items"]]

    def patch(self, target: Object, change: object, *, subresource: str = "") -> Object:
        """JSON merge patch of an object (or of what names one): None removes a field."""
        path = self._path_of(target) + (f"/{subresource}" if subresource else "")
        return self.api.request("PATCH", path, change, content_type=MERGE)

    def delete(self, target: Object, *, wait: bool = False, grace_s: int | None = None) -> None:
        """Gone already is well. ``wait``: until it is really gone, finalizers and all."""
        path = self._path_of(target)
        options = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        with contextlib.suppress(NoSuchKind):
            try:
                self.api.request("DELETE", path, {"propagationPolicy": "Background", **options})
            except ApiError as error:
                if error.status != 404:
                    raise
            if wait:
                metadata = target["metadata"]
                wait_until(
                    lambda: (
                        self.get(
                            target["apiVersion"],
                            target["kind"],
                            metadata["name"],
                            metadata.get("namespace"),
                        )
                        is None
                    ),
                    within_s=DELETED_SECONDS,
                    what=f"{target['kind']} {metadata['name']} is gone",
                )

    def wait_condition(
        self, target: Object, condition: str, *, status: str = "True", within_s: float = 15.0
    ) -> Object:
        """The object, once ``status.conditions`` says so. Raises NotInTime."""
        path = self._path_of(target)
        seen: Object = {}

        def holds() -> bool:
            seen.update(self.api.request("GET", path))
            # Null, not absent, until somebody has said the first one.
            said = seen.get("status", {}).get("conditions") or ()
            return {each["type"]: each["status"] for each in said}.get(condition) == status

        metadata = target["metadata"]
        what = f"{target['kind']} {metadata['name']} has {condition}={status}"
        wait_until(holds, within_s=within_s, what=what)
        return seen

    # -- pods and nodes, which nobody else plays --------------------------------------------

    def ready_pod(
        self,
        name: str,
        *,
        ip: str,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        finalizers: Sequence[str] = (),
        ports: Sequence[int] = (),
        spec: Mapping[str, Any] | None = None,
    ) -> Object:
        """A pod that runs at ``ip`` and is ready, though no kubelet has ever seen it.

        It is left unscheduled, so that its deletion is immediate; with a finalizer it stays, in
        termination, until the finalizer is patched away.
        """
        container: Object = {"name": "server", "image": "none.invalid/server"}
        container["ports"] = [{"containerPort": port} for port in ports]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": namespace or self._namespace,
                "labels": dict(labels or {}),
                "annotations": dict(annotations or {}),
                "finalizers": list(finalizers),
            },
            "spec": {"containers": [container], **(spec or {})},
        }
        self.apply(pod)
        return self.patch_pod_status(pod, ip=ip)

    def patch_pod_status(
        self, pod: Object, *, ip: str | None = None, ready: bool = True, phase: str = "Running"
    ) -> Object:
        """What a kubelet would say of a pod. ``ip`` None leaves the address as it is."""
        now = _now()
        condition = {"status": "True" if ready else "False", "lastTransitionTime": now}
        status: Object = {
            "phase": phase,
            "startTime": now,
            "conditions": [{"type": each, **condition} for each in ("Ready", "ContainersReady")],
        }
        if ip is not None:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        return self.patch(pod, {"status": status}, subresource="status")

    def node(
        self, name: str, *, labels: Mapping[str, str] | None = None, **capacity: str
    ) -> Object:
        """A ready node; resources as keywords, ``_`` for what a keyword cannot spell:
        ``node("n", cpu="8", nvidia_com__gpu="1")`` has ``nvidia.com/gpu``."""
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": dict(labels or {})},
        }
        self.apply(node)
        resources = {
            key.replace("__", "/").replace("_", "."): value
            for key, value in ({"pods": "110"} | capacity).items()
        }
        now = _now()
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        status = {"capacity": resources, "allocatable": resources, "conditions": [ready]}
        self.patch(node, {"status": status}, subresource="status")
        # The admission of a Node taints it; the controller that would lift the taint is not here.
        return self.patch(node, {"spec": {"taints": None}})

    # ---------------------------------------------------------------------------------------

    def _apply(self, document: Object, query: Mapping[str, str]) -> Object:
        # A CRD is served a moment before the lists of what is served name it.
        found: list[str] = []

        def listed() -> bool:
            with contextlib.suppress(NoSuchKind):
                found.append(self._path_of(document))
            return bool(found)

        if not listed():
            what = f"the server has {document['kind']} of {document['apiVersion']}"
            wait_until(listed, within_s=ESTABLISHED_SECONDS, what=what)
        return self.api.request("PATCH", found[0], document, content_type=APPLY, query=query)

    def _path_of(self, target: Object) -> str:
        metadata = target["metadata"]
        return self._path(
            target["apiVersion"], target["kind"], metadata.get("namespace"), metadata["name"]
        )

    def _path(
        self, api_version: str, kind: str, namespace: str | None, name: str | None = None
    ) -> str:
        return self.api.path(api_version, kind, namespace or self._namespace, name)


def _now() -> str:
    wall = datetime.datetime.fromtimestamp(SystemClock().wall(), datetime.UTC)
    return wall.strftime("%Y-%m-%dT%H:%M:%SZ")
