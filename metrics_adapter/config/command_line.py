"""argv -> ``Flags``, or every reason why not; and the text of ``--help``.

Called by ``metrics_adapter.__main__``. It reads no file but checks that those named are there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadstar.config import pflag
from loadstar.config.errors import Problems
from loadstar.files import unusable
from metrics_adapter.config.flags import REFUSED, Flags

MAX_TIMEOUT_SECONDS = 10.0
"""An HPA that waits holds up all others; the controller has five workers for everything."""
MIN_LIFETIME_SECONDS = 10.0
LOOPBACK = "127.0.0.1"

INTRODUCTION = """\
usage: loadstar adapter [flags]
       loadstar adapter import-rules FILE

Serves custom.metrics.k8s.io and external.metrics.k8s.io to a cluster's autoscalers. In a cluster:

  loadstar adapter --config-map NAMESPACE/NAME --service NAMESPACE/NAME \\
                   --managed-certificate-secret NAMESPACE/NAME

Outside, against any API server, add --kubeconfig. To try it on this machine with no cluster:

  loadstar adapter --bare --config adapter.yaml

Durations are written 50ms or 1m30s, booleans --flag or --flag=false."""


def parse(argv: Sequence[str]) -> tuple[Flags, list[str]]:
    """The flags of ``argv``, and what the operator should know of them (sentences to log).

    Raises ConfigError with every problem, or HelpWanted.
    """
    parsed = pflag.parse(Flags, argv, refused=REFUSED)
    flags = parsed.values
    if flags.bare and not flags.bind_address:
        flags = replace(flags, bind_address=LOOPBACK)
    if flags.cert_dir and not flags.tls_cert_file and not flags.tls_private_key_file:
        certificate, key = (str(Path(flags.cert_dir, name)) for name in ("tls.crt", "tls.key"))
        flags = replace(flags, tls_cert_file=certificate, tls_private_key_file=key)
    _check(flags)
    return flags, pflag.inert(Flags, parsed.given)


def usage() -> str:
    """The text of ``--help``."""
    return f"{INTRODUCTION}\n\n{pflag.usage(Flags, _shown)}\n"


def _shown(placeholder: str, default: object) -> str:
    """A default as it would be typed; empty where it says nothing."""
    if default in (None, "", ()) or default == 0:
        return ""
    if isinstance(default, bool):
        return "true" if default else ""
    if isinstance(default, float):
        return f"{default / 3600:g}h" if default >= 3600 else f"{default:g}s"
    return str(default)


def _check(flags: Flags) -> None:
    """What no single flag can see. Raises ConfigError."""
    problems = Problems()
    if not flags.enable_custom_metrics_api and not flags.enable_external_metrics_api:
        problems.add("--enable-external-metrics-api", "nothing is left to serve")
    if bool(flags.tls_cert_file) != bool(flags.tls_private_key_file):
        problems.add("--tls-cert-file", "and --tls-private-key-file go together")
    if flags.managed_certificate_secret:
        if not flags.service:
            problems.add("--service", "is needed with --managed-certificate-secret")
        if flags.tls_cert_file:
            problems.add("--managed-certificate-secret", "and certificate files exclude each other")
        if min(flags.managed_ca_lifetime, flags.managed_certificate_lifetime) < (
            MIN_LIFETIME_SECONDS
        ):
            problems.add("--managed-ca-lifetime", "lives shorter than 10s leave no time to renew")
    if flags.max_requests_inflight < 1:
        problems.add("--max-requests-inflight", "must be at least 1")
    if not 0 < flags.request_timeout <= MAX_TIMEOUT_SECONDS:
        problems.add(
            "--request-timeout", f"must be more than 0 and at most {MAX_TIMEOUT_SECONDS:g}s"
        )
    if flags.requestheader_allowed_names and not flags.requestheader_client_ca_file:
        problems.add(
            "--requestheader-allowed-names",
            "has no effect without --requestheader-client-ca-file: the cluster's own names are "
            "taken with its CA",
        )
    if flags.bare:
        _check_bare(flags, problems)
    for name, path in (
        ("--config", flags.config),
        ("--tls-cert-file", flags.tls_cert_file),
        ("--tls-private-key-file", flags.tls_private_key_file),
        ("--kubeconfig", flags.kubeconfig),
        ("--authentication-kubeconfig", flags.authentication_kubeconfig),
        ("--authorization-kubeconfig", flags.authorization_kubeconfig),
        ("--client-ca-file", flags.client_ca_file),
        ("--requestheader-client-ca-file", flags.requestheader_client_ca_file),
    ):
        if path and (why := unusable(path)):
            problems.add(name, f"{path}: {why}")
    problems.raise_if_any()


def _check_bare(flags: Flags, problems: Problems) -> None:
    try:
        outside = not ipaddress.ip_address(flags.bind_address).is_loopback
    except ValueError:
        outside = flags.bind_address != "localhost"
    if outside:
        problems.add("--bind-address", "with --bare only this machine may be listened to")
    for name, value in (
        ("--managed-certificate-secret", flags.managed_certificate_secret),
        ("--config-map", flags.config_map),
    ):
        if value:
            problems.add(name, "needs an API server; --bare has none")
