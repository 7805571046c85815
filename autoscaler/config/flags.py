"""The autoscaler's command line. What it decides by is the policy; flags say how the process runs.

A field is the whole of a flag: type, default, parser, help. What goes with what is ``checks``'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from loadstar.config import pflag
from loadstar.config.pflag import flag, integer, listing, port, switch, text

POLICY = "The policy"
SEEING = "What it sees"
ACTING = "What it writes to"
LEADING = "Leader election"
KEEPING = "What it keeps"
WATCHING = "Metrics, probes and logs"
TRYING = "For demonstrations"

_MATCHER: Final = r'\s*[A-Za-z_]\w*\s*(=|!=|=~|!~)\s*"(\\.|[^"\\])*"\s*'
_MATCHERS: Final = re.compile(rf"{_MATCHER}(,{_MATCHER})*,?\s*")


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is not more than 0")
    return value


def _matchers(text: str) -> str:
    """Label matchers of PromQL, without their braces; "" for none."""
    if text.strip() and not _MATCHERS.fullmatch(text):
        raise ValueError(f'{text!r} is not like cluster="a",namespace="llm"')
    return text.strip().rstrip(",")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Durations are seconds; "" and 0 mean 'not set'."""

    policy_file: str = text(
        POLICY, "The policy, in a file that is looked at for changes.", placeholder="file"
    )
    config_map: str = text(
        POLICY,
        "The policy, in the key autoscaler.yaml of a ConfigMap that is followed.",
        placeholder="namespace/name",
    )
    dry_run: bool = switch(
        False, POLICY, "Write nothing, whatever mode the policy says; decide, record and tell."
    )
    signals: tuple[str, ...] = listing(
        str,
        SEEING,
        "Where gateways publish: host:port, of which every address is listened to.",
        placeholder="host:port,...",
    )
    signals_ca_file: str = text(
        SEEING, "CA of the gateways' certificates; unset: the system's.", placeholder="file"
    )
    signals_server_name: str = text(
        SEEING, "The name in their certificates, where it is not the host's."
    )
    signals_insecure_skip_verify: bool = switch(
        False, SEEING, "Accept any certificate: gateways make their own unless given one."
    )
    signals_plaintext: bool = switch(False, SEEING, "No TLS to the gateways.")
    signals_token_file: str = text(
        SEEING, "Bearer token that the gateways ask for.", placeholder="file"
    )
    demand_file: str = text(
        SEEING,
        "Read demand from a JSON file that another program keeps, and not from gateways.",
        placeholder="file",
    )
    prometheus_url: str = text(
        SEEING,
        "A Prometheus API that has the gateways' metrics: past demand that is not known is read "
        "from it once, at the start.",
        placeholder="url",
    )
    prometheus_ca_file: str = text(
        SEEING, "CA of its certificate; unset: the system's.", placeholder="file"
    )
    prometheus_token_file: str = text(
        SEEING, "Bearer token for it, read before each query.", placeholder="file"
    )
    prometheus_google_auth: bool = switch(
        False, SEEING, "Query it as the pod's Google account (application-default credentials)."
    )
    prometheus_selector: str = flag(
        "",
        _matchers,
        SEEING,
        'Label matchers of our gateways there, where it has others\': cluster="a",namespace="llm".',
        placeholder="matchers",
    )
    prometheus_timeout: float = flag(
        15.0, pflag.span, SEEING, "How long one query may take.", placeholder="duration"
    )
    namespace: str = text(
        SEEING, "Look at pods of this namespace only; unset: of all, as releasing nodes needs."
    )
    kubeconfig: str = text(
        ACTING,
        "How to reach the Kubernetes API. Unset: the pod's service account, else $KUBECONFIG.",
        placeholder="file",
    )
    project: str = text(ACTING, "The Google Cloud project of the policy's pools.")
    local_fleet: str = text(
        ACTING,
        "URL of a fleet of processes on this machine; then no Kubernetes is asked for anything.",
        placeholder="url",
    )
    leader_elect: bool = switch(
        True, LEADING, "Write only while holding a Lease. Without: one process, no other."
    )
    lease_namespace: str = text(
        LEADING, "Where the Lease is; unset: the namespace of the pod or kubeconfig."
    )
    lease_name: str = text(LEADING, "Its name.", default="loadstar-autoscaler")
    identity: str = text(LEADING, "Ours, unique; unset: made of the host's name.")
    state_dir: str = text(
        KEEPING,
        "Folder of histories and lead times; unset: they are forgotten at the end.",
        placeholder="dir",
    )
    ledger_dir: str = text(
        KEEPING, "Folder of the ledger of decisions; unset: none.", placeholder="dir"
    )
    bind_address: str = text(WATCHING, "Address to listen on; empty is all of them.")
    metrics_port: int = flag(
        9090, port, WATCHING, "Port of /metrics, /livez, /readyz, /configz and /decisions."
    )
    metrics_endpoint_auth: bool = switch(
        True,
        WATCHING,
        "Protect /metrics and the pages: with the bearer token of --metrics-token-file, else by "
        "serving them to loopback clients only. Probes stay open.",
    )
    metrics_token_file: str = text(WATCHING, "The bearer token of /metrics.", placeholder="file")
    metrics_cert_dir: str = text(
        WATCHING,
        "Folder of tls.crt and tls.key for that port; taken again when they change.",
        placeholder="dir",
    )
    signals_port: int | None = flag(
        None,
        port,
        WATCHING,
        "Port on which metrics adapters subscribe to what is wanted (SignalFeed), over TLS. "
        "Unset: not served.",
    )
    signals_cert_dir: str = text(
        WATCHING,
        "Folder of tls.crt and tls.key for that port, taken again when they change; unset: a "
        "certificate of our own making.",
        placeholder="dir",
    )
    signals_port_token_file: str = text(
        WATCHING, "Bearer token that its subscribers must present.", placeholder="file"
    )
    v: int = flag(2, integer, WATCHING, "How much to log, 0 to 5.")
    log_format: str = flag(
        "", pflag.one_of("json", "console"), WATCHING, "Unset: console on a terminal, else json."
    )
    clock_factor: float = flag(
        1.0,
        _factor,
        TRYING,
        "Run the clock of the policy's periods, histories and lead times so many times as fast "
        "as the machine's; what gateways say of requests stays in real seconds.",
        placeholder="float",
    )
    clock_agreed_at: float = flag(
        0.0,
        _factor,
        TRYING,
        "When that clock shows what the machine's does, in Unix seconds.",
        placeholder="float",
    )
