"""The custom-allocation webhook of DPS: which hub, or no."""

import logging
from collections.abc import Callable

import azure.functions as func

from functions import http
from shared import telemetry
from shared.core.allocation import parse_registration
from shared.core.errors import Refusal
from shared.flows.application import Application


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    """DPS calls with a function key in the URL; a status other than 200 refuses the registration.

    The reason stands in the body and in our log; DPS itself shows the status (400209).
    """
    made = func.Blueprint()

    @made.function_name("allocation")
    @made.route(route="api/allocation", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
    async def serve(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        request_id = context.invocation_id
        try:
            app = application()
            with telemetry.flow("allocation"):
                return await _answer(app, req, request_id)
        except Refusal as refusal:
            http.log_refusal("allocation", refusal, {"request_id": request_id})
            return http.refused(refusal, request_id)

    return made


async def _answer(app: Application, req: func.HttpRequest, request_id: str) -> func.HttpResponse:
    registration = parse_registration(req.get_body())
    telemetry.about(registration.device_id)
    allocated = await app.provision.allocate(registration)
    outcome = "Reprovisioned" if allocated.reprovisioned else "Provisioned"
    fields = {"device_id": registration.device_id, "hub": allocated.hub_host, "outcome": outcome}
    level = logging.WARNING if allocated.cause else logging.INFO
    about = {"adoption": allocated.adoption, "cause": allocated.cause}
    telemetry.event("allocation", {"request_id": request_id, **fields, **about}, level)
    return http.json_response(200, {"iotHubHostName": allocated.hub_host, "initialTwin": allocated.initial_twin})
