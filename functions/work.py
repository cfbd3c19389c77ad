"""Storage queues: work that must not be lost. A message whose handler raises comes again, and at last is poison.

The forms of the messages are in `shared/adapters/queues.py`.
"""

from collections.abc import Callable
from datetime import date

import azure.functions as func

from shared import telemetry
from shared.core.identity import DeviceId
from shared.flows.application import Application
from shared.flows.ports.index import Due


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    @made.function_name("settle")
    @made.queue_trigger(arg_name="message", queue_name="settle", connection="STORAGE")
    async def settle(message: func.QueueMessage) -> None:
        wanted = message.get_json()
        await application().rotate.settle(DeviceId(wanted["deviceId"]), wanted["label"])
        telemetry.event("settle", {"device_id": wanted["deviceId"], "label": wanted["label"]})

    @made.function_name("nudge")
    @made.queue_trigger(arg_name="message", queue_name="nudge", connection="STORAGE")
    async def nudge(message: func.QueueMessage) -> None:
        wanted = message.get_json()
        due = Due(DeviceId(wanted["deviceId"]), wanted["serial"])
        nudged = await application().renew.nudge(due, date.fromisoformat(wanted["day"]))
        fields = {"outcome": nudged.outcome, "urgency": nudged.urgency, "reached": nudged.reached}
        telemetry.event("nudge", {"device_id": due.device_id, "serial": due.serial, **fields})

    @made.function_name("saga")
    @made.queue_trigger(arg_name="message", queue_name="saga", connection="STORAGE")
    async def saga(message: func.QueueMessage) -> None:
        device = DeviceId(message.get_json()["deviceId"])
        found = await application().revoke.advance(device)
        done = found is None or found.next is None
        telemetry.event("saga", {"device_id": device, "saga": found.id if found else "", "done": done})

    @made.function_name("publish")
    @made.queue_trigger(arg_name="message", queue_name="publish", connection="STORAGE")
    async def publish(message: func.QueueMessage) -> None:
        device = DeviceId(message.get_json()["deviceId"])
        telemetry.event("publish", {"device_id": device, "events": await application().announce.flush(device)})

    return made
