"""The TLS context for scraping, from the ``metrics-data-source`` parameters. Reads files."""

from __future__ import annotations

import ssl

from gateway.config.data_sources import MetricsSource
from loadstar.config.errors import ConfigError


def tls_context(source: MetricsSource) -> ssl.SSLContext | None:
    """None for plain HTTP. Raises ConfigError for files that cannot be used.

    Model servers' certificates are seldom made for pod addresses, so by default, as in the
    router, they are not verified. A CA given is always used.
    """
    if source.scheme != "https":
        return None
    context = ssl.create_default_context()
    if source.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if source.ca_cert_path:
        try:
            context.load_verify_locations(source.ca_cert_path)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError.of("caCertPath", f"{source.ca_cert_path}: {error}") from error
    if source.client_cert_path:
        try:
            context.load_cert_chain(source.client_cert_path, source.client_key_path)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError.of("clientCertPath", f"{source.client_cert_path}: {error}") from error
    return context
