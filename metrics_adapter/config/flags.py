"""The adapter's command line: the flags of servers built on Kubernetes' own library, and ours.

Flags say how the process serves and whom it believes; which metrics there are is in the file of
``--config``. A field here is the whole of a flag; ``command_line`` fills them in, once.
"""

from __future__ import annotations

from dataclasses import dataclass

from loadstar.config.pflag import flag, integer, listing, one_of, port, span, switch, text
from loadstar.kube.config_map import ConfigMapRef

SERVING = "Serving"
CERTIFICATE = "The serving certificate"
CLUSTER = "The API server"
CALLERS = "Who calls"
RIGHTS = "Who may"
METRICS = "Metrics"
WATCHING = "Logs"

_MEMORY = "answers come from memory, and what is known is always current"
_HTTP1 = "HTTP/1.1 is spoken; aggregators open a connection per request under way"
_LEVEL = "events of level Metadata are written"
_GO = "it tunes the Go implementation"
_SOURCES = "is no flag here; name the server under sources in the file of --config"

REFUSED = tuple(
    [(name, _SOURCES) for name in ("prometheus-url", "prometheus-auth-config")]
    + [
        ("enable-core-metrics-api", "metrics.k8s.io is not served; metrics-server does that"),
        ("tls-sni-cert-key", "one certificate is served; put every name into it"),
        ("audit-webhook-config-file", "audit events are written to --audit-log-path only"),
    ]
)

HEALTH_PATHS = ("/healthz", "/readyz", "/livez")
USERNAME_HEADERS = ("x-remote-user",)
GROUP_HEADERS = ("x-remote-group",)
EXTRA_PREFIXES = ("x-remote-extra-",)
MEGABYTE = 1 << 20


def _config_map(text: str) -> str:
    ConfigMapRef.parse(text)
    return text


def _object(text: str) -> tuple[str, str]:
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name or "/" in name:
        raise ValueError(f"{text!r} is not NAMESPACE/NAME")
    return namespace, name


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The command line. Durations are seconds; "" and () mean 'not set'."""

    secure_port: int = flag(6443, port, SERVING, "Port of the APIs, health and metrics (HTTPS).")
    bind_address: str = text(SERVING, "Address to listen on; empty is all of them.")
    permit_port_sharing: bool = switch(
        False, SERVING, "Let another process listen on the same port (SO_REUSEPORT)."
    )
    enable_custom_metrics_api: bool = switch(True, SERVING, "Serve custom.metrics.k8s.io.")
    enable_external_metrics_api: bool = switch(
        True,
        SERVING,
        "Serve external.metrics.k8s.io. A cluster has one server for it: switch it off where "
        "another adapter is that.",
    )
    max_requests_inflight: int = flag(
        400, integer, SERVING, "Requests under way together; one more is answered 429."
    )
    request_timeout: float = flag(
        2.0,
        span,
        SERVING,
        "How long an answer may take, questions to the API server about the caller included.",
    )
    shutdown_delay_duration: float = flag(
        5.0,
        span,
        SERVING,
        "After SIGTERM: how long to go on serving, no longer ready, until the last aggregator "
        "has heard of it.",
    )
    bare: bool = switch(
        False,
        SERVING,
        "Try it without a cluster: no API server is asked, everything is allowed, and only this "
        "machine is listened to.",
    )
    http2_max_streams_per_connection: int = flag(
        0, integer, SERVING, "Streams of one connection.", inert=_HTTP1
    )
    disable_http2: bool = switch(False, SERVING, "Speak HTTP/1.1 only.", inert=_HTTP1)

    tls_cert_file: str = text(
        CERTIFICATE, "Certificate (PEM), read again when it changes.", placeholder="file"
    )
    tls_private_key_file: str = text(CERTIFICATE, "Its key.", placeholder="file")
    cert_dir: str = text(
        CERTIFICATE,
        "Directory with tls.crt and tls.key, where no --tls-cert-file is given.",
        placeholder="directory",
    )
    managed_certificate_secret: tuple[str, str] | None = flag(
        None,
        _object,
        CERTIFICATE,
        "Secret in which all replicas keep a certificate authority of their own. With it, no "
        "certificate is needed: the caBundle of each APIService is kept right.",
        placeholder="namespace/name",
    )
    service: tuple[str, str] | None = flag(
        None,
        _object,
        CERTIFICATE,
        "The Service that the APIServices point at; the managed certificate is for its name, and "
        "only APIServices of it are written.",
        placeholder="namespace/name",
    )
    managed_ca_lifetime: float = flag(365 * 86400.0, span, CERTIFICATE, "Life of that authority.")
    managed_certificate_lifetime: float = flag(
        30 * 86400.0, span, CERTIFICATE, "Life of what it signs."
    )
    tls_min_version: str = flag(
        "VersionTLS12",
        one_of("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"),
        CERTIFICATE,
        "Lowest TLS version to accept. TLS 1.2 is the floor whatever is said.",
    )
    tls_cipher_suites: tuple[str, ...] = listing(
        str,
        CERTIFICATE,
        "TLS 1.2 cipher suites to accept, by their Go names. Those of TLS 1.3 are fixed.",
        placeholder="names",
    )

    kubeconfig: str = text(
        CLUSTER,
        "Where the API server is, for pods, pools and whatever the next two leave out. Unset: the "
        "pod's service account.",
        placeholder="file",
    )
    authentication_kubeconfig: str = text(
        CLUSTER, "For TokenReviews and the cluster's CAs.", placeholder="file"
    )
    authorization_kubeconfig: str = text(CLUSTER, "For SubjectAccessReviews.", placeholder="file")

    client_ca_file: str = text(
        CALLERS, "CA of callers' own certificates. Unset: as the cluster says.", placeholder="file"
    )
    requestheader_client_ca_file: str = text(
        CALLERS,
        "CA of the front proxy, whose headers say who calls. Unset: as the cluster says.",
        placeholder="file",
    )
    requestheader_allowed_names: tuple[str, ...] = listing(
        str,
        CALLERS,
        "Common names that the front proxy may have; none is any.",
        placeholder="names",
    )
    requestheader_username_headers: tuple[str, ...] = listing(
        str, CALLERS, "Its headers for the user's name. Unset: x-remote-user.", placeholder="names"
    )
    requestheader_group_headers: tuple[str, ...] = listing(
        str, CALLERS, "For groups. Unset: x-remote-group.", placeholder="names"
    )
    requestheader_extra_headers_prefix: tuple[str, ...] = listing(
        str, CALLERS, "Prefixes for extras. Unset: x-remote-extra-.", placeholder="names"
    )
    requestheader_uid_headers: tuple[str, ...] = listing(
        str,
        CALLERS,
        "For the user's UID. Unset: none, for a proxy that does not know the header would pass "
        "on the caller's own.",
        placeholder="names",
    )
    authentication_skip_lookup: bool = switch(
        False, CALLERS, "Do not read the cluster's CAs; only flags say whom to believe."
    )
    authentication_tolerate_lookup_failure: bool = switch(
        False, CALLERS, "Be ready though the cluster's CAs could not be read yet."
    )
    authentication_token_webhook_cache_ttl: float = flag(
        10.0, span, CALLERS, "How long a TokenReview is remembered."
    )
    api_audiences: tuple[str, ...] = listing(
        str,
        CALLERS,
        "Audiences that bearer tokens must be for. Unset: the API server's own.",
        placeholder="names",
    )

    authorization_always_allow_paths: tuple[str, ...] = listing(
        str,
        RIGHTS,
        "Paths that everybody may read. Unset: /healthz, /readyz and /livez, which are never "
        "closed.",
        placeholder="paths",
    )
    authorization_webhook_cache_authorized_ttl: float = flag(
        10.0, span, RIGHTS, "How long a yes is remembered."
    )
    authorization_webhook_cache_unauthorized_ttl: float = flag(
        10.0, span, RIGHTS, "How long a no is remembered."
    )

    config: str = text(
        METRICS,
        "File with the metrics and their sources; read again when it changes.",
        placeholder="file",
    )
    config_map: str = flag(
        "",
        _config_map,
        METRICS,
        "ConfigMap with the same, followed through the Kubernetes API: a change is in force within "
        "a second, a mistake is an Event on it. --config is then what to start with, and not read "
        "again. KEY is not needed where there is only one.",
        placeholder="namespace/name[/key]",
    )
    metrics_relist_interval: float = flag(
        0.0, span, METRICS, "How often to look for metrics.", inert=_MEMORY
    )
    metrics_max_age: float = flag(0.0, span, METRICS, "How far to look back.", inert=_MEMORY)
    external_metric_cache_ttl: float = flag(
        0.0, span, METRICS, "How long to keep answers.", inert=_MEMORY
    )

    audit_log_path: str = text(
        WATCHING, "File for audit events; - is standard output.", placeholder="file"
    )
    audit_log_maxsize: int = flag(100, integer, WATCHING, "Megabytes after which it is rotated.")
    audit_log_maxbackup: int = flag(2, integer, WATCHING, "Rotated files that are kept.")
    audit_policy_file: str = text(WATCHING, "What to write.", inert=_LEVEL)
    audit_log_maxage: int = flag(0, integer, WATCHING, "Days kept.", inert="see maxbackup")
    v: int = flag(
        2,
        integer,
        WATCHING,
        "How much to log: 2 is events, 3 adds what changes, 4 and 5 are for debugging.",
    )
    log_format: str = flag(
        "", one_of("json", "text"), WATCHING, "Unset: text on a terminal, json elsewhere."
    )
    logtostderr: bool = switch(True, WATCHING, "Log to stderr.", inert="it always does")
    profiling: bool = switch(True, WATCHING, "Serve profiles.", inert=_GO)
    contention_profiling: bool = switch(False, WATCHING, "Profile locks.", inert=_GO)
    enable_priority_and_fairness: bool = switch(
        True, SERVING, "Queue requests by flow.", inert="see --max-requests-inflight"
    )
