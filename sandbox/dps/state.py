"""What the DPS remembers: enrollments, groups, registrations, verified CAs, operations of registering devices."""

import asyncio
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sandbox import ports
from sandbox.dps.diagnostics import Diagnostics
from sandbox.dps.errors import wire_time
from sandbox.iot_hub.state import Hub
from sandbox.world import World

Json = dict[str, Any]
Kind = Literal["individual", "group"]


@dataclass
class Entry:
    """An individual enrollment or a group. `document` is what a GET answers, `certificates` what it never does."""

    kind: Kind
    entry_id: str
    document: Json
    certificates: dict[str, x509.Certificate]  # by slot
    ca_names: tuple[str, ...] = ()
    keys: Json = field(default_factory=dict, repr=False)

    @property
    def enabled(self) -> bool:
        return bool(self.document["provisioningStatus"] == "enabled")

    @property
    def etag(self) -> str:
        return str(self.document["etag"])

    def holds(self, certificate: x509.Certificate) -> bool:
        return certificate in self.certificates.values()


@dataclass
class Registration:
    """What the DPS knows of one device. Ids ignore case; `group` is None for a device with an enrollment of its own."""

    registration_id: str
    device_id: str
    group: str | None
    created: datetime
    updated: datetime
    status: str = "assigning"
    substatus: str | None = None
    assigned_hub: str | None = None
    error: tuple[int, str] | None = None
    payload: object = None
    etag: str = ""

    def as_json(self) -> Json:
        code, message = self.error or (None, None)
        members = {
            "registrationId": self.registration_id,
            "createdDateTimeUtc": wire_time(self.created),
            "assignedHub": self.assigned_hub,
            "deviceId": self.device_id,
            "status": self.status,
            "substatus": self.substatus,
            "errorCode": code,
            "errorMessage": message,
            "lastUpdatedDateTimeUtc": wire_time(self.updated),
            "etag": self.etag,
            "payload": self.payload,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass
class Operation:
    """A registration on its way; only the device whose certificate began it may ask how far it is."""

    registration: Registration
    leaf: x509.Certificate
    task: asyncio.Task[Json]


@dataclass
class DpsState:
    """`hubs` are the linked hubs by host. `reveals_certificate` fills `deviceRuntimeContext.x509` of the webhook call:
    its members are documented nowhere, so that nothing should need them, and by default they are left out.
    """

    world: World
    hubs: dict[str, Hub]
    id_scope: str = ports.DPS_ID_SCOPE
    retry_after: int = 1  # DPS says 3 seconds; a laptop has nothing to wait for
    webhook_timeout: float = 10.0  # documented nowhere
    reveals_certificate: bool = False
    enrollments: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, Entry] = field(default_factory=dict)
    registrations: dict[str, Registration] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    verified: dict[str, x509.Certificate] = field(default_factory=dict)
    diagnostics: Diagnostics = field(init=False)

    def __post_init__(self) -> None:
        self.diagnostics = Diagnostics(self.world)

    def add_verified_ca(self, name: str, certificate: x509.Certificate) -> None:
        """What `az iot dps certificate create --verified` does through the management API."""
        self.verified[name] = certificate

    def entries(self, kind: Kind) -> dict[str, Entry]:
        return self.enrollments if kind == "individual" else self.groups

    def touched(self, registration: Registration) -> Json:
        """The registration's state, once its change has a time and an ETag."""
        registration.updated = self.world.clock.now()
        registration.etag = new_etag()
        return registration.as_json()


def new_etag() -> str:
    """The quotes are part of the text, so that they are escaped in JSON."""
    return f'"{uuid.uuid4()}"'


def new_operation_id() -> str:
    return f"5.{secrets.token_hex(8)}.{uuid.uuid4()}"


def thumbprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex().upper()
