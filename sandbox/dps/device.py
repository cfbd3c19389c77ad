"""The device API of DPS over HTTPS: register, poll, look up.

https://learn.microsoft.com/rest/api/iot-dps/device/runtime-registration
"""

import asyncio
from functools import partial
from typing import Any

from aiohttp import web
from cryptography import x509

from sandbox.dps.allocation import Allocator, Applicant
from sandbox.dps.attestation import attested, common_name
from sandbox.dps.errors import NOT_FOUND, bad_request, check_version, json_object, refusal
from sandbox.dps.state import DpsState, Entry, Operation, Registration, new_operation_id
from sandbox.web import client_chain

Json = dict[str, Any]
API_VERSIONS = {"2019-03-31", "2021-06-01", "2021-10-01"}
FIELDS = {"registrationId", "payload"}


def routes(state: DpsState, allocator: Allocator) -> list[web.RouteDef]:
    async def register(request: web.Request) -> web.Response:
        try:
            entry, leaf, body = await applied(state, request)
        except web.HTTPUnauthorized as error:
            state.diagnostics.refused(request.match_info["rid"], error.text)
            raise
        registration = registration_for(state, entry, leaf, request.match_info["rid"])
        registration.status = "assigning"
        applicant = Applicant(entry, registration, leaf, body.get("payload"))
        assigned = partial(allocator.assign, applicant) if entry.enabled else partial(disabled, state, registration)
        work = asyncio.create_task(state.diagnostics.noted(registration.registration_id, assigned))
        operation_id = new_operation_id()
        state.operations[operation_id] = Operation(registration, leaf, work)
        state.world.journal.write("DPS", "registering", device=registration.registration_id, group=registration.group)
        path = f"/{state.id_scope}/registrations/{registration.registration_id}/operations/{operation_id}"
        location = f"https://{request.host}{path}?api-version={request.query['api-version']}"
        return assigning(state, operation_id, {"Location": location})

    async def poll(request: web.Request) -> web.Response:
        check_scope(state, request)
        operation = state.operations.get(request.match_info["operation"])
        chain = client_chain(request)
        if operation is None or operation.registration.registration_id.lower() != request.match_info["rid"].lower():
            raise refusal(NOT_FOUND, "Operation not found.")
        if not chain or chain[0] != operation.leaf:
            raise refusal(401000, "Unauthorized")
        operation_id = request.match_info["operation"]
        if not operation.task.done():
            return assigning(state, operation_id, {})
        result = await operation.task
        body = {"operationId": operation_id, "status": result["status"], "registrationState": {"x509": {}} | result}
        return web.json_response(body)

    async def look_up(request: web.Request) -> web.Response:
        await applied(state, request)
        registration = state.registrations.get(request.match_info["rid"].lower())
        if registration is None:
            raise refusal(NOT_FOUND, "Registration not found.")
        return web.json_response({"x509": {}} | registration.as_json())

    return [
        web.put("/{scope}/registrations/{rid}/register", register),
        web.get("/{scope}/registrations/{rid}/operations/{operation}", poll),
        web.post("/{scope}/registrations/{rid}", look_up),
    ]


async def applied(state: DpsState, request: web.Request) -> tuple[Entry, x509.Certificate, Json]:
    """The request of a device that proved who it is: its entry, its certificate and the body."""
    check_scope(state, request)
    body = await json_object(request, FIELDS)
    registration_id = request.match_info["rid"]
    if str(body.get("registrationId", "")).lower() != registration_id.lower():
        raise bad_request("registrationId is not the one of the path.")
    chain = client_chain(request)
    try:
        entry = attested(state, registration_id, chain)
    except web.HTTPException as error:
        state.world.journal.write("DPS", "attestation failed", device=registration_id, answer=error.text)
        raise
    return entry, chain[0], body


def check_scope(state: DpsState, request: web.Request) -> None:
    check_version(request, API_VERSIONS)
    if request.match_info["scope"] != state.id_scope:
        raise refusal(NOT_FOUND, "The ID scope is unknown.")


def registration_for(state: DpsState, entry: Entry, leaf: x509.Certificate, registration_id: str) -> Registration:
    """The device's record: the one it has, so that a renewal is told from a first registration, or a new one."""
    group = entry.entry_id if entry.kind == "group" else None
    known = state.registrations.get(registration_id.lower())
    if known is not None:
        known.group = group
        return known
    # Group: the common name becomes the device id. Individual: the entry's deviceId, else the common name.
    device_id = str(entry.document.get("deviceId") or common_name(leaf))
    now = state.world.clock.now()
    registration = Registration(registration_id, device_id, group, now, now)
    state.registrations[registration_id.lower()] = registration
    return registration


def assigning(state: DpsState, operation_id: str, headers: dict[str, str]) -> web.Response:
    body = {"operationId": operation_id, "status": "assigning"}
    return web.json_response(body, status=202, headers={"Retry-After": str(state.retry_after), **headers})


async def disabled(state: DpsState, registration: Registration) -> Json:
    """Answered through the operation, as the list of statuses has it; the identity in the hub is left alone."""
    registration.status, registration.error = "disabled", None
    state.world.journal.write("DPS", "registration disabled", device=registration.registration_id)
    return state.touched(registration)
