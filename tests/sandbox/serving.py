"""Runs one stand-in on an ephemeral port for the length of a test, over plain HTTP or over TLS."""

import asyncio
import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.web import CLIENT_CHAIN


@asynccontextmanager
async def serving(app: web.Application, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port that `app` listens on, at 127.0.0.1 and so at localhost too."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def with_session[T](app: web.Application, steps: Callable[[ClientSession, int], Awaitable[T]]) -> T:
    """Run `steps` against `app` with a plain HTTP client."""

    async def run() -> T:
        async with serving(app) as port, ClientSession() as session:
            return await steps(session, port)

    return asyncio.run(run())


def tls_context(folder: Path) -> ssl.SSLContext:
    """The server side of TLS as the front has it; `folder/tls-root.pem` is what clients have to trust."""
    root = pki.tls_root()
    certificate, key = pki.server_certificate(root)
    (folder / "tls-root.pem").write_text(pki.certificate_pem(root.certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as both:
        both.write(pki.certificate_pem(certificate) + pki.key_pem(key))
        both.flush()
        context.load_cert_chain(both.name)
    return context


def client_chain(*certificates: x509.Certificate) -> dict[str, str]:
    """The header by which the front hands on the certificates of a TLS client."""
    return {CLIENT_CHAIN: ",".join(base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in certificates)}
