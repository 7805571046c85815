"""The fake behind a real ``requests`` session, without a socket: Google's own client asks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import requests
from google.auth.credentials import AnonymousCredentials
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from autoscaler.actuate.providers.gke import Google
from tests.fakes.gke.routes import Answer

HOST = "gke.fake"


class Answers(Protocol):
    def answer(self, method: str, url: str, body: bytes = b"") -> Answer: ...


class InProcess(BaseAdapter):
    """A transport adapter whose answers come from ``api``."""

    def __init__(self, api: Answers) -> None:
        super().__init__()
        self._api = api

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else body
        assert isinstance(raw, bytes)
        answer = self._api.answer(request.method or "GET", request.url or "", raw)
        made = requests.Response()
        made.status_code = answer.status
        made.headers = CaseInsensitiveDict({"Content-Type": "application/json", **answer.headers})
        made._content = json.dumps(answer.body).encode()
        made.url = request.url or ""
        made.request = request
        return made

    def close(self) -> None:
        """Nothing is open."""


def google(api: Answers) -> Google:
    """Google's clients, every request of theirs answered by ``api``."""
    nobody: Any = AnonymousCredentials
    made = Google(nobody(), container_host=HOST, compute_host=HOST, scheme="http")
    made.transport._session.mount("http://", InProcess(api))
    made.session.mount("http://", InProcess(api))
    return made
