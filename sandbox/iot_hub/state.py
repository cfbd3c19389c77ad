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
from sandbox.iot_hub.link import Link
from sandbox.iot_hub.presence import Presence
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
        return self.for_device() | {"$metadata": {"$lastUpdated": wire_time(self.updated)}}

    def for_device(self) -> Json:
        """A device gets no metadata."""
        return self.content | {"$version": self.version}


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
    connection_state: str = "Disconnected"
    connection_updated: str = NEVER

    def identity_json(self) -> Json:
        return {
            "deviceId": self.device_id,
            "generationId": self.generation_id,
            "etag": self.etag,
            "connectionState": self.connection_state,
            "connectionStateUpdatedTime": self.connection_updated,
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
            "connectionState": self.connection_state,
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
    links: dict[str, Link] = field(default_factory=dict)
    presence: Presence = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(secrets.randbits(32)))

    def __post_init__(self) -> None:
        self.presence = Presence(self.name, self.world, self.raise_event)

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
        """The whole identity, nothing of the old one stays. No event tells of it.

        Who is disabled is cut off; that IoT Hub ends a live connection at once is nowhere stated. A connection that
        is open outlives the removal of its thumbprint, as it is reported to outlive the certificate's own end.
        """
        if identity["status"] != device.identity["status"]:
            device.status_updated = wire_time(self.world.clock.now())
        device.identity = identity
        device.etag = self.new_etag()
        facts = {"status": identity["status"], **identity["authentication"]["x509Thumbprint"]}
        self.world.journal.write("IoT Hub", "device updated", hub=self.name, device=device.device_id, **facts)
        if identity["status"] != "enabled":
            self.cut(device.device_id, "the identity is disabled")

    def delete(self, device: Device) -> None:
        del self.devices[device.device_id]
        self.world.journal.write("IoT Hub", "device deleted", hub=self.name, device=device.device_id)
        now = self.world.clock.now()
        self.raise_event(lifecycle_event("DeviceDeleted", self.name, device.twin_json(), now))
        self.cut(device.device_id, "the identity is deleted")

    def write_twin(self, device: Device, tags: Json | None, desired: Json | None, patch: Json | None = None) -> None:
        """New tags, new desired properties; None leaves that part alone. A connected device is told of `patch`."""
        if tags is not None:
            device.tags = tags
        if desired is not None:
            device.desired = Section(desired, self.world.clock.now(), device.desired.version + 1)
            if device.device_id in self.links:
                self.links[device.device_id].desire(desired if patch is None else patch, device.desired.version)
        device.twin_version += 1
        facts = {"hub": self.name, "device": device.device_id, "tags": device.tags}
        self.world.journal.write("IoT Hub", "twin updated", **facts, desired=patch if desired is not None else None)

    def report(self, device: Device, reported: Json) -> None:
        """The device's own part of its twin."""
        now = self.world.clock.now()
        device.reported = Section(reported, now, device.reported.version + 1)
        device.twin_version += 1
        facts = {"hub": self.name, "device": device.device_id, "reported": reported}
        self.world.journal.write("IoT Hub", "twin reported", **facts)

    def joined(self, device: Device, link: Link) -> None:
        """One connection for each device: a new one ends the old (400027 on the old one)."""
        self.cut(device.device_id, "another connection of the same device")
        self.links[device.device_id] = link
        device.connection_state, device.connection_updated = "Connected", wire_time(self.world.clock.now())
        self.world.journal.write("IoT Hub", "device connected", hub=self.name, device=device.device_id)

    def left(self, device_id: str, link: Link, reason: str) -> None:
        link.ended()
        self.world.journal.write("IoT Hub", "device disconnected", hub=self.name, device=device_id, reason=reason)
        if self.links.get(device_id) is not link:
            return  # another connection has taken its place
        del self.links[device_id]
        self.presence.changed(device_id, connected=False)
        device = self.devices.get(device_id)
        if device is not None:
            device.connection_state, device.connection_updated = "Disconnected", wire_time(self.world.clock.now())

    def cut(self, device_id: str, reason: str) -> None:
        if device_id in self.links:
            self.links[device_id].cut(reason)

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
