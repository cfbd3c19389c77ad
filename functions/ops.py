"""`/api/…` for operators, all behind a function key. docs/openapi.json describes it, and is served from here."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, get_args
from urllib.parse import quote

import azure.functions as func

from functions import http, openapi, problems
from shared import telemetry
from shared.core import ops, ops_views, searching
from shared.core.errors import Malformed, Refusal, Unsupported
from shared.core.identity import DeviceId, device_id
from shared.core.ops import Command, Deed
from shared.core.revocation import Verb
from shared.flows.application import Application

# App Service sets it for who has signed in, and lets no client set it, where App Service Authentication is switched on:
# learn.microsoft.com/azure/app-service/configure-authentication-user-identities
SIGNED_IN: Final = "x-ms-client-principal-name"

VERBS: Final[tuple[Verb, ...]] = get_args(Verb.__value__)

type Record = dict[str, object]
type Serve = Callable[[Application, func.HttpRequest, Record], Awaitable[func.HttpResponse]]
type Handler = Callable[[func.HttpRequest, func.Context], Awaitable[func.HttpResponse]]


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    """One function per route, by its own name in the portal. A wrong method is the host's 404."""
    made = func.Blueprint()

    def add(name: str, method: str, route: str, serve: Serve) -> None:
        handler = _handler(application, name, serve)
        routed = made.route(route=route, methods=[method], auth_level=func.AuthLevel.FUNCTION)(handler)
        made.function_name(name)(routed)

    add("ops_device", "GET", "api/devices/{id}", _device)
    add("ops_certificates", "GET", "api/certificates", _certificates)
    add("ops_sagas", "GET", "api/sagas", _sagas)
    add("ops_poison", "GET", "api/poison", _poison)
    add("ops_openapi", "GET", "api/openapi.json", _openapi)
    add("ops_replay", "POST", "api/poison/{queue}/replay", _replay)
    add("ops_renew", "POST", "api/devices/{id}/renew", _renew)
    for verb in VERBS:
        add(f"ops_{verb}", "POST", f"api/devices/{{id}}/{verb}", _blocking(verb))
    return made


def _handler(application: Callable[[], Application], name: str, serve: Serve) -> Handler:
    async def handle(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        """One answer and one audit record, whatever happens."""
        record: Record = {"request_id": context.invocation_id, "operation": name}
        try:
            response = await serve(application(), req, record)
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


async def _device(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
    known, device = await app.survey.device(_name(req, record))
    return _json(200, ops_views.device_view(known, device))


async def _certificates(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
    del record
    search = searching.search(req.params)
    listing = await app.survey.certificates(search)
    return _json(
        200,
        {
            "certificates": [ops_views.listed_view(one.device_id, one.certificate) for one in listing.certificates],
            "source": listing.source,
            "continuation": searching.continuation(search, listing.mark) if listing.mark else None,
        },
    )


async def _sagas(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
    del record
    sagas = await app.survey.sagas(stuck=searching.stuck(req.params))
    views = [{"device_id": device, "saga": ops_views.saga_view(saga)} for device, saga in sagas.found]
    return _json(200, {"sagas": views, "complete": sagas.complete})


async def _poison(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
    del req, record
    counts = await app.operate.poisoned()
    return _json(200, {"queues": [{"queue": queue, "messages": count} for queue, count in counts.items()]})


async def _openapi(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
    del app, req, record
    return _json(200, openapi.document())


async def _replay(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
    queue = req.route_params["queue"]
    command = ops.replay(_body(req), key=_key(req), caller=_caller(app, req))
    record |= {"queue": queue, **_audited(command), "limit": command.limit}
    moved = await app.operate.replay(queue, command)
    record["moved"] = moved
    return _json(200, {"queue": queue, "replayed": moved})


async def _renew(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
    name = _name(req, record)
    command = _command(app, req, "renew", record)
    renewal = await app.operate.renew(name, command)
    record |= {"device_id": renewal.device_id, "serial": renewal.serial, "done": renewal.done}
    content = {"device_id": renewal.device_id, "serial": renewal.serial, "done": renewal.done}
    return _begun(renewal.device_id, content, done=renewal.done)


def _blocking(verb: Verb) -> Serve:
    async def serve(app: Application, req: func.HttpRequest, record: Record) -> func.HttpResponse:
        name = _name(req, record)
        command = _command(app, req, verb, record)
        blocking = await app.operate.block(name, verb, command)
        done = blocking.saga.next is None
        record |= {"device_id": blocking.device_id, "saga": blocking.saga.id, "done": done}
        content = {"device_id": blocking.device_id, "saga": ops_views.saga_view(blocking.saga), "done": done}
        return _begun(blocking.device_id, content, done=done)

    return serve


def _command(app: Application, req: func.HttpRequest, deed: Deed, record: Record) -> Command:
    command = ops.action(deed, _body(req), key=_key(req), caller=_caller(app, req))
    record |= {**_audited(command), "stated_reason": command.why.value}
    return command


def _audited(command: Command) -> Record:
    return {"caller": command.caller, "comment": command.comment, "key": command.key}


def _name(req: func.HttpRequest, record: Record) -> DeviceId:
    name = device_id(req.route_params["id"])
    record["device_id"] = name
    return name


def _key(req: func.HttpRequest) -> str:
    return ops.idempotency_key(req.headers.get("Idempotency-Key", ""))


def _caller(app: Application, req: func.HttpRequest) -> str:
    """Where the platform authenticates nobody, its header is a client's own, and does not exist."""
    signed_in = req.headers.get(SIGNED_IN, "") if app.platform_authenticates else ""
    return ops.caller(signed_in, req.headers.get("X-Caller", ""))


def _body(req: func.HttpRequest) -> bytes:
    if req.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unsupported("send the body without a content encoding")
    if req.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Unsupported("send the body as application/json")
    body = req.get_body()
    if not body and "transfer-encoding" in req.headers:
        # The Functions host hands a chunked body on as an empty one; App Service's front end gives it a length.
        raise Malformed("the body did not arrive: send it with Content-Length instead of chunked")
    return body


def _begun(device: DeviceId, content: Mapping[str, object], *, done: bool) -> func.HttpResponse:
    """RFC 9110 §15.3.3: what is not done yet is told with where to look for it."""
    if done:
        return _json(200, content)
    return _json(202, content, {"Location": f"/api/devices/{quote(device, safe=':')}", "Retry-After": "5"})


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    every = {"Content-Type": "application/json", **(headers or {})}
    return http.bytes_response(status, json.dumps(content).encode(), every)
