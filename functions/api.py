"""What all routes under `/api` share: who asks, what is sent, one answer and one audit record for each request."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import quote

import azure.functions as func

from functions import http, problems
from shared import telemetry
from shared.core import ops
from shared.core.errors import Malformed, Refusal, Unsupported
from shared.core.identity import DeviceId, device_id
from shared.flows.application import Application

# App Service sets it for who has signed in, and lets no client set it, where App Service Authentication is switched on:
# learn.microsoft.com/azure/app-service/configure-authentication-user-identities
SIGNED_IN: Final = "x-ms-client-principal-name"

type Record = dict[str, object]
type Serve = Callable[[Application, func.HttpRequest, Record], Awaitable[func.HttpResponse]]
type Handler = Callable[[func.HttpRequest, func.Context], Awaitable[func.HttpResponse]]


def handler(application: Callable[[], Application], name: str, serve: Serve) -> Handler:
    async def handle(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        """One answer and one audit record, whatever happens."""
        record: Record = {"request_id": context.invocation_id, "operation": name}
        try:
            app = application()
            with telemetry.flow("ops"):
                response = await serve(app, req, record)
                telemetry.about(str(record.get("device_id", "")))
        except Refusal as refusal:
            response = problems.problem(refusal, context.invocation_id)
            refusal.device_id = refusal.device_id or str(record.get("device_id", ""))
            http.log_refusal("ops", refusal, {**record, "status": response.status_code})
            return response
        except Exception:  # noqa: BLE001 - our own mistake: it is logged whole, and the caller learns the request id
            telemetry.LOGGER.exception("request %s failed", context.invocation_id)
            response = problems.broken(context.invocation_id)
            telemetry.event("ops", {**record, "outcome": "InternalError", "status": 500}, logging.ERROR)
            return response
        telemetry.event("ops", {"outcome": "Answered", **record, "status": response.status_code})
        return response

    return handle


def device(req: func.HttpRequest, record: Record) -> DeviceId:
    name = device_id(req.route_params["id"])
    record["device_id"] = name
    return name


def key(req: func.HttpRequest) -> str:
    return ops.idempotency_key(req.headers.get("Idempotency-Key", ""))


def caller(app: Application, req: func.HttpRequest) -> str:
    """Where the platform authenticates nobody, its header is a client's own, and does not exist."""
    signed_in = req.headers.get(SIGNED_IN, "") if app.platform_authenticates else ""
    return ops.caller(signed_in, req.headers.get("X-Caller", ""))


def json_body(req: func.HttpRequest) -> bytes:
    return body(req, "application/json")[1]


def body(req: func.HttpRequest, *media: str) -> tuple[str, bytes]:
    """The media type, one of these, and the content. Raises Unsupported, Malformed."""
    if req.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unsupported("send the body without a content encoding")
    given = req.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if given not in media:
        raise Unsupported(f"send the body as {' or '.join(media)}")
    content = req.get_body()
    if not content and "transfer-encoding" in req.headers:
        # The Functions host hands a chunked body on as an empty one; App Service's front end gives it a length.
        raise Malformed("the body did not arrive: send it with Content-Length instead of chunked")
    return given, content


def begun(name: DeviceId, content: Mapping[str, object], *, done: bool) -> func.HttpResponse:
    """RFC 9110 §15.3.3: what is not done yet is told with where to look for it."""
    if done:
        return json_response(200, content)
    return json_response(202, content, {"Location": f"/api/devices/{quote(name, safe=':')}", "Retry-After": "5"})


def json_response(
    status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    every = {"Content-Type": "application/json", **(headers or {})}
    return http.bytes_response(status, json.dumps(content).encode(), every)
