"""IoT Hub lifecycle events through Event Grid."""

import logging
from collections.abc import Callable

import azure.functions as func

from shared import telemetry
from shared.core.events import DeviceCreated, Ignored, parse_event
from shared.flows.application import Application


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    """An exception makes Event Grid deliver the event again; an event that can never be handled must not raise."""
    made = func.Blueprint()

    @made.function_name("hub_events")
    @made.event_grid_trigger(arg_name="event")
    async def handle(event: func.EventGridEvent) -> None:
        parsed = parse_event(event.event_type, event.get_json())
        match parsed:
            case DeviceCreated(hub=hub, device_id=device_id):
                bound = await application().provision.device_created(hub, device_id)
                outcome = "Bound" if bound else "UnknownDevice"
                fields = {"event_id": event.id, "device_id": device_id, "hub": hub, "outcome": outcome}
                telemetry.event("device_created", fields)
            case Ignored(reason=reason):
                fields = {"event_id": event.id, "kind": event.event_type, "reason": reason}
                telemetry.event("hub_event_ignored", fields, logging.WARNING)

    return made
