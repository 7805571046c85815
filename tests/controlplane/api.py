"""A plain client of the Kubernetes API: any kind, by its apiVersion and kind; blocking.

Not for the product: tests want to see the server's answer as it is, and no library's cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import urllib3

from tests.controlplane.pki import KeyPair

Object = dict[str, Any]
REQUEST_SECONDS = 15.0
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class ApiError(RuntimeError):
    """The server said no, in a Status."""

    def __init__(self, method: str, path: str, status: int, answer: Object) -> None:
        self.status = status
        self.reason: str = answer.get("reason", "")
        self.message: str = answer.get("message", "")
        super().__init__(f"{method} {path}: {status} {self.reason}: {self.message}")


class NoSuchKind(RuntimeError):
    """The server serves no such kind."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the server serves it."""

    api_version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        group = f"/apis/{self.api_version}" if "/" in self.api_version else "/api/v1"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace is not None else ""
        one = "" if name is None else f"/{quote(name, safe='')}"
        return f"{group}{inside}/{self.plural}{one}"


class Api:
    """One user's connection to one API server; a scope."""

    def __init__(
        self, url: str, ca: Path, *, pair: KeyPair | None = None, token: str | None = None
    ) -> None:
        self._url = url
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(
            ca_certs=str(ca),
            cert_file=None if pair is None else str(pair.cert),
            key_file=None if pair is None else str(pair.key),
            timeout=REQUEST_SECONDS,
            retries=False,
        )
        self._resources: dict[tuple[str, str], Resource] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._pool.clear()

    def answers(self, path: str = "/readyz") -> bool:
        """True if a GET of ``path`` is answered with 200; whatever goes wrong is False."""
        try:
            return self._ask("GET", path, None, {}).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """The answer's document. Raises ApiError, or urllib3's HTTPError if nobody answers."""
        where = f"{path}?{urlencode(query)}" if query else path
        answer = self._ask(
            method,
            where,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": content_type, "Accept": JSON},
        )
        try:
            document = json.loads(answer.data)
        except ValueError:
            document = {"message": answer.data.decode("utf-8", "replace")}
        if answer.status >= 300:
            raise ApiError(method, where, answer.status, document)
        found: Object = document
        return found

    def text(self, path: str) -> str:
        """The answer as it is, such as a /metrics page. Raises ApiError."""
        answer = self._ask("GET", path, None, {})
        text = answer.data.decode("utf-8", "replace")
        if answer.status >= 300:
            raise ApiError("GET", path, answer.status, {"message": text})
        return text

    def resource(self, api_version: str, kind: str) -> Resource:
        """How the server serves ``kind``; asked once. Raises NoSuchKind."""
        known = self._resources.get((api_version, kind))
        if known is None:
            group = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            try:
                # A group that has only just appeared lists null.
                listed: Sequence[Object] = self.request("GET", group)["resources"] or ()
            except ApiError as error:
                if error.status != 404:
                    raise
                listed = ()
            for each in listed:
                if "/" not in each["name"]:
                    self._resources[(api_version, each["kind"])] = Resource(
                        api_version, each["name"], each["namespaced"]
                    )
            known = self._resources.get((api_version, kind))
        if known is None:
            raise NoSuchKind(f"the server has no {kind} of {api_version}")
        return known

    def path(
        self, api_version: str, kind: str, namespace: str | None = None, name: str | None = None
    ) -> str:
        return self.resource(api_version, kind).path(namespace, name)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            method, self._url + path, body=body, headers={**self._headers, **headers}
        )
