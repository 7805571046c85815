"""The gateway's command line: every flag of the llm-d router with its default, and a few of ours.

Flags say how the process serves; what it decides is in the EndpointPickerConfig. A field here is
the whole of a flag: its type, default, parser and help. ``gateway.config.command_line`` fills
them in, once; everything below ``main`` gets plain values.
"""

from __future__ import annotations

from dataclasses import dataclass

from loadstar.config.pflag import flag, integer, listing, one_of, port, size, span, switch, text
from loadstar.kube.config_map import ConfigMapRef

MESSAGE_OVERHEAD = 4 << 20
"""What a BUFFERED message may hold beside the body: headers, metadata, framing."""
LOG_LEVELS = {"error": 0, "warn": 1, "info": 2, "debug": 4}
"""Zap's level names as ``-v`` numbers; zap also takes a number."""

SERVING = "Serving Envoy"
TLS = "TLS of the ext_proc port"
POOL = "The pool"
CONFIG = "Configuration"
SCRAPING = "Model-server metrics"
WATCHING = "Health, metrics, logs and traces"

_GATED = "no plugin here is gated as experimental"
_NOT_GO = "it tunes a library of the Go implementation"
_USE_CONFIG = (
    "is no longer a flag; name the metric under engineConfigs of core-metrics-extractor in the "
    "EndpointPickerConfig"
)

REFUSED = tuple(
    (name, _USE_CONFIG)
    for name in (
        "total-queued-requests-metric",
        "total-running-requests-metric",
        "kv-cache-usage-percentage-metric",
        "lora-info-metric",
        "cache-info-metric",
    )
)


def _log_level(text: str) -> str:
    if text not in LOG_LEVELS and integer(text) < 0:
        raise ValueError(f"{text!r} is negative")
    return text


def _config_map(text: str) -> str:
    return str(ConfigMapRef.parse(text)) if text else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The command line. Durations are seconds, sizes bytes; "" and 0 mean 'not set'."""

    grpc_port: int = flag(9002, port, SERVING, "Port that Envoy's ext_proc filter connects to.")
    bind_address: str = text(
        SERVING, "Address that every port listens on; empty is all addresses, IPv6 included."
    )
    transport: str = flag(
        "wire",
        one_of("wire", "grpcio"),
        SERVING,
        "What hosts the ext_proc stream: our own HTTP/2 (the cheapest), or gRPC's library.",
        placeholder="wire|grpcio",
    )
    workers: int = flag(
        0,
        integer,
        SERVING,
        "Processes that pick; 0 is one per core that the process may use (affinity, CPU quota) "
        "and has memory for; with grpcio, one. Several share one collector of metrics and what "
        "they know of the pool, and connections are spread over them.",
    )
    drain_timeout: float = flag(
        30.0,
        span,
        SERVING,
        "How long to go on serving after SIGTERM while streams are open or still come. "
        "Health says NOT_SERVING at once; with no stream for a sixth of this, the process leaves "
        "early. SIGINT only waits for streams that are open; a second signal ends at once.",
    )
    grpc_max_recv_msg_size: int = flag(
        0,
        size,
        SERVING,
        "Largest ext_proc message to receive, as 10MiB or 25MB. Unset: one that holds the "
        "longest body allowed.",
    )
    grpc_max_send_msg_size: int = flag(
        0, size, SERVING, "Largest ext_proc message to send. Unset: as for receiving."
    )
    max_body_bytes: int = flag(
        64 << 20,
        size,
        SERVING,
        "Longest request body kept for routing; a longer one is answered 413.",
    )
    emit_endpoint_scores: bool = switch(
        False,
        SERVING,
        "Tell Envoy each candidate's score, as x-gateway-destination-endpoint-scores in the "
        "dynamic metadata envoy.lb.",
    )
    conformance_echo: bool = switch(
        False,
        SERVING,
        "Echo the serving endpoint to the client in x-conformance-test-served-endpoint, as "
        "the conformance tests want.",
    )
    enable_grpc_stream_metrics: bool = switch(
        False, SERVING, "Measure open ext_proc streams, how long they last and how they end."
    )
    seed: int | None = flag(
        None,
        integer,
        SERVING,
        "Seed of every random choice, for a run that can be repeated. Unset: a new one each start.",
    )

    secure_serving: bool = switch(
        True, TLS, "Serve TLS; --secure-serving=false serves plaintext HTTP/2."
    )
    cert_path: str = text(
        TLS,
        "Directory with tls.crt and tls.key. Unset: a self-signed certificate made at start.",
        placeholder="directory",
    )
    enable_cert_reload: bool = switch(
        False, TLS, "Take new files in --cert-path when they change, without a restart."
    )
    tls_min_version: str = flag(
        "",
        one_of("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"),
        TLS,
        "Lowest TLS version to accept. TLS 1.2 is the floor whatever is said.",
    )
    tls_cipher_suites: tuple[str, ...] = listing(
        str,
        TLS,
        "TLS 1.2 cipher suites to accept, by their Go names, separated by commas. Those of "
        "TLS 1.3 are fixed.",
        placeholder="names",
    )

    pool_name: str = text(
        POOL,
        "Name of the InferencePool whose pods are the endpoints. With a file-discovery plugin, "
        "only the name under which metrics show the pool.",
    )
    pool_namespace: str = text(
        POOL, "Its namespace. Unset: $NAMESPACE, else that of the credentials, else default."
    )
    pool_group: str = text(
        POOL,
        "API group of the InferencePool; the older one is inference.networking.x-k8s.io.",
        default="inference.networking.k8s.io",
    )
    endpoint_selector: str = text(
        POOL, "Label selector of model-server pods, instead of --pool-name.", placeholder="selector"
    )
    endpoint_target_ports: tuple[int, ...] = listing(
        port,
        POOL,
        "Ports of those pods, 1 to 8 of them; each is an endpoint of its own.",
        placeholder="ports",
    )
    kubeconfig: str = text(
        POOL,
        "How to reach the Kubernetes API. Unset: the pod's service account, else $KUBECONFIG.",
        placeholder="file",
    )
    disable_endpoint_subset_filter: bool = switch(
        False, POOL, "Ignore the subset of endpoints that the proxy allows."
    )
    ha_enable_leader_election: bool = switch(
        False, POOL, "Only the elected replica is ready.", inert="replicas here are all active"
    )

    config_file: str = text(
        CONFIG, "EndpointPickerConfig to serve with; re-read when it changes.", placeholder="file"
    )
    config_text: str = text(
        CONFIG, "The EndpointPickerConfig itself, instead of a file.", placeholder="yaml"
    )
    config_map: str = flag(
        "",
        _config_map,
        CONFIG,
        "ConfigMap to serve with, read through the Kubernetes API and followed: a change is in "
        "force within a second. KEY is not needed where there is only one.",
        placeholder="namespace/name[/key]",
    )
    allow_experimental_plugins: bool = switch(
        False, CONFIG, "Allow plugins that are still experimental.", inert=_GATED
    )

    refresh_metrics_interval: float = flag(
        0.05,
        span,
        SCRAPING,
        "Shortest time between two scrapes of one model server; one whose state is known "
        "well is scraped less often.",
    )
    metrics_staleness_threshold: float = flag(
        2.0, span, SCRAPING, "Age at which scraped values are no longer believed."
    )
    refresh_prometheus_metrics_interval: float = flag(
        5.0,
        span,
        SCRAPING,
        "How often gauges of the pool are renewed.",
        inert="they are computed at each scrape",
    )
    model_server_metrics_scheme: str = flag(
        "http",
        one_of("http", "https"),
        SCRAPING,
        "Scheme of the metrics page; better set on metrics-data-source.",
    )
    model_server_metrics_path: str = text(
        SCRAPING, "Path of the metrics page; better set on metrics-data-source.", default="/metrics"
    )
    model_server_metrics_port: int = flag(
        0,
        port,
        SCRAPING,
        "Port of the metrics page. Unset: the endpoint's metricsPort, else its port.",
    )
    model_server_metrics_https_insecure_skip_verify: bool = switch(
        True, SCRAPING, "Accept any certificate of a metrics page."
    )

    grpc_health_port: int = flag(
        9003, port, WATCHING, "Port of the gRPC health service (plaintext)."
    )
    health_checking: bool = switch(False, WATCHING, "Serve gRPC health on the ext_proc port too.")
    metrics_port: int = flag(
        9090, port, WATCHING, "Port of /metrics, /livez, /readyz and the debug pages."
    )
    signals_port: int | None = flag(
        None,
        port,
        WATCHING,
        "Port on which metrics adapters, autoscalers and other gateways subscribe to what this "
        "one knows of load (SignalFeed), over TLS as the ext_proc port. Unset: not served.",
    )
    signals_interval: float = flag(
        1.0,
        span,
        WATCHING,
        "How often subscribers to --signals-port are told; shorter only for demonstrations.",
    )
    signals_token_file: str = text(
        WATCHING,
        "File with the bearer token that subscribers to --signals-port must present.",
        placeholder="file",
    )
    metrics_endpoint_auth: bool = switch(
        True,
        WATCHING,
        "Protect /metrics and the debug pages: with the bearer token of --metrics-token-file, "
        "else by serving them to loopback clients only. Probes stay open.",
    )
    metrics_token_file: str = text(
        WATCHING,
        "File with the bearer token that opens /metrics and the debug pages.",
        placeholder="file",
    )
    metrics_cert_dir: str = text(
        WATCHING,
        "Directory with tls.crt and tls.key: serve the metrics port over TLS. Taken again when it "
        "changes.",
        placeholder="directory",
    )
    metrics_client_ca_file: str = text(
        WATCHING,
        "CA that clients of the metrics port must present a certificate of.",
        placeholder="file",
    )
    enable_pprof: bool = switch(
        True, WATCHING, "Serve /debug/tasks: what every task of the process is waiting for."
    )
    tracing: bool = switch(
        True, WATCHING, "Send traces to $OTEL_EXPORTER_OTLP_ENDPOINT, where that is set."
    )
    v: int = flag(
        2,
        integer,
        WATCHING,
        "How much to log: 2 is events, 3 adds what changes, 4 each request, 5 each message.",
    )
    zap_log_level: str = flag(
        "",
        _log_level,
        WATCHING,
        "As -v, in zap's words: error, warn, info, debug or a number.",
        placeholder="level",
    )
    zap_encoder: str = flag(
        "",
        one_of("json", "console"),
        WATCHING,
        "Form of a log line. Unset: console on a terminal, else json.",
        placeholder="json|console",
    )
    zap_devel: bool = switch(True, WATCHING, "Zap's development mode.", inert=_NOT_GO)
    zap_stacktrace_level: str = text(
        WATCHING,
        "Zap's level from which stack traces are logged.",
        placeholder="level",
        inert=_NOT_GO,
    )
    zap_time_encoding: str = text(
        WATCHING, "Zap's form of a timestamp.", inert="timestamps are RFC 3339"
    )

    @property
    def verbosity(self) -> int:
        """The level to log at, from ``-v`` or zap's word for it."""
        if self.zap_log_level:
            named = LOG_LEVELS.get(self.zap_log_level)
            return integer(self.zap_log_level) if named is None else named
        return self.v if self.v >= 0 else LOG_LEVELS["info"]

    @property
    def max_receive_bytes(self) -> int:
        """Largest ext_proc message to take: in BUFFERED mode a whole body is one."""
        return self.grpc_max_recv_msg_size or self.max_body_bytes + MESSAGE_OVERHEAD

    @property
    def max_send_bytes(self) -> int:
        """Largest ext_proc message to send: a replaced BUFFERED body is one."""
        return self.grpc_max_send_msg_size or self.max_receive_bytes
