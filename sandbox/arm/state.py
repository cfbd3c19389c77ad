"""What Resource Manager knows: one DPS with its links and CA certificates, the hubs, the function app and its keys."""

import base64
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography import x509

from sandbox.dps.state import DpsState
from sandbox.iot_hub.state import Hub

Json = dict[str, Any]

SUBSCRIPTION: Final = "00000000-0000-4000-8000-000000000000"
RESOURCE_GROUP: Final = "sandbox"
DPS_NAME: Final = "sandbox-dps"
SITE_NAME: Final = "sandbox-app"
LOCATION: Final = "westeurope"


def new_etag() -> str:
    return base64.b64encode(b"\0\0\0\0" + secrets.token_bytes(4)).decode()


@dataclass
class CaCertificate:
    """A CA certificate as it was uploaded to DPS."""

    name: str
    certificate: x509.Certificate
    verified: bool
    updated: datetime
    etag: str = field(default_factory=lambda: base64.b64encode(f'"{uuid.uuid4()}"'.encode()).decode())


@dataclass
class Site:
    """The function app. `keys` are the keys `default` of single functions; it has none before it is deployed."""

    host: str
    keys: Mapping[str, str] = field(repr=False)
    deployed: bool = False


@dataclass
class ArmState:
    """`hubs` are all there are, by host; which of them are linked is `dps.hubs`, and `links` says how.

    `identity` is the DPS's own. `takes_verified` is false for a service that ignores `isVerified` at upload, as it did
    before 2021. A change of the DPS takes `transition` seconds, in which no other is taken.
    """

    dps: DpsState
    hubs: Mapping[str, Hub]
    site: Site
    service_host: str
    identity: Json = field(default_factory=lambda: {"type": "SystemAssigned", "principalId": str(uuid.uuid4())})
    links: list[Json] = field(default_factory=list)
    certificates: dict[str, CaCertificate] = field(default_factory=dict)
    takes_verified: bool = True
    transition: float = 0.3
    etag: str = field(default_factory=new_etag)
    tags: Json = field(default_factory=dict)
    until: float = 0.0
    operations: set[str] = field(default_factory=set)

    @property
    def transitioning(self) -> bool:
        return time.monotonic() < self.until

    def settle(self) -> None:
        """The change under way has ended: the resource shows another ETag than while it went on."""
        if self.until and not self.transitioning:
            self.until, self.etag = 0.0, new_etag()

    def link(self, links: list[Json]) -> None:
        """DPS may write into exactly these hubs from now on."""
        self.links = links
        hosts = [each["name"].lower() for each in links]
        self.dps.hubs.clear()
        self.dps.hubs.update({host: hub for host, hub in self.hubs.items() if host.lower() in hosts})

    def begin(self) -> str:
        """A change that takes its time; the id of its operation."""
        self.until = time.monotonic() + self.transition
        operation = secrets.token_hex(16)
        self.operations.add(operation)
        return operation

    def put(self, name: str, certificate: x509.Certificate, *, verified: bool) -> CaCertificate:
        now = self.dps.world.clock.now()
        self.certificates[name] = CaCertificate(name, certificate, verified, now)
        if verified:
            self.dps.add_verified_ca(name, certificate)
        else:
            self.dps.verified.pop(name, None)
        return self.certificates[name]

    def deploy(self, root: x509.Certificate) -> None:
        """What a deployment leaves behind in the control plane: all hubs linked, the root uploaded and verified."""
        self.link([linked(host) for host in self.hubs])
        self.certificates.clear()
        self.dps.verified.clear()
        self.put("root", root, verified=True)

    def undeploy(self) -> None:
        """As if nobody had set up anything: DPS trusts no CA, has no group and no hub."""
        self.link([])
        self.certificates.clear()
        self.dps.verified.clear()
        self.dps.groups.clear()


def linked(host: str) -> Json:
    """A link by the DPS's own identity, as the answers show it."""
    return {
        "applyAllocationPolicy": True,
        "allocationWeight": 1,
        "name": host,
        "hostName": host,
        "authenticationType": "SystemAssigned",
        "connectionString": "",
        "location": LOCATION,
    }


def path(group: str, kind: str, name: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.{kind}/{name}"
