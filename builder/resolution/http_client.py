"""The HTTP client that reaches hosts as a `Transport` says: certificates, proxy, insecure hosts."""

from __future__ import annotations

import ssl

import httpx

from builder.errors import FetchError
from builder.resolution.transport import Transport


def http_client(transport: Transport, limits: httpx.Limits, timeout: httpx.Timeout) -> httpx.Client:
    """An HTTP client that reaches hosts as `transport` says; raises FetchError for certificates that are none."""
    insecure = {
        f"all://{host}": httpx.HTTPTransport(verify=False, limits=limits, proxy=transport.proxy or None)
        for host in transport.insecure_hosts
    }
    return httpx.Client(
        follow_redirects=True,
        limits=limits,
        timeout=timeout,
        verify=_context(transport) or True,
        proxy=transport.proxy or None,
        mounts=insecure,
    )


def _context(transport: Transport) -> ssl.SSLContext | None:
    if not (transport.certificates or transport.client_certificate or transport.system_certificates):
        return None
    try:
        context = ssl.create_default_context(cafile=transport.certificates[0] if transport.certificates else None)
        for file in transport.certificates[1:]:
            context.load_verify_locations(file)
        if transport.client_certificate:
            context.load_cert_chain(transport.client_certificate)
    except OSError as error:
        names = ", ".join(f"`{file}`" for file in (*transport.certificates, transport.client_certificate) if file)
        raise FetchError(
            f"the certificates cannot be read: {error.strerror or error}",
            detail=names,
            remedy="Correct SSL_CERT_FILE, or `cert` and `client-cert` of pip's configuration",
        ) from error
    return context
