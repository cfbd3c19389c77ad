"""Timers that compare our entries with what DigiCert ONE says, and tell an operator where they cannot agree."""

import logging
from collections.abc import Callable

import azure.functions as func

from shared import telemetry
from shared.flows import revocation_sync as revocations
from shared.flows import trust_reconcile as trust
from shared.flows.application import Application
from shared.telemetry import measures


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    @made.function_name("revocation_sync")
    @made.timer_trigger(arg_name="timer", schedule="0 3,33 * * * *")
    async def revocation_sync(timer: func.TimerRequest) -> None:
        """Twice an hour: what was revoked at DigiCert ONE is blocked here."""
        del timer
        app = application()
        with telemetry.flow("revocation_sync"):
            results = await app.revocation_sync.run()
            for result in results:
                match result:
                    case revocations.Alert(source=source, text=text):
                        telemetry.event("revocation_sync", {"source": source, "alert": text}, logging.ERROR)
                    case revocations.Synced(source=source, blocked=blocked, left=left):
                        telemetry.event("revocation_sync", {"source": source, "blocked": blocked, "left": left})
            measures.sync_left(sum(one.left for one in results if isinstance(one, revocations.Synced)))

    @made.function_name("trust_reconcile")
    @made.timer_trigger(arg_name="timer", schedule="0 47 * * * *")
    async def trust_reconcile(timer: func.TimerRequest) -> None:
        """Every hour: each enrollment group trusts the issuing CAs that its devices need."""
        del timer
        app = application()
        with telemetry.flow("trust_reconcile"):
            for result in await app.trust_reconcile.run():
                match result:
                    case trust.Alert(about=about, text=text):
                        telemetry.event("trust_reconcile", {"about": about, "alert": text}, logging.ERROR)
                    case trust.Settled(group=group, changed=changed):
                        telemetry.event("trust_reconcile", {"group": group, "changed": ", ".join(changed)})

    return made
