"""Timers that look at what is there, and measure it. They change nothing."""

from collections.abc import Callable

import azure.functions as func

from shared import telemetry
from shared.core.census import STEPS
from shared.flows.application import Application
from shared.telemetry import measures


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    @made.function_name("backlog")
    @made.timer_trigger(arg_name="timer", schedule="15 */5 * * * *")
    async def backlog(timer: func.TimerRequest) -> None:
        """Every five minutes: what is waiting in queues and sagas, and for how long."""
        del timer
        app = application()
        with telemetry.flow("backlog"):
            waiting = await app.backlog.look()
            for queue, seconds in waiting.ages.items():
                measures.queue_age(seconds, queue)
            for queue, messages in waiting.poison.items():
                measures.queue_poison(messages, queue)
            measures.saga_age(waiting.saga_age)

    @made.function_name("census")
    @made.timer_trigger(arg_name="timer", schedule="45 */10 * * * *")
    async def census(timer: func.TimerRequest) -> None:
        """Every ten minutes a slice of the ledger, until each certificate was counted; four times a day."""
        del timer
        app = application()
        with telemetry.flow("census"):
            counts = await app.census.run()
            if counts is None:
                return
            for label, steps in counts.items():
                for left in STEPS:  # those without a certificate too: what was measured before would stand there else
                    measures.expiring(steps.get(left, 0), label, left)
            telemetry.event("census", {"certificates": sum(sum(steps.values()) for steps in counts.values())})

    return made
