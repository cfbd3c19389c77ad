"""What an IoT Hub remembers: identities with their twins. Volatile, and changed only through these functions."""

import base64
import copy
import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.iot_hub.events import lifecycle_event
from sandbox.world import World

Json = dict[str, Any]
NEVER = "0001-01-01T00:00:00Z"


@dataclass
class Section:
    """`desired` or `reported` of a twin."""

    content: Json
    updated: datetime
    version: int = 1

    def as_json(self) -> Json:
        return self.content | {"$metadata": {"$lastUpdated": wire_time(self.updated)}, "$version": self.version}


@dataclass
class Device:
    """`identity` holds the members that a client may set, complete; the rest is kept beside it."""

    device_id: str
    identity: Json
    etag: str
    generation_id: str
    desired: Section
    reported: Section
    tags: Json = field(default_factory=dict)
    twin_version: int = 2
    status_updated: str = NEVER
    last_activity: str = NEVER

    def identity_json(self) -> Json:
        return {
            "deviceId": self.device_id,
            "generationId": self.generation_id,
            "etag": self.etag,
            "connectionState": "Disconnected",
            "connectionStateUpdatedTime": NEVER,
            "statusUpdatedTime": self.status_updated,
            "lastActivityTime": self.last_activity,
            "cloudToDeviceMessageCount": 0,
        } | copy.deepcopy(self.identity)

    def twin_json(self) -> Json:
        authentication = self.identity["authentication"]
        return {
            "deviceId": self.device_id,
            "etag": self.twin_etag,
            "deviceEtag": self.etag,
            "status": self.identity["status"],
            "statusReason": self.identity["statusReason"],
            "statusUpdateTime": self.status_updated,
            "connectionState": "Disconnected",
            "lastActivityTime": self.last_activity,
            "cloudToDeviceMessageCount": 0,
            "authenticationType": authentication["type"],
            "x509Thumbprint": dict(authentication["x509Thumbprint"]),
            "version": self.twin_version,
            "tags": copy.deepcopy(self.tags),
            "properties": {"desired": self.desired.as_json(), "reported": self.reported.as_json()},
            "capabilities": dict(self.identity["capabilities"]),
        }

    @property
    def twin_etag(self) -> str:
        return base64.b64encode((self.twin_version - 1).to_bytes(8)).decode()


@dataclass
class Hub:
    """One hub: `name` is what events call it, `host` the host and port that clients and DPS know it by."""

    name: str
    host: str
    world: World
    raise_event: Callable[[Json], None]
    devices: dict[str, Device] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(secrets.randbits(32)))

    def new_etag(self) -> str:
        """An identity's ETag is a number in base64, with no quotes in the JSON body."""
        return base64.b64encode(str(next(self._numbers)).encode()).decode()

    def create(self, device_id: str, identity: Json, tags: Json | None = None, desired: Json | None = None) -> Device:
        now = self.world.clock.now()
        device = Device(
            device_id,
            identity,
            self.new_etag(),
            str(next(self._numbers)),
            Section(desired or {}, now),
            Section({}, now),
            tags or {},
        )
        self.devices[device_id] = device
        self.world.journal.write("IoT Hub", "device created", hub=self.name, device=device_id)
        self.raise_event(lifecycle_event("DeviceCreated", self.name, device.twin_json(), now))
        return device

    def replace(self, device: Device, identity: Json) -> None:
        """The whole identity, nothing of the old one stays. No event tells of it."""
        if identity["status"] != device.identity["status"]:
            device.status_updated = wire_time(self.world.clock.now())
        device.identity = identity
        device.etag = self.new_etag()
        facts = {"status": identity["status"], **identity["authentication"]["x509Thumbprint"]}
        self.world.journal.write("IoT Hub", "device updated", hub=self.name, device=device.device_id, **facts)

    def delete(self, device: Device) -> None:
        del self.devices[device.device_id]
        self.world.journal.write("IoT Hub", "device deleted", hub=self.name, device=device.device_id)
        now = self.world.clock.now()
        self.raise_event(lifecycle_event("DeviceDeleted", self.name, device.twin_json(), now))

    def write_twin(self, device: Device, tags: Json | None, desired: Json | None) -> None:
        """New tags, new desired properties; None leaves that part alone."""
        if tags is not None:
            device.tags = tags
        if desired is not None:
            device.desired = Section(desired, self.world.clock.now(), device.desired.version + 1)
        device.twin_version += 1
        self.world.journal.write("IoT Hub", "twin updated", hub=self.name, device=device.device_id, tags=device.tags)

    def provision(self, device_id: str, authentication: Json, capabilities: Json, initial_twin: Json) -> None:
        """What DPS does at the end of a registration: make the identity, or give it the new certificate.

        `initial_twin` acts on a new identity only. A disabled identity stays disabled: that a registration would
        enable it again is nowhere documented.
        """
        known = self.devices.get(device_id)
        if known is not None:
            self.replace(known, known.identity | {"authentication": authentication})
            return
        identity = new_identity(authentication, capabilities)
        desired = initial_twin.get("properties", {}).get("desired", {})
        self.create(device_id, identity, copy.deepcopy(initial_twin.get("tags", {})), copy.deepcopy(desired))


def new_identity(authentication: Json, capabilities: Json | None = None) -> Json:
    return {
        "status": "enabled",
        "statusReason": None,
        "authentication": authentication,
        "capabilities": {"iotEdge": False} | (capabilities or {}),
        "deviceScope": None,
        "parentScopes": [],
    }


def self_signed(primary: str | None, secondary: str | None) -> Json:
    """The `authentication` of a device that is known by the thumbprints of its certificates."""
    return {
        "symmetricKey": {"primaryKey": None, "secondaryKey": None},
        "x509Thumbprint": {"primaryThumbprint": primary, "secondaryThumbprint": secondary},
        "type": "selfSigned",
    }


def wire_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
