"""argv -> ``Flags``, or every reason why not; and the text of ``--help``.

Called by ``gateway.__main__``. It reads no file but checks that those named are there, so that a
mistyped path is a usage error and not a crash a second later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config.flags import REFUSED, Flags
from loadstar.config import pflag
from loadstar.config.errors import Problems
from loadstar.files import unusable

MIN_REFRESH_SECONDS = 0.05
"""The reference's floor for --refresh-metrics-interval; below it scraping outweighs serving."""
MAX_WORKERS = 64
MAX_TARGET_PORTS = 8
"""As an InferencePool allows."""

INTRODUCTION = """\
usage: loadstar gateway [flags]

Picks a model server for each request that Envoy asks about (ext_proc). In a cluster it follows an
InferencePool; elsewhere it needs nothing but an EndpointPickerConfig that says where the endpoints
are:

  loadstar gateway --pool-name llama --pool-namespace prod
  loadstar gateway --config-file picker.yaml

Durations are written 50ms or 1m30s, sizes 10MiB or 25MB, booleans --flag or --flag=false."""


def parse(argv: Sequence[str], *, looks: bool = True) -> tuple[Flags, list[str]]:
    """The flags of ``argv``, and what the operator should know of them (sentences to log).

    ``looks`` whether the files that are named are there: not for one of several processes that is
    started again and goes on with what the others have. Raises ConfigError with every problem, or
    HelpWanted.
    """
    parsed = pflag.parse(Flags, argv, refused=REFUSED)
    flags = parsed.values
    problems = Problems()
    _check(flags, problems)
    if looks:
        _check_files(flags, problems)
    problems.raise_if_any()
    notes = pflag.inert(Flags, parsed.given)
    if flags.refresh_metrics_interval < MIN_REFRESH_SECONDS:
        notes.append("--refresh-metrics-interval is below 50ms: 50ms is used")
        flags = replace(flags, refresh_metrics_interval=MIN_REFRESH_SECONDS)
    return flags, notes


def usage() -> str:
    """The text of ``--help``."""
    return f"{INTRODUCTION}\n\n{pflag.usage(Flags, _shown)}\n"


def _shown(placeholder: str, default: object) -> str:
    """A default as it would be typed; empty where it says nothing."""
    if default in (None, "", ()) or (default == 0 and placeholder != "duration"):
        return ""
    if isinstance(default, bool):
        return "true" if default else ""
    if isinstance(default, float):
        return f"{default:g}s" if default >= 1 else f"{default * 1000:g}ms"
    if placeholder == "size" and isinstance(default, int):
        return f"{default >> 20}MiB"
    return str(default)


def _check(flags: Flags, problems: Problems) -> None:
    """What no single flag can see."""
    given = [
        name
        for name, value in (
            ("--config-file", flags.config_file),
            ("--config-text", flags.config_text),
            ("--config-map", flags.config_map),
        )
        if value
    ]
    for name in given[1:]:
        problems.add(name, f"cannot be given together with {given[0]}")
    if flags.pool_name and flags.endpoint_selector:
        problems.add("--endpoint-selector", "cannot be given together with --pool-name")
    if flags.endpoint_selector and not flags.endpoint_target_ports:
        problems.add("--endpoint-target-ports", "is needed with --endpoint-selector")
    if len(set(flags.endpoint_target_ports)) > MAX_TARGET_PORTS:
        problems.add("--endpoint-target-ports", f"at most {MAX_TARGET_PORTS} ports")
    if 0 in flags.endpoint_target_ports:
        problems.add("--endpoint-target-ports", "0 is not a port that a pod serves on")
    if not 0 <= flags.workers <= MAX_WORKERS:
        problems.add("--workers", f"must be 0 (one per core) to {MAX_WORKERS}")
    if flags.workers > 1 and flags.transport != "wire":
        problems.add(
            "--workers", "more than one needs --transport=wire: only it can be handed connections"
        )
    if flags.max_body_bytes == 0:
        problems.add(
            "--max-body-bytes", "must be positive: a request without its body has no model"
        )
    if flags.enable_cert_reload and not flags.cert_path:
        problems.add("--enable-cert-reload", "needs --cert-path: a self-signed one does not change")
    if flags.metrics_client_ca_file and not flags.metrics_cert_dir:
        problems.add("--metrics-client-ca-file", "needs --metrics-cert-dir")
    given_ports = (flags.grpc_port, flags.grpc_health_port, flags.metrics_port, flags.signals_port)
    ports = [p for p in given_ports if p]
    if len(set(ports)) < len(ports):
        problems.add(
            "", "--grpc-port, --grpc-health-port, --metrics-port and --signals-port must differ"
        )


def _check_files(flags: Flags, problems: Problems) -> None:
    """Whether they are there, and files."""
    if flags.secure_serving and flags.cert_path:
        _check_pair("--cert-path", flags.cert_path, problems)
    if flags.metrics_cert_dir:
        _check_pair("--metrics-cert-dir", flags.metrics_cert_dir, problems)
    for name, path in (
        ("--config-file", flags.config_file),
        ("--kubeconfig", flags.kubeconfig),
        ("--metrics-token-file", flags.metrics_token_file),
        ("--signals-token-file", flags.signals_token_file),
        ("--metrics-client-ca-file", flags.metrics_client_ca_file),
    ):
        if path and (why := unusable(path)):
            problems.add(name, f"{path}: {why}")


def _check_pair(name: str, directory: str, problems: Problems) -> None:
    for file in ("tls.crt", "tls.key"):
        path = Path(directory, file)
        if why := unusable(path):
            problems.add(name, f"{path}: {why}")
