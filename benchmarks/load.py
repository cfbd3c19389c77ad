"""Enrollments per second through the whole sandbox, beside the plain EST of the DigiCert ONE stand-in behind it.

One machine runs devices, TLS front, function host, storage and stand-ins, so the figures tell how much the proxy adds
here, not what Azure carries. Every request is for a new device with a key of its own, and every answer is checked.
"""

import base64
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from benchmarks import client, world
from benchmarks.client import Done, Job
from benchmarks.world import Running
from sandbox import device, mint, pki, profiles
from sandbox.device import Identity
from sandbox.world import Clock

EDGE = "https://127.0.0.1:8443/.well-known/est/simpleenroll"
DIGICERT = f"https://localhost:9443/.well-known/est/{profiles.EST_PROFILE}/simpleenroll"
SECONDS = 6.0
# Requests for each concurrency: enough for quantiles, and bounded.
REQUESTS = {1: 60, 8: 200, 16: 240}
WARM_UP = 20


@dataclass(frozen=True)
class Figure:
    """Milliseconds, but `per_second`. `host_cpu_ms` is the function host's CPU for one enrollment, SDKs included."""

    name: str
    concurrency: int
    requests: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    host_cpu_ms: float | None = None


@dataclass(frozen=True)
class Way:
    """Where the requests go, and how: with a passcode over kept connections, or over new ones with certificates."""

    name: str
    url: str
    passcode: str
    keep: bool

    @property
    def through_proxy(self) -> bool:
        return self.url == EDGE


async def measure(say: Callable[[str], None]) -> list[Figure]:
    say("starting the sandbox")
    async with world.sandbox() as running:
        devices = "device:" + running.secret("device-password")
        ours = "birthcert:" + running.secret("digicert-passcode")
        ways = (
            Way("edge and host, keep-alive", EDGE, devices, keep=True),
            Way("DigiCert ONE stand-in, keep-alive", DIGICERT, ours, keep=True),
            Way("edge and host, new mTLS connections", EDGE, "", keep=False),
            Way("DigiCert ONE stand-in, new mTLS connections", DIGICERT, ours, keep=False),
        )
        factory = mint.factory_of(world.STATE)
        for way in ways:
            await client.run(
                way.url, jobs(way, factory, f"warm-{way.keep}", WARM_UP), 4, keep=way.keep, seconds=SECONDS
            )
        return [await _figure(running, way, factory, number, say) for number in REQUESTS for way in ways]


async def _figure(
    running: Running, way: Way, factory: pki.Authority, concurrency: int, say: Callable[[str], None]
) -> Figure:
    prepared = jobs(way, factory, f"device-{way.keep}-{concurrency}", REQUESTS[concurrency])
    before = running.host_cpu()
    done, seconds = await client.run(way.url, prepared, concurrency, keep=way.keep, seconds=SECONDS)
    after = running.host_cpu()
    for one in done:
        check(one)
    host = (
        (after - before) / len(done) * 1000 if way.through_proxy and after is not None and before is not None else None
    )
    cuts = quantiles((one.seconds * 1000 for one in done), n=100, method="inclusive")
    figure = Figure(
        way.name, concurrency, len(done), len(done) / seconds, cuts[49], cuts[94], cuts[98], host_cpu_ms=host
    )
    say(f"{way.name}, {concurrency} at a time: {figure.per_second:.0f} a second, p50 {figure.p50_ms:.1f} ms")
    return figure


def jobs(way: Way, factory: pki.Authority, name: str, count: int) -> list[Job]:
    """Requests of `count` new devices. On new connections each has a factory certificate of its own in TLS."""
    plain = device.tls_context(world.STATE / "tls-root.pem", None)
    return [_job(way, factory, f"{name}-{number}", plain) for number in range(count)]


def _job(way: Way, factory: pki.Authority, name: str, plain: ssl.SSLContext) -> Job:
    headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
    if way.passcode:
        headers["Authorization"] = f"Basic {base64.b64encode(way.passcode.encode()).decode()}"
    csr = device.request(name, device.new_key("ec-p256"))
    raw = client.request("POST", way.url, headers, base64.encodebytes(csr))
    if way.keep:
        return Job(plain, raw)
    key = device.new_key("ec-p256")
    held = pki.issue_leaf(factory, name, key.public_key(), Clock().now())
    return Job(device.tls_context(world.STATE / "tls-root.pem", Identity(key, (held,))), raw)


def check(done: Done) -> None:
    """The answer must hold one certificate for the key of the request."""
    if done.status != 200:
        raise RuntimeError(f"an enrollment was answered {done.status}: {done.body[:300]!r}")
    (leaf,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(done.body))
    body = done.job.raw.partition(b"\r\n\r\n")[2]
    if leaf.public_key() != x509.load_der_x509_csr(base64.b64decode(body)).public_key():
        raise RuntimeError("an enrollment was answered with a certificate for another key")
