"""Storage queues: work that must not be lost. A message whose handler raises comes again, and at last is poison.

The forms of the messages are in `shared/adapters/queues.py`.
"""

import logging
from collections.abc import Callable
from datetime import date

import azure.functions as func

from shared import telemetry
from shared.core.identity import DeviceId
from shared.flows.application import Application
from shared.flows.ports.index import Due
from shared.telemetry import measures


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    @made.function_name("settle")
    @made.queue_trigger(arg_name="message", queue_name="settle", connection="STORAGE")
    async def settle(message: func.QueueMessage) -> None:
        app, wanted = application(), message.get_json()
        device, label = DeviceId(wanted["deviceId"]), wanted["label"]
        with telemetry.flow("settle", device):
            trouble = await app.rotate.settle(device, label, wanted.get("tries", 0))
            fields = {"reason": trouble.public, "cause": trouble.cause} if trouble else {}
            level = logging.WARNING if trouble else logging.INFO
            telemetry.event("settle", {"device_id": device, "label": label, **fields}, level)

    @made.function_name("nudge")
    @made.queue_trigger(arg_name="message", queue_name="nudge", connection="STORAGE")
    async def nudge(message: func.QueueMessage) -> None:
        app, wanted = application(), message.get_json()
        due, day = Due(DeviceId(wanted["deviceId"]), wanted["serial"]), date.fromisoformat(wanted["day"])
        with telemetry.flow("nudge", due.device_id):
            nudged = await app.renew.nudge(due, day)
            measures.nudged(nudged.outcome, nudged.urgency)
            fields = {"outcome": nudged.outcome, "urgency": nudged.urgency, "reached": nudged.reached}
            telemetry.event("nudge", {"device_id": due.device_id, "serial": due.serial, **fields})

    @made.function_name("saga")
    @made.queue_trigger(arg_name="message", queue_name="saga", connection="STORAGE")
    async def saga(message: func.QueueMessage) -> None:
        app, device = application(), DeviceId(message.get_json()["deviceId"])
        with telemetry.flow("saga", device):
            found = await app.revoke.advance(device)
            done = found is None or found.next is None
            telemetry.event("saga", {"device_id": device, "saga": found.id if found else "", "done": done})

    @made.function_name("publish")
    @made.queue_trigger(arg_name="message", queue_name="publish", connection="STORAGE")
    async def publish(message: func.QueueMessage) -> None:
        app, device = application(), DeviceId(message.get_json()["deviceId"])
        with telemetry.flow("publish", device):
            telemetry.event("publish", {"device_id": device, "events": await app.announce.flush(device)})

    return made
