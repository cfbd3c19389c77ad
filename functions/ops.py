"""`/api/…` for operators, all behind a function key. docs/openapi.json describes it, and is served from here."""

from collections.abc import Callable
from typing import Final, get_args

import azure.functions as func

from functions import api, openapi
from shared.core import ops, ops_views, searching
from shared.core.ops import Command, Deed
from shared.core.revocation import Verb
from shared.flows.application import Application

VERBS: Final[tuple[Verb, ...]] = get_args(Verb.__value__)


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    """One function per route, by its own name in the portal. A wrong method is the host's 404."""
    made = func.Blueprint()

    def add(name: str, method: str, route: str, serve: api.Serve) -> None:
        handler = api.handler(application, name, serve)
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


async def _device(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    known, device = await app.survey.device(api.device(req, record))
    return api.json_response(200, ops_views.device_view(known, device))


async def _certificates(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    del record
    search = searching.search(req.params)
    listing = await app.survey.certificates(search)
    return api.json_response(
        200,
        {
            "certificates": [ops_views.listed_view(one.device_id, one.certificate) for one in listing.certificates],
            "source": listing.source,
            "continuation": searching.continuation(search, listing.mark) if listing.mark else None,
        },
    )


async def _sagas(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    del record
    sagas = await app.survey.sagas(stuck=searching.stuck(req.params))
    views = [{"device_id": device, "saga": ops_views.saga_view(saga)} for device, saga in sagas.found]
    return api.json_response(200, {"sagas": views, "complete": sagas.complete})


async def _poison(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    del req, record
    counts = await app.operate.poisoned()
    return api.json_response(200, {"queues": [{"queue": queue, "messages": count} for queue, count in counts.items()]})


async def _openapi(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    del app, req, record
    return api.json_response(200, openapi.document())


async def _replay(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    queue = req.route_params["queue"]
    command = ops.replay(api.json_body(req), key=api.key(req), caller=api.caller(app, req))
    record |= {"queue": queue, **_audited(command), "limit": command.limit}
    moved = await app.operate.replay(queue, command)
    record["moved"] = moved
    return api.json_response(200, {"queue": queue, "replayed": moved})


async def _renew(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    name = api.device(req, record)
    command = _command(app, req, "renew", record)
    renewal = await app.operate.renew(name, command)
    record |= {"device_id": renewal.device_id, "serial": renewal.serial, "done": renewal.done}
    content = {"device_id": renewal.device_id, "serial": renewal.serial, "done": renewal.done}
    return api.begun(renewal.device_id, content, done=renewal.done)


def _blocking(verb: Verb) -> api.Serve:
    async def serve(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
        name = api.device(req, record)
        command = _command(app, req, verb, record)
        blocking = await app.operate.block(name, verb, command)
        done = blocking.saga.next is None
        record |= {"device_id": blocking.device_id, "saga": blocking.saga.id, "done": done}
        content = {"device_id": blocking.device_id, "saga": ops_views.saga_view(blocking.saga), "done": done}
        return api.begun(blocking.device_id, content, done=done)

    return serve


def _command(app: Application, req: func.HttpRequest, deed: Deed, record: api.Record) -> Command:
    command = ops.action(deed, api.json_body(req), key=api.key(req), caller=api.caller(app, req))
    record |= {**_audited(command), "stated_reason": command.why.value}
    return command


def _audited(command: Command) -> api.Record:
    return {"caller": command.caller, "comment": command.comment, "key": command.key}
