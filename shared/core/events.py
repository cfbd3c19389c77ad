"""IoT Hub lifecycle events and DPS diagnostic records, as far as they are acted on.

What can never be read (`Unreadable`, to be kept and looked at) is told apart from what is not ours (`Ignored`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from shared.core.errors import Malformed
from shared.core.fleet import Failure
from shared.core.identity import DeviceId, device_id

# No event of ours is older than the services; Table Storage keeps no time before 1601.
EARLIEST_YEAR: Final = 2000

# The number of digits of a sequence number: 256 bits in hex, compared as text.
_DIGITS = 64


@dataclass(frozen=True, slots=True)
class DeviceCreated:
    """The hub's registry has a new identity. The event's twin is a default and is not read."""

    hub: str
    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class DeviceConnection:
    """The device has connected, or gone. `sequence` rises strictly; it is hex of one width, so text compares."""

    hub: str
    device_id: DeviceId
    sequence: str
    at: datetime
    connected: bool


@dataclass(frozen=True, slots=True)
class DeviceDeleted:
    """The hub's registry has lost an identity, at that time."""

    hub: str
    device_id: DeviceId
    at: datetime


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that should be acted on and cannot be understood, now or ever, and why."""

    reason: str


type HubEvent = DeviceCreated | DeviceConnection | DeviceDeleted | Ignored | Unreadable


@dataclass(frozen=True, slots=True)
class DpsFailure:
    """DPS has refused a registration, by its diagnostic log. Registration ids come in any case."""

    device_id: DeviceId
    failure: Failure


def parse_event(kind: str, data: Any, at: datetime | None) -> HubEvent:  # noqa: ANN401 - JSON of any shape
    """What the event says. Never raises: Event Grid must not be told 400, which would drop the event."""
    name = kind.removeprefix("Microsoft.Devices.")
    if name == kind or name not in ("DeviceCreated", "DeviceDeleted", "DeviceConnected", "DeviceDisconnected"):
        return Ignored("a kind of event that is not acted on")
    match data:
        case {"moduleId": str(module)} if module:
            return Ignored("a module's connection, not the device's")
        case {"hubName": str(hub), "deviceId": str(text)}:
            try:
                device = device_id(text)
            except Malformed as error:
                # The hub allows ids that DPS does not: such a device was not provisioned by us.
                return Ignored(error.public)
            return _event(name, hub, device, data, _utc(at))
        case _:
            return Unreadable("the event names no hub or no device")


def _event(name: str, hub: str, device: DeviceId, data: Any, at: datetime | None) -> HubEvent:  # noqa: ANN401
    if name == "DeviceCreated":
        return DeviceCreated(hub, device)
    if at is None:
        return Unreadable("the event has no time")
    if name == "DeviceDeleted":
        return DeviceDeleted(hub, device, at)
    match data:
        case {"deviceConnectionStateEventInfo": {"sequenceNumber": str(number)}} if _is_hex(number):
            return DeviceConnection(hub, device, number.lower().zfill(_DIGITS), at, name == "DeviceConnected")
        case _:
            return Unreadable("the event has no sequence number")


def _is_hex(text: str) -> bool:
    return 0 < len(text) <= _DIGITS and all(one in "0123456789abcdef" for one in text.lower())


def _utc(at: datetime | None) -> datetime | None:
    """Event Grid's times are UTC, also where the worker has read one without its zone. None is no time at all."""
    if at is None:
        return None
    try:
        utc = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:  # a zone at either end of all years
        return None
    return utc if utc.year >= EARLIEST_YEAR else None
