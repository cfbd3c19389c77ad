"""What happens by itself. A run that fails is repeated at the next time; each flow takes up where it stopped."""

import logging
from collections.abc import Callable

import azure.functions as func

from shared import telemetry
from shared.flows.application import Application
from shared.telemetry import measures


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    @made.function_name("expiry_scan")
    @made.timer_trigger(arg_name="timer", schedule="0 17 * * * *")
    async def expiry_scan(timer: func.TimerRequest) -> None:
        """Every hour: put a nudge into the queue for each certificate that is due."""
        del timer
        app = application()
        with telemetry.flow("expiry_scan"):
            scanned = await app.renew.scan()
            if scanned.days:
                measures.due(scanned.nudges)
            telemetry.event("expiry_scan", {"days": scanned.days, "nudges": scanned.nudges, "spread_s": scanned.spread})

    @made.function_name("sweep")
    @made.timer_trigger(arg_name="timer", schedule="30 */5 * * * *")
    async def sweep(timer: func.TimerRequest) -> None:
        """Every five minutes: finish sagas and publish events that nothing else will."""
        del timer
        app = application()
        with telemetry.flow("sweep"):
            swept = await app.sweep.run()
            for stuck in swept.stuck:
                fields = {"device_id": stuck.device_id, "kind": stuck.kind, "since": stuck.since, "cause": stuck.cause}
                telemetry.event("stuck", fields, logging.ERROR)
            measures.stuck(len(swept.stuck))
            telemetry.event("sweep", {"finished": swept.finished, "stuck": len(swept.stuck)})
            if swept.failures:
                raise ExceptionGroup("a sweep met what nobody foresaw", swept.failures)

    return made
