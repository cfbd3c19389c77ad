"""The OpenAPI document of the operators' API, made of the code that it describes.

`python -m functions.openapi > docs/openapi.json` writes the copy that people read; a test holds the two together.
"""

import json
import sys
from typing import Final

from functions import openapi_births
from functions.openapi_schemas import SCHEMAS, Schema, enum, ref, said
from shared.core import searching

_ABOUT: Final = """\
What operators see and do. Every route needs a function key, in the header `x-functions-key` or as `?code=`; without one
the Functions host answers 401, and to a method that a route does not have it answers 404, both without a body.

Errors are problem details (RFC 9457). `type` names the kind of problem, `instance` the request, as the log does.

Writes on devices, queues and batches carry an `Idempotency-Key`: the same key with the same body leads to the same
action, however often it is sent; with another body it is refused with 409. Keys belong to one device, queue or batch,
and are kept for ever. Certificates, manifests and imports need none: the same again changes nothing. A one-time
passcode is a new one each time. After an answer of 5xx, or none, send the same again, with the same key.

Writes are recorded with caller and reason in the log, and those about a device in its lifecycle events. The caller is
who has signed in, where App Service Authentication is switched on; otherwise the name in `X-Caller`, marked as claimed.

Device ids are found without regard to case, as DPS compares them; answers hold the exact spelling, which IoT Hub needs.
"""

_DEVICE_ID: Final[Schema] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9:._-]{0,63}[A-Za-z0-9-]$"},
}
_QUEUE: Final[Schema] = {"name": "queue", "in": "path", "required": True, "schema": {"type": "string"}}
_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
_CALLER: Final[Schema] = {
    "name": "X-Caller",
    "in": "header",
    "description": "Who asks, where nobody has signed in",
    "schema": {"type": "string", "maxLength": 128},
}
_REFUSALS: Final = {
    "400": "The request breaks its form; the detail says where",
    "403": "The profile does not grant it; the detail says why",
    "404": "There is no such device, queue, label or batch",
    "409": "The state of things does not permit it, or the key was used for another request",
    "413": "The body is over its limit, which the detail names",
    "415": "The body is of another media type than this operation takes",
    "429": "The device has had its certificates of today, or DigiCert ONE throttles",
    "502": "DigiCert ONE refused",
    "504": "DigiCert ONE did not answer in time: send the same again",
    "500": "Our own mistake; the log has the cause under the request id",
    "503": "Something that is needed does not answer, or the settings are wrong; Retry-After says when to ask again",
}


def document() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Birthcert: operators' API", "version": "1", "description": _ABOUT},
        "security": [{"header": []}, {"query": []}],
        "paths": _merged(
            {
                "/api/devices/{id}": _get("device", "Device", "All that is known of a device", "400 404", _DEVICE_ID),
                "/api/certificates": _get("certificates", "CertificateList", _LISTING, "400", *_SEARCH),
                **{f"/api/devices/{{id}}/{verb}": _action(verb) for verb in _ACTIONS},
                "/api/sagas": _get(
                    "sagas", "SagaList", "Unfinished blocks and restores, the oldest first", "400", _STUCK
                ),
                "/api/poison": _get("poison", "PoisonCounts", "How many messages no handler could take", ""),
                "/api/poison/{queue}/replay": _replay(),
                "/api/openapi.json": _get("openapi", "Document", "This document", ""),
            }
        ),
        "components": {
            "schemas": {**SCHEMAS, **openapi_births.SCHEMAS},
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "query": {"type": "apiKey", "in": "query", "name": "code"},
            },
        },
    }


def _merged(paths: dict[str, Schema]) -> dict[str, Schema]:
    """With the other births, whose routes may refuse in every way."""
    for path, methods in openapi_births.paths(_DEVICE_ID, _KEY, _CALLER).items():
        for method, operation in methods.items():
            more = openapi_births.REFUSALS.get(operation["operationId"], "")
            answers = {**operation["responses"], **_problems(f"400 404 409 413 415 {more}")}
            paths.setdefault(path, {})[method] = {**operation, "responses": answers}
    return paths


_LISTING: Final = """\
Certificates, page by page. With `expires_before` and no `status` the index of what is due is read: certificates that
are still to be renewed, of devices that are not blocked, and its cost follows what is due. Any other search reads the
whole ledger, however large. A page may hold fewer than `limit`, even none, and yet have a continuation. A certificate
that changes meanwhile may show twice or not at all."""
_SEARCH: Final[tuple[Schema, ...]] = (
    {
        "name": "expires_before",
        "in": "query",
        "description": "A day (its beginning, UTC) or a time with its zone: 2026-05-31, 2026-05-31T12:00:00Z",
        "schema": {"type": "string"},
    },
    {"name": "status", "in": "query", "schema": enum(*searching.STATUSES)},
    {"name": "label", "in": "query", "schema": {"type": "string", "maxLength": 64}},
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": searching.MAX_PAGE, "default": searching.USUAL_PAGE},
    },
    {
        "name": "continuation",
        "in": "query",
        "description": "What the page before gave, unchanged, with the same search",
        "schema": {"type": "string"},
    },
)
_STUCK: Final[Schema] = {
    "name": "stuck",
    "in": "query",
    "description": "true: those alone that have failed, or take more than ten minutes",
    "schema": enum("true", "false"),
}

# What each does, and the forms of its body and of its answer.
_ACTIONS: Final = {
    "revoke": ("Block the device for ever, and revoke its certificates", "FinalAction", "Blocking"),
    "decommission": ("Revoke, and remove the device from its hub", "FinalAction", "Blocking"),
    "hold": ("Block the device until it is restored", "Action", "Blocking"),
    "restore": ("Undo a hold", "Action", "Blocking"),
    "renew": ("Ask the device to renew its certificate now, due or not", "Action", "Renewal"),
}


def _action(verb: str) -> Schema:
    summary, body, answer = _ACTIONS[verb]
    done = "The device has renewed" if answer == "Renewal" else "Done, everywhere"
    begun = "The device is asked" if answer == "Renewal" else "In force here, and on its way to every other system"
    responses: Schema = {
        "200": {"description": done, "content": _json(ref(answer))},
        "202": {
            "description": begun,
            "headers": {
                "Location": said({"schema": {"type": "string"}}, "The device's view"),
                "Retry-After": {"schema": {"type": "integer"}},
            },
            "content": _json(ref(answer)),
        },
        **_problems("400 404 409 413 415"),
    }
    return {"post": _write(verb, summary, body, responses, _DEVICE_ID)}


def _replay() -> Schema:
    responses: Schema = {
        "200": {"description": "How many were put back", "content": _json(ref("Replay"))},
        **_problems("400 404 409 413 415"),
    }
    return {"post": _write("replay", "Put poison messages back into their queue", "ReplayRequest", responses, _QUEUE)}


def _get(ident: str, schema: str, summary: str, refusals: str, *parameters: Schema) -> Schema:
    responses: Schema = {
        "200": {"description": "As asked", "content": _json(ref(schema))},
        **_problems(refusals),
    }
    line, _, rest = summary.partition(". ")
    return {
        "get": {
            "operationId": ident,
            "summary": line,
            **({"description": rest} if rest else {}),
            "parameters": list(parameters),
            "responses": responses,
        }
    }


def _write(ident: str, summary: str, body: str, responses: Schema, parameter: Schema) -> Schema:
    return {
        "operationId": ident,
        "summary": summary,
        "parameters": [parameter, _KEY, _CALLER],
        "requestBody": {"required": True, "content": _json(ref(body))},
        "responses": responses,
    }


def _problems(statuses: str) -> Schema:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {one: {"description": _REFUSALS[one], "content": content} for one in (*statuses.split(), "500", "503")}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=2)
    sys.stdout.write("\n")
