"""Every metric the adapter exports, declared once.

The names, labels and buckets of ``apiserver_*`` and ``metrics_apiserver_*`` are those of adapters
built on Kubernetes' own server library, so that dashboards and alerts for them keep working.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from loadstar.telemetry.metrics import OTHER, CappedLabel, Families

REQUEST_SECONDS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0),
    *(4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
REVIEW_SECONDS = (0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0)
FRESHNESS_SECONDS = tuple(1.364**n for n in range(20))
"""1 to 364 seconds."""
VERBS = frozenset(
    {
        *("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"),
        *("head", "post", "put", "options"),
    }
)
"""Others are whatever word a caller wrote first in a request."""
MAX_RESOURCES = 300
"""Metric names are chosen by configuration, but asked for by anybody."""


class Metrics:
    """The process's counters; the rim and the security checks write them."""

    def __init__(self) -> None:
        families = Families()
        resource = CappedLabel(MAX_RESOURCES)
        self._resource = resource
        self._requests = families.counter(
            "apiserver_request",
            "Requests by what they were about and the status they got.",
            *("verb", "group", "version", "resource", "subresource", "scope", "component", "code"),
        )
        self._seconds = families.histogram(
            "apiserver_request_duration_seconds",
            "How long answers took.",
            *("verb", "group", "version", "resource", "subresource", "scope", "component"),
            buckets=REQUEST_SECONDS,
        )
        self._inflight = families.gauge(
            "apiserver_current_inflight_requests",
            "Most requests under way together during the last second.",
            "request_kind",
        ).labels("readOnly")
        self._dropped = families.counter(
            "apiserver_dropped_requests",
            "Requests turned away because too many were under way.",
            "request_kind",
        ).labels("readOnly")
        self._attempts = families.counter(
            "authentication_attempts", "Requests by how telling who asks went.", "result"
        )
        self._users = families.counter(
            "authenticated_user_requests", "Requests by who asked.", "username"
        )
        self._decisions = families.counter(
            "apiserver_authorization_decisions",
            "Requests by whether they may.",
            *("type", "decision"),
        )
        self._authn = families.counter(
            "apiserver_delegated_authn_request", "TokenReviews by how they ended.", "code"
        )
        self._authn_seconds = families.histogram(
            "apiserver_delegated_authn_request_duration_seconds",
            "How long TokenReviews took.",
            "code",
            buckets=REVIEW_SECONDS,
        )
        self._authz = families.counter(
            "apiserver_delegated_authz_request", "SubjectAccessReviews by how they ended.", "code"
        )
        self._authz_seconds = families.histogram(
            "apiserver_delegated_authz_request_duration_seconds",
            "How long SubjectAccessReviews took.",
            "code",
            buckets=REVIEW_SECONDS,
        )
        self._freshness = families.histogram(
            "metrics_apiserver_metric_freshness_seconds",
            "How old served values were.",
            "group",
            buckets=FRESHNESS_SECONDS,
        )
        self._reloads = families.counter(
            "loadstar_adapter_reloads",
            "Certificates, CAs and configurations taken anew, or refused.",
            *("what", "result"),
        )
        self._expires = families.gauge(
            "loadstar_adapter_serving_certificate_expiry_timestamp_seconds",
            "When the certificate that is being served ends.",
        ).labels()
        self._trust_at = families.gauge(
            "loadstar_adapter_trust_last_change_timestamp_seconds",
            "When the CAs and names that callers are judged by last changed.",
        ).labels()
        self._reviews = families.gauge(
            "loadstar_adapter_reviews",
            "Questions about callers by what they cost: answered from memory (hit), with somebody "
            "else's question (shared), by the API server (asked) or not at all (failed).",
            *("kind", "outcome"),
        )
        self.families = families
        self.registry = CollectorRegistry()
        self.registry.register(families)

    def answered(
        self,
        verb: str,
        about: tuple[str, str, str, str],
        scope: str,
        code: int,
        seconds: float,
    ) -> None:
        """``about`` is group, version, resource and subresource."""
        group, version, resource, subresource = about
        labels = (
            *(verb.upper() if verb in VERBS else OTHER, group, version),
            *(self._resource(resource), self._resource(subresource), scope, "loadstar"),
        )
        self._requests.labels(*labels, str(code)).inc()
        self._seconds.labels(*labels).observe(seconds)

    def inflight(self, most: int) -> None:
        self._inflight.set(most)

    def dropped(self) -> None:
        self._dropped.inc()

    def authenticated(self, result: str, username: str) -> None:
        """``result`` is success, failure or error."""
        self._attempts.labels(result).inc()
        if username:
            self._users.labels(username if username.startswith("system:") else "other").inc()

    def decided(self, decision: str) -> None:
        """``decision`` is allowed, denied or error."""
        self._decisions.labels("webhook", decision).inc()

    def reviewed(self, kind: str, code: str, seconds: float) -> None:
        """``kind`` is authn or authz; ``code`` the status, or ``<error>`` without one."""
        families = {
            "authn": (self._authn, self._authn_seconds),
            "authz": (self._authz, self._authz_seconds),
        }
        total, duration = families[kind]
        total.labels(code).inc()
        duration.labels(code).observe(seconds)

    def served(self, group: str, ages: Iterable[float]) -> None:
        """The age of each value of an answer, in seconds."""
        series = self._freshness.labels(group)
        for age in ages:
            series.observe(age)

    def reloaded(self, what: str, *, ok: bool) -> None:
        self._reloads.labels(what, "success" if ok else "failure").inc()

    def certificate_until(self, timestamp: float) -> None:
        self._expires.set(timestamp)

    def trust_changed(self, timestamp: float) -> None:
        self._trust_at.set(timestamp)

    def reviews(self, kind: str, hits: int, shared: int, asked: int, failed: int) -> None:
        """The counts so far of one kind of review."""
        counts = {"hit": hits, "shared": shared, "asked": asked, "failed": failed}
        for outcome, value in counts.items():
            self._reviews.labels(kind, outcome).set(value)
