"""DPS diagnostic logs through an Event Hub: who was registered, and who was refused and why."""

import logging
from collections.abc import Callable
from typing import List  # noqa: UP035 - the worker refuses list[…] on a bound parameter, and with it the whole app

import azure.functions as func

from shared import telemetry
from shared.core.dps_records import DpsRecord, DpsRegistered, NotRead, parse_batch
from shared.core.errors import Again, Refusal
from shared.core.events import DpsFailure
from shared.flows.application import Application


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    """A batch whose handling raises is delivered again by the retry policy; each record is safe to repeat.

    That holds up all that comes after it, and at last the whole batch is passed over. So each record gets its turn
    first, and one that no repetition mends is left with an alarm.
    """
    made = func.Blueprint()

    @made.function_name("dps_logs")
    @made.event_hub_message_trigger(
        arg_name="events",
        event_hub_name="%DPS_LOGS_EVENT_HUB%",
        connection="DPS_LOGS",
        cardinality=func.Cardinality.MANY,
    )
    @made.retry(
        strategy="exponential_backoff", max_retry_count="5", minimum_interval="00:00:05", maximum_interval="00:05:00"
    )
    async def handle(events: List[func.EventHubEvent]) -> None:  # noqa: UP006 - as above
        app = application()
        failed: list[Again] = []
        for record in (record for event in events for record in parse_batch(event.get_body())):
            try:
                await _handle(app, record)
            except Again as refusal:
                failed.append(refusal)
            except Exception as error:  # noqa: BLE001 - whatever it is, it would meet each delivery until the last
                _alarm(record, error)
        if failed:
            raise failed[0]

    return made


def _alarm(record: DpsRecord, error: Exception) -> None:
    cause = error.cause if isinstance(error, Refusal) else ""
    about = "" if isinstance(record, NotRead) else record.device_id
    telemetry.event("dps_record_poison", {"device_id": about, "reason": repr(error), "cause": cause}, logging.ERROR)


async def _handle(app: Application, record: DpsRecord) -> None:
    match record:
        case DpsRegistered(device_id=device_id):
            with telemetry.flow("dps_record", device_id):
                outcome = await app.provision.dps_registered(device_id)
                telemetry.event("dps_registered", {"device_id": device_id, "outcome": outcome})
        case DpsFailure(device_id=device_id, failure=failure):
            with telemetry.flow("dps_record", device_id):
                outcome = await app.provision.dps_failure(record)
                await app.trust_reconcile.refused(failure.reason)
                why = {"reason": failure.reason, "address": failure.address}
                telemetry.event("dps_refused", {"device_id": device_id, **why, "outcome": outcome}, logging.WARNING)
        case NotRead(reason=reason):
            telemetry.event("dps_record_ignored", {"reason": reason})
