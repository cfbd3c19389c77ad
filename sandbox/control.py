"""How tests and people steer the sandbox while it runs: plain HTTP on loopback. Its own requests are not journaled."""

import json
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, get_origin, get_type_hints

from aiohttp import web

from sandbox.world import Fault, World

Json = dict[str, Any]

HELP: Final = """The control of the Birthcert sandbox.

GET    /journal?since=N     what the stand-ins saw and did after entry N (oldest first)
DELETE /journal             forget it
GET    /faults              the planned faults
POST   /faults              plan one: {"service": "DPS", "kind": "status", "method": "PUT", "path": "/register",
                            "times": 2, "status": 429, "headers": {"Retry-After": "1"}, "body": ""}
                            kinds for all: delay (seconds), status, drop, lose_answer; others belong to a stand-in
                            (throttle: DPS and IoT Hub answer 429 in their own words)
DELETE /faults              withdraw them all
GET    /clock               {"offset_seconds": 0, "now": "..."}
PUT    /clock               {"offset_seconds": 86400}: a day later for everything but TLS and tokens
PUT    /edge                {"buffer_chunked": false}: hand chunked bodies on as they come
PUT    /event-grid          {"duplicates": 1, "reorder": true}
GET    /event-grid/published     the events that the app has published, oldest first
GET    /event-grid/dead-letters  the events that the app would not take
PUT    /key-vault/NAME      {"value": "..."}: a new version of a secret
POST   /digicert/roll       {"announce_old": true}: a new issuing CA, and whether EST still shows the old one
POST   /digicert/revoke     {"serial": "...", "reason": "key_compromise"}: behind the app's back
PUT    /digicert            {"renew_any_time": true}: renewals are granted outside of their window, too
PUT    /dps                 {"properties_as_text": true}: diagnostic records hold `properties` as a text
PUT    /dps/webhook         {"shows_certificate": true}: the app is told which certificate a device presents
PUT    /deployment          {"done": false}: DPS as it is before a deployment, without hub, CA and group; true: as after
GET    /secrets             every credential made here, to look for where none may be
"""

JSON_TYPES: Final = {str: "a text", int: "a whole number", float: "a number", dict: "an object", bool: "true or false"}


@dataclass(frozen=True)
class Levers:
    """What belongs to other parts. `services` are the names that faults may give."""

    services: Collection[str]
    buffer_chunked: Callable[[bool], Awaitable[None]]
    event_grid: Callable[[int, bool], None]
    new_secret_version: Callable[[str, str], None]
    published: Callable[[], list[Json]]
    dead_letters: Callable[[], list[Json]]
    roll: Callable[[bool], str]
    revoke: Callable[[str, str], str]
    renew_any_time: Callable[[bool], None]
    properties_as_text: Callable[[bool], None]
    shows_certificate: Callable[[bool], None]
    deployment: Callable[[bool], None]


def app(world: World, levers: Levers) -> web.Application:
    async def unknown(request: web.Request) -> web.Response:
        return web.Response(status=501, text=f"the control does not know {request.method} {request.path_qs}\n\n{HELP}")

    result = web.Application()
    result.add_routes(
        [
            *world_routes(world),
            *fault_routes(world, levers.services),
            *lever_routes(levers),
            *digicert_routes(levers),
            web.route("*", "/{rest:.*}", unknown),
        ]
    )
    return result


def world_routes(world: World) -> list[web.RouteDef]:
    async def index(_: web.Request) -> web.Response:
        return web.Response(text=HELP)

    async def get_journal(request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not since.isascii() or not since.isdigit():
            raise bad("since is the number of an entry")
        return web.json_response(world.journal.since(int(since)))

    async def delete_journal(_: web.Request) -> web.Response:
        world.journal.entries.clear()
        return web.Response(status=204)

    async def get_clock(_: web.Request) -> web.Response:
        return web.json_response(
            {"offset_seconds": world.clock.offset.total_seconds(), "now": world.clock.now().isoformat()}
        )

    async def put_clock(request: web.Request) -> web.Response:
        body = await members(request, {"offset_seconds": float})
        try:
            world.clock.offset = timedelta(seconds=body["offset_seconds"])
            world.clock.now()
        except (OverflowError, ValueError) as error:
            world.clock.offset = timedelta()
            raise bad("offset_seconds leads out of the calendar") from error
        return await get_clock(request)

    async def get_secrets(_: web.Request) -> web.Response:
        return web.json_response(world.secrets)

    return [
        web.get("/", index),
        web.get("/journal", get_journal),
        web.delete("/journal", delete_journal),
        web.get("/clock", get_clock),
        web.put("/clock", put_clock),
        web.get("/secrets", get_secrets),
    ]


def lever_routes(levers: Levers) -> list[web.RouteDef]:
    async def put_edge(request: web.Request) -> web.Response:
        body = await members(request, {"buffer_chunked": bool})
        await levers.buffer_chunked(body["buffer_chunked"])
        return web.json_response(body)

    async def put_event_grid(request: web.Request) -> web.Response:
        body = await members(request, {"duplicates": int, "reorder": bool})
        if not 0 <= body["duplicates"] <= 10:
            raise bad("duplicates is a number from 0 to 10")
        levers.event_grid(body["duplicates"], body["reorder"])
        return web.json_response(body)

    async def get_published(_: web.Request) -> web.Response:
        return web.json_response(levers.published())

    async def get_dead_letters(_: web.Request) -> web.Response:
        return web.json_response(levers.dead_letters())

    async def put_secret(request: web.Request) -> web.Response:
        body = await members(request, {"value": str})
        levers.new_secret_version(request.match_info["name"], body["value"])
        return web.Response(status=204)

    async def put_dps(request: web.Request) -> web.Response:
        body = await members(request, {"properties_as_text": bool})
        levers.properties_as_text(body["properties_as_text"])
        return web.json_response(body)

    async def put_webhook(request: web.Request) -> web.Response:
        body = await members(request, {"shows_certificate": bool})
        levers.shows_certificate(body["shows_certificate"])
        return web.json_response(body)

    async def put_deployment(request: web.Request) -> web.Response:
        body = await members(request, {"done": bool})
        levers.deployment(body["done"])
        return web.json_response(body)

    return [
        web.put("/edge", put_edge),
        web.put("/event-grid", put_event_grid),
        web.get("/event-grid/published", get_published),
        web.get("/event-grid/dead-letters", get_dead_letters),
        web.put("/key-vault/{name}", put_secret),
        web.put("/dps", put_dps),
        web.put("/dps/webhook", put_webhook),
        web.put("/deployment", put_deployment),
    ]


def digicert_routes(levers: Levers) -> list[web.RouteDef]:
    async def roll(request: web.Request) -> web.Response:
        body = await members(request, {"announce_old": bool})
        return web.json_response({"ca": levers.roll(body["announce_old"])}, status=201)

    async def revoke(request: web.Request) -> web.Response:
        body = await members(request, {"serial": str, "reason": str})
        problem = levers.revoke(body["serial"], body["reason"])
        if problem:
            raise bad(problem)
        return web.Response(status=204)

    async def put_digicert(request: web.Request) -> web.Response:
        body = await members(request, {"renew_any_time": bool})
        levers.renew_any_time(body["renew_any_time"])
        return web.json_response(body)

    return [web.post("/digicert/roll", roll), web.post("/digicert/revoke", revoke), web.put("/digicert", put_digicert)]


def fault_routes(world: World, services: Collection[str]) -> list[web.RouteDef]:
    async def get_faults(_: web.Request) -> web.Response:
        return web.json_response([asdict(fault) for fault in world.faults.planned])

    async def post_fault(request: web.Request) -> web.Response:
        fault = read_fault(await json_object(request), services)
        world.faults.planned.append(fault)
        return web.json_response(asdict(fault), status=201)

    async def delete_faults(_: web.Request) -> web.Response:
        world.faults.planned.clear()
        return web.Response(status=204)

    return [web.get("/faults", get_faults), web.post("/faults", post_fault), web.delete("/faults", delete_faults)]


def read_fault(body: Json, services: Collection[str]) -> Fault:
    types: dict[str, type] = {name: get_origin(hint) or hint for name, hint in get_type_hints(Fault).items()}
    for name, value in body.items():
        if name not in types:
            raise bad(f"a fault has no {name}; it has {', '.join(types)}")
        check_type(name, value, types[name])
    if missing := {"service", "kind"} - body.keys():
        raise bad(f"a fault needs {' and '.join(sorted(missing))}")
    if not all(isinstance(value, str) for value in body.get("headers", {}).values()):
        raise bad("the values of headers are texts")
    fault = Fault(**body)
    if fault.service not in services:
        raise bad(f"there is no service {fault.service}; there are {', '.join(sorted(services))}")
    if not re.fullmatch("[a-z][a-z0-9_]*", fault.kind):
        raise bad("a kind is written in small letters and underscores")
    if fault.times < 1 or fault.seconds < 0 or not 200 <= fault.status <= 599:
        raise bad("times is 1 or more, seconds 0 or more, status between 200 and 599")
    if fault.kind == "delay" and not fault.seconds:
        raise bad("a delay needs seconds")
    return fault


async def json_object(request: web.Request) -> Json:
    try:
        body = json.loads(await request.text())
    except ValueError as error:
        raise bad("the body is not JSON") from error
    if not isinstance(body, dict):
        raise bad("the body is not a JSON object")
    return body


async def members(request: web.Request, types: dict[str, type]) -> Json:
    """The body, which has exactly these members."""
    body = await json_object(request)
    if body.keys() != types.keys():
        raise bad(f"the body has exactly the members {', '.join(types)}")
    for name, value in body.items():
        check_type(name, value, types[name])
    return body


def check_type(name: str, value: object, expected: type) -> None:
    accepted = (int, float) if expected is float else expected
    if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
        raise bad(f"{name} is {JSON_TYPES[expected]}")


def bad(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=f"{text}\n")
