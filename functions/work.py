"""Storage queues: work that must not be lost. A message whose handler raises comes again, and at last is poison."""

from collections.abc import Callable

import azure.functions as func

from shared import telemetry
from shared.core.identity import DeviceId
from shared.flows.application import Application


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    @made.function_name("settle")
    @made.queue_trigger(arg_name="message", queue_name="settle", connection="STORAGE")
    async def settle(message: func.QueueMessage) -> None:
        wanted = message.get_json()
        await application().provision.settle(DeviceId(wanted["deviceId"]), wanted["label"])
        telemetry.event("settle", {"device_id": wanted["deviceId"], "label": wanted["label"], "outcome": "Settled"})

    return made
