"""What the tests of the stand-ins share: serving an application on a free port, a front before it, devices' keys."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import pki
from sandbox.front import Front, FrontConfig, Listener, start_front
from sandbox.world import Clock


@contextlib.asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve `app` on a free loopback port."""
    runner = web.AppRunner(app, max_field_size=65536, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Tls:
    """A fresh server certificate and what its clients trust."""

    root: pki.Authority
    certificate_pem: str
    key_pem: str

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=pki.certificate_pem(self.root.certificate))


def new_tls() -> Tls:
    root = pki.tls_root()
    certificate, key = pki.server_certificate(root)
    return Tls(root, pki.certificate_pem(certificate), pki.key_pem(key))


@contextlib.asynccontextmanager
async def fronting(tls: Tls, *listeners: Listener, **options: Any) -> AsyncIterator[Front]:  # noqa: ANN401
    front = await start_front(FrontConfig(listeners, tls.certificate_pem, tls.key_pem, "front-secret", **options))
    try:
        yield front
    finally:
        await front.stop()


@dataclass(frozen=True)
class Device:
    """A key, its certificate and what the device sends after it in the handshake."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]


def new_device(
    authority: pki.Authority,
    name: str,
    *above: x509.Certificate,
    now: datetime | None = None,
    lifetime: timedelta = timedelta(days=90),
) -> Device:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = pki.issue_leaf(authority, name, key.public_key(), now or Clock().now(), lifetime)
    return Device(key, (leaf, *above))


def client_context(tls: Tls, device: Device | None, folder: Path) -> ssl.SSLContext:
    context = tls.trust()
    if device is not None:
        path = folder / f"{device.leaf.serial_number}.pem"
        path.write_text(pki.certificate_pem(*device.chain) + pki.key_pem(device.key))
        context.load_cert_chain(path)
    return context


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


async def call(
    method: str,
    url: str,
    context: ssl.SSLContext | None = None,
    **options: Any,  # noqa: ANN401
) -> Answer:
    """One request on a connection of its own; the body as JSON where it is JSON."""
    connector = aiohttp.TCPConnector(ssl=context if context is not None else True, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, url, allow_redirects=False, **options) as response,
    ):
        is_json = "json" in response.content_type and await response.read()
        return Answer(response.status, response.headers, await response.json() if is_json else await response.text())


async def exchange(tls: Tls, port: int, *parts: bytes) -> bytes:
    """Send `parts` as they are, waiting for some answer between them; everything that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls.trust(), server_hostname="localhost")
    received = b""
    try:
        for number, part in enumerate(parts):
            if number:
                received += await reader.read(65536)
            writer.write(part)
        return received + await reader.read()
    finally:
        writer.close()
