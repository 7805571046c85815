"""Where the API server is and who we are to it: from a kubeconfig, or from the pod's own account.

Reading is left to ``kubernetes.aio.config`` (contexts, exec plugins, OIDC, client certificates)
and happens in a thread, for it opens files and may start programs. ``client`` calls ``load`` at
the start, and again when what it has is refused or old: service-account tokens are rotated, and
so are authorities.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loadstar.config.errors import ConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ROTATION_SECONDS = 60.0
"""How old credentials from a pod's account may be; kubelet renews them long before they end."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to call one API server. Its repr shows no secret."""

    server: str
    """``https://host:port``, without a slash at the end."""
    tls: ssl.SSLContext | None = field(repr=False)
    authorization: str | None = field(default=None, repr=False)
    """The header's value."""
    server_name: str | None = None
    """What its certificate must say, if not the host."""
    proxy: str | None = None
    namespace: str = ""
    """The one that the context or the pod is in; empty where none is said."""


class Credentials:
    """Makes a ``Connection`` of what is on the disk now."""

    def __init__(
        self,
        kubeconfig: str = "",
        *,
        context: str = "",
        environment: Mapping[str, str],
        account: Path = SERVICE_ACCOUNT,
    ) -> None:
        """Without ``kubeconfig``: the pod's own account, else ``$KUBECONFIG``."""
        in_pod = "KUBERNETES_SERVICE_HOST" in environment
        self._kubeconfig = kubeconfig or ("" if in_pod else environment.get("KUBECONFIG", ""))
        self._context = context or None
        self._environment = environment
        self._account = account
        self.rotates = not self._kubeconfig
        """Whether to ask again after ``ROTATION_SECONDS`` though nothing was refused."""

    def __str__(self) -> str:
        return self._kubeconfig or "the pod's service account"

    async def load(self) -> Connection:
        """What the files say now. Raises ConfigError, naming the file."""
        return await asyncio.to_thread(self.read)

    def read(self) -> Connection:
        """``load``, in this thread."""
        # Imported here: it takes a fifth of a second and 30 MB that nobody else pays for.
        from kubernetes.aio.client.configuration import Configuration
        from kubernetes.aio.config import ConfigException

        configuration = Configuration()
        where = str(self)
        try:
            if self._kubeconfig:
                namespace = self._from_kubeconfig(configuration)
            elif "KUBERNETES_SERVICE_HOST" not in self._environment:
                raise ValueError("not in a pod; give --kubeconfig or set $KUBECONFIG")
            else:
                namespace = self._from_account(configuration)
            return _connection(configuration, namespace)
        except (ConfigException, OSError, ssl.SSLError, yaml.YAMLError, ValueError) as error:
            raise ConfigError.of(where, f"cannot be used: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError.of(where, f"is not a kubeconfig ({error!r})") from error

    def _from_kubeconfig(self, configuration: Any) -> str:
        from kubernetes.aio.config import load_kube_config

        path = Path(self._kubeconfig.split(":")[0])
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        with asyncio.Runner() as runner:
            loader = runner.run(
                load_kube_config(  # type: ignore[no-untyped-call]
                    self._kubeconfig,
                    context=self._context,
                    client_configuration=configuration,
                    persist_config=False,
                )
            )
        return str(loader.current_context["context"].get("namespace") or "")

    def _from_account(self, configuration: Any) -> str:
        from kubernetes.aio.config.incluster_config import InClusterConfigLoader

        loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]
            token_filename=str(self._account / "token"),
            cert_filename=str(self._account / "ca.crt"),
            try_refresh_token=False,
            environ=self._environment,
        )
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        namespace = self._account / "namespace"
        return namespace.read_text().strip() if namespace.is_file() else ""


def _connection(configuration: Any, namespace: str) -> Connection:
    server = str(configuration.host).rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise ValueError(f"{server!r} is not the URL of an API server")
    token = configuration.api_key.get("BearerToken")
    if token is not None:
        # One line and no more: a token file ends in a newline.
        scheme, _, secret = token.strip().partition(" ")
        token = f"{scheme.capitalize()} {secret.strip()}"
    return Connection(
        server=server,
        tls=_tls(configuration) if server.startswith("https") else None,
        authorization=token,
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
        namespace=namespace,
    )


def _tls(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Authorities of clusters are older than what Python 3.13 calls strict.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
