"""Up to ten enrollments or groups in one call; each has its own outcome, and the call itself is a 200.

https://learn.microsoft.com/rest/api/iot-dps/service/individual-enrollment/run-bulk-operation
"""

import json
from typing import Any

from aiohttp import web

from sandbox.dps.document import ID_FIELD, members, read_entry
from sandbox.dps.errors import NOT_FOUND, bad_request, check_version, json_object, known_members, refusal
from sandbox.dps.service import API_VERSIONS, PATHS, remove, store
from sandbox.dps.state import DpsState, Kind

Json = dict[str, Any]
LIST: dict[Kind, str] = {"individual": "enrollments", "group": "enrollmentGroups"}
MODES = {"create", "update", "updateIfMatchETag", "delete"}
AT_ONCE = 10


def routes(state: DpsState) -> list[web.RouteDef]:
    return [bulk_route(state, "individual"), bulk_route(state, "group")]


def bulk_route(state: DpsState, kind: Kind) -> web.RouteDef:
    async def bulk(request: web.Request) -> web.Response:
        check_version(request, API_VERSIONS)
        body = await json_object(request, {"mode", LIST[kind]})
        mode, items = body.get("mode"), body.get(LIST[kind])
        if mode not in MODES or not isinstance(items, list) or not 1 <= len(items) <= AT_ONCE:
            raise bad_request(f"A bulk operation has a mode and between 1 and {AT_ONCE} items.")
        errors = []
        for item in items:
            try:
                run(state, kind, mode, item)
            except web.HTTPException as error:
                errors.append(told(kind, item, error))
        return web.json_response({"isSuccessful": not errors, "errors": errors})

    return web.post(PATHS[kind], bulk)


def run(state: DpsState, kind: Kind, mode: str, item: Json) -> None:
    known_members(item, members(kind), "The item")
    entry_id = str(item.get(ID_FIELD[kind], ""))
    known = state.entries(kind).get(entry_id.lower())
    if mode == "create" and known is not None:
        raise refusal(409001, "Conflict")
    if mode != "create" and known is None:
        raise refusal(NOT_FOUND, "Enrollment not found.")
    if mode == "updateIfMatchETag" and known is not None and item.get("etag") != known.etag:
        raise refusal(412001, "Precondition failed: the ETag does not match.")
    if mode == "delete" and known is not None:
        remove(state, known)
    else:
        store(state, kind, read_entry(state, kind, entry_id, item, known))


def told(kind: Kind, item: object, error: web.HTTPException) -> Json:
    entry_id = item.get(ID_FIELD[kind]) if isinstance(item, dict) else None
    code = json.loads(error.text or "{}").get("errorCode")
    return {ID_FIELD[kind]: entry_id, "errorCode": code, "errorStatus": error.reason}
