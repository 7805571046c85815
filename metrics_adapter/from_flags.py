"""What flags alone describe: APIs, certificate, TLS, whose headers to believe. No network."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from loadstar import tls
from loadstar.clock import Clock
from loadstar.config.errors import ConfigError
from metrics_adapter.api.discovery import EVERY_API, Served
from metrics_adapter.api.parse import CUSTOM_GROUP, EXTERNAL_GROUP
from metrics_adapter.clients import Clients
from metrics_adapter.config import flags as defaults
from metrics_adapter.config.flags import Flags
from metrics_adapter.metrics import Metrics
from metrics_adapter.security.certificate_files import read_pair
from metrics_adapter.security.managed import Managed, Names
from metrics_adapter.security.serving import Serving, openssl_names, shaped
from metrics_adapter.security.trust import ProxyHeaders


def served(flags: Flags) -> Served:
    """The APIs and versions that are not turned off."""
    on = {
        CUSTOM_GROUP: flags.enable_custom_metrics_api,
        EXTERNAL_GROUP: flags.enable_external_metrics_api,
    }
    return {group: versions for group, versions in EVERY_API.items() if on[group]}


def first_pair(flags: Flags, clock: Clock) -> tls.KeyPair:
    """What is shown until something better is known. Raises CertificateError."""
    if flags.tls_cert_file:
        return read_pair(flags.tls_cert_file, flags.tls_private_key_file)
    return tls.self_signed(clock.wall())


def shape(flags: Flags) -> Callable[[ssl.SSLContext], None]:
    """Sets the lowest version and the suites. Raises ConfigError."""
    minimum = {
        "VersionTLS13": ssl.TLSVersion.TLSv1_3,
    }.get(flags.tls_min_version, ssl.TLSVersion.TLSv1_2)
    try:
        return shaped(minimum, openssl_names(flags.tls_cipher_suites))
    except ValueError as error:
        raise ConfigError.of("--tls-cipher-suites", str(error)) from error


def headers(flags: Flags) -> ProxyHeaders:
    """What the front proxy says of callers, and where."""
    return ProxyHeaders(
        allowed_names=flags.requestheader_allowed_names,
        username=flags.requestheader_username_headers or defaults.USERNAME_HEADERS,
        group=flags.requestheader_group_headers or defaults.GROUP_HEADERS,
        extra_prefixes=flags.requestheader_extra_headers_prefix or defaults.EXTRA_PREFIXES,
        uid=flags.requestheader_uid_headers,
    )


def managed(
    flags: Flags, clients: Clients | None, clock: Clock, serving: Serving, metrics: Metrics
) -> Managed | None:
    """The certificate authority of our own, where one is asked for."""
    if flags.managed_certificate_secret is None or flags.service is None or clients is None:
        return None
    names = Names(
        secret=flags.managed_certificate_secret,
        service=flags.service,
        api_services=tuple(
            f"{version}.{group}"
            for group, versions in served(flags).items()
            for version in versions
        ),
    )

    def serve(pair: tls.KeyPair) -> None:
        serving.renew(pair)
        metrics.reloaded("certificate", ok=True)

    return Managed(
        clients.watch,
        clock,
        names,
        authority_seconds=flags.managed_ca_lifetime,
        certificate_seconds=flags.managed_certificate_lifetime,
        serve=serve,
    )
