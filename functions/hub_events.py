"""Events of IoT Hub and Key Vault through Event Grid, in its own schema or as CloudEvents.

Event Grid delivers again what fails, for a day; but 400 and a few others it drops at once, and after a day all. So a
hub's event that cannot be handled, now or ever, is kept in the queue `hub-events-poison`, with an alarm in the log.
Replaying it means to put it into the queue `hub-events`.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

import azure.functions as func

from shared import telemetry
from shared.core.errors import Again, Malformed, Refusal
from shared.core.events import (
    DeviceConnection,
    DeviceCreated,
    DeviceDeleted,
    Ignored,
    Unreadable,
    parse_event,
)
from shared.flows.application import Application
from shared.flows.provision import Provision

POISON = "hub-events-poison"
_LONGEST = 32 * 1024  # a queue message holds 64 KB, in base64


@dataclass(frozen=True, slots=True)
class Delivered:
    """What both schemas say."""

    id: str
    kind: str
    time: datetime | None
    data: Any


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    @made.function_name("hub_events")
    @made.event_grid_trigger(arg_name="event")
    @made.queue_output(arg_name="kept", queue_name=POISON, connection="STORAGE")
    async def handle(event: func.EventGridEvent, kept: func.Out[str]) -> None:
        delivered = _delivered(event)
        try:
            await _handle(application, delivered)
        except Again:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it would meet each delivery until the last
            cause = error.cause if isinstance(error, Refusal) else ""
            fields = {"event_id": delivered.id, "kind": delivered.kind, "reason": repr(error), "cause": cause}
            telemetry.event("hub_event_poison", {**fields, "queue": POISON}, logging.ERROR)
            kept.set(_message(delivered))

    @made.function_name("hub_events_again")
    @made.queue_trigger(arg_name="message", queue_name="hub-events", connection="STORAGE")
    async def again(message: func.QueueMessage) -> None:
        """What raises here goes back to the poison queue by the platform's own rule."""
        await _handle(application, _read(message.get_json()))

    @made.function_name("secret_renewed")
    @made.event_grid_trigger(arg_name="event")
    async def secret_renewed(event: func.EventGridEvent) -> None:
        """A secret has a new version: this instance reads it at its next use, whichever vault the name is of.

        Event Grid tells one instance of the app. The others read the secret again when DigiCert ONE says 401, and when
        theirs is five minutes old; so nothing is lost with an event that says nothing, and none is kept.
        """
        delivered = _delivered(event)
        fields = {"event_id": delivered.id, "kind": delivered.kind}
        match delivered.kind, delivered.data:
            case "Microsoft.KeyVault.SecretNewVersionCreated", {"ObjectName": str(name)}:
                held = await application().secrets.forget(name)
                telemetry.event("secret_renewed", {**fields, "secret": name, "held": held})
            case _:
                telemetry.event("secret_renewed", {**fields, "reason": "it names no secret"}, logging.WARNING)

    return made


async def _handle(application: Callable[[], Application], delivered: Delivered) -> None:
    fields = {"event_id": delivered.id, "kind": delivered.kind}
    parsed = parse_event(delivered.kind, delivered.data, delivered.time)
    match parsed:
        case Unreadable(reason=reason):
            raise Malformed(reason)
        case Ignored(reason=reason):
            telemetry.event("hub_event_ignored", {**fields, "reason": reason}, logging.WARNING)
        case _:
            app = application()
            with telemetry.flow("hub_event", parsed.device_id):
                outcome = await _call(app.provision, parsed)
                about = {"device_id": parsed.device_id, "hub": parsed.hub, "outcome": outcome}
                level = logging.WARNING if outcome == "UnknownHub" else logging.INFO  # its name may be mistyped here
                telemetry.event("hub_event", {**fields, **about}, level)


async def _call(provision: Provision, parsed: DeviceCreated | DeviceConnection | DeviceDeleted) -> str:
    match parsed:
        case DeviceCreated(hub=hub, device_id=device):
            return await provision.device_created(hub, device)
        case DeviceConnection(hub=hub, device_id=device, sequence=sequence, at=at, connected=connected):
            return await provision.device_connected(hub, device, sequence, at, connected=connected)
        case DeviceDeleted(hub=hub, device_id=device, at=at):
            return await provision.device_deleted(hub, device, at)
        case _:
            assert_never(parsed)


def _delivered(event: func.EventGridEvent) -> Delivered:
    """The trigger hands over a CloudEvent where the subscription is of that schema, whatever the annotation says."""
    if isinstance(event, func.CloudEvent):
        return Delivered(str(event.id), str(event.type), event.time, event.get_json())
    return Delivered(str(event.id), str(event.event_type), event.event_time, event.get_json())


def _message(delivered: Delivered) -> str:
    time = delivered.time.isoformat() if delivered.time else None
    text = json.dumps({"id": delivered.id, "type": delivered.kind, "time": time, "data": delivered.data}, default=str)
    if len(text) > _LONGEST:  # no event of the hub is; what is kept says at least which it was
        text = json.dumps({"id": delivered.id[:200], "type": delivered.kind[:200], "time": time, "data": None})
    return text


def _read(kept: Mapping[str, Any]) -> Delivered:
    time = kept["time"]
    return Delivered(kept["id"], kept["type"], datetime.fromisoformat(time) if time else None, kept["data"])
