"""The table of contents of the app: one blueprint per file of `functions/`. No setting is read here.

The wiring, with the SDKs it needs, is imported when the first event arrives: an import that fails here would leave the
host without a single function, and it would say little about why.
"""

import azure.functions as func

from functions import (
    adoption,
    allocation,
    batches,
    certificates,
    checks,
    devices,
    dps_logs,
    est,
    gauges,
    health,
    hub_events,
    ops,
    timers,
    work,
)
from shared.flows.application import Application


def application() -> Application:
    """The application of this process."""
    from shared import wiring

    return wiring.application()


app = func.FunctionApp()
for module in (
    est,
    allocation,
    hub_events,
    dps_logs,
    work,
    timers,
    checks,
    gauges,
    ops,
    certificates,
    devices,
    adoption,
    batches,
    health,
):
    app.register_functions(module.blueprint(application))
