"""The service API of DPS: enrollments, groups and registrations.

https://learn.microsoft.com/rest/api/iot-dps/service (2021-10-01)
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Any

from aiohttp import web

from sandbox.dps.document import ID_FIELD, members, read_entry
from sandbox.dps.errors import NOT_FOUND, bad_request, check_match, check_version, json_object, refusal
from sandbox.dps.state import DpsState, Entry, Kind, Registration

Json = dict[str, Any]
API_VERSIONS = {"2021-10-01"}
PATHS: dict[Kind, str] = {"individual": "/enrollments", "group": "/enrollmentGroups"}
ITEMS: dict[Kind, str] = {"individual": "Enrollment", "group": "EnrollmentGroup"}
# "SELECT *" and nothing else: there is no WHERE (https://learn.microsoft.com/azure/iot-dps/dps-faq).
QUERY = re.compile(r"\s*SELECT\s+\*(\s+FROM\s+\w+)?\s*", re.IGNORECASE)
PAGE = 100


def routes(state: DpsState) -> list[web.RouteDef]:
    return [*entry_routes(state, "individual"), *entry_routes(state, "group"), *registration_routes(state)]


def entry_routes(state: DpsState, kind: Kind) -> list[web.RouteDef]:
    entries = state.entries(kind)

    async def get(request: web.Request) -> web.Response:
        check_version(request, API_VERSIONS)
        entry = entry_of(entries, request)
        return web.json_response(as_json(state, entry))

    async def put(request: web.Request) -> web.Response:
        check_version(request, API_VERSIONS)
        body = await json_object(request, members(kind))
        entry_id = request.match_info["id"]
        known = entries.get(entry_id.lower())
        check_match(request, None if known is None else known.etag)
        entry = store(state, kind, read_entry(state, kind, entry_id, body, known))
        return web.json_response(as_json(state, entry))

    async def delete(request: web.Request) -> web.Response:
        check_version(request, API_VERSIONS)
        entry = entry_of(entries, request)
        check_match(request, entry.etag)
        remove(state, entry)
        return web.Response(status=204)

    async def query(request: web.Request) -> web.Response:
        check_version(request, API_VERSIONS)
        body = await json_object(request, {"query"})
        if not QUERY.fullmatch(str(body.get("query", ""))):
            raise bad_request("Only SELECT * is supported.")
        return page(request, {name: as_json(state, entry) for name, entry in entries.items()}, ITEMS[kind])

    async def mechanism(request: web.Request) -> web.Response:
        check_version(request, API_VERSIONS)
        entry = entry_of(entries, request)
        attestation = entry.document["attestation"]
        return web.json_response(attestation | ({"symmetricKey": entry.keys} if entry.keys else {}))

    base = PATHS[kind]
    return [
        web.post(f"{base}/query", query),
        web.get(f"{base}/{{id}}", get),
        web.put(f"{base}/{{id}}", put),
        web.delete(f"{base}/{{id}}", delete),
        web.post(f"{base}/{{id}}/attestationmechanism", mechanism),
    ]


def registration_routes(state: DpsState) -> list[web.RouteDef]:
    def registration_of(request: web.Request) -> Registration:
        check_version(request, API_VERSIONS)
        registration = state.registrations.get(request.match_info["id"].lower())
        if registration is None:
            raise refusal(NOT_FOUND, "Registration not found.")
        return registration

    async def get(request: web.Request) -> web.Response:
        return web.json_response(registration_of(request).as_json())

    async def delete(request: web.Request) -> web.Response:
        registration = registration_of(request)
        check_match(request, registration.etag)
        del state.registrations[registration.registration_id.lower()]
        return web.Response(status=204)

    async def of_group(request: web.Request) -> web.Response:
        check_version(request, API_VERSIONS)
        group = request.match_info["id"].lower()
        found = {
            name: each.as_json() for name, each in state.registrations.items() if (each.group or "").lower() == group
        }
        if not found and group not in state.groups:  # the records of a deleted group outlive it
            raise refusal(NOT_FOUND, "Enrollment group not found.")
        return page(request, found, "DeviceRegistration")

    return [
        web.get("/registrations/{id}", get),
        web.delete("/registrations/{id}", delete),
        web.post("/registrations/{id}/query", of_group),
    ]


def entry_of(entries: dict[str, Entry], request: web.Request) -> Entry:
    entry = entries.get(request.match_info["id"].lower())
    if entry is None:
        raise refusal(NOT_FOUND, "Enrollment not found.")
    return entry


def as_json(state: DpsState, entry: Entry) -> Json:
    registration = state.registrations.get(entry.entry_id.lower())
    if entry.kind == "individual" and registration is not None and registration.group is None:
        return entry.document | {"registrationState": registration.as_json()}
    return entry.document


def store(state: DpsState, kind: Kind, entry: Entry) -> Entry:
    state.entries(kind)[entry.entry_id.lower()] = entry
    facts = {ID_FIELD[kind]: entry.entry_id, "status": entry.document["provisioningStatus"]}
    state.world.journal.write("DPS", f"{kind} stored", **facts)
    return entry


def remove(state: DpsState, entry: Entry) -> None:
    """A group leaves its registration records behind, which is documented; that an enrollment's own record goes with
    it is an assumption: the record is a member of it.
    """
    del state.entries(entry.kind)[entry.entry_id.lower()]
    if entry.kind == "individual":
        state.registrations.pop(entry.entry_id.lower(), None)
    state.world.journal.write("DPS", f"{entry.kind} deleted", id=entry.entry_id)


def page(request: web.Request, items: dict[str, Json], item_type: str) -> web.Response:
    """One page, ordered by id; the continuation names the last id, so that changes in between lose nothing."""
    size = page_size(request.headers.get("x-ms-max-item-count", str(PAGE)))
    after = continuation(request.headers.get("x-ms-continuation", ""))
    names: Sequence[str] = sorted(name for name in items if name > after)
    headers = {"x-ms-item-type": item_type, "x-ms-max-item-count": str(size)}
    if len(names) > size:
        headers["x-ms-continuation"] = base64.b64encode(names[size - 1].encode()).decode()
    return web.json_response(values(items, names[:size]), headers=headers)


def values(items: dict[str, Json], names: Iterable[str]) -> list[Json]:
    return [items[name] for name in names]


def page_size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise bad_request("x-ms-max-item-count is no positive number.")
    return min(int(text), 1000)


def continuation(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise bad_request("x-ms-continuation is not one of ours.") from error
