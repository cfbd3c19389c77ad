"""IoT Hub lifecycle events, as far as they are acted on. What cannot be read is told apart from what is not ours."""

from dataclasses import dataclass
from typing import Any

from shared.core.errors import Malformed
from shared.core.identity import DeviceId, device_id


@dataclass(frozen=True, slots=True)
class DeviceCreated:
    """The hub's registry has a new identity. The event's twin is a default and is not read."""

    hub: str
    device_id: DeviceId


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why."""

    reason: str


def parse_event(kind: str, data: Any) -> DeviceCreated | Ignored:  # noqa: ANN401 - JSON of any shape
    """What the event says. Never raises: Event Grid must not be told 400, which would drop the event."""
    if kind != "Microsoft.Devices.DeviceCreated":
        return Ignored("a kind of event that is not acted on")
    match data:
        case {"hubName": str(hub), "deviceId": str(name)}:
            try:
                return DeviceCreated(hub, device_id(name))
            except Malformed as error:
                return Ignored(error.public)
        case _:
            return Ignored("the event names no hub or no device")
