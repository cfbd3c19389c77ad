"""`/api/batches`: a factory's system sends a file of signing requests, and comes back for the certificates."""

import logging
from collections.abc import Callable
from typing import Final, get_args

import azure.functions as func

from functions import api, http
from shared import telemetry
from shared.core import batch as rules
from shared.core import batch_views, births, ops
from shared.core.batch import Batch, Deed, Format, State
from shared.core.errors import Malformed, TooLarge
from shared.flows.application import Application

MEDIA: Final[dict[str, Format]] = {
    "text/csv": "csv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/zip": "zip",
}
DEEDS: Final[tuple[Deed, ...]] = get_args(Deed.__value__)
STATES: Final[tuple[State, ...]] = get_args(State.__value__)


def blueprint(application: Callable[[], Application]) -> func.Blueprint:
    made = func.Blueprint()

    def add(name: str, method: str, route: str, serve: api.Serve) -> None:
        handler = api.handler(application, name, serve)
        routed = made.route(route=route, methods=[method], auth_level=func.AuthLevel.FUNCTION)(handler)
        made.function_name(name)(routed)

    add("batches_create", "POST", "api/batches", _create)
    add("batches", "GET", "api/batches", _every)
    add("batches_one", "GET", "api/batches/{id}", _one)
    add("batches_results", "GET", "api/batches/{id}/results", _results)
    add("batches_block", "PUT", "api/batches/{id}/blocks/{number}", _block)
    for deed in DEEDS:
        add(f"batches_{deed}", "POST", f"api/batches/{{id}}/{deed}", _changing(deed))

    @made.function_name("batch")
    @made.queue_trigger(arg_name="message", queue_name="batch", connection="STORAGE")
    async def batch(message: func.QueueMessage) -> None:
        ident = message.get_json()["batch"]
        with telemetry.flow("batch"):
            done = await application().batch_run.go_on(ident, again=(message.dequeue_count or 1) > 1)
        telemetry.event("batch", {"batch": ident, **(_fields(done) if done else {})}, _level(done))

    @made.function_name("batch_wake")
    @made.timer_trigger(arg_name="timer", schedule="45 */15 * * * *")
    async def batch_wake(timer: func.TimerRequest) -> None:
        """Every quarter of an hour: batches whose message was lost, or is poison, go on."""
        del timer
        with telemetry.flow("batch"):
            telemetry.event("batch_wake", {"woken": await application().batch_run.wake()})

    return made


async def _create(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    media, content = api.body(req, *MEDIA)
    if len(content) > app.batching.most_at_once:
        most = app.batching.most_at_once
        raise TooLarge(f"the body is over {most} bytes: send an empty one, and put the file in blocks of at most that")
    key, caller = api.key(req), api.caller(app, req)
    label, comment = batch_views.wanted(req.params)
    profile = app.enroll.profile(label)
    made = Batch(
        rules.batch_id(key), profile.label, MEDIA[media], "uploading", caller, comment, created=app.enroll.clock()
    )
    record |= {"batch": made.id, "caller": caller, "comment": comment, "key": key, "bytes": len(content)}
    there = await app.batching.create(made, content)
    return _shown(app, there, 201 if there.state == "uploading" else 202)


async def _every(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    del record
    state = req.params.get("state")
    if state not in (None, *STATES) or set(req.params) - {"state", "code"}:
        raise Malformed(f"the query may hold state, one of {', '.join(STATES)}, and nothing else")
    found = sorted([one async for one in app.batching.every(state)], key=lambda one: one.created, reverse=True)
    views = [batch_views.view(one, app.enroll.clock()) for one in found[: batch_views.MOST]]
    return api.json_response(200, {"batches": views, "total": len(found)})


async def _one(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    return _shown(app, await app.batching.find(_id(req, record)), 200)


async def _results(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    ident = _id(req, record)
    after = _number(req.params.get("after", "0"), "after")
    form = req.params.get("format", "jsonl")
    if form not in ("jsonl", "zip") or set(req.params) - {"after", "format", "code"}:
        raise Malformed("the query may hold after and format, which is jsonl or zip, and nothing else")
    lines, following = await app.batching.results(ident, after, app.batching.part_bytes)
    headers = {"Content-Type": "application/jsonl"}
    if form == "zip":
        chain = await app.enroll.ca_certificates((await app.batching.find(ident)).label)
        lines = await app.batching.aside(lambda: batch_views.zipped(lines, chain))
        headers = {"Content-Type": "application/zip"}
    if following:  # RFC 8288
        headers["Link"] = f'</api/batches/{ident}/results?after={following}&format={form}>; rel="next"'
    return http.bytes_response(200, lines, headers)


async def _block(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
    ident, number = _id(req, record), _number(req.route_params["number"], "the number of the block")
    _, content = api.body(req, "application/octet-stream", *MEDIA)
    record |= {"block": number, "bytes": len(content)}
    await app.batching.stage(ident, number, content)
    return api.json_response(200, {"batch": ident, "block": number, "bytes": len(content)})


def _changing(deed: Deed) -> api.Serve:
    async def serve(app: Application, req: func.HttpRequest, record: api.Record) -> func.HttpResponse:
        body, key, caller = api.json_body(req), api.key(req), api.caller(app, req)
        read = births.started(body, key=key, caller=caller) if deed == "start" else None
        command, size = read or (ops.note(body, key=key, caller=caller), None)
        record |= {"caller": command.caller, "comment": command.comment, "key": command.key}
        changed = await app.batching.change(_id(req, record), deed, command, size)
        record["state"] = changed.state
        return _shown(app, changed, 200)

    return serve


def _fields(done: Batch) -> dict[str, object]:
    fields: dict[str, object] = {"state": done.state, "row": done.cursor.row, "reason": done.trouble}
    return {**fields, "cause": done.cause} if done.cause else fields


def _level(done: Batch | None) -> int:
    """A batch that waits for somebody is an error in the log, one that waits for something a warning."""
    if done is None or not done.trouble:
        return logging.INFO
    return logging.WARNING if done.state == "running" else logging.ERROR


def _id(req: func.HttpRequest, record: api.Record) -> str:
    ident: str = req.route_params["id"]
    record["batch"] = ident
    return ident


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Malformed(f"{name} must be a whole number")
    return int(text)


def _shown(app: Application, batch: Batch, status: int) -> func.HttpResponse:
    shown = batch_views.view(batch, app.enroll.clock())
    if batch.state == "uploading":
        location = f"/api/batches/{batch.id}/blocks/{{number}}"
        shown["upload"] = {"location": location, "most_bytes": app.batching.most_at_once}
    headers = {} if status == 200 else {"Location": f"/api/batches/{batch.id}", "Retry-After": "5"}
    return api.json_response(status, shown, headers)
