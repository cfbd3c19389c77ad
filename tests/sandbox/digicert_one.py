"""A DigiCert ONE stand-in with a client in front of it, and the requests that devices and proxies make."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox import digicert, pki
from sandbox.credentials import Credentials, new_credentials
from sandbox.digicert import EST_PROFILE, REST_PROFILE, SERVICE, Ca
from sandbox.world import Fault, World, new_world
from tests.sandbox.serving import serving

CERTIFICATE = "/iot/api/v1/certificate"
EST = f"/.well-known/est/{EST_PROFILE}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    json: Any


@dataclass(frozen=True)
class DigiCert:
    world: World
    credentials: Credentials
    ca: Ca
    app: web.Application
    session: ClientSession
    port: int

    async def ask(
        self,
        method: str,
        path: str,
        *,
        host: str = "localhost",
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
        json: object = None,
    ) -> Answer:
        url = f"http://127.0.0.1:{self.port}{path}"
        all_headers = {"Host": f"{host}:9443"} | (headers or {})
        async with self.session.request(method, url, headers=all_headers, data=data, json=json) as answer:
            body = await answer.read()
            parsed = await answer.json() if answer.content_type == "application/json" else None
            return Answer(answer.status, dict(answer.headers), body, parsed)

    async def enroll(
        self,
        csr: x509.CertificateSigningRequest,
        *,
        operation: str = "simpleenroll",
        basic: str | None = None,
        host: str = "localhost",
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """By EST with the good passcode; `basic` is another `user:passcode`, or none when empty."""
        if basic is None:
            basic = f"{self.credentials.digicert_passcode_user}:{self.credentials.digicert_passcode}"
        authorization = {"Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}"} if basic else {}
        all_headers = {"Content-Type": "application/pkcs10"} | authorization | (headers or {})
        body = base64.encodebytes(csr.public_bytes(Encoding.DER)) if data is None else data
        return await self.ask("POST", f"{EST}/{operation}", host=host, headers=all_headers, data=body)

    async def call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, json: object = None
    ) -> Answer:
        """REST with the API key."""
        key = {"x-api-key": self.credentials.digicert_api_key}
        return await self.ask(method, path, headers=key | (headers or {}), json=json)

    def plan(self, kind: str, *, path: str = "", seconds: float = 0) -> None:
        self.world.faults.planned.append(Fault(SERVICE, kind, path=path, seconds=seconds))


@asynccontextmanager
async def digicert_one() -> AsyncIterator[DigiCert]:
    world = new_world()
    credentials = new_credentials(world)
    ca = Ca(world, pki.issuing_hierarchy(world.clock.now()))
    app = digicert.app(world, credentials, ca)
    async with serving(app) as port, ClientSession() as session:
        yield DigiCert(world, credentials, ca, app, session, port)
    assert not any(secret in str(world.journal.entries) for secret in world.secrets)


def run(steps: Callable[[DigiCert], Awaitable[None]]) -> None:
    async def all_steps() -> None:
        async with digicert_one() as stand_in:
            await steps(stand_in)

    asyncio.run(all_steps())


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr_for(name: str, key: ec.EllipticCurvePrivateKey | None = None, dns: str = "") -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.common_name(name))
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
    return builder.sign(key or new_key(), hashes.SHA256())


def csr_pem(csr: x509.CertificateSigningRequest) -> str:
    return csr.public_bytes(Encoding.PEM).decode()


def body_for(name: str, key: ec.EllipticCurvePrivateKey | None = None, **more: object) -> dict[str, Any]:
    """What REST wants to see in order to issue."""
    return {"csr": csr_pem(csr_for(name, key)), "enrollment_profile_id": REST_PROFILE} | more


async def issued(one: DigiCert, name: str = "dev-1") -> Answer:
    return await one.call("POST", CERTIFICATE, json=body_for(name))


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["errors"][0]["code"]


def spki(holder: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
