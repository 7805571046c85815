"""The GKE Inference Quickstart recommender over REST: three reads, each retried. Blocking.

REST and not Google's client package: that one's messages have no field for ``workloadSpec``, the
lengths of the benchmarks' requests, without which there is no profile. For ``profile_import``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import requests
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

ADDRESS: Final = "https://gkerecommender.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT_S: Final = 30.0
TRIES: Final = 4
LONGEST_WAIT_S: Final = 30.0
MOST_PAGES: Final = 100
MOST_BYTES: Final = 64 << 20


class Refused(Exception):
    """No answer; the text says what to mend."""


class Giq:
    """One identity at one address."""

    def __init__(
        self,
        session: requests.Session,
        *,
        address: str = ADDRESS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._address = address
        self._pause = pause

    def models(self) -> list[str]:
        """All models that were measured."""
        pages = self._pages("GET", "models:fetch", {})
        return [str(name) for page in pages for name in page.get("models") or ()]

    def profiles(self, model: str, server: str, version: str) -> list[Mapping[str, Any]]:
        """Answers with the setups of ``model`` that were measured; "" is any."""
        body = {"model": model, "modelServer": server, "modelServerVersion": version}
        return self._pages("POST", "profiles:fetch", {k: v for k, v in body.items() if v})

    def benchmarks(self, server_info: Mapping[str, Any], pricing: str) -> Mapping[str, Any]:
        """All loads measured with one model server."""
        body = {"modelServerInfo": dict(server_info), "pricingModel": pricing}
        return self._ask("POST", "benchmarkingData:fetch", body)

    def _pages(self, method: str, verb: str, body: dict[str, Any]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        token = ""
        for _ in range(MOST_PAGES):
            answer = self._ask(method, verb, {**body, "pageToken": token} if token else body)
            found.append(answer)
            token = str(answer.get("nextPageToken") or "")
            if not token:
                return found
        raise Refused(f"{verb}: more than {MOST_PAGES} pages")

    def _ask(self, method: str, verb: str, body: dict[str, Any]) -> Mapping[str, Any]:
        url = f"{self._address}/v1/{verb}"
        if method == "GET" and body:
            url, body = f"{url}?{urlencode(body)}", {}
        why = ""
        for attempt in range(1, TRIES + 1):
            wait_s = 2.0 ** (attempt - 1)
            try:
                answer = self._session.request(
                    method, url, json=body or None, timeout=TIMEOUT_S, allow_redirects=False
                )
            except GoogleAuthError as error:
                raise Refused(f"{error}; gcloud auth application-default login") from None
            except requests.RequestException as error:
                why = f"{verb}: {type(error).__name__}; is {self._address} within reach?"
            else:
                if answer.status_code == 200:
                    return _document(answer, verb)
                why = f"{verb}: {answer.status_code} {_said(answer)}; {_mend(answer)}"
                if answer.status_code != 429 and answer.status_code < 500:
                    raise Refused(why)
                wait_s = _after_s(answer) or wait_s
            if attempt < TRIES and wait_s <= LONGEST_WAIT_S:
                self._pause(wait_s)
                continue
            break
        raise Refused(why)


def session_for(project: str) -> requests.Session:
    """As the application-default credentials; ``project`` is billed where it is given."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, own = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        raise Refused(
            f"{error}; gcloud auth application-default login, or import a saved answer with --from"
        ) from None
    billed = project or getattr(credentials, "quota_project_id", None) or own
    if billed and hasattr(credentials, "with_quota_project"):
        credentials = credentials.with_quota_project(billed)
    make: Any = AuthorizedSession
    made: requests.Session = make(credentials)
    return made


def _document(answer: requests.Response, verb: str) -> Mapping[str, Any]:
    if len(answer.content) > MOST_BYTES:
        raise Refused(f"{verb}: an answer of more than {MOST_BYTES >> 20} MiB")
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Refused(f"{verb}: not a JSON object; is {answer.url} the recommender?")
    return found


def _said(answer: requests.Response) -> str:
    error = _error(answer)
    return str(error.get("message") or answer.reason or "")[:300]


def _mend(answer: requests.Response) -> str:
    """The command that helps."""
    status = answer.status_code
    reasons = {str(each.get("reason")) for each in _error(answer).get("details") or () if each}
    if status == 401:
        return "gcloud auth application-default login"
    if status == 403 and "SERVICE_DISABLED" in reasons:
        return "gcloud services enable gkerecommender.googleapis.com"
    if status == 403:
        return (
            "name a project that may be billed with --project, in which you have "
            "serviceusage.services.use, or: gcloud auth application-default set-quota-project P"
        )
    if status == 429:
        return "wait a minute"
    if status in (400, 404):
        return "check --model, --model-server and --server-version"
    return "try again later, or import a saved answer with --from"


def _error(answer: requests.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return {}
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else {}


def _after_s(answer: requests.Response) -> float | None:
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
