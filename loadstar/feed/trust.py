"""How a subscriber knows a publisher: by a CA, or by the certificate that it first shows. IO.

Publishers make their own certificate unless they are given one, and no CA vouches for it. Where an
operator accepts that, the certificate is fetched and then trusted for one connection: what is sent
stays private from who only listens, as with the proxies in front of an endpoint picker.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

SELF_SIGNED_NAME: Final = "localhost"
"""What certificates that publishers make for themselves are for."""
_OVERRIDE: Final = "grpc.ssl_target_name_override"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How to connect. By default: TLS, and the system's CAs."""

    plaintext: bool = False
    insecure_skip_verify: bool = False
    """Accept whatever certificate is shown."""
    ca_file: str = ""
    server_name: str = ""
    """The name in the certificate, where it is not the host's."""
    token_file: str = ""


async def channel(trust: Trust, host: str, port: int, options: list[tuple[str, Any]]) -> Any:
    """A channel to one address. Raises OSError, or ssl.SSLError, which is one."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if trust.plaintext:
        return grpc.aio.insecure_channel(address, options=options)
    roots: bytes | None = None
    name = trust.server_name
    if trust.insecure_skip_verify:
        roots, shown = await _shown(host, port)
        name = shown or SELF_SIGNED_NAME
    elif trust.ca_file:
        roots = await asyncio.to_thread(Path(trust.ca_file).read_bytes)
    if name:
        options = [*options, (_OVERRIDE, name)]
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(address, credentials, options=options)


async def _shown(host: str, port: int) -> tuple[bytes, str]:
    """The certificate that an address shows, and a name that is in it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        tls = writer.get_extra_info("ssl_object")
        certificate = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
    finally:
        writer.close()
    return certificate.encode(), _name(certificate.encode())


def _name(certificate: bytes) -> str:
    from cryptography import x509

    parsed = x509.load_pem_x509_certificate(certificate)
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = names.get_values_for_type(x509.DNSName)
    return found[0].replace("*.", "any.", 1) if found else ""
