"""`/healthz`: the process answers. `/readyz`: what it needs answers too. `/api/readyz`: why not, for who has a key."""

from collections.abc import Callable

import azure.functions as func

from functions import http
from shared.core.errors import Misconfigured
from shared.flows.application import Application


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    async def failures() -> dict[str, str]:
        try:
            return await application().ready.failures()
        except Misconfigured as refusal:
            return {"configuration": refusal.cause}

    @made.function_name("healthz")
    @made.route(route="healthz", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
    async def healthz(req: func.HttpRequest) -> func.HttpResponse:
        del req
        return http.text(200, "ok", {})

    @made.function_name("readyz")
    @made.route(route="readyz", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
    async def readyz(req: func.HttpRequest) -> func.HttpResponse:
        del req
        found = await failures()
        return http.json_response(503 if found else 200, {"ready": not found, "not_answering": sorted(found)})

    @made.function_name("readyz_details")
    @made.route(route="api/readyz", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
    async def readyz_details(req: func.HttpRequest) -> func.HttpResponse:
        del req
        found = await failures()
        return http.json_response(503 if found else 200, {"ready": not found, "not_answering": found})

    return made
