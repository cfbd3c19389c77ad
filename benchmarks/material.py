"""What the CPU benchmark works on: authorities, devices with their requests, an application over ports in memory."""

import asyncio
import base64
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import azure.functions as func
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks.ports import FixedChain, FixedSecrets, ForgetfulLedger, PreparedUpstream
from sandbox import device, pki
from sandbox.world import Clock
from shared import profiles, wiring
from shared.core.certificate import certificate
from shared.core.fleet import Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.flows.application import Application
from shared.flows.enroll import Enroll
from shared.flows.issue import Issue
from shared.flows.issuers import Issuers
from shared.flows.once import Once
from shared.flows.trust import Chains
from tests.fakes.world import Fakes

LABEL = "bench"
PASSCODE = "device:a-passcode-of-the-benchmark"
HEADER = "X-ARR-ClientCert"
URL = "https://birthcert.example/.well-known/est/simpleenroll"

PROFILE = f"""
default_profile = "{LABEL}"
[profiles.{LABEL}]
hubs = ["hub-a"]
[profiles.{LABEL}.upstream]
protocol = "est"
url = "https://ca.example/.well-known/est/profile"
passcode_secret = "ca-passcode"
[profiles.{LABEL}.ca]
source = "est"
[profiles.{LABEL}.authentication.factory_certificate]
anchors = ["factory-ca.pem"]
[profiles.{LABEL}.authentication.passcode]
secret = "est-passcode"
[profiles.{LABEL}.request]
keys = ["ec-p256", "rsa-2048"]
san = ["device_id"]
[profiles.{LABEL}.dps]
mode = "group"
group = "devices"
"""


@dataclass(frozen=True)
class Authorities:
    factory: pki.Authority
    hierarchy: pki.Hierarchy

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        return self.hierarchy.ica.certificate, self.hierarchy.root.certificate


@dataclass(frozen=True)
class Prepared:
    """One device: its request, its client certificate or nothing, its answer, and what the ledger knows of it."""

    name: str
    csr: bytes
    client: bytes
    issued: bytes
    snapshot: Snapshot
    headers: dict[str, str]
    body: bytes


def authorities() -> Authorities:
    now = Clock().now()
    return Authorities(pki.factory_authority(now), pki.issuing_hierarchy(now))


def prepare(made: Authorities, name: str, kind: str, presents: str) -> Prepared:
    """`kind` is that of the device's keys; `presents` is `factory`, `issued` or `passcode`."""
    now = Clock().now()
    key = device.new_key(kind)
    issued = pki.issue_leaf(made.hierarchy.ica, name, key.public_key(), now)
    client, snapshot = b"", Snapshot()
    if presents != "passcode":
        authority = made.factory if presents == "factory" else made.hierarchy.ica
        held = pki.issue_leaf(authority, name, device.new_key(kind).public_key(), now)
        client = held.public_bytes(Encoding.DER)
        if presents == "issued":
            known = certificate(held)
            owner = Device(DeviceId(name), LABEL, created=now, current=known.serial, latest=known.serial)
            snapshot = Snapshot(owner, certificates=(LedgerCertificate(known, LABEL, source="est"),))
    csr = device.request(name, key)
    return Prepared(
        name, csr, client, issued.public_bytes(Encoding.DER), snapshot, _headers(client), base64.encodebytes(csr)
    )


def request(prepared: Prepared) -> func.HttpRequest:
    """The request as the worker hands it to the app."""
    return func.HttpRequest("POST", URL, headers=prepared.headers, body=prepared.body)


def _headers(client: bytes) -> dict[str, str]:
    """Lower-case names as the host makes them, and what App Service adds."""
    headers = {
        "host": "birthcert.example",
        "content-type": "application/pkcs10",
        "content-transfer-encoding": "base64",
        "x-forwarded-proto": "https",
        "x-waws-unencoded-url": "/.well-known/est/simpleenroll",
    }
    if client:
        return {**headers, HEADER.lower(): base64.b64encode(client).decode()}
    return {**headers, "authorization": f"Basic {base64.b64encode(PASSCODE.encode()).decode()}"}


def application(made: Authorities, devices: list[Prepared]) -> Application:
    """The real flows, wired as in Azure, over ports in memory."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "profiles.toml"
        path.write_text(PROFILE, encoding="utf-8")
        path.with_name("factory-ca.pem").write_text(pki.certificate_pem(made.factory.certificate))
        known = profiles.load(path, {"hub-a": "hub-a.example"})
    secrets, ledger = FixedSecrets(PASSCODE), ForgetfulLedger({one.name: one.snapshot for one in devices})
    world = Fakes()
    rotate = replace(world.rotate, profiles=known, ledger=ledger)
    chains = Chains({LABEL: FixedChain(made.chain)}, wiring.now)
    upstreams = {LABEL: PreparedUpstream({one.csr: one.issued for one in devices})}
    once = Once(ledger, chains, Issuers(world.watermarks, wiring.now), wiring.now, asyncio.sleep)
    enroll = Enroll(known, secrets, chains, Issue(upstreams, once, rotate, world.adopt), world.passcodes, wiring.now)
    return replace(world.application(), enroll=enroll, secrets=secrets, seconds=time.monotonic)
