"""How DPS says no, and what every request to it has in common.

https://learn.microsoft.com/rest/api/iot-dps/service/individual-enrollment (ProvisioningServiceErrorDetails)
"""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

Json = dict[str, Any]

# Known numbers: 401000, 401002, 404201, 400209, 409001. For the others the status with 001 behind it is a guess.
NOT_FOUND = 404201
ATTESTATION = 401002
ALLOCATION = 400209

KINDS: dict[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    404: web.HTTPNotFound,
    409: web.HTTPConflict,
    412: web.HTTPPreconditionFailed,
    415: web.HTTPUnsupportedMediaType,
    429: web.HTTPTooManyRequests,
}


def refusal(code: int, message: str, headers: Mapping[str, str] | None = None) -> web.HTTPException:
    body = {
        "errorCode": code,
        "trackingId": str(uuid.uuid4()),
        "message": message,
        "info": {},
        "timestampUtc": wire_time(datetime.now(UTC)),
    }
    all_headers = {"x-ms-error-code": str(code), **(headers or {})}
    return KINDS[code // 1000](headers=all_headers, text=json.dumps(body), content_type="application/json")


def bad_request(message: str) -> web.HTTPException:
    return refusal(400001, message)


def check_version(request: web.Request, known: set[str]) -> None:
    given = request.query.get("api-version")
    if given not in known:
        raise bad_request(f"api-version {given} is not supported; there are {', '.join(sorted(known))}")


def check_match(request: web.Request, etag: str | None) -> None:
    """If-Match is optional; the tag is the one of the body, quotes included. `etag` is None where nothing is stored."""
    given = request.headers.get("If-Match")
    if given is not None and (etag is None or given not in {"*", etag}):
        raise refusal(412001, "Precondition failed: the ETag does not match.")


async def json_object(request: web.Request, known: set[str]) -> Json:
    """The body: one JSON object with no member that is not `known`."""
    if request.content_type != "application/json":
        raise refusal(415001, "Unsupported media type: the body has to be application/json.")
    try:
        body = await request.json()
    except ValueError as error:
        raise bad_request("The body is not JSON.") from error
    return known_members(body, known, "The body")


def known_members(value: object, known: set[str], what: str) -> Json:
    if not isinstance(value, dict):
        raise bad_request(f"{what} is not a JSON object.")
    if unknown := sorted(value.keys() - known):
        raise bad_request(f"{what} has unknown members: {', '.join(unknown)}.")
    return value


def wire_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
