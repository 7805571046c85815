"""What the flags say of keys, and of who may read the pages: certificate, TLS, guard."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

from gateway.config.flags import Flags
from gateway.serving.credentials import CIPHERS_VARIABLE, ciphers, only_rsa
from loadstar import tls
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from loadstar.telemetry.admin import Guard
from loadstar.tls_port import TlsPort


def certificate(
    flags: Flags,
    environment: MutableMapping[str, str],
    clock: Clock,
    reloaded: Callable[[bool], None],
) -> tls.ReloadingPair | None:
    """What the ext_proc port serves; None is plaintext. Raises CertificateError, ConfigError.

    The cipher suites of grpcio go into ``environment``, where alone it looks for them.
    """
    if not flags.secure_serving:
        return None
    if flags.cert_path:
        pair = tls.load(flags.cert_path)
    else:
        pair = tls.self_signed(clock.wall(), elliptic=not only_rsa(flags.tls_cipher_suites))
    try:
        suites = ciphers(flags.tls_min_version, flags.tls_cipher_suites, elliptic=pair.elliptic)
    except ValueError as error:
        raise ConfigError.of("--tls-cipher-suites", str(error)) from error
    if suites is not None:
        environment[CIPHERS_VARIABLE] = suites
    return tls.ReloadingPair(
        flags.cert_path,
        pair,
        reloaded,
        same_kind=suites is not None,
    )


def guard(flags: Flags) -> Guard:
    """Who may read metrics and pages; a client certificate is asked for by TLS itself."""
    by_certificate = bool(flags.metrics_client_ca_file)
    return Guard(
        open=not flags.metrics_endpoint_auth or by_certificate, token_file=flags.metrics_token_file
    )


def admin_tls(flags: Flags, reloaded: Callable[[bool], None]) -> TlsPort | None:
    """TLS of the metrics port; None is plaintext. Raises CertificateError."""
    if not flags.metrics_cert_dir:
        return None
    return TlsPort(flags.metrics_cert_dir, reloaded, client_ca_file=flags.metrics_client_ca_file)
