"""DPS diagnostic logs through an Event Hub: who was registered, and who was refused and why."""

import logging
from collections.abc import Callable
from typing import List  # noqa: UP035 - the worker refuses list[…] on a bound parameter, and with it the whole app

import azure.functions as func

from shared import telemetry
from shared.core.dps_records import DpsRecord, DpsRegistered, NotRead, parse_batch
from shared.core.events import DpsFailure
from shared.flows.application import Application


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    """A batch whose handling raises is delivered again by the retry policy; each record is safe to repeat."""
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
        for event in events:
            for record in parse_batch(event.get_body()):
                await _handle(application(), record)

    return made


async def _handle(app: Application, record: DpsRecord) -> None:
    match record:
        case DpsRegistered(device_id=device_id):
            outcome = await app.provision.dps_registered(device_id)
            telemetry.event("dps_registered", {"device_id": device_id, "outcome": outcome})
        case DpsFailure(device_id=device_id, failure=failure):
            outcome = await app.provision.dps_failure(record)
            await app.trust_reconcile.refused(failure.reason)
            fields = {"device_id": device_id, "reason": failure.reason, "address": failure.address, "outcome": outcome}
            telemetry.event("dps_refused", fields, logging.WARNING)
        case NotRead(reason=reason):
            telemetry.event("dps_record_ignored", {"reason": reason})
